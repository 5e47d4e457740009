"""What all figures have in common: sizes, colours of methods and samplers, files without dates."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from irsde.seeds import seed_from

SINGLE = 3.4  # inches: the width of one column of a two-column page
DOUBLE = 6.9  # and of both
SMALL = 7  # points, of what stands below images and at ticks
TIGHT: Any = {"w_pad": 0.025, "h_pad": 0.025, "wspace": 0, "hspace": 0}  # a layout of images
ACCENT = "#d55e00"
GRAY = "#555555"
LIGHT = "#bbbbbb"

Window = tuple[slice, slice]  # rows and columns of an image

STYLE: Any = {
    "font.size": 8,
    "font.family": "DejaVu Sans",
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "legend.frameon": False,
    "legend.handlelength": 3,
    "legend.labelspacing": 0.35,
    "legend.borderaxespad": 0.2,
    "figure.dpi": 200,
    "savefig.dpi": 200,
    "savefig.pad_inches": 0.02,
    "svg.fonttype": "path",
    "svg.hashsalt": "irsde",
    "pdf.fonttype": 42,
}

# The palette of Okabe and Ito; its yellow is left out, which white paper swallows.
BLACK = "#000000"
ORANGE = "#e69f00"
SKY = "#56b4e9"
GREEN = "#009e73"
BLUE = "#0072b2"
VERMILLION = "#d55e00"
PURPLE = "#cc79a7"

SOLID: Any = "-"
DASHED: Any = (0, (4, 1.5))
DOTTED: Any = (0, (1, 1.2))
DASH_DOT: Any = (0, (5, 1.2, 1, 1.2))
DASH_DOT_DOT: Any = (0, (5, 1.2, 1, 1.2, 1, 1.2))


@dataclass(frozen=True)
class Look:
    """How a method or sampler is drawn, in every figure alike.

    Parameters
    ----------
    color : str
        Hexadecimal.
    marker : str
        Matplotlib's sign.
    dashes : str or tuple
        Matplotlib's line style.
    filled : bool
        False for variants, whose markers are hollow.
    """

    color: str
    marker: str
    dashes: Any = SOLID
    filled: bool = True

    @property
    def line(self) -> dict[str, Any]:
        """Keywords of a line without markers."""
        return {"color": self.color, "linestyle": self.dashes}

    @property
    def points(self) -> dict[str, Any]:
        """Keywords of markers without a line."""
        return {
            "color": self.color,
            "marker": self.marker,
            "markerfacecolor": self.color if self.filled else "white",
            "linestyle": "none",
        }


METHOD_LOOKS = {
    "identity": Look("#888888", "X", DOTTED),
    "classical": Look("#555555", "P", DASHED),
    "regression": Look(BLACK, "s"),
    "ir-sde": Look(VERMILLION, "o"),
    "ir-sde-noise": Look(BLUE, "v", DASHED),
    "ir-sde-linear": Look(GREEN, "^", DASH_DOT),
    "ir-sde-constant": Look(PURPLE, "D", DOTTED),
    "ir-sde-clean": Look(BLACK, "p", DASH_DOT_DOT),
    "denoising-sde": Look(ORANGE, "*"),
    "denoising-ode": Look(ORANGE, "p", DASHED),
    "ddpm": Look(BLUE, "<"),
    "i2sb": Look(GREEN, "D"),
    "goub": Look(SKY, "d", DASHED),
    "resshift": Look(PURPLE, ">"),
    "indi": Look(GREEN, "h", DASHED),
    "flow": Look(SKY, ">", DASH_DOT),
}
SAMPLER_LOOKS = {
    "euler-maruyama": Look(VERMILLION, "o"),
    "posterior": Look(BLACK, "s", DASHED),
    "probability-flow": Look("#888888", "X", DASH_DOT),
    "mean-ode": Look(VERMILLION, "X", DASHED),
    "ddim": Look(ORANGE, "D", DASH_DOT),
    "mrs-sde-1": Look(SKY, "v", DASHED),
    "mrs-sde-2": Look(SKY, "^"),
    "mrs-ode-1": Look(BLUE, "<", DASHED),
    "mrs-ode-2": Look(BLUE, ">"),
    "mrs-sde-1-data": Look(PURPLE, "h", DASHED),
    "mrs-sde-2-data": Look(PURPLE, "*"),
    "mrs-ode-1-data": Look(GREEN, "p", DASHED),
    "mrs-ode-2-data": Look(GREEN, "P"),
}
_COLORS = (BLUE, GREEN, PURPLE, SKY, ORANGE, VERMILLION, BLACK)
_MARKERS = ("o", "s", "^", "v", "D", "P", "X", "<", ">", "p", "h", "*")
_DASHES = (DASHED, DOTTED, DASH_DOT, DASH_DOT_DOT)


def look(method: str) -> Look:
    """Colour, marker and line of a method, by its name alone.

    A variant has the colour and the marker of its method, hollow, and a dashed line; a method
    that is not listed gets what its name's seed chooses.

    Examples
    --------
    >>> look("ir-sde").color == look("ir-sde+batch16").color
    True
    """
    name, plus, variant = method.partition("+")
    known = METHOD_LOOKS.get(name) or _drawn_lots(name)
    if not plus:
        return known
    chosen = seed_from("look", variant) % len(_DASHES)
    return Look(known.color, known.marker, _DASHES[chosen], filled=False)


def sampler_look(sampler: str) -> Look:
    """Colour, marker and line of a sampler, by its name alone."""
    return SAMPLER_LOOKS.get(sampler) or _drawn_lots(sampler)


def _drawn_lots(name: str) -> Look:
    seed = seed_from("look", name)
    return Look(
        _COLORS[seed % len(_COLORS)],
        _MARKERS[seed // 7 % len(_MARKERS)],
        _DASHES[seed // 89 % len(_DASHES)],
    )


def key_of(*parts: str) -> str:
    """Key of a figure: its parts joined by dashes, the plus of a variant as a dot.

    Examples
    --------
    >>> key_of("nfe", "deraining", "rain100h-test", "ir-sde+batch16")
    'nfe-deraining-rain100h-test-ir-sde.batch16'
    """
    return "-".join(parts).replace("+", ".")


def frame(axes: Any, window: Window) -> None:
    """Mark the rows and columns of an image that a detail shows."""
    rows, columns = window
    axes.add_patch(
        Rectangle(
            (columns.start - 0.5, rows.start - 0.5),
            columns.stop - columns.start,
            rows.stop - rows.start,
            fill=False,
            edgecolor=ACCENT,
            linewidth=1,
        )
    )


def show_whole(axes: Any, pixels: NDArray[np.uint8], window: Window | None = None) -> None:
    """Show an image without ticks, and mark the window that its detail shows."""
    axes.imshow(pixels, interpolation="antialiased")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    if window is not None:
        frame(axes, window)


def show_detail(axes: Any, pixels: NDArray[np.uint8], window: Window) -> None:
    """Show a window of an image magnified, in a frame of the colour of its mark."""
    axes.imshow(pixels[window], interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, edgecolor=ACCENT, linewidth=1)


def save(figure: Figure, folder: Path, key: str, *, drawing: bool) -> None:
    """Write `<key>.png`, `<key>.pdf` and, for a drawing, `<key>.svg`, the same bytes each time.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        A drawing is written at its own size, images without the empty space around them.
    folder : Path
        Where to; it exists.
    key : str
        Stem of the files.
    drawing : bool
        False for figures that are made of images.
    """
    with mpl.rc_context({**STYLE, "savefig.bbox": None if drawing else "tight"}):
        figure.savefig(folder / f"{key}.png", metadata={"Software": None})
        nothing = {"Creator": None, "Producer": None, "CreationDate": None}
        figure.savefig(folder / f"{key}.pdf", metadata=nothing)
        if drawing:
            figure.savefig(folder / f"{key}.svg", metadata={"Creator": None, "Date": None})
