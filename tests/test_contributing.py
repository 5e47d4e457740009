"""The recipes of CONTRIBUTING.md, followed to the letter in one copy of the project, and run."""

import json
import re
import shutil
import sqlite3
import sys
from contextlib import closing
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
import torch

from irsde.drawing import look
from irsde.experiment import code
from irsde.files import digest_file, read_json
from irsde.images import read_image, write_image
from irsde.methods import METHODS
from tests.project import PROJECT, call, copy_project

pytestmark = pytest.mark.slow

FENCE = r"```(?P<kind>\w+)\n(?P<text>.*?)^```$"
PLACE = (
    r"(?P<how>At the end of|New file|In) `(?P<file>[^`\n]+)`"
    r"(?:, (?P<side>before|after) `(?P<line>[^`\n]+)`)?:\n\n"
)
STEP = re.compile(f"(?:^{PLACE})?^{FENCE}", re.MULTILINE | re.DOTALL)
RUNS = "results/mine/low-light"
EVALUATED = "seed0/evaluations/lanterns-test"
SWEPT = f"{RUNS}/ir-sde-delta/{EVALUATED}/ipndm-2-3-cubic"


def steps_of(*titles):
    """Blocks of the recipes with these titles, or of all, in their order."""
    text = (PROJECT / "CONTRIBUTING.md").read_text()
    (recipes,) = re.findall(r"^## Recipes$(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    of_title = re.split(r"^### (.+)$", recipes, flags=re.MULTILINE)
    found = dict(zip(of_title[1::2], of_title[2::2], strict=True))
    return [step for title in titles or found for step in STEP.finditer(found[title])]


def follow(folder, steps):
    """Write what the blocks say into a project."""
    for step in steps:
        how, name, text = step["how"], step["file"], step["text"]
        file = folder / name
        if how == "New file":
            assert not file.exists()
            file.write_text(text)
        elif how == "At the end of":
            between = "\n\n" if name.endswith(".py") else "\n"
            file.write_text(file.read_text() + between + text)
        else:
            lines = file.read_text().splitlines(keepends=True)
            (place,) = [k for k, line in enumerate(lines) if line.strip() == step["line"]]
            lines.insert(place + (step["side"] == "after"), text)
            file.write_text("".join(lines))


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project in which all recipes were followed, those that are commands too."""
    folder = copy_project(tmp_path_factory.mktemp("project"))
    generator = np.random.default_rng(0)
    for name in ("red", "green"):
        coarse = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        (folder / "Lanterns").mkdir(exist_ok=True)
        write_image(folder / f"Lanterns/{name}.png", coarse.repeat(6, axis=0).repeat(6, axis=1))
    steps = steps_of()
    follow(folder, [step for step in steps if step["kind"] != "bash"])
    put_weights(folder)
    commands = "".join(step["text"] for step in steps if step["kind"] == "bash")
    (folder / "output.txt").write_text(
        call(folder, "bash", "-ec", commands, PYTHONPATH=str(folder))
    )
    return folder


def put_weights(folder):
    """Make a file of the published network, and give its record the bytes of that."""
    file = folder / "Weights/downloaded.pth"
    file.parent.mkdir()
    torch.save({"layer.weight": torch.zeros(3, 3, 3, 3), "layer.bias": torch.zeros(3)}, file)
    catalogue = folder / "data/published_weights.yaml"
    head, record = catalogue.read_text().split("\nsharpener:\n")
    record = re.sub(r"(?<=sha256: )\w+", digest_file(file), record)
    record = re.sub(r"(?<=size: )\w+", str(file.stat().st_size), record)
    catalogue.write_text(f"{head}\nsharpener:\n{record}")


def irsde(folder, *arguments, code=0):
    """What a command of the project's own code prints."""
    return call(folder, "env", "irsde", *arguments, code=code, PYTHONPATH=str(folder))


def python(folder, code):
    """What a program with the package of a folder prints as JSON."""
    command = [sys.executable, "-c", f"import json\n{code}"]
    return json.loads(call(folder, *command, PYTHONPATH=str(folder)).splitlines()[-1])


def test_every_block_says_where_it_belongs():
    for step in steps_of():
        assert (step["kind"] == "bash") == (step["how"] is None), step["text"]


def test_the_code_of_the_recipes_is_clean(project):
    config = ["--config", str(PROJECT / "pyproject.toml"), "--no-cache"]
    names = {step["file"] for step in steps_of() if step["kind"] == "python"}
    for command in (["check"], ["format", "--check"]):
        call(project, "ruff", *command, *config, *sorted(names))


def test_the_task_has_tables_without_a_classical_method(project):
    tables = (project / "reports/tables.md").read_text()
    assert "\n## Low light\n" in tables
    assert "there is no classical method for low-light" in tables
    assert "light reduced to 30 to 60 %" in tables
    assert (project / "reports/degradations/low-light.png").is_file()


def test_the_methods_have_rows_and_looks_of_their_own(project):
    tables = (project / "reports/tables.md").read_text()
    for label in ("IR-SDE, delta 0.01", "IR-SDE, residual"):
        assert re.search(rf"^\| \[?{label}", tables, re.MULTILINE)
    code = """
from dataclasses import asdict
from irsde.methods import METHODS
from irsde.drawing import look
from irsde.experiment import code
print(json.dumps({name: asdict(look(name)) for name in METHODS}))
"""
    looks = python(project, code)
    assert len({(of["color"], of["marker"]) for of in looks.values()}) == len(looks)
    before = json.loads(json.dumps({name: asdict(look(name)) for name in METHODS}))
    assert looks | before == looks
    drawn = (project / "reports/figures/quantiles-low-light-lanterns-test.svg").read_text()
    assert looks["ir-sde-delta"]["color"] in drawn


def test_the_objective_trains_and_is_named(project):
    run = project / f"{RUNS}/ir-sde-residual/seed0"
    losses = pd.read_csv(run / "training.csv")["loss"].dropna()
    assert np.isfinite(losses).all()
    assert len(losses) > 0
    assert "the residual" in (project / "reports/tables.md").read_text()


def test_the_sampler_and_the_grid_are_in_the_sweep(project):
    assert (project / SWEPT / "summary.json").is_file()
    tables = (project / "reports/tables.md").read_text()
    assert re.search(r"^\| \[?ipndm-2, cubic\b", tables, re.MULTILINE)
    help_ = irsde(project, "evaluate", "--help")
    assert "cubic (even in the cube root of t)" in " ".join(help_.split())


def test_the_option_has_its_folder_its_label_and_an_effect(project):
    usual, other = (read_json(project / f"{SWEPT}{end}/summary.json") for end in ("", "-rounded"))
    assert (usual["rounding"], other["rounding"]) == ("none", "rounded")
    means = [{m["name"]: m["mean"] for m in of["metrics"]}["psnr"] for of in (usual, other)]
    assert means[0] != means[1]
    assert "ipndm-2, cubic, rounded" in (project / "reports/tables.md").read_text()


def test_the_option_is_refused_where_it_is_wrong(project):
    run = f"{RUNS}/ir-sde-delta/seed0"
    wrong = irsde(project, "evaluate", "--run", run, "--rounding", "up", code=2)
    assert "unknown rounding 'up': choose from none, rounded" in wrong


def test_an_evaluation_made_before_the_option_has_its_default(project):
    code = """
from pathlib import Path
from irsde.experiment.options import alike
from irsde.experiment.summary import Summary
from irsde.files import read_json
path = Path(%r) / "summary.json"
content = read_json(path)
known = Summary.check(path, content)
del content["rounding"]
older = Summary.check(path, content)
print(json.dumps([older.rounding, alike(older) == alike(known), "rounding" in older.content()]))
"""
    assert python(project, code % SWEPT) == ["none", True, False]


def test_values_of_the_metric_are_its_definition(project):
    folder = project / f"{RUNS}/ir-sde-delta/{EVALUATED}/posterior-3"
    table = pd.read_csv(folder / "per_image.csv").set_index("image")
    clean = project / "data/prepared/mine/low-light/lanterns-test/GT"
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


def test_the_metric_has_a_column_in_every_form_of_the_tables(project):
    reports = project / "reports"
    assert re.search(r"^\| method .*\| +MAE ↓ +\|", (reports / "tables.md").read_text(), re.M)
    assert r"MAE \textdownarrow{}" in (reports / "tables.tex").read_text()
    cells = pd.read_csv(reports / "tables.csv")
    assert {"ir-sde-delta", "ir-sde-residual"} <= set(cells.loc[cells["column"] == "mae", "line"])
    page = (reports / "index.html").read_text()
    assert re.search(r"<th[^>]*>MAE ↓</th>", page)
    assert '"label":"MAE"' in page.replace(" ", "")
    tree = read_json(reports / "metrics.json")["low-light"]["lanterns-test"]
    assert tree["ir-sde-delta"]["mae"] > 0


def test_mlflow_has_the_metric_and_the_option(project):
    with closing(sqlite3.connect(project / "results/mlflow.db")) as store:
        keys = {key for (key,) in store.execute("SELECT DISTINCT key FROM metrics")}
        values = {
            value for (value,) in store.execute("SELECT value FROM params WHERE key='rounding'")
        }
    assert {"mae", "interval/mae_low", "psnr", "haarpsi"} <= keys
    assert values == {"none", "rounded"}


def test_the_data_set_is_listed_and_recognised(project):
    listed = irsde(project, "data", "list")
    assert re.search(r"^lanterns-test .*2", listed, re.MULTILINE)
    assert len(pd.read_csv(project / "data/fingerprints/lanterns-test.csv")) == 2
    assert "Lanterns: 2 images" in (project / "reports/tables.md").read_text()


def test_the_published_network_is_known_and_evaluated(project):
    listed = irsde(project, "weights", "list")
    assert re.search(r"^sharpener .*agrees$", listed, re.MULTILINE)
    folder = project / f"{RUNS}/sharpener/{EVALUATED}/direct-1"
    assert read_json(folder / "summary.json")["parameters"] == 84
    assert re.search(r"^\| \[?Sharpener", (project / "reports/tables.md").read_text(), re.MULTILINE)


def test_the_figure_and_the_table_are_in_the_report(project):
    reports = project / "reports"
    for ending in ("png", "svg", "pdf"):
        assert (reports / f"figures/quantiles-low-light-lanterns-test.{ending}").is_file()
    page = (reports / "index.html").read_text()
    assert "Low light, Lanterns: from worst to best" in page
    assert "Low light: worst images" in page
    assert "## Worst images" in (reports / "tables.md").read_text()
    assert "Worst images" in (reports / "tables.tex").read_text()
    cells = pd.read_csv(reports / "tables.csv")
    assert "low-light-lanterns-test-worst" in set(cells["table"])


def test_commands_know_what_was_added(project):
    assert "all agree" in (project / "output.txt").read_text()
    names = ("ir-sde-delta", "ir-sde-residual")
    folders = [f"{RUNS}/{name}/{EVALUATED}/posterior-3" for name in names]
    table = "reports/tables.md:low-light-lanterns-test"
    assert re.search(r"^MAE ↓", irsde(project, "compare", *folders), re.MULTILINE)
    of_metric = irsde(project, "explain", f"{table}/ir-sde-delta/mae")
    assert "per_image.csv" in of_metric
    of_table = irsde(project, "explain", f"{table}-worst/ir-sde-delta/psnr")
    assert "least over images" in of_table
    same = irsde(project, "verify", "--recompute", "low-light-lanterns-test/ir-sde-delta")
    assert "the same bits" in same


def copied_with(folder, titles, *parts):
    """Parts of the project in an empty folder, in which these recipes were followed."""
    left_out = shutil.ignore_patterns("__pycache__")
    for part in ("irsde", *parts):
        shutil.copytree(PROJECT / part, folder / part, ignore=left_out)
    (folder / "data").mkdir()
    for name in ("catalogue.yaml", "published_weights.yaml"):
        shutil.copy(PROJECT / "data" / name, folder / "data")
    follow(folder, [step for step in steps_of(*titles) if step["kind"] == "python"])
    return folder


def made_again():
    """Recipes, and the stages that the table says they make again."""
    text = (PROJECT / "CONTRIBUTING.md").read_text()
    lines = re.findall(r"^\| (\[.+?\)) \| .* \| ([^|]+) \|$", text, re.MULTILINE)
    return {
        title[0].upper() + title[1:]: set() if stages == "nothing" else set(stages.split(", "))
        for titles, stages in lines
        for title in re.findall(r"\[(.+?)\]", titles)
    }


def code_of(folder, stage):
    """Hash of a stage's code in a copy of the project."""
    left_out = {*code.EXEMPT, *code.EXEMPT_FROM.get(stage, {})}
    root = folder / "irsde"
    return code.hash_modules(root, code.imported_modules(root, code.STAGES[stage], left_out))


def test_the_table_says_what_each_recipe_makes_again(tmp_path):
    found, said = {}, made_again()
    for title in said:
        folder = copied_with(tmp_path / title, [title])
        stages = ("train", "tune", "evaluate")
        found[title] = {one for one in stages if code_of(folder, one) != code.code_hash(one)}
    assert found == said
    assert len(said) == 11


def test_what_was_added_passes_the_tests_of_its_kind(tmp_path):
    """Those that name it, and those that list what there is."""
    folder = copied_with(tmp_path / "project", [], "tests", "studies")
    kinds = ("samplers", "samplers_exact", "scoring_exact", "classical_exact", "processes")
    added = (
        "ipndm-2",
        "cubic",
        "every_objective and residual",
        "each_sampler",
        "which",
        "metrics",
        "candidates",
    )
    call(
        folder, sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider",
        "-k", " or ".join(added), *(f"tests/test_{kind}.py" for kind in kinds),
        PYTHONPATH=str(folder),
    )  # fmt: skip
