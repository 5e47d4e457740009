"""`irsde report` of made-up results: each place shows the metric and the training it names."""

import contextlib
import json
import os
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from irsde.cli import app
from irsde.experiment.code import known_code
from irsde.files import InputError, digest_json, read_json, write_json
from irsde.report.captions import about_sampling, about_scores
from irsde.report.lineage import Departures
from irsde.report.results import entries, read_rows
from irsde.report.tables import quality_tables
from irsde.scoring.perceptual import BACKBONES
from tests.fabricated import fabricate, write_profile

LUMA = ("psnr", "ssim", "psnr_y", "ssim_y", "lpips")
NAMES = ("identity", "regression", "ir-sde", "goub")
TABLE = "denoising-photographs-test"
GRID = f"{TABLE}.png"


def run(*arguments, code=0):
    """Output of a command, after checking its exit code."""
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.output


def report():
    return run("report", "--profile", "made")


def cells(table=TABLE):
    """Text of every cell of a table in the CSV file, by line and column."""
    lines = pd.read_csv("reports/tables.csv", keep_default_na=False)
    lines = lines[lines["table"] == table]
    return {(line.line, line.column): line.text for line in lines.itertuples()}


def caption(table=TABLE):
    text = Path("reports/tables.md").read_text()
    return re.search(rf"^Table `{re.escape(table)}`\. (.*)$", text, re.MULTILINE)[1]


def page_data(name):
    text = Path("reports/index.html").read_text()
    found = re.search(f'<script type="application/json" id="{name}">(.*)</script>', text)
    return json.loads(found[1])


def figure_caption(key):
    text = unescape(Path("reports/index.html").read_text())
    found = re.search(f'<figure id="figure-{key}">.*?<figcaption>(.*?)</figcaption>', text, re.S)
    return found[1]


@pytest.fixture(scope="module", autouse=True)
def without_figures_of_processes():
    """They do not depend on results."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("irsde.report.charts.write_process_figures", lambda _: [])
        yield


@pytest.fixture
def drawing_by_two(tmp_path, monkeypatch):
    """A profile with results; figures of it are drawn by two processes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("irsde.machine.cores.available_cores", lambda: 2)
    fabricate(NAMES, profile=write_profile())


def test_a_report_of_two_processes_has_the_bytes_of_one(drawing_by_two):
    written = []
    for processes in ("1", "2"):
        run("report", "--profile", "made", "--processes", processes)
        files = sorted(path for path in Path("reports").rglob("*") if path.is_file())
        written.append({path: path.read_bytes() for path in files})
    assert written[0] == written[1]
    assert len([path for path in written[0] if path.suffix == ".pdf"]) >= 3


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("raise InputError('image_0002: damaged')", "image_0002: damaged"),
        ("os.kill(os.getpid(), 9)", "a process was killed"),
    ],
)
def test_a_figure_that_fails_ends_the_report_with_one_line(drawing_by_two, monkeypatch, end, words):
    def draw(*_):
        exec(end, {"InputError": InputError, "os": os})

    monkeypatch.setattr("irsde.report.planes.scatter_figure", draw)
    with pytest.raises(InputError, match=rf"^{words}[^\n]*$"):
        report()
    assert not list(Path("reports").rglob("*.png"))


@pytest.fixture(scope="module")
def luminance(tmp_path_factory):
    """Report under a protocol of luminance, by which the order of methods is reversed."""
    folder = tmp_path_factory.mktemp("luminance")
    with contextlib.chdir(folder):
        profile = write_profile(evaluation={"protocol": "y"})
        rows = read_rows(
            fabricate(NAMES, protocol="y", network="vgg", metrics=LUMA, profile=profile)
        )
        report()
        yield {row.method: row for row in rows}


def test_tables_and_overview_have_the_metric_of_the_protocol(luminance):
    means = {name: row.per_image["psnr_y"].mean() for name, row in luminance.items()}
    assert max(means, key=means.get) == "identity"
    assert max(luminance, key=lambda name: luminance[name].per_image["psnr"].mean()) == "goub"
    overview = page_data("page-data")["tables"]["table-0"]
    assert overview["title"] == "PSNR-Y (dB) of every method on every task"
    shown = dict(zip(overview["lines"], overview["cells"], strict=True))
    for name, mean in means.items():
        assert cells()[name, "psnr_y"].startswith(f"{mean:.2f} ")
        assert shown[name][1][0] == pytest.approx(mean)
        assert f"{TABLE}/{name}/psnr_y" in shown[name][1][5]


