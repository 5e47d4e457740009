"""Other people's restored images: paired, scored, put into the tables."""

import json
import os
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image as PILImage
from skimage.metrics import peak_signal_noise_ratio
from typer.testing import CliRunner

from irsde.cli import app, main
from irsde.evaluation.outside import PreparedSet, evaluate_restored
from irsde.experiment.grid import outside_evaluations, pairs_folder
from irsde.experiment.profile import load_profile
from irsde.files import InputError
from irsde.images import read_image, write_image
from irsde.report.results import read_evaluation
from irsde.scoring.score import reference_hash
from tests.project import copy_project, prepare_task

COLUMNS = ["image", "psnr", "ssim", "psnr_y", "ssim_y", "lpips", "haarpsi"]


@pytest.fixture
def folders(tmp_path):
    generator = np.random.default_rng(0)
    for number, size in enumerate([(40, 32), (40, 32), (24, 48)]):
        clean = generator.integers(0, 256, (*size, 3), dtype=np.uint8)
        noise = generator.integers(-9, 10, clean.shape)
        (tmp_path / "clean").mkdir(exist_ok=True)
        (tmp_path / "restored").mkdir(exist_ok=True)
        write_image(tmp_path / f"clean/{number}.png", clean)
        restored = np.clip(clean.astype(int) + noise, 0, 255).astype(np.uint8)
        write_image(tmp_path / f"restored/{number}.png", restored)
    return tmp_path


def scored(folders, **changes):
    arguments = {
        "restored": folders / "restored",
        "reference": folders / "clean",
        "protocol": "rgb",
        "name": "My method",
        "out": folders / "out",
        **changes,
    }
    text, folder = evaluate_restored(**arguments)
    return text, pd.read_csv(folder / "per_image.csv", dtype={"image": str})


def test_exact_images_are_infinite_each_and_left_out_of_the_mean(folders):
    shutil.copy(folders / "clean/1.png", folders / "restored/1.png")
    for protocol in ("rgb", "unrounded"):
        out = folders / protocol
        text, table = scored(folders, protocol=protocol, out=out, all_protocols=True)
        assert np.isinf(table["psnr"]).tolist() == [False, True, False]
        expected = table["psnr"][[0, 2]].mean()
        assert f"PSNR (dB): {expected:.2f} (1 exact)" in text
        assert "restored exactly: 1" in text
        assert not re.search(r"\binf\b", text)
        summary = json.loads((out / "summary.json").read_text())
        stated = {metric["name"]: metric for metric in summary["metrics"]}
        assert stated["psnr"]["mean"] == pytest.approx(expected)
        assert stated["psnr"]["exact"] == 1
        assert stated["ssim"]["exact"] == 0


def test_the_hash_of_each_clean_image_stands_with_its_scores(folders):
    _, table = scored(folders)
    first = read_image(folders / "clean/0.png")
    assert table["reference"][0] == reference_hash(first)
    assert table["reference"].nunique() == 3
    assert reference_hash(first) != reference_hash(first.transpose(1, 0, 2))


def test_every_image_gets_its_line(folders):
    text, table = scored(folders)
    assert list(table.columns) == [*COLUMNS, "reference"]
    assert list(table["image"]) == ["0", "1", "2"]
    summary = json.loads((folders / "out/summary.json").read_text())
    assert summary["method_label"] == "My method"
    assert summary["protocol"]["name"] == "rgb"
    assert f"{table['psnr'].mean():.2f}" in text
    expected = [
        peak_signal_noise_ratio(
            read_image(folders / f"clean/{n}.png"), read_image(folders / f"restored/{n}.png")
        )
        for n in range(3)
    ]
    np.testing.assert_allclose(table["psnr"], expected, rtol=1e-9)


def test_the_text_shows_every_protocol_on_demand(folders):
    text, _ = scored(folders, all_protocols=True)
    for protocol in ("rgb", "y", "authors", "matlab-y"):
        assert f"\n{protocol} " in text


