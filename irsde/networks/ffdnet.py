"""FFDNet for color images: one denoiser that is told the noise level."""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from irsde.networks.dncnn import plain_layers

DEPTH = 12
WIDTH = 96
STRONGEST = 75 / 255  # noise that it was trained for


def to_quarters(image: Tensor) -> Tensor:
    """Four images of every second pixel in place of one: (B, C, 2h, 2w) → (B, 4 C, h, w).

    Channel by channel, and within a channel in MATLAB's order of a 2×2 block, down its columns.
    """
    batch, channels, height, width = image.shape
    blocks = image.reshape(batch, channels, height // 2, 2, width // 2, 2)
    by_column = blocks.permute(0, 1, 5, 3, 2, 4)
    return by_column.reshape(batch, 4 * channels, height // 2, width // 2)


def from_quarters(quarters: Tensor) -> Tensor:
    """The inverse of `to_quarters`: (B, 4 C, h, w) → (B, C, 2h, 2w)."""
    batch, channels, height, width = quarters.shape
    by_column = quarters.reshape(batch, channels // 4, 2, 2, height, width)
    blocks = by_column.permute(0, 1, 4, 3, 5, 2)
    return blocks.reshape(batch, channels // 4, 2 * height, 2 * width)


class FFDNet(nn.Module):
    """Fast and flexible denoising network [1]_: works at half size beside a map of the noise level.

    References
    ----------
    .. [1] Zhang, Zuo, Zhang, FFDNet: Toward a Fast and Flexible Solution for CNN based Image
       Denoising, IEEE TIP 2018, arXiv 1710.04026.
    """

    multiple = 2

    def __init__(self) -> None:
        super().__init__()
        self.layers = plain_layers(4 * 3 + 1, WIDTH, 4 * 3, DEPTH)

    def forward(self, noisy: Tensor, noise_level: float) -> Tensor:
        """Restore images of shape (B, 3, H, W), nominally in [0, 1]; not clipped.

        Parameters
        ----------
        noisy : Tensor
            Odd sides are made even by repeating the last row or column.
        noise_level : float
            Standard deviation of the noise, in the unit of the images; up to `STRONGEST`.
        """
        height, width = noisy.shape[2:]
        quarters = to_quarters(pad(noisy, (0, width % 2, 0, height % 2), mode="replicate"))
        level = quarters.new_full((quarters.shape[0], 1, *quarters.shape[2:]), noise_level)
        restored = from_quarters(self.layers(torch.cat((quarters, level), 1)))
        return restored[..., :height, :width]
