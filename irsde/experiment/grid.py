"""The grid of a profile: every run and every evaluation, and where each lies.

`results/<profile>/<task>/<method>/seed<k>/evaluations/<dataset>/<sampler>-<nfe>/` is the one
grammar of paths; Snakemake, DVC, MLflow and the reports all take it from here.
"""

import itertools
import re
import shlex
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from irsde.experiment.profile import DATA as DATA
from irsde.experiment.profile import (
    METHOD,
    NAME,
    PARAMETERS,
    Causes,
    Profile,
    RunSettings,
    check_form,
    check_name,
    largest_nfe,
    run_settings,
    sampler_refusal,
    wrong_in_profile,
)
from irsde.files import InputError, digest_json, write_text
from irsde.methods import METHODS
from irsde.objectives import OBJECTIVES
from irsde.samplers import GRIDS, SAMPLERS

RESULTS = Path("results")

REPORTS = Path("reports")

IMPORTED = "authors"  # variant that a run of imported weights is

OUTSIDE = "outside"  # stands where a method stands, for results made elsewhere


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
    def label(self) -> str:
        """Method as tables show it, unless the run says more exactly what it was."""
        base, _, variant = self.method.partition("+")
        return f"{METHODS[base].label} + {variant}" if variant else METHODS[base].label

    @property
    def key(self) -> str:
        """Name without slashes and dots, for DVC."""
        return f"{self.task}_{self.method}_seed{self.seed}".replace(".", "_")


@dataclass(frozen=True)
class Evaluation:
    """An evaluation: run, data set, sampler and NFE; then what has a default.

    Parameters
    ----------
    run : Run
    dataset : str
        Test set.
    sampler : str
        A key of `samplers.SAMPLERS`, or "direct".
    nfe : int
        Network evaluations of an image.
    grid : str
        Step grid, a key of `samplers.GRIDS`.
    conversion : {"exact", "plain"}
        How the noise is read off a network trained by maximum likelihood.
    weights : {"ema", "raw"}
        The moving average that tables use, or the weights of the last iteration themselves.
    precision : {"float32", "bfloat16"}
        Of the network's arithmetic.
    sampling_seed : int
        Seed of the sampling noise.
    """

    run: Run
    dataset: str
    sampler: str
    nfe: int
    grid: str = "uniform"
    conversion: str = "exact"
    weights: str = "ema"
    precision: str = "float32"
    sampling_seed: int = 0

    @property
    def name(self) -> str:
        """`<sampler>-<nfe>`, and what differs from the default."""
        options = (self.grid, self.conversion, self.weights, self.precision)
        differing = [option for option in options if option not in _DEFAULTS]
        differing += [f"sampling{self.sampling_seed}"] if self.sampling_seed else []
        return "-".join([self.sampler, str(self.nfe), *differing])

    @property
    def folder(self) -> Path:
        """`<run>/evaluations/<dataset>/<name>`."""
        return self.run.folder / "evaluations" / self.dataset / self.name

    @property
    def arguments(self) -> str:
        """Arguments of `irsde evaluate` that choose this evaluation of the run, for a shell."""
        sampled = self.sampler != "direct"
        options: dict[str, str | int] = {
            "sampler": self.sampler if sampled else "",
            "nfe": self.nfe if sampled else "",
            "grid": self.grid,
            "conversion": self.conversion,
            "weights": self.weights,
            "precision": self.precision,
            "sampling-seed": self.sampling_seed or "",
        }
        chosen = [
            part
            for key, value in options.items()
            if value not in _DEFAULTS
            for part in (f"--{key}", str(value))
        ]
        run = ["--run", self.run.folder.as_posix()]
        return shlex.join([*run, "--dataset", self.dataset, *chosen])


_DEFAULTS = ("", "uniform", "exact", "ema", "float32")