def test_other_images_are_left_out_and_counted(folders):
    (folders / "clean/2.png").unlink()
    text, table = scored(folders)
    assert len(table) == 2
    assert "skipped in" in text
    assert "1 other images (2)" in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folders: (folders / "restored/1.png").unlink(), r"no image for 1 \(1 of 3"),
        (lambda folders: (folders / "out").mkdir(), "exists already"),
        (
            lambda folders: write_image(folders / "restored/2.png", np.zeros((8, 9, 3), np.uint8)),
            "9x8 pixels beside 48x24",
        ),
        (lambda folders: (folders / "clean/1.png").write_bytes(b"GIF89a"), "not a readable"),
        (
            lambda folders: (folders / "clean/1.jpg").write_bytes(b""),
            "differ in their ending only",
        ),
    ],
)
def test_bad_folders_get_one_line_and_nothing_is_written(folders, change, words):
    change(folders)
    with pytest.raises(InputError, match=words):
        scored(folders)
    assert not (folders / "out/summary.json").exists()


def test_a_name_without_letters_and_an_unknown_protocol_are_refused(folders):
    with pytest.raises(InputError, match="letter or digit"):
        scored(folders, name="  ")
    with pytest.raises(InputError, match="unknown protocol"):
        scored(folders, protocol="lab")
    with pytest.raises(InputError, match="--reference and --out"):
        scored(folders, out=None)


def test_results_on_a_test_set_lie_where_its_tables_look(tmp_path, monkeypatch):
    monkeypatch.chdir(copy_project(tmp_path))
    prepare_task("smoke", "denoising")
    profile = load_profile("smoke")
    test_set = PreparedSet(profile, "denoising", "photographs-test")
    clean = pairs_folder("smoke", "denoising", "photographs-test") / "GT"
    _, folder = evaluate_restored(clean, None, "rgb", "Perfect!", None, test_set)
    assert folder.as_posix() == (
        "results/smoke/denoising/outside+perfect/seed0/evaluations/photographs-test/direct-0"
    )
    table = pd.read_csv(folder / "per_image.csv")
    assert list(table["scene"]) == list(pd.read_csv(clean.parent / "pairs.csv")["scene"])
    assert (table["ssim"] > 0.999999).all()
    assert np.isinf(table["psnr"]).all()
    with pytest.raises(InputError, match="the tables of smoke use rgb"):
        evaluate_restored(clean, None, "y", "Other", None, test_set)


# --- names


def renamed(folder, names):
    """Give the three images of a folder other names, each with its ending."""
    for number, name in enumerate(names):
        (folder / f"{number}.png").rename(folder / f"{name}.png")


def copied(folder, number, names):
    content = (folder / f"{number}.png").read_bytes()
    (folder / f"{number}.png").unlink()
    for name in names:
        (folder / f"{name}.png").write_bytes(content)


def test_the_rules_of_the_catalogue_pair_other_names(folders):
    expected = scored(folders)[1]["psnr"].tolist()
    for number, (clean, restored) in enumerate(
        (
            (["norain-1", "norain-2", "norain-3"], ["rain-1", "rain-2", "rain-3"]),
            (["bird", "head_a", "baby"], ["bird_x4_Net", "head_a_x4_Net", "baby_x4_Net"]),
            (["0801", "0802", "0803"], ["0801x4", "0802x4", "0803x4"]),
        )
    ):
        place = folders / str(number)
        for name, names in (("clean", clean), ("restored", restored)):
            shutil.copytree(folders / name, place / name)
            renamed(place / name, names)
        _, table = scored(place)
        assert dict(zip(table["image"], table["psnr"], strict=True)) == dict(
            zip(clean, expected, strict=True)
        )


