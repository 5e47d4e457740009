"""Profiles: which tasks, methods, seeds and budget; read from YAML, unknown keys refused.

A profile is `workflow/config/<name>.yaml`. Both engines and every command read it through
`load_profile`.
"""

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from irsde.files import InputError, digest_json
from irsde.methods import METHODS
from irsde.protocols import PROTOCOLS
from irsde.tasks import TASKS

PROFILE_FOLDER = Path("workflow/config")
PARAMETERS = Path("params.yaml")


class Settings(BaseModel):
    """A group of settings: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NAFNetSettings(Settings):
    """Size of a `networks.ConditionalNAFNet`."""

    name: Literal["nafnet"]
    width: int = Field(64, ge=4)
    middle_blocks: int = Field(1, ge=1)
    encoder_blocks: tuple[int, ...] = (1, 1, 1, 28)
    decoder_blocks: tuple[int, ...] = (1, 1, 1, 1)


class UNetSettings(Settings):
    """Size of a `networks.ConditionalUNet`, the paper's network."""

    name: Literal["unet"]
    width: int = Field(64, ge=4)
    depth: int = Field(4, ge=1)


NetworkSettings = Annotated[NAFNetSettings | UNetSettings, Field(discriminator="name")]


def _parse_fraction(value: Any) -> Any:
    """Accept "10/255" where a number is expected."""
    if isinstance(value, str):
        try:
            return float(Fraction(value.replace(" ", "")))
        except (ValueError, ZeroDivisionError):
            raise ValueError(f"{value!r} is not a number or a fraction such as 10/255") from None
    return value


Number = Annotated[float, BeforeValidator(_parse_fraction), Field(gt=0)]


class ProcessSettings(Settings):
    """What a profile changes of every method's process."""

    stationary_std: Number | None = Field(
        None, description="lambda, such as 50/255; the task's own unless given"
    )


DatasetName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]


def _known_task(task: str) -> str:
    return _all_known("task", (task,), TASKS)[0]


TaskName = Annotated[str, AfterValidator(_known_task)]


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


DatasetNames = Annotated[tuple[DatasetName, ...], BeforeValidator(_as_tuple)]


class TaskData(Settings):
    """Data sets a task is trained, validated and tested on, and how pairs are made of them."""

    train: DatasetNames = ()
    validation: DatasetNames = ()
    test: DatasetNames = ()
    without: DatasetNames = Field(
        (), description="sets whose scenes are left out of training and validation"
    )
    allow_leakage: bool = Field(
        False, description="train although training images show scenes of the test sets"
    )
    realizations: int = Field(1, ge=1, description="degraded versions of each training image")
    resize: int | None = Field(None, ge=8, description="shorter side images are reduced to")
    window: int | None = Field(None, ge=8, description="side of the windows that are scored")
    windows_per_image: int = Field(1, ge=1)
    noise_level: Number | None = Field(None, description="of denoising; 25/255 unless given")
    clipped: bool = Field(False, description="clip noisy images to [0, 1]")
    masks: DatasetName | None = Field(None, description="set of masks of inpainting")
    enlarge: Literal["bicubic", "nearest"] = Field(
        "bicubic", description="how inputs of super-resolution are brought to the clean size"
    )


OF_ONE_TASK = {
    "noise_level": "denoising",
    "clipped": "denoising",
    "masks": "inpainting",
    "enlarge": "super-resolution",
}


class DataSettings(TaskData):
    """Data of all tasks, and below `tasks` what differs for some."""

    tasks: dict[TaskName, TaskData] = {}

    def of(self, task: str) -> TaskData:
        """Settings of one task.

        Raises
        ------
        ValueError
            If a set is missing, stands in two roles, or a setting belongs to another task.
        """
        own = self.tasks.get(task, TaskData())
        shared = {
            key: value
            for key, value in self.model_dump(exclude_unset=True).items()
            if key != "tasks" and OF_ONE_TASK.get(key, task) == task
        }
        chosen = TaskData.model_validate({**shared, **own.model_dump(exclude_unset=True)})
        for key in own.model_fields_set:
            if OF_ONE_TASK.get(key, task) != task:
                raise ValueError(f"tasks.{task}.{key}: is a setting of {OF_ONE_TASK[key]}")
        roles = {"train": chosen.train, "validation": chosen.validation, "test": chosen.test}
        for role, names in roles.items():
            if not names:
                raise ValueError(f"{role}: names no data set for {task}")
        used = [name for role in roles.values() for name in role]
        if len(set(used)) < len(used):
            raise ValueError(f"{task}: training, validation and test must be different data sets")
        return chosen


