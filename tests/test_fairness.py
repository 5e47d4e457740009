"""Methods of one task begin with the same weights and restore with the same noise."""

import itertools
import json
import shutil
from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
import torch

from irsde import samplers
from irsde.data.pairs import load_pairs
from irsde.evaluation import evaluate as evaluation
from irsde.evaluation.evaluate import evaluate
from irsde.experiment.grid import Evaluation, Run, default_sampler, pairs_folder
from irsde.experiment.options import EvaluationOptions
from irsde.experiment.profile import load_profile, run_settings
from irsde.files import InputError
from irsde.restoration import restorer as restoration
from irsde.restoration.restorer import Restorer
from irsde.training import loop
from irsde.training.run import train
from tests.project import PROJECT, prepare_task

TASK, SET = "denoising", "photographs-test"
METHODS = ("regression", "ir-sde", "ddpm", "goub", "flow")
SAMPLED = ("ir-sde", "ddpm", "goub")


class Noise:
    """Standard normals by image, in the order they are drawn in; an image is known by its mu."""

    def __init__(self, patch):
        self.drawn, self.images = defaultdict(list), []
        states, normals = Restorer.states, samplers.standard_normals

        def watched_states(restorer, mu, *arguments, **options):
            self.images = [image.cpu().numpy().tobytes() for image in mu]
            yield from states(restorer, mu, *arguments, **options)
            self.images = []

        def watched_normals(generators, like):
            drawn = normals(generators, like)
            for image, noise in zip(self.images, drawn, strict=bool(self.images)):
                self.drawn[image].append(noise.cpu().numpy().tobytes())
            return drawn

        patch.setattr(Restorer, "states", watched_states)
        for module in (restoration, samplers):
            patch.setattr(module, "standard_normals", watched_normals)

    def taken(self):
        """Noise by image since it was last taken."""
        drawn, self.drawn = dict(self.drawn), defaultdict(list)
        return drawn


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """First weights of a run of each method, and the noise of its validation."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(PROJECT / "workflow/config", folder / "workflow/config")
    (folder / "data").mkdir()
    shutil.copy(PROJECT / "data/catalogue.yaml", folder / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("IRSDE_LPIPS_WEIGHTS", "")
        prepare_task("smoke", TASK)
        usual, weights, validation = loop.make_optimizer, {}, {}
        noise = Noise(patch)

        def watched(network, recipe):
            weights[run] = {k: v.clone() for k, v in network.state_dict().items()}
            return usual(network, recipe)

        patch.setattr(loop, "make_optimizer", watched)
        for run in (*(Run("smoke", TASK, name, 0) for name in METHODS), other_seed()):
            torch.manual_seed(len(weights))
            settings = run_settings(load_profile("smoke"), TASK, run.method, run.seed)
            once = settings.training.model_copy(update={"iterations": 1, "validation_nfe": 3})
            train(run, settings.model_copy(update={"training": once}), overwrite=False)
            validation[run] = noise.taken()
        yield weights, validation


def run_of(method):
    return Run("smoke", TASK, method, 0)


def other_seed():
    return Run("smoke", TASK, "ir-sde", 1)


@pytest.fixture
def restored(trained, monkeypatch):
    """Noise by image of an evaluation of a method, of a number of images in an order."""
    noise = Noise(monkeypatch)

    def evaluated(method, batch=3, order=slice(None), sampling_seed=0):
        run = run_of(method)
        settings = load_profile("smoke").evaluation.model_copy(update={"batch": batch})
        pairs = load_pairs(pairs_folder("smoke", TASK, SET))
        assert len(pairs) > 2
        monkeypatch.setattr(evaluation, "load_pairs", lambda _: pairs[order])
        sampler = "euler-maruyama" if method == "goub" else "posterior"
        made = Evaluation(run, SET, EvaluationOptions(sampler, 3, sampling_seed=sampling_seed))
        shutil.rmtree(made.folder, ignore_errors=True)
        evaluate(made, settings)
        return noise.taken()

    return evaluated


def check_same_streams(noise, least):
    """What methods draw for an image agrees as far as all of them draw, at least so often."""
    first, *others = noise
    for other in others:
        assert set(other) == set(first)
        for image, drawn in first.items():
            both = list(zip(drawn, other[image], strict=False))
            assert len(both) >= least
            assert all(one == two for one, two in both)


def test_all_methods_begin_with_the_same_weights(trained):
    weights, _ = trained
    first, *others = (weights[run_of(method)] for method in METHODS)
    for other in others:
        assert list(other) == list(first)
        assert all(torch.equal(other[name], first[name]) for name in first)
    another = weights[other_seed()]
    assert not all(torch.equal(another[name], first[name]) for name in first)


def test_all_methods_restore_an_image_with_the_same_noise(restored):
    check_same_streams([restored(method) for method in SAMPLED], least=3)


def test_all_methods_are_validated_with_the_same_noise(trained):
    _, validation = trained
    check_same_streams([validation[run] for run in (run_of("goub"), other_seed())], least=3)
    check_same_streams([validation[run_of(method)] for method in SAMPLED], least=1)


def test_the_noise_of_an_image_does_not_depend_on_its_batch_its_company_or_their_order(restored):
    usual = restored("ir-sde")
    assert restored("ir-sde", batch=1) == usual
    assert restored("ir-sde", order=slice(None, None, -1)) == usual
    for order in (slice(1), slice(1, None), slice(None, None, 2)):
        some = restored("ir-sde", order=order)
        assert some == {image: usual[image] for image in some}


def test_every_image_step_and_sampling_seed_has_noise_of_its_own(restored):
    drawn = [restored("ir-sde", sampling_seed=seed) for seed in (0, 1)]
    noise = [one for run in drawn for one in itertools.chain(*run.values())]
    assert len(set(noise)) == len(noise)
    values = np.concatenate([np.frombuffer(one, np.float32) for one in noise])
    assert abs(values.mean()) < 5 / np.sqrt(values.size)
    assert abs(values.std() - 1) < 5 / np.sqrt(2 * values.size)


def test_goub_is_evaluated_by_its_own_sampler_from_the_last_step_but_one(trained):
    run, settings = run_of("goub"), load_profile("smoke").evaluation
    sampler, nfe = default_sampler(load_profile("smoke"), "goub")
    assert (sampler, nfe) == ("euler-maruyama", 3)
    for name in (sampler, "mean-ode"):
        made = Evaluation(run, SET, EvaluationOptions(name, nfe))
        evaluate(made, settings)
        assert (pd.read_csv(made.folder / "per_image.csv")["nfe"] == nfe).all()
        states = json.loads((made.folder / "states/states.json").read_text())
        assert (states["reverse"][0], states["reverse"][-1]) == (100, 0)
    with pytest.raises(InputError, match="give 1 to 99"):
        evaluate(Evaluation(run, SET, EvaluationOptions("euler-maruyama", 100)), settings)
