"""What else happens to a grid on a real Slurm; CI does not call it: pytest -m cluster_long."""

import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from irsde.machine.signals import STOPPED_EXIT_CODE
from tests.cluster.grid import RUN, Grid, project, start_at_once, submissions
from tests.project import call, hashes

pytestmark = [pytest.mark.cluster_long, pytest.mark.slow]

IMAGES = "data/prepared/smoke/denoising/photographs-test"


def test_a_failed_evaluation_does_not_train_again(slurm, tmp_path):
    folder = project(tmp_path, "[ir-sde+l2]")
    image = next((folder / IMAGES).rglob("*.png"))
    whole = image.read_bytes()
    image.write_bytes(whole[:100])
    before = submissions()
    grid = Grid(folder)
    try:
        grid.wait_until(lambda: grid.process.poll() is not None)
        assert grid.process.returncode == 1
        tried = [one.code for one in grid.attempts("evaluate")]
        assert submissions() - before == len(tried) == 4
        assert [one.code for one in grid.attempts()] == [0, 0, 0, 0]
        assert grid.log().count(": trained") == 1
        assert grid.log().count(": up to date") == 3
        trained = (folder / RUN / "weights.safetensors").stat().st_mtime_ns
        image.write_bytes(whole)
        grid = Grid(folder)
        grid.succeeds()
    finally:
        grid.kill()
    assert (folder / RUN / "weights.safetensors").stat().st_mtime_ns == trained
    assert len(grid.attempts()) == 4
    assert [one.code for one in grid.attempts("evaluate")] == [*tried, 0]


def test_a_preempted_job_and_a_dead_node_change_no_result(slurm, tmp_path):
    methods, iterations = "[ir-sde+l2]", 6000
    local = project(tmp_path / "local", methods, iterations)
    cluster = project(tmp_path / "cluster", methods, iterations)
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(call, local, "snakemake", "--cores", "1", "reports/tables.md")
        grid = Grid(cluster)
        try:
            grid.wait_for(lambda: grid.trains(1))
            job = grid.attempts()[0].job
            urgent = ["sbatch", "-p", "urgent", "--gpus=1", "-w", node_of(job), "--wrap", "sleep 5"]
            subprocess.run(urgent, cwd=tmp_path, check=True)
            grid.wait_for(lambda: grid.stops(1))
            grid.wait_for(lambda: start_at_once(job))
            grid.wait_for(lambda: grid.trains(2))
            kill_node(slurm, node_of(job))

            def is_tried_elsewhere() -> bool:
                start_at_once(job)
                return len(grid.attempts()) > 2 and grid.attempts()[2].code is not None

            grid.wait_for(is_tried_elsewhere)
            assert grid.attempts()[2].code == STOPPED_EXIT_CODE
            assert grid.attempts()[1].code is None  # the training of the dead node goes on
            assert "is being trained by another process already" in grid.log()

            def ends() -> bool:
                start_at_once(job)
                return grid.process.poll() is not None

            grid.wait_until(ends, 900)
            assert grid.process.returncode == 0, grid.said()
        finally:
            grid.kill()
        made.result()
    assert [one.code for one in grid.attempts()[:2]] == [STOPPED_EXIT_CODE, 0]
    assert grid.log().count(": trained, resumed at") == 1
    assert ": up to date" in grid.log()
    assert hashes(cluster) == hashes(local)


def node_of(job: str) -> str:
    """The node that a job runs on."""
    return subprocess.run(
        ["squeue", "-h", "-j", job, "-o", "%N"], capture_output=True, text=True, check=True
    ).stdout.strip()


def kill_node(slurm: Path, node: str) -> None:
    """End the daemon of a node, not what runs there."""
    pids = dict(line.split() for line in (slurm / "pids").read_text().splitlines())
    os.kill(int(pids[f"slurmd-{node}"]), signal.SIGKILL)
