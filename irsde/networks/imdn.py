"""IMDN: fourfold super-resolution by blocks that set features aside as they go."""

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

WIDTH = 64
KEPT = 16  # channels that each convolution of a block sets aside
BLOCKS = 6
SCALE = 4
SLOPE = 0.05


class ContrastAttention(nn.Module):
    """Weights of channels from their mean and standard deviation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_du = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH // 16, 1),
            nn.ReLU(),
            nn.Conv2d(WIDTH // 16, WIDTH, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Weighted features of shape (B, 64, H, W)."""
        variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
        weights: Tensor = self.conv_du(variance.sqrt() + mean)
        return x * weights


class DistillationBlock(nn.Module):
    """Four convolutions, of which three pass on most of their features and set the rest aside."""

    def __init__(self) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.c2 = nn.Conv2d(WIDTH - KEPT, WIDTH, 3, padding=1)
        self.c3 = nn.Conv2d(WIDTH - KEPT, WIDTH, 3, padding=1)
        self.c4 = nn.Conv2d(WIDTH - KEPT, KEPT, 3, padding=1)
        self.c5 = nn.Conv2d(WIDTH, WIDTH, 1)
        self.cca = ContrastAttention()

    def forward(self, x: Tensor) -> Tensor:
        """Features of the same shape (B, 64, H, W)."""
        kept, rest = [], x
        for convolution in (self.c1, self.c2, self.c3):
            features = leaky_relu(convolution(rest), SLOPE)
            kept.append(features[:, :KEPT])
            rest = features[:, KEPT:]
        kept.append(self.c4(rest))
        fused: Tensor = self.c5(self.cca(torch.cat(kept, 1)))
        return x + fused


class IMDN(nn.Module):
    """Information multi-distillation network [1]_ for a factor of four.

    References
    ----------
    .. [1] Hui, Gao, Yang, Wang, Lightweight Image Super-Resolution with Information
       Multi-distillation Network, ACM MM 2019, arXiv 1909.11856.
    """

    multiple = SCALE

    def __init__(self) -> None:
        super().__init__()
        self.fea_conv = nn.Conv2d(3, WIDTH, 3, padding=1)
        for number in range(1, BLOCKS + 1):
            self.add_module(f"IMDB{number}", DistillationBlock())
        self.c = nn.Sequential(nn.Conv2d(BLOCKS * WIDTH, WIDTH, 1), nn.LeakyReLU(SLOPE))
        self.LR_conv = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.upsampler = nn.Sequential(
            nn.Conv2d(WIDTH, 3 * SCALE**2, 3, padding=1), nn.PixelShuffle(SCALE)
        )

    def forward(self, small: Tensor) -> Tensor:
        """Enlarge images of shape (B, 3, H, W) in [0, 1] to (B, 3, 4 H, 4 W); not clipped."""
        first = self.fea_conv(small)
        outputs, x = [], first
        for number in range(1, BLOCKS + 1):
            x = self.get_submodule(f"IMDB{number}")(x)
            outputs.append(x)
        features = first + self.LR_conv(self.c(torch.cat(outputs, 1)))
        enlarged: Tensor = self.upsampler(features)
        return enlarged
