"""Profiles: which tasks, methods, seeds and budget; read from YAML, unknown keys refused.

A profile is `workflow/config/<name>.yaml`. Both engines and every command read it through
`load_profile`.
"""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import GenericAlias
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)

from irsde.experiment.fields import (
    NAME,
    SEEDS,
    Blocks,
    Caption,
    Count,
    DatasetName,
    DatasetNames,
    Decay,
    Deviation,
    Iterations,
    Line,
    Megabytes,
    MethodNames,
    MethodText,
    Name,
    Number,
    PlacedError,
    ProtocolName,
    Seed,
    Seeds,
    Settings,
    Side,
    TaskName,
    TaskNames,
    TestSetNames,
    Threads,
    Width,
    check_form,
    different,
    first_problem,
    text_of,
)
from irsde.experiment.options import DEFAULTS, OPTIONS
from irsde.experiment.published_weights import weights_of
from irsde.experiment.yaml_file import (
    line_of,
    read_yaml,
)
from irsde.files import DATA, InputError, check_name, digest_json, nearest
from irsde.methods import METHODS, Method, MethodName, method_of
from irsde.objectives import OBJECTIVES, largest_step
from irsde.samplers import SAMPLERS
from irsde.tasks import TASKS, Degradation

if TYPE_CHECKING:
    from irsde.processes import GaussianProcess

PROFILE_FOLDER = Path("workflow/config")
PARAMETERS = Path("params.yaml")
TYPICAL_STD = 50 / 255  # lambda, where a process is asked for what does not depend on it


class NAFNetSettings(Settings):
    """Size of a `networks.ConditionalNAFNet`."""

    name: Literal["nafnet"] = Field(description="the kind of network: nafnet, or unet")
    width: Width = Field(64, description="channels of the first level; each level doubles them")
    middle_blocks: int = Field(1, ge=1, le=100, strict=True, description="blocks at the bottom")
    encoder_blocks: Blocks = Field(
        (1, 1, 1, 28), description="blocks of each level on the way down"
    )
    decoder_blocks: Blocks = Field(
        (1, 1, 1, 1), description="blocks of each level on the way up, as many levels"
    )

    @model_validator(mode="after")
    def _as_deep(self) -> "NAFNetSettings":
        encoder, decoder = len(self.encoder_blocks), len(self.decoder_blocks)
        if encoder != decoder:
            raise PlacedError(
                f"{decoder} levels, but encoder_blocks has {encoder}: give as many",
                "decoder_blocks",
            )
        return self


class UNetSettings(Settings):
    """Size of a `networks.ConditionalUNet`, the paper's network."""

    name: Literal["unet"] = Field(description="the kind of network: unet, or nafnet")
    width: Width = Field(64, description="channels of the first level; each level doubles them")
    depth: int = Field(4, ge=1, le=8, strict=True, description="levels")


NetworkSettings = Annotated[NAFNetSettings | UNetSettings, Field(discriminator="name")]


class ProcessSettings(Settings):
    """What a profile changes of every method's process."""

    stationary_std: Deviation | None = Field(
        None, description="lambda of the process, such as 50/255; each task's own unless given"
    )


class TaskData(Settings):
    """Data sets a task is trained, validated and tested on, and how pairs are made of them."""

    train: DatasetNames = Field(
        (), description="sets to train on: a name or a list, of data/catalogue.yaml or your own"
    )
    validation: DatasetNames = Field((), description="sets that show how training goes")
    test: TestSetNames = Field(
        (),
        description="sets whose scores are in the tables; of denoising with +sigma15 for noise "
        "of 15/255, +draw1 for another draw of it",
    )
    without: DatasetNames = Field(
        (), description="sets whose scenes are excluded from training and validation"
    )
    allow_leakage: bool = Field(
        False,
        description="train although training images show scenes of the test sets; captions say so",
    )
    realizations: Count = Field(1, description="degraded versions made of each training image")
    resize: Side | None = Field(
        None, description="shorter side that larger images are reduced to; as they are unless given"
    )
    window: Side | None = Field(
        None, description="side of the windows that are scored; whole images unless given"
    )
    windows_per_image: Count = Field(1, description="windows cut from each test image")
    noise_level: Deviation | None = Field(
        None,
        description="of denoising: standard deviation of the noise, such as 25/255, which it is "
        "unless given",
    )
    clipped: bool = Field(False, description="of denoising: clip noisy images to [0, 1]")
    masks: DatasetName | None = Field(
        None, description="of inpainting: a set of masks; generated strokes unless given"
    )
    enlarge: Literal["bicubic", "nearest"] = Field(
        "bicubic", description="of super-resolution: how inputs are brought to the clean size"
    )


