"""What can be seen of a training: status from files, MLflow beside it, locks, predictions."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient  # noqa: TID253

from irsde.audit.status import standings, table
from irsde.experiment.grid import PROGRESS, Run
from irsde.experiment.profile import load_profile, run_settings
from irsde.files import InputError, write_json
from irsde.machine.signals import StoppedError
from irsde.tracking.store import SAME_START, Tracker, sync, tracking_uri
from irsde.training import prediction
from irsde.training.prediction import overview, predict
from irsde.training.run import train
from tests.project import PROJECT, call, copy_project, prepare_task, search_path

TASK = "denoising"
RUN = Run("smoke", TASK, "ir-sde+l2", 0)


@pytest.fixture
def project(tmp_path, monkeypatch):
    copy_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    prepare_task("smoke", TASK)
    return tmp_path


def settings(**changes):
    resolved = run_settings(load_profile("smoke"), TASK, RUN.method, 0)
    training = resolved.training.model_copy(update=changes)
    return resolved.model_copy(update={"training": training})


def stored_runs():
    client = MlflowClient(tracking_uri())
    experiment = client.get_experiment_by_name("smoke")
    found = client.search_runs([experiment.experiment_id], "tags.stage = 'train'")
    return client, found


def test_a_run_in_training_is_logged_as_it_grows_and_then_completed(project):
    seen = []

    def follow():
        Tracker("smoke").log_unfinished(RUN)
        client, (run,) = stored_runs()
        assert run.info.status == "RUNNING"
        seen.append(len(client.get_metric_history(run.info.run_id, "loss")))

    train(RUN, settings(), overwrite=False, follow=follow)
    assert seen == [1, 2]
    time.sleep(1.5)
    assert Tracker("smoke").log_training(RUN.folder)
    client, (run,) = stored_runs()
    assert run.info.status == "FINISHED"
    seconds = json.loads((RUN.folder / "cost.json").read_text())["seconds"]  # of work, not of logs
    assert run.info.end_time - run.info.start_time == pytest.approx(1000 * seconds, abs=SAME_START)
    assert run.info.end_time < 1000 * ((RUN.folder / "run.json").stat().st_mtime + 1)
    assert len(client.get_metric_history(run.info.run_id, "loss")) == 2
    assert [f.path for f in client.list_artifacts(run.info.run_id, "validation")]


def follower(project, **variables):
    return subprocess.Popen(
        ["irsde", "track", "follow", "--profile", "smoke"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=project,
        env={**os.environ, "PATH": search_path(), "PYTHONPATH": str(PROJECT), **variables},
    )  # fmt: skip


def ended(process):
    assert process.stdout.readline() == "smoke: followed, until stopped\n"
    process.send_signal(signal.SIGTERM)
    return process.communicate(timeout=120)[0]


def test_no_stage_writes_the_store_and_one_follower_does(project):
    call(project, "irsde", "train", "--task", TASK, "--method", "identity")
    call(project, "irsde", "evaluate", "--run", f"results/smoke/{TASK}/identity/seed0")
    assert not (project / "results/mlflow.db").exists()
    process = follower(project)
    assert "smoke: 2 logged\n" in ended(process)
    assert process.returncode == 0
    assert "0 logged, 2 already there" in call(project, "irsde", "track", "sync")


def test_what_is_known_is_not_logged_again_and_what_is_new_is(project):
    call(project, "irsde", "train", "--task", TASK, "--method", "identity")
    known = {}
    assert [sync("smoke", known=known) for _ in range(2)] == [(1, 0), (0, 0)]
    call(project, "irsde", "evaluate", "--run", f"results/smoke/{TASK}/identity/seed0")
    assert sync("smoke", known=known) == (1, 0)


def test_a_store_that_cannot_be_reached_is_told_in_one_line(project):
    call(project, "irsde", "train", "--task", TASK, "--method", "identity")
    server = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    process = follower(project, **server)
    output = ended(process)
    assert process.returncode == 2
    assert output.startswith("irsde: not logged to MLflow (")
    assert output.endswith("run irsde track sync later\n")
    assert "1 logged, 0 already there" in call(project, "irsde", "track", "sync")
    Path("results/mlflow.db").write_text("no database")
    assert "the store cannot be reached" in call(project, "irsde", "track", "sync", code=2)


def test_status_tells_waiting_running_stopped_and_finished_runs_apart(project):
    profile = load_profile("smoke")

    def state():
        return next(s for s in standings(profile) if s.run == RUN)

    assert state().state == "waiting"
    progress = {
        "iteration": 3, "iterations": 6, "patches_per_second": 12.0, "seconds_left": 7200.0,
        "validation_psnr": 21.5, "host": os.uname().nodename, "process": os.getpid(),
        "time": time.time(),
    }  # fmt: skip
    write_json(RUN.folder / PROGRESS, progress)
    assert state().state == "running"
    assert "2 h 00 min" in table(standings(profile))
    write_json(RUN.folder / PROGRESS, {**progress, "process": 2**22 + 1})
    assert state().state == "stopped"
    write_json(RUN.folder / PROGRESS, {**progress, "host": "elsewhere", "process": 1})
    assert state().state == "running"
    write_json(RUN.folder / PROGRESS, {**progress, "host": "elsewhere", "time": 0})
    assert state().state == "stopped"
    train(RUN, settings(), overwrite=False)
    assert state().state == "finished"
    assert (state().iteration, state().evaluated, state().evaluations) == (6, 0, 1)
    assert "8 runs: 1 finished" in call(project, "irsde", "status")


def test_a_run_is_trained_by_one_process_at_a_time(project):
    refusals = []

    def second():
        with pytest.raises(StoppedError, match="by another process already") as error:
            train(RUN, settings(), overwrite=False)
        refusals.append(error)

    train(RUN, settings(), overwrite=False, follow=second)
    assert len(refusals) == 2
    shutil.rmtree(RUN.folder)
    train(RUN, settings(), overwrite=False)


def test_a_prediction_trains_and_writes_nothing(project):
    predicted = predict(RUN, settings(iterations=3600, validate_every=3600))
    assert not (project / "results").exists()
    expected = predicted.speed.seconds_per_iteration + predicted.seconds_per_validation / 3600
    assert predicted.hours == pytest.approx(expected)
    assert predicted.speed.parameters > 1000
    line = call(
        project, "irsde", "train", "--task", TASK, "--method", "ir-sde", "--dry-run",
        "--profile", "smoke",
    )  # fmt: skip
    assert " s an iteration" in line
    assert "random images" not in line


def test_a_prediction_needs_no_prepared_pairs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(PROJECT / "workflow/config", tmp_path / "workflow/config")
    assert "random images" in predict(RUN, settings()).note
    resolved = run_settings(load_profile("smoke"), TASK, "identity", 0)
    with pytest.raises(InputError, match="no network to train"):
        predict(RUN, resolved)


def test_a_prediction_counts_the_pixels_that_a_validation_restores(project):
    """Of two photographs, or of a window of the first."""
    whole = predict(RUN, settings())
    part = predict(RUN, settings(validation_images=1, validation_window=16))
    pixels = [
        found.seconds_per_validation / found.speed.seconds_per_pixel for found in (whole, part)
    ]
    assert pixels == [pytest.approx(2 * 2 * 32**2), pytest.approx(2 * 16**2)]


def test_a_dry_run_of_a_profile_predicts_all_its_runs(project, monkeypatch):
    measured = []

    def here(run, its_settings):
        measured.append(run)
        return prediction.measure(run, its_settings)

    monkeypatch.setattr(prediction, "_measured_apart", here)
    profile = load_profile("smoke")
    shown = overview(profile)
    assert [(run.task, run.method) for run in measured] == [
        ("denoising", "regression"),  # degrades every patch anew, super-resolution does not
        ("denoising", "ir-sde+l2"),
        ("super-resolution", "regression"),
        ("super-resolution", "ir-sde+l2"),
    ]
    bench = load_profile("bench")
    alike, other = (
        {prediction._key(run_settings(bench, task, "ir-sde", seed)) for task, seed in runs}
        for runs in ((("deraining", 0), ("dehazing", 1)), (("denoising", 0),))
    )
    assert len(alike) == 1
    assert alike != other
    for name in ("denoising", "super-resolution"):
        assert f"{name}/regression" in shown
        assert f"{name}/ir-sde+l2" in shown
    assert "4 runs on cpu" in shown
    assert "super-resolution/regression" not in overview(profile, method="ir-sde+l2")
    with pytest.raises(InputError, match="no run of identity with a network"):
        overview(profile, method="identity")
    assert "2 runs on" in call(
        project, "irsde", "train", "--dry-run", "--profile", "smoke", "--task", TASK
    )
    assert "give --task and --method" in call(project, "irsde", "train", "--task", TASK, code=2)


def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_calibration_that_is_killed_gives_one_line(project, monkeypatch):
    monkeypatch.setattr(prediction, "measure", killed)
    with pytest.raises(InputError, match="denoising/regression: the calibration was killed"):
        overview(load_profile("smoke"), TASK, "regression")


def test_processes_share_a_training_and_images_as_the_profile_says(project):
    profile = project / "workflow/config/smoke.yaml"
    profile.write_text(profile.read_text().replace("batch: 2\n", "batch: 2\n  processes: 2\n"))
    out = call(project, "irsde", "train", "--task", TASK, "--method", "regression")
    assert "trained" in out
    run = "results/smoke/denoising/regression/seed0"
    assert json.loads((project / run / "run.json").read_text())["processes"] == 2
    evaluate = ("irsde", "evaluate", "--run", run)
    assert "over 4 images" in call(project, *evaluate)
    folder = next((project / "results").rglob("per_image.csv")).parent
    files = [folder / "per_image.csv", *sorted((folder / "images").iterdir())]
    assert len(files) == 3
    before = {file: file.read_bytes() for file in files}
    profile.write_text(profile.read_text().replace("  batch: 3", "  batch: 3\n  processes: 2"))
    assert "over 4 images" in call(project, *evaluate)
    assert {file: file.read_bytes() for file in files} == before


def test_a_stopped_training_ends_with_the_code_that_asks_for_another_try(project):
    profile = project / "workflow/config/smoke.yaml"
    profile.write_text(profile.read_text().replace("iterations: 6", "iterations: 100000"))
    process = subprocess.Popen(
        ["irsde", "train", "--task", TASK, "--method", "ir-sde"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=project,
        env={**os.environ, "PATH": search_path(), "PYTHONPATH": str(PROJECT)},
    )  # fmt: skip
    folder = project / "results/smoke/denoising/ir-sde/seed0"
    deadline = time.monotonic() + 60
    while not (folder / "training.csv").is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGUSR1)
    output = process.communicate()[0]
    assert process.returncode == 75, output
    assert "Traceback" not in output
    assert "the same command goes on from its last checkpoint" in output
