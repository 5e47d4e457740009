"""CDnCNN-S, the color denoiser for one noise level, with its batch norms merged."""

import itertools

from torch import Tensor, nn

DEPTH = 20
WIDTH = 64


def plain_layers(inputs: int, width: int, outputs: int, depth: int) -> nn.Sequential:
    """3×3 convolutions with a ReLU after each but the last."""
    channels = [inputs, *[width] * (depth - 1), outputs]
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(channels):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class CDnCNN(nn.Module):
    """Denoising network that predicts the noise [1]_.

    The released files have every batch norm merged into the convolution before it, which is the
    same function.

    References
    ----------
    .. [1] Zhang, Zuo, Chen, Meng, Zhang, Beyond a Gaussian Denoiser: Residual Learning of Deep CNN
       for Image Denoising, IEEE TIP 2017, arXiv 1608.03981.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = plain_layers(3, WIDTH, 3, DEPTH)

    def forward(self, noisy: Tensor) -> Tensor:
        """Restore images of shape (B, 3, H, W), nominally in [0, 1]; not clipped."""
        noise: Tensor = self.layers(noisy)
        return noisy - noise
