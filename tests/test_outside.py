"""Other people's restored images: paired, scored, put into the tables."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from skimage.metrics import peak_signal_noise_ratio

from irsde.config import load_profile
from irsde.files import InputError
from irsde.images import read_image, write_image
from irsde.outside import PreparedSet, evaluate_restored
from irsde.plan import pairs_folder
from irsde.scoring import reference_hash
from tests.project import copy_project, prepare_task

COLUMNS = ["image", "psnr", "ssim", "psnr_y", "ssim_y", "lpips"]


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
    assert "1 other images" in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folders: (folders / "restored/1.png").unlink(), r"no image named 1 \(1 of 3"),
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
