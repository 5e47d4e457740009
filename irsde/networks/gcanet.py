"""GCANet: dehazing with dilated convolutions at half size and gated features of three depths."""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad, relu

WIDTH = 64
LEVELS = 255.0
MIDDLE = 128.0
DILATIONS = (2, 2, 2, 4, 4, 4, 1)  # of the residual blocks


def edges(image: Tensor) -> Tensor:
    """Mean absolute difference to the four neighbors: (B, C, H, W) → (B, 1, H, W).

    Beyond the border there is no difference; channels are averaged.
    """
    down = (image[:, :, 1:] - image[:, :, :-1]).abs()
    right = (image[..., 1:] - image[..., :-1]).abs()
    total = pad(down, (0, 0, 1, 0)) + pad(down, (0, 0, 0, 1))
    total = total + pad(right, (1, 0)) + pad(right, (0, 1))
    return total.mean(1, keepdim=True) / 4


class SharedSeparableConv(nn.Module):
    """One kernel for every channel, which smooths before a dilated convolution.

    Parameters
    ----------
    side : int
        Odd side of the kernel.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, 1, side, side))
        with torch.no_grad():
            self.weight[..., side // 2, side // 2] = 1  # it starts as the identity

    def forward(self, x: Tensor) -> Tensor:
        """Smooth x of shape (B, C, H, W)."""
        channels, side = x.shape[1], self.weight.shape[-1]
        kernels = self.weight.expand(channels, -1, -1, -1)
        return conv2d(x, kernels, padding=side // 2, groups=channels)


class ResidualBlock(nn.Module):
    """Two convolutions with instance norms, smoothed before where they are dilated.

    Parameters
    ----------
    dilation : int
        1 for a plain block.
    """

    def __init__(self, dilation: int) -> None:
        super().__init__()
        for number in (1, 2):
            smoothing = SharedSeparableConv(2 * dilation - 1) if dilation > 1 else None
            if smoothing is not None:
                self.add_module(f"pre_conv{number}", smoothing)
            convolution = nn.Conv2d(
                WIDTH, WIDTH, 3, padding=dilation, dilation=dilation, bias=False
            )
            self.add_module(f"conv{number}", convolution)
            self.add_module(f"norm{number}", nn.InstanceNorm2d(WIDTH, affine=True))
        first, second = (
            [f"{part}{number}" for part in ("pre_conv", "conv", "norm")][dilation == 1 :]
            for number in (1, 2)
        )
        self._first, self._second = first, second

    def _apply_all(self, names: list[str], x: Tensor) -> Tensor:
        for name in names:
            x = self.get_submodule(name)(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Features of the same shape (B, 64, H, W)."""
        return relu(x + self._apply_all(self._second, relu(self._apply_all(self._first, x))))


class GCANet(nn.Module):
    """Gated context aggregation network [1]_.

    Encoder to half size, seven residual blocks of which six are dilated, a gate that weights the
    features before, amid and after them, and a decoder whose output is added to the hazy image.

    References
    ----------
    .. [1] Chen, He, Fan, Liao, Zhang, Hou, Yuan, Hua, Gated Context Aggregation Network for Image
       Dehazing and Deraining, WACV 2019, arXiv 1811.08747.
    """

    multiple = 2

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(4, WIDTH, 3, padding=1, bias=False)
        self.norm1 = nn.InstanceNorm2d(WIDTH, affine=True)
        self.conv2 = nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False)
        self.norm2 = nn.InstanceNorm2d(WIDTH, affine=True)
        self.conv3 = nn.Conv2d(WIDTH, WIDTH, 3, stride=2, padding=1, bias=False)
        self.norm3 = nn.InstanceNorm2d(WIDTH, affine=True)
        for number, dilation in enumerate(DILATIONS, 1):
            self.add_module(f"res{number}", ResidualBlock(dilation))
        self.gate = nn.Conv2d(3 * WIDTH, 3, 3, padding=1)
        self.deconv3 = nn.ConvTranspose2d(WIDTH, WIDTH, 4, stride=2, padding=1)
        self.norm4 = nn.InstanceNorm2d(WIDTH, affine=True)
        self.deconv2 = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.norm5 = nn.InstanceNorm2d(WIDTH, affine=True)
        self.deconv1 = nn.Conv2d(WIDTH, 3, 1)

    def forward(self, hazy: Tensor) -> Tensor:
        """Restore images of shape (B, 3, H, W) in [0, 1]; not clipped.

        The network itself sees values around zero, from -128 to 127, with a channel of edges; odd
        sides are made even by repeating the last row or column.
        """
        height, width = hazy.shape[2:]
        pixels = LEVELS * pad(hazy, (0, width % 2, 0, height % 2), mode="replicate")
        x = torch.cat((pixels, edges(pixels)), 1) - MIDDLE
        x = relu(self.norm1(self.conv1(x)))
        x = relu(self.norm2(self.conv2(x)))
        depths = [x := relu(self.norm3(self.conv3(x)))]
        for number in range(1, len(DILATIONS) + 1):
            x = self.get_submodule(f"res{number}")(x)
            if number in (4, len(DILATIONS)):
                depths.append(x)
        gates = self.gate(torch.cat(depths, 1)).split(1, dim=1)
        x = torch.stack([gate * x for gate, x in zip(gates, depths, strict=True)]).sum(0)
        x = relu(self.norm4(self.deconv3(x)))
        x = relu(self.norm5(self.deconv2(x)))
        residual: Tensor = self.deconv1(x) / LEVELS
        return hazy + residual[..., :height, :width]
