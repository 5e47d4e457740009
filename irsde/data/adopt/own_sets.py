"""Data sets of one's own: `GT/`, `LQ/` and `mask/` paired by equal names, and `dataset.yaml`."""

import difflib
import re
from collections.abc import Collection, Iterable
from pathlib import PurePosixPath

from irsde.data.adopt.fingerprints import Found
from irsde.data.adopt.placing import Pair, Plan, check_pairs
from irsde.data.adopt.searching import Search, counted, first_few, search_folder
from irsde.data.catalogue import FOLDERS, OWN, PARTS, OwnSet, Part, read_own, split_names
from irsde.data.sets import dataset_folder, source_fingerprint, write_dataset
from irsde.degradations.masks import read_mask
from irsde.experiment.cards import DatasetCard
from irsde.files import InputError
from irsde.images import read_image
from irsde.tasks import TASKS


def index_own(name: str) -> list[str]:
    """Write the table and the card of a set of one's own beside its images.

    Parameters
    ----------
    name : str
        `data/<name>` with `dataset.yaml`, `GT/` and, where there are, `LQ/` and `mask/`. A degraded
        image is named as its clean one, or as that and `_` and anything; a mask as either.

    Returns
    -------
    list of str
        A line that says what was found.

    Raises
    ------
    InputError
        If there is no description, an image cannot be read, has no partner or does not fit it.
    """
    target = dataset_folder(name)
    own = read_own(name)
    if own is None:
        raise InputError(f"{target / OWN}: no such file; it describes a data set of your own")
    found_before = source_fingerprint(name)
    search = search_folder(target)
    pairs = _pairs(name, own, search)
    if not pairs:
        raise InputError(f"{target / FOLDERS['clean']}: no clean images there")
    card = _card(name, own, search).model_copy(update={"contents": found_before})
    check_pairs(name, pairs, card.tasks)
    write_dataset(target, [pair.record() for pair in pairs], card)
    scenes = len({pair.scene for pair in pairs})
    used = {file for pair in pairs for _, file in pair.files.values()}
    line = f"{target}: {counted(len(pairs), 'pair')}, {counted(scenes, 'scene')}"
    return [line, *search.rest(used, "not used")]


def plan_own(name: str, search: Search) -> Plan:
    """Plan of a folder as a set of one's own, with a description unless it has one.

    Raises
    ------
    InputError
        If there are no clean images, files cannot be paired, or images are in `data/<name>`.
    """
    target = dataset_folder(name)
    files = _in_folders(search)
    if not files["clean"]:
        close = difflib.get_close_matches(name, split_names(), n=1)
        hint = f" (is {close[0]} meant?)" if close else ""
        raise InputError(
            f"{search.folder}: {name!r} is no known data set{hint}; a set of your own needs its "
            f"clean images in {search.folder / FOLDERS['clean']}"
        )
    if not target.is_symlink() and any(
        not file.is_symlink() for part in FOLDERS.values() for file in target.glob(f"{part}/*")
    ):
        raise InputError(
            f"{target}: holds image files of its own, which would be lost; index them with "
            f"irsde data fetch {name}, or choose another name"
        )
    own = read_own(name)
    if own:
        description = (target / OWN).read_text(encoding="utf-8")
    else:
        own = OwnSet(label=name)
        description = f"label: {name}\n"
        if files["degraded"]:
            description += f"# task: what LQ/ shows, one of {', '.join(TASKS)}\n"
    pairs = _pairs(name, own, search)
    notes = [f"{name}: not in the catalogue, so a set of your own, described in {target / OWN}"]
    if files["degraded"] and own.task is None:
        notes.append(f"{name}: add 'task:' to {target / OWN}, then irsde data fetch {name}")
    return Plan(
        name=name,
        pairs=pairs,
        card=_card(name, own, search),
        state=f"{len(pairs)} {'pairs' if files['degraded'] else 'images'} by equal names",
        flaws=[],
        used={file for of_part in files.values() for file in of_part.values()},
        notes=notes,
        description=description,
    )


