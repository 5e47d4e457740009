"""The same grid by DVC, in a folder of its own."""

import pytest

from tests.project import call, grid_by, grid_files

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def by_dvc(tmp_path_factory):
    return grid_by("dvc", tmp_path_factory)


def test_both_engines_give_the_same_files(tmp_path_factory):
    ours, theirs = (grid_files(engine, tmp_path_factory) for engine in ("dvc", "snakemake"))
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []


def test_a_second_call_of_dvc_does_nothing(by_dvc):
    lines = call(by_dvc, "dvc", "repro").splitlines()
    assert [line for line in lines if line.startswith("Running")] == ["Running stage 'state':"]


def test_dvc_shows_metrics_and_plots(by_dvc):
    assert "reports/metrics.json" in call(by_dvc, "dvc", "metrics", "show")
    call(by_dvc, "dvc", "plots", "show")
    assert (by_dvc / "dvc_plots/index.html").stat().st_size > 1000
