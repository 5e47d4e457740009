"""What moves a number, as the committed study measured it."""

import math
from dataclasses import dataclass
from pathlib import Path

from irsde.audit.evidence import STUDY
from irsde.files import read_table

TABLES = Path("bench/tables.csv")
TABLE = "causes-deraining-rain100h-test"
BASIS = "IR-SDE of 0.38 million parameters after 4,000 iterations on Rain100H"


@dataclass(frozen=True)
class Topic:
    """A thing that differs between reproductions.

    Parameters
    ----------
    what : str
        For people.
    lines : tuple of str
        Causes of the study's table that measure it.
    of_sampling : bool
        True if only methods that sample have it.
    unseen : str
        Why restored images do not show it, "" if they do.
    """

    what: str
    lines: tuple[str, ...] = ()
    of_sampling: bool = False
    unseen: str = ""


_WEIGHTS = "is a matter of the weights, which images do not have"
TOPICS = {
    "channel": Topic("RGB or luminance", ("scored on luminance, as deraining papers do",)),
    "crop": Topic("border cut or not", ("4 border pixels cut, as the authors' script does",)),
    "rounding": Topic("rounded, truncated or neither", ("not rounded to 8 bits",)),
    "edition": Topic("edition of the test set", ("test images from JPEG copies of quality 90",)),
    "sampler": Topic(
        "sampler", ("reverse SDE by Euler-Maruyama",), True, "leaves no trace of its name"
    ),
    "steps": Topic(
        "number of steps",
        ("reverse SDE by Euler-Maruyama in 100 steps",),
        True,
        "leaves no trace of their number",
    ),
    "lambda": Topic("lambda", (), True, _WEIGHTS),
    "average": Topic(
        "average of the weights (EMA)", ("weights of the last iteration",), False, _WEIGHTS
    ),
    "precision": Topic(
        "precision of the computation", ("sampled in bfloat16", "trained in bfloat16")
    ),
    "noise": Topic("seed of the noise", ("another seed of the sampling noise",), True),
    "seed": Topic("seed of the training", ("training seed 1", "training seed 2"), False, _WEIGHTS),
    "batch": Topic(
        "batch",
        (
            "batch 4 and as many iterations",
            "batch 4 and as many patches",
            "batch 16 and as many iterations",
            "batch 16 and as many patches",
        ),
        False,
        _WEIGHTS,
    ),
    "patch": Topic(
        "patch size",
        ("patches of 32x32 and as many pixels", "patches of 64x64 and as many pixels"),
        False,
        _WEIGHTS,
    ),
    "iterations": Topic("iterations", (), False, _WEIGHTS),
    "split": Topic(
        "training split", ("scenes of the test images in the training set",), False, _WEIGHTS
    ),
}


@dataclass(frozen=True)
class StudyEffect:
    """Effect of one line on PSNR, in dB, with the ends of its 95 % interval."""

    topic: str
    label: str
    instead_of: str
    effect: float
    low: float
    high: float


def study_effects() -> list[StudyEffect]:
    """Effects of the committed study; none where it is not here, as in an installed wheel."""
    places = (STUDY, Path(__file__).resolve().parents[3] / STUDY)
    path = next((place / TABLES for place in places if (place / TABLES).is_file()), None)
    if path is None:
        return []
    table = read_table(path)
    table = table[table["table"] == TABLE]
    texts = {
        (line, column): text for line, column, text in table[["line", "column", "text"]].values
    }
    numbers = {
        line: values
        for line, column, *values in table[["line", "column", "value", "low", "high"]].values
        if column == "psnr_effect"
    }
    topic_of = {label: topic for topic, one in TOPICS.items() for label in one.lines}
    return [
        StudyEffect(topic_of[label], label, str(texts[line, "base"]), *map(float, values))
        for line, values in numbers.items()
        if (label := str(texts[line, "cause"])) in topic_of and not math.isnan(values[0])
    ]
