"""SSIM, PSNR, luminance and protocols: small numbers worked out by hand or in plain loops."""

import math

import numpy as np
import pytest
import torch

from irsde.files import InputError
from irsde.scoring import metrics
from irsde.scoring.metrics import METRICS, fidelity
from irsde.scoring.pixels import WINDOWS, full_range_luminance
from irsde.scoring.protocols import PROTOCOLS
from irsde.scoring.ssim import similarity_map


def planes(height, width, seed=0):
    generator = np.random.default_rng(seed)
    return [generator.integers(0, 256, (height, width)).astype(float) for _ in range(2)]


def ssim_in_loops(x, y, taps, factor):
    """The formula of Wang et al., window by window, K1 = 0.01, K2 = 0.03, L = 255."""
    c1, c2, n = 2.55**2, 7.65**2, len(taps)
    found = np.zeros((x.shape[0] - n + 1, x.shape[1] - n + 1))
    weights = np.outer(taps, taps)
    for i in range(found.shape[0]):
        for j in range(found.shape[1]):
            a, b = x[i : i + n, j : j + n], y[i : i + n, j : j + n]
            ma, mb = (weights * a).sum(), (weights * b).sum()
            va = factor * (weights * (a - ma) ** 2).sum()
            vb = factor * (weights * (b - mb) ** 2).sum()
            vab = factor * (weights * (a - ma) * (b - mb)).sum()
            found[i, j] = (2 * ma * mb + c1) * (2 * vab + c2)
            found[i, j] /= (ma**2 + mb**2 + c1) * (va + vb + c2)
    return found


@pytest.mark.parametrize("size", [(11, 11), (11, 13), (14, 12), (75, 11)])
@pytest.mark.parametrize(("window", "factor"), [("gaussian", 1.0), ("uniform", 49 / 48)])
def test_ssim_is_the_formula_at_every_pixel(window, factor, size):
    taps = [math.exp(-(k**2) / 4.5) for k in range(-5, 6)] if window == "gaussian" else [1 / 7] * 7
    taps = np.array(taps) / sum(taps)
    x, y = planes(*size)
    expected = ssim_in_loops(x, y, taps, factor)
    options = WINDOWS[window].taps, WINDOWS[window].covariance_factor
    found = similarity_map(torch.from_numpy(x), torch.from_numpy(y), *options)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)


def test_directions_and_digits_of_the_metrics():
    facts = {name: (one.higher_is_better, one.decimals) for name, one in METRICS.items()}
    known = {
        "psnr": (True, 2), "ssim": (True, 4), "psnr_y": (True, 2), "ssim_y": (True, 4),
        "lpips": (False, 4), "haarpsi": (True, 4),
    }  # fmt: skip
    assert facts | known == facts


def test_full_range_luminance_of_primary_colors():
    colors = torch.cat([torch.zeros(1, 3), torch.ones(1, 3), torch.eye(3)])
    found = full_range_luminance(255 * colors)
    np.testing.assert_allclose(found[:, 0], [0, 255, 76.245, 149.685, 29.07], rtol=1e-12)


def test_a_border_is_cut_from_every_side():
    """An error of 10 in one pixel of a 20 x 18 image counts until the border reaches it."""
    reference = torch.full((1, 20, 18, 1), 100.0)
    for row, column in ((3, 9), (16, 9), (9, 3), (9, 14)):
        restored = reference.clone()
        restored[0, row, column] += 10
        scores = fidelity(restored, reference, WINDOWS["uniform"], (0, 3, 4))
        whole, inner = 255**2 * 360 / 100, 255**2 * 14 * 12 / 100
        assert scores[0]["psnr_y"][0] == pytest.approx(10 * math.log10(whole), rel=1e-9)
        assert scores[3]["psnr_y"][0] == pytest.approx(10 * math.log10(inner), rel=1e-9)
        assert scores[4]["psnr_y"][0] == math.inf
        assert scores[4]["ssim_y"][0] == pytest.approx(1, abs=1e-12)
        assert scores[3]["ssim_y"][0] < 1
        assert set(scores[0]) == {"psnr_y", "ssim_y"}


def test_the_smallest_image_is_as_large_as_the_window():
    for side, border in ((11, 0), (19, 4)):
        image = torch.zeros(1, side, side + 3, 1)
        assert fidelity(image, image, WINDOWS["gaussian"], (border,))[border]["ssim_y"][0] == 1
        less = image[:, 1:]
        with pytest.raises(InputError, match="at least 11x11"):
            fidelity(less, less, WINDOWS["gaussian"], (border,))


def test_what_each_protocol_does():
    facts = {
        name: (p.channel, p.border, p.rounded, p.luminance, p.window, p.whole_rounded)
        for name, p in PROTOCOLS.items()
    }
    assert facts == {
        "rgb": ("rgb", 0, True, "matlab", "gaussian", True),
        "y": ("y", 0, True, "matlab", "gaussian", True),
        "authors": ("rgb", 4, True, "matlab", "gaussian", False),
        "matlab-y": ("y", 0, True, "matlab-rounded", "gaussian", True),
        "truncated-y": ("y", 0, True, "matlab", "gaussian", True),
        "full-range-y": ("y", 0, True, "full-range", "gaussian", True),
        "sr": ("y", 4, True, "matlab", "gaussian", True),
        "unrounded": ("rgb", 0, False, "matlab", "gaussian", False),
        "skimage-default": ("rgb", 0, True, "matlab", "uniform", True),
    }
    assert [PROTOCOLS["authors"].version, PROTOCOLS["rgb"].version] == [2, 1]
    assert PROTOCOLS["sr"].headline == ("psnr_y", "ssim_y")
    assert PROTOCOLS["rgb"].headline == ("psnr", "ssim")
    assert [PROTOCOLS["authors"].fits(19, side) for side in (18, 19)] == [False, True]
    assert [PROTOCOLS["skimage-default"].fits(side, 9) for side in (6, 7)] == [False, True]


def test_a_cpu_takes_images_one_by_one(monkeypatch):
    taken, usual = [], metrics._fidelity
    monkeypatch.setattr(
        metrics, "_fidelity", lambda x, *others: taken.append(len(x)) or usual(x, *others)
    )
    images = torch.zeros(5, 11, 12, 1)
    assert len(fidelity(images, images + 10, WINDOWS["gaussian"])[0]["psnr_y"]) == 5
    assert taken == [1] * 5
