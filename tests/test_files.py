"""Files written whole or not at all, what a killed process leaves, and why a write failed."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from irsde.files import InputError, replacing, replacing_folder, write_text

# A process that ends in the middle of a write, as by a SIGKILL.
KILLED = """
import os, signal, sys
from pathlib import Path
from irsde import files

def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)

target = Path(sys.argv[2])
if sys.argv[1] == "file":
    with files.replacing(target) as temporary:
        temporary.write_text("half")
        kill()
if sys.argv[1] == "between":  # what was there is moved away, the new folder not yet in its place
    replace, calls = Path.replace, []
    Path.replace = lambda path, to: kill() if calls else (calls.append(to), replace(path, to))
with files.replacing_folder(target) as temporary:
    (temporary / "a.txt").write_text("half")
    if sys.argv[1] == "folder":
        kill()
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def killed(how, target):
    done = subprocess.run([sys.executable, "-c", KILLED, how, str(target)], check=False)
    assert done.returncode == -9


def test_what_a_killed_process_left_is_gone_after_the_next_write(tmp_path):
    for how in ("file", "folder"):
        folder = tmp_path / how
        killed(how, folder / "a.json")
        (left,) = names(folder)
        assert left.startswith(".a.json.")
        write_text(folder / "other.txt", "whole")
        assert names(folder) == ["other.txt"]


def test_a_folder_that_was_being_replaced_is_put_back(tmp_path):
    with replacing_folder(tmp_path / "set") as temporary:
        (temporary / "a.txt").write_text("first")
    killed("between", tmp_path / "set")
    assert not (tmp_path / "set").exists()
    write_text(tmp_path / "other.txt", "whole")
    assert names(tmp_path) == ["other.txt", "set"]
    assert (tmp_path / "set" / "a.txt").read_text() == "first"


def test_a_folder_that_cannot_be_replaced_is_put_back(tmp_path, monkeypatch):
    with replacing_folder(tmp_path / "set") as temporary:
        (temporary / "a.txt").write_text("first")
    replace, calls = Path.replace, []

    def second_fails(path, target):
        calls.append(path)
        if len(calls) == 2:
            raise OSError(errno.EIO, "Input/output error", str(path))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", second_fails)
    with pytest.raises(InputError, match="Input/output error"), replacing_folder(tmp_path / "set"):
        pass
    assert names(tmp_path) == ["set"]
    assert (tmp_path / "set" / "a.txt").read_text() == "first"


def test_what_a_living_process_writes_is_left_alone(tmp_path):
    with replacing_folder(tmp_path / "set") as folder, replacing(tmp_path / "a.txt") as file:
        (folder / "a.txt").write_text("set")
        file.write_text("file")
        write_text(tmp_path / "other.txt", "other")
    assert names(tmp_path) == ["a.txt", "other.txt", "set"]
    assert (tmp_path / "set" / "a.txt").read_text() == "set"


@pytest.mark.parametrize("replace", [replacing, replacing_folder])
def test_a_block_that_fails_leaves_what_was_there(tmp_path, replace):
    target = tmp_path / "x"

    def write(text):
        with replace(target) as temporary:
            (temporary if replace is replacing else temporary / "f").write_text(text)
            assert text == "first"

    write("first")
    with pytest.raises(AssertionError):
        write("second")
    assert names(tmp_path) == ["x"]
    assert (target if replace is replacing else target / "f").read_text() == "first"


@pytest.mark.parametrize("replace", [replacing, replacing_folder])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_asks_for_room(tmp_path, replace, number):
    with pytest.raises(InputError, match=r"cannot be written .*make room"), replace(tmp_path / "x"):
        raise OSError(number, os.strerror(number))


@pytest.mark.parametrize("replace", [replacing, replacing_folder])
def test_other_reasons_are_said_and_ask_for_no_room(tmp_path, replace):
    (tmp_path / "file").write_text("in the way")
    for target, reason in (
        (tmp_path / "file" / "x", f"({tmp_path / 'file'}: File exists)"),
        (tmp_path / "file" / "deep" / "x", f"({tmp_path / 'file' / 'deep'}: Not a directory)"),
    ):
        with pytest.raises(InputError) as refused, replace(target):
            pass
        assert str(refused.value) == f"{target}: cannot be written {reason}"


def test_a_folder_in_the_way_of_a_file_is_said(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(InputError, match=r"x: cannot be written \(Is a directory\)$"):
        write_text(tmp_path / "x", "text")


def test_errors_of_other_files_are_not_taken_for_those_of_the_target(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"), replacing(tmp_path / "x"):
        (tmp_path / "absent").read_bytes()
