"""The six tasks of the paper, as data."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from irsde import degradations

Image = NDArray[np.float32]


@dataclass(frozen=True)
class Task:
    """A restoration task.

    Parameters
    ----------
    label : str
        Name in tables and figures.
    degrade : callable (image, generator) -> image
        Clean image (H, W, 3) in [0, 1] to its degraded version; for super-resolution smaller by
        `scale`.
    degradation : str
        What `degrade` does, for captions.
    fresh : bool
        True if every training patch is degraded anew, as the paper does for noise and masks;
        False if training pairs are made once and stored.
    exact : bool
        True if the degraded image is kept as floating point, False if it is rounded to 8 bits.
    scale : int
        Factor by which the degraded image is smaller than the clean one; it is enlarged to the
        clean size before anything else sees it.
    stationary_std : float
        lambda of the mean-reverting SDE, in the unit of the images, unless a profile says
        otherwise: the authors' values (docs/mathematics.md, 7), 50/255 for denoising, where the
        paper's is not known.
    noise_level : float, optional
        Standard deviation of the noise in the degraded image, where that is all there is.
    """

    label: str
    degrade: Callable[[Image, np.random.Generator], Image]
    degradation: str
    fresh: bool = False
    exact: bool = False
    scale: int = 1
    stationary_std: float = 10 / 255
    noise_level: float | None = None


def _thin_holes(image: Image, generator: np.random.Generator) -> Image:
    height, width = image.shape[:2]
    return degradations.inpainting_holes(image, degradations.thin_mask(height, width, generator))


def _downsampled(image: Image, generator: np.random.Generator) -> Image:  # noqa: ARG001
    return degradations.downsample_bicubic(image, scale=4)


TASKS: dict[str, Task] = {
    "deraining": Task("Deraining", degradations.rain_streaks, "synthetic rain streaks"),
    "deblurring": Task("Deblurring", degradations.motion_blur, "synthetic camera-shake blur"),
    "denoising": Task(
        "Denoising",
        degradations.gaussian_noise,
        "Gaussian noise of standard deviation 25/255, not clipped",
        fresh=True,
        exact=True,
        stationary_std=50 / 255,
        noise_level=25 / 255,
    ),
    "super-resolution": Task(
        "Super-resolution",
        _downsampled,
        "MATLAB-style bicubic reduction by 4, enlarged again by bicubic interpolation",
        scale=4,
        stationary_std=30 / 255,
    ),
    "inpainting": Task(
        "Inpainting",
        _thin_holes,
        "thin white strokes over the image",
        fresh=True,
        stationary_std=30 / 255,
    ),
    "dehazing": Task(
        "Dehazing", degradations.haze, "haze by atmospheric scattering over a synthetic depth map"
    ),
}
