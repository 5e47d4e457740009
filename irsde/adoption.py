"""Images that lie anywhere, taken as data sets: recognised, compared, paired, put into `data/`."""

import difflib
import filecmp
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from irsde.catalogue import (
    FOLDERS,
    OWN,
    PARTS,
    Family,
    Layout,
    OwnSet,
    Part,
    Split,
    find_split,
    read_catalogue,
    read_own,
)
from irsde.config import DatasetName
from irsde.datasets import (
    CARD,
    Record,
    dataset_card,
    dataset_folder,
    read_records,
    write_dataset,
)
from irsde.files import InputError, digest, replacing_folder, write_text
from irsde.fingerprints import (
    Comparison,
    Fingerprint,
    Found,
    compare,
    difference,
    find_images,
    fingerprint_of,
    known_scenes,
    read_fingerprints,
    recognise,
    write_fingerprints,
)
from irsde.images import rgb, write_image
from irsde.tasks import TASKS

RESERVED = ("cache", "downloads", "fingerprints", "prepared")
SHOWN = 3  # names in a line
NOTHING_ELSE = {"agree": 0, "differ": {}, "missing": 0}

Known = Mapping[str, Sequence[Fingerprint]]


@dataclass(frozen=True)
class Pair:
    """Files that belong together: a row of `pairs.csv` to be.

    Parameters
    ----------
    image : str
        Name of the degraded image, or of the clean one where there is none.
    scene : str
    files : dict of Part to (str, Found)
        Name that each file gets in its folder, and the file.
    """

    image: str
    scene: str
    files: Mapping[Part, tuple[str, Found]]

    def record(self) -> Record:
        """Row of `pairs.csv`."""
        places = {part: f"{FOLDERS[part]}/{name}" for part, (name, _) in self.files.items()}
        hashes = {part: file.pixels for part, (_, file) in self.files.items()}
        return Record(
            image=self.image,
            scene=self.scene,
            gt=places.get("clean", ""),
            lq=places.get("degraded", ""),
            mask=places.get("mask", ""),
            gt_sha256=hashes.get("clean", ""),
            lq_sha256=hashes.get("degraded", ""),
            mask_sha256=hashes.get("mask", ""),
        )


@dataclass(frozen=True)
class Plan:
    """A data set to be put into `data/`.

    Parameters
    ----------
    name : str
    pairs : list of Pair
    card : dict
    state : str
        What is known of it, such as "100 of 100 pairs agree".
    flaws : list of str
        What differs, is missing or cannot be read.
    used : set of Found
        All files that belong to it.
    notes : list of str
        What else to print.
    description : str
        Text of `dataset.yaml` for a set of one's own; else empty.
    """

    name: str
    pairs: list[Pair]
    card: dict[str, Any]
    state: str
    flaws: list[str]
    used: set[Found]
    notes: list[str] = field(default_factory=list)
    description: str = ""


@dataclass(frozen=True)
class _Search:
    """What lies in the folder, and what is known."""

    folder: Path
    found: list[Found]
    unreadable: dict[str, str]
    known: Known
    catalogue: Mapping[str, Family]

    @classmethod
    def of(cls, folder: Path) -> "_Search":
        catalogue = read_catalogue()
        splits = [name for family in catalogue.values() for name in family.splits]
        known = {name: rows for name in splits if (rows := read_fingerprints(name))}
        found, unreadable = find_images(folder)
        return cls(folder, found, unreadable, known, catalogue)

    @cached_property
    def known_scenes(self) -> dict[Found, str]:
        return known_scenes(self.found, self.known)

    @cached_property
    def splits(self) -> dict[str, tuple[str, Family, Split]]:
        """Splits of the catalogue with the key of their family and it."""
        return {
            name: (key, family, split)
            for key, family in self.catalogue.items()
            for name, split in family.splits.items()
        }

    def scenes(self, name: str, groups: Mapping[Found, str]) -> dict[Found, str]:
        """Scene of each clean image: the known one of any of its group, else the group's own."""
        of_group: dict[str, str] = {}
        for file, group in groups.items():
            if file in self.known_scenes:
                of_group.setdefault(group, self.known_scenes[file])
        return {file: of_group.get(group, f"{name}-{group}") for file, group in groups.items()}

    def unreadable_line(self, places: Collection[str]) -> str:
        one = next(iter(places))
        more = f" and {len(places) - 1} more" if len(places) > 1 else ""
        return f"{one}{more} cannot be read: {self.unreadable[one]}"


