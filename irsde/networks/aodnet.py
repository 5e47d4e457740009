"""Networks that dehaze by one map K of the scattering model: AOD-Net and Light-DehazeNet."""

import torch
from torch import Tensor, nn
from torch.nn.functional import relu


def dehazed(hazy: Tensor, k: Tensor) -> Tensor:
    """J = K I - K + 1, not below zero: the scattering model with all its unknowns in K."""
    return relu(k * hazy - k + 1)


def _convolution(inputs: int, outputs: int, side: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, side, padding=side // 2)


class AODNet(nn.Module):
    """All-in-one dehazing network of five convolutions [1]_.

    References
    ----------
    .. [1] Li, Peng, Wang, Xu, Feng, AOD-Net: All-in-One Dehazing Network, ICCV 2017,
       arXiv 1707.06543.
    """

    def __init__(self) -> None:
        super().__init__()
        self.e_conv1 = _convolution(3, 3, 1)
        self.e_conv2 = _convolution(3, 3, 3)
        self.e_conv3 = _convolution(6, 3, 5)
        self.e_conv4 = _convolution(6, 3, 7)
        self.e_conv5 = _convolution(12, 3, 3)

    def forward(self, hazy: Tensor) -> Tensor:
        """Restore images of shape (B, 3, H, W) in [0, 1]; not clipped above."""
        first = relu(self.e_conv1(hazy))
        second = relu(self.e_conv2(first))
        third = relu(self.e_conv3(torch.cat((first, second), 1)))
        fourth = relu(self.e_conv4(torch.cat((second, third), 1)))
        k = relu(self.e_conv5(torch.cat((first, second, third, fourth), 1)))
        return dehazed(hazy, k)


class LightDehazeNet(nn.Module):
    """Light-DehazeNet (LD-Net) of eight convolutions [1]_.

    References
    ----------
    .. [1] Ullah, Muhammad, Irfan, Anwar, Sajjad, Imran, de Albuquerque, Light-DehazeNet: A Novel
       Lightweight CNN Architecture for Single Image Dehazing, IEEE TIP 2021.
    """

    def __init__(self) -> None:
        super().__init__()
        self.e_conv_layer1 = _convolution(3, 8, 1)
        self.e_conv_layer2 = _convolution(8, 8, 3)
        self.e_conv_layer3 = _convolution(8, 8, 5)
        self.e_conv_layer4 = _convolution(16, 16, 7)
        self.e_conv_layer5 = _convolution(16, 16, 3)
        self.e_conv_layer6 = _convolution(16, 16, 3)
        self.e_conv_layer7 = _convolution(32, 32, 3)
        self.e_conv_layer8 = _convolution(56, 3, 3)

    def forward(self, hazy: Tensor) -> Tensor:
        """Restore images of shape (B, 3, H, W) in [0, 1]; not clipped above."""
        first = relu(self.e_conv_layer1(hazy))
        second = relu(self.e_conv_layer2(first))
        third = relu(self.e_conv_layer3(second))
        fourth = relu(self.e_conv_layer4(torch.cat((first, third), 1)))
        fifth = relu(self.e_conv_layer5(fourth))
        sixth = relu(self.e_conv_layer6(fifth))
        seventh = relu(self.e_conv_layer7(torch.cat((fourth, sixth), 1)))
        k = relu(self.e_conv_layer8(torch.cat((second, fifth, seventh), 1)))
        return dehazed(hazy, k)
