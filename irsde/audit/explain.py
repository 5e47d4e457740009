"""The chain behind one number of the tables, as a tree for a terminal."""

import shutil
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from irsde.audit.commands import commands
from irsde.data.catalogue import find_split, read_own
from irsde.data.sets import CARD, dataset_folder, prepared_card
from irsde.experiment.cards import RecordedData, RunCard
from irsde.experiment.grid import pairs_folder
from irsde.experiment.options import alike, unusual
from irsde.experiment.profile import TestSet
from irsde.experiment.provenance import read_run_card
from irsde.experiment.recorded import (
    Lineage,
    RecordedCell,
    RecordedEvaluation,
    RecordedSet,
    RecordedSource,
    RecordedTable,
    read_lineage,
)
from irsde.experiment.summary import Summary, read_summary
from irsde.files import REPORTS, InputError, digest_file, is_present
from irsde.report.render import shown
from irsde.report.results import read_evaluation

SHORT = 12
EXAMPLES = 4
ENDINGS = (".md", ".csv", ".tex", ".html")


@dataclass(frozen=True)
class Address:
    """Keys of a table, a row and a column; None for what an address omits."""

    table: str | None = None
    row: str | None = None
    column: str | None = None


@dataclass(frozen=True)
class Branch:
    """A line of the tree, and the lines below it."""

    text: str
    below: list["Branch"] = field(default_factory=list)

    def add(self, text: str) -> "Branch":
        """Append a line below this one."""
        self.below.append(Branch(text))
        return self.below[-1]


def explain(address: str) -> str:
    """How a number came about: cell, evaluations, runs, data, code, commands that rebuild it.

    Parameters
    ----------
    address : str
        ``reports/tables.md:<table>/<row>/<column>``. The file may be another of the report or be
        omitted; with the table or the row only, what they hold is listed.

    Returns
    -------
    str
        Text of several lines, no wider than the terminal save for paths and commands.

    Raises
    ------
    InputError
        If there is no report, or the address names nothing in it; the message says what there is.
    """
    content = read_lineage()
    place = find(content, address)
    if place.column is None:
        return _listing(content, place)
    return _chain(content, place)


def find(content: Lineage, address: str) -> Address:
    """What an address names in the lineage of a report.

    Raises
    ------
    InputError
        If it names nothing there.
    """
    file, colon, rest = address.strip().rpartition(":")
    if not colon and rest.endswith(ENDINGS):
        rest = ""
    table, _, rest = rest.strip("/").partition("/")
    if not table:
        return Address()
    tables = content.by_key
    if table not in tables:
        raise InputError(f"{file or REPORTS}: no table {table!r}; choose from {_names(tables)}")
    if not rest:
        return Address(table)
    rows = tables[table].by_key
    if rest in rows:
        return Address(table, rest)
    row, slash, column = rest.rpartition("/")
    if not slash or row not in rows:
        raise InputError(f"{table}: no row {row or rest!r}; choose from {_names(rows)}")
    if column not in rows[row].cells:
        known = _names(tables[table].headings)
        raise InputError(f"{table}: no column {column!r}; choose from {known}")
    return Address(table, row, column)


def _names(known: Iterable[str]) -> str:
    return ", ".join(known)


def _listing(content: Lineage, address: Address) -> str:
    """What can be named next."""
    tables = content.by_key
    if address.table is None:
        tree = Branch(f"tables of the profile {content.profile}")
        for key, table in tables.items():
            tree.add(f"{key}: {_heading(table)}")
        return _printed(tree)
    table = tables[address.table]
    rows, columns = table.by_key, table.headings
    if address.row is None:
        tree = Branch(f"{address.table}: {_heading(table)}")
        first = next(iter(columns))
        part = tree.add("rows")
        for key, row in rows.items():
            part.add(f"{key}: {row.cells[first].text}")
        part = tree.add("columns")
        for key, heading in columns.items():
            part.add(f"{key}: {heading}")
        return _printed(tree)
    tree = Branch(f"{address.table}/{address.row}")
    for key in columns:
        tree.add(f"{key}: {_shown(rows[address.row].cells[key])}")
    return _printed(tree)


