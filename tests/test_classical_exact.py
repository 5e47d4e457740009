"""Classical restorers on signals whose result is worked out by hand or in plain loops."""

import numpy as np
import pytest
import skimage.restoration
from scipy.ndimage import gaussian_filter

from irsde.restoration import classical
from irsde.restoration.classical import (
    _dark_channel,
    _guided_filter,
    average_similar_patches,
    classical_method,
    estimate_noise_level,
    fill_white_holes,
    invert_dark_channel,
    open_across_streaks,
    sharpen_blur,
    sharpen_enlarged,
)


def grey(values):
    return np.repeat(np.asarray(values, np.float32)[..., None], 3, axis=2)


def test_an_opening_takes_what_is_narrower_along_the_rows_only():
    image = np.zeros((6, 12))
    image[:, 1:3] = 0.5  # two wide
    image[:, 5:9] = 0.8  # four wide
    opened = open_across_streaks(grey(image), 3)[..., 0]
    expected = np.zeros((6, 12))
    expected[:, 5:9] = 0.8
    np.testing.assert_allclose(opened, expected, rtol=1e-6)
    row = np.zeros((12, 6))
    row[5, :] = 0.7
    np.testing.assert_allclose(open_across_streaks(grey(row), 3)[..., 0], row, rtol=1e-6)


@pytest.mark.parametrize(("function", "radius"), [(sharpen_blur, 4), (sharpen_enlarged, 1.5)])
def test_sharpening_adds_the_detail_as_often_as_asked(function, radius):
    image = 0.25 + 0.5 * np.random.default_rng(0).random((24, 30, 3)).astype(np.float32)
    smooth = np.stack([gaussian_filter(image[..., k], radius) for k in range(3)], axis=2)
    expected = np.clip(image + 0.4 * (image - smooth), 0, 1)
    np.testing.assert_allclose(function(image, 0.4), expected, atol=1e-6)


def test_the_noise_level_is_the_median_detail_over_that_of_a_normal():
    """Details of 2x2 blocks are (a - b - c + d) / 2; the median of |N(0, 1)| is 0.6745."""
    image = np.zeros((5, 7))
    image[:4:2, :6:2] = [[0.2, 0.4, 0.6], [0.8, 1.0, 1.2]]
    image[4, 6] = 9  # beyond the last whole block
    assert estimate_noise_level(grey(image)) == pytest.approx(0.35 / 0.6745, rel=1e-6)
    image = np.zeros((2, 2))
    for place, sign in (((0, 0), 1), ((0, 1), -1), ((1, 0), -1), ((1, 1), 1)):
        image[place] = sign * 0.1
    assert estimate_noise_level(grey(image)) == pytest.approx(0.2 / 0.6745, rel=1e-6)


def test_non_local_means_gets_the_estimated_level(monkeypatch):
    given = {}
    monkeypatch.setattr(
        skimage.restoration,
        "denoise_nl_means",
        lambda image, **options: given.update(options) or image,
    )
    image = np.random.default_rng(0).random((16, 16, 3)).astype(np.float32)
    average_similar_patches(image, 0.6)
    level = estimate_noise_level(image)
    assert given == {
        "patch_size": 5, "patch_distance": 6, "h": pytest.approx(0.6 * level),
        "sigma": pytest.approx(level), "fast_mode": True, "channel_axis": -1,
    }  # fmt: skip


@pytest.mark.parametrize(("margin", "side"), [(0, 1), (1, 3)])
def test_holes_are_white_in_all_channels_and_widened_by_the_margin(margin, side, monkeypatch):
    given = []

    def inpaint(image, holes, **options):
        assert options == {"split_into_regions": True, "channel_axis": -1}
        given.append(holes)
        return image

    monkeypatch.setattr(skimage.restoration, "inpaint_biharmonic", inpaint)
    image = np.full((9, 11, 3), 0.5, np.float32)
    image[4, 6] = 1
    image[1, 1, :2] = 1
    fill_white_holes(image, margin)
    expected = np.zeros((9, 11), bool)
    radius = side // 2
    expected[4 - radius : 5 + radius, 6 - radius : 7 + radius] = True
    np.testing.assert_array_equal(given[0], expected)
    white = np.ones((5, 5, 3), np.float32)
    np.testing.assert_array_equal(fill_white_holes(white, 0), white)