def _other_tasks(key: str, task: str) -> str:
    """Tasks that a setting of data belongs to, if this one is not among them."""
    owners = [name for name, record in TASKS.items() if key in record.own_settings]
    return "" if task in owners else ", ".join(owners)


class DataSettings(TaskData):
    """Data of all tasks, and below `tasks` what differs for some."""

    tasks: dict[TaskName, TaskData] = Field(
        {}, description="for a task, any of the keys above that differ"
    )

    def of(self, task: str) -> TaskData:
        """Settings of one task.

        Raises
        ------
        ValueError
            If a set is missing, has two roles, or a setting belongs to another task.
        """
        own = self.tasks.get(task, TaskData())
        for key in own.model_fields_set:
            if owners := _other_tasks(key, task):
                raise PlacedError(f"is a setting of {owners}", "tasks", task, key)
        shared = (key for key in self.model_fields_set - {"tasks"} if not _other_tasks(key, task))
        chosen = TaskData().model_copy(
            update={key: getattr(self, key) for key in shared}
            | {key: getattr(own, key) for key in own.model_fields_set}
        )
        roles = {"train": chosen.train, "validation": chosen.validation, "test": chosen.test}
        if not chosen.test:
            raise PlacedError(f"names no data set for {task}", "test")
        used = [name for role in roles.values() for name in role]
        if len(set(used)) < len(used):
            raise ValueError(f"{task}: training, validation and test must be different data sets")
        return chosen


