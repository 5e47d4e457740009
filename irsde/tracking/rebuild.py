"""The tracking store made again from the result files alone, and what it shows as plain data."""

import itertools
import logging
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock
from mlflow.entities import ViewType  # noqa: TID253 (imported by one command only)

from irsde.experiment.grid import RESULTS, run_of
from irsde.files import InputError, digest_file, temporary_folder
from irsde.tracking.records import is_own_description
from irsde.tracking.store import (
    ARTIFACTS,
    LOCK,
    NOTE_TAG,
    PATH_TAG,
    SECONDS_FOR_LOCK,
    STORE,
    MlflowClient,
    MlflowException,
    Tracker,
    local_path,
    notes_of,
    sync,
)

MANY = 50_000
Contents = dict[str, Any]


def contents(uri: str) -> Contents:
    """Everything a store shows, without ids and times, so that equal stores give equal values.

    Parameters
    ----------
    uri : str
        Address of the store; its artifacts are hashed where they lie on this machine.

    Returns
    -------
    dict
        ``experiments`` : name → ``tags`` and ``runs``: path of the results → name, status, parent,
        tags, parameters, metrics with their steps, inputs, artifacts with their SHA-256.
        ``models`` : name → ``versions``: path of the run → tags, description; ``aliases``: name →
        path of the run.

    Raises
    ------
    MlflowException
        If the store cannot be read.
    """
    client = MlflowClient(uri)
    experiments: Contents = {}
    path_of: dict[str, str] = {}
    for experiment in client.search_experiments():
        runs = client.search_runs([experiment.experiment_id], max_results=MANY)
        path_of |= {run.info.run_id: _path(run) for run in runs}
        experiments[experiment.name] = {
            "tags": dict(experiment.tags),
            "runs": {_path(run): _run_contents(client, run, path_of) for run in runs},
        }
    models: Contents = {}
    for model in client.search_registered_models(max_results=1000):
        versions = client.search_model_versions(f"name = '{model.name}'", max_results=10_000)
        folders = {str(v.version): path_of.get(str(v.run_id), str(v.version)) for v in versions}
        models[model.name] = {
            "versions": {
                folders[str(v.version)]: {"tags": dict(v.tags), "description": v.description}
                for v in versions
            },
            "aliases": {
                alias: folders[str(number)]
                for alias, number in client.get_registered_model(model.name).aliases.items()
            },
        }
    return {"experiments": experiments, "models": models}


def _path(run: Any) -> str:
    """Path of the results behind a run; of a user's own run its name."""
    return str(run.data.tags.get(PATH_TAG) or f"{run.info.run_name} ({run.info.run_id})")


def _run_contents(client: MlflowClient, run: Any, path_of: Mapping[str, str]) -> Contents:
    tags = {
        key: value
        for key, value in run.data.tags.items()
        if not key.startswith("mlflow.") or key == NOTE_TAG
    }
    run_id = run.info.run_id
    return {
        "name": run.info.run_name,
        "status": run.info.status,
        "parent": path_of.get(str(run.data.tags.get("mlflow.parentRunId"))),
        "tags": tags,
        "parameters": dict(run.data.params),
        "metrics": {
            name: sorted((m.step, repr(m.value)) for m in client.get_metric_history(run_id, name))
            for name in sorted(run.data.metrics)
        },
        "inputs": sorted(
            (tag.value, data.dataset.name, data.dataset.digest, data.dataset.source,
             data.dataset.profile)
            for data in run.inputs.dataset_inputs
            for tag in data.tags
        ),
        "artifacts": _artifacts(run.info.artifact_uri),
    }  # fmt: skip


def _artifacts(uri: str) -> dict[str, str]:
    folder = local_path(uri)
    if folder is None:
        return {}
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): digest_file(path) for path in files}


def rebuild() -> str:
    """Make the SQLite store again from `results/` and `reports/`, and put it in place of the old.

    Tags and descriptions that a user wrote on runs of ours are carried over. Where the old store
    holds anything else that the files do not, such as runs of a user's own or runs whose folder is
    gone, that is named and the old store is kept as `mlflow.db.bak`.

    Returns
    -------
    str
        What was done, what differs from before, and what was left behind, a line each.

    Raises
    ------
    InputError
        If MLFLOW_TRACKING_URI names a store, or there are no results.
    MlflowException, OSError
        If the new store cannot be written; the old one is untouched then.
    """
    if os.environ.get("MLFLOW_TRACKING_URI"):
        raise InputError(
            f"irsde track rebuild replaces {STORE}, but MLFLOW_TRACKING_URI names another store: "
            "unset it, or run irsde track sync"
        )
    profiles = sorted({path.parts[1] for path in RESULTS.glob("*/*/*/seed*/run.json")})
    if not profiles:
        raise InputError(f"{RESULTS}: no finished runs there; run irsde train first")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    lines: list[str] = []
    with FileLock(LOCK, timeout=SECONDS_FOR_LOCK, is_singleton=True), _fresh_store() as fresh:
        old, new = _readable(STORE), f"sqlite:///{fresh.resolve()}"
        for profile in profiles:
            sync(profile, new)
        for progress in sorted(RESULTS.glob("*/*/*/seed*/progress.json")):
            run = run_of(progress.parent)
            Tracker(run.profile, new).log_unfinished(run)
        left_behind = _carry_over(old, new) if old else []
        after = contents(new)
        if old:
            lines += _differences(contents(old), after)
        elif STORE.is_file():
            left_behind.append("the old store, which cannot be read")
        if left_behind:
            backup = _free_name(STORE.with_name(f"{STORE.name}.bak"))
            shutil.copyfile(STORE, backup)
            lines += [f"left behind in {backup}: {what}" for what in left_behind]
        doomed = _copies(old, after) if old else []
        _copy(fresh, STORE)
    for folder in doomed:
        shutil.rmtree(folder, ignore_errors=True)
    runs = sum(len(experiment["runs"]) for experiment in after["experiments"].values())
    return "\n".join([*lines, f"{STORE}: rebuilt, {runs} runs of {', '.join(profiles)}"])


