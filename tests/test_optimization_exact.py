"""One update by hand: loss, Adam's first step, the moving averages, the learning rate."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from irsde.data.pairs import Pair
from irsde.files import InputError
from irsde.machine.world import ALONE, World
from irsde.processes import mean_reverting
from irsde.seeds import numpy_generator
from irsde.tasks import Degradation
from irsde.training.averaging import exponent
from irsde.training.update import (
    Batches,
    Update,
    draw_states,
    learning_rate,
    make_optimizer,
    placed,
    training_loss,
)
from tests.project import recipe


class Scale(nn.Module):
    """A network of one weight, which multiplies mu or the state."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))


def regression(network):
    return SimpleNamespace(
        process=None, network=network, output=lambda x, mu, step: network.weight * mu
    )


def state_of(network, settings, average, profiles=()):
    return SimpleNamespace(
        network=network,
        average={"weight": torch.tensor(average)},
        profiles={width: {"weight": torch.tensor(average)} for width in profiles},
        optimizer=make_optimizer(network, settings),
        skipped=torch.zeros(()),
        skipped_in_a_row=torch.zeros(()),
    )


@pytest.mark.parametrize("accumulate", [1, 2, 4])
def test_an_update_is_one_step_of_adam_and_of_the_averages(accumulate):
    """Loss |w mu - x0| with mu = 1, x0 = 0 and w = 2 has the gradient 1, so Adam steps by lr."""
    settings = recipe(accumulate=accumulate, ema_decay=0.9)
    network = Scale(2.0)
    state = state_of(network, settings, 5.0, (0.1,))
    update = Update(regression(network), state, settings, ALONE, torch.device("cpu"))
    x0, mu = torch.zeros(4, 3, 8, 8), torch.ones(4, 3, 8, 8)
    loss, norm = update(x0, mu, ("test",), 0, 0.25)
    assert loss.item() == pytest.approx(2)
    assert norm.item() == pytest.approx(1)
    assert network.weight.item() == pytest.approx(1.75, rel=1e-5)
    # the first update's decay is 1 / 11: little is kept of where the average began
    assert state.average["weight"].item() == pytest.approx(5 / 11 + 1.75 * 10 / 11, rel=1e-5)
    assert state.profiles[0.1]["weight"].item() == pytest.approx(1.75, rel=1e-5)
    update(x0, mu, ("test",), 1, 0.25)
    second = 5 / 11 + 1.75 * 10 / 11
    expected = second * 2 / 12 + network.weight.item() * 10 / 12
    assert state.average["weight"].item() == pytest.approx(expected, rel=1e-5)
    power = exponent(0.1)
    kept = 0.5 ** (power + 1)
    expected = 1.75 * kept + network.weight.item() * (1 - kept)
    assert state.profiles[0.1]["weight"].item() == pytest.approx(expected, rel=1e-5)
    assert state.skipped.item() == 0


def test_updates_that_are_not_finite_are_counted_and_change_nothing():
    settings = recipe(ema_every=100)
    network = Scale(2.0)
    state = state_of(network, settings, 5.0)
    update = Update(regression(network), state, settings, ALONE, torch.device("cpu"))
    x0, mu = torch.zeros(4, 3, 8, 8), torch.ones(4, 3, 8, 8)
    counts = []
    for iteration, value in enumerate((math.nan, math.inf, 1.0, math.nan)):
        update(x0, value * mu, ("test",), iteration, 0.25)
        counts.append((state.skipped.item(), state.skipped_in_a_row.item()))
    assert counts == [(1, 1), (2, 2), (2, 0), (3, 1)]
    assert network.weight.item() == pytest.approx(1.75, rel=1e-5)


def test_the_average_starts_fast_and_ends_at_its_decay():
    settings = recipe(ema_decay=0.9, ema_every=2)
    update = Update(
        regression(Scale(1.0)), state_of(Scale(1.0), settings, 1.0), settings, ALONE,
        torch.device("cpu"),
    )  # fmt: skip
    found = [update.decay(n) for n in (2, 3, 20, 178, 180, 1000)]
    assert found == pytest.approx([1 / 11, 1 / 11, 0.5, 89 / 99, 0.9, 0.9])


def test_the_average_moves_every_few_iterations_only():
    settings = recipe(ema_every=3)
    network = Scale(2.0)
    state = state_of(network, settings, 5.0)
    update = Update(regression(network), state, settings, ALONE, torch.device("cpu"))
    x0, mu = torch.zeros(4, 3, 8, 8), torch.ones(4, 3, 8, 8)
    moved = []
    for iteration in range(6):
        before = state.average["weight"].item()
        update(x0, mu, ("test",), iteration, 0.01)
        moved.append(state.average["weight"].item() != before)
    assert moved == [False, False, True, False, False, True]


def test_learning_rates_by_hand():
    warm = recipe(warmup=4)
    assert [learning_rate(warm, k) for k in (0, 1, 3, 4)] == pytest.approx(
        [0.0025, 0.005, 0.01, 0.01]
    )
    halved = recipe(milestones=(10, 20))
    assert [learning_rate(halved, k) for k in (9, 10, 19, 20)] == pytest.approx(
        [0.01, 0.005, 0.005, 0.0025]
    )
    cosine = recipe(learning_rate_schedule="cosine")
    assert [learning_rate(cosine, k) for k in (0, 50, 100)] == pytest.approx(
        [0.01, 0.01 * 0.505, 0.01 * 0.01]
    )
    assert learning_rate(recipe(learning_rate_schedule="cosine", warmup=2), 0) == 0.005


