"""Intervals and tests: how often they are right in simulation, and what they are made of."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from irsde.scoring import statistics
from irsde.scoring.statistics import (
    Comparison,
    compare,
    holm,
    is_significant,
    mean_estimate,
    paired_difference,
    probability_of_improvement,
    ranked,
    wilson,
)
from studies.coverage import Case, of_chance, of_difference, of_family, of_mean, page

TRIALS = 400


def names(scenes, images=1):
    return [f"scene{k:03d}" for k in range(scenes) for _ in range(images)]


def binomial_bounds(share, trials=TRIALS):
    """Bounds that a correct method leaves once in a thousand times."""
    return stats.binom.ppf([0.0005, 0.9995], trials, share) / trials


@pytest.mark.parametrize(
    "case", [Case(2), Case(3), Case(5), Case(24), Case(10, images=3)], ids=lambda case: case.label
)
def test_intervals_hold_the_truth_as_often_as_they_say_from_two_scenes_on(case):
    low, high = binomial_bounds(0.95)
    assert low <= of_mean(case, TRIALS) <= high


@pytest.mark.parametrize("deviation", [0.1, 0.5, 3.0])
def test_intervals_of_three_seeds_hold_the_truth_however_much_they_vary(deviation):
    low, _ = binomial_bounds(0.93)
    assert of_mean(Case(24, seeds=3, seed_deviation=deviation), TRIALS) >= low
    assert of_difference(Case(24, seeds=3, seed_deviation=deviation), TRIALS) >= low


def test_an_interval_of_one_seed_ignores_what_another_seed_would_change():
    """Why seeds are units of their own: with one, coverage of the truth over seeds is not 95 %."""
    generator = np.random.default_rng(0)
    held = [0, 0]
    for _ in range(100):
        values = generator.normal(30, 0.3, 40) + generator.normal(0, 0.2, (4, 1))
        for k, seeds in enumerate((1, 4)):
            found = mean_estimate(values[:seeds], names(40))
            held[k] += found.low < 30 < found.high
    assert held[0] < 70
    assert held[1] > 85


@pytest.mark.parametrize("seeds", [1, 3])
def test_no_difference_is_called_one_at_the_stated_rate(seeds):
    """A family of four methods that do not differ from the fifth, after Holm's correction."""
    case = Case(24, seeds=seeds, seed_deviation=0.5 * (seeds > 1))
    assert 0 < of_family(case, 200) <= binomial_bounds(0.05, 200)[1]


@pytest.mark.parametrize(
    ("case", "gain"),
    [
        (Case(5), 0.2),
        (Case(24), 1.0),
        (Case(24, seeds=3, seed_deviation=0.3), 0.2),
        (Case(24, seeds=3, seed_deviation=2.0), 1.0),
    ],
    ids=str,
)
def test_intervals_of_the_chance_of_improvement_hold_the_truth(case, gain):
    assert of_chance(case, 300, gain) >= binomial_bounds(0.93, 300)[0]


def test_the_page_of_the_study_has_every_case():
    text = page(trials=2)
    assert text.count("\n|") == 3 * 2 + 16 + 6 + 10
    assert "nan" not in text


def test_the_interval_and_the_test_are_students_over_means_of_scenes():
    values = np.random.default_rng(2).normal(0.5, 3, 60)
    of_scene = values.reshape(20, 3).mean(axis=1)
    test = stats.ttest_1samp(of_scene, 0)
    interval = test.confidence_interval(0.95)
    found = paired_difference(values[None], np.zeros((1, 60)), names(20, 3))
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert found.p_value == pytest.approx(test.pvalue, rel=1e-9)
    assert mean_estimate(values[None], names(20, 3)).low == found.low


def test_two_scenes_have_students_interval_and_not_their_range():
    found = mean_estimate([[1.0, 2.0]], names(2))
    assert found.half_width == pytest.approx(0.5 * stats.t.ppf(0.975, 1))


