"""Sets of one's own: what marks a hole, which files are read, and that changes are noticed."""

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from irsde import cli, files
from irsde.audit.integrity import damages
from irsde.data import sets
from irsde.data.adopt.adoption import adopt
from irsde.data.fetch.fetching import fetch
from irsde.data.pairs import load_pairs
from irsde.data.prepare import prepare
from irsde.data.sets import dataset_card, read_records, source_fingerprint
from irsde.experiment.profile import TaskData
from irsde.files import InputError
from tests.project import PROJECT

CATALOGUE = """
photographs:
  label: Photographs
  tasks: [denoising]
  licence: stated for each
  splits:
    coffee:
      label: coffee
      role: test
      images: 1
      photographs: {coffee: CC0}
"""
SETTINGS = TaskData.model_validate({"train": "t", "validation": "v", "test": "mine"})


def picture(seed, size=(64, 48)):
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def save(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Two pairs in `data/mine`, indexed."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data" / "mine"
    for k, name in enumerate("ab"):
        save(folder / "GT" / f"{name}.png", picture(k))
        save(folder / "LQ" / f"{name}.png", picture(10 + k))
    (folder / "dataset.yaml").write_text("label: Mine\ntask: deraining\n")
    (tmp_path / "data" / "catalogue.yaml").write_text(CATALOGUE)
    fetch("mine")
    return folder


def run(monkeypatch, capsys, *arguments):
    """Exit code, output and errors of a command."""
    monkeypatch.setattr("sys.argv", ["irsde", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capsys.readouterr()
    return ended.value.code, out, err


def masked(mine, mask, description):
    (mine / "dataset.yaml").write_text(f"label: Mine\n{description}")
    shutil.rmtree(mine / "LQ")
    for name in "ab":
        save(mine / "mask" / f"{name}.png", mask)


# Masks


@pytest.mark.parametrize("holes", ["white", "black"])
def test_holes_are_where_the_description_says(mine, holes):
    marked = np.zeros((48, 64), np.uint8)
    marked[:20] = 255
    stored = marked if holes == "white" else 255 - marked
    masked(mine, Image.fromarray(stored), f"task: inpainting\nholes: {holes}\n")
    fetch("mine")
    for pair in load_pairs(prepare("p", "inpainting", "mine", SETTINGS)):
        assert (pair.lq[:20] == 255).all()
        assert np.array_equal(pair.lq[20:], pair.x0[20:])


COLORED = Image.fromarray(
    np.pad(np.full((20, 64, 3), (0, 255, 0), np.uint8), ((0, 28), *[(0, 0)] * 2))
)


@pytest.mark.parametrize(
    ("mask", "description", "said"),
    [
        (
            Image.new("L", (64, 48), 0),
            "holes: white",
            "mask/a.png: marks nothing: black everywhere",
        ),
        (Image.new("L", (64, 48), 255), "holes: black", "a.png: marks nothing: white everywhere"),
        (Image.fromarray(np.eye(48, 64, dtype=np.uint8)), "holes: white", "has the values 0 and 1"),
        (COLORED, "holes: white", "has colors; a mask is black and white"),
        (COLORED, "", "data/mine/dataset.yaml: write 'holes: white' or 'holes: black', whichever"),
    ],
)
def test_a_mask_that_marks_nothing_and_an_unsaid_convention_are_refused(
    mine, mask, description, said
):
    masked(mine, mask, description)
    before = (mine / "pairs.csv").read_bytes()
    with pytest.raises(InputError) as refused:
        fetch("mine")
    assert said in str(refused.value)
    assert (mine / "pairs.csv").read_bytes() == before


def test_what_marks_a_hole_is_no_question_without_masks(mine):
    (mine / "dataset.yaml").write_text("label: Mine\nholes: white\n")
    with pytest.raises(InputError, match="holes: has no effect without images in mask/"):
        fetch("mine")


def test_a_folder_with_masks_is_adopted_once_its_description_says_what_marks_a_hole(mine, tmp_path):
    source = tmp_path / "elsewhere"
    save(source / "GT" / "a.png", picture(1))
    save(source / "mask" / "a.png", Image.fromarray(np.eye(48, 64, dtype=np.uint8) * 255))
    with pytest.raises(InputError, match=r"data/other/dataset\.yaml: write 'holes: white' or"):
        adopt(source, "other")
    assert not Path("data/other").exists()
    Path("data/other").mkdir()
    Path("data/other/dataset.yaml").write_text("label: Other\nholes: white\n")
    assert adopt(source, "other")[-1] == "adopted other"


# Formats


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "tiff", "webp"])
def test_formats_that_lose_nothing_make_one_set(mine, ending):
    options = {"lossless": True} if ending == "webp" else {}
    for part in ("GT", "LQ"):
        for path in sorted((mine / part).iterdir()):
            with Image.open(path) as image:
                image.save(path.with_suffix(f".{ending}"), **options)
            if ending != "png":
                path.unlink()
    before = [record.gt_sha256 for record in read_records(mine)]
    assert fetch("mine")[0] == "data/mine: 2 pairs, 2 scenes"
    assert [record.gt_sha256 for record in read_records(mine)] == before
    assert read_records(mine)[0].lq == f"LQ/a.{ending}"


def test_pictures_that_are_not_read_are_named_wherever_the_set_is(mine, monkeypatch, capsys):
    save(mine / "GT" / "c.gif", picture(3))
    (mine / "LQ" / "d.heic").write_bytes(b"x")
    (mine / "LQ" / "notes.txt").write_text("no picture")
    line = "skipped: 2 pictures (c.gif, d.heic); PNG, JPEG, BMP, TIFF or WebP are read"
    assert fetch("mine") == ["data/mine: 2 pairs, 2 scenes", line]
    assert line in run(monkeypatch, capsys, "data", "list", "mine")[1]
    assert line in adopt(mine.rename(mine.parent.parent / "elsewhere"), "mine")
    profile = yaml.safe_load((PROJECT / "workflow/config/smoke.yaml").read_text())
    profile |= {"tasks": ["deraining"], "methods": ["identity"], "variants": {}, "sweeps": []}
    profile["data"] = {"train": "t", "validation": "v", "test": "mine"}
    Path("workflow/config").mkdir(parents=True)
    Path("workflow/config/own.yaml").write_text(yaml.safe_dump(profile))
    save(Path("data/mine/GT/e.ppm"), picture(3))
    code, out, err = run(
        monkeypatch, capsys,
        "data", "prepare", "--profile", "own", "--task", "deraining", "--dataset", "mine",
    )  # fmt: skip
    assert err.startswith("next: ")
    assert (code, out.splitlines()) == (
        0,
        [
            "data/prepared/own/deraining/mine: ready",
            "skipped: 1 picture (e.ppm); PNG, JPEG, BMP, TIFF or WebP are read",
        ],
    )


# Names and kinds of files


@pytest.mark.parametrize("name", [b"caf\xe9.png", b"two\nlines.png"])
@pytest.mark.parametrize("command", ["fetch", "adopt"])
def test_a_name_that_is_no_text_is_refused_on_one_line(
    mine, monkeypatch, capsys, name, command, tmp_path
):
    file = os.fsencode(mine / "GT") + b"/" + name
    shutil.copy(mine / "GT" / "a.png", file)
    written = (mine / "dataset.json").read_bytes()
    arguments = ("mine",) if command == "fetch" else (mine, "--as", "other")
    code, _, err = run(monkeypatch, capsys, "data", command, *arguments)
    assert code == 2
    assert err.count("\n") == 1
    assert "its name is not plain UTF-8 text; rename it" in err
    assert (mine / "dataset.json").read_bytes() == written
    assert not Path("data/other").exists()


def test_a_pipe_among_the_images_is_named_and_not_opened(mine, monkeypatch, capsys):
    os.mkfifo(mine / "GT" / "pipe.png")
    code, _, err = run(monkeypatch, capsys, "data", "fetch", "mine")
    assert code == 2
    assert "GT/pipe.png cannot be read: not a regular file but a pipe, socket or device" in err
    assert source_fingerprint("mine") != "absent"
    with pytest.raises(InputError, match=r"not as it was indexed \(GT/pipe.png is new\)"):
        prepare("p", "deraining", "mine", SETTINGS)


# Changes


def replace_lq(folder):
    save(folder / "LQ" / "a.png", picture(99))


def add_pair(folder):
    for part in ("GT", "LQ"):
        save(folder / part / "c.png", picture(7))


def edit(folder):
    (folder / "dataset.yaml").write_text("label: Mine\ntask: dehazing\n")


def remove_pair(folder):
    for part in ("GT", "LQ"):
        (folder / part / "a.png").unlink()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (replace_lq, "an image or dataset.yaml is another one"),
        (add_pair, "GT/c.png is new, LQ/c.png is new"),
        (edit, "an image or dataset.yaml is another one"),
        (remove_pair, "GT/a.png is gone, LQ/a.png is gone"),
    ],
)
def test_a_change_is_noticed_and_fetch_takes_it_up(mine, change, said):
    before = source_fingerprint("mine")
    assert damages(mine) == (4, [])
    prepare("p", "deraining", "mine", SETTINGS)
    change(mine)
    assert source_fingerprint("mine") != before
    assert damages(mine)[1]
    with pytest.raises(InputError) as refused:
        prepare("p", "deraining", "mine", SETTINGS)
    assert str(refused.value) == (
        f"data/mine: not as it was indexed ({said}); run irsde data fetch mine"
    )
    fetch("mine")
    assert damages(mine)[1] == []
    if change is not edit:
        prepare("p", "deraining", "mine", SETTINGS)


