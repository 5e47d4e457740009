"""Data sets: the catalogue, the photographs inside scikit-image, and pairs prepared from them."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from irsde.config import DataSettings, Settings, read_yaml
from irsde.files import (
    InputError,
    digest,
    digest_json,
    read_json,
    replacing_folder,
    write_json,
    write_text,
)
from irsde.images import Pixels, read_image, rgb, to_float, to_pixels, write_image
from irsde.plan import DATA, pairs_folder
from irsde.seeds import numpy_generator
from irsde.tasks import TASKS, Task

CATALOGUE = DATA / "catalogue.yaml"


class DatasetEntry(Settings):
    """An entry of the catalogue: a label, where the images come from and each one's licence."""

    label: str
    source: Literal["scikit-image"]
    images: dict[str, str]


def read_catalogue() -> dict[str, DatasetEntry]:
    """All entries of data/catalogue.yaml.

    Raises
    ------
    InputError
        If the file is absent or an entry is wrong.
    """
    _, content = read_yaml(CATALOGUE)
    try:
        return TypeAdapter(dict[str, DatasetEntry]).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"{CATALOGUE}: {place}: {first['msg']}") from None


def photographs(name: str) -> dict[str, Pixels]:
    """Clean images of a data set by name: (H, W, 3) uint8, grey ones repeated on three channels.

    Raises
    ------
    InputError
        If the catalogue has no such data set, or scikit-image no such photograph.
    """
    import skimage.data

    catalogue = read_catalogue()
    if name not in catalogue:
        raise InputError(f"no data set {name!r} in {CATALOGUE} (it has: {', '.join(catalogue)})")
    images = {}
    for image in catalogue[name].images:
        try:
            images[image] = rgb(getattr(skimage.data, image)())
        except (AttributeError, OSError, ImportError) as error:
            raise InputError(
                f"{CATALOGUE}: {name}.{image}: not a photograph inside scikit-image ({error})"
            ) from None
    return images


@dataclass(frozen=True)
class Pair:
    """A clean image and its degraded version.

    Parameters
    ----------
    image : str
        Name of the pair, unique in its data set.
    scene : str
        What it shows; images of one scene are not independent.
    x0 : ndarray of uint8, shape (H, W, 3)
        Clean image.
    mu : ndarray of float32, shape (H, W, 3), or None
        Degraded image at the size of `x0`, nominally in [0, 1]; None where training degrades
        every patch anew.
    """

    image: str
    scene: str
    x0: Pixels
    mu: NDArray[np.float32] | None


def prepare(profile: str, task_name: str, settings: DataSettings) -> dict[str, Path]:
    """Make the training, validation and test pairs of a task from a profile's data sets.

    Parameters
    ----------
    profile : str
        Profile that the pairs belong to.
    task_name : str
        A key of `tasks.TASKS`.
    settings : DataSettings
        Data sets, windows and realizations.

    Returns
    -------
    dict of str to Path
        Folder of each of the three data sets: `pairs.csv`, `dataset.json`, `GT/` and `LQ/`.
    """
    task = TASKS[task_name]
    catalogue = read_catalogue()
    names = (settings.train, settings.validation, settings.test)
    images = [image for name in names if name in catalogue for image in catalogue[name].images]
    if shared := {image for image in images if images.count(image) > 1}:
        raise InputError(
            f"{CATALOGUE}: {min(shared)} is in more than one of {', '.join(names)}: "
            "test images must not be trained on"
        )
    folders = {}
    for role, name in (
        ("train", settings.train),
        ("validation", settings.validation),
        ("test", settings.test),
    ):
        folder = pairs_folder(profile, task_name, name)
        with replacing_folder(folder) as temporary:
            _write_pairs(temporary, task_name, task, name, role, settings)
        folders[role] = folder
    return folders


def _write_pairs(
    folder: Path, task_name: str, task: Task, dataset: str, role: str, settings: DataSettings
) -> None:
    for part in ("GT", "LQ"):
        (folder / part).mkdir()
    rows = []
    for scene, clean in photographs(dataset).items():
        if role == "train":
            names = [f"{scene}_{k}" for k in range(1 if task.fresh else settings.realizations)]
            views = [_cropped(clean, task.scale)] * len(names)
        else:
            views = _windows(clean, settings.window, settings.windows_per_image, task.scale)
            names = [f"{scene}_{k}" for k in range(len(views))]
        for name, view in zip(names, views, strict=True):
            gt = f"GT/{scene if role == 'train' else name}.png"
            if not (folder / gt).exists():
                write_image(folder / gt, view)
            lq = lq_hash = ""
            if role != "train" or not task.fresh:
                degraded = task.degrade(
                    to_float(view), numpy_generator("degradation", task_name, dataset, name)
                )
                lq, lq_hash = _write_degraded(folder, name, degraded, exact=task.exact)
            rows.append(
                {
                    "image": name,
                    "scene": scene,
                    "gt": gt,
                    "lq": lq,
                    "gt_sha256": digest(view.tobytes()),
                    "lq_sha256": lq_hash,
                }
            )
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(folder / "pairs.csv", text.getvalue())
    entry = read_catalogue()[dataset]
    write_json(
        folder / "dataset.json",
        {
            "dataset": dataset,
            "label": entry.label,
            "task": task_name,
            "degradation": task.degradation,
            "scale": task.scale,
            "pairs": len(rows),
            "scenes": len({row["scene"] for row in rows}),
            "licences": entry.images,
            "fingerprint": digest_json(
                [[row["image"], row["gt_sha256"], row["lq_sha256"]] for row in rows]
            ),
        },
    )


