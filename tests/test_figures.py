"""Figures of a report: what is drawn, what is left out, what captions say, the same bytes twice."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from irsde.drawing import DOUBLE, SINGLE, look, sampler_look
from irsde.experiment.grid import pairs_folder
from irsde.images import read_image, to_float, to_pixels, write_image
from irsde.methods import METHODS
from irsde.objectives import OBJECTIVES, Drawn
from irsde.processes import mean_reverting
from irsde.report.build import write_figures
from irsde.report.charts import (
    PAPERS_SAMPLER,
    limit,
    sweep_figure,
    sweeps,
    training_figures,
    write_process_figures,
)
from irsde.report.grids import _most_degraded, comparison_figure, strip_figures
from irsde.report.planes import plane_figure, scatter_figure
from irsde.report.results import entries, read_rows
from irsde.samplers import SAMPLERS
from irsde.scoring.statistics import Estimate, mean_estimate, paired_difference
from tests.fabricated import fabricate

FEW = ("identity", "classical", "regression", "ir-sde")
ABLATIONS = ("ir-sde-noise", "ir-sde-linear", "ir-sde-constant")
MANY = (*FEW, *ABLATIONS, "ddpm", "i2sb", "goub", "resshift", "ir-sde+batch16")
BUDGET = "Budget: 600 iterations."


@pytest.fixture(autouse=True)
def without_figures_of_processes(monkeypatch):
    """They do not depend on results."""
    monkeypatch.setattr("irsde.report.charts.write_process_figures", lambda _: [])


def results(methods=FEW, seeds=(0,), **options):
    """Rows of fabricated results with training curves of the methods that are trained."""
    rows = read_rows(fabricate(methods, seeds, **options))
    for row in rows:
        run = Path(row.summary.run)
        card = json.loads((run / "run.json").read_text())
        card["settings"]["training"]["validation_nfe"] = 10
        (run / "run.json").write_text(json.dumps(card))
        if row.summary.parameters:
            end = 20 + row.summary.seed + 0.5 * methods.index(row.method)
            psnr = [np.nan, end - 8, np.nan, end - 1, np.nan, end]
            history = {"iteration": range(100, 700, 100), "validation_psnr": psnr}
            pd.DataFrame(history).to_csv(run / "training.csv", index=False)
    return rows


def swept(row, samplers, nfe, seeds=(0,)):
    """Rows of a sweep of one run: better with more evaluations and for later samplers."""
    folders = []
    for place, sampler in enumerate(samplers):
        for number in nfe:
            for seed in seeds:
                name = f"{sampler}-{number}-seed{seed}"
                folder = row.folder.parent / name
                folder.mkdir()
                changed = {"sampler": sampler, "nfe": number, "sampling_seed": seed}
                row.summary.model_copy(update=changed).write(folder / "summary.json")
                table = row.per_image.copy()
                better = 0.05 * place - 4 / number + 0.01 * seed
                table["psnr"] += better
                table["ssim"] += 0.01 * better
                table["lpips"] -= 0.01 * better
                table.to_csv(folder / "per_image.csv", index=False)
                folders.append(folder)
    return read_rows(folders)


def add_states(row, steps=(100, 75, 50, 25, 0)):
    """States of the first kept image as an evaluation writes them, by the method's own process."""
    image = sorted((row.folder / "images").glob("*.png"))[0].stem
    pairs = pairs_folder("made", row.task, row.dataset)
    clean = read_image(pairs / "GT" / f"{image}.png")
    x0 = torch.from_numpy(to_float(clean)).permute(2, 0, 1)[None]
    process = METHODS[row.method].process(50 / 255)
    generator = torch.Generator().manual_seed(0)
    folder = row.folder / "states"
    folder.mkdir()
    for name in ("forward", "reverse"):
        for step in steps:
            noise = torch.randn(x0.shape, generator=generator)
            state = process.sample(x0, 0.5 * x0, step, noise)[0].permute(1, 2, 0).numpy()
            write_image(folder / f"{name}-{step}.png", to_pixels(state))
    states = {"image": image, "sampler": "posterior", "nfe": 4}
    states |= {"forward": sorted(steps), "reverse": list(steps)}
    (folder / "states.json").write_text(json.dumps(states))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty project as working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def canvases(here, monkeypatch):
    """The figures that are drawn, by the stems of their files; none of these is written."""
    from matplotlib.figure import Figure as Canvas

    drawn = {}

    def keep(canvas, path, **_):
        drawn[path.stem] = canvas
        canvas.draw_without_rendering()

    monkeypatch.setattr(Canvas, "savefig", keep)
    return drawn


