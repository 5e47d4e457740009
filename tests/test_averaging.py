"""Averages of any width from snapshots of two."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from irsde.experiment.grid import Run, sweep_evaluations
from irsde.experiment.profile import load_profile, run_settings
from irsde.files import InputError
from irsde.training.averaging import WIDTHS, average, coefficients, decay, exponent, found_snapshots
from irsde.training.run import train
from tests.project import call, copy_project, prepare_task

TASK = "denoising"
RUN = Run("smoke", TASK, "ir-sde", 0)


def averaged(values, width):
    """Average of a sequence with a power profile, at every iteration."""
    state, states = 0.0, []
    for t, value in enumerate(values, start=1):
        state += (1 - decay(width, t)) * (value - state)
        states.append(state)
    return np.array(states)


@pytest.mark.parametrize("width", [0.05, 0.1, 0.2])
def test_the_exponent_gives_the_width(width):
    power = exponent(width)
    variance = (power + 1) / ((power + 2) ** 2 * (power + 3))
    assert np.sqrt(variance) == pytest.approx(width, rel=1e-9)
    with pytest.raises(InputError, match=r"between 0\.01 and 0\.28"):
        exponent(0.3)


@pytest.mark.parametrize("width", [0.05, 0.06, 0.075, 0.1, 0.14])
def test_snapshots_span_the_averages_of_other_widths(width):
    steps = 4000
    generator = np.random.Generator(np.random.PCG64(0))
    values = np.cumsum(generator.standard_normal(steps)) / 20 + np.linspace(0, 5, steps)
    runs = {w: averaged(values, w) for w in WIDTHS}
    moments = [steps * k // 16 for k in range(1, 17)]
    snapshots = [(t, w) for t in moments for w in WIDTHS]
    parts = coefficients(snapshots, steps, width)
    assert parts.sum() == pytest.approx(1, abs=2e-3)
    found = sum(c * runs[w][t - 1] for c, (t, w) in zip(parts, snapshots, strict=True))
    wanted = averaged(values, width)[-1]
    nearest = min(abs(runs[w][-1] - wanted) for w in WIDTHS)
    assert abs(found - wanted) < 0.01
    assert abs(found - wanted) <= max(0.2 * nearest, 1e-3)


@pytest.fixture
def project(tmp_path, monkeypatch):
    copy_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    prepare_task("smoke", TASK)
    return tmp_path


def settings(**changes):
    resolved = run_settings(load_profile("smoke"), TASK, "ir-sde", 0)
    training = resolved.training.model_copy(update=changes)
    return resolved.model_copy(update={"training": training})


def test_an_average_becomes_a_run_that_can_be_evaluated(project):
    train(RUN, settings(iterations=12, ema_snapshots=4), overwrite=False)
    assert [s.iteration for s in found_snapshots(RUN.folder)] == [3, 3, 6, 6, 9, 9, 12, 12]
    assert "8 snapshots" in average(RUN, WIDTHS[1])
    derived = project / "results/smoke/denoising/ir-sde+width0.1/seed0"
    stored = load_file(found_snapshots(RUN.folder)[-1].file)
    weights = load_file(derived / "weights.safetensors")
    assert all(torch.allclose(weights[name], stored[name], atol=1e-5) for name in stored)
    assert json.loads((derived / "run.json").read_text())["derived_from"] == RUN.folder.as_posix()
    folder = derived.relative_to(project)
    line = call(project, "irsde", "evaluate", "--run", str(folder), "--nfe", "2")
    assert " dB over 4 images" in line


def test_a_snapshot_is_evaluated_as_the_weights_it_stores(project):
    train(RUN, settings(iterations=12, ema_snapshots=4), overwrite=False)
    average(RUN, 0.1)
    evaluate = ("irsde", "evaluate", "--dataset", "photographs-test", "--nfe", "2")
    images = "evaluations/photographs-test/posterior-2{}/images/{}.png"

    def restored(run, name=""):
        files = sorted((project / run).glob(images.format(name, "*")))
        assert len(files) == 2
        return [file.read_bytes() for file in files]

    derived = Run("smoke", TASK, "ir-sde+width0.1", 0).folder
    for iteration in (3, 12):
        call(project, *evaluate, "--run", RUN.folder.as_posix(), "--snapshot", str(iteration))
    call(project, *evaluate, "--run", derived.as_posix())
    first, last = (restored(RUN.folder, f"-at{iteration}") for iteration in (3, 12))
    assert first != last == restored(derived)

    command = (*evaluate, "--run", RUN.folder.as_posix(), "--snapshot")
    output = call(project, *command, "4", code=2)
    assert "no weights of iteration 4 are stored (there are 3, 6, 9, 12)" in output
    output = call(project, *command, "3", "--weights", "raw", code=2)
    assert "has averages alone at --snapshot: omit --weights" in output


def test_a_profile_sweeps_over_snapshots_that_its_training_stores(tmp_path, monkeypatch):
    copy_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    file = Path("workflow/config/steps.yaml")
    sweep = "{{tasks: [denoising], methods: [regression], snapshots: {}}}"

    def profile(stored, wanted):
        file.write_text(
            "like: smoke\ntasks: [denoising]\nmethods: [regression, identity]\nmore: []\n"
            f"training: {{iterations: 30, ema_snapshots: {stored}}}\n"
            f"sweeps: [{sweep.format(wanted)}]\n"
        )
        return load_profile("steps")

    of_sweep = sweep_evaluations(profile(4, [8, 15, 30]))
    assert {one.options.name for one in of_sweep} == {f"direct-1-at{i}" for i in (8, 15, 30)}
    assert profile(4, [8]).training.snapshots == (8, 15, 23, 30)
    assert profile(60, [8]).training.snapshots == tuple(range(1, 31))
    with pytest.raises(InputError, match=r"stores no such weights \(it has: 8, 15, 23, 30\)"):
        sweep_evaluations(profile(4, [9]))
    with pytest.raises(InputError, match=r"stores no such weights \(it has: none\)"):
        sweep_evaluations(profile(0, [9]))


def test_an_average_is_made_once_and_nothing_beside_it_is_ever_deleted(project):
    train(RUN, settings(iterations=8, ema_snapshots=4), overwrite=False)
    average(RUN, 0.1)
    derived = Path("results/smoke/denoising/ir-sde+width0.1/seed0")
    evaluation = derived / "evaluations/photographs-test/posterior-2/summary.json"
    evaluation.parent.mkdir(parents=True)
    evaluation.write_text("{}")

    def content():
        return {path: path.read_bytes() for path in derived.rglob("*") if path.is_file()}

    before = content()
    command = ("irsde", "average", "--run", RUN.folder.as_posix(), "--width", "0.1")
    assert f"{derived}: up to date" in call(project, *command)
    assert content() == before
    weights = derived / "weights.safetensors"
    weights.write_bytes(b"damaged")
    assert "holds something else than a whole average" in call(project, *command, code=2)
    weights.write_bytes(before[weights])
    train(RUN, settings(iterations=8, ema_snapshots=4, batch=4), overwrite=True)
    output = call(project, *command, code=2)
    assert f"{derived}: holds an average of an earlier training of {RUN.folder}" in output
    assert "move it away" in output
    assert content() == before


def test_snapshots_do_not_change_the_weights_and_survive_a_resume(project):
    changes = {"iterations": 8, "checkpoint_every": 3}
    train(RUN, settings(**changes), overwrite=False)
    plain = load_file(RUN.folder / "weights.safetensors")
    shutil.rmtree(RUN.folder)
    train(RUN, settings(**changes, ema_snapshots=2), overwrite=False)
    weights = load_file(RUN.folder / "weights.safetensors")
    assert all(torch.equal(plain[name], weights[name]) for name in plain)
    with_snapshots = {s.file.name: s.file.read_bytes() for s in found_snapshots(RUN.folder)}
    for name in ("run.json", "checkpoint/00000008.safetensors"):
        (RUN.folder / name).unlink()
    assert "resumed at 6" in train(RUN, settings(**changes, ema_snapshots=2), overwrite=False)
    assert {s.file.name: s.file.read_bytes() for s in found_snapshots(RUN.folder)} == with_snapshots


def test_a_run_without_snapshots_is_refused(project):
    train(RUN, settings(iterations=2), overwrite=False)
    with pytest.raises(InputError, match=r"training\.ema_snapshots"):
        average(RUN, 0.07)
