"""The page of a report: all its tables, figures, images and values in one file without a server."""

import base64
import hashlib
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NotRequired, TypedDict

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from irsde.experiment.cards import RunCard
from irsde.experiment.provenance import read_run_card
from irsde.experiment.summary import Summary
from irsde.files import InputError, json_number, read_json, write_text
from irsde.methods import METHODS
from irsde.report import lineage
from irsde.report.captions import counted, joined
from irsde.report.judging import Metric, headline, rows_of
from irsde.report.page_images import Album, ImageSet, image_sets, image_size
from irsde.report.results import Row, evaluation_command, run_command
from irsde.report.table import Cell, Column, Figure, Line, Table
from irsde.scoring.metrics import METRICS
from irsde.scoring.perceptual import network_label

TABLES_FILE = "reports/tables.md"

Commands = Mapping[tuple[str, str], str]

Block = tuple[str, Mapping[str, object]]  # a template's name in page_assets/, and what it shows


CellData = list[float | str | list[int] | None]
"""Value, lower and upper end, mark, reason, command, and the numbers of its sources."""


class TableData(TypedDict):
    """What the page's script reads of a table."""

    title: str
    cost: int
    columns: list[str]
    numeric: list[bool]
    better: list[bool | None]
    lines: list[str]
    cells: list[list[CellData]]


class PictureData(TypedDict):
    """What the page's script reads of an image: its address, or its type where it is embedded."""

    link: NotRequired[str]
    type: NotRequired[str]


class PageData(TypedDict):
    """What the page's script reads besides the values of images."""

    tables: dict[str, TableData]
    sources: list[str]
    commands: dict[str, list[str]]
    links: dict[str, str]
    marks: dict[str, str]
    runs: dict[str, object]
    evaluations: dict[str, list[str]]
    pictures: list[PictureData]


