"""A figure as data: what `irsde report`, the HTML page and Snakemake's report list."""

from dataclasses import dataclass


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
