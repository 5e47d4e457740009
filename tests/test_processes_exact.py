"""Processes by hand: their tables, where restoration starts, steps and conversions."""

import inspect
import itertools
import math
from dataclasses import replace

import pytest
import torch

from irsde.objectives import OBJECTIVES, Drawn, largest_step, loss_per_image
from irsde.processes import (
    brownian_bridge,
    diffusion_bridge,
    forward_only,
    gaussian_denoising,
    linear_interpolant,
    matched_step,
    mean_reverting,
    ornstein_uhlenbeck_bridge,
    residual_bridge,
    residual_shift,
    theta_schedule,
    variance_preserving,
)
from irsde.samplers import Step, euler_maruyama, mean_ode, probability_flow


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
    """x_t = a x0 + b mu + c noise, and the way back."""
    process = PROCESSES[name]
    a, b, c = (float(table[t]) for table in (process.a, process.b, process.c))
    generator = torch.Generator().manual_seed(0)
    x0, mu, noise = torch.randn(3, 1, 3, 2, 2, generator=generator, dtype=torch.float64)
    x_t = process.sample(x0, mu, t, noise)
    torch.testing.assert_close(x_t, a * x0 + b * mu + c * noise)
    torch.testing.assert_close(process.noise(x_t, x0, mu, t), noise)
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


def cosine(u):
    return math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2


def theta(schedule, steps):
    """Entries 0 ... T of the authors' schedules, which have T + 1 of them."""
    if schedule == "constant":
        return [1.0] * (steps + 1)
    if schedule == "linear":
        first, last = (1000 / (steps + 1) * end for end in (0.0001, 0.02))
        return [first + (last - first) * k / steps for k in range(steps + 1)]
    return [1 - cosine((k + 1) / (steps + 2)) / cosine(0) for k in range(steps + 1)]


def integral(schedule, steps, delta):
    sums = [0.0, *itertools.accumulate(theta(schedule, steps)[1:])]
    return [-math.log(delta) * value / sums[-1] for value in sums]


def equal(table, expected):
    torch.testing.assert_close(
        table, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-13, equal_nan=True
    )


SCHEDULES = ["constant", "linear", "cosine"]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 9])
def test_schedules_of_theta(schedule, steps):
    equal(theta_schedule(schedule, steps), theta(schedule, steps))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 8])
def test_tables_of_the_mean_reverting_process_and_of_denoising(schedule, steps):
    total = integral(schedule, steps, 0.03)
    process = mean_reverting(steps, schedule, 0.3, 0.03)
    equal(process.a, [math.exp(-v) for v in total])
    equal(process.b, [1 - math.exp(-v) for v in total])
    deviations = [0.3 * math.sqrt(1 - math.exp(-2 * v)) for v in total]
    denoising = gaussian_denoising(steps, schedule, 0.3, 0.03)
    for one in (process, denoising):
        equal(one.c, deviations)
        equal(one.g, [math.exp(-v) for v in total])
        equal(one.log_g, [-v for v in total])
        equal(one.diffusion, [2 * 0.09 * v for v in total])
        assert (one.start_std, one.drift, one.is_bridge) == (0.3, None, False)
        assert one.reverts == (one is process)
    equal(process.log_a, [-v for v in total])
    equal(denoising.a, [1] * (steps + 1))
    equal(denoising.b, [0] * (steps + 1))
    equal(denoising.log_a, [0] * (steps + 1))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("steps", [2, 8])
