"""What a network is trained on: one loss per image from a state, its truth and a prediction.

All objectives have one signature, and each says how the network's output is to be read by a
sampler (`Objective.prediction`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

from irsde.processes import GaussianProcess
from irsde.samplers import Prediction, first_evaluation

Norm = Literal["l1", "l2"]
Target = Callable[[GaussianProcess, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


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


def noise_error(
    process: GaussianProcess,  # noqa: ARG001 (one signature for all objectives)
    x0: Tensor,  # noqa: ARG001
    mu: Tensor,  # noqa: ARG001
    noise: Tensor,
    x_t: Tensor,  # noqa: ARG001
    t: Tensor,  # noqa: ARG001
    output: Tensor,
) -> Tensor:
    """Noise matching: the output minus the noise in the state (docs/mathematics.md, 5)."""
    return output - noise


def maximum_likelihood_error(
    process: GaussianProcess,
    x0: Tensor,
    mu: Tensor,
    noise: Tensor,  # noqa: ARG001
    x_t: Tensor,
    t: Tensor,
    output: Tensor,
) -> Tensor:
    """Maximum likelihood: one-step reverse mean minus the optimal reverse state.

    The paper's objective J (Proposition 3.2): the mean of the Euler step of the reverse SDE with
    the predicted noise, against the mean of q(x_{t-1} | x_t, x0, mu). With the true noise it is
    small but not zero; the noise that makes it zero is `GaussianProcess.optimal_noise`.
    """
    target, _ = process.posterior(x_t, x0, mu, t, t - 1)
    return process.reverse_mean(x_t, mu, output, t, t - 1) - target


def clean_error(
    process: GaussianProcess,  # noqa: ARG001
    x0: Tensor,
    mu: Tensor,  # noqa: ARG001
    noise: Tensor,  # noqa: ARG001
    x_t: Tensor,  # noqa: ARG001
    t: Tensor,  # noqa: ARG001
    output: Tensor,
) -> Tensor:
    """Clean-image matching: the output minus x0."""
    return output - x0


def velocity_error(
    process: GaussianProcess,
    x0: Tensor,
    mu: Tensor,
    noise: Tensor,
    x_t: Tensor,  # noqa: ARG001
    t: Tensor,
    output: Tensor,
) -> Tensor:
    """Velocity matching: the output minus ``a' x0 + b' mu + c' noise``."""
    return output - process.velocity(x0, mu, noise, t)


@dataclass(frozen=True)
class Objective:
    """A training objective.

    Parameters
    ----------
    label : str
        Name in tables.
    error : callable
        (process, x0, mu, noise, x_t, t, output) -> error of shape (B, C, H, W).
    prediction : {"noise", "optimal-noise", "clean", "velocity"}
        What a network trained on it predicts.
    """

    label: str
    error: Target
    prediction: Prediction


def loss_per_image(
    objective: Objective,
    process: GaussianProcess,
    x0: Tensor,
    mu: Tensor,
    noise: Tensor,
    x_t: Tensor,
    t: Tensor,
    output: Tensor,
    norm: Norm = "l1",
) -> Tensor:
    """Loss of each image, unweighted as in the authors' configurations.

    Parameters
    ----------
    objective : Objective
        One of `OBJECTIVES`.
    process : GaussianProcess
    x0, mu, noise, x_t, output : Tensor, shape (B, C, H, W)
        Clean and degraded images, the noise that was drawn, the state
        ``process.sample(x0, mu, t, noise)`` and the network's output there.
    t : Tensor of int64, shape (B,)
        Steps in [1, T].
    norm : {"l1", "l2"}

    Returns
    -------
    Tensor, shape (B,)
    """
    return per_image(objective.error(process, x0, mu, noise, x_t, t, output), norm)


def largest_step(objective: Objective, process: GaussianProcess) -> int:
    """Largest step a training state may be drawn at: where sampling first calls the network."""
    return first_evaluation(process, objective.prediction)


OBJECTIVES: dict[str, Objective] = {
    "noise": Objective("noise matching", noise_error, "noise"),
    "maximum-likelihood": Objective(
        "maximum likelihood", maximum_likelihood_error, "optimal-noise"
    ),
    "clean": Objective("clean image", clean_error, "clean"),
    "velocity": Objective("velocity", velocity_error, "velocity"),
}
