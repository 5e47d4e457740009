"""Intervals and tests over images, clustered by scene, and over training seeds.

Values come as arrays of shape (seeds, images), a row for each training seed of a method. Images of
one scene are not independent, so scenes are the units (docs/mathematics.md, 8). No result depends
on which other methods are asked about, or in what order.

An image that is restored exactly has an infinite PSNR. Means and intervals exclude it
and say how many there are; ranks, tests of differences and counts of wins include it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]

CONFIDENCE = 0.95
SIGNIFICANCE = 0.05
FEW_SCENES = 10


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval.

    Parameters
    ----------
    mean : float
        Of the images with finite values; infinite where there is none.
    low, high : float
        Ends of the interval; NaN with fewer than two scenes and one seed.
    exact : int
        Images with an infinite value, which are excluded.
    """

    mean: float
    low: float
    high: float
    exact: int = field(default=0, kw_only=True)

    @property
    def half_width(self) -> float:
        """Half the length of the interval."""
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class Difference(Estimate):
    """Mean of a - b over the same images, with its 95 % interval and a test.

    Parameters
    ----------
    p_value : float
        Of no difference, two-sided, for one comparison: below 0.05 exactly where the interval
        excludes 0. NaN with fewer than two scenes and one seed.
    direction : {-1, 0, 1}
        1 where a is higher, -1 where b is.
    wins : float
        Share of the images where a is higher than b, in [0, 1].
    scenes : int
        Number of scenes.
    """

    p_value: float
    direction: int
    wins: float
    scenes: int


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


@dataclass(frozen=True)
class _Scenes:
    """Scene of each image as a number from 0, and the images of each scene."""

    of_image: NDArray[np.int64]
    sizes: Values

    @classmethod
    def of(cls, scenes: "Sequence[str] | NDArray[np.int64]") -> "_Scenes":
        numbers: dict[str | int, int] = {}
        found = [numbers.setdefault(s, len(numbers)) for s in np.asarray(scenes).tolist()]
        of_image = np.array(found, dtype=np.int64)
        return cls(of_image, np.bincount(of_image).astype(np.float64))

    def sums(self, values: Values) -> Values:
        """Sums over the images of each scene of values of shape (images,)."""
        totals = np.bincount(self.of_image, weights=values, minlength=len(self.sizes))
        return np.asarray(totals, dtype=np.float64)

    def means(self, values: Values) -> Values:
        """Means over the images of each scene."""
        return self.sums(values) / self.sizes


def compare(
    values: Sequence[ArrayLike], pairs: Sequence[tuple[int, int]], scenes: Sequence[str]
) -> Comparison:
    """Means, paired differences and chances of improvement over the same images.

    Parameters
    ----------
    values : sequence of array, shape (seeds, images)
        Several methods or metrics; the number of seeds may differ from one to the next.
    pairs : sequence of (int, int)
        Positions in `values` of a and b.
    scenes : sequence of str
        Scene of each image.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        If a value is NaN, or an array has another shape.

    Notes
    -----
    Intervals and tests of means and differences are Student's. The variance of a mean is the sum of
    that over scenes, each with all its images, and of that over the training seeds of each method
    that has two or more; degrees of freedom are Satterthwaite's [1]_. The test of a difference
    therefore knows the seeds, and agrees with the interval. Where an image is restored exactly,
    the test is Wilcoxon's signed-rank test over scenes, in which an infinite difference has the
    highest rank.

    The chance of improvement is over random images and random seeds of a and b, ties count half.
    Its interval is Wilson's [2]_, with as many trials as the fewest of scenes and of seeds where
    there are several: the variance of such a share p is at most p (1 - p) over that number.

    References
    ----------
    .. [1] Satterthwaite, "An Approximate Distribution of Estimates of Variance Components",
       Biometrics Bulletin 2 (1946).
    .. [2] Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", Journal
       of the American Statistical Association 22 (1927).
    """
    of_scenes = _Scenes.of(scenes)
    arrays = [_checked(array, of_scenes) for array in values]
    return Comparison(
        [_mean(array, of_scenes) for array in arrays],
        [_difference(arrays[a], arrays[b], of_scenes) for a, b in pairs],
        [_improvement(arrays[a], arrays[b], of_scenes) for a, b in pairs],
    )


def mean_estimate(values: ArrayLike, scenes: Sequence[str]) -> Estimate:
    """Mean over images and training seeds with its interval, as in `compare`."""
    return compare([values], [], scenes).means[0]


