"""Step grids, and every sampler beside its formulas in plain arithmetic."""

import inspect
import itertools
import math

import numpy as np
import pytest
import torch

from irsde.objectives import OBJECTIVES, largest_step, objective_of, read_clean
from irsde.processes import (
    brownian_bridge,
    linear_interpolant,
    mean_reverting,
    ornstein_uhlenbeck_bridge,
    residual_shift,
    variance_preserving,
)
from irsde.samplers import (
    GRIDS,
    SAMPLERS,
    Grid,
    sample,
    standard_normals,
    step_grid,
    trajectory,
)


def log_snr(process, nfe, start):
    return np.array(GRIDS["log-snr"].positions(process, nfe, start))


@pytest.mark.parametrize("nfe", [2, 3, 7])
def test_steps_between_the_first_and_the_last_are_even_in_the_log_ratio(nfe):
    process = mean_reverting(20, "cosine", 0.2, 0.005)
    found = log_snr(process, nfe, 20)
    steps = np.arange(1, 21)
    ratio = np.log(process.a[1:].numpy()) - np.log(process.c[1:].numpy())
    assert len(found) == nfe + 1
    assert found[0] == 0
    reached = np.interp(found[1:], steps, ratio)
    expected = np.linspace(ratio[0], ratio[-1], nfe)
    np.testing.assert_allclose(reached, expected, atol=1e-6)


PROCESSES = {
    "reverting": mean_reverting(20, "cosine", 0.2, 0.005),
    "diffusion": variance_preserving(24),
    "bridge": brownian_bridge(20),
    "goub": ornstein_uhlenbeck_bridge(20),
    "shift": residual_shift(steps=12),
    "interpolant": linear_interpolant(20),
}
BRIDGES = {"bridge", "goub"}
KNOWN = {  # sampler: its order, and whether it draws noise on the way
    "euler-maruyama": (1, True),
    "posterior": (1, True),
    "probability-flow": (1, False),
    "mean-ode": (1, False),
    "ddim": (1, False),
    "rdbm": (1, False),
    "mrs-sde-1": (1, True),
    "mrs-sde-2": (2, True),
    "mrs-ode-1": (1, False),
    "mrs-ode-2": (2, False),
    "mrs-sde-1-data": (1, True),
    "mrs-sde-2-data": (2, True),
    "mrs-ode-1-data": (1, False),
    "mrs-ode-2-data": (2, False),
    "dbim-half": (1, True),
    "dbim-2": (2, False),
    "dbim-3": (3, False),
    "unidb-2": (2, True),
    "heun": (2, False),
    "consistency": (0, True),
}


def test_positions_between_two_ends_of_a_bridge():
    """Its last step has no noise: the others are even between the first and the last but one."""
    process = PROCESSES["bridge"]
    ratio = np.log(process.a[1:-1].numpy()) - np.log(process.c[1:-1].numpy())
    for nfe in (3, 6):
        found = log_snr(process, nfe, 20)
        assert (found[0], found[-1], len(found)) == (0, 20, nfe + 1)
        reached = np.interp(found[1:-1], np.arange(1, 20), ratio)
        np.testing.assert_allclose(reached, np.linspace(ratio[0], ratio[-1], nfe - 1), atol=1e-6)
    for nfe, expected in ((1, [0, 20]), (2, [0, 19, 20])):
        assert log_snr(process, nfe, 20).tolist() == pytest.approx(expected)
    assert log_snr(process, 3, 7)[[0, 1, 3]].tolist() == pytest.approx([0, 1, 7])
    reverting = PROCESSES["reverting"]
    assert log_snr(reverting, 1, 20).tolist() == pytest.approx([0, 20])
    assert log_snr(reverting, 2, 20).tolist() == pytest.approx([0, 1, 20])
    assert log_snr(linear_interpolant(1), 1, 1).tolist() == [0, 1]


def test_steps_that_fall_together_move_to_the_nearest_free_ones(monkeypatch):
    process = PROCESSES["reverting"]
    # 10 (k / 7)^2: 0, 0.2, 0.8, 1.8, 3.3, 5.1, 7.3, 10
    assert step_grid(process, 7, "quadratic", 10) == [10, 7, 5, 4, 3, 2, 1, 0]
    assert step_grid(process, 4, "quadratic") == [20, 11, 5, 1, 0]
    assert step_grid(process, 3, start=20) == step_grid(process, 3) == [20, 13, 7, 0]
    crowded = Grid("crowded", lambda *_: [0, 8.6, 9.4, 9.8, 10])
    monkeypatch.setitem(GRIDS, "crowded", crowded)
    assert step_grid(process, 4, "crowded", 10) == [10, 9, 8, 7, 0]


