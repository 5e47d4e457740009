"""The grid of a profile: every run and every evaluation, and where each lies.

`results/<profile>/<task>/<method>/seed<k>/evaluations/<dataset>/<sampler>-<nfe>/` is the one
grammar of paths; Snakemake, DVC, MLflow and the reports all take it from here.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from irsde.config import PARAMETERS, Profile, RunSettings, run_settings
from irsde.files import InputError, digest_json, write_text
from irsde.methods import METHODS

DATA = Path("data")
RESULTS = Path("results")
REPORTS = Path("reports")


@dataclass(frozen=True)
class Run:
    """A run of the grid: (profile, task, method, seed)."""

    profile: str
    task: str
    method: str
    seed: int

    @property
    def folder(self) -> Path:
        """`results/<profile>/<task>/<method>/seed<k>`."""
        return RESULTS / self.profile / self.task / self.method / f"seed{self.seed}"

    @property
    def is_trained(self) -> bool:
        """True if the run has a network."""
        return METHODS[self.method.partition("+")[0]].is_trained

    @property
    def key(self) -> str:
        """Name without slashes, for DVC."""
        return f"{self.task}_{self.method}_seed{self.seed}"


@dataclass(frozen=True)
class Evaluation:
    """An evaluation: (run, dataset, sampler, NFE), the step grid, and how ML noise is read."""

    run: Run
    dataset: str
    sampler: str
    nfe: int
    grid: str = "uniform"
    conversion: str = "exact"

    @property
    def folder(self) -> Path:
        """`<run>/evaluations/<dataset>/<sampler>-<nfe>`, and what differs from the default."""
        name = f"{self.sampler}-{self.nfe}"
        name += f"-{self.grid}" if self.grid != "uniform" else ""
        name += f"-{self.conversion}" if self.conversion != "exact" else ""
        return self.run.folder / "evaluations" / self.dataset / name

    @property
    def arguments(self) -> str:
        """Arguments of `irsde evaluate` that choose this evaluation of the run."""
        sampled = "" if self.sampler == "direct" else f" --sampler {self.sampler} --nfe {self.nfe}"
        return f"--run {self.run.folder.as_posix()} --dataset {self.dataset}{sampled}"


def run_of(folder: Path) -> Run:
    """The run below the working directory whose folder this is, by the grammar of paths.

    Raises
    ------
    InputError
        If the path is not `results/<profile>/<task>/<method>/seed<k>` here.
    """
    parts = folder.parts[-4:]
    if len(parts) < 4 or not parts[3].removeprefix("seed").isdigit():
        raise InputError(
            f"{folder}: not a run folder; expected results/<profile>/<task>/<method>/seed<k>"
        )
    profile, task, method, seed = parts
    run = Run(profile, task, method, int(seed.removeprefix("seed")))
    if folder.resolve() != run.folder.resolve():
        raise InputError(f"{folder}: not below {RESULTS.resolve()}; run irsde in its project")
    return run


def pairs_folder(profile: str, task: str, dataset: str) -> Path:
    """Prepared pairs of a data set for a task: `data/prepared/<profile>/<task>/<dataset>`."""
    return DATA / "prepared" / profile / task / dataset


def runs(profile: Profile) -> list[Run]:
    """All runs of a profile, in the order of its lists."""
    return [
        Run(profile.name, task, method, seed)
        for task in profile.tasks
        for method in profile.methods
        if METHODS[method.partition("+")[0]].refusal(task) is None
        for seed in (profile.seeds if _depends_on_seed(method) else profile.seeds[:1])
    ]


def refusals(profile: Profile) -> dict[str, dict[str, str]]:
    """Methods of a profile that cannot do a task: task → label of the method → reason."""
    found: dict[str, dict[str, str]] = {}
    for task in profile.tasks:
        for method in profile.methods:
            record = METHODS[method.partition("+")[0]]
            if reason := record.refusal(task):
                found.setdefault(task, {})[record.label] = reason
    return found


def _depends_on_seed(method: str) -> bool:
    return METHODS[method.partition("+")[0]].is_trained


def evaluations(profile: Profile) -> list[Evaluation]:
    """All evaluations of a profile, in the order of its runs."""
    found = []
    for run in runs(profile):
        settings = profile.for_method(run.method)
        sampler, nfe = default_sampler(settings, run.method)
        found.append(Evaluation(run, settings.data.test, sampler, nfe))
    return found


def default_sampler(profile: Profile, method: str) -> tuple[str, int]:
    """Sampler and NFE that a profile evaluates a method with."""
    record = METHODS[method.partition("+")[0]]
    if record.kind != "process":
        return record.sampler, record.nfe
    return record.sampler, min(profile.evaluation.nfe or record.nfe, record.nfe)


def parameters(profile: Profile) -> str:
    """Text of params.yaml: the flattened grid that DVC iterates over.

    Every item carries the hash of the settings it depends on, so that a changed setting reruns
    what depends on it and nothing else.
    """
    data = digest_json(profile.data.model_dump(mode="json"))
    train: dict[str, Any] = {}
    tune: dict[str, Any] = {}
    evaluate: dict[str, Any] = {}
    for run in runs(profile):
        settings: RunSettings = run_settings(profile, run.task, run.method, run.seed)
        item = {
            "task": run.task,
            "method": run.method,
            "seed": run.seed,
            "folder": run.folder.as_posix(),
            "settings": settings.hash,
        }
        (train if run.is_trained else tune)[run.key] = item
    for evaluation in evaluations(profile):
        settings_of = profile.for_method(evaluation.run.method).evaluation
        evaluate[evaluation.run.key] = {
            "run": evaluation.run.folder.as_posix(),
            "task": evaluation.run.task,
            "arguments": evaluation.arguments,
            "folder": evaluation.folder.as_posix(),
            "settings": digest_json(settings_of.model_dump(mode="json")),
        }
    content = {
        "profile": profile.name,
        "caption": profile.caption,
        "prepare": {task: {"task": task, "settings": data} for task in profile.tasks},
        "train": train,
        "tune": tune,
        "evaluate": evaluate,
    }
    head = (
        f"# Written by `irsde plan --profile {profile.name}` from "
        f"workflow/config/{profile.name}.yaml; do not edit.\n"
    )
    return head + yaml.safe_dump(content, sort_keys=False, width=100)


def write_parameters(profile: Profile) -> None:
    """Write the grid of a profile to params.yaml, which makes it the active one."""
    write_text(PARAMETERS, parameters(profile))
