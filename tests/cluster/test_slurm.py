"""A small grid on a real Slurm of two nodes, disturbed in every way: it equals a local run."""

import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from irsde.machine.signals import STOPPED_EXIT_CODE
from tests.cluster.grid import SNAKEMAKE, Grid, project, start_at_once, submissions, unprepared
from tests.project import call, hashes

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def test_a_grid_that_is_disturbed_equals_a_local_one(slurm, tmp_path):
    methods = "[classical, ir-sde+l2]"
    local = project(tmp_path / "local", methods)
    cluster = unprepared(project(tmp_path / "cluster", methods))
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(call, local, "snakemake", "--cores", "1", "reports/tables.md")
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
            subprocess.run(["scancel", "--name", grid.name_of_jobs()], check=True)
            grid.wait_until(lambda: grid.attempts()[2].code == STOPPED_EXIT_CODE)
            assert not grid.attempts()[2].again
            call(cluster, *SNAKEMAKE, "--unlock")
            grid = Grid(cluster)
            grid.succeeds()
        finally:
            grid.kill()
        made.result()
    assert hashes(cluster) == hashes(local)
    found = grid.attempts()
    assert [one.job == job for one in found] == [True, True, True, False]
    assert grid.log().count("resumed at") == 1  # the last attempt's; the others were stopped
    assert submissions() == 6  # data sets, the check, two runs, one of them again, the report
