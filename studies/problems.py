"""A restoration problem whose exact score, flow and posterior law are known."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from irsde.processes import GaussianProcess


@dataclass(frozen=True)
class Mixture:
    """One pixel: x0 given mu = 0 is a mixture of two normals (standard deviation 0.577).

    States have the shape (B, 1, 1, 1), float64.
    """

    means: tuple[float, ...] = (-0.55, 0.60)
    weights: tuple[float, ...] = (0.35, 0.65)
    deviation: float = 0.18

    def _components(self, process: GaussianProcess, t: int) -> tuple[Tensor, Tensor, Tensor]:
        a, c = float(process.a[t]), float(process.c[t])
        means = torch.tensor(self.means, dtype=torch.float64)
        deviation = math.hypot(a * self.deviation, c)
        return means, a * means, torch.tensor(deviation, dtype=torch.float64)

    def clean(self, process: GaussianProcess, x: Tensor, t: int) -> Tensor:
        """Exact E[x0 | x_t]."""
        means, centers, deviation = self._components(process, t)
        a = float(process.a[t])
        offsets = x.reshape(-1, 1) - centers
        log_weight = torch.log(torch.tensor(self.weights, dtype=torch.float64))
        weight = torch.softmax(log_weight - 0.5 * (offsets / deviation) ** 2, dim=1)
        conditional = means + a * self.deviation**2 / deviation**2 * offsets
        return (weight * conditional).sum(1).reshape(x.shape)

    def cdf(self, process: GaussianProcess, x: Tensor, t: int) -> Tensor:
        """Distribution function of the state at step t."""
        _, centers, deviation = self._components(process, t)
        weight = torch.tensor(self.weights, dtype=torch.float64)
        z = (x.reshape(-1, 1) - centers) / deviation
        return (weight * torch.special.ndtr(z)).sum(1).reshape(x.shape)

    def quantile(self, process: GaussianProcess, level: Tensor, t: int) -> Tensor:
        """Inverse of `cdf`, by bisection."""
        low, high = torch.full_like(level, -10.0), torch.full_like(level, 10.0)
        for _ in range(80):
            middle = (low + high) / 2
            below = self.cdf(process, middle, t) < level
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return (low + high) / 2

    def levels(self, count: int) -> Tensor:
        """Stratified probability levels, shape (count, 1, 1, 1)."""
        return ((torch.arange(count, dtype=torch.float64) + 0.5) / count).reshape(-1, 1, 1, 1)
