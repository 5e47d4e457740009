"""Training: resuming to the same bits, fair streams, refusals."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file
from typer.testing import CliRunner

from irsde.cli import app
from irsde.evaluation.evaluate import evaluate
from irsde.experiment.grid import Evaluation, Run
from irsde.experiment.options import EvaluationOptions
from irsde.experiment.profile import (
    SINCE_FIRST_RUNS,
    RunSettings,
    load_profile,
    run_settings,
)
from irsde.files import InputError, digest_json
from irsde.images import read_image
from irsde.machine import devices, launch
from irsde.machine.signals import STOPPED_EXIT_CODE, StoppedError
from irsde.machine.world import world_of_environment
from irsde.restoration.restorer import Restorer, load_restorer
from irsde.seeds import numpy_generator
from irsde.training import loop, update, validation
from irsde.training.prediction import predict
from irsde.training.run import train
from irsde.training.update import Batches, patch_at
from irsde.training.validation import Validation
from tests.project import PROJECT, recipe, search_path, settings, small_project

TASK = "denoising"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with the smoke profile and its prepared denoising pairs."""
    monkeypatch.chdir(small_project(tmp_path, TASK))
    return tmp_path


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
        evaluation = Evaluation(
            run("denoising-ode"), "photographs-test", EvaluationOptions("probability-flow", nfe)
        )
        evaluate(evaluation, recipe.model_copy(update={"noise_level": noise_level}))
        spent = pd.read_csv(evaluation.folder / "per_image.csv")["nfe"]
        assert (spent <= nfe).all()
        assert (spent == nfe).all() or noise_level == "estimated"
    with pytest.raises(InputError, match="at step 22"):
        evaluate(
            Evaluation(
                run("denoising-ode"), "photographs-test", EvaluationOptions("probability-flow", 23)
            ),
            recipe,
        )


def test_a_method_refuses_a_task_it_is_not_made_for(project):
    with pytest.raises(InputError, match="n/a, Denoising-ODE is made for denoising only"):
        run_settings(load_profile("smoke"), "deraining", "denoising-ode", 0)


CHILD = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from tests.test_training import *; "
    "train(run(), settings('ir-sde', **eval(sys.argv[2])), overwrite=False)"
)


def checkpoints():
    return sorted((run().folder / "checkpoint").glob("[0-9]*.safetensors"))


def child(**changes):
    """The command for run(), with changes of the profile's training."""
    profile = Path("workflow/config/smoke.yaml")
    content = yaml.safe_load(profile.read_text())
    content["training"] |= changes
    profile.write_text(yaml.safe_dump(content))
    command = ["irsde", "train", "--profile", "smoke", "--task", TASK, "--method", "ir-sde"]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PATH": search_path(), "PYTHONPATH": str(PROJECT)},
    )


def wait_for_a_checkpoint(process):
    before = checkpoints()
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline and checkpoints() == before:
        time.sleep(0.002)


def test_a_killed_training_resumes_to_the_bits_of_an_undisturbed_one(project):
    """SIGKILL at random moments after a checkpoint, also while one is written, then to the end."""
    changes = {"iterations": 120, "validate_every": 7, "checkpoint_every": 3}
    train(run(), settings("ir-sde", **changes), overwrite=False)
    undisturbed = results(run().folder)
    shutil.rmtree(run().folder)
    moments = numpy_generator("tests", "kills")
    kills = 0
    for _ in range(4):
        process = child(**changes)
        wait_for_a_checkpoint(process)
        time.sleep(moments.uniform(0, 0.1))
        process.kill()
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
        assert not (run().folder / "run.json").is_file() or process.returncode == 0
    assert kills > 1
    assert "resumed" in train(run(), settings("ir-sde", **changes), overwrite=False)
    assert results(run().folder) == undisturbed
    assert len(checkpoints()) == 2