def test_values_of_images_begin_with_the_metrics_of_the_protocol(luminance):
    metrics = page_data("set-0")["metrics"]
    assert [metric["label"] for metric in metrics][:2] == ["PSNR-Y (dB)", "SSIM-Y"]


def test_grid_plane_and_scatter_show_the_metric_of_the_protocol(luminance):
    text = Path("reports/index.html").read_text()
    alternatives = re.findall(r'<img [^>]*alt="([^"]*)"', text)
    first = {name: row.per_image.iloc[0] for name, row in luminance.items()}
    grid = next(found for found in alternatives if found.startswith("Image image_0000"))
    for name, image in first.items():
        assert f"{name} {image.psnr_y:.2f} / {image.ssim_y:.3f}" in grid
    assert "Numbers are PSNR-Y (dB) and SSIM-Y of the whole image" in figure_caption(TABLE)
    plane = next(found for found in alternatives if found.startswith("PSNR-Y (dB) and LPIPS"))
    for name, row in luminance.items():
        assert f"{name} {row.per_image['psnr_y'].mean():.2f} dB" in plane
    assert "against mean PSNR-Y (dB)" in figure_caption(f"plane-{TABLE}")
    scatter = figure_caption(f"scatter-{TABLE}")
    assert "<b>Denoising, photographs, test part: ir-sde and regression image" in scatter
    assert "Left: PSNR-Y (dB) of each of 6 images" in scatter
    difference = (
        luminance["ir-sde"].per_image["psnr_y"] - luminance["regression"].per_image["psnr_y"]
    )
    assert f"mean {difference.mean():+.2f} dB".replace("-", "−") in scatter


def test_cost_stands_beside_the_metric_of_the_protocol(luminance):
    heading, _, *lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in Path("reports/cost.md").read_text().splitlines()
        if line.startswith("|")
    ]
    column = heading.index("PSNR-Y (dB) ↑")
    means = [f"{row.per_image['psnr_y'].mean():.2f}" for row in luminance.values()]
    assert [line[column] for line in lines] == means


def test_the_network_of_lpips_is_the_one_that_was_used(luminance):
    assert "LPIPS uses VGG, not the paper's AlexNet" in caption()
    assert "LPIPS uses VGG." in figure_caption(f"plane-{TABLE}")
    assert "<dt>LPIPS</dt><dd>VGG, not the paper" in Path("reports/index.html").read_text()
    for name in ("index.html", "tables.md", "tables.tex", "tables.csv", "cost.md"):
        text = unescape(Path("reports", name).read_text())
        assert "SqueezeNet" not in text
        assert "AlexNet" not in text.replace("not the paper's AlexNet", "")


def remade(run, **identity):
    """Change the identity in a run card, as if the run had been made by other code."""
    folder = Path("results/made/denoising", run)
    card = read_json(folder / "run.json")
    card["identity"] |= identity
    write_json(folder / "run.json", card)
    for path in folder.glob("evaluations/*/*/summary.json"):
        write_json(path, read_json(path) | {"run_identity": digest_json(card["identity"])})


