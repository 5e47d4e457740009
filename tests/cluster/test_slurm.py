"""A small grid on a real Slurm of two nodes, disturbed in every way: it equals a local run."""

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
from tests.project import PROJECT, call, copy_project

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

SCRIPT = PROJECT / "tests/cluster/slurm.sh"
COMMANDS = ("slurmctld", "slurmd", "slurmdbd", "munged", "mariadbd", "sbatch")
SNAKEMAKE = ("snakemake", "--workflow-profile", "workflow/profiles/slurm")
QUICK = ("--slurm-init-seconds-before-status-checks", "5", "--latency-wait", "20")
RUN = Path("results/smoke/denoising/ir-sde+l2/seed0")
LOG = Path("logs/smoke/denoising/ir-sde+l2/seed0/train.log")
PROFILE = (
    ("tasks: [denoising, super-resolution]", "tasks: [denoising]"),
    ("[identity, classical, regression, ir-sde+l2]", "[classical, ir-sde+l2]"),
    ("iterations: 6", "iterations: 1500"),
    ("checkpoint_every: 2", "checkpoint_every: 500"),
    ("validate_every: 3", "validate_every: 500"),
)


@pytest.fixture
def slurm(tmp_path_factory, monkeypatch):
    """A running cluster, which ends with the test."""
    if os.geteuid() != 0 or os.environ.get("CI") != "true":
        pytest.skip("writes into /etc/slurm: as root with CI=true only")
    if absent := [name for name in COMMANDS if shutil.which(name) is None]:
        pytest.skip(f"{', '.join(absent)}: not installed")
    folder = tmp_path_factory.mktemp("slurm")
    monkeypatch.delenv("SLURM_CONF", raising=False)
    try:
        subprocess.run(["bash", SCRIPT, "start", folder], check=True, timeout=180)
        yield folder
    finally:
        subprocess.run(["bash", SCRIPT, "stop", folder], check=True, timeout=180)


def project(folder: Path) -> Path:
    """A project whose grid is one task, a tuned and a trained method."""
    copy_project(folder)
    profile = folder / "workflow/config/smoke.yaml"
    text = profile.read_text()
    for before, after in PROFILE:
        assert text.count(before) == 1
        text = text.replace(before, after)
    profile.write_text(text)
    call(folder, "irsde", "plan", "--profile", "smoke")
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

    def wait_for(self, what: Callable[[], bool]) -> None:
        """Wait until something is so, while Snakemake runs."""
        self.wait_until(lambda: what() or self.process.poll() is not None)
        assert self.process.poll() is None, self.output.read_text()[-5000:]

    def wait_until(self, what: Callable[[], bool]) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + 240
        while not what():
            assert time.monotonic() < deadline, self.output.read_text()[-5000:] + self.log()
            time.sleep(0.2)

    def log(self) -> str:
        log = self.folder / LOG
        return log.read_text() if log.is_file() else ""

    def attempts(self) -> list[Attempt]:
        return attempts(self.folder / LOG)

    def trains(self, count: int) -> bool:
        """Whether so many attempts have begun, and the last one has made updates."""
        file = self.folder / RUN / PROGRESS
        found = self.attempts()
        if len(found) < count or found[-1].code is not None or not file.is_file():
            return False
        since = json.loads(file.read_text())["time"]
        return since > found[-1].started.timestamp() + 1

    def stops(self, count: int) -> bool:
        """Whether attempt `count` ended at a checkpoint and Slurm is to start the job again."""
        last = self.attempts()[count - 1]
        return last.code == STOPPED_EXIT_CODE and last.again


def start_at_once(job: str) -> bool:
    """Spare a requeued job the two minutes that Slurm waits; False while it cannot be."""
    update = ["scontrol", "update", f"JobId={job}", "StartTime=now"]
    state = subprocess.run(
        ["squeue", "-h", "-j", job, "-o", "%T"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return state == "PENDING" and subprocess.run(update, check=False).returncode == 0


def test_a_grid_that_is_disturbed_equals_a_local_one(slurm, tmp_path):
    local, cluster = project(tmp_path / "local"), project(tmp_path / "cluster")
    grid = Grid(cluster)
    try:
        grid.wait_for(lambda: grid.trains(1))
        job = grid.attempts()[0].job
        subprocess.run(["scancel", "--signal=USR1", job], check=True)
        grid.wait_for(lambda: grid.stops(1))
        grid.wait_for(lambda: start_at_once(job))
        grid.wait_for(lambda: grid.trains(2))
        subprocess.run(["scontrol", "requeue", job], check=True)
        grid.wait_for(lambda: grid.stops(2))
        grid.wait_for(lambda: start_at_once(job))
        grid.wait_for(lambda: grid.trains(3))
        grid.kill()
        (name,) = set(re.findall(r"SLURM run ID: (\S+)", grid.output.read_text()))
        subprocess.run(["scancel", "--name", name], check=True)
        grid.wait_until(lambda: grid.attempts()[2].code == STOPPED_EXIT_CODE)
        assert not grid.attempts()[2].again
        call(cluster, *SNAKEMAKE, "--unlock")
        grid = Grid(cluster)
        grid.process.wait(timeout=600)
        assert grid.process.returncode == 0, grid.output.read_text()[-5000:]
    finally:
        grid.kill()
    call(local, "snakemake", "--cores", "2", "reports/tables.md")
    for name in ("reports/tables.md", RUN / "weights.safetensors", RUN / "training.csv"):
        assert (cluster / name).read_bytes() == (local / name).read_bytes()
    assert grid.log().count("resumed at") == 1  # the last attempt's; the others were stopped
    assert {one.job for one in grid.attempts()[:3]} == {job}
