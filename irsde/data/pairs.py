"""Decoded images of the training sets, kept as memory-mapped arrays named by their content."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from irsde.data.sets import prepared_card, read_records
from irsde.degradations.resampling import enlarge
from irsde.experiment.grid import Run, pairs_folder
from irsde.files import DATA, InputError, digest, replacing
from irsde.images import Pixels, read_image, to_float
from irsde.tasks import Degradation, Task

CACHE = DATA / "cache"


def decoded(files: Sequence[tuple[Path, str]]) -> list[Pixels]:
    """Pixels of image files, decoded once by all cores and read from disk ever after.

    Parameters
    ----------
    files : sequence of (Path, str)
        Image files, each with the SHA-256 of its pixels that its data set records.

    Returns
    -------
    list of ndarray of uint8, shape (H, W, 3)
        Read-only memory maps: pages are loaded when touched and shared between processes.

    Raises
    ------
    InputError
        If a file cannot be read or is not the recorded image.

    Notes
    -----
    A file of the cache is named by the hash of its pixels and renamed into place when complete, so
    that processes which write the same one at once do no harm. `data/cache` may be deleted.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(_decoded, *zip(*files, strict=True))) if files else []


def _decoded(file: Path, sha256: str) -> Pixels:
    stored = CACHE / sha256[:2] / f"{sha256}.npy"
    if not stored.is_file():
        fresh = np.ascontiguousarray(read_image(file))
        if digest(fresh.tobytes()) != sha256:
            raise InputError(f"{file}: not the image that pairs.csv records; prepare the set again")
        with replacing(stored) as temporary:
            np.save(temporary, fresh, allow_pickle=False)
    try:
        pixels: Pixels = np.load(stored, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{stored}: damaged ({error}); delete it") from None
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise InputError(f"{stored}: not decoded pixels; delete it")
    return pixels


if TYPE_CHECKING:
    pass

Image = NDArray[np.float32]
Values = Pixels | Image  # of a file: an image, or an array that is not rounded
V = TypeVar("V", Pixels, Values)


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
    lq : ndarray of uint8 or float32, shape (H / scale, W / scale, 3), or None
        Degraded image, nominally in [0, 1] where it is floating point; None where training
        degrades every patch again.
    source : str
        Clean image of the data set that the pair was made of.
    scale : int
        Factor by which the degraded image is smaller.
    enlarge : {"bicubic", "nearest"}
        How it is brought to the clean size.
    """

    image: str
    scene: str
    x0: Pixels
    lq: Pixels | Image | None
    source: str = ""
    scale: int = 1
    enlarge: Literal["bicubic", "nearest"] = "bicubic"

    @property
    def mu(self) -> Image:
        """Degraded image at the clean size, float32, nominally in [0, 1].

        Raises
        ------
        InputError
            If there is none.
        """
        if self.lq is None:
            raise InputError(f"{self.image}: has no degraded image")
        return self.enlarged(self.lq)

    def enlarged(self, lq: Values) -> Image:
        """A part of the degraded image as float32 at the clean size."""
        small = cast("Image", lq) if lq.dtype == np.float32 else to_float(cast("Pixels", lq))
        return enlarge(small, self.scale, self.enlarge) if self.scale > 1 else small


def load_pairs(folder: Path) -> list[Pair]:
    """Pairs of a prepared data set, in the order of its `pairs.csv`.

    Parameters
    ----------
    folder : Path
        Folder that `preparation.prepare` made. Images of a training set are memory-mapped from
        the decoded cache.

    Raises
    ------
    InputError
        If the folder or a file is absent, damaged, not the recorded one, or of a size that does
        not fit.
    """
    card = prepared_card(folder)
    records = read_records(folder)
    of_clean = [(folder / r.gt, r.gt_sha256) for r in records]
    with_degraded = [r for r in records if r.lq]
    of_degraded = [(folder / r.lq, r.lq_sha256) for r in with_degraded]
    lower: Sequence[Values]
    if card.role == "train":
        clean, lower = decoded(of_clean), decoded(of_degraded)
    else:
        clean, lower = _read(of_clean, read_image), _read(of_degraded, _read_values)
    degraded = dict(zip((r.image for r in with_degraded), lower, strict=True))
    pairs = []
    for record, x0 in zip(records, clean, strict=True):
        lq = degraded.get(record.image)
        pair = Pair(record.image, record.scene, x0, lq, record.source, card.scale, card.enlarge)
        if lq is not None and (lq.shape[0] * pair.scale, lq.shape[1] * pair.scale) != x0.shape[:2]:
            raise InputError(
                f"{folder / record.lq}: {lq.shape[1]}x{lq.shape[0]} pixels beside a clean image of "
                f"{x0.shape[1]}x{x0.shape[0]}"
            )
        pairs.append(pair)
    return pairs


def load_all(run: Run, datasets: Sequence[str]) -> list[Pair]:
    """Pairs of several prepared data sets of a run's task, one set after the other."""
    folders = [pairs_folder(run.profile, run.task, name) for name in datasets]
    return [pair for folder in folders for pair in load_pairs(folder)]


def _read(files: Sequence[tuple[Path, str]], read: Callable[[Path], V]) -> list[V]:
    """Values of image files and arrays, checked against the recorded hashes."""
    results = []
    for path, recorded in files:
        values = read(path)
        if digest(np.ascontiguousarray(values).tobytes()) != recorded:
            raise InputError(
                f"{path}: not the image that pairs.csv records; run irsde data prepare again"
            )
        results.append(values)
    return results


def _read_values(path: Path) -> Values:
    return _read_array(path) if path.suffix == ".npy" else read_image(path)


def _read_array(path: Path) -> Image:
    try:
        array: Image = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{path}: not a readable array ({error})") from None
    if array.dtype != np.float32 or array.ndim != 3 or array.shape[2] != 3:
        raise InputError(f"{path}: expected a float32 array of shape (height, width, 3)")
    return array


def check_patch(pair: Pair, side: int) -> None:
    """Refuse windows that `draw_patch` cannot draw.

    Raises
    ------
    InputError
        If the image is smaller than the window, or the window no multiple of the scale.
    """
    height, width = pair.x0.shape[:2]
    if min(height, width) < side:
        raise InputError(
            f"training image {pair.image} of {width}x{height} pixels is smaller than the patch "
            f"of {side}: set a smaller training.patch"
        )
    if side % pair.scale:
        raise InputError(f"training.patch: {side} is no multiple of the scale {pair.scale}")


def draw_patch(
    pair: Pair, task: Task, side: int, generator: np.random.Generator, degradation: Degradation
) -> tuple[Image, Image]:
    """One random window of a pair, the same in both images, flipped and transposed at random.

    Parameters
    ----------
    pair : Pair
    task : Task
        Degrades the patch where the pair has no degraded image.
    side : int
        Side of the window, pixels; a multiple of the pair's scale.
    generator : numpy.random.Generator
    degradation : Degradation
        What the profile chooses of how `task` degrades.

    Returns
    -------
    x0, mu : ndarray of float32, shape (side, side, 3)
        In [0, 1], `mu` nominally. For super-resolution the window of the small image is enlarged,
        not the whole image, as in the authors' training.

    Raises
    ------
    InputError
        If the image is smaller than the window, or the window no multiple of the scale.
    """
    check_patch(pair, side)
    height, width = pair.x0.shape[:2]
    scale = pair.scale
    top = scale * int(generator.integers((height - side) // scale + 1))
    left = scale * int(generator.integers((width - side) // scale + 1))
    x0 = to_float(pair.x0[top : top + side, left : left + side])
    if pair.lq is None:
        mu = task.degrade(x0, generator, degradation)
    else:
        small = (slice(start // scale, (start + side) // scale) for start in (top, left))
        mu = pair.enlarged(pair.lq[tuple(small)])
    for axis in (0, 1):
        if generator.random() < 0.5:
            x0, mu = np.flip(x0, axis), np.flip(mu, axis)
    if generator.random() < 0.5:
        x0, mu = x0.swapaxes(0, 1), mu.swapaxes(0, 1)
    return x0, mu
