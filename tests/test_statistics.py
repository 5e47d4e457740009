"""Intervals and tests: how often they are right in simulation, and that they are the same bits."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from irsde import statistics
from irsde.statistics import (
    Comparison,
    compare,
    holm,
    mean_estimate,
    paired_difference,
    probability_of_improvement,
    too_few,
    variation,
)

TRIALS = 300


@pytest.fixture
def fast(monkeypatch):
    """Fewer resamples, for simulations of many data sets."""
    monkeypatch.setattr(statistics, "RESAMPLES", 999)


def names(scenes, images=1):
    return [f"scene{k:03d}" for k in range(scenes) for _ in range(images)]


def binomial_bounds(share, trials=TRIALS):
    """Bounds that a correct method leaves once in a thousand times."""
    return stats.binom.ppf([0.0005, 0.9995], trials, share) / trials


def coverage(draw, truth, scenes):
    """Share of the simulated data sets whose interval holds the truth."""
    found = [mean_estimate(draw(np.random.default_rng(k)), scenes, k) for k in range(TRIALS)]
    return np.mean([estimate.low < truth < estimate.high for estimate in found])


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize(("scenes", "images"), [(5, 1), (10, 3), (50, 1)])
def test_intervals_over_scenes_hold_the_truth_as_often_as_they_say(scenes, images):
    def draw(generator):
        of_scene = np.repeat(generator.normal(30, 3, scenes), images)
        return (of_scene + generator.normal(0, 1, scenes * images))[None]

    low, high = binomial_bounds(0.95 if scenes > 5 else 0.91)
    assert low <= coverage(draw, 30, names(scenes, images)) <= high


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize(
    ("seeds", "seed_deviation", "least"), [(3, 0.0, 0.95), (3, 0.1, 0.94), (5, 0.1, 0.95)]
)
def test_intervals_over_scenes_and_seeds_hold_the_truth(seeds, seed_deviation, least):
    scenes = 50

    def draw(generator):
        of_scene = generator.normal(30, 1, scenes)
        of_seed = generator.normal(0, seed_deviation, (seeds, 1))
        return of_scene + of_seed + generator.normal(0, 0.3, (seeds, scenes))

    low, _ = binomial_bounds(least)
    assert coverage(draw, 30, names(scenes)) >= low


@pytest.mark.usefixtures("fast")
def test_an_interval_of_one_seed_ignores_what_another_seed_would_change():
    """Why seeds are resampled: with one seed, coverage of the truth over seeds is not 95 %."""

    def draw(generator, seeds=1):
        of_seed = generator.normal(0, 0.2, (seeds, 1))
        return generator.normal(30, 0.3, 40) + of_seed

    assert coverage(draw, 30, names(40)) < 0.7
    assert coverage(lambda g: draw(g, 4), 30, names(40)) > 0.85


def test_scenes_of_several_images_widen_the_interval():
    values = np.repeat(np.random.default_rng(1).normal(0, 1, 30), 4)[None]
    alone = mean_estimate(values, [str(k) for k in range(120)], 0)
    clustered = mean_estimate(values, [str(k // 4) for k in range(120)], 0)
    assert clustered.half_width > 1.5 * alone.half_width
    assert clustered.mean == alone.mean


def test_the_interval_of_many_scenes_is_students():
    values = np.random.default_rng(2).normal(30, 3, 400)
    expected = stats.t.interval(0.95, 399, values.mean(), stats.sem(values))
    found = mean_estimate(values[None], names(400), 0)
    assert (found.low, found.high) == pytest.approx(expected, abs=0.03)


def realistic(generator, images=100, gain=0.05):
    """Two methods on the same images, as rain removal has them: scenes differ by decibels."""
    scene = generator.normal(30, 3.5, images)
    a, b = (scene + generator.normal(0, 0.12, images) for _ in "ab")
    return (a + gain)[None], b[None]


@pytest.mark.usefixtures("fast")
def test_a_difference_of_a_twentieth_of_a_decibel_is_found():
    scenes = names(100)
    found = [
        paired_difference(*realistic(np.random.default_rng(k)), scenes, k) for k in range(TRIALS)
    ]
    low, high = binomial_bounds(0.95)
    assert low <= np.mean([d.low < 0.05 < d.high for d in found]) <= high
    assert np.mean([d.p_value < 0.05 for d in found]) > 0.7
    assert np.mean([d.low > 0 for d in found]) > 0.7
    unpaired = mean_estimate(realistic(np.random.default_rng(0))[0], scenes, 0)
    assert unpaired.half_width > 0.5  # what a reader would compare without pairing


def test_no_difference_is_called_one_at_the_stated_rate(monkeypatch):
    """A family of four methods that do not differ from the fifth, after Holm's correction."""
    monkeypatch.setattr(statistics, "RESAMPLES", 9)  # intervals are not looked at
    scenes, called = names(30), 0
    for trial in range(TRIALS):
        generator = np.random.default_rng(trial)
        scene = generator.normal(30, 3, 30)
        arrays = [(scene + generator.normal(0, 0.2, 30))[None] for _ in range(5)]
        found = compare(arrays, [(k, 0) for k in range(1, 5)], scenes, trial)
        called += min(holm([d.p_value for d in found.differences])) <= 0.05
    assert called / TRIALS <= binomial_bounds(0.05)[1]
    assert called > 0


