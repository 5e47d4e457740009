"""Evaluations made before a metric was added: read, compared, and marked beside newer ones."""

import re
from pathlib import Path

import pytest

from irsde.audit.compare import compare
from irsde.experiment.summary import read_summary
from irsde.report.page_images import image_sets
from irsde.report.planes import plane_figure
from irsde.report.render import full_caption
from irsde.report.results import read_rows
from irsde.report.tables import metrics_tree, quality_tables
from irsde.scoring.perceptual import BACKBONES
from tests.fabricated import fabricate
from tests.project import PROJECT

OLD = ("psnr", "ssim", "lpips")
REASON = "evaluated before HaarPSI was added"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def keys(table):
    return [column.key for column in table.columns]


def test_a_table_of_old_evaluations_has_no_column_and_says_nothing():
    rows = read_rows(fabricate(metrics=OLD))
    (table,) = quality_tables(rows, {})
    assert "haarpsi" not in keys(table)
    assert "HaarPSI" not in full_caption(table)


@pytest.mark.parametrize("newer", ["identity", "regression"])
def test_beside_newer_ones_an_old_evaluation_is_not_available_with_the_reason(newer):
    older = [method for method in ("identity", "regression", "ir-sde") if method != newer]
    folders = [*fabricate(older, metrics=OLD), *fabricate((newer,), metrics=(*OLD, "haarpsi"))]
    rows = read_rows(sorted(folders))
    (table,) = quality_tables(rows, {})
    assert keys(table)[1:5] == ["psnr", "ssim", "lpips", "haarpsi"]
    for method in older:
        cell = table.cell(method, "haarpsi")
        assert (cell.text, cell.reason) == ("n/a", REASON)
    assert table.cell(newer, "haarpsi").value is not None
    names = table.caption[: table.caption.index(REASON)].rpartition("HaarPSI is n/a of ")[2]
    assert sorted(re.split(" and |, |: ", names)[:-1]) == sorted(older)
    assert full_caption(table).count(REASON) == 1
    tree = metrics_tree(rows)["denoising"]["photographs-test"]
    assert [method for method in tree if "haarpsi" in tree[method]] == [newer]


def test_seeds_of_one_method_that_lack_it_leave_no_mean():
    fabricate(("ir-sde",), seeds=(0, 1), metrics=(*OLD, "haarpsi"))
    fabricate(("ir-sde",), seeds=(1,), metrics=OLD)

    def table():
        folders = sorted(Path("results/made/denoising").glob("*/*/evaluations/*/*"))
        return quality_tables(read_rows(folders), {})[0]

    assert "haarpsi" not in keys(table())
    fabricate(("regression",), metrics=(*OLD, "haarpsi"))
    assert table().cell("ir-sde", "haarpsi").reason == REASON
    assert table().cell("regression", "haarpsi").value is not None


def test_the_plane_has_the_perceptual_metric_of_most_methods():
    Path("figures").mkdir()

    def drawn(folders):
        rows = read_rows(folders)
        return plane_figure(rows, [], "", Path("figures")).caption

    everything = ("psnr", "ssim", "lpips", "haarpsi")
    assert drawn(fabricate(metrics=everything)).startswith("Mean LPIPS, axis inverted, against")
    without = fabricate(metrics=("psnr", "ssim", "haarpsi"))
    assert drawn(without).startswith("Mean HaarPSI against mean PSNR (dB): better is up")
    assert plane_figure(read_rows(fabricate(metrics=("psnr", "ssim"))), [], "", Path()) is None


def test_the_page_keeps_its_place_among_the_values_of_images():
    class Album:
        def __getattr__(self, name):
            return lambda *_: ""

    rows = read_rows([*fabricate(("identity",), kept=0, metrics=OLD),
                      *fabricate(("ir-sde",), kept=0, metrics=(*OLD, "haarpsi"))])  # fmt: skip
    (shown,) = image_sets(rows, Album())
    values = [row["values"]["haarpsi"] for of in shown.data["methods"] for row in of["rows"]]
    assert set(values[0]) == {None}
    assert None not in values[1]


def test_compare_says_which_metric_a_side_lacks():
    (a,) = fabricate(("identity",), metrics=OLD)
    (b,) = fabricate(("ir-sde",), metrics=(*OLD, "haarpsi"))
    for pair in ((a, b), (b, a)):
        text = compare(*pair)
        assert re.search(r"^HaarPSI ↑ +n/a", text, re.MULTILINE)
        assert f"HaarPSI is n/a: {REASON}." in text


def test_the_committed_study_has_the_weights_of_lpips_with_its_metric():
    folders = sorted(path.parent for path in (PROJECT / "reports/study").rglob("summary.json"))
    stated = [read_summary(folder).metric("lpips") for folder in folders]
    assert len(stated) > 100
    assert all(BACKBONES[of.network].label == of.weights.label for of in stated)