def paired_difference(
    a: ArrayLike, b: ArrayLike, scenes: Sequence[str], *, same_runs: bool = False
) -> Difference:
    """Mean of a - b over the same images with its interval and test, as in `compare`.

    Parameters
    ----------
    a, b : array, shape (seeds, images)
    scenes : sequence of str
        Scene of each image.
    same_runs : bool
        True where row k of both comes from one training, as with two samplers of the same weights:
        differences are then taken seed by seed.
    """
    of_scenes = _Scenes.of(scenes)
    first, second = (_checked(array, of_scenes) for array in (a, b))
    return _difference(first, second, of_scenes, same_runs=same_runs)


def probability_of_improvement(a: ArrayLike, b: ArrayLike, scenes: Sequence[str]) -> Estimate:
    """Chance that a random image of a beats the same image of b, as in `compare`."""
    of_scenes = _Scenes.of(scenes)
    return _improvement(_checked(a, of_scenes), _checked(b, of_scenes), of_scenes)


def is_significant(p_value: float) -> bool:
    """Whether a corrected p-value tells a difference from none: the one rule of all tables.

    Examples
    --------
    >>> is_significant(0.05), is_significant(0.0501), is_significant(float("nan"))
    (True, False, False)
    """
    return p_value <= SIGNIFICANCE


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


def ranked(values: Sequence[ArrayLike], *, higher_is_better: bool) -> list[int]:
    """Positions of arrays of the same images, the best first.

    They are ordered by their means; where an image is restored exactly, by the mean rank over
    images, which holds an infinite value.

    Parameters
    ----------
    values : sequence of array, shape (seeds, images)
    higher_is_better : bool
    """
    sign = -1 if higher_is_better else 1
    arrays = [sign * np.asarray(array, dtype=np.float64) for array in values]
    if all(np.isfinite(array).all() for array in arrays):
        scores = [float(array.mean()) for array in arrays]
    else:
        of_image = np.array([_over_seeds(array) for array in arrays])
        from scipy.stats import rankdata

        scores = rankdata(of_image, axis=0).mean(axis=1).tolist()
    return sorted(range(len(arrays)), key=lambda k: scores[k])


def variation(values: ArrayLike, scenes: Sequence[str]) -> Variation:
    """Standard deviation over training seeds and over scenes, apart from each other.

    Parameters
    ----------
    values : array, shape (seeds, images)
    scenes : sequence of str
        Scene of each image.
    """
    of_scenes = _Scenes.of(scenes)
    array, of_scenes, _ = _finite(_checked(values, of_scenes), of_scenes)
    if not array.size:
        return Variation(math.nan, math.nan)
    return Variation(
        _deviation(array.mean(axis=1)), _deviation(of_scenes.means(_over_seeds(array)))
    )


def _deviation(values: Values) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else math.nan


def _checked(values: ArrayLike, scenes: _Scenes) -> Values:
    array = np.ascontiguousarray(values, dtype=np.float64)
    images = len(scenes.of_image)
    if array.ndim != 2 or array.shape[1] != images or array.size == 0:
        raise ValueError(f"values of shape {array.shape}, not (seeds, {images} images)")
    if np.isnan(array).any():
        raise ValueError("a value is no number")
    return array


def _over_seeds(array: Values) -> Values:
    return np.asarray(array.mean(axis=0))


def _finite(array: Values, scenes: _Scenes) -> tuple[Values, _Scenes, int]:
    """The images with finite values for every seed, and how many others there are."""
    kept = np.isfinite(array).all(axis=0)
    if kept.all():
        return array, scenes, 0
    return array[:, kept], _Scenes.of(scenes.of_image[kept]), int((~kept).sum())


def _mean(array: Values, scenes: _Scenes) -> Estimate:
    finite, of_finite, exact = _finite(array, scenes)
    if not finite.size:
        return Estimate(math.inf, math.nan, math.nan, exact=exact)
    return replace(_Student.of((finite,), of_finite).estimate, exact=exact)


def _difference(a: Values, b: Values, scenes: _Scenes, *, same_runs: bool = False) -> Difference:
    with np.errstate(invalid="ignore"):  # infinite less infinite
        d = _over_seeds(a) - _over_seeds(b)
    d[_over_seeds(a) == _over_seeds(b)] = 0
    wins = float((d > 0).mean())
    (both, of_finite, exact), seeds = _finite(np.concatenate([a, b]), scenes), len(a)
    parts: tuple[Values, ...] = (both[:seeds], -both[seeds:])
    if same_runs or len(a) == len(b) == 1:
        parts = (parts[0] + parts[1],)
    student = _Student.of(parts, of_finite) if both.size else _Student(math.nan, math.nan, math.nan)
    p_value, direction = student.p_value, int(np.sign(student.mean)) if both.size else 0
    if exact:
        p_value, direction = _signed_rank(scenes.means(d))
    interval = student.estimate
    return Difference(
        interval.mean, interval.low, interval.high, p_value, direction, wins, len(scenes.sizes),
        exact=exact,
    )  # fmt: skip