def adopt(
    folder: Path, name: str | None = None, *, copy: bool = False, allow_differences: bool = False
) -> list[str]:
    """Put the images of a folder into `data/` as one or several data sets.

    Parameters
    ----------
    folder : Path
        Searched through all its levels; file names do not matter where fingerprints are known.
    name : str, optional
        The set it is: one of the catalogue, or a new one of one's own with `GT/` and, where there
        are, `LQ/` and `mask/`. Unless given, all known sets in the folder are recognised.
    copy : bool
        Copy the files; else links to them are made.
    allow_differences : bool
        Take a set although images differ or are missing; its card then says so.

    Returns
    -------
    list of str
        A line on each set, on what belongs to none, and a summary.

    Raises
    ------
    InputError
        If nothing is recognised; if images differ or are missing and this is not allowed; if
        files cannot be paired, sizes do not fit, or another version lies in `data/` already.
        Nothing is written then.
    """
    if name is not None:
        _check_name(name)
    search = _Search.of(folder)
    if not search.found:
        why = f": {search.unreadable_line(search.unreadable)}" if search.unreadable else ""
        raise InputError(f"{folder}: no PNG, JPEG or BMP images in it that can be used{why}")
    if name is None:
        plans, notes = _recognised(search)
    else:
        plan = _named(name, search)
        plans, notes = [plan], _rest(search, plan.used, "not of this set")
    flawed = [plan for plan in plans if plan.flaws]
    if flawed and not allow_differences:
        raise InputError(_refusal(flawed, alone=len(plans) == 1))
    standing = [(plan, _standing(plan, copy)) for plan in plans]
    lines = [_put(plan, state, copy) for plan, state in standing]
    for plan in plans:
        lines += plan.notes
    adopted = [plan.name for plan, state in standing if state != "current"]
    current = [plan.name for plan, state in standing if state == "current"]
    summary = [f"adopted {', '.join(adopted)}"] if adopted else []
    summary += [f"up to date: {', '.join(current)}"] if current else []
    return [*lines, *notes, "; ".join(summary)]


def _check_name(name: str) -> None:
    try:
        TypeAdapter(DatasetName).validate_python(name)
    except ValidationError:
        raise InputError(
            f"{name!r} is no name for a data set: letters, digits, '-' and '_' only"
        ) from None
    if name in RESERVED:
        raise InputError(f"{name!r} is a folder of irsde itself; choose another name")


def _refusal(plans: Sequence[Plan], *, alone: bool) -> str:
    first = f"{plans[0].name}: {plans[0].state}; {'; '.join(plans[0].flaws)}"
    more = f"; also not whole: {', '.join(plan.name for plan in plans[1:])}" if plans[1:] else ""
    hint = "" if alone else "adopt a single set with --as NAME, or "
    return f"{first}{more}. Nothing was adopted; {hint}take it as it is with --allow-differences"


def _recognised(search: _Search) -> tuple[list[Plan], list[str]]:
    sets, strays = recognise(search.found, search.known)
    if not sets:
        partly = "".join(
            f"; {len(stray.agree)} of the {len(stray.known)} of {stray.name}"
            for stray in strays[:SHOWN]
        )
        raise InputError(
            f"{search.folder}: none of the known data sets is in it ({len(search.found)} images"
            f"{partly}); say what it is with --as NAME (irsde data list shows the names)"
        )
    plans = [_compared(comparison, search) for comparison in sets]
    notes = [
        f"{len(stray.agree)} of {len(stray.known)} images of {stray.name} are there, too few to "
        "adopt it"
        for stray in strays
    ]
    used = {file for comparison in (*sets, *strays) for file in comparison.used}
    return plans, notes + _rest(search, used, "of no known data set")


def _rest(search: _Search, used: Collection[Found], what: str) -> list[str]:
    other = [file.place.as_posix() for file in search.found if file not in used]
    lines = [f"{what}: {_counted(len(other), 'image')} ({_some(other)})"] if other else []
    if search.unreadable:
        lines.append(search.unreadable_line(search.unreadable))
    return lines


def _some(names: Iterable[object]) -> str:
    texts = [str(name) for name in names]
    return ", ".join(texts[:SHOWN]) + (", …" if len(texts) > SHOWN else "")


