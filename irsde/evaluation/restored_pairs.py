"""Restored images paired with clean ones by their names.

Other programs name what they restore after the degraded file, such as `1400_1.png` of the clean
`1400.png`, or add something of their own. Equal names are tried first, then the rules of the
catalogue for a known data set, or all of them where none is named; anything else needs a pattern.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from irsde.data.catalogue import CATALOGUE, read_catalogue
from irsde.files import InputError
from irsde.restoration.folders import first_names, list_images

NAME = "{name}"
MOST_STARS = 3  # in a pattern: each multiplies the time that it can take


@dataclass(frozen=True)
class RestoredPair:
    """A restored image and the clean one that it is compared with.

    Parameters
    ----------
    name : str
        Unique among the pairs: the clean image's, or where several versions of one clean image
        were restored that of the restored one.
    restored, clean : Path
    """

    name: str
    restored: Path
    clean: Path


@dataclass(frozen=True)
class Pairing:
    """Pairs in the order of their names, and lines that say what was skipped."""

    pairs: tuple[RestoredPair, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Rule:
    """How clean and degraded files of a data set are named, without endings."""

    clean: str
    degraded: str


def pair_images(
    restored: Path,
    reference: Path,
    names: Collection[str] = (),
    dataset: str | None = None,
    pattern: str | None = None,
) -> Pairing:
    """Pair a folder of restored images with a folder of clean ones.

    Parameters
    ----------
    restored, reference : Path
    names : collection of str
        Names of the clean images of a test set, each of which must be there; all unless given.
    dataset : str, optional
        Data set of the catalogue whose rules hold; those of all unless given.
    pattern : str, optional
        Name of a restored image without its ending, `{name}` standing for the clean image's and
        `*` for anything, such as ``{name}_x4_Net``.

    Raises
    ------
    InputError
        If a clean image has no restored one, or names can be paired in more than one way.
    """
    of_restored, of_reference = list_images(restored), list_images(reference)
    ours, theirs = of_restored.by_stem, of_reference.by_stem
    if names:
        if lacking := sorted(set(names) - set(theirs)):
            raise InputError(f"{reference}: lacks {lacking[0]} of the test set")
        theirs = {stem: path for stem, path in theirs.items() if stem in names}
    if pattern is not None:
        pairing = _by_pattern(restored, pattern, ours, theirs)
    elif set(theirs) <= set(ours):
        pairing = {stem: (stem, stem) for stem in theirs}
    else:
        pairing = _by_rules(restored, reference, ours, theirs, dataset, of_versions=not names)
    pairs = [
        RestoredPair(name, ours[our], theirs[their])
        for name, (our, their) in sorted(pairing.items())
    ]
    notes = [line for line in (of_restored.left_out, of_reference.left_out) if line]
    if unused := sorted(set(ours) - {our for our, _ in pairing.values()}):
        notes.append(f"skipped in {restored}: {len(unused)} other images ({first_names(unused)})")
    return Pairing(tuple(pairs), tuple(notes))


# Every way of pairing gives: name of the pair → stems of the restored and the clean image.
_Found = dict[str, tuple[str, str]]


def _by_pattern(
    restored: Path, pattern: str, ours: Iterable[str], theirs: Collection[str]
) -> _Found:
    if pattern.count(NAME) != 1 or pattern.count("*") > MOST_STARS or len(pattern) > 200:
        raise InputError(
            f"--pattern {pattern!r}: write {NAME} once in place of the clean image's name, such "
            f"as '{NAME}_x4_Net', and * at most {MOST_STARS} times"
        )
    stem = pattern
    for ending in (".png", ".jpg"):
        stem = stem.removesuffix(ending)
    expression = re.escape(stem).replace(re.escape(NAME), "(?P<image>.+)").replace(r"\*", ".*")
    fitting: _Found = {}
    for our in ours:
        match = re.fullmatch(expression, our)
        if match is None or match["image"] not in theirs:
            continue
        name = match["image"]
        if name in fitting:
            raise InputError(
                f"{restored}: {fitting[name][0]} and {our} both fit {pattern!r} for {name}"
            )
        fitting[name] = (our, name)
    if missing := sorted(set(theirs) - set(fitting)):
        raise InputError(
            f"{restored}: no image fits {pattern!r} for {first_names(missing)} "
            f"({len(missing)} of {len(theirs)})"
        )
    return fitting


def _by_rules(
    restored: Path,
    reference: Path,
    ours: Collection[str],
    theirs: Collection[str],
    dataset: str | None,
    *,
    of_versions: bool,
) -> _Found:
    """Pairs by the one rule of the catalogue that serves every clean image."""
    pairings: list[_Found] = []
    for rule in _rules(dataset):
        one = _by_rule(rule, ours, theirs, of_versions=of_versions)
        if one and one not in pairings:
            pairings.append(one)
    if len(pairings) > 1:
        our, their = next(iter(pairings[0].values()))
        raise InputError(
            f"{restored}: can be paired with {reference} in {len(pairings)} ways, in one of them "
            f"{our} with {their}; rename the files, or give --pattern"
        )
    if not pairings:
        raise InputError(_unserved(restored, reference, ours, theirs, _rules(dataset)))
    return pairings[0]


def _unserved(
    restored: Path,
    reference: Path,
    ours: Collection[str],
    theirs: Collection[str],
    rules: Iterable[_Rule],
) -> str:
    """Which clean images have no restored one, by the names or the rule that serve the most."""
    served = set(theirs) & set(ours)
    for rule in rules:
        images = {
            match["image"]: stem
            for stem in theirs
            if (match := re.fullmatch(_expression(rule.clean, ".+"), stem))
        }
        named = {_pieces(rule.degraded, our, images)[0] for our in ours} & images.keys()
        served = max(served, {images[image] for image in named}, key=len)
    missing = sorted(set(theirs) - served)
    if served:
        return (
            f"{restored}: no image for {first_names(missing)} ({len(missing)} of {len(theirs)} in "
            f"{reference}); restore them too, leave them out of --reference, or give --pattern "
            "where the others are named otherwise"
        )
    return (
        f"{restored}: no image named {missing[0]} ({len(missing)} of {len(theirs)} in {reference} "
        "have none of their name, nor by a rule of the catalogue); give --pattern, such as "
        f"'{NAME}_x4_Net'"
    )


def _rules(dataset: str | None) -> list[_Rule]:
    """Rules of the catalogue that pair files of different names."""
    rules: dict[_Rule, None] = {}
    catalogue = read_catalogue() if CATALOGUE.is_file() else {}
    for family in catalogue.values():
        for name, split in family.splits.items():
            if dataset not in (None, name):
                continue
            for layout in split.layouts:
                texts = [
                    PurePosixPath(text).stem for text in (layout.clean, layout.degraded) if text
                ]
                usable = all("{image}" in text and "{scene}" not in text for text in texts)
                if usable and len(set(texts)) == 2:
                    rules[_Rule(*texts)] = None
    return list(rules)


def _by_rule(
    rule: _Rule, ours: Iterable[str], theirs: Iterable[str], *, of_versions: bool
) -> _Found:
    """Pairs by a rule; none if it does not serve every clean image in one way only."""
    if "{version}" in rule.degraded and not of_versions:
        return {}
    clean = re.compile(_expression(rule.clean, ".+"))
    images: dict[str, str] = {}
    for stem in theirs:
        match = clean.fullmatch(stem)
        image = match["image"] if match else "" if of_versions else stem
        if not image or image in images:
            return {}
        images[image] = stem
    pairing: _Found = {}
    for our in ours:
        image, version = _pieces(rule.degraded, our, images)
        if not image:
            continue
        name = f"{image}_{version}" if version else image
        if name in pairing:
            return {}
        pairing[name] = (our, images[image])
    served = [their for _, their in pairing.values()]
    if set(served) != set(images.values()):
        return {}
    if len(served) == len(images):
        return {their: (our, their) for our, their in pairing.values()}
    return pairing


def _pieces(text: str, stem: str, images: Mapping[str, str]) -> tuple[str, str]:
    """Known image and version that a name speaks of; empty if none, or more than one."""
    head, _, tail = text.partition("{image}")
    prefix = re.match(_expression(head, ""), stem)
    if prefix is None:
        return "", ""
    rest = stem[prefix.end() :]
    fitting = []
    for end in range(1, len(rest) + 1):
        match = re.fullmatch(_expression(tail, ""), rest[end:]) if rest[:end] in images else None
        if match:
            fitting.append((rest[:end], match.groupdict().get("version") or ""))
    return fitting[0] if len(fitting) == 1 else ("", "")


def _expression(text: str, image: str) -> str:
    """Regular expression of a part of a pattern of the catalogue."""
    expression = re.escape(text)
    for piece, group in (("{image}", f"(?P<image>{image})"), ("{version}", "(?P<version>.+)")):
        expression = expression.replace(re.escape(piece), group)
    return expression.replace(r"\*", ".*")
