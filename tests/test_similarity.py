"""Copies: found under every alteration, other pictures left alone, the known copies of Rain100H."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage
from skimage import data

from irsde.data.leakage.similarity import COPY, MOST_CANDIDATES, SIDE, Copy, describe, find_copies
from irsde.images import read_image, rgb
from irsde.seeds import numpy_generator
from studies.similarity import ALTERATIONS, cropped
from tests.reference import DATA, needs_data

SCENES = ("astronaut", "camera", "chelsea", "coffee", "coins", "rocket")
OTHERS = ("brick", "grass", "gravel", "hubble_deep_field", "immunohistochemistry", "moon")
NAMES = SCENES + OTHERS
RAIN100H = DATA / "Rain100H-test"
LISTS = DATA / "BSDS500" / "lists"


@pytest.fixture(scope="module")
def photographs():
    images = {name: PILImage.fromarray(getattr(data, name)()[:512, :640]) for name in NAMES}
    return {name: rgb(np.asarray(image.reduce(2))) for name, image in images.items()}


@pytest.fixture(scope="module")
def clean(photographs):
    return [describe(pixels) for pixels in photographs.values()]


def pairs(copies):
    return [(copy.train, copy.test) for copy in copies]


def same(count):
    return [(k, k) for k in range(count)]


def test_a_description_is_a_small_thumbnail(photographs):
    for pixels in (photographs["rocket"], photographs["rocket"][:7, :400]):
        assert describe(pixels).shape == (SIDE, SIDE, 3)
        assert describe(pixels).dtype == np.uint8


def test_an_image_is_a_copy_of_itself_and_of_nothing_else(clean):
    copies = find_copies(clean, clean)
    assert pairs(copies) == same(len(NAMES))
    assert [copy.score for copy in copies] == pytest.approx([1] * len(NAMES), abs=1e-4)


@pytest.mark.parametrize("alteration", ALTERATIONS)
def test_altered_copies_are_found_and_nothing_else(photographs, clean, alteration):
    altered = [
        describe(ALTERATIONS[alteration](photographs[name], numpy_generator("copy", name)))
        for name in SCENES
    ]
    assert pairs(find_copies(clean, altered)) == same(len(SCENES))


@pytest.mark.parametrize("side", ["left", "right", "top", "bottom"])
def test_a_tenth_may_be_missing_at_any_side_of_either_image(photographs, clean, side):
    pixels = photographs["coffee"]
    height, width, _ = pixels.shape
    part = {
        "left": pixels[:, width // 10 :],
        "right": pixels[:, : -width // 10],
        "top": pixels[height // 10 :],
        "bottom": pixels[: -height // 10],
    }[side]
    assert pairs(find_copies(clean, [describe(part)])) == [(NAMES.index("coffee"), 0)]
    assert pairs(find_copies([describe(part)], clean)) == [(0, NAMES.index("coffee"))]


def test_disjoint_halves_of_a_photograph_are_different_pictures(photographs):
    halves = []
    for name in ("coins", *OTHERS):
        width = photographs[name].shape[1]
        halves += [photographs[name][:, : width // 2], photographs[name][:, width // 2 :]]
    descriptions = [describe(half) for half in halves]
    assert pairs(find_copies(descriptions, descriptions)) == same(len(halves))


def test_images_without_edges_have_no_copies():
    flat = [describe(np.full((50, 60, 3), level, np.uint8)) for level in (0, 255, 255)]
    assert find_copies(flat, flat) == []


def test_nothing_is_found_among_no_images(clean):
    assert find_copies([], clean) == find_copies(clean, []) == find_copies([], []) == []


def test_scores_depend_on_the_two_images_alone(photographs, clean):
    altered = [
        describe(cropped(photographs[name], numpy_generator("crop", name))) for name in SCENES
    ]
    together = find_copies(clean * 7, altered)
    alone = [find_copies([one], [other]) for one, other in zip(clean, altered, strict=False)]
    expected = [
        Copy(repetition * len(clean) + k, k, copies[0].score)
        for repetition in range(7)
        for k, copies in enumerate(alone)
    ]
    assert together == expected


def test_the_best_test_images_are_kept_where_there_are_too_many(photographs, clean):
    noisy = [
        describe(ALTERATIONS["noise, σ = 50"](photographs["camera"], numpy_generator("many", k)))
        for k in range(MOST_CANDIDATES + 2)
    ]
    k = NAMES.index("camera")
    found = find_copies([clean[k]], [*noisy, clean[k]])
    assert len(found) == MOST_CANDIDATES
    assert found[-1].test == len(noisy)
    assert all(COPY <= copy.score <= 1 for copy in found)


def described(files):
    return [describe(read_image(file)) for file in files]


@needs_data
def test_the_known_copies_of_bsd_in_rain100h_are_found_exactly():
    with (LISTS / "rain100_test_gt_to_bsd.csv").open(newline="") as stream:
        listed = {
            (Path(row["bsd_file"]).stem, int(row["rain100_index"]))
            for row in csv.DictReader(stream)
        }
    train = sorted([*(DATA / "BSDS500").glob("*/*.jpg"), *(DATA / "CBSD68/GT").glob("*.png")])
    test = sorted((RAIN100H / "GT").glob("*.png"), key=lambda file: int(file.stem))
    copies = find_copies(described(train), described(test))
    found = {(train[copy.train].stem, int(test[copy.test].stem)) for copy in copies}
    assert (len(train), len(listed), len(copies)) == (500, 100, 100)
    assert found == listed
    assert min(copy.score for copy in copies) > 0.95


@needs_data
@pytest.mark.parametrize("part", ["GT", "LQ"])
def test_the_other_photographs_of_bsd_are_not_in_rain100h(part):
    names = (LISTS / "not_in_CBSD68_nor_Rain100test.txt").read_text().split()
    train = described(DATA / "BSDS500" / name for name in names)
    assert len(train) == 365
    assert find_copies(train, described(sorted((RAIN100H / part).glob("*.png")))) == []
