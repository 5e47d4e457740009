"""States that networks are trained on: drawn once for a batch, whatever its parts."""

import math

import numpy as np
import pytest
import torch

from irsde.experiment.profile import load_profile
from irsde.machine.world import ALONE
from irsde.methods import METHODS
from irsde.objectives import OBJECTIVES, largest_step
from irsde.processes import GaussianProcess, forward_only, mean_reverting, residual_bridge
from irsde.restoration.restorer import Restorer
from irsde.seeds import seed_from
from irsde.training.checkpoints import TrainingState
from irsde.training.update import Draws, Update, draw_states, make_optimizer, training_loss
from tests.project import PROJECT

BATCH, SIDE, STREAM = 8, 5, ("tests",)


class Watched(torch.nn.Module):
    """A network of one parameter that keeps what it is given."""

    def __init__(self):
        super().__init__()
        self.factor, self.seen = torch.nn.Parameter(torch.ones(1)), []

    def forward(self, x_t, mu, step):
        self.seen.append((x_t, step))
        return self.factor * x_t


def update_of(monkeypatch, accumulate):
    monkeypatch.chdir(PROJECT)
    recipe = load_profile("smoke").training.model_copy(
        update={"batch": BATCH, "accumulate": accumulate}
    )
    network = Watched()
    state = TrainingState(
        network=network,
        average={name: tensor.clone() for name, tensor in network.state_dict().items()},
        optimizer=make_optimizer(network, recipe),
        skipped=torch.zeros(()),
        skipped_in_a_row=torch.zeros(()),
    )
    restorer = Restorer(network, mean_reverting(), "noise", centered=False, conditional=True)
    return network, Update(restorer, state, recipe, ALONE, torch.device("cpu"))


def patches():
    generator = torch.Generator().manual_seed(0)
    return [torch.rand((BATCH, 3, SIDE, SIDE), generator=generator) for _ in "ab"]


@pytest.mark.parametrize("accumulate", [1, 4])
def test_a_batch_draws_its_noise_once_and_makes_its_states_once(monkeypatch, accumulate):
    network, update = update_of(monkeypatch, accumulate)
    x0, mu = patches()
    generator = torch.Generator().manual_seed(seed_from(*STREAM, 7, "noise"))
    steps = torch.randint(1, 101, (BATCH,), generator=generator)
    noise = torch.randn((BATCH, 3, SIDE, SIDE), generator=generator)
    states = mean_reverting().sample(x0, mu, steps, noise)

    drawn, made, randn, sample = [], [], torch.randn, GaussianProcess.sample
    monkeypatch.setattr(torch, "randn", lambda *a, **k: drawn.append(a) or randn(*a, **k))
    monkeypatch.setattr(GaussianProcess, "sample", lambda *a: made.append(len(a[1])) or sample(*a))
    loss, _ = update(x0, mu, STREAM, 7, 0.0)

    assert len(drawn) == 1
    assert sum(made) == BATCH
    assert torch.equal(torch.cat([x_t for x_t, _ in network.seen]), states)
    assert torch.equal(torch.cat([step for _, step in network.seen]), steps)
    assert float(loss) == pytest.approx(float((states - noise).abs().mean()), rel=1e-5)


def test_processes_share_the_noise_of_a_batch():
    restorer = Restorer(Watched(), mean_reverting(), "noise", centered=False, conditional=True)
    whole = draw_states(restorer, (3, 4, 4), 6, range(6), seed=1)
    parts = [draw_states(restorer, (3, 4, 4), 6, share, seed=1) for share in ((0, 2, 4), (1, 3, 5))]
    for rank, part in enumerate(parts):
        assert torch.equal(part.noise, whole.noise[rank::2])
        assert torch.equal(part.steps, whole.steps[rank::2])


@pytest.mark.parametrize("process", [mean_reverting(), residual_bridge(), forward_only()])
def test_the_noise_to_learn_is_the_one_in_the_state(process):
    x0, mu = patches()
    restorer = Restorer(
        lambda x, m, t: process.noise(x, x0, m, t), process, "noise", centered=False,
        conditional=True,
    )  # fmt: skip
    draws = draw_states(restorer, x0.shape[1:], BATCH, range(BATCH), seed=1)
    assert float(training_loss(restorer, x0, mu, "l1", draws)) < 1e-3


