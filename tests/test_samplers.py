"""Samplers: oracles, laws, orders of convergence on a problem with a known score, NFE, noise."""

import itertools
import math

import numpy as np
import pytest
import torch

from irsde.processes import (
    brownian_bridge,
    forward_only,
    linear_interpolant,
    mean_reverting,
    ornstein_uhlenbeck_bridge,
    residual_bridge,
    residual_shift,
    variance_preserving,
)
from irsde.samplers import (
    GRIDS,
    SAMPLERS,
    Sampler,
    Step,
    dbim,
    ddim,
    posterior,
    sample,
    step_grid,
    trajectory,
)
from studies.problems import Mixture

PROCESSES = [
    mean_reverting(),
    variance_preserving(100),
    brownian_bridge(100),
    ornstein_uhlenbeck_bridge(),
    residual_shift(),
    linear_interpolant(),
    residual_bridge(),
    forward_only(),
]
FITTING = [name for name, solver in SAMPLERS.items() if not solver.refusal(PROCESSES[0])]
ODE = [name for name in FITTING if not SAMPLERS[name].stochastic]
SDE = [name for name in FITTING if SAMPLERS[name].stochastic and SAMPLERS[name].order > 0]
EXACT = [
    pytest.param(name, process, id=f"{name}-{process.name}")
    for name, solver in SAMPLERS.items()
    for process in PROCESSES
    if not (solver.refusal(process) or solver.is_euler)
]


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


@pytest.mark.parametrize("nfe", [1, 2, 7])
@pytest.mark.parametrize(("sampler", "process"), EXACT)
def test_an_oracle_of_the_clean_image_is_returned_exactly(sampler, process, nfe):
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
        mean, std = process.marginal(x0, mu, state.t)
        std = std * process.scaled(torch.ones(()), 0.8, 0.3)
        assert abs(state.x.mean() - mean.mean()) <= 5 * float(std) / 200
        fourth = float(((state.x - state.x.mean()) ** 4).mean()) / max(float(std), 1e-9) ** 4
        error = float(std) * math.sqrt(max(fourth - 1, 2)) / 2 / 200  # normal: fourth = 3
        assert abs(state.x.std() - std) <= 5 * error + 1e-15


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
    order = SAMPLERS[sampler].order
    assert abs(slope - min(order, 2.5)) < 0.25  # order 3 begins with steps of orders 1 and 2


def test_second_order_at_twenty_steps_beats_euler_at_a_hundred_and_sixty():
    assert flow_errors("mrs-ode-2", [20])[0] < flow_errors("probability-flow", [160])[0]