@pytest.mark.parametrize("grid", GRIDS)
def test_all_steps_from_a_start_and_no_more(grid):
    process = PROCESSES["reverting"]
    for start in (1, 2, 6, 20):
        assert step_grid(process, start, grid, start) == list(range(start, -1, -1))
        assert step_grid(process, 1, grid, start) == [start, 0]
        for nfe in (0, start + 1):
            with pytest.raises(ValueError, match=f"give 1 to {start}"):
                step_grid(process, nfe, grid, start)
    for start in (0, 21):
        with pytest.raises(ValueError, match=r"must lie in \[1, 20\]"):
            step_grid(process, 1, grid, start)


@pytest.mark.parametrize("name", PROCESSES)
def test_where_a_network_is_first_called(name):
    process = PROCESSES[name]
    for objective in OBJECTIVES.values():
        less = name in BRIDGES and objective.prediction in ("noise", "optimal-noise")
        assert largest_step(objective, process) == process.steps - less


def test_what_each_sampler_is():
    facts = {name: (one.order, one.stochastic) for name, one in SAMPLERS.items()}
    assert facts | KNOWN == facts


def test_which_sampler_is_for_which_process():
    """Mean-ODE is for bridges, Euler and stochastic MRS are for SDEs of their own, and so on."""
    of_noise = {"mrs-sde-1", "mrs-sde-2", "mrs-ode-1", "mrs-ode-2", "heun"}
    bridges = {"mean-ode", "unidb-2", "rdbm"}
    stochastic = {name for name in KNOWN if name.startswith("mrs-sde")}
    euler = {"euler-maruyama", "probability-flow", "mean-ode"}
    refused = {
        "reverting": bridges,
        "diffusion": bridges,
        "bridge": set(),
        "goub": set(),
        "shift": bridges | stochastic,
        "interpolant": euler | bridges | stochastic | of_noise,
    }
    for name, process in PROCESSES.items():
        found = {key for key in KNOWN if SAMPLERS[key].refusal(process)}
        assert found == refused[name], name


def scalar(number):
    return torch.tensor(number, dtype=torch.float64).reshape(1, 1, 1, 1)


MU, CLEAN = -0.4, 0.7
CLIPPED = -0.05, 0.45


def clean_estimate(x, t):
    return CLEAN + 0.3 * math.sin(x + t)


def drawn(t):
    return math.cos(3 * t)


