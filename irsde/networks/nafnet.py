"""ConditionalNAFNet, the network of Refusion; state-dict compatible with the authors' weights."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from irsde.networks.layers import LayerNorm2d, StepMLP, modulate, stack_inputs


class SimpleGate(nn.Module):
    """The first half of the channels times the second half."""

    def forward(self, x: Tensor) -> Tensor:
        """Gate x of shape (B, 2 C, ...): shape (B, C, ...)."""
        first, second = x.chunk(2, dim=1)
        return first * second


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
        modulation = self.mlp(step)[:, :, None, None].chunk(4, dim=1)
        shift_attention, scale_attention, shift_forward, scale_forward = modulation

        y = modulate(self.norm1(x), scale_attention, shift_attention)
        y = self.gate(self.conv2(self.conv1(y)))
        x = x + self.beta * self.conv3(y * self.sca(y))

        y = modulate(self.norm2(x), scale_forward, shift_forward)
        out: Tensor = x + self.gamma * self.conv5(self.gate(self.conv4(y)))
        return out


class NAFBlocks(nn.ModuleList):
    """The blocks of one level, one after the other."""

    def forward(self, x: Tensor, step: Tensor) -> Tensor:
        """Transform x of shape (B, C, H, W) given features of the step, (1 or B, features)."""
        for block in self:
            x = block(x, step)
        return x


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

    Computes in the channels-last memory format whatever that of the input is, because norms, gates
    and 1x1 convolutions work along the channels, which a CPU then does faster.

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
        self.ups = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(widths[level + 1], 2 * widths[level + 1], 1, bias=False),
                nn.PixelShuffle(2),
            )
            for level in upward
        )
        self.downs = nn.ModuleList(
            nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in itertools.pairwise(widths)
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
            x = blocks(up(x) + skips.pop(), features)
        prediction: Tensor = self.ending(x)
        return prediction[..., :height, :width].contiguous()
