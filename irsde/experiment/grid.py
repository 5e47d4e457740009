"""The grid of a profile: every run and every evaluation, and the folder of each.

`results/<profile>/<task>/<method>/seed<k>/evaluations/<dataset>/<sampler>-<nfe>/` is the one
grammar of paths; Snakemake, DVC, MLflow and the reports all take it from here.
"""

import itertools
import re
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, NotRequired, TypedDict

import yaml

from irsde.experiment.fields import METHOD, NAME, TEST_SET, check_form
from irsde.experiment.options import OPTIONS, EvaluationOptions, options_of
from irsde.experiment.profile import (
    PARAMETERS,
    Causes,
    Profile,
    RunSettings,
    TaskData,
    TestSet,
    largest_nfe,
    method_refusal,
    run_settings,
    sampler_refusal,
    wrong_in_profile,
)
from irsde.experiment.published_weights import weights_of
from irsde.files import DATA, RESULTS, InputError, check_name, digest_json, write_text
from irsde.methods import METHODS, MethodName, method_of

IMPORTED = "authors"  # variant that a run of imported weights is

EVALUATED = "evaluated.json"  # in a run's folder: which evaluations Snakemake has had made

DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # they write the same

OUTSIDE = "outside"  # in place of a method, for results made elsewhere


@dataclass(frozen=True)
class Run:
    """A run of the grid: (profile, task, method, seed)."""

    profile: str
    task: str
    method: str
    seed: int

    @cached_property
    def folder(self) -> Path:
        """`results/<profile>/<task>/<method>/seed<k>`."""
        return RESULTS / self.profile / self.task / self.method / f"seed{self.seed}"

    @property
    def is_trained(self) -> bool:
        """True if the run has a network."""
        return method_of(self.method).is_trained

    @property
    def stage(self) -> Literal["import", "train", "tune"]:
        """What makes the run: its weights are published, trained here, or there are none."""
        if method_of(self.method).kind == "published":
            return "import"
        return "train" if self.is_trained else "tune"

    @property
    def label(self) -> str:
        """Method as tables show it, unless the run says more exactly what it was."""
        if self.stage == "import":
            return weights_of(self.method).label
        label, variant = method_of(self.method).label, MethodName.parse(self.method).variant
        return f"{label} + {variant}" if variant else label

    @property
    def key(self) -> str:
        """Name without slashes and dots, for DVC."""
        return f"{self.task}_{self.method}_seed{self.seed}".replace(".", "_")


@dataclass(frozen=True)
class Evaluation:
    """An evaluation of a run on a test set.

    Parameters
    ----------
    run : Run
    dataset : str
        Test set.
    options : EvaluationOptions
        How it is restored.
    """

    run: Run
    dataset: str
    options: EvaluationOptions

    @cached_property
    def folder(self) -> Path:
        """`<run>/evaluations/<dataset>/<name of the options>`."""
        return self.run.folder / "evaluations" / self.dataset / self.options.name

    @property
    def place(self) -> str:
        """`<dataset>/<name of the options>`, below the evaluations of the run."""
        return f"{self.dataset}/{self.options.name}"

    @property
    def arguments(self) -> str:
        """Arguments of `irsde evaluate` that choose this evaluation of the run, for a shell."""
        run = ["--run", self.run.folder.as_posix()]
        return shlex.join([*run, "--dataset", self.dataset, *self.options.arguments])


def evaluation_of(run: Run, dataset: str, name: str) -> Evaluation:
    """The evaluation of a folder's name, read back.

    Raises
    ------
    InputError
        If the name is of another form.
    """
    return Evaluation(run, dataset, options_of(name))


def evaluation_at(run: Run, place: str) -> Evaluation:
    """The evaluation of an `Evaluation.place`, read back.

    Raises
    ------
    InputError
        If it is of another form.
    """
    dataset, _, name = place.partition("/")
    return evaluation_of(run, check_form("--evaluation", dataset, TEST_SET), name)


def by_run(evaluations: Iterable[Evaluation]) -> dict[Run, list[Evaluation]]:
    """Evaluations of each run, which one process makes, in their order."""
    found: dict[Run, list[Evaluation]] = {}
    for evaluation in evaluations:
        found.setdefault(evaluation.run, []).append(evaluation)
    return found


def arguments_of(evaluations: Sequence[Evaluation]) -> str:
    """Arguments of `irsde evaluate` that choose these evaluations of one run, for a shell."""
    run = ["--run", evaluations[0].run.folder.as_posix()]
    places = [part for one in evaluations for part in ("--evaluation", one.place)]
    return shlex.join([*run, *places])


def refuse_without_effect(options: EvaluationOptions, method: str) -> None:
    """Refuse options of an evaluation that would change its name and not one pixel.

    Raises
    ------
    InputError
        Names the option as `irsde evaluate` has it, and why it does nothing; or if the method or
        the sampler is unknown, or one cannot be used with the other.
    """
    base = MethodName.parse(method).base
    check_name("method", base, METHODS)
    record = METHODS[base]
    unfit = sampler_refusal(record, options.sampler) if record.kind == "process" else None
    if reason := unfit or options.refusal(record):
        raise InputError(reason)


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


