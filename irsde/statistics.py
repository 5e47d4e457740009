"""Intervals and tests over images, clustered by scene, and over training seeds.

Values come as arrays of shape (seeds, images), a row for each training seed of a method. Images of
one scene are not independent, so scenes are the units: resampled whole for intervals, one value
each for tests (docs/mathematics.md, 8). No result depends on which other methods are asked about,
or in what order.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr
from scipy.stats import bootstrap, t, wilcoxon

from irsde.seeds import seed_from

Values = NDArray[np.float64]

CONFIDENCE = 0.95
SIGNIFICANCE = 0.05
RESAMPLES = 9999
FEW_SCENES = 10
RESAMPLING_SEED = seed_from("scenes")  # of all reports: a number has one interval everywhere
BATCH = 2**20  # scene indices drawn at once, which bounds memory


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval.

    Parameters
    ----------
    mean : float
    low, high : float
        Ends of the interval; NaN with fewer than two scenes and one seed, or where a value is not
        finite.
    """

    mean: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the length of the interval."""
        return (self.high - self.low) / 2

    @property
    def contains_zero(self) -> bool:
        """False if the interval lies on one side of zero; true where there is no interval."""
        return not (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class Difference(Estimate):
    """Mean of a - b over the same images, with its 95 % interval and a test.

    Parameters
    ----------
    p_value : float
        Of the two-sided Wilcoxon signed-rank test over means of scenes, for one comparison; NaN
        where so few scenes could not reach 0.05.
    wins : float
        Share of the images where a is higher than b, in [0, 1].
    scenes : int
        Number of scenes.
    reason : str
        Why there is no p-value.
    """

    p_value: float
    wins: float
    scenes: int
    reason: str = ""


# Intervals by what they are of: tables and figures of a report show the same means.
_FOUND: dict[bytes, tuple[float, float]] = {}


@dataclass(frozen=True)
class Variation:
    """Standard deviations of a metric in its unit; NaN where there is one value only.

    Parameters
    ----------
    over_seeds : float
        Of the mean over all images, from one training seed to the next.
    over_scenes : float
        Of the means of scenes, each averaged over the seeds.
    """

    over_seeds: float
    over_scenes: float


@dataclass(frozen=True)
class Comparison:
    """What `compare` finds.

    Parameters
    ----------
    means : list of Estimate
        Of each array of values.
    differences : list of Difference
        Of each pair (a, b): a - b.
    improvements : list of Estimate
        Of each pair: the chance that a is higher than b on a random image.
    """

    means: list[Estimate]
    differences: list[Difference]
    improvements: list[Estimate]


@np.errstate(invalid="ignore")  # identical images have an infinite PSNR
def compare(
    values: Sequence[ArrayLike], pairs: Sequence[tuple[int, int]], scenes: Sequence[str], seed: int
) -> Comparison:
    """Means, paired differences and chances of improvement over the same images.

    Scenes are resampled once for all of them, which for a table of many methods and metrics is
    much faster than one call for each; the numbers are the same bits.

    Parameters
    ----------
    values : sequence of array, shape (seeds, images)
        Several methods or metrics; the number of seeds may differ from one to the next.
    pairs : sequence of (int, int)
        Positions in `values` of a and b.
    scenes : sequence of str
        Scene of each image.
    seed : int
        Seed of the resampling.

    Returns
    -------
    Comparison

    Notes
    -----
    Intervals are a percentile bootstrap of 9999 resamples over whole scenes with all their images
    and, crossed with it, over training seeds where there are two or more; seeds of a and b are
    resampled apart from each other. Plain percentiles are too narrow for few units, by a factor of
    sqrt((n - 1) / n) and for want of Student's tails. Both are put right: deviations of S seeds are
    multiplied by sqrt(S / (S - 1)), and the percentiles are those that make the interval as wide as
    Student's [1]_, with Satterthwaite's degrees of freedom over scenes and seeds.

    The signed-rank test knows the scenes only: values are averaged over seeds first. The chance of
    improvement is over random seeds of a and b, ties count half; its interval is over scenes.

    References
    ----------
    .. [1] Hesterberg, "What Teachers Should Know About the Bootstrap", The American Statistician
       69 (2015): the expanded percentile interval.
    """
    arrays = [_checked(array, scenes) for array in values]
    paired = [(arrays[a], arrays[b]) for a, b in pairs]
    beaten = [_beaten(a, b)[None] for a, b in paired]
    sums = [
        *((array,) for array in arrays),
        *(_difference_parts(a, b) for a, b in paired),
        *((share,) for share in beaten),
    ]
    intervals = _intervals(sums, scenes, seed)
    ends = iter(intervals)
    return Comparison(
        [Estimate(float(array.mean()), *next(ends)) for array in arrays],
        [_difference(a, b, next(ends), scenes) for a, b in paired],
        [Estimate(float(share.mean()), *next(ends)) for share in beaten],
    )


def mean_estimate(values: ArrayLike, scenes: Sequence[str], seed: int) -> Estimate:
    """Mean over images and training seeds with its interval, as in `compare`."""
    return compare([values], [], scenes, seed).means[0]


def paired_difference(a: ArrayLike, b: ArrayLike, scenes: Sequence[str], seed: int) -> Difference:
    """Mean of a - b over the same images with its interval and test, as in `compare`."""
    return compare([a, b], [(0, 1)], scenes, seed).differences[0]


def probability_of_improvement(
    a: ArrayLike, b: ArrayLike, scenes: Sequence[str], seed: int
) -> Estimate:
    """Chance that a random image of a beats the same image of b, as in `compare`."""
    return compare([a, b], [(0, 1)], scenes, seed).improvements[0]


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected by Holm's step-down method for as many comparisons as there are.

    NaN stays NaN and does not count as a comparison.

    Examples
    --------
    >>> [round(p, 3) for p in holm([0.01, 0.04, float("nan"), 0.03])]
    [0.03, 0.06, nan, 0.06]
    """
    corrected = np.array(p_values, dtype=np.float64)
    order = np.argsort(corrected)[: np.count_nonzero(~np.isnan(corrected))]
    remaining = np.arange(len(order), 0, -1)
    corrected[order] = np.maximum.accumulate(remaining * corrected[order]).clip(max=1)
    return [float(p) for p in corrected]