def test_several_versions_of_a_clean_image_are_each_scored(folders):
    expected = scored(folders)[1]["psnr"].tolist()
    shutil.rmtree(folders / "out")
    renamed(folders / "clean", ["1400", "1401", "1402"])
    for number, stem in enumerate(["1400", "1401", "1402"]):
        copied(folders / "restored", number, [f"{stem}_{k}" for k in (1, 2)])
    _, table = scored(folders)
    assert list(table["image"]) == [f"{s}_{k}" for s in (1400, 1401, 1402) for k in (1, 2)]
    assert table["psnr"].tolist() == [value for value in expected for _ in (1, 2)]


def test_a_part_of_the_images_named_by_a_rule_is_counted(folders, monkeypatch, capsys):
    renamed(folders / "clean", ["norain-001", "norain-002", "norain-003"])
    renamed(folders / "restored", ["rain-001", "rain-002", "rain-003"])
    (folders / "restored/rain-002.png").unlink()
    options = ("--reference", str(folders / "clean"), "--name", "Mine", "--out", "out")
    restored = str(folders / "restored")
    monkeypatch.setattr("sys.argv", ["irsde", "evaluate", "--restored", restored, *options])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "no image for norain-002 (1 of 3 in" in capsys.readouterr().err


def test_a_pattern_pairs_any_names(folders):
    expected = scored(folders)[1]["psnr"].tolist()
    shutil.rmtree(folders / "out")
    renamed(folders / "clean", ["a", "b", "c"])
    renamed(folders / "restored", ["net7-a-best", "net8-b-best", "net9-c-best"])
    with pytest.raises(InputError, match=r"no image named a \(3 of 3 .* give --pattern"):
        scored(folders)
    _, table = scored(folders, pattern="net*-{name}-best.png")
    assert list(table["image"]) == ["a", "b", "c"]
    assert table["psnr"].tolist() == expected
    for pattern, words in (
        ("net", "write {name} once"),
        ("{name}{name}", "write {name} once"),
        ("{name}-best", "no image fits '{name}-best' for a, b, c"),
    ):
        with pytest.raises(InputError, match=re.escape(words)):
            scored(folders, pattern=pattern, out=folders / "other")
    shutil.copy(folders / "restored/net7-a-best.png", folders / "restored/net6-a-best.png")
    with pytest.raises(InputError, match="net6-a-best and net7-a-best both fit"):
        scored(folders, pattern="net*-{name}-best", out=folders / "other")
    assert not (folders / "other").exists()


def test_names_that_fit_two_clean_images_are_refused(folders):
    renamed(folders / "clean", ["a", "a_1", "b"])
    renamed(folders / "restored", ["a_9", "a_1_2", "b_3"])
    with pytest.raises(InputError, match="no image for a_1 "):
        scored(folders)


def test_names_that_two_rules_pair_otherwise_are_refused(folders):
    renamed(folders / "clean", ["norain-1", "norain-2", "norain-3"])
    for number in range(3):
        copied(folders / "restored", number, [f"rain-{number + 1}", f"norain-{number + 1}x2"])
    with pytest.raises(InputError, match=r"can be paired with .* in 2 ways"):
        scored(folders)


def test_what_is_no_image_is_said(folders):
    (folders / "restored/._0.png").write_bytes(b"Mac OS X")
    (folders / "restored/notes.txt").write_text("notes")
    (folders / "restored/sub").mkdir()
    text, table = scored(folders)
    assert len(table) == 3
    assert (
        f"skipped in {folders / 'restored'}: hidden files (._0.png), files of other kinds "
        "(notes.txt), folders (sub)"
    ) in text


def test_tiff_and_webp_are_scored_as_png_is(folders):
    expected = scored(folders)[1]["psnr"].tolist()
    shutil.rmtree(folders / "out")
    for name, number, ending in (
        ("clean", 1, "tif"),
        ("restored", 1, "webp"),
        ("restored", 2, "tif"),
    ):
        file = folders / name / f"{number}.png"
        with PILImage.open(file) as image:
            image.save(
                file.with_suffix(f".{ending}"), **({"lossless": True} if ending == "webp" else {})
            )
        file.unlink()
    assert scored(folders)[1]["psnr"].tolist() == expected


