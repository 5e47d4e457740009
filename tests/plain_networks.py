"""The networks and the restoration written the usual way, as the authors' code has them.

What the project's own are compared with: for equal numbers by tests, for speed by benchmarks. The
parameters are those of a network of the project.
"""

import torch
from torch import nn

from irsde.networks.layers import LayerNorm2d
from irsde.networks.unet import HEAD_DIM, HEADS, HIDDEN, LinearAttention


def layer_norm(x, gain):
    """Layer norm over the channels as the authors write it."""
    eps = 1e-5 if x.dtype == torch.float32 else 1e-3
    variance = torch.var(x, dim=1, unbiased=False, keepdim=True)
    mean = torch.mean(x, dim=1, keepdim=True)
    return (x - mean) * (variance + eps).rsqrt() * gain


def fused_layer_norm(x, gain):
    """The same by PyTorch's kernel, in the memory layout of x."""
    layout = (
        torch.channels_last
        if x.is_contiguous(memory_format=torch.channels_last)
        else torch.contiguous_format
    )
    eps = 1e-5 if gain.dtype == torch.float32 else 1e-3
    y = nn.functional.layer_norm(x.permute(0, 2, 3, 1), gain.shape[1:2], gain.flatten(), eps=eps)
    return y.permute(0, 3, 1, 2).contiguous(memory_format=layout)


def gate(x):
    first, second = x.chunk(2, dim=1)
    return first * second


def plain_block(block, x, step, norm):
    """A NAFBlock of convolutions."""
    shift_attention, scale_attention, shift_forward, scale_forward = block.mlp(step)[
        :, :, None, None
    ].chunk(4, dim=1)
    y = norm(x, block.norm1.g) * (scale_attention + 1) + shift_attention
    y = gate(block.conv2(block.conv1(y)))
    x = x + block.conv3(y * block.sca(y)) * block.beta
    y = norm(x, block.norm2.g) * (scale_forward + 1) + shift_forward
    return x + block.conv5(gate(block.conv4(y))) * block.gamma


class PlainNAFNet(nn.Module):
    """The NAFNet of convolutions, in the memory layout that its input has.

    With `fused_layer_norm` and channels last it is what this project computed up to d51f656.
    """

    def __init__(self, network, norm=layer_norm):
        super().__init__()
        self.network, self.norm = network, norm

    def forward(self, x_t, mu, t):
        network = self.network
        x = torch.cat([x_t - mu, mu], dim=1) if network.conditional else x_t
        height, width = x.shape[-2:]
        x = nn.functional.pad(x, (0, -width % network.multiple, 0, -height % network.multiple))
        features = network.time_mlp(t, x)

        def through(blocks, x):
            for block in blocks:
                x = plain_block(block, x, features, self.norm)
            return x

        x = network.intro(x)
        skips = []
        for blocks, down in zip(network.encoders, network.downs, strict=True):
            x = through(blocks, x)
            skips.append(x)
            x = nn.functional.conv2d(x, down.weight, down.bias, stride=2)
        x = through(network.middle_blks, x)
        for blocks, up in zip(network.decoders, network.ups, strict=True):
            x = through(blocks, nn.functional.pixel_shuffle(up[0](x), 2) + skips.pop())
        return network.ending(x)[..., :height, :width]


class PlainLayerNorm(nn.Module):
    """The authors' layer norm with the gain of one of the project's."""

    def __init__(self, norm):
        super().__init__()
        self.g = norm.g

    def forward(self, x):
        return layer_norm(x, self.g)


class PlainAttention(nn.Module):
    """The authors' linear attention, by einsum."""

    def __init__(self, attention):
        super().__init__()
        self.to_qkv, self.to_out = attention.to_qkv, attention.to_out

    def forward(self, x):
        batch, _, height, width = x.shape
        queries, keys, values = (
            part.reshape(batch, HEADS, HEAD_DIM, -1) for part in self.to_qkv(x).chunk(3, dim=1)
        )
        queries = queries.softmax(dim=-2) * HEAD_DIM**-0.5
        keys = keys.softmax(dim=-1)
        values = values / (height * width)
        context = torch.einsum("b h d n, b h e n -> b h d e", keys, values)
        out = torch.einsum("b h d e, b h d n -> b h e n", context, queries)
        return self.to_out(out.reshape(batch, HIDDEN, height, width))


def plain_unet(network):
    """Turn layer norms and attentions of a U-Net into the authors', in place."""
    replacements = {LayerNorm2d: PlainLayerNorm, LinearAttention: PlainAttention}
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if type(child) in replacements:
                setattr(module, name, replacements[type(child)](child))
    return network


def plain_restoration(process, network, x, mu, noise=torch.randn_like):
    """Posterior sampling in all steps as the authors do it: tables on the device, a step at a time.

    Of a mean-reverting process, by a network that predicts the noise.
    """
    integral = -process.log_a.to(x.device, torch.float32)
    theta = torch.diff(integral, prepend=integral[:1])
    scale = torch.tensor(process.start_std, device=x.device)
    std = (scale**2 * (1 - torch.exp(-2 * integral))).sqrt()
    for t in reversed(range(1, process.steps + 1)):
        predicted = network(x, mu, t)
        x0 = torch.exp(integral[t]) * (x - mu - std[t] * predicted) + mu
        a, b, c = (
            torch.exp(-table[k]) for table, k in ((theta, t), (integral, t), (integral, t - 1))
        )
        on_x, on_x0 = a * (1 - c**2) / (1 - b**2), c * (1 - a**2) / (1 - b**2)
        mean = on_x * (x - mu) + on_x0 * (x0 - mu) + mu
        variance = (1 - a**2) * (1 - c**2) / (1 - b**2)
        deviation = (0.5 * torch.log(torch.clamp(variance, min=1e-20))).exp() * scale
        x = mean + deviation * noise(x)
    return x
