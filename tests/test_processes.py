"""Properties of the processes and objectives: closed forms, inverses, simulation."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from irsde.objectives import OBJECTIVES, Drawn, loss_per_image, per_image
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
    theta_integral,
    variance_preserving,
)

PROCESSES = {
    "ir-sde": mean_reverting(),
    "ir-sde linear": mean_reverting(schedule="linear", stationary_std=50 / 255),
    "ir-sde constant": mean_reverting(steps=37, schedule="constant", delta=0.02),
    "denoising": gaussian_denoising(),
    "ddpm linear": variance_preserving(200),
    "ddpm cosine": variance_preserving(100, "cosine"),
    "i2sb": brownian_bridge(100),
    "i2sb odd": brownian_bridge(99),
    "goub": ornstein_uhlenbeck_bridge(),
    "resshift": residual_shift(),
    "indi": linear_interpolant(),
    "ddbm": diffusion_bridge(),
    "unidb": ornstein_uhlenbeck_bridge(penalty=1e8),
    "rdbm": residual_bridge(),
    "fod": forward_only(),
}
each_process = pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES.keys())
steps_apart = st.tuples(st.integers(0, 10**6), st.integers(0, 10**6))


def images(seed=0, count=2):
    generator = torch.Generator().manual_seed(seed)
    shape = (count, 3, 4, 4)
    return (
        torch.rand(shape, generator=generator, dtype=torch.float64),
        torch.rand(shape, generator=generator, dtype=torch.float64),
        torch.randn(shape, generator=generator, dtype=torch.float64),
    )


@each_process
def test_step_zero_is_the_clean_image(process):
    x0, mu, noise = images()
    assert torch.equal(process.sample(x0, mu, 0, noise), x0)


@each_process
def test_noise_level_and_residual_grow_with_the_step(process):
    log_snr = process.log_a[1:-1] - torch.log(process.c[1:-1])
    assert bool((log_snr.diff() < 0).all())


def test_bridges_end_at_mu():
    x0, mu, noise = images()
    for name in ("i2sb", "i2sb odd", "goub", "ddbm", "rdbm", "fod"):
        process = PROCESSES[name]
        torch.testing.assert_close(process.sample(x0, mu, process.steps, noise), mu)
        assert torch.equal(process.start(mu, noise), mu)


@each_process
@given(pair=steps_apart, seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_posterior_times_marginal_is_the_joint_law(process, pair, seed):
    """Going 0 -> s -> t and t -> s give the same joint Gaussian (docs/mathematics.md, 3)."""
    t = 1 + pair[0] % process.steps
    s = pair[1] % t
    x0, mu, _ = images(seed)
    mean_s, c_s = process.marginal(x0, mu, s)
    mean_t, c_t = process.marginal(x0, mu, t)
    mean, std = process.posterior(mean_t, x0, mu, t, s)
    torch.testing.assert_close(mean, mean_s, rtol=0, atol=1e-12)
    shift = torch.ones_like(x0)
    rho = (process.posterior(mean_t + shift, x0, mu, t, s)[0] - mean).mean()
    assert math.isclose(rho**2 * c_t**2 + std**2, c_s**2, rel_tol=1e-9, abs_tol=1e-15)
    if s > 0 and c_t > 0:
        r = math.exp(process.log_g[t] - process.log_g[s])
        assert math.isclose(rho * c_t**2, r * c_s**2, rel_tol=1e-9, abs_tol=1e-15)


@each_process
@given(t=st.integers(1, 10**6), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_conversions_are_exact_inverses(process, t, seed):
    t = 1 + t % process.steps
    if process.a[t] < 1e-9 or process.c[t] == 0:
        return
    x0, mu, noise = images(seed)
    x_t = process.sample(x0, mu, t, noise)
    close = {"rtol": 1e-8, "atol": 1e-9}
    noise = process.noise_in(x0, mu, t, noise)
    torch.testing.assert_close(process.noise(x_t, x0, mu, t), noise, **close)
    torch.testing.assert_close(process.clean_from_noise(x_t, mu, noise, t), x0, **close)
    velocity = process.velocity(x0, mu, noise, t)
    torch.testing.assert_close(process.clean_from_velocity(x_t, mu, velocity, t), x0, **close)
    if process.diffusion is not None and torch.isfinite(process.log_a[t]):
        optimal = process.optimal_noise(x_t, x0, mu, t)
        clean = process.clean_from_optimal_noise(x_t, mu, optimal, t)
        torch.testing.assert_close(clean, x0, **close)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_marginal_agrees_with_simulating_the_forward_sde(schedule):
    """Proposition 3.1: exact transitions step by step give the closed-form marginal."""
    process = mean_reverting(20, schedule, 0.4)
    generator = torch.Generator().manual_seed(1)
    x = torch.full((200_000,), 0.9, dtype=torch.float64)
    mu = 0.2
    for t in range(1, 21):
        pull = math.exp(process.log_a[t] - process.log_a[t - 1])
        x = mu + (x - mu) * pull
        noise = torch.randn(x.shape, generator=generator, dtype=torch.float64)
        x += 0.4 * math.sqrt(1 - pull**2) * noise
        if t in (5, 20):
            mean = float(process.a[t] * 0.9 + process.b[t] * mu)
            std = float(process.c[t])
            assert abs(x.mean() - mean) < 5 * std / math.sqrt(len(x))
            assert abs(x.std() - std) < 5 * std / math.sqrt(2 * len(x))


def test_optimal_reverse_state_maximizes_the_posterior_density():
    """Proposition 3.2: no state near the optimum has a larger p(x_s | x_t) p(x_t | x0)."""
    process = mean_reverting(stationary_std=0.3)
    x0, mu, noise = images()
    t = 40
    x_t = process.sample(x0, mu, t, noise)
    optimum, _ = process.posterior(x_t, x0, mu, t, t - 1)

    def log_density(x_s):
        pull = math.exp(process.log_a[t] - process.log_a[t - 1])
        forward = x_t - (mu + (x_s - mu) * pull)
        mean, std = process.marginal(x0, mu, t - 1)
        variance = 0.3**2 * (1 - pull**2)
        return -(forward**2) / (2 * variance) - (x_s - mean) ** 2 / (2 * std**2)

    best = log_density(optimum)
    for offset in (-1e-3, 1e-3):
        assert bool((log_density(optimum + offset) < best).all())


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_every_objective_has_a_target_that_is_read_back_and_gives_gradients(name, norm):
    process, objective = mean_reverting(), OBJECTIVES[name]
    x0, mu, noise = images()
    t = torch.tensor([3, 77])
    drawn = Drawn(x0, mu, noise, process.sample(x0, mu, t, noise), t)
    at_zero = objective.error(process, drawn, torch.zeros_like(x0))
    slope = objective.error(process, drawn, torch.ones_like(x0)) - at_zero
    target = -at_zero / slope
    for k in range(2):
        one = slice(k, k + 1)
        found = objective.read(process, drawn.x_t[one], mu[one], target[one], int(t[k]))
        torch.testing.assert_close(found, (x0[one], noise[one]))
    state = (objective, process, drawn)
    assert float(loss_per_image(*state, target, norm).max()) < 1e-13
    output = (target + 0.1).requires_grad_()
    loss = loss_per_image(*state, output, norm)
    assert loss.shape == (2,)
    loss.sum().backward()
    assert bool((output.grad.abs() > 0).all())


def test_golden_numbers_of_the_cosine_process():
    """Computed apart, with 40 digits of mpmath 1.3 from the formulas of docs/mathematics.md, 6."""
    process = mean_reverting(100, "cosine", 10 / 255)
    assert math.isclose(process.a[50], 0.36082161394346574, rel_tol=1e-12)
    assert math.isclose(process.c[1], 0.00073652003859768528, rel_tol=1e-12)
    assert math.isclose(theta_integral("cosine", 100, 0.005)[100], math.log(200), rel_tol=1e-12)
    assert math.isclose(process.diffusion[100], 2 * (10 / 255) ** 2 * math.log(200), rel_tol=1e-12)


GOUB_STEPS = {  # one-step mean and optimum at x, of noise 0 at x = 1 and mu = 0, and c_t
    1: (
        (0.301511683375188, 0.799186583162266, 0.497109424331733),
        (0.2, 0.9, 0.55),
        None,
        0.00220956010604699,
    ),
    50: (
        (0.298763981246445, 0.815765721152031, 0.477447412609102),
        (0.300300811437662, 0.795025071663081, 0.504523711180425),
        None,
        0.109712583345919,
    ),
    90: (
        (0.291712057615425, 0.842058862667206, 0.45380911527592),
        (0.318400848993643, 0.762913884212059, 0.509484842297477),
        1.13063013456607,
        0.109911002085333,
    ),
    95: (
        (0.277877573070733, 0.874465046034347, 0.439075469445275),
        (0.31909610137659, 0.761634005664481, 0.509721842270634),
        1.21638280726168,
        0.0945507248799392,
    ),
    98: (
        (0.228039083089281, 0.985813414936609, 0.394898432704608),
        (0.319349624731295, 0.761172614500011, 0.509802948403046),
        1.50642511845669,
        0.0686400372297306,
    ),
    99: (
        (0.138933813752832, 1.17858204817342, 0.326324942005931),
        (0.319408774032546, 0.761066837506883, 0.509820001444298),
        2.00290479611263,
        0.0509976294525471,
    ),
}


def pixels(*values):
    return torch.tensor(values, dtype=torch.float64).reshape(1, 1, 1, -1)


@pytest.mark.parametrize("t", GOUB_STEPS)
def test_a_step_of_goub_is_its_authors(t):
    """Numbers of the authors' code (github.com/Hammour-steak/GOUB) run in float64."""
    process = ornstein_uhlenbeck_bridge(100, "cosine", 30 / 255)
    mean, optimum, alone, std = GOUB_STEPS[t]
    x0, mu = pixels(0.2, 0.9, 0.55), pixels(0.5, 0.4, 0.6)
    x, noise = pixels(0.3, 0.8, 0.5), pixels(-0.7, 0.4, 1.3)
    close = {"rtol": 0, "atol": 1e-11}
    assert math.isclose(process.c[t], std, rel_tol=1e-11)
    torch.testing.assert_close(process.reverse_mean(x, mu, noise, t, t - 1), pixels(*mean), **close)
    torch.testing.assert_close(process.posterior(x, x0, mu, t, t - 1)[0], pixels(*optimum), **close)
    if alone is not None:
        one, zero = pixels(1), pixels(0)
        torch.testing.assert_close(
            process.reverse_mean(one, zero, zero, t, t - 1), pixels(alone), **close
        )