def test_set5_is_too_small_for_the_test_and_says_so():
    a, b = realistic(np.random.default_rng(0), images=5, gain=3)
    difference = paired_difference(a, b, names(5), 0)
    assert math.isnan(difference.p_value)
    assert difference.reason == too_few(5)
    assert "0.0625" in difference.reason
    assert difference.low > 0
    assert difference.scenes == 5


@pytest.mark.parametrize("scenes", range(2, 12))
def test_too_few_is_where_the_smallest_p_value_is_too_large(scenes):
    smallest = stats.wilcoxon(np.arange(1.0, scenes + 1)).pvalue
    for comparisons in (1, 2, 5):
        reachable = smallest * comparisons <= 0.05
        assert (too_few(scenes, comparisons) == "") == reachable


def test_many_images_of_few_scenes_are_few():
    a, b = realistic(np.random.default_rng(0), images=100)
    assert "4 scenes" in paired_difference(a, b, names(4, 25), 0).reason


def test_the_test_is_scipys_over_means_of_scenes():
    a, b = realistic(np.random.default_rng(5), images=60)
    of_scene = (a - b)[0].reshape(20, 3).mean(axis=1)
    difference = paired_difference(a, b, names(20, 3), 0)
    assert difference.p_value == pytest.approx(stats.wilcoxon(of_scene).pvalue, rel=1e-12)


def test_equal_methods_do_not_differ():
    a, _ = realistic(np.random.default_rng(0), images=20)
    difference = paired_difference(a, a, names(20), 0)
    assert (difference.mean, difference.low, difference.high) == (0, 0, 0)
    assert (difference.p_value, difference.wins) == (1, 0)
    assert probability_of_improvement(a, a, names(20), 0).mean == 0.5


def test_images_that_do_not_differ_are_left_out_of_the_test():
    a, b = realistic(np.random.default_rng(3), images=40)
    a[0, :20] = b[0, :20]
    difference = paired_difference(a, b, names(40), 0)
    expected = stats.wilcoxon((a - b)[0, 20:]).pvalue
    assert difference.p_value == pytest.approx(expected, rel=1e-12)


def test_wins_and_chances_of_improvement_are_counted():
    a = np.array([[1.0, 2, 3, 4], [1, 0, 3, 4]])
    b = np.array([[0.0, 1, 3, 5]])
    assert paired_difference(a, b, names(4), 0).wins == 0.25  # means over seeds 1, 1, 3, 4
    chance = probability_of_improvement(a, b, names(4), 0)
    assert chance.mean == pytest.approx((1 + 0.5 + 0.5 + 0) / 4)
    assert 0 <= chance.low <= chance.mean <= chance.high <= 1


def test_holm_is_the_step_down_method():
    """The values of R's p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm")."""
    found = holm([0.04, 0.01, math.nan, 0.03, 0.02, 0.05])
    assert found[:2] + found[3:] == pytest.approx([0.09, 0.05, 0.09, 0.08, 0.09])
    assert math.isnan(found[2])
    assert holm([0.7, 0.9]) == [1, 1]
    assert holm([]) == []


def arrays_of(generator, images=48):
    return [generator.normal(30, 3, (seeds, images)) for seeds in (1, 3, 2, 1, 3)]


def flat(comparison: Comparison):
    return [*comparison.means, *comparison.differences, *comparison.improvements]


