"""Holes of prepared pairs lie where the adopted set's masks say, from the files to the pixels."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from irsde.data.adopt.adoption import adopt
from irsde.data.catalogue import read_catalogue
from irsde.data.pairs import load_pairs
from irsde.data.prepare import prepare
from irsde.experiment.profile import TaskData
from irsde.files import InputError
from irsde.images import read_image, write_image
from irsde.seeds import numpy_generator
from tests.project import PROJECT
from tests.reference import DATA, needs_data


def split(role, **patterns):
    return {"label": role, "role": role, "images": 3, "layouts": [patterns]}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Writes a catalogue of faces with masks, and a set of masks, each with what marks a hole."""
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)

    def write(faces=None, masks=None):
        splits = {
            "faces": split("test", clean="GT/{image}.*", mask="mask/{image}.*"),
            "strokes": split("masks", mask="strokes/{image}.*"),
        }
        for name, holes in (("faces", faces), ("strokes", masks)):
            splits[name] |= {"holes": holes} if holes else {}
        family = {"label": "f", "tasks": ["inpainting"], "licence": "none", "splits": splits}
        Path("data/catalogue.yaml").write_text(yaml.safe_dump({"family": family}))
        read_catalogue()

    return write


def rectangle(k):
    marked = np.zeros((32, 40), bool)
    marked[4 * k : 4 * k + 10, 3 : 20 + k] = True
    return marked


def files(folder, part, holes):
    """Three masks whose rectangle is of the colour that marks a hole, and as many faces."""
    for k in range(3):
        tone = rectangle(k) if holes == "white" else ~rectangle(k)
        (folder / part).mkdir(parents=True, exist_ok=True)
        Image.fromarray(tone.astype(np.uint8) * 255).save(folder / part / f"{k}.png")
        (folder / "GT").mkdir(exist_ok=True)
        pixels = numpy_generator("face", k).integers(0, 255, (32, 40, 3), dtype=np.uint8)
        write_image(folder / "GT" / f"{k}.png", pixels)


def settings(test, **changes):
    return TaskData.model_validate({"train": "t", "validation": "v", "test": test, **changes})


def check_holes(pairs):
    assert len(pairs) == 3
    for k, pair in enumerate(pairs):
        assert np.array_equal((pair.lq == 255).all(axis=2), rectangle(k))
        assert np.array_equal(pair.lq[~rectangle(k)], pair.x0[~rectangle(k)])


@pytest.mark.parametrize("holes", ["white", "black"])
def test_holes_are_where_the_masks_of_an_adopted_set_say(project, tmp_path, holes):
    project(faces=holes, masks="black")
    files(tmp_path / "here", "mask", holes)
    adopt(tmp_path / "here", "faces")
    check_holes(load_pairs(prepare("p", "inpainting", "faces", settings("faces"))))


@pytest.mark.parametrize("holes", ["white", "black"])
def test_holes_are_where_the_masks_of_the_profile_say(project, tmp_path, holes):
    project(faces="white", masks=holes)
    files(tmp_path / "here", "mask", "white")
    files(tmp_path / "there", "strokes", holes)
    adopt(tmp_path / "here", "faces")
    adopt(tmp_path / "there", "strokes")
    chosen = settings("faces", masks="strokes")
    check_holes(load_pairs(prepare("p", "inpainting", "faces", chosen)))


def test_a_catalogue_that_does_not_say_what_marks_a_hole_is_refused(project):
    with pytest.raises(InputError, match=r"strokes: has masks: say with holes whether white or"):
        project(faces="white")


def test_holes_of_a_set_without_masks_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    splits = {"faces": {**split("test", clean="GT/{image}.*"), "holes": "white"}}
    family = {"label": "f", "tasks": ["inpainting"], "licence": "none", "splits": splits}
    Path("data/catalogue.yaml").write_text(yaml.safe_dump({"family": family}))
    with pytest.raises(InputError, match="holes is of sets with masks"):
        read_catalogue()


@needs_data
def test_holes_of_the_celeba_samples_are_where_their_masks_are_white(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    shutil.copy(PROJECT / "data/catalogue.yaml", "data")
    shutil.copytree(PROJECT / "data/fingerprints", "data/fingerprints")
    source = DATA / "CelebA-HQ-samples" / "ResShift_256"
    name = "celeba-hq-samples-test"
    adopt(source, name)
    pairs = load_pairs(prepare("p", "inpainting", name, settings(name)))
    assert len(pairs) == 8
    for pair in pairs:
        white = read_image(source / "mask" / f"{pair.image}.png")[..., 0] > 127
        assert (pair.lq[white] == 255).all()
        assert np.array_equal(pair.lq[~white], pair.x0[~white])
