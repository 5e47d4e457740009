"""A set of the catalogue whose images are not known: recognised and paired by its file names."""

import shlex
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from irsde.data.adopt.fingerprints import Found, recognise
from irsde.data.adopt.placing import Pair, Plan, catalogue_card, check_pairs, renamed
from irsde.data.adopt.searching import Search, border_line, first_few
from irsde.data.catalogue import PARTS, Layout, Part, Split, find_split, read_catalogue, split_names
from irsde.experiment.cards import Agreement
from irsde.files import InputError


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
    def without_version(self) -> "_Pieces":
        """Name of the clean image."""
        return replace(self, version="")


@dataclass(frozen=True)
class _Arrangement:
    """Files paired by one layout, and what speaks against it."""

    pairs: list[Pair]
    flaws: list[str]
    used: set[Found]
    cut: int


def plan_by_names(name: str, search: Search) -> Plan:
    """Plan of a split by the layout that fits the files best.

    Raises
    ------
    InputError
        If no file fits any of its layouts.
    """
    _, split = find_split(name)
    arrangements = _arrangements(name, split, search)
    if not any(one.used for one in arrangements):
        raise InputError(
            f"{search.folder}: no file is named as those of {name}; irsde data list {name} shows "
            "the names expected"
        )
    expected = split.degraded or split.images

    def order(one: _Arrangement) -> tuple[bool, bool, int, int]:
        return bool(one.flaws), len(one.pairs) > expected, -len(one.pairs), -len(one.used)

    best = min(arrangements, key=order)
    whole, _ = recognise(list(best.used), search.known)
    others = [f"these are the images of {one.name}" for one in whole if one.used >= best.used]
    flaws = best.flaws + others
    agreement = Agreement(
        pairs=expected,
        agree=min(len(best.pairs), expected),
        differ={},
        missing=max(0, expected - len(best.pairs)),
    )
    fitting = [one for one in arrangements if not one.flaws and one.pairs != best.pairs]
    notes = [f"{name}: the files can be paired in another way too; check them"] if fitting else []
    if best.cut:
        notes.append(border_line(name, best.cut, split.border))
    unit = "masks" if split.role == "masks" else "pairs" if split.degraded else "images"
    return Plan(
        name=name,
        pairs=best.pairs,
        card=catalogue_card(name, search.source).model_copy(
            update={"agreement": agreement, "differences": flaws, "verified": False}
        ),
        state=f"{len(best.pairs)} of {expected} {unit} by their file names, pixels not verified",
        flaws=flaws,
        used=best.used,
        notes=notes,
    )


def named_like(search: Search, used: Collection[Found] = frozenset()) -> Iterator[str]:
    """Lines on folders that hold all files of a set of pairs that is known by its names only.

    Folders whose images are all used already are left out.
    """
    within: dict[PurePosixPath, list[Found]] = defaultdict(list)
    for file in search.found:
        for folder in file.place.parents:
            within[folder].append(file)
    for name in split_names():
        _, split = find_split(name)
        if not split.degraded or name in search.known:
            continue
        for folder, found in within.items():
            if len(found) != split.images + split.degraded or set(found).issubset(used):
                continue
            part = replace(search, folder=search.folder / folder, found=found)
            if any(_is_whole(name, one) for one in _arrangements(name, split, part)):
                yield (
                    f"{part.folder}: as many pairs as {name}, with its names; whether they are its "
                    f"is not known: irsde data adopt {shlex.quote(str(part.folder))} --as {name}"
                )
                break


def _is_whole(name: str, one: _Arrangement) -> bool:
    try:
        check_pairs(name, one.pairs, find_split(name)[0].tasks)
    except InputError:
        return False
    return bool(one.pairs) and not one.flaws


def _arrangements(name: str, split: Split, search: Search) -> list[_Arrangement]:
    return [_arranged(name, layout, split, search) for layout in split.layouts]


def _arranged(name: str, layout: Layout, split: Split, search: Search) -> _Arrangement:
    files, flaws = _sorted_files(name, layout, search)
    used = {file for of_part in files.values() for file in of_part.values()}
    files["clean"], cut = _without_border(files["clean"], files["degraded"], split.border)
    clean, degraded, masks = (files[part] for part in PARTS)
    if layout.clean and layout.degraded:
        flaws += _unpaired(clean, degraded, "degraded")
    if layout.clean and layout.mask:
        flaws += _unpaired(clean, masks, "mask")
    pairs = _pairs(name, layout, files, _scenes(name, clean, search))
    flaws += _unlike(len(clean or masks), pairs, split)
    return _Arrangement(pairs, flaws, used, cut)


def _without_border(
    clean: dict[_Pieces, Found], degraded: Mapping[_Pieces, Found], border: int
) -> tuple[dict[_Pieces, Found], int]:
    """Clean images without their border if all have or had it, and how many those are."""
    sizes = {pieces.without_version: (one.width, one.height) for pieces, one in degraded.items()}
    has_border = all(
        one.border or sizes.get(pieces) == (one.width - 2 * border, one.height - 2 * border)
        for pieces, one in clean.items()
    )
    if not border or not clean or not has_border:
        return clean, 0
    cut = {p: one if one.border else one.without_border(border) for p, one in clean.items()}
    return cut, len(clean)