@dataclass
class ShownTables:
    """Tables put on the page so far, for its script."""

    tables: dict[str, TableData] = field(default_factory=dict)
    sources: dict[str, int] = field(default_factory=dict)

    def add(
        self, table: Table, commands: Commands, of_cost: int = 0, *, headed: bool = True
    ) -> Block:
        """A table with its heading, caption and place for tools.

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
        return "table", {"table": table, "place": place, "headed": headed}

    def _cell(self, cell: Cell, command: str) -> CellData:
        indices = [self.sources.setdefault(s, len(self.sources)) for s in cell.sources]
        known = (cell.value, cell.low, cell.high)
        numbers = [None if v is None else json_number(float(f"{v:.10g}")) for v in known]
        return [*numbers, cell.mark.strip(), cell.reason, command, indices]


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

    A row of the cost table is put beside the row with which it shares most sources. Columns
    without any number are dropped.
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


def with_numbers(table: Table) -> Table:
    """The table without the columns of numbers that have none, such as joules without a counter."""
    kept = [
        place
        for place, column in enumerate(table.columns)
        if not column.numeric or any(line.cells[place].value is not None for line in table.lines)
    ]
    lines = [replace(line, cells=tuple(line.cells[k] for k in kept)) for line in table.lines]
    return replace(table, columns=tuple(table.columns[k] for k in kept), lines=tuple(lines))


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
    A method with another name in each task, as a classical filter has, is listed under the name
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


FIRST_VERSIONS = ("irsde", "python", "torch", "numpy")


def facts(rows: Sequence[Row], cards: Mapping[str, RunCard]) -> dict[str, list[str]]:
    """What was run: counts, data, protocols, commits, versions, devices.

    Parameters
    ----------
    rows : sequence of Row
        Evaluations.
    cards : mapping
        Folder of a run → its card.
    """
    summaries = [row.summary for row in rows]
    origins: list[Summary | RunCard] = [*summaries, *cards.values()]
    sets = {(row.task, row.dataset): row for row in rows}
    trained = [card for card in cards.values() if card.parameters]
    seeds = ", ".join(map(str, sorted({card.seed for card in trained})))
    scored = sum(len(row.per_image) for row in rows)
    return {
        "profile": sorted({summary.profile for summary in summaries}),
        "tasks": [", ".join(dict.fromkeys(summary.task_label for summary in summaries))],
        "methods": [", ".join(dict.fromkeys(row.label for row in rows))],
        "runs": [
            f"{len(cards)}, of which {len(trained)} trained networks; seeds {seeds or 'none'}"
        ],
        "evaluations": [f"{len(rows)}, of {scored:,} restored images"],
        "test sets": list(dict.fromkeys(_test_set(row) for row in sets.values())),
        "protocols": sorted({_protocol(summary) for summary in summaries}),
        **_networks(summaries),
        "commits": _commits(origins),
        "versions": [_versions(origins)],
        "devices": sorted({card.device for card in cards.values() if card.device}),
    }


def _test_set(row: Row) -> str:
    data = row.summary.dataset
    scenes = row.per_image["scene"].nunique()
    return (
        f"{data.label}: {counted(len(row.per_image), 'image')} of {counted(scenes, 'scene')}; "
        f"licence: {data.licence}"
    )


def _protocol(summary: Summary) -> str:
    protocol = summary.protocol
    return f"{protocol.name} v{protocol.version}: {protocol.label}"


def _networks(summaries: Sequence[Summary]) -> dict[str, list[str]]:
    """Networks of each metric that has one, or why there is none."""
    networks: dict[str, set[str]] = {}
    for metric in (metric for summary in summaries for metric in summary.metrics):
        needed = METRICS[metric.name].weights if metric.name in METRICS else None
        if needed and metric.unavailable:
            networks.setdefault(metric.label, set()).add(f"n/a: {metric.unavailable}")
        elif needed:
            papers = f", not the paper's {network_label(needed.papers)}"
            used = network_label(metric.network) + papers * (metric.network != needed.papers)
            networks.setdefault(metric.label, set()).add(used)
    return {label: sorted(used) for label, used in networks.items()}


def _commits(origins: Sequence[Summary | RunCard]) -> list[str]:
    """Commits that results were made at, and whether tracked files differed from them."""
    changed: dict[str, bool] = {}
    for origin in origins:
        name = origin.commit or "outside a git checkout"
        changed[name] = changed.get(name, False) or bool(origin.dirty)
    return [
        name + (" with uncommitted changes" if dirty else "")
        for name, dirty in sorted(changed.items())
    ]


def _versions(origins: Sequence[Summary | RunCard]) -> str:
    known: dict[str, set[str]] = {}
    for origin in origins:
        for name, version in (origin.versions or {}).items():
            known.setdefault(name, set()).add(str(version))
    order = [*(name for name in FIRST_VERSIONS if name in known)]
    order += sorted(set(known) - set(FIRST_VERSIONS))
    return ", ".join(f"{name} {' and '.join(sorted(known[name]))}" for name in order)


def missing(tables: Sequence[Table]) -> dict[str, list[str]]:
    """Cells without a number, by reason."""
    places: dict[str, list[str]] = {}
    for table in tables:
        for line in table.lines:
            for column, cell in zip(table.columns, line.cells, strict=True):
                if cell.text == "n/a" and cell.reason:
                    place = f"{table.title}: {line.cells[0].text}, {column.label}"
                    places.setdefault(cell.reason, []).append(place)
    return places


IMAGE_BUDGET = 5_000_000  # characters; with tables and values the page has 6 MB at most

COST_CHAPTER = "Cost"

SCRIPTS = ("common.js", "tables.js", "values.js", "viewer.js", "page.js")

FIGURE_SCALE = 0.6  # CSS pixels for a pixel of a figure at 200 dots per inch

MARKS = {
    "≈": "not significantly different from the best; the caption has the rule",
    **lineage.MARKS,
}


def write_page(
    profile: str,
    budget: str,
    tables: Sequence[Table],
    cost: Table | None,
    figures: Sequence[Figure],
    figure_folder: Path,
    rows: Sequence[Row],
    path: Path,
    image_budget: int = IMAGE_BUDGET,
) -> None:
    """Write one HTML file that shows a profile's results, from the file system and offline.

    Parameters
    ----------
    profile : str
        Name of the profile.
    budget : str
        Its caption.
    tables : sequence of Table
        All tables. Those whose section is a task's label are shown with the task, the others in a
        chapter for each section. The quality table of a task on a test set has the key
        ``<task>-<dataset>``; the overview is made of the columns of headline metrics.
    cost : Table, optional
        Seconds and memory. Its lines are set beside those of the quality tables with which they
        share sources.
    figures : sequence of Figure
        As the tables; those that a table names are shown below it.
    figure_folder : Path
        Folder of their files.
    rows : sequence of Row
        Evaluations whose images and single values are shown.
    path : Path
        File to write. The same files give the same bytes.
    image_budget : int
        Characters of embedded images, all together; what does not fit is linked, and the
        page says so.

    Raises
    ------
    InputError
        If a run card, an image, a figure or a data set's table is damaged or absent.
    """
    album = Album(path.parent, image_budget)
    drawn = {figure.key: _figure(figure, figure_folder, album) for figure in figures}
    contents = Contents(
        list(tables),
        cost,
        list(figures),
        drawn,
        {run: read_run_card(Path(run)) for run in sorted({row.summary.run for row in rows})},
        image_sets(rows, album),
    )
    sections = [
        _overview(profile, budget, rows, album, contents),
        *_tasks(contents),
        *_chapters(contents),
    ]
    text = _rendered(
        title=f"irsde: results of the profile {profile}",
        sections=sections,
        data=_data(rows, album, contents),
        sets=contents.sets,
        pictures=album.pictures,
    )
    write_text(path, text.encode("utf-8", "replace").decode("utf-8"))


def _rendered(**content: object) -> str:
    """The page from its templates; every text in them is escaped."""
    loader = PackageLoader("irsde.report", "page_assets")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    environment.filters |= {"anchor": anchor, "counted": counted, "digest": _digest}

    def asset(name: str) -> str:
        return loader.get_source(environment, name)[0]

    return environment.get_template("page.html").render(
        style=Markup(asset("style.css")),
        script=Markup("\n".join(map(asset, SCRIPTS))),
        **content,
    )


def _digest(text: str) -> str:
    """Hash of a style or a script, by which the page's policy admits it and no other."""
    value = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
    return f"'sha256-{value}'"