_NAME = re.compile(
    r"(?P<sampler>.+?)-(?P<nfe>[0-9]{1,9})(?:-(?P<grid>" + "|".join(GRIDS) + r"))?"
    r"(?:-(?P<conversion>plain))?(?:-(?P<weights>raw))?(?:-(?P<precision>bfloat16))?"
    r"(?:-sampling(?P<sampling_seed>[0-9]{1,18}))?"
)


def evaluation_of(run: Run, dataset: str, name: str) -> Evaluation:
    """The evaluation of a folder's name: what `Evaluation.name` writes, read back.

    Raises
    ------
    InputError
        If the name is of another form.

    Examples
    --------
    >>> run = Run("quick", "deraining", "ir-sde", 0)
    >>> evaluation_of(run, "set5-x4", "mrs-ode-2-10-log-snr-sampling3").name
    'mrs-ode-2-10-log-snr-sampling3'
    """
    found = _NAME.fullmatch(name) if NAME.fullmatch(name) else None
    if found is not None:
        fields: dict[str, Any] = {k: v for k, v in found.groupdict().items() if v}
        fields |= {key: int(fields[key]) for key in ("nfe", "sampling_seed") if key in fields}
        evaluation = Evaluation(run, dataset, **fields)
        if evaluation.name == name:
            return evaluation
    raise InputError(f"{name[:100]!r}: not the name of an evaluation, such as posterior-100")


def refuse_without_effect(evaluation: Evaluation) -> None:
    """Refuse options of an evaluation that would change its name and not one pixel.

    Raises
    ------
    InputError
        Names the option as `irsde evaluate` has it, and why it does nothing.

    Notes
    -----
    Methods without a network are evaluated as they are; direct regression is one call of the
    network. A grid needs two steps to differ. How the noise is read off matters for networks
    trained by maximum likelihood only, and there not for the Euler samplers, which take the output
    as the noise. A deterministic sampler that starts from the noisy image itself draws no noise.
    """
    base = evaluation.run.method.partition("+")[0]
    check_name("method", base, METHODS)
    method = METHODS[base]
    label = method.label
    options = {
        "grid": evaluation.grid != "uniform",
        "conversion": evaluation.conversion != "exact",
        "weights": evaluation.weights != "ema",
        "precision": evaluation.precision != "float32",
        "sampling-seed": evaluation.sampling_seed != 0,
    }
    given = [option for option, is_given in options.items() if is_given]
    if method.kind != "process":
        if (evaluation.sampler, evaluation.nfe) != (method.sampler, method.nfe):
            raise InputError(f"{label} has no sampler: leave out --sampler and --nfe")
        of_network = ("weights", "precision") if method.is_trained else ()
        without = [option for option in given if option not in of_network]
        reason = "draws no noise and has no steps" if of_network else "has no network"
    else:
        without, reason = _without_effect(evaluation, given)
    if without:
        raise InputError(f"{label} {reason}: leave out --{without[0]}, which would change nothing")


def _without_effect(evaluation: Evaluation, given: list[str]) -> tuple[list[str], str]:
    """Options among those given that change nothing of a process, and why."""
    method = METHODS[evaluation.run.method.partition("+")[0]]
    if evaluation.sampler == method.sampler and not given:
        return [], ""
    check_name("sampler", evaluation.sampler, SAMPLERS)
    sampler = SAMPLERS[evaluation.sampler]
    if "grid" in given and evaluation.nfe == 1:
        return ["grid"], "takes one step, the same on every grid"
    if "conversion" in given and not OBJECTIVES[method.objective].plain:
        return ["conversion"], "is not trained by maximum likelihood"
    if "conversion" in given and sampler.is_euler:
        return ["conversion"], f"takes the output as the noise with {sampler.label}"
    if "sampling-seed" in given and not method.conditional and not sampler.stochastic:
        return ["sampling-seed"], f"draws no noise with {sampler.label}"
    return [], ""


