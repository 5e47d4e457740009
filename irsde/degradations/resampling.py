"""Images made smaller and larger, as the input of super-resolution is.

Images are float32 arrays of shape (H, W, 3), RGB, nominally in [0, 1].
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]


def downsample_bicubic(image: Image, scale: int = 4) -> Image:
    """Image reduced like MATLAB's ``imresize(image, 1 / scale)`` with its antialiasing.

    Parameters
    ----------
    image : ndarray of float32, shape (H, W, 3)
        Image in [0, 1].
    scale : int
        Reduction factor, at least 1.

    Returns
    -------
    ndarray of float32, shape (ceil(H / scale), ceil(W / scale), 3)
        Reduced image, not clipped: it may leave [0, 1] beside sharp edges.

    Notes
    -----
    Cubic kernel with a = -0.5 [1]_ widened by `scale`, weights normalised for each output pixel,
    borders mirrored with the edge pixel repeated, height first, then width.

    References
    ----------
    .. [1] Keys, "Cubic convolution interpolation for digital image processing", IEEE Transactions
       on Acoustics, Speech, and Signal Processing, 1981.
    """
    rows = _reduction(image.shape[0], scale)
    columns = _reduction(image.shape[1], scale)
    reduced: Image = np.einsum("ih,hwc,jw->ijc", rows, image, columns, optimize=True).astype(
        np.float32
    )
    return reduced


def _reduction(length: int, scale: int) -> NDArray[np.float64]:
    """Matrix of shape (ceil(length / scale), length) that reduces one axis."""
    n_out = -(-length // scale)
    center = (np.arange(n_out) + 0.5) * scale - 0.5
    source = np.floor(center - 2 * scale)[:, np.newaxis] + np.arange(4 * scale + 2)
    distance = np.abs(source - center[:, np.newaxis]) / scale
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    weight = np.where(distance <= 1, near, np.where(distance <= 2, far, 0))
    weight /= weight.sum(axis=1, keepdims=True)
    mirrored = np.pad(np.arange(length), (4 * scale, 4 * scale), mode="symmetric")
    matrix = np.zeros((n_out, length))
    row = np.arange(n_out)[:, np.newaxis]
    np.add.at(matrix, (row, mirrored[source.astype(int) + 4 * scale]), weight)
    return matrix


def enlarge(image: Image, scale: int, mode: Literal["bicubic", "nearest"] = "bicubic") -> Image:
    """Image enlarged by torch's interpolation, as the input of super-resolution is made.

    Parameters
    ----------
    image : ndarray of float32, shape (H, W, 3)
        Small image.
    scale : int
        Enlargement factor.
    mode : {"bicubic", "nearest"}
        Bicubic has a = -0.75 and aligned pixel areas (``align_corners=False``), as IR-SDE trains
        with; "nearest" is what the released super-resolution weights expect.

    Returns
    -------
    ndarray of float32, shape (scale * H, scale * W, 3)
        Enlarged image, not clipped.
    """
    import torch
    from torch.nn.functional import interpolate

    small = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
    large: Image = interpolate(small, scale_factor=scale, mode=mode)[0].permute(1, 2, 0).numpy()
    return np.ascontiguousarray(large)
