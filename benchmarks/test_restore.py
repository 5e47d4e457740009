"""What restoring large photographs takes: `pytest benchmarks/test_restore.py -s`.

CPU seconds and the largest memory of `irsde restore` with two workers and the study's deraining
weights, start of Python included; printed and not asserted. Goals: 1380x1220 pixels by 10
evaluations in 40 CPU seconds, 24 megapixels (by one, as memory does not depend on their number)
in 2 GB.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from irsde.images import write_image

PROJECT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(("width", "height", "nfe"), [(1380, 1220, 10), (6000, 4000, 1)])
def test_restore(width, height, nfe, tmp_path, capsys):
    rows, columns = np.mgrid[:height, :width]
    wave = 127.5 + 127.5 * np.sin(rows / 17) * np.cos(columns / 23)
    write_image(tmp_path / "a.png", np.stack([wave, wave[::-1], 255 - wave], -1).astype(np.uint8))
    command = (
        sys.executable, "-m", "irsde.cli", "restore", str(tmp_path / "a.png"),
        "--task", "deraining", "--nfe", str(nfe), "--threads", "2", "--out", str(tmp_path / "out"),
    )  # fmt: skip
    child = subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.PIPE, text=True)
    with child.stderr as stream:
        errors = stream.read()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0, errors
    with capsys.disabled():
        print(
            f"\n{width}x{height}, {nfe} evaluations: {used.ru_utime + used.ru_stime:.1f} CPU "
            f"seconds ({used.ru_stime:.1f} in the system), {used.ru_maxrss / 1e6:.2f} GB; said "
            f"before: {errors.splitlines()[0]}"
        )
