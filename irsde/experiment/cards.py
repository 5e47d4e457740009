"""Run cards as they are read: a `run.json` may come from anyone, with anything in it.

What later becomes a path, a key of a table or the size of a network is checked here, once.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from irsde.experiment.grid import OUTSIDE
from irsde.experiment.profile import LONGEST_NAME, METHOD, Name, NetworkSettings
from irsde.files import InputError, read_json
from irsde.methods import METHODS, MethodName
from irsde.tasks import TASKS

MAX_BYTES = 16 * 2**20


def _is_task(name: str) -> str:
    if name not in TASKS:
        raise ValueError(f"is no task ({', '.join(TASKS)})")
    return name


def _is_method(name: str) -> str:
    if METHOD.fullmatch(name) is None or len(name) > LONGEST_NAME:
        raise ValueError("is no name of a method")
    if (base := MethodName.parse(name).base) not in (*METHODS, OUTSIDE):
        raise ValueError(f"{base!r} is no method of this version")
    return name


def _is_printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("has control characters")
    return text


def _has_known_network(settings: dict[str, Any]) -> dict[str, Any]:
    """Refuse a network that is none of ours or too large, before one is built."""
    network = settings.get("network")
    if network is None or (isinstance(network, dict) and "name" not in network):
        return settings
    try:
        TypeAdapter(NetworkSettings).validate_python(network)
    except ValidationError as error:
        raise ValueError(f"network: {_first_problem(error)}") from None
    return settings


def _first_problem(error: ValidationError) -> str:
    """Field and reason of the first thing that is wrong, for a message of one line."""
    first = error.errors(include_url=False, include_input=False)[0]
    field = re.sub(r"[^\x20-\x7e]", "?", ".".join(str(part) for part in first["loc"]))[:100]
    reason = first["msg"].removeprefix("Value error, ")
    reason = f"{reason[0].lower()}{reason[1:]}"
    return f"{field}: {reason}" if field else reason


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, Field(max_length=1000), AfterValidator(_is_printable)]


class RunCard(BaseModel):
    """What `run.json` must say in which form; further fields are allowed."""

    model_config = ConfigDict(extra="allow", strict=True)

    task: Annotated[str, AfterValidator(_is_task)]
    method: Annotated[str, AfterValidator(_is_method)]
    seed: int = Field(ge=0, lt=2**63)
    label: Text
    settings: Annotated[dict[str, Any], AfterValidator(_has_known_network)]
    identity: dict[str, Text]
    parameters: Annotated[int, Field(ge=0)] | None
    profile: Name | None = None
    weights_sha256: Sha256 | None = None
    imported_from: dict[str, Text] | None = None
    conversion: Literal["exact", "plain"] | None = None
    tuned: dict[str, float] | None = None
    device: Text | None = None
    commit: Text | None = None
    dirty: bool | None = None
    versions: dict[str, Text] | None = None


def read_card(path: Path) -> dict[str, Any]:
    """Content of a `run.json`, checked.

    Returns
    -------
    dict
        As it stands in the file.

    Raises
    ------
    InputError
        If it cannot be read, is larger than `MAX_BYTES`, or is not the card of a run; the message
        is one line with the field that is wrong.
    """
    if path.is_file() and path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path}: larger than the {MAX_BYTES // 2**20} MiB a run card may have")
    return check_card(path, read_json(path))


def check_card(path: Path, content: Any) -> dict[str, Any]:
    """Refuse what is not the card of a run; the content itself otherwise.

    Raises
    ------
    InputError
        Naming the first field that is wrong.
    """
    if not isinstance(content, dict):
        raise InputError(f"{path}: not a run card")
    try:
        RunCard.model_validate(content)
    except ValidationError as error:
        problem = _first_problem(error)
        raise InputError(f"{path}: not a run card of this version: {problem}") from None
    return content