def run_of(folder: Path) -> Run:
    """The run below the working directory whose folder this is, by the grammar of paths.

    Raises
    ------
    InputError
        If the path is not `results/<profile>/<task>/<method>/seed<k>` here.
    """
    *names, seed = folder.parts[-4:]
    if len(names) < 3 or re.fullmatch("seed[0-9]{1,10}", seed) is None:
        raise InputError(
            f"{folder}: not a run folder; expected results/<profile>/<task>/<method>/seed<k>"
        )
    for name, pattern in zip(names, (NAME, NAME, METHOD), strict=True):
        check_form(str(folder), name, pattern)
    profile, task, method = names
    run = Run(profile, task, method, int(seed.removeprefix("seed")))
    if folder.resolve() != run.folder.resolve():
        raise InputError(f"{folder}: not below {RESULTS.resolve()}; run irsde in its project")
    return run


def pairs_folder(profile: str, task: str, dataset: str) -> Path:
    """Prepared pairs of a data set for a task: `data/prepared/<profile>/<task>/<dataset>`."""
    return DATA / "prepared" / profile / task / dataset


def leakage_file(profile: str, task: str) -> Path:
    """What the leakage check of a task found: `data/leakage/<profile>/<task>.json`."""
    return DATA / "leakage" / profile / f"{task}.json"


def sets_file(profile: str) -> Path:
    """Fingerprints of the data sets of a profile: `data/sets/<profile>.json`."""
    return DATA / "sets" / f"{profile}.json"


def runs(profile: Profile) -> list[Run]:
    """All runs of a profile, in the order of its lists."""
    return [
        Run(profile.name, task, method, seed)
        for task in profile.tasks
        for method, seeds in profile.runs_of(task).items()
        if METHODS[method.partition("+")[0]].refusal(task) is None
        for seed in (seeds if _depends_on_seed(method) else seeds[:1])
    ]


def refusals(profile: Profile) -> dict[str, dict[str, str]]:
    """Methods of a profile that cannot do a task: task → label of the method → reason."""
    found: dict[str, dict[str, str]] = {}
    for task in profile.tasks:
        for method in profile.runs_of(task):
            record = METHODS[method.partition("+")[0]]
            if reason := record.refusal(task):
                found.setdefault(task, {})[record.label] = reason
    return found


def _depends_on_seed(method: str) -> bool:
    return METHODS[method.partition("+")[0]].is_trained


def evaluations(profile: Profile) -> list[Evaluation]:
    """The evaluations that tables are made of, in the order of the runs."""
    found = []
    for run in runs(profile):
        settings = profile.for_method(run.method)
        sampler, nfe = default_sampler(settings, run.method)
        seeds = settings.evaluation.sampling_seeds if sampler != "direct" else (0,)
        found += [
            Evaluation(run, dataset, sampler, nfe, sampling_seed=seed)
            for dataset in settings.data.of(run.task).test
            for seed in seeds
        ]
    return found


def sweep_evaluations(profile: Profile) -> list[Evaluation]:
    """The evaluations of a profile's sweeps, those of the tables among them where they meet.

    Raises
    ------
    InputError
        If an option of a sweep would change nothing.
    """
    found: dict[Evaluation, None] = {}
    for number, sweep in enumerate(profile.sweeps):
        for task, method, seed in itertools.product(sweep.tasks, sweep.methods, sweep.seeds):
            run = Run(profile.name, task, method, seed)
            settings = profile.for_method(method)
            sampler, nfe = default_sampler(settings, method)
            combinations = itertools.product(
                sweep.datasets or settings.data.of(task).test,
                sweep.samplers or (sampler,),
                sweep.nfe or (nfe,),
                sweep.grids,
                sweep.conversions,
                sweep.weights,
                sweep.precisions,
                sweep.sampling_seeds,
            )
            of_run = [Evaluation(run, *values) for values in combinations]
            for evaluation in of_run:
                _check_options(evaluation, profile, "sweeps", number)
            found |= dict.fromkeys(of_run)
    return list(found)


