"""Tables of a report from made-up evaluations, and their texts in every format."""

import itertools
import math
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from irsde.experiment.summary import Summary
from irsde.files import InputError, write_json
from irsde.report.effects import protocol_tables, seed_tables, significance_tables
from irsde.report.judging import mean_text, signed
from irsde.report.render import (
    cost_document,
    csv_lines,
    document,
    latex,
    latex_document,
    latex_text,
    markdown,
)
from irsde.report.results import Row
from irsde.report.table import Cell, Column, Figure, Line, Table
from irsde.report.tables import (
    cost_table,
    metrics_tree,
    quality_tables,
    sweep_tables,
    training_curves,
)
from irsde.scoring.statistics import Estimate, mean_estimate, paired_difference
from tests.fabricated import PREPARED

METRICS = (  # name, label, higher is better, decimals, middle, deviation over scenes
    ("psnr", "PSNR (dB)", True, 2, 28.0, 3.0),
    ("ssim", "SSIM", True, 4, 0.8, 0.05),
    ("psnr_y", "PSNR-Y (dB)", True, 2, 29.5, 3.0),
    ("ssim_y", "SSIM-Y", True, 4, 0.82, 0.05),
    ("lpips", "LPIPS", False, 4, 0.2, 0.05),
)
LABELS = {"identity": "degraded input", "ir-sde": "IR-SDE", "regression": "direct regression"}


def made(
    method,
    gain=0.0,
    seed=0,
    images=40,
    sampling_seed=0,
    nfe=100,
    sampler="posterior",
    root=Path(),
    dataset="kodak24",
    noise=0.3,
    **summary,
):
    """An evaluation whose PSNR is `gain` dB above 28 on average, on the same images for all."""
    scene = np.random.default_rng(0).normal(size=images)
    own = np.random.default_rng([len(method), *method.encode(), seed, sampling_seed, nfe])
    noise = noise * own.normal(size=images)
    table = pd.DataFrame({"image": [f"image{k:04d}" for k in range(images)]})
    table["scene"] = [f"scene{k:04d}" for k in range(images)]
    for name, _, higher, _, middle, deviation in METRICS:
        moved = (gain + noise) / 3 if higher else -(gain + noise) / 3
        table[name] = middle + deviation * (scene + moved)
    table["nfe"] = nfe
    run = f"results/made/denoising/{method}/seed{seed}"
    folder = root / run / "evaluations" / dataset / f"{sampler}-{nfe}"
    content = {
        "task": "denoising",
        "task_label": "Denoising",
        "method": method,
        "method_label": LABELS.get(method, method),
        "seed": seed,
        "sampling_seed": sampling_seed,
        "run": (root / run).as_posix(),
        "profile": "made",
        "run_identity": "0",
        "dataset": {
            **PREPARED,
            "dataset": dataset,
            "label": dataset.capitalize(),
            "pairs": images,
            "scenes": images,
            "degradation": "Gaussian noise of standard deviation 25/255",
            "source": {"differences": []},
        },
        "leaked": [],
        "sampler": sampler,
        "nfe": nfe,
        "grid": "uniform",
        "conversion": "exact",
        "weights": "ema",
        "precision": "float32",
        "parameters": 380_000,
        "protocol": {"name": "rgb", "version": 1, "label": "8-bit RGB", "channel": "rgb"},
        "lpips": {"network": "alex", "unavailable": ""},
        "metrics": [
            {"name": name, "label": label, "higher_is_better": higher, "decimals": decimals}
            for name, label, higher, decimals, _, _ in METRICS
        ],
    }
    return Row(folder, Summary.model_validate({**content, **summary}), table)


def stating(row, **changes):
    """The row with other fields of its summary."""
    summary = Summary.model_validate({**row.summary.content(), **changes})
    return replace(row, summary=summary)


def three(images=40, **more):
    """The input, a method 0.05 dB below the best and the best, all with a common spread."""
    return [
        made("identity", -5, images=images, nfe=0, sampler="direct", parameters=0, **more),
        made("regression", 0.95, images=images, nfe=1, sampler="direct", noise=0.02, **more),
        made("ir-sde", 1.0, images=images, noise=0.02, **more),
    ]


