"""Whether the files of a data set are still those that its table and its card record."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from irsde.data.catalogue import OWN
from irsde.data.sets import (
    CARD,
    TABLE,
    changed_files,
    contents,
    dataset_card,
    fingerprint,
    read_records,
    set_card,
)
from irsde.files import InputError, digest
from irsde.images import read_image


@dataclass(frozen=True)
class Damage:
    """A file that is not the recorded one.

    Parameters
    ----------
    path : Path
    what : str
        What was compared.
    expected, found : str
        SHA-256, or why there is none.
    """

    path: Path
    what: str
    expected: str
    found: str


def damages(folder: Path) -> tuple[int, list[Damage]]:
    """Compare the images of a data set with its table, and the table with its card.

    Parameters
    ----------
    folder : Path
        A data set, as it came or prepared.

    Returns
    -------
    int
        How many images and arrays were read.
    list of Damage

    Raises
    ------
    InputError
        If there is no table or no card.
    """
    card, records = set_card(folder), read_records(folder)
    damaged = []
    now = fingerprint(records, card)
    if now != card.fingerprint:
        where = folder / TABLE
        damaged.append(Damage(where, f"fingerprint of {CARD}", card.fingerprint, now))
    files = [
        (folder / name, recorded)
        for record in records
        for name, recorded in (
            (record.gt, record.gt_sha256),
            (record.lq, record.lq_sha256),
            (record.mask, record.mask_sha256),
        )
        if name
    ]
    with ThreadPoolExecutor() as pool:
        hashes = list(pool.map(_hash_of_values, [path for path, _ in files]))
    damaged += [
        Damage(path, f"hash of the pixels in {TABLE}", recorded, now)
        for (path, recorded), now in zip(files, hashes, strict=True)
        if now != recorded
    ]
    if (folder / OWN).is_file() and not any(damage.path in dict(files) for damage in damaged):
        damaged += _changes(folder)
    return len(files), damaged


def _changes(folder: Path) -> list[Damage]:
    """What is new in a set of one's own, whose recorded images are as they were."""
    recorded, now = dataset_card(folder).contents or "nothing", contents(folder)
    if recorded == now:
        return []
    what = ", ".join(changed_files(folder)) or f"{OWN} or the bytes of images are others"
    return [Damage(folder, f"contents ({what}) in {CARD}", recorded, now)]


def _hash_of_values(path: Path) -> str:
    """SHA-256 of an image's or array's values."""
    try:
        values = np.load(path, allow_pickle=False) if path.suffix == ".npy" else read_image(path)
    except FileNotFoundError:
        return "no such file"
    except (InputError, OSError, ValueError, EOFError):
        return "no such file" if not path.exists() else "an unreadable file"
    return digest(np.ascontiguousarray(values).tobytes())
