"""Published numbers as data, what they are compared with, and the verdicts."""

import copy
import re
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from irsde.data.catalogue import read_catalogue
from irsde.data.published import PUBLISHED, QUANTITIES, Drift, read_published
from irsde.experiment.summary import Summary
from irsde.files import InputError, write_json
from irsde.report.paper import ablation_tables, drift_table, judged, paper_tables
from irsde.report.results import Row
from irsde.report.table import Table
from irsde.scoring.statistics import Estimate
from tests.project import PROJECT

IMAGES = 24

# What the authors' own run on Rain100H was, as far as it is known.
SUMMARY = {
    "task": "deraining",
    "task_label": "Deraining",
    "method": "ir-sde",
    "method_label": "IR-SDE",
    "seed": 0,
    "sampling_seed": 0,
    "profile": "paper",
    "run_identity": "0",
    "metrics": [
        {
            "name": name,
            "label": QUANTITIES[name].label,
            "higher_is_better": QUANTITIES[name].higher_is_better,
            "decimals": QUANTITIES[name].decimals,
        }
        for name in ("psnr", "ssim", "psnr_y", "ssim_y", "lpips")
    ],
    "dataset": {
        "fingerprint": "f",
        "licence": "free",
        "role": "test",
        "task": "deraining",
        "dataset": "rain100h-test",
        "label": "Rain100H",
        "degradation": "as the data set comes",
        "images": 100,
        "pairs": IMAGES,
        "window": None,
        "noise_level": None,
        "masks": None,
        "source": {"differences": []},
    },
    "leaked": [],
    "sampler": "euler-maruyama",
    "nfe": 100,
    "grid": "uniform",
    "conversion": "exact",
    "weights": "ema",
    "precision": "float32",
    "protocol": {"name": "authors", "version": 1},
    "lpips": {"network": "alex", "unavailable": ""},
    "parameters": 137_147_523,
}
ORIGIN = {"file": "x.pth", "sha256": "0"}
CARD = {
    "task": "deraining",
    "method": "ir-sde",
    "seed": 0,
    "label": "IR-SDE",
    "identity": {},
    "parameters": 137_147_523,
    "settings": {
        "data": {"train": ["rain100h-train"], "resize": None, "clipped": False},
        "training": {"iterations": 700_000, "batch": 4, "patch": 128},
    },
}


def changed(original: dict, path: str, value: object) -> dict:
    """Copy of a nested dict with the entry at a dotted path replaced."""
    result = copy.deepcopy(original)
    *parents, last = path.split(".")
    inner = result
    for key in parents:
        inner = inner[key]
    inner[last] = value
    return result


def evaluation(
    folder: Path,
    summary: dict | None = None,
    card: dict | None = None,
    psnr: float = 31.65,
    spread: float = 1.0,
    images: int = IMAGES,
) -> Row:
    """An evaluation whose mean PSNR-Y is `psnr`, in a run folder of its own."""
    summary = {**(summary or SUMMARY), "run": (folder / "run").as_posix()}
    write_json(folder / "run" / "run.json", card or CARD)
    noise = np.random.default_rng(0).normal(size=images)
    noise = spread * (noise - noise.mean())
    table = pd.DataFrame(
        {
            "image": [f"{k}" for k in range(images)],
            "scene": [f"scene{k}" for k in range(images)],
            "psnr": psnr - 1.5 + noise,
            "ssim": 0.89 + 0.01 * noise,
            "psnr_y": psnr + noise,
            "ssim_y": 0.9041 + 0.01 * noise,
            "lpips": 0.047 + 0.002 * noise,
        }
    )
    return Row(folder, Summary.model_validate(summary), table)


def comparison(rows: list[Row]) -> Table:
    tables = {table.key: table for table in paper_tables(rows, "Budget: a test's.")}
    return tables["paper-deraining-rain100h-test"]


def verdict(rows: list[Row], line: str = "ir-sde-psnr_y") -> str:
    return comparison(rows).cell(line, "verdict").text


