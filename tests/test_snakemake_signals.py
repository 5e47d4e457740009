"""A cluster's warning to a whole job of Snakemake."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.preloaded import SCRIPTS
from tests.project import copy_project, search_path


@pytest.mark.slow
def test_a_warning_to_the_whole_job_ends_in_a_checkpoint_and_another_try(tmp_path):
    folder = copy_project(tmp_path)
    profile = folder / "workflow/config/smoke.yaml"
    profile.write_text(profile.read_text().replace("iterations: 6", "iterations: 300"))
    run = folder / "results/smoke/denoising/ir-sde+l2/seed0"
    card = run.relative_to(folder) / "run.json"
    job = subprocess.Popen(
        [Path(SCRIPTS, "snakemake"), "--cores", "1", "--retries", "1", str(card)],
        cwd=folder, start_new_session=True, text=True, env={**os.environ, "PATH": search_path()},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 240
        while not (run / "training.csv").is_file() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert (run / "training.csv").is_file()
        os.killpg(job.pid, signal.SIGUSR1)
        output = job.communicate(timeout=240)[0]
    finally:
        if job.poll() is None:
            os.killpg(job.pid, signal.SIGKILL)
    assert job.returncode == 0, output
    assert "Trying to restart job" in output
    assert json.loads((folder / card).read_text())["iterations"] == 300
    log = folder / "logs/smoke/denoising/ir-sde+l2/seed0/train.log"
    assert "resumed at" in log.read_text()