def test_names_that_are_not_utf8_are_refused_before_anything_is_written(folders):
    (folders / "restored/1.png").rename(folders / "restored" / os.fsdecode(b"1\xe9.png"))
    with pytest.raises(InputError, match=r"1\\xe9\.png: its name is not plain UTF-8"):
        scored(folders)
    assert not (folders / "out").exists()


def test_the_same_again_is_up_to_date_and_anything_else_is_refused(folders):
    scored(folders)
    before = {p: p.read_bytes() for p in (folders / "out").rglob("*") if p.is_file()}
    text, _ = scored(folders)
    assert text == f"{folders / 'out'}: up to date"
    with pytest.raises(InputError, match="exists already with other results"):
        scored(folders, protocol="y")
    with pytest.raises(InputError, match="exists already with other results"):
        scored(folders, name="Another")
    write_image(folders / "restored/0.png", np.zeros((40, 32, 3), np.uint8))
    with pytest.raises(InputError, match="exists already with other results"):
        scored(folders)
    assert {p: p.read_bytes() for p in (folders / "out").rglob("*") if p.is_file()} == before


# --- test sets of a profile


@pytest.fixture
def two_sets(tmp_path, monkeypatch):
    """The smoke profile with two test sets of denoising, prepared."""
    project = copy_project(tmp_path)
    monkeypatch.chdir(project)
    monkeypatch.setenv("IRSDE_LPIPS_WEIGHTS", "")
    file = project / "workflow/config/smoke.yaml"
    file.write_text(
        file.read_text().replace("test: photographs-test", f"test: [{', '.join(SETS)}]")
    )
    folder = project / "data/mine/GT"
    folder.mkdir(parents=True)
    (project / "data/mine/dataset.yaml").write_text("label: mine\n")
    generator = np.random.default_rng(1)
    for name in "ab":
        write_image(folder / f"{name}.png", generator.integers(0, 256, (96, 96, 3), dtype=np.uint8))
    prepare_task("smoke", "denoising")
    return project


SETS = ("photographs-test", "mine")


def command(*arguments):
    done = CliRunner().invoke(app, ["evaluate", *arguments])
    return str(done.exception) if isinstance(done.exception, InputError) else done.output


def test_one_method_has_results_on_two_test_sets_of_a_task(two_sets):
    for name in SETS:
        clean = pairs_folder("smoke", "denoising", name) / "GT"
        arguments = ("--restored", str(clean), "--task", "denoising", "--dataset", name)
        assert ": written" in command(*arguments, "--name", "Perfect!")
        assert ": up to date" in command(*arguments, "--name", "Perfect!")
        assert "write the name as there" in command(*arguments, "--name", "perfect")
    found = outside_evaluations("smoke")
    assert [folder.parent.name for folder in found] == ["mine", "photographs-test"]
    for folder in found:
        assert read_evaluation(folder)[0].method_label == "Perfect!"
    lq = pairs_folder("smoke", "denoising", "mine") / "GT"
    other = shutil.copytree(lq, two_sets / "other")
    first = sorted(other.iterdir())[0]
    write_image(first, 255 - read_image(first))
    arguments = ("--restored", str(other), "--task", "denoising", "--dataset", "mine")
    assert "exists already with other results" in command(*arguments, "--name", "Perfect!")


@pytest.mark.parametrize("name", ["a\udcffb", "a\nb", "\x1b[31mred"])
def test_a_name_that_is_no_line_of_text_is_refused_before_scoring(folders, name):
    with pytest.raises(InputError, match="--name: give one line of plain text"):
        scored(folders, name=name)
    assert not (folders / "out").exists()


def test_a_pattern_with_many_stars_is_refused(folders):
    with pytest.raises(InputError, match="at most 3 times"):
        scored(folders, pattern="a*" * 30 + "{name}b")
