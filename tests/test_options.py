"""Options of evaluations: one field of `EvaluationOptions`, from which all else follows."""

from dataclasses import replace

import pytest

from irsde.experiment.options import (
    DEFAULTS,
    OPTIONS,
    EvaluationOptions,
    alike,
    options_of,
    unusual,
)
from irsde.experiment.summary import SUMMARY, read_summary
from irsde.files import InputError, read_json, write_json
from irsde.samplers import GRIDS
from tests.fabricated import fabricate


def test_step_grids_are_those_of_the_samplers():
    assert OPTIONS["grid"].choices == tuple(GRIDS)


def test_every_value_is_read_back_from_the_name_of_a_folder():
    for sampler in ("ddim", "mrs-ode-2-data"):
        for name, default in DEFAULTS.items():
            for value in OPTIONS[name].choices or (0, 7, 2**31 - 1):
                options = EvaluationOptions(sampler, 10, **{name: value})
                assert options_of(options.name) == options
                assert (options.name == f"{sampler}-10") == (value == default)
    every = EvaluationOptions("ddim", 5, "log-snr", "plain", "raw", "bfloat16", sampling_seed=3)
    assert every.name == "ddim-5-log-snr-plain-raw-bfloat16-sampling3"
    assert options_of(every.name) == every


def test_unknown_values_are_refused():
    with pytest.raises(InputError, match="unknown weights 'best': choose from ema, raw"):
        EvaluationOptions("ddim", 5, weights="best")


def test_labels_leave_out_what_is_usual_and_seeds():
    summary = EvaluationOptions("ddim", 5, weights="raw", sampling_seed=3)
    assert unusual(summary) == ["raw"]
    assert alike(summary) == alike(replace(summary, sampling_seed=4))
    assert alike(summary) != alike(replace(summary, grid="log-snr"))


def test_an_earlier_evaluation_was_made_with_the_defaults_of_what_came_later(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (folder,) = fabricate(("ir-sde",))
    content = read_json(folder / SUMMARY)
    without = {name: value for name, value in content.items() if name not in DEFAULTS}
    write_json(folder / SUMMARY, without)
    summary = read_summary(folder)
    assert {name: getattr(summary, name) for name in DEFAULTS} == DEFAULTS
    assert not DEFAULTS.keys() & summary.content().keys()
    for name in DEFAULTS:
        write_json(folder / SUMMARY, {**without, name: [0]})
        with pytest.raises(InputError, match=f"of this version: {name}: "):
            read_summary(folder)
