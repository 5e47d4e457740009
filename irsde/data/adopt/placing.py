"""A data set put into `data/`: its pairs checked, its files linked or copied, its card written."""

import errno
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from irsde.data.adopt.fingerprints import Found, cut_border
from irsde.data.catalogue import FOLDERS, OWN, Part, find_split
from irsde.data.sets import (
    CARD,
    Record,
    contents,
    dataset_card,
    dataset_folder,
    read_records,
    write_dataset,
)
from irsde.experiment.cards import DatasetCard
from irsde.files import InputError, not_written, replacing_folder, write_text
from irsde.images import read_image, write_image
from irsde.tasks import TASKS

Standing = Literal["new", "current", "replaced"]


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
    card: DatasetCard
    state: str
    flaws: list[str]
    used: set[Found]
    notes: list[str] = field(default_factory=list)
    description: str = ""


def renamed(stem: str, file: Found) -> tuple[str, Found]:
    """A file with another name: `stem` and the file's ending in lower case, PNG where it is cut."""
    return stem + (".png" if file.border else file.place.suffix.lower()), file


def catalogue_card(name: str, source: str) -> DatasetCard:
    """What the card of a split says by the catalogue, and where its files come from."""
    family, split = find_split(name)
    return DatasetCard(
        dataset=name,
        label=split.label,
        family=family.label,
        tasks=list(family.tasks),
        licence=family.licence,
        citation=family.citation,
        source=source,
    )


def check_pairs(name: str, pairs: Sequence[Pair], tasks: Collection[str]) -> None:
    """Refuse pairs that cannot be put into one folder or do not fit together.

    Raises
    ------
    InputError
        If names are one where case does not count, or sizes do not fit each other and the tasks.
    """
    spelled: dict[str, str] = {}
    for pair in pairs:
        record = pair.record()
        for text in (record.image, record.gt, record.lq, record.mask):
            first = spelled.setdefault(text.casefold(), text)
            if first != text:
                raise InputError(
                    f"{name}: {first} and {text} differ by upper and lower case only: rename one"
                )
    scales = {TASKS[task].scale for task in tasks}
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


def check_plan(plan: Plan, copy: bool) -> Standing:
    """Say what is to happen to `data/<name>`, after all checks; nothing is written.

    Raises
    ------
    InputError
        If no pair is complete, pairs do not fit, or what is there must not be replaced.
    """
    if not plan.pairs:
        raise InputError(f"{plan.name}: no pair is complete; {'; '.join(plan.flaws)}")
    check_pairs(plan.name, plan.pairs, plan.card.tasks)
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
    agreed = old.agreement.agree if old.agreement else 0
    better = plan.card.agreement and plan.card.agreement.agree > agreed
    if not (same or better or plan.description):
        raise InputError(
            f"{target}: holds another version of {plan.name} ({agreed} pairs of it agree); "
            "remove that folder first"
        )
    return "replaced"


def _is_current(
    target: Path, records: Sequence[Record], old: DatasetCard, card: DatasetCard, copy: bool
) -> bool:
    files = [target / file for r in records for file in (r.gt, r.lq, r.mask) if file]
    return (
        all(getattr(old, key) == getattr(card, key) for key in card.model_fields_set - {"source"})
        and all(file.is_file() for file in files)
        and not (copy and any(file.is_symlink() for file in files))
    )


def put(plan: Plan, standing: Standing, copy: bool) -> str:
    """Write a checked data set into `data/<name>` unless it is current; a line that says so.

    Raises
    ------
    InputError
        If it cannot be written; what lay there is kept.
    """
    target = dataset_folder(plan.name)
    flaws = f"; {'; '.join(plan.flaws)}; taken as it is" if plan.flaws else ""
    said = f"{plan.name}: {plan.state}{flaws}"
    if standing == "current":
        return f"{said}; {target} is up to date"
    try:
        with replacing_folder(target) as temporary:
            _fill(temporary, plan.pairs, copy)
            card = plan.card
            if plan.description:
                write_text(temporary / OWN, plan.description)
                card = card.model_copy(update={"contents": contents(temporary)})
            write_dataset(temporary, [pair.record() for pair in plan.pairs], card)
    except OSError as error:
        has_no_links = not copy and error.errno in (errno.EPERM, errno.EOPNOTSUPP)
        hint = "; --copy makes no links" if has_no_links else ""
        raise InputError(f"{not_written(target, error)}{hint}") from None
    how = "copied into" if copy else "linked into"
    return f"{said}; {how} {target}" + (", replaced" if standing == "replaced" else "")


def _fill(folder: Path, pairs: Sequence[Pair], copy: bool) -> None:
    files = {
        folder / FOLDERS[part] / name: file
        for pair in pairs
        for part, (name, file) in pair.files.items()
    }
    for target, file in files.items():
        target.parent.mkdir(exist_ok=True)
        if file.border:
            write_image(target, cut_border(read_image(file.path), file.border))
        elif copy:
            shutil.copyfile(file.path, target)
        else:
            target.symlink_to(file.path)
