"""Samplers: oracles, laws, orders of convergence on a problem with a known score, NFE, noise."""

import itertools
import math

import numpy as np
import pytest
import torch

from irsde.processes import (
    brownian_bridge,
    linear_interpolant,
    mean_reverting,
    ornstein_uhlenbeck_bridge,
    residual_shift,
    variance_preserving,
)
from irsde.samplers import GRIDS, SAMPLERS, sample, step_grid, trajectory
from tests.problems import Mixture

PROCESSES = [
    mean_reverting(),
    variance_preserving(100),
    brownian_bridge(100),
    ornstein_uhlenbeck_bridge(),
    residual_shift(),
    linear_interpolant(),
]
ODE = ["probability-flow", "ddim", "mrs-ode-1", "mrs-ode-1-data", "mrs-ode-2", "mrs-ode-2-data"]
SDE = ["euler-maruyama", "posterior", "mrs-sde-1-data", "mrs-sde-2-data", "mrs-sde-1"]


def images(seed=0, count=2):
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand((count, 3, 5, 4), generator=generator, dtype=torch.float64) for _ in "ab"]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: p.name)
def test_grids_have_as_many_distinct_steps_as_asked(process, grid):
    for nfe in range(1, process.steps + 1):
        steps = step_grid(process, nfe, grid)
        assert len(steps) == nfe + 1
        assert steps[0] == process.steps
        assert steps[-1] == 0
        assert all(a > b for a, b in itertools.pairwise(steps))


def test_the_full_grid_is_every_step_for_every_spacing():
    process = mean_reverting()
    for grid in GRIDS:
        assert step_grid(process, 100, grid) == list(range(100, -1, -1))


@pytest.mark.parametrize("nfe", [1, 2, 7])
@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: p.name)
def test_an_oracle_of_the_clean_image_is_returned_exactly(process, sampler, nfe):
    solver = SAMPLERS[sampler]
    if solver.refusal(process) or solver.kind == "euler":
        return
    x0, mu = images()
    start = process.start(mu, torch.randn_like(x0))
    restored = sample(process, lambda *_: x0, start, mu, sampler, nfe, prediction="clean")
    torch.testing.assert_close(restored, x0, rtol=0, atol=1e-12)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: p.name)
def test_every_state_of_the_posterior_sampler_has_the_marginal_law(process):
    x0, mu = torch.full((1, 1, 200, 200), 0.8).double(), torch.full((1, 1, 200, 200), 0.3).double()
    torch.manual_seed(0)
    start = process.sample(x0, mu, process.steps, torch.randn_like(x0))
    for state in trajectory(process, lambda *_: x0, start, mu, nfe=5, prediction="clean"):
        mean, std = process.marginal(x0, mu, state.step)
        assert abs(state.x.mean() - mean.mean()) <= 5 * float(std) / 200
        assert abs(state.x.std() - std) <= 5 * float(std) / (200 * math.sqrt(2)) + 1e-15


def flow_errors(sampler, counts):
    """Mean distance from the exact probability flow of the mixture problem."""
    problem, process = Mixture(), mean_reverting(1280, stationary_std=0.4)
    levels = problem.levels(400)
    start = problem.quantile(process, levels, process.steps)
    exact = problem.quantile(process, levels, 0)
    mu = torch.zeros_like(start)

    def network(x, mu, t):
        clean = problem.clean(process, x, t)
        return process.noise(x, clean, mu, t)

    return [
        float((sample(process, network, start, mu, sampler, n) - exact).abs().mean())
        for n in counts
    ]


@pytest.mark.parametrize("sampler", ODE)
def test_deterministic_samplers_converge_at_their_order(sampler):
    counts = (20, 40, 80, 160, 320)
    slope = -np.polyfit(np.log(counts), np.log(flow_errors(sampler, counts)), 1)[0]
    assert abs(slope - SAMPLERS[sampler].order) < 0.25


def test_second_order_at_twenty_steps_beats_euler_at_a_hundred_and_sixty():
    assert flow_errors("mrs-ode-2", [20])[0] < flow_errors("probability-flow", [160])[0]


