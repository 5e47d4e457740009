"""Solvers of the reverse process, one function each, and the step grids they run on.

A sampler never sees a progress bar, a file or a random seed of its own: the network, the noise
and the grid are arguments, and whoever wants to watch iterates over `trajectory`. `t` and `s` are
indices of steps; a step goes from t down to s. Formulas and symbols are those of
docs/mathematics.md, 4: [L] is IR-SDE, arXiv 2301.11699, [P] its posterior sampler, 2404.09732,
[M] MaRS, 2502.07856, [B] DBIM, 2405.15885. Importing this module does not import torch.

The exponential integrators have lambda and h of DPM-Solver (2206.00927) as `l` and `h`; its order 1
is the ODE form of order 1 in the noise. In order 2 in x0, the slope has the weight of the integral,
a_s (h - 1 + e^-h), where dpmpp_2m (DPM-Solver++(2M), 2211.01095) has a_s (1 - e^-h) h / 2.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import exp, expm1, log, sqrt
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from irsde.objectives import largest_step, objective_of, read_clean

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from irsde.processes import GaussianProcess

Network: TypeAlias = "Callable[[Tensor, Tensor, int], Tensor]"
Noise: TypeAlias = "Callable[[int, torch.Size], Tensor]"
NoiseSource: TypeAlias = "torch.Generator | Callable[[torch.Size], Tensor]"

FEW_STEPS = 10  # below which MaRS makes the last step before the clean image one of order 1


@dataclass(frozen=True)
class State:
    """A state on the way from T to 0.

    Parameters
    ----------
    t : int
        Step of the state; 0 is the restored image.
    x : Tensor, shape (B, C, H, W)
        The state.
    nfe : int
        Network evaluations spent so far, counted.
    """

    t: int
    x: Tensor
    nfe: int


@dataclass(frozen=True)
class Step:
    """A step from t to s, and what is known at t.

    Parameters
    ----------
    process : GaussianProcess
    t, s : int
        Steps, ``t > s``.
    x, mu : Tensor, shape (B, C, H, W)
        State at t and degraded images.
    x0, noise : Tensor, shape (B, C, H, W)
        Estimates of the clean image and of the noise in the state.
    normals : callable () -> Tensor
        Draws standard normals, if the sampler does.
    before : Step, optional
        The step that led to t, for samplers that look back; None at first.
    ahead : callable (x_s) -> (x0, noise), optional
        Estimates at s, the one place but t where there are any, for samplers that look ahead; None
        where no evaluation is left for it.
    """

    process: GaussianProcess
    t: int
    s: int
    x: Tensor
    mu: Tensor
    x0: Tensor
    noise: Tensor
    normals: Callable[[], Tensor]
    before: Step | None = None
    ahead: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None

    def z(self) -> Tensor:
        """Noise to add: standard normals, times the scale that noise of the process has."""
        return self.process.scaled(self.normals(), self.x0, self.mu)

    @property
    def sde(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """State x, drift f, sigma^2 and score over the step: `GaussianProcess.reverse_sde`.

        x, f and score are no images but weights, of which `image` makes one.
        """
        return self.process.reverse_sde(self.t, self.s, self.x)

    def image(self, weights: Tensor) -> Tensor:
        """Image that is calculated with them: `GaussianProcess.combined`."""
        return self.process.combined(weights, self.x, self.mu, self.noise, self.t)

    @property
    def tables(self) -> tuple[float, ...]:
        """Weights of x0, mu and noise in the state: a_t, b_t, c_t, a_s, b_s, c_s."""
        p = self.process
        return tuple(float(table[k]) for k in (self.t, self.s) for table in (p.a, p.b, p.c))

    def level(self, t: int) -> float:
        """Half log-SNR ``l = log(a / c)`` at a step."""
        return float(self.process.log_a[t]) - log(self.process.c[t])

    @property
    def h(self) -> float:
        """Change of l over the step."""
        return self.level(self.s) - self.level(self.t)

    def slope(self, weight: float, estimate: str) -> Tensor | float:
        """A weight times D, the slope of an estimate in l since the step before; 0 at first."""
        if self.before is None:
            return 0.0
        change: Tensor = getattr(self, estimate) - getattr(self.before, estimate)
        return weight / (self.level(self.t) - self.level(self.before.t)) * change

    def bend(self, weight: float, estimate: str) -> Tensor | float:
        """A weight times the second divided difference of an estimate in l; 0 at first."""
        if self.before is None or self.before.before is None:
            return 0.0
        change = self.slope(weight, estimate) - self.before.slope(weight, estimate)
        return change / (self.level(self.t) - self.level(self.before.before.t))

    def remembered(self, count: int) -> Step | None:
        """The step as the one before the next: the last of `count` that are kept."""
        if count == 0:
            return None
        before = self.before.remembered(count - 1) if self.before else None
        return replace(self, before=before, ahead=None)


def euler_maruyama(step: Step) -> Tensor:
    """Reverse SDE of [L]: dx = [f - sigma^2 score] dt + sigma dw, f = theta (mu - x) (4.2)."""
    x, f, sigma2, score = step.sde
    return step.image(x - (f - sigma2 * score)) - sigma2.sqrt() * step.z()


def probability_flow(step: Step) -> Tensor:
    """Probability-flow ODE of [L]: dx = [f - sigma^2 score / 2] dt (4.2)."""
    x, f, sigma2, score = step.sde
    return step.image(x - (f - sigma2 * score / 2))


def mean_ode(step: Step) -> Tensor:
    """Mean-ODE of GOUB, arXiv 2312.10299: dx = [f - sigma^2 score] dt (4.2)."""
    x, f, sigma2, score = step.sde
    return step.image(x - (f - sigma2 * score))


def posterior(step: Step) -> Tensor:
    """A draw from q(x_s | x_t, x0, mu): [P], DDPM (arXiv 2006.11239), I2SB and others (3).

    x_s = a_s x0 + b_s mu + rho (x_t - a_t x0 - b_t mu) + tau z, where rho = g_t / g_s c_s^2 / c_t^2
    and tau^2 = c_s^2 - rho^2 c_t^2. A process that is not normal, FoD, has a draw of its own.
    """
    return step.process.draw(step.x, step.x0, step.mu, step.t, step.s, step.normals)


def ddim(step: Step) -> Tensor:
    """DDIM, arXiv 2010.02502: x_s = a_s x0 + b_s mu + c_s noise, the noise read off x_t (4.1)."""
    a_t, b_t, c_t, a_s, b_s, c_s = step.tables
    rho = c_s / c_t
    return rho * step.x + (a_s - rho * a_t) * step.x0 + (b_s - rho * b_t) * step.mu


def dbim(step: Step, eta: float) -> Tensor:
    """DBIM of order 1: DDIM with `eta` times the noise of the posterior sampler ([B]; 4.1).

    `tau` is rho_n of [B].
    """
    a_t, b_t, c_t, a_s, b_s, c_s = step.tables
    tau = eta * float(step.process.posterior_coefficients(step.t, step.s, step.x)[3])
    rho = sqrt(c_s**2 - tau**2) / c_t
    mean = rho * step.x + (a_s - rho * a_t) * step.x0 + (b_s - rho * b_t) * step.mu
    return mean + tau * step.z()


def dbim_half(step: Step) -> Tensor:
    """DBIM half-way between DDIM and the posterior sampler."""
    return dbim(step, 0.5)


def consistency(step: Step) -> Tensor:
    """Multistep consistency sampling: the state drawn anew at s (arXiv 2303.01469; 4.1)."""
    return step.process.sample(step.x0, step.mu, step.s, step.normals())


def heun(step: Step) -> Tensor:
    """Heun's method: algorithm 2 of EDM, arXiv 2206.00364, with S_churn = 0 (4.1).

    In y = (x - b mu) / a and sigma = c / a: y_s = y + (sigma_s - sigma_t) d, d the noise at t; then
    the same with (d + d_prime) / 2, d_prime the noise at s.
    """
    a_t, b_t, c_t, a_s, b_s, c_s = step.tables
    y = (step.x - b_t * step.mu) / a_t
    a_dsigma, d = c_s - a_s / a_t * c_t, step.noise
    if step.ahead is not None:
        _, d_prime = step.ahead(b_s * step.mu + a_s * y + a_dsigma * d)
        d = (d + d_prime) / 2
    return b_s * step.mu + a_s * y + a_dsigma * d


def mrs_ode(step: Step) -> Tensor:
    """Probability-flow ODE, exact for a noise that is constant or linear in l ([M]; 4.3)."""
    a_t, b_t, _, a_s, b_s, c_s = step.tables
    x_t, mu, noise, h = step.x, step.mu, step.noise, step.h
    return (
        b_s * mu
        + a_s / a_t * (x_t - b_t * mu)
        - c_s * expm1(h) * noise
        - step.slope(c_s * (expm1(h) - h), "noise")
    )


def mrs_sde(step: Step) -> Tensor:
    """Reverse SDE, exact for a noise that is constant or linear in l ([M]; 4.3)."""
    a_t, b_t, _, a_s, b_s, c_s = step.tables
    x_t, mu, noise, h = step.x, step.mu, step.noise, step.h
    return (
        b_s * mu
        + a_s / a_t * (x_t - b_t * mu)
        - 2 * c_s * expm1(h) * noise
        - step.slope(2 * c_s * (expm1(h) - h), "noise")
        + c_s * sqrt(expm1(2 * h)) * step.z()
    )


def mrs_ode_data(step: Step) -> Tensor:
    """Probability-flow ODE, exact for an x0 that is constant or linear in l ([M]; 4.3)."""
    _, b_t, c_t, a_s, b_s, c_s = step.tables
    x_t, mu, x0, h = step.x, step.mu, step.x0, step.h
    return (
        b_s * mu
        + c_s / c_t * (x_t - b_t * mu)
        - a_s * expm1(-h) * x0
        + step.slope(a_s * (h + expm1(-h)), "x0")
    )


def dbim_multistep(step: Step) -> Tensor:
    """Probability-flow ODE, exact for an x0 that is linear or quadratic in l ([B]; 4.3)."""
    _, b_t, c_t, a_s, b_s, c_s = step.tables
    x_t, mu, x0, h = step.x, step.mu, step.x0, step.h
    first = a_s * (h + expm1(-h))
    second = a_s * (h**2 - 2 * h - 2 * expm1(-h))
    since = step.level(step.t) - step.level(step.before.t) if step.before else 0.0
    return (
        b_s * mu
        + c_s / c_t * (x_t - b_t * mu)
        - a_s * expm1(-h) * x0
        + step.slope(first, "x0")
        + step.bend(first * since + second, "x0")
    )


def mrs_sde_data(step: Step) -> Tensor:
    """Reverse SDE, exact for an x0 that is constant or linear in l ([M]; 4.3)."""
    _, b_t, c_t, a_s, b_s, c_s = step.tables
    x_t, mu, x0, h = step.x, step.mu, step.x0, step.h
    return (
        b_s * mu
        + c_s / c_t * exp(-h) * (x_t - b_t * mu)
        - a_s * expm1(-2 * h) * x0
        + step.slope(a_s * (h + expm1(-2 * h) / 2), "x0")
        + c_s * sqrt(-expm1(-2 * h)) * step.z()
    )


class Need(NamedTuple):
    """What a sampler needs of a process, and what to say of one that does not have it."""

    is_met: Callable[[GaussianProcess], bool]
    words: str


SDE = Need(lambda p: p.diffusion is not None, "needs an SDE, which the {} does not define")
BRIDGE = Need(lambda p: p.is_bridge, "is defined for bridges, unlike the {}")
TRACE = Need(
    lambda p: bool(p.a[-1] > 0 or p.c[-1] == 0),
    "extrapolates the noise, but the {} ends without a trace of the clean image: "
    "use the data variant",
)
OWN_DRIFT = Need(
    lambda p: bool((p.g == p.a).all()),
    "needs a forward SDE whose drift does not look at the clean image, unlike the {}",
)


@dataclass(frozen=True)
class Sampler:
    """A solver of the reverse process.

    Parameters
    ----------
    label : str
        Name in messages and in the analytic study; tables and figures have the key.
    step : callable (Step) -> Tensor
        State at s.
    order : int
        Order of convergence (in law, for stochastic samplers), 1 to 3; first steps of lower order,
        which `dbim-3` has, cost it some. 0 if nothing is solved: the estimate must be the end of
        the state's path, and its law is right with any number of steps.
    stochastic : bool
        True if it draws noise on the way.
    needs : tuple of Need
        What a process must have.
    is_euler : bool
        True if it takes Euler steps with the noise: that which a network predicts is then taken as
        it is, and at the last step too; other samplers return the clean image there.
    leaving : callable (GaussianProcess) -> float
        Deviation of the noise with which a bridge whose network predicts noise is left from T to
        T - 1 (docs/mathematics.md, 4.4); 0 to leave any bridge without noise.
    looks_ahead : bool
        True if the network is evaluated at both ends of a step, unless it is the first of a bridge
        or the last.
    looks_back : int
        Steps before that it looks at, `Step.before` and so on; the first have fewer.
    eases_out : bool
        True if below 10 evaluations the last step but one is of order 1, as in [M]'s code.
    """

    label: str
    step: Callable[[Step], Tensor]
    order: int = 1
    stochastic: bool = False
    needs: tuple[Need, ...] = ()
    is_euler: bool = False
    leaving: Callable[[GaussianProcess], float] = lambda p: float(p.c[-2])
    looks_ahead: bool = False
    looks_back: int = 0
    eases_out: bool = False

    def __post_init__(self) -> None:
        """Refuse an order that takes more evaluations than a step looks at."""
        if self.order > 1 + self.looks_ahead + self.looks_back:
            raise ValueError(f"{self.label}: order {self.order} needs looks_back or looks_ahead")

    def refusal(self, process: GaussianProcess) -> str | None:
        """Why the sampler cannot be used with a process, or None if it can."""
        unmet = [need.words.format(process.name) for need in self.needs if not need.is_met(process)]
        return f"{self.label} {unmet[0]}" if unmet else None


def _own_step(process: GaussianProcess) -> float:
    """As GOUB's authors: a step of the reverse SDE, of which drift and score are 0 there."""
    assert process.diffusion is not None
    return -sqrt(process.diffusion[-1] - process.diffusion[-2])


