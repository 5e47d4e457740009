"""What `irsde restore` takes of a folder, by which settings, on how many threads, and refuses."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PILImage
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from irsde.cli import app
from irsde.experiment import provenance
from irsde.files import InputError, digest_file, read_json, write_json
from irsde.images import read_image
from irsde.restoration import photos
from irsde.restoration.photos import RestoreOptions, restore_photographs
from irsde.restoration.restorer import Restorer
from tests.fabricated import summary_of
from tests.test_restoring import PROJECT, SMALL, make_run, photograph


@pytest.fixture(autouse=True)
def in_project(monkeypatch):
    monkeypatch.chdir(PROJECT)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.chdir(PROJECT)
    yield make_run(tmp_path_factory.mktemp("runs") / "run", "deraining", attention=True)
    patch.undo()


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_bytes_do_not_depend_on_the_number_of_threads(tmp_path, run):
    for name, size in (("a.png", (100, 150)), ("b.png", (48, 40))):
        photograph(tmp_path / "photos" / name, *size)
    for threads in (1, 3):
        options = replace(SMALL, threads=threads)
        restore_photographs(tmp_path / "photos", run, tmp_path / str(threads), options)
    assert contents(tmp_path / "1") == contents(tmp_path / "3")


def test_all_cores_are_used_unless_told_otherwise(tmp_path, run, monkeypatch):
    photo = photograph(tmp_path / "photo.png")
    numbers = []
    in_order = photos._in_order

    def record(function, items, workers):
        numbers.append(workers)
        return in_order(function, items, workers)

    monkeypatch.setattr(photos, "_in_order", record)
    monkeypatch.setattr(photos, "available_cores", lambda: 3)
    restore_photographs(photo, run, tmp_path / "all", SMALL)
    restore_photographs(photo, run, tmp_path / "one", replace(SMALL, threads=1))
    assert numbers == ([1, 1] if torch.cuda.is_available() else [3, 1])


def test_what_a_folder_holds_besides_images_is_said_and_left_alone(tmp_path, run):
    folder = tmp_path / "photos"
    photograph(folder / "a.png", 40, 48)
    photograph(folder / "sub/d.png", 40, 48)
    (folder / "._a.png").write_bytes(b"Mac OS X")
    (folder / "notes.txt").write_text("notes")
    os.mkfifo(folder / "pipe.png")
    line, left_out = restore_photographs(folder, run, tmp_path / "out", SMALL).splitlines()
    assert "1 image restored" in line
    assert left_out == (
        f"skipped in {folder}: hidden files (._a.png), files of other kinds (notes.txt), "
        "what is not a regular file (pipe.png), folders (sub)"
    )
    with pytest.raises(InputError, match=r"pipe\.png: not a regular file"):
        restore_photographs(folder / "pipe.png", run, tmp_path / "out", SMALL)
    os.mkfifo(tmp_path / "mask")
    inpainting = make_run(tmp_path / "run", "inpainting")
    with pytest.raises(InputError, match="mask: not a regular file"):
        restore_photographs(
            folder, inpainting, tmp_path / "filled", replace(SMALL, mask=tmp_path / "mask")
        )


def test_a_folder_of_hidden_files_only_holds_no_image(tmp_path, run):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/._a.png").write_bytes(b"Mac OS X")
    with pytest.raises(InputError, match=r"image in this folder; skipped .*\(\._a\.png\)"):
        restore_photographs(tmp_path / "photos", run, tmp_path / "out", SMALL)


def test_a_name_that_is_not_utf8_is_refused_before_anything_is_written(tmp_path, run):
    folder = tmp_path / "photos"
    photograph(folder / "a.png", 40, 48)
    odd = photograph(folder / "b.png", 40, 48).rename(folder / os.fsdecode(b"b\xe9.png"))
    for source in (folder, odd):
        with pytest.raises(InputError, match=r"b\\xe9\.png: its name is not plain UTF-8"):
            restore_photographs(source, run, tmp_path / "out", SMALL)
    with pytest.raises(InputError, match="not plain UTF-8"):
        restore_photographs(folder / "a.png", run, tmp_path / os.fsdecode(b"out\xe9"), SMALL)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path, value):
    run = make_run(tmp_path / "run", "deraining")
    weights = load_file(run / "weights.safetensors")
    weights["ending.bias"][1] = value
    save_file(weights, run / "weights.safetensors")
    card = read_json(run / "run.json")
    card["weights_sha256"] = digest_file(run / "weights.safetensors")
    write_json(run / "run.json", card)
    photo = photograph(tmp_path / "photo.png", 40, 48)
    with pytest.raises(InputError, match=r"ending\.bias holds NaN or infinite values"):
        restore_photographs(photo, run, tmp_path / "out", SMALL)
    assert not (tmp_path / "out").exists()


def test_an_image_that_is_not_finite_is_not_written(tmp_path, run, monkeypatch):
    photo = photograph(tmp_path / "photo.png", 40, 48)
    restore = Restorer.restore

    def broken(self, *arguments, **options):
        restored = restore(self, *arguments, **options).clone()
        restored[0, 0, 3, 4] = float("nan")
        return restored

    monkeypatch.setattr(Restorer, "restore", broken)
    with pytest.raises(InputError, match=r"photo\.png: the restored image has values that are not"):
        restore_photographs(photo, run, tmp_path / "out", SMALL)
    assert contents(tmp_path / "out") == {}


def test_sampler_and_evaluations_are_those_of_the_runs_own_evaluations(tmp_path, run):
    photo = photograph(tmp_path / "photo.png", 40, 48)
    out, own = tmp_path / "own", tmp_path / "run"
    own.mkdir()
    for name in ("run.json", "weights.safetensors"):
        (own / name).write_bytes((run / name).read_bytes())

    def evaluated(sampler, nfe):
        summary = summary_of("ir-sde", sampler=sampler, nfe=nfe, settings={"nfe": 3})
        write_json(own / f"evaluations/set/{sampler}-{nfe}/summary.json", summary)

    evaluated("ddim", 5)
    line = restore_photographs(photo, own, tmp_path / "only", RestoreOptions(tile=64))
    assert line.endswith("; ddim, 5 network evaluations as in its evaluations")
    evaluated("posterior", 3)
    line = restore_photographs(photo, own, out, RestoreOptions(tile=64))
    assert line.endswith("; posterior, 3 network evaluations as in its evaluations")
    settings = read_json(out / "restored.json")["photo.png"]["settings"]
    assert (settings["sampler"], settings["nfe"], settings["conversion"]) == (
        "posterior",
        3,
        "exact",
    )
    line = restore_photographs(photo, own, tmp_path / "given", RestoreOptions(tile=64, nfe=2))
    assert line.endswith("; posterior, 2 network evaluations")


def test_without_evaluations_they_are_those_of_its_profile(tmp_path, run, monkeypatch):
    card = provenance.read_run_card(run)
    by_default = ("posterior", 100, " as the method has by default")
    assert photos.usual_sampling(run, card, None, 100) == by_default
    (tmp_path / "workflow").symlink_to(PROJECT / "workflow")
    monkeypatch.chdir(tmp_path)
    folder = Path("results/smoke/deraining/ir-sde/seed0")
    (tmp_path / folder).mkdir(parents=True)
    nfe = photos.load_profile("smoke").evaluation.nfe
    for given, most, expected in ((None, 100, nfe), ("ddim", 2, 2)):
        found = photos.usual_sampling(folder, card, given, most)
        assert found == (given or "posterior", expected, " as in profile smoke")


def test_the_committed_weights_are_sampled_as_the_study_samples_them(tmp_path):
    photo = photograph(tmp_path / "photo.png", 40, 48)
    done = CliRunner().invoke(
        app, ["restore", str(photo), "--task", "deraining", "--out", str(tmp_path / "out")]
    )
    assert done.exit_code == 0, done.output
    assert "posterior, 10 network evaluations as in its evaluations" in done.output
    entry = read_json(tmp_path / "out/restored.json")["photo.png"]
    assert entry["settings"]["nfe"] == 10
    assert not np.array_equal(read_image(tmp_path / "out/photo.png"), read_image(photo))


def test_a_gray_photograph_is_gray_through_the_command(tmp_path, run):
    with PILImage.open(photograph(tmp_path / "color.png", 40, 48)) as image:
        image.convert("L").save(tmp_path / "gray.png")
    arguments = ["restore", str(tmp_path / "gray.png"), "--run", str(run), "--nfe", "2"]
    done = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    with PILImage.open(tmp_path / "out/gray.png") as image:
        assert image.mode == "L"
