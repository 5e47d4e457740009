"""What is in a folder to be adopted, what of it is known, and how messages name it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from irsde.data.adopt.fingerprints import (
    Fingerprint,
    Found,
    find_images,
    known_scenes,
    read_fingerprints,
)
from irsde.data.catalogue import find_split, split_names
from irsde.images import image_files, unread_line

SHOWN = 3  # names in a line


@dataclass(frozen=True)
class Search:
    """Images of a folder, and the known data sets to compare them with.

    Parameters
    ----------
    folder : Path
    found : list of Found
        Sorted by place.
    unreadable : dict of str to str
        Place of each file that cannot be used, with the reason.
    unread : list of Path
        Pictures in formats that are not read.
    known : dict of str to list of Fingerprint
        Sets of the catalogue whose images are known.
    """

    folder: Path
    found: Sequence[Found]
    unreadable: Mapping[str, str]
    unread: Sequence[Path]
    known: Mapping[str, Sequence[Fingerprint]]

    @property
    def source(self) -> str:
        """Name of the folder, for the card."""
        return self.folder.absolute().name

    def scenes(self, prefix: str, groups: Mapping[Found, str]) -> dict[Found, str]:
        """Scene of each image: the known one of any of its group, else the group's with a prefix.

        Parameters
        ----------
        prefix : str
        groups : dict of Found to str
            Clean images, each with the name of the group that shows one scene.
        """
        of_group: dict[str, str] = {}
        for file, scene in known_scenes(list(groups), self.known).items():
            of_group.setdefault(groups[file], scene)
        return {file: of_group.get(group, f"{prefix}-{group}") for file, group in groups.items()}

    def rest(self, used: Collection[Found], what: str) -> list[str]:
        """Lines on the images that are not used, and on the files that cannot be."""
        other = [file.place.as_posix() for file in self.found if file not in used]
        lines = [f"{what}: {counted(len(other), 'image')} ({first_few(other)})"] if other else []
        if self.unreadable:
            lines.append(self.unreadable_line(self.unreadable))
        if self.unread:
            lines.append(unread_line(self.unread))
        return lines

    def unreadable_line(self, places: Collection[str]) -> str:
        """What is wrong with the first of these files, and how many more there are."""
        one = next(iter(places))
        more = f" and {len(places) - 1} more" if len(places) > 1 else ""
        return f"{one}{more} cannot be read: {self.unreadable[one]}"


def search_folder(folder: Path) -> Search:
    """Decode all images of a folder and read what is known.

    Raises
    ------
    InputError
        If there is no such folder, no catalogue, or fingerprints are damaged.
    """
    known = {name: rows for name in split_names() if (rows := read_fingerprints(name))}
    images, unreadable = find_images(folder)
    _, unread = image_files(folder, deep=True)
    return Search(folder, _without_borders(images, known), unreadable, unread, known)


def _without_borders(
    images: Sequence[Found], known: Mapping[str, Sequence[Fingerprint]]
) -> list[Found]:
    """Images, those without the border that are known clean ones."""
    found = list(images)
    for name, rows in known.items():
        if border := find_split(name)[1].border:
            clean = [row for row in rows if row.part == "clean"]
            sizes = {(row.width + 2 * border, row.height + 2 * border) for row in clean}
            pixels = {row.pixels for row in clean}
            for k, image in enumerate(found):
                if (image.width, image.height) in sizes:
                    inner = image.without_border(border)
                    found[k] = inner if inner.keys & pixels else image
    return found


def border_line(name: str, count: int, border: int) -> str:
    """That so many clean images were cut."""
    return (
        f"{name}: {counted(count, 'clean image')} of the edition with a border, {border} pixels "
        "cut off on each side"
    )


def first_few(names: Iterable[object]) -> str:
    """The first names of several, for a message."""
    texts = [str(name) for name in names]
    return ", ".join(texts[:SHOWN]) + (", …" if len(texts) > SHOWN else "")


def counted(count: int, noun: str) -> str:
    """A number and its noun, such as "1 image" or "2 images"."""
    return f"{count} {noun}" + ("s" if count != 1 else "")