def too_few(scenes: int, comparisons: int = 1) -> str:
    """Why a signed-rank test cannot reach 0.05, "" if it can.

    Parameters
    ----------
    scenes : int
        Number of scenes, which are what the test counts.
    comparisons : int
        Number of comparisons that Holm's correction is for.

    Examples
    --------
    >>> too_few(5)
    '5 scenes: the smallest p-value of a two-sided signed-rank test is 0.0625, above 0.05'
    >>> too_few(6)
    ''
    """
    if scenes < 2:
        return f"{scenes} scene: no test"
    smallest = 2.0 ** (1 - scenes)
    if smallest * comparisons <= SIGNIFICANCE:
        return ""
    family = f", times {comparisons} comparisons {smallest * comparisons:.3g}"
    return (
        f"{scenes} scenes: the smallest p-value of a two-sided signed-rank test is "
        f"{smallest:.3g}{family if comparisons > 1 else ''}, above {SIGNIFICANCE}"
    )


def variation(values: ArrayLike, scenes: Sequence[str]) -> Variation:
    """Standard deviation over training seeds and over scenes, apart from each other.

    Parameters
    ----------
    values : array, shape (seeds, images)
    scenes : sequence of str
        Scene of each image.
    """
    array = _checked(values, scenes)
    sums, sizes = _scene_sums(_over_seeds(array)[None], scenes)
    return Variation(_deviation(array.mean(axis=1)), _deviation(sums[0] / sizes))


