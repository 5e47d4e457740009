"""MLflow shows what the result files hold, and can be made again from them."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from irsde.experiment.grid import Run
from irsde.experiment.recorded import Lineage
from irsde.files import InputError, digest_file, digest_json, write_json
from irsde.tracking.rebuild import rebuild
from irsde.tracking.records import evaluation_record
from irsde.tracking.store import (
    NOTE_TAG,
    PATH_TAG,
    MlflowClient,
    Tracker,
    local_path,
    sync,
    tracking_uri,
)
from tests.fabricated import PREPARED, summary_of

RUN = Run("made", "denoising", "ir-sde", 0)
PLAIN = Run("made", "denoising", "identity", 0)
EVALUATION = RUN.folder / "evaluations" / "kodak24" / "posterior-10"
MODEL = "made.denoising.ir-sde"
SCRIPT = """
import sys
from pathlib import Path
from irsde.tracking.store import Tracker
Tracker("made").log_training(Path(sys.argv[1]))
"""


def write_history(run, losses):
    (run.folder / "validation").mkdir(parents=True, exist_ok=True)
    lines = [f"{10 * k},{loss},{20 + k}" for k, loss in enumerate(losses, 1)]
    text = "\n".join(["iteration,loss,validation_psnr", *lines, ""])
    (run.folder / "training.csv").write_text(text)
    (run.folder / "validation" / f"{10 * len(losses):08d}.png").write_bytes(text.encode())


def write_run(run, **details):
    run.folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "data": {"train": ["bsd400"], "validation": ["bsd32"]},
        "training": {"batch": 2, "iterations": 30, "patch": 8},
    }
    identity = {
        "settings": digest_json(settings),
        "train_data": "a" * 64,
        "validation_data": "b" * 64,
    }
    card = {
        **{"profile": run.profile, "task": run.task, "method": run.method, "seed": run.seed},
        **{"label": run.method, "parameters": 5, "settings": settings, "identity": identity},
        **{"commit": "c" * 40, "dirty": False},
    }
    write_json(run.folder / "cost.json", {"seconds": 1.5, "joules": None})
    write_json(run.folder / "run.json", {**card, **details})


def write_weights(run, content):
    path = run.folder / "weights.safetensors"
    run.folder.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".new").write_bytes(content)
    path.with_suffix(".new").replace(path)
    return {"weights_sha256": digest_file(path)}


def write_evaluation(folder, run):
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "kodim01.png").write_bytes(b"png")
    (folder / "per_image.csv").write_text("image,scene,psnr\nkodim01,kodim01,30.5\n")
    write_json(folder / "cost.json", {"seconds": 2.5, "seconds_per_image": 2.5})
    shown = {"label": "a metric", "higher_is_better": True, "decimals": 2}
    summary = summary_of(
        run.method,
        run=run.folder.as_posix(),
        sampler="posterior",
        nfe=10,
        sampling_seed=0,
        parameters=5,
        dataset={
            **PREPARED,
            "dataset": "kodak24",
            "fingerprint": "d" * 64,
            "licence": "unknown",
        },
        lpips={"network": "squeeze"},
        metrics=[
            {"name": "psnr", "mean": 30.5, "low": 30.0, "high": 31.0, **shown},
            {"name": "lpips", "mean": None, **shown},
        ],
        distribution={"network": "x", "fid": {"value": 12.5}, "kid": {"value": None}},
    )
    write_json(folder / "summary.json", summary)


def write_report(text):
    (Path("reports") / "figures").mkdir(parents=True, exist_ok=True)
    lineage = Lineage(profile="made", tables=[], evaluations={}, runs={})
    lineage.write(Path("reports/provenance.json"))
    Path("reports/tables.md").write_text(text)
    Path("reports/figures/denoising.png").write_bytes(b"png")


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    """A store without runs: making one takes seconds, copying it none."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def project(empty_store, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    Path("results").mkdir()
    shutil.copy(empty_store, "results/mlflow.db")
    return tmp_path


