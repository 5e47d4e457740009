"""Archives unpacked into a folder: every member checked, nothing left behind by a refusal."""

import bz2
import errno
import gzip
import lzma
import re
import shutil
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from rich.filesize import decimal

from irsde.files import InputError, not_written, replacing, replacing_folder

CHUNK = 1 << 18  # bytes copied at a time, and the longest header that a tar may have
BLOCK = 512  # bytes of one tar record

# What the standard library raises on archives whose bytes make no sense.
DAMAGE = (
    EOFError,
    ValueError,  # also text that is no UTF-8
    OverflowError,
    RecursionError,
    lzma.LZMAError,
    struct.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class Limits:
    """What an archive may hold before it is taken for a bomb.

    Attributes
    ----------
    members : int
        Files and folders.
    total : int
        Bytes once unpacked.
    ratio : int
        Unpacked bytes per packed byte, of each member of a zip and of a whole archive.
        Photographs stay near 1 and text below 20; a zip of zeros reaches 1000.
    spared : int
        Unpacked bytes up to which the ratio is not judged: an empty mask is small and harmless.
    """

    members: int = 200_000
    total: int = 200_000_000_000
    ratio: int = 200
    spared: int = 10_000_000


LIMITS = Limits()


@dataclass(frozen=True)
class _Member:
    name: str
    kind: str  # "file", "folder", or what makes it refused
    size: int  # bytes that its header claims
    packed: int | None  # compressed bytes; None where members are compressed together
    content: Callable[[], IO[bytes]]


class _RefusalError(Exception):
    """Why an archive is not unpacked, without its name."""


def extract(archive: Path, folder: Path, *, limits: Limits = LIMITS) -> int:
    """Unpack a zip or tar archive into a folder that appears complete or not at all.

    The bytes decide what the archive is, not its name; a tar may be plain or compressed by
    gzip, bzip2 or xz. Of a member only its name and its bytes are kept. What macOS adds
    (`__MACOSX`, `.DS_Store`, `._*`) is skipped.

    Parameters
    ----------
    archive : Path
        Zip or tar file.
    folder : Path
        Made; one already there is replaced once all members are unpacked.
    limits : Limits
        Measured on the bytes that are really written, not on what headers claim.

    Returns
    -------
    int
        Files written.

    Raises
    ------
    InputError
        If the archive is absent, damaged, cut short, encrypted or empty; if a member is a link
        or a device or would leave the folder; if two names are equal or differ only by case; if
        it exceeds the limits or the free space of the disk.
    """
    with (
        _in_one_line(archive, folder),
        _opened(archive) as (claimed, members),
        replacing_folder(folder) as temporary,
    ):
        if claimed > limits.total:
            raise _RefusalError(
                f"unpacks to {decimal(claimed)}, the limit is {decimal(limits.total)}"
            )
        _check_space(folder, claimed)
        return _unpack(members, temporary, limits, archive.stat().st_size)


def join_parts(parts: Sequence[Path], target: Path) -> None:
    """Put an archive together that was cut into pieces (`x.zip.001`, `x.zip.002` …).

    Parameters
    ----------
    parts : sequence of Path
        All pieces in their order.
    target : Path
        File to write; one already there is replaced in one step.

    Raises
    ------
    InputError
        If a piece is absent or empty, or if numbered pieces are not 1, 2, 3 … (or 0, 1, 2 …).
    """
    if not parts:
        raise InputError(f"{target}: no parts to join")
    for part in parts:
        if not part.is_file():
            raise InputError(f"{part}: no such file; all parts of {target.name} are needed")
        if part.stat().st_size == 0:
            raise InputError(f"{part}: is empty; get it again")
    endings = [part.suffix[1:] for part in parts]
    if all(ending.isdecimal() for ending in endings):
        numbers = [int(ending) for ending in endings]
        if numbers != list(range(numbers[0], numbers[0] + len(parts))) or numbers[0] > 1:
            raise InputError(
                f"{target}: parts {', '.join(endings)} are not a whole sequence in order; "
                "give every part, the first one first"
            )
    try:
        with replacing(target) as temporary, temporary.open("wb") as sink:
            _check_space(target, sum(part.stat().st_size for part in parts))
            for part in parts:
                with part.open("rb") as source:
                    shutil.copyfileobj(source, sink, CHUNK)
    except OSError as error:
        raise InputError(f"{error.filename or target}: {error.strerror}; not joined") from None


@contextmanager
def _in_one_line(archive: Path, folder: Path) -> Iterator[None]:
    try:
        yield
    except _RefusalError as error:
        raise InputError(
            f"{archive}: {error}; nothing was unpacked, do it by hand if you trust its source"
        ) from None
    except NotImplementedError as error:
        raise InputError(
            f"{archive}: made with an option that cannot be read here ({error}); unpack it by hand"
        ) from None
    except OSError as error:
        if error.errno in (None, errno.EINVAL):  # from gzip and bz2, and from senseless offsets
            raise _damaged(archive, error) from None
        if error.filename == str(archive):
            raise InputError(f"{archive}: cannot be read ({error.strerror})") from None
        raise not_written(folder, error) from None
    except DAMAGE as error:
        raise _damaged(archive, error) from None


def _damaged(archive: Path, error: Exception) -> InputError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return InputError(f"{archive}: damaged or cut short ({reason}); delete it and get it again")


@contextmanager
def _opened(archive: Path) -> Iterator[tuple[int, Iterator[_Member]]]:
    """Bytes that the archive claims to need, as far as it says, and its members."""
    with archive.open("rb") as stream:
        magic = stream.read(6)
    if not magic:
        raise _damaged(archive, EOFError("the file is empty"))
    if magic.startswith(b"PK"):
        with zipfile.ZipFile(archive) as opened:
            yield sum(info.file_size for info in opened.infolist()), _zip_members(opened)
        return
    with _decompressed(archive, magic) as stream:
        guarded: Any = _Guarded(stream)
        try:
            tar = tarfile.open(fileobj=guarded, mode="r:")  # noqa: SIM115 (closed below)
        except tarfile.ReadError:
            raise InputError(
                f"{archive}: not a zip or tar archive; unpack it by hand, or get it again"
            ) from None
        with tar:
            yield archive.stat().st_size, _tar_members(tar, guarded)


def _decompressed(archive: Path, magic: bytes) -> IO[bytes] | gzip.GzipFile:
    if magic.startswith(b"\x1f\x8b"):
        return gzip.open(archive)
    if magic.startswith(b"BZh"):
        return bz2.open(archive)
    if magic.startswith(b"\xfd7zXZ\x00"):
        return lzma.open(archive)
    return archive.open("rb")


class _Guarded:
    """A stream for `tarfile`, which would read a header of any claimed length into memory."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile) -> None:
        self.seek, self.tell, self._read = stream.seek, stream.tell, stream.read

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= CHUNK:
            raise tarfile.TarError("a header of impossible length")
        return self._read(size)


def _zip_members(opened: zipfile.ZipFile) -> Iterator[_Member]:
    for info in opened.infolist():
        mode = stat.S_IFMT(info.external_attr >> 16)
        if info.flag_bits & 0x1:
            kind = "encrypted"
        elif mode not in (0, stat.S_IFREG, stat.S_IFDIR):
            kind = "a link" if stat.S_ISLNK(mode) else "a special file"
        else:
            kind = "folder" if info.orig_filename.endswith("/") else "file"
        yield _Member(
            name=info.orig_filename,  # before zipfile cuts it at a null character
            kind=kind,
            size=info.file_size,
            packed=info.compress_size,
            content=partial(opened.open, info),
        )


def _tar_members(tar: tarfile.TarFile, stream: _Guarded) -> Iterator[_Member]:
    for info in tar:
        if info.size < 0:  # tarfile would go back and read the same header for ever
            raise tarfile.ReadError("a member of negative length")
        if info.issym() or info.islnk():
            kind = "a link"
        elif info.isdir():
            kind = "folder"
        else:
            kind = "file" if info.isreg() else "a special file"
        yield _Member(
            name=info.name,
            kind=kind,
            size=info.size,
            packed=None,
            content=partial(_tar_content, tar, info),
        )
    _check_end(stream, tar.offset)


def _tar_content(tar: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    content = tar.extractfile(info)
    if content is None:
        raise tarfile.TarError(f"{info.name!r} has no content")
    return content


def _check_end(stream: _Guarded, offset: int) -> None:
    """Check that a tar ends with its end mark; `tarfile` takes any nonsense for the end.

    Reading on to the last byte also has a compressed stream compare its checksum.
    """
    stream.seek(offset)
    if stream.read(BLOCK) != bytes(BLOCK):
        raise tarfile.ReadError("its end is missing")
    for _ in range(64):
        padding = stream.read(CHUNK)
        if not padding:
            return
        if padding.strip(b"\0"):
            break
    raise tarfile.ReadError("something follows its end")


def _unpack(members: Iterator[_Member], folder: Path, limits: Limits, packed: int) -> int:
    spellings: dict[str, tuple[str, str]] = {}
    files = unpacked = 0
    for count, member in enumerate(members, start=1):
        if count > limits.members:
            raise _RefusalError(f"holds more than {limits.members} members")
        parts = _parts(member.name)
        if member.kind not in ("file", "folder"):
            raise _RefusalError(f"member {member.name!r} is {member.kind}")
        if member.kind == "file" and not parts:
            raise _RefusalError(f"member {member.name!r} is a file without a name")
        if _is_junk(parts):
            unpacked += member.size
            _check_bomb(limits, unpacked, packed)
            continue
        _check_spelling(spellings, parts, member)
        path = folder.joinpath(*parts)
        if member.kind == "folder":
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        size = 0
        with member.content() as source, path.open("xb") as sink:
            while block := source.read(CHUNK):
                size += len(block)
                unpacked += len(block)
                _check_bomb(limits, unpacked, packed)
                if member.packed is not None:
                    _check_bomb(limits, size, member.packed)
                sink.write(block)
        if size != member.size:
            raise _RefusalError(f"member {member.name!r} is not as long as its header says")
        files += 1
    if not files:
        raise _RefusalError("holds no files")
    return files


def _parts(name: str) -> tuple[str, ...]:
    """Components of a member's name, if they stay in the folder on any system."""
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        raise _RefusalError(f"member {name!r} has characters in its name that are no text")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if name.startswith("/") or "\\" in name or re.match("[A-Za-z]:", name) or ".." in parts:
        raise _RefusalError(f"member {name!r} could lie outside the folder")
    return parts


def _is_junk(parts: tuple[str, ...]) -> bool:
    if not parts:  # the folder itself, as in a tar of "."
        return True
    return "__MACOSX" in parts or parts[-1] == ".DS_Store" or parts[-1].startswith("._")


def _check_spelling(
    spellings: dict[str, tuple[str, str]], parts: tuple[str, ...], member: _Member
) -> None:
    """Check a name and the folders above it against all names before."""
    for length in range(1, len(parts) + 1):
        path = "/".join(parts[:length])
        kind = "folder" if length < len(parts) else member.kind
        key = unicodedata.normalize("NFC", path).casefold()
        if key not in spellings:
            spellings[key] = (path, kind)
            continue
        known, known_kind = spellings[key]
        if known != path:
            raise _RefusalError(f"members {known!r} and {path!r} have one name on some systems")
        if "file" in (kind, known_kind):  # a folder may be named again
            raise _RefusalError(f"member {path!r} is there twice")


def _check_bomb(limits: Limits, unpacked: int, packed: int) -> None:
    if unpacked > limits.total:
        raise _RefusalError(f"unpacks to more than {decimal(limits.total)}")
    if unpacked > limits.spared and unpacked > limits.ratio * packed:
        raise _RefusalError(f"unpacks to more than {limits.ratio} times its size, as a bomb does")


def _check_space(path: Path, needed: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise InputError(f"{path}: needs {decimal(needed)}, the disk has {decimal(free)} free")