def _chain(content: Lineage, address: Address) -> str:
    """The tree of one cell, and the commands below it."""
    table, column = content.by_key[str(address.table)], str(address.column)
    cells = table.by_key[str(address.row)].cells
    cell, heading = cells[column], table.headings[column]
    tree = Branch(f"{address.table}/{address.row}/{address.column}")
    part = tree.add("cell")
    part.add(f"{_heading(table)}: {heading}")
    part.add(f"shows {_shown(cell)}")
    if cell.value is not None:
        interval = (
            f", 95 % interval {cell.low:.6g} to {cell.high:.6g}"
            if cell.low is not None and cell.high is not None
            else ""
        )
        part.add(f"is {cell.value:.6g}{interval}")
    sources = cell.sources
    if not sources:
        published = cells["source"].text if "source" in cells else ""
        part.add(f"published: {published}" if published else "comes from no evaluation or run")
        return _printed(tree)
    evaluations = [source for source in sources if source in content.evaluations]
    runs = _runs_of(content, sources)
    if rule := cell.rule:
        counted = f"{len(evaluations)} evaluations" if len(evaluations) > 1 else "the evaluation"
        part.add(f"{rule} of {counted} below")
    for group in _alike(evaluations, lambda folder: _kind_of_evaluation(read_summary(folder))):
        of_group = tree.add("evaluation")
        _add_evaluations(of_group, group, content.evaluations, cell.metric or column)
    for group in _alike(runs, lambda folder: _kind_of_run(read_run_card(folder))):
        _add_runs(tree.add("run"), group, content.runs)
    _add_data(tree.add("data"), content, evaluations, runs)
    _add_code(tree.add("code"), content, evaluations, runs)
    recipe = commands(content, evaluations, runs)
    return f"{_printed(tree)}\n\nto rebuild it\n{recipe}"


def _runs_of(content: Lineage, sources: Sequence[str]) -> list[str]:
    """Runs behind the sources of a cell, those that others were derived from first."""
    runs: list[str] = []
    for source in sources:
        run = content.evaluations[source].run if source in content.evaluations else source
        origin = read_run_card(Path(run)).derived_from
        runs += [origin, run] if origin else [run]
    return list(dict.fromkeys(runs))


def _alike(folders: Sequence[str], kind: Callable[[Path], tuple[object, ...]]) -> list[list[str]]:
    """Folders that differ in nothing but their seeds put together."""
    groups: dict[tuple[object, ...], list[str]] = {}
    for folder in folders:
        groups.setdefault(kind(Path(folder)), []).append(folder)
    return list(groups.values())


def _kind_of_evaluation(summary: Summary) -> tuple[object, ...]:
    of = summary
    return (of.task, of.method, *alike(of), of.dataset.dataset)


def _kind_of_run(card: RunCard) -> tuple[object, ...]:
    return (card.task, card.method, card.conversion)


def _add_evaluations(
    part: Branch, folders: Sequence[str], entries: Mapping[str, RecordedEvaluation], column: str
) -> None:
    """The first evaluation of a group in full, of the others what differs."""
    folder = folders[0]
    summary, values = read_evaluation(Path(folder))
    part.add(folder)
    sampler = "no sampler" if summary.sampler == "direct" else f"sampler {summary.sampler}"
    nfe = "not stated" if summary.nfe is None else summary.nfe
    part.add(", ".join([sampler, f"NFE {nfe}", *unusual(summary)]))
    part.add(f"training seed {summary.seed}, sampling seed {summary.sampling_seed}")
    protocol = summary.protocol
    part.add(f"protocol {protocol.name} v{protocol.version}: {protocol.label}")
    scenes = values["scene"].nunique()
    table = part.add(
        _file(folder, "per_image.csv", entries, f"{len(values)} images of {scenes} scenes")
    )
    if column in values:
        shown = values[["image", column]].head(EXAMPLES).itertuples(index=False)
        few = ", ".join(f"{image} {value:.6g}" for image, value in shown)
        rest = len(values) - EXAMPLES
        table.add(f"{column}: {few}" + (f", and {rest} more" if rest > 0 else ""))
    part.add(_file(folder, "summary.json", entries))
    _add_others(part, folders[1:], entries, "per_image.csv")