def _check_options(evaluation: Evaluation, profile: Profile, *place: str | int) -> None:
    """Refuse an evaluation in a profile's file whose options would change nothing."""
    if evaluation == Evaluation(
        evaluation.run, evaluation.dataset, evaluation.sampler, evaluation.nfe
    ):
        return
    try:
        refuse_without_effect(evaluation)
    except InputError as error:
        raise wrong_in_profile(profile, f"{evaluation.name}: {error}", *place) from None


def outside_evaluations(profile: str) -> list[Path]:
    """Folders of results made elsewhere, which `irsde evaluate --restored` scored."""
    found = (RESULTS / profile).glob(f"*/{OUTSIDE}+*/seed0/evaluations/*/*/summary.json")
    return sorted(path.parent for path in found if not path.parent.name.startswith("."))


def datasets(profile: Profile) -> list[str]:
    """Names of all data sets that a profile needs, sorted."""
    names: set[str] = set()
    for task in profile.tasks:
        chosen = profile.data.of(task)
        names |= {*chosen.train, *chosen.validation, *chosen.test, *chosen.without}
        names |= {chosen.masks} if chosen.masks else set()
    return sorted(names)


def figure_names(profile: Profile) -> list[str]:
    """Names of the comparison figures, one for each task and test set."""
    return [f"{task}-{name}" for task in profile.tasks for name in profile.data.of(task).test]


def preparations(profile: Profile) -> list[tuple[str, str]]:
    """All (task, data set) that pairs are prepared for, in the order of the tasks."""
    return [
        (task, name)
        for task in profile.tasks
        for chosen in (profile.data.of(task),)
        for name in (*chosen.train, *chosen.validation, *chosen.test)
    ]


def needed_datasets(profile: Profile, task: str, dataset: str) -> list[str]:
    """Data sets that must be in `data/` before pairs of one of them are prepared for a task."""
    chosen = profile.data.of(task)
    without = () if dataset in chosen.test else chosen.without
    return [dataset, *without, *([chosen.masks] if chosen.masks else [])]


def datasets_of_task(profile: Profile, task: str) -> list[str]:
    """Data sets that the leakage check of a task looks at, in the order of the profile."""
    chosen = profile.data.of(task)
    names = (*chosen.train, *chosen.validation, *chosen.test, *chosen.without)
    return list(dict.fromkeys(names))


def preparation_hash(profile: Profile, task: str) -> str:
    """Hash of the settings that the prepared pairs of a task depend on."""
    return digest_json(profile.data.of(task).model_dump(mode="json"))


def cause_evaluations(causes: Causes, profile: Profile) -> tuple[Evaluation, list[Evaluation]]:
    """The base evaluation of a table of causes, and that of each of its rows.

    They may belong to other profiles. The base is sampled as `profile` samples its method.

    Raises
    ------
    InputError
        If a row names no evaluation, or one that its method does not have.
    """
    sampler, nfe = default_sampler(profile.for_method(causes.method), causes.method)
    run = Run(causes.profile, causes.task, causes.method, 0)
    base = Evaluation(run, causes.dataset, sampler, nfe)
    found = []
    for number, cause in enumerate(causes.rows):
        of_cause = replace(
            run,
            profile=cause.profile or run.profile,
            method=cause.method or run.method,
            seed=run.seed if cause.seed is None else cause.seed,
        )
        dataset = cause.dataset or causes.dataset
        if cause.evaluation is None:
            found.append(replace(base, run=of_cause, dataset=dataset))
            continue
        place = ("causes", "rows", number, "evaluation")
        method = METHODS[of_cause.method.partition("+")[0]]
        try:
            evaluation = evaluation_of(of_cause, dataset, cause.evaluation)
        except InputError as error:
            raise wrong_in_profile(profile, str(error), *place) from None
        if reason := sampler_refusal(method, evaluation.sampler):
            raise wrong_in_profile(profile, reason, *place)
        most = largest_nfe(method, at_least=evaluation.nfe)
        if evaluation.nfe > most:
            message = f"{of_cause.method} takes {most} network evaluations at most"
            raise wrong_in_profile(profile, message, *place)
        _check_options(evaluation, profile, *place)
        found.append(evaluation)
    return base, found