def checkpoints_in(folder: Path, every: int = 1) -> list[Path]:
    """Checkpoints of a folder that were made at multiples of an iteration, the newest last."""
    files = sorted(path for path in folder.glob("*.safetensors") if path.stem.isdigit())
    return [path for path in files if int(path.stem) % every == 0]


SNAPSHOTS = Path("checkpoint") / "snapshots"  # in a run's folder: averages stored on the way


def snapshot_file(run: Path, iteration: int, width: float) -> Path:
    """Average of the weights of a relative width at an iteration, in a run's folder."""
    return run / SNAPSHOTS / f"{iteration:08d}-{width:.3f}.safetensors"


def runs(profile: Profile) -> list[Run]:
    """All runs of a profile, in the order of its lists."""
    return [
        Run(profile.name, task, method, seed)
        for task in profile.tasks
        for method, seeds in profile.runs_of(task).items()
        if method_refusal(method_of(method), task) is None
        for seed in (seeds if _depends_on_seed(method) else seeds[:1])
    ]


def refusals(profile: Profile) -> dict[str, dict[str, str]]:
    """Methods of a profile that cannot do a task: task → label of the method → reason."""
    reasons: dict[str, dict[str, str]] = {}
    for task in profile.tasks:
        for method in profile.runs_of(task):
            record = method_of(method)
            if record.kind == "published":
                continue  # it is in the tables of its own task
            if reason := method_refusal(record, task):
                reasons.setdefault(task, {})[record.label] = reason
    return reasons


def _depends_on_seed(method: str) -> bool:
    return method_of(method).is_trained


def evaluations(profile: Profile) -> list[Evaluation]:
    """The evaluations that tables are made of, in the order of the runs."""
    listed = []
    for run in runs(profile):
        settings = profile.for_method(run.method)
        sampler, nfe = default_sampler(settings, run.method)
        seeds = settings.evaluation.sampling_seeds if sampler != "direct" else (0,)
        listed += [
            Evaluation(run, dataset, EvaluationOptions(sampler, nfe, sampling_seed=seed))
            for dataset in _tests_of(run, settings)
            for seed in seeds
        ]
    return listed


def datasets_tested(data: TaskData) -> list[str]:
    """Data sets of the test sets of a task, each once."""
    return list(dict.fromkeys(TestSet.parse(name).dataset for name in data.test))


def _tests_of(run: Run, settings: Profile) -> list[str]:
    """Test sets that a run is evaluated on; of a published system those of its record."""
    tests = settings.data.of(run.task).test
    if method_of(run.method).kind != "published":
        return list(tests)
    known = weights_of(run.method).test_sets
    return [name for name in tests if str(replace(TestSet.parse(name), draw=0)) in known]


def sweep_evaluations(profile: Profile) -> list[Evaluation]:
    """The evaluations of a profile's sweeps, those of the tables among them where they meet.

    Raises
    ------
    InputError
        If an option of a sweep would change nothing.
    """
    listed: dict[Evaluation, None] = {}
    for number, sweep in enumerate(profile.sweeps):
        for task, method, seed in itertools.product(sweep.tasks, sweep.methods, sweep.seeds):
            run = Run(profile.name, task, method, seed)
            settings = profile.for_method(method)
            sampler, nfe = default_sampler(settings, method)
            usual = EvaluationOptions(sampler, nfe)
            of_run = [
                Evaluation(run, dataset, EvaluationOptions(*values))
                for dataset in sweep.datasets or _tests_of(run, settings)
                for values in itertools.product(
                    *(
                        getattr(sweep, option.plural) or (getattr(usual, name),)
                        for name, option in OPTIONS.items()
                    )
                )
            ]
            for evaluation in of_run:
                _check_options(evaluation, profile, "sweeps", number)
            listed |= dict.fromkeys(of_run)
    return list(listed)


def _check_options(evaluation: Evaluation, profile: Profile, *place: str | int) -> None:
    """Refuse an evaluation in a profile's file whose options would change nothing."""
    options, run = evaluation.options, evaluation.run
    if not options.differing:
        return
    is_own = run.profile == profile.name and run.method in profile.runs_of(run.task)
    recipe = profile.for_method(run.method).training if is_own else None
    if options.snapshot and recipe and options.snapshot not in recipe.snapshots:
        stored = ", ".join(map(str, recipe.snapshots)) or "none"
        message = (
            f"{options.name}: training.ema_snapshots stores no such weights (it has: {stored})"
        )
        raise wrong_in_profile(profile, message, *place)
    try:
        refuse_without_effect(options, run.method)
    except InputError as error:
        raise wrong_in_profile(profile, f"{options.name}: {error}", *place) from None


def outside_evaluations(profile: str) -> list[Path]:
    """Folders of results made elsewhere, which `irsde evaluate --restored` scored."""
    summaries = (RESULTS / profile).glob(f"*/{OUTSIDE}+*/seed0/evaluations/*/*/summary.json")
    return sorted(path.parent for path in summaries if not path.parent.name.startswith("."))


