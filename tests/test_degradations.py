"""Degradations: reproducibility, ranges, golden numbers, agreement with the reference arrays."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from skimage import data

from irsde.degradations import (
    _mean_frame,
    _object_mask,
    _rain_layer,
    _reduction,
    blur,
    downsample_bicubic,
    enlarge,
    gaussian_noise,
    haze,
    inpainting_holes,
    motion_blur,
    object_motion_blur,
    rain_streaks,
    read_mask,
    thin_mask,
)
from irsde.seeds import numpy_generator
from tests.reference import REFERENCE, needs_reference

DATA = REFERENCE.parent / "data"
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="benchmark images absent: they lie in data/ beside IRSDE_REFERENCE"
)
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


def test_rain_is_correlated_along_the_vertical_and_not_across():
    added = rain_streaks(np.zeros((200, 200, 3), np.float32), numpy_generator("rain", 0))[..., 0]
    added = added - added.mean()
    down = np.mean(added[8:] * added[:-8])
    across = np.mean(added[:, 8:] * added[:, :-8])
    assert down > 3 * abs(across)


@pytest.mark.parametrize("angle", [-30, 10, 30])
def test_streaks_of_a_layer_lie_along_its_direction(angle):
    layer = _rain_layer(300, 300, numpy_generator("layer"), angle, 80, 1.5, 0.5)
    layer -= layer.mean()
    sideways = [round(20 * np.tan(np.radians(other))) for other in (angle, -angle)]
    along, mirrored = (np.mean(layer[20:] * np.roll(layer, s, axis=1)[:-20]) for s in sideways)
    assert along > 0.2 * layer.var()
    assert abs(mirrored) < 0.1 * layer.var()


@pytest.mark.parametrize("length", [30, 200])
@pytest.mark.parametrize("size", [(64, 64), (100, 300)])
def test_rain_layer_has_mean_one_everywhere(length, size):
    layers = [
        _rain_layer(*size, numpy_generator("mean", i), 15, length, 1.5, 0.6) for i in range(60)
    ]
    mean = np.mean(layers, axis=0)
    for part in (mean, mean[:20], mean[-20:], mean[:, :20], mean[:, -20:]):
        assert part.mean() == pytest.approx(1, abs=0.1)


def test_a_streak_is_equally_bright_from_its_first_to_its_last_row():
    streaks = [_rain_layer(200, 200, numpy_generator("one", i), 5, 40, 1.5, 1e-9) for i in range(9)]
    inside = [
        streak for streak in streaks if streak[0].max() == streak[-1].max() == 0 < streak.max()
    ]
    assert len(inside) >= 3
    for streak in inside:
        rows = streak.sum(axis=1)
        assert rows[rows > 0] == pytest.approx(rows.max(), rel=1e-6)
        assert 19 <= np.count_nonzero(rows) <= 61


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


def test_blur_does_not_shift_the_image():
    point = np.zeros((65, 65, 3), np.float32)
    point[32, 32] = 1
    for seed in range(5):
        blurred = motion_blur(point, numpy_generator("shift", seed))[..., 0].astype(np.float64)
        center = np.tensordot(np.indices(blurred.shape), blurred, 2) / blurred.sum()
        assert center == pytest.approx([32, 32], abs=1e-3)


def test_blur_is_as_strong_as_in_gopro():
    """Two pairs of GoPro's kind lie at 24.1 and 25.1 dB."""
    assert mean_psnr(motion_blur) == pytest.approx(25.5, abs=2)


def test_object_and_background_move_along_their_own_paths():
    image = np.zeros((64, 64, 3), np.float32)
    image[32, 20] = image[32, 50] = 1
    mask = np.zeros((64, 64), np.float32)
    mask[16:48, 36:] = 1
    sideways = np.stack([np.zeros(16), np.arange(16) / 2])
    down = np.stack([np.arange(16) / 4, np.zeros(16)])
    moved = _mean_frame(image, mask, sideways, down)[..., 0]
    still = _mean_frame(image, mask, sideways, np.zeros((2, 16)))[..., 0]
    assert set(np.nonzero(moved[:, 36:])[0]) == {32}
    assert np.ptp(np.nonzero(moved[:, 36:])[1]) == 8
    assert set(np.nonzero(moved[:, :32])[1]) == {20}
    assert np.ptp(np.nonzero(moved[:, :32])[0]) == 4
    assert np.argwhere(still[:, :32]).tolist() == [[32, 20]]