SAMPLERS: dict[str, Sampler] = {
    "euler-maruyama": Sampler(
        "Euler-Maruyama", euler_maruyama, 1, True, (SDE,), is_euler=True, leaving=_own_step
    ),
    "posterior": Sampler("posterior", posterior, 1, True),
    "probability-flow": Sampler(
        "probability-flow Euler", probability_flow, 1, False, (SDE,), is_euler=True
    ),
    "mean-ode": Sampler(
        "Mean-ODE", mean_ode, 1, False, (SDE, BRIDGE), is_euler=True, leaving=lambda _: 0.0
    ),
    "ddim": Sampler("DDIM", ddim, 1, False),
    "rdbm": Sampler("RDBM", ddim, 1, False, (BRIDGE,), leaving=lambda _: 0.0),
    "mrs-sde-1": Sampler("MRS SDE 1", mrs_sde, 1, True, (TRACE, OWN_DRIFT)),
    "mrs-sde-2": Sampler(
        "MRS SDE 2", mrs_sde, 2, True, (TRACE, OWN_DRIFT), looks_back=1, eases_out=True
    ),
    "mrs-ode-1": Sampler("MRS ODE 1", mrs_ode, 1, False, (TRACE,)),
    "mrs-ode-2": Sampler("MRS ODE 2", mrs_ode, 2, False, (TRACE,), looks_back=1, eases_out=True),
    "mrs-sde-1-data": Sampler("MRS SDE 1, data", mrs_sde_data, 1, True, (OWN_DRIFT,)),
    "mrs-sde-2-data": Sampler(
        "MRS SDE 2, data", mrs_sde_data, 2, True, (OWN_DRIFT,), looks_back=1, eases_out=True
    ),
    "mrs-ode-1-data": Sampler("MRS ODE 1, data", mrs_ode_data, 1, False),
    "mrs-ode-2-data": Sampler(
        "MRS ODE 2, data", mrs_ode_data, 2, False, looks_back=1, eases_out=True
    ),
    "dbim-half": Sampler("DBIM, eta 0.5", dbim_half, 1, True),
    "dbim-2": Sampler("DBIM 2", dbim_multistep, 2, False, looks_back=1),
    "dbim-3": Sampler("DBIM 3", dbim_multistep, 3, False, looks_back=2),
    "unidb-2": Sampler("UniDB++ 2", mrs_sde_data, 2, True, (OWN_DRIFT, BRIDGE), looks_back=1),
    "heun": Sampler("Heun", heun, 2, False, (TRACE,), looks_ahead=True),
    "consistency": Sampler("multistep consistency", consistency, 0, True),
}