def texts(canvas):
    from matplotlib.text import Text

    return canvas.findobj(Text)


def words(canvas):
    return [text.get_text() for text in texts(canvas) if text.get_text()]


def assert_no_text_is_cut_off(canvas):
    undrawn = beyond_the_limits(canvas)
    for text in texts(canvas):
        if text.get_text() and text.get_visible() and id(text) not in undrawn:
            box = text.get_window_extent()
            inside = canvas.bbox.padded(1)
            assert inside.contains(box.x0, box.y0), (text.get_text(), box)
            assert inside.contains(box.x1, box.y1), (text.get_text(), box)


def beyond_the_limits(canvas):
    """Tick labels beyond the limits of their axes, which are not drawn."""
    found = set()
    for axes in canvas.axes:
        window = axes.get_window_extent().padded(2)
        for axis, low, high in ((0, window.x0, window.x1), (1, window.y0, window.y1)):
            for label in (axes.xaxis, axes.yaxis)[axis].get_ticklabels(which="both"):
                box = label.get_window_extent()
                if not low <= (box.min + box.max)[axis] / 2 <= high:
                    found.add(id(label))
    return found


def test_all_figures_that_the_results_allow_are_written_and_are_not_blank(here):
    rows = results((*FEW, *ABLATIONS), seeds=(0, 1))
    sweep = swept(rows[3], ("posterior", PAPERS_SAMPLER), (1, 10, 100), seeds=(0, 1))
    add_states(rows[4])
    figures = write_figures(rows, sweep, BUDGET, here)
    drawings = [
        "plane-denoising-photographs-test",
        "scatter-denoising-photographs-test",
        f"nfe-denoising-photographs-test-{rows[3].method}",
        "training-denoising",
        "objective-denoising",
        "schedule-denoising",
    ]
    pictures = ["denoising-photographs-test", "process-denoising-photographs-test-ir-sde"]
    assert [figure.key for figure in figures] == [*pictures, *drawings]
    assert {figure.section for figure in figures} == {"Denoising"}
    assert all(BUDGET in figure.caption for figure in figures)
    assert all(figure.title and figure.alternative for figure in figures)
    written = {file.name for file in here.iterdir() if file.is_file()}
    expected = {f"{key}.{suffix}" for key in (*pictures, *drawings) for suffix in ("png", "pdf")}
    expected |= {f"{key}.svg" for key in drawings}
    assert written == expected
    for key in (*pictures, *drawings):
        with Image.open(here / f"{key}.png") as picture:
            assert np.asarray(picture.convert("L")).std() > 10
            assert round(picture.info["dpi"][0]) == 200
            assert picture.width <= 200 * DOUBLE
        assert (here / f"{key}.pdf").read_bytes().startswith(b"%PDF")
    for key in drawings:
        assert (here / f"{key}.svg").read_bytes().count(b"<path") > 10


def test_the_same_results_give_the_same_bytes_without_dates_or_programs(here, monkeypatch):
    rows = results()
    for name, epoch in (("first", "0"), ("second", "1700000000")):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
        (here / name).mkdir()
        training_figures(rows, BUDGET, here / name)
        comparison_figure(rows, BUDGET, here / name)
    first = sorted((here / "first").iterdir())
    assert [file.suffix for file in first] == [".pdf", ".png", ".pdf", ".png", ".svg"]
    for file in first:
        content = file.read_bytes()
        assert content == (here / "second" / file.name).read_bytes()
        assert b"Software" not in content
        assert b"Date" not in content
        assert b"Creator" not in content


