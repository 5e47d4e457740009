"""Work that one process of all machines holds, on file systems with locks of every kind."""

import errno
import fcntl
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from irsde import files
from irsde.files import replacing, temporary_folder
from irsde.machine import holding
from irsde.machine.holding import held_alone
from irsde.machine.signals import StoppedError


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    monkeypatch.setattr(holding, "SECONDS_BETWEEN_SIGNS", 0.05)
    monkeypatch.setattr(holding, "SECONDS_WITHOUT_SIGN", 1.5)
    monkeypatch.chdir(tmp_path)


def held():
    return held_alone("the run: is being trained", Path("run/.lock"), Path("held/run"))


def without_locks(monkeypatch, number: int | None) -> None:
    """Locks that only this machine sees (None), or an error where a file is locked."""

    def flock(*_):
        if number is not None:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)


def test_a_second_process_of_this_machine_is_told_so_at_once():
    with held(), pytest.raises(StoppedError, match="is being trained by another process"), held():
        pass
    with held():
        pass
    assert not Path("held/run").exists()


@pytest.mark.parametrize("number", [None, errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_another_machine_is_told_who_holds_it_where_locks_do_not_reach(monkeypatch, number):
    without_locks(monkeypatch, number)
    with held():
        monkeypatch.setattr(socket, "gethostname", lambda: "n2")
        here = Path("held/run").read_text().split()[0]
        with pytest.raises(StoppedError, match=f"on {here} already"), held():
            pass


def test_the_work_of_a_dead_machine_is_taken_over(monkeypatch):
    Path("held").mkdir()
    Path("held/run").write_text("n1 7\n")
    start = time.monotonic()
    with held():
        assert Path("held/run").read_text() == f"{socket.gethostname()} {os.getpid()}\n"
    assert time.monotonic() - start >= holding.SECONDS_WITHOUT_SIGN
    assert [*Path("held").iterdir()] == []


def test_a_dead_process_of_this_machine_is_known_without_locks(monkeypatch):
    without_locks(monkeypatch, errno.ENOSYS)
    Path("held").mkdir()
    Path("held/run").write_text(f"{socket.gethostname()} {2**22 + 1}\n")
    with held():
        pass
    Path("held/run").write_text(f"{socket.gethostname()} {os.getpid()}\n")
    with pytest.raises(StoppedError), held():
        pass


def test_other_errors_of_locks_are_not_taken_for_their_absence(monkeypatch):
    without_locks(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match="Input/output"), held():
        pass


CONTENDER = """
import fcntl, socket, sys, time
from pathlib import Path
from irsde.machine import holding
fcntl.flock = lambda *_: None
socket.gethostname = lambda: sys.argv[1]
holding.SECONDS_BETWEEN_SIGNS, holding.SECONDS_WITHOUT_SIGN = 0.05, 3.0
try:
    with holding.held_alone("the run: is being trained", Path("run/.lock"), Path("held/run")):
        while not Path("enough").exists():
            time.sleep(0.05)
except holding.StoppedError:
    sys.exit(75)
"""


@pytest.mark.slow
@pytest.mark.parametrize("left", [None, "n9 7\n"])
def test_of_machines_that_start_at_once_one_gets_it(left):
    Path("held").mkdir()
    if left:
        Path("held/run").write_text(left)
    processes = [
        subprocess.Popen([sys.executable, "-c", CONTENDER, f"n{number}"]) for number in range(4)
    ]
    deadline = time.monotonic() + 100
    while sum(one.poll() is None for one in processes) > 1 and time.monotonic() < deadline:
        time.sleep(0.1)
    Path("enough").touch()
    assert sorted(process.wait(timeout=20) for process in processes) == [0, 75, 75, 75]


def test_temporary_folders_of_another_machine_stay_until_they_are_old(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(socket, "gethostname", lambda: "n2")
        patch.setattr(files, "_discard", lambda _: None)
        with temporary_folder(Path("b.txt")) as folder:
            pass
    with replacing(Path("a.txt")) as file:
        file.write_text("")
    assert folder.is_dir()
    long_ago = time.time() - 3 * 86400
    os.utime(folder / files.LOCK, (long_ago, long_ago))
    with replacing(Path("a.txt")) as file:
        file.write_text("")
    assert not folder.exists()
