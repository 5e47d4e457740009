"""Names, numbers and groups of settings, as all files that people write have them."""

import re
from collections.abc import Collection
from functools import partial
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from irsde.files import InputError, check_name
from irsde.methods import METHODS, MethodName
from irsde.scoring.protocols import PROTOCOLS
from irsde.tasks import TASKS

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
METHOD = re.compile(NAME.pattern + r"(?:\+[A-Za-z0-9_-]+(?:\.[0-9]+)?)*")  # with its variants
TEST_SET = re.compile(
    NAME.pattern + r"(?:\+sigma(?P<sigma>[1-9][0-9]{0,2}))?(?:\+draw(?P<draw>[1-9][0-9]{0,3}))?"
)
LONGEST_NAME = 100  # characters
MOST_SEEDS = 1000
MOST_OF_A_CAPTION = 2000  # characters
SEEDS = 2**31


class Settings(BaseModel):
    """A group of settings: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PlacedError(ValueError):
    """What is wrong at a place below the value that is validated."""

    def __init__(self, message: str, *place: str | int) -> None:
        super().__init__(message)
        self.place = place


T = TypeVar("T")


def different(values: tuple[T, ...]) -> tuple[T, ...]:
    """The values, none of which may appear twice."""
    for index, value in enumerate(values):
        if value in values[:index]:
            raise PlacedError(f"{value!r} appears twice", index)
    return values


FORMS = {
    METHOD: ", '+' before a variant",
    TEST_SET: ", then +sigmaN for noise of N/255, +drawN for another draw of the noise",
}


def matching(name: str, pattern: re.Pattern[str] = NAME) -> str:
    """The name, which must have the form of a pattern."""
    if pattern.fullmatch(name) is None or len(name) > LONGEST_NAME:
        form = "letters, digits, '-' and '_'"
        form += FORMS.get(pattern, "")
        raise ValueError(
            f"{name[:LONGEST_NAME]!r} is no name: {form}, {LONGEST_NAME} characters at most"
        )
    return name


def _check_method(method: str) -> str:
    matching(method, METHOD)
    return all_known("method", (MethodName.parse(method).base,), METHODS)[0] and method


def _check_task(task: str) -> str:
    return all_known("task", (task,), TASKS)[0]


def _check_protocol(protocol: str) -> str:
    return all_known("protocol", (protocol,), PROTOCOLS)[0]


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _one_line(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("give one line of text")
    return text


def _words(text: str) -> str:
    if not text.replace("\n", " ").isprintable():
        raise ValueError("has control characters")
    return text


Line = Annotated[str, Field(max_length=200), AfterValidator(_one_line)]
Name = Annotated[str, AfterValidator(matching)]
Caption = Annotated[str, Field(max_length=MOST_OF_A_CAPTION), AfterValidator(_words)]
DatasetName = Name
MethodText = Annotated[str, AfterValidator(_check_method)]
TaskName = Annotated[str, AfterValidator(_check_task)]
ProtocolName = Annotated[str, AfterValidator(_check_protocol)]
DatasetNames = Annotated[
    tuple[DatasetName, ...], BeforeValidator(_as_tuple), AfterValidator(different)
]
TestSetName = Annotated[str, AfterValidator(partial(matching, pattern=TEST_SET))]
TestSetNames = Annotated[
    tuple[TestSetName, ...], BeforeValidator(_as_tuple), AfterValidator(different)
]
Seed = Annotated[int, Field(ge=0, lt=SEEDS, strict=True)]
Seeds = Annotated[
    tuple[Seed, ...], Field(min_length=1, max_length=MOST_SEEDS), AfterValidator(different)
]
Iterations = Annotated[int, Field(ge=1, le=10**9, strict=True)]
Count = Annotated[int, Field(ge=1, le=10**5, strict=True)]
Side = Annotated[int, Field(ge=8, le=2**14, strict=True)]
Width = Annotated[int, Field(ge=4, le=1024, multiple_of=2, strict=True)]
Blocks = Annotated[
    tuple[Annotated[int, Field(ge=0, le=100, strict=True)], ...], Field(min_length=1, max_length=8)
]
Threads = Annotated[int, Field(ge=1, le=1024, strict=True)]
Megabytes = Annotated[int, Field(ge=1, le=10**8, strict=True)]


def parse_fraction(value: object) -> object:
    """Accept "10/255" where a number is expected, and no truth value."""
    if isinstance(value, bool):
        raise ValueError(f"{value} is not a number")
    if isinstance(value, str):
        try:
            numerator, _, denominator = value.partition("/")
            return float(numerator) / float(denominator or 1)
        except (ValueError, ZeroDivisionError):
            raise ValueError(
                f"{value[:LONGEST_NAME]!r} is not a number or a fraction such as 10/255"
            ) from None
    return value


def _of_unit_range(value: float) -> float:
    if value > 1:
        hint = f"; did you mean {value:g}/255?" if value <= 255 else ""
        raise ValueError(f"{value:g} is out of range, as images lie in [0, 1]{hint}")
    return value


Number = Annotated[float, BeforeValidator(parse_fraction), Field(gt=0)]
Deviation = Annotated[Number, AfterValidator(_of_unit_range)]


Decay = Annotated[float, BeforeValidator(parse_fraction), Field(ge=0, lt=1)]


TaskNames = Annotated[tuple[TaskName, ...], Field(min_length=1), AfterValidator(different)]
MethodNames = Annotated[tuple[MethodText, ...], Field(min_length=1), AfterValidator(different)]


def all_known(kind: str, names: tuple[str, ...], known: Collection[str]) -> tuple[str, ...]:
    """The names, each of which must be known."""
    for name in names:
        try:
            check_name(kind, name, known)
        except InputError as error:
            raise ValueError(str(error)) from None
    return names


def check_form(kind: str, name: str, pattern: re.Pattern[str] = NAME) -> str:
    """The name itself, if it has the form of names, which paths and shells take as it is.

    Raises
    ------
    InputError
        Says what a name is made of.
    """
    try:
        return matching(name, pattern)
    except ValueError as error:
        raise InputError(f"{kind}: {error}") from None


def text_of(place: tuple[int | str, ...]) -> str:
    """A place in a file as a message has it."""
    return ".".join(str(part)[:LONGEST_NAME] for part in place)


def first_problem(error: ValidationError) -> tuple[tuple[int | str, ...], str]:
    """Place and reason of the first thing that is wrong."""
    # A misspelt key is also a missing one: the unknown key is what the user can see.
    first = min(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    place = tuple(part for part in first["loc"] if part not in ("nafnet", "unet", "[key]"))
    if first["type"] == "extra_forbidden":
        return place, "unknown key"
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, PlacedError):
        place += cause.place
    if cause is not None:
        return place, str(cause)
    message = first["msg"] if len(first["msg"]) < 300 else f"{first['msg'][:300]}..."
    return place, message[0].lower() + message[1:]


def problem_of(error: ValidationError) -> str:
    """Field and reason of the first thing that is wrong, for a message of one line."""
    place, message = first_problem(error)
    field = re.sub(r"[^\x20-\x7e]", "?", ".".join(map(str, place)))[:LONGEST_NAME]
    return f"{field}: {message}" if field else message