def test_consistency_training_by_the_commands(project, monkeypatch):
    """Stopped and resumed to the same bits, restored by 2 evaluations and by 1."""
    training = ["train", "--profile", "smoke", "--task", TASK, "--method", "ir-sde-consistency"]
    profile = Path("workflow/config/smoke.yaml")
    profile.write_text(profile.read_text().replace("  nfe: 3\n  batch", "  batch"))
    folder, usual = run("ir-sde-consistency").folder, Batches.draw_batch

    def stopping(self, stream, iteration):
        if iteration == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return usual(self, stream, iteration)

    with monkeypatch.context() as patch:
        patch.setattr(Batches, "draw_batch", stopping)
        assert isinstance(CliRunner().invoke(app, training).exception, StoppedError)
    assert "resumed" in CliRunner().invoke(app, training).output
    resumed = results(folder)
    shutil.rmtree(folder)
    assert CliRunner().invoke(app, training).exit_code == 0
    assert results(folder) == resumed
    for options, nfe in ([], 2), (["--nfe", "1"], 1):
        done = CliRunner().invoke(app, ["evaluate", "--run", str(folder), *options])
        assert done.exit_code == 0, done.output
        (values,) = folder.glob(f"evaluations/*/consistency-{nfe}/per_image.csv")
        assert (pd.read_csv(values)["nfe"] == nfe).all()
    refused = CliRunner().invoke(app, ["evaluate", "--run", str(folder), "--conversion", "plain"])
    assert "omit --conversion" in str(refused.exception)


def test_sigterm_writes_a_checkpoint_and_the_next_call_goes_on(project):
    changes = {"iterations": 5000, "checkpoint_every": 2000, "validate_every": 20}
    process = child(**changes)
    history = run().folder / "training.csv"
    deadline = time.monotonic() + 60
    while not history.is_file() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.terminate()
    message = process.communicate()[0]
    assert process.returncode == STOPPED_EXIT_CODE, message
    (stopped,) = checkpoints()
    assert f"stopped by SIGTERM at iteration {int(stopped.stem)} of 5000" in message
    assert 20 <= int(stopped.stem) < 2000


def test_a_finished_run_is_left_alone(project):
    train(run(), settings("ir-sde"), overwrite=False)
    weights = run().folder / "weights.safetensors"
    written = weights.stat().st_mtime_ns
    assert "up to date" in train(run(), settings("ir-sde"), overwrite=False)
    assert weights.stat().st_mtime_ns == written


def test_another_configuration_is_refused_and_nothing_overwritten(project):
    train(run(), settings("ir-sde"), overwrite=False)
    before = results(run().folder)
    with pytest.raises(InputError, match="holds another run, which differs in settings"):
        train(run(), settings("ir-sde", learning_rate=0.1), overwrite=False)
    (run().folder / "run.json").unlink()
    with pytest.raises(InputError, match=r"checkpoint of another run.*learning_rate 0\.001, now"):
        train(run(), settings("ir-sde", learning_rate=0.1), overwrite=False)
    assert results(run().folder) == before
    train(run(), settings("ir-sde", learning_rate=0.1), overwrite=True)
    assert results(run().folder) != before


def test_what_cannot_be_trained_leaves_the_finished_run_alone(project):
    train(run(), settings("ir-sde"), overwrite=False)
    before = {path: path.read_bytes() for path in run().folder.rglob("*") if path.is_file()}
    for changes in ({"patch": 4096}, {"late_patch": 4096}):
        with pytest.raises(InputError, match="smaller than the patch of 4096"):
            train(run(), settings("ir-sde", **changes), overwrite=True)
    assert {p: p.read_bytes() for p in run().folder.rglob("*") if p.is_file()} == before


def test_a_training_that_starts_afresh_keeps_nothing_of_another(project):
    train(run(), settings("ir-sde", iterations=12, ema_snapshots=4), overwrite=False)
    assert len(list(run().folder.glob("checkpoint/snapshots/*"))) > 0
    train(run(), settings("ir-sde", iterations=9), overwrite=True)
    assert not (run().folder / "checkpoint" / "snapshots").exists()
    assert not (run().folder / "validation" / "00000012.png").exists()
    assert [path.name for path in run().folder.rglob(".*")] == [".lock"]


def test_progress_tells_the_speed_since_the_start_whatever_is_saved(project, monkeypatch):
    written = []
    monkeypatch.setattr(
        "irsde.training.loop.write_json", lambda _, content: written.append(content)
    )
    monkeypatch.setattr("irsde.training.loop.REPORT_EVERY", 0)
    changes = {"iterations": 40, "validate_every": 40, "checkpoint_every": 2}
    begun = time.time()
    train(run(), settings("ir-sde", **changes), overwrite=False)
    first, *_, last = written
    assert first["iteration"] == 0
    assert first["patches_per_second"] is None
    fastest = last["iteration"] * 2 / (last["time"] - first["time"])
    assert last["patches_per_second"] == pytest.approx(fastest, rel=0.5)
    assert last["time"] - begun > 0


