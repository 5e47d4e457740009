"""Metrics of images: what they are called, PSNR and SSIM of a batch, MATLAB's luminance."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from irsde.files import InputError

if TYPE_CHECKING:
    from torch import Tensor

Values = NDArray[np.float64]
Scores = dict[str, Values]

PEAK = 255
LUMINANCE = (65.481 / 255, 128.553 / 255, 24.966 / 255)
LUMINANCE_OFFSET = 16


@dataclass(frozen=True)
class Metric:
    """A metric of a restored image.

    Parameters
    ----------
    label : str
        Name in tables and figures, with its unit.
    higher_is_better : bool
    decimals : int
        Digits after the point in tables.
    """

    label: str
    higher_is_better: bool
    decimals: int


METRICS: dict[str, Metric] = {
    "psnr": Metric("PSNR (dB)", higher_is_better=True, decimals=2),
    "ssim": Metric("SSIM", higher_is_better=True, decimals=4),
    "psnr_y": Metric("PSNR-Y (dB)", higher_is_better=True, decimals=2),
    "ssim_y": Metric("SSIM-Y", higher_is_better=True, decimals=4),
    "lpips": Metric("LPIPS", higher_is_better=False, decimals=4),
}


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


def luminance(pixels: NDArray[np.generic]) -> Values:
    """MATLAB's Y of 8-bit RGB: ``(65.481 R + 128.553 G + 24.966 B) / 255 + 16``, not rounded."""
    weights: Values = np.array([65.481, 128.553, 24.966])
    weighted: Values = pixels.astype(np.float64) @ weights
    return weighted / 255 + LUMINANCE_OFFSET


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
    from skimage.metrics import peak_signal_noise_ratio

    a, b = restored.astype(np.float64), reference.astype(np.float64)
    if np.array_equal(a, b):
        return float("inf")
    return float(peak_signal_noise_ratio(b, a, data_range=PEAK))


def fidelity(
    restored: "Tensor", reference: "Tensor", window: Window, borders: Iterable[int] = (0,)
) -> dict[int, Scores]:
    """PSNR and SSIM of a batch of images, for several border crops at once.

    Parameters
    ----------
    restored, reference : Tensor, shape (B, H, W, 3) or (B, H, W, 1)
        Images in the range 0 to 255, of any real dtype, on one device.
    window : Window
        Of SSIM, which is averaged over the pixels whose window lies inside the cropped image, and
        over channels.
    borders : iterable of int
        Pixels cut from each side.

    Returns
    -------
    dict of int to dict of str to ndarray, shape (B,)
        For each border `psnr` and `ssim`, over all channels; of RGB also `psnr_y` and `ssim_y`
        of MATLAB's luminance, not rounded. The PSNR (dB, for a peak of 255) of identical images is
        infinite.

    Raises
    ------
    InputError
        If the shapes differ or a cropped image is smaller than the window.

    Notes
    -----
    In float64 throughout, channel by channel. On a CPU images are taken one by one: a value does
    not depend on what else is in the batch.
    """
    import torch

    if restored.shape != reference.shape:
        raise InputError(f"{tuple(restored.shape)} and {tuple(reference.shape)} differ")
    cuts = sorted(set(borders))
    height, width = reference.shape[1:3]
    if min(height, width) - 2 * cuts[-1] < window.size:
        raise InputError(
            f"SSIM needs at least {window.size}x{window.size} pixels, fewer are left of "
            f"{height}x{width} after a border of {cuts[-1]}"
        )
    size = 1 if reference.device.type == "cpu" else len(reference)
    with torch.inference_mode():
        parts = [
            _fidelity(restored[k : k + size], reference[k : k + size], window, cuts)
            for k in range(0, len(reference), size)
        ]
    return {
        border: {name: np.concatenate([part[k][name] for part in parts]) for name in parts[0][k]}
        for k, border in enumerate(cuts)
    }


def _fidelity(x: "Tensor", y: "Tensor", window: Window, borders: list[int]) -> list[Scores]:
    """`fidelity` of as many images as are taken at once."""
    errors: list[list[Values]] = [[] for _ in borders]
    similarities: list[list[Values]] = [[] for _ in borders]
    for a, b in _planes(x, y):
        error, similarity = (a - b).square_(), _similarity(a, b, window)
        for k, border in enumerate(borders):
            errors[k].append(_mean(error, border))
            similarities[k].append(_mean(similarity, border))
    return [_scores(np.stack(e), np.stack(s)) for e, s in zip(errors, similarities, strict=True)]


def _planes(x: "Tensor", y: "Tensor") -> "Iterator[tuple[Tensor, Tensor]]":
    """Each channel of two images in float64, of RGB then the luminance: shape (B, H, W)."""
    import torch

    luminances = [
        torch.full(t.shape[:-1], LUMINANCE_OFFSET, device=t.device).double() for t in (x, y)
    ]
    for channel in range(x.shape[-1]):
        planes = [torch.empty_like(luminances[0]).copy_(t[..., channel]) for t in (x, y)]
        for total, plane in zip(luminances, planes, strict=True):
            total.add_(plane, alpha=LUMINANCE[channel])
        yield planes[0], planes[1]
    if x.shape[-1] == len(LUMINANCE):
        yield luminances[0], luminances[1]


def _similarity(x: "Tensor", y: "Tensor", window: Window) -> "Tensor":
    """SSIM wherever the window lies inside the images."""
    import torch

    from irsde.scoring.ssim import similarity_by_convolution, similarity_map

    options = window.taps, window.covariance_factor
    if x.device.type != "cpu":
        return similarity_by_convolution(x, y, *options)
    pairs = zip(x.numpy(), y.numpy(), strict=True)
    return torch.from_numpy(np.stack([similarity_map(a, b, *options) for a, b in pairs]))


def _mean(values: "Tensor", border: int) -> Values:
    """Mean of each image without its border; the sums do not depend on the number of threads."""
    height, width = values.shape[1:]
    inner = values[:, border : height - border, border : width - border]
    mean: Values = (inner.sum(2).sum(1) / inner[0].numel()).cpu().numpy()
    return mean


def _scores(errors: Values, similarities: Values) -> Scores:
    """Scores from the mean squared errors and the mean SSIM, each (channel, image)."""
    colors = min(3, len(errors))
    with np.errstate(divide="ignore"):
        scores = {
            "psnr": 10 * np.log10(PEAK**2 / errors[:colors].mean(0)),
            "ssim": similarities[:colors].mean(0),
        }
        if colors == 3:
            scores |= {"psnr_y": 10 * np.log10(PEAK**2 / errors[3]), "ssim_y": similarities[3]}
    return scores