@pytest.mark.parametrize("sampler", SDE)
def test_stochastic_samplers_reach_the_law_of_the_clean_image(sampler):
    problem, process = Mixture(), mean_reverting(1280, stationary_std=0.4)
    levels = problem.levels(4000)
    generator = torch.Generator().manual_seed(3)
    start = problem.quantile(process, levels, process.steps)
    mu = torch.zeros_like(start)

    def network(x, mu, t):
        return process.noise(x, problem.clean(process, x, t), mu, t)

    def noise(t, shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    restored = sample(process, network, start, mu, sampler, 160, noise=noise)
    exact = problem.quantile(process, levels, 0)
    distance = (restored.flatten().sort().values - exact.flatten()).abs().mean()
    assert distance < 0.03  # Wasserstein-1; the Monte-Carlo floor of 4000 samples is about 0.01


def test_one_step_forms_that_are_the_same_update_agree():
    """DDIM is both ODE forms of order 1, the posterior sampler the SDE form in the clean image."""
    process = mean_reverting()
    x0, mu = images()
    generator = torch.Generator().manual_seed(0)
    start = process.start(mu, torch.randn(x0.shape, generator=generator, dtype=torch.float64))

    def network(x, mu, t):
        return process.noise(x, 0.7 * x0 + 0.3 * mu, mu, t)

    def run(sampler):
        noise = torch.Generator().manual_seed(1)
        draw = lambda t, shape: torch.randn(shape, generator=noise, dtype=torch.float64)  # noqa: E731
        return sample(process, network, start, mu, sampler, 12, noise=draw)

    for a, b in (
        ("ddim", "mrs-ode-1"),
        ("ddim", "mrs-ode-1-data"),
        ("posterior", "mrs-sde-1-data"),
    ):
        torch.testing.assert_close(run(a), run(b), rtol=1e-9, atol=1e-9)


def test_reading_the_optimal_noise_exactly_recovers_the_clean_image_where_the_plain_formula_fails():
    process = mean_reverting()
    x0, mu = images()
    start = process.start(mu, torch.randn_like(x0))

    def network(x, mu, t):
        return process.optimal_noise(x, x0, mu, t)

    exact = sample(process, network, start, mu, "posterior", 1, prediction="optimal-noise")
    plain = sample(process, network, start, mu, "posterior", 1, prediction="noise")
    torch.testing.assert_close(exact, x0, rtol=0, atol=1e-9)
    assert float((plain - x0).abs().max()) > 0.1


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("nfe", [1, 10, 100])
def test_network_evaluations_are_counted(sampler, nfe):
    process, calls = mean_reverting(), []
    _, mu = images()

    def network(x, mu, t):
        calls.append(t)
        return torch.zeros_like(x)

    *_, last = trajectory(process, network, mu, mu, sampler, nfe)
    assert last.nfe == nfe == len(calls)
    assert calls == step_grid(process, nfe)[:-1]


@pytest.mark.parametrize("sampler", ["posterior", "euler-maruyama", "mrs-sde-2-data"])
def test_an_image_is_the_same_alone_and_in_a_batch(sampler):
    process = mean_reverting()
    _, mu = images(count=3)

    def restore(indices):
        generators = [torch.Generator().manual_seed(i) for i in indices]
        return sample(
            process,
            lambda x, m, t: x - m,
            mu[indices],
            mu[indices],
            sampler,
            9,
            generators=generators,
        )

    together = restore([0, 1, 2])
    for i in (2, 0, 1):
        assert torch.equal(restore([i]), together[i : i + 1])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"sampler": "heun"}, "unknown sampler"),
        ({"nfe": 101}, "give 1 to 100"),
        ({"nfe": 0}, "give 1 to 100"),
        ({"grid": "karras"}, "unknown grid"),
        ({"prediction": "x0"}, "unknown prediction"),
        ({"generators": []}, "0 generators"),
    ],
)
def test_wrong_arguments_are_refused(arguments, words):
    x0, mu = images()
    with pytest.raises(ValueError, match=words):
        sample(mean_reverting(), lambda x, m, t: x, x0, mu, **arguments)


def test_samplers_refuse_processes_they_are_not_valid_for():
    x0, mu = images()
    for sampler, process in (
        ("euler-maruyama", linear_interpolant()),
        ("mrs-sde-1-data", residual_shift()),
        ("mrs-ode-2", linear_interpolant()),
    ):
        with pytest.raises(ValueError, match=r"needs|extrapolates"):
            sample(process, lambda x, m, t: x, x0, mu, sampler, 3)