def test_a_damaged_checkpoint_is_refused(project):
    train(run(), settings("ir-sde"), overwrite=False)
    (run().folder / "run.json").unlink()
    checkpoint = checkpoints()[-1]
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(InputError, match="damaged checkpoint"):
        train(run(), settings("ir-sde"), overwrite=False)


def test_diverging_training_stops_with_the_reason(project):
    with pytest.raises(InputError, match=r"training\.learning_rate"):
        train(run(), settings("ir-sde", learning_rate=1e30, warmup=0), overwrite=False)
    assert not (run().folder / "run.json").exists()


def broken_batches(monkeypatch, bad):
    """Batches of which some hold a value that is not a number."""
    drawn = Batches.draw_batch

    def draw(self, stream, iteration):
        x0, mu = drawn(self, stream, iteration)
        return (x0 * float("nan"), mu) if bad(stream, iteration) else (x0, mu)

    monkeypatch.setattr(Batches, "draw_batch", draw)


def test_an_update_that_is_not_finite_is_left_out_and_counted(project, monkeypatch):
    broken_batches(monkeypatch, lambda _, iteration: iteration in (4, 7))
    train(run(), settings("ir-sde", iterations=12), overwrite=False)
    card = json.loads((run().folder / "run.json").read_text())
    assert (card["skipped_updates"], card["rollbacks"]) == (2, 0)
    history = pd.read_csv(run().folder / "training.csv")
    assert history["skipped"].tolist() == [0, 1, 2, 2]
    assert np.isfinite(history["loss"]).all()


def test_a_last_update_that_is_not_finite_is_left_out_like_any_other(project, monkeypatch):
    broken_batches(monkeypatch, lambda _, iteration: iteration == 11)
    train(run(), settings("ir-sde", iterations=12), overwrite=False)
    card = json.loads((run().folder / "run.json").read_text())
    assert (card["skipped_updates"], card["rollbacks"]) == (1, 0)
    assert checkpoints()[-1].stem == "00000012"


def test_too_many_in_a_row_go_back_to_the_last_good_checkpoint(project, monkeypatch):
    broken_batches(
        monkeypatch, lambda stream, iteration: iteration >= 15 and "rollback" not in stream
    )
    whole = settings("ir-sde", iterations=40, checkpoint_every=4, learning_rate=0.01)
    train(run(), whole, overwrite=False)
    card = json.loads((run().folder / "run.json").read_text())
    assert (card["rollbacks"], card["skipped_updates"]) == (1, 15)
    history = pd.read_csv(run().folder / "training.csv")
    assert history["learning_rate"].iloc[-1] == 0.005
    assert np.isfinite(history["validation_psnr"]).all()


def test_a_run_stopped_before_a_rollback_equals_one_that_was_not(project, monkeypatch):
    """Stopped at iteration 6: it goes back to 4, the last regular checkpoint, like the other."""
    changes = {"iterations": 40, "checkpoint_every": 4, "validate_every": 40}
    bad = set(range(6, 20))
    broken_batches(
        monkeypatch, lambda stream, iteration: "rollback" not in stream and iteration in bad
    )
    train(run(), settings("ir-sde", **changes), overwrite=False)
    undisturbed = results(run().folder)
    shutil.rmtree(run().folder)
    usual = Batches.draw_batch

    def stopping(self, stream, iteration):
        if "rollback" not in stream and iteration == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return usual(self, stream, iteration)

    with monkeypatch.context() as patch:
        patch.setattr(Batches, "draw_batch", stopping)
        with pytest.raises(StoppedError, match="at iteration 6"):
            train(run(), settings("ir-sde", **changes), overwrite=False)
    train(run(), settings("ir-sde", **changes), overwrite=False)
    assert json.loads((run().folder / "run.json").read_text())["rollbacks"] == 1
    assert results(run().folder) == undisturbed


