"""Folders of images that a user gives: what is taken, and one line on what is left out."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from irsde.data.catalogue import ENDINGS
from irsde.files import InputError

NAMED = 3  # names of each kind that a line shows


@dataclass(frozen=True)
class ImageFolder:
    """Images that lie directly in a folder.

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
        found: dict[str, Path] = {}
        for path in self.files:
            if path.stem in found:
                raise InputError(
                    f"{path} and {found[path.stem]} differ in their ending only; rename one"
                )
            found[path.stem] = path
        return found


def list_images(folder: Path) -> ImageFolder:
    """Images of a folder; hidden files, folders and files of other kinds are left out.

    Hidden files are among them because macOS keeps a `._a.png`, which is no image, for each
    `a.png` on disks of other systems.

    Raises
    ------
    InputError
        If there is no such folder, it holds no image, or a name is not UTF-8.
    """
    if not folder.is_dir():
        raise InputError(f"{shown(folder)}: no such folder")
    files: list[Path] = []
    others: dict[str, list[str]] = {}
    for path in sorted(folder.iterdir()):
        if kind := _left_out(path):
            others.setdefault(kind, []).append(path.name)
        else:
            check_utf8(path)
            files.append(path)
    parts = [f"{kind} ({first_names(names)})" for kind, names in others.items()]
    left_out = f"left out of {shown(folder)}: {', '.join(parts)}" if parts else ""
    if not files:
        raise InputError(
            f"{shown(folder)}: no image in this folder ({', '.join(ENDINGS)})"
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
    return "" if path.is_file() else "what is no regular file"


def check_utf8(path: Path) -> None:
    """Refuse a path that no table and no record could name.

    Raises
    ------
    InputError
        If it is not valid UTF-8.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise InputError(f"{shown(path)}: the name is not UTF-8; rename it") from None


def shown(path: Path | str) -> str:
    """A path or name as it may be printed on one line, whatever bytes it is made of."""
    text = str(path)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return text if text.isprintable() else ascii(text)[1:-1]


def first_names(names: Iterable[str]) -> str:
    """The first few names and how many more there are, for a message of one line.

    Examples
    --------
    >>> first_names("abcde")
    'a, b, c and 2 more'
    """
    listed = [shown(name) for name in names]
    more = f" and {len(listed) - NAMED} more" if len(listed) > NAMED else ""
    return ", ".join(listed[:NAMED]) + more
