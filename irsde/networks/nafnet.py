"""ConditionalNAFNet, the network of Refusion; state-dict compatible with the authors' weights."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from irsde.networks.layers import LayerNorm2d, StepMLP, stack_inputs


class SimpleGate(nn.Module):
    """The first half of the channels times the second half; channels are the last axis."""

    def forward(self, x: Tensor) -> Tensor:
        """Gate x of shape (..., 2 C): shape (..., C)."""
        first, second = x.chunk(2, dim=-1)
        return first * second


def matrix_of(conv: nn.Conv2d) -> Tensor:
    """Weights of a 1x1 convolution, shape (out, in)."""
    return conv.weight.flatten(1)


def transform(x: Tensor, weights: Tensor, bias: Tensor) -> Tensor:
    """Linear map of each pixel, with weights of each image or the same for all.

    Parameters
    ----------
    x : Tensor, shape (B, N, in)
    weights : Tensor, shape (B, out, in) or (1, out, in)
    bias : Tensor, shape (B, out) or (1, out)

    Returns
    -------
    Tensor, shape (B, N, out)
    """
    if len(weights) == 1:
        return nn.functional.linear(x, weights[0], bias[0])
    return torch.baddbmm(bias[:, None], x, weights.transpose(1, 2))


class NAFBlock(nn.Module):
    """Gated convolution with channel attention, then a gated feed-forward, both residual.

    Each half is normalized, then scaled and shifted by the step. The gains of both residuals
    start at zero, so that a new block is the identity.

    Parameters
    ----------
    channels : int
        Number of channels C, in and out.
    step_features : int
        Number of features of the step.

    Notes
    -----
    Layers have the authors' names and shapes. Whatever scales channels only (gain of the norm,
    step, attention, gain of the residual) is multiplied into the weights of the 1x1 convolution
    beside it, which are few, and not into the pixels; a 1x1 convolution is a product of matrices.
    """

    def __init__(self, channels: int, step_features: int) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.mlp = nn.Sequential(SimpleGate(), nn.Linear(step_features // 2, 4 * channels))
        self.conv1 = nn.Conv2d(channels, 2 * channels, 1)
        self.conv2 = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels)
        self.conv3 = nn.Conv2d(channels, channels, 1)
        self.sca = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, channels, 1))
        self.gate = SimpleGate()
        self.conv4 = nn.Conv2d(channels, 2 * channels, 1)
        self.conv5 = nn.Conv2d(channels, channels, 1)
        self.norm1 = LayerNorm2d(channels)
        self.norm2 = LayerNorm2d(channels)

    def forward(self, x: Tensor, step: Tensor) -> Tensor:
        """Transform x of shape (B, C, H, W) given features of the step, (1 or B, features)."""
        batch, channels, height, width = x.shape
        shift_attention, scale_attention, shift_forward, scale_forward = self.mlp(step).chunk(4, 1)
        x = x.permute(0, 2, 3, 1).reshape(batch, height * width, channels)

        y = self._modulated(x, self.norm1, self.conv1, scale_attention, shift_attention)
        y = self.conv2(y.view(batch, height, width, 2 * channels).permute(0, 3, 1, 2))
        y = self.gate(y.permute(0, 2, 3, 1).reshape(batch, height * width, 2 * channels))
        pooled = self.sca[1]
        assert isinstance(pooled, nn.Conv2d)
        attention = nn.functional.linear(y.mean(dim=1), matrix_of(pooled), pooled.bias)
        weights, bias = self._scaled(self.conv3, self.beta)
        x = x + transform(y, weights * attention[:, None], bias.expand(batch, channels))

        y = self._modulated(x, self.norm2, self.conv4, scale_forward, shift_forward)
        x = x + nn.functional.linear(self.gate(y), *self._scaled(self.conv5, self.gamma))
        return x.view(batch, height, width, channels).permute(0, 3, 1, 2)

    @staticmethod
    def _modulated(
        x: Tensor, norm: LayerNorm2d, conv: nn.Conv2d, scale: Tensor, shift: Tensor
    ) -> Tensor:
        """Normalize pixels (B, N, C), scale and shift them by (1 or B, C), apply the layer."""
        normalized = nn.functional.layer_norm(x, x.shape[2:], eps=norm.eps)
        weights = matrix_of(conv)
        gain = norm.g.flatten() * (scale + 1)
        return transform(
            normalized, weights * gain[:, None], nn.functional.linear(shift, weights, conv.bias)
        )

    @staticmethod
    def _scaled(conv: nn.Conv2d, gain: Tensor) -> tuple[Tensor, Tensor]:
        """Weights and bias of a 1x1 convolution whose output is multiplied by a gain."""
        assert conv.bias is not None
        return matrix_of(conv) * gain.view(-1, 1), conv.bias * gain.flatten()


class NAFBlocks(nn.ModuleList):
    """The blocks of one level, one after the other."""

    def forward(self, x: Tensor, step: Tensor) -> Tensor:
        """Transform x of shape (B, C, H, W) given features of the step, (1 or B, features)."""
        for block in self:
            x = block(x, step)
        return x


class Halving(nn.Conv2d):
    """A 2x2 convolution of stride 2, computed as a matrix applied to blocks of pixels.

    Parameters
    ----------
    fine, coarse : int
        Channels of input and output.
    """

    def __init__(self, fine: int, coarse: int) -> None:
        super().__init__(fine, coarse, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Reduce x of shape (B, fine, H, W), H and W even: shape (B, coarse, H / 2, W / 2)."""
        batch, channels, height, width = x.shape
        rows = x.permute(0, 2, 3, 1).reshape(batch, height // 2, 2, width // 2, 2 * channels)
        blocks = rows.transpose(2, 3).flatten(3)
        weights = self.weight.permute(0, 2, 3, 1).flatten(1)
        return nn.functional.linear(blocks, weights, self.bias).permute(0, 3, 1, 2)


class Doubling(nn.ModuleList):
    """A 1x1 convolution whose channels become blocks of 2x2 pixels, and a skip added to them.

    Parameters
    ----------
    coarse : int
        Channels of the input; the output and the skip have half as many.
    """

    def __init__(self, coarse: int) -> None:
        super().__init__([nn.Conv2d(coarse, 2 * coarse, 1, bias=False)])

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Enlarge x of shape (B, coarse, H, W) to that of the skip, (B, coarse / 2, 2 H, 2 W)."""
        batch, coarse, height, width = x.shape
        fine = coarse // 2
        (conv,) = self
        assert isinstance(conv, nn.Conv2d)
        # from the order of torch's pixel shuffle to channels within a pixel
        weights = matrix_of(conv).view(fine, 4, coarse).transpose(0, 1).reshape(4 * fine, coarse)
        blocks = nn.functional.linear(x.permute(0, 2, 3, 1), weights)
        rows = blocks.view(batch, height, width, 2, coarse).transpose(2, 3)
        image = skip.permute(0, 2, 3, 1).reshape(batch, height, 2, width, coarse) + rows
        return image.reshape(batch, 2 * height, 2 * width, fine).permute(0, 3, 1, 2)


class ConditionalNAFNet(nn.Module):
    """U-shaped network of NAFBlocks that predicts from a state, the degraded image and the step.

    Parameters
    ----------
    img_channel : int
        Channels of the images.
    width : int
        Channels of the first level, doubled at each further one; even, at least 4.
    middle_blk_num : int
        Blocks at the coarsest level.
    enc_blk_nums, dec_blk_nums : sequence of int
        Blocks of each level, finest level first in the encoder and last in the decoder; of equal
        length.
    conditional : bool
        False for the denoising variant, which sees the state and the step only.

    Notes
    -----
    Images of any size: they are padded with zeros at the right and the bottom to a multiple of
    2 to the number of levels, and the output is cropped.

    Between the first and the last convolution images lie in memory with channels last, whatever
    that of the input and the weights is: norms, gates and matrices work along the channels.

    References
    ----------
    .. [1] Luo et al., "Refusion: Enabling Large-Size Realistic Image Restoration with
       Latent-Space Diffusion Models", CVPR workshops 2023, and the authors' code.
    """

    def __init__(
        self,
        img_channel: int = 3,
        width: int = 64,
        middle_blk_num: int = 1,
        enc_blk_nums: Sequence[int] = (1, 1, 1, 28),
        dec_blk_nums: Sequence[int] = (1, 1, 1, 1),
        conditional: bool = True,
    ) -> None:
        super().__init__()
        levels = len(enc_blk_nums)
        if len(dec_blk_nums) != levels:
            raise ValueError(
                f"encoder and decoder need as many levels: {enc_blk_nums}, {dec_blk_nums}"
            )
        self.conditional = conditional
        self.multiple = 2**levels
        features = 4 * width
        self.time_mlp = StepMLP(
            nn.Linear(width, 8 * width), SimpleGate(), nn.Linear(features, features)
        )
        self.intro = nn.Conv2d(2 * img_channel if conditional else img_channel, width, 3, padding=1)
        self.ending = nn.Conv2d(width, img_channel, 3, padding=1)

        widths = [width * 2**level for level in range(levels + 1)]

        def blocks(count: int, level: int) -> NAFBlocks:
            return NAFBlocks(NAFBlock(widths[level], features) for _ in range(count))

        upward = range(levels - 1, -1, -1)
        # the order of registration is that of the authors' weights
        self.encoders = nn.ModuleList(map(blocks, enc_blk_nums, range(levels)))
        self.decoders = nn.ModuleList(map(blocks, dec_blk_nums, upward))
        self.middle_blks = blocks(middle_blk_num, levels)
        self.ups = nn.ModuleList(Doubling(widths[level + 1]) for level in upward)
        self.downs = nn.ModuleList(
            Halving(fine, coarse) for fine, coarse in itertools.pairwise(widths)
        )

    @property
    def _layout(self) -> torch.memory_format:
        """Memory layout of the weights, which images are brought to."""
        channels_last = self.intro.weight.is_contiguous(memory_format=torch.channels_last)
        return torch.channels_last if channels_last else torch.contiguous_format

    def forward(self, x_t: Tensor, mu: Tensor | None, step: int | Tensor) -> Tensor:
        """Predict from a state.

        Parameters
        ----------
        x_t : Tensor, shape (B, C, H, W)
            State of the process, nominally in [0, 1] plus noise.
        mu : Tensor, shape (B, C, H, W), or None
            Degraded images; None is allowed, and anything ignored, in the denoising variant.
        step : int or Tensor of int64 or float, shape () or (B,)
            Step index in [1, T]; a single one holds for the whole batch.

        Returns
        -------
        Tensor, shape (B, C, H, W)
            The prediction, contiguous; standard normal noise in the authors' training.
        """
        x = stack_inputs(x_t, mu, self.conditional)
        height, width = x.shape[-2:]
        x = nn.functional.pad(x, (0, -width % self.multiple, 0, -height % self.multiple))
        x = x.contiguous(memory_format=self._layout)
        features = self.time_mlp(step, x)

        x = self.intro(x)
        skips = []
        for blocks, down in zip(self.encoders, self.downs, strict=True):
            x = blocks(x, features)
            skips.append(x)
            x = down(x)
        x = self.middle_blks(x, features)
        for blocks, up in zip(self.decoders, self.ups, strict=True):
            x = blocks(up(x, skips.pop()), features)
        prediction: Tensor = self.ending(x)
        return prediction[..., :height, :width].contiguous()
