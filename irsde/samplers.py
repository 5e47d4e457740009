"""Solvers of the reverse process, as generators over states, and the step grids they run on.

A sampler never sees a progress bar, a file or a random seed of its own: the network, the noise
and the grid are arguments, and whoever wants to watch iterates over `trajectory`.
"""

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor

from irsde.processes import GaussianProcess

Kind = Literal["euler", "posterior", "deterministic", "exponential"]
Grid = Literal["uniform", "quadratic", "log-snr"]
Prediction = Literal["noise", "optimal-noise", "clean", "velocity"]
Network = Callable[[Tensor, Tensor, int], Tensor]
Noise = Callable[[int, torch.Size], Tensor]
NoiseSource = torch.Generator | Callable[[torch.Size], Tensor]

GRIDS: tuple[Grid, ...] = get_args(Grid)
PREDICTIONS: tuple[Prediction, ...] = get_args(Prediction)
FEW_STEPS = 10  # below which MaRS makes the last step before the clean image one of order 1


@dataclass(frozen=True)
class State:
    """A state on the way from T to 0.

    Parameters
    ----------
    step : int
        Step of the state; 0 is the restored image.
    x : Tensor, shape (B, C, H, W)
        The state.
    nfe : int
        Network evaluations spent so far, counted.
    """

    step: int
    x: Tensor
    nfe: int


def step_grid(
    process: GaussianProcess, nfe: int, grid: Grid = "uniform", start: int | None = None
) -> list[int]:
    """Steps that a solver visits, from the start down to 0.

    Parameters
    ----------
    process : GaussianProcess
    nfe : int
        Number of solver steps, from 1 to the start.
    grid : {"uniform", "quadratic", "log-snr"}
        Uniform in t; uniform in the square root of t, dense near the clean image; uniform in
        ``log(a_t / c_t)`` down to step 1, then 0.
    start : int, optional
        First step, T unless given.

    Returns
    -------
    list of int, length nfe + 1
        Strictly falling. Positions are rounded to the trained steps, and where two fall on the
        same step the nearest free one is taken, so that there are always `nfe` distinct steps.

    Raises
    ------
    ValueError
        If the grid is unknown or `nfe` does not lie between 1 and the start.

    Examples
    --------
    >>> from irsde.processes import mean_reverting
    >>> step_grid(mean_reverting(steps=100), 5)
    [100, 80, 60, 40, 20, 0]
    """
    first = process.steps if start is None else start
    if not 1 <= first <= process.steps:
        raise ValueError(f"the start must lie in [1, {process.steps}], not {first}")
    if not 1 <= nfe <= first:
        raise ValueError(f"{nfe} steps do not fit between {first} and 0: give 1 to {first}")
    if grid == "uniform":
        positions = torch.linspace(0, first, nfe + 1, dtype=torch.float64)
    elif grid == "quadratic":
        positions = first * torch.linspace(0, 1, nfe + 1, dtype=torch.float64) ** 2
    elif grid == "log-snr":
        positions = _log_snr_positions(process, nfe, first)
    else:
        raise ValueError(f"unknown grid {grid!r}: {', '.join(GRIDS)}")
    steps = [round(position) for position in positions.tolist()]
    for i in range(1, nfe + 1):
        steps[i] = max(steps[i], steps[i - 1] + 1)
    steps[nfe] = first
    for i in range(nfe - 1, 0, -1):
        steps[i] = min(steps[i], steps[i + 1] - 1)
    return steps[::-1]


def first_evaluation(process: GaussianProcess, prediction: Prediction) -> int:
    """First step that the network is called at, and so the most evaluations there can be.

    T, but T - 1 for a bridge whose network predicts noise: its state at T is mu, without noise.
    """
    predicts_noise = prediction in ("noise", "optimal-noise")
    return process.steps - 1 if process.is_bridge and predicts_noise else process.steps