def by_hand(process, name, steps, x, *, nfe, clipped=False):
    """A sampler in plain arithmetic with the noise of `clean_estimate`: its states.

    The formulas of docs/mathematics.md, 4, in terms of a, b, c, g and the integrals Q and D.
    """
    solver, before, states = SAMPLERS[name], [], [x]
    data = name.endswith("-data") or name in ("dbim-2", "dbim-3", "unidb-2")
    few = nfe < 10 and name.startswith("mrs")
    spare = nfe - (len(steps) - 1)  # evaluations at the ends of steps
    for t, s in itertools.pairwise(steps):
        (a, b, c), (a_s, b_s, c_s) = (
            [float(table[k]) for table in (process.a, process.b, process.c)] for k in (t, s)
        )
        clean = clean_estimate(x, t)
        if clipped and not solver.is_euler:
            clean = min(max(clean, CLIPPED[0]), CLIPPED[1])
        noise = (x - a * clean - b * MU) / c
        if solver.is_euler:
            drift = process.log_a if process.drift is None else process.drift
            q = float(drift[t] - drift[s])
            d = float(process.diffusion[t] - process.diffusion[s])
            extra = float(process.log_a[t] - process.log_a[s] - process.log_g[t] + process.log_g[s])
            half = 0.5 if name == "probability-flow" else 1
            x = (
                x
                - q * (x - (MU if process.reverts else 0))
                + extra * c * noise
                - half * d * noise / c
            )
            x -= math.sqrt(d) * drawn(t) if solver.stochastic else 0
        elif s == 0:
            x = clean
        elif name == "posterior":
            rho = float(process.g[t] / process.g[s]) * c_s**2 / c**2
            std = math.sqrt(max(c_s**2 - rho**2 * c**2, 0))
            x = a_s * clean + b_s * MU + rho * c * noise + std * drawn(t)
        elif name in ("ddim", "rdbm"):
            x = a_s * clean + b_s * MU + c_s * noise
        elif name == "consistency":
            x = a_s * clean + b_s * MU + c_s * drawn(t)
        elif name == "dbim-half":
            rho = float(process.g[t] / process.g[s]) * c_s**2 / c**2
            std = math.sqrt(max(c_s**2 - rho**2 * c**2, 0)) / 2
            x = a_s * clean + b_s * MU + math.sqrt(c_s**2 - std**2) * noise + std * drawn(t)
        elif name == "heun":
            y = (x - b * MU) / a
            if spare > 0:
                spare -= 1
                x_s = b_s * MU + a_s * (y + (c_s / a_s - c / a) * noise)
                clean_s = clean_estimate(x_s, s)
                if clipped:
                    clean_s = min(max(clean_s, CLIPPED[0]), CLIPPED[1])
                noise = (noise + (x_s - a_s * clean_s - b_s * MU) / c_s) / 2
            x = b_s * MU + a_s * (y + (c_s / a_s - c / a) * noise)
        else:
            assert name.startswith(("mrs-", "dbim-", "unidb-")), f"{name} is not written out here"
            level, next_level = math.log(a / c), math.log(a_s / c_s)
            h, value = next_level - level, clean if data else noise
            slope = bend = 0.0
            if solver.order > 1 and before and not (few and s == steps[-2]):
                slope = (value - before[-1][1]) / (level - before[-1][0])
            if solver.order == 3 and len(before) > 1:
                (l2, v2), (l1, v1) = before[-2:]
                bend = (slope - (v1 - v2) / (l1 - l2)) / (level - l2)
                slope += bend * (level - l1)  # of the parabola through all three, at the last
            before.append((level, value))
            y = x - b * MU
            if data and solver.stochastic:
                x = c_s / c * math.exp(-h) * y + a_s * (1 - math.exp(-2 * h)) * value
                x += a_s * (h - (1 - math.exp(-2 * h)) / 2) * slope
                x += c_s * math.sqrt(1 - math.exp(-2 * h)) * drawn(t)
            elif data:
                x = c_s / c * y + a_s * (1 - math.exp(-h)) * value
                x += a_s * (h - 1 + math.exp(-h)) * slope
                x += a_s * (h**2 / 2 - h + 1 - math.exp(-h)) * 2 * bend
            else:
                factor = 2 if solver.stochastic else 1
                x = a_s / a * y - factor * c_s * (math.exp(h) - 1) * value
                x -= factor * c_s * (math.exp(h) - 1 - h) * slope
                x += c_s * math.sqrt(math.exp(2 * h) - 1) * drawn(t) if solver.stochastic else 0
            x += b_s * MU
        states.append(x)
    return states


CASES = [
    (name, process)
    for process, table in PROCESSES.items()
    for name in KNOWN
    if not SAMPLERS[name].refusal(table) and process not in BRIDGES
]


def sampled(process, name, nfe, grid="uniform", start=None, **options):
    """Steps and states of a sampler whose network predicts the noise of `clean_estimate`."""

    def network(x, mu, t):
        assert float(mu) == MU
        clean = scalar(clean_estimate(float(x), t))
        return (x - float(process.a[t]) * clean - float(process.b[t]) * mu) / float(process.c[t])

    noise = lambda t, shape: torch.full(shape, drawn(t), dtype=torch.float64)  # noqa: E731
    states = trajectory(
        process, network, scalar(0.25), scalar(MU), name, nfe, grid, "noise",
        noise=noise, start=start, **options,
    )  # fmt: skip
    return [(state.t, float(state.x), state.nfe) for state in states]


@pytest.mark.parametrize(("name", "process"), CASES)
@pytest.mark.parametrize("nfe", [9, 10])
def test_every_sampler_in_plain_arithmetic(name, process, nfe):
    table = PROCESSES[process]
    steps, found, calls = zip(*sampled(table, name, nfe, start=table.steps - 1), strict=True)
    count = nfe // 2 + 1 if name == "heun" else nfe
    assert list(steps) == step_grid(table, count, "uniform", table.steps - 1)
    assert calls[-1] == nfe
    assert name == "heun" or list(calls) == list(range(nfe + 1))
    expected = by_hand(table, name, steps, 0.25, nfe=nfe)
    assert found == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("name", [n for n in KNOWN if n not in ("mean-ode", "unidb-2", "rdbm")])