def test_every_line_has_the_mean_and_interval_of_its_method():
    rows = three()
    (table,) = quality_tables(rows, {})
    assert table.key == table.figure == "denoising-kodak24"
    for row in rows:
        values = row.per_image["psnr"].to_numpy()[None]
        expected = mean_estimate(values, list(row.per_image["scene"]))
        cell = table.cell(row.method, "psnr")
        assert (cell.value, cell.low, cell.high) == (expected.mean, expected.low, expected.high)
        assert cell.text == f"{expected.mean:.2f} ± {expected.half_width:.2f}"
        assert cell.sources == (row.folder.as_posix(),)
    assert table.cell("regression", "nfe").text == "1"
    assert table.cell("ir-sde", "parameters").text == "0.38 M"


def test_best_and_second_and_what_the_test_cannot_tell_apart():
    tied = made("goub", 1.001, noise=0.3)
    (table,) = quality_tables([*three(), tied], {})
    emphases = {line.key: line.cells[1].emphasis for line in table.lines}
    assert sorted(emphases.values()) == ["", "", "best", "second"]
    close = {line.key: line.cells[1].mark for line in table.lines}
    assert close["identity"] == ""
    (clear,) = quality_tables(three(), {})
    assert clear.cell("regression", "psnr").mark == ""  # 0.05 dB, but on every image
    assert clear.cell("ir-sde", "psnr").emphasis == "best"
    lower = clear.cell("ir-sde", "lpips")
    assert lower.emphasis == "best"
    assert lower.value < clear.cell("identity", "lpips").value
    noisy = [made("ir-sde", 1.0, noise=3), made("goub", 0.9, noise=3)]
    (unclear,) = quality_tables(noisy, {})
    marks = {(line.cells[1].emphasis, line.cells[1].mark) for line in unclear.lines}
    assert marks == {("best", ""), ("second", "≈")}


def test_the_numbers_of_a_method_do_not_depend_on_the_others():
    rows = three()
    (small,) = quality_tables(rows[:2], {})
    (large,) = quality_tables([made("goub", 3.0, seed=1), *reversed(rows)], {})
    for method, column in itertools.product(("identity", "regression"), ("psnr", "lpips")):
        one, other = small.cell(method, column), large.cell(method, column)
        assert (one.text, one.low, one.high) == (other.text, other.low, other.high)


def test_few_scenes_are_judged_by_the_same_rule_and_the_caption_says_what_it_needs():
    rows = [made("ir-sde", 1.0, images=5), made("identity", -5, images=5)]
    (table,) = quality_tables(rows, {})
    assert "of 5 scenes they hold if scenes are normally distributed" in table.caption
    assert table.cell("identity", "psnr").mark == ""
    (differences,) = significance_tables(rows)
    assert differences.cell("identity", "verdict").text == "worse"
    assert differences.cell("identity", "p").value < 0.05
    (large,) = quality_tables(three(), {})
    assert "normally distributed" not in large.caption


def test_the_family_of_a_table_is_all_its_comparisons():
    rows = [made("a", 0.4, noise=1), made("b", 0.0, noise=1), made("c", -3, noise=1)]
    (table,) = quality_tables(rows, {})
    (differences,) = significance_tables(rows)
    count = 2 * len(METRICS)
    assert f"for the {count} comparisons of the table" in table.caption
    assert f"for {count} comparisons" in differences.caption
    values = {row.method: row.per_image["psnr"].to_numpy()[None] for row in rows}
    alone = paired_difference(values["b"], values["a"], list(rows[0].per_image["scene"])).p_value
    assert differences.cell("b", "p").value == pytest.approx(alone * len(METRICS))


