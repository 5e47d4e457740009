"""Tables as the page shows them: sortable HTML, and what its script knows of every cell."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from typing import Any

from irsde.files import json_number
from irsde.methods import METHODS
from irsde.report.captions import joined
from irsde.report.departures import MARKS
from irsde.report.judging import Metric
from irsde.report.render import html
from irsde.report.table import Cell, Column, Line, Table

TABLES_FILE = "reports/tables.md"

Commands = Mapping[tuple[str, str], str]


@dataclass
class ShownTables:
    """Tables put on the page so far, for its script."""

    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    sources: dict[str, int] = field(default_factory=dict)

    def html(
        self, table: Table, commands: Commands, of_cost: int = 0, *, headed: bool = True
    ) -> str:
        """HTML of a table with its heading, caption and place for tools.

        Parameters
        ----------
        table : Table
        commands : mapping
            Command that explains a cell, by the keys of its line and column.
        of_cost : int
            How many of its last columns are of cost and can be hidden.
        headed : bool
            False where the heading above it says the same.
        """
        place = f"table-{len(self.tables)}"
        self.tables[place] = {
            "title": table.title,
            "cost": of_cost,
            "columns": [column.label for column in table.columns],
            "numeric": [column.numeric for column in table.columns],
            "better": [column.higher_is_better for column in table.columns],
            "lines": [line.cells[0].text for line in table.lines],
            "cells": [
                [
                    self._cell(cell, commands.get((line.key, column.key), ""))
                    for column, cell in zip(table.columns, line.cells, strict=True)
                ]
                for line in table.lines
            ],
        }
        title = escaped(table.title)
        heading = f"<h4>{title}</h4>" if headed else ""
        return (
            f'<section class="table" id="{anchor(table.key)}" data-table="{place}">'
            f'{heading}<p class="caption">{escaped(table.caption)}</p><div class="tools"></div>'
            f'<div class="region" role="region" tabindex="0" aria-label="{title}">'
            f"{html(table)}</div></section>"
        )

    def _cell(self, cell: Cell, command: str) -> list[Any]:
        indices = [self.sources.setdefault(s, len(self.sources)) for s in cell.sources]
        known = (cell.value, cell.low, cell.high)
        numbers = [None if v is None else json_number(float(f"{v:.10g}")) for v in known]
        return [*numbers, cell.mark.strip(), cell.reason, command, indices]


def escaped(text: str) -> str:
    """Text for HTML, inside and outside of attributes."""
    return escape(text, quote=True)


def anchor(*names: str) -> str:
    """An address in the page: letters, digits, dots and dashes.

    Examples
    --------
    >>> anchor("chapter", "Against the paper")
    'chapter-against-the-paper'
    """
    return re.sub(r"[^A-Za-z0-9.]+", "-", "-".join(names)).strip("-").lower() or "part"


def explain_command(table: str, line: str, column: str) -> str:
    """Command that explains a cell.

    Examples
    --------
    >>> explain_command("deraining-rain100h-test", "ir-sde", "psnr")
    'irsde explain reports/tables.md:deraining-rain100h-test/ir-sde/psnr'
    """
    return shlex.join(["irsde", "explain", f"{TABLES_FILE}:{table}/{line}/{column}"])


def explain_commands(table: Table) -> Commands:
    """Commands that explain the cells of a table."""
    return {
        (line.key, column.key): explain_command(table.key, line.key, column.key)
        for line in table.lines
        for column in table.columns[1:]
    }


def with_cost(table: Table, cost: Table | None) -> Table:
    """A quality table, and beside it the columns of the cost table that it lacks.

    A line of the cost table stands beside the line with which it shares most sources. Columns
    without any number are left out.
    """
    if cost is None or not cost.lines:
        return table
    known = {column.key for column in table.columns}
    pairs = [(line, max(cost.lines, key=lambda c: _in_common(line, c))) for line in table.lines]
    beside = [other if _in_common(line, other) else None for line, other in pairs]
    chosen = [
        index
        for index, column in enumerate(cost.columns)
        if index
        and column.numeric
        and column.key not in known
        and any(other is not None and other.cells[index].value is not None for other in beside)
    ]
    absent = Cell("n/a", reason="no cost was measured")
    lines = [
        replace(
            line,
            cells=(*line.cells, *(other.cells[i] if other is not None else absent for i in chosen)),
        )
        for line, other in zip(table.lines, beside, strict=True)
    ]
    columns = (*table.columns, *(cost.columns[index] for index in chosen))
    return replace(table, columns=columns, lines=tuple(lines))


def _in_common(first: Line, second: Line) -> int:
    """How many sources two lines share."""
    return len(_sources(first) & _sources(second))


def _sources(line: Line) -> set[str]:
    return {source for cell in line.cells for source in cell.sources}


@dataclass(frozen=True)
class OfTask:
    """What the overview takes from the quality table of a task.

    Parameters
    ----------
    label : str
        Heading.
    table : Table
    metric : Metric
        The headline metric of the protocol that the task was scored under.
    """

    label: str
    table: Table
    metric: Metric


def headline_table(tables: Sequence[OfTask]) -> tuple[Table, Commands] | None:
    """Methods against tasks: the headline metric of each quality table, where there are any.

    Returns
    -------
    Table and the commands that explain its cells, or None

    Notes
    -----
    A method that is called otherwise in each task, as a classical filter is, stands under the name
    that `methods.METHODS` has for it.
    """
    chosen = [
        one for one in tables if any(column.key == one.metric.name for column in one.table.columns)
    ]
    if not chosen:
        return None
    names: dict[str, list[str]] = {}
    for one in chosen:
        for line in one.table.lines:
            names.setdefault(line.key, []).append(line.cells[0].text)
    commands = {}
    lines = []
    for key, labels in names.items():
        differing = len(set(labels)) > 1 and key in METHODS
        cells = [Cell(METHODS[key].label if differing else " / ".join(dict.fromkeys(labels)))]
        for one in chosen:
            table, metric = one.table, one.metric.name
            if any(line.key == key for line in table.lines):
                shown, name = table.cell(key, metric), table.cell(key, table.columns[0].key)
                cells.append(replace(shown, mark=f"{shown.mark} {name.mark}".strip()))
                commands[key, table.key] = explain_command(table.key, key, metric)
            else:
                cells.append(Cell("n/a", reason="not among the profile's runs of this task"))
        lines.append(Line(key, tuple(cells)))
    columns = [Column("method", "method", numeric=False)]
    marks = {mark for line in lines for cell in line.cells for mark in cell.mark.split()}
    metrics = list(dict.fromkeys(one.metric.label for one in chosen))
    columns += [
        replace(
            one.metric.column,
            key=one.table.key,
            label=one.label + (f", {one.metric.label}" if len(metrics) > 1 else ""),
        )
        for one in chosen
    ]
    headline = Table(
        "overview-table",
        f"{joined(metrics)} of every method on every task",
        "Overview",
        f"The column {joined(metrics)} of the tables below; the best of each task is bold, the "
        "second underlined. Choose a cell to see its interval, its sources and how to rebuild it."
        + "".join(f" {mark}: {meaning}." for mark, meaning in MARKS.items() if mark in marks),
        tuple(columns),
        tuple(lines),
    )
    return headline, commands
