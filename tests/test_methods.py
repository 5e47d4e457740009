"""Entries of the table of methods: all train and restore, what is refused, what weights are of."""

import dataclasses
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from irsde import processes
from irsde.data.pairs import Pair
from irsde.experiment import code
from irsde.experiment.profile import Profile, load_profile, run_settings
from irsde.files import InputError, digest_json, read_json
from irsde.machine.world import ALONE
from irsde.methods import METHODS, Method, method_of
from irsde.objectives import OBJECTIVES, largest_step
from irsde.restoration.restorer import Restorer, build_network, restorer_of
from irsde.samplers import SAMPLERS
from irsde.seeds import numpy_generator, torch_generator
from irsde.tasks import TASKS, Degradation
from irsde.training.update import Batches, draw_states, training_loss
from tests.project import PROJECT


def test_a_process_at_its_defaults_is_known_by_what_it_was_known_by_before():
    """A field added to processes must not make weights unknown that were trained without it."""
    method = METHODS["ir-sde"]
    process = processes.mean_reverting(100, "cosine", 0.1)
    names = ("a", "b", "c", "g", "log_a", "log_g", "diffusion")
    tables = [[f"{x + 0.0:.7e}" for x in getattr(process, name).tolist()] for name in names]
    content = ["process", "maximum-likelihood", False, True, process.name, *tables, True, 0.1]
    assert method.fingerprint(0.1) == digest_json(content)


@pytest.mark.parametrize("variable", ["MKL_CBWR=COMPATIBLE", "ATEN_CPU_CAPABILITY=default"])
def test_another_processors_rounding_leaves_what_a_method_is_known_by(variable):
    """Exponentials differ in the last bit between kinds of processors."""
    script = (
        "from irsde.methods import METHODS\n"
        "for method in METHODS.values(): print(method.fingerprint(0.1))"
    )
    name, value = variable.split("=")
    command = [sys.executable, "-c", script]
    there = subprocess.run(
        command, env={**os.environ, name: value}, check=True, capture_output=True, text=True
    )
    assert there.stdout.split() == [method.fingerprint(0.1) for method in METHODS.values()]


def test_a_method_is_known_by_its_numbers():
    plain = METHODS["ir-sde"]
    for change, same in ((1 + 1e-15, True), (1 + 1e-5, False)):
        other = dataclasses.replace(
            plain,
            process=lambda std, change=change: dataclasses.replace(
                plain.process(std), b=plain.process(std).b * change
            ),
        )
        assert (other.fingerprint(0.1) == plain.fingerprint(0.1)) == same


@pytest.mark.parametrize("kind", ["regression", "process"])
def test_the_committed_study_is_of_methods_that_are_as_they_were(kind):
    paths = sorted((PROJECT / "reports/study").rglob("run.json"))
    cards = [read_json(path) for path in paths]
    trained = [card for card in cards if "method" in card["identity"]]
    chosen = [card for card in trained if method_of(card["method"]).kind == kind]
    assert chosen
    for card in chosen:
        std = card["settings"]["stationary_std"]
        now = method_of(card["method"]).fingerprint(std)
        assert code.is_same_code("method", card["identity"]["method"], now)


def test_the_drift_of_goub_is_part_of_what_its_weights_are_known_by():
    plain = dataclasses.replace(
        METHODS["goub"],
        process=lambda std: dataclasses.replace(METHODS["goub"].process(std), drift=None),
    )
    assert plain.fingerprint(0.1) != METHODS["goub"].fingerprint(0.1)


@pytest.mark.parametrize("stationary_std", [None, 0.0, -1.0, math.inf, math.nan])
def test_a_lambda_that_is_missing_or_out_of_range_is_one_clear_line(stationary_std, monkeypatch):
    monkeypatch.chdir(PROJECT)
    settings = run_settings(load_profile("smoke"), "denoising", "ir-sde+l2", 0)
    broken = settings.model_copy(update={"stationary_std": stationary_std})
    with pytest.raises(InputError, match=r"^IR-SDE.*stationary_std (is not given|must be posit)"):
        restorer_of(broken, build_network(broken))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "proces"}, "kind 'proces' is none of identity, classical, regression, process"),
        ({"kind": "process", "sampler": "ddim", "nfe": 5}, "a process and kind 'process'"),
        ({"kind": "regression", "sampler": "ddim", "nfe": 1}, "a process needs a sampler"),
        ({"kind": "regression"}, "nfe must be positive"),
        ({"kind": "identity", "nfe": 1}, "else 0"),
    ],
)
def test_an_entry_whose_parts_do_not_fit_is_refused(fields, words):
    with pytest.raises(ValueError, match=words):
        Method("new", **fields)


def test_an_unknown_conversion_is_refused():
    process = processes.mean_reverting()
    restorer = Restorer(lambda x, m, t: x, process, "noise", centered=False, conditional=True)
    with pytest.raises(InputError, match="unknown conversion 'exakt': exact, plain"):
        restorer.restore(
            torch.zeros(1, 3, 4, 4), "posterior", 1, [torch.Generator()], conversion="exakt"
        )


@pytest.mark.parametrize(
    "options", [{"sampler": "ddim"}, {"nfe": 2}, {"grid": "quadratic"}, {"conversion": "plain"}]
)
def test_options_without_effect_on_regression_are_refused(options):
    restorer = Restorer(lambda x, m, t: 0 * x, None, "clean", centered=False, conditional=True)
    usual = {"sampler": "direct", "nfe": 1, "generators": [torch.Generator()]}
    assert restorer.restore(torch.zeros(1, 3, 4, 4), **usual).shape == (1, 3, 4, 4)
    with pytest.raises(InputError, match="direct regression calls its network once"):
        restorer.restore(torch.zeros(1, 3, 4, 4), **{**usual, **options})


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
    return batches.draw_batch(("tests",), 0)


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