def test_tables_of_goub(schedule, steps):
    total = integral(schedule, steps, 0.03)
    end = total[-1]
    process = ornstein_uhlenbeck_bridge(steps, schedule, 0.3, 0.03)
    a = [math.exp(-v) * (1 - math.exp(-2 * (end - v))) / (1 - math.exp(-2 * end)) for v in total]
    equal(process.a, a)
    equal(process.g, a)
    equal(process.b, [1 - value for value in a])
    logarithms = [math.log(value) if value else -math.inf for value in a]
    equal(process.log_a, logarithms)
    equal(process.log_g, logarithms)
    variance = [
        0.09 * (1 - math.exp(-2 * v)) * (1 - math.exp(-2 * (end - v))) / (1 - math.exp(-2 * end))
        for v in total
    ]
    equal(process.c, [math.sqrt(value) for value in variance])
    equal(process.diffusion, [0.18 * v for v in total])
    rates = [1 / math.tanh(end - v) for v in total[1:-1]] + [1]
    pulls = [(v - u) * rate for u, v, rate in zip(total, total[1:], rates, strict=False)]
    equal(process.drift, [0, *(-v for v in itertools.accumulate(pulls))])
    assert (process.reverts, process.start_std, process.is_bridge) == (True, 0, True)


@pytest.mark.parametrize("steps", [21, 30])
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_tables_of_ddpm(schedule, steps):
    if schedule == "linear":
        first, last = (1000 / steps * end for end in (0.0001, 0.02))
        beta = [first + (last - first) * k / (steps - 1) for k in range(steps)]
    else:
        beta = [1 - cosine((k + 1) / steps) / cosine(k / steps) for k in range(steps)]
    products = itertools.accumulate((1 - min(b, 0.999) for b in beta), lambda x, y: x * y)
    left = [1, *products]
    process = variance_preserving(steps, schedule)
    for table in (process.a, process.g):
        equal(table, [math.sqrt(v) for v in left])
    equal(process.b, [0] * (steps + 1))
    equal(process.c, [math.sqrt(1 - v) for v in left])
    for table in (process.log_a, process.log_g):
        equal(table, [math.log(v) / 2 for v in left])
    equal(process.diffusion, [-math.log(v) for v in left])
    assert (process.reverts, process.start_std, process.is_bridge) == (False, 1, False)


@pytest.mark.parametrize("kappa", [0.3, 1, 2])
@pytest.mark.parametrize("steps", [2, 7])
def test_tables_of_the_residual_shift(kappa, steps):
    """The root of eta rises geometrically from min(0.04 / kappa, 0.04) to the end."""
    first = 0.02 if kappa == 2 else 0.04
    fractions = [(k / (steps - 1)) ** 0.3 for k in range(steps)]
    eta = [0, *((first * (0.9 / first) ** value) ** 2 for value in fractions)]
    process = residual_shift(steps, kappa, 0.3, 0.9)
    equal(process.a, [1 - v for v in eta])
    equal(process.b, eta)
    equal(process.c, [kappa * math.sqrt(v) for v in eta])
    equal(process.g, [1] * (steps + 1))
    equal(process.log_a, [math.log(1 - v) for v in eta])
    equal(process.log_g, [0] * (steps + 1))
    equal(process.diffusion, [kappa**2 * v for v in eta])
    assert process.reverts
    assert process.start_std == pytest.approx(kappa * 0.9)


@pytest.mark.parametrize("steps", [1, 4])
def test_tables_of_the_interpolant(steps):
    process = linear_interpolant(steps, 0.2)
    time = [k / steps for k in range(steps + 1)]
    equal(process.a, [1 - v for v in time])
    equal(process.b, time)
    equal(process.c, [0.2 * v for v in time])
    equal(process.g, time)
    equal(process.log_a, [math.log(1 - v) if v < 1 else -math.inf for v in time])
    equal(process.log_g, [math.log(v) if v else -math.inf for v in time])
    assert (process.diffusion, process.reverts, process.start_std) == (None, True, 0.2)


def test_remaining_tables_of_the_brownian_bridge():
    process = brownian_bridge(6)
    equal(process.g, process.a.tolist())
    assert process.a[-1] == process.c[-1] == 0
    equal(process.log_a, [math.log(a) if a else -math.inf for a in process.a.tolist()])
    equal(process.log_g, process.log_a.tolist())
    roots = [0.01 + (math.sqrt(0.3 / 1000) - 0.01) * k / 5 for k in (0, 1, 2, 2, 1, 0)]
    equal(process.diffusion, [0, *itertools.accumulate(r**2 * 1000 / 6 for r in roots)])
    assert (process.reverts, process.is_bridge) == (True, True)


