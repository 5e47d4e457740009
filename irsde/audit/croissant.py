"""Prepared data sets with Croissant cards, by which loaders and search engines read them.

The format is https://docs.mlcommons.org/croissant; `mlcroissant` checks every card.
"""

import json
import shutil
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from irsde.data.catalogue import FOLDERS, Part, facts_of
from irsde.data.sets import CARD, TABLE, dataset_card, dataset_folder, prepared_card, read_records
from irsde.experiment.cards import PreparedCard
from irsde.experiment.grid import pairs_folder, preparations
from irsde.experiment.profile import Profile
from irsde.files import InputError, digest_file, is_present, replacing_folder, write_json

if TYPE_CHECKING:
    from mlcroissant import FileSet, RecordSet

CROISSANT = "croissant.json"
COLUMNS = {
    "image": "name of the pair",
    "scene": "what it shows; pairs of one scene depend on each other",
    "gt": "file of the clean image",
    "lq": "file of the degraded image; a NumPy array where its values are no whole numbers",
    "mask": "file of the mask",
}
PARTS: dict[str, Part] = {"gt": "clean", "lq": "degraded", "mask": "mask"}
FORMATS = {".png": "image/png", ".npy": "application/x-npy"}
READABLE = {".png"}  # that mlcroissant reads as images


def export_croissant(profile: Profile, folder: Path, tasks: Sequence[str]) -> str:
    """Copy the prepared pairs of a profile, each set with a Croissant card.

    Parameters
    ----------
    profile : Profile
    folder : Path
        `<folder>/<task>/<data set>` is written for every set that is prepared.
    tasks : sequence of str
        Whose sets.

    Returns
    -------
    str
        A line for each set.

    Raises
    ------
    InputError
        If `mlcroissant` is not installed or refuses a card, no set is prepared, a card or table is
        damaged, or a folder is there and has no Croissant card.
    """
    sets = [
        (task, name)
        for task, name in preparations(profile)
        if task in tasks and is_present(pairs_folder(profile.name, task, name) / CARD)
    ]
    if not sets:
        raise InputError(
            f"{profile.name}: no prepared pairs of {', '.join(tasks)}; run irsde data prepare"
        )
    lines = []
    for task, name in sets:
        source, target = pairs_folder(profile.name, task, name), folder / task / name
        if target.exists() and not is_present(target / CROISSANT):
            raise InputError(f"{target}: is there and has no {CROISSANT}; choose another folder")
        card = prepared_card(source)
        with replacing_folder(target) as temporary:
            shutil.copytree(source, temporary, dirs_exist_ok=True)
            write_json(temporary / CROISSANT, croissant_of(card, temporary))
        lines.append(f"{target}: {card.pairs} pairs; licence: {'; '.join(_licences(card))}")
    return "\n".join(lines)


def croissant_of(card: PreparedCard, folder: Path) -> object:
    """Croissant card of prepared pairs, as JSON.

    Parameters
    ----------
    card : PreparedCard
    folder : Path
        Folder of the pairs and, later, of the Croissant card.

    Raises
    ------
    InputError
        If `mlcroissant` is not installed, or refuses the card.
    """
    try:
        import mlcroissant as mlc
    except ImportError:
        raise InputError("mlcroissant is not installed; run pip install 'irsde[export]'") from None
    facts = facts_of(card.dataset)
    endings = _endings(folder)
    table = mlc.FileObject(
        id=TABLE,
        name=TABLE,
        description="the pairs, with the SHA-256 of the pixels of each file",
        content_url=TABLE,
        encoding_formats=["text/csv"],
        sha256=digest_file(folder / TABLE),
    )
    try:
        content = mlc.Metadata(
            name=f"{card.task}-{card.dataset}",
            description=f"{card.label}: {card.pairs} pairs of {card.scenes} scenes, for "
            f"{card.role}. Degradation: {card.degradation}.",
            url=facts.page or None,
            license=_licences(card),
            cite_as=facts.citation or None,
            date_published=datetime.now(UTC).replace(microsecond=0),
            version=f"1.0.0+{card.fingerprint[:12]}",
            distribution=[table, *(_files(mlc, column, endings[column]) for column in endings)],
            record_sets=[
                _pairs(mlc, endings),
                *(_images(mlc, column) for column in endings if endings[column] == READABLE),
            ],
        ).to_json()
    except mlc.ValidationError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{folder}: mlcroissant refuses its card ({reason})") from None
    found: object = json.loads(json.dumps(content, default=str))
    return found


def _endings(folder: Path) -> dict[str, set[str]]:
    """Columns of files in the table of pairs, each with the endings of its files."""
    records = read_records(folder)
    found = {
        column: {Path(path).suffix for record in records if (path := getattr(record, column))}
        for column in PARTS
    }
    return {column: endings for column, endings in found.items() if endings}


def _files(mlc: ModuleType, column: str, endings: Collection[str]) -> "FileSet":
    """All files of a column."""
    part = PARTS[column]
    return mlc.FileSet(
        id=f"{part}-files",
        name=f"{part} files",
        includes=[f"{FOLDERS[part]}/*{ending}" for ending in sorted(endings)],
        encoding_formats=[FORMATS[ending] for ending in sorted(endings)],
    )


def _pairs(mlc: ModuleType, columns: Collection[str]) -> "RecordSet":
    """The table of pairs; without columns of files that no pair has."""
    shown = [name for name in COLUMNS if name not in PARTS or name in columns]
    return mlc.RecordSet(
        id="pairs",
        name="pairs",
        key="pairs/image",
        fields=[
            mlc.Field(
                id=f"pairs/{name}",
                name=name,
                description=COLUMNS[name],
                data_types=[mlc.DataType.TEXT],
                source=mlc.Source(file_object=TABLE, extract=mlc.Extract(column=name)),
            )
            for name in shown
        ],
    )


def _images(mlc: ModuleType, column: str) -> "RecordSet":
    """Images of a column by their paths in the table."""
    part = PARTS[column]
    shown = {
        "file": (mlc.DataType.TEXT, mlc.FileProperty.fullpath),
        "image": (mlc.DataType.IMAGE_OBJECT, mlc.FileProperty.content),
    }
    return mlc.RecordSet(
        id=part,
        name=f"{part} images",
        key=f"{part}/file",
        fields=[
            mlc.Field(
                id=f"{part}/{name}",
                name=name,
                data_types=[kind],
                source=mlc.Source(file_set=f"{part}-files", extract=mlc.Extract(file_property=of)),
            )
            for name, (kind, of) in shown.items()
        ],
    )


def _licences(card: PreparedCard) -> list[str]:
    """Terms of a set, those of each image where they differ and the set is here."""
    folder = dataset_folder(card.dataset)
    of_images = dataset_card(folder).licences if is_present(folder / CARD) else None
    return sorted({*of_images.values()}) if of_images else [card.licence]
