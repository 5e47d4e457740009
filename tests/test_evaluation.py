"""Evaluations: what is written, and what their options change."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from irsde.cli import app
from irsde.evaluation import evaluate as evaluation
from irsde.evaluation.evaluate import evaluate
from irsde.experiment.grid import Evaluation, Run, pairs_folder
from irsde.experiment.options import EvaluationOptions
from irsde.experiment.profile import load_profile, run_settings
from irsde.files import InputError, digest_file, read_json, write_json
from irsde.images import read_image
from irsde.machine import meters
from irsde.restoration import restorer
from irsde.restoration.cost import multiply_accumulates
from irsde.restoration.restorer import Restorer
from irsde.scoring.metrics import METRICS
from irsde.scoring.protocols import PROTOCOLS
from irsde.tasks import TASKS
from irsde.training.run import train
from tests.project import PROJECT, copy_project, prepare_task

RUN = Run("smoke", "denoising", "ir-sde+l2", 0)
SET = "photographs-test"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A trained run of the smoke profile; the working directory of all tests here."""
    patch = pytest.MonkeyPatch()
    patch.chdir(copy_project(tmp_path_factory.mktemp("project")))
    patch.setenv("IRSDE_LPIPS_WEIGHTS", "")
    prepare_task("smoke", "denoising")
    train(RUN, run_settings(load_profile("smoke"), "denoising", "ir-sde+l2", 0), overwrite=False)
    yield
    patch.undo()


def evaluated(**options):
    wanted = Evaluation(RUN, SET, EvaluationOptions("posterior", 3, **options))
    evaluate(wanted, load_profile("smoke").evaluation)
    return wanted.folder


def psnr(folder):
    return pd.read_csv(folder / "per_image.csv")["psnr"].tolist()


def test_every_file_of_an_evaluation_is_there(project):
    folder = evaluated()
    table = pd.read_csv(folder / "per_image.csv")
    assert list(table.columns) == ["image", "scene", *METRICS, "nfe", "reference"]
    assert (table["nfe"] == 3).all()
    protocols = pd.read_csv(folder / "protocols.csv")
    assert set(protocols["protocol"]) == set(PROTOCOLS)
    assert len(protocols) == len(table) * len(PROTOCOLS)
    usual = protocols[protocols["protocol"] == "rgb"]
    assert usual["psnr"].tolist() == table["psnr"].tolist()
    summary = json.loads((folder / "summary.json").read_text())
    means = {metric["name"]: metric for metric in summary["metrics"]}
    assert math.isclose(means["psnr"]["mean"], table["psnr"].mean())
    assert means["psnr"]["low"] < means["psnr"]["mean"] < means["psnr"]["high"]
    assert means["lpips"]["mean"] is None
    assert summary["distribution"]["fid"]["reason"]
    meters = json.loads((folder / "cost.json").read_text())
    assert meters["seconds_per_image"] * len(table) == pytest.approx(meters["seconds"])
    assert meters["joules"] is None


def test_the_options_of_an_evaluation_change_it_and_its_folder(project):
    usual = evaluated()
    for options in (
        {"weights": "raw"},
        {"precision": "bfloat16"},
        {"sampling_seed": 1},
        {"grid": "quadratic"},
        {"conversion": "plain"},
    ):
        other = evaluated(**options)
        assert other != usual
        assert psnr(other) != psnr(usual)
        summary = json.loads((other / "summary.json").read_text())
        assert {name: summary[name] for name in options} == options


def test_an_evaluation_repeated_gives_the_same_bits(project):
    def content(folder):
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return {p.relative_to(folder): p.read_bytes() for p in files if p.name != "cost.json"}

    first = content(evaluated(sampling_seed=3))
    assert content(evaluated(sampling_seed=3)) == first


def test_the_batch_does_not_matter(project):
    folder = evaluated(sampling_seed=4)
    first = psnr(folder)
    settings = load_profile("smoke").evaluation.model_copy(update={"batch": 1})
    evaluate(Evaluation(RUN, SET, EvaluationOptions("posterior", 3, sampling_seed=4)), settings)
    assert psnr(folder) == pytest.approx(first, abs=1e-4)


def test_raw_weights_need_the_checkpoint_of_the_run(project):
    checkpoints = RUN.folder / "checkpoint"
    away = checkpoints.rename(RUN.folder / "away")
    with pytest.raises(InputError, match="no checkpoint of this run"):
        evaluated(weights="raw", sampling_seed=5)
    away.rename(checkpoints)


