"""Colour, marker and line of methods and samplers, the same in every figure.

They follow from the place of a name in `METHODS` or `SAMPLERS`, so that one which is added at the
end has its own look and leaves the others theirs. Published systems have thin markers.
"""

from dataclasses import dataclass, replace
from typing import TypedDict

from matplotlib.typing import LineStyleType

from irsde.drawing import ACCENT, BLACK, BLUE, GRAY, GREEN, ORANGE, PURPLE, SKY
from irsde.methods import METHODS, MethodName
from irsde.samplers import SAMPLERS
from irsde.seeds import seed_from

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
        False for variants, whose markers are hollow.
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
        usual = _at_place(name.base, sampled)
    if not name.variant:
        return usual
    dashes = DASHES[1 + seed_from("look", name.variant) % (len(DASHES) - 1)]
    return replace(usual, dashes=dashes, filled=False)


def sampler_look(sampler: str) -> Look:
    """Look of a sampler."""
    return _at_place(sampler, list(SAMPLERS))


def _at_place(name: str, names: list[str]) -> Look:
    """Look by the place among names; by its own letters for one that is not among them."""
    place = names.index(name) if name in names else 1 + seed_from("look", name) % 1000
    return Look(
        COLORS[(place - 1) % len(COLORS)] if place else ACCENT,
        MARKERS[place % len(MARKERS)],
        DASHES[place % len(DASHES)],
    )