def test_the_interval_of_seeds_alone_is_students():
    found = mean_estimate([[1.0], [2.0], [3.0]], ["a"])
    interval = stats.ttest_1samp([1.0, 2, 3], 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_variances_of_scenes_and_seeds_add_up_with_satterthwaites_degrees_of_freedom():
    scene = np.array([0.0, 1, 2, 4])
    seed = np.array([[0.0], [2.0], [7.0]])
    v = scene.var(ddof=1) / 4, seed.var(ddof=1) / 3
    freedom = sum(v) ** 2 / (v[0] ** 2 / 3 + v[1] ** 2 / 2)
    found = mean_estimate(scene + seed, names(4))
    assert found.half_width == pytest.approx(stats.t.ppf(0.975, freedom) * math.sqrt(sum(v)))


def test_a_test_agrees_with_its_interval():
    found = []
    for trial in range(200):
        generator = np.random.default_rng(trial)
        scenes, *seeds = generator.integers([2, 1, 1], [20, 4, 4])
        scene = generator.normal(30, 3, scenes)
        a, b = (scene + generator.normal(0.3 * k, 0.5, (n, scenes)) for k, n in enumerate(seeds))
        d = paired_difference(a, b, names(scenes))
        found.append(is_significant(d.p_value))
        assert found[-1] == (d.low > 0 or d.high < 0)
        assert d.direction == np.sign(d.mean)
    assert 20 < sum(found) < 180


def test_the_test_knows_the_training_seeds():
    """Every scene differs, but seeds of one method differ as much: Wilcoxon's p is 0.0002."""
    scene = np.random.default_rng(0).normal(30, 3, 24)
    seed = np.array([[-1.0], [0.0], [1.2]])
    a, b = scene + seed + 0.3, scene + seed[::-1] * 0.9
    assert stats.wilcoxon((a - b).mean(axis=0)).pvalue < 0.001
    assert paired_difference(a, b, names(24)).p_value > 0.3


def test_samplers_of_the_same_runs_are_compared_seed_by_seed():
    scene = np.random.default_rng(0).normal(30, 3, 24)
    seed = np.array([[-1.0], [0.0], [1.2]])
    own = np.random.default_rng(1).normal(0, 0.05, (3, 24))
    a, b = scene + seed + 0.3 + own, scene + seed
    assert paired_difference(a, b, names(24)).half_width > 1
    same = paired_difference(a, b, names(24), same_runs=True)
    assert same.mean == pytest.approx(paired_difference(a, b, names(24)).mean)
    assert same.half_width < 0.1
    assert same.p_value < 0.001


def test_scenes_of_several_images_widen_the_interval():
    values = np.repeat(np.random.default_rng(1).normal(0, 1, 30), 4)[None]
    alone = mean_estimate(values, [str(k) for k in range(120)])
    clustered = mean_estimate(values, [str(k // 4) for k in range(120)])
    assert clustered.half_width > 1.5 * alone.half_width
    assert clustered.mean == alone.mean


def test_scenes_of_unequal_size_weigh_by_their_images():
    found = mean_estimate([[1.0, 1, 1, 5]], ["a", "a", "a", "b"])
    assert found.mean == 2
    assert found.half_width == pytest.approx(stats.t.ppf(0.975, 1) * math.sqrt(40 / 9 * 18 / 16))


def realistic(generator, images=100, gain=0.05):
    """Two methods on the same images, as rain removal has them: scenes differ by decibels."""
    scene = generator.normal(30, 3.5, images)
    a, b = (scene + generator.normal(0, 0.12, images) for _ in "ab")
    return (a + gain)[None], b[None]


def test_a_difference_of_a_twentieth_of_a_decibel_is_found():
    scenes = names(100)
    found = [paired_difference(*realistic(np.random.default_rng(k)), scenes) for k in range(TRIALS)]
    low, high = binomial_bounds(0.95)
    assert low <= np.mean([d.low < 0.05 < d.high for d in found]) <= high
    assert np.mean([d.p_value < 0.05 for d in found]) > 0.7
    unpaired = mean_estimate(realistic(np.random.default_rng(0))[0], scenes)
    assert unpaired.half_width > 0.5  # what a reader would compare without pairing


def test_equal_methods_do_not_differ():
    a, _ = realistic(np.random.default_rng(0), images=20)
    difference = paired_difference(a, a, names(20))
    assert (difference.mean, difference.low, difference.high) == (0, 0, 0)
    assert (difference.p_value, difference.wins, difference.direction) == (1, 0, 0)
    assert probability_of_improvement(a, a, names(20)).mean == 0.5


def test_a_difference_that_is_the_same_on_every_image_is_certain():
    difference = paired_difference([[1.0, 2, 3]], [[0.0, 1, 2]], names(3))
    assert (difference.low, difference.high, difference.p_value) == (1, 1, 0)


def test_wins_and_chances_of_improvement_are_counted():
    a = np.array([[1.0, 2, 3, 4], [1, 0, 3, 4]])
    b = np.array([[0.0, 1, 3, 5]])
    assert paired_difference(a, b, names(4)).wins == 0.25  # means over seeds 1, 1, 3, 4
    chance = probability_of_improvement(a, b, names(4))
    assert chance.mean == pytest.approx((1 + 0.5 + 0.5 + 0) / 4)
    assert 0 <= chance.low <= chance.mean <= chance.high <= 1


def test_the_interval_of_a_chance_is_wilsons_over_scenes():
    for wins in (0, 3, 12):
        expected = stats.binomtest(wins, 12).proportion_ci(method="wilson")
        a = (np.arange(12) < wins).astype(float)[None]
        found = probability_of_improvement(a, np.full((1, 12), 0.5), names(12))
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    always = np.repeat(a, 3, axis=1)
    assert probability_of_improvement(always, 0 * always, names(12, 3)).low == found.low


def test_a_chance_that_is_certain_here_is_not_certain():
    found = probability_of_improvement([[1.0, 2, 3]], [[0.0, 1, 2]], names(3))
    assert (found.mean, found.high) == (1, 1)
    assert found.low == pytest.approx(0.4385, abs=1e-4)
    one = probability_of_improvement([[1.0, 2]], [[0.0, 1]], ["a", "a"])
    assert (one.mean, math.isnan(one.low)) == (1, True)


def test_few_seeds_are_as_few_trials():
    a, b = np.ones((3, 100)), np.zeros((1, 100))
    assert probability_of_improvement(a, b, names(100)).low == pytest.approx(wilson(1, 3)[0])


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


def test_nothing_depends_on_order_or_company():
    arrays = arrays_of(np.random.default_rng(0))
    scenes = names(16, 3)
    pairs = list(itertools.permutations(range(5), 2))
    together = compare(arrays, pairs, scenes)
    assert flat(compare(arrays, pairs, scenes)) == flat(together)
    for array, mean in zip(arrays, together.means, strict=True):
        assert mean_estimate(array, scenes) == mean
    for (a, b), difference, chance in zip(
        pairs, together.differences, together.improvements, strict=True
    ):
        assert paired_difference(arrays[a], arrays[b], scenes) == difference
        assert probability_of_improvement(arrays[a], arrays[b], scenes) == chance
    many = arrays + list(np.random.default_rng(9).normal(size=(300, 1, 48)))
    backwards = compare(many[::-1], [], scenes).means[::-1]
    assert backwards[:5] == together.means


def test_every_interval_is_computed_anew(monkeypatch):
    """What is compared twice, as above, must not be the memory of the first time."""
    array = arrays_of(np.random.default_rng(0))[1]
    wide = mean_estimate(array, names(48))
    monkeypatch.setattr(statistics, "CONFIDENCE", 0.5)
    assert mean_estimate(array, names(48)).half_width < 0.5 * wide.half_width


def test_the_order_of_images_does_not_matter():
    array = arrays_of(np.random.default_rng(0))[1]
    scenes = names(16, 3)
    order = np.random.default_rng(1).permutation(48)
    one = mean_estimate(array, scenes)
    other = mean_estimate(array[:, order], [scenes[k] for k in order])
    assert (one.low, one.high) == pytest.approx((other.low, other.high), rel=1e-12)


def test_one_scene_has_no_interval_over_scenes():
    assert math.isnan(mean_estimate([[1.0, 2, 3]], ["a"] * 3).low)
    seeds = mean_estimate([[1.0, 2, 3], [2, 3, 4], [3, 4, 6]], ["a"] * 3)
    assert seeds.low < seeds.mean < seeds.high
    assert math.isnan(paired_difference([[1.0]], [[2.0]], ["a"]).p_value)


INF = math.inf


def test_exact_images_are_left_out_of_the_mean_and_counted():
    found = mean_estimate([[30.0, 31, 35, INF]], names(4))
    alone = mean_estimate([[30.0, 31, 35]], names(3))
    assert found.exact == 1
    assert (found.mean, found.low, found.high) == (alone.mean, alone.low, alone.high)
    perfect = mean_estimate([[INF, INF]], names(2))
    assert (perfect.mean, perfect.exact, math.isnan(perfect.low)) == (INF, 2, True)


def test_a_test_holds_infinite_differences_as_the_highest_ranks():
    a = np.array([[40.0, 41, 42, 43, 44, 45, INF, INF]])
    b = np.array([[39.0, 39, 39, 39, 39, 39, 39, INF]])
    found = paired_difference(a, b, names(8))
    assert found.mean == 3.5  # of the six images that are finite on both sides
    assert found.exact == 2
    assert found.direction == 1
    expected = stats.wilcoxon([1, 2, 3, 4, 5, 6, 99]).pvalue
    assert found.p_value == pytest.approx(expected)
    assert found.wins == 7 / 8
    back = paired_difference(b, a, names(8))
    assert (back.p_value, back.direction) == (found.p_value, -1)
    assert probability_of_improvement(a, b, names(8)).mean == 7.5 / 8


def test_sides_that_are_both_exact_do_not_differ():
    perfect = np.full((1, 20), INF)
    found = paired_difference(perfect, perfect, names(20))
    assert (found.p_value, found.direction, found.exact) == (1, 0, 20)
    assert math.isnan(found.mean)


def test_an_exact_image_ranks_and_does_not_decide_alone():
    better = [[30.0, 30, 30, 30]]
    exact_once = [[29.0, 29, 29, INF]]
    assert ranked([exact_once, better], higher_is_better=True) == [1, 0]
    assert ranked([[[29.0, INF]], [[29.0, 30]]], higher_is_better=True) == [0, 1]
    assert ranked([[[0.2]], [[0.1]]], higher_is_better=False) == [1, 0]


@pytest.mark.parametrize("values", [[1.0, 2], [[1.0, 2, 3]], [[[1.0, 2]]]])
def test_values_of_another_shape_are_refused(values):
    with pytest.raises(ValueError, match=r"not \(seeds, 2 images\)"):
        mean_estimate(values, ["a", "b"])


def test_missing_values_are_refused():
    with pytest.raises(ValueError, match="no number"):
        mean_estimate([[1.0, math.nan]], ["a", "b"])