def _write_degraded(
    folder: Path, name: str, degraded: NDArray[np.float32], *, exact: bool
) -> tuple[str, str]:
    """Write a degraded image; its name in the folder and the SHA-256 of its values."""
    if exact:
        values = np.ascontiguousarray(degraded, dtype=np.float32)
        np.save(folder / "LQ" / f"{name}.npy", values, allow_pickle=False)
        return f"LQ/{name}.npy", digest(values.tobytes())
    pixels = to_pixels(degraded)
    write_image(folder / "LQ" / f"{name}.png", pixels)
    return f"LQ/{name}.png", digest(pixels.tobytes())


def _cropped(pixels: Pixels, multiple: int) -> Pixels:
    """Image cut at the right and bottom to a multiple of `multiple`."""
    height, width = (side - side % multiple for side in pixels.shape[:2])
    return pixels[:height, :width]


def _windows(pixels: Pixels, side: int | None, count: int, multiple: int) -> list[Pixels]:
    """Whole image, or `count` square windows spread evenly along its diagonal."""
    if side is None:
        return [_cropped(pixels, multiple)]
    height, width = pixels.shape[:2]
    if min(height, width) < side:
        raise InputError(f"a window of {side} pixels does not fit an image of {width}x{height}")
    fractions = (np.arange(count) + 1) / (count + 1)
    return [
        pixels[top : top + side, left : left + side]
        for top, left in (
            (round(f * (height - side)), round(f * (width - side))) for f in fractions
        )
    ]


def load_pairs(folder: Path, scale: int) -> list[Pair]:
    """Pairs of a prepared data set, in the order of its `pairs.csv`.

    Parameters
    ----------
    folder : Path
        Folder that `prepare` made.
    scale : int
        Factor by which degraded images are smaller; they are enlarged to the clean size.

    Raises
    ------
    InputError
        If the folder or a file is absent, damaged, or of a size that does not fit.
    """
    from irsde.degradations import enlarge

    table = folder / "pairs.csv"
    if not table.is_file():
        raise InputError(f"{folder}: no prepared pairs there; run irsde data prepare first")
    pairs = []
    with table.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            x0 = read_image(folder / row["gt"])
            _check_unchanged(folder / row["gt"], x0, row["gt_sha256"])
            mu = None
            if row["lq"]:
                mu = _read_degraded(folder / row["lq"], row["lq_sha256"])
                if scale > 1:
                    mu = enlarge(mu, scale)
                if mu.shape != x0.shape:
                    raise InputError(
                        f"{folder / row['lq']}: {mu.shape[1]}x{mu.shape[0]} pixels beside a clean "
                        f"image of {x0.shape[1]}x{x0.shape[0]}"
                    )
            pairs.append(Pair(row["image"], row["scene"], x0, mu))
    return pairs


def _check_unchanged(path: Path, values: NDArray[Any], recorded: str) -> None:
    if digest(np.ascontiguousarray(values).tobytes()) != recorded:
        raise InputError(
            f"{path}: not the image that pairs.csv records; run irsde data prepare again"
        )


def _read_degraded(path: Path, recorded: str) -> NDArray[np.float32]:
    if path.suffix != ".npy":
        pixels = read_image(path)
        _check_unchanged(path, pixels, recorded)
        return to_float(pixels)
    try:
        array: NDArray[np.float32] = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{path}: not a readable array ({error})") from None
    if array.dtype != np.float32 or array.ndim != 3 or array.shape[2] != 3:
        raise InputError(f"{path}: expected a float32 array of shape (height, width, 3)")
    _check_unchanged(path, array, recorded)
    return array


def degraded(pair: Pair) -> NDArray[np.float32]:
    """Degraded image of a pair that has one.

    Raises
    ------
    InputError
        If it has none.
    """
    if pair.mu is None:
        raise InputError(f"{pair.image}: has no degraded image")
    return pair.mu


def dataset_card(folder: Path) -> dict[str, Any]:
    """Content of the `dataset.json` that `prepare` wrote."""
    if not (folder / "dataset.json").is_file():
        raise InputError(f"{folder}: no prepared pairs there; run irsde data prepare first")
    card = read_json(folder / "dataset.json")
    if not isinstance(card, dict) or "fingerprint" not in card:
        raise InputError(f"{folder / 'dataset.json'}: not a data set card; run irsde data prepare")
    return card