def test_what_the_results_do_not_allow_is_left_out(canvases, here):
    rows = results(images=4, kept=0)
    for row in rows:
        (Path(row.summary.run) / "training.csv").unlink(missing_ok=True)
        row.per_image["lpips"] = np.nan
    one_nfe = swept(rows[3], ("posterior",), (10,))
    assert [f.key for f in write_figures(rows, one_nfe, BUDGET, here)] == [
        "scatter-denoising-photographs-test"
    ]
    assert write_figures(rows[:3], [], BUDGET, here) == []
    assert write_figures([], [], BUDGET, here) == []


def test_no_figure_of_two_images_is_a_scatter(canvases, here):
    assert scatter_figure(results(images=2), BUDGET, here) is None


@pytest.mark.parametrize("methods", [FEW, MANY], ids=["four", "twelve"])
def test_no_text_is_cut_off_and_figures_are_as_wide_as_columns(canvases, here, methods):
    rows = results(methods, seeds=(0, 1))
    by_method = {row.method: row for row in rows}
    add_states(by_method["ir-sde"])
    samplers = ("posterior", "ddim") if methods is FEW else tuple(SAMPLERS)
    sweep = swept(by_method["ir-sde"], samplers, (1, 5, 10, 50, 100))
    figures = write_figures(rows, sweep, BUDGET, here)
    if methods is FEW:  # they are the same beside any results
        figures += write_process_figures(here)
    assert len(canvases) == len(figures) == (9 if methods is FEW else 8)
    for key, canvas in canvases.items():
        assert_no_text_is_cut_off(canvas)
        assert canvas.get_figwidth() <= DOUBLE, key
        if key not in ("denoising-photographs-test", f"process-{figures[0].key}-ir-sde"):
            assert canvas.get_figwidth() in (SINGLE, DOUBLE), key
        sizes = [text.get_fontsize() for text in texts(canvas) if text.get_text()]
        assert min(sizes) >= 7


def test_comparison_shows_the_images_of_the_first_seed_beside_the_truth(canvases, here):
    rows = results(("regression", "ir-sde"), seeds=(0, 1))
    figure = comparison_figure(rows, BUDGET, here)
    name = "image_0000"
    clean = read_image(pairs_folder("made", "denoising", "photographs-test") / "GT" / f"{name}.png")
    whole = [axes.images[0].get_array() for axes in canvases[figure.key].axes if axes.patches]
    expected = [read_image(rows[k].folder / "images" / f"{name}.png") for k in (0, 2)]
    assert rows[2].summary.seed == 0
    for shown, pixels in zip(whole, [*expected, clean], strict=False):
        assert np.array_equal(shown, pixels)
    scores = rows[2].per_image.iloc[0]
    assert f"{scores['psnr']:.2f} / {scores['ssim']:.3f}" in words(canvases[figure.key])
    assert figure.caption.startswith("1 image (image_0000)")
    assert "Photographs, test part: 6 images of 3 scenes" in figure.caption
    assert f"ir-sde {scores['psnr']:.2f} / {scores['ssim']:.3f}" in figure.alternative


def test_degraded_images_come_from_the_pairs_where_no_row_has_them(canvases, here):
    rows = results(("regression", "ir-sde"))
    pairs = pairs_folder("made", "denoising", "photographs-test")
    (pairs / "LQ").mkdir()
    dark = read_image(pairs / "GT" / "image_0000.png") // 2
    write_image(pairs / "LQ" / "image_0000.png", dark)
    figure = comparison_figure(rows, BUDGET, here)
    assert np.array_equal(canvases[figure.key].axes[0].images[0].get_array(), dark)