def _add_runs(part: Branch, folders: Sequence[str], entries: Mapping[str, RecordedSource]) -> None:
    """The first run of a group in full, of the others what differs."""
    folder = folders[0]
    card = read_run_card(Path(folder))
    part.add(folder)
    source = f" ({card.source})" if card.source else ""
    part.add(f"{card.label}{source}, training seed {card.seed}")
    for text in _recipe(card):
        part.add(text)
    identity = part.add("identity")
    for key, value in sorted(card.identity.items()):
        identity.add(f"{key} {str(value)[:SHORT]}")
    for name in ("run.json", "weights.safetensors", "training.csv"):
        if name in entries[folder].files:
            part.add(_file(folder, name, entries))
    _add_others(part, folders[1:], entries, "run.json")


def _recipe(card: RunCard) -> list[str]:
    """Network, budget and settings of a run, one line each."""
    settings, lines = card.settings, []
    if card.outside:
        lines.append("restored elsewhere, it is not known how")
    if network := settings.network:
        sizes = [f"{key} {value}" for key, value in sorted(network.items()) if key != "name"]
        parameters = f"{card.parameters or 0:,} parameters"
        lines.append(f"{network.get('name')}, {parameters}: {', '.join(sizes)}")
    if training := settings.training:
        patch, late = training.patch, training.late_patch
        lines += [
            f"{training.iterations:,} iterations of {training.batch} patches of "
            f"{patch}x{patch}" + (f", at last {late}x{late}" if late else ""),
            f"objective {card.objective}, norm {training.norm}, learning rate "
            f"{_shown_number(training.learning_rate)}, EMA {_shown_number(training.ema_decay)}",
            f"{training.precision}, {card.device}",
        ]
    if settings.stationary_std:
        lines.append(f"stationary standard deviation {255 * settings.stationary_std:g}/255")
    lines += [f"tuned {key}: {value}" for key, value in (card.tuned or {}).items()]
    if card.skipped_updates or card.rollbacks:
        lines.append(f"{card.skipped_updates} updates skipped, {card.rollbacks} rollbacks")
    if card.continued_at is not None:
        lines.append(f"continued from iteration {card.continued_at:,} of {card.derived_from}")
    elif source := card.started_from:
        lines.append(f"started from {source.file}, SHA-256 {source.sha256[:SHORT]}")
    elif origin := card.derived_from:
        lines.append(f"averaged from the snapshots of {origin}")
    if imported := card.imported_from:
        lines.append(f"imported from {imported.file}, SHA-256 {imported.sha256[:SHORT]}")
    return lines


def _add_others(
    part: Branch, folders: Sequence[str], entries: Mapping[str, RecordedSource], name: str
) -> None:
    """Folders of other seeds, each with the hash of its file."""
    if folders:
        others = part.add(f"and {len(folders)} more with other seeds")
        for folder in folders:
            others.add(folder).add(_file(folder, name, entries))


def _add_data(
    part: Branch, content: Lineage, evaluations: Sequence[str], runs: Sequence[str]
) -> None:
    """Test, training and validation sets, each once."""
    seen = set()
    for folder in evaluations:
        entry = content.evaluations[folder].data
        if entry.folder not in seen:
            seen.add(entry.folder)
            card = read_run_card(Path(content.evaluations[folder].run))
            _add_test_set(part, read_summary(Path(folder)), entry, card)
    for run in runs:
        card = read_run_card(Path(run))
        of_run = RecordedData() if card.imported_from else card.settings.data
        for label, names in (("training", of_run.train), ("validation", of_run.validation)):
            for name in names:
                prepared = pairs_folder(card.home, card.task, name)
                if prepared.as_posix() not in seen:
                    seen.add(prepared.as_posix())
                    _add_set(part.add(f"{label} set {name}"), name, prepared, None)


def _add_test_set(part: Branch, summary: Summary, entry: RecordedSet, card: RunCard) -> None:
    data = summary.dataset
    test = part.add(f"test set {data.dataset}")
    window = f", windows of {data.window} pixels" if data.window else ""
    test.add(f"{data.pairs} images of {data.scenes} scenes{window}")
    test.add(f"degradation: {data.degradation}")
    _add_set(test, data.dataset, Path(entry.folder), entry.fingerprint)
    leaked = summary.leaked
    shown = f"{len(leaked)} images, such as {leaked[0]}," if leaked else "no image"
    if leaked or not (card.imported_from or card.outside):
        test.add(f"leakage: {shown} found in the training data")
    else:
        test.add("leakage: not compared with the training images, which are not of this profile")