def _named(name: str, search: _Search) -> Plan:
    if name in search.known:
        comparison = compare(name, search.known[name], search.found)
        if not comparison.files:
            raise InputError(
                f"{search.folder}: holds {len(search.found)} images, none of them of {name}"
            )
        return _compared(comparison, search)
    if name in search.splits:
        return _laid_out(name, search)
    return _own(name, search)


# A set whose images are known.


def _compared(comparison: Comparison, search: _Search) -> Plan:
    _, family, split = search.splits[comparison.name]
    pairs, states = [], Counter[str]()
    for image, scene, images in _groups(comparison.known):
        state = _state(images, comparison)
        states[state] += 1
        if state != "missing":
            files = [(one, comparison.files[one]) for one in images]
            named = {one.part: (f"{one.image}{_ending(file)}", file) for one, file in files}
            pairs.append(Pair(image, scene, named))
    differ = {kind: n for kind, n in sorted(states.items()) if kind not in ("agree", "missing")}
    agreement = {
        "pairs": states.total(),
        "agree": states["agree"],
        "differ": differ,
        "missing": states["missing"],
    }
    flaws = _flaws(comparison, search)
    notes = []
    spare = [
        f"{file.place} beside {taken.place}"
        for file, taken in comparison.spare.items()
        if not filecmp.cmp(file.path, taken.path, shallow=False)
    ]
    if spare:
        notes.append(
            f"{comparison.name}: {_counted(len(spare), 'more file')} with the same pixels but "
            f"other bytes, not taken ({_some(spare)})"
        )
    return Plan(
        name=comparison.name,
        pairs=pairs,
        card=_card(comparison.name, family, split, search.folder)
        | {"agreement": agreement, "differences": flaws, "verified": not flaws},
        state=f"{states['agree']} of {states.total()} {_unit(comparison.known)} agree",
        flaws=flaws,
        used=comparison.used,
        notes=notes,
    )


def _groups(known: Sequence[Fingerprint]) -> list[tuple[str, str, list[Fingerprint]]]:
    """Name, scene and images of each pair of a known set."""
    by_name: dict[tuple[Part, str], Fingerprint] = {}
    for one in known:
        by_name[one.part, one.image] = one
    for one in known:
        by_name.setdefault((one.part, one.of), one)
    leading = next(part for part in ("degraded", "clean", "mask") if _has(known, part))
    groups = []
    for lead in (one for one in known if one.part == leading):
        images = [lead]
        for part in PARTS:
            other = by_name.get((part, lead.image)) if part == "mask" else None
            other = other or by_name.get((part, lead.of))
            if part != leading and other:
                images.append(other)
        groups.append((lead.image, lead.scene, images))
    return groups


def _has(known: Sequence[Fingerprint], part: str) -> bool:
    return any(one.part == part for one in known)


def _unit(known: Sequence[Fingerprint]) -> str:
    if _has(known, "degraded"):
        return "pairs"
    return "images" if _has(known, "clean") else "masks"


def _state(images: Sequence[Fingerprint], comparison: Comparison) -> str:
    if any(one not in comparison.files for one in images):
        return "missing"
    for one in images:
        if one in comparison.differ:
            return difference(one, comparison.differ[one])
    return "agree"


def _flaws(comparison: Comparison, search: _Search) -> list[str]:
    kinds: dict[str, list[str]] = defaultdict(list)
    for one, file in comparison.differ.items():
        kind = difference(one, file)
        resized = f" {file.size} instead of {one.size}" if kind == "resized or cut" else ""
        kinds[kind].append(f"{one}{resized}")
    flaws = [f"{_differing(len(names), kind)} ({_some(names)})" for kind, names in kinds.items()]
    if comparison.missing:
        count = _counted(len(comparison.missing), "image")
        flaws.append(f"{count} missing ({_some(comparison.missing)})")
        if search.unreadable:
            flaws.append(search.unreadable_line(search.unreadable))
    return flaws


def _differing(count: int, kind: str) -> str:
    images = _counted(count, "image")
    if kind == "JPEG copy":
        return f"{images} are JPEG copies" if count > 1 else f"{images} is a JPEG copy"
    pixels = ": same size, other pixels" if kind == "re-encoded or edited" else ""
    return f"{images} {kind}{pixels}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("s" if count != 1 else "")


def _card(name: str, family: Family, split: Split, folder: Path) -> dict[str, Any]:
    return {
        "dataset": name,
        "label": split.label,
        "family": family.label,
        "tasks": list(family.tasks),
        "licence": family.licence,
        "citation": family.citation,
        "source": folder.absolute().name,
    }


