"""Where runs stand, also where their files are not what a training writes."""

import json
import os
import shutil
import socket
import time
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest
from typer.testing import CliRunner

from irsde import cli
from irsde.audit.status import standings
from irsde.experiment.grid import PROGRESS, Evaluation, Run
from irsde.experiment.options import EvaluationOptions
from irsde.experiment.profile import load_profile
from irsde.files import digest_json, write_json
from tests.fabricated import summary_of
from tests.project import PROJECT

RUN = Run("smoke", "denoising", "regression", 0)
RUNNING = {
    "iteration": 3, "iterations": 6, "patches_per_second": 12.0, "seconds_left": 0.0,
    "validation_psnr": 0.0, "host": socket.gethostname(), "process": os.getpid(),
    "time": time.time(), "device": "cpu",
}  # fmt: skip
CARD = {
    "task": RUN.task, "method": RUN.method, "seed": 0, "label": "direct regression",
    "settings": {}, "identity": {"code": "a"}, "parameters": 1, "iterations": 6,
    "final_validation_psnr": 20.5,
}  # fmt: skip


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    shutil.copytree(PROJECT / "workflow/config", tmp_path / "workflow/config")
    monkeypatch.chdir(tmp_path)


def shown():
    """Output of `irsde status`, and the line of the run in it."""
    found = CliRunner().invoke(cli.app, ["status", "--profile", "smoke"])
    assert found.exit_code == 0, found.output + repr(found.exception)
    lines = found.stdout.splitlines()
    return found.stdout, next(line for line in lines if line.startswith("denoising/regression/"))


def test_numbers_that_are_zero_are_shown():
    write_json(RUN.folder / PROGRESS, RUNNING)
    assert shown()[1].split()[1:] == ["running", "3/6", "12", "0", "min", "0.00", "0/1"]


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{}",
        "not JSON",
        '"text"',
        *(
            json.dumps({**RUNNING, **changes})
            for changes in (
                {"host": 5},
                {"process": 0},
                {"process": "12"},
                {"iteration": "3"},
                {"iteration": None},
                {"seconds_left": float("nan")},
                {"seconds_left": float("inf")},
                {"time": None, "host": "elsewhere"},
                {"validation_psnr": []},
            )
        ),
    ],
)
def test_a_foreign_progress_file_is_one_line_and_the_other_runs_are_shown(content):
    path = RUN.folder / PROGRESS
    path.parent.mkdir(parents=True)
    path.write_text(content)
    output, line = shown()
    assert line.split()[1] == "damaged"
    assert "8 runs: 0 finished, 0 running, 0 stopped, 7 waiting, 1 damaged" in output
    assert output.splitlines()[-1].startswith(f"{path}: ")
    assert "Traceback" not in output


def test_a_damaged_card_is_one_line_too():
    write_json(RUN.folder / "run.json", {"task": 1})
    output, line = shown()
    assert line.split()[1] == "damaged"
    reason = "not a run card of this version: task: input should be a valid string"
    assert output.splitlines()[-1] == f"{RUN.folder / 'run.json'}: {reason}"


def test_evaluations_of_an_earlier_training_do_not_count():
    evaluation = Evaluation(RUN, "photographs-test", EvaluationOptions("direct", 1))
    write_json(RUN.folder / "run.json", CARD)
    summary = evaluation.folder / "summary.json"
    for of_run, counted in ((CARD["identity"], "1/1"), ({"code": "b"}, "0/1")):
        write_json(summary, summary_of("regression", run_identity=digest_json(of_run)))
        assert shown()[1].split()[1:] == ["finished", "6/6", "20.50", counted]
    summary.write_text("[]")
    assert shown()[1].endswith("0/1")


def test_runs_beside_the_grid_are_shown_when_they_come_from_another():
    derived = {**CARD, "derived_from": RUN.folder.as_posix()}
    write_json(RUN.folder / "run.json", CARD)
    for method, card in (("regression+old", CARD), ("regression+width0.1", derived)):
        write_json(Run("smoke", RUN.task, method, 0).folder / "run.json", card)
    training = Run("smoke", RUN.task, "regression+to12", 0).folder / PROGRESS
    write_json(training, {**RUNNING, "derived_from": RUN.folder.as_posix()})
    beside = [s for s in standings(load_profile("smoke")) if "+" in s.run.method]
    assert [(s.run.method, s.state) for s in beside if s.run.task == RUN.task] == [
        ("ir-sde+l2", "waiting"),
        ("regression+to12", "running"),
        ("regression+width0.1", "finished"),
    ]


LOG = Path("logs/smoke/denoising/regression/seed0/train.attempts.log")
MARK = Path(".snakemake/incomplete") / urlsafe_b64encode(f"{RUN.folder}/run.json".encode()).decode()


def log_attempt(code: int, again: str = "") -> None:
    """A log as an attempt elsewhere leaves it."""
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with LOG.open("a") as log:
        log.write("== 2026-01-02 03:04:05 UTC, n1, process 7: attempt 1 of Slurm job 12\n")
        log.write(f"== 2026-01-02 04:04:05 UTC, n1, process 7: ended with {code}{again}\n")


def test_a_failed_job_is_shown_with_its_log_until_snakemake_submits_it_again():
    log_attempt(1)
    output, line = shown()
    assert line.split()[1] == "failed"
    assert (
        output.splitlines()[-1]
        == f"denoising/regression/seed0: ended with 1, see {LOG.parent}/train.log"
    )
    MARK.parent.mkdir(parents=True)
    MARK.write_text("{}")
    output, line = shown()
    assert line.split()[1] == "queued"
    assert "1 queued" in output
    assert "failed" not in output


def test_a_stopped_job_is_told_from_one_that_slurm_starts_again():
    log_attempt(75)
    assert shown()[1].split()[1] == "stopped"
    log_attempt(75, ", Slurm starts the job again")
    assert shown()[1].split()[1] == "requeued"
    with LOG.open("a") as log:
        log.write(f"== 2026-01-02 05:04:05 UTC, {socket.gethostname()}, process {os.getpid()}: ")
        log.write("attempt 1 of Slurm job 12\n")
    assert shown()[1].split()[1] == "running"


def test_a_training_that_goes_on_by_hand_is_running_although_its_job_failed():
    log_attempt(1)
    write_json(RUN.folder / PROGRESS, RUNNING | {"time": 1.0})
    assert shown()[1].split()[1:3] == ["failed", "3/6"]
    write_json(RUN.folder / PROGRESS, RUNNING)
    output, line = shown()
    assert line.split()[1] == "running"
    assert "failed" not in output


def test_a_failed_evaluation_of_a_finished_run_is_named():
    write_json(RUN.folder / "run.json", CARD)
    log_attempt(1)
    LOG.rename(LOG.with_name("evaluate.attempts.log"))
    output, line = shown()
    assert line.split()[1] == "finished"
    assert output.splitlines()[-1].endswith(f"ended with 1, see {LOG.with_name('evaluate.log')}")