def run_at(folder):
    """The run of a folder, and a client."""
    tracker = Tracker("made")
    found = tracker.client.search_runs(
        [tracker.experiment], f"tags.`{PATH_TAG}` = '{Path(folder).as_posix()}'"
    )
    assert len(found) == 1
    return tracker.client, found[0]


def contents(uri):
    """What a store shows, without ids and times, so that equal stores give equal values."""
    client = MlflowClient(uri)
    experiments, models, path_of = {}, {}, {}
    for experiment in client.search_experiments():
        runs = client.search_runs([experiment.experiment_id])
        path_of |= {run.info.run_id: run.data.tags.get(PATH_TAG) for run in runs}
        experiments[experiment.name] = {
            "tags": dict(experiment.tags),
            "runs": {path_of[run.info.run_id]: shown(client, run, path_of) for run in runs},
        }
    for model in client.search_registered_models():
        versions = {
            version.version: (path_of[version.run_id], dict(version.tags), version.description)
            for version in client.search_model_versions(f"name = '{model.name}'")
        }
        aliases = client.get_registered_model(model.name).aliases
        models[model.name] = {alias: versions[int(aliases[alias])] for alias in aliases}
        assert len(aliases) == len(versions)
    return {"experiments": experiments, "models": models}


def shown(client, run, path_of):
    folder = local_path(run.info.artifact_uri)
    files = [path for path in folder.rglob("*") if path.is_file()] if folder else []
    tags = run.data.tags.items()
    return {
        "name": run.info.run_name,
        "status": run.info.status,
        "parent": path_of.get(run.data.tags.get("mlflow.parentRunId")),
        "tags": {key: value for key, value in tags if "mlflow." not in key or key == NOTE_TAG},
        "parameters": dict(run.data.params),
        "metrics": {
            name: sorted(
                (metric.step, repr(metric.value))
                for metric in client.get_metric_history(run.info.run_id, name)
            )
            for name in run.data.metrics
        },
        "inputs": sorted(
            (tag.value, data.dataset.name, data.dataset.digest, data.dataset.source)
            for data in run.inputs.dataset_inputs
            for tag in data.tags
        ),
        "artifacts": {path.relative_to(folder).as_posix(): digest_file(path) for path in files},
    }


def log_everything():
    """Everything in the order in which the stages log it, the training while it runs."""
    write_history(RUN, [0.5])
    Tracker("made").log_unfinished(RUN)
    client, run = run_at(RUN.folder)
    assert run.info.status == "RUNNING"
    client.set_tag(run.info.run_id, "mood", "hopeful")
    write_history(RUN, [0.5, float("nan"), 0.125])
    Tracker("made").log_unfinished(RUN)
    write_run(RUN, **write_weights(RUN, b"first"), best_validation_psnr=23.0)
    assert Tracker("made").log_training(RUN.folder)
    write_run(PLAIN)
    assert Tracker("made").log_training(PLAIN.folder)
    write_evaluation(EVALUATION, RUN)
    assert Tracker("made").log_evaluation(EVALUATION)
    write_report("31.5")
    assert Tracker("made").log_report()


def test_an_evaluation_shows_by_what_it_was_scored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_evaluation(EVALUATION, RUN)
    shown = evaluation_record(EVALUATION).parameters
    assert (shown["protocol"], shown["lpips_network"]) == ("rgb", "squeeze")