def _ending(file: Found) -> str:
    return file.place.suffix.lower()


# A set of the catalogue whose images are not known: paired by its file names.


@dataclass(frozen=True)
class _Arrangement:
    """Files sorted by one layout."""

    pairs: list[Pair]
    clean: int
    flaws: list[str]
    used: set[Found]


def _laid_out(name: str, search: _Search) -> Plan:
    _, family, split = search.splits[name]
    arrangements = [_arranged(name, layout, search) for layout in split.layouts]
    if not any(one.used for one in arrangements):
        raise InputError(
            f"{search.folder}: no file is named as those of {name}; irsde data list {name} shows "
            "the names expected"
        )
    judged = [replace(one, flaws=one.flaws + _unlike(one, split)) for one in arrangements]
    best = min(judged, key=lambda one: (bool(one.flaws), -len(one.pairs), -len(one.used)))
    whole, _ = recognise(list(best.used), search.known)
    others = [f"these are the images of {one.name}" for one in whole if one.used >= best.used]
    flaws = best.flaws + others
    expected = split.degraded or split.images
    agreement = {
        "pairs": expected,
        "agree": min(len(best.pairs), expected),
        "differ": {},
        "missing": max(0, expected - len(best.pairs)),
    }
    fitting = [one for one in judged if not one.flaws and one.pairs != best.pairs]
    notes = [f"{name}: the files can be paired in another way too; check them"] if fitting else []
    unit = {"masks": "masks"}.get(split.role, "pairs" if split.degraded else "images")
    return Plan(
        name=name,
        pairs=best.pairs,
        card=_card(name, family, split, search.folder)
        | {"agreement": agreement, "differences": flaws, "verified": False},
        state=f"{len(best.pairs)} of {expected} {unit} by their file names, pixels not verified",
        flaws=flaws,
        used=best.used,
        notes=notes,
    )


def _arranged(name: str, layout: Layout, search: _Search) -> _Arrangement:
    doubles: list[str] = []
    files: dict[Part, dict[_Pieces, Found]] = {part: {} for part in PARTS}
    for file in search.found:
        part, pieces = _place(layout, file.path)
        if part is None:
            continue
        first = files[part].setdefault(pieces, file)
        if first.pixels != file.pixels:
            doubles.append(f"{first.place} and {file.place}")
    broken = [
        place
        for place in search.unreadable
        if _place(layout, search.folder.absolute() / place)[0] is not None
    ]
    flaws = [search.unreadable_line(broken)] if broken else []
    if doubles:
        flaws.append(f"{len(doubles)} names stand for two images ({_some(doubles)})")
    clean, degraded, masks = (files[part] for part in PARTS)
    groups = {file: pieces.group for pieces, file in clean.items()}
    prefix = search.splits[name][0] if any(pieces.scene for pieces in clean) else name
    scenes = search.scenes(prefix, groups)
    if layout.clean and layout.degraded:
        leading = degraded
        flaws += _partners(clean, degraded, "clean", "degraded")
    else:
        leading = clean if layout.clean else masks
    if layout.mask and layout.clean:
        flaws += _partners(clean, masks, "clean", "mask")
    pairs = []
    for pieces, file in leading.items():
        of = pieces.without_version
        own: dict[Part, tuple[str, Found]] = {}
        if of in clean:
            own["clean"] = (of.image + _ending(clean[of]), clean[of])
        if layout.degraded:
            own["degraded"] = (pieces.image + _ending(file), file)
        mask = masks.get(pieces) or masks.get(of)
        if mask:
            mask_pieces = pieces if pieces in masks else of
            own["mask"] = (mask_pieces.image + _ending(mask), mask)
        if all(getattr(layout, part) is None or part in own for part in PARTS):
            scene = scenes[clean[of]] if of in clean else f"{name}-{pieces.image}"
            pairs.append(Pair(pieces.image, scene, own))
    return _Arrangement(pairs, len(clean or masks), flaws, _all(files.values()))


def _all(groups: Iterable[Mapping[Any, Found]]) -> set[Found]:
    return {file for group in groups for file in group.values()}


