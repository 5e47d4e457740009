"""A job that fails where earlier results of it are: they stay, and Snakemake makes it again."""

import json
import stat
from pathlib import Path

import pytest

from tests.project import call, copy_project, prepare_task

RUN = "results/smoke/denoising/identity/seed0/run.json"
SNAKEMAKE = ("snakemake", "--cores", "1", RUN)


@pytest.mark.slow
def test_a_failed_job_is_made_again_although_its_earlier_results_are_there(tmp_path, monkeypatch):
    monkeypatch.chdir(copy_project(tmp_path))
    prepare_task("smoke", "denoising")
    call(tmp_path, *SNAKEMAKE)
    before = Path(RUN).read_bytes()
    profile = Path("workflow/config/smoke.yaml")
    profile.write_text(profile.read_text().replace("window: 32", "window: 40"))
    prepare_task("smoke", "denoising")
    failing = tmp_path / "failing/irsde"
    failing.parent.mkdir()
    failing.write_text("#!/bin/sh\nexit 1\n")
    failing.chmod(failing.stat().st_mode | stat.S_IXUSR)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(failing.parent), prepend=":")
        call(tmp_path, *SNAKEMAKE, "--retries", "1", code=1)
    assert Path(RUN).read_bytes() == before
    call(tmp_path, *SNAKEMAKE)
    settings = json.loads(Path(RUN).read_text())["settings"]
    assert settings["data"]["window"] == 40
    assert "Nothing to be done" in call(tmp_path, *SNAKEMAKE)
    log = Path("logs/smoke/denoising/identity/seed0/tune.log").read_text()
    assert log.count(": attempt 1\n") == 3
    assert log.count(": attempt 2\n") == 1