def test_details_are_chosen_by_the_degraded_image_wherever_its_row_stands(canvases, here):
    rows = results(("regression", "identity"))
    for row, corner in ((rows[0], slice(0, 16)), (rows[1], slice(32, 48))):
        file = row.folder / "images" / "image_0000.png"
        pixels = read_image(file).copy()
        pixels[corner, corner] = 255 - pixels[corner, corner]
        write_image(file, pixels)
    figure = comparison_figure(rows, BUDGET, here)
    frame = canvases[figure.key].axes[0].patches[0]
    assert min(frame.get_xy()) > 20


@pytest.mark.parametrize("count", [4, 12])
def test_panels_of_a_comparison_stand_side_by_side_without_overlap(canvases, here, count):
    rows = results(MANY[:count], images=8, kept=4)
    for row in rows:
        crop(row.folder / "images" / "image_0002.png")
    crop(pairs_folder("made", "denoising", "photographs-test") / "GT" / "image_0002.png")
    figure = comparison_figure(rows, BUDGET, here)
    canvases[figure.key].draw_without_rendering()
    boxes = [axes.get_position() for axes in canvases[figure.key].axes]
    assert len(boxes) == 2 * ((2 + 13) if count == 12 else 2 * 5)
    for index, box in enumerate(boxes):
        assert min(box.x0, box.y0) >= 0
        assert max(box.x1, box.y1) <= 1
        assert not any(box.overlaps(other) for other in boxes[:index])
    for axes in canvases[figure.key].axes:
        height, width = axes.images[0].get_array().shape[:2]
        shown = axes.get_window_extent()
        assert shown.height / shown.width == pytest.approx(height / width)