@pytest.mark.parametrize("gap", [0.1, 0.3, 0.45, 0.6, 3])
def test_every_table_marks_the_same_differences(gap):
    rows = [made("a", gap, noise=1), made("b", 0.0, noise=1)]
    (table,) = quality_tables(rows, {})
    (differences,) = significance_tables(rows)
    line, cell = differences.lines[0], differences.lines[0].cells[1]
    close = table.cell(line.key, "psnr").mark == "≈"
    assert (cell.mark == "≈") == close
    assert (line.cells[-1].text == "not resolved") == close
    if cell.low < 0 < cell.high:
        assert close  # never worse where the interval holds 0


def test_worse_needs_the_interval_to_exclude_zero():
    """Differences of every scene but from training seeds that vary: the interval holds 0."""
    rows = [
        made(method, gain + shift, seed=seed, noise=0.05)
        for method, shift in (("a", 0.2), ("b", 0.0))
        for seed, gain in enumerate((0.0, 1.0, 2.5))
    ]
    (differences,) = significance_tables(rows)
    cell = differences.cell("b", "difference")
    assert cell.low < 0 < cell.high
    assert differences.cell("b", "wins").value == 0
    assert differences.cell("b", "verdict").text == "not resolved"
    assert cell.mark == "≈"


def test_intervals_do_not_depend_on_company_within_one_table():
    rows = [made(name, k, seed=s) for k, name in enumerate("abcd") for s in (0, 1)]
    (whole,) = quality_tables(rows, {})
    for method in "abcd":
        (alone,) = quality_tables([row for row in rows if row.method == method], {})
        for column in ("psnr", "lpips"):
            assert alone.cell(method, column).low == whole.cell(method, column).low


def test_sampling_seeds_are_no_training_seeds():
    """Four seeds of the noise of one training: their mean has the interval of one training."""
    rows = [made("ir-sde", 1.0, sampling_seed=k, noise=2) for k in range(4)]
    (table,) = quality_tables(rows, {})
    mean = np.mean([row.per_image["psnr"] for row in rows], axis=0)
    expected = mean_estimate(mean[None], list(rows[0].per_image["scene"]))
    cell = table.cell("ir-sde", "psnr")
    assert (cell.low, cell.high) == pytest.approx((expected.low, expected.high))
    assert "of one training" in table.caption
    trained = [made("ir-sde", 1.0, seed=k, noise=2) for k in range(4)]
    (other,) = quality_tables(trained, {})
    assert "where a method has several, training seeds" in other.caption


def test_one_scene_has_means_and_no_intervals():
    rows = three(images=1)
    (table,) = quality_tables(rows, {})
    assert {line.cells[1].mark for line in table.lines} == {"", "≈"}
    (differences,) = significance_tables(rows)
    assert differences.lines[0].cells[2].reason == "one scene and one training seed: no test"
    cell = table.cell("ir-sde", "psnr")
    assert re.fullmatch(r"\d+\.\d\d", cell.text)
    assert (cell.low, cell.high) == (None, None)
    assert "nan" not in document("made", "", [table, *significance_tables(rows)], [])


def test_a_sweep_says_which_numbers_of_evaluations_have_which_sampling_seeds():
    rows = [
        made("ir-sde", 1.0, nfe=nfe, sampling_seed=seed)
        for nfe, seeds in ((5, (0, 1)), (10, (0, 1)), (100, (0,)))
        for seed in seeds
    ]
    (table,) = sweep_tables(rows)
    assert "Sampling seeds: 0, 1 at 5 and 10 NFE; 0 at 100 NFE." in table.caption


def test_seeds_are_put_together_and_the_caption_says_who_has_fewer():
    rows = [*three(), made("ir-sde", 1.2, seed=1), made("ir-sde", 0.9, seed=2)]
    (table,) = quality_tables(rows, {})
    assert [line.key for line in table.lines] == ["identity", "regression", "ir-sde"]
    assert len(table.cell("ir-sde", "psnr").sources) == 3
    expected = np.mean([row.per_image["psnr"].mean() for row in rows if row.method == "ir-sde"])
    assert table.cell("ir-sde", "psnr").value == pytest.approx(expected, rel=1e-12)
    assert "Training seeds: 0 (0, 1, 2 for IR-SDE)." in table.caption
    assert "over scenes and, where a method has several, training seeds" in table.caption