def datasets(profile: Profile) -> list[str]:
    """Names of all data sets that a profile needs, sorted."""
    names: set[str] = set()
    for task in profile.tasks:
        chosen = profile.data.of(task)
        names |= {*chosen.train, *chosen.validation, *datasets_tested(chosen), *chosen.without}
        names |= {chosen.masks} if chosen.masks else set()
    return sorted(names)


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
    masks = [chosen.masks] if chosen.masks else []
    return [TestSet.parse(dataset).dataset, *without, *masks]


def datasets_of_task(profile: Profile, task: str) -> list[str]:
    """Data sets that the leakage check of a task looks at, in the order of the profile."""
    chosen = profile.data.of(task)
    names = (*chosen.train, *chosen.validation, *datasets_tested(chosen), *chosen.without)
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
    base = Evaluation(run, causes.dataset, EvaluationOptions(sampler, nfe))
    listed = []
    for number, cause in enumerate(causes.rows):
        of_cause = replace(
            run,
            profile=cause.profile or run.profile,
            method=cause.method or run.method,
            seed=run.seed if cause.seed is None else cause.seed,
        )
        dataset = cause.dataset or causes.dataset
        if cause.evaluation is None:
            listed.append(replace(base, run=of_cause, dataset=dataset))
            continue
        place = ("causes", "rows", number, "evaluation")
        method = method_of(of_cause.method)
        try:
            evaluation = evaluation_of(of_cause, dataset, cause.evaluation)
        except InputError as error:
            raise wrong_in_profile(profile, str(error), *place) from None
        options = evaluation.options
        if reason := sampler_refusal(method, options.sampler):
            raise wrong_in_profile(profile, reason, *place)
        most = largest_nfe(method, at_least=options.nfe)
        if options.nfe > most:
            message = f"{of_cause.method} takes {most} network evaluations at most"
            raise wrong_in_profile(profile, message, *place)
        _check_options(evaluation, profile, *place)
        listed.append(evaluation)
    return base, listed


def further_evaluations(profile: Profile) -> list[Evaluation]:
    """What a profile's sweeps and its table of causes need of its own runs, beyond its tables."""
    listed = sweep_evaluations(profile)
    if profile.causes:
        base, of_causes = cause_evaluations(profile.causes, profile)
        own = set(runs(profile))
        listed += [one for one in (base, *of_causes) if one.run in own]
    usual = set(evaluations(profile))
    return [one for one in dict.fromkeys(listed) if one not in usual]


def default_sampler(profile: Profile, method: str) -> tuple[str, int]:
    """Sampler and NFE that a profile evaluates a method with."""
    record = method_of(method)
    if record.kind != "process":
        return record.sampler, record.nfe
    return record.sampler, profile.evaluation.nfe or record.nfe


class RunItem(TypedDict):
    """A run in params.yaml."""

    task: str
    method: str
    seed: int
    folder: str
    settings: str
    weights: NotRequired[str]  # SHA-256 of the published file


class EvaluationItem(TypedDict):
    """The evaluations of a run in params.yaml."""

    task: str
    arguments: str
    folder: str
    settings: str


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
    stages: dict[str, dict[str, RunItem]] = {"import": {}, "train": {}, "tune": {}}
    evaluate: dict[str, EvaluationItem] = {}
    for run in runs(profile):
        if run.folder in given:
            continue
        settings: RunSettings = run_settings(profile, run.task, run.method, run.seed)
        stage = stages[run.stage]
        _check_key(run.key, run.folder, stage)
        stage[run.key] = {
            "task": run.task,
            "method": run.method,
            "seed": run.seed,
            "folder": run.folder.as_posix(),
            "settings": settings.hash,
        }
        if run.stage == "import":
            stage[run.key]["weights"] = weights_of(run.method).sha256
    wanted = [*evaluations(profile), *further_evaluations(profile)]
    for run, of_run in by_run(one for one in wanted if one.folder not in given).items():
        _check_key(run.key, run.folder, evaluate)
        evaluate[run.key] = {
            "task": run.task,
            "arguments": arguments_of(of_run),
            "folder": run.folder.as_posix(),
            "settings": digest_json(
                profile.for_method(run.method).evaluation.model_dump(mode="json")
            ),
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
        **stages,
        "evaluate": evaluate,
    }
    head = (
        f"# Written by `irsde plan --profile {profile.name}` from "
        f"workflow/config/{profile.name}.yaml; do not edit.\n"
    )
    return head + yaml.dump(content, Dumper=DUMPER, sort_keys=False, width=100)


def _check_key(
    key: str, folder: Path, known: Mapping[str, RunItem] | Mapping[str, EvaluationItem]
) -> None:
    if key in known:
        raise InputError(
            f"{folder} and {known[key]['folder']} have one name for DVC, {key}: rename the data "
            "set or the variant"
        )


def write_parameters(profile: Profile, given: Collection[Path] = ()) -> None:
    """Write the grid of a profile to params.yaml, which makes it the active one."""
    write_text(PARAMETERS, parameters(profile, given))


PROGRESS = "progress.json"