@dataclass(frozen=True)
class Grid:
    """Places of the steps of a solver.

    Parameters
    ----------
    label : str
        In what steps are evenly spaced, in words.
    positions : callable (process, nfe, start) -> sequence of float, length nfe + 1
        Places of the steps, rising from 0 to the start; `step_grid` rounds them.
    """

    label: str
    positions: Callable[[GaussianProcess, int, int], Sequence[float]]


def _even(first: float, last: float, count: int) -> Tensor:
    import torch

    return torch.linspace(first, last, count, dtype=torch.float64)


def _even_in_log_snr(process: GaussianProcess, nfe: int, start: int) -> list[float]:
    """Even in l = log(a / c) from the start, or the last step that has l, to step 1."""
    import numpy as np

    has_level = bool(process.a[start] > 0 and process.c[start] > 0)
    first, count, end = (start, nfe, []) if has_level else (start - 1, nfe - 1, [start])
    if count == 0:
        return [0, *end]
    level = (process.log_a - process.c.log())[1 : first + 1].numpy()
    levels = _even(level[-1], level[0], count).flip(0).numpy()
    places = np.interp(-levels, -level, np.arange(1, first + 1))
    return [0, *np.asarray(places).tolist(), *end]


GRIDS: dict[str, Grid] = {
    "uniform": Grid("t", lambda _, nfe, start: _even(0, start, nfe + 1).tolist()),
    "quadratic": Grid(
        "the root of t", lambda _, nfe, start: (start * _even(0, 1, nfe + 1) ** 2).tolist()
    ),
    "log-snr": Grid("log-SNR", _even_in_log_snr),
}