def test_seed_tables_keep_the_two_deviations_apart():
    rows = [made("ir-sde", gain, seed=k) for k, gain in enumerate((0.0, 0.6, 1.2))]
    (table,) = seed_tables([*rows, made("identity", -5)])
    assert {line.cells[0].text for line in table.lines} == {"IR-SDE"}
    means = [row.per_image["psnr"].mean() for row in rows]
    assert table.cell("ir-sde-psnr", "over_seeds").value == pytest.approx(np.std(means, ddof=1))
    of_scenes = np.mean([row.per_image["psnr"] for row in rows], axis=0)
    deviation = table.cell("ir-sde-psnr", "over_scenes").value
    assert deviation == pytest.approx(np.std(of_scenes, ddof=1))
    assert table.cell("ir-sde-psnr", "seed1").value == pytest.approx(means[1])
    assert seed_tables(three()) == []


def test_the_protocols_channel_comes_first_and_decides_the_best():
    of_y = {"protocol": {"name": "y", "version": 2, "label": "Y", "channel": "y", "source": "X"}}
    rows = three(**of_y)
    rows[0].per_image["psnr_y"] += 100
    (table,) = quality_tables(rows, {})
    assert [column.key for column in table.columns[1:5]] == ["psnr_y", "ssim_y", "psnr", "ssim"]
    assert "Protocol y v2: Y (X)." in table.caption
    (differences,) = significance_tables(rows)
    assert "degraded input, the best by PSNR-Y" in differences.caption


def test_differences_are_from_the_best_and_say_worse_or_not_resolved():
    rows = [*three(), made("goub", 0.98, noise=0.5)]
    (table,) = significance_tables(rows)
    assert "ir-sde" not in [line.key for line in table.lines]
    assert table.cell("regression", "verdict").text == "worse"
    assert table.cell("goub", "verdict").text == "not resolved"
    best, other = rows[2].per_image, rows[1].per_image
    expected = paired_difference(
        other["psnr"].to_numpy()[None],
        best["psnr"].to_numpy()[None],
        list(best["scene"]),
    )
    cell = table.cell("regression", "difference")
    assert (cell.value, cell.low, cell.high) == (expected.mean, expected.low, expected.high)
    assert cell.text.startswith("−0.0")
    corrected = table.cell("regression", "p").value
    assert corrected > expected.p_value
    assert 0 <= table.cell("regression", "improvement").value < 0.5
    assert len(cell.sources) == 2


def test_a_single_method_has_no_differences():
    assert significance_tables([made("ir-sde")]) == []
    (table,) = quality_tables([made("ir-sde")], {})
    assert "≈" not in table.caption


def test_leaked_images_are_told_and_left_out_of_a_second_table():
    rows = three(leaked=[f"image{k:04d}" for k in range(30)])
    full, clean = quality_tables(rows, {})
    assert "Leakage: 30 of the 40 test images show" in full.caption
    assert "Without the images that are shown in the training data, 10 images" in clean.caption
    assert clean.key == "denoising-kodak24-leak-free"
    expected = rows[2].per_image["psnr"][30:].mean()
    assert clean.cell("ir-sde", "psnr").value == pytest.approx(expected)
    every = three(leaked=[f"image{k:04d}" for k in range(40)])
    assert len(quality_tables(every, {})) == 1


def test_what_cannot_be_had_says_why():
    rows = three(lpips={"network": "", "unavailable": "no weights here"})
    for row in rows:
        row.per_image["lpips"] = np.nan
    (table,) = quality_tables(rows, {"denoising": {"GOUB": "it needs another network."}})
    assert table.cell("ir-sde", "lpips").text == "n/a"
    assert table.cell("ir-sde", "lpips").reason == "no weights here"
    assert "LPIPS is n/a: no weights here." in table.caption
    assert table.cell("goub", "psnr").reason == "it needs another network."
    assert "GOUB is n/a: it needs another network." in table.caption
    assert {cell.emphasis for line in table.lines for cell in line.cells[5:6]} == {""}