def test_parameters_unless_given():
    published = {
        mean_reverting: (100, "cosine", 10 / 255, 0.005),
        gaussian_denoising: (100, "cosine", 70 / 255, 0.04),
        variance_preserving: (1000, "linear"),
        brownian_bridge: (1000, 0.3),
        ornstein_uhlenbeck_bridge: (100, "cosine", 30 / 255, 0.005, math.inf),
        diffusion_bridge: (1000, 2, 0.1),
        forward_only: (100, 1, 0.001),
        residual_bridge: (100, 0.01, "residual"),
        residual_shift: (15, 0.3, 0.3, 0.99),
        linear_interpolant: (100, 10 / 255),
    }
    for build, values in published.items():
        parameters = inspect.signature(build).parameters.values()
        assert tuple(parameter.default for parameter in parameters) == pytest.approx(values)
    assert inspect.signature(loss_per_image).parameters["norm"].default == "l1"


@pytest.mark.parametrize(
    ("build", "smallest"),
    [
        (mean_reverting, 1),
        (gaussian_denoising, 1),
        (variance_preserving, 21),
        (lambda steps: variance_preserving(steps, "cosine"), 1),
        (brownian_bridge, 2),
        (ornstein_uhlenbeck_bridge, 2),
        (residual_shift, 2),
        (linear_interpolant, 1),
    ],
)
def test_the_fewest_steps(build, smallest):
    assert build(smallest).steps == smallest
    for steps in {0, smallest - 1}:
        with pytest.raises(ValueError, match=r"step|positive"):
            build(steps)


def test_only_tables_that_describe_a_process_are_taken():
    process = mean_reverting(3)
    for changes in (
        {"b": process.b.float()},
        {"log_g": process.log_g.float()},
        {"drift": process.a.float()},
        {"diffusion": process.a[:3]},
        {"log_a": process.log_a[:3]},
    ):
        with pytest.raises(ValueError, match="float64 and of one shape"):
            replace(process, **changes)
    for name in ("a", "b", "c", "g", "diffusion", "drift"):
        with pytest.raises(ValueError, match="not finite"):
            replace(process, **{name: torch.tensor([0, 1, math.nan, 1]).double()})
    assert replace(process, log_a=torch.full((4,), -math.inf).double()).steps == 3
    with pytest.raises(ValueError, match="at least one step"):
        replace(process, a=process.a[:1])


def test_entries_of_a_table_fit_images():
    process = mean_reverting(4)
    like = torch.zeros(2, 3, 5, 6)
    assert process.at(process.a, 4, like).shape == ()
    for steps in (torch.tensor([0, 4]), torch.tensor([0, 4]).reshape(2, 1, 1, 1)):
        found = process.at(process.a, steps, like)
        assert found.shape == (2, 1, 1, 1)
        assert found.flatten().tolist() == [1, float(process.a[4])]
    for wrong in (-1, 5, torch.tensor([0, 5]), torch.tensor([-1, 3])):
        with pytest.raises(ValueError, match=r"must lie in \[0, 4\]"):
            process.at(process.a, wrong, like)
    with pytest.raises(ValueError, match="integers"):
        process.at(process.a, torch.tensor([1.0]), like)


@pytest.mark.parametrize("noise_level", [0.01, 0.1, 0.2])
@pytest.mark.parametrize("steps", [3, 40])
def test_the_step_of_a_noise_level_is_the_nearest_in_the_integral(noise_level, steps):
    target = -0.5 * math.log(1 - (noise_level / 0.2) ** 2 + 1e-6)
    total = integral("cosine", steps, 0.04)
    nearest = min(range(steps + 1), key=lambda k: abs(total[k] - target))
    process = gaussian_denoising(steps, "cosine", 0.2, 0.04)
    assert matched_step(process, noise_level) == max(1, nearest)
    for wrong in (0.0, 0.201):
        with pytest.raises(ValueError, match="noise level"):
            matched_step(process, wrong)


def value(number):
    return torch.tensor(number, dtype=torch.float64).reshape(1, 1, 1, 1)


