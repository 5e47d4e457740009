"""Entries of the table of methods: what is refused, and what trained weights are known by."""

import dataclasses
import math

import pytest
import torch

from irsde import processes
from irsde.experiment.profile import load_profile, run_settings
from irsde.files import InputError, digest_json
from irsde.methods import METHODS, Method
from irsde.restoration.restorer import Restorer, build_network, restorer_of
from tests.project import PROJECT


def test_a_process_at_its_defaults_is_known_by_what_it_was_known_by_before():
    """A field added to processes must not make weights unknown that were trained without it."""
    method = METHODS["ir-sde"]
    process = processes.mean_reverting(100, "cosine", 0.1)
    first = [process.name, *(getattr(process, n).tolist() for n in ("a", "b", "c", "g"))]
    tables = [process.log_a.tolist(), process.log_g.tolist(), process.diffusion.tolist()]
    content = ["process", "maximum-likelihood", False, True, *first, *tables, True, 0.1]
    assert method.fingerprint(0.1) == digest_json(content)


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