def _log_snr_positions(process: GaussianProcess, nfe: int, first: int) -> Tensor:
    """Fractional steps, rising from 0, uniform in the half log-SNR between step 1 and `first`."""
    has_end = float(process.a[first]) > 0 and float(process.c[first]) > 0
    last_noisy = first if has_end else first - 1
    half_log_snr = process.log_a[1 : last_noisy + 1] - torch.log(process.c[1 : last_noisy + 1])
    n_noisy = nfe - 1 if last_noisy < first else nfe
    zero, end = torch.zeros(1, dtype=torch.float64), torch.tensor([float(first)]).double()
    if n_noisy < 1 or last_noisy < 1:
        return torch.cat([zero, end])
    levels = torch.linspace(
        float(half_log_snr[0]), float(half_log_snr[-1]), max(n_noisy, 2), dtype=torch.float64
    )
    index = torch.searchsorted(-half_log_snr, -levels).clamp(1, len(half_log_snr) - 1)
    upper, lower = half_log_snr[index], half_log_snr[index - 1]
    inner = index + 1 - (levels - upper) / (lower - upper)
    inner = inner[-1:] if n_noisy == 1 else inner
    if last_noisy == 1:  # one level alone, between which and itself nothing can be laid out
        inner = torch.ones(n_noisy, dtype=torch.float64)
    return torch.cat([zero, inner] if last_noisy == first else [zero, inner, end])


def _clean_and_noise(
    process: GaussianProcess, prediction: Prediction, output: Tensor, x: Tensor, mu: Tensor, t: int
) -> tuple[Tensor, Tensor]:
    """Clean image and noise that a network output stands for; they agree with the state."""
    a, b, c = (float(table[t]) for table in (process.a, process.b, process.c))
    if prediction == "noise":
        return process.clean_from_noise(x, mu, output, t), output
    if prediction == "clean":
        clean = output
    elif prediction == "optimal-noise":
        clean = process.clean_from_optimal_noise(x, mu, output, t)
    else:
        clean = process.clean_from_velocity(x, mu, output, t)
    return clean, (x - a * clean - b * mu) * (1 / c if c > 0 else 0.0)


@dataclass(frozen=True)
class _Step:
    """What a solver may use for one step from t to s."""

    process: GaussianProcess
    t: int
    s: int
    x: Tensor
    mu: Tensor
    clean: Tensor
    noise: Tensor
    draw: Callable[[], Tensor]


def _euler(step: _Step, *, stochastic: bool, flow: bool) -> Tensor:
    """One Euler step of the reverse SDE or of the probability-flow ODE (paper, section 3)."""
    on_x, on_mu, on_noise, std = step.process.reverse_step_coefficients(
        step.t, step.s, step.x, probability_flow=flow
    )
    x = float(on_x) * step.x + float(on_mu) * step.mu + float(on_noise) * step.noise
    return x - float(std) * step.draw() if stochastic else x


def _affine(step: _Step, rho: float, tau: float) -> Tensor:
    """The one step function (docs/mathematics.md, 4.1)."""
    p = step.process
    x = rho * step.x
    x = x + (float(p.a[step.s]) - rho * float(p.a[step.t])) * step.clean
    x = x + (float(p.b[step.s]) - rho * float(p.b[step.t])) * step.mu
    return x + tau * step.draw() if tau > 0 else x


def _posterior(step: _Step) -> Tensor:
    rho, _, _, std = step.process.posterior_coefficients(step.t, step.s, step.x)
    return _affine(step, float(rho), float(std))


def _deterministic(step: _Step) -> Tensor:
    return _affine(step, float(step.process.c[step.s]) / float(step.process.c[step.t]), 0.0)


def _exponential(
    step: _Step, previous: tuple[float, Tensor] | None, *, stochastic: bool, data: bool
) -> Tensor:
    """Exponential integrator in the half log-SNR l (docs/mathematics.md, 4.3).

    `previous` is l and the prediction of the step before, given for order 2.
    """
    p, t, s = step.process, step.t, step.s
    a_t, b_t, c_t = float(p.a[t]), float(p.b[t]), float(p.c[t])
    a_s, b_s, c_s = float(p.a[s]), float(p.b[s]), float(p.c[s])
    l_t = float(p.log_a[t]) - math.log(c_t)
    h = float(p.log_a[s]) - math.log(c_s) - l_t
    prediction = step.clean if data else step.noise
    y = step.x - b_t * step.mu
    if data:
        decay = c_s / c_t * math.exp(-h if stochastic else 0.0)
        first = a_s * -math.expm1(-2 * h if stochastic else -h)
        second = a_s * (h + (math.expm1(-2 * h) / 2 if stochastic else math.expm1(-h)))
        std = c_s * math.sqrt(-math.expm1(-2 * h)) if stochastic else 0.0
    else:
        factor = 2 if stochastic else 1
        decay = a_s / a_t
        first = -factor * c_s * math.expm1(h)
        second = -factor * c_s * (math.expm1(h) - h)
        std = c_s * math.sqrt(math.expm1(2 * h)) if stochastic else 0.0
    x = b_s * step.mu + decay * y + first * prediction
    if previous is not None:
        l_p, earlier = previous
        x = x + (second / (l_t - l_p)) * (prediction - earlier)
    return x + std * step.draw() if stochastic else x


