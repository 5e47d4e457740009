"""HaarPSI against its formula in NumPy, at its limits, and as an evaluation records it."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.signal import convolve2d
from skimage import data
from typer.testing import CliRunner

from irsde.cli import app
from irsde.files import read_json
from irsde.images import to_float, write_image
from irsde.scoring.metrics import METRICS, haarpsi
from irsde.scoring.protocols import PROTOCOLS, score_images

YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
OF_AUTHORS = np.array(  # three digits, as in their program
    [[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]]
)


def same(plane, kernel):
    """MATLAB's ``conv2(plane, kernel, 'same')``."""
    top, left = (side // 2 for side in kernel.shape)
    full = convolve2d(plane, kernel)
    return full[top : top + plane.shape[0], left : left + plane.shape[1]]


def by_definition(x, y, yiq=YIQ, c=30, alpha=4.2):
    """Reisenhofer et al. 2018, sections 2 and 3, of 8-bit RGB."""
    mean = np.full((2, 2), 0.25)
    luma, *chroma = zip(
        *([same(plane, mean)[::2, ::2] for plane in np.moveaxis(image @ yiq.T, 2, 0)]
          for image in (x, y)), strict=True,
    )  # fmt: skip

    def similarity(a, b):
        return (2 * a * b + c) / (a**2 + b**2 + c)

    maps, weights = [], []
    for is_vertical in (False, True):
        sizes = []
        for side in (2, 4, 8):
            kernel = np.ones((side, side)) / side
            kernel[: side // 2] *= -1
            kernel = kernel.T if is_vertical else kernel
            sizes.append([np.abs(same(plane, kernel)) for plane in luma])
        weights.append(np.maximum(*sizes[2]))
        maps.append((similarity(*sizes[0]) + similarity(*sizes[1])) / 2)
    smooth = [[np.abs(same(plane, mean)) for plane in pair] for pair in chroma]
    maps.append((similarity(*smooth[0]) + similarity(*smooth[1])) / 2)
    weights.append((weights[0] + weights[1]) / 2)
    logistic = 1 / (1 + np.exp(-alpha * np.array(maps)))
    score = (logistic * weights).sum() / np.sum(weights)
    return (np.log(score / (1 - score)) / alpha) ** 2


def of(x, y):
    pair = (torch.from_numpy(np.stack([image])).double() for image in (x, y))
    return haarpsi(*pair).item()


def window(height, width):
    return data.astronaut()[40 : 40 + height, 180 : 180 + width].copy()


def noisy(clean, seed, deviation):
    noise = np.random.default_rng(seed).normal(0, deviation, clean.shape)
    return np.clip(np.rint(clean + noise), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", [(16, 16), (17, 24), (40, 33), (31, 31)])
@pytest.mark.parametrize("deviation", [2, 15, 60])
def test_haarpsi_is_its_formula(size, deviation):
    clean = window(*size)
    restored = noisy(clean, 0, deviation)
    blurred = clean.astype(float)
    blurred[1:-1] = (blurred[:-2] + blurred[1:-1] + blurred[2:]) / 3
    for image in (restored, blurred):
        found = of(image, clean)
        assert 0.1 < found < 0.999
        assert found == pytest.approx(by_definition(image, clean), abs=1e-9)
        assert found == pytest.approx(by_definition(image, clean, OF_AUTHORS), abs=3e-4)


def test_a_change_of_color_alone_counts():
    clean = 80 + window(32, 32) / 4
    tinted = clean + np.linalg.solve(YIQ, [0, 20, 0])  # as bright everywhere
    assert of(tinted, clean) == pytest.approx(by_definition(tinted, clean), abs=1e-9)
    assert of(tinted, clean) < 0.99


def test_the_order_of_images_is_irrelevant_and_identical_ones_have_one():
    clean = window(24, 30)
    restored = noisy(clean, 0, 30)
    assert of(restored, clean) == of(clean, restored)
    for image in (clean, np.zeros_like(clean), np.full_like(clean, 255)):
        assert of(image, image) == 1
    assert of(np.zeros_like(clean), np.full_like(clean, 255)) < 0.5


def test_a_value_does_not_depend_on_the_batch():
    clean = [window(40, 33), window(41, 33)[1:], noisy(window(40, 33), 5, 3)]
    restored = [to_float(noisy(image, k, 20)) for k, image in enumerate(clean)]
    batch = score_images(np.stack(restored), np.stack(clean), PROTOCOLS["rgb"])
    alone = [
        score_images(a[None], b[None], PROTOCOLS["rgb"])[0]
        for a, b in zip(restored, clean, strict=True)
    ]
    assert batch == alone
    assert len({scores["haarpsi"] for scores in batch}) == 3


def test_small_images_have_none_and_an_evaluation_says_why(tmp_path):
    for name, side in (("large", 16), ("small", 15)):
        for folder, image in (("clean", window(side, 20)), ("restored", window(side, 20) // 2)):
            (tmp_path / folder).mkdir(exist_ok=True)
            write_image(tmp_path / folder / f"{name}.png", image)
    folders = [str(tmp_path / name) for name in ("restored", "clean", "out")]
    options = zip(["--restored", "--reference", "--out"], folders, strict=True)
    arguments = ["evaluate", "--name", "A", *(word for pair in options for word in pair)]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    reason = "not of every image, for HaarPSI needs 16x16 pixels at least"
    assert f"HaarPSI: n/a, {reason}" in done.output
    stated = {m["name"]: m for m in read_json(tmp_path / "out/summary.json")["metrics"]}
    assert stated["haarpsi"]["unavailable"] == reason
    assert stated["haarpsi"]["mean"] is None
    table = pd.read_csv(tmp_path / "out/per_image.csv").set_index("image")
    assert table["haarpsi"].notna().to_dict() == {"large": True, "small": False}
    assert METRICS["haarpsi"].smallest_side == 16