def crop(file):
    """Make an image twice as high as wide."""
    pixels = read_image(file)
    write_image(file, pixels[:, : pixels.shape[1] // 2])


def test_detail_is_where_the_degraded_image_differs_most():
    clean = np.full((60, 90, 3), 128, np.uint8)
    degraded = clean.copy()
    degraded[30:44, 55:70] = 0
    rows, columns = _most_degraded(degraded, clean)
    assert (rows.stop - rows.start, columns.stop - columns.start) == (20, 20)
    assert rows.start <= 30
    assert rows.stop >= 44
    assert columns.start <= 55
    assert columns.stop >= 70


def test_states_stand_in_the_order_of_the_process_above_each_other(canvases, here):
    rows = results(("regression", "ir-sde"))
    add_states(rows[1])
    (figure,) = strip_figures(rows, BUDGET, here)
    shown = [axes.images[0].get_array() for axes in canvases[figure.key].axes]
    names = [f"{name}-{t}.png" for name in ("forward", "reverse") for t in (0, 25, 50, 75, 100)]
    for pixels, name in zip(shown, names, strict=True):
        assert np.array_equal(pixels, read_image(rows[1].folder / "states" / name))
    canvases[figure.key].draw_without_rendering()
    places = [axes.get_position() for axes in canvases[figure.key].axes]
    for above, below in zip(places[:5], places[5:], strict=True):
        assert above.x0 == below.x0
        assert above.y0 > below.y1
    assert "$t = 0$, restored" in words(canvases[figure.key])
    assert "4 network evaluations" in figure.caption


def test_of_many_methods_with_states_ir_sde_and_two_others_are_drawn(canvases, here):
    rows = results(("goub", "ir-sde-noise", "indi", "ir-sde", "i2sb"))
    for row in rows:
        add_states(row, steps=(90, 50, 0))
    drawn = [figure.key.rpartition("-test-")[2] for figure in strip_figures(rows, BUDGET, here)]
    assert drawn == ["ir-sde", "goub", "indi"]


def test_training_curves_are_means_over_seeds_and_ablations_need_both_sides(canvases, here):
    rows = results(("regression", "ir-sde", "ir-sde-noise"), seeds=(0, 2))
    figures = training_figures(rows, BUDGET, here)
    assert [figure.key for figure in figures] == ["training-denoising", "objective-denoising"]
    assert "ir-sde 21.50 dB" in figures[0].alternative
    assert "3 methods" in figures[0].caption
    assert "up to 2 training seeds" in figures[0].caption
    assert "at most 10 network evaluations" in figures[0].caption
    (axes,) = canvases["training-denoising"].axes
    named = {line.get_label(): line.get_ydata()[-1] for line in axes.lines}
    assert named == {"ir-sde-noise": 22, "ir-sde": 21.5, "regression": 21}
    legend = canvases["training-denoising"].legends[0].get_texts()
    assert [text.get_text() for text in legend] == list(named)
    assert all(list(line.get_xdata()) == [200, 400, 600] for line in axes.lines)


def test_sweep_shows_means_with_the_intervals_of_the_tables_over_sampling_seeds(canvases, here):
    rows = results(("regression", "ir-sde"), images=12)
    sweep = swept(rows[1], (PAPERS_SAMPLER, "ddim"), (1, 10, 100), seeds=(0, 1))
    (found,) = sweeps(sweep)
    entry = entries(sweep)[0]
    assert len(entry.rows) == 2
    expected = mean_estimate(entry.values("psnr"), entry.scenes)
    assert found.values["psnr"][PAPERS_SAMPLER][1] == expected
    figure = sweep_figure(found, BUDGET, here)
    assert "2 samplers" in figure.caption
    assert "12 images of 6 scenes" in figure.caption
    assert "Sampling seeds: 0, 1." in figure.caption
    panels = canvases[figure.key].axes
    assert [axes.get_ylabel() for axes in panels] == [
        "PSNR (dB) ↑", "SSIM ↑", "LPIPS (AlexNet) ↓",
    ]  # fmt: skip
    for axes, metric in zip(panels, ("psnr", "ssim", "lpips"), strict=True):
        assert axes.get_xscale() == "log"
        assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "10", "100"]
        level = found.values[metric][PAPERS_SAMPLER][100].mean
        assert any(list(line.get_ydata()) == [level, level] for line in axes.lines)
        means = [found.values[metric]["ddim"][nfe].mean for nfe in (1, 10, 100)]
        assert any(list(line.get_ydata()) == means for line in axes.lines)


def test_a_sampler_is_not_ranked_where_it_stands_alone(here):
    row = results(("ir-sde",))[0]
    shared = swept(row, (PAPERS_SAMPLER, "ddim", "posterior"), (1, 10))
    alone = swept(row, ("posterior",), (20, 50, 100))
    ranked = sweeps([*shared, *alone])[0].ranked()
    assert ranked == ["posterior", "ddim", PAPERS_SAMPLER]


def test_of_many_samplers_the_best_and_the_papers_have_colours(canvases, here):
    rows = results(("ir-sde",))
    samplers = (PAPERS_SAMPLER, *[name for name in SAMPLERS if name != PAPERS_SAMPLER])
    (found,) = sweeps(swept(rows[0], samplers, (1, 10)))
    assert found.ranked() == list(reversed(samplers))
    figure = sweep_figure(found, BUDGET, here)
    legend = [text.get_text() for text in canvases[figure.key].legends[0].get_texts()]
    best = list(reversed(samplers[-4:]))
    assert legend == [*best, f"{PAPERS_SAMPLER} (the paper's)", f"{len(samplers) - 5} others"]
    assert all(f"{name}" in figure.caption for name in samplers[1:-4])
    assert "100 evaluations" not in figure.caption


def test_a_metric_that_is_not_there_has_no_panel(canvases, here):
    rows = results(("ir-sde",))
    sweep = swept(rows[0], ("posterior", "ddim"), (1, 10))
    sweep[0].per_image["lpips"] = np.nan
    (found,) = sweeps(sweep)
    sweep_figure(found, BUDGET, here)
    (canvas,) = canvases.values()
    assert len(canvas.axes) == 2


def test_better_is_up_and_right_in_the_plane(canvases, here):
    rows = results(seeds=(0, 1))
    figure = plane_figure(rows, [], BUDGET, here)
    (axes,) = canvases[figure.key].axes
    left, right = axes.get_xlim()
    worst, best = axes.get_ylim()
    assert left < right
    assert worst > best
    for entry in entries(rows):
        psnr, lpips = (float(entry.values(name).mean()) for name in ("psnr", "lpips"))
        points = [
            line for line in axes.lines if line.get_marker() == look(entry.first.method).marker
        ]
        assert [(p.get_xdata()[0], p.get_ydata()[0]) for p in points] == [
            (pytest.approx(psnr), pytest.approx(lpips))
        ]
        assert f"{entry.first.label} {psnr:.2f} dB and {lpips:.4f}" in figure.alternative
    assert "4 methods" in figure.caption
    assert "axis inverted" in figure.caption


def test_what_lies_beyond_the_plane_is_named_with_its_values(canvases, here):
    rows = results(("identity", "regression", "ir-sde", "goub"))
    rows[0].per_image["psnr"] -= 30
    rows[0].per_image["lpips"] += 0.5
    figure = plane_figure(rows, [], BUDGET, here)
    (axes,) = canvases[figure.key].axes
    psnr, lpips = (rows[0].per_image[name].mean() for name in ("psnr", "lpips"))
    assert f"↙ identity ({psnr:.2f} dB, {lpips:.3f})" in words(canvases[figure.key])
    assert axes.get_xlim()[0] > psnr
    assert "Beyond the axes, in the direction of the arrow: identity." in figure.caption


def test_plane_has_the_curves_of_a_sweep(canvases, here):
    rows = results(("regression", "ir-sde"), images=24)
    found = sweeps(swept(rows[1], (PAPERS_SAMPLER, "ddim", "posterior"), (1, 10, 100)))
    figure = plane_figure(rows, found, BUDGET, here)
    assert "Lines: ir-sde with posterior, ir-sde with euler-maruyama" in figure.caption
    (axes,) = canvases[figure.key].axes
    few, ten, hundred = (found[0].values["psnr"]["posterior"][n].mean for n in (1, 10, 100))
    left, right = axes.get_xlim()
    assert few < left < ten < hundred < right
    drawn = [line for line in axes.lines if len(line.get_xdata()) > 1]
    assert any(list(line.get_xdata())[1:] == [ten, hundred] for line in drawn)
    assert "Dotted where they lead beyond the axes: ir-sde with posterior at 1 (" in figure.caption


def solid(line):
    """Whether a line looks solid, and the places it leads through."""
    places = np.transpose(line.get_data())
    return line.get_linestyle() == "-", places[np.isfinite(places).all(axis=1)]


def test_no_solid_line_of_the_plane_leads_beyond_its_axes(canvases, here):
    rows = results(("regression", "ir-sde"), images=24)
    found = sweeps(swept(rows[1], ("posterior",), (1, 2, 10, 100)))
    figure = plane_figure(rows, found, BUDGET, here)
    (axes,) = canvases[figure.key].axes
    (left, right), (high, low) = axes.get_xlim(), axes.get_ylim()
    beyond = 0
    for is_solid, places in map(solid, axes.lines):
        x, y = places.T
        within = (left <= x) & (x <= right) & (low <= y) & (y <= high)
        assert within.all() or not is_solid
        beyond += not within.all()
    assert beyond == 1
    values = found[0].values
    texts = [
        f"{n} ({values['psnr']['posterior'][n].mean:.2f} dB, "
        f"{values['lpips']['posterior'][n].mean:.3f})"
        for n in (1,)
    ]
    assert f"beyond the axes: ir-sde with posterior at {' and '.join(texts)}." in figure.caption


def test_scatter_compares_the_best_method_with_regression_and_says_by_how_much(canvases, here):
    rows = results((*FEW, "goub"), seeds=(0, 1), images=12)
    figure = scatter_figure(rows, BUDGET, here)
    by_method = {entry.first.method: entry for entry in entries(rows)}
    one, other = by_method["goub"], by_method["regression"]
    a, b = one.values("psnr"), other.values("psnr")
    expected = paired_difference(a, b, one.scenes)
    assert f"mean +{expected.mean:.2f} dB" in figure.caption
    assert f"[+{expected.low:.2f}, +{expected.high:.2f}] dB" in figure.caption
    assert f"better on {100 * expected.wins:.0f} % of the images" in figure.caption
    scatter, histogram = canvases[figure.key].axes
    points = scatter.lines[1]
    assert np.allclose(points.get_xdata(), b.mean(axis=0))
    assert np.allclose(points.get_ydata(), a.mean(axis=0))
    assert sum(patch.get_height() for patch in histogram.patches) == 12


def test_scatter_compares_the_two_best_where_there_is_no_regression(canvases, here):
    rows = results(("identity", "ir-sde", "goub", "indi"))
    figure = scatter_figure(rows, BUDGET, here)
    assert "by indi and by goub" in figure.caption


def test_methods_and_samplers_are_told_apart_without_colour_and_keep_their_looks():
    for names, of_name in ((METHODS, look), (SAMPLERS, sampler_look)):
        looks = [of_name(name) for name in names]
        assert len({(one.color, one.marker, one.dashes) for one in looks}) == len(looks)
        assert len({(one.marker, str(one.dashes)) for one in looks}) == len(looks)
    variant = look("ir-sde+batch16")
    assert (variant.color, variant.marker) == (look("ir-sde").color, look("ir-sde").marker)
    assert not variant.filled
    assert look("my-method") == look("my-method")
    elsewhere = [look(f"outside+{name}") for name in ("mine", "theirs")]
    assert elsewhere[0].color != elsewhere[1].color
    assert elsewhere[0].marker != elsewhere[1].marker


def test_schedules_are_those_of_the_process(canvases, here):
    figures = write_process_figures(here)
    assert [f.key for f in figures] == ["schedules", "processes", "objective-weights"]
    _, weight, noise = canvases["schedules"].axes
    for line in weight.lines:
        process = mean_reverting(100, line.get_label(), 10 / 255)
        assert np.array_equal(line.get_ydata(), process.a.numpy())
        assert line.get_ydata()[-1] == pytest.approx(0.005)
    assert all(line.get_ydata()[-1] == pytest.approx(1, abs=1e-4) for line in noise.lines)
    shown = " ".join(line.get_label() for line in canvases["processes"].axes[0].lines)
    for name, method in METHODS.items():
        is_of_another = any(name.startswith(f"{other}-") for other in METHODS)
        if method.process is not None and not is_of_another:
            assert method.label in shown


def test_weight_of_the_objective_is_what_multiplies_the_error_of_the_noise(canvases, here):
    write_process_figures(here)
    (axes,) = canvases["objective-weights"].axes
    line = next(line for line in axes.lines if line.get_label() == "IR-SDE")
    process = METHODS["ir-sde"].process(10 / 255)
    t = torch.arange(1, 101)
    generator = torch.Generator().manual_seed(0)
    shape = (100, 1, 1, 1)
    x0, mu, noise = (torch.rand(shape, generator=generator, dtype=torch.float64) for _ in range(3))
    x_t = process.sample(x0, mu, t, noise)
    output = process.optimal_noise(x_t, x0, mu, t) + 1
    error = OBJECTIVES["maximum-likelihood"].error(process, Drawn(x0, mu, noise, x_t, t), output)
    error = error.flatten().abs()
    assert np.allclose(line.get_ydata(), (error / error.mean()).numpy(), rtol=1e-6)


def test_a_bar_that_leaves_the_panel_is_told():
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    of_metric = {"posterior": {n: Estimate(20 + n, 19 + n, 21 + n) for n in range(5)}}
    assert not limit(axes, of_metric, [19], higher=True)
    assert axes.get_ylim()[0] < 19
    assert limit(axes, of_metric, [5, 19], higher=True)
    assert not limit(axes, of_metric, [25, 21], higher=False)
    assert limit(axes, of_metric, [39, 21], higher=False)