def further_evaluations(profile: Profile) -> list[Evaluation]:
    """What a profile's sweeps and its table of causes need of its own runs, beyond its tables."""
    found = sweep_evaluations(profile)
    if profile.causes:
        base, of_causes = cause_evaluations(profile.causes, profile)
        own = set(runs(profile))
        found += [one for one in (base, *of_causes) if one.run in own]
    usual = set(evaluations(profile))
    return [one for one in dict.fromkeys(found) if one not in usual]


def default_sampler(profile: Profile, method: str) -> tuple[str, int]:
    """Sampler and NFE that a profile evaluates a method with."""
    record = METHODS[method.partition("+")[0]]
    if record.kind != "process":
        return record.sampler, record.nfe
    return record.sampler, profile.evaluation.nfe or record.nfe


def parameters(profile: Profile, given: Collection[Path] = ()) -> str:
    """Text of params.yaml: the flattened grid that DVC iterates over.

    Every item carries the hash of the settings it depends on, so that a changed setting reruns
    what depends on it and nothing else.

    Parameters
    ----------
    profile : Profile
    given : collection of Path
        Folders of runs and evaluations that are taken as they are, such as imported ones.
    """
    train: dict[str, Any] = {}
    tune: dict[str, Any] = {}
    evaluate: dict[str, Any] = {}
    for run in runs(profile):
        if run.folder in given:
            continue
        settings: RunSettings = run_settings(profile, run.task, run.method, run.seed)
        item = {
            "task": run.task,
            "method": run.method,
            "seed": run.seed,
            "folder": run.folder.as_posix(),
            "settings": settings.hash,
        }
        stage = train if run.is_trained else tune
        _check_key(run.key, run.folder, stage)
        stage[run.key] = item
    usual = dict.fromkeys(evaluations(profile))
    for evaluation in [*usual, *further_evaluations(profile)]:
        if evaluation.folder in given:
            continue
        name = f"{evaluation.run.key}_{evaluation.dataset}"
        name += "" if evaluation in usual else f"_{evaluation.name}"
        _check_key(name, evaluation.folder, evaluate)
        settings_of = profile.for_method(evaluation.run.method).evaluation
        evaluate[name] = {
            "run": evaluation.run.folder.as_posix(),
            "task": evaluation.run.task,
            "dataset": evaluation.dataset,
            "arguments": evaluation.arguments,
            "folder": evaluation.folder.as_posix(),
            "settings": digest_json(settings_of.model_dump(mode="json")),
        }
    content = {
        "profile": profile.name,
        "caption": profile.caption,
        "fetch": datasets(profile),
        "prepare": {
            f"{task}_{name}": {
                "task": task,
                "dataset": name,
                "settings": preparation_hash(profile, task),
            }
            for task, name in preparations(profile)
        },
        "check": {
            task: {"task": task, "settings": preparation_hash(profile, task)}
            for task in profile.tasks
        },
        "train": train,
        "tune": tune,
        "evaluate": evaluate,
    }
    head = (
        f"# Written by `irsde plan --profile {profile.name}` from "
        f"workflow/config/{profile.name}.yaml; do not edit.\n"
    )
    return head + yaml.safe_dump(content, sort_keys=False, width=100)


def _check_key(key: str, folder: Path, known: dict[str, Any]) -> None:
    if key in known:
        raise InputError(
            f"{folder} and {known[key]['folder']} have one name for DVC, {key}: rename the data "
            "set or the variant"
        )


def write_parameters(profile: Profile, given: Collection[Path] = ()) -> None:
    """Write the grid of a profile to params.yaml, which makes it the active one."""
    write_text(PARAMETERS, parameters(profile, given))


PROGRESS = "progress.json"
