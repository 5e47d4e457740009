"""Options of evaluations: one field of `EvaluationOptions`, from which all else follows."""

import os
import subprocess
import sys
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
from irsde.files import InputError
from irsde.samplers import GRIDS
from tests.project import copy_project

FIELD = """    sampling_seed: Annotated[
        int,"""
ADDED = (
    """    rounding: Annotated[
        Literal["none", "half-even"], Option("Of the result", "roundings", prefix="rounded-")
    ] = "none"
"""
    + FIELD
)


def test_step_grids_are_those_of_the_samplers():
    assert OPTIONS["grid"].choices == tuple(GRIDS)


def test_every_value_is_read_back_from_the_name_of_a_folder():
    for sampler in ("ddim", "mrs-ode-2-data"):
        for name, default in DEFAULTS.items():
            for value in OPTIONS[name].choices or (0, 7, 2**31 - 1):
                options = EvaluationOptions(sampler, 10, **{name: value})
                assert options_of(options.name) == options
                assert (options.name == f"{sampler}-10") == (value == default)
    every = EvaluationOptions("ddim", 5, "log-snr", "plain", "raw", "bfloat16", 3)
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


def test_an_option_is_added_by_one_field(tmp_path):
    """Command line, sweeps, names of folders and DVC's arguments have it."""
    copy_project(tmp_path)
    code = tmp_path / "irsde/experiment/options.py"
    code.write_text(code.read_text().replace(FIELD, ADDED))
    profile = tmp_path / "workflow/config/smoke.yaml"
    swept = "nfe: [1, 3], roundings: [none, half-even]}"
    profile.write_text(profile.read_text().replace("nfe: [1, 3]}", swept))

    def irsde(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", "irsde.cli", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr

    assert "--rounding" in irsde("evaluate", "--help")
    wrong = irsde("evaluate", "--run", "results/smoke/denoising/ir-sde/seed0", "--rounding", "up")
    assert "unknown rounding 'up': choose from none, half-even" in wrong
    irsde("plan", "--profile", "smoke")
    planned = (tmp_path / "params.yaml").read_text()
    assert "/photographs-test/ddim-3-rounded-half-even\n" in planned
    assert "--sampler ddim --nfe 3 --rounding half-even" in " ".join(planned.split())
