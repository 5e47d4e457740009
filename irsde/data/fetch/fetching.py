"""Bringing a data set into `data/`: out of scikit-image, by download, or by indexing one's own."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from irsde.data.adopt.adoption import adopt
from irsde.data.adopt.own_sets import index_own
from irsde.data.catalogue import Archive, Family, find_split, read_own
from irsde.data.fetch.archives import extract
from irsde.data.fetch.downloads import download, read_lock, record
from irsde.data.fetch.photographs import write_photographs
from irsde.data.sets import CARD, dataset_card, dataset_folder
from irsde.experiment.grid import datasets, sets_file
from irsde.experiment.profile import Profile
from irsde.files import DATA, InputError, digest_file, replacing, write_json

DOWNLOADS = DATA / "downloads"
LOCK = DATA / "downloads.lock"


def fetch(name: str) -> list[str]:
    """Put a data set into `data/<name>`; do nothing where it is there.

    Parameters
    ----------
    name : str
        A split of the catalogue, or a folder of one's own with a `dataset.yaml`.

    Returns
    -------
    list of str
        Lines that say what was done.

    Raises
    ------
    InputError
        If it cannot be had; the message says what to do by hand.
    """
    folder = dataset_folder(name)
    if read_own(name):
        return index_own(name)
    family, split = find_split(name)
    if (folder / CARD).is_file():
        card = dataset_card(folder)
        if not split.photographs or card.licences == split.photographs:
            return [f"{folder}: {card.pairs} images, already there"]
    if split.photographs:
        return write_photographs(name)
    if not family.archives:
        raise InputError(f"{name}: has no address to download from; {_by_hand(family, name)}")
    unpacked = DOWNLOADS / f"{folder.name}.unpacked"
    needed = [a for a in family.archives if not a.splits or name in a.splits]
    for archive in needed:
        _unpack(archive, family, name, unpacked / archive.name)
    return adopt(unpacked, name, copy=False)


def fetch_all(profile: Profile) -> list[str]:
    """Fetch every data set of a profile and write their fingerprints to one file."""
    names = datasets(profile)
    lines = [line for name in names for line in fetch(name)]
    cards = {name: dataset_card(dataset_folder(name)).fingerprint for name in names}
    write_json(sets_file(profile.name), cards)
    return lines


def _unpack(archive: Archive, family: Family, name: str, folder: Path) -> None:
    if folder.is_dir():
        return
    pieces = list(zip(*archive.addresses, strict=True))
    files = [DOWNLOADS / archive.name]
    if len(pieces) > 1:
        files = [DOWNLOADS / f"{archive.name}.{k:03}" for k in range(1, len(pieces) + 1)]
    for file, mirrors in zip(files, pieces, strict=True):
        known = archive.sha256 if len(pieces) == 1 else None
        recorded = known or read_lock(LOCK).get(file.name)
        try:
            sha256 = download(mirrors, file, recorded, locked=known is None)
        except InputError as error:
            raise InputError(f"{error}; {_by_hand(family, name)}") from None
        if recorded is None:
            record(LOCK, file.name, sha256)
    if len(pieces) > 1:
        _join(files, archive)
    extract(DOWNLOADS / archive.name, folder)


def _join(parts: Sequence[Path], archive: Archive) -> None:
    """Put the parts of an archive together and compare the whole with its known SHA-256."""
    whole = DOWNLOADS / archive.name
    with replacing(whole) as temporary, temporary.open("wb") as sink:
        for part in parts:
            with part.open("rb") as source:
                shutil.copyfileobj(source, sink)
    if archive.sha256 and (sha256 := digest_file(whole)) != archive.sha256:
        whole.unlink()
        raise InputError(
            f"{whole}: SHA-256 {sha256[:12]} instead of {archive.sha256[:12]} of the catalogue: a "
            f"part is not what it should be; delete {', '.join(part.name for part in parts)} and "
            f"their lines in {LOCK}, and fetch it again"
        )


def _by_hand(family: Family, name: str) -> str:
    if family.by_hand:
        return f"by hand: {' '.join(family.by_hand.split()).rstrip('.')}"
    return f"by hand: download it from {family.page}, then irsde data adopt FOLDER --as {name}"