@dataclass(frozen=True)
class _Pieces:
    """What a file name says."""

    scene: str
    base: str
    version: str

    @property
    def image(self) -> str:
        """Name of the image, unique in its set."""
        return "_".join(piece for piece in (self.scene, self.base, self.version) if piece)

    @property
    def group(self) -> str:
        """Name of the scene, as far as the file name tells."""
        return self.scene or self.base

    @property
    def without_version(self) -> "_Pieces":
        """Name of the clean image."""
        return replace(self, version="")


def _place(layout: Layout, path: Path) -> tuple[Part | None, _Pieces]:
    """Part that a file is of and the pieces of its name, by the pattern that leaves least open."""
    best: tuple[tuple[int, int], Part, _Pieces] | None = None
    for part in PARTS:
        found = layout.match(part, PurePosixPath(path.as_posix()))
        if found is None:
            continue
        openness = (sum(map(len, found.values())), -len(getattr(layout, part)))
        if best is None or openness < best[0]:
            pieces = (found.get(piece) or "" for piece in ("scene", "image", "version"))
            best = (openness, part, _Pieces(*pieces))
    return best[1:] if best else (None, _Pieces("", "", ""))


def _partners(
    clean: Collection[_Pieces], other: Collection[_Pieces], clean_label: str, other_label: str
) -> list[str]:
    """Complaints about images without a partner, and about names that differ by case only."""
    served = {pieces.without_version for pieces in other}
    alone = [pieces.image for pieces in clean if pieces not in served]
    astray = [pieces.image for pieces in other if pieces.without_version not in clean]
    flaws = []
    if alone:
        flaws.append(f"{len(alone)} {clean_label} without a {other_label} one ({_some(alone)})")
    if astray:
        flaws.append(f"{len(astray)} {other_label} without a {clean_label} one ({_some(astray)})")
    lower = {name.casefold() for name in alone}
    if any(pieces.without_version.image.casefold() in lower for pieces in other):
        flaws.append("some names differ by upper and lower case only: rename them")
    return flaws


def _unlike(arrangement: _Arrangement, split: Split) -> list[str]:
    """How counts and sizes differ from what the catalogue says."""
    flaws = []
    if arrangement.clean != split.images:
        flaws.append(f"{arrangement.clean} images instead of {split.images}")
    if split.degraded and len(arrangement.pairs) != split.degraded:
        flaws.append(f"{len(arrangement.pairs)} pairs instead of {split.degraded}")
    if split.sizes:
        measured = {
            pair.files[part][0]: pair.files[part][1].size
            for pair in arrangement.pairs
            for part in ("clean", "mask")
            if part in pair.files
        }
        other = [f"{name} {size}" for name, size in measured.items() if size not in split.sizes]
        if other:
            flaws.append(
                f"{len(other)} images of another size than {_some(split.sizes)} ({_some(other)})"
            )
    return flaws


# A set of one's own.


def _own(name: str, search: _Search) -> Plan:
    target = dataset_folder(name)
    files = _in_folders(search)
    if not files["clean"]:
        close = difflib.get_close_matches(name, search.splits, n=1)
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
    pairs = _own_pairs(name, own, search)
    notes = [f"{name}: not in the catalogue, so a set of your own, described in {target / OWN}"]
    if files["degraded"] and own.task is None:
        notes.append(f"{name}: add 'task:' to {target / OWN}, then irsde data fetch {name}")
    return Plan(
        name=name,
        pairs=pairs,
        card=_own_card(name, own, search.folder),
        state=f"{len(pairs)} {'pairs' if files['degraded'] else 'images'} by equal names",
        flaws=[],
        used=_all(files.values()),
        notes=notes,
        description=description,
    )


def _in_folders(search: _Search) -> dict[Part, dict[str, Found]]:
    """Files that lie directly in `GT/`, `LQ/` and `mask/`, by stem."""
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


