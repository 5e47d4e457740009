"""Masks of inpainting: drawn strokes beside the published ones, mask files, the holes cut."""

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from torch.nn.functional import interpolate

from irsde.degradations.masks import read_mask, thin_mask
from irsde.files import InputError
from irsde.seeds import numpy_generator
from tests.reference import DATA, needs_data

COFFEE = data.coffee()[100:228, 200:328].astype(np.float32) / 255


def read(path):
    return np.asarray(Image.open(path).convert("RGB"), dtype=np.float32) / 255


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
    real = [read_mask(np.asarray(Image.open(f)), 256, 256, holes="black") == 0 for f in files]
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
def test_white_of_a_mask_image_is_a_hole_and_black_is_kept_unless_told_otherwise(channels):
    pixels = np.array([[0, 255], [255, 0], [255, 255]], np.uint8)
    stored = pixels if channels is None else np.stack([pixels] * channels, axis=2)
    keep = read_mask(stored, 3, 2)
    assert keep.dtype == np.float32
    assert keep.tolist() == [[1, 0], [0, 1], [0, 0]]
    assert read_mask(stored, 3, 2, holes="black").tolist() == [[0, 1], [1, 0], [1, 1]]


@pytest.mark.parametrize("length", [1, 2, 3, 5, 64, 69, 100, 256, 257, 1024])
def test_mask_is_resized_to_the_pixels_that_torch_takes(length):
    """The first and the last column tell them apart: row i holds i in 0 and 255 - i in 1."""
    rows = np.linspace(0, 255, length).astype(np.uint8) if length > 1 else np.array([0], np.uint8)
    stored = np.stack([rows, 255 - rows], axis=1)
    values = torch.from_numpy(stored[None, None].astype(np.float32) / np.float32(255))
    for side in [*range(1, 140), 242, 255, 256, 300, 321, 481, 512, 1024]:
        expected = interpolate(values, size=(side, 2), mode="nearest")[0, 0].numpy()
        assert np.array_equal(read_mask(stored, side, 2, holes="black"), expected)
        expected = interpolate(values.mT, size=(2, side), mode="nearest")[0, 0].numpy()
        assert np.array_equal(read_mask(stored.T.copy(), 2, side, holes="black"), expected)


GREEN = np.zeros((4, 4, 3), np.uint8)
GREEN[:2, :, 1] = 255


@pytest.mark.parametrize(
    ("stored", "holes", "said"),
    [
        (np.zeros((4, 4), np.uint8), "white", "marks nothing: black everywhere"),
        (np.zeros((4, 4, 3), np.uint8), "black", "marks everything: black everywhere"),
        (np.full((4, 4), 255, np.uint8), "black", "marks nothing: white everywhere"),
        (np.full((4, 4), 255, np.uint8), "white", "marks everything: white everywhere"),
        (np.eye(4, dtype=np.uint8), "white", "has the values 0 and 1; save black as 0 and white"),
        (GREEN, "white", "has colors; a mask is black and white"),
    ],
)
def test_a_mask_that_marks_nothing_or_is_none_is_refused(stored, holes, said):
    with pytest.raises(InputError, match=said) as refused:
        read_mask(stored, 4, 4, holes=holes, place="mask/a.png")
    assert str(refused.value).startswith("mask/a.png: ")


def test_a_grey_jpeg_of_three_channels_is_a_mask():
    stored = np.zeros((32, 32, 3), np.uint8)
    stored[8:20] = (255, 250, 252)
    assert (read_mask(stored, 32, 32)[8:20] == 0).all()


@needs_data
def test_masks_of_resshift_have_white_holes_that_its_images_fill_with_black():
    folder = DATA / "CelebA-HQ-samples" / "ResShift_256"
    files = sorted((folder / "mask").glob("*.png"))
    assert len(files) == 8
    for file in files:
        keep = read_mask(np.asarray(Image.open(file)), 256, 256, holes="white")[..., np.newaxis]
        expected = keep * read(folder / "GT" / file.name)
        assert np.array_equal(read(folder / "LQ" / file.name), expected)
