"""The table of causes: each line against the base, and what is not there."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from irsde.experiment.profile import Causes, load_profile
from irsde.files import InputError
from irsde.report.effects import causes_tables
from irsde.report.lineage import lineage
from tests.fabricated import fabricate
from tests.project import PROJECT

BASE = Path("results/made/denoising/ir-sde/seed0/evaluations/photographs-test/posterior-100")
ROWS = [
    {"label": "batch 4", "instead_of": "8", "method": "ir-sde+batch4"},
    {"label": "seed 1", "instead_of": "0", "seed": 1},
    {"label": "luminance", "instead_of": "RGB", "protocol": "y"},
    {"label": "leaky", "instead_of": "clean", "profile": "leaky"},
    {"label": "raw", "instead_of": "EMA", "evaluation": "posterior-100-raw"},
]


@pytest.fixture
def profile(tmp_path, monkeypatch):
    monkeypatch.chdir(PROJECT)
    loaded = load_profile("smoke")
    causes = Causes(
        profile="made", task="denoising", method="ir-sde", dataset="photographs-test", rows=ROWS
    )
    evaluation = loaded.evaluation.model_copy(update={"nfe": None})
    monkeypatch.chdir(tmp_path)
    fabricate(("identity", "ir-sde+batch4", "ir-sde"), (0, 1), images=40)
    values = pd.read_csv(BASE / "per_image.csv")
    scored = [
        values.assign(protocol=name, psnr_y=values["psnr"] + 1.5, ssim_y=values["ssim"] + 0.01)
        for name in ("rgb", "y")
    ]
    columns = ["image", "protocol", "psnr", "ssim", "psnr_y", "ssim_y"]
    pd.concat(scored)[columns].to_csv(BASE / "protocols.csv", index=False)
    return loaded.model_copy(update={"causes": causes, "evaluation": evaluation})


def test_each_line_is_its_difference_from_the_base(profile):
    (table,) = causes_tables(profile)
    columns = [column.key for column in table.columns]
    effect = columns.index("psnr_effect")
    lines = {line.cells[0].text: line.cells for line in table.lines}
    base = pd.read_csv(BASE / "per_image.csv")["psnr"]
    for label, run in (("batch 4", "ir-sde+batch4/seed0"), ("seed 1", "ir-sde/seed1")):
        folder = Path("results/made/denoising", run, *BASE.parts[-3:])
        values = pd.read_csv(folder / "per_image.csv")["psnr"]
        found = lines[label][effect]
        assert found.value == pytest.approx((values - base).mean(), abs=1e-12)
        assert found.low < found.value < found.high
        assert lines[label][effect - 1].value == pytest.approx(values.mean())
    assert lines["batch 4"][effect].mark == ""
    assert lines["luminance"][effect].value == pytest.approx(1.5)
    assert lines["none: the base"][effect - 1].value == pytest.approx(base.mean())


def test_each_effect_that_may_be_chance_is_marked_in_every_metric(profile):
    base = pd.read_csv(BASE / "per_image.csv")
    folder = Path("results/made/denoising/ir-sde/seed1", *BASE.parts[-3:])
    values = pd.read_csv(folder / "per_image.csv")
    noise = np.random.default_rng(0).normal(size=len(base))
    values["psnr"] = base["psnr"] + noise - noise.mean() + 0.05
    values["lpips"] = base["lpips"] + 0.01 * (noise - noise.mean())
    values["ssim"] = base["ssim"] + 0.01 * (noise + 9)
    values.to_csv(folder / "per_image.csv", index=False)
    (table,) = causes_tables(profile)
    marks = {name: table.cell("cause-2", f"{name}_effect").mark for name in ("psnr", "ssim")}
    assert marks == {"psnr": "≈", "ssim": ""}
    assert table.cell("cause-2", "lpips_effect").mark == "≈"
    for line in table.lines:
        for cell in line.cells:
            if cell.low is not None and cell.low < 0 < cell.high:
                assert cell.mark == "≈"
            assert "±" not in cell.text  # the interval of a mean is not shown here
    assert "comparisons of the table" in table.caption


def test_what_was_not_run_says_how(profile):
    (table,) = causes_tables(profile)
    reasons = {line.cells[0].text: line.cells[2].reason for line in table.lines}
    assert "irsde plan --profile leaky" in reasons["leaky"]
    assert "posterior-100-raw is not there" in reasons["raw"]
    luminance = next(line for line in table.lines if line.cells[0].text == "luminance")
    assert [cell.reason for cell in luminance.cells if cell.text == "n/a"] == [
        "this protocol scores no LPIPS of its own"
    ] * 2


def test_no_table_without_a_base(profile):
    assert causes_tables(profile.model_copy(update={"causes": None})) == []
    (BASE / "summary.json").unlink()
    assert causes_tables(profile) == []


def test_every_number_has_its_evaluation(profile):
    content = lineage(causes_tables(profile), "made")
    rows = {row.key: row.cells for row in content.tables[0].rows}
    assert rows["cause-1"]["psnr"].rule
    assert BASE.as_posix() in rows["base"]["psnr"].sources
    assert rows["cause-1"]["psnr_effect"].sources != rows["base"]["psnr"].sources


def test_other_images_are_refused(profile):
    folder = Path("results/made/denoising/ir-sde/seed1", *BASE.parts[-3:])
    values = pd.read_csv(folder / "per_image.csv")
    values["image"] = np.roll(values["image"], 1)
    values.to_csv(folder / "per_image.csv", index=False)
    with pytest.raises(InputError, match="are not of the same images"):
        causes_tables(profile)
