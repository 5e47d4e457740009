"""What both engines make again, and what they leave: own data, settings, imported evidence."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from irsde.files import read_json
from irsde.images import write_image
from irsde.seeds import numpy_generator
from tests.project import OWN, PROJECT, call, copy_project

pytestmark = pytest.mark.slow

SHARED = PROJECT.parent / "shared/data"
RUN = "results/own/denoising/identity/seed0"
SUMMARY = f"{RUN}/evaluations/mine/direct-0/summary.json"
ENGINES = {
    "snakemake": ("snakemake", "--cores", "2", f"{RUN}/evaluated.json"),
    "dvc": ("dvc", "repro", "--quiet", "evaluate@denoising_identity_seed0"),
}


def photo(name: str) -> None:
    pixels = numpy_generator("photo", name).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    write_image(Path("data/mine/GT", f"{name}.png"), pixels)


@pytest.fixture
def own(engine, tmp_path, monkeypatch):
    """A project with a data set of one's own, and the engine's command for its evaluation."""
    monkeypatch.chdir(copy_project(tmp_path))
    Path("data/mine/GT").mkdir(parents=True)
    Path("data/mine/dataset.yaml").write_text("label: Mine\n")
    for name in ("one", "two"):
        photo(name)
    Path("workflow/config/own.yaml").write_text(OWN)
    call(tmp_path, "irsde", "plan", "--profile", "own")
    return lambda: call(tmp_path, *ENGINES[engine])


@pytest.mark.parametrize("engine", ENGINES)
def test_changes_of_own_data_are_noticed_and_the_earlier_numbers_kept(engine, own):
    own()
    first = read_json(Path(SUMMARY))
    assert first["dataset"]["pairs"] == 2
    if engine == "dvc":  # by Snakemake test_a_second_call_of_snakemake_does_nothing has it
        own()
        assert read_json(Path(SUMMARY)) == first
    photo("three")
    own()
    second = read_json(Path(SUMMARY))
    assert second["dataset"]["pairs"] == 3
    shutil.copy("data/mine/GT/two.png", "data/mine/GT/three.png")
    own()
    third = read_json(Path(SUMMARY))
    assert third["dataset"]["fingerprint"] != second["dataset"]["fingerprint"]
    kept = [read_json(path) for path in Path("results/replaced").rglob("summary.json")]
    assert {card["dataset"]["pairs"] for card in kept} == {2, 3}


def test_neither_engine_trains_the_imported_study_again(tmp_path, monkeypatch):
    if not SHARED.is_dir():
        pytest.skip("the benchmark images are not here")
    monkeypatch.chdir(copy_project(tmp_path))
    shutil.copytree(PROJECT / "reports/study/results/bench", "evidence/results/bench")
    text = call(tmp_path, "irsde", "evidence", "import", "evidence", "--profile", "bench")
    assert "other code" not in text
    for name in ("BSDS500", "CBSD68", "Kodak24"):
        call(tmp_path, "irsde", "data", "adopt", str(SHARED / name))
    call(tmp_path, "irsde", "data", "fetch", "photographs-test")
    call(tmp_path, "irsde", "data", "prepare", "--profile", "bench", "--task", "denoising")
    call(tmp_path, "irsde", "plan", "--profile", "bench")
    planned = call(tmp_path, "snakemake", "--cores", "2", "--dry-run", "reports/tables.md")
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", planned, re.MULTILINE))
    assert int(jobs["prepare"]) > 0
    assert not jobs.keys() & {"train", "tune"}
    stages = call(tmp_path, "dvc", "stage", "list", "--all", "--name-only")
    assert "prepare@denoising" in stages  # a dry run of DVC stops at the first file that is missing
    assert not re.search(r"(train|tune)@", stages)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_keeps_what_another_setting_replaces(engine, tmp_path, monkeypatch):
    monkeypatch.chdir(copy_project(tmp_path))
    run = Path("results/smoke/denoising/regression/seed0")
    command = {
        "snakemake": ("snakemake", "--cores", "2", f"{run}/run.json"),
        "dvc": ("dvc", "repro", "--quiet", "train@denoising_regression_seed0"),
    }[engine]
    call(tmp_path, *command)
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    profile = Path("workflow/config/smoke.yaml")
    profile.write_text(profile.read_text().replace("learning_rate: 0.001", "learning_rate: 0.01"))
    call(tmp_path, "irsde", "plan", "--profile", "smoke")
    call(tmp_path, *command)
    (kept,) = Path("results/replaced").rglob("run.json")
    assert json.loads(kept.read_text())["settings"]["training"]["learning_rate"] == 0.001
    for name in ("run.json", "weights.safetensors", "training.csv"):
        assert (kept.parent / name).read_bytes() == before[name]
        assert (run / name).read_bytes() != before[name]