def test_the_fingerprint_is_of_the_contents_alone(mine, tmp_path):
    before = source_fingerprint("mine")
    fetch("mine")
    (mine / "notes.txt").write_text("not part of it")
    os.utime(mine / "GT" / "a.png", (1, 1))
    assert source_fingerprint("mine") == before
    assert source_fingerprint("nowhere") == "absent"
    shutil.move(mine, tmp_path / "away")
    assert source_fingerprint("mine") == "absent"
    adopt(tmp_path / "away", "mine")
    shutil.copy(tmp_path / "away" / "dataset.yaml", mine)
    assert source_fingerprint("mine") == before


def test_files_that_are_as_last_time_are_not_read_again(mine, monkeypatch):
    old = time.time() - 100
    monkeypatch.setattr(sets, "SETTLED", 0)
    for file in mine.rglob("*.*"):
        os.utime(file, (old, old))
    time.sleep(0.01)
    first = source_fingerprint("mine")
    read = []
    digest_file = files.digest_file
    monkeypatch.setattr(files, "digest_file", lambda path: read.append(path) or digest_file(path))
    assert source_fingerprint("mine") == first
    assert read == []
    replacement = picture(98)
    save(mine / "LQ" / "a.png", replacement)
    os.utime(mine / "LQ" / "a.png", (old, old))
    assert source_fingerprint("mine") != first
    assert read == [Path("data/mine/LQ/a.png")]


def test_a_set_of_the_catalogue_is_known_by_its_card(mine):
    fetch("coffee")
    card = dataset_card(Path("data/coffee"))
    assert source_fingerprint("coffee") == card.fingerprint


# Listing


def test_a_set_that_the_overview_lists_is_described(mine, monkeypatch, capsys):
    assert "mine " in run(monkeypatch, capsys, "data", "list")[1]
    code, out, _ = run(monkeypatch, capsys, "data", "list", "mine")
    assert (code, out.splitlines()) == (
        0,
        [
            "Mine",
            "mine: a set of your own, described in data/mine/dataset.yaml, 2 images indexed",
            "task: deraining",
            "licence: not stated",
        ],
    )
    add_pair(mine)
    out = run(monkeypatch, capsys, "data", "list", "mine")[1]
    assert "not as it was indexed (GT/c.png is new, LQ/c.png is new)" in out
    shutil.rmtree(mine)
    assert run(monkeypatch, capsys, "data", "list", "mine")[0] == 2