def test_training_that_never_stays_finite_ends_with_one_line(project, monkeypatch):
    broken_batches(monkeypatch, lambda _, iteration: iteration >= 2)
    with pytest.raises(InputError, match="not after 3 rollbacks either") as error:
        train(run(), settings("ir-sde", iterations=40), overwrite=False)
    assert "\n" not in str(error.value)
    assert not (run().folder / "run.json").exists()


def test_accumulated_parts_give_the_same_update_to_rounding(project):
    for parts in (1, 2, 4):
        changes = {"iterations": 3, "batch": 4, "accumulate": parts, "learning_rate": 0.01}
        train(run(seed=0), settings("ir-sde", **changes), overwrite=True)
        weights = load_file(run().folder / "weights.safetensors")
        if parts == 1:
            whole = weights
        for name, tensor in weights.items():
            assert torch.allclose(tensor, whole[name], atol=2e-4), name
    with pytest.raises(ValueError, match="cannot be cut into 3 parts"):
        recipe(batch=4, accumulate=3)


def test_a_full_disk_keeps_the_last_checkpoint_and_says_so(project, monkeypatch):
    train(run(), settings("ir-sde", iterations=4), overwrite=False)
    (run().folder / "run.json").unlink()
    before = {path: path.read_bytes() for path in checkpoints()}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("irsde.training.checkpoints.save_file", full)
    with pytest.raises(InputError, match=r"No space left on device.*run the same command again"):
        train(run(), settings("ir-sde", iterations=4), overwrite=False)
    assert {path: path.read_bytes() for path in checkpoints()} == before
    assert [path.name for path in run().folder.rglob(".*")] == [".lock"]


def test_tables_use_the_last_averaged_weights_and_never_the_best(project, monkeypatch):
    scores = iter((30.0, 20.0, 10.0, 5.0))
    monkeypatch.setattr(
        "irsde.training.loop.validate",
        lambda *_: Validation(next(scores), np.zeros((8, 8, 3), np.uint8)),
    )
    train(run(), settings("ir-sde", iterations=12, learning_rate=0.05), overwrite=False)
    last = load_file(run().folder / "weights.safetensors")
    stored = load_file(checkpoints()[-1])
    best = load_file(run().folder / "checkpoint/best.safetensors")
    assert all(torch.equal(last[name], stored[f"average.{name}"]) for name in last)
    assert any(not torch.equal(last[name], best[name]) for name in last)
    card = json.loads((run().folder / "run.json").read_text())
    assert (card["best_validation_psnr"], card["final_validation_psnr"]) == (30.0, 5.0)
    used = load_restorer(run().folder, settings("ir-sde"), torch.device("cpu")).network
    assert all(torch.equal(used.state_dict()[name], last[name]) for name in last)


def test_a_signal_while_validating_leaves_a_checkpoint_that_begins_with_the_validation(
    project, monkeypatch
):
    """The second validation is interrupted before its second image, and again when it goes on."""
    changes = {"iterations": 6, "validate_every": 2, "checkpoint_every": 100}
    train(run(), settings("ir-sde", **changes), overwrite=False)
    undisturbed = results(run().folder)
    shutil.rmtree(run().folder)
    asked = []
    restored = validation._restored

    def interrupting(*arguments):
        asked.append(len(asked))
        if len(asked) in (3, 4):
            os.kill(os.getpid(), signal.SIGTERM)
        return restored(*arguments)

    monkeypatch.setattr(validation, "_restored", interrupting)
    for _ in range(2):
        with pytest.raises(StoppedError, match="by SIGTERM at iteration 4 of 6"):
            train(run(), settings("ir-sde", **changes), overwrite=False)
        assert [file.stem for file in checkpoints()] == ["00000004"]
        assert len(pd.read_csv(run().folder / "training.csv")) == 1
    assert "resumed at 4" in train(run(), settings("ir-sde", **changes), overwrite=False)
    assert results(run().folder) == undisturbed