def test_object_blur_does_not_shift_object_or_background():
    for seed in range(5):
        rng = numpy_generator("two points", seed)
        image = np.zeros((64, 96, 3), np.float32)
        image[32, 24] = image[32, 72] = 1
        mask = np.zeros((64, 96), np.float32)
        mask[:, 48:] = 1
        paths = rng.normal(0, 2, (2, 2, 16))
        blurred = _mean_frame(image, mask, *paths)[..., 0].astype(np.float64)
        for half, column in ((blurred[:, :48], 24), (blurred[:, 48:], 24)):
            center = np.tensordot(np.indices(half.shape), half, 2) / half.sum()
            assert center == pytest.approx([32, column], abs=1e-3)


def test_object_at_rest_over_a_background_at_rest_is_the_image():
    mask = (_object_mask(128, 128, numpy_generator("rest")) > 0.5).astype(np.float32)
    rest = np.zeros((2, 8))
    assert _mean_frame(COFFEE, mask, rest, rest) == pytest.approx(COFFEE, abs=1e-6)


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


def test_background_rests_in_some_object_blurs_and_moves_in_most():
    sharp = [
        np.mean(np.abs(object_motion_blur(COFFEE, numpy_generator("still", i)) - COFFEE) < 1e-6)
        for i in range(40)
    ]
    assert 0.1 < np.mean(np.array(sharp) > 0.3) < 0.45
    assert np.max(sharp) < 0.85


def test_blur_is_camera_shake_or_object_motion_about_half_each():
    """A camera blurs every dot of a periodic pattern alike, a moving object does not."""
    dots = np.zeros((96, 96, 3), np.float32)
    dots[7::16, 7::16] = dots[8::16, 7::16] = dots[7::16, 8::16] = dots[8::16, 8::16] = 1
    alike = []
    for seed in range(80):
        blurred = blur(dots, numpy_generator("choice", seed))[..., 0]
        cells = blurred.reshape(6, 16, 6, 16).transpose(0, 2, 1, 3).reshape(36, 256)
        alike.append(np.ptp(cells, axis=0).max() < 1e-4)
    assert 0.35 < np.mean(alike) < 0.65


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


def test_haze_thickens_exponentially_with_the_given_depth():
    depth = np.linspace(0, 1, 60 * 50).reshape(60, 50)
    images = (np.full((60, 50, 3), level, np.float32) for level in (0, 1))
    black, white = (haze(image, numpy_generator("depth"), depth)[..., 0] for image in images)
    thickness = -np.log(white - black)
    beta = thickness[-1, -1]
    assert 0.6 <= beta <= 1.8
    assert thickness == pytest.approx(beta * depth, abs=1e-5)


def test_given_depth_leaves_scattering_and_airlight_of_the_seed():
    """The farthest pixel of a drawn depth map has depth 1."""
    black = np.zeros((60, 50, 3), np.float32)
    drawn = haze(black, numpy_generator("same"))
    given = haze(black, numpy_generator("same"), np.ones((60, 50)))
    assert given.max() == pytest.approx(drawn.max(), abs=1e-6)


@pytest.mark.parametrize(
    "depth", [np.ones((50, 60)), np.full((60, 50), 3.5), np.full((60, 50), np.nan)]
)
def test_haze_refuses_a_depth_of_another_shape_or_unit(depth):
    with pytest.raises(ValueError, match="depth"):
        haze(np.zeros((60, 50, 3), np.float32), numpy_generator("depth"), depth)


