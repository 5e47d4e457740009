"""Whether the tables, their sources and the data still agree with what the report recorded."""

import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from irsde.audit.integrity import damages
from irsde.data.sets import CARD, dataset_folder, prepared_card, set_card
from irsde.experiment import provenance
from irsde.experiment.code import code_hash, is_same_code
from irsde.experiment.grid import pairs_folder, run_of
from irsde.experiment.profile import TestSet, load_profile, run_settings, settings_hash
from irsde.experiment.recorded import (
    PROVENANCE,
    Lineage,
    RecordedCell,
    RecordedSource,
    read_lineage,
)
from irsde.experiment.summary import SUMMARY
from irsde.files import REPORTS, InputError, digest_file, digest_json
from irsde.methods import method_of
from irsde.report.build import CHECKSUMS, read_checksums
from irsde.report.lineage import agrees, changed_settings, lineage
from irsde.report.render import shown
from irsde.report.results import read_evaluation, run_command
from irsde.report.table import Table

SHORT = 12
TABLES = REPORTS / "tables.md"
AGAIN = "run irsde report again"


@dataclass(frozen=True)
class Problem:
    """Something that no longer agrees, as one line of text.

    Parameters
    ----------
    where : str
        File or folder, or the address of a cell.
    what : str
        What was compared.
    expected, found : str
        Values or hashes, shortened.
    advice : str
        What to do.
    """

    where: str
    what: str
    expected: str
    found: str
    advice: str

    def __str__(self) -> str:
        expected, present = (
            text[:SHORT] if re.fullmatch(r"[0-9a-f]{40,64}", text) else text
            for text in (self.expected, self.found)
        )
        return f"{self.where}: {self.what}: expected {expected}, found {present}; {self.advice}"


def verify(
    profile: str | None = None, rebuild: Callable[[], Sequence[Table]] | None = None
) -> tuple[str, bool]:
    """Compare everything that `reports/provenance.json` records with what is there now.

    Parameters
    ----------
    profile : str, optional
        Profile that the report should be of.
    rebuild : callable () -> sequence of Table, optional
        Makes the tables again from the result files; every cell is compared with them.

    Returns
    -------
    str
        A line for each disagreement, then what has changed without damage, then a count.
    bool
        True if all agrees. Code, settings and commits that have moved on since do not count, unless
        lines of one table would now be marked as not trained alike.

    Raises
    ------
    InputError
        If there is no report, or it is of another profile.
    """
    content = read_lineage()
    if profile is not None and profile != content.profile:
        raise InputError(
            f"{PROVENANCE}: is of the profile {content.profile}; run irsde report --profile "
            f"{profile}"
        )
    sets = _Sets()
    problems = [
        *_outputs(),
        *(_rebuilt(content, rebuild) if rebuild else ()),
        *_evaluations(content),
        *_runs(content),
        *_data(content, sets),
    ]
    lines = list(dict.fromkeys(str(problem) for problem in problems))
    changes = [
        *_without_weights(content),
        *_changed_code(content),
        *_changed_settings(content),
        *_commits(content),
    ]
    if sets.absent:
        away = _first([folder.as_posix() for folder in sets.absent])
        changes.append(f"not compared with data that are not here: {away}; run irsde data prepare")
    cells = sum(len(row.cells) for table in content.tables for row in table.rows)
    counted = (
        f"{cells} cells, {len(content.evaluations)} evaluations, {len(content.runs)} runs, "
        f"{len(sets.seen)} data sets with {sets.files} images"
    )
    outcome = f"{len(lines)} disagreements" if len(lines) > 1 else "1 disagreement"
    notes = [f"no damage, but {change}" for change in changes]
    end = f"{PROVENANCE}: {counted}: {outcome if lines else 'all agree'}"
    return "\n".join([*lines, *notes, end]), not lines


def _addressed(content: Lineage) -> Iterator[tuple[str, RecordedCell]]:
    """Address and content of every cell."""
    for table in content.tables:
        for row in table.rows:
            for column, cell in row.cells.items():
                yield f"{TABLES}:{table.key}/{row.key}/{column}", cell


