"""What stands in `tables.md` and `tables.csv`, read back from the files."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from irsde.files import read_table


def shown(cell: Mapping[str, Any]) -> str:
    """What a cell of the lineage shows: text and mark."""
    return " ".join(filter(None, (cell["text"], cell.get("mark"))))


def same_text(first: str, second: str) -> bool:
    """True if two texts differ in nothing that a file of tables has to change.

    Examples
    --------
    >>> same_text("a  [b]", "a (b)")
    True
    >>> same_text("31.6", "31.65")
    False
    """
    brackets = str.maketrans("[]", "()")
    return first.translate(brackets).split() == second.translate(brackets).split()


def markdown_cells(path: Path, tables: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Texts of the cells of `tables.md`, without emphasis and links.

    Parameters
    ----------
    path : Path
        `tables.md`: each table stands below a paragraph that begins with its key.
    tables : sequence of dict
        Tables of the lineage, which say what lines and columns are called.

    Returns
    -------
    dict
        ``<table>/<row>/<column>`` → text; what has no place in the lineage is left out.
    """
    written = _pipe_tables(path.read_text(encoding="utf-8"))
    return {
        f"{table['key']}/{row['key']}/{column['key']}": text
        for table in tables
        for row, texts in zip(table["rows"], written.get(table["key"], []), strict=False)
        for column, text in zip(table["columns"], texts, strict=False)
    }


def csv_cells(path: Path, _: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Texts of the cells of `tables.csv`; ``<table>/<row>/<column>`` → text."""
    try:
        lines = read_table(path, as_text=True)
    except (OSError, ValueError):
        return {}
    if not {"table", "line", "column", "text"} <= set(lines.columns):
        return {}
    places = lines["table"] + "/" + lines["line"] + "/" + lines["column"]
    return dict(zip(places, lines["text"], strict=True))


def _pipe_tables(text: str) -> dict[str, list[list[str]]]:
    """Rows below the heading of each pipe table, by the key in the paragraph above it."""
    found: dict[str, list[list[str]]] = {}
    key, previous = "", ""
    for line in text.splitlines():
        if named := re.match(r"Table `([^`]+)`\.", line):
            key = named[1]
        elif line.startswith("|") and key:
            cells = re.split(r"(?<!\\)\|", line.strip()[1:-1])
            if not previous.startswith("|"):
                found[key] = []
            found[key].append([_plain(cell) for cell in cells])
        previous = line
    return {name: rows[2:] for name, rows in found.items()}


def _plain(text: str) -> str:
    """Text of a cell without links, emphasis and the backslashes before special characters."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"(?<!\\)\*+|(?<!\\)</?u>", "", text)
    return " ".join(re.sub(r"\\([\\|*_`<>])", r"\1", text).split())
