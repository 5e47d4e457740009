"""Files written under a temporary name and renamed, digests, names, and paths inside a folder."""

import csv
import difflib
import errno
import fcntl
import hashlib
import json
import math
import os
import re
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

DATA, RESULTS, REPORTS = Path("data"), Path("results"), Path("reports")  # of a project
INPUT_EXIT_CODE = 2
TEMPORARY = ".part"  # ends the names of what is not whole yet
LOCK = ".lock"  # in a temporary folder: held by the process that writes there
MOVED = ".moved"  # in a temporary folder: what is being replaced
DAYS_ELSEWHERE = 2.0  # after which a temporary folder of another machine is abandoned
HELD = (errno.EWOULDBLOCK, errno.EACCES)
FULL = (errno.ENOSPC, errno.EDQUOT)


class InputError(Exception):
    """What a user gave cannot be used; the message is one line that says what to do.

    The command line prints it and exits with code 2.
    """


def check_name(kind: str, name: str, known: Collection[str]) -> None:
    """Refuse a name that is not among the known ones.

    Raises
    ------
    InputError
        Says what exists.
    """
    if name not in known:
        choice = f"choose from {', '.join(known)}{nearest(name, known)}"
        raise InputError(f"unknown {kind} {name[:100]!r}: {choice}")


def nearest(name: str, known: Collection[str]) -> str:
    """What a misspelt name may mean, to end a message with; "" where nothing is near.

    Examples
    --------
    >>> nearest("deranig", ["deraining", "denoising"])
    '; did you mean deraining?'
    >>> nearest("set", ["set5", "set6", "kodak"])
    '; did you mean set6 or set5?'
    """
    near = difflib.get_close_matches(name, known, 3)
    same = [n for n in near if _likeness(name, n) == _likeness(name, near[0])]
    return f"; did you mean {' or '.join(same)}?" if same else ""


def _likeness(name: str, other: str) -> float:
    return difflib.SequenceMatcher(None, other, name).ratio()


def slug(text: str) -> str:
    """Text as a part of a key or of a folder's name.

    Examples
    --------
    >>> slug("IR-SDE, 10 steps")
    'ir-sde-10-steps'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def key_of(*parts: str) -> str:
    """Key of a table or a figure: its parts joined by dashes, the plus of a variant as a dot.

    Examples
    --------
    >>> key_of("nfe", "deraining", "rain100h-test", "ir-sde+batch16")
    'nfe-deraining-rain100h-test-ir-sde.batch16'
    """
    return "-".join(parts).replace("+", ".")


def user_cache() -> Path:
    """Folder of what programs keep for a user and can make again.

    Raises
    ------
    RuntimeError
        If the user has no home.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def not_written(path: Path, error: OSError) -> InputError:
    """Why a file or folder cannot be written, with advice where the disk is full."""
    place = None if error.filename is None else Path(os.fsdecode(error.filename))
    where = f"{place}: " if place in path.parents else ""
    advice = (
        "; what was there before is whole: make room and run the same command again"
        if error.errno in FULL
        else ""
    )
    return InputError(f"{path}: cannot be written ({where}{error.strerror or error}){advice}")


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Hidden folder beside `path`, deleted when the block ends.

    Parameters
    ----------
    path : Path
        File or folder to be written; the folder it belongs in is made.

    Yields
    ------
    Path
        Empty folder but for a lock file, which this process holds. A killed process leaves its
        folder behind and loses the lock: the next one that writes beside it deletes what it left,
        after putting back what `replacing_folder` had moved out of the way.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path.parent)
    folder, lock = _held_folder(path)
    try:
        yield folder
    finally:
        _discard(folder)
        os.close(lock)


def _held_folder(path: Path) -> tuple[Path, int]:
    """New hidden folder and the descriptor of the lock in it."""
    while True:
        folder = Path(tempfile.mkdtemp(TEMPORARY, f".{path.name[:40]}.", path.parent))
        try:
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT)
        except FileNotFoundError:
            continue  # another process took the empty folder for an abandoned one
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = True
        except OSError as error:
            is_ours = error.errno not in HELD  # without locks nobody takes it for abandoned
        os.write(lock, socket.gethostname().encode())
        if is_ours and (folder / LOCK).exists():
            return folder, lock
        os.close(lock)


def _remove_abandoned(parent: Path) -> None:
    """Delete the temporary folders whose processes are gone."""
    with os.scandir(parent) as entries:
        paths = [Path(entry) for entry in entries if _is_temporary_name(entry.name)]
    for folder in paths:
        try:
            lock = os.open(folder / LOCK, os.O_RDWR)
        except OSError:
            with suppress(OSError):
                folder.rmdir()  # killed before it had a lock; nothing else is empty
            continue
        try:
            if _may_be_elsewhere(lock):
                continue
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _discard(folder)
        except OSError:
            continue  # held, or the file system has no locks
        finally:
            os.close(lock)


def _may_be_elsewhere(lock: int) -> bool:
    """Whether a process of another machine, whose locks may not be seen here, may hold a lock."""
    host = os.pread(lock, 300, 0).decode(errors="replace")
    is_old = time.time() - os.fstat(lock).st_mtime > DAYS_ELSEWHERE * 86400
    return host != socket.gethostname() and not is_old