def test_a_signal_in_the_last_validation_leaves_it_to_the_next_call(project, monkeypatch):
    train(run(), settings("ir-sde"), overwrite=False)
    undisturbed = results(run().folder)
    shutil.rmtree(run().folder)
    restored = validation._restored
    asked = []

    def interrupting(*arguments):
        asked.append(len(asked))
        if len(asked) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return restored(*arguments)

    monkeypatch.setattr(validation, "_restored", interrupting)
    with pytest.raises(StoppedError, match="at iteration 6 of 6"):
        train(run(), settings("ir-sde"), overwrite=False)
    assert not (run().folder / "run.json").exists()
    train(run(), settings("ir-sde"), overwrite=False)
    assert results(run().folder) == undisturbed


def out_of_memory(*_):
    raise torch.OutOfMemoryError


def test_too_little_memory_says_what_would_fit(project, monkeypatch):
    advice = r"of 16x16 pixels, 2 at once.* training.accumulate: 2 computes .* in parts of 1$"
    monkeypatch.setattr(update, "training_loss", out_of_memory)
    for call in (lambda *given: train(*given, overwrite=False), predict):
        with pytest.raises(InputError, match=advice):
            call(run(), settings("ir-sde"))


def test_too_little_memory_for_a_validation_image_names_it(project, monkeypatch):
    monkeypatch.setattr(Restorer, "states", lambda *_, **__: out_of_memory())
    with pytest.raises(InputError, match=r"of 32x32 pixels .* set training.validation_window"):
        train(run(), settings("ir-sde"), overwrite=False)


def test_the_cost_of_a_resumed_training_is_that_of_all_its_processes(project, monkeypatch):
    def stop():
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(loop, "peak_memory", lambda _: {"peak_memory_bytes": 9 * 10**12})
    with pytest.raises(StoppedError):
        train(run(), settings("ir-sde"), overwrite=False, follow=stop)
    monkeypatch.undo()
    monkeypatch.chdir(project)
    train(run(), settings("ir-sde"), overwrite=False)
    cost = json.loads((run().folder / "cost.json").read_text())
    assert cost["peak_memory_bytes"] == 9 * 10**12


class FakeGPU:
    def __init__(self, uuid):
        self.uuid = uuid