UNIDB_STEPS = {  # 1 / gamma, t: a, c, then mean of the Euler step and optimum as for GOUB
    (1e-8, 50): (
        (0.360761346705683, 0.109712583345919),
        (0.29876398124937, 0.815765721146181, 0.477447412610564),
        (0.300300811436474, 0.795025071665925, 0.504523711179364),
    ),
    (1e-8, 99): (
        (0.00104260396795365, 0.0509976294525471),
        (0.138934505012404, 1.17858066565427, 0.326325287635717),
        (0.319408464038625, 0.761067457656579, 0.509819846285483),
    ),
    (1e-3, 50): (
        (0.36076540766713, 0.109712583345919),
        (0.29876425403587, 0.815765175573183, 0.477447549003814),
        (0.300300700610915, 0.795025336884509, 0.504523612199118),
    ),
    (1e-3, 99): (
        (0.00134621527677402, 0.0509976294525471),
        (0.188862431605027, 1.07872481246903, 0.351289250932028),
        (0.293848516584817, 0.812204592019221, 0.497022633103552),
    ),
}


@pytest.mark.parametrize(("inverse", "t"), UNIDB_STEPS)
def test_a_step_of_unidb_is_its_authors(inverse, t):
    """Numbers of the authors' code (github.com/UniDB-SOC/UniDB) run in float64."""
    process = ornstein_uhlenbeck_bridge(100, "cosine", 30 / 255, penalty=1 / inverse)
    tables, mean, optimum = UNIDB_STEPS[inverse, t]
    x0, mu = pixels(0.2, 0.9, 0.55), pixels(0.5, 0.4, 0.6)
    x, noise = pixels(0.3, 0.8, 0.5), pixels(-0.7, 0.4, 1.3)
    close = {"rtol": 0, "atol": 1e-12}
    assert (float(process.a[t]), float(process.c[t])) == pytest.approx(tables, rel=1e-11)
    torch.testing.assert_close(process.reverse_mean(x, mu, noise, t, t - 1), pixels(*mean), **close)
    torch.testing.assert_close(process.posterior(x, x0, mu, t, t - 1)[0], pixels(*optimum), **close)


