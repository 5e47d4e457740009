"""The catalogue as text for a terminal."""

from tabulate import tabulate

from irsde.data.catalogue import Family, Split, find_split, read_catalogue, read_own
from irsde.data.datasets import CARD, dataset_card, dataset_folder
from irsde.data.fingerprints import known_sets
from irsde.files import InputError
from irsde.plan import DATA


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
    for folder in sorted(DATA.glob("*/dataset.yaml")):
        own = read_own(folder.parent.name)
        if own:
            name = folder.parent.name
            rows.append([name, own.label, "own", "", "", "yours", _present(name)])
    return tabulate(
        rows, ["name", "data set", "made for", "images", "adopt", "source", "in data/"], "simple"
    )


def described(name: str) -> str:
    """Everything the catalogue says of a data set.

    Raises
    ------
    InputError
        If there is none of this name.
    """
    families = read_catalogue()
    if name in families:
        family, splits = families[name], families[name].splits
    else:
        try:
            family, split = find_split(name)
        except InputError as error:
            raise InputError(f"{error}; irsde data list shows all") from None
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
            *_field("  note", split.note),
            *(f"  {image}: {licence}" for image, licence in split.photographs.items()),
        ]
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
    return f"{dataset_card(folder)['pairs']} images"
