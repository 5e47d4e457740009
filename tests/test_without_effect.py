"""Options of an evaluation that would change its name and nothing else are refused."""

import pytest

from irsde.experiment.grid import refuse_without_effect
from irsde.experiment.options import EvaluationOptions
from irsde.files import InputError


@pytest.mark.parametrize(
    ("method", "sampler", "nfe", "options", "words"),
    [
        ("identity", "direct", 0, {"weights": "raw"}, "has no network: omit --weights"),
        ("identity", "direct", 0, {"precision": "bfloat16"}, "omit --precision"),
        ("classical", "direct", 0, {"sampling_seed": 5}, "omit --sampling-seed"),
        ("identity", "direct", 5, {}, "has no sampler: omit --sampler and --nfe"),
        ("identity", "posterior", 0, {}, "has no sampler"),
        ("regression", "direct", 1, {"grid": "quadratic"}, "draws no noise and has no steps"),
        ("regression", "direct", 1, {"conversion": "plain"}, "omit --conversion"),
        ("regression", "direct", 1, {"sampling_seed": 5}, "omit --sampling-seed"),
        ("regression+wide", "direct", 10, {}, "has no sampler"),
        ("ir-sde", "posterior", 1, {"grid": "log-snr"}, "takes one step"),
        ("ir-sde-noise", "posterior", 9, {"conversion": "plain"}, "not trained by maximum"),
        ("ddpm", "ddim", 9, {"conversion": "plain"}, "not trained by maximum"),
        ("ir-sde", "euler-maruyama", 9, {"conversion": "plain"}, "takes the output as the noise"),
        ("denoising-ode", "probability-flow", 9, {"sampling_seed": 1}, "draws no noise"),
        ("ir-sde", "rk4", 9, {}, "unknown sampler 'rk4'"),
        ("ir-sd", "posterior", 9, {}, "unknown method 'ir-sd'"),
    ],
)
def test_what_changes_nothing_is_refused(method, sampler, nfe, options, words):
    with pytest.raises(InputError, match=words):
        refuse_without_effect(EvaluationOptions(sampler, nfe, **options), method)


@pytest.mark.parametrize(
    ("method", "sampler", "nfe", "options"),
    [
        ("identity", "direct", 0, {}),
        ("regression", "direct", 1, {"weights": "raw", "precision": "bfloat16"}),
        ("ir-sde", "posterior", 2, {"grid": "quadratic", "conversion": "plain"}),
        ("ir-sde", "ddim", 1, {"sampling_seed": 1}),  # of the terminal state
        ("denoising-sde", "euler-maruyama", 9, {"sampling_seed": 1}),
        ("denoising-ode", "ddim", 9, {"conversion": "plain"}),
    ],
)
def test_what_changes_something_is_not(method, sampler, nfe, options):
    refuse_without_effect(EvaluationOptions(sampler, nfe, **options), method)
