"""Decoded images of the training sets, kept as memory-mapped arrays named by their content."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from irsde.files import InputError, digest, replacing
from irsde.images import Pixels, read_image
from irsde.plan import DATA

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