def _outputs() -> Iterator[Problem]:
    """Files of the report beside what was written."""
    try:
        recorded = read_checksums()
    except InputError as error:
        yield Problem(str(CHECKSUMS), "hashes of the report", "readable", str(error), AGAIN)
        return
    yield from _files(REPORTS.as_posix(), recorded, AGAIN)


def _rebuilt(content: Lineage, rebuild: Callable[[], Sequence[Table]]) -> Iterator[Problem]:
    """Cells of rebuilt tables beside the recorded ones."""
    try:
        fresh = lineage(rebuild(), content.profile)
    except (InputError, KeyError, TypeError, ValueError) as error:
        yield Problem(str(PROVENANCE), "rebuilt tables", "tables", str(error), AGAIN)
        return
    now, then = dict(_addressed(fresh)), dict(_addressed(content))
    for address in dict.fromkeys([*then, *now]):
        before, after = then.get(address), now.get(address)
        if not _same_cell(before, after):
            yield Problem(address, "rebuilt cell", _cell_text(before), _cell_text(after), AGAIN)


def _same_cell(before: RecordedCell | None, after: RecordedCell | None) -> bool:
    """True if cells differ at most in the last bits of their numbers, as between processors."""
    if before is None or after is None:
        return before is after
    if not all(agrees(*pair) for pair in zip(_numbers(before), _numbers(after), strict=True)):
        return False
    without = dict.fromkeys(("value", "low", "high"))
    return before.model_copy(update=without) == after.model_copy(update=without)


def _numbers(cell: RecordedCell) -> tuple[float | None, float | None, float | None]:
    return cell.value, cell.low, cell.high


def _cell_text(cell: RecordedCell | None) -> str:
    if cell is None:
        return "no such cell"
    numbers = [f"{number:.9g}" for number in _numbers(cell) if number is not None]
    return f"{shown(cell)!r} ({', '.join(numbers)})" if numbers else repr(shown(cell))


def _files(folder: str, hashes: Mapping[str, str], advice: str) -> Iterator[Problem]:
    """Recorded hashes of files beside those of today."""
    for name, recorded in hashes.items():
        path = Path(folder) / name
        now = digest_file(path) if path.is_file() else "no such file"
        if now != recorded:
            yield Problem(path.as_posix(), "SHA-256", recorded, now, advice)


def _evaluations(content: Lineage) -> Iterator[Problem]:
    """Files, means and runs of the evaluations."""
    for folder, entry in content.evaluations.items():
        again = f"run irsde evaluate --run {entry.run} and irsde report again"
        yield from _files(folder, entry.files, again)
        try:
            summary, values = read_evaluation(Path(folder))
            identity = digest_json(provenance.read_run_card(Path(entry.run)).identity)
        except InputError as error:
            yield Problem(folder, "evaluation", "readable files", f"{error}", again)
            continue
        where = f"{folder}/{SUMMARY}"
        if identity != summary.run_identity:
            yield Problem(where, "identity of the run", summary.run_identity, identity, again)
        recorded, fingerprint = entry.data.fingerprint, summary.dataset.fingerprint
        if fingerprint != recorded:
            yield Problem(where, "test set", recorded, fingerprint, again)
        for metric in summary.metrics:
            column, knows_exact = values.get(metric.name), metric.exact is not None
            value = None if column is None else _mean(column.to_numpy(np.float64), knows_exact)
            if not agrees(metric.mean, value):
                yield Problem(where, f"mean {metric.name}", f"{value}", f"{metric.mean}", again)


def _mean(column: NDArray[np.float64], knows_exact: bool) -> float | None:
    """Mean of the finite values; None where a summary has none, of old ones also if one is inf."""
    finite = column[np.isfinite(column)]
    complete = len(finite) == len(column)
    if np.isnan(column).any() or not len(finite) or not (complete or knows_exact):
        return None
    return float(finite.mean())