def test_states_lead_from_the_clean_image_to_the_noise_and_back(project):
    folder = evaluated() / "states"
    states = json.loads((folder / "states.json").read_text())
    assert states["forward"] == sorted(states["forward"])
    assert states["reverse"] == states["forward"][::-1]
    clean = read_image(pairs_folder("smoke", "denoising", SET) / f"GT/{states['image']}.png")
    assert np.array_equal(read_image(folder / "forward-0.png"), clean)
    restored = read_image(folder.parent / f"images/{states['image']}.png")
    assert np.array_equal(read_image(folder / "reverse-0.png"), restored)
    last = states["forward"][-1]
    assert not np.array_equal(read_image(folder / f"forward-{last}.png"), clean)


def test_multiply_accumulates_are_those_of_the_layers(monkeypatch):
    """NAFNet of width 8 with one block at each of two levels, counted by hand for a pixel."""
    monkeypatch.chdir(PROJECT)

    def block(width):  # 1x1: w to 2w, w to w, w to 2w, w to w; depthwise 3x3 of 2w
        return 6 * width**2 + 18 * width

    ends = 9 * 6 * 8 + 9 * 8 * 3
    down, up = 4 * 8 * 16 / 4, 16 * 32 / 4
    expected = ends + 2 * block(8) + down + block(16) / 4 + up
    settings = run_settings(load_profile("smoke"), "super-resolution", "regression", 0)
    network = restorer.restorer_of(settings, restorer.build_network(settings))
    assert multiply_accumulates(network, 64, 96) == pytest.approx(expected * 64 * 96, rel=0.01)


def command(*arguments):
    done = CliRunner().invoke(app, ["evaluate", *arguments])
    if isinstance(done.exception, InputError):
        return str(done.exception)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_noise_of_an_image_depends_on_no_other_image(project, monkeypatch):
    """A network that returns its state shows the noise itself, to the last bit."""
    monkeypatch.setattr(Restorer, "output", lambda _, x_t, mu, step: 0.01 * x_t)
    profile = Path("workflow/config/smoke.yaml")
    written = profile.read_text()
    table = RUN.folder / f"evaluations/{SET}/posterior-3-sampling6/per_image.csv"
    content = {}
    for batch in (1, 4):
        assert written.count("  nfe: 3\n  batch: 3\n") == 1
        profile.write_text(written.replace("  batch: 3\n", f"  batch: {batch}\n"))
        assert load_profile("smoke").evaluation.batch == batch
        command("--run", str(RUN.folder), "--nfe", "3", "--sampling-seed", "6")
        content[batch] = table.read_bytes()
    profile.write_text(written)
    assert content[1] == content[4]
    assert len(set(pd.read_csv(table)["psnr"])) > 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--conversion", "plain", "--sampler", "euler-maruyama"], "omit --conversion"),
        (["--grid", "quadratic", "--nfe", "1"], "omit --grid"),
        (["--grid", "cubic"], "unknown grid 'cubic'"),
        (["--sampler", "rk4"], "unknown sampler 'rk4'"),
    ],
)
def test_options_without_effect_are_refused_by_the_command(project, arguments, words):
    before = sorted((RUN.folder / "evaluations" / SET).glob("*"))
    assert words in command("--run", str(RUN.folder), "--dataset", SET, *arguments)
    assert sorted((RUN.folder / "evaluations" / SET).glob("*")) == before


def test_options_of_a_network_are_refused_for_the_degraded_input(project):
    run = Run("smoke", "denoising", "identity", 0)
    train(run, run_settings(load_profile("smoke"), "denoising", "identity", 0), overwrite=False)
    for option, value in (("weights", "raw"), ("precision", "bfloat16"), ("nfe", "5")):
        assert f"--{option}" in command("--run", str(run.folder), f"--{option}", value)
    assert not (run.folder / "evaluations").exists()
    assert "dB over" in command("--run", str(run.folder))


def test_a_run_of_a_method_that_its_task_has_no_longer_gets_one_line(project, monkeypatch):
    run = Run("smoke", "denoising", "classical", 0)
    train(run, run_settings(load_profile("smoke"), "denoising", "classical", 0), overwrite=False)
    monkeypatch.setitem(TASKS, "denoising", replace(TASKS["denoising"], classical=None))
    text = command("--run", str(run.folder))
    assert "classical on denoising: n/a, there is no classical method for denoising" in text