def test_published_numbers_are_of_data_sets_in_the_catalogue(monkeypatch):
    monkeypatch.chdir(PROJECT)
    known = {
        name: split for family in read_catalogue().values() for name, split in family.splits.items()
    }
    for table in read_published().tables:
        images = max(known[table.dataset].images, known[table.dataset].degraded)
        assert table.images in (None, images)
        assert all(name in known for name in table.train)
        assert table.masks is None or table.masks in known


@pytest.mark.parametrize(
    ("dataset", "values"),
    [
        ("rain100h-test", "psnr_y 31.65 ssim_y 0.9041 lpips 0.047 fid 18.64"),
        ("rain100l-test", "psnr_y 38.30 ssim_y 0.9805 lpips 0.014 fid 7.94"),
        ("gopro-test", "psnr 30.70 ssim 0.901 lpips 0.064 fid 6.32"),
        ("mcmaster", "psnr 29.48 ssim 0.81 lpips 0.071"),
        ("div2k-validation", "psnr 25.90 ssim 0.6570 lpips 0.231 fid 45.36"),
        ("celeba-hq-256-test", "psnr 28.37 ssim 0.9166 lpips 0.046 fid 25.13"),
    ],
)
def test_numbers_of_ir_sde_are_those_that_sources_have(dataset, values):
    table = next(table for table in read_published().tables if table.dataset == dataset)
    method = next(method for method in table.methods if method.method == "ir-sde")
    assert " ".join(f"{name} {value}" for name, (value, _) in method.values.items()) == values
    assert all(group.confirmed != "no" for _, group in method.values.values())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('psnr_y: "31.65"', "psnr_y: 31.65", "quotation marks"),
        ('psnr_y: "31.65"', 'psnr_z: "31.65"', "unknown metric 'psnr_z'"),
        ('psnr_y: "31.65"', 'psnr_y: "-1"', "greater than or equal"),
        ("method: ir-sde\n", "method: ir-sdf\n", "unknown method 'ir-sdf'"),
        ("protocol: authors\n", "protocol: author\n", "unknown protocol 'author'"),
        ("task: deraining", "task: draining", "unknown task"),
        ("sources: [ir-sde-readme]", "sources: [readme]", "no source 'readme'"),
        ("{sources: [ir-sde-readme], ", "{", "a confirmed number needs one"),
        ("{confirmed: no", "{sources: [goub], confirmed: no", "an unconfirmed one has none"),
        ('fid: "94.58"', 'psnr_y: "94.58"', "appears twice"),
    ],
)
def test_a_wrong_entry_is_refused_with_its_place(tmp_path, old, new, message):
    text = PUBLISHED.read_text(encoding="utf-8")
    assert old in text
    file = tmp_path / "published.yaml"
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError) as error:
        read_published(file)
    assert message in str(error.value)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("printed", "ours", "metric", "expected"),
    [
        ("31.65", (31.64, 31.58, 31.70), "psnr", "matches"),
        ("31.65", (31.60, 31.2, 32.0), "psnr", "consistent"),  # which a failed run is as well
        ("31.65", (31.654, 31.5, 31.9), "psnr", "consistent"),  # nor by luck of the mean
        ("31.65", (31.20, 30.9, 31.5), "psnr", "short"),
        ("31.65", (31.90, 31.7, 32.1), "psnr", "better"),
        ("31.65", (31.656, 31.655, 31.657), "psnr", "matches"),
        ("31.65", (31.80, 31.79, 31.81), "psnr", "better"),
        ("26", (26.4, 26.35, 26.45), "psnr", "matches"),  # rounds to the printed digits
        ("0.88", (0.8841, 0.8839, 0.8843), "ssim", "matches"),
        ("0.8800", (0.8861, 0.8859, 0.8863), "ssim", "better"),
        ("0.047", (0.055, 0.050, 0.060), "lpips", "short"),
        ("0.047", (0.040, 0.035, 0.045), "lpips", "better"),
        ("18.64", (20.0, np.nan, np.nan), "fid", "not resolved"),
        ("18.64", (18.642, np.nan, np.nan), "fid", "matches"),
    ],
)  # fmt: skip
def test_verdicts_depend_on_the_interval_and_on_the_printed_digits(printed, ours, metric, expected):
    assert judged(Decimal(printed), Estimate(*ours), QUANTITIES[metric]) == expected