def test_distances_between_distributions_are_shown_where_any_evaluation_has_them():
    none = {"value": None, "reason": "too few images", "warning": ""}
    small = {"value": 12.345, "reason": "", "warning": "FID is biased"}
    rows = three()
    assert "fid" not in [column.key for column in quality_tables(rows, {})[0].columns]
    distribution = {"network": "", "fid": none, "kid": none}
    rows = [stating(row, distribution=distribution) for row in rows]
    (table,) = quality_tables(rows, {})
    assert "fid" not in [column.key for column in table.columns]
    assert "FID and KID are n/a: too few images." in table.caption
    kid = {**none, "value": 0.02, "std": 0.001}
    rows[1] = stating(rows[1], distribution={"fid": small, "kid": kid})
    rows[2] = stating(rows[2], distribution={"fid": {**small, "value": 9.0}, "kid": none})
    (table,) = quality_tables(rows, {})
    assert table.cell("regression", "fid").text == "12.35"
    assert table.cell("ir-sde", "fid").emphasis == "best"
    assert table.cell("regression", "kid").text == "0.0200 ± 0.0010"
    assert (table.cell("ir-sde", "kid").text, table.cell("ir-sde", "kid").value) == ("n/a", None)
    assert table.cell("identity", "fid").reason == "too few images"
    assert table.caption.count("FID is biased.") == 1
    assert "standard deviation over its subsets" in table.caption


def test_results_made_elsewhere_are_marked():
    theirs = made("outside+mine", 0.5, method_label="Mine", outside=True, nfe=0, sampler="direct")
    theirs = stating(theirs, nfe=None, parameters=None)
    (table,) = quality_tables([*three(), theirs], {})
    assert table.cell("outside+mine", "method").text == "Mine (outside)"
    assert table.cell("outside+mine", "nfe").text == "n/a"
    assert table.cell("outside+mine", "parameters").reason == "made elsewhere"
    assert "(outside)" in table.caption


def test_two_ways_of_sampling_one_method_are_two_lines():
    rows = [made("ir-sde"), made("ir-sde", nfe=10), made("identity", -3)]
    (table,) = quality_tables(rows, {})
    assert [line.key for line in table.lines][:2] == ["ir-sde-posterior-100", "ir-sde-posterior-10"]
    assert table.lines[1].cells[0].text == "IR-SDE, posterior, 10 NFE"


def test_an_exact_image_is_counted_beside_the_mean_of_the_others():
    rows = three()
    rows[2].per_image.loc[0, "psnr"] = np.inf
    (table,) = quality_tables(rows, {})
    cell = table.cell("ir-sde", "psnr")
    expected = rows[2].per_image["psnr"][1:].mean()
    assert cell.value == pytest.approx(expected)
    assert cell.text == f"{expected:.2f} ± {(cell.high - cell.low) / 2:.2f} (1 exact)"
    assert cell.emphasis == "best"
    assert table.cell("identity", "psnr").mark == ""
    assert "(k exact): k images are restored exactly" in table.caption
    assert "exact" not in quality_tables(three(), {})[0].caption.replace("exactly", "")
    (differences,) = significance_tables(rows)
    assert differences.cell("identity", "verdict").text == "worse"
    assert differences.cell("identity", "difference").text.endswith("] (1 exact)")
    found = metrics_tree(rows)["denoising"]["kodak24"]["ir-sde"]["psnr"]
    assert found == pytest.approx(expected, abs=1e-6)
    everything = document("made", "", [table, differences], [])
    assert "nan" not in everything
    assert "∞" not in everything


def test_a_method_that_is_exact_everywhere_is_the_best():
    rows = three()
    rows[2].per_image["psnr"] = np.inf
    (table,) = quality_tables(rows, {})
    cell = table.cell("ir-sde", "psnr")
    assert (cell.text, cell.emphasis, cell.low) == ("∞ (40 exact)", "best", None)
    (differences,) = significance_tables(rows)
    assert differences.cell("identity", "difference").text == "n/a"
    assert differences.cell("identity", "verdict").text == "worse"
    assert "nan" not in document("made", "", [table, differences], [])


