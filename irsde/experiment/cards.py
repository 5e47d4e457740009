"""Cards of runs and data sets: `run.json` and `dataset.json`, each with its fields in one place.

A card may come from anyone, with anything in it. It is checked once, where it is read: what
becomes a path, a key of a table or the size of a network is then safe to use.
"""

from datetime import datetime
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    JsonValue,
    ValidationError,
)

from irsde.experiment.fields import LONGEST_NAME, METHOD, Name, TestSetName, problem_of
from irsde.experiment.grid import OUTSIDE
from irsde.experiment.options import Conversion
from irsde.experiment.profile import GROUPS_OF_VARIANTS
from irsde.files import InputError, is_present, read_json, write_json
from irsde.methods import METHODS, MethodName
from irsde.tasks import TASKS


def _is_task(name: str) -> str:
    if name not in TASKS:
        raise ValueError(f"is no task ({', '.join(TASKS)})")
    return name


def _is_method_name(name: str) -> str:
    if METHOD.fullmatch(name) is None or len(name) > LONGEST_NAME:
        raise ValueError("is no name of a method")
    return name


def _is_method(name: str) -> str:
    if (base := MethodName.parse(name).base) not in (*METHODS, OUTSIDE):
        raise ValueError(f"{base!r} is no method of this version")
    return name


def _is_printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("has control characters")
    return text


def _is_time(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("is a time without a zone")
    return text


def _has_known_network(network: dict[str, JsonValue] | None) -> dict[str, JsonValue] | None:
    """Refuse a network that is none of ours or too large, before one is built."""
    if network is None or "name" not in network:
        return network
    try:
        GROUPS_OF_VARIANTS["network"].validate_python(network)
    except ValidationError as error:
        raise ValueError(problem_of(error)) from None
    return network


Count = Annotated[int, Field(ge=0, lt=2**63)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, Field(max_length=1000), AfterValidator(_is_printable)]
Time = Annotated[str, Field(max_length=40), AfterValidator(_is_time)]
TaskName = Annotated[str, AfterValidator(_is_task)]
AnyMethod = Annotated[str, AfterValidator(_is_method_name)]  # of this version or another
KnownMethod = Annotated[AnyMethod, AfterValidator(_is_method)]


class Stored(BaseModel):
    """What a JSON file of ours holds, or a part of it.

    A field with a default may be absent: older versions did not write it, or it has no meaning for
    this kind of file. Fields that this version does not know are kept.
    """

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)
    kind: ClassVar[str] = "a file of results"
    most_bytes: ClassVar[int] = 16 * 2**20

    @classmethod
    def read(cls, path: Path) -> Self:
        """Content of a file.

        Raises
        ------
        InputError
            If it cannot be read, is larger than `most_bytes`, or a field is wrong; the message is
            one line that names the field.
        """
        if is_present(path) and path.stat().st_size > cls.most_bytes:
            raise InputError(
                f"{path}: larger than the {cls.most_bytes // 2**20} MiB that {cls.kind} may have"
            )
        return cls.check(path, read_json(path))

    @classmethod
    def check(cls, path: Path, content: object) -> Self:
        """The content that a file has.

        Raises
        ------
        InputError
            If a field is wrong.
        """
        if not isinstance(content, dict):
            raise InputError(f"{path}: not {cls.kind}")
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            problem = problem_of(error)
            raise InputError(f"{path}: not {cls.kind} of this version: {problem}") from None

    def content(self) -> dict[str, object]:
        """The fields as they are in the file, and no others."""
        return self.model_dump(exclude_unset=True)

    def write(self, path: Path) -> None:
        """Write the file, by way of a temporary name."""
        write_json(path, self.content())


class RecordedData(Stored):
    """Data settings that a run was made with."""

    train: list[Name] = []
    validation: list[Name] = []
    without: list[Name] = []
    allow_leakage: bool = False
    resize: Count | None = None
    noise_level: FiniteFloat | None = None
    clipped: bool = False


class RecordedTraining(Stored):
    """Training settings that a run was made with."""

    iterations: Count
    batch: Count
    patch: Count
    late_patch: Count | None = None
    norm: Text | None = None
    learning_rate: FiniteFloat | None = None
    ema_decay: FiniteFloat | None = None
    precision: Text | None = None
    validation_nfe: Count | None = None


class RecordedProcess(Stored):
    """Process that imported weights were trained with."""

    steps: Count
    schedule: Text


class RecordedSettings(Stored):
    """Settings that a run was made with, of this version or an earlier one.

    Images restored elsewhere have none.
    """

    method: KnownMethod | None = None
    stationary_std: FiniteFloat | None = None
    data: RecordedData = RecordedData()
    network: Annotated[dict[str, JsonValue] | None, AfterValidator(_has_known_network)] = None
    training: RecordedTraining | None = None
    process: RecordedProcess | None = None


class Origin(Stored):
    """A file of weights that came from elsewhere."""

    file: Text
    sha256: Text


