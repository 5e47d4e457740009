"""Agreement with arrays computed by the authors' code (float32), where they are at hand."""

import numpy as np
import pytest
import torch

from irsde.objectives import OBJECTIVES, Drawn, loss_per_image
from irsde.processes import (
    gaussian_denoising,
    matched_step,
    mean_reverting,
    theta_integral,
    theta_schedule,
)
from irsde.samplers import SAMPLERS, Step, trajectory
from tests.reference import REFERENCE, needs_reference

pytestmark = needs_reference

SCHEDULES = ("cosine", "linear", "constant")
FLOAT32_CANCELLATION = 1e-5  # theirs is 1 - exp(-2 x) in float32: 0.9 % of c at x = 9e-7


def load(name):
    with np.load(REFERENCE / name) as arrays:
        return {key: torch.from_numpy(np.asarray(arrays[key])) for key in arrays}


def close(ours, theirs, atol=1e-6):
    torch.testing.assert_close(
        ours.double(), theirs.double(), rtol=1e-4, atol=atol, check_dtype=False
    )


def stepped(sampler, process, t, x, mu, noise, z):
    """State at t - 1 by a sampler."""
    clean = process.clean_from_noise(x, mu, noise, t)
    return SAMPLERS[sampler].step(Step(process, t, t - 1, x, mu, clean, noise, lambda: z))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("steps", [100, 1000])
def test_schedules_equal_the_authors(steps, schedule):
    arrays = load(f"schedules_T{steps}.npz")
    close(theta_schedule(schedule, steps), arrays[f"{schedule}_thetas"])
    integral = theta_integral(schedule, steps, 0.005)
    close(integral, arrays[f"{schedule}_thetas_cumsum"] * arrays[f"{schedule}_dt"])
    for level in (10, 25, 50, 70):
        process = mean_reverting(steps, schedule, level / 255)
        close(process.c, arrays[f"{schedule}_s{level}_sigma_bars"], FLOAT32_CANCELLATION)


@pytest.mark.parametrize("delta", [0.001, 0.005, 0.01, 0.05])
def test_terminal_weight_sets_the_marginal_deviation(delta):
    arrays = load("schedules_eps_sweep.npz")
    close(mean_reverting(delta=delta).c, arrays[f"eps{delta}_sigma_bars"])


@pytest.mark.parametrize("steps", [100, 1000])
@pytest.mark.parametrize("schedule", ["cosine", "linear"])
@pytest.mark.parametrize("level", [70, 75])
def test_denoising_process_and_its_matched_steps_equal_the_authors(steps, schedule, level):
    arrays = load(f"schedules_T{steps}.npz")
    process = gaussian_denoising(steps, schedule, level / 255)
    close(process.c, arrays[f"denoisingsde_{schedule}_s{level}_sigma_bars"], FLOAT32_CANCELLATION)
    for noise, step in arrays[f"denoisingsde_{schedule}_s{level}_optimal_t"].tolist():
        if noise <= level:
            assert matched_step(process, noise / 255) == step


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("level", [10, 50])
@pytest.mark.parametrize("t", [1, 2, 10, 50, 99, 100])
def test_single_steps_equal_the_authors(schedule, level, t):
    arrays = load("steps_irsde_T100.npz")
    key = f"{schedule}_s{level}_t{t}_"
    x0, mu, noise, z, network = (arrays[k] for k in ("x0", "mu", "noise", "z", "net_noise"))
    process = mean_reverting(100, schedule, level / 255)
    early = 1e-4 if t <= 10 else 1e-6

    mean, _ = process.marginal(x0, mu, t)
    close(mean, arrays[key + "mu_bar"])
    x_t = process.sample(x0, mu, t, noise)
    close(x_t, arrays[key + "xt"])
    x_t = arrays[key + "xt"]
    close(process.noise(x_t, x0, mu, t), arrays[key + "real_noise"], atol=2e-5)
    optimum, optimum_std = process.posterior(x_t, x0, mu, t, t - 1)
    close(optimum, arrays[key + "optimum"], atol=early)
    close(optimum_std, arrays[key + "optimum_std"], atol=early)
    close(process.reverse_mean(x_t, mu, network, t, t - 1), arrays[key + "sde_mean"])
    clean = process.clean_from_noise(x_t, mu, network, t)
    close(clean, arrays[key + "x0_from_net"], atol=2e-5)

    state = (process, t, x_t, mu, network, z)
    close(stepped("euler-maruyama", *state), arrays[key + "sde_step"])
    close(stepped("probability-flow", *state), arrays[key + "ode_step"])
    close(stepped("posterior", *state), arrays[key + "posterior_step"], atol=early)
    close(process.start(mu, z), arrays[key + "noise_state"])


