"""The catalogue as text for a terminal."""

from irsde.data.adopt.fingerprints import known_sets
from irsde.data.catalogue import (
    OWN,
    Family,
    OwnSet,
    Split,
    common_scenes,
    find_split,
    read_catalogue,
    read_own,
    split_names,
)
from irsde.data.sets import CARD, check_unchanged, dataset_card, dataset_folder, left_out
from irsde.files import DATA, InputError
from irsde.terminal import table


def overview() -> str:
    """One line for each data set of the catalogue and of one's own."""
    known = set(known_sets())
    rows = [
        [
            name,
            split.label,
            split.role,
            _count(split),
            "recognised" if name in known else "by name",
            _source(family, split),
            _present(name),
        ]
        for family in read_catalogue().values()
        for name, split in family.splits.items()
    ]
    for folder in sorted(DATA.glob(f"*/{OWN}")):
        own = read_own(folder.parent.name)
        if own:
            name = folder.parent.name
            rows.append([name, own.label, "own", "", "", "yours", _present(name)])
    header = ["name", "data set", "made for", "images", "adopt", "source", "in data/"]
    return table(header, rows, spare=["data set", "adopt", "made for", "images", "source"])


def described(name: str) -> str:
    """Everything the catalogue, or the description of a set of one's own, says of a data set.

    Raises
    ------
    InputError
        If there is none of this name.
    """
    if own := read_own(name):
        return _described_own(name, own)
    families = read_catalogue()
    if name in families:
        family, splits = families[name], families[name].splits
    else:
        family, split = find_split(name)
        splits = {name: split}
    lines = [
        family.label,
        f"tasks: {', '.join(family.tasks)}",
        f"licence: {family.licence}",
        *_field("citation", family.citation),
        *_field("page", family.page),
        *(f"download: {', or '.join(map(str, a.mirrors))}" for a in family.archives),
        *_field("by hand", family.by_hand),
        *(f"edition: {edition}" for edition in family.editions),
    ]
    for split_name, split in splits.items():
        lines += [
            "",
            f"{split_name}: {split.label}, {_count(split)}, {_present(split_name)} in data/",
            *_field("  sizes", ", ".join(split.sizes)),
            *(f"  files: {layout.text}" for layout in split.layouts),
            *_field("  holes of the masks", split.holes or ""),
            *(f"  shows scenes of {other}: {known}" for other, known in shared(split_name).items()),
            *_field("  note", split.note),
            *(f"  {image}: {licence}" for image, licence in split.photographs.items()),
        ]
    return "\n".join(lines)


def shared(name: str) -> dict[str, str]:
    """Other splits that share scenes with one, and what is known of that."""
    return {other: known for other in split_names() if (known := common_scenes(name, other))}


def _described_own(name: str, own: OwnSet) -> str:
    folder = dataset_folder(name)
    lines = [
        own.label,
        f"{name}: a set of your own, described in {folder / OWN}, {_present(name)} indexed",
        *_field("task", own.task or ""),
        f"licence: {own.licence}",
        *_field("scene", own.scene or ""),
        *_field("holes of the masks", own.holes or ""),
        *filter(None, [left_out(folder)]),
    ]
    try:
        check_unchanged(name)
    except InputError as error:
        lines.append(str(error))
    return "\n".join(lines)


def _field(label: str, text: str) -> list[str]:
    return [f"{label}: {text}"] if text else []


def _count(split: Split) -> str:
    what = "masks" if split.role == "masks" else "clean"
    return f"{split.images} {what}" + (f", {split.degraded} degraded" if split.degraded else "")


def _source(family: Family, split: Split) -> str:
    if split.photographs:
        return "scikit-image"
    return "download" if family.archives else "by hand"


def _present(name: str) -> str:
    folder = dataset_folder(name)
    if not (folder / CARD).is_file():
        return "absent"
    return f"{dataset_card(folder).pairs} images"
