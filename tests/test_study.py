"""The committed study: its weights restore the wheel's photographs to the committed numbers."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from irsde.audit.evidence import import_evidence
from irsde.data.fetch.fetching import fetch
from irsde.data.prepare import prepare
from irsde.evaluation.evaluate import evaluate
from irsde.experiment.grid import Evaluation, default_sampler, run_of
from irsde.experiment.options import EvaluationOptions
from irsde.experiment.profile import load_profile
from irsde.files import digest_file, read_json
from tests.project import PROJECT, copy_project

STUDY = PROJECT / "reports/study"
RUNS = sorted(
    file.parent.relative_to(STUDY)
    for file in (STUDY / "results/bench").glob("*/*/seed0/weights.safetensors")
)
SET = "photographs-test"
DECIBELS, SHARE = 0.01, 0.001  # other processors round otherwise; on one machine bits are equal


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(copy_project(tmp_path_factory.mktemp("project")))
        patch.setenv("IRSDE_LPIPS_WEIGHTS", "")
        import_evidence("bench", STUDY)
        fetch(SET)
        yield


@pytest.mark.parametrize("folder", RUNS, ids=lambda folder: "/".join(folder.parts[2:4]))
def test_committed_weights_give_the_committed_numbers(folder, project):
    run, profile = run_of(folder), load_profile("bench")
    data = profile.data.of(run.task)
    if data.masks and not Path("data", data.masks).exists():
        pytest.skip(f"{data.masks} is absent: its masks are not ours to pass on")
    prepare("bench", run.task, SET, data)
    sampler, nfe = default_sampler(profile, run.method)
    evaluation = Evaluation(run, SET, EvaluationOptions(sampler, nfe))
    committed = pd.read_csv(evaluation.folder / "per_image.csv")
    shutil.rmtree(evaluation.folder)
    evaluate(evaluation, profile.evaluation)
    again = pd.read_csv(evaluation.folder / "per_image.csv")
    assert list(again["image"]) == list(committed["image"])
    np.testing.assert_allclose(again["psnr"], committed["psnr"], atol=DECIBELS)
    np.testing.assert_allclose(again["ssim"], committed["ssim"], rtol=SHARE)


def test_all_tasks_have_weights_small_enough_for_git():
    profile = load_profile("bench")
    assert {folder.parts[2] for folder in RUNS} == set(profile.tasks)
    files = [STUDY / folder / "weights.safetensors" for folder in RUNS]
    assert sum(file.stat().st_size for file in files) <= 20e6
    for file in files:
        assert digest_file(file) == read_json(file.parent / "run.json")["weights_sha256"]
        assert "Training images" in (file.parent / "README.md").read_text()


def test_committed_means_are_those_of_the_committed_images():
    summaries = sorted((STUDY / "results/bench").rglob("summary.json"))
    assert summaries
    for file in summaries:
        with (file.parent / "per_image.csv").open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        for metric in read_json(file)["metrics"]:
            if metric["mean"] is not None:
                mean = np.mean([float(row[metric["name"]]) for row in rows])
                assert mean == pytest.approx(metric["mean"], rel=1e-9), file