def test_sweeps_mark_what_may_be_chance():
    rows = [made("ir-sde", gain, nfe=n) for n, gain in ((100, 1.0), (10, 0.99), (5, -3))]
    (table,) = sweep_tables(rows)
    assert table.cell("posterior-10", "psnr_difference").mark == "≈"
    assert table.cell("posterior-5", "psnr_difference").mark == ""
    assert "for the 6 comparisons of the table" in table.caption


def sweep():
    return [
        made("ir-sde", 1 - 1 / nfe + 0.1 * (sampler == "mrs-ode-2"), nfe=nfe, sampler=sampler)
        for sampler in ("posterior", "mrs-ode-2")
        for nfe in (100, 10, 5)
    ]


def test_sweeps_are_compared_with_the_best_sampler_at_the_most_evaluations():
    (table,) = sweep_tables(sweep())
    assert [line.key for line in table.lines] == [
        *(f"posterior-{nfe}" for nfe in (5, 10, 100)),
        *(f"mrs-ode-2-{nfe}" for nfe in (5, 10, 100)),
    ]
    best = max(
        (line for line in table.lines if line.cells[1].value == 100), key=lambda x: x.cells[2].value
    )
    assert table.cell(best.key, "psnr_difference").text == "0"
    expected = table.cell("posterior-5", "psnr").value - best.cells[2].value
    assert table.cell("posterior-5", "psnr_difference").value == pytest.approx(expected)
    assert table.figure == "nfe-denoising-kodak24-ir-sde"
    assert sweep_tables([made("identity", nfe=0, sampler="direct")]) == []


def test_the_same_runs_are_compared_seed_by_seed():
    rows = [made("ir-sde", gain, seed=k, nfe=n) for k, gain in enumerate((0, 3)) for n in (10, 100)]
    (table,) = sweep_tables(rows)
    assert table.cell("posterior-10", "psnr").high - table.cell("posterior-10", "psnr").low > 5
    difference = table.cell("posterior-10", "psnr_difference")
    assert difference.high - difference.low < 1


def protocols(rows, shifts):
    for row in rows:
        row.folder.mkdir(parents=True)
        parts = [
            row.per_image[["image", "psnr", "ssim", "psnr_y", "ssim_y"]]
            .assign(protocol=name, psnr=row.per_image["psnr"] + shift)
            .iloc[::-1]
            for name, shift in shifts.items()
        ]
        pd.concat(parts).to_csv(row.folder / "protocols.csv", index=False)
    return rows


def test_protocol_tables_say_how_far_a_number_moves_by_scoring_alone(tmp_path):
    rows = protocols(three(root=tmp_path), {"authors": 0.4, "rgb": 0.0})
    (table,) = protocol_tables([*rows, made("goub")])
    assert [line.key for line in table.lines][:2] == ["identity-rgb", "identity-authors"]
    cell = table.cell("ir-sde-authors", "psnr_difference")
    assert (cell.text, cell.value) == ("+0.40", pytest.approx(0.4))
    assert table.cell("ir-sde-rgb", "psnr_difference").text == "0"
    assert table.cell("ir-sde-rgb", "psnr").value == pytest.approx(rows[2].per_image["psnr"].mean())
    assert protocol_tables(three()) == []


def test_protocols_that_do_not_fit_every_image_are_left_out(tmp_path):
    rows = protocols(three(root=tmp_path), {"authors": 0.4, "rgb": 0.0, "y": 0.1})
    path = rows[2].folder / "protocols.csv"
    lines = path.read_text().splitlines()
    path.write_text(
        "\n".join(line for line in lines if "image0003" not in line or ",y" not in line)
    )
    (table,) = protocol_tables(rows)
    keys = [line.key for line in table.lines]
    assert "regression-y" in keys
    assert "ir-sde-y" not in keys
    assert "ir-sde-authors" in keys


