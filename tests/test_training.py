"""Training: resuming to the same bits, fair streams, refusals."""

import itertools
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from irsde.config import TrainingSettings, load_profile, run_settings
from irsde.evaluation import evaluate
from irsde.files import InputError
from irsde.plan import Evaluation, Run
from irsde.training import learning_rate, train
from tests.project import prepare_task

PROJECT = Path(__file__).resolve().parents[1]
TASK = "denoising"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with the smoke profile and its prepared denoising pairs."""
    shutil.copytree(PROJECT / "workflow/config", tmp_path / "workflow/config")
    (tmp_path / "data").mkdir()
    shutil.copy(PROJECT / "data/catalogue.yaml", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    prepare_task("smoke", TASK)
    return tmp_path


def settings(method, **changes):
    resolved = run_settings(load_profile("smoke"), TASK, method, 0)
    training = resolved.training.model_copy(update=changes)
    return resolved.model_copy(update={"training": training})


def run(method="ir-sde", seed=0):
    return Run("smoke", TASK, method, seed)


def results(folder):
    return {name: (folder / name).read_bytes() for name in ("weights.safetensors", "training.csv")}


@pytest.mark.parametrize("method", ["ir-sde", "regression", "ddpm", "goub", "flow"])
def test_two_trainings_give_the_same_bits(project, method):
    train(run(method), settings(method), overwrite=False)
    first = results(run(method).folder)
    shutil.rmtree(run(method).folder)
    train(run(method), settings(method), overwrite=False)
    assert results(run(method).folder) == first


@pytest.mark.parametrize(
    "method", ["i2sb", "resshift", "indi", "ir-sde-noise", "denoising-ode", "denoising-sde"]
)
def test_every_method_trains(project, method):
    assert "trained" in train(run(method), settings(method, iterations=2), overwrite=False)
    card = json.loads((run(method).folder / "run.json").read_text())
    assert np.isfinite(card["final_validation_psnr"])


def test_denoising_starts_at_the_noise_level_and_allows_no_more_steps_than_that(project):
    train(run("denoising-ode"), settings("denoising-ode", iterations=2), overwrite=False)
    recipe = load_profile("smoke").evaluation
    for noise_level, nfe in (("known", 22), ("known", 5), ("estimated", 22)):
        evaluation = Evaluation(run("denoising-ode"), "photographs-test", "probability-flow", nfe)
        evaluate(evaluation, recipe.model_copy(update={"noise_level": noise_level}))
        spent = pd.read_csv(evaluation.folder / "per_image.csv")["nfe"]
        assert (spent <= nfe).all()
        assert (spent == nfe).all() or noise_level == "estimated"
    with pytest.raises(InputError, match="at step 22"):
        evaluate(
            Evaluation(run("denoising-ode"), "photographs-test", "probability-flow", 23), recipe
        )


def test_a_method_refuses_a_task_it_is_not_made_for(project):
    with pytest.raises(InputError, match="n/a, Denoising-ODE is made for denoising only"):
        run_settings(load_profile("smoke"), "deraining", "denoising-ode", 0)


def test_a_killed_training_resumes_to_the_bits_of_an_undisturbed_one(project):
    """SIGKILL at several moments, then a run to the end; checkpoints every second iteration."""
    whole = settings("ir-sde", iterations=40, validate_every=7)
    train(run(), whole, overwrite=False)
    undisturbed = results(run().folder)
    shutil.rmtree(run().folder)
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); "
        "from tests.test_training import *; "
        "train(run(), settings('ir-sde', iterations=40, validate_every=7), overwrite=False)"
    )
    checkpoint = run().folder / "checkpoint/state.safetensors"
    kills = 0
    for _ in range(3):
        before = checkpoint.stat().st_mtime_ns if checkpoint.is_file() else 0
        child = subprocess.Popen(
            [sys.executable, "-c", script, str(PROJECT)], stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 60
        while child.poll() is None and time.monotonic() < deadline:
            if checkpoint.is_file() and checkpoint.stat().st_mtime_ns != before:
                child.send_signal(signal.SIGKILL)
                break
            time.sleep(0.002)
        kills += child.wait() == -signal.SIGKILL
        assert not (run().folder / "run.json").is_file() or child.returncode == 0
    assert kills > 0
    assert "resumed" in train(run(), whole, overwrite=False)
    assert results(run().folder) == undisturbed


def test_a_finished_run_is_left_alone(project):
    train(run(), settings("ir-sde"), overwrite=False)
    weights = run().folder / "weights.safetensors"
    written = weights.stat().st_mtime_ns
    assert "up to date" in train(run(), settings("ir-sde"), overwrite=False)
    assert weights.stat().st_mtime_ns == written


def test_another_configuration_is_refused_and_nothing_overwritten(project):
    train(run(), settings("ir-sde"), overwrite=False)
    before = results(run().folder)
    with pytest.raises(InputError, match="another configuration"):
        train(run(), settings("ir-sde", learning_rate=0.1), overwrite=False)
    (run().folder / "run.json").unlink()
    with pytest.raises(InputError, match="checkpoint of another configuration"):
        train(run(), settings("ir-sde", learning_rate=0.1), overwrite=False)
    assert results(run().folder) == before
    train(run(), settings("ir-sde", learning_rate=0.1), overwrite=True)
    assert results(run().folder) != before


def test_a_damaged_checkpoint_is_refused(project):
    train(run(), settings("ir-sde"), overwrite=False)
    (run().folder / "run.json").unlink()
    checkpoint = run().folder / "checkpoint/state.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(InputError, match="damaged checkpoint"):
        train(run(), settings("ir-sde"), overwrite=False)


def test_diverging_training_stops_with_the_reason(project):
    with pytest.raises(InputError, match=r"training\.learning_rate"):
        train(run(), settings("ir-sde", learning_rate=1e30, warmup=0), overwrite=False)
    assert not (run().folder / "run.json").exists()


def test_training_without_pairs_says_what_to_run(tmp_path, monkeypatch):
    shutil.copytree(PROJECT / "workflow/config", tmp_path / "workflow/config")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="irsde data prepare"):
        train(run(), settings("ir-sde"), overwrite=False)


def test_learning_rate_schedules():
    recipe = load_recipe(learning_rate=1.0, milestones=(3, 5), warmup=0)
    assert [learning_rate(recipe, i) for i in range(7)] == [1, 1, 1, 0.5, 0.5, 0.25, 0.25]
    recipe = load_recipe(
        learning_rate=1.0, learning_rate_schedule="cosine", iterations=10, warmup=2
    )
    rates = [learning_rate(recipe, i) for i in range(10)]
    assert rates[0] == 0.5
    assert all(a > b for a, b in itertools.pairwise(rates[1:]))


def load_recipe(**changes):
    base = {
        "iterations": 10,
        "batch": 1,
        "patch": 8,
        "learning_rate": 1.0,
        "checkpoint_every": 1,
        "validate_every": 1,
    }
    return TrainingSettings(**(base | changes))