def _deviation(values: Values) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 and np.isfinite(values).all() else math.nan


def _checked(values: ArrayLike, scenes: Sequence[str]) -> Values:
    array = np.ascontiguousarray(values, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != len(scenes) or array.size == 0:
        raise ValueError(f"values of shape {array.shape}, not (seeds, {len(scenes)} images)")
    return array


def _difference_parts(a: Values, b: Values) -> tuple[Values, ...]:
    """Parts that sum up to a - b: one where there is nothing to resample but scenes."""
    return (a - b,) if len(a) == len(b) == 1 else (a, -b)


def _difference(
    a: Values, b: Values, interval: tuple[float, float], scenes: Sequence[str]
) -> Difference:
    d = _over_seeds(a) - _over_seeds(b)
    p_value, reason = _signed_rank(d, scenes)
    wins = float((d > 0).mean())
    return Difference(float(d.mean()), *interval, p_value, wins, len(set(scenes)), reason)


def _over_seeds(array: Values) -> Values:
    return np.asarray(array.mean(axis=0))


def _beaten(a: Values, b: Values) -> Values:
    """Share of the pairs of seeds in which a is higher, for each image; ties count half."""
    wins = (a[:, None] > b[None]) + 0.5 * (a[:, None] == b[None])
    return np.asarray(wins.mean(axis=(0, 1)))


def _scene_sums(array: Values, scenes: Sequence[str]) -> tuple[Values, Values]:
    """Sums over the images of each scene, shape (seeds, scenes), and the numbers of images."""
    _, of_image = np.unique(np.asarray(scenes), return_inverse=True)
    sums = np.array([np.bincount(of_image, weights=row) for row in array])
    return sums, np.bincount(of_image).astype(np.float64)


def _signed_rank(d: Values, scenes: Sequence[str]) -> tuple[float, str]:
    """p-value of differences of images, and the reason where there is none."""
    sums, sizes = _scene_sums(d[None], scenes)
    of_scene = sums[0] / sizes
    if reason := too_few(len(of_scene)):
        return math.nan, reason
    if not np.isfinite(of_scene).all():
        return math.nan, "a value is not finite"
    differing = of_scene[of_scene != 0]
    return (float(wilcoxon(differing).pvalue) if len(differing) else 1.0), ""


def _intervals(
    parts: Sequence[tuple[Values, ...]], scenes: Sequence[str], seed: int
) -> list[tuple[float, float]]:
    """Interval of each sum of parts, where each part has training seeds of its own."""
    start = hashlib.sha256(repr((seed, list(scenes))).encode())
    keys = [_key(of_sum, start.copy()) for of_sum in parts]
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, of_sum in enumerate(parts):
        if keys[index] in _FOUND:
            continue
        if all(np.isfinite(part).all() for part in of_sum):
            groups.setdefault(tuple(len(part) for part in of_sum), []).append(index)
        else:
            _FOUND[keys[index]] = (math.nan, math.nan)
    for members in groups.values():
        stacked = [np.stack(part) for part in zip(*(parts[i] for i in members), strict=True)]
        ends = _bootstrap(stacked, scenes, seed)
        for index, low, high in zip(members, *ends, strict=True):
            _FOUND[keys[index]] = (float(low), float(high))
    return [_FOUND[key] for key in keys]


def _key(parts: tuple[Values, ...], hashed: "hashlib._Hash") -> bytes:
    for part in parts:
        hashed.update(repr(part.shape).encode())
        hashed.update(part.tobytes())
    return hashed.digest()


def _bootstrap(
    stacked: Sequence[Values], scenes: Sequence[str], seed: int
) -> tuple[Values, Values]:
    """Ends of the intervals of sums of parts; each part has the shape (sums, seeds, images).

    A resampled mean is (counts of scenes) @ (sums of scenes) / (number of images). The sums are
    rounded to integers, below by 2**-52 of the largest times scenes and seeds, so that the matrix
    product is exact and has the same bits whatever its width, order of addition and threads.
    """
    several = [part for part in stacked if part.shape[1] > 1]
    names = len(set(scenes))
    if names < 2 and not several:
        nothing = np.full(len(stacked[0]), math.nan)
        return nothing, nothing
    numbers, steps = [], []
    for part in stacked:
        width, seeds, images = part.shape
        sums, sizes = _scene_sums(part.reshape(-1, images), scenes)
        sums = sums.reshape(width, seeds, names)
        bits = 52 - math.ceil(math.log2(names * seeds))
        exponents = np.frexp(np.abs(sums).max(axis=(1, 2)))[1] - bits
        step = np.ldexp(1.0, exponents)
        steps.append(step)
        numbers.append(np.rint(sums / step[:, None, None]))

    def resampled(*indices: NDArray[np.int64], **_axis: int) -> Values:
        drawn = list(indices)
        batch = len(drawn[0])
        counts = _counts(drawn.pop(0), names) if names > 1 else np.ones((batch, 1))
        images = counts @ sizes
        total = np.zeros((len(stacked[0]), batch))
        for number, step in zip(numbers, steps, strict=True):
            width, seeds, _ = number.shape
            of_seed = (number.reshape(-1, names) @ counts.T).reshape(width, seeds, batch)
            mean = of_seed.sum(axis=1) / seeds
            if seeds > 1:
                weights = _counts(drawn.pop(0), seeds)
                deviation = np.einsum("wsb,bs->wb", of_seed, weights) / seeds - mean
                mean = mean + math.sqrt(seeds / (seeds - 1)) * deviation
            total += mean * step[:, None] / images
        return total

    units = [np.arange(names)] if names > 1 else []
    units += [np.arange(part.shape[1]) for part in several]
    distribution = bootstrap(
        units,
        resampled,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, BATCH // names),
        method="percentile",
        rng=np.random.Generator(np.random.PCG64(seed)),
    ).bootstrap_distribution
    tails = _tails(stacked, scenes)
    ends = [
        np.quantile(row, (tail, 1 - tail)) for row, tail in zip(distribution, tails, strict=True)
    ]
    return np.array([low for low, _ in ends]), np.array([high for _, high in ends])


def _counts(indices: NDArray[np.int64], number: int) -> Values:
    """How often each of `number` units was drawn, shape (resamples, number)."""
    shifted = indices + number * np.arange(len(indices))[:, None]
    counted = np.bincount(shifted.ravel(), minlength=number * len(indices))
    return counted.reshape(len(indices), number).astype(np.float64)


def _tails(stacked: Sequence[Values], scenes: Sequence[str]) -> Values:
    """Share of the resamples to leave out at each end: `compare` has the reason."""
    together = sum(part.mean(axis=1) for part in stacked)
    sums, sizes = _scene_sums(np.asarray(together), scenes)
    names, images = len(sizes), len(scenes)
    deviations = sums - sums.sum(axis=1, keepdims=True) * sizes / images
    variances, freedoms = [], []
    if names > 1:
        variances.append(names / (names - 1) * (deviations**2).sum(axis=1) / images**2)
        freedoms.append(names - 1)
    for part in stacked:
        seeds = part.shape[1]
        if seeds > 1:
            variances.append(part.mean(axis=2).var(axis=1, ddof=1) / seeds)
            freedoms.append(seeds - 1)
    total = np.sum(variances, axis=0)
    uncertainty = sum(v**2 / freedom for v, freedom in zip(variances, freedoms, strict=True))
    freedom = np.full(len(total), float(sum(freedoms)))
    np.divide(total**2, uncertainty, out=freedom, where=np.asarray(uncertainty) > 0)
    widened = math.sqrt(names / (names - 1)) if names > 1 else 1.0
    return np.asarray(ndtr(widened * t.ppf((1 - CONFIDENCE) / 2, freedom)))
