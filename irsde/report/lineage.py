"""Where every number of the tables comes from, and which lines were trained otherwise."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from irsde.experiment.cards import RunCard
from irsde.experiment.code import is_same_code
from irsde.experiment.grid import pairs_folder
from irsde.experiment.profile import Profile, load_profile, run_settings
from irsde.experiment.provenance import read_run_card
from irsde.experiment.recorded import (
    Lineage,
    RecordedCell,
    RecordedColumn,
    RecordedEvaluation,
    RecordedRow,
    RecordedRun,
    RecordedSet,
    RecordedTable,
)
from irsde.experiment.result_tables import HISTORY, PER_IMAGE, PER_PROTOCOL
from irsde.experiment.summary import SUMMARY, read_summary
from irsde.files import InputError, digest_file, digest_json, is_present
from irsde.methods import METHODS, MethodName
from irsde.report.table import Cell, Figure, Line, Table

MARKS = {
    "†": "trained with other settings than the profile now has",
    "‡": "trained with an earlier version of the method's process",
}

FREE = {  # settings that leave the training of a network as it is
    "data": ("test", "validation", "window", "windows_per_image", "allow_leakage"),
    "training": (
        "accumulate", "channels_last", "checkpoint_every", "compile", "ema_snapshots",
        "keep_checkpoints", "processes", "threads", "validate_every", "validation_images",
        "validation_nfe", "validation_window",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Training:
    """How a network was trained, beside what the profile and its method say now.

    Parameters
    ----------
    label : str
        Method as tables show it.
    seed : int
    found : tuple of str or None
        For each of `MARKS` None where the training does not depart so, else what must be added.
    """

    label: str
    seed: int
    found: tuple[str | None, ...]


def changed_settings(then: Mapping[str, object], now: Mapping[str, object]) -> str:
    """Settings of a run card that differ from a profile's, where they change what is learned.

    Examples
    --------
    >>> changed_settings({"training": {"batch": 4, "threads": 1}}, {"training": {"batch": 8}})
    'batch 4 instead of 8'
    """
    return ", ".join(
        f"{name} {_text(before)} instead of {_text(after)}"
        for name, before, after in _differences(then, now)
    )


def _differences(
    then: Mapping[str, object], now: Mapping[str, object]
) -> Iterator[tuple[str, object, object]]:
    """Name, earlier and present value; of another kind of network its kind only."""
    if then.get("stationary_std") != now.get("stationary_std"):
        yield "lambda", then.get("stationary_std"), now.get("stationary_std")
    for group in ("data", "network", "training"):
        before, after = _group(then, group), _group(now, group)
        keys = [key for key in after if key in before and key not in FREE.get(group, ())]
        differing = [key for key in keys if before[key] != after[key]]
        if group == "network" and "name" in differing:
            differing = ["name"]
        for key in differing:
            yield "network" if key == "name" else key, before[key], after[key]


def _group(settings: Mapping[str, object], name: str) -> Mapping[str, object]:
    """Settings of one group; none where a run has no such group."""
    group = settings.get(name)
    return group if isinstance(group, Mapping) else {}


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value)


class Departures:
    """Finds the trainings behind tables and figures that depart, and says so there.

    Parameters
    ----------
    profile : Profile
        What the runs of its name are compared with; those of another profile with that one's file.
    """

    def __init__(self, profile: Profile) -> None:
        self._profiles: dict[str, Profile] = {profile.name: profile}
        self._trainings: dict[str, Training | None] = {}

    def in_table(self, table: Table) -> Table:
        """The table with marks on the lines that depart and a sentence for each mark.

        Where all networks of a table depart alike, no line has a mark and the caption says so.
        """
        trained = self._of(_all_sources(table))
        for place, (mark, meaning) in enumerate(MARKS.items()):
            texts = {training.found[place] for training in trained}
            if len(texts) == 1 and (text := texts.pop()) is not None:
                table = _noted(table, f"All networks of this table were {meaning}{_details(text)}.")
            elif len(texts) > 1:
                table = self._marked(table, place, mark, meaning)
        return table

    def _marked(self, table: Table, place: int, mark: str, meaning: str) -> Table:
        names, lines = [], []
        for line in table.lines:
            text = _together(self._of(line.cells[0].sources or _sources(line)), place)
            if text is not None:
                name = line.cells[0]
                names.append(f"{name.text}{text}")
                marks = f"{name.mark} {mark}".strip()
                reasons = "; ".join(filter(None, (name.reason, f"{meaning}{text}")))
                marked = replace(name, mark=marks, reason=reasons)
                line = replace(line, cells=(marked, *line.cells[1:]))
            lines.append(line)
        table = replace(table, lines=tuple(lines))
        if names:
            return _noted(table, f"{mark} {_capital(meaning)}: {'; '.join(dict.fromkeys(names))}.")
        return _noted(table, _sentence(self._of(_all_sources(table)), place, meaning))

    def in_figure(self, figure: Figure) -> Figure:
        """The figure with a sentence in its caption for each way in which what it shows departs."""
        trained = self._of(figure.sources)
        sentences = [_sentence(trained, *meaning) for meaning in enumerate(MARKS.values())]
        return replace(figure, caption=" ".join(filter(None, [figure.caption, *sentences])))

    def _of(self, sources: Iterable[str]) -> list[Training]:
        trainings = []
        for source in dict.fromkeys(sources):
            if source not in self._trainings:
                self._trainings[source] = self._training(Path(source))
            if (training := self._trainings[source]) is not None:
                trainings.append(training)
        return trainings

    def _training(self, source: Path) -> Training | None:
        """How the run that an evaluation is of was trained; None of what has no network."""
        run = Path(read_summary(source).run) if is_present(source / SUMMARY) else source
        if not is_present(run / "run.json"):
            return None
        card = read_run_card(run)
        method = METHODS.get(MethodName.parse(card.method).base)
        if method is None or not method.is_trained or card.imported_from:
            return None
        process = card.identity.get("method")
        is_current = process is None or is_same_code(
            "method", process, method.fingerprint(card.settings.stationary_std)
        )
        outcome = (self._changed(card) or None, None if is_current else "")
        return Training(card.label, card.seed, outcome)

    def _changed(self, card: RunCard) -> str:
        """Settings that the profile has otherwise now; "" where it does not know the run."""
        method = card.method
        if card.is_derived:  # an average of the weights of another run
            method = str(MethodName.parse(method).origin)
        try:
            name = card.home
            if name not in self._profiles:
                self._profiles[name] = load_profile(name)
            now = run_settings(self._profiles[name], card.task, method, card.seed)
        except InputError:
            return ""
        return changed_settings(card.settings.content(), now.model_dump(mode="json"))


def _together(trainings: Sequence[Training], place: int) -> str | None:
    """What is added for the runs of one line, with their seeds where only some depart."""
    departing = [training for training in trainings if training.found[place] is not None]
    if not departing:
        return None
    texts = list(dict.fromkeys(filter(None, (one.found[place] for one in departing))))
    if len(departing) < len(trainings):
        seeds = sorted({training.seed for training in departing})
        texts.insert(0, f"seed {', '.join(map(str, seeds))}")
    return _details(": ".join(texts))


def _sentence(trainings: Sequence[Training], place: int, meaning: str) -> str:
    """Sentence that names the methods that depart, "" if none does."""
    of_label: dict[str, list[Training]] = {}
    for training in trainings:
        of_label.setdefault(training.label, []).append(training)
    names = [
        f"{label}{text}"
        for label, texts in of_label.items()
        if (text := _together(texts, place)) is not None
    ]
    return f"{_capital(meaning)}: {'; '.join(names)}." if names else ""


def _details(text: str) -> str:
    return f" ({text})" if text else ""


def _sources(line: Line) -> list[str]:
    return [source for cell in line.cells for source in cell.sources]


def _all_sources(table: Table) -> list[str]:
    return [source for line in table.lines for source in _sources(line)]


def _noted(table: Table, sentence: str) -> Table:
    return replace(table, caption=f"{table.caption} {sentence}".strip())


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


EVALUATION_FILES = (PER_IMAGE, PER_PROTOCOL, SUMMARY)

RUN_FILES = ("run.json", HISTORY, "weights.safetensors")


def lineage(tables: Sequence[Table], profile: str) -> Lineage:
    """Every cell with its sources, and every source with its hashes.

    Parameters
    ----------
    tables : sequence of Table
        What the report shows; paths in it are relative to the working directory.
    profile : str
        Name of the profile.

    Raises
    ------
    InputError
        If a source is neither a finished evaluation nor a finished run.
    """
    sources = sorted(
        {
            source
            for table in tables
            for line in table.lines
            for cell in line.cells
            for source in cell.sources
        }
    )
    evaluations = {
        source: _evaluation(Path(source))
        for source in sources
        if is_present(Path(source) / SUMMARY)
    }
    used = {source for source in sources if source not in evaluations}
    used |= {entry.run for entry in evaluations.values()}
    runs: dict[str, RecordedRun] = {}
    while missing := sorted(used - set(runs)):
        for folder in missing:
            runs[folder], origin = _run(Path(folder))
            used |= {origin} if origin else set()
    recorded = [_table(table) for table in tables]
    return Lineage(profile=profile, tables=recorded, evaluations=evaluations, runs=runs)


def agrees(first: float | None, second: float | None) -> bool:
    """True if two values are equal up to the order in which numbers were added."""
    if first is None or second is None:
        return first is second
    return math.isclose(first, second, rel_tol=1e-12, abs_tol=1e-12)


def _table(table: Table) -> RecordedTable:
    rows = [
        RecordedRow(
            key=line.key,
            cells={
                column.key: _cell(cell)
                for column, cell in zip(table.columns, line.cells, strict=True)
            },
        )
        for line in table.lines
    ]
    columns = [RecordedColumn(key=c.key, heading=c.heading) for c in table.columns]
    return RecordedTable(
        key=table.key, title=table.title, section=table.section, columns=columns, rows=rows
    )


def _cell(cell: Cell) -> RecordedCell:
    """The cell as it is recorded: without what it does not have, and numbers that are none."""
    kept: dict[str, object] = {"text": cell.text}
    kept |= {key: text for key, text in (("mark", cell.mark), ("reason", cell.reason)) if text}
    for key, number in (("value", cell.value), ("low", cell.low), ("high", cell.high)):
        if number is not None and not math.isnan(number):
            kept[key] = float(number)
    if cell.sources:
        kept["sources"] = list(cell.sources)
        if cell.value is not None:
            kept |= {
                key: text for key, text in (("rule", cell.rule), ("metric", cell.metric)) if text
            }
    return RecordedCell.model_validate(kept)


def _pictures(folder: Path) -> list[str]:
    """Restored images and states of an evaluation."""
    paths = (path for name in ("images", "states") for path in (folder / name).rglob("*"))
    return sorted(path.relative_to(folder).as_posix() for path in paths if path.is_file())


def _evaluation(folder: Path) -> RecordedEvaluation:
    summary = read_summary(folder)
    data = summary.dataset
    return RecordedEvaluation(
        files=_hashes(folder, (*EVALUATION_FILES, *_pictures(folder))),
        run=summary.run,
        run_identity=summary.run_identity,
        data=RecordedSet(
            folder=pairs_folder(summary.profile, summary.task, data.dataset).as_posix(),
            fingerprint=data.fingerprint,
            source_fingerprint=data.source.fingerprint,
        ),
        settings=digest_json(summary.settings.content() if summary.settings else None),
        code=summary.code,
        commit=summary.commit,
        dirty=summary.dirty,
    )


def _run(folder: Path) -> tuple[RecordedRun, str | None]:
    """Entry of a run, and the run that its weights were derived from."""
    if not is_present(folder / "run.json"):
        raise InputError(f"{folder}: neither a finished evaluation nor a finished run")
    card = read_run_card(folder)
    files = _hashes(folder, RUN_FILES)
    recorded = RecordedRun(
        files=files, identity=card.identity, commit=card.commit, dirty=card.dirty
    )
    return recorded, card.derived_from


def _hashes(folder: Path, names: Iterable[str]) -> dict[str, str]:
    return {name: digest_file(folder / name) for name in names if is_present(folder / name)}
