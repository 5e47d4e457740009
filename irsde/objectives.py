"""What a network is trained on, and how its output is read: one record for each objective.

Importing this module does not import torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

if TYPE_CHECKING:
    from torch import Tensor

    from irsde.processes import GaussianProcess

Norm = Literal["l1", "l2"]


class Drawn(NamedTuple):
    """States x_t that a network is trained on, and what they are made of.

    All are of shape (B, C, H, W), but t: int64 of shape (B,), steps in [1, T].
    """

    x0: Tensor
    mu: Tensor
    noise: Tensor
    x_t: Tensor
    t: Tensor


@dataclass(frozen=True)
class Objective:
    """A training objective, and the prediction that it trains (docs/mathematics.md, 5).

    Parameters
    ----------
    label : str
        What the network predicts, in words.
    prediction : str
        Its name. Objectives of one prediction read it alike.
    error : callable (process, drawn, output) -> Tensor, shape (B, C, H, W)
        The output minus its target.
    read : callable (process, x_t, mu, output, t) -> (x0, noise)
        Estimates of the clean image and of the noise in the state, which agree with the state.
    is_noise : bool
        True if the output is a noise: there is none at the end of a bridge, and Euler samplers
        take it as the noise in the state.
    plain : str
        Prediction that the authors' code reads the output as, if another.
    residual : bool
        True if the network itself gives the difference from the degraded image.
    origin_weight : float, optional
        Weight of the error beside the consistency loss, which compares it with the error one step
        nearer to the clean image; None for an objective without that loss.
    """

    label: str
    prediction: str
    error: Callable[[GaussianProcess, Drawn, Tensor], Tensor]
    read: Callable[[GaussianProcess, Tensor, Tensor, Tensor, int], tuple[Tensor, Tensor]]
    is_noise: bool = False
    plain: str = ""
    residual: bool = False
    origin_weight: float | None = None

    def weight(self, process: GaussianProcess, t: Tensor) -> Tensor:
        """Factor of an error of the output in the loss, at steps of shape (B,): float64."""
        zero = t.double().reshape(-1, 1, 1, 1) * 0
        return self.error(process, Drawn(zero, zero, zero, zero, t), zero + 1).flatten().abs()


def _read_noise(
    process: GaussianProcess, x: Tensor, mu: Tensor, output: Tensor, t: int
) -> tuple[Tensor, Tensor]:
    return process.clean_from_noise(x, mu, output, t), output


def read_clean(
    process: GaussianProcess, x: Tensor, mu: Tensor, x0: Tensor, t: int
) -> tuple[Tensor, Tensor]:
    """A clean image and the noise that agrees with it: 0 where the state has none."""
    a, b, c = (float(table[t]) for table in (process.a, process.b, process.c))
    return x0, (x - a * x0 - b * mu) * (1 / c if c > 0 else 0.0)


def _consistent(process: GaussianProcess, x: Tensor, output: Tensor, t: Tensor | int) -> Tensor:
    """Consistency function of IR-CM: the state itself at step 0, the output at T."""
    import torch

    fractions = torch.linspace(0, 1, process.steps + 1, dtype=torch.float64)
    c_out = process.at(fractions, t, x).to(x.dtype)
    return (1 - c_out) * x + c_out * output


def _spread(process: GaussianProcess, t: Tensor | int, like: Tensor) -> Tensor:
    """Deviation of the noise that the forward SDE has added up to a step."""
    if process.diffusion is None:
        raise ValueError(f"the {process.name} has no SDE, whose spread the target is divided by")
    return process.at(process.diffusion, t, like).sqrt().to(like.dtype)


OBJECTIVES: dict[str, Objective] = {
    "noise": Objective(
        "the noise",
        "noise",
        error=lambda _, drawn, output: output - drawn.noise,
        read=_read_noise,
        is_noise=True,
    ),
    # Paper, Proposition 3.2: the mean of one Euler step of the reverse SDE with the predicted noise
    # against the mean of q(x_{t-1} | x_t, x0, mu). The true noise leaves a small error, the
    # process's `optimal_noise` none.
    "maximum-likelihood": Objective(
        "the noise of maximum likelihood",
        "optimal-noise",
        error=lambda process, d, output: (
            process.reverse_mean(d.x_t, d.mu, output, d.t, d.t - 1)
            - process.posterior(d.x_t, d.x0, d.mu, d.t, d.t - 1)[0]
        ),
        read=lambda process, x, mu, output, t: read_clean(
            process, x, mu, process.clean_from_optimal_noise(x, mu, output, t), t
        ),
        is_noise=True,
        plain="noise",
    ),
    "clean": Objective(
        "the clean image",
        "clean",
        error=lambda _, drawn, output: output - drawn.x0,
        read=read_clean,
        residual=True,
    ),
    # I2SB's own, arXiv 2302.05872: (x_t - x0) / sigma_t, sigma_t^2 the diffusion up to t.
    "distance": Objective(
        "the distance from the clean image, scaled",
        "distance",
        error=lambda process, d, output: output - (d.x_t - d.x0) / _spread(process, d.t, d.x0),
        read=lambda process, x, mu, output, t: read_clean(
            process, x, mu, x - _spread(process, t, x) * output, t
        ),
    ),
    # FoD's own, arXiv 2505.16733: what is still to go.
    "stochastic-flow": Objective(
        "the way from the state to the clean image",
        "stochastic-flow",
        error=lambda _, drawn, output: output - (drawn.x0 - drawn.x_t),
        read=lambda process, x, mu, output, t: read_clean(process, x, mu, x + output, t),
    ),
    # IR-CM, NeurIPS 2024, whose network gives the noise and whose weights start from IR-SDE's.
    "consistency": Objective(
        "the clean image at the end of the state's path",
        "consistency",
        error=lambda process, d, output: _consistent(process, d.x_t, output, d.t) - d.x0,
        read=lambda process, x, mu, output, t: read_clean(
            process, x, mu, _consistent(process, x, output, t), t
        ),
        residual=True,
        origin_weight=0.8,
    ),
    "velocity": Objective(
        "the velocity",
        "velocity",
        error=lambda process, d, output: output - process.velocity(d.x0, d.mu, d.noise, d.t),
        read=lambda process, x, mu, output, t: read_clean(
            process, x, mu, process.clean_from_velocity(x, mu, output, t), t
        ),
    ),
}


def objective_of(prediction: str) -> Objective:
    """The objective that trains a prediction: `Objective.prediction`.

    Raises
    ------
    ValueError
        If there is none; the message lists the predictions that exist.
    """
    known = {objective.prediction: objective for objective in OBJECTIVES.values()}
    if prediction not in known:
        raise ValueError(f"unknown prediction {prediction!r}: {', '.join(known)}")
    return known[prediction]


def per_image(error: Tensor, norm: Norm) -> Tensor:
    """Mean absolute ("l1") or squared ("l2") error of each image: (B, C, H, W) to (B,).

    Raises
    ------
    ValueError
        If the norm is another.
    """
    if norm not in get_args(Norm):
        raise ValueError(f"unknown norm {norm!r}: {', '.join(get_args(Norm))}")
    return (error.abs() if norm == "l1" else error.square()).flatten(1).mean(1)


def loss_per_image(
    objective: Objective,
    process: GaussianProcess,
    drawn: Drawn,
    output: Tensor,
    norm: Norm = "l1",
    nearer: Tensor | None = None,
) -> Tensor:
    """Loss of each image, shape (B,), unweighted as in the authors' configurations.

    `nearer` is the error of the same network one step nearer to the clean image, for objectives
    with a consistency loss.
    """
    error = objective.error(process, drawn, output)
    loss = per_image(error, norm)
    if objective.origin_weight is None or nearer is None:
        return loss
    return per_image(error - nearer, norm) + objective.origin_weight * loss


def largest_step(objective: Objective, process: GaussianProcess) -> int:
    """First step that sampling calls a network at, and the largest that it is trained at.

    T, but T - 1 for a bridge whose network predicts noise: its state at T is mu, without noise.
    """
    return process.steps - 1 if process.is_bridge and objective.is_noise else process.steps
