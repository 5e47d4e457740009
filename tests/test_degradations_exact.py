"""Degradations with the random numbers given: what is drawn, and what follows by hand."""

import math

import numpy as np
import pytest
from scipy.ndimage import shift, zoom

from irsde.degradations import blur as of_blur
from irsde.degradations import rain as of_rain
from irsde.degradations.blur import (
    _mean_frame,
    _mirrored_behind,
    _moved,
    _object_mask,
    _shake_kernel,
    _shake_path,
    blur,
    motion_blur,
    object_motion_blur,
)
from irsde.degradations.haze import _depth, haze
from irsde.degradations.noise import gaussian_noise
from irsde.degradations.rain import _rain_layer, _spans, rain_streaks


class Given:
    """A generator whose every draw lies at the level `u` of a range, or `z` deviations off."""

    def __init__(self, u=0.5, z=0.0, field=None):
        self.u, self.z, self.field = u, z, field

    def random(self):
        return self.u

    def uniform(self, low, high, size=None):
        value = low + self.u * (high - low)
        return value if size is None else np.full(size, value)

    def normal(self, mean, deviation, size=None):
        value = mean + self.z * deviation
        return value if size is None else np.full(size, value)

    def standard_normal(self, size, dtype=float):
        return np.full(size, self.z, dtype) if self.field is None else self.field[: size[0]]

    def integers(self, low, high):
        return low + int(self.u * (high - low))

    def dirichlet(self, alpha):
        assert set(alpha) == {3.0}
        return alpha / alpha.sum()


GREY = np.full((40, 30, 3), 0.25, np.float32)


@pytest.mark.parametrize("z", [-2.0, 1.0, 2.0])
def test_noise_has_the_level_asked_for(z):
    noisy = gaussian_noise(GREY, Given(z=z))
    np.testing.assert_allclose(noisy, 0.25 + z * 25 / 255, rtol=1e-6)
    strong = gaussian_noise(GREY, Given(z=z), 0.5)
    np.testing.assert_allclose(strong, 0.25 + z * 0.5, rtol=1e-6)
    cut = gaussian_noise(GREY, Given(z=z), 0.5, clipped=True)
    np.testing.assert_allclose(cut, min(max(0.25 + z * 0.5, 0), 1), rtol=1e-6)


@pytest.mark.parametrize(
    ("u", "beta", "airlight"), [(0.0, 0.6, 0.7), (0.5, 1.2, 0.85), (1.0, 1.8, 1.0)]
)
def test_haze_is_the_scattering_model(u, beta, airlight):
    depth = np.linspace(0, 1, 40 * 30).reshape(40, 30)
    t = np.exp(-beta * depth)[..., None]
    expected = 0.25 * t + airlight * (1 - t)
    np.testing.assert_allclose(haze(GREY, Given(u), depth), expected * np.ones(3), rtol=1e-6)


def test_haze_without_a_depth_draws_one():
    t = np.exp(-1.2 * np.linspace(1, 0.1, 40))[:, None, None]
    expected = (0.25 * t + 0.85 * (1 - t)) * np.ones((40, 30, 3))
    np.testing.assert_allclose(haze(GREY, Given()), expected, rtol=1e-6)


def test_a_depth_outside_its_range_or_shape_is_refused():
    wrong = [np.full((40, 30), value) for value in (1.01, -0.01, 3.5, np.nan)]
    for depth in (*wrong, np.zeros((30, 40))):
        with pytest.raises(ValueError, match="depth"):
            haze(GREY, Given(), depth)
    for value in (0.0, 1.0):
        haze(GREY, Given(), np.full((40, 30), value))


def test_depth_is_a_ramp_and_a_smooth_field_scaled_to_its_range():
    np.testing.assert_allclose(_depth(11, 3, Given())[:, 0], np.linspace(1, 0.1, 11))
    field = np.random.default_rng(0).standard_normal((4, 4))
    for u, top in ((0.0, 1.0), (1.0, 4.0)):
        rough = zoom(field, (5, 3), order=3, mode="reflect", grid_mode=True)
        rough = rough + np.linspace(top, 0, 20)[:, None]
        expected = np.interp(rough, (rough.min(), rough.max()), (0.1, 1))
        np.testing.assert_allclose(_depth(20, 12, Given(u, field=field)), expected, rtol=1e-9)


