"""What makes the trainings of several methods comparable, and the averages of their weights.

Methods of a task see the same patches, noise and time steps and begin with the same weights;
none of it depends on how a batch is cut or on what else is in it.
"""

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from irsde.data.pairs import Pair, load_all
from irsde.experiment.grid import Run
from irsde.machine.world import ALONE, World
from irsde.processes import GaussianProcess
from irsde.seeds import numpy_generator
from irsde.tasks import TASKS, Degradation
from irsde.training import loop
from irsde.training.averaging import WIDTHS
from irsde.training.update import Batches
from tests.project import settings, small_project

TASK = "denoising"
OF_100_STEPS = ("ir-sde", "ir-sde-noise", "ir-sde+l2", "indi", "flow")
OTHERS = ("ddpm", "i2sb", "goub", "resshift")  # of other numbers of steps
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return small_project(tmp_path_factory.mktemp("fairness"), TASK)


@pytest.fixture(autouse=True)
def project(prepared, monkeypatch):
    monkeypatch.chdir(prepared)


class Share(World):
    """One of several processes, which hears nothing of the others."""

    def sum(self, value):
        pass

    def wrapped(self, network):
        return network


def training(method, seed=0, world=ALONE, **changes):
    """A training before its first iteration."""
    chosen = settings(method, seed, **{"batch": 4, **changes})
    run = Run("smoke", TASK, method, seed)
    pairs = load_all(run, chosen.data.train)
    return loop.Trainer(run, chosen, {}, pairs, [], world, CPU, lambda: None, None)


@pytest.fixture
def updated(monkeypatch):
    """Function (training, iterations, change) -> patches, and steps and noise, of each update."""
    drawn = []
    sample = GaussianProcess.sample

    def noting(self, x0, mu, t, noise):
        if not (drawn and torch.equal(drawn[-1][1], noise)):  # not the same states once more
            drawn.append((t.clone(), noise.clone()))
        return sample(self, x0, mu, t, noise)

    monkeypatch.setattr(GaussianProcess, "sample", noting)

    def run(training, iterations=2, change=lambda patches: patches):
        patches, steps, noise = [], [], []
        for iteration in range(iterations):
            drawn.clear()
            x0, mu = change(training.batches.draw_batch(training.stream, iteration))
            training.update(x0, mu, training.stream, iteration, 1e-3)
            patches.append(torch.stack([x0, mu]))
            if drawn:
                steps.append(torch.cat([t for t, _ in drawn]))
                noise.append(torch.cat([of for _, of in drawn]))
        return patches, steps, noise

    return run


def same(first, second):
    return len(first) == len(second) and all(map(torch.equal, first, second))


def test_methods_see_the_same_patches_noise_and_steps(updated):
    patches, steps, noise = updated(training("ir-sde"))
    assert not torch.equal(patches[0], patches[1])
    assert not torch.equal(noise[0], noise[1])
    assert same(updated(training("regression"))[0], patches)
    for method in OF_100_STEPS[1:]:
        found = updated(training(method))
        for mine, theirs in zip(found, (patches, steps, noise), strict=True):
            assert same(mine, theirs), method
    for method in OTHERS:
        found = updated(training(method))
        assert same(found[0], patches), method
        assert same(found[2], noise), method


def test_methods_begin_with_the_same_weights_which_depend_on_the_seed():
    first = training("ir-sde").state.network.state_dict()
    for method in ("regression", *OF_100_STEPS, *OTHERS):
        other = training(method).state.network.state_dict()
        assert list(other) == list(first)
        assert same(list(other.values()), list(first.values())), method
    other = training("ir-sde", seed=1).state.network.state_dict()
    assert not same(list(other.values()), list(first.values()))


def test_another_seed_has_other_patches_noise_and_steps(updated):
    for of_first, of_second in zip(
        updated(training("ir-sde")), updated(training("ir-sde", seed=1)), strict=True
    ):
        assert not any(map(torch.equal, of_first, of_second))


@pytest.mark.parametrize("parts", [2, 4])
def test_parts_of_a_batch_have_its_patches_noise_and_steps(updated, parts):
    whole, cut = updated(training("ir-sde")), updated(training("ir-sde", accumulate=parts))
    assert all(map(same, whole, cut))


