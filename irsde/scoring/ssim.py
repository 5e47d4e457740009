"""SSIM at every pixel of two planes: compiled loops on a CPU, convolutions elsewhere.

With s = x + y and d = x - y, SSIM needs the means in the window of s, d, s² and d².
"""

from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import conv2d

Plane = NDArray[np.float64]
Taps = tuple[float, ...]
Means = TypeVar("Means", float, Tensor)
P = ParamSpec("P")
T = TypeVar("T")

C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2  # for pixels from 0 to 255


def compiled(function: Callable[P, T]) -> Callable[P, T]:
    """Compile for this processor, and keep the code on disk where a folder admits it.

    Multiplications and additions are fused, nothing else is rearranged, and division by zero is
    no error.
    """
    compile_ = partial(njit, nogil=True, fastmath={"contract"}, error_model="numpy")
    try:
        loops: Callable[P, T] = compile_(cache=True)(function)
    except RuntimeError:  # no folder for the code can be written to
        loops = compile_()(function)
    return loops


def _similarity(s: Means, d: Means, ss: Means, dd: Means, covariance_factor: float) -> Means:
    """SSIM from the means of s, d, s² and d²."""
    vs, vd = (ss - s * s) * covariance_factor, (dd - d * d) * covariance_factor
    s, d = s * s, d * d
    return (s - d + 2 * C1) * (vs - vd + 2 * C2) / ((s + d + 2 * C1) * (vs + vd + 2 * C2))


_compiled_similarity = compiled(_similarity)


@compiled
def _down(
    x: Plane, y: Plane, row: int, taps: Taps, s: Plane, d: Plane, ss: Plane, dd: Plane
) -> None:
    """Weigh the rows of a window whose first is `row`, pairwise, because the taps are symmetric."""
    last = len(taps) - 1
    middle = last // 2
    for k in range(x.shape[1]):
        a = x[row + middle, k] + y[row + middle, k]
        b = x[row + middle, k] - y[row + middle, k]
        tap = taps[middle]
        s_k, d_k, ss_k, dd_k = tap * a, tap * b, tap * a * a, tap * b * b
        for n in range(middle):
            upper, lower, tap = row + n, row + last - n, taps[n]
            a, b = x[upper, k] + y[upper, k], x[upper, k] - y[upper, k]
            e, f = x[lower, k] + y[lower, k], x[lower, k] - y[lower, k]
            s_k += tap * (a + e)
            d_k += tap * (b + f)
            ss_k += tap * (a * a + e * e)
            dd_k += tap * (b * b + f * f)
        s[k], d[k], ss[k], dd[k] = s_k, d_k, ss_k, dd_k


@compiled
def _across(
    taps: Taps, s: Plane, d: Plane, ss: Plane, dd: Plane, covariance_factor: float, ssim: Plane
) -> None:
    """SSIM of a row from its weighed rows."""
    last = len(taps) - 1
    middle = last // 2
    for k in range(ssim.size):
        c, tap = k + middle, taps[middle]
        s_k, d_k, ss_k, dd_k = tap * s[c], tap * d[c], tap * ss[c], tap * dd[c]
        for n in range(middle):
            left, right, tap = k + n, k + last - n, taps[n]
            s_k += tap * (s[left] + s[right])
            d_k += tap * (d[left] + d[right])
            ss_k += tap * (ss[left] + ss[right])
            dd_k += tap * (dd[left] + dd[right])
        ssim[k] = _compiled_similarity(s_k, d_k, ss_k, dd_k, covariance_factor)


@compiled
def similarity_map(x: Plane, y: Plane, taps: Taps, covariance_factor: float) -> Plane:
    """SSIM wherever the window is inside two planes.

    Parameters
    ----------
    x, y : ndarray of float64, shape (H, W)
        Planes in the range 0 to 255, no smaller than the window.
    taps : tuple of float
        Weights of the window along one axis: symmetric, n of them, n odd.
    covariance_factor : float
        What turns the biased covariance into the one that is meant.

    Returns
    -------
    ndarray of float64, shape (H - n + 1, W - n + 1)

    References
    ----------
    .. [1] Wang et al., "Image quality assessment: from error visibility to structural
       similarity", IEEE Transactions on Image Processing 13(4), 2004.
    """
    height, width = x.shape
    ssim = np.empty((height - len(taps) + 1, width - len(taps) + 1))
    s, d, ss, dd = np.empty(width), np.empty(width), np.empty(width), np.empty(width)
    for row in range(len(ssim)):
        _down(x, y, row, taps, s, d, ss, dd)
        _across(taps, s, d, ss, dd, covariance_factor, ssim[row])
    return ssim


def similarity_by_convolution(x: Tensor, y: Tensor, taps: Taps, covariance_factor: float) -> Tensor:
    """`similarity_map` of many planes of shape (..., H, W) on any device."""
    s, d = x + y, x - y
    planes = torch.stack([s, d, s * s, d * d]).flatten(0, -3)[:, None]
    row = torch.tensor(taps, dtype=x.dtype, device=x.device)
    means = conv2d(conv2d(planes, row.view(1, 1, -1, 1)), row.view(1, 1, 1, -1))
    s, d, ss, dd = means.view(4, *x.shape[:-2], *means.shape[-2:])
    ssim: Tensor = _similarity(s, d, ss, dd, covariance_factor)
    return ssim