@needs_data
def test_haze_on_the_rooms_of_sots_is_as_thick_as_the_real_haze():
    folder = DATA / "SOTS-indoor"
    hazy = sorted((folder / "LQ").glob("*.png"))[::2]
    clean = [read(folder / "GT" / f"{path.stem[:4]}.png") for path in hazy]
    real = [psnr(image, read(path)) for image, path in zip(clean, hazy, strict=True)]
    ours = [psnr(image, haze(image, numpy_generator("room", i))) for i, image in enumerate(clean)]
    assert np.mean(ours) == pytest.approx(np.mean(real), abs=1.5)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_reduction_keeps_constants_and_lines(scale):
    ramp = np.broadcast_to(np.linspace(0, 1, 48, dtype=np.float32)[:, None, None], (48, 36, 3))
    reduced = downsample_bicubic(ramp, scale)
    assert reduced.dtype == np.float32
    assert reduced.shape == (48 // scale, 36 // scale, 3)
    inner = reduced[2:-2, :, 0]
    assert np.diff(inner, axis=0) == pytest.approx(scale / 47, abs=1e-5)
    assert downsample_bicubic(np.full_like(COFFEE, 0.4), scale) == pytest.approx(0.4, abs=1e-6)


def test_reduction_by_one_is_the_identity():
    assert downsample_bicubic(COFFEE, 1) == pytest.approx(COFFEE, abs=1e-7)


def test_reduction_of_an_uneven_size_rounds_up():
    assert downsample_bicubic(COFFEE[:65, :47], 4).shape == (17, 12, 3)


def test_reduction_mirrors_the_border_with_the_edge_pixel_repeated():
    mirrored = np.pad(COFFEE, ((16, 16), (16, 16), (0, 0)), mode="symmetric")
    inside = downsample_bicubic(mirrored, 4)[4:-4, 4:-4]
    assert downsample_bicubic(COFFEE, 4) == pytest.approx(inside, abs=1e-6)


def test_reduction_overshoots_beside_edges_because_it_is_not_clipped():
    edge = np.zeros((32, 32, 3), np.float32)
    edge[:, 18:] = 1
    assert downsample_bicubic(edge, 4).min() < -0.01


def test_nearest_enlargement_repeats_pixels():
    small = COFFEE[:8, :6]
    assert np.array_equal(enlarge(small, 3, "nearest"), small.repeat(3, 0).repeat(3, 1))


def test_bicubic_enlargement_keeps_constants_and_size():
    large = enlarge(np.full((5, 7, 3), 0.25, np.float32), 4)
    assert large.shape == (20, 28, 3)
    assert large.dtype == np.float32
    assert large == pytest.approx(0.25, abs=1e-6)


@needs_reference
@pytest.mark.parametrize(
    ("key", "size", "scale"),
    [
        ("matlab_bicubic_x2down_chw", 64, 2),
        ("matlab_bicubic_x3down_of_63_chw", 63, 3),
        ("matlab_bicubic_x4down_chw", 64, 4),
    ],
)
def test_reduction_agrees_with_the_authors_code(key, size, scale):
    arrays = np.load(REFERENCE / "image_ops.npz")
    reduced = downsample_bicubic(arrays["crop_rgb_hwc"][:size, :size], scale)
    assert reduced == pytest.approx(arrays[key].transpose(1, 2, 0), abs=1e-6)


@needs_reference
@pytest.mark.parametrize("mode", ["bicubic", "nearest"])
def test_enlargement_agrees_with_the_authors_code(mode):
    arrays = np.load(REFERENCE / "image_ops.npz")
    small = arrays["matlab_bicubic_x4down_chw"].transpose(1, 2, 0)
    expected = arrays[f"torch_{mode}_x4up_of_down_chw"].transpose(1, 2, 0)
    assert enlarge(small, 4, mode) == pytest.approx(expected, abs=1e-6)


@needs_data
@pytest.mark.parametrize("name", ["Set5-x4", "Set14-x4"])
def test_reduction_agrees_with_the_stored_images_of_the_benchmark(name):
    """At most 6 (Set5) and 12 levels apart, 0.15 and 0.22 on average: the next test says why."""
    limit, mean_limit = {"Set5-x4": (6, 0.15), "Set14-x4": (12, 0.22)}[name]
    for path in sorted((DATA / name / "GT").glob("*.png")):
        ours = np.round(255 * downsample_bicubic(read(path), 4).clip(0, 1))
        difference = np.abs(ours - np.round(255 * read(DATA / name / "LQ" / path.name)))
        assert difference.max() <= limit
        assert difference.mean() <= mean_limit


@needs_data
@pytest.mark.parametrize("name", ["Set5-x4", "Set14-x4"])
def test_reduction_rounded_after_each_axis_equals_the_stored_images_inside(name):
    """MATLAB rounds and clips 8-bit images after the height, then again after the width.

    The two outermost pixels are left out: the stored images were made with another border.
    """
    for path in sorted((DATA / name / "GT").glob("*.png")):
        image = 255 * read(path).astype(np.float64)
        rows, columns = (_reduction(length, 4) for length in image.shape[:2])
        halfway = np.floor(np.einsum("ih,hwc->iwc", rows, image).clip(0, 255) + 0.5)
        ours = np.floor(np.einsum("jw,iwc->ijc", columns, halfway).clip(0, 255) + 0.5)
        stored = np.round(255 * read(DATA / name / "LQ" / path.name))
        difference = np.abs(ours - stored)[2:-2, 2:-2]
        assert difference.max() <= 1
        assert difference.mean() < 1e-3


def test_mask_is_binary_and_has_the_asked_size():
    mask = thin_mask(40, 60, numpy_generator("mask"))
    assert mask.shape == (40, 60)
    assert mask.dtype == np.float32
    assert set(np.unique(mask)) == {0.0, 1.0}


def test_hole_count_of_a_seeded_mask_is_the_stored_number():
    mask = thin_mask(128, 128, np.random.Generator(np.random.PCG64(7)))
    assert np.sum(mask == 0) == 7788


def test_mask_depends_on_the_seed_alone():
    first, second, other = (thin_mask(64, 64, numpy_generator("mask", i)) for i in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("size", [64, 128])
def test_masks_cover_as_much_as_the_published_thin_masks(size):
    """The 100 published masks: mean 0.30, standard deviation 0.12, range 0.03 to 0.50."""
    holes = np.array(
        [1 - thin_mask(size, size, numpy_generator("cover", i)).mean() for i in range(60)]
    )
    assert holes.mean() == pytest.approx(0.30, abs=0.06)
    assert holes.std() == pytest.approx(0.12, abs=0.04)
    assert holes.max() < 0.6


@needs_data
def test_strokes_are_as_wide_and_reach_the_border_as_often_as_the_published_ones():
    files = sorted((DATA / "inpainting-masks" / "thin").glob("*.png"))
    real = [read_mask(np.asarray(Image.open(file)), 256, 256) == 0 for file in files]
    ours = [thin_mask(256, 256, numpy_generator("stroke", i)) == 0 for i in range(100)]
    assert len(real) == 100
    for statistic, tolerance in ((outline_per_area, 0.02), (share_of_border, 0.06)):
        expected = np.mean([statistic(holes) for holes in real])
        assert np.mean([statistic(holes) for holes in ours]) == pytest.approx(
            expected, abs=tolerance
        )


def outline_per_area(holes):
    return (np.diff(holes, axis=0).sum() + np.diff(holes, axis=1).sum()) / holes.sum()


def share_of_border(holes):
    return np.concatenate([holes[0], holes[-1], holes[:, 0], holes[:, -1]]).mean()


def test_masks_never_hide_more_than_half():
    for seed in range(200):
        assert thin_mask(64, 64, numpy_generator("half", seed)).mean() >= 0.5


@pytest.mark.parametrize("channels", [None, 3])
def test_white_of_a_mask_image_is_kept_and_black_is_a_hole_unless_told_otherwise(channels):
    pixels = np.array([[0, 255], [255, 0], [255, 255]], np.uint8)
    stored = pixels if channels is None else np.stack([pixels] * channels, axis=2)
    keep = read_mask(stored, 3, 2)
    assert keep.dtype == np.float32
    assert keep.tolist() == [[0, 1], [1, 0], [1, 1]]
    assert read_mask(stored, 3, 2, holes="white").tolist() == [[1, 0], [0, 1], [0, 0]]


@pytest.mark.parametrize(
    ("length", "sources"),
    [
        (5, [0, 0, 1, 1, 2, 3, 3, 4]),
        (8, [0, 2, 5]),
        (6, [0] * 6 + [1] * 6 + [2] * 6 + [3] * 5 + [4] * 6 + [5] * 5),
    ],
)
def test_mask_is_resized_to_the_pixels_that_opencv_takes(length, sources):
    """Stored indices come from cv2.resize with INTER_NEAREST, OpenCV 5.0.0.

    The 18 pixels before the first 3 in the last case show OpenCV's rounding: 17 * 6 / 34 is 3.
    """
    pixels = np.repeat(np.arange(length, dtype=np.uint8)[:, np.newaxis], 2 * length, axis=1)
    tall = read_mask(pixels, len(sources), 3) * 255
    wide = read_mask(pixels.T.copy(), 3, len(sources)) * 255
    assert np.rint(tall[:, 0]).astype(int).tolist() == sources
    assert np.rint(wide[0]).astype(int).tolist() == sources


@needs_data
def test_masks_of_resshift_have_white_holes_that_its_images_fill_with_black():
    folder = DATA / "CelebA-HQ-samples" / "ResShift_256"
    files = sorted((folder / "mask").glob("*.png"))
    assert len(files) == 8
    for file in files:
        keep = read_mask(np.asarray(Image.open(file)), 256, 256, holes="white")[..., np.newaxis]
        expected = keep * read(folder / "GT" / file.name)
        assert np.array_equal(read(folder / "LQ" / file.name), expected)


def test_holes_are_white_and_the_rest_is_unchanged():
    mask = thin_mask(128, 128, numpy_generator("holes"))
    masked = inpainting_holes(COFFEE, mask)
    assert masked.dtype == np.float32
    assert np.array_equal(masked[mask == 1], COFFEE[mask == 1])
    assert (masked[mask == 0] == 1).all()


def test_importing_the_module_does_not_import_torch():
    command = "import sys, irsde.degradations; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], env=os.environ).returncode == 0
