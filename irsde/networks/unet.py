"""ConditionalUNet, the network of IR-SDE; state-dict compatible with the authors' weights."""

import itertools
from collections import OrderedDict

import torch
from torch import Tensor, nn

from irsde.networks.layers import LayerNorm2d, StepMLP, stack_inputs

HEADS, HEAD_DIM = 4, 32
HIDDEN = HEADS * HEAD_DIM


def reflected(size: int, multiple: int, device: torch.device) -> Tensor:
    """Index an axis so that reflection, repeated as needed, extends it to a multiple."""
    index = torch.arange(size + -size % multiple, device=device)
    period = max(2 * (size - 1), 1)
    index = index % period
    return torch.minimum(index, period - index)


def pad_by_reflection(x: Tensor, multiple: int) -> Tensor:
    """Pad images at the right and the bottom to a multiple, by reflection without the edge.

    Parameters
    ----------
    x : Tensor, shape (B, C, H, W)
        Images of at least one pixel.
    multiple : int
        What height and width shall be multiples of.

    Returns
    -------
    Tensor, shape (B, C, H', W')
        As `torch.nn.functional.pad` with ``mode="reflect"`` where that is defined. Where the
        padding is not smaller than the image the reflection is repeated, and a single row or
        column is repeated as it is.
    """
    height, width = x.shape[-2:]
    if height % multiple:
        x = x.index_select(-2, reflected(height, multiple, x.device))
    if width % multiple:
        x = x.index_select(-1, reflected(width, multiple, x.device))
    return x


def conv3x3(in_channels: int, out_channels: int) -> nn.Conv2d:
    """Convolution that keeps the size of the image, without bias."""
    return nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)


class ResBlock(nn.Module):
    """Two convolutions, the first scaled and shifted by the step, with a skip; no norm.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of input and output; the skip is a 1x1 convolution if they differ.
    step_features : int
        Number of features of the step.
    """

    def __init__(self, in_channels: int, out_channels: int, step_features: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(step_features, 2 * out_channels))
        # one layer each: the authors' weights are named block1.proj and block2.proj
        self.block1 = nn.Sequential(OrderedDict(proj=conv3x3(in_channels, out_channels)))
        self.block2 = nn.Sequential(OrderedDict(proj=conv3x3(out_channels, out_channels)))
        self.res_conv = (
            nn.Identity()
            if in_channels == out_channels
            else nn.Conv2d(in_channels, out_channels, 1, bias=False)
        )

    def forward(self, x: Tensor, step: Tensor) -> Tensor:
        """Transform x of shape (B, C, H, W) given features of the step, (1 or B, features)."""
        scale, shift = self.mlp(step)[:, :, None, None].chunk(2, dim=1)
        y = nn.functional.silu(self.block1(x) * (scale + 1) + shift)
        out: Tensor = nn.functional.silu(self.block2(y)) + self.res_conv(x)
        return out


