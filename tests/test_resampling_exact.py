"""The reduction of super-resolution: Keys' kernel worked out by hand."""

import numpy as np
import pytest

from irsde.degradations.resampling import downsample_bicubic

# Keys' cubic (a = -1/2) at 1/4, 3/4, 5/4, 7/4, halved: the eight taps of a reduction by two.
TAPS = [0.8671875 / 2, 0.2265625 / 2, -0.0703125 / 2, -0.0234375 / 2]


def column(values):
    return np.array(values, np.float32)[:, None, None] * np.ones((1, 1, 3), np.float32)


def test_a_reduction_by_two_has_keys_eight_taps():
    for place in range(24):
        values = np.zeros(24)
        values[place] = 1
        reduced = downsample_bicubic(column(np.repeat(values[:, None], 1)), 2)[:, 0, 0]
        for k in range(3, 9):
            distance = abs(place - (2 * k + 0.5))
            expected = TAPS[int(distance)] if distance < 4 else 0
            assert reduced[k] == pytest.approx(expected, abs=1e-7)


def test_the_border_is_mirrored_with_its_edge():
    near, next_, third, last = TAPS
    mirrored = [near + next_, near + third, next_ + last, third, last]
    for place, weight in enumerate(mirrored):
        values = np.zeros(16)
        values[place] = 1
        assert downsample_bicubic(column(values), 2)[0, 0, 0] == pytest.approx(weight, abs=1e-7)
        assert downsample_bicubic(column(values[::-1]), 2)[-1, 0, 0] == pytest.approx(
            weight, abs=1e-7
        )


def test_rows_and_columns_are_reduced_alike_and_sizes_rounded_up():
    image = np.random.default_rng(0).random((9, 14, 3)).astype(np.float32)
    reduced = downsample_bicubic(image)
    assert reduced.shape == (3, 4, 3)
    turned = downsample_bicubic(image.swapaxes(0, 1))
    np.testing.assert_allclose(turned, reduced.swapaxes(0, 1), atol=1e-6)
    np.testing.assert_allclose(downsample_bicubic(0 * image + 0.3, 3), 0.3, rtol=1e-6)
