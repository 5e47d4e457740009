"""Training batches: patches of pairs, augmented, drawn from a stream named by the iteration."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from irsde.datasets import Pair
from irsde.files import InputError
from irsde.images import to_float
from irsde.tasks import Task

if TYPE_CHECKING:
    from torch import Tensor

Image = NDArray[np.float32]


def draw_patch(
    pair: Pair, task: Task, side: int, generator: np.random.Generator
) -> tuple[Image, Image]:
    """One random window of a pair, the same in both images, flipped and transposed at random.

    Parameters
    ----------
    pair : Pair
    task : Task
        Degrades the patch where the pair has no degraded image.
    side : int
        Side of the window, pixels.
    generator : numpy.random.Generator

    Returns
    -------
    x0, mu : ndarray of float32, shape (side, side, 3)
        In [0, 1], `mu` nominally.

    Raises
    ------
    InputError
        If the image is smaller than the window.
    """
    height, width = pair.x0.shape[:2]
    if min(height, width) < side:
        raise InputError(
            f"training image {pair.image} of {width}x{height} pixels is smaller than the patch "
            f"of {side}: set a smaller training.patch"
        )
    top = int(generator.integers(height - side + 1))
    left = int(generator.integers(width - side + 1))
    window = np.s_[top : top + side, left : left + side]
    x0 = to_float(pair.x0[window])
    mu = task.degrade(x0, generator) if pair.mu is None else pair.mu[window]
    for axis in (0, 1):
        if generator.random() < 0.5:
            x0, mu = np.flip(x0, axis), np.flip(mu, axis)
    if generator.random() < 0.5:
        x0, mu = x0.swapaxes(0, 1), mu.swapaxes(0, 1)
    return x0, mu


def draw_batch(
    pairs: Sequence[Pair], task: Task, side: int, count: int, generator: np.random.Generator
) -> "tuple[Tensor, Tensor]":
    """A batch of random patches of random pairs.

    Returns
    -------
    x0, mu : Tensor of float32, shape (count, 3, side, side)
    """
    chosen = generator.integers(len(pairs), size=count)
    patches = [draw_patch(pairs[i], task, side, generator) for i in chosen]
    return to_tensor([x0 for x0, _ in patches]), to_tensor([mu for _, mu in patches])


def to_tensor(images: Sequence[Image]) -> "Tensor":
    """Images (H, W, 3) of one size to a tensor (B, 3, H, W)."""
    import torch

    return torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).copy())
