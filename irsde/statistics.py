"""Intervals and tests over images, clustered by scene."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

CONFIDENCE = 0.95
RESAMPLES = 9999
FEW_SCENES = 10


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval over scenes.

    Parameters
    ----------
    mean : float
    low, high : float
        Ends of the percentile bootstrap interval; equal to NaN with fewer than two scenes.
    """

    mean: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the length of the interval."""
        return (self.high - self.low) / 2


def mean_over_scenes(values: Sequence[float], scenes: Sequence[str], seed: int) -> Estimate:
    """Mean over images with an interval from resampling whole scenes.

    Images of one scene are not independent, so scenes are drawn with replacement and all their
    images go with them (docs/mathematics.md, 8).

    Parameters
    ----------
    values : sequence of float
        One for each image; for two methods, their paired differences.
    scenes : sequence of str
        Scene of each image.
    seed : int
        Seed of the resampling.

    Returns
    -------
    Estimate
    """
    array = np.asarray(values, dtype=np.float64)
    mean = float(array.mean())
    names = sorted(set(scenes))
    if len(names) < 2:
        return Estimate(mean, float("nan"), float("nan"))
    labels = np.asarray(scenes)
    sums = np.array([array[labels == name].sum() for name in names])
    counts = np.array([(labels == name).sum() for name in names], dtype=np.float64)

    def ratio(
        total: NDArray[np.float64], count: NDArray[np.float64], axis: int = -1
    ) -> NDArray[np.float64]:
        return np.asarray(total.sum(axis=axis) / count.sum(axis=axis))

    interval = bootstrap(
        (sums, counts),
        ratio,
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.Generator(np.random.PCG64(seed)),
    ).confidence_interval
    return Estimate(mean, float(interval.low), float(interval.high))