def _own_pairs(name: str, own: OwnSet, search: _Search) -> list[Pair]:
    broken = [p for p in search.unreadable if str(PurePosixPath(p).parent) in FOLDERS.values()]
    if broken:
        raise InputError(f"{search.folder}: {search.unreadable_line(broken)}")
    clean, degraded, masks = (files for files in _in_folders(search).values())
    groups = {file: _group(own, stem, name) for stem, file in clean.items()}
    scenes = search.scenes(name, groups)
    owner = {stem: _owner(stem, clean) for stem in degraded}
    for label, alone in (
        (FOLDERS["degraded"], [stem for stem in degraded if owner[stem] is None]),
        (FOLDERS["clean"], [stem for stem in clean if degraded and stem not in owner.values()]),
        (FOLDERS["mask"], [stem for stem in masks if stem not in clean and stem not in degraded]),
    ):
        if alone:
            other = FOLDERS["degraded" if label == FOLDERS["clean"] else "clean"]
            raise InputError(
                f"{search.folder}: {len(alone)} images of {label}/ have no partner in {other}/ "
                f"({_some(alone)}); give both one name, upper and lower case alike"
            )
    pairs = []
    for stem in degraded or clean:
        of = (owner[stem] if degraded else stem) or ""
        files: dict[Part, tuple[str, Found]] = {"clean": (clean[of].place.name, clean[of])}
        if degraded:
            files["degraded"] = (degraded[stem].place.name, degraded[stem])
        if masks:
            mask = masks.get(stem) or masks.get(of)
            if mask is None:
                raise InputError(f"{search.folder}: {stem} has no mask in {FOLDERS['mask']}/")
            files["mask"] = (mask.place.name, mask)
        pairs.append(Pair(stem, scenes[clean[of]], files))
    return pairs


def _owner(stem: str, clean: Collection[str]) -> str | None:
    """Clean image that a degraded one is of: of its name, or of the longest part before a `_`."""
    while stem not in clean:
        stem, cut, _ = stem.rpartition("_")
        if not cut:
            return None
    return stem


def _group(own: OwnSet, stem: str, name: str) -> str:
    if own.scene is None:
        return stem
    found = re.search(own.scene, stem)
    if found is None or not found.group(1):
        raise InputError(
            f"{dataset_folder(name) / OWN}: scene: {own.scene!r} finds nothing in the name {stem}"
        )
    return found.group(1)


def _own_card(name: str, own: OwnSet, folder: Path) -> dict[str, Any]:
    return {
        "dataset": name,
        "label": own.label,
        "family": own.label,
        "tasks": [own.task] if own.task else [],
        "licence": own.licence,
        "citation": "",
        "source": folder.absolute().name,
        "agreement": None,
        "verified": False,
    }


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
    search = _Search.of(target)
    pairs = _own_pairs(name, own, search)
    if not pairs:
        raise InputError(f"{target / FOLDERS['clean']}: no clean images there")
    card = _own_card(name, own, target)
    _check_pairs(name, pairs, card)
    write_dataset(target, [pair.record() for pair in pairs], card)
    scenes = len({pair.scene for pair in pairs})
    used = {file for pair in pairs for _, file in pair.files.values()}
    line = f"{target}: {_counted(len(pairs), 'pair')}, {_counted(scenes, 'scene')}"
    return [line, *_rest(search, used, "not used")]


# Putting a set into `data/`.

Standing = Literal["new", "current", "replaced"]


def _standing(plan: Plan, copy: bool) -> Standing:
    """What happens to `data/<name>`, after all checks."""
    if not plan.pairs:
        raise InputError(f"{plan.name}: no pair is complete; {'; '.join(plan.flaws)}")
    _check_pairs(plan.name, plan.pairs, plan.card)
    target = dataset_folder(plan.name)
    if not target.exists():
        return "new"
    if not (target / CARD).is_file():
        if any(path.name != OWN for path in target.iterdir()):
            raise InputError(f"{target}: exists and is no data set; move it away")
        return "new"
    records = [pair.record() for pair in plan.pairs]
    old = dataset_card(target)
    same = read_records(target) == records
    if same and _is_current(target, records, old, plan.card, copy):
        return "current"
    inside = target.absolute()
    if any(file.path.is_relative_to(inside) for file in plan.used):
        raise InputError(f"{target}: cannot be adopted from its own folder")
    agreed = (old.get("agreement") or NOTHING_ELSE)["agree"]
    better = plan.card["agreement"] and plan.card["agreement"]["agree"] > agreed
    if not (same or better or plan.description):
        raise InputError(
            f"{target}: holds another version of {plan.name} ({agreed} pairs of it agree); "
            "remove that folder first"
        )
    return "replaced"


def _is_current(
    target: Path, records: Sequence[Record], old: dict[str, Any], card: dict[str, Any], copy: bool
) -> bool:
    files = [target / file for r in records for file in (r.gt, r.lq, r.mask) if file]
    return (
        all(old.get(key) == card[key] for key in card.keys() - {"source"})
        and all(file.is_file() for file in files)
        and not (copy and any(file.is_symlink() for file in files))
    )