def _add_set(part: Branch, prepared: str, folder: Path, recorded: str | None) -> None:
    """Where a set is, prepared and as it came, with fingerprints, source and licence."""
    name = TestSet.parse(prepared).dataset
    card = prepared_card(folder) if is_present(folder / CARD) else None
    fingerprint = recorded or (card.fingerprint if card else None)
    state = "" if card else "; ABSENT NOW"
    if card and card.fingerprint != fingerprint:
        state = f"; NOW {card.fingerprint[:SHORT]}: run irsde verify"
    part.add(f"{folder.as_posix()}{state}")
    if fingerprint:
        part.add(f"fingerprint {fingerprint[:SHORT]}")
    if card and (origin := card.source.fingerprint):
        here = "" if (dataset_folder(name) / CARD).is_file() else ", absent now"
        part.add(f"made from {dataset_folder(name)}, fingerprint {origin[:SHORT]}{here}")
    try:
        own = read_own(name)
        family, split = (None, None) if own else find_split(name)
    except InputError:
        return
    if own:
        part.add(f"{own.label}; licence: {own.licence}")
    elif family and split:
        licence = f"see irsde data list {name}" if split.photographs else family.licence
        part.add(f"{split.label}; licence: {licence}")
        if family.page:
            part.add(family.page)


def _add_code(
    part: Branch, content: Lineage, evaluations: Sequence[str], runs: Sequence[str]
) -> None:
    stages: list[tuple[str, RecordedSource, dict[str, str] | None]] = []
    for run in runs:
        card = read_run_card(Path(run))
        made = "imported" if card.imported_from else "trained"
        stages.append((made, content.runs[run], card.versions))
    stages += [
        ("evaluated", content.evaluations[folder], read_summary(Path(folder)).versions)
        for folder in evaluations
    ]
    lines: dict[str, None] = {}
    for verb, entry, _ in stages:
        state = f"at commit {entry.commit[:SHORT]}" if entry.commit else "outside git"
        lines[f"{verb} {state}{' with uncommitted changes' if entry.dirty else ''}"] = None
    for _, _, versions in stages:
        used = (versions or {}).items()
        lines[", ".join(f"{name} {version}" for name, version in used)] = None
    for line in filter(None, lines):
        part.add(line)


def _heading(table: RecordedTable) -> str:
    return ": ".join(dict.fromkeys(filter(None, (table.section, table.title))))


def _shown(cell: RecordedCell) -> str:
    return f"{shown(cell)} ({cell.reason})" if cell.reason else shown(cell)


def _shown_number(value: float | None) -> str:
    return "not stated" if value is None else f"{value:g}"


def _file(folder: str, name: str, entries: Mapping[str, RecordedSource], what: str = "") -> str:
    """A file with the recorded hash, and a warning where it is another one now."""
    path, recorded = Path(folder) / name, entries[folder].files.get(name)
    text = f"{name}: " + (f"{what}, " if what else "")
    if not path.is_file():
        return f"{text}ABSENT NOW: run irsde verify"
    now = digest_file(path)
    if recorded not in (None, now):
        return f"{text}SHA-256 {recorded[:SHORT]}, NOW {now[:SHORT]}: run irsde verify"
    return f"{text}SHA-256 {now[:SHORT]}"


def _printed(tree: Branch) -> str:
    width = max(60, min(shutil.get_terminal_size((80, 24)).columns, 100))
    return "\n".join(_lines(tree, width))


def _lines(branch: Branch, width: int) -> Iterator[str]:
    """Lines of a tree; what cannot be broken, such as a path, may be longer than the width."""
    yield from _wrapped(branch.text, width)
    for index, part in enumerate(branch.below):
        is_last = index == len(branch.below) - 1
        first, others = ("└── ", "    ") if is_last else ("├── ", "│   ")
        for number, line in enumerate(_lines(part, width - 4)):
            yield (others if number else first) + line


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
