"""Classical restorers: shapes, ranges, identities, and gain over the degraded input."""

import numpy as np
import pytest
from skimage import data

from irsde.degradations.blur import motion_blur
from irsde.degradations.haze import haze
from irsde.degradations.masks import inpainting_holes, thin_mask
from irsde.degradations.noise import gaussian_noise
from irsde.degradations.rain import rain_streaks
from irsde.degradations.resampling import downsample_bicubic, enlarge
from irsde.restoration.classical import CLASSICAL, classical_method, estimate_noise_level
from irsde.seeds import numpy_generator
from irsde.tasks import TASKS

COFFEE = data.coffee()[100:228, 200:328].astype(np.float32) / 255
CHELSEA = data.chelsea()[60:188, 150:278].astype(np.float32) / 255
EVERY_CANDIDATE = [
    pytest.param(method.function, value, id=f"{name}-{value}")
    for name, method in CLASSICAL.items()
    for value in method.candidates
]


def holes(image, generator):
    return inpainting_holes(image, thin_mask(*image.shape[:2], generator))


def low_resolution(image, _):
    return enlarge(downsample_bicubic(image, 4), 4)


DEGRADE = {
    "deraining": rain_streaks,
    "deblurring": motion_blur,
    "denoising": gaussian_noise,
    "super-resolution": low_resolution,
    "inpainting": holes,
    "dehazing": haze,
}


def psnr(clean, image):
    return -10 * np.log10(np.mean((clean.astype(np.float64) - image) ** 2))


def gains(task, image, n=5):
    """Gain in dB of each candidate over the degraded image, mean over n seeded degradations."""
    method = classical_method(task)
    degraded = [DEGRADE[task](image, numpy_generator("classical", i)) for i in range(n)]
    return [
        np.mean([psnr(image, method.function(d, value)) - psnr(image, d) for d in degraded])
        for value in method.candidates
    ]


def test_every_method_is_some_tasks_and_has_two_to_five_ascending_candidates():
    assert {task.classical for task in TASKS.values()} - {None} == set(CLASSICAL)
    for method in CLASSICAL.values():
        assert 2 <= len(method.candidates) <= 5
        assert list(method.candidates) == sorted(set(method.candidates))


@pytest.mark.parametrize(("function", "value"), EVERY_CANDIDATE)
@pytest.mark.parametrize(
    "image",
    [
        np.zeros((24, 17, 3), np.float32),
        np.full((24, 17, 3), 0.5, np.float32),
        np.ones((24, 17, 3), np.float32),
        gaussian_noise(COFFEE[:33, :40], numpy_generator("out of range"), 0.3),
        COFFEE[:5, :4],
        COFFEE[:40, :30][::-1],
    ],
    ids=["black", "gray", "white", "out of range", "tiny", "flipped view"],
)
def test_output_has_the_shape_type_and_range_of_an_image(function, value, image):
    before = image.copy()
    restored = function(image, value)
    assert restored.shape == image.shape
    assert restored.dtype == np.float32
    assert restored.min() >= 0
    assert restored.max() <= 1
    assert np.array_equal(image, before)


@pytest.mark.parametrize(("function", "value"), EVERY_CANDIDATE)
def test_same_input_gives_the_same_bits(function, value):
    assert np.array_equal(function(COFFEE[:48, :48], value), function(COFFEE[:48, :48], value))


@pytest.mark.parametrize(
    ("task", "least_gain"),
    [
        ("deraining", 3),
        ("deblurring", 0.02),
        ("denoising", 5),
        ("super-resolution", 0.05),
        ("inpainting", 10),
        ("dehazing", 3),
    ],
)
def test_best_candidate_gains_over_the_degraded_image(task, least_gain):
    assert max(gains(task, CHELSEA)) > least_gain


@pytest.mark.parametrize("level", [15, 25, 50])
def test_noise_level_is_estimated_within_five_percent(level):
    noisy = gaussian_noise(
        np.full((256, 256, 3), 0.5, np.float32), numpy_generator(level), level / 255
    )
    assert estimate_noise_level(noisy) == pytest.approx(level / 255, rel=0.05)


def test_inpainting_changes_only_the_holes_and_leaves_none():
    degraded = holes(COFFEE, numpy_generator("holes"))
    missing = (degraded == 1).all(axis=2)
    restored = classical_method("inpainting").function(degraded, 0)
    assert np.array_equal(restored[~missing], degraded[~missing])
    assert (restored[missing] < 1).any(axis=1).mean() > 0.99


def test_inpainting_restores_a_plane():
    y, x = np.mgrid[:40, :40] / 100
    plane = np.repeat((0.1 + y + x)[..., np.newaxis], 3, axis=2).astype(np.float32)
    degraded = plane.copy()
    degraded[15:20, 10:18] = 1
    assert classical_method("inpainting").function(degraded, 0) == pytest.approx(plane, abs=1e-4)


def test_dehazing_without_strength_is_the_identity():
    assert classical_method("dehazing").function(COFFEE, 0) == pytest.approx(COFFEE, abs=1e-5)


GOLDEN = {
    "deraining": [3.590, 6.033, 7.725, 8.656, 9.623],
    "deblurring": [0.474, 0.568, 0.297, -0.936],
    "denoising": [11.633, 12.015, 12.098, 11.654],
    "super-resolution": [0.236, 0.271, 0.261, 0.116],
    "inpainting": [19.017, 15.421],
    "dehazing": [3.823, 4.852, 5.923, 6.749, 6.806],
}


@pytest.mark.parametrize("task", GOLDEN)
def test_gains_on_coffee_are_the_stored_numbers(task):
    """Stored numbers come from this code with scikit-image 0.26, one seeded image for each."""
    assert gains(task, COFFEE, n=1) == pytest.approx(GOLDEN[task], abs=0.01)