class RunCard(Stored):
    """Content of `run.json`, the card of a finished run.

    Parameters
    ----------
    profile, task, method, seed
        Which run it is. A card without a profile is of weights outside `results/`.
    label : str
        Method as tables show it.
    source, objective : str, optional
        Paper of the method; what its network predicts.
    settings : RecordedSettings
    identity : dict of str to str
        Hashes of what the weights depend on; two runs that agree in it are the same run.
    parameters : int or None
        Of the network; None where nothing is known of it.
    commit, dirty, versions, device
        Code, libraries and machine that made it.
    cost : str, optional
        File with its times and memory.
    leakage : dict of str to int
        Images of each test set that the training data show.
    iterations, patches_seen, processes, skipped_updates, rollbacks : int, optional
        Of the training of a network.
    final_validation_psnr, best_validation_psnr : float, optional
    weights_sha256 : str, optional
        Of `weights.safetensors`.
    tuned, validation_psnr : dict, optional
        Parameter of a classical method, and the scores that it was chosen by.
    derived_from : str, optional
        Run that its weights were made from; stated as None where they are of a file.
    continued_at : int, optional
        Iteration of that run from which it went on.
    started_from, imported_from : Origin, optional
        First weights of a training, or all that there are.
    conversion : {"exact", "plain"}, optional
        How the network of imported weights is read; exact unless given.
    outside : bool
        True for images that were restored elsewhere.
    """

    kind = "a run card"

    task: TaskName
    method: KnownMethod
    seed: Count
    label: Text
    settings: RecordedSettings
    identity: dict[str, Text]
    parameters: Count | None
    profile: Name | None = None
    source: Text | None = None
    objective: Text | None = None
    commit: Text | None = None
    dirty: bool | None = None
    versions: dict[str, Text] | None = None
    device: Text | None = None
    cost: Text | None = None
    leakage: dict[str, Count] | None = None
    iterations: Count | None = None
    patches_seen: Count | None = None
    processes: Count | None = None
    skipped_updates: Count | None = None
    rollbacks: Count | None = None
    final_validation_psnr: float | Literal["inf", "-inf"] | None = None
    best_validation_psnr: float | None = None
    weights_sha256: Sha256 | None = None
    tuned: dict[str, int | float] | None = None
    validation_psnr: dict[str, float] | None = None
    derived_from: Text | None = None
    continued_at: Count | None = None
    started_from: Origin | None = None
    imported_from: Origin | None = None
    conversion: Conversion | None = None
    outside: bool = False

    @property
    def is_derived(self) -> bool:
        """True if its weights come from others: of a run (`derived_from`), or of a file."""
        return "derived_from" in self.model_fields_set

    @property
    def home(self) -> str:
        """The profile whose run it is.

        Raises
        ------
        InputError
            If the card names none.
        """
        if self.profile is None:
            raise InputError(f"the run card of {self.label} names no profile")
        return self.profile


class Cost(Stored):
    """Content of `cost.json`; what was not measured is None.

    `ended` is when the work ended; files of older versions do not say it.
    """

    kind = "a record of cost"

    seconds: float | None = None
    seconds_per_image: float | None = None
    seconds_per_megapixel: float | None = None
    peak_memory_bytes: int | float | None = None
    peak_gpu_memory_bytes: int | float | None = None
    joules: float | None = None
    ended: Time | None = None


class SetCard(Stored):
    """What `dataset.json` says of any data set.

    Parameters
    ----------
    dataset, label, licence : str
        Name, name for people, and terms.
    pairs, scenes : int
    fingerprint : str
        Hash over all names and images.
    """

    kind = "a data set card"
    dataset: TestSetName
    label: str
    licence: str
    pairs: Count = 0  # counted, as the others, when the set is written
    scenes: Count = 0
    fingerprint: Text = ""


class Agreement(Stored):
    """How many pairs of an adopted set are those of the published one."""

    pairs: Count
    agree: Count
    missing: Count
    differ: dict[str, Count]


class DatasetCard(SetCard):
    """Content of `dataset.json` of a data set as it came.

    Parameters
    ----------
    tasks : list of str
        Tasks that its degraded images are of.
    source, family, citation : str
        Where it came from.
    agreement, verified, differences
        How it compares with the published set, where that is known.
    licences : dict of str to str, optional
        Of each image, where they differ.
    contents : str, optional
        Hash of the files of a set of one's own when it was indexed.
    """

    tasks: list[TaskName]
    source: str
    family: str = ""
    citation: str = ""
    agreement: Agreement | None = None
    verified: bool = False
    differences: list[str] = []
    licences: dict[str, str] | None = None
    contents: Text | None = None


class Source(Stored):
    """The data set that pairs were made from."""

    fingerprint: Text | None = None
    differences: list[str] = []


class Masks(Stored):
    """Set of masks that images were degraded with."""

    dataset: Name
    fingerprint: Text


class PreparedCard(SetCard):
    """Content of `dataset.json` of prepared pairs.

    Parameters
    ----------
    degradation : str
        How the images were degraded, for people.
    scale, enlarge
        Factor of super-resolution, and how inputs are brought to the clean size.
    noise_level : float or None
        Standard deviation of the noise, if that is the degradation.
    images : int
        Images of the data set that the pairs were made from.
    window : int or None
        Side of the windows that were cut out.
    without : list of str
        Sets whose scenes were excluded.
    """

    task: TaskName
    role: Literal["train", "validation", "test"]
    degradation: str
    images: Count
    source: Source
    scale: Annotated[int, Field(ge=1, le=64)] = 1
    enlarge: Literal["bicubic", "nearest"] = "bicubic"
    noise_level: Annotated[float, Field(gt=0, le=1)] | None = None
    window: Count | None = None
    without: list[Name] = []
    masks: Masks | None = None