def test_the_channel_of_a_protocol_chooses_its_numbers(tmp_path):
    rows = protocols(three(root=tmp_path), {"y": 0.1, "rgb": 0.0})
    (table,) = protocol_tables(rows)
    assert table.cell("ir-sde-y", "psnr").value == pytest.approx(rows[2].per_image["psnr_y"].mean())
    assert table.cell("ir-sde-y", "psnr_difference").value == pytest.approx(1.5)


def test_damaged_protocol_files_are_named(tmp_path):
    rows = protocols(three(root=tmp_path), {"authors": 0.4, "rgb": 0.0})
    (rows[0].folder / "protocols.csv").write_text("image,protocol\na,rgb\n")
    with pytest.raises(InputError, match=r"protocols\.csv: has no column"):
        protocol_tables(rows)


def test_costs_come_from_the_files_beside_runs_and_evaluations(tmp_path):
    rows = [*three(root=tmp_path), made("ir-sde", seed=1, root=tmp_path)]
    for number, row in enumerate(rows):
        write_json(
            row.folder / "cost.json",
            {"seconds_per_image": 1 + number, "peak_memory_bytes": (1 + number) * 2**20},
        )
        write_json(
            Path(row.summary.run) / "cost.json",
            {"seconds": 10 * number, "peak_memory_bytes": 2**21, "joules": None},
        )
    rows[2] = stating(rows[2], multiply_accumulates=2.5e9)
    table = cost_table(rows)
    line = "denoising-kodak24-ir-sde"
    assert table.cell(line, "seconds_per_image").value == 3.5
    assert table.cell(line, "peak").value == 4
    assert table.cell(line, "training_seconds").value == 25
    assert table.cell(line, "multiply_accumulates").text == "2.50"
    assert table.cell(line, "joules").text == "n/a"
    text = cost_document("made", table)
    assert "n/a in joules of the evaluation" in text.replace("seconds per megapixel, ", "").replace(
        "peak GPU memory (MiB), ", ""
    ).replace("multiply-accumulates per image (10⁹), ", "")


def test_metrics_for_dvc_are_the_means():
    rows = [*three(), made("ir-sde", 2.0, seed=1)]
    found = metrics_tree(rows)["denoising"]["kodak24"]["ir-sde"]["psnr"]
    expected = np.mean([row.per_image["psnr"].mean() for row in (rows[2], rows[3])])
    assert found == pytest.approx(expected, abs=1e-6)


def test_training_curves_are_one_line_for_each_run_and_iteration(tmp_path):
    row = made("ir-sde", root=tmp_path)
    Path(row.summary.run).mkdir(parents=True)
    (Path(row.summary.run) / "training.csv").write_text("iteration,loss\n1,0.5\n2,0.4\n")
    curves = training_curves([row, row, made("identity")])
    assert list(curves["run"]) == ["denoising/ir-sde/seed0"] * 2


# Rendering.


@pytest.fixture(scope="module")
def report():
    return made_report()


def made_report():
    rows = [*three(dataset="set5", images=5), *three(), made("ir-sde", 1.3, seed=1)]
    return [
        *quality_tables(rows, {"denoising": {"GOUB": "no process"}}),
        *sweep_tables(sweep()),
        *significance_tables(rows),
        *seed_tables(rows),
    ]


def test_the_document_has_every_table_under_its_section_with_its_key(report):
    tables = report
    figures = [Figure("denoising-kodak24", "Comparison", "Denoising", "", "what is seen")]
    text = document("made", "Budget: small.", tables, figures)
    assert text.count("Budget: small.") == 1
    assert text.startswith("# Results of the profile `made`\n")
    for table in tables:
        assert text.count(f"Table `{table.key}`. ") == 1
    assert "irsde explain reports/tables.md:<table>/<row>/<column>" in text
    assert "![what is seen](figures/denoising-kodak24.png)" in text
    assert "figures/denoising-set5.png" not in text
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == list(dict.fromkeys(headings))
    assert headings[0] == "## Denoising"
    assert "nan" not in text
    assert text == document("made", "Budget: small.", made_report(), figures)


def test_no_timing_can_enter_the_tables(report):
    text = document("made", "", report, [])
    assert not re.search(r"seconds|joules|MiB", text)