def test_goub_is_unidb_with_a_penalty_without_bound():
    goub, large = ornstein_uhlenbeck_bridge(), ornstein_uhlenbeck_bridge(penalty=1e30)
    for name in ("a", "b", "c", "drift"):
        torch.testing.assert_close(getattr(large, name), getattr(goub, name), rtol=1e-9, atol=1e-12)


DDBM_STEPS = [  # t, then the weights of x0, mu and noise
    (1, (0.999899106248526, 8.73473319013889e-05, 0.0100493686256449)),
    (250, (0.913520239182404, 0.0756963359750706, 0.282769381007318)),
    (500, (0.710457816156263, 0.260421543720949, 0.462533792868238)),
    (999, (0.00181526815089095, 0.997903731917067, 0.0457668036660877)),
]


@pytest.mark.parametrize(("t", "expected"), DDBM_STEPS)
def test_the_tables_of_ddbm_are_its_authors(t, expected):
    """Numbers of `VPNoiseSchedule` (github.com/thu-ml/DiffusionBridge) in float64."""
    process = diffusion_bridge()
    found = tuple(float(table[t]) for table in (process.a, process.b, process.c))
    assert found == pytest.approx(expected, rel=1e-11)


def test_the_bridge_of_rdbm_is_goubs_with_noise_in_proportion_to_the_residual():
    """The paper's formulas beside the tables, and the tables of GOUB with the same theta."""
    f = np.cos((np.linspace(0, 1, 101) + 0.008) / 1.008 * np.pi / 2) ** 2
    theta = np.cumsum(np.minimum(1 - f[1:] / f[:-1], 0.999))
    kept = np.sinh(theta[-1] - theta) / np.sinh(theta[-1])
    std = np.sqrt(2e-4 * np.sinh(theta) * kept)
    x0, mu, normals = images()
    t = torch.tensor([30, 99])
    a, c = (torch.tensor(table[[29, 98]]).reshape(2, 1, 1, 1) for table in (kept, std))
    clean, share = mu + a * (x0 - mu), c * normals
    for scale, noise in (("residual", share * (x0 - mu)), ("one", share), ("zero", 0 * share)):
        state = residual_bridge(noise_scale=scale).sample(x0, mu, t, normals)
        torch.testing.assert_close(state, clean + noise, rtol=0, atol=1e-14)
    v = -np.expm1(-2 * np.array([theta, theta[-1] - theta, 0 * theta + theta[-1]]))
    process = residual_bridge()
    assert process.c[1:].numpy() == pytest.approx(0.01 * np.sqrt(v[0] * v[1] / v[2]), abs=1e-15)
    assert process.a[1:].numpy() == pytest.approx(np.exp(-theta) * v[1] / v[2], abs=1e-15)