def _in_folders(search: Search) -> dict[Part, dict[str, Found]]:
    """Files directly in `GT/`, `LQ/` and `mask/`, by stem."""
    files: dict[Part, dict[str, Found]] = {part: {} for part in PARTS}
    for file in search.found:
        for part in PARTS:
            if file.place.parts[:-1] == (FOLDERS[part],):
                first = files[part].setdefault(file.place.stem, file)
                if first is not file:
                    raise InputError(
                        f"{search.folder}: {first.place} and {file.place} have one name: rename one"
                    )
    return files


def _pairs(name: str, own: OwnSet, search: Search) -> list[Pair]:
    broken = [p for p in search.unreadable if str(PurePosixPath(p).parent) in FOLDERS.values()]
    if broken:
        raise InputError(f"{search.folder}: {search.unreadable_line(broken)}")
    clean, degraded, masks = _in_folders(search).values()
    groups = {file: _group(own, stem, name) for stem, file in clean.items()}
    scenes = search.scenes(name, groups)
    owners = {stem: _owner(stem, clean) for stem in degraded or clean}
    lonely: tuple[tuple[Part, Part, list[str]], ...] = (
        ("degraded", "clean", [stem for stem in owners if not owners[stem]]),
        ("clean", "degraded", [stem for stem in clean if stem not in owners.values()]),
        ("mask", "clean", [stem for stem in masks if stem not in clean and stem not in degraded]),
    )
    for part, partner, alone in lonely:
        if alone:
            raise InputError(
                f"{search.folder}: {len(alone)} images of {FOLDERS[part]}/ have no partner in "
                f"{FOLDERS[partner]}/ ({first_few(alone)}); give both one name, upper and lower "
                "case alike"
            )
    pairs = []
    if masks:
        _check_masks(name, own, search, masks.values())
    elif own.holes and clean:
        raise InputError(
            f"{dataset_folder(name) / OWN}: holes: has no effect without images in "
            f"{FOLDERS['mask']}/; take it out"
        )
    for stem, owner in owners.items():
        parts: dict[Part, Found] = {"clean": clean[owner]}
        if degraded:
            parts["degraded"] = degraded[stem]
        if masks:
            mask = masks.get(stem) or masks.get(owner)
            if mask is None:
                raise InputError(f"{search.folder}: {stem} has no mask in {FOLDERS['mask']}/")
            parts["mask"] = mask
        files = {part: (file.place.name, file) for part, file in parts.items()}
        pairs.append(Pair(stem, scenes[clean[owner]], files))
    return pairs


def _check_masks(name: str, own: OwnSet, search: Search, masks: Iterable[Found]) -> None:
    """Refuse masks that mark nothing, and masks of which is not said what marks a hole."""
    if own.holes is None:
        raise InputError(
            f"{dataset_folder(name) / OWN}: write 'holes: white' or 'holes: black', whichever "
            f"marks a hole in {FOLDERS['mask']}/"
        )
    for file in masks:
        place = search.folder / file.place
        read_mask(read_image(file.path), file.height, file.width, holes=own.holes, place=place)


def _owner(stem: str, clean: Collection[str]) -> str:
    """Clean image of this name or of the longest part before a `_`; empty if there is none."""
    while stem and stem not in clean:
        stem = stem.rpartition("_")[0]
    return stem


def _group(own: OwnSet, stem: str, name: str) -> str:
    if own.scene is None:
        return stem
    match = re.search(own.scene, stem)
    if match is None or not match.group(1):
        raise InputError(
            f"{dataset_folder(name) / OWN}: scene: {own.scene!r} finds nothing in the name {stem}"
        )
    return match.group(1)


def _card(name: str, own: OwnSet, search: Search) -> DatasetCard:
    return DatasetCard(
        dataset=name,
        label=own.label,
        family=own.label,
        tasks=[own.task] if own.task else [],
        licence=own.licence,
        citation="",
        source=search.source,
        agreement=None,
        verified=False,
    )
