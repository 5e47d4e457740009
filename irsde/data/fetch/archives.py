"""Zip and tar archives unpacked into a folder, never outside it."""

import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Self, TypeVar

from rich.filesize import decimal

from irsde.files import InputError, replacing_folder

MEMBERS = 200_000  # files and folders
TOTAL = 200_000_000_000  # bytes once unpacked
RATIO = 200  # unpacked bytes per packed byte: photographs stay near 1, text below 20
SPARED = 10_000_000  # unpacked bytes up to which the ratio is not judged: an empty mask is harmless
LONGEST_HEADER = 1_000_000  # bytes; tarfile reads long names and pax headers into memory

M = TypeVar("M")


def extract(archive: Path, folder: Path) -> None:
    """Unpack a zip or tar archive into a folder that appears complete or not at all.

    Parameters
    ----------
    archive : Path
        Zip or tar file, by its content and not its name; a tar may be compressed by gzip, bzip2
        or xz.
    folder : Path
        A folder already there is replaced once everything is unpacked.

    Raises
    ------
    InputError
        If the archive cannot be read, is damaged, cut short or empty; if a member is a link or a
        device, would leave the folder, or has the name of another one (upper and lower case are
        one); if there are too many members or bytes, for the disk or for the archive's size.
    """
    try:
        with archive.open("rb") as stream:
            unpack = _unpack_zip if stream.read(2) == b"PK" else _unpack_tar
        with replacing_folder(folder) as temporary:
            unpack(archive, temporary)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - hostile bytes make the libraries raise anything
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise InputError(
            f"{archive}: not an archive that can be unpacked safely "
            f"({reason or type(error).__name__}); get it again, or unpack it by hand"
        ) from None


def _unpack_zip(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        kinds = (stat.S_IFMT(info.external_attr >> 16) for info in opened.infolist())
        members = (
            (info, info.filename, info.file_size, info.is_dir(), kind in (0, stat.S_IFREG))
            for info, kind in zip(opened.infolist(), kinds, strict=True)
        )
        opened.extractall(folder, _checked(members, archive, folder))


def _unpack_tar(archive: Path, folder: Path) -> None:
    with tarfile.open(archive, tarinfo=_Header) as opened:
        members = ((info, info.name, info.size, info.isdir(), info.isreg()) for info in opened)
        opened.extractall(folder, _checked(members, archive, folder), filter="data")
        # tarfile takes a missing or damaged header for the end. Reading past the end also
        # compares the checksum of a compressed stream.
        assert opened.fileobj is not None
        opened.fileobj.seek(opened.offset)
        end = opened.fileobj.read(LONGEST_HEADER)
        if len(end) < tarfile.BLOCKSIZE or end.strip(b"\0"):
            raise tarfile.ReadError("its end is missing or damaged")


class _Header(tarfile.TarInfo):
    """A header, refused where tarfile would fill the memory or go back in the file."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        info = super().frombuf(buf, encoding, errors)
        if info.size < 0 or (info.size > LONGEST_HEADER and not info.isreg()):
            raise tarfile.ReadError("a header of impossible length")
        return info


def _checked(
    members: Iterable[tuple[M, str, int, bool, bool]], archive: Path, folder: Path
) -> Iterator[M]:
    """Members, each given with name, size, is_folder, is_file; an error at the first bad one."""
    packed, free = archive.stat().st_size, shutil.disk_usage(folder).free
    names: set[str] = set()
    total = 0
    for count, (member, name, size, is_folder, is_file) in enumerate(members, start=1):
        path = PurePosixPath(name)
        total += size
        key = str(path).casefold()
        if not (is_folder or is_file):
            raise ValueError(f"{name!r} is a link or a device")
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{name!r} would lie outside the folder")
        if key in names:
            raise ValueError(f"{name!r} has the name of another member")
        if count > MEMBERS:
            raise ValueError(f"more than {MEMBERS} members")
        if size < 0 or total > min(TOTAL, max(SPARED, RATIO * packed)):
            raise ValueError(f"{decimal(total)} or more out of {decimal(packed)}, like a bomb")
        if total > free:
            raise ValueError(f"needs {decimal(total)} or more, the disk has {decimal(free)} free")
        if not is_folder:
            names.add(key)
        yield member
    if not names:
        raise ValueError("no files in it")