def _discard(folder: Path) -> None:
    """Delete a temporary folder, and put back what was moved into it if nothing took its place."""
    for moved in (folder / MOVED).glob("*"):
        place = folder.parent / moved.name
        if not place.exists():
            moved.replace(place)
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Temporary path beside `path`, renamed to it if the block ends without an exception.

    Parameters
    ----------
    path : Path
        File to write; its folder is made. A file already there is replaced in one step.

    Yields
    ------
    Path
        Name to write to, with the suffix of `path`.

    Raises
    ------
    InputError
        If the file cannot be written, as on a full disk.
    """
    with _in_one_line(path), temporary_folder(path) as folder:
        temporary = folder / path.name
        yield temporary
        temporary.chmod(0o644)
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Temporary folder beside `path`, renamed to it if the block ends without an exception.

    A folder already at `path` is moved away first and deleted after the rename.

    Raises
    ------
    InputError
        If the folder cannot be written, as on a full disk.
    """
    with _in_one_line(path), temporary_folder(path) as folder:
        temporary = folder / path.name
        temporary.mkdir()
        yield temporary
        temporary.chmod(0o755)
        if path.exists():
            moved = folder / MOVED / path.name
            moved.parent.mkdir()
            path.replace(moved)
        temporary.replace(path)


@contextmanager
def _in_one_line(path: Path) -> Iterator[None]:
    """Errors of writing `path` as one line; those of other files as they are."""
    try:
        yield
    except OSError as error:
        place = None if error.filename is None else Path(os.fsdecode(error.filename))
        if place is None:  # of writing, unless it says that bytes which were read make no sense
            is_ours = error.errno not in (None, errno.EINVAL)
        else:
            is_ours = place in (path, *path.parents) or _is_temporary(place, path.parent)
        if not is_ours:
            raise
        raise not_written(path, error) from None


def _is_temporary(place: Path, parent: Path) -> bool:
    """True if a path is in a temporary folder of `parent`."""
    return any(
        above.parent == parent and _is_temporary_name(above.name)
        for above in (place, *place.parents)
    )


def _is_temporary_name(name: str) -> bool:
    return name.startswith(".") and name.endswith(TEMPORARY)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with Unix line ends, by way of a temporary name."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, content: object) -> None:
    """Write JSON with sorted keys and an indent of two, by way of a temporary name."""
    write_text(path, json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def json_number(value: float) -> float | str | None:
    """Number as strict JSON can hold it: an infinite one as `inf` or `-inf`, no number as None.

    Examples
    --------
    >>> json_number(float("inf")), json_number(float("nan")), json_number(0.5)
    ('inf', None, 0.5)
    """
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else str(value)


def is_present(path: Path) -> bool:
    """True if there is a regular file, False if there is nothing.

    Raises
    ------
    InputError
        If there is anything else, such as a pipe or a broken link: it must not be taken for an
        absent file, and would be replaced or block whoever reads it.
    """
    if path.is_file():
        return True
    if os.path.lexists(path):
        raise InputError(f"{path}: is not a regular file")
    return False


def read_json(path: Path) -> object:
    """Content of a JSON file.

    Raises
    ------
    InputError
        If the file is absent, no regular file, or not JSON.
    """
    if not is_present(path):
        raise InputError(f"{path}: no such file")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except RecursionError:
        raise InputError(f"{path}: nested too deep") from None
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error})") from None


def read_table(path: Path, *, as_text: bool = False) -> "pd.DataFrame":
    """Content of a CSV file of ours; only an empty field is missing.

    Pandas would also take a name for a missing value, such as that of an image called NA or null.

    Parameters
    ----------
    path : Path
    as_text : bool
        Keep every field as it is written, also numbers and empty ones.

    Raises
    ------
    InputError
        If the file is absent, no regular file or no table, or two columns have one name.
    """
    import pandas as pd

    if not is_present(path):
        raise InputError(f"{path}: no such file")
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            names = next(csv.reader(stream), [])
        if repeated := [name for name in names if names.count(name) > 1]:
            raise InputError(f"{path}: has two columns {repeated[0][:40]!r}")
        if as_text:
            return pd.read_csv(path, dtype=str, keep_default_na=False)
        texts = dict.fromkeys(("image", "scene", "protocol", "reference"), str)
        return pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=[""])
    except (csv.Error, OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({' '.join(str(error).split())})") from None


def digest(content: bytes) -> str:
    """SHA-256 of bytes in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def digest_file(path: Path) -> str:
    """SHA-256 of a file's bytes in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_known(path: Path, known: Sequence[int | str] | None) -> tuple[list[int], str]:
    """Size, times and inode of a file, and its SHA-256, or why it has none.

    The last of `known` is taken for its hash if the others are what the file has now.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return [], "not a regular file"
        key = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        same = known is not None and list(known[:-1]) == key
        return key, str(known[-1]) if same and known else digest_file(path)
    except OSError as error:
        return [], str(error.strerror)


def digest_json(content: object) -> str:
    """SHA-256 of a JSON value in its one canonical form (sorted keys, no spaces)."""
    return digest(json.dumps(content, sort_keys=True, separators=(",", ":")).encode())