def test_a_rebuilt_store_equals_the_one_that_was_written_while_training(project):
    log_everything()
    client, run = run_at(EVALUATION)
    client.set_tag(run.info.run_id, NOTE_TAG, "the best so far")
    before = contents(tracking_uri())
    assert rebuild() == "results/mlflow.db: rebuilt, 5 runs of made"
    assert contents(tracking_uri()) == before
    assert sync("made") == (0, 4)
    assert sorted(path.name for path in Path("results").glob("*mlflow*")) == [
        ".mlflow.lock",
        "mlflow.db",
    ]
    assert len(list(Path("results/mlartifacts/made").iterdir())) == 4
    runs = before["experiments"]["made"]["runs"]
    trained, evaluated = runs[RUN.folder.as_posix()], runs[EVALUATION.as_posix()]
    assert trained["metrics"]["loss"] == [(10, "0.5"), (20, "nan"), (30, "0.125")]
    assert trained["tags"]["mood"] == "hopeful"
    assert trained["artifacts"]["model/weights.safetensors"] == digest_file(
        RUN.folder / "weights.safetensors"
    )
    assert evaluated["tags"][NOTE_TAG] == "the best so far"
    assert {name: rows[0][1] for name, rows in evaluated["metrics"].items()} == {
        **{"psnr": "30.5", "interval/psnr_low": "30.0", "interval/psnr_high": "31.0"},
        **{"fid": "12.5", "parameters": "5.0"},
        **{"cost/seconds": "2.5", "cost/seconds_per_image": "2.5"},
    }
    assert [row[:3] for row in trained["inputs"]] == [
        ("train", "bsd400", "a" * 36),
        ("validation", "bsd32", "b" * 36),
    ]
    assert evaluated["inputs"][0][:3] == ("test", "kodak24", "d" * 36)
    assert "figures/denoising.png" in runs["reports"]["artifacts"]


def test_weights_are_a_registered_model_for_each_seed_without_a_second_copy(project):
    write_run(RUN, **write_weights(RUN, b"first"))
    other = Run("made", "denoising", "ir-sde", 1)
    write_run(other, **write_weights(other, b"second"))
    assert sync("made") == (2, 0)
    client, run = run_at(RUN.folder)
    client.set_tag(run.info.run_id, "mood", "good")
    version = client.get_model_version_by_alias(MODEL, "seed0")
    assert version.run_id == run.info.run_id
    assert "irsde restore PHOTO --run results/made/denoising/ir-sde/seed0" in version.description
    folder = Path(version.source.removeprefix("file://"))
    assert (folder / "weights.safetensors").samefile(RUN.folder / "weights.safetensors")
    write_run(RUN, **write_weights(RUN, b"trained again"))
    assert sync("made") == (1, 1)
    client, run = run_at(RUN.folder)
    assert run.data.tags["mood"] == "good"
    model = contents(tracking_uri())["models"][MODEL]
    assert [model[seed][0] for seed in ("seed0", "seed1")] == [
        RUN.folder.as_posix(),
        other.folder.as_posix(),
    ]
    weights = digest_file(RUN.folder / "weights.safetensors")
    assert model["seed0"][1]["weights_sha256"] == weights
    assert (folder / "weights.safetensors").read_bytes() == b"first"


def test_a_training_that_went_back_or_began_anew_leaves_no_old_values(project):
    write_history(RUN, [0.5, 0.9])
    Tracker("made").log_unfinished(RUN)
    write_history(RUN, [0.5, 0.25])
    write_run(RUN)
    assert Tracker("made").log_training(RUN.folder)
    client, run = run_at(RUN.folder)
    losses = client.get_metric_history(run.info.run_id, "loss")
    assert [(m.step, m.value) for m in losses] == [(10, 0.5), (20, 0.25)]


def test_what_was_cut_off_in_the_middle_is_completed(project, monkeypatch):
    write_history(RUN, [0.5])
    write_run(RUN, **write_weights(RUN, b"first"))

    def fail(*_):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(Tracker, "_register", fail)
        with pytest.raises(OSError, match="no space left"):
            Tracker("made").log_training(RUN.folder)
    assert sync("made") == (1, 0)
    assert sync("made") == (0, 1)
    _, run = run_at(RUN.folder)
    assert run.info.status == "FINISHED"
    assert list(contents(tracking_uri())["models"]) == [MODEL]


