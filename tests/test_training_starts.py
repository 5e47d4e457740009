"""Trainings that start from a finished run or from given weights, and how runs are told apart."""

import contextlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from irsde import cli
from irsde.audit.explain import _recipe
from irsde.audit.status import standings, table
from irsde.experiment.cards import RunCard
from irsde.experiment.grid import Run
from irsde.experiment.identity import differences
from irsde.experiment.profile import load_profile
from irsde.files import InputError, digest_file, digest_json, read_json
from irsde.report.results import run_command
from irsde.training.averaging import average, found_snapshots
from irsde.training.run import train
from irsde.training.starting import continuation, fine_tuning
from tests.project import settings, small_project

TASK = "denoising"
RUN = Run("smoke", TASK, "regression", 0)
LONGER = Run("smoke", TASK, "regression+to12", 0)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The smoke profile with its denoising pairs and a finished run of regression."""
    folder = small_project(tmp_path_factory.mktemp("starts"), TASK)
    with contextlib.chdir(folder):
        train(RUN, settings("regression"), overwrite=False)
    return folder


@pytest.fixture(autouse=True)
def project(prepared, tmp_path, monkeypatch):
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def irsde(capfd, monkeypatch, *arguments):
    """Exit code and output of a command."""
    monkeypatch.setattr("sys.argv", ["irsde", *arguments])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return left.value.code, "".join(capfd.readouterr())


@pytest.fixture
def command(capfd, monkeypatch):
    """Function (arguments, code) -> output of `irsde train`, or of another command."""

    def call(*arguments, code=0, name="train"):
        if name == "train":
            of = ("--profile", "smoke", "--task", TASK, "--method", "regression")
            arguments = (*of, *arguments)
        found, output = irsde(capfd, monkeypatch, name, *arguments)
        assert found == code, output
        return output

    return call


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def card(run):
    return read_json(run.folder / "run.json")


def test_a_run_continued_to_more_iterations_is_as_if_it_had_been_trained_to_them(command):
    before = files(RUN.folder)
    assert f"{LONGER.folder}: trained, resumed at 6" in command("--continue-to", "12")
    assert files(RUN.folder) == before
    found, base = card(LONGER), card(RUN)
    assert (found["derived_from"], found["continued_at"]) == (RUN.folder.as_posix(), 6)
    assert found["identity"]["run"] == digest_json(base["identity"])
    assert found["iterations"] == found["settings"]["training"]["iterations"] == 12
    assert found["label"] == "direct regression (to 12 iterations)"
    assert run_command(RunCard.model_validate(found)) == (
        f"irsde train --profile smoke --task {TASK} --method regression --seed 0 --continue-to 12"
    )
    assert f"continued from iteration 6 of {RUN.folder}" in _recipe(RunCard.model_validate(found))
    assert "up to date" in command("--continue-to", "12")
    train(RUN, settings("regression", iterations=12), overwrite=True)
    for name in ("weights.safetensors", "training.csv"):
        assert (RUN.folder / name).read_bytes() == (LONGER.folder / name).read_bytes()


def test_a_continued_run_is_evaluated_averaged_shown_and_continued(command):
    train(RUN, settings("regression", iterations=8, ema_snapshots=4), overwrite=True)
    command("--continue-to", "12")
    moments = [snapshot.iteration for snapshot in found_snapshots(LONGER.folder)]
    assert sorted(set(moments)) == [2, 4, 6, 8, 9, 12]
    assert " dB over 4 images" in command("--run", str(LONGER.folder), name="evaluate")
    assert "12 snapshots" in average(LONGER, 0.1)
    stored = load_file(found_snapshots(LONGER.folder)[-1].file)
    weights = load_file(Path(f"{LONGER.folder.parent}+width0.1/seed0/weights.safetensors"))
    assert all(torch.allclose(weights[name], stored[name], atol=1e-4) for name in stored)
    shown = {s.run.method: s for s in standings(load_profile("smoke")) if s.run.task == TASK}
    assert shown["regression+to12"].state == "finished"
    assert (shown["regression+to12"].evaluated, shown["regression+to12"].iterations) == (1, 12)
    assert "denoising/regression+to12+width0.1/seed0" in table(standings(load_profile("smoke")))
    again, _, start = continuation(load_profile("smoke"), LONGER, 20)
    assert again.method == "regression+to12+to20"
    assert start.details["derived_from"] == LONGER.folder.as_posix()


def test_a_continued_run_that_was_stopped_goes_on_by_itself(monkeypatch):
    profile = load_profile("smoke")
    run, asked, start = continuation(profile, RUN, 12)

    def full(self):
        if self.state.iteration == 9:
            raise InputError("stopped here")

    with monkeypatch.context() as patch:
        patch.setattr("irsde.training.loop.Trainer._store_snapshots", full)
        with pytest.raises(InputError, match="stopped here"):
            train(run, asked, overwrite=False, start=start)
    (standing,) = [s for s in standings(profile) if s.run == LONGER]
    assert standing.state == "running"  # this process
    shutil.rmtree(RUN.folder / "checkpoint")
    assert "resumed at 8" in train(run, asked, overwrite=False, start=start)


def test_what_cannot_be_continued_is_refused(command):
    assert "is trained to 6 iterations; give --continue-to more" in command(
        "--continue-to", "6", code=2
    )
    assert "give --continue-to or --from" in command(
        "--continue-to", "9", "--from", str(RUN.folder), code=2
    )
    assert "no finished run there" in command("--continue-to", "9", "--seed", "1", code=2)
    shutil.rmtree(RUN.folder / "checkpoint")
    assert f"has no checkpoint to go on from; --from {RUN.folder}" in command(
        "--continue-to", "9", code=2
    )
    assert not list(Path("results/smoke/denoising").glob("*+*"))


def test_a_training_from_given_weights_begins_with_them(command, monkeypatch):
    """The committed run's folder: at a learning rate of nothing its weights stay what they are."""
    profile = Path("workflow/config/smoke.yaml")
    text = profile.read_text().replace("learning_rate: 0.001", "learning_rate: 1e-30")
    profile.write_text(text.replace("iterations: 6", "iterations: 2"))
    sha256 = digest_file(RUN.folder / "weights.safetensors")
    tuned = Run("smoke", TASK, f"regression+from{sha256[:8]}", 0)
    before = files(RUN.folder)
    assert f"{tuned.folder}: trained" in command("--from", str(RUN.folder))
    assert files(RUN.folder) == before
    given, found = (load_file(run.folder / "weights.safetensors") for run in (RUN, tuned))
    assert all(torch.equal(given[name], found[name]) for name in given)
    of_tuned = card(tuned)
    weights = RUN.folder / "weights.safetensors"
    assert of_tuned["started_from"] == {"file": weights.as_posix(), "sha256": sha256}
    assert of_tuned["derived_from"] == RUN.folder.as_posix()
    assert of_tuned["identity"]["weights"] == sha256
    assert run_command(RunCard.model_validate(of_tuned)) == (
        f"irsde train --profile smoke --task {TASK} --method regression --seed 0 "
        f"--from {RUN.folder}"
    )
    assert any(
        line.startswith(f"started from {weights}, SHA-256")
        for line in _recipe(RunCard.model_validate(of_tuned))
    )
    assert " dB over 4 images" in command("--run", str(tuned.folder), name="evaluate")


