"""The best sampler of each method, by `irsde report` of numbers whose answers are known."""

import contextlib
import json
import re
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from typer.testing import CliRunner

from irsde.cli import app
from irsde.drawing import look, sampler_look
from irsde.samplers import SAMPLERS
from tests.fabricated import fabricate, write_profile

TABLE = "best-denoising-photographs-test"
IMAGES, SCENES = 24, 12
BASE = 26 + np.repeat(np.linspace(-2, 2, SCENES), 2)  # two images of each scene
SIGN = np.repeat(np.tile([1.0, -1.0], SCENES // 2), 2)
CHANCE = 0.5 - 0.75 * SIGN  # below the best by 0.5 dB on average, of which one test says p < 0.05
PSNR = {  # method, NFE → sampler → what is added to the PSNR of an image
    ("ir-sde", 1): dict.fromkeys(("posterior", "ddim", "mrs-ode-1", "dbim-half", "dbim-2"), 0),
    ("ir-sde", 2): {
        "posterior": 0,
        "ddim": -1 + 0.1 * SIGN,
        "mrs-ode-1": -0.3 + 2 * SIGN,
        "dbim-half": 1e-5,
        "dbim-2": -CHANCE,
    },
    ("ir-sde", 5): {
        "posterior": -1 + 0.1 * SIGN,
        "ddim": 0.5,
        "mrs-ode-1": 0.2 + 2 * SIGN,
        "dbim-half": -3,
        "dbim-2": -4,
    },
    ("goub", 5): {"euler-maruyama": -5, "mean-ode": -5.2},
}


def run(*arguments):
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def write_results(methods=("ir-sde", "goub"), metrics=("psnr", "ssim", "lpips")):
    """A profile with sweeps and its evaluations; a second training of GOUB is 3 dB better."""
    swept = {method: [nfe for of, nfe in PSNR if of == method] for method in methods}
    seeds = {"ir-sde": [0], "goub": [0, 1]}
    profile = write_profile(
        methods=list(methods),
        seeds=[0, 1],
        sweeps=[
            {
                "tasks": ["denoising"],
                "methods": [method],
                "seeds": seeds[method],
                "samplers": list(PSNR[method, swept[method][0]]),
                "nfe": swept[method],
            }
            for method in methods
        ],
    )
    usual = fabricate(methods, (0, 1), images=IMAGES, kept=1, metrics=metrics, profile=profile)
    for folder in usual:
        method, seed = folder.parts[3], int(folder.parts[4].removeprefix("seed"))
        for (of, nfe), of_sampler in PSNR.items():
            if of != method or seed not in seeds[method]:
                continue
            for place, (sampler, added) in enumerate(of_sampler.items()):
                to = folder.parent / f"{sampler}-{nfe}"
                to.mkdir()
                summary = json.loads((folder / "summary.json").read_text())
                (to / "summary.json").write_text(
                    json.dumps(summary | {"sampler": sampler, "nfe": nfe})
                )
                table = pd.read_csv(folder / "per_image.csv").assign(psnr=BASE + added + 3 * seed)
                for metric, way in (("lpips", -1), ("haarpsi", 1)):
                    if metric in metrics:
                        apart = place + 0.1 * SIGN * (place % 2)
                        table[metric] = 0.01 * (BASE + way * apart)
                table.to_csv(to / "per_image.csv", index=False)


@pytest.fixture(scope="module", autouse=True)
def without_figures_of_processes():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("irsde.report.charts.write_process_figures", lambda _: [])
        yield


@pytest.fixture(scope="module")
def canvases(tmp_path_factory):
    """A report is compiled; its figures as they were drawn, by their keys."""
    from matplotlib.figure import Figure as Canvas

    drawn, write = {}, Canvas.savefig

    def keep(canvas, path, **options):
        drawn[Path(path).stem] = canvas
        write(canvas, path, **options)

    with pytest.MonkeyPatch.context() as patch, contextlib.chdir(tmp_path_factory.mktemp("best")):
        patch.setattr(Canvas, "savefig", keep)
        write_results()
        run("report", "--profile", "made", "--processes", "1")
        yield drawn


def lines(table=TABLE):
    every = pd.read_csv("reports/tables.csv", keep_default_na=False)
    return every[every["table"] == table].set_index(["line", "column"])


def text(line, column):
    return lines().loc[(line, column), "text"]


def test_each_number_of_evaluations_has_the_samplers_that_are_best_by_each_metric(canvases):
    assert list(lines().index.get_level_values(0).unique()) == [
        "ir-sde-1", "ir-sde-2", "ir-sde-5", "goub-5",
    ]  # fmt: skip
    assert text("ir-sde-5", "psnr_sampler") == "ddim"
    assert text("goub-5", "psnr_sampler") == "euler-maruyama"
    assert text("ir-sde-2", "lpips_sampler") == "dbim-2"
    assert text("goub-5", "lpips_sampler") == "mean-ode"
    assert text("ir-sde-2", "nfe") == "2"


def test_values_have_the_interval_over_scenes(canvases):
    of_scene = BASE[::2] + 0.5
    half = stats.t.ppf(0.975, SCENES - 1) * stats.sem(of_scene)
    cell = lines().loc[("ir-sde-5", "psnr")]
    assert float(cell["value"]) == pytest.approx(of_scene.mean())
    assert float(cell["low"]) == pytest.approx(of_scene.mean() - half)
    assert float(cell["high"]) == pytest.approx(of_scene.mean() + half)
    assert cell["text"] == f"{of_scene.mean():.2f} ± {half:.2f}"


def test_what_rounds_to_nothing_makes_no_sampler_the_best_nor_tells_it_apart(canvases):
    assert text("ir-sde-2", "psnr_sampler") == "posterior"
    assert text("ir-sde-2", "psnr_close") == "all but ddim"


def test_not_told_apart_is_by_paired_tests_corrected_for_all_comparisons(canvases):
    p_value = stats.ttest_1samp(CHANCE[::2], 0).pvalue
    assert 0.02 < p_value < 0.05
    assert text("ir-sde-1", "psnr_close") == "all others"
    assert text("ir-sde-2", "psnr_close") == "all but ddim"
    assert text("ir-sde-5", "psnr_close") == "mrs-ode-1"
    assert text("ir-sde-2", "lpips_close") == "none"
    assert "for the 26 comparisons of the table" in Path("reports/tables.md").read_text()


def test_samplers_of_one_training_are_compared_training_by_training(canvases):
    assert float(lines().loc[("goub-5", "psnr"), "high"]) > BASE.mean()
    assert text("goub-5", "psnr_close") == "none"


def test_every_form_of_the_report_has_table_and_figure(canvases):
    reports = Path("reports")
    document = (reports / "tables.md").read_text()
    assert re.search(rf"^Table `{TABLE}`\. ", document, re.MULTILINE)
    assert f"(figures/{TABLE}.png)" in document
    assert "the best sampler of each method" in (reports / "tables.tex").read_text()
    page = unescape((reports / "index.html").read_text())
    assert f'id="figure-{TABLE}"' in page
    assert f"{TABLE}/ir-sde-2/psnr" in page
    assert f"IR-SDE, 5 NFE: PSNR (dB) {text('ir-sde-5', 'psnr')} by ddim.".lower() in page.lower()
    for ending in ("png", "svg", "pdf"):
        assert (reports / f"figures/{TABLE}.{ending}").is_file()


def test_explain_follows_a_value_to_its_images_and_a_sampler_to_all_that_were_compared(canvases):
    of_value = run("explain", f"reports/tables.md:{TABLE}/ir-sde-5/psnr")
    assert "mean over images of the evaluation" in of_value
    assert "ddim-5" in of_value
    assert "posterior-5" not in of_value
    of_sampler = run("explain", f"reports/tables.md:{TABLE}/ir-sde-5/psnr_sampler")
    for sampler in PSNR["ir-sde", 5]:
        assert f"{sampler}-5" in of_sampler


def test_lines_are_methods_and_markers_samplers(canvases):
    canvas = canvases[TABLE]
    fidelity, perception = canvas.axes
    shown = {
        (round(line.get_ydata()[0], 3), line.get_marker(), line.get_color())
        for line in fidelity.lines
        if line.get_marker() != "None"
    }
    means = {
        "posterior": ("ir-sde", 26),
        "ddim": ("ir-sde", 26.5),
        "euler-maruyama": ("goub", 22.5),
    }
    assert shown == {
        (mean, sampler_look(sampler).marker, look(method).color)
        for sampler, (method, mean) in means.items()
    }
    assert (fidelity.get_ylabel(), perception.get_ylabel()) == ("PSNR (dB) ↑", "LPIPS (AlexNet) ↓")
    methods, samplers = ([t.get_text() for t in legend.get_texts()] for legend in canvas.legends)
    assert methods == ["ir-sde", "goub"]
    assert set(samplers) == {"posterior", "ddim", "dbim-2", "euler-maruyama", "mean-ode"}


def test_no_two_samplers_have_one_marker():
    looks = [sampler_look(name) for name in SAMPLERS]
    assert len({(one.marker, one.filled) for one in looks}) == len(SAMPLERS)


@pytest.mark.parametrize(
    ("metrics", "columns"),
    [
        (("psnr", "ssim", "haarpsi"), {"psnr", "haarpsi"}),
        (("psnr", "ssim", "haarpsi", "lpips"), {"psnr", "lpips"}),
        (("psnr", "ssim"), {"psnr"}),
    ],
)
def test_the_perceptual_metric_is_the_one_that_there_is(tmp_path, monkeypatch, metrics, columns):
    monkeypatch.chdir(tmp_path)
    write_results(metrics=metrics)
    monkeypatch.setattr("irsde.report.build.write_figures", lambda *_: [])
    run("report", "--profile", "made")
    found = set(lines().index.get_level_values(1))
    assert {name for name in found if f"{name}_sampler" in found} == columns


def test_a_method_without_a_metric_has_the_other_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_results()
    for path in Path("results/made/denoising/goub").rglob("*-5/per_image.csv"):
        pd.read_csv(path).drop(columns="lpips").to_csv(path, index=False)
    run("report", "--profile", "made")
    assert text("goub-5", "psnr_sampler") == "euler-maruyama"
    assert text("goub-5", "lpips_sampler") == text("goub-5", "lpips") == "n/a"
    assert text("ir-sde-2", "lpips_sampler") == "dbim-2"


def test_of_one_method_there_is_nothing_to_set_side_by_side(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_results(methods=("ir-sde",))
    monkeypatch.setattr("irsde.report.build.write_figures", lambda *_: [])
    run("report", "--profile", "made")
    assert lines().empty
    assert not lines("denoising-photographs-test-ir-sde-sweep").empty
