"""Statistics of few numbers, worked out in plain arithmetic."""

import math

import numpy as np
import pytest
from scipy.stats import t as student

from irsde.scoring.statistics import mean_estimate, variation
from irsde.seeds import numpy_generator

SCENES = ["a", "a", "b", "c"]
VALUES = np.array([[1.0, 3.0, 7.0, 4.0], [2.0, 4.0, 9.0, 6.0]])


def test_variation_over_seeds_and_over_scenes():
    """Means of the seeds 3.75 and 5.25; of the scenes, over both seeds, 2.5, 8 and 5."""
    found = variation(VALUES, SCENES)
    assert found.over_seeds == pytest.approx(1.5 / math.sqrt(2))
    assert found.over_scenes == pytest.approx(np.std([2.5, 8, 5], ddof=1))
    alone = variation(VALUES[:1], ["a"] * 4)
    assert math.isnan(alone.over_seeds)
    assert math.isnan(alone.over_scenes)


def test_the_interval_of_one_seed_is_students():
    """The mean 3.75 leaves scene sums of -3.5, 3.25 and 0.25, of shares 1/2, 1/4 and 1/4."""
    found = mean_estimate(VALUES[:1], SCENES)
    error = math.sqrt(24 / 13 * (12.25 + 10.5625 + 0.0625)) / 4
    assert found.mean == 3.75
    assert found.high - 3.75 == pytest.approx(student.ppf(0.975, 169 / 97) * error, rel=1e-9)
    assert 3.75 - found.low == pytest.approx(found.high - 3.75)


@pytest.mark.parametrize("unit", [1, 100])
def test_the_interval_of_two_seeds_has_satterthwaites_freedom(unit):
    """Mean over seeds 1.5, 3.5, 8, 5; the mean 4.5 leaves scene sums of -4, 3.5 and 0.5."""
    of_scenes = 24 / 13 * (16 + 12.25 + 0.25) / 16
    of_seeds = 1.5**2 / 2 / 2
    total = of_scenes + of_seeds
    freedom = total**2 / (of_scenes**2 / (169 / 97) + of_seeds**2 / 1)
    found = mean_estimate(VALUES / unit, SCENES)
    half = student.ppf(0.975, freedom) * math.sqrt(total) / unit
    assert found.high - found.mean == pytest.approx(half, rel=1e-9)


def test_scenes_of_unequal_size_have_the_variance_of_their_weighted_mean():
    """Trace of the quadratic form and of its square, by the matrix itself."""
    from irsde.scoring.statistics import _of_weights

    for sizes in ([3, 3, 3, 3], [1, 9], [1, 1, 20], [5, 1, 1, 1, 1]):
        w = np.array(sizes) / sum(sizes)
        centering = np.eye(len(w)) - np.outer(np.ones(len(w)), w)
        form = centering.T @ np.diag(w**2) @ centering
        inflation, freedom = _of_weights(w)
        assert inflation == pytest.approx((w**2).sum() / np.trace(form))
        assert freedom == pytest.approx(np.trace(form) ** 2 / np.trace(form @ form))


@pytest.mark.parametrize("sizes", [(1, 9), (1, 1, 20), (5, 1, 1, 1, 1)])
def test_intervals_hold_the_truth_with_scenes_of_unequal_size(sizes):
    generator = numpy_generator("coverage", *sizes)
    scenes = [str(j) for j, size in enumerate(sizes) for _ in range(size)]
    held = 0
    for _ in range(400):
        values = np.repeat(generator.standard_normal(len(sizes)), sizes)
        found = mean_estimate(values[None], scenes)
        held += found.low <= 0 <= found.high
    assert held >= 0.93 * 400
