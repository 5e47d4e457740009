"""Tables of results as CSV: `per_image.csv`, `protocols.csv` and `training.csv`."""

import math
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from irsde.files import InputError, read_table
from irsde.scoring.metrics import METRICS
from irsde.scoring.protocols import BY_PROTOCOL, HEADLINES

if TYPE_CHECKING:
    import pandas as pd

PER_IMAGE = "per_image.csv"
PER_PROTOCOL = "protocols.csv"
HISTORY = "training.csv"

PER_IMAGE_COLUMNS = ("image", "scene", *METRICS, "nfe", "reference")
"""Of an evaluation. Metrics that were not computed are empty; older versions lack metrics that were
added since and `reference`, the first digits of the SHA-256 of the clean image's pixels; images of
no data set lack `scene` and `nfe`."""

PER_PROTOCOL_COLUMNS = ("image", "protocol", *BY_PROTOCOL)
"""Of the same images under every protocol; empty where an image is too small for one."""

HISTORY_COLUMNS = (
    "iteration", "loss", "gradient_norm", "learning_rate", "ema_decay", "skipped",
    "validation_psnr",
)  # fmt: skip
"""Of a training, a row for each validation."""


def read_per_image(path: Path) -> "pd.DataFrame":
    """Values of each image of an evaluation.

    Raises
    ------
    InputError
        If the file cannot be read, or a value is none that its column can have.
    """
    return _read(path, ("image",), (*METRICS, "nfe"), tuple(METRICS))


def read_protocols(path: Path) -> "pd.DataFrame":
    """Metrics of each image under each protocol.

    Raises
    ------
    InputError
        As `read_per_image`.
    """
    needed = ("image", "protocol", *HEADLINES["rgb"], *HEADLINES["y"])
    return _read(path, needed, BY_PROTOCOL, BY_PROTOCOL)


def read_history(path: Path) -> "pd.DataFrame":
    """Curves of a training.

    Raises
    ------
    InputError
        As `read_per_image`.
    """
    return _read(path, ("iteration",), HISTORY_COLUMNS, ("validation_psnr",))


def _read(
    path: Path, needed: Collection[str], numbers: Collection[str], scores: Collection[str]
) -> "pd.DataFrame":
    """A table whose numbers are numbers, and whose scores are infinite only where so written."""
    table = read_table(path)
    if missing := [name for name in needed if name not in table]:
        raise InputError(f"{path}: has no column {missing[0]!r}")
    try:
        whole = [name for name in numbers if name in METRICS and name in table]
        whole = [name for name in whole if table[name].dtype != np.float64]
        table = table.astype(dict.fromkeys(whole, float)) if whole else table
        values = {name: table[name].to_numpy(np.float64) for name in numbers if name in table}
    except ValueError as error:
        raise InputError(f"{path}: cannot be read ({' '.join(str(error).split())})") from None
    texts: pd.DataFrame | None = None
    for name in (name for name in scores if name in values):
        column = values[name]
        for index in np.flatnonzero(np.isinf(column)):
            texts = read_table(path, as_text=True) if texts is None else texts
            if column[index] < 0 or not _is_infinite(texts[name].iloc[index]):
                text = texts[name].iloc[index][:20]
                raise InputError(f"{path}: {name} cannot be {text} (row {index + 1})")
    return table


def _is_infinite(text: str) -> bool:
    """True for what is written of an infinite value, not for digits that no float holds."""
    return not any(character.isdigit() for character in text) and math.isinf(float(text))
