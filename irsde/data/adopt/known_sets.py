"""Data sets whose images are known: found files compared with them, fingerprints recorded."""

import filecmp
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath

from irsde.data.adopt.fingerprints import (
    Comparison,
    Fingerprint,
    difference,
    find_images,
    fingerprint_of,
    write_fingerprints,
)
from irsde.data.adopt.placing import Pair, Plan, catalogue_card, renamed
from irsde.data.adopt.searching import Search, border_line, counted, first_few
from irsde.data.catalogue import PARTS, Part
from irsde.data.sets import dataset_folder, read_records
from irsde.experiment.cards import Agreement
from irsde.files import InputError

UNITS: dict[Part, str] = {"degraded": "pairs", "clean": "images", "mask": "masks"}


def plan_known(comparison: Comparison, search: Search) -> Plan:
    """Plan of a set by what was found of its images."""
    leading = _leading_part(comparison.known)
    pairs, states = [], Counter[str]()
    for images in _groups(comparison.known, leading):
        state = _state(images, comparison)
        states[state] += 1
        if state != "missing":
            files = {one.part: renamed(one.image, comparison.files[one]) for one in images}
            pairs.append(Pair(images[0].image, images[0].scene, files))
    agreement = Agreement(
        pairs=states.total(),
        agree=states["agree"],
        differ={kind: n for kind, n in states.items() if kind not in ("agree", "missing")},
        missing=states["missing"],
    )
    flaws = _flaws(comparison, search)
    return Plan(
        name=comparison.name,
        pairs=pairs,
        card=catalogue_card(comparison.name, search.source).model_copy(
            update={"agreement": agreement, "differences": flaws, "verified": not flaws}
        ),
        state=f"{states['agree']} of {states.total()} {UNITS[leading]} agree",
        flaws=flaws,
        used=comparison.used,
        notes=_notes(comparison),
    )


def _leading_part(known: Sequence[Fingerprint]) -> Part:
    """Part of which each image makes a row of `pairs.csv`."""
    parts = {one.part for one in known}
    return next(part for part in UNITS if part in parts)


def _groups(known: Sequence[Fingerprint], leading: Part) -> list[list[Fingerprint]]:
    """Images of each pair, the leading one first."""
    # Each by its own name and, where no image has that, by the clean image's.
    named = {(one.part, one.of): one for one in reversed(known)}
    named |= {(one.part, one.image): one for one in known}
    groups = []
    for lead in (one for one in known if one.part == leading):
        clean = named.get(("clean", lead.of))
        mask = named.get(("mask", lead.image)) or named.get(("mask", lead.of))
        groups.append([lead, *(one for one in (clean, mask) if one and one.part != leading)])
    return groups


def _state(images: Sequence[Fingerprint], comparison: Comparison) -> str:
    if any(one not in comparison.files for one in images):
        return "missing"
    for one in images:
        if one in comparison.differ:
            return difference(one, comparison.differ[one])
    return "agree"


def _flaws(comparison: Comparison, search: Search) -> list[str]:
    kinds: dict[str, list[str]] = defaultdict(list)
    for one, file in comparison.differ.items():
        kind = difference(one, file)
        resized = f" {file.size} instead of {one.size}" if kind == "resized or cut" else ""
        kinds[kind].append(f"{one}{resized}")
    flaws = [
        f"{_differing(len(names), kind)} ({first_few(names)})" for kind, names in kinds.items()
    ]
    if comparison.missing:
        count = counted(len(comparison.missing), "image")
        flaws.append(f"{count} missing ({first_few(comparison.missing)})")
        if search.unreadable:
            flaws.append(search.unreadable_line(search.unreadable))
    return flaws


def _differing(count: int, kind: str) -> str:
    images = counted(count, "image")
    if kind == "JPEG copy":
        return f"{images} are JPEG copies" if count > 1 else f"{images} is a JPEG copy"
    pixels = ": same size, other pixels" if kind == "re-encoded or edited" else ""
    return f"{images} {kind}{pixels}"


def _notes(comparison: Comparison) -> list[str]:
    spare = [
        f"{file.place} beside {taken.place}"
        for file, taken in comparison.spare.items()
        if not filecmp.cmp(file.path, taken.path, shallow=False)
    ]
    notes = []
    if spare:
        notes.append(
            f"{comparison.name}: {counted(len(spare), 'more file')} with the same pixels but "
            f"other bytes, not taken ({first_few(spare)})"
        )
    if borders := [file.border for file in comparison.files.values() if file.border]:
        notes.append(border_line(comparison.name, len(borders), borders[0]))
    return notes


def record_fingerprints(name: str) -> str:
    """Write `data/fingerprints/<name>.csv` from the data set in `data/<name>`.

    Returns
    -------
    str
        A line that says what was written.

    Raises
    ------
    InputError
        If there is no such data set, or a file of it cannot be read or has changed.
    """
    target = dataset_folder(name)
    records = read_records(target)
    images, _ = find_images(target)
    files = {file.place.as_posix(): file for file in images}
    rows: dict[tuple[Part, str], Fingerprint] = {}
    for record in records:
        of = PurePosixPath(record.gt or record.mask).stem
        places = (record.gt, record.lq, record.mask)
        hashes = (record.gt_sha256, record.lq_sha256, record.mask_sha256)
        for part, place, sha256 in zip(PARTS, places, hashes, strict=True):
            if not place:
                continue
            if place not in files or files[place].pixels != sha256:
                raise InputError(f"{target / place}: not the image that pairs.csv records")
            image = record.image if part == "degraded" else PurePosixPath(place).stem
            rows[part, image] = fingerprint_of(files[place], part, image, of, record.scene)
    path = write_fingerprints(name, rows.values())
    return f"{path}: {counted(len(rows), 'image')} of {counted(len(records), 'pair')}"
