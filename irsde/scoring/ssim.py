"""SSIM at every pixel of two planes.

With s = x + y and d = x - y, SSIM needs the means in the window of s, d, s² and d².
"""

import torch
from torch import Tensor

Taps = tuple[float, ...]

C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2  # for pixels from 0 to 255
STRIP = 32  # rows of means at once, which a processor's cache holds


def similarity_map(x: Tensor, y: Tensor, taps: Taps, covariance_factor: float) -> Tensor:
    """SSIM wherever the window is inside two planes.

    Parameters
    ----------
    x, y : Tensor of float64, shape (..., H, W)
        Planes in the range 0 to 255, no smaller than the window.
    taps : tuple of float
        Weights of the window along one axis: symmetric, n of them, n odd.
    covariance_factor : float
        What turns the biased covariance into the one that is meant.

    Returns
    -------
    Tensor of float64, shape (..., H - n + 1, W - n + 1)

    References
    ----------
    .. [1] Wang et al., "Image quality assessment: from error visibility to structural
       similarity", IEEE Transactions on Image Processing 13(4), 2004.
    """
    beyond = len(taps) - 1
    starts = range(0, x.shape[-2] - beyond, STRIP)
    strips = [
        _similarity(
            x[..., row : row + STRIP + beyond, :],
            y[..., row : row + STRIP + beyond, :],
            taps,
            covariance_factor,
        )
        for row in starts
    ]
    return torch.cat(strips, dim=-2)


def _similarity(x: Tensor, y: Tensor, taps: Taps, covariance_factor: float) -> Tensor:
    s, d = x + y, x - y
    planes = torch.stack([s, d, s * s, d * d])
    s, d, ss, dd = _means(_means(planes, taps, dim=-2), taps, dim=-1)
    vs, vd = (ss - s * s) * covariance_factor, (dd - d * d) * covariance_factor
    s, d = s * s, d * d
    ssim: Tensor = (s - d + 2 * C1) * (vs - vd + 2 * C2) / ((s + d + 2 * C1) * (vs + vd + 2 * C2))
    return ssim


def _means(planes: Tensor, taps: Taps, dim: int) -> Tensor:
    """Means in the window along one axis; pairs at equal distance from its middle have one tap."""
    last = len(taps) - 1
    inside = planes.shape[dim] - last
    means = planes.narrow(dim, last // 2, inside) * taps[last // 2]
    for n in range(last // 2):
        pair = planes.narrow(dim, n, inside) + planes.narrow(dim, last - n, inside)
        means.add_(pair.mul_(taps[n]))  # without alpha: a fused product rounds by place
    return means
