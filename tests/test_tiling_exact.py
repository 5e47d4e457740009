"""Tiles: their weights by formula, their noise by name."""

import math

import pytest
import torch

from irsde.restoration.tiling import NoiseField, spans, tiles
from irsde.seeds import seed_from


def rise(distance, overlap):
    """Raised cosine from a quarter of the overlap on, over half of it."""
    along = min(max((distance - overlap / 4) / (overlap / 2), 0), 1)
    return 0.5 - 0.5 * math.cos(math.pi * along)


def test_weights_are_raised_cosines_that_sum_to_one():
    first, second, third = spans(100, side=48, overlap=16, multiple=4)
    assert [(s.start, s.stop) for s in (first, second, third)] == [(0, 44), (28, 72), (56, 100)]
    for pixel in range(100):
        center = pixel + 0.5
        bumps = [
            rise(44 - center, 16) if pixel < 44 else 0,
            min(rise(center - 28, 16), rise(72 - center, 16)) if 28 <= pixel < 72 else 0,
            rise(center - 56, 16) if pixel >= 56 else 0,
        ]
        for span, bump in zip((first, second, third), bumps, strict=True):
            weight = span.weights[pixel - span.start] if span.start <= pixel < span.stop else 0
            assert weight == pytest.approx(bump / sum(bumps), abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((48, 48, 16), [(0, 48)]),
        ((49, 48, 16), [(0, 33), (16, 49)]),
        ((80, 48, 16), [(0, 48), (32, 80)]),
        ((81, 48, 16), [(0, 38), (21, 59), (43, 81)]),
        ((50, 48, 16, 8), [(0, 40), (16, 50)]),
        ((20, 8, 0), [(0, 7), (6, 13), (13, 20)]),
        ((10, 8, 7), [(0, 8), (1, 9), (2, 10)]),
    ],
)
def test_as_few_and_short_spans_as_possible_evenly_spaced(arguments, expected):
    assert [(s.start, s.stop) for s in spans(*arguments)] == expected


@pytest.mark.parametrize(("side", "overlap", "multiple"), [(8, 8, 1), (8, 5, 4), (8, -1, 1)])
def test_spans_that_do_not_get_ahead_are_refused(side, overlap, multiple):
    with pytest.raises(ValueError, match=f"give 0 to {side - multiple}$"):
        spans(100, side, overlap, multiple)


def test_tiles_go_row_by_row_and_weigh_by_both_axes():
    found = tiles(60, 100, 48, 16, 4)
    assert [(t.rows.start, t.columns.start) for t in found] == [
        (0, 0), (0, 28), (0, 56), (20, 0), (20, 28), (20, 56),
    ]  # fmt: skip
    tile = found[4]
    assert tile.shape == (40, 44)
    assert tile.weights[7, 30] == tile.rows.weights[7] * tile.columns.weights[30]


def test_noise_comes_in_blocks_of_64_named_by_their_place():
    field = NoiseField("a", 1)
    found = field.window(3, slice(50, 140), slice(130, 200))
    assert found.shape == (3, 90, 70)
    for row, column in ((50, 130), (63, 191), (64, 192), (127, 130), (128, 199), (139, 160)):
        seed = seed_from("a", 1, 3, row // 64, column // 64)
        block = torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(seed))
        expected = block[:, row % 64, column % 64]
        assert torch.equal(found[:, row - 50, column - 130], expected)


def test_a_source_draws_one_after_the_other():
    field = NoiseField("a")
    tile = tiles(20, 30, 16, 4)[1]
    source = field.source(tile)
    for draw in range(3):
        expected = field.window(draw, tile.rows.pixels, tile.columns.pixels)
        assert torch.equal(source(expected.shape), expected)
        assert field.n_draws == draw + 1
    field.source(tile)(expected.shape)
    assert field.n_draws == 3
    with pytest.raises(ValueError, match="of a tile"):
        source(torch.Size((3, 5, 5)))


def test_the_seed_of_names_is_the_start_of_their_sha256():
    # printf 'run\x1fderaining\x1f0' | sha256sum begins with these 16 digits
    import hashlib

    digits = hashlib.sha256(b"run\x1fderaining\x1f0").hexdigest()[:16]
    assert seed_from("run", "deraining", 0) == int(digits, 16) // 2
