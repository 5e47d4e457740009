"""Published rows measured again: verdicts, protocols, parts of sets, draws of the noise."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from irsde.audit.commands import commands
from irsde.report.paper import paper_tables
from irsde.report.reproduced import NOT_REPRODUCED, REPRODUCED, reproduced_tables
from irsde.report.results import read_rows
from irsde.scoring.protocols import PROTOCOLS
from tests.fabricated import fabricate
from tests.project import PROJECT


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    Path(tmp_path, "data").mkdir()
    for name in ("catalogue.yaml", "published_weights.yaml"):
        shutil.copy(PROJECT / "data" / name, tmp_path / "data")
    monkeypatch.chdir(tmp_path)


def evaluated(method, task, dataset, images, means):
    """An evaluation whose means under each protocol are chosen; others are 3 dB away."""
    (folder,) = fabricate((method,), images=images, task=task, dataset=dataset)
    table = pd.read_csv(folder / "per_image.csv")
    spread = np.linspace(-1, 1, images)
    lines = []
    for protocol in PROTOCOLS:
        psnr, ssim = means.get(protocol, (26.0, 0.7))
        lines += [
            {
                "image": image,
                "protocol": protocol,
                "psnr": psnr + one,
                "ssim": ssim + one / 100,
                "psnr_y": psnr + one,
                "ssim_y": ssim + one / 100,
            }
            for image, one in zip(table["image"], spread, strict=True)
        ]
    pd.DataFrame(lines).to_csv(folder / "protocols.csv", index=False)
    return folder


def rain(truncated, images=100):
    means = {"truncated-y": truncated, "y": (29.5, 0.9)}
    folder = evaluated("prenet+rain100h", "deraining", "rain100h-test", images, means)
    (table,) = reproduced_tables(read_rows([folder]))
    return table


def text(table, column):
    return table.cell(table.lines[0].key, column).text


@pytest.mark.parametrize(
    ("means", "verdict"),
    [
        ((29.41, 0.897), REPRODUCED),
        ((29.51, 0.901), REPRODUCED),
        ((29.40, 0.899), NOT_REPRODUCED),
        ((29.46, 0.902), NOT_REPRODUCED),
    ],
)
def test_a_row_is_reproduced_within_five_hundredths_and_two_thousandths(means, verdict):
    table = rain(means)
    assert text(table, "verdict") == verdict
    assert text(table, "printed") == "29.46 / 0.899 ★"
    assert text(table, "protocol") == "truncated-y"


def test_other_protocols_say_how_far_they_would_be_off():
    others = text(rain((29.46, 0.899)), "others")
    assert "(y +0.04)" in others  # it agrees too
    assert "rgb −3.46" in others


def test_a_part_of_a_set_has_no_verdict_and_says_so():
    assert text(rain((29.46, 0.899), images=40), "verdict") == "none: 40 of 100 images"
    folder = evaluated("gcanet", "dehazing", "sots-indoor-17", 51, {"rgb": (30.23, 0.98)})
    (table,) = reproduced_tables(read_rows([folder]))
    assert text(table, "verdict") == "none: 51 of 500 images"
    assert text(table, "psnr-difference") == "0.000"


def test_a_system_without_a_confirmed_number_has_its_row_all_the_same():
    means = {"rgb": (20.0, 0.85)}
    folder = evaluated("light-dehazenet", "dehazing", "sots-indoor-17", 51, means)
    (table,) = reproduced_tables(read_rows([folder]))
    assert text(table, "printed") == "n/a"
    assert text(table, "psnr").startswith("20.000")
    assert text(table, "psnr-difference") == "n/a"
    assert text(table, "verdict") == "none: no confirmed number"


def test_the_papers_own_number_stands_beside_one_that_differs():
    folder = evaluated("ffdnet", "denoising", "mcmaster+sigma25", 18, {"rgb": (32.35, 0.9)})
    (table,) = reproduced_tables(read_rows([folder]))
    assert text(table, "printed") == "32.35 (★ 32.36)"


def test_draws_of_the_noise_have_a_table():
    folders = [
        evaluated("ffdnet", "denoising", f"mcmaster+sigma25{draw}", 18, {"rgb": (mean, 0.9)})
        for draw, mean in (("", 32.35), ("+draw1", 32.37), ("+draw2", 32.36))
    ]
    rows, draws = reproduced_tables(read_rows(folders))
    assert [line.key for line in rows.lines] == ["ffdnet-mcmaster-sigma25"]
    assert text(rows, "verdict") == REPRODUCED
    assert (text(draws, "draws"), text(draws, "mean")) == ("3", "32.360")
    assert text(draws, "deviation") == "0.010"
    assert text(draws, "range") == "32.350 to 32.370"


def test_without_published_systems_there_is_no_table():
    assert reproduced_tables(read_rows(fabricate(("identity", "regression")))) == []


def test_the_papers_own_table_says_what_was_measured_again():
    means = {"truncated-y": (29.46, 0.899)}
    folder = evaluated("prenet+rain100h", "deraining", "rain100h-test", 100, means)
    rows = read_rows([folder])
    tables = {table.key: table for table in paper_tables(rows, "")}
    table = tables["published-deraining-rain100h-test"]
    assert table.cell("prenet", "here").text == "re-measured: 29.46 / 0.8990 (truncated-y)"
    assert table.cell("mprnet", "here").text == "quoted"
    other = tables["published-deraining-rain100l-test"]
    assert other.cell("prenet", "here").text == "quoted, not run here"


def test_a_set_of_unknown_size_has_no_verdict():
    """Else a part of a set that the catalogue does not have would count as the whole."""
    file = Path("data/catalogue.yaml")
    file.write_text(file.read_text().replace("rain100h-test:", "rain100h-elsewhere:"))
    verdict = text(rain((29.46, 0.899)), "verdict")
    assert verdict == "none: the catalogue does not say how many images the set has"


def test_commands_that_rebuild_a_row_fetch_its_weights_and_name_the_data_set_itself():
    folder = evaluated("ffdnet", "denoising", "mcmaster+sigma25", 18, {})
    run = folder.parents[2]
    entry = SimpleNamespace(commit=None, dirty=False)
    content = SimpleNamespace(
        runs={str(run): entry}, evaluations={str(folder): entry}, profile="published"
    )
    lines = commands(content, [str(folder)], [str(run)]).splitlines()
    assert "  irsde data adopt FOLDER --as mcmaster" in lines
    assert "  irsde weights fetch ffdnet" in lines