@pytest.mark.parametrize("grid", GRIDS)
def test_every_sampler_on_other_grids_and_with_clipped_estimates(name, grid):
    table = PROCESSES["reverting"]
    steps, found, _ = zip(*sampled(table, name, 6, grid, clean_range=CLIPPED), strict=True)
    assert list(steps) == step_grid(table, 4 if name == "heun" else 6, grid)
    expected = by_hand(table, name, steps, 0.25, nfe=6, clipped=True)
    assert found == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("process", sorted(BRIDGES))
def test_a_bridge_whose_network_predicts_noise_leaves_its_end_without_it(name, process):
    """It goes to T - 1 about mu: with the marginal's noise, Euler's with its own, Mean-ODE none."""
    table = PROCESSES[process]
    (first, *rest) = sampled(table, name, 5)
    assert first == (20, 0.25, 0)
    steps, found, calls = zip(*rest, strict=True)
    assert list(steps) == step_grid(table, 3 if name == "heun" else 5, start=19)
    assert list(calls) == ([0, 2, 4, 5] if name == "heun" else list(range(6)))
    start = MU + float(table.c[19]) * drawn(20)
    if name in ("mean-ode", "rdbm"):
        start = MU
    if name == "euler-maruyama":
        start = MU - math.sqrt(float(table.diffusion[20] - table.diffusion[19])) * drawn(20)
    assert found == pytest.approx(by_hand(table, name, steps, start, nfe=5), rel=1e-7)


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("process", sorted(BRIDGES))
def test_a_bridge_whose_network_predicts_the_clean_image_starts_at_its_end(name, process):
    table = PROCESSES[process]
    noise = lambda t, shape: torch.full(shape, drawn(t), dtype=torch.float64)  # noqa: E731
    states = trajectory(
        table, lambda x, mu, t: scalar(clean_estimate(float(x), t)), scalar(MU), scalar(MU),
        name, 4, "uniform", "clean", noise,
    )  # fmt: skip
    steps, found, calls = zip(*((s.t, float(s.x), s.nfe) for s in states), strict=True)
    assert steps == ((20, 13, 7, 0) if name == "heun" else (20, 15, 10, 5, 0))
    assert calls == ((0, 1, 3, 4) if name == "heun" else (0, 1, 2, 3, 4))
    a, b, c = (float(values[steps[1]]) for values in (table.a, table.b, table.c))
    second = a * clean_estimate(MU, 20) + b * MU
    second += 0 if name in ("mean-ode", "rdbm") else c * drawn(20)
    assert found[1] == pytest.approx(second, rel=1e-9)
    expected = by_hand(table, name, steps[1:], second, nfe=3)
    assert found[1:] == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("prediction", ["noise", "clean", "velocity", "optimal-noise"])
@pytest.mark.parametrize("process", ["reverting", "diffusion", "shift"])
def test_what_a_network_predicts_is_read_as_that(prediction, process):
    """Each stands for the same clean image, so that DDIM takes the same step."""
    table = PROCESSES[process]
    x, mu, clean, t = scalar(0.25), scalar(MU), scalar(0.7), table.steps - 1
    a, b, c = (float(values[t]) for values in (table.a, table.b, table.c))
    noise = (x - a * clean - b * mu) / c
    outputs = {
        "noise": noise,
        "clean": clean,
        "velocity": table.velocity(clean, mu, noise, t),
        "optimal-noise": table.optimal_noise(x, clean, mu, t),
    }
    output = outputs[prediction]
    found = objective_of(prediction).read(table, x, mu, output, t)
    torch.testing.assert_close(found, (clean, noise))


def test_a_state_without_noise_has_none():
    clean, noise = read_clean(PROCESSES["bridge"], scalar(0.25), scalar(MU), scalar(0.7), 20)
    assert (float(clean), float(noise)) == (0.7, 0)


def test_normals_of_each_image_are_from_its_own_source():
    like = torch.zeros(2, 3, 4, 5, dtype=torch.float64)
    first = torch.Generator().manual_seed(3)
    expected = torch.randn((3, 4, 5), generator=torch.Generator().manual_seed(3), dtype=like.dtype)
    found = standard_normals([first, lambda shape: torch.full(shape, 0.5)], like)
    assert found.dtype == like.dtype
    assert torch.equal(found[0], expected)
    assert torch.equal(found[1], torch.full((3, 4, 5), 0.5, dtype=like.dtype))


@pytest.mark.parametrize("function", [sample, trajectory])
def test_arguments_unless_given(function):
    defaults = [p.default for p in inspect.signature(function).parameters.values()][4:]
    assert defaults == ["posterior", 100, "uniform", "noise", None, None, None, None]
