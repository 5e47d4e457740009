"""What a stage costs before it does anything: `irsde evaluate` of `identity` on one window.

`python -m benchmarks.stage`. Both sides are processes of one run, in turn: the evaluation, which
imports, restores, scores and writes, and `python -c 'import torch'`. Printed are the least CPU
seconds and the peak memory of each and their differences (goal: at most 1.3 s and 150 MB). Bytecode
is there already: a first call makes it.
"""

import argparse
import contextlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from tabulate import tabulate

PROJECT = Path(__file__).resolve().parents[1]
RUN = "results/one/denoising/identity/seed0"
GOAL = (1.3, 150)
QUIET = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_WRONLY, 0) for fd in (1, 2)]
SIDES = {
    "python -c 'import torch'": ["-c", "import torch"],
    "irsde evaluate, identity": ["-P", "-m", "irsde.cli", "evaluate", "--run", RUN],
}


def one_window(folder: Path) -> None:
    """A project whose test set is one window, and a finished run of `identity` in it."""
    from irsde.images import write_image
    from irsde.seeds import numpy_generator
    from tests.project import OWN, call, copy_project

    copy_project(folder)
    shutil.rmtree(folder / "irsde")  # the package that is measured is the checkout's
    (folder / "data/mine/GT").mkdir(parents=True)
    pixels = numpy_generator("window").integers(0, 256, (32, 32, 3), dtype="uint8")
    write_image(folder / "data/mine/GT/one.png", pixels)
    (folder / "data/mine/dataset.yaml").write_text("label: Mine\n")
    (folder / "workflow/config/one.yaml").write_text(OWN)
    call(folder, "irsde", "data", "fetch", "--profile", "one")
    call(folder, "irsde", "data", "prepare", "--profile", "one", "--task", "denoising")
    train = ("--profile", "one", "--task", "denoising", "--method", "identity")
    call(folder, "irsde", "train", *train)


def cost(folder: Path, arguments: list[str]) -> tuple[float, float]:
    """CPU seconds of a process and its children, and its peak memory in megabytes.

    Linux counts the memory of the process that starts another as memory of that one, so this one
    stays small.
    """
    shutil.rmtree(folder / RUN / "evaluations", ignore_errors=True)
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "IRSDE_LPIPS_WEIGHTS": ""}
    with contextlib.chdir(folder):
        process = os.posix_spawn(
            sys.executable, [sys.executable, *arguments], environment, file_actions=QUIET
        )
    _, status, used = os.wait4(process, 0)
    assert status == 0, arguments
    return used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.make:
        one_window(given.make)
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        subprocess.run([sys.executable, "-m", "benchmarks.stage", "--make", place], check=True)
        cost(folder, SIDES["irsde evaluate, identity"])
        costs = {name: [] for name in SIDES}
        for _ in range(given.rounds):
            for name, arguments in SIDES.items():
                costs[name].append(cost(folder, arguments))
    least = {name: [min(of) for of in zip(*side, strict=True)] for name, side in costs.items()}
    base, stage = least.values()
    rows = [[name, f"{seconds:.2f}", f"{memory:.0f}"] for name, (seconds, memory) in least.items()]
    rows.append(["difference", f"{stage[0] - base[0]:.2f}", f"{stage[1] - base[1]:.0f}"])
    rows.append(["goal, at most", *GOAL])
    print(f"torch {version('torch')}, Python {platform.python_version()}, least of {given.rounds}")
    print(tabulate(rows, ["", "CPU s", "MB"], disable_numparse=True))


if __name__ == "__main__":
    main()