def sampled(process, centered=False, conditional=True, objective="noise"):
    """A restorer whose output is zero and that remembers what it was given."""
    seen = {}

    def output(x_t, mu, step):
        seen.update(x_t=x_t, mu=mu, step=step)
        return torch.zeros_like(x_t)

    return seen, SimpleNamespace(
        process=process, centered=centered, conditional=conditional, objective=objective,
        output=output,
    )  # fmt: skip


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("conditional", [False, True])
def test_a_loss_draws_its_steps_first_then_its_noise(centered, conditional):
    """Steps from 1 to T and noise of the whole batch come from the one seed, of every method."""
    process = mean_reverting(steps=10, schedule="cosine", stationary_std=0.2, delta=0.005)
    seen, restorer = sampled(process, centered, conditional)
    x0, mu = torch.rand(4, 3, 8, 8), torch.rand(4, 3, 8, 8)
    draws = draw_states(restorer, (3, 8, 8), 4, range(4), 7)
    loss = training_loss(restorer, x0, mu, "l1", draws)
    generator = torch.Generator().manual_seed(7)
    t = torch.randint(1, 11, (4,), generator=generator)
    noise = torch.randn(4, 3, 8, 8, generator=generator)
    assert torch.equal(seen["step"], t)
    a, b = (2 * x0 - 1, 2 * mu - 1) if centered else (x0, mu)
    b = b if conditional else a
    assert torch.equal(seen["mu"], b)
    assert torch.equal(seen["x_t"], process.sample(a, b, t, noise))
    assert loss.item() == pytest.approx(noise.abs().mean().item(), rel=1e-6)
    share = draw_states(restorer, (3, 8, 8), 4, (2, 3), 7)
    assert torch.equal(share.noise, draws[2:4].noise)
    part = training_loss(restorer, x0[2:], mu[2:], "l1", share)
    assert torch.equal(seen["step"], t[2:])
    assert part.item() == pytest.approx(noise[2:].abs().mean().item(), rel=1e-6)


def test_patches_are_named_by_their_place_in_the_batch():
    pairs = [Pair(str(k), str(k), np.full((8, 8, 3), k, np.uint8), None) for k in range(200)]
    task = SimpleNamespace(degrade=lambda x0, generator, degradation: x0 + 1)
    drawn = Batches(pairs, task, Degradation(), recipe(), ALONE).draw_batch(("run", 1), 5)
    assert torch.equal(drawn[1], drawn[0] + 1)
    shown = (drawn[0][:, 0, 0, 0] * 255).round().int().tolist()
    expected = [
        int(numpy_generator("run", 1, 5, "patch", index).integers(200)) for index in range(4)
    ]
    assert shown == expected
    second = World(rank=1, size=2, local_rank=1)
    x0, _ = Batches(pairs, task, Degradation(), recipe(), second).draw_batch(("run", 1), 5)
    assert (x0[:, 0, 0, 0] * 255).round().int().tolist() == expected[1::2]


def test_advice_where_a_batch_does_not_fit():
    network = Scale(1.0)

    def advice(iteration=0, **changes):
        settings = recipe(**changes)
        update = Update(
            regression(network), state_of(network, settings, 1.0), settings, ALONE,
            torch.device("cpu"),
        )  # fmt: skip
        return update._too_large(iteration)

    assert "patches of 8x8 pixels, 6 at once" in advice(batch=6)
    assert "accumulate: 2 computes the same batch in parts of 3" in advice(batch=6)
    assert "accumulate: 2 computes the same batch in parts of 1" in advice(batch=2)
    assert "accumulate: 3 computes the same batch in parts of 2" in advice(batch=6, accumulate=2)
    assert "--overwrite" not in advice(batch=6)
    assert "--overwrite" in advice(1, batch=6)
    assert "training.patch or the network smaller" in advice(batch=6, accumulate=6)
    late = advice(75, batch=6, accumulate=6, late_patch=16)
    assert "patches of 16x16" in late
    assert "training.late_patch or" in late


def test_patches_of_the_last_iteration_must_fit_too():
    pair = Pair("a", "a", np.zeros((12, 12, 3), np.uint8), None)
    task = SimpleNamespace(degrade=None)
    for late, fits in ((12, True), (16, False)):
        settings = recipe(iterations=4, late_patch=late)
        if fits:
            Batches([pair], task, Degradation(), settings, ALONE)
        else:
            with pytest.raises(InputError, match="smaller than the patch of 16"):
                Batches([pair], task, Degradation(), settings, ALONE)


@pytest.mark.parametrize(
    ("kind", "modes"), [(False, []), (True, [None]), ("cuda-graphs", ["reduce-overhead"])]
)
def test_a_network_is_compiled_as_the_recipe_says(kind, modes):
    seen = []

    class Network:
        def to(self, *device, **layout):
            seen.append((device, layout))
            return self

        def compile(self, mode):
            found.append(mode)

    found = []
    device = torch.device("cpu")
    placed(Network(), recipe(compile=kind, channels_last=False), device)
    assert found == modes
    assert seen == [((device,), {}), ((), {"memory_format": torch.contiguous_format})]
