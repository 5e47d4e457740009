"""What the authors' option files and logs say, beside what is known of a printed row."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from irsde.data.published import PublishedMethod, PublishedTable
from irsde.experiment.yaml_file import read_yaml
from irsde.files import InputError, is_present
from irsde.tasks import TASKS

MOST_BYTES = 64 * 2**20  # of a log
NUMBER = r"([0-9]+(?:\.[0-9]+)?)"
AVERAGE = re.compile(rf"results for .*----\s*\n\s*PSNR: {NUMBER} dB")
AVERAGE_Y = re.compile(rf"PSNR_Y: {NUMBER} dB; SSIM_Y: {NUMBER}\s*\n\s*(?:\n|$)")
VALIDATION = re.compile(rf"# Validation # PSNR: {NUMBER}, Best PSNR: {NUMBER}\s*\|\s*Iter: (\d+)")
TESTED = re.compile(r"Number of test images in \[(.*?)\]: (\d+)")
SAMPLERS = {"posterior": "posterior", "sde": "euler-maruyama"}


@dataclass(frozen=True)
class Finding:
    """Something that an option file or a log says.

    Parameters
    ----------
    topic : str
        Key of `study.TOPICS`.
    text : str
        What it says, and what is known of the row.
    agrees : bool or None
        Whether it is as the row has it; None where that is not known.
    """

    topic: str
    text: str
    agrees: bool | None


@dataclass(frozen=True)
class Log:
    """Numbers of a log of the authors' `test.py` or `train.py`, None where it has none.

    Parameters
    ----------
    psnr, psnr_y : float, optional
        Means of a test, with the border cut that the option file asks for.
    validation : float, optional
        The last of a training: RGB, no border cut.
    iteration : int, optional
        At which a validation was best.
    images : int, optional
        How many were tested.
    """

    psnr: float | None = None
    psnr_y: float | None = None
    validation: float | None = None
    iteration: int | None = None
    images: int | None = None


def read_log(path: Path) -> Log:
    """Numbers of a log.

    Raises
    ------
    InputError
        If it is absent, too large, no text, or of another form.
    """
    if not is_present(path):
        raise InputError(f"{path}: no such file")
    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"{path}: larger than {MOST_BYTES // 2**20} MiB; give its last part")
    text = path.read_text(encoding="utf-8", errors="replace")
    average, average_y = AVERAGE.findall(text), AVERAGE_Y.findall(text)
    validations, tested = VALIDATION.findall(text), TESTED.findall(text)
    if not (average or validations):
        raise InputError(
            f"{path}: neither averages of the authors' test.py nor validations of train.py in it"
        )
    return Log(
        float(average[-1]) if average else None,
        float(average_y[-1][0]) if average_y else None,
        float(validations[-1][0]) if validations else None,
        int(validations[-1][2]) if validations else None,
        int(tested[-1][1]) if tested else None,
    )


def read_options(path: Path, table: PublishedTable, method: PublishedMethod) -> list[Finding]:
    """What an option file of the authors says of the things that move a number.

    Raises
    ------
    InputError
        If it is absent, no YAML, or none of their option files.
    """
    _, content = read_yaml(path)
    if not isinstance(content, dict) or not ({"sde", "network_G", "datasets"} & set(content)):
        raise InputError(f"{path}: no option file of the authors (no sde, network_G or datasets)")
    return list(_findings(content, table, method))


def _findings(
    content: Mapping[str, object], table: PublishedTable, method: PublishedMethod
) -> Iterator[Finding]:
    yield from _of_sampling(content, table, method)
    yield from _of_weights(content)
    yield from _of_training(content, method)
    yield from _of_scoring(content, table, method)
    yield from _of_data(content)


def _of_sampling(
    content: Mapping[str, object], table: PublishedTable, method: PublishedMethod
) -> Iterator[Finding]:
    sde = _part(content, "sde")
    steps = sde.get("T")
    if isinstance(steps, int):
        row = f"the row's {method.nfe}" if method.nfe else "the row's is not known"
        yield Finding(
            "steps", f"T: {steps}; {row}", None if method.nfe is None else steps == method.nfe
        )
    mode = sde.get("sampling_mode")
    if mode is None:
        yield Finding(
            "sampler",
            "no sampling_mode: test.py decides, whose versions differ (reverse SDE or posterior)",
            None,
        )
    else:
        named = SAMPLERS.get(str(mode), str(mode))
        same = None if method.sampler is None else named == method.sampler
        row = method.sampler or "not known"
        yield Finding("sampler", f"sampling_mode: {mode}; the row's sampler: {row}", same)
    level, usual = sde.get("max_sigma"), TASKS[table.task].stationary_std
    if isinstance(level, int | float) and usual:
        paper = 255 * usual
        yield Finding(
            "lambda", f"max_sigma: {level:g}; the paper's for this task: {paper:g}", level == paper
        )


def _of_weights(content: Mapping[str, object]) -> Iterator[Finding]:
    weights = _part(content, "path").get("pretrain_model_G")
    if not isinstance(weights, str):
        return
    name = PurePosixPath(weights.replace("\\", "/")).name
    if "ema" in name.lower():
        yield Finding("average", f"pretrain_model_G: {name}, an average of the weights", None)
    elif name.endswith("_G.pth"):
        yield Finding(
            "average", f"pretrain_model_G: {name}, the weights of one iteration, no average", None
        )
    else:
        yield Finding("average", f"pretrain_model_G: {name}; its name does not say", None)


def _of_training(content: Mapping[str, object], method: PublishedMethod) -> Iterator[Finding]:
    data, train = _part(_part(content, "datasets"), "train"), _part(content, "train")
    for topic, name, value, known in (
        ("batch", "batch_size", data.get("batch_size"), {t.batch for t in method.trainings}),
        ("patch", "GT_size", data.get("GT_size"), {t.patch for t in method.trainings}),
        ("iterations", "niter", train.get("niter"), {t.iterations for t in method.trainings}),
    ):
        if not isinstance(value, int | float):
            continue
        rows = sorted(one for one in known if one is not None)
        row = f"known of the method: {', '.join(f'{one:,}' for one in rows) or 'nothing'}"
        yield Finding(topic, f"{name}: {value:,g}; {row}", _agrees(value, rows))


def _agrees(value: float, rows: list[int]) -> bool | None:
    """True if it is the only one known, None if it is one of several or none is known."""
    if not rows or (value in rows and len(rows) > 1):
        return None
    return value in rows


def _of_scoring(
    content: Mapping[str, object], table: PublishedTable, method: PublishedMethod
) -> Iterator[Finding]:
    border = content.get("crop_border") or _part(content, "degradation").get("scale")
    if isinstance(border, int):
        protocol = table.protocol_of(method)
        row = f"the row's protocol: {protocol or 'not known'}"
        same = None if protocol is None else (protocol in ("authors", "sr")) == (border > 0)
        yield Finding("crop", f"test.py cuts {border} border pixels; {row}", same)


def _of_data(content: Mapping[str, object]) -> Iterator[Finding]:
    sets = _part(content, "datasets")
    folders = {
        str(name): folder
        for name, one in sets.items()
        if isinstance(one, dict) and isinstance(folder := one.get("dataroot_GT"), str)
    }
    train = folders.pop("train", None)
    if train is not None and train in folders.values():
        yield Finding("split", f"trained and tested on one folder, {train}", False)
    if any(re.search(r"jpe?g", folder, re.IGNORECASE) for folder in folders.values()):
        yield Finding(
            "edition", f"test images from a JPEG copy: {', '.join(folders.values())}", False
        )


def _part(content: Mapping[str, object], name: str) -> Mapping[str, object]:
    found = content.get(name)
    return found if isinstance(found, dict) else {}
