"""Quality against compute: curves of stored weights, their trends, and where they cross."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from irsde.experiment.profile import load_profile
from irsde.experiment.provenance import read_network_run
from irsde.files import read_json, write_json
from irsde.report import compute
from irsde.report.compute import compute_figures, compute_tables, curves
from irsde.report.results import read_rows
from irsde.restoration.cost import multiply_accumulates
from irsde.restoration.restorer import build_network, restorer_of
from tests.fabricated import fabricate

ITERATIONS = (10, 20, 40, 80)
FIGURE_FILES = ("png", "svg", "pdf")


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """Regression gains 1 dB a doubling from 20, IR-SDE 2 dB from 18.5; scenes differ by 3 dB."""
    profile, folders = load_profile("smoke"), []
    monkeypatch.chdir(tmp_path)
    for made in fabricate(("regression", "ir-sde"), profile=profile):
        is_regression = "regression" in made.as_posix()
        for k, iteration in enumerate(ITERATIONS):
            folder = made.with_name(f"{made.name}-at{iteration}")
            folder.mkdir()
            summary = read_json(made / "summary.json") | {"snapshot": iteration}
            write_json(folder / "summary.json", summary)
            lines = (made / "per_image.csv").read_text().splitlines()
            header = lines[0].split(",")
            place = header.index("psnr")
            for i in range(1, len(lines)):
                cells = lines[i].split(",")
                level = 20 + k if is_regression else 18.5 + 2 * k
                cells[place] = repr(level + 3.0 * ((i - 1) // 2))
                lines[i] = ",".join(cells)
            (folder / "per_image.csv").write_text("\n".join(lines) + "\n")
            folders.append(folder)
    return read_rows(folders)


def untrained(settings):
    return restorer_of(settings, build_network(settings))


def test_a_curve_has_its_values_and_what_they_cost(rows):
    regression, ir_sde = curves(rows)
    assert regression.iterations.tolist() == list(ITERATIONS)
    means = [estimate.mean for estimate in regression.estimates("psnr")]
    assert means == pytest.approx([23, 24, 25, 26])  # three scenes, 0, 3 and 6 dB above
    assert regression.slope("psnr").mean == pytest.approx(1)
    assert ir_sde.slope("psnr").mean == pytest.approx(2)
    assert ir_sde.slope("psnr").high == pytest.approx(2)  # the same in every scene
    ratio = regression.spent / regression.iterations
    assert np.ptp(ratio) == 0
    _, settings = read_network_run(Path(regression.first.summary.run))
    recipe = settings.training
    of_a_patch = multiply_accumulates(untrained(settings), recipe.patch, recipe.patch)
    assert ratio[0] == 3 * recipe.batch * of_a_patch > 1e6
    assert regression.spent[0] == ir_sde.spent[0]  # one network, one batch


def test_larger_patches_in_the_last_quarter_cost_more(rows, monkeypatch):
    regression, _ = curves(rows)
    _, settings = read_network_run(Path(regression.first.summary.run))
    recipe = settings.training.model_copy(
        update={"iterations": 80, "late_patch": 2 * settings.training.patch}
    )
    changed = settings.model_copy(update={"training": recipe})
    monkeypatch.setattr(compute, "read_network_run", lambda _: (None, changed))
    early, late = (
        3 * recipe.batch * multiply_accumulates(untrained(changed), side, side)
        for side in (recipe.patch, recipe.late_patch)
    )
    assert late > 3 * early
    assert regression.spent.tolist() == [10 * early, 20 * early, 40 * early, 60 * early + 20 * late]


def test_crossings_are_between_stored_weights_or_by_the_trends(rows):
    (table,) = compute_tables(rows)
    words = table.cell("ir-sde", "psnr_crossing").text
    place = 20 * 2**0.5  # half a doubling after 20 iterations
    assert words == f"overtakes at {round(place)}"
    assert table.cell("regression", "psnr_crossing").text == ""
    assert table.cell("ir-sde", "psnr_doubling").text == "+2.00 (+2.00 to +2.00)"
    assert table.cell("ir-sde", "psnr").value == pytest.approx(27.5)
    early = [row for row in rows if row.summary.snapshot <= 20]
    (table,) = compute_tables(early)
    words = table.cell("ir-sde", "psnr_crossing").text
    assert words == f"behind throughout; by the trends to {round(place)}"


def test_a_crossing_says_where_the_last_weights_are_not_told_apart(rows):
    for row in rows:
        if row.method == "ir-sde" and row.summary.snapshot == 80:
            row.per_image["psnr"] += np.array([-9.0, 6.0, -9.0])[np.arange(len(row.per_image)) // 2]
    (table,) = compute_tables(rows)
    assert table.cell("ir-sde", "psnr_crossing").text.endswith("; not told apart at 80")


def test_a_legend_of_long_names_is_whole(rows, tmp_path, monkeypatch):
    named = {"method_label": "IR-SDE, its authors' target"}
    long = [replace(row, summary=row.summary.model_copy(update=named)) for row in rows]
    drawn = []
    monkeypatch.setattr(compute, "save", lambda canvas, *_, **__: drawn.append(canvas))
    compute_figures(long, "a budget.", tmp_path)
    drawn[0].draw_without_rendering()
    box = drawn[0].legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= drawn[0].bbox.x1


def test_a_variant_is_hollow(rows, tmp_path, monkeypatch):
    renamed = {"ir-sde": "regression+wide", "regression": "regression"}
    named = [
        replace(row, summary=row.summary.model_copy(update={"method": renamed[row.method]}))
        for row in rows
    ]
    drawn = []
    monkeypatch.setattr(compute, "save", lambda canvas, *_, **__: drawn.append(canvas))
    compute_figures(named, "a budget.", tmp_path)
    faces = [handle.get_markerfacecolor() for handle in drawn[0].legends[0].legend_handles]
    assert len(faces) == 2
    assert faces.count("white") == 1


@pytest.mark.parametrize(("most", "labelled"), [(4, [10, 20, 40, 80]), (3, [20, 80])])
def test_labels_of_many_iterations_do_not_touch(rows, tmp_path, monkeypatch, most, labelled):
    drawn = []
    monkeypatch.setattr(compute, "save", lambda canvas, *_, **__: drawn.append(canvas))
    monkeypatch.setattr(compute, "LABELS", most)
    compute_figures(rows, "a budget.", tmp_path)
    assert sorted(drawn[0].axes[0].get_xticks()) == labelled


def test_figures_are_drawn_and_described(rows, tmp_path):
    (tmp_path / "figures").mkdir()
    (figure,) = compute_figures(rows, "a budget.", tmp_path / "figures")
    for ending in FIGURE_FILES:
        assert (tmp_path / "figures" / f"{figure.key}.{ending}").stat().st_size > 1000
    assert "regression: PSNR (dB) from 23.00 at 10 to 26.00 at 80 iterations." in figure.alternative
    assert "2 trainings" in figure.caption


def test_one_stored_average_alone_is_no_curve(rows):
    assert curves([row for row in rows if row.summary.snapshot == 80]) == []
    assert compute_tables([]) == []
