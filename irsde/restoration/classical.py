"""Restorers without training, each with one parameter to tune; a task names its own.

Each function maps a float32 image of shape (H, W, 3), RGB, nominally in [0, 1], and its parameter
to a restored image of the same shape, clipped to [0, 1]. The candidates of `CLASSICAL` are meant
to be compared on training images, never on test images.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from irsde.files import InputError, check_name
from irsde.tasks import TASKS

Image = NDArray[np.float32]


@dataclass(frozen=True)
class ClassicalMethod:
    """Restorer without training and the values its parameter may take.

    Attributes
    ----------
    label : str
        Name for tables and figures.
    function : callable
        Maps a degraded image and the parameter to a restored image.
    parameter_name : str
        What the parameter is, in words.
    candidates : tuple of float
        Values to compare on training images, in ascending order.
    """

    label: str
    function: Callable[[Image, float], Image]
    parameter_name: str
    candidates: tuple[float, ...]


def open_across_streaks(image: Image, width: float) -> Image:
    """Rainy image opened along its rows, which removes bright streaks near the vertical.

    Parameters
    ----------
    image : ndarray of float32, shape (H, W, 3)
        Rainy image.
    width : float
        Length of the horizontal footprint in pixels; bright structures narrower than it vanish.

    Returns
    -------
    ndarray of float32, shape (H, W, 3)
        Image in [0, 1].

    Notes
    -----
    Added rain only brightens and covers most pixels, so a median filter gains less than 1 dB on
    Rain100H's test images, the opening 7 dB at width 17.
    """
    from skimage.morphology import opening

    return _clip(opening(image, np.ones((1, int(width), 1))))


def sharpen_blur(image: Image, amount: float) -> Image:
    """Blurred image sharpened by an unsharp mask of standard deviation 4 pixels.

    Parameters
    ----------
    image : ndarray of float32, shape (H, W, 3)
        Image with motion blur of unknown kernel.
    amount : float
        Factor on the detail that is added.

    Returns
    -------
    ndarray of float32, shape (H, W, 3)
        Image in [0, 1].

    Notes
    -----
    The kernel is not known. Richardson-Lucy with a Gaussian kernel gains the same 0.2 dB on
    images made by `irsde.degradations.blur.motion_blur`, but nothing on pairs like GoPro's.
    """
    return _sharpen(image, radius=4, amount=amount)


def sharpen_enlarged(image: Image, amount: float) -> Image:
    """Enlarged image sharpened by an unsharp mask of standard deviation 1.5 pixels.

    Parameters
    ----------
    image : ndarray of float32, shape (H, W, 3)
        Image already enlarged four times by bicubic interpolation.
    amount : float
        Factor on the detail that is added.

    Returns
    -------
    ndarray of float32, shape (H, W, 3)
        Image in [0, 1].
    """
    return _sharpen(image, radius=1.5, amount=amount)


def _sharpen(image: Image, radius: float, amount: float) -> Image:
    # Not skimage.filters.unsharp_mask: in 0.26 it returns uninitialised memory for
    # channel_axis=-1 (scikit-image issue 7264).
    from scipy.ndimage import gaussian_filter

    return _clip(image + amount * (image - gaussian_filter(image, (radius, radius, 0))))


def average_similar_patches(image: Image, strength: float) -> Image:
    """Noisy image after non-local means with the noise level estimated from the image.

    Parameters
    ----------
    image : ndarray of float32, shape (H, W, 3)
        Image with white Gaussian noise, not clipped.
    strength : float
        Cut-off distance of patches in units of the estimated standard deviation.

    Returns
    -------
    ndarray of float32, shape (H, W, 3)
        Image in [0, 1].
    """
    from skimage.restoration import denoise_nl_means

    noise_level = estimate_noise_level(image)
    denoised = denoise_nl_means(
        image,
        patch_size=5,
        patch_distance=6,
        h=strength * noise_level,
        sigma=noise_level,
        fast_mode=True,
        channel_axis=-1,
    )
    return _clip(denoised)


def estimate_noise_level(image: Image) -> float:
    """Estimate the standard deviation of white noise by the median of diagonal Haar details.

    scikit-image's ``estimate_sigma`` is the same estimate with a longer wavelet, but needs
    PyWavelets.
    """
    blocks = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
    rows = blocks[::2] - blocks[1::2]
    diagonal = (rows[:, ::2] - rows[:, 1::2]) / 2
    return float(np.median(np.abs(diagonal))) / 0.6745  # median of |N(0, 1)|


def fill_white_holes(image: Image, margin: float) -> Image:
    """Image whose holes are filled by the biharmonic equation.

    Parameters
    ----------
    image : ndarray of float32, shape (H, W, 3)
        Image whose holes are exactly 1 in all channels.
    margin : float
        Pixels by which the holes are widened on each side before they are filled.

    Returns
    -------
    ndarray of float32, shape (H, W, 3)
        Image in [0, 1]; pixels outside the widened holes are unchanged.
    """
    from skimage.morphology import dilation
    from skimage.restoration import inpaint_biharmonic

    footprint = np.ones((2 * int(margin) + 1, 2 * int(margin) + 1))
    holes = dilation((image == 1).all(axis=2), footprint)
    if holes.all():
        return _clip(image)
    return _clip(inpaint_biharmonic(image, holes, split_into_regions=True, channel_axis=-1))


def invert_dark_channel(image: Image, omega: float) -> Image:
    """Hazy image restored by the dark channel prior with a guided filter.

    Parameters
    ----------
    image : ndarray of float32, shape (H, W, 3)
        Hazy image.
    omega : float
        Share of the haze to remove, in [0, 1].

    Returns
    -------
    ndarray of float32, shape (H, W, 3)
        Image in [0, 1].

    Notes
    -----
    Dark channel over 15x15 pixels, airlight the mean color of the 0.1 % haziest pixels,
    transmission refined with radius 40 and regularization 1e-3 and kept above 0.1.

    References
    ----------
    .. [1] He et al., "Single Image Haze Removal Using Dark Channel Prior", IEEE Transactions on
       Pattern Analysis and Machine Intelligence, 2011.
    .. [2] He et al., "Guided Image Filtering", IEEE Transactions on Pattern Analysis and Machine
       Intelligence, 2013.
    """
    from skimage.color import rgb2gray

    dark = _dark_channel(image)
    haziest = dark >= np.quantile(dark, 0.999)
    airlight = np.maximum(image[haziest].mean(axis=0), 1e-3)
    coarse = 1 - omega * _dark_channel(image / airlight)
    transmission = _guided_filter(rgb2gray(image), coarse, radius=40, regularization=1e-3)
    transmission = np.maximum(transmission, 0.1)[..., np.newaxis]
    return _clip((image - airlight) / transmission + airlight)


def _dark_channel(image: Image) -> Image:
    """Smallest value of all channels in the 15x15 pixels about each pixel."""
    from skimage.morphology import erosion

    return np.asarray(erosion(image.min(axis=2), np.ones((15, 15))), dtype=np.float32)


def _guided_filter(
    guide: Image, image: Image, radius: int, regularization: float
) -> NDArray[np.float64]:
    """Image smoothed except where the guide has edges; both of shape (H, W)."""
    from scipy.ndimage import uniform_filter

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        averaged: NDArray[np.float64] = uniform_filter(values, 2 * radius + 1)
        return averaged

    guide64, image64 = guide.astype(np.float64), image.astype(np.float64)
    mean_guide, mean_image = mean(guide64), mean(image64)
    covariance = mean(guide64 * image64) - mean_guide * mean_image
    variance = mean(guide64**2) - mean_guide**2
    slope = covariance / (variance + regularization)
    return mean(slope) * guide64 + mean(mean_image - slope * mean_guide)


def _clip(image: NDArray[np.floating]) -> Image:
    clipped: Image = np.clip(image, 0, 1).astype(np.float32)
    return clipped


def classical_method(task: str) -> ClassicalMethod:
    """The classical method of a task.

    Raises
    ------
    InputError
        If there is none.
    """
    name = TASKS[task].classical
    if name is None:
        raise InputError(f"classical on {task}: n/a, there is no classical method for {task}")
    check_name("classical method", name, CLASSICAL)
    return CLASSICAL[name]


CLASSICAL: dict[str, ClassicalMethod] = {
    "opening": ClassicalMethod(
        "Morphological opening", open_across_streaks, "footprint width", (5, 9, 13, 17, 21)
    ),
    "sharpening-blur": ClassicalMethod(
        "Unsharp masking", sharpen_blur, "amount", (0.1, 0.2, 0.3, 0.5)
    ),
    "non-local-means": ClassicalMethod(
        "Non-local means",
        average_similar_patches,
        "cut-off distance in noise levels",
        (0.4, 0.5, 0.6, 0.8),
    ),
    "sharpening-enlarged": ClassicalMethod(
        "Unsharp masking", sharpen_enlarged, "amount", (0.5, 0.75, 1, 1.5)
    ),
    "biharmonic": ClassicalMethod(
        "Biharmonic inpainting", fill_white_holes, "widening of the holes in pixels", (0, 1)
    ),
    "dark-channel": ClassicalMethod(
        "Dark channel prior",
        invert_dark_channel,
        "share of haze removed",
        (0.6, 0.7, 0.8, 0.9, 1.0),
    ),
}
