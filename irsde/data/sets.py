"""A data set on disk: its images with their scenes, hashes and card.

Every data set has one form, whether it was fetched, adopted, made by hand or prepared for a task:
`GT/`, `LQ/` and `mask/` with the images, `pairs.csv` that lists them, and `dataset.json`, the card.
"""

import csv
import io
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from irsde.data.catalogue import FOLDERS, OWN, find_split, read_own
from irsde.degradations.masks import Holes
from irsde.experiment.cards import DatasetCard, PreparedCard, SetCard
from irsde.experiment.profile import TaskData
from irsde.files import (
    DATA,
    InputError,
    digest_json,
    digest_known,
    is_present,
    read_json,
    write_json,
    write_text,
)
from irsde.images import image_files, read_image, unread_line
from irsde.tasks import Degradation

TABLE = "pairs.csv"
CARD = "dataset.json"
SOURCES = DATA / "cache" / "sources"
SETTLED = 2_000_000_000  # nanoseconds after which a file's time tells two contents apart
SHOWN = 3
_KNOWN = TypeAdapter(dict[str, list[int | str]])  # size, times, inode and hash of files


@dataclass(frozen=True)
class Record:
    """A row of `pairs.csv`: a degraded image and its clean version, or a clean image alone.

    Parameters
    ----------
    image : str
        Name, unique in its data set.
    scene : str
        What it shows; images of one scene are not independent.
    gt, lq, mask : str
        Files of the clean image, the degraded one and the mask, relative to the data set's folder;
        empty where there is none.
    gt_sha256, lq_sha256, mask_sha256 : str
        SHA-256 of their decoded values.
    source : str
        Clean image of the data set that a prepared pair was made of; empty in the set itself.
    """

    image: str
    scene: str
    gt: str = ""
    lq: str = ""
    mask: str = ""
    gt_sha256: str = ""
    lq_sha256: str = ""
    mask_sha256: str = ""
    source: str = ""


def dataset_folder(name: str) -> Path:
    """Folder of a data set: `data/<name>`."""
    return DATA / name


def write_dataset(
    folder: Path, records: Sequence[Record], card: DatasetCard | PreparedCard
) -> None:
    """Write `pairs.csv` and then `dataset.json`, without which a folder holds no data set.

    The card gets the counts and the fingerprint.
    """
    text = io.StringIO()
    columns = [field.name for field in fields(Record)]
    writer = csv.DictWriter(text, fieldnames=columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(record) for record in records)
    write_text(folder / TABLE, text.getvalue())
    counted = {
        "pairs": len(records),
        "scenes": len({record.scene for record in records}),
        "fingerprint": fingerprint(records, card),
    }
    card.model_copy(update=counted).write(folder / CARD)


def fingerprint(records: Sequence[Record], card: SetCard) -> str:
    """Hash over the names and hashes of a set, and over the masks its images are degraded with."""
    masks = card.masks.content() if isinstance(card, PreparedCard) and card.masks else None
    return digest_json(
        [
            *(
                [r.image, r.scene, r.gt_sha256, r.lq_sha256, r.mask_sha256]
                for r in sorted(records, key=lambda record: record.image)
            ),
            masks,
        ]
    )


def read_records(folder: Path) -> list[Record]:
    """Rows of a data set's `pairs.csv`.

    Raises
    ------
    InputError
        If the table is absent or of another form.
    """
    path = folder / TABLE
    if not path.is_file():
        raise InputError(f"{folder}: no data set there; run irsde data {_command(folder)}")
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            return [Record(**row) for row in csv.DictReader(stream)]
    except TypeError:
        raise InputError(f"{path}: not a table of pairs; irsde data {_command(folder)}") from None


def dataset_card(folder: Path) -> DatasetCard:
    """Card of a data set as it came.

    Raises
    ------
    InputError
        If it is absent or not such a card.
    """
    return _read_card(folder, DatasetCard)


def prepared_card(folder: Path) -> PreparedCard:
    """Card of prepared pairs.

    Raises
    ------
    InputError
        If it is absent or not such a card.
    """
    return _read_card(folder, PreparedCard)


def set_card(folder: Path) -> DatasetCard | PreparedCard:
    """Card of a data set, as it came or prepared.

    Raises
    ------
    InputError
        If it is absent or no card.
    """
    extra = _read_card(folder, SetCard).model_extra or {}
    return prepared_card(folder) if "role" in extra else dataset_card(folder)


Card = TypeVar("Card", bound=SetCard)


def _read_card(folder: Path, kind: type[Card]) -> Card:
    command = f"run irsde data {_command(folder)}"
    if not is_present(folder / CARD):
        raise InputError(f"{folder}: no data set there; {command}")
    try:
        card = kind.read(folder / CARD)
    except InputError as error:
        raise InputError(f"{error}; {command}") from None
    if not card.fingerprint:
        raise InputError(f"{folder / CARD}: fingerprint: field required; {command}")
    return card