def test_a_run_like_the_papers_is_judged(tmp_path):
    table = comparison([evaluation(tmp_path, psnr=31.0)])
    assert table.cell("ir-sde-psnr_y", "verdict").text == "short"
    difference = table.cell("ir-sde-psnr_y", "difference")
    assert difference.value == pytest.approx(-0.65)
    ours = table.cell("ir-sde-psnr_y", "reproduced")
    assert ours.value == pytest.approx(31.0)
    assert difference.low == pytest.approx(ours.low - 31.65)
    assert difference.high == pytest.approx(ours.high - 31.65)
    assert difference.text == "−0.65"
    assert re.fullmatch(r"−1\.\d\d to −0\.\d\d", table.cell("ir-sde-psnr_y", "interval").text)
    near = evaluation(tmp_path / "near", psnr=31.6499)
    assert comparison([near]).cell("ir-sde-psnr_y", "difference").text == "0.00"  # not -0.00
    assert (ours.high - ours.low) / 2 == pytest.approx(2 / IMAGES**0.5, rel=0.15)
    assert table.cell("ir-sde-ssim_y", "verdict").text == "matches"
    assert table.cell("ir-sde-lpips", "verdict").text == "matches"
    assert "consistent if the value lies in our interval" in table.caption
    assert table.cell("ir-sde-fid", "reproduced").text == "n/a"
    assert table.cell("ir-sde-fid", "reproduced").reason
    assert ours.sources == (tmp_path.as_posix(),)


@pytest.mark.parametrize(
    ("path", "value", "word"),
    [
        ("dataset.window", 128, "windows"),
        ("dataset.images", 99, "images"),
        ("dataset.source.differences", ["2 images are JPEG copies"], "images"),
        ("dataset.degradation", "synthetic rain streaks", "degradation"),
        ("nfe", 10, "NFE"),
        ("sampler", "posterior", "sampler"),
        ("protocol.name", "rgb", "protocol"),
    ],
)
def test_what_differs_in_the_evaluation_is_named(tmp_path, path, value, word):
    row = evaluation(tmp_path, changed(SUMMARY, path, value))
    assert verdict([row]) == f"not comparable: {word}"
    cell = comparison([row]).cell("ir-sde-psnr_y", "difference")
    assert cell.value == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("path", "value", "word"),
    [
        ("settings.data.train", ["bsd400"], "training set"),
        ("settings.data.resize", 128, "resized"),
        ("settings.training.iterations", 10_000, "budget"),
        ("settings.training.batch", 64, "budget"),
        ("settings.training.patch", 48, "budget"),
        ("parameters", 840_000, "network"),
    ],
)
def test_what_differs_in_the_training_is_named(tmp_path, path, value, word):
    row = evaluation(tmp_path, card=changed(CARD, path, value))
    assert verdict([row]) == f"not comparable: {word}"
    assert f"{word[0].upper()}{word[1:]}: " in comparison([row]).caption


def test_a_budget_within_a_factor_of_two_of_a_known_one_is_the_papers(tmp_path):
    for number, (iterations, batch) in enumerate(((500_000, 16), (350_000, 4), (1_400_000, 4))):
        card = changed(CARD, "settings.training.iterations", iterations)
        card = changed(card, "settings.training.batch", batch)
        assert verdict([evaluation(tmp_path / f"{number}", card=card)]) == "consistent"


def test_another_lpips_network_leaves_no_difference(tmp_path):
    row = evaluation(tmp_path, changed(SUMMARY, "lpips.network", "squeeze"))
    table = comparison([row])
    assert table.cell("ir-sde-lpips", "reproduced").value == pytest.approx(0.047)
    assert table.cell("ir-sde-lpips", "difference").text == "n/a"
    assert "SqueezeNet instead of AlexNet" in table.cell("ir-sde-lpips", "difference").reason
    assert table.cell("ir-sde-lpips", "verdict").text == "not comparable: LPIPS network"
    assert table.cell("ir-sde-psnr_y", "verdict").text == "consistent"