def test_a_state_of_fod_keeps_a_log_normal_share_of_the_difference():
    """The paper's solution of its SDE, in NumPy, and the share's first two moments."""
    f = np.cos((np.linspace(0, 1, 101) + 0.008) / 1.008 * np.pi / 2) ** 2
    theta, sigma2 = np.minimum(1 - f[1:] / f[:-1], 0.999), np.linspace(1e-4, 0.02, 100)
    sigma2 /= sigma2.sum()
    dt = np.log(0.001) / -(theta + sigma2 / 2).sum()
    x0, mu, normals = images(count=1)
    process = forward_only()
    for t in (1, 40, 99):
        k = 100 - t  # steps from mu on
        mean, std = -(theta + sigma2 / 2)[:k].sum() * dt, np.sqrt(sigma2[:k].sum() * dt)
        share = torch.tensor(np.exp(mean + std * normals.numpy()))
        found = process.sample(x0, mu, t, normals)
        torch.testing.assert_close(found, x0 + share * (mu - x0), rtol=0, atol=1e-14)
        many = np.exp(mean + std * np.random.default_rng(0).standard_normal(400_000))
        assert float(process.b[t]) == pytest.approx(many.mean(), rel=0.01)
        assert float(process.c[t]) == pytest.approx(many.std(), rel=0.03)
    assert torch.equal(process.sample(x0, mu, 100, normals), mu)


