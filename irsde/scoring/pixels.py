"""What PSNR and SSIM compare: luminances, windows, values at every pixel of two planes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

PEAK = 255
LUMINANCE = (65.481 / 255, 128.553 / 255, 24.966 / 255)
LUMINANCE_OFFSET = 16


@dataclass(frozen=True)
class Window:
    """Window in which SSIM takes means and covariances.

    Parameters
    ----------
    taps : tuple of float
        Weights along one axis, an odd number of them with sum 1.
    sample_covariance : bool
        Whether covariances are divided by n - 1, not by n.
    """

    taps: tuple[float, ...]
    sample_covariance: bool

    @property
    def size(self) -> int:
        """Pixels along one axis."""
        return len(self.taps)

    @property
    def covariance_factor(self) -> float:
        """What turns the biased covariance into the one that is meant."""
        count = self.size**2
        return count / (count - 1) if self.sample_covariance else 1.0


def _gaussian(radius: int, sigma: float) -> tuple[float, ...]:
    taps = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    return tuple((taps / taps.sum()).tolist())


WINDOWS: dict[str, Window] = {
    "gaussian": Window(_gaussian(5, 1.5), sample_covariance=False),
    "uniform": Window((1 / 7,) * 7, sample_covariance=True),
}


def rounded_luminance(pixels: "Tensor") -> "Tensor":
    """MATLAB's Y of 8-bit RGB (..., 3) as (..., 1), rounded half up as `rgb2ycbcr` of uint8 does.

    Whole numbers are added, so that a tie is a tie.
    """
    import torch

    weights = torch.tensor([[65481.0], [128553.0], [24966.0]], device=pixels.device).double()
    thousandths = pixels.double() @ weights
    return thousandths.add_(127500).div_(255000).floor_().add_(LUMINANCE_OFFSET)


def full_range_luminance(pixels: "Tensor") -> "Tensor":
    """Y of 8-bit RGB (..., 3) from 0 to 255 as (..., 1): ``0.299 R + 0.587 G + 0.114 B``."""
    import torch

    weights = torch.tensor([[299.0], [587.0], [114.0]], device=pixels.device).double()
    return (pixels.double() @ weights).div_(1000)


def psnr(restored: NDArray[np.generic], reference: NDArray[np.generic]) -> float:
    """Peak signal-to-noise ratio in dB for a peak of 255, over all pixels and channels.

    Identical images give infinity.
    """
    a, b = restored.astype(np.float64), reference.astype(np.float64)
    if np.array_equal(a, b):
        return float("inf")
    return float(10 * np.log10(PEAK**2 / np.mean((b - a) ** 2)))


def squared_error(x: "Tensor", y: "Tensor", _: Window) -> "Tensor":
    """Squared difference at every pixel."""
    return (x - y).square_()


def similarity(x: "Tensor", y: "Tensor", window: Window) -> "Tensor":
    """SSIM wherever the window is inside two planes, shape (B, H, W) each."""
    from irsde.scoring.ssim import similarity_map

    return similarity_map(x, y, window.taps, window.covariance_factor)
