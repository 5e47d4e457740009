"""A whole grid by Snakemake, in a folder of its own."""

import json
import shutil
import sqlite3

import pytest

from tests.project import call, grid_by

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def by_snakemake(tmp_path_factory):
    return grid_by("snakemake", tmp_path_factory)


def test_the_tables_have_every_task_and_method(by_snakemake):
    text = (by_snakemake / "reports/tables.md").read_text()
    for words in ("## Denoising", "## Super-resolution", "Non-local means", "IR-SDE + l2", "ddim"):
        assert words in text
    assert "LPIPS is n/a" in text
    assert "nan" not in text


def test_a_second_call_of_snakemake_does_nothing(by_snakemake):
    assert "Nothing to be done" in call(by_snakemake, "snakemake", "--cores", "2")


def test_a_changed_setting_reruns_what_depends_on_it_and_nothing_else(by_snakemake):
    profile = by_snakemake / "workflow/config/smoke.yaml"
    before = profile.read_text()
    profile.write_text(before.replace("{norm: l2}", "{norm: l2, batch: 3}"))
    full = call(by_snakemake, "snakemake", "--cores", "2", "--dry-run")
    profile.write_text(before)
    jobs = [line.split() for line in full.splitlines()]
    counts = {line[0]: int(line[1]) for line in jobs if len(line) == 2 and line[1].isdigit()}
    assert counts["train"] == 2
    assert counts["evaluate"] == 2  # a job for all evaluations of a run
    assert counts["report"] == 1
    assert "tune" not in counts
    assert not counts.keys() & {"fetch", "prepare", "check"}


def of_a_run(project):
    """Summaries of a run's evaluations, and the list that stands for them in Snakemake."""
    run = project / "results/smoke/denoising/ir-sde+l2/seed0"
    return sorted(run.glob("evaluations/*/*/summary.json")), run / "evaluated.json"


def test_an_evaluation_that_was_taken_away_is_made_again_alone(by_snakemake):
    (taken, *others), done = of_a_run(by_snakemake)
    before, made = taken.read_bytes(), [path.stat().st_mtime_ns for path in others]
    assert len(others) == 3
    shutil.rmtree(taken.parent)
    call(by_snakemake, "snakemake", "--cores", "2", done.relative_to(by_snakemake).as_posix())
    assert taken.read_bytes() == before
    assert [path.stat().st_mtime_ns for path in others] == made
    assert "Nothing to be done" in call(by_snakemake, "snakemake", "--cores", "2")


def test_a_failed_evaluation_does_not_take_the_others_of_its_run_with_it(by_snakemake):
    summaries, done = of_a_run(by_snakemake)
    before = [path.read_bytes() for path in summaries]
    for path in summaries:
        shutil.rmtree(path.parent)
    in_the_way = summaries[0].parent
    in_the_way.symlink_to("nowhere")
    target = done.relative_to(by_snakemake).as_posix()
    output = call(by_snakemake, "snakemake", "--cores", "2", target, code=1)
    assert "1 of 4 evaluations failed: photographs-test/ddim-1; the others are finished" in output
    assert [path.is_file() for path in summaries] == [False, True, True, True]
    assert not done.exists()
    in_the_way.unlink()
    call(by_snakemake, "snakemake", "--cores", "2", target)
    assert [path.read_bytes() for path in summaries] == before


def test_every_stage_is_a_run_of_mlflow_nested_in_its_task(by_snakemake):
    with sqlite3.connect(by_snakemake / "results/mlflow.db") as store:
        rows = store.execute(
            "select t.value, count(*) from tags t join runs r using (run_uuid) "
            "where t.key = 'stage' and r.lifecycle_stage = 'active' group by t.value"
        ).fetchall()
        metrics = store.execute("select count(*) from metrics where key = 'psnr'").fetchone()[0]
    assert dict(rows) == {"task": 2, "train": 4, "evaluate": 7, "report": 1}
    assert metrics == 7


def test_syncing_finds_everything_logged_already(by_snakemake):
    assert "0 logged, 12 already there" in call(by_snakemake, "irsde", "track", "sync")


def test_the_workflow_lints(by_snakemake):
    assert "Congratulations" in call(by_snakemake, "snakemake", "--lint")


def test_a_wrong_profile_stops_snakemake_with_one_line(by_snakemake):
    output = call(by_snakemake, "snakemake", "--cores", "1", "--config", "profile=none", code=1)
    assert "no profile 'none'" in output
    assert "Traceback" not in output


def test_forcing_the_data_keeps_what_lies_there(by_snakemake):
    """Snakemake deletes outputs before it runs a rule; an adopted set could not be had again."""
    card = by_snakemake / "data/photographs-test/dataset.json"
    content = json.loads(card.read_text()) | {"label": "adopted by hand"}
    card.write_text(json.dumps(content))
    call(by_snakemake, "snakemake", "--cores", "1", "-F", "data/photographs-test/dataset.json")
    assert json.loads(card.read_text()) == content
