"""The page of a report: all its tables, figures, images and values in one file without a server."""

import base64
import hashlib
import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from irsde.experiment.cards import RunCard
from irsde.experiment.provenance import read_run_card
from irsde.experiment.summary import StatedPerceptual, Summary
from irsde.files import InputError, json_number, read_json, write_text
from irsde.methods import METHODS
from irsde.report import lineage
from irsde.report.captions import counted, joined
from irsde.report.judging import Metric, headline
from irsde.report.lineage import MARKS
from irsde.report.page_images import Album, ImageSet, image_sets, image_size
from irsde.report.render import html
from irsde.report.results import Row, evaluation_command, run_command
from irsde.report.table import Cell, Column, Figure, Line, Table
from irsde.scoring.perceptual import PAPERS_NETWORK, network_label

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


MOST_PLACES = 6

FIRST_VERSIONS = ("irsde", "python", "torch", "numpy")

READING = (
    '<h4>How to read the tables</h4><ul class="plain">'
    "<li>± is half of the 95 % interval of the mean: Student's over scenes, since images of one "
    "scene are not independent, and over training seeds, where a method has several.</li>"
    '<li><span class="best">Bold</span> is the best of its column, '
    '<span class="second">underlined</span> the second. ≈ marks a number whose difference from '
    "the best, paired by image, is not resolved; the caption of a table has the rule.</li>"
    + "".join(f"<li>{mark}: {escaped(meaning)}.</li>" for mark, meaning in MARKS.items())
    + '<li><span class="doubtful">Grey</span> is a number that nobody could confirm. n/a is no '
    "number; its cell has the reason.</li>"
    "<li>Headings sort. Every cell opens with a click, or with the arrow keys and Enter: its value "
    "and interval, the evaluations and runs it comes from, and the commands that rebuild it.</li>"
    "</ul>"
)