def test_processes_of_one_run_hold_their_gpus_together(tmp_path, monkeypatch):
    """Three GPUs: two are held, so another two have to wait, and one more is free at once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: FakeGPU(f"u{number}"))
    monkeypatch.setattr(devices, "SECONDS_BETWEEN_TRIES", 0.01)
    order = []

    def waiting():
        with devices.held_gpus(2) as numbers:
            order.append(("second", numbers))

    with devices.held_gpus(2) as first:
        assert first == [0, 1]
        other = threading.Thread(target=waiting)
        other.start()
        time.sleep(0.2)
        with devices.held_gpus(1) as single:
            assert single == [2]
        order.append(("first", first))
    other.join(30)
    assert [name for name, _ in order] == ["first", "second"]
    assert len(order[1][1]) == 2
    with pytest.raises(InputError, match="4 processes need a GPU each and this machine has 3"):
        devices.held_gpus(4).__enter__()


@pytest.mark.parametrize(("visible", "shown"), [(None, "1,2"), ("4,5,GPU-abc", "5,GPU-abc")])
def test_started_processes_see_the_gpus_that_are_held(monkeypatch, visible, shown):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible or "")  # to be put back afterwards
    if not visible:
        del os.environ["CUDA_VISIBLE_DEVICES"]
    launch._show_only([])
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == visible
    launch._show_only([1, 2])
    assert os.environ["CUDA_VISIBLE_DEVICES"] == shown


@pytest.mark.parametrize(
    ("variables", "message"),
    [({"RANK": "a"}, "RANK=a"), ({"RANK": "2", "WORLD_SIZE": "2"}, "RANK=2 is none of")],
)
def test_a_wrong_rank_is_refused(monkeypatch, variables, message):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=message):
        world_of_environment()


def test_settings_that_came_later_leave_the_hash_of_earlier_runs(project):
    resolved = settings("ir-sde")
    content = resolved.model_dump(mode="json")
    for name in SINCE_FIRST_RUNS:
        del content["training"][name]
    assert content.pop("process") is None
    assert resolved.hash == digest_json(content)
    assert settings("ir-sde", validation_images=1).hash != resolved.hash
    assert settings("ir-sde", channels_last=False).hash != resolved.hash
    run_folder = PROJECT / "reports/study/results/bench/deraining/ir-sde/seed0"
    card = json.loads((run_folder / "run.json").read_text())
    assert "channels_last" not in card["settings"]["training"]
    assert RunSettings.model_validate(card["settings"]).hash == card["identity"]["settings"]


def test_either_memory_layout_trains_to_the_same_weights_but_for_rounding(project):
    train(run(), settings("ir-sde"), overwrite=False)
    first = load_file(run().folder / "weights.safetensors")
    train(run(), settings("ir-sde", channels_last=False), overwrite=True)
    for name, tensor in load_file(run().folder / "weights.safetensors").items():
        assert torch.allclose(tensor, first[name], atol=2e-4), name


def test_late_patches_are_larger():
    late = recipe(iterations=8, patch=16, late_patch=24)
    assert [patch_at(late, i) for i in range(8)] == [16] * 6 + [24] * 2
    assert patch_at(recipe(iterations=8, patch=16), 7) == 16


def test_training_in_bfloat16_and_with_late_patches_stays_finite(project):
    changes = {"precision": "bfloat16", "late_patch": 24, "iterations": 8}
    train(run(), settings("ir-sde", **changes), overwrite=False)
    first = results(run().folder)
    card = json.loads((run().folder / "run.json").read_text())
    assert np.isfinite(card["final_validation_psnr"])
    assert card["skipped_updates"] == 0
    shutil.rmtree(run().folder)
    train(run(), settings("ir-sde", **changes), overwrite=False)
    assert results(run().folder) == first


def test_two_processes_give_the_result_of_one_to_rounding(project):
    changes = {"iterations": 6, "batch": 4, "checkpoint_every": 3}
    train(run(), settings("ir-sde", **changes), overwrite=False)
    alone = load_file(run().folder / "weights.safetensors")
    validated_alone = pd.read_csv(run().folder / "training.csv")["validation_psnr"]
    alone_pictures = [read_image(path) for path in sorted((run().folder / "validation").iterdir())]
    shutil.rmtree(run().folder)
    script = project / "child.py"
    script.write_text(CHILD)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--nproc_per_node",
            "2",
            "--master_port",
            "29513",
            str(script),
            str(PROJECT),
            repr(changes),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    together = load_file(run().folder / "weights.safetensors")
    for name, tensor in together.items():
        assert torch.allclose(tensor, alone[name], atol=2e-4), name
    validated = pd.read_csv(run().folder / "training.csv")["validation_psnr"]
    assert np.allclose(validated, validated_alone, atol=0.01)
    pictures = [read_image(path) for path in sorted((run().folder / "validation").iterdir())]
    assert [picture.shape for picture in pictures] == [picture.shape for picture in alone_pictures]
    assert all(
        np.abs(picture.astype(int) - other.astype(int)).max() <= 2
        for picture, other in zip(pictures, alone_pictures, strict=True)
    )
    assert json.loads((run().folder / "run.json").read_text())["processes"] == 2


def test_several_processes_stop_at_a_signal_with_one_line(project):
    profile = Path("workflow/config/smoke.yaml")
    text = profile.read_text().replace("training:\n", "training:\n  processes: 2\n", 1)
    profile.write_text(re.sub(r"( {2}iterations:) \d+", r"\1 5000", text))
    command = ["-m", "irsde.cli", "train", "--profile", "smoke", "--task", TASK]
    process = subprocess.Popen(
        [sys.executable, *command, "--method", "ir-sde"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )
    wait_for_a_checkpoint(process)
    os.killpg(process.pid, signal.SIGUSR1)  # as Slurm does: to the starter and to all it started
    message = process.communicate(timeout=120)[1]
    assert process.returncode == STOPPED_EXIT_CODE, message
    assert message.count("stopped by SIGUSR1 at iteration") == 1
    assert "Traceback" not in message
    assert 0 < int(checkpoints()[-1].stem) < 5000


def test_a_batch_that_processes_cannot_share_is_refused(project, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(InputError, match="a batch of 2 cannot be shared by 3 processes"):
        train(run(), settings("ir-sde"), overwrite=False)


def test_training_without_pairs_says_what_to_run(tmp_path, monkeypatch):
    shutil.copytree(PROJECT / "workflow/config", tmp_path / "workflow/config")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="irsde data prepare"):
        train(run(), settings("ir-sde"), overwrite=False)
