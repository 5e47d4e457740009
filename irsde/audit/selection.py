"""Which files of a profile's results go along, whether to git or into a crate."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from irsde.experiment.grid import (
    Evaluation,
    Run,
    cause_evaluations,
    evaluations,
    further_evaluations,
    runs,
)
from irsde.experiment.profile import Profile
from irsde.experiment.result_tables import HISTORY, PER_IMAGE, PER_PROTOCOL
from irsde.experiment.summary import SUMMARY
from irsde.files import RESULTS, InputError, is_present

WEIGHTS = "weights.safetensors"
RUN_FILES = ("run.json", "cost.json", HISTORY)
SWEEP_FILES = (SUMMARY, PER_IMAGE, "cost.json")
EVALUATION_FILES = (*SWEEP_FILES, PER_PROTOCOL)
PICTURES = ("images", "states")


@dataclass(frozen=True)
class Selection:
    """Finished results of a profile that go along.

    Parameters
    ----------
    runs : list of Run
    usual, further : list of Path
        Folders of the evaluations that the tables of tasks are made of, and of all others.
    with_weights : list of Run
        Runs whose weights go along.
    pictures : collection of str
        Test sets whose restored images go along.
    """

    runs: list[Run]
    usual: list[Path]
    further: list[Path]
    with_weights: list[Run]
    pictures: Collection[str]

    @property
    def evaluations(self) -> list[Path]:
        """Folders of all evaluations, sorted."""
        return sorted([*self.usual, *self.further])

    @property
    def folders(self) -> set[Path]:
        """Folders of all runs and evaluations."""
        return {*self.evaluations, *(run.folder for run in self.runs)}

    @property
    def counts(self) -> str:
        """How many runs and evaluations, in words."""
        return f"{len(self.runs)} runs, {len(self.evaluations)} evaluations"

    @property
    def files(self) -> list[Path]:
        """All files that go along."""
        return [
            *(file for run in self.runs for file in self.of_run(run)),
            *(file for folder in self.evaluations for file in self.of_evaluation(folder)),
        ]

    def of_run(self, run: Run) -> list[Path]:
        """Files of a run."""
        names = (*RUN_FILES, *((WEIGHTS,) if run in self.with_weights else ()))
        return _present(run.folder, names)

    def of_evaluation(self, folder: Path) -> list[Path]:
        """Files of an evaluation, its images among them where they may be public."""
        if folder in self.further:
            return _present(folder, SWEEP_FILES)
        found = _present(folder, EVALUATION_FILES)
        if folder.parent.name in self.pictures:
            found += [file for name in PICTURES for file in files_below(folder / name)]
        return found


def select(profile: Profile, weights: Collection[str], pictures: Collection[str]) -> Selection:
    """What of a profile's finished results goes along.

    Parameters
    ----------
    profile : Profile
    weights : collection of str
        Methods whose weights of the first seed go along.
    pictures : collection of str
        Test sets whose restored images may be published.

    Raises
    ------
    InputError
        If nothing is finished, a method or test set is not in the profile, or weights asked for are
        not here.
    """
    tests = {name for task in profile.tasks for name in profile.data.of(task).test}
    methods = {run.method for run in runs(profile) if run.is_trained}
    for kind, chosen, known in (("method", weights, methods), ("test set", pictures, tests)):
        if unknown := sorted(set(chosen) - known):
            has = ", ".join(sorted(known))
            raise InputError(f"{profile.name} has no {kind} {unknown[0]}; it has {has}")
    usual = {evaluation.folder for evaluation in evaluations(profile)}
    others = [*further_evaluations(profile), *_of_causes(profile)]
    grid = dict.fromkeys([*runs(profile), *(evaluation.run for evaluation in others)])
    finished = [run for run in grid if is_present(run.folder / "run.json")]
    if not finished:
        raise InputError(f"{RESULTS / profile.name}: no finished run; run snakemake or irsde train")
    with_weights = [
        run
        for run in finished
        if run.method in weights and run.seed == profile.runs_of(run.task)[run.method][0]
    ]
    if bare := sorted(run.folder for run in with_weights if not (run.folder / WEIGHTS).is_file()):
        raise InputError(f"{bare[0]}: has no {WEIGHTS}; train the run again or omit it")
    further = {evaluation.folder for evaluation in others} - usual
    return Selection(finished, _scored(usual), _scored(further), with_weights, pictures)


def _scored(folders: Collection[Path]) -> list[Path]:
    return sorted(path for path in folders if is_present(path / SUMMARY))


def _of_causes(profile: Profile) -> list[Evaluation]:
    """What a table of causes has of the profile, runs with other averages of weights among them."""
    if profile.causes is None:
        return []
    return [
        evaluation
        for evaluation in cause_evaluations(profile.causes, profile)[1]
        if evaluation.run.profile == profile.name
    ]


def _present(folder: Path, names: Collection[str]) -> list[Path]:
    return [folder / name for name in names if (folder / name).is_file()]


def files_below(folder: Path) -> Iterator[Path]:
    """Files of a folder and of those in it, sorted; none where there is no such folder."""
    return (file for file in sorted(folder.rglob("*")) if file.is_file())