def step_grid(
    process: GaussianProcess, nfe: int, grid: str = "uniform", start: int | None = None
) -> list[int]:
    """Steps that a solver visits, from the start down to 0.

    Parameters
    ----------
    process : GaussianProcess
    nfe : int
        Number of solver steps, from 1 to the start.
    grid : str
        A key of `GRIDS`.
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
    if grid not in GRIDS:
        raise ValueError(f"unknown grid {grid!r}: {', '.join(GRIDS)}")
    steps = [round(position) for position in GRIDS[grid].positions(process, nfe, first)]
    for i in range(1, nfe + 1):
        steps[i] = max(steps[i], steps[i - 1] + 1)
    steps[nfe] = first
    for i in range(nfe - 1, 0, -1):
        steps[i] = min(steps[i], steps[i + 1] - 1)
    return steps[::-1]


def trajectory(
    process: GaussianProcess,
    network: Network,
    x_T: Tensor,  # noqa: N803 (the paper's symbol)
    mu: Tensor,
    sampler: str = "posterior",
    nfe: int = 100,
    grid: str = "uniform",
    prediction: str = "noise",
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
    Every sampler but the Euler ones returns the estimate of the clean image at its last step.
    Euler-Maruyama adds noise there too, as the paper's code does: a residual of
    ``sigma_1 sqrt(dt)``. The first step of a bridge, whose start holds no noise, is drawn from
    the marginal (docs/mathematics.md, 3); where the network predicts noise, of which that start
    has none, the state at T - 1 is drawn about mu without a network evaluation, an error of
    ``a_{T-1} (x0 - mu)``, and the solver starts there (4.4). Euler samplers take the output of a
    network trained with the maximum-likelihood objective as the noise itself: that is what it was
    trained to be for Euler-Maruyama's step from t to t - 1, and the paper's use of it.
    """
    if sampler not in SAMPLERS:
        raise ValueError(f"unknown sampler {sampler!r}: {', '.join(SAMPLERS)}")
    if x_T.shape != mu.shape:
        raise ValueError(f"x_T {tuple(x_T.shape)} and mu {tuple(mu.shape)} differ in shape")
    solver, objective = SAMPLERS[sampler], objective_of(prediction)
    if reason := solver.refusal(process):
        raise ValueError(reason)
    draw = _noise_source(noise, generators, x_T)

    x, first = x_T, largest_step(objective, process)
    if start is not None and first < start <= process.steps:
        raise ValueError(f"the {process.name} holds no noise at step {start}: start at {first}")
    if start is None and first < process.steps:
        yield State(process.steps, x, 0)
        std = solver.leaving(process)
        x = mu + std * process.scaled(draw(process.steps), mu, mu) if std else mu
    begin = first if start is None else start
    count = _step_count(nfe, bool(process.c[begin] == 0)) if solver.looks_ahead else nfe
    steps = step_grid(process, count, grid, begin)
    yield State(steps[0], x, 0)
    calls, before = 0, None

    def estimates(x: Tensor, t: int) -> tuple[Tensor, Tensor]:
        nonlocal calls
        calls += 1
        output = network(x, mu, t)
        if solver.is_euler and objective.is_noise:
            return x, output  # Euler steps use the noise alone
        x0, predicted_noise = objective.read(process, x, mu, output, t)
        if clean_range is not None:
            x0 = x0.clamp(*clean_range)
            _, predicted_noise = read_clean(process, x, mu, x0, t)
        return x0, predicted_noise

    for left, (t, s) in zip(range(count - 1, -1, -1), itertools.pairwise(steps), strict=True):
        x0, predicted_noise = estimates(x, t)
        if solver.eases_out and nfe < FEW_STEPS and s == steps[-2]:
            before = None
        step = Step(process, t, s, x, mu, x0, predicted_noise, partial(draw, t), before)
        if process.c[t] == 0:
            is_drawn = solver.leaving(process) != 0
            x = posterior(step) if is_drawn else process.posterior(x, x0, mu, t, s)[0]
        elif s == 0 and not solver.is_euler:
            x = x0
        else:
            if solver.looks_ahead and calls + left < nfe:
                step = replace(step, ahead=partial(estimates, t=s))
            x = solver.step(step)
            before = step.remembered(solver.looks_back)
        yield State(s, x, calls)


