"""Evaluations: what is written, and what their options change."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from irsde.config import load_profile, run_settings
from irsde.cost import multiply_accumulates
from irsde.evaluation import evaluate
from irsde.files import InputError
from irsde.images import read_image
from irsde.metrics import METRICS
from irsde.plan import Evaluation, Run, pairs_folder
from irsde.protocols import PROTOCOLS
from irsde.training import train
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
    evaluation = Evaluation(RUN, SET, "posterior", 3, **options)
    evaluate(evaluation, load_profile("smoke").evaluation)
    return evaluation.folder


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
    cost = json.loads((folder / "cost.json").read_text())
    assert cost["seconds_per_image"] * len(table) == pytest.approx(cost["seconds"])
    assert cost["joules"] is None


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
    evaluate(Evaluation(RUN, SET, "posterior", 3, sampling_seed=4), settings)
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
    assert multiply_accumulates(settings, 64, 96) == pytest.approx(expected * 64 * 96, rel=0.01)
