"""A small grid on that Slurm: its project, a call of Snakemake, and what its training does."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from irsde.experiment.grid import PROGRESS
from irsde.machine.attempt import Attempt, attempts
from irsde.machine.signals import STOPPED_EXIT_CODE
from tests.project import call, copy_project, prepare_task

SNAKEMAKE = ("snakemake", "--workflow-profile", "workflow/profiles/slurm")
QUICK = ("--slurm-init-seconds-before-status-checks", "15", "--latency-wait", "20")
RUN = Path("results/smoke/denoising/ir-sde+l2/seed0")
LOGS = Path("logs/smoke/denoising/ir-sde+l2/seed0")
STEP = 40  # iterations from one report of a training to the next
PROFILE = (
    ("tasks: [denoising, super-resolution]", "tasks: [denoising]"),
    ("[identity, classical, regression, ir-sde+l2]", "METHODS"),
    ("iterations: 6", "iterations: ITERATIONS"),
    ("checkpoint_every: 2", "checkpoint_every: 100"),
    ("validate_every: 3", f"validate_every: {STEP}"),
)


def project(folder: Path, methods: str, iterations: int = 400) -> Path:
    """A project whose grid is one task, with its data sets fetched, prepared and checked."""
    copy_project(folder)
    profile = folder / "workflow/config/smoke.yaml"
    text = profile.read_text()
    for before, after in PROFILE:
        assert text.count(before) == 1
        text = text.replace(before, after)
    profile.write_text(text.replace("METHODS", methods).replace("ITERATIONS", str(iterations)))
    call(folder, "irsde", "plan", "--profile", "smoke")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        prepare_task("smoke", "denoising")
    return folder


def unprepared(folder: Path) -> Path:
    """The project without its check and two prepared sets, which are an array job together."""
    for name in ("train", "validation"):
        shutil.rmtree(folder / f"data/prepared/smoke/denoising/photographs-{name}")
    shutil.rmtree(folder / "data/leakage")
    return folder


class Grid:
    """A call of Snakemake on the cluster, and what its training does meanwhile."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = folder / "snakemake.txt"
        with self.output.open("a") as output:
            self.process = subprocess.Popen(
                [*SNAKEMAKE, *QUICK, "reports/tables.md"],
                cwd=folder, start_new_session=True, stdout=output, stderr=subprocess.STDOUT,
                env={**os.environ, "IRSDE_LPIPS_WEIGHTS": ""},
            )  # fmt: skip

    def kill(self) -> None:
        """End it as a dead submit host does."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def succeeds(self) -> None:
        """Wait for its end, which is a good one."""
        self.wait_until(lambda: self.process.poll() is not None)
        assert self.process.returncode == 0, self.said()

    def said(self) -> str:
        """The end of its output, and the log of the training."""
        return self.output.read_text()[-5000:] + self.log()

    def log(self) -> str:
        """What all attempts at the training wrote."""
        log = self.folder / LOGS / "train.log"
        return log.read_text() if log.is_file() else ""

    def wait_for(self, what: Callable[[], bool]) -> None:
        """Wait until something is so, while Snakemake runs."""
        self.wait_until(lambda: what() or self.process.poll() is not None)
        assert self.process.poll() is None, self.said()

    def wait_until(self, what: Callable[[], bool], seconds: float = 300) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.1)

    def attempts(self, job: str = "train") -> list[Attempt]:
        """Those of the training, or of another job of its run."""
        return attempts(self.folder / LOGS / f"{job}.log")

    def trains(self, count: int) -> bool:
        """Whether so many attempts have begun, and the last one got past that many reports."""
        file = self.folder / RUN / PROGRESS
        found = self.attempts()
        if len(found) < count or found[-1].code is not None or not file.is_file():
            return False
        report = json.loads(file.read_text())
        is_its_own = report["time"] > found[-1].started.timestamp() + 1
        return is_its_own and report["iteration"] >= count * STEP

    def stops(self, count: int) -> bool:
        """Whether attempt `count` ended at a checkpoint and Slurm is to start the job again."""
        last = self.attempts()[count - 1]
        return last.code == STOPPED_EXIT_CODE and last.again

    def name_of_jobs(self) -> str:
        """What Snakemake calls its jobs."""
        (name,) = set(re.findall(r"SLURM run ID: (\S+)", self.output.read_text()))
        return name


def start_at_once(job: str) -> bool:
    """Spare a requeued job the two minutes that Slurm waits; False while it cannot be."""
    update = ["scontrol", "update", f"JobId={job}", "StartTime=now"]
    state = subprocess.run(
        ["squeue", "-h", "-j", job, "-o", "%T"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return state == "PENDING" and subprocess.run(update, check=False).returncode == 0


def submissions() -> int:
    """How many jobs Slurm's accounting knows; an array is one."""
    rows = subprocess.run(
        ["sacct", "-X", "-n", "-P", "-o", "JobID"], capture_output=True, text=True, check=True
    ).stdout.split()
    return len({row.partition("_")[0] for row in rows})