@pytest.mark.parametrize(("t", "s"), [(99, 98), (60, 20), (5, 1)])
def test_the_gauge_of_fod_is_the_regression_of_its_chain(t, s):
    """Shares multiply: the mean of one at s is that at t times the ratio of their means."""
    process, like = forward_only(), images()[0]
    rho, on_x0, on_mu, _ = map(float, process.posterior_coefficients(t, s, like))
    ratio = float(process.b[s] / process.b[t])
    assert (rho, on_x0, on_mu) == pytest.approx((ratio, 1 - ratio, 0), abs=1e-12)
    assert process.g[1:-1].log().tolist() == pytest.approx(process.log_g[1:-1].tolist())


def test_a_clean_pixel_of_rdbm_is_never_disturbed():
    process = residual_bridge()
    x0, _, normals = images()
    mu = x0.clone()
    mu[..., 0] = 0.5
    state = process.sample(x0, mu, 50, normals)
    torch.testing.assert_close(state[..., 1:], x0[..., 1:], rtol=0, atol=1e-15)
    assert bool((state[..., 0] != process.marginal(x0, mu, 50)[0][..., 0]).all())


def test_the_target_of_i2sb_is_the_distance_from_the_clean_image():
    """github.com/NVlabs/I2SB: label (x_t - x0) / std_fwd, std_fwd^2 the sum of the betas so far."""
    process, objective = brownian_bridge(), OBJECTIVES["distance"]
    x0, mu, noise = images()
    t = torch.tensor([40, 900])
    x_t = process.sample(x0, mu, t, noise)
    before = process.diffusion[t].reshape(-1, 1, 1, 1)
    error = objective.error(process, Drawn(x0, mu, noise, x_t, t), torch.zeros_like(x0))
    torch.testing.assert_close(-error, (x_t - x0) / before.sqrt())
    with pytest.raises(ValueError, match="has no SDE"):
        objective.read(diffusion_bridge(), x_t, mu, x_t, 3)


def test_the_loss_of_goub_is_its_authors():
    process, objective = ornstein_uhlenbeck_bridge(), OBJECTIVES["maximum-likelihood"]
    x0, mu, noise, output = (
        pixels(*values).reshape(3, 1, 1, 1)
        for values in ((0.2, 0.9, 0.55), (0.5, 0.4, 0.6), (-0.7, 0.4, 1.3), (0.1, -0.2, 0.9))
    )
    t = torch.tensor([1, 50, 99])
    x_t = process.sample(x0, mu, t, noise)
    loss = loss_per_image(objective, process, Drawn(x0, mu, noise, x_t, t), output)
    theirs = torch.tensor([0.00176795524712964, 0.00766184831175976, 0.0222338483886289])
    torch.testing.assert_close(loss, theirs.double(), rtol=1e-6, atol=0)