def test_leaked_images_count_only_if_the_paper_did_not_train_on_the_same(tmp_path):
    leaked = changed(SUMMARY, "leaked", ["3", "4"])
    assert verdict([evaluation(tmp_path / "same", leaked)]) == "consistent"
    other = changed(CARD, "settings.data.train", ["bsd400"])
    assert verdict([evaluation(tmp_path / "other", leaked, other)]) == (
        "not comparable: training set, leakage"
    )


def test_weights_of_the_authors_have_no_budget_to_differ_in(tmp_path):
    card = {**changed(CARD, "settings.training", None), "imported_from": ORIGIN}
    card = changed(card, "settings.data.train", ["bsd400"])
    assert verdict([evaluation(tmp_path, card=card)]) == "consistent"


def test_values_under_the_published_protocol_are_taken_where_they_are_kept(tmp_path):
    row = evaluation(tmp_path, changed(SUMMARY, "protocol.name", "rgb"), psnr=31.3)
    kept = row.per_image[["image", "psnr", "ssim", "psnr_y", "ssim_y"]]
    parts = [
        kept.assign(protocol="rgb"),
        kept.assign(protocol="authors", psnr_y=kept["psnr_y"] + 0.35).iloc[::-1],
    ]
    pd.concat(parts).to_csv(tmp_path / "protocols.csv", index=False)
    assert comparison([row]).cell("ir-sde-psnr_y", "reproduced").value == pytest.approx(31.65)
    assert verdict([row]) == "consistent"


def test_the_closest_of_several_evaluations_is_compared(tmp_path):
    few = evaluation(tmp_path / "few", {**SUMMARY, "sampler": "posterior", "nfe": 10}, psnr=20)
    many = evaluation(tmp_path / "many", {**SUMMARY, "sampler": "posterior"}, psnr=25)
    same = evaluation(tmp_path / "same", psnr=31.65)
    assert comparison([few, many]).cell("ir-sde-psnr_y", "reproduced").value == pytest.approx(25)
    table = comparison([few, same, many])
    assert table.cell("ir-sde-psnr_y", "reproduced").value == pytest.approx(31.65)
    assert table.cell("ir-sde-psnr_y", "sampling").text == "euler-maruyama, 100 NFE"


def test_a_row_that_comes_twice_counts_once(tmp_path):
    row = evaluation(tmp_path)
    assert comparison([row, row]).cell("ir-sde-psnr_y", "reproduced").sources == (
        tmp_path.as_posix(),
    )


def test_unconfirmed_numbers_are_grey_and_never_judged(tmp_path):
    summary = {**SUMMARY, "method": "regression", "sampler": "direct", "nfe": 1}
    summary["distribution"] = {"fid": {"value": 57.55}, "network": "inception"}
    row = evaluation(tmp_path, summary)
    table = comparison([row])
    published = table.cell("cnn-baseline-fid", "published")
    assert published.text == "57.55 (unconfirmed)"
    assert published.emphasis == "doubtful"
    assert table.cell("cnn-baseline-fid", "verdict").text == "not comparable: unconfirmed"
    assert table.cell("cnn-baseline-psnr_y", "published").emphasis == ""


def test_a_set_that_was_not_run_has_its_published_numbers_only():
    tables = {table.key: table for table in paper_tables([], "")}
    assert len(tables) == len(read_published().tables)
    table = tables["published-deblurring-gopro-test"]
    assert table.cell("ir-sde", "psnr").text == "30.70"
    assert table.cell("ir-sde", "here").text == "quoted, ours not run"
    assert table.cell("dbgan", "here").text == "quoted"


def test_every_missing_cell_has_a_reason_and_every_number_a_value(tmp_path):
    rows = [evaluation(tmp_path, changed(SUMMARY, "lpips", {"network": "", "unavailable": "none"}))]
    for table in paper_tables(rows, ""):
        for line in table.lines:
            assert len(line.cells) == len(table.columns)
            for cell in line.cells:
                assert cell.text
                assert (cell.text == "n/a") == bool(cell.reason)
        assert len({line.key for line in table.lines}) == len(table.lines)


