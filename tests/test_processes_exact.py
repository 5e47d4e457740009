"""Processes by hand: where restoration starts, the tables of a bridge."""

import math

import pytest
import torch

from irsde.objectives import OBJECTIVES, largest_step
from irsde.processes import (
    brownian_bridge,
    linear_interpolant,
    mean_reverting,
    residual_shift,
    variance_preserving,
)


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


PROCESSES = {
    "mean-reverting": mean_reverting(10, "cosine", 0.2, 0.005),
    "bridge": brownian_bridge(10),
    "residual shift": residual_shift(steps=10),
    "diffusion": variance_preserving(40),
    "interpolant": linear_interpolant(10),
}


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("t", [1, 4, 9])
def test_conversions_of_a_state_in_plain_arithmetic(name, t):
    """x_t = a x0 + b mu + c noise, its score -noise / c, and the way back from each."""
    process = PROCESSES[name]
    a, b, c = (float(table[t]) for table in (process.a, process.b, process.c))
    generator = torch.Generator().manual_seed(0)
    x0, mu, noise = torch.randn(3, 1, 3, 2, 2, generator=generator, dtype=torch.float64)
    x_t = process.sample(x0, mu, t, noise)
    torch.testing.assert_close(x_t, a * x0 + b * mu + c * noise)
    torch.testing.assert_close(process.noise(x_t, x0, mu, t), noise)
    score = process.score(x_t, x0, mu, t)
    torch.testing.assert_close(score, -noise / c)
    torch.testing.assert_close(process.noise_from_score(score, t), noise)
    torch.testing.assert_close(process.clean_from_noise(x_t, mu, noise, t), x0)
    velocity = process.velocity(x0, mu, noise, t)
    da, db, dc = (
        (float(table[t + 1]) - float(table[t - 1])) / 2 * process.steps
        for table in (process.a, process.b, process.c)
    )
    torch.testing.assert_close(velocity, da * x0 + db * mu + dc * noise)
    torch.testing.assert_close(process.clean_from_velocity(x_t, mu, velocity, t), x0)


def test_noise_is_not_asked_for_where_a_state_shows_no_clean_image():
    """A bridge ends at mu: a network that predicts noise is called from T - 1 on."""
    bridge, reverting = PROCESSES["bridge"], PROCESSES["mean-reverting"]
    steps = {name: largest_step(OBJECTIVES[name], bridge) for name in ("noise", "clean")}
    assert steps == {"noise": 9, "clean": 10}
    assert largest_step(OBJECTIVES["noise"], reverting) == 10
