"""The tracking store rebuilt from the result files alone."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from filelock import FileLock
from mlflow.entities import Run, ViewType  # noqa: TID253 (imported by one command only)

from irsde.experiment.grid import run_of
from irsde.files import RESULTS, InputError, temporary_folder
from irsde.tracking.records import is_own_description
from irsde.tracking.store import (
    ARTIFACTS,
    LOCK,
    NOTE_TAG,
    PATH_TAG,
    SECONDS_FOR_LOCK,
    STORE,
    MlflowClient,
    Tracker,
    local_path,
    notes_of,
    sync,
)


def rebuild() -> str:
    """Rebuild the SQLite store from `results/` and `reports/`, and put it in place of the old.

    Tags and descriptions that a user wrote on runs of ours are carried over. Where the old store
    holds anything else that the files do not, such as runs of a user's own or runs whose folder is
    gone, that is named and the old store is kept as `mlflow.db.bak`.

    Returns
    -------
    str
        What was left behind and what was done, a line each.

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
    with (
        FileLock(LOCK, timeout=SECONDS_FOR_LOCK, is_singleton=True),
        temporary_folder(STORE) as folder,
    ):
        fresh = folder / STORE.name
        present = set(ARTIFACTS.glob("*/*"))
        try:
            for profile in profiles:
                sync(profile, _uri(fresh))
            for progress in sorted(RESULTS.glob("*/*/*/seed*/progress.json")):
                run = run_of(progress.parent)
                Tracker(run.profile, _uri(fresh)).log_unfinished(run)
            count = len(_runs(MlflowClient(_uri(fresh))))
            left_behind, outdated = _replace(fresh)
        except BaseException:
            outdated = set(ARTIFACTS.glob("*/*")) - present
            raise
        finally:
            for path in outdated:
                shutil.rmtree(path, ignore_errors=True)
    done = f"{STORE}: rebuilt, {count} runs of {', '.join(profiles)}"
    return "\n".join([*left_behind, done])


def _uri(store: Path) -> str:
    return f"sqlite:///{store.resolve()}"


def _runs(client: MlflowClient) -> list[tuple[str, Run]]:
    """Runs of a store, deleted ones too, each with the name of its experiment."""
    names = {each.experiment_id: each.name for each in client.search_experiments()}
    runs = client.search_runs(list(names), "", ViewType.ALL, max_results=50_000)
    return [(names[run.info.experiment_id], run) for run in runs]


def _models(client: MlflowClient) -> set[str]:
    return {model.name for model in client.search_registered_models(max_results=1000)}


def _is_readable(store: Path) -> bool:
    """True if it is a store of MLflow, which would make one of any other database."""
    try:
        with closing(sqlite3.connect(store)) as database:
            database.execute("select 1 from experiments limit 1")
        client = MlflowClient(_uri(store))
        _runs(client)
        _models(client)
    except Exception:  # noqa: BLE001 - a damaged store fails in ways of its backend
        return False
    return True


def _replace(fresh: Path) -> tuple[list[str], set[Path]]:
    """Put a store in place of the old one; keep that where it holds more, and say what.

    Also returns the artifacts of old runs that the new store has again.
    """
    if not STORE.is_file():
        fresh.replace(STORE)
        return [], set()
    old = Path(shutil.copyfile(STORE, fresh.with_name("old.db")))
    left_behind, outdated = ["the old store, which cannot be read"], set[Path]()
    if is_readable := _is_readable(old):
        left_behind, outdated = _carry_over(MlflowClient(_uri(old)), MlflowClient(_uri(fresh)))
    if left_behind:
        numbers = ("", *range(2, 1000))
        names = (STORE.with_name(f"{STORE.name}.bak{number}") for number in numbers)
        backup = next(path for path in names if not path.exists())
        shutil.copyfile(STORE, backup)
        left_behind = [f"left behind in {backup}: {what}" for what in left_behind]
    if is_readable:
        _copy(fresh, STORE)
    else:
        fresh.replace(STORE)
    return left_behind, outdated


def _copy(source: Path, target: Path) -> None:
    """Copy a database in one transaction, so that whoever has it open sees the new one."""
    try:
        with (
            closing(sqlite3.connect(source)) as origin,
            closing(sqlite3.connect(target, timeout=60)) as copy,
        ):
            origin.backup(copy)
    except sqlite3.Error as error:
        raise OSError(str(error)) from None


def _carry_over(old: MlflowClient, new: MlflowClient) -> tuple[list[str], set[Path]]:
    """Put what a user wrote on runs onto the same runs of the new store; name the rest."""
    left_behind, outdated = [], set()
    again: dict[tuple[str, str | None], str] = {
        (name, run.data.tags[PATH_TAG]): run.info.run_id for name, run in _runs(new)
    }
    for experiment in old.search_experiments():
        if same := new.get_experiment_by_name(experiment.name):
            for key, value in experiment.tags.items():
                if key not in same.tags or (key == NOTE_TAG and not is_own_description(value)):
                    new.set_experiment_tag(same.experiment_id, key, value)
    for name, run in _runs(old):
        path = run.data.tags.get(PATH_TAG)
        run_id = again.get((name, path))
        folder = local_path(run.info.artifact_uri)
        if run_id and folder and ARTIFACTS.resolve() in folder.parents:
            outdated.add(folder.parent)
        if run_id and run.info.lifecycle_stage == "active":
            for key, value in notes_of(run).items():
                new.set_tag(run_id, key, value)
        elif run.info.lifecycle_stage == "active":
            what = f"{path}, whose files are gone," if path else run.info.run_name
            left_behind.append(f"run {what} of experiment {name}")
    models = sorted(_models(old) - _models(new))
    return [*left_behind, *(f"registered model {name}" for name in models)], outdated
