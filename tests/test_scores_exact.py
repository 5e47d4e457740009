"""What a summary and a terminal say of scores: means without exact images, reasons for n/a."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from irsde.files import InputError, digest
from irsde.scoring import score as scoring
from irsde.scoring.metrics import METRICS
from irsde.scoring.score import (
    exact_images,
    mean_text,
    protocol_means,
    reference_hash,
    score,
    table_of,
    write_table,
)
from irsde.scoring.statistics import mean_estimate

INF, NAN = math.inf, math.nan


def test_means_as_text_leave_out_exact_images_and_count_them():
    def text(*values):
        return mean_text(pd.DataFrame({"psnr": values, "ssim": values}), "psnr")

    assert [text(30.0, 31.255), text(30.0, INF, INF), text(INF)] == [
        "30.63", "30.00 (2 exact)", "∞ (1 exact)",
    ]  # fmt: skip
    assert text(30.0, NAN) == "n/a"


@pytest.mark.parametrize(
    ("count", "line"),
    [(0, ""), (2, "a0, a1"), (5, "a0, a1, a2, a3, a4"), (7, "a0, a1, a2, a3, a4 and 2 more")],
)
def test_exact_images_are_named_up_to_five(count, line):
    table = pd.DataFrame(
        {"image": [f"a{k}" for k in range(8)], "psnr": [INF] * count + [20.0] * (8 - count)}
    )
    assert exact_images(table) == line


@pytest.mark.parametrize("scenes", [None, ["a", "a", "b"]])
def test_the_mean_of_a_card_is_that_of_its_scenes(scenes):
    table = pd.DataFrame({"image": list("xyz"), "psnr": [20.0, 30, 34], "lpips": [0.1, NAN, 0.2]})
    if scenes:
        table["scene"] = scenes
    expected = mean_estimate([[20.0, 30, 34]], scenes or list("xyz"))
    found = scoring._estimate(table, "psnr")
    assert found == {
        "mean": 28, "low": expected.low, "high": expected.high, "exact": 0
    }  # fmt: skip
    nothing = {"mean": None, "low": None, "high": None, "exact": 0}
    assert scoring._estimate(table, "lpips") == nothing
    table["psnr"] = INF
    assert scoring._estimate(table, "psnr") == nothing | {"exact": 3}


def test_means_of_protocols_leave_out_what_is_exact_and_say_what_is_lacking():
    table = pd.DataFrame(
        {
            "image": ["a", "b", "a", "b"],
            "protocol": ["y", "y", "rgb", "rgb"],
            "psnr": [20.0, 25.0, 30.0, INF],
            "ssim": [0.5, NAN, 0.25, 0.75],
        }
    )
    lines = protocol_means(table).splitlines()
    found = [line.split()[:3] for line in lines[2:] if line[0] != " "]
    assert found == [["y", "22.50", "n/a"], ["rgb", "30.00", "(1"]]
    assert lines[0].split() == ["protocol", "PSNR", "(dB)", "SSIM", "what", "it", "is"]


def test_a_table_is_written_as_pandas_writes_it(tmp_path):
    random = np.random.default_rng(0)
    numbers = [*(random.standard_normal(500) * 10.0 ** random.integers(-20, 20, 500)), INF, -INF]
    numbers += [NAN, 0.0, -0.0, 1e16, 1e15, 1e-4, 1e-5, 0.1, 1 / 3, 100.0]
    names = ["plain", 'with "quotes"', "with, comma", "two\nlines", "Straße 雨"]
    rows = [
        {"image": names[k % 5], "psnr": float(value), "lpips": None, "nfe": k}
        for k, value in enumerate(numbers)
    ]
    columns = ("image", "psnr", "lpips", "absent", "nfe")
    write_table(tmp_path / "ours.csv", table_of(rows, columns))
    pd.DataFrame(rows, columns=list(columns)).to_csv(
        tmp_path / "theirs.csv", index=False, lineterminator="\n"
    )
    assert (tmp_path / "ours.csv").read_bytes() == (tmp_path / "theirs.csv").read_bytes()


def feature_network(**changes):
    given = {"unavailable": "", "is_published": True, "sha256": "s", "features": None}
    return lambda: SimpleNamespace(**given | changes)


def test_distances_of_features_or_why_there_are_none(monkeypatch):
    asked = []

    def distances(restored, clean, name):
        asked.append((restored.tolist(), clean.tolist(), name))
        return SimpleNamespace(fid=1.5, kid=0.25, kid_std=None, warning="few")

    monkeypatch.setattr(scoring, "distribution_distances", distances)
    pairs = [(np.array([k]), np.array([10 * k])) for k in (1.0, 2.0, 3.0)]

    def reason(features, **network):
        monkeypatch.setattr(scoring, "feature_network", feature_network(**network))
        card = scoring._distribution(features, "set")
        assert card["sha256"] == "s"
        if not card["fid"]["reason"]:
            assert card["network"] == "Inception of pytorch-fid"
            assert card["fid"] == {"value": 1.5, "reason": "", "warning": "few"}
            assert card["kid"] == {"value": 0.25, "std": None, "reason": "", "warning": ""}
        else:
            assert card["network"] == ""
            assert card["fid"]["value"] is card["kid"]["value"] is None
        return card["fid"]["reason"]

    assert reason(pairs[:2]) == ""
    assert asked == [([[1], [2]], [[10], [20]], "set")]
    assert reason(pairs[:1]) == "needs two images at least"
    assert reason([pairs[0], None, pairs[1], None]) == "2 restored images are not finite"
    assert reason(pairs, unavailable="no file") == "no file"
    assert "not those that FID and KID" in reason(pairs, is_published=False)


def test_features_are_of_finite_images_only(monkeypatch):
    network = lambda images, device: images[:, 0, 0, 0].astype(float)  # noqa: E731
    monkeypatch.setattr(scoring, "feature_network", feature_network(features=network))
    restored = np.full((3, 2, 2, 3), 0.2, np.float32)
    restored[1, 0, 0, 0], restored[2] = NAN, 0.4
    clean = np.arange(3, dtype=np.uint8).reshape(3, 1, 1, 1).repeat(2, 1).repeat(2, 2).repeat(3, 3)
    assert scoring._features(restored, clean, "cpu") == [(51, 0), None, (102, 2)]
    assert scoring._features(restored[1:2], clean[1:2], "cpu") == [None]
    monkeypatch.setattr(scoring, "feature_network", feature_network())
    assert scoring._features(restored, clean, "cpu") == [None] * 3


def test_why_small_images_have_no_value():
    metric = replace(METRICS["haarpsi"], smallest=32)
    for psnr, found, said in (
        ([20.0, 21], [0.1, 0.2], False),
        ([20.0, NAN], [0.1, NAN], False),
        ([20.0, 21], [0.1, NAN], True),
    ):
        table = pd.DataFrame({"psnr": psnr, "haarpsi": found})
        assert bool(scoring._too_small(table, "haarpsi", metric)) == said
    assert "HaarPSI needs 32x32 pixels at least" in scoring._too_small(table, "haarpsi", metric)


def test_images_that_are_too_small_for_a_protocol_are_refused():
    for height, width in ((10, 12), (12, 10)):
        small = np.zeros((1, height, width, 3), np.uint8)
        with pytest.raises(InputError, match=f"{width}x{height} pixels are too few"):
            score(["a"], small.astype(np.float32), small, "rgb")


def test_the_hash_of_a_clean_image_is_of_its_size_and_pixels():
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert reference_hash(pixels) == digest(b"(2, 2, 3)" + bytes(range(12)))[:16]
