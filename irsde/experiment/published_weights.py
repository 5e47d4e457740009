"""The catalogue of weights that authors published: one record for each file.

`data/published_weights.yaml` names every file by the method that it is of, with a variant where a
method has several: `prenet+rain100h`, `ffdnet`. Files that were adopted or fetched are in
`data/weights/` under these names.
"""

from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from irsde.experiment.fields import (
    DatasetName,
    MethodText,
    ProtocolName,
    Settings,
    TaskName,
    TestSetName,
)
from irsde.experiment.yaml_file import read_yaml
from irsde.files import DATA, InputError, nearest
from irsde.methods import METHODS, MethodName
from irsde.scoring.protocols import PROTOCOLS

CATALOGUE = DATA / "published_weights.yaml"
FOLDER = DATA / "weights"


def _printed(value: object) -> object:
    if value is not None and not isinstance(value, str):
        raise ValueError(f'write "{value}" with quotation marks, which keep its printed digits')
    return value


def _of_published(method: str) -> str:
    if METHODS[MethodName.parse(method).base].kind != "published":
        raise ValueError(f"{method} is no published system")
    return method


def _word(value: object) -> object:
    """Undo YAML, which reads yes and no as true and false."""
    return {True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else value


Printed = Annotated[
    Annotated[Decimal, Field(ge=0, allow_inf_nan=False)] | None, BeforeValidator(_printed)
]


class PublishedRow(Settings):
    """A row of a table that the weights must meet."""

    dataset: TestSetName = Field(description="test set, with +sigma where it is noisy")
    psnr: Printed = Field(description="as printed")
    ssim: Printed = Field(None, description="as printed")
    protocol: ProtocolName = Field(description="how its authors scored")
    source: str = Field(min_length=1, description="where the numbers are printed")
    confirmed: Annotated[Literal["yes", "quoted", "no"], BeforeValidator(_word)] = Field(
        description="read where its authors published it, or where others quote it; no: nowhere"
    )
    parts: tuple[TestSetName, ...] = Field((), description="test sets that are a part of this one")
    in_paper: Printed = Field(None, description="PSNR in the IR-SDE paper's own tables")
    note: str = Field("", description="what a reader must know of the numbers")

    @model_validator(mode="after")
    def _has_a_number_if_it_is_confirmed(self) -> "PublishedRow":
        if (self.confirmed == "no") == (self.psnr is not None):
            raise ValueError("psnr: null goes with confirmed: no, a number with yes or quoted")
        return self

    @property
    def values(self) -> dict[str, Decimal]:
        """Metric of the protocol's channel → printed value."""
        names = PROTOCOLS[self.protocol].headline
        pairs = zip(names, (self.psnr, self.ssim), strict=True)
        return {name: value for name, value in pairs if value is not None}


class PublishedWeights(Settings):
    """A file of weights."""

    label: str = Field(min_length=1)
    task: TaskName
    address: str = Field(pattern=r"^https?://\S+\.(pth|mat)$", description="at a fixed commit")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=1, description="bytes")
    licence: str = Field(min_length=1, description="as stated")
    trained_on: str = Field(min_length=1, description="as stated")
    train: tuple[DatasetName, ...] = Field((), description="training sets that are known by name")
    input: str = Field(min_length=1, description="range of its input, what is given with it")
    rounding: str = Field(min_length=1, description="how its authors make an image of its output")
    rows: tuple[PublishedRow, ...] = Field(min_length=1, description="which it must meet")

    @property
    def test_sets(self) -> tuple[str, ...]:
        """Test sets that it is evaluated on."""
        return tuple(name for row in self.rows for name in (row.dataset, *row.parts))

    @property
    def ending(self) -> str:
        """Ending of the file's name."""
        return self.address.rpartition(".")[2]


_Catalogue = TypeAdapter(
    dict[Annotated[MethodText, AfterValidator(_of_published)], PublishedWeights]
)


def read_weights_catalogue() -> dict[str, PublishedWeights]:
    """All records by name.

    Raises
    ------
    InputError
        If the file is absent, or an entry is wrong; the message has its place.
    """
    if not CATALOGUE.is_file():
        raise InputError(f"{CATALOGUE}: no such file; run irsde in the project's folder")
    return _read(CATALOGUE.resolve(), CATALOGUE.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _read(_path: Path, _modified: int) -> dict[str, PublishedWeights]:
    _, content = read_yaml(CATALOGUE)
    try:
        found = _Catalogue.validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{CATALOGUE}: {place}: {message}") from None
    known: dict[str, str] = {}
    for name, record in found.items():
        if known.setdefault(record.sha256, name) != name:
            raise InputError(f"{CATALOGUE}: {known[record.sha256]} and {name} are one file")
    return found


def weights_of(method: str) -> PublishedWeights:
    """Record of a published system, by the name that its runs have.

    Raises
    ------
    InputError
        If there is none of this name; the message says what there is.
    """
    catalogue = read_weights_catalogue()
    if method not in catalogue:
        raise InputError(
            f"no published weights {method!r} in {CATALOGUE} (it has: {', '.join(catalogue)})"
            f"{nearest(method, catalogue)}"
        )
    return catalogue[method]


def weights_file(method: str) -> Path:
    """Path of the file of a record once it was adopted or fetched."""
    return FOLDER / f"{method}.{weights_of(method).ending}"