def test_a_report_is_logged_anew_when_it_changed_and_only_to_its_own_profile(project):
    write_run(PLAIN)
    write_report("31.5")
    assert sync("made") == (2, 0)
    write_report("31.6")
    assert Tracker("made").log_report()
    assert not Tracker("made").log_report()
    _, run = run_at("reports")
    folder = Path(run.info.artifact_uri.removeprefix("file://"))
    assert (folder / "tables.md").read_text() == "31.6"
    assert not Tracker("another").log_report()


def test_a_rebuild_names_what_it_cannot_bring_over_and_keeps_the_old_store(project):
    log_everything()
    client = MlflowClient(tracking_uri())
    mine = client.create_experiment("mine")
    client.create_run(mine, run_name="try")
    client.create_registered_model("my-model")
    shutil.rmtree(PLAIN.folder)
    write_run(RUN, **write_weights(RUN, b"again"))
    text = rebuild()
    backup = "left behind in results/mlflow.db.bak: "
    assert f"{backup}run try of experiment mine" in text
    assert f"{backup}registered model my-model" in text
    assert f"{backup}run {PLAIN.folder}, whose files are gone, of experiment made" in text
    again = contents(f"sqlite:///{project / 'results/mlflow.db.bak'}")
    assert "mine" in again["experiments"]


def test_a_rebuild_that_fails_changes_nothing(project, monkeypatch):
    write_run(PLAIN)
    assert sync("made") == (1, 0)
    before = {path: digest_file(path) for path in Path("results").rglob("*") if path.is_file()}

    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr("irsde.tracking.rebuild._copy", fail)
    with pytest.raises(OSError, match="no space left"):
        rebuild()
    after = {path: digest_file(path) for path in Path("results").rglob("*") if path.is_file()}
    assert after == before


def test_a_store_that_cannot_be_read_is_replaced_and_kept(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    write_run(PLAIN)
    for name in ("mlflow.db", "mlflow.db.bak"):
        Path(f"results/{name}").write_bytes(name.encode())
    text = rebuild()
    assert "left behind in results/mlflow.db.bak2: the old store, which cannot be read" in text
    assert Path("results/mlflow.db.bak2").read_bytes() == b"mlflow.db"
    assert PLAIN.folder.as_posix() in contents(tracking_uri())["experiments"]["made"]["runs"]


def test_a_database_that_is_no_store_is_replaced_and_kept(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    write_run(PLAIN)
    with closing(sqlite3.connect("results/mlflow.db")) as database:
        database.execute("create table mine (value)")
        database.commit()
    before = digest_file(Path("results/mlflow.db"))
    assert "left behind in results/mlflow.db.bak: the old store, which cannot be read" in rebuild()
    assert digest_file(Path("results/mlflow.db.bak")) == before


def test_rebuilding_needs_files_and_the_store_beside_them(project, monkeypatch):
    with pytest.raises(InputError, match="no finished runs there"):
        rebuild()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(InputError, match="unset it, or run irsde track sync"):
        rebuild()


def test_processes_that_start_at_once_on_an_empty_store_lose_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = [Run("made", "denoising", "ir-sde", seed) for seed in range(4)]
    for run in runs:
        write_history(run, [0.5, 0.25])
        write_run(run, **write_weights(run, b"weights"))
    children = [
        subprocess.Popen([sys.executable, "-c", SCRIPT, run.folder.as_posix()], env=os.environ)
        for run in runs
    ]
    assert [child.wait(timeout=240) for child in children] == [0] * 4
    found = contents(tracking_uri())
    trained = found["experiments"]["made"]["runs"]
    assert set(trained) == {"task:denoising", *(run.folder.as_posix() for run in runs)}
    assert {trained[run.folder.as_posix()]["parent"] for run in runs} == {"task:denoising"}
    assert trained[runs[0].folder.as_posix()]["metrics"]["loss"] == [(10, "0.5"), (20, "0.25")]
    assert set(found["models"][MODEL]) == {f"seed{seed}" for seed in range(4)}
    assert sync("made") == (0, 4)