def _check_pairs(name: str, pairs: Sequence[Pair], card: dict[str, Any]) -> None:
    """Refuse pairs of sizes that do not fit, and names that are one where case does not count."""
    spelled: dict[str, str] = {}
    for pair in pairs:
        record = pair.record()
        for text in (record.image, record.gt, record.lq, record.mask):
            first = spelled.setdefault(text.casefold(), text)
            if first != text:
                raise InputError(
                    f"{name}: {first} and {text} differ by upper and lower case only: rename one"
                )
    scales = {TASKS[task].scale for task in card["tasks"]}
    for pair in pairs:
        for part in ("degraded", "mask"):
            if "clean" in pair.files and part in pair.files:
                clean, other = pair.files["clean"][1], pair.files[part][1]
                allowed = {1} if part == "mask" else scales or {clean.width // other.width or 1}
                if not any(_fits(clean, other, scale) for scale in allowed):
                    raise InputError(
                        f"{name}: {other.place} of {other.size} pixels does not fit "
                        f"{clean.place} of {clean.size}; {_wanted(allowed)}"
                    )


def _fits(clean: Found, other: Found, scale: int) -> bool:
    return (clean.width // scale, clean.height // scale) == (other.width, other.height)


def _wanted(scales: Collection[int]) -> str:
    factors = " or ".join(str(scale) for scale in sorted(scales) if scale > 1)
    return f"it must be smaller by {factors}" if factors else "sizes must be equal"


def _put(plan: Plan, standing: Standing, copy: bool) -> str:
    target = dataset_folder(plan.name)
    flaws = f"; {'; '.join(plan.flaws)}; taken as it is" if plan.flaws else ""
    said = f"{plan.name}: {plan.state}{flaws}"
    if standing == "current":
        return f"{said}; {target} is up to date"
    try:
        with replacing_folder(target) as temporary:
            _fill(temporary, plan.pairs, copy)
            if plan.description:
                write_text(temporary / OWN, plan.description)
            write_dataset(temporary, [pair.record() for pair in plan.pairs], plan.card)
    except OSError as error:
        hint = "" if copy else "; --copy makes no links"
        raise InputError(f"{target}: cannot be written ({error.strerror}){hint}") from None
    how = "copied into" if copy else "linked into"
    return f"{said}; {how} {target}" + (", replaced" if standing == "replaced" else "")


def _fill(folder: Path, pairs: Sequence[Pair], copy: bool) -> None:
    files = {
        folder / FOLDERS[part] / name: file.path
        for pair in pairs
        for part, (name, file) in pair.files.items()
    }
    for target, source in files.items():
        target.parent.mkdir(exist_ok=True)
        if copy:
            shutil.copyfile(source, target)
        else:
            target.symlink_to(source)


def write_photographs(name: str) -> list[str]:
    """Write photographs of scikit-image's wheel as a data set.

    Parameters
    ----------
    name : str
        A split of the catalogue with `photographs`.

    Returns
    -------
    list of str
        A line that says how many.

    Raises
    ------
    InputError
        If scikit-image has no such photograph, or the folder holds something else.
    """
    import skimage.data

    family, split = find_split(name)
    target = dataset_folder(name)
    if target.exists() and not (target / CARD).is_file() and any(target.iterdir()):
        raise InputError(f"{target}: exists and is no data set; move it away")
    records = []
    with replacing_folder(target) as temporary:
        (temporary / FOLDERS["clean"]).mkdir()
        for image in split.photographs:
            try:
                pixels = rgb(getattr(skimage.data, image)())
            except (AttributeError, OSError, ImportError) as error:
                raise InputError(
                    f"{name}.{image}: not a photograph inside scikit-image ({error})"
                ) from None
            file = f"{FOLDERS['clean']}/{image}.png"
            write_image(temporary / file, pixels)
            records.append(Record(image, image, gt=file, gt_sha256=digest(pixels.tobytes())))
        card = _card(name, family, split, target) | {
            "source": f"scikit-image {version('scikit-image')}",
            "licences": dict(split.photographs),
            "agreement": None,
            "verified": True,
        }
        write_dataset(temporary, records, card)
    return [f"{target}: {len(records)} photographs of scikit-image"]


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
    found, _ = find_images(target)
    files = {file.place.as_posix(): file for file in found}
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
    return f"{path}: {_counted(len(rows), 'image')} of {_counted(len(records), 'pair')}"