@dataclass(frozen=True)
class Sampler:
    """A solver of the reverse process.

    Parameters
    ----------
    label : str
        Name in tables and figures.
    kind : {"euler", "posterior", "deterministic", "exponential"}
        Update rule.
    stochastic : bool
        True if it draws noise on the way.
    flow : bool
        True if an Euler sampler follows the probability-flow ODE, which has half the score;
        False for the reverse SDE, whose noise is left out where `stochastic` is False.
    order : int
        Order of convergence (in law, for stochastic samplers).
    data : bool
        True if an exponential integrator extrapolates the clean image, False the noise.
    source : str
        Where it comes from.
    """

    label: str
    kind: Kind
    stochastic: bool
    flow: bool = False
    order: int = 1
    data: bool = False
    source: str = ""

    def __post_init__(self) -> None:
        """Refuse an unknown kind, and fields that have no effect on the kind."""
        allowed = {
            "euler": self.order == 1 and not self.data and not (self.flow and self.stochastic),
            "posterior": self.order == 1 and not self.data and not self.flow and self.stochastic,
            "deterministic": self.order == 1 and not (self.data or self.flow or self.stochastic),
            "exponential": self.order in (1, 2) and not self.flow,
        }
        if self.kind not in allowed:
            raise ValueError(f"{self.label}: kind {self.kind!r} is none of {', '.join(allowed)}")
        if not allowed[self.kind]:
            raise ValueError(f"{self.label}: its fields are not those of kind {self.kind!r}")

    @property
    def is_mean_ode(self) -> bool:
        """True if it is the reverse SDE with the noise left out."""
        return self.kind == "euler" and not self.stochastic and not self.flow

    def refusal(self, process: GaussianProcess) -> str | None:
        """Why the sampler cannot be used with a process, or None if it can."""
        if self.kind == "euler" and process.diffusion is None:
            return f"{self.label} needs an SDE, which the {process.name} does not define"
        if self.is_mean_ode and not process.is_bridge:
            return f"{self.label} is defined for bridges, unlike the {process.name}"
        if self.kind == "exponential" and not self.data and 0 == process.a[-1] < process.c[-1]:
            return (
                f"{self.label} extrapolates the noise, but the {process.name} ends without a "
                "trace of the clean image: use the data variant"
            )
        if self.kind == "exponential" and self.stochastic and not torch.equal(process.g, process.a):
            return (
                f"{self.label} needs a forward SDE whose drift does not look at the clean image, "
                f"unlike the {process.name}"
            )
        return None