@dataclass
class Contents:
    """What the page shows, and what of it is placed already.

    Parameters
    ----------
    tables, cost, figures
        As given to `write_page`.
    drawn : dict
        Key of a figure → its block; a figure leaves it when it is placed.
    cards : dict
        Folder of a run → its card.
    sets : list of ImageSet
    shown : ShownTables
        Tables placed so far.
    """

    tables: list[Table]
    cost: Table | None
    figures: list[Figure]
    drawn: dict[str, Block]
    cards: dict[str, RunCard]
    sets: list[ImageSet]
    shown: ShownTables = field(default_factory=ShownTables)

    def table(self, table: Table) -> list[Block]:
        """A table and the figure that belongs below it."""
        return [self.shown.add(table, explain_commands(table)), *self._figure(table)]

    def quality(self, table: Table) -> list[Block]:
        """The same of a quality table, below its own heading and beside its cost."""
        beside = with_cost(table, self.cost)
        of_cost = len(beside.columns) - len(table.columns)
        shown = self.shown.add(beside, explain_commands(table), of_cost, headed=False)
        return [shown, *self._figure(table)]

    def _figure(self, table: Table) -> list[Block]:
        return [self.drawn.pop(table.figure)] if table.figure in self.drawn else []

    def place(self, figures: Iterable[Figure]) -> list[Block]:
        """Those figures that are not yet placed."""
        return [self.drawn.pop(figure.key) for figure in figures if figure.key in self.drawn]


@dataclass(frozen=True)
class Part:
    """A section of the page: a heading with an address, and parts below it."""

    anchor: str
    title: str
    blocks: list[Block]
    parts: tuple["Part", ...] = ()


def _figure(figure: Figure, folder: Path, album: Album) -> Block:
    """A figure, which links to its exact file."""
    picture, drawing = folder / f"{figure.key}.png", folder / f"{figure.key}.svg"
    if not picture.is_file():
        raise InputError(f"{picture}: no such file; run irsde report again")
    width, height = (round(FIGURE_SCALE * side) for side in image_size(picture))
    return "figure", {
        "figure": figure,
        "address": album.figure(picture, drawing).address,
        "link": album.link(picture),
        "width": width,
        "height": height,
    }


def _overview(
    profile: str, budget: str, rows: Sequence[Row], album: Album, contents: Contents
) -> Part:
    of_key = {table.key: table for table in contents.tables}
    several = len({image_set.task for image_set in contents.sets}) < len(contents.sets)
    quality = [
        OfTask(
            image_set.summary.task_label + (f", {image_set.dataset}" if several else ""),
            of_key[image_set.key],
            headline(rows_of(image_set.entries))[0],
        )
        for image_set in contents.sets
        if image_set.key in of_key
    ]
    shown = headline_table(quality)
    content = {
        "budget": budget.strip(),
        "embedded": f"{album.used / 1e6:.0f} MB" if album.is_full else "",
        "headline": contents.shown.add(*shown)[1] if shown else None,
        "facts": facts(rows, contents.cards),
        "missing": missing(contents.tables),
        "marks": lineage.MARKS,
    }
    return Part("overview", f"Results of the profile {profile}", [("overview", content)])


