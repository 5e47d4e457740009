"""The report page of the analytic study: complete, the same bytes twice, the right orders."""

import csv

import pytest

from irsde.processes import mean_reverting
from irsde.samplers import GRIDS, SAMPLERS
from studies.analytic import Settings, build, curve, fitted_order

USED = [n for n, one in SAMPLERS.items() if one.order and not one.refusal(mean_reverting())]
REDUCED = Settings(evaluations=(5, 40, 80, 160, 320), paths=100, samples=300)
SMALL = Settings(evaluations=(5, 20), steps=20, paths=10, samples=50)
FILES = ("errors.csv", "errors.png", "errors.svg", "index.md")


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("analytic")
    return folder, build(folder, REDUCED)


def test_every_sampler_is_measured_at_every_number_of_evaluations(report):
    folder, rows = report
    with (folder / "errors.csv").open(newline="") as stream:
        cells = {(r["sampler"], r["grid"], int(r["nfe"])) for r in csv.DictReader(stream)}
    uniform = {(name, "uniform", nfe) for name in USED for nfe in REDUCED.evaluations}
    grids = {
        (name, grid, nfe)
        for name in ("mrs-ode-2", "ddim")
        for grid in GRIDS
        for nfe in REDUCED.evaluations
    }
    assert cells == uniform | grids
    assert len(rows) == len(cells)


def test_the_page_names_every_sampler_and_has_no_hole(report):
    text = (report[0] / "index.md").read_text()
    for name in USED:
        assert SAMPLERS[name].label in text
    assert "nan" not in text


def test_the_folder_holds_the_report_and_no_temporary_file(report):
    assert sorted(path.name for path in report[0].iterdir()) == list(FILES)


def test_the_report_is_the_same_bytes_when_built_again(tmp_path):
    build(tmp_path / "first", SMALL)
    build(tmp_path / "second", SMALL)
    for name in FILES:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


@pytest.mark.parametrize("name", [n for n in USED if not SAMPLERS[n].stochastic])
def test_fitted_orders_of_ode_samplers_are_the_stated_ones(report, name):
    order = fitted_order(curve(report[1], name))
    assert order is not None
    assert abs(order - min(SAMPLERS[name].order, 2.5)) < 0.25  # order 3 has slower first steps


def test_no_order_is_fitted_to_points_at_the_floor(report):
    assert fitted_order(curve(report[1], "mrs-sde-2")) is None
