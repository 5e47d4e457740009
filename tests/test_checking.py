"""Leakage end to end: found, refused, allowed, recorded, and shown apart in the tables."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from skimage import data

from irsde.data.leakage.check import check_sets, find_leaks, pictures
from irsde.data.sets import Record, write_dataset
from irsde.experiment.cards import DatasetCard
from irsde.experiment.grid import leakage_file
from irsde.files import InputError, digest, read_json
from irsde.images import read_image, write_image
from tests.project import PROJECT, call, copy_project
from tests.reference import DATA, needs_data

PHOTOS = {
    "astronaut": data.astronaut(),
    "coffee": data.coffee(),
    "chelsea": data.chelsea(),
    "rocket": data.rocket(),
}


def make_set(name, images, scenes=None):
    from irsde.data.sets import dataset_folder

    folder = dataset_folder(name)
    (folder / "GT").mkdir(parents=True, exist_ok=True)
    records = []
    for image, pixels in images.items():
        write_image(folder / "GT" / f"{image}.png", pixels)
        scene = (scenes or {}).get(image, f"{name}-{image}")
        sha256 = digest(np.ascontiguousarray(pixels).tobytes())
        records.append(Record(image, scene, gt=f"GT/{image}.png", gt_sha256=sha256))
    card = DatasetCard(dataset=name, label=name, licence="none", tasks=[], source="made")
    write_dataset(folder, records, card)


@pytest.fixture
def project(tmp_path, monkeypatch):
    copy_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    make_set("mine-train", {"a": PHOTOS["astronaut"], "b": PHOTOS["coffee"][:, ::-1]})
    make_set("mine-validation", {"v": PHOTOS["rocket"]})
    make_set("mine-test", {"x": PHOTOS["coffee"], "y": PHOTOS["chelsea"]})
    profile = yaml.safe_load((tmp_path / "workflow/config/smoke.yaml").read_text())
    profile["tasks"] = ["denoising"]
    profile["methods"] = ["identity", "regression"]
    profile["data"] = {
        "train": "mine-train",
        "validation": "mine-validation",
        "test": "mine-test",
        "window": 32,
    }
    profile["variants"] = {}
    profile["sweeps"] = []

    def write(**changes):
        profile["data"].update(changes)
        (tmp_path / "workflow/config/mine.yaml").write_text(yaml.safe_dump(profile))

    write()
    call(tmp_path, "irsde", "plan", "--profile", "mine")
    return write


def evidence(leaks):
    return {(leak.train_image, leak.test_image, leak.evidence) for leak in leaks}


def test_each_kind_of_evidence_is_found_and_the_strongest_said(project):
    make_set("again", {"same": PHOTOS["coffee"], "named": PHOTOS["rocket"]}, {"named": "cats"})
    make_set("tested", {"x": PHOTOS["coffee"], "y": PHOTOS["chelsea"]}, {"y": "cats"})
    leaks = find_leaks(pictures(["again", "mine-train"]), pictures(["tested"]))
    assert evidence(leaks) == {
        ("same", "x", "same pixels"),
        ("b", "x", "same look"),
        ("named", "y", "same scene"),
    }


def test_folders_and_sets_can_be_compared_with_a_table_and_a_sheet(project, tmp_path):
    folder = tmp_path / "folder/deep"
    folder.mkdir(parents=True)
    write_image(folder / "turned.png", np.ascontiguousarray(PHOTOS["chelsea"][::-1]))
    text = check_sets(
        [str(tmp_path / "folder")], ["mine-test"], [], tmp_path / "s.png", tmp_path / "t.csv"
    )
    assert "1 pairs show the same (1 by same look); test images: 1 of mine-test" in text
    table = pd.read_csv(tmp_path / "t.csv")
    assert table[["train_image", "test_image"]].to_numpy().tolist() == [["deep/turned", "y"]]
    assert read_image(tmp_path / "s.png").std() > 20
    assert "none of 1 training images" in check_sets(["mine-validation"], ["mine-test"], [])


def test_a_leaking_training_is_refused_until_scenes_are_left_out(project, tmp_path):
    out = call(tmp_path, "irsde", "data", "prepare", "--task", "denoising")
    assert "mine-train/b = mine-test/x (same look)" in out
    train = ("irsde", "train", "--task", "denoising", "--method", "regression")
    words = call(tmp_path, *train, code=2)
    assert "1 test images are shown in the training data, the first mine-test/x by" in words
    assert not (tmp_path / "results").exists()
    make_set(
        "mine-train",
        {"a": PHOTOS["astronaut"], "b": PHOTOS["coffee"][:, ::-1]},
        {"b": "coffee"},
    )
    make_set("mine-test", {"x": PHOTOS["coffee"], "y": PHOTOS["chelsea"]}, {"x": "coffee"})
    assert "is of other data sets" in call(tmp_path, *train, code=2)
    project(without="mine-test")
    assert "none of 2 training images" in call(
        tmp_path, "irsde", "data", "prepare", "--task", "denoising"
    )
    assert "trained" in call(tmp_path, *train)


def test_allowed_leakage_stands_in_the_card_and_in_the_tables(project, tmp_path):
    project(allow_leakage=True)
    call(tmp_path, "irsde", "data", "prepare", "--task", "denoising")
    for method in ("identity", "regression"):
        options = ("--task", "denoising", "--method", method)
        call(tmp_path, "irsde", "train", *options)
        run = f"results/mine/denoising/{method}/seed0"
        call(tmp_path, "irsde", "evaluate", "--run", run)
    call(tmp_path, "irsde", "report")
    card = read_json(tmp_path / "results/mine/denoising/regression/seed0/run.json")
    assert card["leakage"] == {"mine-test": 1}
    text = (tmp_path / "reports/tables.md").read_text()
    assert "Leakage: 1 of the 2 test images show what a training or validation image" in text
    assert "Without the images that are shown in the training data, 1 image of 1 scene" in text
    assert text.count("regression/seed0/run.json") >= 2


def test_the_option_allows_it_too(project, tmp_path):
    call(tmp_path, "irsde", "data", "prepare", "--task", "denoising")
    call(
        tmp_path, "irsde", "train", "--task", "denoising", "--method", "regression",
        "--allow-leakage",
    )  # fmt: skip
    card = json.loads((tmp_path / "results/mine/denoising/regression/seed0/run.json").read_text())
    assert card["leakage"] == {"mine-test": 1}
    assert card["settings"]["data"]["allow_leakage"] is True
    assert leakage_file("mine", "denoising").is_file()


def test_what_the_catalogue_knows_of_common_scenes_is_said_whatever_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    shutil.copy(PROJECT / "data/catalogue.yaml", "data")
    make_set("mine-test", {"x": PHOTOS["chelsea"]})
    make_set("lol-train", {"81": PHOTOS["coffee"]})
    make_set("lol-test", {"79": PHOTOS["chelsea"]})
    known = "14 of the 15 test images show a scene of the training set"
    for train, test in (("lol-train", "lol-test"), ("lol-test", "lol-train")):
        text = check_sets([train], [test], [])
        assert f"the catalogue says of {train} and {test}: {known}" in text
    assert "the catalogue" not in check_sets(["lol-train"], ["mine-test"], [])


def test_an_absent_set_is_named(project):
    with pytest.raises(InputError, match="nowhere: no data set in data/ and no folder"):
        pictures(["nowhere"])


@needs_data
def test_rain100h_is_found_in_bsd_exactly(project):
    truth = pd.read_csv(DATA / "BSDS500/lists/rain100_test_gt_to_bsd.csv")
    wanted = {
        (int(row.rain100_index), row.bsd_file.rpartition("/")[2].removesuffix(".jpg"))
        for row in truth.itertuples()
    }
    shown = pictures([str(DATA / "BSDS500"), str(DATA / "CBSD68")])
    tested = pictures([str(DATA / "Rain100H-test/GT")])
    leaks = find_leaks(shown, tested)
    found = [(int(leak.test_image), leak.train_image.rpartition("/")[2]) for leak in leaks]
    assert sorted(found) == sorted(wanted)
    assert len(found) == 100
    free = (DATA / "BSDS500/lists/not_in_CBSD68_nor_Rain100test.txt").read_text().split()
    names = {name.removesuffix(".jpg") for name in free}
    assert find_leaks([p for p in shown if p.image in names], tested) == []