@pytest.mark.parametrize(("level", "steps"), [(75, 100), (70, 1000)])
def test_denoising_steps_equal_the_authors(level, steps):
    arrays = load("steps_denoisingsde.npz")
    x0, noise, z, network = (arrays[k] for k in ("x0", "noise", "z", "net_noise"))
    process = gaussian_denoising(steps, "cosine", level / 255)
    for t in arrays[f"s{level}_T{steps}_timesteps"].tolist():
        key = f"s{level}_T{steps}_t{t}_"
        x_t = process.sample(x0, x0, t, noise)
        close(x_t, arrays[key + "xt"], FLOAT32_CANCELLATION)
        x_t = arrays[key + "xt"]
        mean = process.reverse_mean(x_t, x0, network, t, t - 1)
        close(mean, arrays[key + "sde_mean"], FLOAT32_CANCELLATION)
        state = (process, t, x_t, x0, network, z)
        stochastic = stepped("euler-maruyama", *state)
        close(stochastic, arrays[key + "sde_step"], FLOAT32_CANCELLATION)
        close(stepped("probability-flow", *state), arrays[key + "ode_step"])
        close(
            process.clean_from_noise(x_t, x0, network, t),
            arrays[key + "x0_from_net"],
            FLOAT32_CANCELLATION,
        )
        optimum, _ = process.posterior(x_t, x0, x0, t, t - 1)
        close(optimum, arrays[key + "optimum"], atol=1e-4)


def test_training_loss_equals_the_authors():
    arrays = load("training_batch_cosine_s10.npz")
    x0, mu, noise, network, t = (arrays[k] for k in ("x0", "mu", "noise", "net_noise", "t"))
    t = t.reshape(-1)
    process, objective = mean_reverting(), OBJECTIVES["maximum-likelihood"]
    for key, output, norm in (
        ("loss_l1", network, "l1"),
        ("loss_l2", network, "l2"),
        ("loss_l1_true_noise", noise, "l1"),
    ):
        drawn = Drawn(x0, mu, noise, process.sample(x0, mu, t, noise), t)
        loss = loss_per_image(objective, process, drawn, output, norm).mean()
        close(loss, arrays[key], atol=1e-6)


@pytest.mark.parametrize("level", [10, 50])
@pytest.mark.parametrize(
    ("key", "sampler"),
    [("sde", "euler-maruyama"), ("ode", "probability-flow"), ("posterior", "posterior")],
)
def test_whole_trajectories_equal_the_authors(level, key, sampler):
    arrays = load("trajectory_oracle_T100_cosine.npz")
    x0, mu, zs = arrays["x0"].double(), arrays["mu"].double(), arrays["zs"].double()
    process = mean_reverting(stationary_std=level / 255)
    start = process.start(mu, arrays["eps_T"].double())
    states = trajectory(
        process,
        lambda x, m, t: process.noise(x, x0, m, t),
        start,
        mu,
        sampler,
        100,
        noise=lambda t, shape: zs[100 - t],
    )
    ours = torch.stack([state.x for state in states])
    theirs = arrays[f"s{level}_{key}_states"]
    close(ours[:90], theirs[:90], atol=1e-5)
    close(ours[90:], theirs[90:], atol=1e-4)  # theirs cancels in float32 at t <= 10