def queries_keys_values(qkv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Split (B, 3 x HIDDEN, H, W) into three of shape (B, HEADS, HEAD_DIM, H W)."""
    queries, keys, values = qkv.reshape(len(qkv), 3, HEADS, HEAD_DIM, -1).unbind(1)
    return queries, keys, values


class LinearAttention(nn.Module):
    """Attention whose cost is linear in the number of pixels, followed by a layer norm.

    Parameters
    ----------
    channels : int
        Channels of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.to_qkv = nn.Conv2d(channels, 3 * HIDDEN, 1, bias=False)
        self.to_out = nn.Sequential(nn.Conv2d(HIDDEN, channels, 1), LayerNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Attend over the pixels of x of shape (B, C, H, W)."""
        queries, keys, values = queries_keys_values(self.to_qkv(x))
        queries = queries.softmax(dim=2)  # over features
        keys = keys.softmax(dim=3)  # over pixels
        context = values @ keys.transpose(2, 3)  # (B, HEADS, HEAD_DIM, HEAD_DIM)
        # the authors divide queries and values; here it costs nothing
        context = context * (HEAD_DIM**-0.5 / values.shape[3])
        attended = context @ queries
        out: Tensor = self.to_out(attended.reshape(len(x), HIDDEN, *x.shape[2:]))
        return out


class SoftmaxAttention(nn.Module):
    """Full softmax attention over all pairs of pixels.

    Parameters
    ----------
    channels : int
        Channels of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.to_qkv = nn.Conv2d(channels, 3 * HIDDEN, 1, bias=False)
        self.to_out = nn.Conv2d(HIDDEN, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Attend over the pixels of x of shape (B, C, H, W)."""
        queries, keys, values = (
            part.transpose(2, 3) for part in queries_keys_values(self.to_qkv(x))
        )
        attended = nn.functional.scaled_dot_product_attention(queries, keys, values)
        attended = attended.transpose(2, 3).reshape(len(x), HIDDEN, *x.shape[2:])
        out: Tensor = self.to_out(attended)
        return out


class PreNorm(nn.Module):
    """A layer norm before a module.

    Parameters
    ----------
    channels : int
        Channels of the input.
    fn : Module
        What is applied to the normalized input.
    """

    def __init__(self, channels: int, fn: nn.Module) -> None:
        super().__init__()
        self.fn = fn
        self.norm = LayerNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the module to the normalized x."""
        out: Tensor = self.fn(self.norm(x))
        return out


class Residual(nn.Module):
    """A module plus its input.

    Parameters
    ----------
    fn : Module
        What is added to its own input.
    """

    def __init__(self, fn: nn.Module) -> None:
        super().__init__()
        self.fn = fn

    def forward(self, x: Tensor) -> Tensor:
        """Apply the module to x and add x."""
        out: Tensor = self.fn(x) + x
        return out


def attention(channels: int, kind: type[LinearAttention] | type[SoftmaxAttention]) -> Residual:
    """Residual attention on normalized input."""
    return Residual(PreNorm(channels, kind(channels)))


class DownLevel(nn.ModuleList):
    """A level on the way down: two ResBlocks, attention, and what makes it coarser.

    Parameters
    ----------
    fine, coarse : int
        Channels of input and output.
    step_features : int
        Number of features of the step.
    halves : bool
        Whether height and width are halved.
    """

    def __init__(self, fine: int, coarse: int, step_features: int, halves: bool) -> None:
        super().__init__(
            [
                ResBlock(fine, fine, step_features),
                ResBlock(fine, fine, step_features),
                attention(fine, LinearAttention),
                nn.Conv2d(fine, coarse, 4, stride=2, padding=1)
                if halves
                else conv3x3(fine, coarse),
            ]
        )

    def forward(self, x: Tensor, step: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Skip of the first block, skip of the attention, and the coarser x."""
        block1, block2, attend, down = self
        first = block1(x, step)
        second = attend(block2(first, step))
        return first, second, down(second)


class UpLevel(nn.ModuleList):
    """A level on the way up: two ResBlocks with skips, attention, and what makes it finer.

    Parameters
    ----------
    coarse, fine : int
        Channels of input and output; the skips have as many as the output.
    step_features : int
        Number of features of the step.
    doubles : bool
        Whether height and width are doubled.
    """

    def __init__(self, coarse: int, fine: int, step_features: int, doubles: bool) -> None:
        super().__init__(
            [
                ResBlock(coarse + fine, coarse, step_features),
                ResBlock(coarse + fine, coarse, step_features),
                attention(coarse, LinearAttention),
                nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(coarse, fine, 3, padding=1))
                if doubles
                else conv3x3(coarse, fine),
            ]
        )

    def forward(self, x: Tensor, step: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Finer x, given the two skips of the level in the order `DownLevel` returns them."""
        block1, block2, attend, up = self
        x = block1(torch.cat((x, second), dim=1), step)
        x = block2(torch.cat((x, first), dim=1), step)
        finer: Tensor = up(attend(x))
        return finer


class ConditionalUNet(nn.Module):
    """U-Net with attention at each level that predicts from a state, the image mu and the step.

    Parameters
    ----------
    in_nc : int
        Channels of the state and of the degraded image.
    out_nc : int
        Channels of the prediction.
    nf : int
        Channels of the first level, doubled at each further one; even, at least 4.
    depth : int
        Number of levels. All but the last halve the image.
    conditional : bool
        False for the denoising variant, which sees the state and the step only and has full
        softmax attention in the middle.

    Notes
    -----
    Images of any size: they are padded by reflection at the right and the bottom to a multiple of
    ``2**depth``, and the output is cropped. Where the image is too small for one reflection it is
    reflected repeatedly, and a single row or column is repeated; the authors' code stops there.

    References
    ----------
    .. [1] Luo et al., "Image Restoration with Mean-Reverting Stochastic Differential Equations",
       ICML 2023, and the authors' code.
    """

    def __init__(
        self,
        in_nc: int = 3,
        out_nc: int = 3,
        nf: int = 64,
        depth: int = 4,
        conditional: bool = True,
    ) -> None:
        super().__init__()
        self.conditional = conditional
        self.multiple = 2**depth
        features = 4 * nf
        self.init_conv = nn.Conv2d(
            2 * in_nc if conditional else in_nc, nf, 7, padding=3, bias=False
        )
        self.time_mlp = StepMLP(nn.Linear(nf, features), nn.GELU(), nn.Linear(features, features))

        # the order of registration is that of the authors' weights
        widths = [nf * 2**level for level in range(depth + 1)]
        pairs = list(itertools.pairwise(widths))
        self.downs = nn.ModuleList(
            DownLevel(fine, coarse, features, halves=coarse < widths[-1]) for fine, coarse in pairs
        )
        self.ups = nn.ModuleList(
            UpLevel(coarse, fine, features, doubles=fine > nf) for fine, coarse in reversed(pairs)
        )
        middle = widths[-1]
        self.mid_block1 = ResBlock(middle, middle, features)
        self.mid_attn = attention(middle, LinearAttention if conditional else SoftmaxAttention)
        self.mid_block2 = ResBlock(middle, middle, features)
        self.final_res_block = ResBlock(2 * nf, nf, features)
        self.final_conv = nn.Conv2d(nf, out_nc, 3, padding=1)

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
        Tensor, shape (B, out_nc, H, W)
            The prediction, contiguous; standard normal noise in the authors' training.
        """
        x = stack_inputs(x_t, mu, self.conditional)
        height, nf = x.shape[-2:]
        x = pad_by_reflection(x, self.multiple)
        features = self.time_mlp(step, x)

        x = start = self.init_conv(x)
        skips = []
        for down in self.downs:
            first, second, x = down(x, features)
            skips.append((first, second))
        x = self.mid_block2(self.mid_attn(self.mid_block1(x, features)), features)
        for up in self.ups:
            x = up(x, features, *skips.pop())
        x = self.final_res_block(torch.cat((x, start), dim=1), features)
        prediction: Tensor = self.final_conv(x)
        return prediction[..., :height, :nf].contiguous()
