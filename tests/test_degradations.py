"""Degradations: reproducibility, ranges, golden numbers, strength beside real images."""

import numpy as np
import pytest
from PIL import Image
from skimage import data

from irsde.degradations.blur import _mean_frame, _object_mask, blur, motion_blur, object_motion_blur
from irsde.degradations.haze import haze
from irsde.degradations.noise import gaussian_noise
from irsde.degradations.rain import _rain_layer, rain_streaks
from irsde.seeds import numpy_generator
from tests.reference import DATA, needs_data

RANDOM = [gaussian_noise, rain_streaks, motion_blur, object_motion_blur, blur, haze]
COFFEE = data.coffee()[100:228, 200:328].astype(np.float32) / 255


def read(path):
    return np.asarray(Image.open(path).convert("RGB"), dtype=np.float32) / 255


def psnr(clean, image):
    return -10 * np.log10(np.mean((clean.astype(np.float64) - image) ** 2))


def mean_psnr(degradation, n=20):
    return np.mean([psnr(COFFEE, degradation(COFFEE, numpy_generator("p", i))) for i in range(n)])


@pytest.mark.parametrize("degradation", RANDOM)
def test_same_seed_gives_the_same_bits(degradation):
    first, second = (degradation(COFFEE, numpy_generator("test", "coffee")) for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("degradation", RANDOM)
def test_different_names_give_different_images(degradation):
    first, second = (degradation(COFFEE, numpy_generator("test", name)) for name in "ab")
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("degradation", RANDOM)
@pytest.mark.parametrize("shape", [(128, 128), (31, 47)])
def test_shape_and_type_are_kept_and_the_input_is_not_touched(degradation, shape):
    image = COFFEE[: shape[0], : shape[1]].copy()
    before = image.copy()
    degraded = degradation(image, numpy_generator("shape"))
    assert degraded.shape == image.shape
    assert degraded.dtype == np.float32
    assert np.array_equal(image, before)


@pytest.mark.parametrize("degradation", [rain_streaks, motion_blur, object_motion_blur, haze])
@pytest.mark.parametrize("level", [0.0, 1.0])
def test_range_is_kept_for_black_and_white_images(degradation, level):
    degraded = degradation(np.full((40, 50, 3), level, np.float32), numpy_generator("range"))
    assert degraded.min() >= 0
    assert degraded.max() <= 1


@pytest.mark.parametrize(
    ("degradation", "mean"),
    [
        (gaussian_noise, 0.4977824186),
        (rain_streaks, 0.6193243143),
        (motion_blur, 0.4998775859),
        (object_motion_blur, 0.5007074529),
        (blur, 0.4995018188),
        (haze, 0.7905068068),
    ],
)
def test_mean_of_a_seeded_degradation_is_the_stored_number(degradation, mean):
    """Stored numbers come from this code, written down when it was first looked at."""
    ramp = np.linspace(0, 1, 64 * 48 * 3, dtype=np.float32).reshape(64, 48, 3)
    degraded = degradation(ramp, np.random.Generator(np.random.PCG64(7)))
    weight = np.cos(np.arange(ramp.size)).reshape(ramp.shape)
    assert np.mean(weight * degraded + degraded, dtype=np.float64) == pytest.approx(mean, abs=1e-6)


def test_noise_has_the_stated_level_and_is_neither_clipped_nor_quantised():
    image = np.zeros((200, 200, 3), np.float32)
    noisy = gaussian_noise(image, numpy_generator("level"), noise_level=50 / 255)
    assert noisy.std() == pytest.approx(50 / 255, rel=4 / np.sqrt(2 * noisy.size))
    assert noisy.min() < 0
    assert len(np.unique(noisy)) > 100_000


def test_clipped_noise_is_the_unclipped_noise_cut_to_the_unit_range():
    noisy, clipped = (
        gaussian_noise(COFFEE, numpy_generator("clip"), clipped=choice) for choice in (False, True)
    )
    assert noisy.max() > 1
    assert np.array_equal(clipped, noisy.clip(0, 1))


def test_rain_only_brightens_and_is_gray():
    added = rain_streaks(COFFEE * 0.2, numpy_generator("rain", 3)) - COFFEE * 0.2
    assert added.min() >= -1e-6
    unclipped = added.max(axis=2) < 0.7
    assert np.ptp(added[unclipped], axis=1).max() < 1e-6


@pytest.mark.parametrize("length", [30, 200])
@pytest.mark.parametrize("size", [(64, 64), (100, 300)])
def test_rain_layer_has_mean_one_everywhere(length, size):
    layers = [
        _rain_layer(*size, numpy_generator("mean", i), 15, length, 1.5, 0.6) for i in range(60)
    ]
    mean = np.mean(layers, axis=0)
    for part in (mean, mean[:20], mean[-20:], mean[:, :20], mean[:, -20:]):
        assert part.mean() == pytest.approx(1, abs=0.1)


@needs_data
def test_rain_on_the_clean_images_of_rain100h_is_as_heavy_as_the_real_rain():
    clean = [read(DATA / "Rain100H-test" / "GT" / f"{i}.png") for i in range(1, 101, 2)]
    real = [read(DATA / "Rain100H-test" / "LQ" / f"{i}.png") for i in range(1, 101, 2)]
    ours = [rain_streaks(image, numpy_generator("rain", i)) for i, image in enumerate(clean)]
    heavy = [[psnr(*pair) for pair in zip(clean, rainy, strict=True)] for rainy in (real, ours)]
    assert np.mean(heavy[1]) == pytest.approx(np.mean(heavy[0]), abs=1.2)
    assert np.std(heavy[1]) == pytest.approx(np.std(heavy[0]), abs=1)


def test_rain_is_as_heavy_as_in_rain100h():
    """Rain100H's test images lie at 12.1 dB with standard deviation 2.9 dB."""
    assert mean_psnr(rain_streaks) == pytest.approx(12.1, abs=2)


def test_blur_keeps_a_constant_image_and_the_mean():
    flat = motion_blur(np.full((40, 40, 3), 0.3, np.float32), numpy_generator("flat"))
    assert flat == pytest.approx(0.3, abs=1e-6)
    blurred = motion_blur(COFFEE, numpy_generator("mean"))
    assert blurred.mean() == pytest.approx(COFFEE.mean(), abs=2e-3)


def test_blur_is_as_strong_as_in_gopro():
    """Two pairs of GoPro's kind lie at 24.1 and 25.1 dB."""
    assert mean_psnr(motion_blur) == pytest.approx(25.5, abs=2)


def test_background_that_the_object_uncovers_does_not_show_the_object():
    """A black square over white keeps its area of black, wherever it is in each frame."""
    mask = np.zeros((80, 80), np.float32)
    mask[30:50, 30:50] = 1
    image = np.repeat(1 - mask[..., np.newaxis], 3, axis=2)
    path = np.stack([np.linspace(-9, 9, 16), np.linspace(5, -5, 16)])
    blurred = _mean_frame(image, mask, path, np.zeros((2, 16)))
    assert np.sum(1 - blurred[..., 0]) == pytest.approx(400, rel=1e-5)
    assert blurred[45:48, 30:33, 0].min() > 0.1


@pytest.mark.parametrize("size", [(64, 64), (31, 47), (160, 240)])
def test_object_is_one_soft_region_of_a_fifth_to_a_half_of_the_image(size):
    for seed in range(10):
        mask = _object_mask(*size, numpy_generator("region", seed))
        assert mask.dtype == np.float32
        assert mask.min() == 0
        assert mask.max() == 1
        assert 0.18 < mask.mean() < 0.52
        assert ((mask > 0) & (mask < 1)).mean() < 0.25


def test_object_blur_is_as_strong_as_in_gopro():
    """Two pairs of GoPro's kind lie at 24.1 and 25.1 dB."""
    assert mean_psnr(object_motion_blur) == pytest.approx(25.5, abs=2)


def test_haze_keeps_the_contrast_of_neighbours_within_the_transmission_range():
    base = np.full((60, 60, 3), 0.2, np.float32)
    brighter = base + np.float32(0.5)
    low, high = (haze(image, numpy_generator("haze")) for image in (base, brighter))
    transmission = (high - low) / 0.5
    assert transmission.min() >= np.exp(-1.8) - 1e-5
    assert transmission.max() <= np.exp(-0.06) + 1e-5


def test_haze_is_thicker_at_the_top_on_average():
    black = np.zeros((60, 60, 3), np.float32)
    rows = np.mean([haze(black, numpy_generator("top", i)).mean((1, 2)) for i in range(20)], axis=0)
    assert rows[:10].mean() > rows[-10:].mean() + 0.1


def test_given_depth_leaves_scattering_and_airlight_of_the_seed():
    """The farthest pixel of a drawn depth map has depth 1."""
    black = np.zeros((60, 50, 3), np.float32)
    drawn = haze(black, numpy_generator("same"))
    given = haze(black, numpy_generator("same"), np.ones((60, 50)))
    assert given.max() == pytest.approx(drawn.max(), abs=1e-6)


@needs_data
def test_haze_on_the_rooms_of_sots_is_as_thick_as_the_real_haze():
    folder = DATA / "SOTS-indoor"
    hazy = sorted((folder / "LQ").glob("*.png"))[::2]
    clean = [read(folder / "GT" / f"{path.stem[:4]}.png") for path in hazy]
    real = [psnr(image, read(path)) for image, path in zip(clean, hazy, strict=True)]
    ours = [psnr(image, haze(image, numpy_generator("room", i))) for i, image in enumerate(clean)]
    assert np.mean(ours) == pytest.approx(np.mean(real), abs=1.5)
