"""Finished work stays: what another setting, code or test set takes the place of is kept."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from irsde.evaluation.current import is_current_evaluation
from irsde.evaluation.evaluate import evaluate
from irsde.experiment.grid import Evaluation, Run
from irsde.experiment.options import EvaluationOptions
from irsde.experiment.profile import load_profile, run_settings
from irsde.experiment.replaced import REPLACED, keep
from irsde.files import InputError, digest_file, read_json, write_json
from irsde.training.current import is_current_run
from irsde.training.run import train
from tests.project import copy_project, prepare_task

NUMBERS = ("per_image.csv", "protocols.csv")
TASK, SET = "denoising", "photographs-test"
RUN = Run("smoke", TASK, "ir-sde+l2", 0)
PLAIN = Run("smoke", TASK, "classical", 0)
EVALUATION = Evaluation(RUN, SET, EvaluationOptions("posterior", 3))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = copy_project(tmp_path_factory.mktemp("project"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("IRSDE_LPIPS_WEIGHTS", "")
        prepare_task("smoke", TASK)
        for run in (RUN, PLAIN):
            train(run, settings(run), overwrite=False)
        evaluate(EVALUATION, profile().evaluation)
    return folder


@pytest.fixture
def project(finished, tmp_path, monkeypatch):
    folder = tmp_path / "project"
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns("irsde"))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("IRSDE_LPIPS_WEIGHTS", "")


def profile():
    return load_profile("smoke")


def settings(run=RUN, **changes):
    found = run_settings(profile(), run.task, run.method, run.seed)
    if changes:
        recipe = found.training.model_copy(update=changes)
        found = found.model_copy(update={"training": recipe})
    return found


def files(folder):
    found = {f.relative_to(folder): f for f in folder.rglob("*") if f.is_file()}
    return {name: digest_file(file) for name, file in found.items() if file.name != ".lock"}


def kept():
    return sorted(path.parent for path in REPLACED.rglob("run.json"))


def test_another_setting_is_refused_and_nothing_is_touched(project):
    before = files(RUN.folder)
    with pytest.raises(InputError, match="overwrite"):
        train(RUN, settings(learning_rate=0.1), overwrite=False)
    assert files(RUN.folder) == before


def test_a_replaced_training_is_kept_with_its_evaluations(project):
    before = files(RUN.folder)
    line = train(RUN, settings(learning_rate=0.1), overwrite=True)
    (place,) = kept()
    assert place.as_posix() in line
    assert place.is_relative_to(REPLACED / "smoke/denoising/ir-sde+l2/seed0")
    assert files(place) == before
    assert not (RUN.folder / "evaluations").exists()
    assert read_json(RUN.folder / "run.json")["settings"]["training"]["learning_rate"] == 0.1


def test_a_tuned_filter_is_kept_too(project):
    before = files(PLAIN.folder)
    data = settings(PLAIN).data.model_copy(update={"validation": (SET,)})
    other = settings(PLAIN).model_copy(update={"data": data})
    train(PLAIN, other, overwrite=True)
    (place,) = kept()
    assert files(place) == before


def test_going_back_and_forth_keeps_every_one(project):
    first = settings().training.learning_rate
    for rate in (0.1, 0.2, 0.1, 0.2):
        train(RUN, settings(learning_rate=rate), overwrite=True)
    cards = [read_json(path / "run.json") for path in kept()]
    rates = {card["settings"]["training"]["learning_rate"] for card in cards}
    assert rates == {first, 0.1, 0.2}


def test_what_an_engine_brought_back_is_not_kept_twice(project):
    """Snakemake copies the outputs of a job that failed back to where they were."""
    outputs = ["run.json", "weights.safetensors", "training.csv", "cost.json"]
    name = "0" * 8
    copies = {name: (RUN.folder / name).read_bytes() for name in outputs}
    place = keep(RUN.folder, name)
    for output, content in copies.items():
        (RUN.folder / output).write_bytes(content)
    (RUN.folder / "progress.json").write_text("{}")
    assert keep(RUN.folder, name) == place
    assert [path.name for path in files(RUN.folder)] == ["progress.json"]


def test_a_new_evaluation_of_a_run_that_was_brought_back_is_kept_too(project):
    card = (RUN.folder / "run.json").read_bytes()
    place = keep(RUN.folder, "0" * 8)
    shutil.copytree(place, RUN.folder, dirs_exist_ok=True)
    new = EVALUATION.folder.with_name("posterior-2").relative_to(RUN.folder)
    shutil.copytree(EVALUATION.folder, RUN.folder / new)
    assert keep(RUN.folder, "0" * 8) == place
    assert (place / new / "summary.json").is_file()
    shutil.copytree(place, RUN.folder, dirs_exist_ok=True)
    (RUN.folder / new / "per_image.csv").write_text("image,psnr\n")
    other = keep(RUN.folder, "0" * 8)
    assert other != place
    assert (other / "run.json").read_bytes() == card
    assert (other / new / "per_image.csv").read_text() == "image,psnr\n"


def test_an_unfinished_training_of_another_setting_is_kept(project):
    (RUN.folder / "run.json").unlink()
    checkpoints = {
        path.name: digest_file(path) for path in RUN.folder.glob("checkpoint/*.safetensors")
    }
    assert checkpoints
    train(RUN, settings(learning_rate=0.1), overwrite=True)
    found = {path.name: digest_file(path) for path in REPLACED.rglob("checkpoint/*.safetensors")}
    assert checkpoints.items() <= found.items()


def test_the_same_evaluation_is_not_made_twice(project):
    before = files(EVALUATION.folder)
    assert evaluate(EVALUATION, profile().evaluation) == f"{EVALUATION.folder}: up to date"
    assert files(EVALUATION.folder) == before


def test_an_evaluation_with_other_numbers_is_kept(project):
    """As older code might have given them."""
    scores = EVALUATION.folder / "per_image.csv"
    scores.write_text(scores.read_text().replace(".", ".0", 1))
    card = read_json(EVALUATION.folder / "summary.json")
    write_json(EVALUATION.folder / "summary.json", {**card, "code": "0" * 64})
    before = files(EVALUATION.folder)
    evaluate(EVALUATION, profile().evaluation)
    (card,) = REPLACED.rglob("summary.json")
    assert files(card.parent) == before
    assert evaluate(EVALUATION, profile().evaluation).endswith("up to date")


def test_pictures_that_the_new_evaluation_lacks_are_kept(project):
    few = profile().evaluation.model_copy(update={"keep_images": 1})
    before = files(EVALUATION.folder)
    assert len(list(EVALUATION.folder.glob("images/*.png"))) > 1
    line = evaluate(EVALUATION, few)
    (card,) = REPLACED.rglob("summary.json")
    assert line.endswith(f"the earlier one is kept in {card.parent}")
    assert files(card.parent) == before
    assert "kept" not in evaluate(EVALUATION, profile().evaluation)
    assert list(REPLACED.rglob("summary.json")) == [card]


def test_older_code_that_is_known_to_be_equal_counts_as_finished(project, monkeypatch):
    from irsde.experiment import code

    assert is_current_run(RUN, settings())
    assert is_current_evaluation(EVALUATION, profile())
    card = read_json(RUN.folder / "run.json")
    older = "0" * 64
    write_json(RUN.folder / "run.json", {**card, "identity": {**card["identity"], "code": older}})
    assert not is_current_run(RUN, settings())
    with pytest.raises(InputError, match="overwrite"):
        train(RUN, settings(), overwrite=False)
    same = {older: "equal", code.code_hash("train"): "now"}
    monkeypatch.setattr(code, "known_code", lambda: {"train": [same]})
    assert is_current_run(RUN, settings())
    assert train(RUN, settings(), overwrite=True).endswith("up to date")
    assert kept() == []


@pytest.mark.parametrize("name", ["run.json", "weights.safetensors"])
def test_a_damaged_run_is_not_current(project, name):
    (RUN.folder / name).write_text("damaged")
    assert not is_current_run(RUN, settings())


def test_what_is_not_prepared_here_counts_as_what_was_seen(project):
    shutil.rmtree(Path("data/prepared"))
    assert is_current_run(RUN, settings())
    assert is_current_evaluation(EVALUATION, profile())


def test_other_data_make_a_run_and_its_evaluations_old(project):
    for name, folder in (("train", "photographs-train"), ("test", SET)):
        path = next(Path("data/prepared/smoke/denoising").glob(f"{folder}*/dataset.json"), None)
        assert path, name
        path.write_text(json.dumps(json.loads(path.read_text()) | {"fingerprint": "0" * 64}))
    assert not is_current_run(RUN, settings())
    assert not is_current_evaluation(EVALUATION, profile())


def test_what_is_exempt_from_the_hash_of_code_changes_no_byte(project, monkeypatch):
    """Trained and scored once more without progress, signals, meters, validation and messages."""
    from contextlib import nullcontext

    from irsde.evaluation import evaluate as evaluation
    from irsde.machine.signals import StopRequest
    from irsde.training import loop
    from irsde.training.validation import Validation

    weights = (RUN.folder / "weights.safetensors").read_bytes()
    scores = [(EVALUATION.folder / name).read_bytes() for name in NUMBERS]
    shutil.rmtree(RUN.folder)

    def untracked(items, *_, **__):
        return items

    def unvalidated(*_, **__):
        return Validation(0.0, np.zeros((8, 8, 3), np.uint8))

    for module in (loop, evaluation):
        monkeypatch.setattr(module, "track", untracked)
    for name, other in {
        "validate": unvalidated,
        "stop_on_signals": lambda **_: nullcontext(StopRequest()),
        "peak_memory": lambda _: {},
        "counts": lambda _: {},
        "device_name": lambda *_, **__: "",
    }.items():
        assert hasattr(loop, name)
        monkeypatch.setattr(loop, name, other)
    monkeypatch.setattr(loop.Trainer, "_report", lambda self, *_: setattr(self, "reported", 0.0))
    train(RUN, settings(), overwrite=False)
    evaluate(EVALUATION, profile().evaluation)
    assert (RUN.folder / "weights.safetensors").read_bytes() == weights
    assert [(EVALUATION.folder / name).read_bytes() for name in NUMBERS] == scores
