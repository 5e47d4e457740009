"""What all figures have in common: sizes, colours, the looks of methods, files without dates.

Colour, marker and line of methods and samplers follow from the place of a name in `METHODS` or
`SAMPLERS`, so that one which is added at the end has its own look and leaves the others theirs.
Published systems have thin markers.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.typing import LineStyleType
from numpy.typing import NDArray

from irsde.methods import METHODS, MethodName
from irsde.samplers import SAMPLERS
from irsde.seeds import seed_from

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

SINGLE = 3.4  # inches: the width of one column of a two-column page
DOUBLE = 6.9  # and of both
SMALL = 7  # points, of text below images and at ticks
TIGHT = {"w_pad": 0.025, "h_pad": 0.025, "wspace": 0, "hspace": 0}  # a layout of images
ACCENT = "#d55e00"
GRAY = "#555555"
LIGHT = "#bbbbbb"

Window = tuple[slice, slice]  # rows and columns of an image

STYLE: "dict[RcKeyType, object]" = {
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

# The palette of Okabe and Ito, with `ACCENT`, and without its yellow, which white paper swallows.
BLACK = "#000000"
ORANGE = "#e69f00"
SKY = "#56b4e9"
GREEN = "#009e73"
BLUE = "#0072b2"
PURPLE = "#cc79a7"


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


def show_whole(axes: Axes, pixels: NDArray[np.uint8], window: Window | None = None) -> None:
    """Show an image without ticks, and mark the window that its detail shows."""
    axes.imshow(pixels, interpolation="antialiased")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    if window is not None:
        frame(axes, window)


def show_detail(axes: Axes, pixels: NDArray[np.uint8], window: Window) -> None:
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
        figure.set_layout_engine("none")  # the places are found: the same in every format
        nothing = {"Creator": None, "Producer": None, "CreationDate": None}
        figure.savefig(folder / f"{key}.pdf", metadata=nothing)
        if drawing:
            figure.savefig(folder / f"{key}.svg", metadata={"Creator": None, "Date": None})


SOLID: LineStyleType = "-"
DASHED: LineStyleType = (0, (4, 1.5))
DOTTED: LineStyleType = (0, (1, 1.2))
DASH_DOT: LineStyleType = (0, (5, 1.2, 1, 1.2))
DASH_DOT_DOT: LineStyleType = (0, (5, 1.2, 1, 1.2, 1, 1.2))

DASHES = (SOLID, DASHED, DASH_DOT, DOTTED, DASH_DOT_DOT)
MARKERS = ("o", "v", "^", "D", "p", "*", "X", "<", "s", "d", ">", "h", "P")
COLORS = (BLUE, GREEN, SKY, PURPLE, ORANGE, BLACK)  # the first has the accent


class LineKeywords(TypedDict):
    """What `Axes.plot` takes for a line without markers."""

    color: str
    linestyle: LineStyleType


class PointKeywords(TypedDict):
    """What `Axes.plot` takes for markers without a line."""

    color: str
    marker: str
    markerfacecolor: str
    linestyle: LineStyleType


@dataclass(frozen=True)
class Look:
    """How a method or sampler is drawn.

    Parameters
    ----------
    color : str
        Hexadecimal.
    marker : str
        Matplotlib's sign.
    dashes : str or tuple
        Matplotlib's line style.
    filled : bool
        False for variants, and for samplers whose marker another has: hollow.
    """

    color: str
    marker: str
    dashes: LineStyleType = SOLID
    filled: bool = True

    @property
    def line(self) -> LineKeywords:
        """Keywords of a line without markers."""
        return {"color": self.color, "linestyle": self.dashes}

    @property
    def points(self) -> PointKeywords:
        """Keywords of markers without a line."""
        return {
            "color": self.color,
            "marker": self.marker,
            "markerfacecolor": self.color if self.filled else "white",
            "linestyle": "none",
        }


THIN_MARKERS = ("1", "+", "x", "2", "3", "4", "|", "_")  # of published systems
WITHOUT_PROCESS = (Look("#888888", "X", DOTTED), Look(GRAY, "P", DASHED), Look(BLACK, "s"))


def look(method: str) -> Look:
    """Look of a method.

    A variant has the colour and the marker of its method, hollow, and a dashed line.

    Examples
    --------
    >>> look("ir-sde").color == look("ir-sde+batch16").color
    True
    """
    name = MethodName.parse(method)
    sampled = [key for key, record in METHODS.items() if record.process]
    published = [key for key, record in METHODS.items() if record.kind == "published"]
    others = [key for key in METHODS if key not in (*sampled, *published)]
    if name.base in published:
        place = published.index(name.base)
        color, marker = COLORS[place % len(COLORS)], THIN_MARKERS[place % len(THIN_MARKERS)]
        return Look(color, marker, DASHES[place % len(DASHES)])
    if name.base in others:
        usual = WITHOUT_PROCESS[others.index(name.base) % len(WITHOUT_PROCESS)]
    else:
        # a result made elsewhere is no variant of another
        usual = _at_place(name.base if name.base in METHODS else method, sampled)
    if not name.variant:
        return usual
    dashes = DASHES[1 + seed_from("look", name.variant) % (len(DASHES) - 1)]
    return replace(usual, dashes=dashes, filled=False)


def sampler_look(sampler: str) -> Look:
    """Look of a sampler; markers that come again are hollow."""
    names = list(SAMPLERS)
    again = sampler in names and names.index(sampler) >= len(MARKERS)
    return replace(_at_place(sampler, names), filled=not again)


def _at_place(name: str, names: list[str]) -> Look:
    """Look by the place among names; by its own letters for one that is not among them."""
    place = names.index(name) if name in names else 1 + seed_from("look", name) % 1000
    return Look(
        COLORS[(place - 1) % len(COLORS)] if place else ACCENT,
        MARKERS[place % len(MARKERS)],
        DASHES[place % len(DASHES)],
    )
