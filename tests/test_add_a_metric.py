"""The metric of CONTRIBUTING.md, appended as it is there, is in everything that a run writes."""

import re
import sqlite3
import subprocess
import sys
from contextlib import closing

import numpy as np
import pandas as pd
import pytest

from irsde.files import read_json
from irsde.images import read_image
from tests.project import PROJECT, call, copy_project

pytestmark = pytest.mark.slow

RECIPE = r"^## A metric\n.*?^```python\n(.*?)^```$"
RUN = "denoising/regression/seed0/evaluations/photographs-test/direct-1"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project to whose metrics the recipe was appended, and a small profile run through."""
    folder = copy_project(tmp_path_factory.mktemp("project"))
    (added,) = re.findall(
        RECIPE, (PROJECT / "CONTRIBUTING.md").read_text(), re.DOTALL | re.MULTILINE
    )
    with (folder / "irsde/scoring/metrics.py").open("a") as stream:
        stream.write(f"\n\n{added}")
    text = (folder / "workflow/config/smoke.yaml").read_text()
    text = text.replace("tasks: [denoising, super-resolution]", "tasks: [denoising]")
    text = text.replace("classical, regression, ir-sde+l2]", "regression]")
    (folder / "workflow/config/small.yaml").write_text(text[: text.index("variants:")])
    irsde(folder, "plan", "--profile", "small")
    call(folder, "snakemake", "--cores", "2", "reports/tables.md", PYTHONPATH=str(folder))
    return folder


def irsde(folder, *arguments):
    """Run the project's own code."""
    command = [sys.executable, "-m", "irsde.cli", *arguments]
    return call(folder, *command, PYTHONPATH=str(folder))


def test_its_values_are_its_definition(project):
    folder = project / "results/small" / RUN
    table = pd.read_csv(folder / "per_image.csv").set_index("image")
    clean = project / "data/prepared/small/denoising/photographs-test/GT"
    for path in (folder / "images").glob("*.png"):
        images = (read_image(where).astype(float) for where in (path, clean / path.name))
        expected = np.abs(np.subtract(*images)).mean()
        assert table.loc[path.stem, "mae"] == pytest.approx(expected, rel=1e-12)
    protocols = pd.read_csv(folder / "protocols.csv").set_index(["protocol", "image"])["mae"]
    pd.testing.assert_series_equal(protocols["rgb"], table["mae"])
    assert (protocols["authors"] != protocols["rgb"]).all()
    stated = {metric["name"]: metric for metric in read_json(folder / "summary.json")["metrics"]}
    assert stated["mae"]["mean"] == pytest.approx(table["mae"].mean())
    assert (stated["mae"]["label"], stated["mae"]["higher_is_better"]) == ("MAE", False)


def test_it_has_a_column_in_every_form_of_the_tables(project):
    reports = project / "reports"
    assert re.search(r"^\| method .*\| +MAE ↓ +\|", (reports / "tables.md").read_text(), re.M)
    assert r"MAE \textdownarrow{}" in (reports / "tables.tex").read_text()
    cells = pd.read_csv(reports / "tables.csv")
    assert {"identity", "regression"} <= set(cells.loc[cells["column"] == "mae", "line"])
    page = (reports / "index.html").read_text()
    assert re.search(r"<th[^>]*>MAE ↓</th>", page)
    assert '"label":"MAE"' in page.replace(" ", "")
    tree = read_json(reports / "metrics.json")["denoising"]["photographs-test"]
    assert tree["regression"]["mae"] > 0


def test_mlflow_has_it(project):
    with closing(sqlite3.connect(project / "results/mlflow.db")) as store:
        keys = {key for (key,) in store.execute("SELECT DISTINCT key FROM metrics")}
    assert {"mae", "interval/mae_low", "psnr", "haarpsi"} <= keys


def test_commands_know_it(project):
    runs = [f"results/small/{RUN}".replace("regression", m) for m in ("regression", "identity")]
    runs[1] = runs[1].replace("direct-1", "direct-0")
    compared = irsde(project, "compare", *runs)
    assert re.search(r"^MAE ↓", compared, re.MULTILINE)
    folders = ["--restored", f"{runs[0]}/images", "--reference", f"{runs[1]}/images"]
    scored = irsde(project, "evaluate", *folders, "--name", "A", "--out", "out", "--all-protocols")
    assert re.search(r"^MAE: \d+\.\d\d$", scored, re.MULTILINE)
    address = "reports/tables.md:denoising-photographs-test/regression/mae"
    assert "per_image.csv" in irsde(project, "explain", address)
    assert "all agree" in irsde(project, "verify")
    same = irsde(project, "verify", "--recompute", "denoising-photographs-test/regression")
    assert "the same bits" in same


def test_weights_and_filters_stay_as_they_were(project):
    """A metric makes evaluations anew, no trained or tuned run."""
    code = "from irsde.experiment.code import code_hash as h; print(h('train'), h('tune'))"
    hashes = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=folder,
            env={"PYTHONPATH": str(folder)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for folder in (project, PROJECT)
    }
    assert len(hashes) == 1