@pytest.mark.usefixtures("fast")
def test_the_same_seed_gives_the_same_bits_and_another_seed_others():
    arrays = arrays_of(np.random.default_rng(0))
    pairs = list(itertools.permutations(range(5), 2))
    first, again, other = (flat(compare(arrays, pairs, names(16, 3), s)) for s in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.usefixtures("fast")
def test_nothing_depends_on_order_or_company():
    arrays = arrays_of(np.random.default_rng(0))
    scenes = names(16, 3)
    pairs = list(itertools.permutations(range(5), 2))
    together = compare(arrays, pairs, scenes, 1)
    for array, mean in zip(arrays, together.means, strict=True):
        assert mean_estimate(array, scenes, 1) == mean
    for (a, b), difference, chance in zip(
        pairs, together.differences, together.improvements, strict=True
    ):
        assert paired_difference(arrays[a], arrays[b], scenes, 1) == difference
        assert probability_of_improvement(arrays[a], arrays[b], scenes, 1) == chance
    many = arrays + list(np.random.default_rng(9).normal(size=(300, 1, 48)))
    backwards = compare(many[::-1], [], scenes, 1).means[::-1]
    assert backwards[:5] == together.means


def test_the_order_of_images_does_not_matter():
    array = arrays_of(np.random.default_rng(0))[1]
    scenes = names(16, 3)
    order = np.random.default_rng(1).permutation(48)
    one = mean_estimate(array, scenes, 0)
    other = mean_estimate(array[:, order], [scenes[k] for k in order], 0)
    assert (one.low, one.high) == pytest.approx((other.low, other.high), rel=1e-12)


def test_a_batch_is_only_a_matter_of_memory(monkeypatch):
    array = arrays_of(np.random.default_rng(0))[0]
    whole = mean_estimate(array, names(48), 0)
    monkeypatch.setattr(statistics, "BATCH", 500)
    assert mean_estimate(array, names(48), 0) == whole


def test_the_exact_product_is_the_resampled_mean(monkeypatch):
    """Against a plain loop over the same draws of scenes."""
    monkeypatch.setattr(statistics, "RESAMPLES", 999)
    values = np.random.default_rng(0).normal(30, 3, 36)
    groups = values.reshape(12, 3)
    draws = np.random.Generator(np.random.PCG64(7)).integers(0, 12, (999, 12))
    means = [groups[draw].mean() for draw in draws]
    tail = stats.norm.cdf(math.sqrt(12 / 11) * stats.t.ppf(0.025, 11))
    expected = np.quantile(means, [tail, 1 - tail])
    found = mean_estimate(values[None], names(12, 3), 7)
    assert (found.low, found.high) == pytest.approx(expected, rel=1e-12)


def test_deviations_of_few_seeds_are_widened_to_their_true_size():
    """Of three seeds, 9999 resamples hold three times the lowest and three times the highest."""
    found = mean_estimate([[1.0], [2.0], [3.0]], ["a"], 0)
    expected = (2 - math.sqrt(3 / 2), 2 + math.sqrt(3 / 2))
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-3)


def test_differences_of_several_seeds_have_their_interval_around_them():
    generator = np.random.default_rng(0)
    scene = generator.normal(30, 3, 40)
    a = scene + 1 + generator.normal(0, 0.05, (3, 1)) + generator.normal(0, 0.1, (3, 40))
    b = scene + generator.normal(0, 0.05, (2, 1)) + generator.normal(0, 0.1, (2, 40))
    found = paired_difference(a, b, names(40), 0)
    assert 0.7 < found.low < 1 < found.high < 1.3
    of_means = stats.sem(a.mean(axis=1)) ** 2 + stats.sem(b.mean(axis=1)) ** 2
    assert found.half_width > 1.9 * math.sqrt(of_means)


def test_scenes_of_unequal_size_weigh_by_their_images():
    values = np.array([[1.0, 1, 1, 5]])
    found = mean_estimate(values, ["a", "a", "a", "b"], 0)
    assert found.mean == 2
    assert (found.low, found.high) == (1, 5)


def test_one_scene_has_no_interval_over_scenes():
    assert math.isnan(mean_estimate([[1.0, 2, 3]], ["a"] * 3, 0).low)
    seeds = mean_estimate([[1.0, 2, 3], [2, 3, 4], [3, 4, 6]], ["a"] * 3, 0)
    assert seeds.low < seeds.mean < seeds.high
    assert "no test" in paired_difference([[1.0]], [[2.0]], ["a"], 0).reason


def test_perfect_images_leave_no_interval():
    perfect = np.full((1, 20), np.inf)
    found = paired_difference(perfect, perfect, names(20), 0)
    assert math.isnan(found.mean)
    assert math.isnan(found.p_value)
    assert "not finite" in found.reason
    assert mean_estimate(perfect, names(20), 0).mean == math.inf


def test_seeds_and_scenes_vary_apart():
    generator = np.random.default_rng(0)
    scene, seed = generator.normal(0, 3, 50), generator.normal(0, 0.2, (4, 1))
    found = variation(scene + seed, names(50))
    assert found.over_seeds == pytest.approx(seed.std(ddof=1))
    assert found.over_scenes == pytest.approx(scene.std(ddof=1))
    assert math.isnan(variation(scene[None], names(50)).over_seeds)


@pytest.mark.parametrize("values", [[1.0, 2], [[1.0, 2, 3]], [[[1.0, 2]]]])
def test_values_of_another_shape_are_refused(values):
    with pytest.raises(ValueError, match=r"not \(seeds, 2 images\)"):
        mean_estimate(values, ["a", "b"], 0)
