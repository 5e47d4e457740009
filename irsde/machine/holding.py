"""Holding a piece of work alone, among the processes of all machines that share a folder.

Locks of the file system (flock) are the quick answer, and the system releases those of a process
which died. They are not enough: a share can be mounted so that each machine sees its own locks only
(NFS with `nolock` or `local_lock`, Lustre with `localflock`), or without any. So the holder also
keeps a note that it touches now and then. Notes need only what every NFS does in one step: making a
file that must not exist, and renaming.
"""

import errno
import fcntl
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from irsde.files import HELD
from irsde.machine.signals import StoppedError

SECONDS_BETWEEN_SIGNS = 10.0
SECONDS_WITHOUT_SIGN = 60.0  # after which a holder on another machine is dead


@contextmanager
def held_alone(what: str, lock: Path, note: Path) -> Iterator[None]:
    """Hold work until the block ends.

    Parameters
    ----------
    what : str
        Begins the message, such as "results/...: is being trained".
    lock : Path
        File to lock.
    note : Path
        File that names the holder while there is one. Where it names another machine, this waits
        for a sign of life up to `SECONDS_WITHOUT_SIGN`, and takes over if there is none.

    Raises
    ------
    StoppedError
        If another process holds it.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT)
    try:
        has_locks = _locked(descriptor, what)
        _take(note, what, has_locks=has_locks)
        ended = threading.Event()
        signs = threading.Thread(target=_give_signs, args=(note, ended), daemon=True)
        signs.start()
        try:
            yield
        finally:
            ended.set()
            signs.join()
            note.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _locked(descriptor: int, what: str) -> bool:
    """Lock a file; False where its file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in HELD:
            raise StoppedError(
                f"{what} by another process already; try again when it ended"
            ) from None
        if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):
            raise
        return False
    return True


def _take(note: Path, what: str, *, has_locks: bool) -> None:
    """Make a note of one's own, after any of before turned out to be of a dead process.

    Machines that find the same dead note at once each remove it, and the slower may remove what the
    quicker has just made. So what was removed is looked at, and one's own note looked for again.
    """
    note.parent.mkdir(parents=True, exist_ok=True)
    own = f"{socket.gethostname()} {os.getpid()}\n"
    was_elsewhere = False
    while not _made(note, own):
        was_elsewhere |= _remove_dead(note, what, has_locks=has_locks)
    if was_elsewhere:
        time.sleep(SECONDS_WITHOUT_SIGN / 20)
        if not note.exists() or _seen(note)[0] != own:
            raise StoppedError(f"{what} by another process already; try again when it ended")


def _made(note: Path, text: str) -> bool:
    """Make a note unless there is one."""
    try:
        descriptor = os.open(note, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
    return True


def _remove_dead(note: Path, what: str, *, has_locks: bool) -> bool:
    """Remove the note of a dead process; True if it was on another machine."""
    try:
        before = _seen(note)
        host = socket.gethostname()
        other, _, process = before[0].partition(" ")
        if other == host:
            number = process.strip()
            is_alive = not has_locks and number.isdecimal() and is_running(int(number))
        else:
            is_alive = _gives_sign(note, before)
        if is_alive:
            raise StoppedError(
                f"{what} on {other or 'another machine'} already; try again when it ended"
            )
        aside = note.with_name(f"{note.name}.{host}.{os.getpid()}")
        note.replace(aside)
    except FileNotFoundError:  # another was quicker
        return True
    removed = _seen(aside)
    aside.unlink()
    if removed != before:
        _made(note, removed[0])
    return other != host


def _gives_sign(note: Path, before: tuple[str, int]) -> bool:
    deadline = time.monotonic() + SECONDS_WITHOUT_SIGN
    while time.monotonic() < deadline:
        time.sleep(SECONDS_WITHOUT_SIGN / 60)
        if _seen(note) != before:
            return True
    return False


def _seen(note: Path) -> tuple[str, int]:
    """Holder and time of a note; opening it has NFS ask the server."""
    with note.open() as stream:
        return stream.read(), os.fstat(stream.fileno()).st_mtime_ns


def is_running(process: int) -> bool:
    """True if a process of this machine runs."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _give_signs(note: Path, ended: threading.Event) -> None:
    while not ended.wait(SECONDS_BETWEEN_SIGNS):
        with suppress(OSError):
            os.utime(note)
