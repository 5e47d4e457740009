"""Strokes of masks: half of the area at most, and pixels within the radius of a piece."""

import itertools
import math

import numpy as np
import pytest

from irsde.degradations import masks
from irsde.degradations.masks import _cut_piece, inpainting_holes, read_mask, thin_mask
from irsde.files import InputError


def test_half_of_the_area_may_be_hidden_and_no_more(monkeypatch):
    drawn = [np.zeros((2, 4)), np.array([[0, 0, 0, 1.0]] * 2), np.array([[0, 1.0, 0, 1]] * 2)]
    given = iter(drawn)
    monkeypatch.setattr(masks, "_strokes", lambda *_: next(given))
    assert thin_mask(2, 4, np.random.default_rng(0)) is drawn[2]


def test_a_piece_cuts_what_lies_within_its_radius():
    start, end = np.array([4.0, 3.0]), np.array([10.0, 11.0])
    mask = np.ones((16, 14), np.float32)
    _cut_piece(mask, start, end, 2.5)
    for y in range(16):
        for x in range(14):
            along = ((y - 4) * 6 + (x - 3) * 8) / 100
            along = min(max(along, 0), 1)
            distance = math.hypot(y - 4 - 6 * along, x - 3 - 8 * along)
            assert mask[y, x] == (distance > 2.5)


@pytest.mark.parametrize(("height", "width"), [(40, 64), (64, 40)])
def test_strokes_are_those_of_the_recipe(height, width):
    """4 to 51 strokes of 1 to 5 pieces, 10 to 49 long and 6 to 15 wide at 256 pixels."""
    ys, xs = np.mgrid[:height, :width].astype(float)
    for seed in range(5):
        found = masks._strokes(height, width, np.random.default_rng(seed))
        generator, expected = np.random.default_rng(seed), np.ones((height, width))
        for stroke in range(generator.integers(4, 52)):
            y, x = generator.random(2) * (height, width)
            for _ in range(generator.integers(1, 6)):
                angle = generator.integers(0, 4) * (1 if stroke % 2 == 0 else -1)
                length, wide = 40 / 256 * generator.integers((10, 6), (50, 16))
                to_y = min(max(y + length * math.cos(angle), 0), height)
                to_x = min(max(x + length * math.sin(angle), 0), width)
                dy, dx = to_y - y, to_x - x
                square = dy**2 + dx**2
                part = ((ys - y) * dy + (xs - x) * dx) / square if square else 0 * ys
                part = part.clip(0, 1)
                distance = np.hypot(ys - y - part * dy, xs - x - part * dx)
                expected[distance <= wide / 2] = 0
                y, x = to_y, to_x
        assert (found != expected).mean() < 0.001  # a pixel at just the radius may fall either way


def test_marks_are_told_apart_in_the_middle_and_colors_from_the_noise_of_a_jpeg():
    assert read_mask(np.array([[127, 128]], np.uint8), 1, 2, holes="black").tolist() == [
        pytest.approx([127 / 255, 128 / 255])
    ]
    for shades, said in (([100, 127], "marks nothing: black"), ([128, 140], "everything: white")):
        with pytest.raises(InputError, match=said):
            read_mask(np.array([shades], np.uint8), 1, 2)
    for channel, sign in itertools.product((1, 2), (-1, 1)):
        stored = np.array([[[0] * 3, [200] * 3]], np.uint8)
        stored[0, 1, channel] = 200 + sign * 32
        assert read_mask(stored, 1, 2).tolist() == [pytest.approx([1, 55 / 255])]
        stored[0, 1, channel] = 200 + sign * 33
        with pytest.raises(InputError, match="has colors"):
            read_mask(stored, 1, 2)


def test_holes_blend_in_part():
    image = np.array([[[0.2, 0.4, 0.6], [0.5, 0.1, 0.9]]], np.float32)
    found = inpainting_holes(image, np.array([[0.25, 1]], np.float32))
    np.testing.assert_allclose(found, [[[0.8, 0.85, 0.9], [0.5, 0.1, 0.9]]], rtol=1e-6)
