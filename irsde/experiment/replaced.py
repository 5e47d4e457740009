"""Finished work is not deleted: what another result takes the place of is kept beside it."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from irsde.files import RESULTS, digest_file, is_present, read_json, replacing_folder

REPLACED = RESULTS / "replaced"
CARDS = ("run.json", "summary.json")
LOCK = ".lock"  # of a run, by whoever trains it


def keep(folder: Path, name: str) -> Path:
    """Move a run or an evaluation out of the way of another one.

    Locks stay, as the process that holds one goes on. Where it was kept already (an engine can
    bring its files back when the new work fails), files that are the same as the kept ones are
    deleted, and evaluations that are new are kept with them.

    Parameters
    ----------
    folder : Path
        A folder below `results/`.
    name : str
        What tells this result from others of the folder: the start of a hash of its identity.

    Returns
    -------
    Path
        `results/replaced/<folder below results>/<name>`.
    """
    place = REPLACED / folder.relative_to(RESULTS)
    for number in itertools.count(1):
        kept = place / (name if number == 1 else f"{name}-{number}")
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            folder.replace(kept)
            for lock in [*kept.rglob(LOCK)]:
                place = folder / lock.relative_to(kept)
                place.parent.mkdir(parents=True, exist_ok=True)
                lock.replace(place)
            return kept
        if _is_same(folder, kept):
            _add(folder, kept)
            return kept
    raise AssertionError


def _add(folder: Path, kept: Path) -> None:
    """Delete what is kept already, and move evaluations that are new; the rest is of later work."""
    for file in _files(folder):
        twin = kept / file.relative_to(folder)
        if twin.exists():
            file.unlink()
        elif "evaluations" in twin.parts:
            twin.parent.mkdir(parents=True, exist_ok=True)
            file.replace(twin)


def keep_files(files: Sequence[Path], name: str) -> Path:
    """Move files of an unfinished run out of the way of another one; the folder they are in then.

    Parameters
    ----------
    files : sequence of Path
        Files of one folder of a run, such as its checkpoints.
    name : str
        As `keep`.
    """
    folder = files[0].parent
    kept = REPLACED / folder.parent.relative_to(RESULTS) / name / folder.name
    kept.mkdir(parents=True, exist_ok=True)
    for file in files:
        file.replace(kept / file.name)
    return kept


def _is_same(folder: Path, kept: Path) -> bool:
    """True if both have the same card, and no other file with another content."""
    if not any((folder / name).is_file() and (kept / name).is_file() for name in CARDS):
        return False
    pairs = [(file, kept / file.relative_to(folder)) for file in _files(folder)]
    return all(not twin.exists() or _is_equal(file, twin) for file, twin in pairs)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.name != LOCK]


def _is_equal(file: Path, twin: Path) -> bool:
    return twin.is_file() and digest_file(file) == digest_file(twin)


@contextmanager
def replacing_run(folder: Path) -> Iterator[Path]:
    """Temporary folder, renamed to `folder`; a run there is kept with its evaluations."""
    with replacing_folder(folder) as temporary:
        yield temporary
        card = folder / "run.json"
        if is_present(card):
            keep(folder, digest_file(card)[:8])


class Replacing(NamedTuple):
    """A new evaluation in the making, and afterwards where the earlier one is kept."""

    folder: Path
    kept: list[Path]


@contextmanager
def replacing_evaluation(folder: Path) -> Iterator[Replacing]:
    """Temporary folder, renamed to `folder`; an evaluation there is kept unless nothing is lost.

    Nothing is lost where the new one has the same files, pictures included, and more.
    """
    with replacing_folder(folder) as temporary:
        replacement = Replacing(temporary, [])
        yield replacement
        card = folder / "summary.json"
        if is_present(card) and _loses(folder, temporary):
            replacement.kept.append(keep(folder, digest_file(card)[:8]))


def _loses(old: Path, new: Path) -> bool:
    """True if a file of an evaluation is absent or another one in the new one."""
    for file in (path for path in old.rglob("*") if path.is_file()):
        twin = new / file.relative_to(old)
        if not twin.is_file():
            return True
        if file.name == "summary.json":
            if _results(file) != _results(twin):
                return True
        elif file.name != "cost.json" and digest_file(file) != digest_file(twin):
            return True
    return False


def _results(summary: Path) -> dict[str, object]:
    """What a summary says of the scores, whatever settings and code it was made with."""
    content = read_json(summary)
    if not isinstance(content, dict):
        return {}
    return {key: content.get(key) for key in ("metrics", "distribution", "protocol")}