def holes_of(dataset: str) -> Holes:
    """What marks a hole in the masks of a data set, by its description or by the catalogue.

    Raises
    ------
    InputError
        If neither says it.
    """
    own = read_own(dataset)
    holes = own.holes if own else find_split(dataset)[1].holes
    if holes is None:
        raise InputError(
            f"{dataset_folder(dataset) / OWN}: write 'holes: white' or 'holes: black', whichever "
            f"marks a hole in {FOLDERS['mask']}/"
        )
    return holes


def source_fingerprint(dataset: str) -> str:
    """Hash of the contents of a data set in `data/`, by which a change of it is noticed.

    Parameters
    ----------
    dataset : str

    Returns
    -------
    str
        Of a set of one's own the hash of `dataset.yaml` and of the names, sizes and bytes of its
        images, whether indexed or not; of another set the fingerprint in its card; "absent" where
        there is none.

    Raises
    ------
    InputError
        If an image's name is no text, or the card is damaged.

    Notes
    -----
    A file whose size, times and inode are those of last time is not read again. What was found is
    kept in `data/cache/sources`, which may be deleted.
    """
    folder = dataset_folder(dataset)
    if not (folder / OWN).is_file():
        return dataset_card(folder).fingerprint if is_present(folder / CARD) else "absent"
    return contents(folder, _cache_of(dataset))


def _cache_of(dataset: str) -> Path:
    return SOURCES / f"{dataset}.json"


def contents(folder: Path, cache: Path | None = None) -> str:
    """Hash of the description and of the images of a set of one's own, by name, size and bytes.

    Parameters
    ----------
    folder : Path
    cache : Path, optional
        JSON file of the hashes found last time.
    """
    known: dict[str, list[int | str]] = {}
    if cache is not None:
        with suppress(InputError, ValidationError):
            known = _KNOWN.validate_python(read_json(cache))
    names = [OWN, *own_images(folder)]
    with ThreadPoolExecutor() as pool:
        hashes = list(pool.map(lambda name: digest_known(folder / name, known.get(name)), names))
    settled = time.time_ns() - SETTLED
    kept = {
        name: [*key, sha256]
        for name, (key, sha256) in zip(names, hashes, strict=True)
        if key and max(key[1:3]) < settled
    }
    if cache is not None and kept != known:
        with suppress(InputError):
            write_json(cache, kept)
    return digest_json(
        [[name, key[:1], sha256] for name, (key, sha256) in zip(names, hashes, strict=True)]
    )


def own_images(folder: Path) -> list[str]:
    """Images of a set of one's own, as `pairs.csv` names them."""
    return _own_files(folder)[0]


def left_out(folder: Path) -> str:
    """Line on the pictures of a set of one's own whose formats are not read; empty if none."""
    unread = [folder / name for name in _own_files(folder)[1]]
    return unread_line(unread) if unread else ""


def _own_files(folder: Path) -> tuple[list[str], list[str]]:
    own: tuple[list[str], list[str]] = ([], [])
    for part in FOLDERS.values():
        if (folder / part).is_dir():
            for names, files in zip(own, image_files(folder / part), strict=True):
                names += [f"{part}/{file.name}" for file in files]
    return own


def check_unchanged(dataset: str) -> None:
    """Refuse a data set of one's own that is no longer as it was indexed.

    Raises
    ------
    InputError
        If an image was added, replaced or removed, or `dataset.yaml` edited.
    """
    folder = dataset_folder(dataset)
    if not (folder / OWN).is_file():
        return
    if dataset_card(folder).contents != contents(folder, _cache_of(dataset)):
        changed = changed_files(folder) or ["an image or dataset.yaml is another one"]
        more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
        raise InputError(
            f"{folder}: not as it was indexed ({', '.join(changed[:SHOWN])}{more}); "
            f"run irsde data fetch {dataset}"
        )


def changed_files(folder: Path) -> list[str]:
    """Images of a set of one's own that are new or gone since it was indexed."""
    listed = {name for r in read_records(folder) for name in (r.gt, r.lq, r.mask) if name}
    here = set(own_images(folder))
    return [
        *(f"{name} is new" for name in sorted(here - listed)),
        *(f"{name} is gone" for name in sorted(listed - here)),
    ]


def degradation_of(settings: TaskData) -> Degradation:
    """What a profile chooses of a task's degradation, with the masks read.

    Raises
    ------
    InputError
        If the set of masks is absent.
    """
    level = settings.noise_level
    chosen = Degradation(
        Degradation.noise_level if level is None else level, clipped=settings.clipped
    )
    if settings.masks is None:
        return chosen
    check_unchanged(settings.masks)
    folder = dataset_folder(settings.masks)
    files = [folder / record.mask for record in read_records(folder) if record.mask]
    if not files:
        raise InputError(f"{folder}: has no masks")
    masks = tuple(read_image(file) for file in files)
    return replace(chosen, masks=masks, holes=holes_of(settings.masks))


def _command(folder: Path) -> str:
    return "prepare" if "prepared" in folder.parts else f"fetch {folder.name} or irsde data adopt"
