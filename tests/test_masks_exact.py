"""Strokes of masks: half of the area at most, and pixels within the radius of a piece."""

import math

import numpy as np

from irsde import masks
from irsde.masks import _cut_piece, thin_mask


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
