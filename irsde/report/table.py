"""Tables and figures as data: columns, lines and cells that every document reads."""

from dataclasses import dataclass
from typing import Literal

from irsde.files import InputError
from irsde.scoring.metrics import Quantity


@dataclass(frozen=True)
class Figure:
    """One figure, written as `<key>.png` and, where it holds drawing, `<key>.svg` and `.pdf`.

    Parameters
    ----------
    key : str
        Stem of its files below `reports/figures`, such as ``"deraining-rain100h-test"``.
    title : str
        Heading.
    section : str
        What it belongs to: a task's label, or the name of a chapter.
    caption : str
        Plain text: what is seen, of which images, at which budget.
    alternative : str
        What a screen reader says instead of the picture.
    sources : tuple of str
        Folders of the evaluations and runs that are drawn, as those of a table's cell.
    """

    key: str
    title: str
    section: str
    caption: str
    alternative: str
    sources: tuple[str, ...] = ()


Emphasis = Literal["", "best", "second", "doubtful"]

MEAN = "mean over images"

UNSEEN = "mean over images not shown in training"

SUMMARY = "{} in summary.json"


@dataclass(frozen=True)
class Cell:
    """One cell.

    Parameters
    ----------
    text : str
        What it shows, without emphasis: ``"31.65 ± 0.21"``, ``"n/a"``.
    value : float, optional
        The number in it, in the unit of its column, for sorting and for files.
    low, high : float, optional
        Ends of its 95 % interval.
    emphasis : {"", "best", "second", "doubtful"}
        Bold, underlined, or greyed (a number that nobody could confirm).
    mark : str
        What follows the text, such as ``"≈"``.
    reason : str
        Why there is no number.
    sources : tuple of str
        Folders of the evaluations and runs that the number was computed from, as paths below the
        project, such as ``results/quick/deraining/ir-sde/seed0``.
    rule : str
        How it follows from them where that can be said in a few words, such as `MEAN`.
    metric : str
        Column of their `per_image.csv` that it was computed from.
    """

    text: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    emphasis: Emphasis = ""
    mark: str = ""
    reason: str = ""
    sources: tuple[str, ...] = ()
    rule: str = ""
    metric: str = ""


@dataclass(frozen=True)
class Column:
    """One column.

    Parameters
    ----------
    key : str
        Name in addresses, such as ``"psnr"``.
    label : str
        Heading, with the unit.
    numeric : bool
        True if it is set flush right and sorted by value.
    higher_is_better : bool, optional
        None where neither is.
    """

    key: str
    label: str
    numeric: bool = True
    higher_is_better: bool | None = None

    @property
    def heading(self) -> str:
        """The label with an arrow that says which way is better."""
        arrow = {None: "", True: " ↑", False: " ↓"}[self.higher_is_better]
        return self.label + arrow


def column_of(key: str, quantity: Quantity) -> Column:
    """The column of a metric or a distance."""
    return Column(key, quantity.label, higher_is_better=quantity.higher_is_better)


@dataclass(frozen=True)
class Line:
    """One line: a key for addresses, such as a method's name, and a cell for each column."""

    key: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """One table.

    Parameters
    ----------
    key : str
        Name in addresses, such as ``"deraining-rain100h-test"``; letters, digits, dots, dashes.
    title : str
        Heading.
    section : str
        What it belongs to: a task's label, or the name of a chapter such as "Against the paper".
    caption : str
        Plain text: images, degradation, protocol, seeds, budget, what marks mean.
    columns : tuple of Column
        The first holds the lines' names.
    lines : tuple of Line
    figure : str
        Key of the figure that belongs below it, "" if none.
    """

    key: str
    title: str
    section: str
    caption: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    figure: str = ""

    def cell(self, line: str, column: str) -> Cell:
        """Cell by the keys of its line and column.

        Raises
        ------
        InputError
            If there is none; the message lists the keys that exist.
        """
        lines = {one.key: one for one in self.lines}
        columns = [one.key for one in self.columns]
        if line not in lines:
            raise InputError(f"{self.key}: no row {line!r}; it has {', '.join(lines)}")
        if column not in columns:
            raise InputError(f"{self.key}: no column {column!r}; it has {', '.join(columns)}")
        return lines[line].cells[columns.index(column)]