def _runs(content: Lineage) -> Iterator[Problem]:
    """Files, weights and settings of the runs, against their cards."""
    for folder, entry in content.runs.items():
        path = Path(folder) / "run.json"
        again = "restore the file, or train the run again with --overwrite"
        yield from _files(folder, entry.files, again)
        try:
            card = provenance.read_run_card(Path(folder))
        except InputError as error:
            yield Problem(path.as_posix(), "run card", "a card", str(error), again)
            continue
        identity = card.identity
        if identity != entry.identity:
            recorded, now = digest_json(entry.identity), digest_json(identity)
            yield Problem(path.as_posix(), "identity", recorded, now, again)
        settings = settings_hash(card.settings.content())
        if (stated := identity.get("settings", settings)) != settings:
            yield Problem(path.as_posix(), "hash of the settings", stated, settings, again)
        weights = Path(folder) / "weights.safetensors"
        if weights_hash := card.weights_sha256:
            now = digest_file(weights) if weights.is_file() else "no such file"
            if now != weights_hash and (weights.is_file() or weights.name in entry.files):
                yield Problem(weights.as_posix(), "weights of run.json", weights_hash, now, again)
        if origin := card.derived_from:
            now = _identity_of(origin)
            if now != identity.get("run"):
                yield Problem(
                    path.as_posix(), f"identity of {origin}", str(identity.get("run")), now,
                    f"move {folder} away and make it again: {run_command(card)}",
                )  # fmt: skip


def _without_weights(content: Lineage) -> Iterator[str]:
    """What the report was made without: committed evidence holds the weights of few runs."""
    bare = [
        folder
        for folder, entry in content.runs.items()
        if "method" in entry.identity and "weights.safetensors" not in entry.files
    ]
    if bare:
        yield f"without weights, which were not here when the report was made: {_first(bare)}"


def _identity_of(run: str) -> str:
    try:
        return digest_json(provenance.read_run_card(Path(run)).identity)
    except InputError:
        return "no such run"


class _Sets:
    """Data sets that were looked at, each once."""

    def __init__(self) -> None:
        self.seen: set[Path] = set()
        self.absent: dict[Path, None] = {}
        self.files = 0

    def check(self, folder: Path, advice: str) -> Iterator[Problem]:
        """Card, table and images of a set against one another."""
        if folder in self.seen:
            return
        self.seen.add(folder)
        try:
            count, damaged = damages(folder)
        except InputError as error:
            yield Problem(str(folder), "data set", "a card and a table", str(error), advice)
            return
        self.files += count
        for damage in damaged:
            yield Problem(str(damage.path), damage.what, damage.expected, damage.found, advice)


def _data(content: Lineage, sets: _Sets) -> Iterator[Problem]:
    """Prepared sets, the sets they were made from where those are here, and what used them."""
    for entry in content.evaluations.values():
        yield from _prepared(Path(entry.data.folder), entry.data.fingerprint, sets)
    for run in content.runs:
        try:
            card = provenance.read_run_card(Path(run))
        except InputError:
            continue
        data = card.settings.data
        for role, names in (("train", data.train), ("validation", data.validation)):
            recorded = card.identity.get(f"{role}_data")
            if recorded is None:
                continue
            folders = [pairs_folder(card.home, card.task, name) for name in names]
            for folder in folders:
                yield from _prepared(folder, None, sets)
            prints = [_fingerprint_of(folder) for folder in folders]
            now = digest_json(prints)
            if None not in prints and now != recorded:
                advice = f"prepare the sets that {run} saw, or train it again with --overwrite"
                where = ", ".join(map(str, folders))
                yield Problem(where, f"data that {run} saw", recorded, now, advice)