def test_pieces_share_their_ends_with_the_neighbours():
    found = _spans(
        2, 5, np.array([0, 0, 1, 1]), np.array([1.25, -0.5, 4.5, 2.0]),
        np.array([2.0, 1.0, 2.0, 1.0]), np.array([2.0, 1.0, 1.0, 3.0]),
    )  # fmt: skip
    np.testing.assert_allclose(found, [[0.5, 1.5, 2.0, 0.5, 0], [0, 0, 3.0, 0, 0.5]])
    assert not _spans(2, 5, *(np.zeros(0, int), *[np.zeros(0)] * 3)).any()


@pytest.mark.parametrize(("angle", "z"), [(0.0, 0.0), (10.0, 1.0), (-20.0, 0.0), (0.0, -1.0)])
@pytest.mark.parametrize("u", [0.5, 0.55, 0.6])
def test_a_layer_of_equal_streaks(u, angle, z):
    """All streaks lie upon each other: one parallelogram, as often as their number says."""
    height, width, length, thickness, coverage = 40, 36, 60.0, 1.75, 0.61
    above = 90.0
    beside = 90 * math.tan(math.radians(abs(angle) + 6))
    area = 60 * 1.75 * math.exp(0.45**2 / 2)
    count = int(0.61 * (height + above) * (width + 2 * beside) / area) + 1
    slope = math.tan(math.radians(angle + 2 * z))
    stretch = math.sqrt(1 + slope**2)
    rows = int(60 * (0.5 + u) / stretch) + 1
    span = 1.75 * math.exp(0.45 * z) * stretch
    value = (0.3 + 0.7 * u) / (0.65 * 0.61)
    top = math.floor(-above + u * (height + above))
    left = -beside + u * (width + 2 * beside)
    expected = np.zeros((height, width))
    for k in range(rows):
        if 0 <= top + k < height:
            start = left + slope * k
            for column in range(width):
                covered = min(start + span, column + 1) - max(start, column)
                expected[top + k, column] = count * value * max(covered, 0)
    assert expected.any()
    found = _rain_layer(height, width, Given(u, z), angle, length, thickness, coverage)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("u", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("z", [-4.0, 0.0, 1.0, 2.0, 4.0])
def test_settings_of_rain_lie_where_the_documentation_says(u, z, monkeypatch):
    layers = []

    def layer(height, width, generator, **settings):
        layers.append(settings)
        return np.full((height, width), 0.5)

    monkeypatch.setattr(of_rain, "_rain_layer", layer)
    rainy = rain_streaks(GREY, Given(u, z))
    assert len(layers) == 2 + int(4 * u)
    settings = layers[0]
    assert settings["angle"] == pytest.approx(np.clip(z * 4.5 + z * 2 * 7.5**u, -45, 45))
    assert settings["length"] == pytest.approx(30 * (220 / 30) ** u)
    assert settings["thickness"] == pytest.approx(1.2 + 1.1 * u)
    assert settings["coverage"] == pytest.approx(0.22 + 0.78 * u)
    added = 0.22 * math.exp(0.45 * z) * 0.5
    np.testing.assert_allclose(rainy, min(0.25 + added, 1), rtol=1e-6)
    monkeypatch.setattr(of_rain, "_rain_layer", lambda *_, **__: np.full((40, 30), 900.0))
    assert (rain_streaks(GREY, Given(u, z)) == 1).all()


@pytest.mark.parametrize("z", [-1.5, 0.0, 1.0])
@pytest.mark.parametrize("u", [0.0, 0.3, 1.0])
def test_a_path_has_its_length_its_turns_and_no_mean(u, z):
    turn = z * (0.05 + 0.2 * u)
    step = 6 * 4**u / 64
    down = across = 0.0
    points = []
    for k in range(1, 65):
        down += step * math.sin(2 * math.pi * u + k * turn)
        across += step * math.cos(2 * math.pi * u + k * turn)
        points.append((down, across))
    expected = np.array(points).T - np.mean(points, axis=0)[:, None]
    np.testing.assert_allclose(_shake_path(Given(u, z), 6, 24), expected, atol=1e-9)


@pytest.mark.parametrize("u", [0.1, 0.6])
def test_the_kernel_holds_the_path(u):
    path = _shake_path(Given(u, 1.0), 6, 24)
    kernel = _shake_kernel(Given(u, 1.0))
    radius = len(kernel) // 2
    assert kernel.shape == (2 * radius + 1, 2 * radius + 1)
    assert radius == int(np.abs(path).max()) + 1
    expected = np.zeros_like(kernel)
    for y, x in path.T:
        for row in range(-radius, radius + 1):
            for column in range(-radius, radius + 1):
                share = max(0, 1 - abs(y - row)) * max(0, 1 - abs(x - column))
                expected[row + radius, column + radius] += share / 64
    np.testing.assert_allclose(kernel, expected, atol=1e-12)
    point = np.zeros((61, 61, 3), np.float32)
    point[30, 30] = 1
    blurred = motion_blur(point, Given(u, 1.0))[..., 1]
    inner = slice(30 - radius, 31 + radius)
    np.testing.assert_allclose(blurred[inner, inner], expected, atol=1e-6)
    assert blurred.sum() == pytest.approx(1, abs=1e-5)


def test_the_border_of_a_shaken_image_is_mirrored_with_its_edge():
    image = np.random.default_rng(0).random((20, 24, 3)).astype(np.float32)
    kernel = _shake_kernel(Given(0.1, 1.0))
    radius = len(kernel) // 2
    rows = [*range(radius - 1, -1, -1), *range(20), *range(19, 19 - radius, -1)]
    columns = [*range(radius - 1, -1, -1), *range(24), *range(23, 23 - radius, -1)]
    padded = image[rows][:, columns]
    corner = sum(
        kernel[2 * radius - i, 2 * radius - j] * padded[i, j]
        for i in range(2 * radius + 1)
        for j in range(2 * radius + 1)
    )
    np.testing.assert_allclose(motion_blur(image, Given(0.1, 1.0))[0, 0], corner, rtol=1e-4)


def test_an_image_moves_by_whole_pixels_and_parts_of_them():
    padded = np.zeros((9, 9, 1), np.float32)
    padded[4, 4] = 1
    moved = _moved(padded, np.array([1.0, -1.0]), 2)[..., 0]
    expected = np.zeros((5, 5))
    expected[3, 1] = 1
    np.testing.assert_allclose(moved, expected)
    moved = _moved(padded, np.array([-0.75, 0.5]), 2)[..., 0]
    expected = np.zeros((5, 5))
    expected[1, 2:4], expected[2, 2:4] = 0.375, 0.125
    np.testing.assert_allclose(moved, expected, atol=1e-6)


def test_images_that_are_not_square_move_too():
    image = np.random.default_rng(0).random((5, 8, 2)).astype(np.float32)
    padded = np.pad(image, ((3, 3), (3, 3), (0, 0)), mode="symmetric")
    for down, right in ((2.25, -1.5), (-2.75, 0.0), (0.0, 2.0)):
        expected = shift(image, (down, right, 0), order=1, mode="reflect")
        found = _moved(padded, np.array([down, right]), 3)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_what_an_object_hides_is_the_image_mirrored_in_its_outline():
    image = np.tile(np.arange(7.0, dtype=np.float32)[None, :, None], (3, 1, 3))
    region = np.zeros((3, 7), bool)
    region[:, :3] = True
    found = _mirrored_behind(image, region)[1, :, 0]
    np.testing.assert_array_equal(found, [6, 5, 4, 3, 4, 5, 6])
    region = np.zeros((3, 7), bool)
    region[:, 4:6] = True
    found = _mirrored_behind(image, region)[1, :, 0]
    np.testing.assert_array_equal(found, [0, 1, 2, 3, 2, 6, 6])


def test_the_mean_frame_is_object_over_background():
    """A square on another ground moves one pixel to both sides, its ground one down and up."""
    image = np.full((12, 12, 3), 0.2, np.float32)
    image[4:8, 4:8] = 0.8
    mask = np.zeros((12, 12), np.float32)
    mask[4:8, 4:8] = 1
    path = np.array([[5.0, 5.0], [2.0, 4.0]])
    found = _mean_frame(image, mask, path, np.zeros((2, 2)))[..., 0]
    expected = np.full((12, 12), 0.2)
    expected[4:8, 3:5] = expected[4:8, 7:9] = 0.5
    expected[4:8, 5:7] = 0.8
    np.testing.assert_allclose(found, expected, atol=1e-6)
    ground = np.tile(np.linspace(0, 1, 12, dtype=np.float32)[:, None, None], (1, 12, 3))
    found = _mean_frame(ground, np.zeros((12, 12), np.float32), np.zeros((2, 2)), path[::-1])
    shifted = np.pad(ground, ((1, 1), (0, 0), (0, 0)), mode="symmetric")
    np.testing.assert_allclose(found, (shifted[2:] + shifted[:-2]) / 2, atol=1e-6)


def test_the_mean_frame_between_pixels_and_with_a_soft_edge():
    """Three frames; what is more than half covered counts as hidden."""
    image = np.random.default_rng(0).random((9, 14, 3)).astype(np.float32)
    mask = np.zeros((9, 14), np.float32)
    mask[3:6, 5:9] = 1
    mask[3:6, 4], mask[3:6, 9], mask[6, 5:9] = 0.5, 0.52, 0.25
    path = np.array([[4.0, 1.5, 2.0], [-1.0, 0.25, 0.0]])
    ground = np.array([[0.5, 0.0, 1.0], [3.0, 0.0, -4.0]])
    hidden = np.zeros((9, 14), bool)
    hidden[3:6, 5:10] = True
    behind = _mirrored_behind(image, hidden)
    expected = np.zeros((9, 14, 3))
    for k in range(3):
        move = [*(path[:, k] - path.mean(axis=1)), 0]
        ground_move = [*(ground[:, k] - ground.mean(axis=1)), 0]
        over = shift(mask[..., None] * image, move, order=1, mode="reflect")
        cover = shift(mask[..., None], move, order=1, mode="reflect")
        under = shift(behind, ground_move, order=1, mode="reflect")
        expected += (over + (1 - cover) * under) / 3
    np.testing.assert_allclose(_mean_frame(image, mask, path, ground), expected, atol=1e-5)
    still = np.zeros((2, 3))
    for paths in ((path, still), (still, ground)):  # either may be the longer one
        assert _mean_frame(image, mask, *paths).shape == image.shape


@pytest.mark.parametrize(("height", "width"), [(30, 50), (50, 30)])
def test_the_outline_has_bumps(height, width):
    field = np.random.default_rng(1).standard_normal((5, 5))
    bumps = zoom(field, (height / 5, width / 5), order=3, mode="reflect", grid_mode=True)
    y = (np.arange(height) / height - 0.35)[:, None]
    x = (np.arange(width) / width - 0.35)[None, :]
    outside = np.sqrt(y**2 + x**2) + 0.08 * bumps
    distance = outside - np.quantile(outside, 0.26)
    down, right = np.gradient(distance)
    pixels = distance / np.sqrt(down**2 + right**2)
    expected = np.clip((1 - pixels) / 2, 0, 1)
    found = _object_mask(height, width, Given(0.2, field=field))
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_an_object_covers_its_share_and_has_an_edge_of_two_pixels():
    """Without bumps the region is a disc; at the level u it covers 0.2 + 0.3 u of the image."""
    for u in (0.0, 0.5, 1.0):
        mask = _object_mask(60, 60, Given(u))
        y, x = (np.mgrid[:60, :60] / 60) - (0.25 + 0.5 * u)
        distance = np.hypot(y, x)
        radius = np.quantile(distance, 0.2 + 0.3 * u)
        expected = np.clip(0.5 - (distance - radius) * 60 / 2, 0, 1)
        np.testing.assert_allclose(mask, expected, atol=0.02)
    field = np.random.default_rng(1).standard_normal((5, 5))
    bumps = zoom(field, (8, 8), order=3, mode="reflect", grid_mode=True)
    y, x = (np.mgrid[:40, :40] / 40) - 0.5
    outside = np.hypot(y, x) + 0.08 * bumps
    inside = _object_mask(40, 40, Given(0.5, field=field)) > 0.5
    assert (inside == (outside < np.quantile(outside, 0.35))).mean() > 0.99


@pytest.mark.parametrize("u", [0.1, 0.25, 0.26])
def test_an_object_moves_on_a_path_of_its_own(u, monkeypatch):
    seen = []
    monkeypatch.setattr(of_blur, "_mean_frame", lambda *given: seen.extend(given))
    object_motion_blur(GREY, Given(u, 1.0))
    _, mask, path, ground = seen
    np.testing.assert_array_equal(mask, _object_mask(40, 30, Given(u, 1.0)))
    np.testing.assert_allclose(path, _shake_path(Given(u, 1.0), 10, 36)[:, [*range(2, 64, 4)]])
    own = _shake_path(Given(u, 1.0), 4, 16)[:, [*range(2, 64, 4)]]
    np.testing.assert_allclose(ground, own if u >= 0.25 else 0 * own)


def test_half_of_the_blurs_are_of_the_camera(monkeypatch):
    monkeypatch.setattr(of_blur, "motion_blur", lambda *_: "camera")
    monkeypatch.setattr(of_blur, "object_motion_blur", lambda *_: "object")
    assert [blur(GREY, Given(u)) for u in (0.0, 0.49, 0.5, 0.9)] == [
        "camera", "camera", "object", "object",
    ]  # fmt: skip
