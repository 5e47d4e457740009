"""Files of results that are damaged or of another kind end every command with one line."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.project import call, copy_project, prepare_task

RUN = "results/smoke/denoising/identity/seed0"
EVALUATION = f"{RUN}/evaluations/photographs-test/direct-0"
PREPARED = "data/prepared/smoke/denoising/photographs-test/dataset.json"
IMPORTED = "results/smoke/imported.json"
REPORT = ("report", "--profile", "smoke", "--partial")
COMPARE = ("compare", EVALUATION, EVALUATION)
EVALUATE = ("evaluate", "--run", RUN)
TRAIN = ("train", "--profile", "smoke", "--task", "denoising", "--method", "identity")


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """A project with one evaluation and a report of it."""
    folder = copy_project(tmp_path_factory.mktemp("reported"))
    here = Path.cwd()
    os.chdir(folder)
    try:
        prepare_task("smoke", "denoising")
    finally:
        os.chdir(here)
    for command in (TRAIN, EVALUATE, REPORT):
        call(folder, "irsde", *command)
    return folder


@pytest.fixture
def project(reported, tmp_path):
    """A copy of it that may be damaged."""
    return Path(shutil.copytree(reported, tmp_path / "project", symlinks=True))


def refusal(project: Path, command: tuple[str, ...], code: int = 2) -> str:
    """The one line that a command ends with."""
    said = call(project, "irsde", *command, code=code)
    assert "Traceback" not in said
    if code == 2:
        assert len(said.strip().splitlines()) == 1
    return said


def edit(path: Path, place: str, value: object) -> None:
    """Set a field of a JSON file; digits in its place are indices."""
    content = json.loads(path.read_text())
    *parents, last = (int(part) if part.isdecimal() else part for part in place.split("."))
    inner = content
    for part in parents:
        inner = inner[part]
    inner[last] = value
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("file", "place", "value", "command", "words"),
    [
        (f"{RUN}/run.json", "settings.data", 1e308, REPORT, "settings.data: input should be"),
        (f"{RUN}/run.json", "seed", "0", REPORT, "seed: input should be a valid integer"),
        (f"{EVALUATION}/summary.json", "metrics.1", "xxx", COMPARE, "metrics.1: input should be"),
        (f"{EVALUATION}/summary.json", "metrics.0.decimals", "", COMPARE, "decimals: input should"),
        (f"{EVALUATION}/summary.json", "dataset.pairs", [], REPORT, "dataset.pairs: input should"),
        (f"{EVALUATION}/summary.json", "reference", 10**30, (*COMPARE, "--picture", "a.png"),
         "reference: input should be a valid string"),
        (f"{EVALUATION}/summary.json", "parameters", 10**400, REPORT, "parameters: input should"),
        (PREPARED, "enlarge", [[1]], EVALUATE, "enlarge: input should be 'bicubic' or 'nearest'"),
        (PREPARED, "scale", 10**30, EVALUATE, "scale: input should be less than"),
        ("reports/provenance.json", "tables.0.rows", 1, ("verify",), "tables.0.rows: input should"),
        ("reports/provenance.json", "evaluations", [], ("verify",), "evaluations: input should"),
    ],
)  # fmt: skip
def test_a_field_of_another_kind_is_named(project, file, place, value, command, words):
    edit(project / file, place, value)
    assert words in refusal(project, command)


def test_a_damaged_card_of_prepared_pairs_is_a_disagreement(project):
    edit(project / PREPARED, "masks", {"a": 1})
    assert "masks.dataset: field required" in refusal(project, ("verify",), code=1)


@pytest.mark.parametrize("text", ["true", "[1]", '{"a": 1}'])
def test_a_list_of_imported_results_that_is_none_is_refused(project, text):
    (project / IMPORTED).write_text(text)
    assert "imported.json: " in refusal(project, ("plan", "--profile", "smoke"))


@pytest.mark.parametrize(
    ("file", "command"),
    [
        (IMPORTED, ("plan", "--profile", "smoke")),
        (f"{EVALUATION}/per_image.csv", REPORT),
        (f"{EVALUATION}/per_image.csv", COMPARE),
        (f"{EVALUATION}/per_image.csv", EVALUATE),
        (f"{EVALUATION}/protocols.csv", REPORT),
        (f"{RUN}/training.csv", REPORT),
        (f"{EVALUATION}/summary.json", EVALUATE),
        (f"{EVALUATION}/summary.json", REPORT),
        (f"{RUN}/run.json", EVALUATE),
        (f"{RUN}/run.json", TRAIN),
        (f"{RUN}/run.json", (*TRAIN, "--overwrite")),
        (PREPARED, EVALUATE),
    ],
)
def test_a_pipe_is_neither_read_nor_taken_for_absent(project, file, command):
    path = project / file
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    assert f"{Path(file).name}: is not a regular file" in refusal(project, command)
    assert os.path.lexists(path)


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to("nothing")])
@pytest.mark.parametrize(
    ("file", "command"),
    [(f"{EVALUATION}/summary.json", EVALUATE), (f"{RUN}/run.json", (*TRAIN, "--overwrite"))],
)
def test_a_folder_or_a_broken_link_is_not_replaced(project, file, command, make):
    path = project / file
    path.unlink()
    make(path)
    assert f"{path.name}: is not a regular file" in refusal(project, command)
    assert os.path.lexists(path)


def test_status_names_a_run_whose_card_is_no_file(project):
    (project / RUN / "run.json").unlink()
    os.mkfifo(project / RUN / "run.json")
    said = call(project, "irsde", "status", "--profile", "smoke")
    assert re.search(r"denoising/identity/seed0 +damaged", said)
    assert "run.json: is not a regular file" in said


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda head, row: (head, row.replace(row.split(",")[2], "-inf", 1)),
            "psnr cannot be -inf",
        ),
        (
            lambda head, row: (head, row.replace(row.split(",")[2], "1" * 400, 1)),
            "psnr cannot be 1",
        ),
        (lambda head, row: (head, row.replace(row.split(",")[2], "1e999", 1)), "psnr cannot be 1e"),
        (lambda head, row: (head, row.replace(row.split(",")[2], "many", 1)), "cannot be read"),
        (lambda head, row: (f"{head},psnr", f"{row},1"), "has two columns 'psnr'"),
        (lambda head, row: (head.replace("image", "picture", 1), row), "has no column 'image'"),
    ],
)
@pytest.mark.parametrize("command", [REPORT, COMPARE])
def test_values_that_no_image_has_are_refused(project, change, words, command):
    path = project / EVALUATION / "per_image.csv"
    head, row, *rest = path.read_text().splitlines()
    path.write_text("\n".join([*change(head, row), *rest]) + "\n")
    assert f"per_image.csv: {words}" in refusal(project, command)
