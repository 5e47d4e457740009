"""The whole grid through both engines, in folders of their own."""

import json
import os
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from tests.project import call, copy_project

pytestmark = pytest.mark.slow

METHODS = "methods: [identity, classical, regression, ir-sde+l2]"
COST = {"cost.json", "cost.md", "index.html", "SHA256SUMS"}


def smaller_project(folder: Path) -> Path:
    """A project whose smoke profile has a tuned and a trained method only."""
    copy_project(folder)
    profile = folder / "workflow/config/smoke.yaml"
    text = profile.read_text()
    assert text.count(METHODS) == 1
    profile.write_text(text.replace(METHODS, "methods: [classical, ir-sde+l2]"))
    call(folder, "irsde", "plan", "--profile", "smoke")
    return folder


@pytest.fixture(scope="module")
def by_snakemake(tmp_path_factory):
    folder = smaller_project(tmp_path_factory.mktemp("snakemake"))
    call(folder, "snakemake", "--cores", "8", "reports/tables.md")
    return folder


@pytest.fixture(scope="module")
def by_dvc(tmp_path_factory):
    folder = smaller_project(tmp_path_factory.mktemp("dvc"))
    call(folder, "dvc", "repro", "--quiet")
    return folder


def files(folder: Path, *parts: str) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for part in parts
        for path in sorted((folder / part).rglob("*"))
        if path.is_file()
        and path.name not in {*COST, ".snakemake_timestamp"}
        and "checkpoint" not in path.parts
    }


def test_both_engines_give_the_same_files(by_snakemake, by_dvc):
    parts = ("data/prepared", "data/leakage", "results/smoke", "reports")
    ours, theirs = files(by_snakemake, *parts), files(by_dvc, *parts)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []


def test_the_tables_have_every_task_and_method(by_snakemake):
    text = (by_snakemake / "reports/tables.md").read_text()
    for words in ("## Denoising", "## Super-resolution", "Non-local means", "IR-SDE + l2", "ddim"):
        assert words in text
    assert "LPIPS is n/a" in text
    assert "nan" not in text


def test_a_second_call_of_snakemake_does_nothing(by_snakemake):
    assert "Nothing to be done" in call(by_snakemake, "snakemake", "--cores", "2")


def test_a_second_call_of_dvc_does_nothing(by_dvc):
    lines = call(by_dvc, "dvc", "repro").splitlines()
    assert [line for line in lines if line.startswith("Running")] == ["Running stage 'state':"]


def test_a_changed_setting_reruns_what_depends_on_it_and_nothing_else(by_snakemake):
    profile = by_snakemake / "workflow/config/smoke.yaml"
    before = profile.read_text()
    profile.write_text(before.replace("{norm: l2}", "{norm: l2, batch: 3}"))
    full = call(by_snakemake, "snakemake", "--cores", "2", "--dry-run")
    profile.write_text(before)
    jobs = [line.split() for line in full.splitlines()]
    counts = {line[0]: int(line[1]) for line in jobs if len(line) == 2 and line[1].isdigit()}
    assert counts["train"] == 2
    assert counts["evaluate"] == 5  # those of the sweep too
    assert counts["report"] == 1
    assert "tune" not in counts
    assert not counts.keys() & {"fetch", "prepare", "check"}


def test_dvc_shows_metrics_and_plots(by_dvc):
    assert "reports/metrics.json" in call(by_dvc, "dvc", "metrics", "show")
    call(by_dvc, "dvc", "plots", "show")
    assert (by_dvc / "dvc_plots/index.html").stat().st_size > 1000


def test_every_stage_is_a_run_of_mlflow_nested_in_its_task(by_snakemake):
    with sqlite3.connect(by_snakemake / "results/mlflow.db") as store:
        rows = store.execute(
            "select t.value, count(*) from tags t join runs r using (run_uuid) "
            "where t.key = 'stage' and r.lifecycle_stage = 'active' group by t.value"
        ).fetchall()
        metrics = store.execute("select count(*) from metrics where key = 'psnr'").fetchone()[0]
    assert dict(rows) == {"task": 2, "train": 4, "evaluate": 7, "report": 1}
    assert metrics == 7


def test_syncing_finds_everything_logged_already(by_snakemake):
    assert "0 logged, 12 already there" in call(by_snakemake, "irsde", "track", "sync")


def test_the_workflow_lints(by_snakemake):
    assert "Congratulations" in call(by_snakemake, "snakemake", "--lint")


def test_a_wrong_profile_stops_snakemake_with_one_line(by_snakemake):
    output = call(by_snakemake, "snakemake", "--cores", "1", "--config", "profile=none", code=1)
    assert "no profile 'none'" in output
    assert "Traceback" not in output


def test_a_warning_to_the_whole_job_ends_in_a_checkpoint_and_another_try(tmp_path):
    folder = copy_project(tmp_path)
    profile = folder / "workflow/config/smoke.yaml"
    profile.write_text(profile.read_text().replace("iterations: 6", "iterations: 1500"))
    run = folder / "results/smoke/denoising/ir-sde+l2/seed0"
    card = run.relative_to(folder) / "run.json"
    job = subprocess.Popen(
        ["snakemake", "--cores", "1", "--retries", "1", str(card)],
        cwd=folder, start_new_session=True, text=True,
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
    assert json.loads((folder / card).read_text())["iterations"] == 1500
    log = folder / "logs/smoke/denoising/ir-sde+l2/seed0/train.log"
    assert "resumed at" in log.read_text()


def test_forcing_the_data_keeps_what_lies_there(by_snakemake):
    """Snakemake deletes outputs before it runs a rule; an adopted set could not be had again."""
    card = by_snakemake / "data/photographs-test/dataset.json"
    content = json.loads(card.read_text()) | {"label": "adopted by hand"}
    card.write_text(json.dumps(content))
    call(by_snakemake, "snakemake", "--cores", "1", "-F", "data/photographs-test/dataset.json")
    assert json.loads(card.read_text()) == content
