"""What all figures have in common: sizes, colours, files without dates."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

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

# The palette of Okabe and Ito, with `ACCENT`, and without its yellow, which white paper swallows.
BLACK = "#000000"
ORANGE = "#e69f00"
SKY = "#56b4e9"
GREEN = "#009e73"
BLUE = "#0072b2"
PURPLE = "#cc79a7"


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
