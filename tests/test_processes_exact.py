"""Processes by hand: where restoration starts, the tables of a bridge."""

import math

import pytest
import torch

from irsde.processes import brownian_bridge, mean_reverting


def test_restoration_starts_at_mu_plus_the_stationary_noise():
    process = mean_reverting(steps=10, schedule="cosine", stationary_std=0.2, delta=0.005)
    mu, noise = torch.full((1, 3, 2, 2), 0.5), torch.full((1, 3, 2, 2), 1.5)
    torch.testing.assert_close(process.start(mu, noise), torch.full((1, 3, 2, 2), 0.8))
    start = brownian_bridge(10).start(mu, noise)
    torch.testing.assert_close(start, mu)


@pytest.mark.parametrize("steps", [6, 7])
@pytest.mark.parametrize("beta_max", [0.3, 1.0])
def test_a_bridge_has_the_variance_of_what_lies_before_and_after(steps, beta_max):
    """The root of beta rises linearly, turns halfway and falls; all of it scaled by 1000 / T."""
    rise = [0.01 + (math.sqrt(beta_max / 1000) - 0.01) * k / (steps - 1) for k in range(steps)]
    roots = [rise[min(k, steps - 1 - k)] for k in range(steps)]
    beta = [root**2 * 1000 / steps for root in roots]
    total = sum(beta)
    process = brownian_bridge(steps, beta_max)
    for t in range(steps + 1):
        before = sum(beta[:t])
        after = total - before
        assert float(process.a[t]) == pytest.approx(after / total, abs=1e-9)
        assert float(process.b[t]) == pytest.approx(before / total, abs=1e-9)
        deviation = math.sqrt(max(before * after / total, 0))
        assert float(process.c[t]) == pytest.approx(deviation, rel=1e-6, abs=1e-7)
