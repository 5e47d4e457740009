"""Run cards as they are read: a `run.json` may come from anyone, with anything in it.

What later becomes a path, a key of a table or the size of a network is checked here, once.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from irsde.config import LONGEST_NAME, METHOD, NAME
from irsde.files import InputError, read_json
from irsde.methods import METHODS
from irsde.plan import OUTSIDE
from irsde.tasks import TASKS

MAX_BYTES = 16 * 2**20
MAX_WIDTH, MAX_LEVELS, MAX_BLOCKS = 1024, 8, 100  # of the networks that are built


def _is_task(name: str) -> str:
    if name not in TASKS:
        raise ValueError(f"is no task ({', '.join(TASKS)})")
    return name


def _is_method(name: str) -> str:
    if (base := name.partition("+")[0]) not in (*METHODS, OUTSIDE):
        raise ValueError(f"{base!r} is no method of this version")
    return name


def _of_form(pattern: re.Pattern[str]) -> Callable[[str], str]:
    def check(name: str) -> str:
        if len(name) > LONGEST_NAME or not pattern.fullmatch(name):
            raise ValueError("is no name of a folder")
        return name

    return check


def _is_printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("has control characters")
    return text


def _is_bearable(settings: dict[str, Any]) -> dict[str, Any]:
    network = settings.get("network")
    if network is None:
        return settings
    if not isinstance(network, dict):
        raise ValueError("network is no group of settings")
    limits = {"width": MAX_WIDTH, "depth": MAX_LEVELS, "middle_blocks": MAX_BLOCKS}
    for key, limit in limits.items():
        if not _within(network.get(key, 1), limit):
            raise ValueError(f"network.{key} must be a number from 1 to {limit}")
    for key in ("encoder_blocks", "decoder_blocks"):
        blocks = network.get(key, [])
        is_list = isinstance(blocks, list) and len(blocks) <= MAX_LEVELS
        if not is_list or not all(_within(number, MAX_BLOCKS, 0) for number in blocks):
            raise ValueError(
                f"network.{key} must be {MAX_LEVELS} numbers at most, each from 0 to {MAX_BLOCKS}"
            )
    return settings


def _within(value: Any, high: int, low: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, Field(max_length=1000), AfterValidator(_is_printable)]


class RunCard(BaseModel):
    """What `run.json` must say in which form; further fields are allowed."""

    model_config = ConfigDict(extra="allow", strict=True)

    task: Annotated[str, AfterValidator(_is_task)]
    method: Annotated[str, AfterValidator(_of_form(METHOD)), AfterValidator(_is_method)]
    seed: int = Field(ge=0, lt=2**63)
    label: Text
    settings: Annotated[dict[str, Any], AfterValidator(_is_bearable)]
    identity: dict[str, Text]
    parameters: Annotated[int, Field(ge=0)] | None
    profile: Annotated[str, AfterValidator(_of_form(NAME))] | None = None
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
    try:
        content = read_json(path)
    except RecursionError:
        raise InputError(f"{path}: nested too deep for a run card") from None
    return check_card(path, content)


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
        first = error.errors(include_url=False, include_input=False)[0]
        field = re.sub(r"[^\x20-\x7e]", "?", ".".join(str(part) for part in first["loc"]))[:100]
        reason = first["msg"].removeprefix("Value error, ")
        raise InputError(
            f"{path}: not a run card of this version: {field}: {reason[0].lower()}{reason[1:]}"
        ) from None
    return content