def _step_count(nfe: int, is_drawn: bool) -> int:
    """Steps of a solver that looks ahead where it can: not at the last step, nor a drawn first."""
    single = min(nfe, 1 + is_drawn)
    return single + (nfe - single + 1) // 2


def _noise_source(
    noise: Noise | None, generators: Sequence[NoiseSource] | None, x: Tensor
) -> Callable[[int], Tensor]:
    if noise is not None and generators is not None:
        raise ValueError("give noise or generators, not both")
    if noise is not None:
        return lambda t: noise(t, x.shape)
    if generators is None:
        import torch

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
    import torch

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
    grid: str = "uniform",
    prediction: str = "noise",
    noise: Noise | None = None,
    generators: Sequence[NoiseSource] | None = None,
    start: int | None = None,
    clean_range: tuple[float, float] | None = None,
) -> Tensor:
    """Restored image: the last state of `trajectory`.

    Parameters
    ----------
    process : GaussianProcess
    network : callable (x_t, mu, t) -> Tensor
        Prediction for states of shape (B, C, H, W); `t` is a Python int in [1, T].
    x_T, mu : Tensor, shape (B, C, H, W)
        State to start from (`GaussianProcess.start`) and degraded images.
    sampler : str
        A key of `SAMPLERS`.
    nfe : int
        Network evaluations, from 1 to the first step that the network is called at:
        `objectives.largest_step`, or `start`.
    grid : str
        Step grid, a key of `GRIDS`.
    prediction : str
        What the network predicts: `objectives.Objective.prediction`. "optimal-noise" is what the
        maximum-likelihood objective trains: the clean image is then read off by the exact inverse
        (docs/mathematics.md, 5).
    noise : callable (t, shape) -> Tensor, optional
        Standard normals used when leaving step t.
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
    options = (sampler, nfe, grid, prediction, noise, generators, start, clean_range)
    (last,) = deque(trajectory(process, network, x_T, mu, *options), maxlen=1)
    return last.x