EULER = {name: process for name, process in PROCESSES.items() if process.diffusion is not None}
EULER |= {"denoising": gaussian_denoising(12), "goub": ornstein_uhlenbeck_bridge(12)}


@pytest.mark.parametrize("name", EULER)
@pytest.mark.parametrize(("t", "s"), [(1, 0), (5, 2), (9, 8)])
def test_an_euler_step_in_plain_arithmetic(name, t, s):
    """The forward drift is (ln g)' (x - mu) + (ln a / g)' a (x0 - mu), x0 read off the noise."""
    process = EULER[name]
    x, mu, noise = 0.3, -0.4, 0.9
    drift = process.log_a if process.drift is None else process.drift
    q = float(drift[t] - drift[s])
    d = float(process.diffusion[t] - process.diffusion[s])
    c = float(process.c[t])
    clean = float((process.log_a[t] - process.log_a[s]) - (process.log_g[t] - process.log_g[s]))
    center = mu if process.reverts else 0.0
    images = [value(number) for number in (x, mu, math.nan, noise)]
    step = Step(process, t, s, *images, lambda: value(2))
    score = -noise / c
    mean = x - q * (x - center) + clean * c * noise + d * score
    assert float(process.reverse_mean(images[0], images[1], images[3], t, s)) == pytest.approx(mean)
    expected = {
        euler_maruyama: mean - 2 * math.sqrt(d),
        mean_ode: mean,
        probability_flow: mean - d * score / 2,
    }
    for sampler, state in expected.items():
        assert float(sampler(step)) == pytest.approx(state, rel=1e-9)


@pytest.mark.parametrize("name", EULER)
@pytest.mark.parametrize("t", [1, 6, 9])
def test_the_optimal_noise_takes_an_euler_step_to_the_posterior_mean(name, t):
    process = EULER[name]
    x, x0, mu = value(0.3), value(0.8), value(-0.4)
    optimal = process.optimal_noise(x, x0, mu, t)
    reached = process.reverse_mean(x, mu, optimal, t, t - 1)
    torch.testing.assert_close(reached, process.posterior(x, x0, mu, t, t - 1)[0])
    torch.testing.assert_close(process.clean_from_optimal_noise(x, mu, optimal, t), x0)


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_losses_of_each_image_in_plain_arithmetic(norm):
    """Outputs that miss their target by 0.2 in half of the pixels and by -0.4 in the rest."""
    process = PROCESSES["mean-reverting"]
    generator = torch.Generator().manual_seed(0)
    x0, mu, noise = torch.randn(3, 2, 3, 2, 2, generator=generator, dtype=torch.float64)
    t = torch.tensor([3, 8])
    x_t = process.sample(x0, mu, t, noise)
    miss = torch.tensor([[0.2, 0.2], [-0.4, -0.4]], dtype=torch.float64).expand(2, 3, 2, 2)
    miss = torch.stack([miss[0], 3 * miss[1]])
    size = 0.3 if norm == "l1" else 0.1
    expected = torch.tensor([size, 3 * size if norm == "l1" else 9 * size], dtype=torch.float64)
    optimal = torch.cat(
        [
            process.optimal_noise(x_t[k : k + 1], x0[k : k + 1], mu[k : k + 1], int(t[k]))
            for k in (0, 1)
        ]
    )
    share = t.double().reshape(2, 1, 1, 1) / process.steps
    targets = {
        "noise": noise,
        "clean": x0,
        "velocity": process.velocity(x0, mu, noise, t),
        "maximum-likelihood": optimal,
        "consistency": (x0 - (1 - share) * x_t) / share,
    }
    for name, target in targets.items():
        drawn = Drawn(x0, mu, noise, x_t, t)
        found = loss_per_image(OBJECTIVES[name], process, drawn, target + miss, norm)
        weight = OBJECTIVES[name].weight(process, t)
        if name == "consistency":
            assert weight.tolist() == pytest.approx([0.3, 0.8])
        elif name != "maximum-likelihood":
            assert weight.tolist() == [1, 1]
        torch.testing.assert_close(found, expected * (weight if norm == "l1" else weight**2))
