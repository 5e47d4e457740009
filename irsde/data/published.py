"""Numbers of the paper and of later ones, read from `irsde/data/published.yaml` and checked."""

from collections.abc import Collection
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from irsde.experiment.fields import DatasetName, MethodText, Number, Settings, TaskName, problem_of
from irsde.experiment.yaml_file import read_yaml
from irsde.files import InputError, check_name
from irsde.methods import METHODS
from irsde.scoring.distributions import DISTANCES
from irsde.scoring.metrics import METRICS, Quantity
from irsde.scoring.protocols import PROTOCOLS

PUBLISHED = Path(__file__).with_name("published.yaml")

QUANTITIES: dict[str, Quantity] = {**METRICS, **DISTANCES}
"""What a published number can be of."""
LpipsNetwork = Literal["alex", "vgg", "squeeze"]


def _printed(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f'write "{value}" with quotation marks, which keep its printed digits')
    return value


def _word(value: object) -> object:
    """Undo YAML, which reads yes and no as true and false."""
    return {True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else value


Printed = Annotated[Decimal, BeforeValidator(_printed), Field(ge=0, allow_inf_nan=False)]


class Source(Settings):
    """Where numbers were published.

    Parameters
    ----------
    label : str
        Name in tables.
    citation : str
        For captions.
    """

    label: str = Field(min_length=1)
    citation: str = Field(min_length=1)


class Training(Settings):
    """A training that is known of a published method; None where no source says it.

    Parameters
    ----------
    iterations, batch, patch : int, optional
        Updates, patches of an update, side of a patch in pixels.
    parameters : int, optional
        Of the network.
    source : str
        Key of the sources.
    """

    iterations: int | None = Field(None, ge=1)
    batch: int | None = Field(None, ge=1)
    patch: int | None = Field(None, ge=1)
    parameters: int | None = Field(None, ge=1)
    source: str


class Numbers(Settings, extra="allow"):
    """Numbers of one method that were found in the same places.

    Parameters
    ----------
    sources : tuple of str
        Keys of the sources; empty where nobody could confirm the numbers.
    confirmed : {"yes", "quoted", "no"}
        Read where its authors published it; read where others quote it; remembered only.

    Further keys are those of `QUANTITIES`, with the number as printed: PSNR in dB, the others
    without a unit.
    """

    sources: tuple[str, ...] = ()
    confirmed: Annotated[Literal["yes", "quoted", "no"], BeforeValidator(_word)]
    __pydantic_extra__: dict[str, Printed]

    @property
    def values(self) -> dict[str, Decimal]:
        """Metric → value, of the metrics that were found."""
        return self.__pydantic_extra__

    @model_validator(mode="after")
    def _is_whole(self) -> "Numbers":
        for name in self.values:
            _known("metric", name, QUANTITIES)
        if not self.values:
            raise ValueError("holds no number")
        if (self.confirmed == "no") == bool(self.sources):
            raise ValueError("sources: a confirmed number needs one, an unconfirmed one has none")
        return self


class PublishedMethod(Settings):
    """A method of a published table.

    Parameters
    ----------
    label : str
        Name in tables.
    method : str, optional
        Key of `methods.METHODS`; None where there is no such method here.
    weights : str, optional
        Name of its own weights in `data/published_weights.yaml`, where they are published.
    nfe : int, optional
        Network evaluations of an image, where known.
    sampler : str, optional
        Sampler it was published with, by its name here, where known.
    protocol : str, optional
        Key of `protocols.PROTOCOLS`; the table's unless given, None where unknown.
    lpips_network : {"alex", "vgg", "squeeze"}, optional
        The table's unless given, None where unknown.
    trainings : tuple of Training
        Every configuration that is known.
    note : str
        What a reader must know.
    numbers : tuple of Numbers
    """

    label: str = Field(min_length=1)
    method: str | None = None
    weights: MethodText | None = None
    nfe: int | None = Field(None, ge=1)
    sampler: str | None = None
    protocol: str | None = None
    lpips_network: LpipsNetwork | None = None
    trainings: tuple[Training, ...] = ()
    note: str = ""
    numbers: tuple[Numbers, ...] = Field(min_length=1)

    @property
    def values(self) -> dict[str, tuple[Decimal, Numbers]]:
        """Metric → value and its group."""
        return {
            name: (value, group) for group in self.numbers for name, value in group.values.items()
        }

    @field_validator("method")
    @classmethod
    def _known_method(cls, method: str | None) -> str | None:
        return _known("method", method, METHODS)

    @field_validator("protocol")
    @classmethod
    def _known_protocol(cls, protocol: str | None) -> str | None:
        return _known("protocol", protocol, PROTOCOLS)

    @model_validator(mode="after")
    def _has_each_metric_once(self) -> "PublishedMethod":
        names = [name for group in self.numbers for name in group.values]
        if len(set(names)) < len(names):
            raise ValueError(f"{self.label}: a metric appears twice")
        return self


class PublishedTable(Settings):
    """Published numbers on one data set.

    Parameters
    ----------
    task : str
    dataset : str
        Name of the test set in the catalogue.
    label : str
        Its name in headings.
    images : int, optional
        How many images it has, None where no source says it.
    noise_level : float, optional
        Of denoising, in the unit of the images.
    masks : str, optional
        Set of masks of inpainting.
    resize : int, optional
        Shorter side that the images have been reduced to.
    protocol : str, optional
        Key of `protocols.PROTOCOLS`, None where unknown.
    lpips_network : {"alex", "vgg", "squeeze"}, optional
        None where unknown.
    train : tuple of str
        Training sets; empty where they are not known or not in the catalogue.
    note : str
        What a reader must know of the published numbers.
    methods : tuple of PublishedMethod
    """

    task: TaskName
    dataset: DatasetName
    label: str = Field(min_length=1)
    images: int | None = Field(ge=1)
    noise_level: Number | None = None
    masks: DatasetName | None = None
    resize: int | None = Field(None, ge=8)
    protocol: str | None
    lpips_network: LpipsNetwork | None
    train: tuple[DatasetName, ...] = ()
    note: str = ""
    methods: tuple[PublishedMethod, ...] = Field(min_length=1)

    @property
    def metrics(self) -> list[str]:
        """Metrics that a method of the table has, in the usual order."""
        return [name for name in QUANTITIES if any(name in m.values for m in self.methods)]

    def protocol_of(self, method: PublishedMethod) -> str | None:
        """Protocol of a method's numbers, None where unknown."""
        return method.protocol if "protocol" in method.model_fields_set else self.protocol

    def lpips_network_of(self, method: PublishedMethod) -> LpipsNetwork | None:
        """Network of a method's LPIPS, None where unknown."""
        own = "lpips_network" in method.model_fields_set
        return method.lpips_network if own else self.lpips_network

    @field_validator("protocol")
    @classmethod
    def _known_protocol(cls, protocol: str | None) -> str | None:
        return _known("protocol", protocol, PROTOCOLS)

    @model_validator(mode="after")
    def _has_each_method_once(self) -> "PublishedTable":
        labels = [method.label for method in self.methods]
        if len(set(labels)) < len(labels):
            raise ValueError(f"{self.dataset}: a method appears twice")
        return self


class Drift(Settings):
    """Different numbers of one method on one test set.

    Parameters
    ----------
    label : str
        Method.
    task : str
    dataset : str
        Test set, as headings have it.
    numbers : tuple of Numbers
        Of each source, all of which differ in a metric that they share.
    """

    label: str = Field(min_length=1)
    task: TaskName
    dataset: str = Field(min_length=1)
    numbers: tuple[Numbers, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _differs(self) -> "Drift":
        shared = set.intersection(*({*group.values} for group in self.numbers))
        texts = [tuple(group.values[name] for name in sorted(shared)) for group in self.numbers]
        if not shared or len(set(texts)) < len(texts):
            raise ValueError(f"{self.label}, {self.dataset}: the numbers do not differ")
        return self


class Published(Settings):
    """All published numbers.

    Parameters
    ----------
    sources : dict of str to Source
    tables : tuple of PublishedTable
    drift : tuple of Drift
    """

    sources: dict[str, Source]
    tables: tuple[PublishedTable, ...]
    drift: tuple[Drift, ...] = ()

    @model_validator(mode="after")
    def _names_its_sources(self) -> "Published":
        for drift in self.drift:
            for name in (name for group in drift.numbers for name in group.sources):
                if name not in self.sources:
                    raise ValueError(f"drift, {drift.label}: no source {name!r} is described")
        for table in self.tables:
            for method in table.methods:
                named = [name for group in method.numbers for name in group.sources]
                for name in [*named, *(training.source for training in method.trainings)]:
                    if name not in self.sources:
                        raise ValueError(
                            f"{table.dataset}, {method.label}: no source {name!r} is described"
                        )
        return self


@lru_cache
def read_published(path: Path = PUBLISHED) -> Published:
    """The published numbers.

    Raises
    ------
    InputError
        If the file is absent or has an unknown key, an unknown name or a wrong value; the message
        says where.

    Examples
    --------
    >>> table = read_published().tables[0]
    >>> ir_sde = next(method for method in table.methods if method.method == "ir-sde")
    >>> value, group = ir_sde.values["psnr_y"]
    >>> str(value), group.confirmed
    ('31.65', 'yes')
    """
    _, content = read_yaml(path)
    try:
        return Published.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{path}: {problem_of(error)}") from None


def _known(kind: str, name: str | None, known: Collection[str]) -> str | None:
    if name is not None:
        try:
            check_name(kind, name, known)
        except InputError as error:
            raise ValueError(str(error)) from None
    return name