def _sorted_files(
    name: str, layout: Layout, search: Search
) -> tuple[dict[Part, dict[_Pieces, Found]], list[str]]:
    """Files of each part by their names, and complaints about those that cannot be used."""
    files: dict[Part, dict[_Pieces, Found]] = {part: {} for part in PARTS}
    doubles = []
    for file in search.found:
        if (place := _place(layout, file.path)) and not _is_of_sibling(name, file.path):
            part, pieces = place
            first = files[part].setdefault(pieces, file)
            if first.pixels != file.pixels:
                doubles.append(f"{first.place} and {file.place}")
    folder = search.folder.absolute()
    broken = [place for place in search.unreadable if _place(layout, folder / place)]
    flaws = [search.unreadable_line(broken)] if broken else []
    if doubles:
        flaws.append(f"{len(doubles)} names belong to two images ({first_few(doubles)})")
    return files, flaws


def _place(layout: Layout, path: Path) -> tuple[Part, _Pieces] | None:
    """Part that a file is of and the pieces of its name, by the pattern that leaves least open."""
    fitting = _fitting(layout, path)
    return min(fitting, key=lambda one: one.openness).place if fitting else None


@dataclass(frozen=True)
class _Fit:
    """A pattern that a path fits: what it leaves open, how many folders it names, what it says."""

    openness: tuple[int, int]
    folders: int
    place: tuple[Part, _Pieces]


def _fitting(layout: Layout, path: Path) -> list[_Fit]:
    fitting = []
    for part in PARTS:
        named = layout.match(part, path)
        if named is not None:
            pattern = getattr(layout, part)
            pieces = (named.get(piece, "") for piece in ("scene", "image", "version"))
            openness = (sum(map(len, named.values())), -len(pattern))
            fitting.append(_Fit(openness, pattern.count("/"), (part, _Pieces(*pieces))))
    return fitting


def _is_of_sibling(name: str, path: Path) -> bool:
    """True if another split of the family, such as the training part, fits the path more closely.

    It must name more of the folders above the file than any layout of this split does.
    """
    family = next(f for f in read_catalogue().values() if name in f.splits)
    fits = {
        key: [fit for layout in split.layouts for fit in _fitting(layout, path)]
        for key, split in family.splits.items()
    }
    ours = fits.pop(name)
    if not ours:
        return False
    best = min(ours, key=lambda fit: fit.openness)
    return any(
        fit.openness < best.openness and fit.folders > best.folders
        for theirs in fits.values()
        for fit in theirs
    )


def _unpaired(clean: Collection[_Pieces], other: Collection[_Pieces], label: str) -> list[str]:
    """Complaints about images without a partner, and about names that differ by case only."""
    served = {pieces.without_version for pieces in other}
    alone = [pieces.image for pieces in clean if pieces not in served]
    astray = [pieces.image for pieces in other if pieces.without_version not in clean]
    flaws = []
    if alone:
        flaws.append(f"{len(alone)} clean without a {label} one ({first_few(alone)})")
    if astray:
        flaws.append(f"{len(astray)} {label} without a clean one ({first_few(astray)})")
    lower = {name.casefold() for name in alone}
    if any(pieces.image.casefold() in lower for pieces in served):
        flaws.append("some names differ by upper and lower case only: rename them")
    return flaws


def _scenes(name: str, clean: Mapping[_Pieces, Found], search: Search) -> dict[Found, str]:
    """Scene of each clean image; those that files name are of the whole family."""
    families = read_catalogue()
    family = next(key for key in families if name in families[key].splits)
    prefix = family if any(pieces.scene for pieces in clean) else name
    return search.scenes(prefix, {file: one.scene or one.base for one, file in clean.items()})


def _pairs(
    name: str,
    layout: Layout,
    files: Mapping[Part, Mapping[_Pieces, Found]],
    scenes: Mapping[Found, str],
) -> list[Pair]:
    clean, degraded, masks = (files[part] for part in PARTS)
    leading = (degraded if layout.degraded else clean) if layout.clean else masks
    pairs = []
    for pieces, file in leading.items():
        of = pieces.without_version
        named: dict[Part, tuple[str, Found]] = {}
        if of in clean:
            named["clean"] = renamed(of.image, clean[of])
        if layout.degraded:
            named["degraded"] = renamed(pieces.image, file)
        of_mask = pieces if pieces in masks else of
        if of_mask in masks:
            named["mask"] = renamed(of_mask.image, masks[of_mask])
        if all(getattr(layout, part) is None or part in named for part in PARTS):
            scene = scenes[clean[of]] if of in clean else f"{name}-{pieces.image}"
            pairs.append(Pair(pieces.image, scene, named))
    return pairs


def _unlike(images: int, pairs: list[Pair], split: Split) -> list[str]:
    """How counts and sizes differ from what the catalogue says."""
    flaws = []
    if images != split.images:
        flaws.append(f"{images} images instead of {split.images}")
    if split.degraded and len(pairs) != split.degraded:
        flaws.append(f"{len(pairs)} pairs instead of {split.degraded}")
    if split.sizes:
        measured = {
            pair.files[part][0]: pair.files[part][1].size
            for pair in pairs
            for part in ("clean", "mask")
            if part in pair.files
        }
        other = [f"{name} {size}" for name, size in measured.items() if size not in split.sizes]
        if other:
            flaws.append(
                f"{len(other)} images of another size than {first_few(split.sizes)} "
                f"({first_few(other)})"
            )
    return flaws