def trajectory(
    process: GaussianProcess,
    network: Network,
    x_T: Tensor,  # noqa: N803 (the paper's symbol)
    mu: Tensor,
    sampler: str = "posterior",
    nfe: int = 100,
    grid: Grid = "uniform",
    prediction: Prediction = "noise",
    noise: Noise | None = None,
    generators: Sequence[NoiseSource] | None = None,
    start: int | None = None,
    clean_range: tuple[float, float] | None = None,
) -> Iterator[State]:
    """States from x_T to the restored image; the arguments are those of `sample`.

    Yields
    ------
    State
        ``nfe + 1`` of them, the first being the start; one more for a bridge and predicted noise.

    Notes
    -----
    Every sampler but the two Euler ones returns the estimate of the clean image at its last
    step. Euler-Maruyama adds noise there too, as the paper's code does: a residual of
    ``sigma_1 sqrt(dt)``. The first step of a bridge, whose start holds no noise, is drawn from
    the marginal (docs/mathematics.md, 3); where the network predicts noise, of which that start
    has none, the state at T - 1 is drawn about mu without a network evaluation, an error of
    ``a_{T-1} (x0 - mu)``, and the solver starts there (docs/mathematics.md, 4.4). Euler samplers
    take the output of a network trained with the maximum-likelihood objective as the noise
    itself: that is what it was trained to be for Euler-Maruyama's step from t to t - 1, and the
    paper's use of it.
    """
    if sampler not in SAMPLERS:
        raise ValueError(f"unknown sampler {sampler!r}: {', '.join(SAMPLERS)}")
    if prediction not in PREDICTIONS:
        raise ValueError(f"unknown prediction {prediction!r}: {', '.join(PREDICTIONS)}")
    if x_T.shape != mu.shape:
        raise ValueError(f"x_T {tuple(x_T.shape)} and mu {tuple(mu.shape)} differ in shape")
    solver = SAMPLERS[sampler]
    if reason := solver.refusal(process):
        raise ValueError(reason)
    draw = _noise_source(noise, generators, x_T)

    x, calls = x_T, 0
    earlier: tuple[float, Tensor] | None = None
    first = first_evaluation(process, prediction) if start is None else start
    if start is None and first < process.steps:
        yield State(process.steps, x, calls)
        x = _leave_bridge_end(solver, process, mu, draw)
    steps = step_grid(process, nfe, grid, first)
    yield State(steps[0], x, calls)
    for t, s in itertools.pairwise(steps):
        output = network(x, mu, t)
        calls += 1
        if solver.kind == "euler" and prediction in ("noise", "optimal-noise"):
            clean, predicted_noise = output, output
        else:
            clean, predicted_noise = _clean_and_noise(process, prediction, output, x, mu, t)
            if clean_range is not None:
                clean = clean.clamp(*clean_range)
                _, predicted_noise = _clean_and_noise(process, "clean", clean, x, mu, t)
        step = _Step(process, t, s, x, mu, clean, predicted_noise, partial(draw, t))
        if float(process.c[t]) == 0.0:
            x = _affine(step, 0.0, 0.0 if solver.is_mean_ode else float(process.c[s]))
        elif solver.kind == "euler":
            x = _euler(step, stochastic=solver.stochastic, flow=solver.flow)
        elif s == 0:
            x = clean
        elif solver.kind == "posterior":
            x = _posterior(step)
        elif solver.kind == "deterministic":
            x = _deterministic(step)
        else:
            if nfe < FEW_STEPS and s == steps[-2]:
                earlier = None
            x = _exponential(step, earlier, stochastic=solver.stochastic, data=solver.data)
            if solver.order == 2:
                half_log_snr = float(process.log_a[t]) - math.log(float(process.c[t]))
                earlier = half_log_snr, clean if solver.data else predicted_noise
        yield State(s, x, calls)


def _leave_bridge_end(
    solver: Sampler, process: GaussianProcess, mu: Tensor, draw: Callable[[int], Tensor]
) -> Tensor:
    """State at T - 1 of a bridge whose network predicts noise (docs/mathematics.md, 4.4)."""
    if solver.is_mean_ode:
        return mu
    if solver.kind == "euler" and not solver.flow:
        assert process.diffusion is not None
        variance = float(process.diffusion[-1] - process.diffusion[-2])
        return mu - math.sqrt(variance) * draw(process.steps)
    return mu + float(process.c[-2]) * draw(process.steps)


def _noise_source(
    noise: Noise | None, generators: Sequence[NoiseSource] | None, x: Tensor
) -> Callable[[int], Tensor]:
    if noise is not None and generators is not None:
        raise ValueError("give noise or generators, not both")
    if noise is not None:
        return lambda t: noise(t, x.shape)
    if generators is None:
        return lambda _: torch.randn_like(x)
    if len(generators) != len(x):
        raise ValueError(f"{len(generators)} generators for {len(x)} images")
    return lambda _: standard_normals(generators, x)


def standard_normals(generators: Sequence[NoiseSource], like: Tensor) -> Tensor:
    """Standard normals, each image's from its own generator, so that batches do not matter.

    Parameters
    ----------
    generators : sequence of NoiseSource, length B
        Generators on the CPU or on the device of `like`, or functions (shape) -> float32 normals.
    like : Tensor, shape (B, C, H, W)

    Returns
    -------
    Tensor, shape, dtype and device of `like`
    """
    return torch.stack(
        [
            torch.randn(like.shape[1:], generator=g, dtype=like.dtype, device=g.device)
            if isinstance(g, torch.Generator)
            else g(like.shape[1:])
            for g in generators
        ]
    ).to(like.device, like.dtype)