def test_weights_in_a_file_need_no_run(command, tmp_path_factory):
    file = tmp_path_factory.mktemp("elsewhere") / "net.safetensors"
    shutil.copy(RUN.folder / "weights.safetensors", file)
    line = command("--from", str(file))
    tuned = Run("smoke", TASK, f"regression+from{digest_file(file)[:8]}", 0)
    assert f"{tuned.folder}: trained" in line
    assert (card(tuned)["derived_from"], card(tuned)["started_from"]["file"]) == (None, file.name)
    assert "up to date" in command("--from", str(file))
    assert " dB over 4 images" in command("--run", str(tuned.folder), name="evaluate")


def test_what_cannot_be_started_from_is_refused(command, tmp_path):
    other = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(1)}, other)
    assert "weights of another network" in command("--from", str(other), code=2)
    assert "give --from a run folder or a safetensors file" in command("--from", "no", code=2)
    profile = load_profile("smoke")
    with pytest.raises(InputError, match="has no network, so --from has no effect"):
        fine_tuning(profile, Run("smoke", TASK, "identity", 0), other)
    weights = RUN.folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"abcd")
    assert "not the weights that run.json records" in command("--from", str(RUN.folder), code=2)
    variants = {f"regression+from{digest_file(other)[:8]}": {"training": {"batch": 4}}}
    with pytest.raises(InputError, match=r"has a variant regression\+from.*rename it"):
        fine_tuning(profile.model_copy(update={"variants": variants}), RUN, other)


def test_differences_are_told_in_plain_words():
    old, new = settings("regression"), settings("regression", batch=4, betas=(0.5, 0.9))
    before, now = old.model_dump(mode="json"), new.model_dump(mode="json")
    first = {"settings": old.hash, "code": "a", "train_data": "b", "validation_data": "c"}
    second = {"settings": new.hash, "code": "d", "train_data": "e", "validation_data": "f"}
    assert differences(first, first, before, before) == []
    assert differences(first, second, before, now) == [
        "settings (training.batch 2, now 4, training.betas [0.9, 0.99], now [0.5, 0.9])",
        "the code",
        "the training data",
        "the validation data",
    ]
    assert differences(first, {**first, "settings": "x"}) == ["settings"]
    assert differences({"method": 1}, {"method": 2, "odd_key": 3}) == [
        "the numbers of the method's process",
        "odd key",
    ]
    many = {**before, "training": dict.fromkeys(before["training"], 7)}
    (line,) = differences({"settings": 1}, {"settings": 2}, before, many)
    assert "and " in line
    assert line.count("now") == 4
    earlier = json.loads(json.dumps(before))
    del earlier["training"]["channels_last"]  # what runs had before there was that setting
    assert differences({"settings": 1}, {"settings": 2}, earlier, now)[0].count("channels") == 0


def test_a_checkpoint_of_another_run_says_what_differs():
    (RUN.folder / "run.json").unlink()
    with pytest.raises(InputError, match=r"differs in settings \(training.batch 2, now 4\); noth"):
        train(RUN, settings("regression", batch=4), overwrite=False)
