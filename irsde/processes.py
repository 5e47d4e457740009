"""The family x_t = a_t x0 + b_t mu + c_t noise: IR-SDE and its competitors as tables.

A process is a record of float64 tables on the steps 0 ... T. Restoration runs from T to 0, a
solver step goes from `t` to `s` with ``s < t``. Coefficients are computed in float64 and cast to
the dtype of the image last.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

Schedule = Literal["constant", "linear", "cosine"]
NoiseScale = Literal["one", "residual", "zero"]
Step = int | Tensor


def _table(values: Tensor) -> Tensor:
    return values.to(torch.float64).contiguous()


@dataclass(frozen=True, eq=False)
class GaussianProcess:
    """A Gaussian process between a clean image x0 and a degraded image mu.

    Given x0 and mu, the state at step t is normal with mean ``a_t x0 + b_t mu`` and standard
    deviation `c_t`, which `noise_scale` may multiply, and the chain regresses from step s to t with
    the coefficient ``g_t / g_s`` (docs/mathematics.md, 1 and 3). All tables are float64 of shape
    (T + 1,).

    Parameters
    ----------
    name : str
        Name of the process, for messages.
    a, b, c : Tensor
        Weights of x0, of mu and of standard normal noise; ``a_0 = 1``, ``b_0 = c_0 = 0``.
    g : Tensor
        Gauge; equal to `a` where the forward SDE does not look at x0.
    log_a, log_g : Tensor
        Logarithms of `a` and `g`, given apart because `a` may underflow or end at 0.
    diffusion : Tensor or None
        Integral of the squared diffusion coefficient from 0 to t, or None where no SDE is
        defined and Euler-Maruyama does not apply.
    reverts : bool
        True if the drift pulls to mu (``a + b = 1``), False if it pulls to 0 (``b = 0``, or a
        bridge over such a process).
    start_std : float
        Standard deviation of the noise that starts sampling: about mu where the process reverts,
        else about 0.
    drift : Tensor, optional
        Integral from 0 to t of the drift's coefficient of ``x - mu`` as Euler steps take it;
        `log_a`, the exact one, unless given.
    noise_scale : {"one", "residual", "zero"}
        What all noise is multiplied by: 1, ``x0 - mu`` at each pixel, or 0. `c` does not include
        it, but what other methods call the noise in a state does.
    """

    name: str
    a: Tensor
    b: Tensor
    c: Tensor
    g: Tensor
    log_a: Tensor
    log_g: Tensor
    diffusion: Tensor | None
    reverts: bool
    start_std: float
    drift: Tensor | None = None
    noise_scale: NoiseScale = "one"

    def __post_init__(self) -> None:
        """Refuse tables that do not describe a process."""
        if self.steps < 1:
            raise ValueError(f"{self.name}: at least one step is needed")
        finite = [self.a, self.b, self.c, self.g]
        finite += [table for table in (self.diffusion, self.drift) if table is not None]
        tables = [*finite, self.log_a, self.log_g]
        if any(t.dtype != torch.float64 or t.shape != self.a.shape for t in tables):
            raise ValueError(f"{self.name}: tables must be float64 and of one shape")
        if not all(bool(torch.isfinite(table).all()) for table in finite):
            raise ValueError(f"{self.name}: its tables are not finite")

    @property
    def steps(self) -> int:
        """Number of steps T."""
        return len(self.a) - 1

    @property
    def is_bridge(self) -> bool:
        """True if the state at T is mu itself, without noise."""
        return float(self.c[-1]) == 0.0

    def at(self, table: Tensor, t: Step, like: Tensor) -> Tensor:
        """Entries of a float64 table at step t, shaped to broadcast over images.

        Parameters
        ----------
        table : Tensor, shape (T + 1,)
            One of the tables.
        t : int or integer Tensor of shape (), (B,) or (B, 1, 1, 1)
            Steps in [0, T].
        like : Tensor, shape (B, C, H, W)
            Image whose device the result is put on.

        Returns
        -------
        Tensor, float64, shape () or (B, 1, 1, 1)

        Raises
        ------
        ValueError
            If a step is not an integer in [0, T].
        """
        steps = torch.as_tensor(t)
        if steps.is_floating_point():
            raise ValueError(f"{self.name}: steps must be integers")
        if steps.numel() and (int(steps.min()) < 0 or int(steps.max()) > self.steps):
            raise ValueError(f"{self.name}: steps must lie in [0, {self.steps}]")
        values = table[steps.to(table.device)].to(like.device)
        return values if values.ndim == 0 else values.reshape(-1, *[1] * (like.ndim - 1))

    def _cast(self, coefficient: Tensor, like: Tensor) -> Tensor:
        return coefficient.to(like.dtype)

    def marginal(self, x0: Tensor, mu: Tensor, t: Step) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of x_t given the clean and the degraded image.

        Parameters
        ----------
        x0, mu : Tensor, shape (B, C, H, W)
            Clean and degraded images, nominally in [0, 1]; not clipped.
        t : int or integer Tensor of shape (B,)
            Steps in [0, T].

        Returns
        -------
        mean : Tensor, shape (B, C, H, W)
            ``a_t x0 + b_t mu`` (paper, section 3: ``m_t`` of the mean-reverting SDE).
        std : Tensor, shape () or (B, 1, 1, 1)
            ``c_t``, in the unit of the images, or as a share of the noise's scale.

        Raises
        ------
        ValueError
            If the shapes do not broadcast or a step lies outside [0, T].
        """
        try:
            torch.broadcast_shapes(x0.shape, mu.shape)  # type: ignore[no-untyped-call]
        except RuntimeError:
            raise ValueError(
                f"x0 {tuple(x0.shape)} and mu {tuple(mu.shape)} do not fit each other"
            ) from None
        a, b, c = (self._cast(self.at(table, t, x0), x0) for table in (self.a, self.b, self.c))
        if self.reverts:  # the same mean, with less cancellation in float32 near step 0
            return mu + a * (x0 - mu), c
        return a * x0 + b * mu, c

    def scaled(self, normals: Tensor, x0: Tensor, mu: Tensor) -> Tensor:
        """Standard normals times the scale of the noise: `noise_scale`."""
        if self.noise_scale == "residual":
            return normals * (x0 - mu)
        return normals if self.noise_scale == "one" else 0 * normals

    def noise_in(self, x0: Tensor, mu: Tensor, t: Step, normals: Tensor) -> Tensor:  # noqa: ARG002
        """Noise in a state that is drawn with these standard normals."""
        return self.scaled(normals, x0, mu)

    def sample(self, x0: Tensor, mu: Tensor, t: Step, normals: Tensor) -> Tensor:
        """State x_t drawn in one shot: the marginal mean plus ``c_t`` times its noise."""
        mean, std = self.marginal(x0, mu, t)
        return mean + std * self.noise_in(x0, mu, t, normals)

    def start(self, mu: Tensor, noise: Tensor) -> Tensor:
        """State that restoration starts from (the authors' ``mu + lambda z`` for IR-SDE).

        Parameters
        ----------
        mu, noise : Tensor, shape (B, C, H, W)
            Degraded images and standard normals.
        """
        return (mu if self.reverts or self.is_bridge else 0.0) + self.start_std * noise

    def noise(self, x_t: Tensor, x0: Tensor, mu: Tensor, t: Step) -> Tensor:
        """Noise in a state, standard normal times its scale: ``(x_t - mean) / c_t``.

        Raises
        ------
        ValueError
            Where ``c_t = 0``, that is at step 0 and at the end of a bridge.
        """
        mean, std = self.marginal(x0, mu, t)
        if bool((std == 0).any()):
            raise ValueError(f"{self.name}: there is no noise in the state at step {t}")
        return (x_t - mean) / std

    def clean_from_noise(self, x_t: Tensor, mu: Tensor, noise: Tensor, t: Step) -> Tensor:
        """Clean image from the noise: ``(x_t - b_t mu - c_t noise) / a_t``.

        Raises
        ------
        ValueError
            Where ``a_t = 0``, at the end of a bridge.
        """
        a, b, c = (self.at(table, t, x_t) for table in (self.a, self.b, self.c))
        if bool((a == 0).any()):
            raise ValueError(f"{self.name}: the clean image is not present at step {t}")
        if self.reverts:
            return mu + (x_t - mu - self._cast(c, x_t) * noise) * self._cast(1 / a, x_t)
        return (x_t - self._cast(b, x_t) * mu - self._cast(c, x_t) * noise) * self._cast(1 / a, x_t)

    def _derivative(self, table: Tensor) -> Tensor:
        """Derivative with respect to t / T: central differences, one-sided at both ends."""
        return torch.gradient(table, spacing=1 / self.steps)[0]

    def velocity(self, x0: Tensor, mu: Tensor, noise: Tensor, t: Step) -> Tensor:
        """Velocity ``a' x0 + b' mu + c' noise`` with time t / T (docs/mathematics.md, 2).

        Derivatives are finite differences of the tables, exact for linear interpolants.
        """
        da, db, dc = (
            self._cast(self.at(self._derivative(table), t, x0), x0)
            for table in (self.a, self.b, self.c)
        )
        return da * x0 + db * mu + dc * noise

    def clean_from_velocity(self, x_t: Tensor, mu: Tensor, velocity: Tensor, t: Step) -> Tensor:
        """Clean image from the velocity: the exact inverse of `velocity` at the state x_t.

        Raises
        ------
        ValueError
            Where x0 cannot be told from the state and its velocity.
        """
        a, b, c = (self.at(table, t, x_t) for table in (self.a, self.b, self.c))
        da, db, dc = (
            self.at(self._derivative(table), t, x_t) for table in (self.a, self.b, self.c)
        )
        determinant = a * dc - c * da
        if bool((determinant == 0).any()):
            raise ValueError(f"{self.name}: the velocity does not tell the clean image at {t}")
        return (
            self._cast(dc / determinant, x_t) * x_t
            - self._cast(c / determinant, x_t) * velocity
            - self._cast((b * dc - c * db) / determinant, x_t) * mu
        )

    def posterior_coefficients(
        self, t: Step, s: Step, like: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Weights of x_t, x0 and mu in the mean of q(x_s | x_t, x0, mu), and its deviation.

        Returns
        -------
        rho, on_x0, on_mu, std : Tensor, float64, shape () or (B, 1, 1, 1)
            docs/mathematics.md, 3: ``rho = r c_s^2 / c_t^2`` with ``r = g_t / g_s``. Where
            ``c_t = 0``, at the start of a bridge, ``rho = 0`` and ``std = c_s``.

        Raises
        ------
        ValueError
            If not ``s < t``.
        """
        if bool((torch.as_tensor(s) >= torch.as_tensor(t)).any()):
            raise ValueError("the posterior is defined for s < t")
        a_t, b_t, c_t = (self.at(table, t, like) for table in (self.a, self.b, self.c))
        a_s, b_s, c_s = (self.at(table, s, like) for table in (self.a, self.b, self.c))
        r = torch.exp(self.at(self.log_g, t, like) - self.at(self.log_g, s, like))
        memoryless = (c_t == 0) | (c_s == 0)
        ratio = c_s / torch.where(c_t == 0, 1.0, c_t)
        rho = torch.where(memoryless, 0.0, r * ratio**2)
        explained = torch.where(memoryless, 0.0, (r * ratio) ** 2)
        std = c_s * torch.sqrt(torch.clamp(1 - explained, min=0))
        return rho, a_s - rho * a_t, b_s - rho * b_t, std

    def posterior(
        self, x_t: Tensor, x0: Tensor, mu: Tensor, t: Step, s: Step
    ) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of q(x_s | x_t, x0, mu) for any s < t.

        For IR-SDE and ``s = t - 1`` the mean is the optimal reverse state of the paper's
        Proposition 3.2.

        Returns
        -------
        mean : Tensor, shape (B, C, H, W)
        std : Tensor, shape () or (B, 1, 1, 1)
        """
        rho, on_x0, on_mu, std = self.posterior_coefficients(t, s, x_t)
        mean = self._cast(rho, x_t) * x_t + self._cast(on_x0, x_t) * x0
        return mean + self._cast(on_mu, x_t) * mu, self._cast(std, x_t)

    def draw(
        self, x_t: Tensor, x0: Tensor, mu: Tensor, t: Step, s: Step, normals: Callable[[], Tensor]
    ) -> Tensor:
        """State drawn from q(x_s | x_t, x0, mu), with standard normals if it needs any."""
        mean, std = self.posterior(x_t, x0, mu, t, s)
        return mean + std * self.scaled(normals(), x0, mu) if std > 0 else mean

    def reverse_sde(self, t: Step, s: Step, like: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Reverse SDE ``dx = [f - sigma^2 score] dt + sigma dw``, integrated over a step.

        Returns
        -------
        x, f, sigma2, score : Tensor, float64
            State, drift and score at t, f and sigma^2 times dt (paper, section 3;
            docs/mathematics.md, 4.2). `sigma2` is a number for each image. The others are weights
            of x_t, mu, the noise and the score, with which one calculates as with images, so that
            rounding to their dtype comes last: ``x - (f - sigma2 * score)`` is the mean of one
            Euler-Maruyama step. `combined` makes an image of weights. Where the gauge g is not a,
            the drift contains the clean image, which is read off the noise.

        Raises
        ------
        ValueError
            If the process has no SDE, or its drift is not finite over the step.
        """
        if self.diffusion is None:
            raise ValueError(f"{self.name}: no SDE is defined, Euler steps do not apply")

        def over_step(table: Tensor) -> Tensor:
            return self.at(table, t, like) - self.at(table, s, like)

        c = self.at(self.c, t, like)
        theta = -over_step(self.log_a if self.drift is None else self.drift)
        clean_pull = over_step(self.log_a) - over_step(self.log_g)
        if not bool(torch.isfinite(theta).all()) or bool((c == 0).any()):
            raise ValueError(f"{self.name}: no Euler step starts at step {t}")
        units = torch.eye(4, dtype=torch.float64, device=c.device)
        x, mu, noise, score = units.reshape(4, 4, *[1] * c.ndim)
        f = theta * ((mu if self.reverts else 0) - x) - clean_pull * c * noise
        return x, f, over_step(self.diffusion), score

    def combined(self, weights: Tensor, x_t: Tensor, mu: Tensor, noise: Tensor, t: Step) -> Tensor:
        """Image that weights of `reverse_sde` stand for.

        Parameters
        ----------
        weights : Tensor of float64, shape (4,) or (4, B, 1, 1, 1)
        x_t, mu, noise : Tensor, shape (B, C, H, W)
            State, degraded image and the noise in the state, given or predicted.
        t : int or integer Tensor of shape (B,)
        """
        on_x, on_mu, on_noise = self._without_score(weights, t, x_t)
        mean = self._cast(on_x, x_t) * x_t + self._cast(on_mu, x_t) * mu
        return mean + self._cast(on_noise, x_t) * noise

    def _without_score(self, weights: Tensor, t: Step, like: Tensor) -> tuple[Tensor, ...]:
        """Weights of x_t, mu and the noise, of which the score is ``-noise / c_t``."""
        on_x, on_mu, on_noise, on_score = weights
        return on_x, on_mu, on_noise - on_score / self.at(self.c, t, like)

    def reverse_mean(self, x_t: Tensor, mu: Tensor, noise: Tensor, t: Step, s: Step) -> Tensor:
        """Mean of one Euler-Maruyama step of the reverse SDE from t to s."""
        return self.combined(self._reverse_mean(t, s, x_t), x_t, mu, noise, t)

    def _reverse_mean(self, t: Step, s: Step, like: Tensor) -> Tensor:
        x, f, sigma2, score = self.reverse_sde(t, s, like)
        return x - (f - sigma2 * score)

    def _optimal(self, t: Step, like: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Weights of x_t, mu, noise and x0 in the one-step mean minus the posterior mean."""
        on_x, on_mu, on_noise = self._without_score(self._reverse_mean(t, t - 1, like), t, like)
        rho, on_x0, posterior_on_mu, _ = self.posterior_coefficients(t, t - 1, like)
        return on_x - rho, on_mu - posterior_on_mu, on_noise, -on_x0

    def clean_from_optimal_noise(
        self, x_t: Tensor, mu: Tensor, optimal_noise: Tensor, t: Step
    ) -> Tensor:
        """Clean image from the noise that makes the one-step mean optimal (docs/mathematics.md, 5).

        A network trained with the maximum-likelihood objective predicts the noise for which one
        Euler step to t - 1 lands on the posterior mean, not the noise in the state. This solves
        ``reverse_mean = posterior mean`` for x0.
        """
        on_x, on_mu, on_noise, on_x0 = self._optimal(t, x_t)
        return (
            self._cast(-on_x / on_x0, x_t) * x_t
            + self._cast(-on_mu / on_x0, x_t) * mu
            + self._cast(-on_noise / on_x0, x_t) * optimal_noise
        )

    def optimal_noise(self, x_t: Tensor, x0: Tensor, mu: Tensor, t: Step) -> Tensor:
        """Noise for which one Euler step from t to t - 1 lands on the posterior mean.

        The exact inverse of `clean_from_optimal_noise`.
        """
        on_x, on_mu, on_noise, on_x0 = self._optimal(t, x_t)
        return (
            self._cast(-on_x / on_noise, x_t) * x_t
            + self._cast(-on_mu / on_noise, x_t) * mu
            + self._cast(-on_x0 / on_noise, x_t) * x0
        )


@dataclass(frozen=True, eq=False)
class LogNormalProcess(GaussianProcess):
    """A process whose share of mu is log-normal: ``x_t = x0 + f_t (mu - x0)``.

    The tables hold the mean and the deviation of the share, which is drawn for each pixel, and the
    chain's regression; what takes the noise for normal is right to these first two moments.

    Parameters
    ----------
    log_std : Tensor
        Standard deviation of ``log f_t``; falls to 0 at T.
    """

    log_std: Tensor = field(kw_only=True)

    def _logarithm(self, t: Step, like: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of ``log f_t``, float64."""
        variance = self.at(self.log_std, t, like) ** 2
        return self.at(self.b, t, like).log() - variance / 2, variance

    def noise_in(self, x0: Tensor, mu: Tensor, t: Step, normals: Tensor) -> Tensor:
        """Noise in a state that is drawn with these standard normals."""
        mean, variance = self._logarithm(t, x0)
        share = torch.exp(self._cast(mean, x0) + self._cast(variance.sqrt(), x0) * normals)
        b, c = (self._cast(self.at(table, t, x0), x0) for table in (self.b, self.c))
        return torch.where(c == 0, 0.0, (b - share) / c) * (x0 - mu)

    def draw(
        self,
        x_t: Tensor,
        x0: Tensor,
        mu: Tensor,  # noqa: ARG002
        t: Step,
        s: Step,
        normals: Callable[[], Tensor],
    ) -> Tensor:
        """State drawn from q(x_s | x_t, x0), the chain's own transition."""
        (mean_t, variance_t), (mean_s, variance_s) = (self._logarithm(k, x_t) for k in (t, s))
        std = self._cast((variance_s - variance_t).sqrt(), x_t)
        return x0 + (x_t - x0) * torch.exp(self._cast(mean_s - mean_t, x_t) + std * normals())


def theta_schedule(schedule: Schedule, steps: int) -> Tensor:
    """Speed of mean reversion on the steps 0 ... T, as the authors' code has it.

    Parameters
    ----------
    schedule : {"constant", "linear", "cosine"}
    steps : int
        T, at least 1.

    Returns
    -------
    Tensor, float64, shape (T + 1,)
        Entry 0 is never stepped. "cosine" is one minus the cumulative cosine schedule of DDPM
        (docs/mathematics.md, 6).

    Raises
    ------
    ValueError
        If the schedule is unknown or `steps` is not positive.
    """
    if steps < 1:
        raise ValueError(f"steps must be positive, not {steps}")
    n = steps + 1
    if schedule == "constant":
        return torch.ones(n, dtype=torch.float64)
    if schedule == "linear":
        scale = 1000 / n
        return torch.linspace(scale * 1e-4, scale * 0.02, n, dtype=torch.float64)
    if schedule == "cosine":
        u = torch.linspace(0, 1, n + 2, dtype=torch.float64)
        f = torch.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2
        return 1 - f[1:-1] / f[0]
    raise ValueError(f"unknown schedule {schedule!r}: constant, linear or cosine")


def theta_integral(schedule: Schedule, steps: int, delta: float) -> Tensor:
    """Integral of theta from 0 to each step, scaled so that ``exp(-integral_T) = delta``.

    Returns
    -------
    Tensor, float64, shape (T + 1,)
        ``cumsum(theta) dt`` of the authors' code, without theta_0.
    """
    if not 0 < delta < 1:
        raise ValueError(f"delta must lie in (0, 1), not {delta}")
    theta = theta_schedule(schedule, steps)
    total = torch.cumsum(theta, 0) - theta[0]
    return total * (-math.log(delta) / total[-1])


def _check_positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be positive and finite, not {value}")


def mean_reverting(
    steps: int = 100,
    schedule: Schedule = "cosine",
    stationary_std: float = 10 / 255,
    delta: float = 0.005,
) -> GaussianProcess:
    """IR-SDE: ``dx = theta (mu - x) dt + sigma dw`` with ``sigma^2 = 2 lambda^2 theta``.

    Parameters
    ----------
    steps : int
        T.
    schedule : {"constant", "linear", "cosine"}
        Schedule of theta.
    stationary_std : float
        lambda, standard deviation of the terminal noise, in the unit of the images ([0, 1]).
    delta : float
        Weight of x0 that is left at T (`eps` in the authors' configurations).

    Returns
    -------
    GaussianProcess
        ``a = exp(-theta_bar)``, ``b = 1 - a``, ``c = lambda sqrt(1 - a^2)`` (paper,
        Proposition 3.1).

    Examples
    --------
    >>> process = mean_reverting(steps=100, stationary_std=10 / 255)
    >>> round(float(process.a[-1]), 6), round(255 * float(process.c[-1]), 4)
    (0.005, 9.9999)
    """
    _check_positive("stationary_std", stationary_std)
    integral = theta_integral(schedule, steps, delta)
    a = _table(torch.exp(-integral))
    return GaussianProcess(
        name="mean-reverting SDE",
        a=a,
        b=_table(-torch.expm1(-integral)),
        c=_table(stationary_std * torch.sqrt(-torch.expm1(-2 * integral))),
        g=a,
        log_a=_table(-integral),
        log_g=_table(-integral),
        diffusion=_table(2 * stationary_std**2 * integral),
        reverts=True,
        start_std=stationary_std,
    )


def gaussian_denoising(
    steps: int = 100,
    schedule: Schedule = "cosine",
    stationary_std: float = 70 / 255,
    delta: float = 0.04,
) -> GaussianProcess:
    """IR-SDE with mu := x0, for removing Gaussian noise (docs/mathematics.md, 6.2).

    ``x_t = x0 + c_t noise`` with the standard deviation of `mean_reverting`. A noisy image is
    itself the state at the step whose `c` is its noise level: `matched_step`.
    """
    reverting = mean_reverting(steps, schedule, stationary_std, delta)
    ones = torch.ones_like(reverting.a)
    return GaussianProcess(
        name="Gaussian denoising SDE",
        a=ones,
        b=torch.zeros_like(ones),
        c=reverting.c,
        g=reverting.a,
        log_a=torch.zeros_like(ones),
        log_g=reverting.log_a,
        diffusion=reverting.diffusion,
        reverts=False,
        start_std=stationary_std,
    )


def matched_step(process: GaussianProcess, noise_level: float) -> int:
    """Step whose state has the noise level of a noisy image, nearest in ``theta_bar``.

    Parameters
    ----------
    process : GaussianProcess
        A `gaussian_denoising` process.
    noise_level : float
        Standard deviation of the noise in the image, in its unit ([0, 1]).

    Returns
    -------
    int
        Step in [1, T].

    Raises
    ------
    ValueError
        If the noise level is not positive or above the stationary deviation.
    """
    if not 0 < noise_level <= process.start_std:
        raise ValueError(
            f"noise level {noise_level:.4f} must lie in (0, {process.start_std:.4f}], "
            "at or below the stationary deviation of the process"
        )
    target = -0.5 * math.log(1 - (noise_level / process.start_std) ** 2 + 1e-6)
    return max(1, int((-process.log_g - target).abs().argmin()))


def _cosine_beta(steps: int) -> Tensor:
    """Noise that a step adds by DDPM's cosine schedule: s = 0.008, at most 0.999; shape (T,)."""
    u = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    f = torch.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2
    return torch.clamp(1 - f[1:] / f[:-1], max=0.999)


def variance_preserving(steps: int = 1000, schedule: str = "linear") -> GaussianProcess:
    """Conditional DDPM: ``x_t = sqrt(abar) x0 + sqrt(1 - abar) noise``; images in [-1, 1].

    Parameters
    ----------
    steps : int
        T. The linear schedule is scaled by 1000 / T so that its end does not depend on T.
    schedule : {"linear", "cosine"}
        "linear": beta from 1e-4 to 0.02 at T = 1000; "cosine": s = 0.008, beta at most 0.999
        (docs/mathematics.md, 6.3).
    """
    if steps < 1:
        raise ValueError(f"steps must be positive, not {steps}")
    if schedule == "linear":
        if steps <= 20:
            raise ValueError(f"the linear schedule needs more than 20 steps, not {steps}")
        scale = 1000 / steps
        beta = torch.linspace(scale * 1e-4, scale * 0.02, steps, dtype=torch.float64)
    elif schedule == "cosine":
        beta = _cosine_beta(steps)
    else:
        raise ValueError(f"unknown schedule {schedule!r}: linear or cosine")
    log_abar = torch.cumsum(torch.log1p(-beta), 0)
    log_abar = torch.cat([torch.zeros(1, dtype=torch.float64), log_abar])
    a = _table(torch.exp(log_abar / 2))
    return GaussianProcess(
        name="variance-preserving SDE",
        a=a,
        b=torch.zeros_like(a),
        c=_table(torch.sqrt(-torch.expm1(log_abar))),
        g=a,
        log_a=_table(log_abar / 2),
        log_g=_table(log_abar / 2),
        diffusion=_table(-log_abar),
        reverts=False,
        start_std=1.0,
    )


def brownian_bridge(steps: int = 1000, beta_max: float = 0.3) -> GaussianProcess:
    """I2SB: a Brownian bridge from x0 to mu with symmetric beta (docs/mathematics.md, 6.4).

    Parameters
    ----------
    steps : int
        T, at least 2.
    beta_max : float
        The authors' `beta_max`: the square root of beta rises linearly towards
        ``sqrt(beta_max / 1000)``, turns halfway and falls again. Values are for 1000 steps and
        scaled by 1000 / T, so that the noise hardly depends on T.
    """
    _check_positive("beta_max", beta_max)
    if steps < 2:
        raise ValueError(f"a bridge needs at least two steps, not {steps}")
    rising = torch.linspace(1e-2, math.sqrt(beta_max / 1000), steps, dtype=torch.float64)
    half = rising[: (steps + 1) // 2]
    beta = torch.cat([half, half.flip(0)[steps % 2 :]]) ** 2 * (1000 / steps)
    before = torch.cat([torch.zeros(1, dtype=torch.float64), torch.cumsum(beta, 0)])
    total = before[-1]
    after = total - before
    after[-1] = 0.0
    a = _table(after / total)
    return GaussianProcess(
        name="Brownian bridge",
        a=a,
        b=_table(before / total),
        c=_table(torch.sqrt(before * after / total)),
        g=a,
        log_a=_table(torch.log(a)),
        log_g=_table(torch.log(a)),
        diffusion=_table(before),
        reverts=True,
        start_std=0.0,
    )


def ornstein_uhlenbeck_bridge(
    steps: int = 100,
    schedule: Schedule = "cosine",
    stationary_std: float = 30 / 255,
    delta: float = 0.005,
    penalty: float = math.inf,
) -> GaussianProcess:
    """GOUB: the mean-reverting SDE conditioned to end at mu (docs/mathematics.md, 6.5).

    Parameters
    ----------
    steps : int
        T, at least 2.
    schedule : {"constant", "linear", "cosine"}
    stationary_std : float
        lambda, in the unit of the images.
    delta : float
        ``exp(-theta_bar)`` at T.
    penalty : float
        UniDB's gamma: the weight of the squared distance from mu at T, in place of a fixed end.

    Notes
    -----
    Conditioning adds a second pull to the drift, which grows without bound towards T. Over one
    step the authors' code takes theta's integral times both rates at the step's end t,
    ``coth(theta_bar_T - theta_bar_t)`` together, and leaves the second one out at T.
    """
    _check_positive("stationary_std", stationary_std)
    if not penalty > 0:
        raise ValueError(f"penalty must be positive, not {penalty}")
    if steps < 2:
        raise ValueError(f"a bridge needs at least two steps, not {steps}")
    slack = 1 / (penalty * stationary_std**2)
    integral = theta_integral(schedule, steps, delta)
    before = -torch.expm1(-2 * integral)
    after = -torch.expm1(-2 * (integral[-1] - integral))
    total = before[-1]
    log_a = -integral + torch.log((after + slack) / (total + slack))
    a = _table(torch.exp(log_a))
    one_step = torch.diff(integral, prepend=integral[:1])
    if slack:
        one_step[:-1] *= ((2 + slack - after) / (after + slack))[:-1]
    else:
        one_step[:-1] /= torch.tanh(integral[-1] - integral[:-1])
    return GaussianProcess(
        name="UniDB bridge" if slack else "Ornstein-Uhlenbeck bridge",
        a=a,
        b=_table(1 - a),
        c=_table(stationary_std * torch.sqrt(before * after / total)),
        g=a,
        log_a=_table(log_a),
        log_g=_table(log_a),
        diffusion=_table(2 * stationary_std**2 * integral),
        reverts=True,
        start_std=0.0,
        drift=_table(-torch.cumsum(one_step, 0)),
    )


def diffusion_bridge(
    steps: int = 1000, beta_d: float = 2.0, beta_min: float = 0.1
) -> GaussianProcess:
    """DDBM-VP: a variance-preserving diffusion conditioned to end at mu; images in [-1, 1].

    docs/mathematics.md, 6.8. No drift is given: its pull to mu is none of the mean-reverting form,
    so Euler samplers do not apply.

    Parameters
    ----------
    steps : int
        T, at least 2; time is t / T.
    beta_d, beta_min : float
        The authors' names: beta rises from `beta_min` to ``beta_min + beta_d``.
    """
    _check_positive("beta_d", beta_d)
    _check_positive("beta_min", beta_min)
    if steps < 2:
        raise ValueError(f"a bridge needs at least two steps, not {steps}")
    time = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    log_alpha = -(beta_d * time**2 / 4 + beta_min * time / 2)
    inverse_snr = torch.expm1(-2 * log_alpha)
    ratio = inverse_snr / inverse_snr[-1]
    alpha = torch.exp(log_alpha)
    log_a = log_alpha + torch.log1p(-ratio)
    a = _table(torch.exp(log_a))
    return GaussianProcess(
        name="variance-preserving bridge",
        a=a,
        b=_table(alpha / alpha[-1] * ratio),
        c=_table(alpha * torch.sqrt(inverse_snr * (1 - ratio))),
        g=a,
        log_a=_table(log_a),
        log_g=_table(log_a),
        diffusion=None,
        reverts=False,
        start_std=0.0,
    )


def residual_bridge(
    steps: int = 100, stationary_std: float = 0.01, noise_scale: NoiseScale = "residual"
) -> GaussianProcess:
    """RDBM: GOUB's bridge, its noise multiplied by the residual; images in [-1, 1].

    docs/mathematics.md, 6.10. No diffusion is given: the authors take no Euler steps.

    Parameters
    ----------
    steps : int
        T, at least 2.
    stationary_std : float
        Root of the authors' `lamb`; GOUB's lambda.
    noise_scale : {"one", "residual", "zero"}
        The authors' ablation.
    """
    _check_positive("stationary_std", stationary_std)
    if steps < 2:
        raise ValueError(f"a bridge needs at least two steps, not {steps}")
    before = torch.cat([torch.zeros(1, dtype=torch.float64), torch.cumsum(_cosine_beta(steps), 0)])
    after = torch.sinh(before[-1] - before)
    a = _table(after / after[0])
    return GaussianProcess(
        name="residual diffusion bridge",
        a=a,
        b=_table(1 - a),
        c=_table(stationary_std * torch.sqrt(2 * torch.sinh(before) * a)),
        g=a,
        log_a=_table(torch.log(a)),
        log_g=_table(torch.log(a)),
        diffusion=None,
        reverts=True,
        start_std=0.0,
        noise_scale=noise_scale,
    )


def forward_only(
    steps: int = 100, variance: float = 1.0, remainder: float = 0.001
) -> LogNormalProcess:
    """FoD: ``dx = theta (x0 - x) dt + sigma (x - x0) dw`` from mu to x0; images in [-1, 1].

    docs/mathematics.md, 6.11. The authors count steps from mu, this from x0.

    Parameters
    ----------
    steps : int
        T, at least 1.
    variance : float
        Sum of sigma^2 over the steps, in the unit of theta, which is the cosine schedule's.
    remainder : float
        Median share of ``mu - x0`` that the authors leave at the end, where this leaves none.
    """
    if steps < 1:
        raise ValueError(f"steps must be positive, not {steps}")
    _check_positive("variance", variance)
    if not 0 < remainder < 1:
        raise ValueError(f"remainder must lie in (0, 1), not {remainder}")
    theta = _cosine_beta(steps)
    sigma2 = torch.linspace(1e-4, 0.02, steps, dtype=torch.float64)
    sigma2 *= variance / sigma2.sum()
    dt = -math.log(remainder) / float(theta.sum() + sigma2.sum() / 2)
    pull, log_variance = (
        torch.cat([torch.zeros(1, dtype=torch.float64), torch.cumsum(rate, 0) * dt]).flip(0)
        for rate in (theta, sigma2)
    )
    pull[0] = math.inf
    b = _table(torch.exp(-pull))
    a = _table(-torch.expm1(-pull))
    relative = torch.expm1(log_variance)
    return LogNormalProcess(
        name="forward-only diffusion",
        a=a,
        b=b,
        c=_table(b * relative.sqrt()),
        g=_table(b * relative),
        log_a=_table(torch.log(a)),
        log_g=_table(torch.log(b * relative)),
        diffusion=None,
        reverts=True,
        start_std=0.0,
        noise_scale="residual",
        log_std=_table(log_variance.sqrt()),
    )


def residual_shift(
    steps: int = 15, kappa: float = 0.3, power: float = 0.3, end: float = 0.99
) -> GaussianProcess:
    """ResShift: ``x_t = x0 + eta_t (mu - x0) + kappa sqrt(eta_t) noise``.

    docs/mathematics.md, 6.6.

    Parameters
    ----------
    steps : int
        T, at least 2.
    kappa : float
        Noise level relative to ``sqrt(eta)``; the authors' 2 suits latents, pixels in [0, 1] need
        0.1 to 0.5.
    power, end : float
        Exponent of the geometric schedule and last value of ``sqrt(eta)``.
    """
    _check_positive("kappa", kappa)
    _check_positive("power", power)
    if steps < 2:
        raise ValueError(f"at least two steps are needed, not {steps}")
    first = min(0.04 / kappa, 0.04)
    if not first < end < 1:
        raise ValueError(f"end must lie between {first:.4g} and 1, not {end}")
    fraction = torch.linspace(0, 1, steps, dtype=torch.float64) ** power
    eta = first * (end / first) ** fraction
    eta = torch.cat([torch.zeros(1, dtype=torch.float64), eta**2])
    a = _table(1 - eta)
    ones = torch.ones_like(a)
    return GaussianProcess(
        name="residual shift",
        a=a,
        b=_table(eta),
        c=_table(kappa * torch.sqrt(eta)),
        g=ones,
        log_a=_table(torch.log(a)),
        log_g=torch.zeros_like(a),
        diffusion=_table(kappa**2 * eta),
        reverts=True,
        start_std=kappa * math.sqrt(float(eta[-1])),
    )


def linear_interpolant(steps: int = 100, noise_level: float = 10 / 255) -> GaussianProcess:
    """InDI with constant noise, and flow matching: ``x_t = (1 - t) x0 + t (mu + sigma noise)``.

    Parameters
    ----------
    steps : int
        T; time is t / T.
    noise_level : float
        sigma, standard deviation of the noise at T. With sigma = 0 and mu given to the network
        the flow collapses to regression (docs/mathematics.md, 6.7), so it must be positive.

    Notes
    -----
    In the gauge ``g = t`` the posterior has no noise and is InDI's step, which is also the Euler
    step of the flow.
    """
    _check_positive("noise_level", noise_level)
    if steps < 1:
        raise ValueError(f"steps must be positive, not {steps}")
    time = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    a = _table(1 - time)
    return GaussianProcess(
        name="linear interpolant",
        a=a,
        b=time,
        c=_table(noise_level * time),
        g=time,
        log_a=_table(torch.log(a)),
        log_g=_table(torch.log(time)),
        diffusion=None,
        reverts=True,
        start_std=noise_level,
    )