def distance_in_law(sampler, nfe, clean):
    """Wasserstein-1 from the mixture problem's clean image; 4000 samples have a floor of 0.01."""
    problem, process = Mixture(), mean_reverting(1280, stationary_std=0.4)
    levels = problem.levels(4000)
    generator = torch.Generator().manual_seed(3)
    start = problem.quantile(process, levels, process.steps)

    def noise(t, shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    restored = sample(
        process, lambda x, mu, t: clean(problem, process, x, t), start, torch.zeros_like(start),
        sampler, nfe, prediction="clean", noise=noise,
    )  # fmt: skip
    exact = problem.quantile(process, levels, 0)
    return (restored.flatten().sort().values - exact.flatten()).abs().mean()


@pytest.mark.parametrize("sampler", SDE)
def test_stochastic_samplers_reach_the_law_of_the_clean_image(sampler):
    assert distance_in_law(sampler, 160, Mixture.clean) < 0.03


@pytest.mark.parametrize("nfe", [1, 2, 5])
def test_an_exact_consistency_function_has_the_law_of_the_clean_image_at_any_nfe(nfe):
    def end_of_the_path(problem, process, x, t):
        return problem.quantile(process, problem.cdf(process, x, t), 0)

    assert distance_in_law("consistency", nfe, end_of_the_path) < 0.03
    assert distance_in_law("consistency", nfe, Mixture.clean) > 0.1


@pytest.mark.parametrize("process", PROCESSES[:4], ids=lambda p: p.name)
def test_dbim_lies_between_ddim_and_the_posterior_sampler(process):
    start = MU + pixels(0.1, -0.2, 0.05) * float(process.start_std)
    steps = itertools.pairwise(step_grid(process, 6)[:-1])
    for t, s in list(steps)[int(process.is_bridge) :]:
        x, x0 = start + 0.01 * t, 0.8 * X0
        noise = process.noise(x, x0, MU, t)
        step = Step(process, t, s, x, MU, x0, noise, lambda t=t: sines(t, None))
        torch.testing.assert_close(dbim(step, 0), ddim(step), rtol=0, atol=1e-12)
        torch.testing.assert_close(dbim(step, 1), posterior(step), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("t", "s"), [(99, 90), (60, 20), (10, 1)])
def test_on_goub_the_posterior_sampler_is_unidb_of_order_one(t, s):
    """arXiv 2505.21528: the closed form for an unbounded penalty, in sinh of theta's integral."""
    std = 30 / 255
    process = ornstein_uhlenbeck_bridge(stationary_std=std)
    integral = process.diffusion / (2 * std**2)
    to_t, to_s, whole = (torch.sinh(integral[k]) for k in (t, s, -1))
    after_t, after_s = (torch.sinh(integral[-1] - integral[k]) for k in (t, s))
    x = MU + pixels(0.1, -0.2, 0.05)
    on_x0 = after_s / whole - to_s / to_t * after_t / whole
    mean = to_s / to_t * x + on_x0 * X0 + (1 - to_s / to_t - on_x0) * MU
    variance = 2 * std**2 * to_s * torch.sinh(integral[t] - integral[s]) / to_t
    found = process.posterior(x, X0, MU, t, s)
    torch.testing.assert_close(found, (mean, variance.sqrt()), rtol=1e-9, atol=1e-12)


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


@pytest.mark.parametrize("sampler", FITTING)
@pytest.mark.parametrize("nfe", [1, 10, 100])
def test_network_evaluations_are_counted(sampler, nfe):
    process, calls = mean_reverting(), []
    _, mu = images()

    def network(x, mu, t):
        calls.append(t)
        return torch.zeros_like(x)

    *_, last = trajectory(process, network, mu, mu, sampler, nfe)
    assert last.nfe == nfe == len(calls)
    if not SAMPLERS[sampler].looks_ahead:
        assert calls == step_grid(process, nfe)[:-1]


@pytest.mark.parametrize(
    ("process", "expected"),
    [
        (mean_reverting(), [100]),
        (mean_reverting(), [100, 50]),
        (mean_reverting(), [100, 50, 50]),
        (mean_reverting(), [100, 67, 67, 33]),
        (mean_reverting(), [100, 67, 67, 33, 33]),
        (brownian_bridge(100), [100]),
        (brownian_bridge(100), [100, 50]),
        (brownian_bridge(100), [100, 67, 33]),
        (brownian_bridge(100), [100, 67, 33, 33]),
        (brownian_bridge(100), [100, 75, 50, 50, 25]),
    ],
    ids=str,
)
def test_heun_looks_ahead_as_often_as_the_evaluations_allow(process, expected):
    """Not at the last step, which gives the clean image, nor at a bridge's drawn first one."""
    _, mu = images()
    calls = []

    def network(x, mu, t):
        calls.append(t)
        return mu

    *_, last = trajectory(process, network, mu, mu, "heun", len(expected), prediction="clean")
    assert calls == expected
    assert last.nfe == len(expected)


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


MRS = {  # sampler, evaluations: what the original restores
    ("mrs-ode-2", 4): (0.259991623159187, 0.709574896114631, 0.499029787127067),
    ("mrs-ode-2", 5): (0.25962981145863, 0.692306037991982, 0.500475549239253),
    ("mrs-ode-2", 10): (0.258101704037043, 0.693807091496444, 0.499292483549435),
    ("mrs-ode-2-data", 4): (0.259992813865087, 0.709484239081831, 0.498998833825267),
    ("mrs-ode-2-data", 5): (0.25965475067161, 0.692195044958828, 0.500402145737884),
    ("mrs-ode-2-data", 10): (0.258306396870729, 0.697777636055793, 0.498393387228092),
    ("mrs-sde-2", 4): (0.223718176910957, 0.721926233803611, 0.3742199413397),
    ("mrs-sde-2", 5): (0.0840653915624073, 0.819935226630318, 0.343480887847587),
    ("mrs-sde-2", 10): (0.170966016290179, 0.704671147649221, 0.389645963525264),
    ("mrs-sde-2-data", 4): (0.256224440756194, 0.694076877601992, 0.518784570516451),
    ("mrs-sde-2-data", 5): (0.259962415746731, 0.731283173331693, 0.475379211886239),
    ("mrs-sde-2-data", 10): (0.25779688129774, 0.694652360113923, 0.505793740067583),
}


def pixels(*values):
    return torch.tensor(values, dtype=torch.float64).reshape(1, 1, 1, -1)


X0, MU = pixels(0.2, 0.9, 0.55), pixels(0.5, 0.4, 0.6)


def network_of(process):
    """Noise for a clean image that depends on the state."""
    return lambda x, m, t: process.noise(x, 0.8 * X0 + 0.1 * torch.sin(5 * x), m, t)


def sines(t, shape):
    """Stand in for the standard normals of a step."""
    return torch.sin(pixels(1, 2, 3) * t)


@pytest.mark.parametrize(("sampler", "nfe"), MRS)
def test_second_order_equals_the_original_with_few_and_many_steps(sampler, nfe):
    """Numbers of MRSampler's code (github.com/grrrute/mr-sampler) run in float64 on our tables."""
    process = mean_reverting(stationary_std=50 / 255)
    start = MU + pixels(0.1, -0.2, 0.05)
    restored = sample(process, network_of(process), start, MU, sampler, nfe, noise=sines)
    torch.testing.assert_close(restored, pixels(*MRS[sampler, nfe]), rtol=0, atol=1e-12)


DBIM = {  # sampler, evaluations: what the original restores
    ("dbim-half", 5): (0.246478217830708, 0.730413000700837, 0.514316458371288),
    ("dbim-half", 10): (0.257412841172208, 0.693513015158995, 0.507691215997671),
    ("dbim-2", 5): (0.248952154408421, 0.731376478467938, 0.531964328266839),
    ("dbim-2", 10): (0.248562592053058, 0.710892954029098, 0.52335593991817),
    ("dbim-3", 5): (0.248506305302015, 0.733607340073738, 0.532343742230525),
    ("dbim-3", 10): (0.248578886031518, 0.71088758465721, 0.523607558743017),
}


@pytest.mark.parametrize(("sampler", "nfe"), DBIM)
def test_dbim_equals_the_original(sampler, nfe):
    """Numbers of DBIM's code (github.com/thu-ml/DiffusionBridge) run in float64 on our tables."""

    def network(x, m, t):
        return 0.8 * X0 + 0.1 * torch.sin(5 * x)

    restored = sample(
        brownian_bridge(100), network, MU, MU, sampler, nfe, prediction="clean", noise=sines
    )
    torch.testing.assert_close(restored, pixels(*DBIM[sampler, nfe]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale", ["one", "residual", "zero"])
@pytest.mark.parametrize(
    ("nfe", "restored"),
    [
        (5, (-0.538912842822575, 0.652238261456777, 0.15278681805725)),
        (10, (-0.525871391248429, 0.630363019964754, 0.150411642208866)),
    ],
)
def test_rdbms_own_sampler_equals_its_authors_and_draws_nothing(nfe, restored, scale):
    """Numbers of the authors' code (github.com/MiliLab/RDBM) run in float64."""
    x0, mu = 2 * X0 - 1, 2 * MU - 1

    def network(x, m, t):
        return 0.8 * x0 + 0.1 * torch.sin(5 * x)

    def noise(t, shape):
        raise AssertionError

    found = sample(
        residual_bridge(noise_scale=scale), network, mu, mu, "rdbm", nfe, prediction="clean",
        noise=noise, clean_range=(-1, 1),
    )  # fmt: skip
    torch.testing.assert_close(found, pixels(*restored), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("nfe", "restored"),
    [
        (5, (-0.537674696231818, 0.628352140314229, 0.152844775063993)),
        (20, (-0.528086051669828, 0.636351174859779, 0.148636535357944)),
    ],
)
def test_the_chain_of_fod_equals_its_authors(nfe, restored):
    """Their code (github.com/Algolzw/FoD) in float64: its estimate at the last step."""
    x0, mu = 2 * X0 - 1, 2 * MU - 1

    def network(x, m, t):
        return 0.8 * x0 + 0.1 * torch.sin(5 * x) - x

    found = sample(
        forward_only(), network, mu, mu, "posterior", nfe,
        prediction="stochastic-flow", noise=sines,
    )  # fmt: skip
    torch.testing.assert_close(found, pixels(*restored), rtol=0, atol=1e-12)


def test_fod_without_noise_follows_the_exponential_path():
    """Shares of the difference multiply, whatever is drawn."""
    process = forward_only(variance=1e-24)
    f = np.cos((np.linspace(0, 1, 101) + 0.008) / 1.008 * np.pi / 2) ** 2
    theta = np.cumsum(np.minimum(1 - f[1:] / f[:-1], 0.999))
    states = list(
        trajectory(process, lambda *_: X0, MU, MU, "posterior", 4, prediction="clean", noise=sines)
    )
    for state in states[1:-1]:
        share = 0.001 ** (theta[99 - state.t] / theta[-1])
        torch.testing.assert_close(state.x, X0 + share * (MU - X0), rtol=0, atol=1e-11)
    assert torch.equal(states[-1].x, X0)


@pytest.mark.parametrize("sampler", ["ddim", "posterior", "dbim-half"])
def test_noise_that_a_sampler_adds_has_the_scale_of_the_process(sampler):
    """That of the residual is a share of it, and none at pixels that the network leaves."""
    estimate = torch.where(X0 < 0.8, X0, MU)
    restored = {}
    for scale in ("one", "residual", "zero"):
        process = residual_bridge(noise_scale=scale)
        *_, before, _ = trajectory(
            process, lambda *_: estimate, MU, MU, sampler, 3, prediction="clean", noise=sines
        )
        restored[scale] = before.x
    torch.testing.assert_close(restored["zero"], process.marginal(estimate, MU, before.t)[0])
    added = restored["one"] - restored["zero"]
    assert bool((added.abs() > 1e-4).all())
    torch.testing.assert_close(restored["residual"] - restored["zero"], added * (estimate - MU))


def test_a_bridge_is_left_without_noise_while_its_residual_is_not_known():
    options = {"sampler": "posterior", "nfe": 2, "prediction": "noise", "noise": sines}
    states = list(trajectory(residual_bridge(), lambda x, m, t: 0 * x, MU, MU, **options))
    assert states[1].t == 99
    assert torch.equal(states[1].x, MU)


@pytest.mark.parametrize("prediction", ["noise", "optimal-noise"])
@pytest.mark.parametrize(
    ("sampler", "restored"),
    [
        ("euler-maruyama", (0.253672763984772, 0.686646903406978, 0.49927395526595)),
        ("mean-ode", (0.255789047519148, 0.689760180905898, 0.499890854737106)),
    ],
)
def test_goubs_own_samplers_equal_its_authors(sampler, restored, prediction):
    """Numbers of the authors' code (github.com/Hammour-steak/GOUB) run in float64."""
    process = ornstein_uhlenbeck_bridge()
    *before, last = trajectory(
        process, network_of(process), MU, MU, sampler, 99, prediction=prediction, noise=sines
    )
    torch.testing.assert_close(last.x, pixels(*restored), rtol=0, atol=1e-12)
    assert [state.t for state in before] == list(range(100, 0, -1))
    assert last.nfe == 99


@pytest.mark.parametrize("sampler", ["euler-maruyama", "mean-ode", "posterior"])
def test_goub_calls_its_network_from_the_last_step_but_one(sampler):
    process, calls = ornstein_uhlenbeck_bridge(), []

    def network(x, mu, t):
        calls.append(t)
        return torch.zeros_like(x)

    *_, last = trajectory(process, network, MU, MU, sampler, 10)
    assert calls == step_grid(process, 10, start=99)[:-1]
    assert last.nfe == 10
    with pytest.raises(ValueError, match="give 1 to 99"):
        sample(process, network, MU, MU, sampler, 100)
    with pytest.raises(ValueError, match="holds no noise at step 100: start at 99"):
        sample(process, network, MU, MU, sampler, 10, start=100)


def test_mean_ode_draws_nothing():
    def noise(t, shape):
        raise AssertionError

    for process, prediction in (
        (ornstein_uhlenbeck_bridge(), "noise"),
        (brownian_bridge(100), "clean"),
    ):
        sample(
            process, lambda x, m, t: 0.5 * x, MU, MU, "mean-ode", 7, "uniform", prediction, noise
        )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"sampler": "rk4"}, "unknown sampler"),
        ({"nfe": 101}, "give 1 to 100"),
        ({"nfe": 0}, "give 1 to 100"),
        ({"grid": "karras"}, "unknown grid"),
        ({"prediction": "x0"}, "unknown prediction"),
        ({"generators": []}, "0 generators"),
        ({"generators": [], "noise": lambda t, shape: 0}, "noise or generators, not both"),
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
        ("mean-ode", mean_reverting()),
    ):
        with pytest.raises(ValueError, match=r"needs|extrapolates|bridges"):
            sample(process, lambda x, m, t: x, x0, mu, sampler, 3)


def test_a_sampler_has_its_order_from_what_it_looks_at():
    for facts in ({"order": 2}, {"order": 3, "looks_back": 1}, {"order": 3, "looks_ahead": True}):
        with pytest.raises(ValueError, match="needs looks_back or looks_ahead"):
            Sampler("mine", ddim, **facts)