def _improvement(a: Values, b: Values, scenes: _Scenes) -> Estimate:
    wins = (a[:, None] > b[None]) + 0.5 * (a[:, None] == b[None])
    share = float(wins.mean())
    # Scenes of unequal size count as fewer of equal size (Kish).
    units = float(scenes.sizes.sum() ** 2 / (scenes.sizes**2).sum())
    trials = min([units, *(len(array) for array in (a, b) if len(array) > 1)])
    if trials <= 1:
        return Estimate(share, math.nan, math.nan)
    return Estimate(share, *wilson(share, trials))


def wilson(share: float, trials: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share in [0, 1] of so many trials, which need not be whole.

    Examples
    --------
    >>> [round(end, 3) for end in wilson(1.0, 10)]
    [0.722, 1.0]
    """
    from scipy.special import ndtri

    z2 = float(ndtri((1 + CONFIDENCE) / 2)) ** 2
    center = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    inner = share * (1 - share) / trials + z2 / (4 * trials**2)
    half = math.sqrt(z2 * inner) / (1 + z2 / trials)
    return max(0.0, center - half), min(1.0, center + half)


@dataclass(frozen=True)
class _Student:
    """A mean, its standard error and the degrees of freedom of that; NaN where not known."""

    mean: float
    error: float
    freedom: float

    @classmethod
    def of(cls, parts: Sequence[Values], scenes: _Scenes) -> "_Student":
        """Mean of a sum of parts, each of shape (seeds, images) and with seeds of its own."""
        together = np.sum([_over_seeds(part) for part in parts], axis=0)
        images, count = len(together), len(scenes.sizes)
        mean = float(together.mean())
        variances, freedoms = [], []
        if count > 1:
            deviations = scenes.sums(together - mean)
            inflation, freedom = _of_weights(scenes.sizes / images)
            variances.append(inflation * float((deviations**2).sum()) / images**2)
            freedoms.append(freedom)
        for part in parts:
            if (seeds := len(part)) > 1:
                variances.append(float(part.mean(axis=1).var(ddof=1)) / seeds)
                freedoms.append(seeds - 1)
        if not variances:
            return cls(mean, math.nan, math.nan)
        total = sum(variances)
        shares = [v / total if total else 0.0 for v in variances]
        spread = sum(share**2 / f for share, f in zip(shares, freedoms, strict=True))
        return cls(mean, math.sqrt(total), 1 / spread if spread else float(sum(freedoms)))

    @property
    def estimate(self) -> Estimate:
        """The mean with its interval."""
        from scipy.special import stdtrit

        half = float(stdtrit(self.freedom, (1 + CONFIDENCE) / 2)) * self.error
        return Estimate(self.mean, self.mean - half, self.mean + half)

    @property
    def p_value(self) -> float:
        """Of a mean of 0, two-sided."""
        if self.error == 0:
            return float(self.mean == 0)
        from scipy.special import stdtr

        return float(2 * stdtr(self.freedom, -abs(self.mean) / self.error))


def _of_weights(w: Values) -> tuple[float, float]:
    """What makes the variance of a weighted mean unbiased, and its degrees of freedom.

    They are those of the quadratic form ``sum_j w_j^2 (x_j - mean)^2`` in independent values of one
    variance (docs/mathematics.md, 8.1): for equal weights J/(J - 1) and J - 1.
    """
    s2, s3, s4, s5 = (float((w**power).sum()) for power in (2, 3, 4, 5))
    trace = s2 - 2 * s3 + s2**2
    of_square = s4 * (1 + 4 * s2) - 4 * s5 + s2**4 - 4 * s2**2 * s3 + 2 * s3**2
    return s2 / trace, trace**2 / of_square


def _signed_rank(of_scene: Values) -> tuple[float, int]:
    """p-value and direction of differences of scenes, some of them infinite.

    A scene in which both win exactly is a tie.
    """
    if len(of_scene) < 2:
        return math.nan, 0
    from scipy.stats import rankdata, wilcoxon

    finite = np.abs(of_scene[np.isfinite(of_scene)])
    highest = 2 * float(finite.max(initial=0)) + 1
    d = np.nan_to_num(of_scene, nan=0.0, posinf=highest, neginf=-highest)
    d = d[d != 0]
    if not len(d):
        return 1.0, 0
    ranks = np.sign(d) * rankdata(np.abs(d))
    return float(wilcoxon(d).pvalue), int(np.sign(ranks.sum()))
