"""Metrics against independent values, protocols, intervals."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from irsde.files import InputError
from irsde.images import read_image, to_float, to_pixels
from irsde.metrics import METRICS, luminance, psnr, ssim
from irsde.protocols import PROTOCOLS, score_pair
from irsde.statistics import mean_over_scenes
from tests.reference import REFERENCE, needs_reference

DATA = REFERENCE.parent / "data"
LPIPS = REFERENCE.parent / "weights"


def pictures(seed=0, size=(24, 20)):
    generator = np.random.default_rng(seed)
    return [generator.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in "ab"]


@given(offset=st.integers(1, 100))
@settings(max_examples=20, deadline=None)
def test_a_constant_offset_has_a_known_psnr(offset):
    reference = np.full((12, 12, 3), 50, dtype=np.uint8)
    value = psnr(reference + np.uint8(offset), reference)
    assert math.isclose(value, 20 * math.log10(255 / offset), rel_tol=1e-12)


def test_identical_images_are_perfect():
    a, _ = pictures()
    assert psnr(a, a) == math.inf
    assert ssim(a, a) == pytest.approx(1)


def test_metrics_are_symmetric():
    a, b = pictures()
    assert psnr(a, b) == psnr(b, a)
    assert ssim(a, b) == pytest.approx(ssim(b, a), abs=1e-12)


def test_ssim_equals_the_formula_written_out():
    """Wang et al. with an 11x11 Gaussian window of 1.5, at one pixel of a grey pair."""
    generator = np.random.default_rng(0)
    x, y = generator.uniform(0, 255, (2, 11, 11))
    axis = np.arange(-5, 6)
    kernel = np.exp(-(axis**2) / (2 * 1.5**2))
    weights = np.outer(kernel, kernel) / kernel.sum() ** 2
    mx, my = (weights * x).sum(), (weights * y).sum()
    vx, vy = (weights * x * x).sum() - mx**2, (weights * y * y).sum() - my**2
    cxy = (weights * x * y).sum() - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    expected = (2 * mx * my + c1) * (2 * cxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    assert ssim(x, y) == pytest.approx(expected, abs=1e-10)


def test_luminance_is_matlabs():
    colors = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0]]], dtype=np.uint8)
    np.testing.assert_allclose(luminance(colors), [[16, 235, 81.481]], atol=1e-9)


def test_images_are_rounded_half_to_even_and_clipped():
    values = np.array([-1, 0.5 / 255, 1.5 / 255, 2.5 / 255, 2], dtype=np.float64)
    assert to_pixels(values).tolist() == [0, 0, 2, 2, 255]


def test_the_authors_protocol_ignores_four_border_pixels():
    a, b = pictures()
    inner = to_float(b).copy()
    inner[4:-4, 4:-4] = to_float(a)[4:-4, 4:-4]
    scores = score_pair(inner, a, PROTOCOLS["authors"])
    assert scores["psnr"] == math.inf
    assert score_pair(inner, a, PROTOCOLS["rgb"])["psnr"] < 20


def test_scores_cover_every_metric():
    a, b = pictures()
    assert score_pair(to_float(b), a, PROTOCOLS["rgb"]).keys() == METRICS.keys()


def test_sizes_that_differ_are_refused():
    a, _ = pictures()
    with pytest.raises(InputError, match="differ in size"):
        score_pair(to_float(a)[:-1], a, PROTOCOLS["rgb"])


@needs_reference
def test_rain100h_scores_equal_the_authors_script():
    if not DATA.is_dir():
        pytest.skip("benchmark images absent")
    with np.load(REFERENCE / "image_ops.npz") as arrays:
        expected = arrays["rain_pairs_values"][:, 4:]
    folder = DATA / "Rain100H-test"
    rows = []
    for number in (1, 2, 10):
        gt, lq = (read_image(folder / part / f"{number}.png") for part in ("GT", "LQ"))
        for border in ("rgb", "authors"):
            scores = score_pair(to_float(lq), gt, PROTOCOLS[border])
            rows.append([scores[k] for k in ("psnr", "ssim", "psnr_y", "ssim_y")])
    np.testing.assert_allclose(rows, expected, rtol=1e-6)


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    scenes = [f"scene{i}" for i in range(40) for _ in range(3)]
    covered = 0
    for trial in range(100):
        of_scene = np.repeat(generator.normal(30, 2, 40), 3)
        values = of_scene + generator.normal(0, 1, 120)
        estimate = mean_over_scenes(values.tolist(), scenes, trial)
        covered += estimate.low < 30 < estimate.high
    assert 85 <= covered <= 100


def test_images_of_one_scene_widen_the_interval():
    values = [float(v) for v in np.repeat(np.random.default_rng(1).normal(0, 1, 30), 4)]
    alone = mean_over_scenes(values, [str(i) for i in range(120)], 0)
    clustered = mean_over_scenes(values, [str(i // 4) for i in range(120)], 0)
    assert clustered.half_width > 1.5 * alone.half_width
    assert clustered.mean == alone.mean


def squeezenet_lpips(parameters, a, b):
    """LPIPS v0.1 over SqueezeNet 1.1, written out layer by layer."""

    def convolved(x, name, **options):
        weight, bias = parameters[f"features.{name}.weight"], parameters[f"features.{name}.bias"]
        return functional.relu(functional.conv2d(x, weight, bias, **options))

    def features(image):
        x = torch.from_numpy(image.transpose(2, 0, 1)[None].copy()) * 2 - 1
        shift = torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)
        scale = torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
        x = convolved((x - shift) / scale, "0", stride=2)
        taps = [x]
        for layer in range(2, 13):
            if layer in (2, 5, 8):
                x = functional.max_pool2d(x, 3, 2, ceil_mode=True)
                continue
            squeezed = convolved(x, f"{layer}.squeeze")
            wide = convolved(squeezed, f"{layer}.expand3x3", padding=1)
            x = torch.cat([convolved(squeezed, f"{layer}.expand1x1"), wide], 1)
            if layer in (4, 7, 9, 10, 11, 12):
                taps.append(x)
        return [t / (t.square().sum(1, keepdim=True).sqrt() + 1e-10) for t in taps]

    return sum(
        float(functional.conv2d((p - q) ** 2, parameters[f"lin{k}.model.1.weight"]).mean())
        for k, (p, q) in enumerate(zip(features(a), features(b), strict=True))
    )


def test_lpips_of_squeezenet_equals_its_published_definition(monkeypatch):
    weights = sorted(LPIPS.rglob("*.npz")) if LPIPS.is_dir() else []
    if not weights:
        pytest.skip("LPIPS weights absent")
    from irsde.metrics import perceptual_metric

    monkeypatch.setitem(os.environ, "IRSDE_LPIPS_WEIGHTS", str(weights[0]))
    perceptual_metric.cache_clear()
    metric = perceptual_metric()
    perceptual_metric.cache_clear()
    assert metric.network == "squeeze"
    a, b = (to_float(p) for p in pictures(size=(64, 64)))
    assert metric.distance(a, a) == 0
    with np.load(weights[0]) as arrays:
        parameters = {name: torch.from_numpy(arrays[name]) for name in arrays}
    expected = squeezenet_lpips(parameters, a, b)
    assert expected > 0.01
    assert metric.distance(a, b) == pytest.approx(expected, abs=1e-5)


def test_named_weights_that_are_no_weights_are_refused(tmp_path, monkeypatch):
    from irsde.metrics import perceptual_metric

    wrong = tmp_path / "weights.npz"
    np.savez(wrong, nothing=np.zeros(1))
    for path, words in ((wrong, "lacks"), (Path("absent.npz"), "not a readable")):
        monkeypatch.setenv("IRSDE_LPIPS_WEIGHTS", str(path))
        perceptual_metric.cache_clear()
        with pytest.raises(InputError, match=words):
            perceptual_metric()
    perceptual_metric.cache_clear()