def test_markdown_keeps_its_columns_whatever_the_text():
    cell = Cell("a|b *c* <d>\n_e_ `f` [g]", sources=("results/p q/evaluations/set/x-1",))
    table = Table(
        "t",
        "T",
        "S",
        "",
        (Column("name", "name", numeric=False), Column("x", "x", higher_is_better=False)),
        (
            Line("a", (cell, Cell("1.0 ± 0.1", 1.0, emphasis="best", mark="≈"))),
            Line("b", (cell, Cell("1.0 [0.8, 1.1]", 1.0, emphasis="best"))),
        ),
    )
    head, rule, line, other = markdown(table).splitlines()
    assert "**1.0** [0.8, 1.1]" in other
    assert "x ↓" in head
    assert rule.endswith(":|")
    assert len(re.findall(r"(?<!\\)\|", line)) == 3
    assert line.startswith(r"| [a\|b \*c\* \<d\> \_e\_ \`f\` (g)](../results/p%20q/run.json)")
    assert "**1.0** ± 0.1 ≈" in line


def test_the_csv_file_has_one_line_for_each_cell(report):
    tables = report
    lines = csv_lines(tables)
    assert len(lines) == sum(len(table.lines) * len(table.columns) for table in tables)
    found = lines[
        (lines["table"] == "denoising-kodak24")
        & (lines["line"] == "ir-sde")
        & (lines["column"] == "psnr")
    ]
    cell = next(t for t in tables if t.key == "denoising-kodak24").cell("ir-sde", "psnr")
    assert found["value"].tolist() == [cell.value]
    assert found["text"].str.startswith(cell.text).all()


def test_latex_escapes_what_it_would_take_for_commands():
    assert latex_text(r"50% & #_{x}^~\ ") == (
        r"50\% \& \#\_\{x\}\textasciicircum{}\textasciitilde{}\textbackslash{} "
    )
    assert latex_text("é 10⁹ λ 雨") == r"\'e 10\ensuremath{^9} \ensuremath{\lambda} U+96E8"
    assert latex_text("[x]\n") == "{[}x{]} "


def test_latex_tables_have_booktabs_rules_and_as_many_cells_as_columns():
    (table,) = quality_tables(three(), {})
    text = latex(table)
    for word in (r"\toprule", r"\midrule", r"\bottomrule", r"\label{tab:denoising-kodak24}"):
        assert text.count(word) == 1
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    assert all(line.count(" & ") == len(table.columns) - 1 for line in body)
    assert r"\textbf{" in text
    long = replace(table, lines=table.lines * 20)
    assert r"\begin{longtable}" in latex(long)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex, of TeX Live")
def test_the_latex_document_compiles_on_its_own(report, tmp_path):
    odd = Table(
        "odd",
        r"Odd \characters 雨 {",
        "Odd & §",
        "".join(c for c in map(chr, range(32, 0x2300)) if not latex_text(c).startswith("U+")),
        (Column("name", "n_a", numeric=False), Column("x", "σ²")),
        (Line("a", (Cell("[x] & y"), Cell("1", emphasis="doubtful"))),) * 2,
    )
    (quality,) = quality_tables(three(), {})
    long = replace(quality, key="long", lines=quality.lines * 20)
    (tmp_path / "tables.tex").write_text(latex_document([*report, long, odd]), encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout.decode("latin-1")[-2000:]
    assert b"Missing character" not in done.stdout


def test_asymmetric_intervals_are_shown_by_their_ends():
    assert mean_text(Estimate(16.01, 14.20, 17.05), 2) == "16.01 [14.20, 17.05]"
    assert mean_text(Estimate(16.0, 14.5, 17.5), 2) == "16.00 ± 1.50"
    assert mean_text(Estimate(-0.004, math.nan, math.nan), 2) == "0.00"


@pytest.mark.parametrize(
    ("value", "text"), [(0.004, "0.00"), (-0.004, "0.00"), (1.005, "+1.00"), (-12.3, "−12.30")]
)
def test_differences_have_a_sign_unless_they_round_to_zero(value, text):
    assert signed(value, 2) == text
