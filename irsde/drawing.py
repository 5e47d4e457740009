"""What all figures have in common: sizes, colours of methods and samplers, files without dates."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from irsde.files import key_of as key_of
from irsde.methods import MethodName
from irsde.seeds import seed_from

SINGLE = 3.4  # inches: the width of one column of a two-column page
DOUBLE = 6.9  # and of both
SMALL = 7  # points, of what stands below images and at ticks
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
    "figure.dpi": 200,
    "savefig.dpi": 200,
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
    name = MethodName.parse(method)
    known = METHOD_LOOKS.get(name.base) or _drawn_lots(name.base)
    if not name.variant:
        return known
    chosen = seed_from("look", name.variant) % len(_DASHES)
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


def window_sums(values: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """Sum over every whole window of a size in an array of shape (H, W) or (H, W, C)."""
    total = np.pad(values.cumsum(0).cumsum(1), [(1, 0), (1, 0), (0, 0)][: values.ndim])
    corners = total[height:, width:] - total[:-height, width:] - total[height:, :-width]
    sums: NDArray[np.float64] = corners + total[:-height, :-width]
    return sums


def largest_window(scores: NDArray[np.float64], height: int, width: int, margin: int = 0) -> Window:
    """The window of a size with the highest score, for the detail of an image.

    Parameters
    ----------
    scores : ndarray of float64, shape (H - height + 1, W - width + 1)
        Of every whole window, such as `window_sums`.
    height, width : int
    margin : int
        Pixels that it keeps from the edges, where the image has room for that.
    """
    kept = margin if min(scores.shape) > 2 * margin else 0
    inner = scores[kept : scores.shape[0] - kept, kept : scores.shape[1] - kept]
    top, left = (int(k) + kept for k in np.unravel_index(int(inner.argmax()), inner.shape))
    return slice(top, top + height), slice(left, left + width)


def frame(axes: Axes, window: Window) -> None:
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


def save(figure: Figure, folder: Path, key: str, *, drawing: bool) -> None:
    """Write `<key>.png`, `<key>.pdf` and, for a drawing, `<key>.svg`, the same bytes each time.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        To be written at its own size, under the settings of `STYLE`.
    folder : Path
        Where to; it exists.
    key : str
        Stem of the files.
    drawing : bool
        False for figures that are made of images.
    """
    with mpl.rc_context(STYLE):
        figure.savefig(folder / f"{key}.png", metadata={"Software": None})
        nothing = {"Creator": None, "Producer": None, "CreationDate": None}
        figure.savefig(folder / f"{key}.pdf", metadata=nothing)
        if drawing:
            figure.savefig(folder / f"{key}.svg", metadata={"Creator": None, "Date": None})
