"""Protocols: how a restored image is scored, each named by who uses it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from irsde.files import InputError
from irsde.images import to_float, to_pixels
from irsde.metrics import luminance, perceptual_metric, psnr, ssim


@dataclass(frozen=True)
class Protocol:
    """How an image is scored.

    Parameters
    ----------
    label : str
        What it does, for captions.
    version : int
        Raised when the same images would score differently.
    border : int
        Pixels cut from each side before PSNR and SSIM.
    """

    label: str
    version: int = 1
    border: int = 0


PROTOCOLS: dict[str, Protocol] = {
    "rgb": Protocol("8-bit RGB, no border crop; Y is MATLAB's"),
    "authors": Protocol(
        "8-bit RGB with 4 border pixels cut from PSNR and SSIM, as the authors' script does for "
        "all tasks but denoising",
        border=4,
    ),
}


def score_pair(
    restored: NDArray[np.floating], reference: NDArray[np.uint8], protocol: Protocol
) -> dict[str, float | None]:
    """Metrics of one restored image.

    Parameters
    ----------
    restored : ndarray of float, shape (H, W, 3)
        Nominally in [0, 1]; clipped and rounded to 8 bits first.
    reference : ndarray of uint8, shape (H, W, 3)
        Clean image.
    protocol : Protocol

    Returns
    -------
    dict of str to float or None
        A value for each key of `metrics.METRICS`; `lpips` is None where no weights are at hand.

    Raises
    ------
    InputError
        If the sizes differ or nothing is left after the crop.
    """
    if restored.shape != reference.shape:
        raise InputError(
            f"restored {restored.shape} and reference {reference.shape} differ in size"
        )
    pixels = to_pixels(restored)
    border = protocol.border
    inner = np.s_[border : reference.shape[0] - border, border : reference.shape[1] - border]
    a, b = pixels[inner], reference[inner]
    if a.size == 0:
        raise InputError(f"nothing is left of {reference.shape} after a border of {border}")
    distance = perceptual_metric().distance
    return {
        "psnr": psnr(a, b),
        "ssim": ssim(a, b),
        "psnr_y": psnr(luminance(a), luminance(b)),
        "ssim_y": ssim(luminance(a), luminance(b)),
        "lpips": distance(to_float(pixels), to_float(reference)) if distance else None,
    }