def test_the_dark_channel_is_the_least_in_15_by_15_pixels():
    image = np.full((31, 31, 3), 0.9, np.float32)
    image[15, 15, 1] = 0.1
    dark = _dark_channel(image)
    expected = np.full((31, 31), 0.9)
    expected[8:23, 8:23] = 0.1
    np.testing.assert_allclose(dark, expected, rtol=1e-6)


def test_a_guided_filter_in_loops():
    """On windows that lie inside: mean over windows of slope * guide + offset."""
    generator = np.random.default_rng(0)
    guide, image = generator.random((2, 9, 9))
    slopes, offsets = np.zeros((9, 9)), np.zeros((9, 9))
    for i in range(1, 8):
        for j in range(1, 8):
            g, p = guide[i - 1 : i + 2, j - 1 : j + 2], image[i - 1 : i + 2, j - 1 : j + 2]
            covariance = (g * p).mean() - g.mean() * p.mean()
            slopes[i, j] = covariance / (g.var() + 0.01)
            offsets[i, j] = p.mean() - slopes[i, j] * g.mean()
    for i in range(2, 7):
        for j in range(2, 7):
            window = slice(i - 1, i + 2), slice(j - 1, j + 2)
            expected = slopes[window].mean() * guide[i, j] + offsets[window].mean()
            found = _guided_filter(guide, image, 1, 0.01)[i, j]
            assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("omega", [0.5, 0.9, 1.0])
def test_haze_over_a_constant_scene_is_inverted(omega):
    """Airlight 0.8 in a corner; elsewhere 0.5: transmission 1 - omega 0.5 / 0.8, at least 0.1."""
    image = np.full((120, 120, 3), 0.5, np.float32)
    image[:23, :23] = 0.8
    restored = invert_dark_channel(image, omega)
    transmission = 1 - omega * 0.5 / 0.8
    expected = (0.5 - 0.8) / transmission + 0.8
    assert restored[119, 119, 0] == pytest.approx(max(expected, 0), abs=0.01)
    near = 1 - omega
    assert restored[0, 0, 0] == pytest.approx(0.8, abs=1e-5)
    assert near < transmission


def test_haze_uses_the_filter_and_the_floor_it_says(monkeypatch):
    given = []

    def guided(guide, coarse, **options):
        given.append((coarse.copy(), options))
        return coarse

    monkeypatch.setattr(classical, "_guided_filter", guided)
    image = np.full((120, 120, 3), 0.5, np.float32)
    image[:23, :23] = 0.8
    restored = invert_dark_channel(image, 1.0)
    coarse, options = given[0]
    assert options == {"radius": 40, "regularization": 1e-3}
    assert coarse[119, 119] == pytest.approx(1 - 0.5 / 0.8, rel=1e-5)
    assert coarse[0, 0] == pytest.approx(0, abs=1e-5)
    assert restored[22, 22, 0] == pytest.approx(0.8, abs=1e-5)
    image[10, 10] = 0.75  # where the floor of 0.1 counts: the dark channel about it is 0.75 of 0.8
    restored = invert_dark_channel(image, 1.0)
    assert restored[10, 10, 0] == pytest.approx((0.75 - 0.8) / 0.1 + 0.8, abs=1e-4)


def test_the_haziest_thousandth_gives_the_airlight():
    """Of 14400 pixels about 14; a brighter patch whose dark channel covers 9 pixels is a part."""
    image = np.full((120, 120, 3), 0.5, np.float32)
    image[:23, :23] = (0.9, 0.8, 0.85)
    restored = invert_dark_channel(image, 0.9)
    np.testing.assert_allclose(restored[0, 0], (0.9, 0.8, 0.85), atol=1e-4)


def test_the_airlight_of_a_dark_image_is_a_thousandth_at_least():
    """Of 0.0005 everywhere: transmission 1 - 0.5 * 0.0005 / 0.001."""
    restored = invert_dark_channel(np.full((30, 30, 3), 0.0005, np.float32), 0.5)
    np.testing.assert_allclose(restored, (0.0005 - 0.001) / 0.75 + 0.001, rtol=1e-3)


def test_candidates_of_each_task():
    known = {
        "deraining": (5, 9, 13, 17, 21),
        "deblurring": (0.1, 0.2, 0.3, 0.5),
        "denoising": (0.4, 0.5, 0.6, 0.8),
        "super-resolution": (0.5, 0.75, 1, 1.5),
        "inpainting": (0, 1),
        "dehazing": (0.6, 0.7, 0.8, 0.9, 1.0),
    }
    assert {task: classical_method(task).candidates for task in known} == known