def test_processes_share_the_patches_noise_and_steps_of_one(updated):
    whole = updated(training("ir-sde"))
    for rank in range(2):
        share = updated(training("ir-sde", world=Share(rank, 2)))
        assert same(share[0], [patches[:, rank::2] for patches in whole[0]])
        for mine, all_of_it in zip(share[1:], whole[1:], strict=True):
            assert same(mine, [of_update[rank::2] for of_update in all_of_it])


def test_noise_and_steps_do_not_depend_on_what_the_images_show(updated):
    usual = updated(training("ir-sde"))
    black = updated(training("ir-sde"), change=lambda patches: [0 * part for part in patches])
    assert all(map(same, usual[1:], black[1:]))


def test_a_patch_does_not_depend_on_the_other_images():
    generator = numpy_generator("tests", "fairness")
    images = generator.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    recipe = training("ir-sde", batch=8).recipe

    def drawn(images):
        pairs = [Pair(str(k), str(k), image, None) for k, image in enumerate(images)]
        batches = Batches(pairs, TASKS[TASK], Degradation(), recipe, ALONE)
        return batches.draw_batch(("tests",), 0)

    other = images.copy()
    other[3:] = 255 - other[3:]
    shares = [
        [torch.equal(a, b) for a, b in zip(*parts, strict=True)]
        for parts in zip(drawn(images), drawn(other), strict=True)
    ]
    assert shares[0] == shares[1]  # degraded as before where the clean patch is
    assert 0 < sum(shares[0]) < 8


def averages_by_formula(training, iterations, decays):
    """Each average after each update: ours, and by its formula from the raw weights, float64."""
    ours, expected = {}, {}
    for width in decays:
        ours[width] = training.state.profiles[width] if width else training.state.average
        expected[width] = {name: tensor.double() for name, tensor in ours[width].items()}
    for iteration in range(iterations):
        x0, mu = training.batches.draw_batch(training.stream, iteration)
        training.update(x0, mu, training.stream, iteration, 0.05)
        raw = training.state.network.state_dict()
        for width, decay in decays.items():
            if (keep := decay(iteration + 1)) is not None:
                for name, average in expected[width].items():
                    average.mul_(keep).add_((1 - keep) * raw[name].double())
            for name, average in expected[width].items():
                yield ours[width][name].double(), average, raw[name].double()


def check_averages(training, iterations, decays):
    moved = 0.0
    for ours, expected, raw in averages_by_formula(training, iterations, decays):
        assert torch.allclose(ours, expected, rtol=1e-5, atol=1e-6)
        moved = max(moved, float((ours - raw).abs().max()))
    assert moved > 0.01  # the weights went on, so that a wrong average would be seen


@pytest.mark.parametrize("every", [1, 2])
def test_the_average_is_that_of_its_formula_after_each_update(every):
    """m <- d m + (1 - d) w with d = min(0.2, n / (n + 10)) at the average's n-th update."""
    decays = [1 / 11, 2 / 12, 0.2, 0.2, 0.2, 0.2]

    def decay(iteration):
        return None if iteration % every else decays[iteration // every - 1]

    check_averages(training("ir-sde", ema_decay=0.2, ema_every=every), 6, {None: decay})


def test_the_averages_of_power_profiles_are_those_of_their_formula_after_each_update():
    """m <- d m + (1 - d) w with d = (1 - 1 / n) ** (g + 1), of relative width s (Karras et al.)."""

    def decay_of(width):
        power = brentq(lambda g: (g + 1) / ((g + 2) ** 2 * (g + 3)) - width**2, 0.1, 100)
        return lambda iteration: (1 - 1 / iteration) ** (power + 1)

    decays = {width: decay_of(width) for width in WIDTHS}
    assert decays[0.05](2) == pytest.approx(0.5 ** (16.97 + 1), rel=1e-2)  # the paper's powers
    assert decays[0.10](2) == pytest.approx(0.5 ** (6.94 + 1), rel=1e-2)
    check_averages(training("ir-sde", ema_snapshots=4), 8, decays)