Decay = Annotated[float, Field(ge=0, lt=1)]
Threads = Annotated[int, Field(ge=1, le=1024)]


class TrainingSettings(Settings):
    """Budget and recipe of every trained method of a profile."""

    iterations: int = Field(ge=1, description="updates of the weights")
    batch: int = Field(ge=1, description="patches of an update, over all devices and parts")
    patch: int = Field(ge=8, description="side of the training patches, pixels")
    late_patch: int | None = Field(None, ge=8, description="side in the last quarter")
    accumulate: int = Field(1, ge=1, description="parts that a batch is computed in")
    learning_rate: float = Field(gt=0)
    learning_rate_schedule: Literal["milestones", "cosine"] = "milestones"
    warmup: int = Field(0, ge=0, description="iterations of linear warm-up")
    milestones: tuple[int, ...] = Field((), description="iterations at which the rate is halved")
    betas: tuple[Decay, Decay] = (0.9, 0.99)
    norm: Literal["l1", "l2"] = "l1"
    ema_decay: Decay = 0.995
    ema_every: int = Field(1, ge=1, description="iterations between EMA updates")
    ema_snapshots: int = Field(
        0, ge=0, description="moments at which averages are stored for `irsde average`"
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="of the network's arithmetic; weights stay float32"
    )
    compile: Literal[False, True, "cuda-graphs"] = Field(
        False, description="the network, with torch.compile, on a GPU also to CUDA graphs"
    )
    channels_last: bool = Field(True, description="memory layout of the network and its images")
    checkpoint_every: int = Field(ge=1, description="iterations")
    keep_checkpoints: int = Field(2, ge=1)
    validate_every: int = Field(ge=1, description="iterations")
    validation_nfe: int = Field(10, ge=1)
    validation_images: int | None = Field(None, ge=1, description="the first ones; else all")
    validation_window: int | None = Field(
        None, ge=8, description="side of the window in their middle that is restored; else all"
    )
    threads: Threads = Field(1, description="of torch; part of a run's identity")
    processes: int = Field(1, ge=1, description="that share a batch, each on a GPU of its own")

    @model_validator(mode="after")
    def _divides(self) -> "TrainingSettings":
        if self.batch % (self.accumulate * self.processes):
            raise ValueError(
                f"accumulate: a batch of {self.batch} cannot be cut into {self.accumulate} parts "
                f"for each of {self.processes} processes"
            )
        if self.compile == "cuda-graphs" and self.accumulate > 1:
            raise ValueError(
                "compile: CUDA graphs overwrite the gradients of the parts before; set accumulate "
                "to 1, or compile to true"
            )
        return self

    def patch_at(self, iteration: int) -> int:
        """Side of the patches of an iteration, counted from 0."""
        late = self.late_patch is not None and 4 * iteration >= 3 * self.iterations
        return self.late_patch if late and self.late_patch else self.patch


SINCE_FIRST_RUNS = {"channels_last": True, "validation_images": None, "validation_window": None}


class EvaluationSettings(Settings):
    """How the test set is restored and scored."""

    nfe: int | None = Field(None, ge=1, description="for all sampled methods; else each its own")
    batch: int = Field(8, ge=1)
    threads: Threads = Field(1, description="of torch; part of an evaluation's identity")
    processes: int = Field(1, ge=1, description="that share the images, each on a GPU of its own")
    sampling_seeds: tuple[NonNegativeInt, ...] = Field(
        (0,), min_length=1, description="of the sampling noise; methods without any have one"
    )
    noise_level: Literal["known", "estimated"] = Field(
        "known", description="what Denoising-SDE and -ODE start from"
    )
    keep_images: Annotated[int, Field(ge=1)] | Literal["all"] = 2
    protocol: str = "rgb"

    @field_validator("protocol")
    @classmethod
    def _known_protocol(cls, protocol: str) -> str:
        return _all_known("protocol", (protocol,), PROTOCOLS)[0]