def _tasks(contents: Contents) -> Iterator[Part]:
    """A section for each task, with a part for each test set where there are several."""
    for label in dict.fromkeys(str(one.summary.task_label) for one in contents.sets):
        sets = [one for one in contents.sets if one.summary.task_label == label]
        tables = [table for table in contents.tables if table.section == label]
        figures = [figure for figure in contents.figures if figure.section == label]
        bodies = []
        for image_set in sets:
            body: list[Block] = []
            for table in [table for table in tables if _belongs(table.key, image_set, sets)]:
                tables.remove(table)
                is_quality = table.key == image_set.key
                body += contents.quality(table) if is_quality else contents.table(table)
            own = [f for f in figures if len(sets) == 1 or _belongs(f.key, image_set, sets)]
            body += contents.place(own)
            bodies.append([*body, _images(image_set, contents)])
        rest = [block for table in tables for block in contents.table(table)]
        rest += contents.place(figures)
        address = anchor("task", sets[0].task)
        if len(sets) == 1:
            yield Part(address, label, [*bodies[0], *rest])
        else:
            parts = tuple(
                Part(anchor("task", one.key), str(one.summary.dataset.label), body)
                for one, body in zip(sets, bodies, strict=True)
            )
            yield Part(address, label, rest, parts)


def _belongs(key: str, image_set: ImageSet, sets: Sequence[ImageSet]) -> bool:
    """True if a key begins with that of the set and with no longer one of another set."""
    fitting = [one.key for one in sets if f"{key}-".startswith(f"{one.key}-")]
    return bool(fitting) and max(fitting, key=len) == image_set.key


def _images(image_set: ImageSet, contents: Contents) -> Block:
    """Comparison of images, values of every image and run cards of a set."""
    cards = {run: contents.cards[run] for run in image_set.runs}
    return "images", {
        "label": f"{image_set.summary.task_label}, {image_set.dataset}",
        "number": contents.sets.index(image_set),
        "kept": len(image_set.data["viewer"]["images"]),
        "count": len(image_set.data["images"]),
        "note": image_set.note,
        "cards": [(run, card.label, _described(card)) for run, card in cards.items()],
    }


def _described(card: RunCard) -> str:
    """What a run card says in one line."""
    parts = [f"seed {card.seed}"]
    counts = {"iterations": card.iterations, "parameters": card.parameters}
    parts += [f"{count:,} {key}" for key, count in counts.items() if count]
    parts.append(f"commit {str(card.commit or 'unknown')[:12]}")
    parts += ["uncommitted changes"] if card.dirty else []
    parts += ["leakage"] if card.leakage else []
    return " · ".join(parts)


def _chapters(contents: Contents) -> Iterator[Part]:
    """A section for each chapter that is no task, and that of the cost."""
    of_tasks = {image_set.summary.task_label for image_set in contents.sets}
    names = [table.section for table in contents.tables]
    names += [figure.section for figure in contents.figures]
    names += [COST_CHAPTER] if contents.cost else []
    for name in dict.fromkeys(name for name in names if name not in of_tasks):
        tables = [table for table in contents.tables if table.section == name]
        body = [block for table in tables for block in contents.table(table)]
        if name == COST_CHAPTER and contents.cost:
            body.append(contents.shown.add(with_numbers(contents.cost), {}))
        body += contents.place(figure for figure in contents.figures if figure.section == name)
        if body:
            yield Part(anchor("chapter", name), name, body)


def _data(rows: Sequence[Row], album: Album, contents: Contents) -> PageData:
    """What the script reads besides the values of images."""
    evaluations: dict[str, list[str]] = {run: [] for run in contents.cards}
    commands = {run: list(filter(None, [run_command(c)])) for run, c in contents.cards.items()}
    links = {run: album.link(Path(run) / "run.json") for run in contents.cards}
    for row in rows:
        run, folder = str(row.summary.run), row.folder.as_posix()
        evaluations[run].append(folder)
        commands[folder] = [*commands[run], evaluation_command(row.summary, row.folder)]
        links[folder] = album.link(row.folder / "summary.json")
    return {
        "tables": contents.shown.tables,
        "sources": list(contents.shown.sources),
        "commands": commands,
        "links": links,
        "marks": MARKS,
        "runs": {run: read_json(Path(run) / "run.json") for run in contents.cards},
        "evaluations": evaluations,
        "pictures": [
            {"link": picture.link} if picture.link else {"type": picture.kind}
            for picture in album.pictures
        ],
    }
