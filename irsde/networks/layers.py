"""What both networks share: their input, the embedding of the step, the layer norm."""

import math

import torch
from torch import Tensor, nn


def stack_inputs(x_t: Tensor, mu: Tensor | None, conditional: bool) -> Tensor:
    """Stack the network's input: ``(x_t - mu, mu)`` on the channel axis, or x_t alone.

    Parameters
    ----------
    x_t : Tensor, shape (B, C, H, W)
        State of the process, nominally in [0, 1] plus noise; not scaled to [-1, 1].
    mu : Tensor, shape (B, C, H, W), or None
        Degraded images; ignored if not `conditional`.
    conditional : bool
        Whether the network sees mu.

    Returns
    -------
    Tensor, shape (B, 2 C, H, W) if `conditional`, else x_t itself

    Raises
    ------
    ValueError
        If `conditional` and mu is missing.
    """
    if not conditional:
        return x_t
    if mu is None:
        raise ValueError("a conditional network needs the degraded image mu")
    return torch.cat((x_t - mu, mu), dim=1)


def step_as_tensor(step: int | Tensor, like: Tensor) -> Tensor:
    """Put the step on the device of `like`, in floating point, of shape (1,) or (B,).

    A half-precision `like` gets a float32 step: bfloat16 cannot tell step 257 from 258.

    Parameters
    ----------
    step : int or Tensor of int64 or float, shape () or (B,)
        Step index in [1, T].
    like : Tensor
        The network's input.

    Returns
    -------
    Tensor, shape (1,) or (B,)
        float64 if `like` is, else float32. Shape (1,) broadcasts over the batch.
    """
    dtype = torch.promote_types(like.dtype, torch.float32)
    if isinstance(step, Tensor):
        return step.to(like.device, dtype).reshape(-1)
    # not as_tensor, with which torch.compile would compile again for each integer
    return torch.full((1,), step, dtype=dtype, device=like.device)


class SinusoidalEmbedding(nn.Module):
    """Sines, then cosines, of the step at geometric frequencies from 1 to 1/10000.

    Parameters
    ----------
    dim : int
        Size of the embedding; even, at least 4.

    References
    ----------
    .. [1] The authors' code of IR-SDE: frequencies ``exp(-k ln(10000) / (dim / 2 - 1))``.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        if dim < 4 or dim % 2:
            raise ValueError(f"the width must be even and at least 4, got {dim}")
        self.dim = dim

    def forward(self, step: Tensor) -> Tensor:
        """Embed steps of shape (B,): shape (B, dim), in [-1, 1], float32 or float64 as `step`."""
        half = self.dim // 2
        exponents = torch.arange(half, device=step.device) * (-math.log(10000) / (half - 1))
        angles = step[:, None] * exponents.exp()
        return torch.cat((angles.sin(), angles.cos()), dim=1)


class StepMLP(nn.ModuleList):
    """The sinusoidal embedding of the step followed by two linear layers.

    Parameters
    ----------
    hidden : Linear
        First layer; its input is the embedding.
    activation : Module
        Between the two.
    output : Linear
        Second layer.
    """

    def __init__(self, hidden: nn.Linear, activation: nn.Module, output: nn.Linear) -> None:
        super().__init__([SinusoidalEmbedding(hidden.in_features), hidden, activation, output])

    def forward(self, step: int | Tensor, like: Tensor) -> Tensor:
        """Features of the step in the dtype of `like`: (1, features) or (B, features)."""
        embedding, *layers = self
        features: Tensor = embedding(step_as_tensor(step, like)).to(like.dtype)
        for layer in layers:
            features = layer(features)
        return features


class LayerNorm2d(nn.Module):
    """Layer norm over the channels of each pixel, with a gain and no bias.

    The constant under the root is 1e-5 for float32 weights and **1e-3 for any other dtype**,
    float64 included: that is what the authors' code does, so a network run in double or half
    precision differs from its float32 self by more than rounding. Autocast leaves weights in
    float32, so a network trained in mixed precision is the one that is evaluated in float32.

    Parameters
    ----------
    channels : int
        Number of channels C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(1, channels, 1, 1))

    @property
    def eps(self) -> float:
        """Constant under the root."""
        return 1e-5 if self.g.dtype == torch.float32 else 1e-3

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x of shape (B, C, H, W) over C; the memory format is kept."""
        channels_last = x.is_contiguous(memory_format=torch.channels_last)
        memory_format = torch.channels_last if channels_last else torch.contiguous_format
        # one fused kernel, about twice as fast on a CPU as var_mean on the channel axis
        x = x.permute(0, 2, 3, 1)
        x = nn.functional.layer_norm(x, x.shape[3:], self.g.flatten(), eps=self.eps)
        return x.permute(0, 3, 1, 2).contiguous(memory_format=memory_format)
