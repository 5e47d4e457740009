"""The commands that rebuild results from an empty folder."""

import itertools
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from irsde.data.catalogue import find_split, read_own
from irsde.experiment.profile import TestSet
from irsde.experiment.provenance import read_run_card
from irsde.experiment.recorded import Lineage, RecordedSource
from irsde.experiment.summary import read_summary
from irsde.files import InputError
from irsde.methods import method_of
from irsde.report.results import evaluation_command, run_command


def commands(content: Lineage, evaluations: Sequence[str], runs: Sequence[str]) -> str:
    """Commands from an empty folder to the report, in the order to run them.

    Parameters
    ----------
    content : Lineage
        Lineage of the report.
    evaluations, runs : sequence of str
        Folders of the evaluations and runs to rebuild.

    Returns
    -------
    str
        Lines for a shell, indented; FOLDER is for what only the user knows.
    """
    entries: list[RecordedSource] = [content.runs[run] for run in runs]
    entries += [content.evaluations[folder] for folder in evaluations]
    tasks: dict[tuple[str, str], None] = {}
    sets: dict[str, None] = {}
    weights: dict[str, None] = {}
    stages: dict[str, None] = {}
    for run in runs:
        card = read_run_card(Path(run))
        if not card.outside and method_of(card.method).kind == "published":
            weights[card.method] = None
        stages[run_command(card)] = None
        if not card.outside:
            tasks[card.home, card.task] = None
        data = card.settings.data
        sets |= dict.fromkeys([*data.train, *data.validation, *data.without])
    for folder in evaluations:
        summary = read_summary(Path(folder))
        masks = summary.dataset.masks
        name = TestSet.parse(summary.dataset.dataset).dataset
        sets |= dict.fromkeys([name, *([masks.dataset] if masks else [])])
        tasks[summary.profile, summary.task] = None
        stages[evaluation_command(summary, Path(folder))] = None
    commits = dict.fromkeys(entry.commit for entry in entries if entry.commit)
    prepare = [
        shlex.join(["irsde", "data", "prepare", "--profile", profile, "--task", task])
        for profile, task in tasks
    ]
    checkout = [shlex.join(["git", "checkout", commit]) for commit in commits]
    if any(entry.dirty for entry in entries):
        checkout.append("# the code had changes that were not committed: results may differ")
    report = shlex.join(["irsde", "report", "--profile", content.profile])
    fetch = [shlex.join(["irsde", "weights", "fetch", *weights])] if weights else []
    lines = [*checkout, *_set_commands(sets), *fetch, *prepare, *filter(None, stages), report]
    return "\n".join(map(_broken, lines))


def _set_commands(names: Iterable[str]) -> list[str]:
    fetched: list[str] = []
    adopted: list[str] = []
    for name in names:
        try:
            by_itself = read_own(name) or any(_downloads(name))
        except InputError:
            by_itself = False
        (fetched if by_itself else adopted).append(name)
    fetch = [shlex.join(["irsde", "data", "fetch", *fetched])] if fetched else []
    return fetch + [
        shlex.join(["irsde", "data", "adopt", "FOLDER", "--as", name]) for name in adopted
    ]


def _downloads(name: str) -> Iterator[bool]:
    family, split = find_split(name)
    yield bool(split.photographs)
    yield any(name in archive.splits or not archive.splits for archive in family.archives)


def _broken(command: str) -> str:
    """A command cut before options where it is longer than a line, as a shell reads it."""
    if command.startswith("#"):
        return f"  {command}"
    words = [shlex.quote(word) for word in shlex.split(command)]
    starts = [index for index, word in enumerate(words) if word.startswith("--")]
    pieces = itertools.pairwise([0, *starts, len(words)])
    first, *options = (" ".join(words[start:end]) for start, end in pieces)
    lines = [f"  {first}"]
    for option in options:
        if len(lines[-1]) + len(option) > 76:
            lines[-1] += " \\"
            lines.append(f"    {option}")
        else:
            lines[-1] += f" {option}"
    return "\n".join(lines)