def test_the_optimal_noise_of_goub_is_nearly_the_noise():
    process = ornstein_uhlenbeck_bridge()
    x0, mu, noise = images(count=50)
    for t in (1, 50, 90, 99):
        optimal = process.optimal_noise(process.sample(x0, mu, t, noise), x0, mu, t)
        assert float((optimal - noise).abs().mean()) < 0.02
    assert float((optimal - noise).abs().mean()) < 0.005


def test_an_euler_step_over_several_steps_adds_their_drifts():
    process = ornstein_uhlenbeck_bridge()
    one, zero = pixels(1), pixels(0)
    pulls = [process.reverse_mean(zero, one, zero, t, t - 1) for t in range(91, 100)]
    on_x, on_mu = (process.reverse_mean(*of, zero, 99, 90) for of in ((one, zero), (zero, one)))
    assert math.isclose(on_mu, sum(pulls), rel_tol=1e-12)
    assert math.isclose(on_x + on_mu, 1, rel_tol=1e-12)


def test_denoising_starts_at_the_published_step():
    assert matched_step(gaussian_denoising(100, "cosine", 70 / 255), 25 / 255) == 22
    assert matched_step(gaussian_denoising(100, "cosine", 75 / 255), 25 / 255) == 21


def test_batched_steps_equal_single_ones():
    process = mean_reverting()
    x0, mu, noise = images()
    together = process.sample(x0, mu, torch.tensor([4, 90]), noise)
    for i, t in enumerate((4, 90)):
        single = process.sample(x0[i : i + 1], mu[i : i + 1], t, noise[i : i + 1])
        assert torch.equal(together[i : i + 1], single)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mean_reverting(schedule="cosin"), "cosin"),
        (lambda: mean_reverting(steps=0), "positive"),
        (lambda: mean_reverting(stationary_std=0), "stationary_std must be positive"),
        (lambda: mean_reverting(stationary_std=math.inf), "finite, not inf"),
        (lambda: ornstein_uhlenbeck_bridge(stationary_std=math.nan), "finite, not nan"),
        (lambda: residual_shift(kappa=-1), "kappa must be positive"),
        (lambda: residual_shift(power=0), "power must be positive"),
        (lambda: residual_shift(end=0.04), "end must lie between 0.04 and 1"),
        (lambda: residual_shift(end=1.0), "end must lie between 0.04 and 1"),
        (lambda: residual_shift(kappa=2, end=0.02), "end must lie between 0.02 and 1"),
        (lambda: linear_interpolant(noise_level=0), "noise_level must be positive"),
        (lambda: forward_only(0), "steps must be positive"),
        (lambda: forward_only(variance=0), "variance must be positive"),
        (lambda: forward_only(remainder=1), "remainder must lie in"),
        (lambda: residual_bridge(1), "at least two steps"),
        (lambda: residual_bridge(stationary_std=0), "stationary_std must be positive"),
        (lambda: brownian_bridge(beta_max=-0.3), "beta_max must be positive"),
        (lambda: per_image(images()[0], "l3"), "unknown norm 'l3'"),
        (lambda: mean_reverting(delta=0.0), "delta must lie in"),
        (lambda: mean_reverting(delta=1.0), "delta must lie in"),
        (lambda: variance_preserving(10, "sqrt"), "sqrt"),
        (lambda: variance_preserving(20), "more than 20 steps"),
        (lambda: mean_reverting().marginal(*images()[:2], 101), r"\[0, 100\]"),
        (lambda: mean_reverting().marginal(images()[0], images()[1][..., :3], 1), "do not fit"),
        (lambda: mean_reverting().noise(*[images()[0]] * 3, 0), "no noise"),
        (lambda: mean_reverting().posterior(*[images()[0]] * 3, 5, 5), "s < t"),
        (lambda: brownian_bridge().clean_from_noise(*[images()[0]] * 3, 1000), "not present"),
        (lambda: matched_step(gaussian_denoising(), 0.9), "below"),
    ],
)
def test_wrong_arguments_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
