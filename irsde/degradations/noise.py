"""White Gaussian noise."""

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]


def gaussian_noise(
    image: Image,
    generator: np.random.Generator,
    noise_level: float = 25 / 255,
    *,
    clipped: bool = False,
) -> Image:
    """Image with white Gaussian noise added, not quantised.

    Parameters
    ----------
    image : ndarray of float32, shape (H, W, 3)
        Clean image in [0, 1].
    generator : numpy.random.Generator
        Source of the noise.
    noise_level : float
        Standard deviation in the unit of `image`; 15/255, 25/255 and 50/255 are customary.
    clipped : bool
        True to clip the noisy image to [0, 1], as a stored photograph is; the paper does not.

    Returns
    -------
    ndarray of float32, shape (H, W, 3)
        Noisy image; values leave [0, 1] unless `clipped`.

    References
    ----------
    .. [1] Luo et al., "Image Restoration with Mean-Reverting Stochastic Differential Equations",
       ICML 2023, denoising experiments.
    """
    noise = generator.standard_normal(image.shape, dtype=np.float32)
    noisy = image + np.float32(noise_level) * noise
    return np.clip(noisy, 0, 1) if clipped else noisy