def _prepared(folder: Path, recorded: str | None, sets: _Sets) -> Iterator[Problem]:
    if not folder.exists():
        sets.absent[folder] = None
        return
    profile, task, name = folder.parts[-3:]
    again = f"run irsde data prepare --profile {profile} --task {task} --dataset {name}"
    yield from sets.check(folder, again)
    prepared = _fingerprint_of(folder)
    if recorded and prepared not in (recorded, None):
        advice = f"{again}; if it stays so, run irsde evaluate and irsde report again"
        yield Problem(str(folder / CARD), "fingerprint that was scored", recorded, prepared, advice)
    if prepared is None:
        return
    card = prepared_card(folder)
    origins = [(TestSet.parse(name).dataset, card.source.fingerprint)]
    if card.masks:
        origins.append((card.masks.dataset, card.masks.fingerprint))
    for origin, made_from in origins:
        source = dataset_folder(origin)
        if (source / CARD).is_file():
            fetch = (
                f"run irsde data fetch or adopt {origin} again, then {again.removeprefix('run ')}"
            )
            yield from sets.check(source, fetch)
            now = _fingerprint_of(source)
            if made_from not in (None, now):
                where = str(source / CARD)
                yield Problem(where, f"what {folder} was made from", made_from, str(now), again)


def _fingerprint_of(folder: Path) -> str | None:
    try:
        return set_card(folder).fingerprint
    except InputError:
        return None


def _changed_code(content: Lineage) -> Iterator[str]:
    """Stages whose code is another one today."""
    stages: dict[tuple[str, str, str], list[str]] = {}
    for folder, entry in content.evaluations.items():
        if recorded := entry.code:
            key = ("evaluate", recorded, code_hash("evaluate"))
            stages.setdefault(key, []).append(folder)
    for folder, run in content.runs.items():
        stage = "train" if "method" in run.identity else "tune"
        if recorded := run.identity.get("code"):
            key = (stage, recorded, code_hash(stage))
            stages.setdefault(key, []).append(folder)
    for (stage, then, now), folders in stages.items():
        if not is_same_code(stage, then, now):
            yield (
                f"the code of irsde {stage} has changed since {_first(folders)}: {then[:SHORT]} "
                f"then, {now[:SHORT]} now"
            )


def _changed_settings(content: Lineage) -> Iterator[str]:
    """Runs whose profile or method asks for something else today."""
    changed: dict[str, list[str]] = {"setting in the profile": [], "definition of the method": []}
    details: dict[str, str] = {}
    for folder, entry in content.runs.items():
        identity = entry.identity
        if "settings" not in identity or "weights_file" in identity:
            continue
        try:
            card = provenance.read_run_card(Path(folder))
        except InputError:
            continue  # the file itself is reported
        try:
            run = run_of(Path(folder))
            settings = run_settings(load_profile(run.profile), run.task, run.method, run.seed)
        except InputError:
            changed["setting in the profile"].append(folder)
            continue
        if settings.hash != identity["settings"]:
            changed["setting in the profile"].append(folder)
            details[folder] = changed_settings(
                card.settings.content(), settings.model_dump(mode="json")
            )
        method = method_of(run.method)
        if "method" in identity and not is_same_code(
            "method", identity["method"], method.fingerprint(settings.stationary_std)
        ):
            changed["definition of the method"].append(folder)
    for what, folders in changed.items():
        if folders:
            detail = details.get(folders[0])
            yield f"another {what} today for {_first(folders)}{f': {detail}' if detail else ''}"


def _commits(content: Lineage) -> Iterator[str]:
    """Commits that this repository lacks, and results made of code that no commit holds."""
    entries: dict[str, RecordedSource] = {**content.runs, **content.evaluations}
    of_commit: dict[str, list[str]] = {}
    for folder, entry in entries.items():
        if entry.commit:
            of_commit.setdefault(entry.commit, []).append(folder)
    for commit, folders in of_commit.items():
        if not _has_commit(commit):
            yield f"commit {commit[:SHORT]}, which made {_first(folders)}, is in no repository here"
    if dirty := [folder for folder, entry in entries.items() if entry.dirty]:
        yield f"made with uncommitted changes, which no commit holds: {_first(dirty)}"


def _has_commit(commit: str) -> bool:
    try:
        done = subprocess.run(
            ["git", "cat-file", "-e", f"{commit}^{{commit}}"], capture_output=True, check=False
        )
    except OSError:
        return False
    return done.returncode == 0


def _first(folders: Sequence[str]) -> str:
    more = f" and {len(folders) - 1} more" if len(folders) > 1 else ""
    return f"{folders[0]}{more}"