def ablated(folder: Path, method: str, psnr: float, nfe: int = 100, seed: int = 0) -> Row:
    summary = {**SUMMARY, "method": method, "method_label": method, "nfe": nfe, "seed": seed}
    return evaluation(folder / f"{method}-{nfe}-{seed}", summary, psnr=psnr)


def test_ablations_are_paired_differences_from_ir_sde(tmp_path):
    rows = [
        ablated(tmp_path, "ir-sde", 31.0),
        ablated(tmp_path, "ir-sde-noise", 30.4),
        ablated(tmp_path, "ir-sde-constant", 31.0),
    ]
    tables = {table.key: table for table in ablation_tables(rows)}
    assert sorted(tables) == [
        "ablation-objective-deraining-rain100h-test",
        "ablation-schedule-deraining-rain100h-test",
    ]
    objective = tables["ablation-objective-deraining-rain100h-test"]
    assert [line.key for line in objective.lines] == ["ir-sde", "ir-sde-noise"]
    difference = objective.cell("ir-sde-noise", "psnr_y-difference")
    assert difference.value == pytest.approx(-0.6)
    assert difference.mark == ""
    assert difference.text == "−0.60 [−0.60, −0.60]"
    equal = tables["ablation-schedule-deraining-rain100h-test"]
    assert equal.cell("ir-sde-constant", "psnr_y-difference").value == pytest.approx(0)
    assert equal.cell("ir-sde-constant", "psnr_y-difference").mark == "≈"
    assert "no source that could be opened" in equal.caption


def test_ablations_mark_what_may_be_chance_by_the_rule_of_all_tables(tmp_path):
    rows = [ablated(tmp_path, "ir-sde", 31.0), ablated(tmp_path, "ir-sde-noise", 31.0)]
    other = np.random.default_rng(1).normal(size=IMAGES)
    rows[1].per_image["psnr_y"] += other - other.mean() + 0.1
    rows[1].per_image["lpips"] += 0.02 * (other - other.mean() + 3)
    table = next(table for table in ablation_tables(rows) if "objective" in table.key)
    unclear = table.cell("ir-sde-noise", "psnr_y-difference")
    assert unclear.low < 0 < unclear.high
    assert unclear.mark == "≈"
    clear = table.cell("ir-sde-noise", "lpips-difference")
    assert clear.low > 0
    assert clear.mark == ""
    assert "for the 3 comparisons of the table" in table.caption


def test_ablations_compare_what_was_evaluated_alike(tmp_path):
    rows = [
        ablated(tmp_path, "ir-sde", 25.0, nfe=10),
        ablated(tmp_path, "ir-sde", 31.0),
        ablated(tmp_path, "ir-sde-noise", 30.0),
    ]
    (table,) = ablation_tables(rows)
    assert table.cell("ir-sde", "psnr_y").value == pytest.approx(31)
    assert ablation_tables(rows[:2]) == []
    assert ablation_tables([rows[0], rows[2]]) == []


def test_ablations_average_over_training_seeds(tmp_path):
    rows = [
        ablated(tmp_path, "ir-sde", 31.0),
        ablated(tmp_path, "ir-sde", 32.0, seed=1),
        ablated(tmp_path, "ir-sde-noise", 30.0),
    ]
    (table,) = ablation_tables(rows)
    assert table.cell("ir-sde", "psnr_y").value == pytest.approx(31.5)
    assert table.cell("ir-sde-noise", "psnr_y-difference").value == pytest.approx(-1.5)
    assert "training seeds 0, 1 of ir-sde; 0 of ir-sde-noise" in table.caption


def test_different_numbers_of_one_method_stand_together():
    table = drift_table()
    of_goub = [line for line in table.lines if line.cells[0].text == "GOUB"]
    assert [line.cells[-1].text for line in of_goub] == ["GOUB, Table 3", "OFTSR"]
    assert {line.cells[1].text for line in of_goub} == {"DIV2K validation, x4"}


def test_equal_numbers_are_no_drift():
    content = read_published().drift[0].model_dump()
    content["numbers"] = [
        {"sources": [name], "confirmed": "quoted", "psnr": "25.90"} for name in ("goub-3", "oftsr")
    ]
    with pytest.raises(ValueError, match="do not differ"):
        Drift.model_validate(content)
