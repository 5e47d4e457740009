"""Folders of images that a user gives: what is taken, and one line on what is skipped."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from irsde.files import InputError
from irsde.images import ENDINGS, KINDS, check_text, printable

NAMED = 3  # names of each kind that a line shows


@dataclass(frozen=True)
class ImageFolder:
    """Images directly in a folder.

    Parameters
    ----------
    files : tuple of Path
        Regular files with one of the endings of images, sorted.
    left_out : str
        One line that names everything else in the folder; empty if there is nothing else.
    """

    files: tuple[Path, ...]
    left_out: str

    @property
    def by_stem(self) -> dict[str, Path]:
        """The files by their names without ending.

        Raises
        ------
        InputError
            If two differ in their ending only.
        """
        files: dict[str, Path] = {}
        for path in self.files:
            if path.stem in files:
                raise InputError(
                    f"{path} and {files[path.stem]} differ in their ending only; rename one"
                )
            files[path.stem] = path
        return files


def list_images(folder: Path) -> ImageFolder:
    """Images of a folder; hidden files, folders and files of other kinds are skipped.

    Hidden files are among them because macOS keeps a `._a.png`, which is no image, for each
    `a.png` on disks of other systems.

    Raises
    ------
    InputError
        If there is no such folder, it holds no image, or the name of one is no text.
    """
    if not folder.is_dir():
        raise InputError(f"{printable(folder)}: no such folder")
    files: list[Path] = []
    others: dict[str, list[str]] = {}
    for path in sorted(folder.iterdir()):
        if kind := _left_out(path):
            others.setdefault(kind, []).append(path.name)
        else:
            check_text(path)
            files.append(path)
    parts = [f"{kind} ({first_names(names)})" for kind, names in others.items()]
    left_out = f"skipped in {printable(folder)}: {', '.join(parts)}" if parts else ""
    if not files:
        raise InputError(
            f"{printable(folder)}: no {KINDS} image in this folder"
            + (f"; {left_out}" if left_out else "")
        )
    return ImageFolder(tuple(files), left_out)


def _left_out(path: Path) -> str:
    """Kind of what is not taken from a folder, in the plural; empty for an image."""
    if path.is_dir():
        return "folders"
    if path.name.startswith("."):
        return "hidden files"
    if path.suffix.lower() not in ENDINGS:
        return "files of other kinds"
    return "" if path.is_file() else "what is not a regular file"


def first_names(names: Iterable[str]) -> str:
    """The first few names and how many more there are, for a message of one line.

    Examples
    --------
    >>> first_names("abcde")
    'a, b, c and 2 more'
    """
    listed = [printable(name) for name in names]
    more = f" and {len(listed) - NAMED} more" if len(listed) > NAMED else ""
    return ", ".join(listed[:NAMED]) + more
