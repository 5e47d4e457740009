"""PReNet and PReNet_r: one small recurrent network, applied six times over."""

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

STAGES = 6
WIDTH = 32
BLOCKS = 5


def _layer(inputs: int, outputs: int, activation: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), activation)


def _block() -> nn.Sequential:
    """The two convolutions of a residual block."""
    return nn.Sequential(*_layer(WIDTH, WIDTH, nn.ReLU()), *_layer(WIDTH, WIDTH, nn.ReLU()))


class PReNet(nn.Module):
    """Progressive recurrent network for deraining [1]_.

    Every stage sees the rainy image and the estimate of the stage before, and its convolutional
    LSTM carries features from stage to stage. A stage is an input layer, the LSTM, five residual
    blocks and an output layer, whose result is added to the rainy image.

    Parameters
    ----------
    recursive : bool
        True for PReNet_r, whose five residual blocks are one and the same.

    References
    ----------
    .. [1] Ren, Zuo, Hu, Zhu, Meng, Progressive Image Deraining Networks: A Better and Simpler
       Baseline, CVPR 2019, arXiv 1901.09221.
    """

    def __init__(self, *, recursive: bool = False) -> None:
        super().__init__()
        self.conv0 = _layer(6, WIDTH, nn.ReLU())
        self._blocks = ["res_conv1"] * BLOCKS
        if not recursive:
            self._blocks = [f"res_conv{number}" for number in range(1, BLOCKS + 1)]
        for name in dict.fromkeys(self._blocks):
            self.add_module(name, _block())
        self.conv_i = _layer(2 * WIDTH, WIDTH, nn.Sigmoid())
        self.conv_f = _layer(2 * WIDTH, WIDTH, nn.Sigmoid())
        self.conv_g = _layer(2 * WIDTH, WIDTH, nn.Tanh())
        self.conv_o = _layer(2 * WIDTH, WIDTH, nn.Sigmoid())
        self.conv = nn.Sequential(nn.Conv2d(WIDTH, 3, 3, padding=1))

    def forward(self, rainy: Tensor) -> Tensor:
        """Restore images of shape (B, 3, H, W) in [0, 1]; not clipped."""
        estimate = rainy
        hidden = cell = rainy.new_zeros(rainy.shape[0], WIDTH, *rainy.shape[2:])
        for _ in range(STAGES):
            features = self.conv0(torch.cat((rainy, estimate), 1))
            gated = torch.cat((features, hidden), 1)
            cell = self.conv_f(gated) * cell + self.conv_i(gated) * self.conv_g(gated)
            hidden = self.conv_o(gated) * cell.tanh()
            features = hidden
            for name in self._blocks:
                features = relu(features + self.get_submodule(name)(features))
            estimate = rainy + self.conv(features)
        return estimate