def sample(
    process: GaussianProcess,
    network: Network,
    x_T: Tensor,  # noqa: N803 (the paper's symbol)
    mu: Tensor,
    sampler: str = "posterior",
    nfe: int = 100,
    grid: Grid = "uniform",
    prediction: Prediction = "noise",
    noise: Noise | None = None,
    generators: Sequence[NoiseSource] | None = None,
    start: int | None = None,
    clean_range: tuple[float, float] | None = None,
) -> Tensor:
    """Restored image: the last state of `trajectory`.

    Parameters
    ----------
    process : GaussianProcess
    network : callable (x_t, mu, step) -> Tensor
        Prediction for states of shape (B, C, H, W); `step` is a Python int in [1, T].
    x_T, mu : Tensor, shape (B, C, H, W)
        State to start from (`GaussianProcess.start`) and degraded images.
    sampler : str
        A key of `SAMPLERS`.
    nfe : int
        Network evaluations, from 1 to the first step that the network is called at:
        `first_evaluation`, or `start`.
    grid : {"uniform", "quadratic", "log-snr"}
        Step grid; `step_grid`.
    prediction : {"noise", "optimal-noise", "clean", "velocity"}
        What the network predicts. "optimal-noise" is what the maximum-likelihood objective
        trains: the clean image is then read off by the exact inverse (docs/mathematics.md, 5).
    noise : callable (step, shape) -> Tensor, optional
        Standard normals used when leaving `step`.
    generators : sequence of NoiseSource, optional
        One for each image, so that an image's result does not depend on its batch. Without either,
        torch's global state is drawn from.
    start : int, optional
        Step of x_T if not T, for Gaussian denoising from the matched step.
    clean_range : (float, float), optional
        Range that estimates of the clean image are clipped to before they are used, the noise
        being recomputed from them, as DDPM does; Euler samplers take predicted noise as it is.

    Returns
    -------
    Tensor, shape (B, C, H, W)
        Restored images, not clipped.

    Raises
    ------
    ValueError
        For unknown names, shapes that differ, an NFE outside the grid, or a sampler that is not
        defined for the process.
    """
    states = trajectory(
        process,
        network,
        x_T,
        mu,
        sampler,
        nfe,
        grid,
        prediction,
        noise,
        generators,
        start,
        clean_range,
    )
    (last,) = deque(states, maxlen=1)
    return last.x


SAMPLERS: dict[str, Sampler] = {
    "euler-maruyama": Sampler(
        "Euler-Maruyama", "euler", stochastic=True, source="IR-SDE, arXiv 2301.11699"
    ),
    "posterior": Sampler(
        "posterior", "posterior", stochastic=True, source="arXiv 2404.09732, arXiv 2006.11239"
    ),
    "probability-flow": Sampler(
        "probability-flow Euler",
        "euler",
        stochastic=False,
        flow=True,
        source="IR-SDE, arXiv 2301.11699",
    ),
    "mean-ode": Sampler("Mean-ODE", "euler", stochastic=False, source="GOUB, arXiv 2312.10299"),
    "ddim": Sampler("DDIM", "deterministic", stochastic=False, source="arXiv 2010.02502"),
    "mrs-sde-1": Sampler("MRS SDE 1", "exponential", stochastic=True, source="arXiv 2502.07856"),
    "mrs-sde-2": Sampler(
        "MRS SDE 2", "exponential", stochastic=True, order=2, source="arXiv 2502.07856"
    ),
    "mrs-ode-1": Sampler("MRS ODE 1", "exponential", stochastic=False, source="arXiv 2502.07856"),
    "mrs-ode-2": Sampler(
        "MRS ODE 2", "exponential", stochastic=False, order=2, source="arXiv 2502.07856"
    ),
    "mrs-sde-1-data": Sampler(
        "MRS SDE 1, data", "exponential", stochastic=True, data=True, source="arXiv 2502.07856"
    ),
    "mrs-sde-2-data": Sampler(
        "MRS SDE 2, data",
        "exponential",
        stochastic=True,
        order=2,
        data=True,
        source="arXiv 2502.07856",
    ),
    "mrs-ode-1-data": Sampler(
        "MRS ODE 1, data", "exponential", stochastic=False, data=True, source="arXiv 2502.07856"
    ),
    "mrs-ode-2-data": Sampler(
        "MRS ODE 2, data",
        "exponential",
        stochastic=False,
        order=2,
        data=True,
        source="arXiv 2502.07856",
    ),
}