TRAINING = {
    "iterations": 60, "batch": 4, "patch": 16, "learning_rate": 0.001,
    "checkpoint_every": 20, "validate_every": 20,
}  # fmt: skip


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Report of runs of two budgets, one of them of an earlier version of its process."""
    with contextlib.chdir(tmp_path_factory.mktemp("mixed")):
        fabricate(("identity", "regression"), profile=write_profile())
        fabricate(("ir-sde", "goub"), profile=write_profile(training=TRAINING))
        remade("goub/seed0", method="0" * 64)
        report()
        yield


SETTINGS = "trained with other settings than the profile now has"
PROCESS = "trained with an earlier version of the method's process"
CHANGED = "iterations 600 instead of 60, batch 8 instead of 4"


def test_rows_that_were_trained_otherwise_are_marked_in_every_file(mixed):
    names = {line: text for (line, column), text in cells().items() if column == "method"}
    assert names == {
        "identity": "identity", "regression": "regression †", "ir-sde": "ir-sde", "goub": "goub ‡",
    }  # fmt: skip
    lines = pd.read_csv("reports/tables.csv", keep_default_na=False)
    reasons = lines[(lines["table"] == TABLE) & (lines["column"] == "method")]["reason"].tolist()
    assert reasons == ["", f"{SETTINGS} ({CHANGED})", "", PROCESS]
    assert f"† {SETTINGS.capitalize()}: regression ({CHANGED})." in caption()
    assert f"‡ {PROCESS.capitalize()}: goub." in caption()
    assert "[regression †]" in Path("reports/tables.md").read_text()
    assert r"regression~\textdagger{}" in Path("reports/tables.tex").read_text()
    assert "regression †" in Path("reports/cost.md").read_text()


def test_the_caption_says_that_methods_differ_in_their_targets(mixed):
    assert (
        "Methods also differ in what the network predicts: the clean image (regression); the noise "
        "of maximum likelihood (ir-sde, goub)."
    ) in caption()


def test_the_page_marks_rows_that_were_trained_otherwise(mixed):
    tables = page_data("page-data")["tables"].values()
    overview = next(table for table in tables if table["title"].startswith("PSNR"))
    marks = {
        line: row[1][3] for line, row in zip(overview["lines"], overview["cells"], strict=True)
    }
    assert [marks[name].split()[-1:] for name in ("regression", "goub")] == [["†"], ["‡"]]
    assert not set(marks["identity"] + marks["ir-sde"]) & {"†", "‡"}
    assert page_data("page-data")["marks"]["†"] == SETTINGS
    text = unescape(Path("reports/index.html").read_text())
    overview = re.search('id="overview-table".*?</p>', text, re.S)[0]
    assert f" †: {SETTINGS}. ‡: {PROCESS}." in overview


def test_figures_name_what_was_trained_otherwise(mixed):
    for key in (TABLE, f"plane-{TABLE}"):
        assert f"{SETTINGS.capitalize()}: regression ({CHANGED})." in figure_caption(key)
        assert f"{PROCESS.capitalize()}: goub." in figure_caption(key)


def test_verify_notices_a_profile_that_changed_between_the_runs(mixed):
    text = run("verify", "--profile", "made", code=1)
    note = "another setting in the profile today for results/made/denoising/regression/seed0"
    assert f"{note}: {CHANGED}" in text
    assert "rebuilt cell" not in text


def test_verify_wants_a_report_whose_rows_are_no_longer_alike(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("irsde.report.build.write_figures", lambda *_: [])
    write_profile(methods=["regression", "ir-sde"])
    fabricate(("regression", "ir-sde"), profile=write_profile(methods=["regression", "ir-sde"]))
    report()
    fabricate(
        ("ir-sde",), profile=write_profile(methods=["regression", "ir-sde"], training=TRAINING)
    )
    text = run("verify", "--profile", "made", code=1)
    assert f"{TABLE}/regression/method: rebuilt cell" in text


def table_of(profile):
    """The quality table of all results below the working directory, as `irsde report` has it."""
    folders = sorted(Path("results").glob("*/*/*/seed*/evaluations/*/*"))
    (table,) = quality_tables(read_rows(folders), {})
    return Departures(profile).in_table(table)


def marks(table):
    return {line.key: line.cells[0].mark for line in table.lines if line.cells[0].mark}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_what_all_networks_have_in_common_is_said_once_and_marks_none(here):
    fabricate(NAMES, profile=write_profile())
    assert SETTINGS not in table_of(write_profile()).caption
    table = table_of(write_profile(training=TRAINING))
    assert marks(table) == {}
    sentence = f"All networks of this table were {SETTINGS} ({CHANGED})."
    assert table.caption.endswith(sentence)


def test_a_single_seed_that_was_trained_otherwise_is_named(here):
    fabricate(("ir-sde",), (0, 1, 2), profile=write_profile())
    remade("ir-sde/seed1", method="0" * 64)
    fabricate(("identity", "regression"), (0, 1, 2), profile=write_profile())
    table = table_of(write_profile())
    assert marks(table) == {"ir-sde": "‡"}
    assert table.caption.endswith(f"‡ {PROCESS.capitalize()}: ir-sde (seed 1).")


def test_a_process_with_the_same_numbers_under_another_name_marks_none(here):
    as_then = write_profile(process={"stationary_std": "50/255"})
    fabricate(("identity", "regression"), profile=as_then)
    fabricate(("ir-sde",), (0, 1), profile=as_then)
    older, _ = known_code()["method"][0]
    remade("ir-sde/seed1", method=older)
    assert marks(table_of(as_then)) == {}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"process": {"stationary_std": "10/255"}},
            "ir-sde (lambda 0.196078 instead of 0.0392157)",
        ),
        ({"network": {"name": "unet", "width": 32}}, "(network nafnet instead of unet)"),
        ({"data": {"train": "bsd400"}}, '(train ["photographs-train"] instead of ["bsd400"])'),
    ],
)
def test_what_must_be_matched_is_compared(here, changes, text):
    profile = write_profile()
    fabricate(("regression", "ir-sde"), profile=profile)
    changed = yaml.safe_load(Path("workflow/config/made.yaml").read_text())
    for group, values in changes.items():
        changed[group] = values if group == "network" else {**changed.get(group, {}), **values}
    assert text in table_of(write_profile(**changed)).caption


def test_what_leaves_a_training_as_it_is_does_not_count(here):
    fabricate(("regression", "ir-sde"), profile=write_profile())
    training = yaml.safe_load(Path("workflow/config/made.yaml").read_text())["training"]
    same = {"threads": 2, "validate_every": 50, "keep_checkpoints": 5, "accumulate": 2}
    table = table_of(write_profile(training={**training, **same}))
    assert (marks(table), SETTINGS in table.caption) == ({}, False)


def test_a_variant_is_compared_with_what_it_is_in_the_profile(here):
    variants = {"ir-sde+batch16": {"training": {"batch": 16}}}
    methods = ["ir-sde", "ir-sde+batch16"]
    profile = write_profile(methods=methods, variants=variants)
    fabricate(methods, profile=profile)
    assert marks(table_of(profile)) == {}
    variants = {"ir-sde+batch16": {"training": {"batch": 32}}}
    assert marks(table_of(write_profile(methods=methods, variants=variants))) == {
        "ir-sde+batch16": "†"
    }


def test_an_average_of_a_run_is_compared_as_that_run(here):
    profile = write_profile(methods=["ir-sde", "regression"])
    fabricate(["ir-sde", "regression"], profile=profile)
    card = read_json(Path("results/made/denoising/ir-sde/seed0/run.json"))
    fabricate(["ir-sde+width0.1"])
    of_origin = {
        "derived_from": "results/made/denoising/ir-sde/seed0",
        "settings": card["settings"],
    }
    path = Path("results/made/denoising/ir-sde+width0.1/seed0/run.json")
    write_json(path, read_json(path) | of_origin)
    assert marks(table_of(profile)) == {}
    less = write_profile(methods=["ir-sde", "regression"], training=TRAINING)
    assert f"All networks of this table were {SETTINGS}" in table_of(less).caption


def test_methods_with_one_target_do_not_speak_of_it(here):
    fabricate(("identity", "ir-sde", "goub"))
    assert "network predicts" not in table_of(write_profile()).caption


def test_a_sweep_says_which_forms_of_the_exponential_integrators_were_run(here):
    (folder,) = fabricate(("ir-sde",))
    (row,) = read_rows([folder])
    rows = []
    for sampler in ("posterior", "mrs-sde-1", "mrs-sde-1-data"):
        rows.append(replace(row, summary=row.summary.model_copy(update={"sampler": sampler})))
        found = about_sampling(entries(rows))
        assert ("those in the clean image (mrs-…-data) were not run" in found) == (len(rows) == 2)
    assert found.endswith("mrs-…-data in the clean image, the others in the noise.")


@pytest.mark.parametrize("network", BACKBONES)
def test_captions_name_each_network_of_lpips(here, network):
    rows = read_rows(fabricate(("identity", "ir-sde"), network=network))
    label = BACKBONES[network].label
    assert about_scores(rows[0], ["lpips"]).endswith(f" LPIPS uses {label}.")
    (table,) = quality_tables(rows, {})
    assert f"LPIPS ({label})" in [column.label for column in table.columns]
    others = {backbone.label for backbone in BACKBONES.values()} - {label}
    assert [name for name in others if f"LPIPS uses {name}" in table.caption] == []


def test_weights_of_other_people_have_no_budget_to_depart_from(here):
    fabricate(["regression"], profile=write_profile())
    fabricate(["ir-sde+imported"])
    path = Path("results/made/denoising/ir-sde+imported/seed0/run.json")
    write_json(path, read_json(path) | {"imported_from": {"file": "a.pth", "sha256": "0"}})
    assert marks(table_of(write_profile())) == {}