def test_energy_is_that_of_the_restoration_alone(project, monkeypatch):
    """A driver's counter that rises by 1 J at each call of the network and 1 kJ at each scoring."""

    counted = 0

    def costing(function, millijoules):
        def call(*arguments, **options):
            nonlocal counted
            counted += millijoules
            return function(*arguments, **options)

        return call

    monkeypatch.setattr(meters, "_energy_counter", lambda _: lambda: counted)
    monkeypatch.setattr(evaluation, "score", costing(evaluation.score, 10**6))
    monkeypatch.setattr(evaluation, "load_pairs", costing(evaluation.load_pairs, 10**6))
    monkeypatch.setattr(Restorer, "output", costing(Restorer.output, 1000))
    folder = evaluated(sampling_seed=7)
    batches = -(-len(psnr(folder)) // load_profile("smoke").evaluation.batch)
    assert read_json(folder / "cost.json")["joules"] == 3 * batches


def test_weights_and_images_that_are_not_finite_are_refused(project, monkeypatch):
    weights, card = RUN.folder / "weights.safetensors", RUN.folder / "run.json"
    good = weights.read_bytes(), card.read_bytes()
    tensors = load_file(weights)
    tensors["ending.bias"][0] = math.nan
    save_file(tensors, weights)
    write_json(card, {**read_json(card), "weights_sha256": digest_file(weights)})
    with pytest.raises(InputError, match=r"ending\.bias holds NaN or infinite values"):
        evaluated(sampling_seed=8)
    weights.write_bytes(good[0])
    card.write_bytes(good[1])
    monkeypatch.setattr(Restorer, "output", lambda _, x_t, mu, step: x_t * math.inf)
    with pytest.raises(InputError, match="the restored image has values that are not finite"):
        evaluated(sampling_seed=8)
    assert not (RUN.folder / f"evaluations/{SET}/posterior-3-sampling8").exists()


def test_memory_of_a_gpu_is_that_of_the_restoration_alone(monkeypatch):
    """100 bytes of weights, 50 and 60 of activations; between them scoring keeps 1000."""
    held, peaks = iter([100, 1100]), iter([150, 1160])
    for name, function in {
        "synchronize": lambda _: None,
        "reset_peak_memory_stats": lambda _: None,
        "memory_allocated": lambda _: next(held),
        "max_memory_allocated": lambda _: next(peaks),
    }.items():
        monkeypatch.setattr(torch.cuda, name, function)
    monkeypatch.setattr(meters, "_energy_counter", lambda _: None)
    meter = meters.Meter(torch.device("cuda"))
    for _ in range(2):
        with meter.running():
            pass
    assert meter.memory()["peak_gpu_memory_bytes"] == 160
    assert meter.joules is None


PLACES = [f"{SET}/posterior-2-sampling{seed}" for seed in (5, 6)] + [f"{SET}/posterior-2-raw"]


def shared(*places, **options):
    given = [part for place in places for part in ("--evaluation", place)]
    command = ["evaluate", "--run", RUN.folder.as_posix(), *given]
    return CliRunner().invoke(app, [*command, *options.get("further", ())])


def test_evaluations_that_share_a_process_give_the_bytes_of_those_made_alone(project, monkeypatch):
    def content(place):
        folder = RUN.folder / "evaluations" / place
        return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    loads = []
    load = restorer.load_restorer
    monkeypatch.setattr(restorer, "load_restorer", lambda *a: loads.append(1) or load(*a))
    assert shared(*PLACES, further=["--done", "done.json"]).exit_code == 0
    assert len(loads) == 2  # moving average and raw
    together = {place: content(place) for place in PLACES}
    assert read_json(Path("done.json")) == {
        place: digest_file(RUN.folder / "evaluations" / place / "summary.json") for place in PLACES
    }
    for place in PLACES:
        shutil.rmtree(RUN.folder / "evaluations" / place)
        assert shared(place).exit_code == 0
        alone = content(place)
        assert alone.keys() == together[place].keys()
        assert [n for n in alone if n != "cost.json" and alone[n] != together[place][n]] == []


def test_an_evaluation_that_fails_leaves_the_others_and_no_list(project):
    places = [f"{SET}/posterior-3-sampling7", "absent/posterior-3", f"{SET}/posterior-2"]
    ended = shared(*places, further=["--done", "list.json"])
    assert isinstance(ended.exception, InputError)
    assert "1 of 3 evaluations failed: absent/posterior-3; the others" in str(ended.exception)
    assert "data/prepared/smoke/denoising/absent" in ended.output
    for place in (places[0], places[2]):
        assert (RUN.folder / "evaluations" / place / "summary.json").is_file()
    assert not Path("list.json").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--evaluation", "a/posterior-3", "--nfe", "3"], "--nfe does not go with --evaluation"),
        (["--evaluation", "a/posterior-3", "--dataset", "a"], "--dataset does not go with"),
        (["--evaluation", "posterior-3"], "not the name of an evaluation"),
        (["--evaluation", "../posterior-3"], "--evaluation: "),
        (["--done", "done.json"], "--done goes with --evaluation only"),
    ],
)
def test_evaluations_named_by_their_folders_take_no_other_choice(project, arguments, words):
    ended = CliRunner().invoke(app, ["evaluate", "--run", RUN.folder.as_posix(), *arguments])
    assert isinstance(ended.exception, InputError)
    assert words in str(ended.exception)
