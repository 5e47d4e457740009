"""Haze by the atmospheric scattering model."""

import numpy as np
from numpy.typing import NDArray

from irsde.degradations.noise import Image


def haze(
    image: Image, generator: np.random.Generator, depth: NDArray[np.floating] | None = None
) -> Image:
    """Image through haze by the atmospheric scattering model ``J t + A (1 - t)``.

    Parameters
    ----------
    image : ndarray of float32, shape (H, W, 3)
        Clear image ``J`` in [0, 1].
    generator : numpy.random.Generator
        Source of scattering and airlight, and of depth where none is given.
    depth : ndarray of floating point, shape (H, W), optional
        Relative depth in [0, 1], 1 the farthest; metres are to be divided by their largest.
        Drawn if not given.

    Returns
    -------
    ndarray of float32, shape (H, W, 3)
        Hazy image in [0, 1].

    Raises
    ------
    ValueError
        If `depth` has another shape or leaves [0, 1].

    Notes
    -----
    ``t = exp(-beta * depth)`` with beta uniform in [0.6, 1.8] and gray airlight A uniform in
    [0.7, 1.0], the ranges of RESIDE [1]_. RESIDE takes depth from measured scenes; drawn here is
    a vertical ramp, far at the top, plus a smooth random field, scaled to [0.1, 1]. docs/data.md
    compares the result with RESIDE's indoor test pairs.

    References
    ----------
    .. [1] Li et al., "Benchmarking Single Image Dehazing and Beyond", IEEE Transactions on Image
       Processing, 2019.
    """
    height, width, _ = image.shape
    beta = generator.uniform(0.6, 1.8)
    airlight = generator.uniform(0.7, 1.0)
    relative = _depth(height, width, generator) if depth is None else _checked(depth, image)
    transmission = np.exp(-beta * relative)[..., np.newaxis]
    return (image * transmission + airlight * (1 - transmission)).astype(np.float32)


def _checked(depth: NDArray[np.floating], image: Image) -> NDArray[np.float64]:
    if depth.shape != image.shape[:2]:
        raise ValueError(f"depth of shape {depth.shape} beside an image of {image.shape[:2]}")
    if not (depth.min() >= 0 and depth.max() <= 1):
        raise ValueError("depth is relative, 0 to 1: divide metres by the largest")
    return depth.astype(np.float64)


def _depth(height: int, width: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Smooth depth in [0.1, 1], shape (height, width), on average larger at the top."""
    from scipy.ndimage import zoom

    coarse = generator.standard_normal((4, 4))
    bumps = zoom(coarse, (height / 4, width / 4), order=3, mode="reflect", grid_mode=True)
    ramp = np.linspace(generator.uniform(1, 4), 0, height)[:, np.newaxis]
    depth = bumps + ramp
    depth -= depth.min()
    scaled: NDArray[np.float64] = 0.1 + 0.9 * depth / depth.max()
    return scaled