def facts(rows: Sequence[Row], cards: Mapping[str, RunCard]) -> str:
    """HTML list of what was run: counts, data, protocols, commits, versions, devices.

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
    lists = {
        "profile": sorted({summary.profile for summary in summaries}),
        "tasks": [", ".join(dict.fromkeys(summary.task_label for summary in summaries))],
        "methods": [", ".join(dict.fromkeys(row.label for row in rows))],
        "runs": [
            f"{len(cards)}, of which {len(trained)} trained networks; seeds {seeds or 'none'}"
        ],
        "evaluations": [f"{len(rows)}, of {scored:,} restored images"],
        "test sets": list(dict.fromkeys(_test_set(row) for row in sets.values())),
        "protocols": sorted({_protocol(summary) for summary in summaries}),
        "LPIPS": sorted({_lpips(summary.lpips) for summary in summaries}),
        "commits": _commits(origins),
        "versions": [_versions(origins)],
        "devices": sorted({card.device for card in cards.values() if card.device}),
    }
    items = "".join(
        f"<dt>{name}</dt><dd>{'<br>'.join(map(escaped, values)) or 'not recorded'}</dd>"
        for name, values in lists.items()
    )
    return f'<dl class="facts">{items}</dl>'


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


def _lpips(used: StatedPerceptual) -> str:
    if used.unavailable:
        return f"n/a: {used.unavailable}"
    network = used.network
    papers = network_label(PAPERS_NETWORK)
    other = "" if network == PAPERS_NETWORK else f", not the paper's {papers}"
    return network_label(network) + other


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
    found: dict[str, set[str]] = {}
    for origin in origins:
        for name, version in (origin.versions or {}).items():
            found.setdefault(name, set()).add(str(version))
    order = [*(name for name in FIRST_VERSIONS if name in found)]
    order += sorted(set(found) - set(FIRST_VERSIONS))
    return ", ".join(f"{name} {' and '.join(sorted(found[name]))}" for name in order)


def missing(tables: Sequence[Table]) -> str:
    """HTML list of the cells without a number, by reason."""
    places: dict[str, list[str]] = {}
    for table in tables:
        for line in table.lines:
            for column, cell in zip(table.columns, line.cells, strict=True):
                if cell.text == "n/a" and cell.reason:
                    place = f"{table.title}: {line.cells[0].text}, {column.label}"
                    places.setdefault(cell.reason, []).append(place)
    if not places:
        return "<h4>What is missing</h4><p>Nothing: every cell has a number.</p>"
    items = []
    for reason, found in places.items():
        more = f"; and {len(found) - MOST_PLACES} more" if len(found) > MOST_PLACES else ""
        where = "; ".join(found[:MOST_PLACES]) + more
        items.append(
            f"<details><summary>{escaped(reason)} <span>({counted(len(found), 'cell')})</span>"
            f'</summary><p class="caption">{escaped(where)}</p></details>'
        )
    return f'<h4>What is missing, and why</h4><div class="missing">{"".join(items)}</div>'


IMAGE_BUDGET = 40_000_000

COST_CHAPTER = "Cost"

SCRIPTS = ("common.js", "tables.js", "values.js", "viewer.js", "page.js")

FIGURE_SCALE = 0.6  # CSS pixels for a pixel of a figure at 200 dots per inch

MARKS = {
    "≈": "the difference from the best is not resolved; the caption has the rule",
    **lineage.MARKS,
}

HINT = (
    "Drag to move, + and − to zoom, 0 to fit, arrow keys on the image to move, [ and ] for the "
    "previous and the next image; on the divider the arrow keys move it. The wheel zooms once the "
    "image was chosen, or with Ctrl. Above 100 % pixels are shown as squares."
)


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
        All tables. Those whose section is a task's label stand with the task, the others in a
        chapter for each section. The quality table of a task on a test set has the key
        ``<task>-<dataset>``; the overview is made of the columns of headline metrics.
    cost : Table, optional
        Seconds and memory. Its lines are set beside those of the quality tables with which they
        share sources.
    figures : sequence of Figure
        As the tables; those that a table names stand below it.
    figure_folder : Path
        Where their files lie.
    rows : sequence of Row
        Evaluations whose images and single values are shown.
    path : Path
        File to write. The same files give the same bytes.
    image_budget : int
        Characters of embedded images, all together; what does not fit is linked from where it
        lies, and the page says so.

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
    policy, style, script = _assets()
    text = Template(_asset("template.html")).substitute(
        policy=policy,
        title=escaped(f"irsde: results of the profile {profile}"),
        contents="\n".join(_links(sections)),
        body="\n".join(map(_section, sections)),
        data="\n".join(_data(rows, album, contents)),
        style=style,
        script=script,
    )
    write_text(path, text.encode("utf-8", "replace").decode("utf-8"))


@dataclass
class Contents:
    """What the page shows, and what of it stands there already.

    Parameters
    ----------
    tables, cost, figures
        As given to `write_page`.
    drawn : dict
        Key of a figure → its HTML; a figure leaves it when it is placed.
    cards : dict
        Folder of a run → its card.
    sets : list of ImageSet
    shown : ShownTables
        Tables placed so far.
    """

    tables: list[Table]
    cost: Table | None
    figures: list[Figure]
    drawn: dict[str, str]
    cards: dict[str, RunCard]
    sets: list[ImageSet]
    shown: ShownTables = field(default_factory=ShownTables)

    def table(self, table: Table) -> str:
        """HTML of a table and of the figure that belongs below it."""
        commands = explain_commands(table)
        return self.shown.html(table, commands) + self.drawn.pop(table.figure, "")

    def quality(self, table: Table) -> str:
        """The same of a quality table, which stands below its own heading and beside its cost."""
        beside = with_cost(table, self.cost)
        of_cost = len(beside.columns) - len(table.columns)
        commands = explain_commands(table)
        shown = self.shown.html(beside, commands, of_cost, headed=False)
        return shown + self.drawn.pop(table.figure, "")

    def place(self, figures: Iterable[Figure]) -> list[str]:
        """HTML of those figures that are not yet placed."""
        return [self.drawn.pop(figure.key) for figure in figures if figure.key in self.drawn]


@dataclass(frozen=True)
class Part:
    """A section of the page: a heading with an address, and parts below it."""

    anchor: str
    title: str
    body: list[str]
    parts: tuple["Part", ...] = ()


def _figure(figure: Figure, folder: Path, album: Album) -> str:
    """HTML of a figure; as a drawing where there is one that is no larger than its picture."""
    picture, drawing = folder / f"{figure.key}.png", folder / f"{figure.key}.svg"
    if not picture.is_file():
        raise InputError(f"{picture}: no such file; run irsde report again")
    is_drawn = drawing.is_file() and drawing.stat().st_size <= picture.stat().st_size
    address = album.figure(drawing if is_drawn else picture).address
    width, height = (round(FIGURE_SCALE * side) for side in image_size(picture))
    return (
        f'<figure id="{anchor("figure", figure.key)}"><a href="{escaped(album.link(picture))}">'
        f'<img loading="lazy" decoding="async" src="{escaped(address)}" '
        f'width="{width}" height="{height}" alt="{escaped(figure.alternative)}"></a>'
        f"<figcaption><b>{escaped(figure.title)}.</b> {escaped(figure.caption)}</figcaption>"
        "</figure>"
    )


def _section(part: Part) -> str:
    inner = "".join(
        f'<section id="{below.anchor}"><h3>{escaped(below.title)}</h3>{"".join(below.body)}'
        "</section>"
        for below in part.parts
    )
    heading = "h1" if part.anchor == "overview" else "h2"
    return (
        f'<section id="{part.anchor}"><{heading}>{escaped(part.title)}</{heading}>'
        f"{''.join(part.body)}{inner}</section>"
    )


def _links(sections: Iterable[Part]) -> Iterator[str]:
    """Table of contents."""
    for part in sections:
        title = "Overview" if part.anchor == "overview" else part.title
        below = "".join(
            f'<li><a href="#{inner.anchor}">{escaped(inner.title)}</a></li>' for inner in part.parts
        )
        nested = f"<ul>{below}</ul>" if below else ""
        yield f'<li><a href="#{part.anchor}">{escaped(title)}</a>{nested}</li>'


def _overview(
    profile: str, budget: str, rows: Sequence[Row], album: Album, contents: Contents
) -> Part:
    body = [f'<p class="lead">{escaped(budget.strip())}</p>']
    if album.is_full:
        body.append(
            f'<p class="note">The first {album.used / 1e6:.0f} MB of images are inside this file. '
            "The others are read from the project&#x27;s folder: leave the page where it was "
            "written to see them.</p>"
        )
    of_key = {table.key: table for table in contents.tables}
    several = len({image_set.task for image_set in contents.sets}) < len(contents.sets)
    quality = [
        OfTask(
            image_set.summary.task_label + (f", {image_set.dataset}" if several else ""),
            of_key[image_set.key],
            headline(image_set.entries[0].first)[0],
        )
        for image_set in contents.sets
        if image_set.key in of_key
    ]
    if shown := headline_table(quality):
        body.append(contents.shown.html(*shown))
    body += [facts(rows, contents.cards), missing(contents.tables), READING]
    return Part("overview", f"Results of the profile {profile}", body)


def _tasks(contents: Contents) -> Iterator[Part]:
    """A section for each task, with a part for each test set where there are several."""
    for label in dict.fromkeys(str(found.summary.task_label) for found in contents.sets):
        sets = [found for found in contents.sets if found.summary.task_label == label]
        tables = [table for table in contents.tables if table.section == label]
        figures = [figure for figure in contents.figures if figure.section == label]
        bodies = []
        for image_set in sets:
            body = []
            for table in [table for table in tables if _belongs(table.key, image_set, sets)]:
                tables.remove(table)
                is_quality = table.key == image_set.key
                body.append(contents.quality(table) if is_quality else contents.table(table))
            own = [f for f in figures if len(sets) == 1 or _belongs(f.key, image_set, sets)]
            body += contents.place(own)
            bodies.append([*body, *_images(image_set, contents)])
        rest = [contents.table(table) for table in tables] + contents.place(figures)
        address = anchor("task", sets[0].task)
        if len(sets) == 1:
            yield Part(address, label, [*bodies[0], *rest])
        else:
            parts = tuple(
                Part(anchor("task", found.key), str(found.summary.dataset.label), body)
                for found, body in zip(sets, bodies, strict=True)
            )
            yield Part(address, label, rest, parts)


def _belongs(key: str, image_set: ImageSet, sets: Sequence[ImageSet]) -> bool:
    """True if a key begins with that of the set and with no longer one of another set."""
    fitting = [found.key for found in sets if f"{key}-".startswith(f"{found.key}-")]
    return bool(fitting) and max(fitting, key=len) == image_set.key


def _images(image_set: ImageSet, contents: Contents) -> list[str]:
    """Comparison of images, values of every image and run cards of a set."""
    label = escaped(f"{image_set.summary.task_label}, {image_set.dataset}")
    cards = "".join(
        f'<details class="card" data-run="{escaped(run)}"><summary>'
        f"{escaped(contents.cards[run].label)} "
        f"<span>{escaped(_described(contents.cards[run]))}</span></summary></details>"
        for run in image_set.runs
    )
    kept, count = len(image_set.data["viewer"]["images"]), len(image_set.data["images"])
    return [
        f'<div data-set="set-{contents.sets.index(image_set)}">'
        f'<section class="viewer" aria-label="Images: {label}"><h4>Images</h4>'
        f'<p class="caption">{kept} of {count} test images were kept. {escaped(image_set.note)}</p>'
        f'<div class="tools"></div><div class="place"></div><p class="hint">{HINT}</p></section>'
        f'<section class="values" aria-label="Values of every image: {label}">'
        "<h4>Values of every image</h4>"
        '<p class="caption">The best method of each image is bold. An image that was kept opens '
        'above.</p><p class="caption print">Of more than 200 images the first are printed; all are '
        'in the evaluations&#x27; per_image.csv.</p><div class="tools"></div>'
        '<div class="region" role="region" tabindex="0" '
        f'aria-label="Values of every image: {label}"></div></section></div>'
        f'<section class="cards" aria-label="Run cards: {label}"><h4>Run cards</h4>'
        f"{cards}</section>",
    ]


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
        body = [contents.table(table) for table in contents.tables if table.section == name]
        if name == COST_CHAPTER and contents.cost:
            body.append(contents.shown.html(contents.cost, {}))
        body += contents.place(figure for figure in contents.figures if figure.section == name)
        if body:
            yield Part(anchor("chapter", name), name, body)


def _data(rows: Sequence[Row], album: Album, contents: Contents) -> Iterator[str]:
    """Elements that hold what the script reads, and the embedded pictures."""
    evaluations: dict[str, list[str]] = {run: [] for run in contents.cards}
    commands = {run: list(filter(None, [run_command(c)])) for run, c in contents.cards.items()}
    links = {run: album.link(Path(run) / "run.json") for run in contents.cards}
    for row in rows:
        run, folder = str(row.summary.run), row.folder.as_posix()
        evaluations[run].append(folder)
        commands[folder] = [*commands[run], evaluation_command(row.summary, row.folder)]
        links[folder] = album.link(row.folder / "summary.json")
    yield _json(
        "page-data",
        {
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
        },
    )
    for index, image_set in enumerate(contents.sets):
        yield _json(f"set-{index}", image_set.data)
    for index, picture in enumerate(album.pictures):
        if picture.content:
            yield f'<script type="text/plain" id="picture-{index}">{picture.content}</script>'


def _json(name: str, content: object) -> str:
    """A data block; nothing in it can end the element or begin another."""
    text = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f'<script type="application/json" id="{name}">{text}</script>'


def _asset(name: str) -> str:
    folder = resources.files("irsde.report") / "page_assets"
    return (folder / name).read_text(encoding="utf-8")


def _assets() -> tuple[str, str, str]:
    """Content-Security-Policy, style and script; the policy admits these two and no others."""
    style = _asset("style.css")
    script = "\n".join(_asset(name) for name in SCRIPTS)
    rules = {
        "default-src": "'none'",
        "script-src": _hash(script),
        "style-src": _hash(style),
        "img-src": "'self' file: data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "require-trusted-types-for": "'script'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items()), style, script


def _hash(text: str) -> str:
    value = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
    return f"'sha256-{value}'"
