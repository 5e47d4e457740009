"""The worked example of docs/add-a-method.md does what it says, and so does every method."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from irsde import methods
from irsde.data.pairs import Pair
from irsde.experiment.grid import evaluations
from irsde.experiment.profile import Profile, load_profile, run_settings
from irsde.machine.world import ALONE
from irsde.methods import METHODS
from irsde.objectives import OBJECTIVES, largest_step
from irsde.restoration.restorer import build_network, restorer_of
from irsde.samplers import SAMPLERS
from irsde.seeds import numpy_generator, torch_generator
from irsde.tasks import TASKS, Degradation
from irsde.training.update import Batches, draw_states, training_loss

PROJECT = Path(__file__).resolve().parents[1]
PAGE = PROJECT / "docs/add-a-method.md"


def python_blocks():
    return re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture
def added(monkeypatch):
    """Names of the methods that the page's code adds, in the table for one test."""
    namespace = {**vars(methods), "METHODS": {}}
    exec(compile(python_blocks()[0], str(PAGE), "exec"), namespace)
    for name, method in namespace["METHODS"].items():
        assert name not in METHODS
        monkeypatch.setitem(METHODS, name, method)
    return list(namespace["METHODS"])


def profile_with(method, monkeypatch):
    monkeypatch.chdir(PROJECT)
    content = load_profile("smoke").model_dump()
    task = METHODS[method].only_task or "denoising"
    return Profile.model_validate(
        {**content, "tasks": [task], "methods": [method], "variants": {}, "sweeps": []}
    )


def synthetic_batch(recipe):
    generator = numpy_generator("tests", "synthetic pair")
    x0 = generator.integers(0, 256, (24, 24, 3), dtype=np.uint8)
    mu = np.clip(x0 / 255 + 0.1 * generator.standard_normal(x0.shape), 0, 1).astype(np.float32)
    pair = Pair("synthetic", "synthetic", x0, mu)
    batches = Batches([pair], TASKS["denoising"], Degradation(), recipe, ALONE)
    return batches.draw(("tests",), 0)


def train_and_restore(method, monkeypatch):
    """Losses of two updates of the smoke profile's tiny network, and what it then restores."""
    profile = profile_with(method, monkeypatch)
    settings = run_settings(profile, profile.tasks[0], method, 0)
    torch.manual_seed(0)
    restorer = restorer_of(settings, build_network(settings))
    optimizer = torch.optim.Adam(restorer.network.parameters(), 1e-3)
    x0, mu = synthetic_batch(settings.training)
    losses, before = [], [p.detach().clone() for p in restorer.network.parameters()]
    for iteration in range(2):
        draws = draw_states(restorer, x0.shape[1:], len(x0), range(len(x0)), iteration)
        loss = training_loss(restorer, x0, mu, settings.training.norm, draws)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    after = restorer.network.parameters()
    assert any(not torch.equal(a, b) for a, b in zip(after, before, strict=True))
    generators = [torch_generator("tests", i) for i in range(len(mu))]
    level = {} if restorer.conditional else {"noise_level": 25 / 255}
    nfe = min(3, METHODS[method].nfe)
    restored = restorer.restore(mu, METHODS[method].sampler, nfe, generators, **level)
    assert restored.shape == mu.shape
    return losses, restored


def test_the_page_has_one_example_of_at_most_fifteen_lines():
    (block,) = python_blocks()
    assert len(block.splitlines()) <= 15


def test_the_example_trains_and_restores(added, monkeypatch):
    (name,) = added
    losses, restored = train_and_restore(name, monkeypatch)
    assert np.isfinite(losses).all()
    assert bool(torch.isfinite(restored).all())


def test_the_example_is_planned_like_any_other_method(added, monkeypatch):
    (name,) = added
    (evaluation,) = evaluations(profile_with(name, monkeypatch))
    assert evaluation.run.method == name
    assert evaluation.options.sampler == METHODS[name].sampler


def test_the_example_keeps_the_weight_that_its_label_says(added):
    (name,) = added
    process = METHODS[name].process(0.1)
    assert METHODS[name].label.endswith(f"{float(process.a[-1]):.2f}")
    assert float(process.c[-1]) == pytest.approx(0.1, rel=1e-3)


def test_the_example_leaves_the_table_as_it_was():
    assert "ir-sde-delta" not in METHODS


@pytest.mark.parametrize("name", [n for n, method in METHODS.items() if method.is_trained])
def test_every_trained_method_trains_and_restores(name, monkeypatch):
    losses, restored = train_and_restore(name, monkeypatch)
    assert np.isfinite(losses).all()
    assert bool(torch.isfinite(restored).all())


@pytest.mark.parametrize("name", [n for n, method in METHODS.items() if method.kind == "process"])
def test_defaults_of_every_process_fit_together(name):
    method = METHODS[name]
    process = method.process(0.1)
    assert SAMPLERS[method.sampler].refusal(process) is None
    assert method.objective in OBJECTIVES
    assert 1 <= method.nfe <= largest_step(OBJECTIVES[method.objective], process)
    assert method.objective != "maximum-likelihood" or process.diffusion is not None