class MemorySettings(Settings):
    """Memory that a process takes at most, in MB; bounds how many Snakemake runs at once."""

    training: int = Field(1500, ge=1)
    evaluation: int = Field(1500, ge=1)


class Block(Settings):
    """Runs beyond a profile's grid: each method for each task with each seed."""

    tasks: tuple[TaskName, ...] = Field(min_length=1)
    methods: tuple[str, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field((0,), min_length=1)


class Sweep(Settings):
    """Evaluations beyond the tables' own: every combination, for curves and for causes."""

    tasks: tuple[TaskName, ...] = Field(min_length=1)
    methods: tuple[str, ...] = Field(min_length=1, description="of the profile's runs")
    seeds: tuple[NonNegativeInt, ...] = Field((0,), min_length=1, description="of training")
    datasets: DatasetNames = Field((), description="test sets; all of the task unless given")
    samplers: tuple[str, ...] = Field((), description="the method's own unless given")
    nfe: tuple[PositiveInt, ...] = Field(
        (), description="those above a method's number of steps are left out"
    )
    grids: tuple[Literal["uniform", "quadratic", "log-snr"], ...] = ("uniform",)
    conversions: tuple[Literal["exact", "plain"], ...] = ("exact",)
    weights: tuple[Literal["ema", "raw"], ...] = ("ema",)
    precisions: tuple[Literal["float32", "bfloat16"], ...] = ("float32",)
    sampling_seeds: tuple[NonNegativeInt, ...] = (0,)


class Cause(Settings):
    """One thing that differs from a base evaluation; what is not given is as there."""

    label: str = Field(description="what differs, such as `batch 4`")
    instead_of: str = Field(description="what the base has, such as `batch 8`")
    profile: str | None = None
    method: str | None = Field(None, description="of that profile, such as a variant")
    dataset: DatasetName | None = None
    seed: NonNegativeInt | None = Field(None, description="of training")
    evaluation: str | None = Field(
        None, description="such as euler-maruyama-10 or posterior-10-raw"
    )
    protocol: str | None = None

    @field_validator("protocol")
    @classmethod
    def _known_protocol(cls, protocol: str | None) -> str | None:
        return protocol if protocol is None else _all_known("protocol", (protocol,), PROTOCOLS)[0]


class Causes(Settings):
    """Why numbers of one method may differ: its base evaluation, and causes one by one."""

    profile: str = Field(description="of the base run")
    task: TaskName
    method: str
    dataset: DatasetName
    rows: tuple[Cause, ...] = Field(min_length=1)


class Profile(Settings):
    """A named grid of runs with its budget."""

    name: str
    caption: str = Field(description="what the budget means, in plain words; stands above tables")
    tasks: tuple[str, ...] = Field(min_length=1)
    methods: tuple[str, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    more: tuple[Block, ...] = Field((), description="runs beyond tasks x methods x seeds")
    process: ProcessSettings = ProcessSettings()
    data: DataSettings
    network: NetworkSettings
    training: TrainingSettings
    evaluation: EvaluationSettings = EvaluationSettings()
    memory: MemorySettings = MemorySettings()
    variants: dict[str, dict[str, dict[str, Any]]] = Field(
        {}, description="method+name: settings that differ, by group"
    )
    sweeps: tuple[Sweep, ...] = Field((), description="evaluations beyond those of the tables")
    causes: Causes | None = Field(None, description="a table of what moves a number, and how far")

    @field_validator("tasks")
    @classmethod
    def _known_tasks(cls, tasks: tuple[str, ...]) -> tuple[str, ...]:
        return _all_known("task", tasks, TASKS)

    @field_validator("data")
    @classmethod
    def _has_data_for_every_task(cls, data: DataSettings, info: ValidationInfo) -> DataSettings:
        for task in info.data.get("tasks", ()):
            data.of(task)
        return data

    @field_validator("methods")
    @classmethod
    def _known_methods(cls, methods: tuple[str, ...]) -> tuple[str, ...]:
        _all_known("method", tuple(method.partition("+")[0] for method in methods), METHODS)
        return methods

    @field_validator("more")
    @classmethod
    def _known_more(cls, more: tuple[Block, ...], info: ValidationInfo) -> tuple[Block, ...]:
        for block in more:
            cls._known_methods(block.methods)
            if unknown := set(block.tasks) - set(info.data.get("tasks", ())):
                raise ValueError(f"{min(unknown)} is not among the profile's tasks")
        return more

    @field_validator("sweeps")
    @classmethod
    def _sweeps_its_own_runs(
        cls, sweeps: tuple[Sweep, ...], info: ValidationInfo
    ) -> tuple[Sweep, ...]:
        if not {"tasks", "methods", "seeds", "more", "data"} <= info.data.keys():
            return sweeps  # what is wrong there is said there
        tasks, data = info.data["tasks"], info.data["data"]
        grid = (info.data["methods"], info.data["seeds"], info.data["more"])
        for sweep in sweeps:
            for task in sweep.tasks:
                if task not in tasks:
                    raise ValueError(f"{task} is not among the profile's tasks")
                runs = _runs(task, *grid)
                for method in sweep.methods:
                    if missing := set(sweep.seeds) - set(runs.get(method, ())):
                        raise ValueError(
                            f"the profile has no {method} on {task} of seed {min(missing)}"
                        )
                if unknown := set(sweep.datasets) - set(data.of(task).test):
                    raise ValueError(f"{min(unknown)} is no test set of {task}")
        return sweeps

    @field_validator("causes")
    @classmethod
    def _causes_of_known_runs(cls, causes: Causes | None, info: ValidationInfo) -> Causes | None:
        if causes is None or not {"name", "tasks", "methods", "seeds", "more"} <= info.data.keys():
            return causes
        runs = _runs(causes.task, *(info.data[key] for key in ("methods", "seeds", "more")))
        for number, cause in enumerate((Cause(label="", instead_of=""), *causes.rows)):
            if (cause.profile or causes.profile) != info.data["name"]:
                continue
            method, seed = cause.method or causes.method, cause.seed or 0
            averaged = method.rpartition("+width")[0]  # what `irsde average` makes its run of
            known = runs.get(method) or runs.get(averaged, ())
            if causes.task not in info.data["tasks"] or seed not in known:
                where = f"row {number}: " if number else ""
                raise ValueError(
                    f"{where}the profile has no {method} on {causes.task} of seed {seed}"
                )
        return causes

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
        if "+" not in method:
            return self
        if method not in self.variants:
            known = ", ".join(self.variants) or "none"
            raise InputError(f"profile {self.name} defines no variant {method!r} (it has: {known})")
        if "data" in self.variants[method]:
            raise InputError(
                f"profile {self.name}, variant {method}: data cannot differ between methods of a "
                "table; make another profile"
            )
        content = self.model_dump(exclude_unset=True)
        for group, settings in self.variants[method].items():
            content[group] = {**content[group], **settings} if group in content else settings
        try:
            return Profile.model_validate(content)
        except ValidationError as error:
            place, message = _first_problem(error)
            raise InputError(
                f"profile {self.name}, variant {method}, {'.'.join(map(str, place))}: {message}"
            ) from None


def _runs(
    task: str, methods: tuple[str, ...], seeds: tuple[int, ...], more: tuple[Block, ...]
) -> dict[str, tuple[int, ...]]:
    found = dict.fromkeys(methods, seeds)
    for block in more:
        if task in block.tasks:
            for method in block.methods:
                found[method] = tuple(dict.fromkeys([*found.get(method, ()), *block.seeds]))
    return found


class ImportedProcess(Settings):
    """Steps and schedule that imported weights were trained with; the method's own otherwise."""

    steps: int = Field(ge=1, le=10_000)
    schedule: Literal["cosine", "linear", "constant"]


class RunSettings(Settings):
    """Everything that determines a run's weights, save its code and data.

    Which sets it is tested on does not, so `data.test` is empty.
    """

    task: str
    method: str
    seed: int
    stationary_std: float | None
    data: TaskData
    network: NetworkSettings | None
    training: TrainingSettings | None
    process: ImportedProcess | None = None

    @property
    def hash(self) -> str:
        """SHA-256 of the settings in canonical form."""
        return settings_hash(self.model_dump(mode="json"))


def settings_hash(content: dict[str, Any]) -> str:
    """SHA-256 of settings as a run card has them.

    A setting of `SINCE_FIRST_RUNS` is left out at the value that stands there, what was done
    before it existed, and `process` where it is the method's own: earlier runs keep their hash.
    """
    content = {k: v for k, v in content.items() if k != "process" or v is not None}
    training = content.get("training")
    if not training:
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
        If the task, method or variant is unknown.
    """
    check_name("task", task, TASKS)
    base = method.partition("+")[0]
    check_name("method", base, METHODS)
    if reason := METHODS[base].refusal(task):
        raise InputError(f"{method} on {task}: n/a, {reason}")
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


def _all_known(kind: str, names: tuple[str, ...], known: dict[str, Any]) -> tuple[str, ...]:
    for name in names:
        try:
            check_name(kind, name, known)
        except InputError as error:
            raise ValueError(str(error)) from None
    if repeated := {name for name in names if kind == "task" and names.count(name) > 1}:
        raise ValueError(f"{kind} {min(repeated)!r} stands there twice")
    return names


def check_name(kind: str, name: str, known: "dict[str, Any] | tuple[str, ...]") -> None:
    """Refuse a name that is not among the known ones.

    Raises
    ------
    InputError
        Says what exists.
    """
    if name not in known:
        raise InputError(f"unknown {kind} {name!r}: choose from {', '.join(known)}")


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
    path = PROFILE_FOLDER / f"{name}.yaml"
    if not name or "/" in name or not path.is_file():
        known = sorted(p.stem for p in PROFILE_FOLDER.glob("*.yaml"))
        raise InputError(
            f"no profile {name!r} in {PROFILE_FOLDER}/ (it has: {', '.join(known) or 'none'}); "
            "run irsde in the project's folder"
        )
    node, content = read_yaml(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: a profile is a mapping of settings")
    if (base := content.pop("like", None)) is not None:
        content = _merged(_plain_content(path, base), content)
    try:
        profile = Profile.model_validate({"name": name, **content})
        for task in profile.tasks:
            for method in profile.runs_of(task):
                profile.for_method(method)
    except ValidationError as error:
        place, message = _first_problem(error)
        key = ".".join(map(str, place))
        raise InputError(f"{path}, line {_line(node, place)}: {key}: {message}") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return profile


def _plain_content(path: Path, base: Any) -> dict[str, Any]:
    """Content of the profile that the one of a file is like."""
    file = PROFILE_FOLDER / f"{base}.yaml"
    if not isinstance(base, str) or "/" in base or not file.is_file():
        raise InputError(f"{path}: like: no profile {base!r} in {PROFILE_FOLDER}/")
    _, content = read_yaml(file)
    if not isinstance(content, dict) or "like" in content:
        raise InputError(f"{path}: like: {file} must itself be a profile that is like no other")
    return content


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Mappings of `base` with those of `changes` put in; other values are replaced."""
    both = {
        key: _merged(base[key], value)
        for key, value in changes.items()
        if isinstance(value, dict) and isinstance(base.get(key), dict)
    }
    return {**base, **changes, **both}


def read_yaml(path: Path) -> tuple[yaml.Node | None, Any]:
    """Node tree (for line numbers) and content of a YAML file.

    Raises
    ------
    InputError
        If the file cannot be read; object tags are refused.
    """
    try:
        text = path.read_text(encoding="utf-8")
        return yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


def active_profile() -> str:
    """Name of the profile that both engines build, from params.yaml."""
    _, content = read_yaml(PARAMETERS)
    if not isinstance(content, dict) or not isinstance(content.get("profile"), str):
        raise InputError(f"{PARAMETERS}: has no 'profile': run irsde plan --profile NAME")
    return str(content["profile"])


def _first_problem(error: ValidationError) -> tuple[tuple[int | str, ...], str]:
    # A misspelt key is also a missing one: the unknown key is what the user can see.
    first = min(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    place = tuple(part for part in first["loc"] if part not in ("nafnet", "unet"))
    if first["type"] == "extra_forbidden":
        return place, "unknown key"
    context = first.get("ctx", {})
    message = str(context["error"]) if "error" in context else first["msg"]
    return place, message[0].lower() + message[1:]


def _line(node: yaml.Node | None, place: tuple[int | str, ...]) -> int:
    """Line of the deepest part of `place` that stands in the file, counted from 1."""
    line = 1
    for part in place:
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif (
            isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value)
        ):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line