def _free_name(path: Path) -> Path:
    """The path, or with the first number behind it that is not taken."""
    numbered = (path.with_name(f"{path.name}{number}") for number in itertools.count(2))
    return next(p for p in itertools.chain([path], numbered) if not p.exists())


def _readable(store: Path) -> str | None:
    """Address of a store; None where there is none or it is damaged."""
    if not store.is_file():
        return None
    uri = f"sqlite:///{store.resolve()}"
    try:
        with closing(sqlite3.connect(f"file:{store.resolve()}?mode=ro", uri=True)) as database:
            if database.execute("PRAGMA quick_check").fetchone() != ("ok",):
                return None
            database.execute("SELECT run_uuid FROM runs LIMIT 1").fetchall()
        MlflowClient(uri).search_experiments(max_results=1)
    except (sqlite3.Error, MlflowException):
        return None
    return uri


@contextmanager
def _fresh_store() -> Iterator[Path]:
    """File for a new store; where it is not finished, the artifacts written for it go again."""
    there = set(ARTIFACTS.glob("*/*"))
    with temporary_folder(RESULTS / "mlflow") as folder:
        try:
            yield folder / "mlflow.db"
        except BaseException:
            for made in set(ARTIFACTS.glob("*/*")) - there:
                shutil.rmtree(made, ignore_errors=True)
            raise


def _copy(source: Path, target: Path) -> None:
    """Copy a database in one transaction, so that others who have it open see the new one."""
    with closing(sqlite3.connect(source)) as origin:
        try:
            with closing(sqlite3.connect(target, timeout=60)) as database:
                origin.backup(database)
        except sqlite3.DatabaseError:  # the target is no database: nobody can have it open
            beside = target.with_name(f"{target.name}.new")
            beside.unlink(missing_ok=True)
            with closing(sqlite3.connect(beside)) as database:
                origin.backup(database)
            beside.replace(target)


def _carry_over(old: str, new: str) -> list[str]:
    """Put what a user wrote on runs onto the same runs of the new store; name the rest."""
    before, after = MlflowClient(old), MlflowClient(new)
    left_behind = []
    for experiment in before.search_experiments():
        found = after.get_experiment_by_name(experiment.name)
        runs = before.search_runs([experiment.experiment_id], max_results=MANY)
        if found is None:
            left_behind += [f"run {_path(run)} of experiment {experiment.name}" for run in runs]
            continue
        for key, value in experiment.tags.items():
            if key not in found.tags or (key == NOTE_TAG and not is_own_description(value)):
                after.set_experiment_tag(found.experiment_id, key, value)
        again = after.search_runs([found.experiment_id], max_results=MANY)
        of_path = {run.data.tags.get(PATH_TAG): run.info.run_id for run in again}
        for run in runs:
            path = run.data.tags.get(PATH_TAG)
            if path in of_path:
                for key, value in notes_of(run).items():
                    after.set_tag(of_path[path], key, value)
            else:
                reason = "" if path is None else ", whose files are gone"
                left_behind.append(f"run {_path(run)} of experiment {experiment.name}{reason}")
    known = {model.name for model in after.search_registered_models(max_results=1000)}
    left_behind += [
        f"registered model {model.name}"
        for model in before.search_registered_models(max_results=1000)
        if model.name not in known
    ]
    return left_behind


def _copies(old: str, after: Contents) -> list[Path]:
    """Folders with the artifacts of old runs that the new store shows again."""
    client = MlflowClient(old)
    folders = []
    for experiment in client.search_experiments():
        shown = after["experiments"].get(experiment.name, {}).get("runs", {})
        for run in client.search_runs([experiment.experiment_id], "", ViewType.ALL, MANY):
            folder = local_path(run.info.artifact_uri)
            ours = run.data.tags.get(PATH_TAG) in shown
            if ours and folder and ARTIFACTS.resolve() in folder.parents:
                folders.append(folder.parent)
    return folders


def _differences(before: Contents, after: Contents) -> list[str]:
    """What the rebuilt store shows otherwise than the one before, one line each."""
    lines = []
    for name, experiment in after["experiments"].items():
        then = before["experiments"].get(name, {}).get("runs", {})
        for path, run in experiment["runs"].items():
            parts = [key for key in run if run[key] != then.get(path, run)[key]]
            if path not in then:
                lines.append(f"was missing: {path}")
            elif parts:
                lines.append(f"was otherwise in {', '.join(parts)}: {path}")
    if after["models"] != {name: before["models"].get(name) for name in after["models"]}:
        lines.append("registered models were otherwise")
    return lines


__all__ = ["contents", "rebuild"]