@pytest.mark.parametrize("name", [n for n, method in METHODS.items() if method.kind == "process"])
def test_training_and_restoring_begin_at_the_same_step(name):
    method = METHODS[name]
    process = method.process_for(0.1)
    restorer = Restorer(Watched(), process, method.objective, method.centered, conditional=True)
    last = 99 if name in ("goub", "unidb") else process.steps
    assert largest_step(OBJECTIVES[method.objective], process) == last
    assert restorer.first_step(None) == last


def consistent(network, process=None):
    process = process or mean_reverting()
    return Restorer(network, process, "consistency", centered=False, conditional=True)


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_a_consistency_loss_in_plain_arithmetic(norm):
    """Equations 2, 7, 9, 14 and 18 of IR-CM on one pixel; only f(x_t, t) has a gradient."""
    x0, mu, eps, factor = 0.3, 0.7, 1.5, torch.tensor(0.4, requires_grad=True)
    process, seen = mean_reverting(stationary_std=0.2), []

    def network(x, m, t):
        seen.append((float(x), int(t)))
        return factor * x + 0.01 * float(t) - m  # a clean image less mu

    for t in (1, 40, 100):
        grown = [math.exp(float(process.log_a[k])) for k in (t, t - 1)]
        states = [mu + (x0 - mu) * a + 0.2 * math.sqrt(1 - a * a) * eps for a in grown]
        ends = [
            (1 - k / 100) * x + k / 100 * (0.4 * x + 0.01 * k)
            for k, x in zip((t, t - 1), states, strict=True)
        ]
        errors = np.array([ends[0] - ends[1], ends[0] - x0])
        sizes, slopes = np.abs(errors), np.sign(errors)
        if norm == "l2":
            sizes, slopes = errors**2, 2 * errors
        pixel = torch.full((1, 1, 1, 1), 1.0)
        draws = Draws(torch.tensor([t]), eps * pixel)
        seen.clear()
        loss = training_loss(consistent(network, process), x0 * pixel, mu * pixel, norm, draws)
        assert seen == [
            (pytest.approx(states[0], abs=1e-6), t),
            (pytest.approx(states[1], abs=1e-6), t - 1),
        ]
        assert loss.item() == pytest.approx(sizes @ [1, 0.8], abs=1e-6)
        (found,) = torch.autograd.grad(loss, factor)
        assert float(found) == pytest.approx(slopes @ [1, 0.8] * t / 100 * states[0], abs=1e-5)


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_a_consistency_function_of_one_image_has_no_loss(norm):
    """All paths of one image end in it: f = x0 whatever the state."""
    x0, mu = patches()

    def network(x, m, t):
        share = t.reshape(-1, 1, 1, 1) / 100
        return (x0 - (1 - share) * x) / share.clamp(min=0.01) - m

    draws = draw_states(consistent(network), x0.shape[1:], BATCH, range(BATCH), seed=1)
    draws.steps[0] = 1
    assert float(training_loss(consistent(network), x0, mu, norm, draws)) < 1e-6


@pytest.mark.parametrize("t", [2, 30, 100])
def test_on_normal_data_the_loss_shortens_the_end_of_a_path_by_the_cosine_of_its_step(t):
    """docs/mathematics.md, 5. Four pixels whose x0 and noise have the moments of two normals."""
    process, mean, deviation = mean_reverting(stationary_std=0.2), 0.4, 0.3
    x0 = mean + deviation * torch.tensor([1.0, 1, -1, -1]).double().reshape(1, 1, 2, 2)
    noise = torch.tensor([1.0, -1, 1, -1]).double().reshape(1, 1, 2, 2)
    mu = torch.full_like(x0, 0.9)
    sides = {k: (deviation * float(process.a[k]), float(process.c[k])) for k in (0, t - 1, t)}

    def cosine(s):
        (p, q), (r, u) = sides[s], sides[t]
        return (p * r + q * u) / (math.hypot(p, q) * math.hypot(r, u))

    def network(x, m, k):
        k = int(k)
        center = float(process.a[k]) * mean + float(process.b[k]) * 0.9
        end = mean + (shrink if k == t else 1) * deviation * (x - center) / math.hypot(*sides[k])
        return (end - (1 - k / 100) * x) / (k / 100) - m

    shrink = torch.tensor((cosine(t - 1) + 0.8 * cosine(0)) / 1.8).double().requires_grad_()
    loss = training_loss(
        consistent(network, process), x0, mu, "l2", Draws(torch.tensor([t]), noise)
    )
    (slope,) = torch.autograd.grad(loss, shrink)
    assert abs(float(slope)) < 1e-6
