"""A data set on disk: its images with their scenes, hashes and card.

Every data set has one form, whether it was fetched, adopted, made by hand or prepared for a task:
`GT/`, `LQ/` and `mask/` with the images, `pairs.csv` that lists them, and `dataset.json`, the card.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from irsde.config import TaskData
from irsde.files import InputError, digest_json, read_json, write_json, write_text
from irsde.images import Pixels, read_image
from irsde.plan import DATA
from irsde.tasks import TASKS, Degradation

TABLE = "pairs.csv"
CARD = "dataset.json"


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
    """Where a data set lies: `data/<name>`."""
    return DATA / name


def write_dataset(folder: Path, records: Sequence[Record], card: dict[str, Any]) -> None:
    """Write `pairs.csv` and then `dataset.json`, without which a folder holds no data set.

    The card gets the counts and the fingerprint: a hash over all names and hashes, and over the
    masks that its images are degraded with.
    """
    text = io.StringIO()
    columns = [field.name for field in fields(Record)]
    writer = csv.DictWriter(text, fieldnames=columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(record) for record in records)
    write_text(folder / TABLE, text.getvalue())
    write_json(
        folder / CARD,
        {
            **card,
            "pairs": len(records),
            "scenes": len({record.scene for record in records}),
            "fingerprint": digest_json(
                [
                    *(
                        [r.image, r.scene, r.gt_sha256, r.lq_sha256, r.mask_sha256]
                        for r in sorted(records, key=lambda record: record.image)
                    ),
                    card.get("masks"),
                ]
            ),
        },
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


def dataset_card(folder: Path) -> dict[str, Any]:
    """Content of a data set's `dataset.json`.

    Raises
    ------
    InputError
        If it is absent or not a card.
    """
    if not (folder / CARD).is_file():
        raise InputError(f"{folder}: no data set there; run irsde data {_command(folder)}")
    card = read_json(folder / CARD)
    if not isinstance(card, dict) or "fingerprint" not in card:
        raise InputError(f"{folder / CARD}: not a data set card; run irsde data {_command(folder)}")
    return card


def degradation_of(settings: TaskData) -> Degradation:
    """What a profile chooses of a task's degradation, with the masks read.

    Raises
    ------
    InputError
        If the set of masks is absent.
    """
    masks: tuple[Pixels, ...] = ()
    if settings.masks:
        folder = dataset_folder(settings.masks)
        files = [folder / record.mask for record in read_records(folder) if record.mask]
        if not files:
            raise InputError(f"{folder}: has no masks")
        masks = tuple(read_image(file) for file in files)
    return Degradation(settings.noise_level or Degradation.noise_level, settings.clipped, masks)


def noise_level_of(task: str, settings: TaskData) -> float | None:
    """Standard deviation of the noise in degraded images, where that is all there is in them."""
    if not TASKS[task].is_noise:
        return None
    return settings.noise_level or Degradation.noise_level


def _command(folder: Path) -> str:
    return "prepare" if "prepared" in folder.parts else f"fetch {folder.name} or irsde data adopt"


def source_fingerprint(dataset: str) -> str:
    """Hash of what a data set holds, "absent" where it is not there."""
    folder = dataset_folder(dataset)
    return str(dataset_card(folder)["fingerprint"]) if (folder / CARD).is_file() else "absent"