class TrainingSettings(Settings):
    """Budget and recipe of every trained method of a profile."""

    iterations: Iterations = Field(description="updates of the weights")
    batch: Count = Field(description="patches of an update, over all devices and parts")
    patch: Side = Field(description="side of the training patches, pixels")
    late_patch: Side | None = Field(
        None, description="side of the patches in the last quarter; the same unless given"
    )
    accumulate: Count = Field(
        1, description="parts that a batch is computed in, to need less memory"
    )
    learning_rate: Annotated[Number, Field(le=1)] = Field(description="of Adam, at first")
    learning_rate_schedule: Literal["milestones", "cosine"] = Field(
        "milestones", description="halved at `milestones`, or a cosine decay to the end"
    )
    warmup: int = Field(0, ge=0, le=10**9, strict=True, description="iterations of linear warm-up")
    milestones: Annotated[tuple[Iterations, ...], AfterValidator(different)] = Field(
        (), description="iterations at which the rate is halved"
    )
    betas: tuple[Decay, Decay] = Field((0.9, 0.99), description="of Adam")
    norm: Literal["l1", "l2"] = Field("l1", description="of the loss")
    ema_decay: Decay = Field(0.995, description="of the moving average of the weights")
    ema_every: Iterations = Field(1, description="iterations between updates of that average")
    ema_snapshots: int = Field(
        0,
        ge=0,
        le=1000,
        strict=True,
        description="evenly spaced iterations at which averages are stored, to be evaluated "
        "(`snapshots` of a sweep) or combined into one of any width (`irsde average`)",
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="of the network's arithmetic; weights stay float32 (bfloat16 was 1.4 times as "
        "fast on our CPU)",
    )
    compile: Literal[False, True, "cuda-graphs"] = Field(
        False,
        description="torch.compile for the network (slower on our CPU); cuda-graphs records "
        "graphs on a GPU as well",
    )
    channels_last: bool = Field(True, description="memory layout of the weights and images")
    checkpoint_every: Iterations = Field(description="iterations between checkpoints")
    keep_checkpoints: Count = Field(2, description="checkpoints that are kept, the last ones")
    validate_every: Iterations = Field(description="iterations between validations")
    validation_nfe: Count = Field(10, description="network evaluations of a validation image")
    validation_images: Count | None = Field(
        None, description="the first ones of the validation sets; all unless given"
    )
    validation_window: Side | None = Field(
        None, description="side of the window in their middle that is restored; all unless given"
    )
    threads: Threads = Field(
        1, description="of torch; they change the last bits, and so are part of a run's identity"
    )
    processes: Threads = Field(1, description="that share a batch, each on a GPU of its own")

    @model_validator(mode="after")
    def _divides(self) -> "TrainingSettings":
        if self.batch % (self.accumulate * self.processes):
            raise PlacedError(
                f"a batch of {self.batch} cannot be cut into {self.accumulate} parts for each of "
                f"{self.processes} processes",
                "accumulate",
            )
        if self.compile == "cuda-graphs" and self.accumulate > 1:
            raise PlacedError(
                "CUDA graphs overwrite the gradients of the parts before; set accumulate to 1, or "
                "compile to true",
                "compile",
            )
        if self.milestones and self.learning_rate_schedule == "cosine":
            raise PlacedError("have no effect on a cosine schedule; omit them", "milestones")
        return self

    @property
    def snapshots(self) -> tuple[int, ...]:
        """Iterations at which averages are stored, evenly spaced up to the last."""
        count = min(self.ema_snapshots, self.iterations)
        return tuple(-(-k * self.iterations // count) for k in range(1, count + 1))


SINCE_FIRST_RUNS = {"channels_last": True, "validation_images": None, "validation_window": None}


class EvaluationSettings(Settings):
    """How the test set is restored and scored."""

    nfe: Count | None = Field(
        None,
        description="network evaluations of an image, at most what each method has steps for; "
        "each method's own unless given",
    )
    batch: Count = Field(8, description="images of a network call")
    threads: Threads = Field(
        1, description="of torch; they change the last bits, and so are part of an evaluation"
    )
    processes: Threads = Field(1, description="that share the images, each on a GPU of its own")
    sampling_seeds: Seeds = Field(
        (0,), description="of the sampling noise; methods without any have one"
    )
    noise_level: Literal["known", "estimated"] = Field(
        "known", description="what Denoising-SDE and -ODE start from"
    )
    keep_images: Count | Literal["all"] = Field(
        2, description="restored images that are stored of each test set, or all"
    )
    protocol: ProtocolName = Field(
        "rgb", description="crop, rounding and channels of PSNR and SSIM in the tables"
    )


class MemorySettings(Settings):
    """Memory that a process takes at most, in MB; bounds how many Snakemake runs at once."""

    training: Megabytes = Field(1500, description="MB that a training takes at most")
    evaluation: Megabytes = Field(1500, description="MB that an evaluation takes at most")


class Block(Settings):
    """Runs beyond a profile's grid: each method for each task with each seed."""

    tasks: TaskNames = Field(description="tasks of these runs")
    methods: MethodNames = Field(description="methods of these runs")
    seeds: Seeds = Field((0,), description="training seeds of these runs")


def _swept() -> dict[str, Any]:
    """For each option of evaluations that has a default, the values that a sweep goes through."""
    fields: dict[str, Any] = {}
    for name, default in DEFAULTS.items():
        option = OPTIONS[name]
        several: Any = GenericAlias(tuple, (option.type, ...))
        checked = Annotated[several, Field(min_length=1), AfterValidator(different)]
        described = Field((default,), description=option.help[0].lower() + option.help[1:])
        fields[option.plural] = (Seeds if option.is_number else checked, described)
    return fields


_Swept: Any = create_model("_Swept", __base__=Settings, **_swept())


class Sweep(_Swept):
    """Evaluations beyond the tables' own: every combination, for curves and for causes."""

    tasks: TaskNames = Field(description="tasks to go through")
    methods: MethodNames = Field(
        description="of the profile's runs; those with fewer steps or "
        "other samplers get a sweep of their own"
    )
    seeds: Seeds = Field((0,), description="of training")
    datasets: TestSetNames = Field((), description="test sets; all of the task unless given")
    samplers: Annotated[tuple[Name, ...], AfterValidator(different)] = Field(
        (), description="the method's own unless given"
    )
    nfe: Annotated[tuple[Count, ...], AfterValidator(different)] = Field(
        (), description="the profile's for the method unless given"
    )


class Cause(Settings):
    """One thing that differs from a base evaluation; what is not given is as there."""

    label: Line = Field(description="what differs, such as `batch 4`")
    instead_of: Line = Field(description="what the base has, such as `batch 8`")
    profile: Name | None = Field(None, description="another profile, whose run is taken")
    method: MethodText | None = Field(None, description="of that profile, such as a variant")
    dataset: DatasetName | None = Field(None, description="another test set")
    seed: Seed | None = Field(None, description="of training")
    evaluation: Name | None = Field(
        None, description="such as euler-maruyama-10 or posterior-10-raw"
    )
    protocol: ProtocolName | None = Field(None, description="another protocol")

    def is_as_base(self, causes: "Causes") -> bool:
        """True if nothing differs from the base evaluation."""
        return (
            self.evaluation is None
            and self.protocol is None
            and not self.seed
            and self.profile in (None, causes.profile)
            and self.method in (None, causes.method)
            and self.dataset in (None, causes.dataset)
        )


class Causes(Settings):
    """Why numbers of one method may differ: its base evaluation, and causes one by one."""

    profile: Name = Field(description="of the base run")
    task: TaskName = Field(description="of the base run")
    method: MethodText = Field(description="of the base run")
    dataset: DatasetName = Field(description="test set of the base evaluation")
    rows: tuple[Cause, ...] = Field(
        min_length=1, description="what differs from the base, one by one"
    )


GROUPS_OF_VARIANTS: dict[str, TypeAdapter[Settings]] = {
    "process": TypeAdapter(ProcessSettings),
    "network": TypeAdapter(NetworkSettings),
    "training": TypeAdapter(TrainingSettings),
    "evaluation": TypeAdapter(EvaluationSettings),
    "memory": TypeAdapter(MemorySettings),
}


class Profile(Settings):
    """A named grid of runs with its budget."""

    name: Name = Field(description="that of the file; may be omitted")
    caption: Caption = Field(
        description="what the budget means, in plain words; shown above the tables"
    )
    tasks: TaskNames = Field(description="names of `irsde/tasks.py`")
    methods: MethodNames = Field(
        description="names of `irsde/methods.py`, or variants `method+name`"
    )
    seeds: Seeds = Field((0,), description="training seeds; methods without a network run once")
    more: tuple[Block, ...] = Field((), description="runs beyond tasks x methods x seeds")
    process: ProcessSettings = Field(ProcessSettings(), description="of all methods")
    data: DataSettings = Field(description="what is trained and tested on")
    network: NetworkSettings | None = Field(
        None, description="the network of all methods that are trained: its kind and size"
    )
    training: TrainingSettings | None = Field(
        None, description="budget and recipe of all trained methods"
    )
    evaluation: EvaluationSettings = Field(
        EvaluationSettings(), description="how test images are restored and scored"
    )
    memory: MemorySettings = Field(
        MemorySettings(), description="Snakemake runs no more processes at once than fit"
    )
    variants: dict[MethodText, dict[str, dict[str, object]]] = Field(
        {},
        description="for each `method+name` the settings that differ, by group: process, network, "
        "training, evaluation, memory",
    )
    sweeps: tuple[Sweep, ...] = Field(
        (), description="evaluations beyond those of the tables: every combination of these keys"
    )
    causes: Causes | None = Field(
        None, description="a table of what moves the numbers of one method, and how far"
    )

    @field_validator("data")
    @classmethod
    def _has_data_for_every_task(cls, data: DataSettings, info: ValidationInfo) -> DataSettings:
        grid = (info.data.get("methods", ()), (), info.data.get("more", ()))
        for task in info.data.get("tasks", ()):
            chosen = data.of(task)
            kinds = {method_of(method).kind for method in _runs(task, *grid)}
            of_images = kinds - {"identity", "published"} or kinds <= {"identity"}
            for role in ("train", "validation") if of_images else ():
                if not getattr(chosen, role):
                    raise PlacedError(f"names no data set for {task}", role)
        return data

    @field_validator("more")
    @classmethod
    def _more_of_its_tasks(cls, more: tuple[Block, ...], info: ValidationInfo) -> tuple[Block, ...]:
        for number, block in enumerate(more):
            for index, task in enumerate(block.tasks):
                if task not in info.data.get("tasks", (task,)):
                    raise PlacedError(_no_task(task), number, "tasks", index)
        return more

    @field_validator("sweeps")
    @classmethod
    def _sweeps_its_own_runs(
        cls, sweeps: tuple[Sweep, ...], info: ValidationInfo
    ) -> tuple[Sweep, ...]:
        if not {"tasks", "methods", "seeds", "more", "data"} <= info.data.keys():
            return sweeps  # what is wrong there is said there
        grid = tuple(info.data[key] for key in ("methods", "seeds", "more"))
        for number, sweep in enumerate(sweeps):
            for index, task in enumerate(sweep.tasks):
                if task not in info.data["tasks"]:
                    raise PlacedError(_no_task(task), number, "tasks", index)
                data = info.data["data"].of(task)
                for message, key, place in _wrong_in_sweep(sweep, task, data, _runs(task, *grid)):
                    raise PlacedError(message, number, key, place)
        return sweeps

    @field_validator("causes")
    @classmethod
    def _causes_of_known_runs(cls, causes: Causes | None, info: ValidationInfo) -> Causes | None:
        if causes is None or not {"name", "tasks", "methods", "seeds", "data"} <= info.data.keys():
            return causes
        grid = (info.data["methods"], info.data["seeds"], info.data.get("more", ()))
        runs = _runs(causes.task, *grid)
        base = Cause(label="base", instead_of="base")
        for number, cause in enumerate((base, *causes.rows)):
            place = ("rows", number - 1) if number else ()
            if number and cause.is_as_base(causes):
                raise PlacedError("nothing differs from the base", *place)
            if (cause.profile or causes.profile) != info.data["name"]:
                continue
            method, seed = cause.method or causes.method, cause.seed or 0
            known = runs.get(method) or runs.get(str(MethodName.parse(method).made_from), ())
            if causes.task not in info.data["tasks"] or seed not in known:
                where = f"row {number}: " if number else ""
                raise PlacedError(
                    f"{where}the profile has no {method} on {causes.task} of seed {seed}", *place
                )
            dataset = cause.dataset or causes.dataset
            if dataset not in info.data["data"].of(causes.task).test:
                message = f"{dataset} is no test set of {causes.task}"
                raise PlacedError(message, *place, "dataset")
        return causes

    @model_validator(mode="after")
    def _variants_make_a_difference(self) -> "Profile":
        for method in self.variants:
            if not MethodName.parse(method).variant:
                raise PlacedError(f"a variant is named {method}+name", "variants", method)
            self._varied(method)
            for place, reason in _without_effect(method, self.variants[method]):
                raise PlacedError(f"{reason}: would change nothing", "variants", method, *place)
        return self

    @model_validator(mode="after")
    def _fits_its_methods(self) -> "Profile":
        for task in self.tasks:
            for method in self.runs_of(task):
                record = method_of(method)
                if method_refusal(record, task) is None:
                    self._check_run(task, method, record)
                elif record.kind == "published":
                    _record_of(method)
        if self.causes:
            try:
                self._varied(self.causes.method)
            except PlacedError as error:
                raise PlacedError(str(error), "causes", "method") from None
        return self

    def _check_run(self, task: str, method: str, record: Method) -> None:
        """Refuse more network evaluations than there are steps, and patches that do not fit."""
        varied, own = self._varied(method), self.variants.get(method, {})
        if varied is not self and varied == self:
            raise PlacedError("changes nothing: give settings that differ", "variants", method)
        nfe = varied.evaluation.nfe
        if record.kind == "process":
            level = self.data.of(task).noise_level
            try:
                most = largest_nfe(record, level, at_least=nfe or record.nfe)
            except ValueError as error:
                own_data = self.data.tasks.get(task, TaskData()).model_fields_set
                of_task = ("tasks", task) if "noise_level" in own_data else ()
                raise PlacedError(str(error), "data", *of_task, "noise_level") from None
            if (nfe or record.nfe) > most:
                of_variant = "nfe" in own.get("evaluation", {})
                raise PlacedError(
                    f"{method} takes {most} network evaluations at most, not {nfe or record.nfe}",
                    *(("variants", method) if of_variant else ()),
                    "evaluation",
                    "nfe",
                )
        if record.kind == "published":
            _record_of(method)
        for group in ("network", "training") if record.is_trained else ():
            if getattr(varied, group) is None:
                raise PlacedError(f"is needed by {method}", group)
        for key in ("patch", "late_patch") if record.is_trained else ():
            side, scale = getattr(varied.training, key), TASKS[task].scale
            if side is not None and side % scale:
                of_variant = key in own.get("training", {})
                raise PlacedError(
                    f"{side} is no multiple of {scale}, by which {task} enlarges",
                    *(("variants", method) if of_variant else ()),
                    "training",
                    key,
                )

    def runs_of(self, task: str) -> dict[str, tuple[int, ...]]:
        """Methods of a task in the order of the profile, each with its training seeds."""
        return _runs(task, self.methods, self.seeds, self.more)

    def for_method(self, method: str) -> "Profile":
        """The profile with the settings of a variant applied; itself for a plain method.

        Raises
        ------
        InputError
            If the variant is not defined or sets something that does not exist.
        """
        try:
            return self._varied(method)
        except PlacedError as error:
            raise InputError(f"profile {self.name}, {text_of(error.place)}: {error}") from None

    def _varied(self, method: str) -> "Profile":
        if not MethodName.parse(method).variant or method_of(method).kind == "published":
            return self
        if method not in self.variants:
            known = ", ".join(self.variants) or "none"
            raise PlacedError(f"there is no variant {method!r} (it has: {known})", "variants")
        changed = {}
        for group, settings in self.variants[method].items():
            place = ("variants", method, group)
            if group not in GROUPS_OF_VARIANTS:
                raise PlacedError(
                    f"{group} cannot differ between methods of a table; make another profile",
                    *place,
                )
            if (base := getattr(self, group)) is None:
                raise PlacedError("is needed where a variant differs in it", group)
            usual = base.model_dump(exclude_unset=True)
            try:
                merged = _merged(usual, settings)
                changed[group] = GROUPS_OF_VARIANTS[group].validate_python(merged)
            except ValidationError as error:
                within, message = first_problem(error)
                raise PlacedError(message, *place, *within) from None
        return self.model_copy(update=changed)


def _record_of(method: str) -> None:
    """Refuse the name of a published system that the catalogue of weights does not have."""
    try:
        weights_of(method)
    except InputError as error:
        raise PlacedError(str(error), "methods") from None


def _no_task(task: str) -> str:
    return f"{task} is not among the profile's tasks"


def _without_effect(
    method: str, settings: dict[str, dict[str, object]]
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Places in the settings of a variant that its method does not use, each with the reason."""
    record = method_of(method)
    if "process" in settings and not (record.kind == "process" and record.has_lambda):
        yield ("process",), f"{record.label} has no lambda"
    for group in ("network", "training"):
        if group in settings and not record.is_trained:
            yield (group,), f"{record.label} has no network"
    for key in ("nfe", "sampling_seeds"):
        if key in settings.get("evaluation", {}) and record.kind != "process":
            yield ("evaluation", key), f"{record.label} has no sampler"


def _wrong_in_sweep(
    sweep: Sweep, task: str, data: TaskData, runs: dict[str, tuple[int, ...]]
) -> Iterator[tuple[str, str, int]]:
    """What a sweep asks for of a task that there is not: a message and its place in the sweep."""
    for index, dataset in enumerate(sweep.datasets):
        if dataset not in data.test:
            yield f"{dataset} is no test set of {task}", "datasets", index
    for index, method in enumerate(sweep.methods):
        record = method_of(method)
        if reason := method_refusal(record, task):
            yield reason, "methods", index
        if missing := set(sweep.seeds) - set(runs.get(method, ())):
            message = f"the profile has no {method} on {task} of seed {min(missing)}"
            yield message, "methods", index
        for position, sampler in enumerate(sweep.samplers):
            if reason := sampler_refusal(record, sampler):
                yield reason, "samplers", position
        most = largest_nfe(record, data.noise_level, at_least=max(sweep.nfe, default=0))
        for position, nfe in enumerate(sweep.nfe):
            if nfe > most or (record.kind != "process" and nfe != most):
                most_text = "at most" if record.kind == "process" else "always"
                message = f"{nfe} is n/a: {method} takes {most} network evaluations {most_text}"
                yield f"{message}; give it a sweep of its own", "nfe", position


def check_task(name: str) -> None:
    """Refuse a task that there is not.

    Raises
    ------
    InputError
        Says which there are.
    """
    check_name("task", name, TASKS)


def method_refusal(method: Method, task: str) -> str | None:
    """Why a method cannot do a task, as a sentence for tables; None if it can."""
    if method.only_task not in (None, task):
        return f"{method.label} is made for {method.only_task} only"
    if method.kind == "classical" and TASKS[task].classical is None:
        return f"there is no classical method for {task}"
    return None


def noise_level_of(task: str, settings: TaskData) -> float | None:
    """Standard deviation of the noise in degraded images, where that is all there is in them."""
    if not TASKS[task].is_noise:
        return None
    level = settings.noise_level
    return Degradation.noise_level if level is None else level


def sampler_refusal(method: Method, sampler: str) -> str | None:
    """Why a method cannot be sampled so, as a sentence; None if it can.

    Only for samplers that do not fit every process this loads torch, to ask the process.
    """
    if method.process is None:
        return None if sampler == method.sampler else f"{method.label} has no sampler"
    if sampler not in SAMPLERS:
        known = ", ".join(SAMPLERS)
        return f"unknown sampler {sampler!r}: choose from {known}{nearest(sampler, SAMPLERS)}"
    if sampler == method.sampler or not SAMPLERS[sampler].needs:
        return None
    return SAMPLERS[sampler].refusal(_process(method))


@cache
def _process(method: Method) -> "GaussianProcess":
    assert method.process is not None
    return method.process(TYPICAL_STD)


def largest_nfe(method: Method, noise_level: float | None = None, at_least: int = 0) -> int:
    """Most network evaluations that a method has steps for.

    Parameters
    ----------
    method : Method
    noise_level : float, optional
        Standard deviation of the noise in the images, in their unit, where restoration starts at
        its step; 25/255 unless given.
    at_least : int
        Where the method's default is as large, it is returned instead, without loading torch.

    Raises
    ------
    ValueError
        If the process cannot start from this noise level.
    """
    usual = method.conditional or noise_level in (None, Degradation.noise_level)
    if method.process is None or (usual and at_least <= method.nfe):
        return method.nfe
    return _largest_nfe(method, noise_level or Degradation.noise_level)


@cache
def _largest_nfe(method: Method, noise_level: float) -> int:
    if method.conditional:
        return largest_step(OBJECTIVES[method.objective], _process(method))
    from irsde.processes import matched_step

    return matched_step(_process(method), noise_level)


def _runs(
    task: str, methods: tuple[str, ...], seeds: tuple[int, ...], more: tuple[Block, ...]
) -> dict[str, tuple[int, ...]]:
    seeds_of = dict.fromkeys(methods, seeds)
    for block in more:
        if task in block.tasks:
            for method in block.methods:
                seeds_of[method] = tuple(dict.fromkeys([*seeds_of.get(method, ()), *block.seeds]))
    return seeds_of


class ImportedProcess(Settings):
    """Steps and schedule that imported weights were trained with; the method's own otherwise."""

    steps: int = Field(ge=1, le=10_000)
    schedule: Literal["cosine", "linear", "constant"]


class RunSettings(Settings):
    """Everything that determines a run's weights, save its code and data.

    Which sets it is tested on does not, so `data.test` is empty.
    """

    task: TaskName
    method: MethodText
    seed: Seed
    stationary_std: float | None
    data: TaskData
    network: NetworkSettings | None
    training: TrainingSettings | None
    process: ImportedProcess | None = None

    @property
    def hash(self) -> str:
        """SHA-256 of the settings in canonical form."""
        return settings_hash(self.model_dump(mode="json"))


def settings_hash(content: Mapping[str, object]) -> str:
    """SHA-256 of settings as a run card has them.

    A setting of `SINCE_FIRST_RUNS` is omitted at the value given there, what was done
    before it existed, and `process` where it is the method's own: earlier runs keep their hash.
    """
    content = {k: v for k, v in content.items() if k != "process" or v is not None}
    training = content.get("training")
    if not isinstance(training, dict):
        return digest_json(content)
    kept = {
        name: value
        for name, value in training.items()
        if name not in SINCE_FIRST_RUNS or value != SINCE_FIRST_RUNS[name]
    }
    return digest_json({**content, "training": kept})


def run_settings(profile: Profile, task: str, method: str, seed: int) -> RunSettings:
    """Settings of one run of a profile.

    Raises
    ------
    InputError
        If the task, method or variant is unknown, or the seed out of range.
    """
    if not 0 <= seed < SEEDS:
        raise InputError(f"seed {seed}: give one from 0 to {SEEDS - 1}")
    check_name("task", task, TASKS)
    base = MethodName.parse(method).base
    check_name("method", base, METHODS)
    if reason := method_refusal(METHODS[base], task):
        raise InputError(f"{method} on {task}: n/a, {reason}")
    if METHODS[base].kind == "published":
        return RunSettings(
            task=task,
            method=method,
            seed=seed,
            stationary_std=None,
            data=TaskData(),
            network=None,
            training=None,
        )
    resolved = profile.for_method(method)
    is_trained = METHODS[base].is_trained
    return RunSettings(
        task=task,
        method=method,
        seed=seed,
        stationary_std=(
            (resolved.process.stationary_std or TASKS[task].stationary_std)
            if METHODS[base].kind == "process" and METHODS[base].has_lambda
            else None
        ),
        data=resolved.data.of(task).model_copy(update={"test": ()}),
        network=resolved.network if is_trained else None,
        training=resolved.training if is_trained else None,
    )


def load_profile(name: str) -> Profile:
    """Read `workflow/config/<name>.yaml` below the working directory.

    Raises
    ------
    InputError
        If the file is absent, is not YAML, or has an unknown or wrong key; the message has the
        file and the line.

    Notes
    -----
    A profile with `like: OTHER` has all settings of that profile that it does not set itself.
    """
    path = PROFILE_FOLDER / f"{check_form('profile', name)}.yaml"
    if not path.is_file():
        known = sorted(p.stem for p in PROFILE_FOLDER.glob("*.yaml"))
        raise InputError(
            f"no profile {name!r} in {PROFILE_FOLDER}/ (it has: {', '.join(known) or 'none'})"
            + (nearest(name, known) or "; run irsde in the project's folder")
        )
    node, content = read_yaml(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: a profile is a mapping of settings")
    if content.pop("name", name) != name:
        raise InputError(
            f"{path}, line {line_of(node, ('name',))}: name: a profile has the name of its file, "
            f"{name}; omit it or rename the file"
        )
    if (base := content.pop("like", None)) is not None:
        content = _merged(_plain_content(path, base), content)
    try:
        profile = Profile.model_validate({"name": name, **content})
        _check_datasets(profile)
    except ValidationError as error:
        place, message = first_problem(error)
    except PlacedError as error:
        place, message = error.place, str(error)
    else:
        return profile
    raise InputError(f"{path}, line {line_of(node, place)}: {text_of(place)}: {message}")


def wrong_in_profile(profile: Profile, message: str, *place: str | int) -> InputError:
    """Error about a place in the file of a profile that was loaded; the message has its line."""
    path = PROFILE_FOLDER / f"{profile.name}.yaml"
    line = f", line {line_of(read_yaml(path)[0], place)}" if path.is_file() else ""
    return InputError(f"{path}{line}: {text_of(place)}: {message}")


@dataclass(frozen=True)
class TestSet:
    """A test set as a profile names it: `mcmaster+sigma15+draw1`.

    Parameters
    ----------
    dataset : str
        The data set.
    noise_level : float, optional
        Of denoising, in the unit of images in [0, 1]; the profile's unless the name says one.
    draw : int
        Which draw of the noise; 0 unless the name says one.
    """

    dataset: str
    noise_level: float | None = None
    draw: int = 0

    @classmethod
    def parse(cls, name: str) -> "TestSet":
        """The test set of a name.

        Examples
        --------
        >>> TestSet.parse("mcmaster+sigma51+draw2")
        TestSet(dataset='mcmaster', noise_level=0.2, draw=2)
        """
        dataset, *conditions = name.split("+")
        found = {part.rstrip("0123456789"): part for part in conditions}
        sigma, draw = found.get("sigma"), found.get("draw")
        return cls(
            dataset,
            int(sigma.removeprefix("sigma")) / 255 if sigma else None,
            int(draw.removeprefix("draw")) if draw else 0,
        )

    def __str__(self) -> str:
        """Name of the test set."""
        sigma = "" if self.noise_level is None else f"+sigma{round(self.noise_level * 255)}"
        return f"{self.dataset}{sigma}" + (f"+draw{self.draw}" if self.draw else "")


def _check_datasets(profile: Profile) -> None:
    """Refuse names that are nearly that of a data set: own sets may be made later."""
    known: set[str] = set()
    for task in profile.tasks:
        chosen = profile.data.of(task)
        own = profile.data.tasks.get(task, TaskData()).model_fields_set
        for role in ("train", "validation", "test", "without", "masks"):
            names = getattr(chosen, role) or ()
            for given in (names,) if isinstance(names, str) else names:
                name = TestSet.parse(given).dataset
                if given != name and not TASKS[task].is_noise:
                    raise PlacedError(
                        f"{given}: only test sets of denoising have +sigma and +draw",
                        "data",
                        *(("tasks", task) if role in own else ()),
                        role,
                    )
                if (DATA / name).is_dir():
                    continue
                known = known or _known_datasets()
                near = difflib.get_close_matches(name, known, 1, 0.8)
                if near and name not in known:
                    raise PlacedError(
                        f"no data set {name!r}; did you mean {near[0]!r}? For one of your own, "
                        f"make the folder {DATA / name} first",
                        "data",
                        *(("tasks", task) if role in own else ()),
                        role,
                    )


def _known_datasets() -> set[str]:
    """Data sets of the catalogue and folders in data/."""
    folders = {path.name for path in DATA.glob("*") if path.is_dir()}
    catalogue = DATA / "catalogue.yaml"
    content = read_yaml(catalogue)[1] if catalogue.is_file() else {}
    families = content.values() if isinstance(content, dict) else ()
    splits = [family.get("splits") for family in families if isinstance(family, dict)]
    return folders.union(*(split for split in splits if isinstance(split, dict)))


def _plain_content(path: Path, base: object) -> dict[str, object]:
    """Content of the profile that the one of a file is like."""
    file = PROFILE_FOLDER / f"{base}.yaml"
    if not isinstance(base, str) or NAME.fullmatch(base) is None or not file.is_file():
        raise InputError(f"{path}: like: no profile {str(base)[:100]!r} in {PROFILE_FOLDER}/")
    _, content = read_yaml(file)
    if not isinstance(content, dict) or "like" in content:
        raise InputError(f"{path}: like: {file} must itself be a profile that is like no other")
    content.pop("name", None)
    return content


def _merged(base: dict[str, object], changes: dict[str, object]) -> dict[str, object]:
    """Mappings of `base` with those of `changes` put in; other values are replaced.

    A mapping with another `name`, as that of another kind of network, replaces that of `base`.
    """
    if base.get("name") != changes.get("name", base.get("name")):
        return changes
    both = {
        key: _merged(before, value)
        for key, value in changes.items()
        if isinstance(value, dict) and isinstance(before := base.get(key), dict)
    }
    return {**base, **changes, **both}


def active_profile() -> str:
    """Name of the profile that both engines build, from params.yaml.

    Raises
    ------
    InputError
        If the file has none, or a name of another form.
    """
    try:
        lines = PARAMETERS.read_text(encoding="utf-8").splitlines()
        # of the whole grid below, which takes seconds to parse, nothing is asked
        content = yaml.safe_load("\n".join(line for line in lines if line.startswith("profile:")))
    except OSError as error:
        raise InputError(f"{PARAMETERS}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, ValueError, ArithmeticError):
        content = None
    name = content.get("profile") if isinstance(content, dict) else None
    if not isinstance(name, str):
        raise InputError(f"{PARAMETERS}: has no 'profile': run irsde plan --profile NAME")
    return check_form(f"{PARAMETERS}: profile", name)
