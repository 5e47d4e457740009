"""MLflow as a view of the result files: every run folder and evaluation is one MLflow run.

Files are the truth. The store is SQLite below `results/` unless MLFLOW_TRACKING_URI names a
server; whatever is written to it is written under a lock, because several processes that start on
an empty SQLite store at once break it. Importing this module takes a second or two.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

import logging

from filelock import FileLock
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from irsde.experiment.grid import Run, run_of
from irsde.experiment.provenance import read_run_card
from irsde.files import REPORTS, RESULTS, is_present
from irsde.tracking.records import (
    WEIGHTS,
    Model,
    Record,
    evaluation_record,
    experiment_description,
    profile_of,
    report_record,
    source_of,
    training_record,
    unfinished_record,
)

STORE = RESULTS / "mlflow.db"
ARTIFACTS = RESULTS / "mlartifacts"
LOCK = RESULTS / ".mlflow.lock"
PATH_TAG = "irsde.path"
CARD_TAG = "irsde.card_sha256"
LOGGED_TAG = "irsde.logged_iteration"
NOTE_TAG = "mlflow.note.content"
OWN_TAGS = frozenset(
    (
        "stage",
        "task",
        "method",
        "seed",
        "dataset",
        "commit",
        "dirty",
        PATH_TAG,
        CARD_TAG,
        LOGGED_TAG,
    )
)
SECONDS_FOR_LOCK = 300
METRICS_AT_ONCE = 500
SAME_START = 5000  # milliseconds; of a training that was interrupted the work began later


def tracking_uri() -> str:
    """Where runs are logged: MLFLOW_TRACKING_URI, or the SQLite store below `results/`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{STORE.resolve()}"


class Tracker:
    """Writes result folders of one profile to MLflow.

    Parameters
    ----------
    profile : str
        Name of the profile, and of its experiment.
    uri : str, optional
        Store to write to; `tracking_uri()` unless given.

    Raises
    ------
    MlflowException
        If the store cannot be reached.
    OSError
        If its lock cannot be had within some minutes.
    """

    def __init__(self, profile: str, uri: str | None = None) -> None:
        for name in ("alembic", "mlflow"):
            logging.getLogger(name).setLevel(logging.WARNING)
        RESULTS.mkdir(parents=True, exist_ok=True)
        self.profile = profile
        self.lock = FileLock(LOCK, timeout=SECONDS_FOR_LOCK, is_singleton=True)
        with self.lock:
            self.client = MlflowClient(uri or tracking_uri())
            self.experiment = self._experiment()

    def _experiment(self) -> str:
        """Experiment of the profile, made or taken out of the bin where that is needed."""
        experiment = self.client.get_experiment_by_name(self.profile)
        if experiment is None:
            location = (ARTIFACTS / self.profile).resolve().as_uri()
            name = self.client.create_experiment(self.profile, artifact_location=location)
            tags = {
                NOTE_TAG: experiment_description(self.profile),
                "mlflow.experimentKind": "custom_model_development",
            }
            for key, value in tags.items():
                self.client.set_experiment_tag(name, key, value)
            return str(name)
        if experiment.lifecycle_stage == "deleted":
            self.client.restore_experiment(experiment.experiment_id)
        return str(experiment.experiment_id)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock, on the experiment as it is now: a rebuilt store has other numbers."""
        with self.lock:
            self.experiment = self._experiment()
            yield

    def _find(self, path: str) -> MlflowRun | None:
        runs = self.client.search_runs(
            [self.experiment], f"tags.`{PATH_TAG}` = '{path}'", max_results=1
        )
        return runs[0] if runs else None

    def _task_run(self, task: str) -> str:
        """MLflow run that the runs of a task are nested in."""
        path = f"task:{task}"
        if known := self._find(path):
            return str(known.info.run_id)
        tags = {PATH_TAG: path, "task": task, "stage": "task"}
        run = self.client.create_run(self.experiment, run_name=task, tags=tags)
        self.client.set_terminated(run.info.run_id)
        return str(run.info.run_id)

    def log_unfinished(self, run: Run) -> None:
        """Log the history of a run in training and its newest validation images."""
        record = unfinished_record(run)
        if not record.metrics:
            return
        with self._alone():
            logged = self._find(record.path)
            kept: Mapping[str, str] = {}
            if logged and CARD_TAG in logged.data.tags:
                kept = self._drop(logged)
                logged = None
            done = int(logged.data.tags.get(LOGGED_TAG, "0")) if logged else 0
            new = [metric for metric in record.metrics if metric[2] > done]
            if not new:
                return
            run_id = str(logged.info.run_id) if logged else self._create(record, kept)
            self._log_metrics(run_id, new)
            self._log_files(run_id, record.files)
            self.client.set_tag(run_id, LOGGED_TAG, max(step for _, _, step in new))

    def log_training(self, folder: Path) -> bool:
        """Log a finished run folder; False if it was logged already, or was not made here."""
        if read_run_card(folder).outside:
            return False
        return self._log(training_record(folder))

    def log_evaluation(self, folder: Path) -> bool:
        """Log a finished evaluation folder; False if it was logged already."""
        return self._log(evaluation_record(folder))

    def log_report(self, folder: Path = REPORTS) -> bool:
        """Log tables and figures of the profile; False if they were, or are another profile's."""
        record = report_record(self.profile, folder)
        return record is not None and self._log(record)

    def _log(self, record: Record) -> bool:
        """Log a finished folder; the card's hash is written last."""
        with self._alone():
            logged = self._find(record.path)
            if logged and logged.data.tags.get(CARD_TAG) == record.card:
                return False
            kept: Mapping[str, str] = {}
            if logged and not self._goes_on(logged, record):
                kept = self._drop(logged)
                logged = None
            run_id = str(logged.info.run_id) if logged else self._create(record, kept)
            done = int(logged.data.tags.get(LOGGED_TAG, "0")) if logged else -1
            self._log_metrics(run_id, [m for m in record.metrics if m[2] > done or not m[2]])
            parameters = [Param(key, value) for key, value in record.parameters.items()]
            tags = [RunTag(key, value) for key, value in record.tags.items()]
            self.client.log_batch(run_id, [], parameters, tags)
            self._log_inputs(run_id, record)
            self._log_files(run_id, record.files)
            if record.model:
                self._register(run_id, record.model)
            if logged and LOGGED_TAG in logged.data.tags:
                self.client.delete_tag(run_id, LOGGED_TAG)
            self.client.set_terminated(run_id, end_time=record.ended)
            self.client.set_tag(run_id, CARD_TAG, record.card)
        return True

    def _goes_on(self, logged: MlflowRun, record: Record) -> bool:
        """True if a run in the store is the beginning of the record, still unfinished."""
        if CARD_TAG in logged.data.tags or logged.data.params:
            return False
        wanted = {(name, step): value for name, value, step in record.metrics}
        for name in logged.data.metrics:
            for metric in self.client.get_metric_history(logged.info.run_id, name):
                value = wanted.get((name, metric.step))
                if value is None or repr(value) != repr(metric.value):
                    return False
        return True

    def _drop(self, run: MlflowRun) -> dict[str, str]:
        """Delete a run that its files have left behind; what a user wrote on it."""
        self.client.delete_run(run.info.run_id)
        return notes_of(run)

    def _create(self, record: Record, kept: Mapping[str, str]) -> str:
        """A new MLflow run, still running, nested in that of its task."""
        nested = {"mlflow.parentRunId": self._task_run(record.task)} if record.task else {}
        tags = {NOTE_TAG: own_note(record.path), **kept, **nested, PATH_TAG: record.path}
        run = self.client.create_run(
            self.experiment,
            start_time=record.started,
            run_name=record.name,
            tags={**tags, **record.tags},
        )
        return str(run.info.run_id)

    def _log_metrics(self, run_id: str, metrics: Sequence[tuple[str, float, int]]) -> None:
        for start in range(0, len(metrics), METRICS_AT_ONCE):
            part = metrics[start : start + METRICS_AT_ONCE]
            self.client.log_batch(run_id, [Metric(name, value, 0, at) for name, value, at in part])

    def _log_inputs(self, run_id: str, record: Record) -> None:
        self.client.log_inputs(
            run_id,
            [
                DatasetInput(
                    Dataset(
                        data.name, data.digest, "local", source_of(data), None, profile_of(data)
                    ),
                    [InputTag("mlflow.data.context", data.context)],
                )
                for data in record.inputs
            ],
        )

    def _log_files(self, run_id: str, files: Mapping[str, Path]) -> None:
        """Log files under the names given; weights are linked, not copied, where possible."""
        folder = local_path(self.client.get_run(run_id).info.artifact_uri)
        for name, file in files.items():
            if folder is None:
                self._send(run_id, name, file)
                continue
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            if file.name == WEIGHTS:
                try:
                    target.hardlink_to(file)
                    continue
                except OSError:
                    pass
            shutil.copyfile(file, target)

    def _send(self, run_id: str, name: str, file: Path) -> None:
        """Upload a file; an artifact has the name of its file, so another name needs a copy."""
        parent = Path(name).parent.as_posix()
        with tempfile.TemporaryDirectory() as folder:
            if file.name != Path(name).name:
                file = Path(shutil.copyfile(file, Path(folder) / Path(name).name))
            self.client.log_artifact(run_id, str(file), None if parent == "." else parent)

    def _register(self, run_id: str, model: Model) -> None:
        """Make the weights the one version of the registered model for this seed."""
        self._log_files(run_id, {f"model/{name}": file for name, file in model.files.items()})
        try:
            self.client.create_registered_model(model.name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        for version in self.client.search_model_versions(f"name = '{model.name}'"):
            if version.tags.get("seed") == model.tags["seed"]:
                self.client.delete_model_version(model.name, version.version)
        made = self.client.create_model_version(
            model.name,
            f"{self.client.get_run(run_id).info.artifact_uri}/model",
            run_id,
            tags=dict(model.tags),
            description=model.description,
            await_creation_for=0,
        )
        self.client.set_registered_model_alias(model.name, model.alias, made.version)


def local_path(uri: str) -> Path | None:
    """Folder that an artifact address names; None if it is not on this machine."""
    parts = urlsplit(uri)
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else None


def own_note(path: str) -> str:
    """Description that a run gets; what differs from it was written by a user."""
    return f"`{path}`"


def notes_of(run: MlflowRun) -> dict[str, str]:
    """Tags and the description of a run that are a user's and not ours."""
    tags = dict(run.data.tags)
    note = tags.get(NOTE_TAG)
    notes = {
        key: value
        for key, value in tags.items()
        if key not in OWN_TAGS and not key.startswith("mlflow.")
    }
    if note is not None and note != own_note(tags.get(PATH_TAG, "")):
        notes[NOTE_TAG] = note
    return notes


def sync(
    profile: str, uri: str | None = None, known: dict[Path, int] | None = None
) -> tuple[int, int]:
    """Log what the store lacks: runs and evaluations of a profile, runs in training, its report.

    Parameters
    ----------
    profile : str
    uri : str, optional
        Store to write to; `tracking_uri()` unless given.
    known : dict of Path to int, optional
        When each card was written that this process has logged; it is passed over, and what is
        logged now is added.

    Returns
    -------
    logged, present : int
        How many were logged now, and how many were there already.
    """
    tracker = Tracker(profile, uri)
    root = RESULTS / profile
    known = {} if known is None else known
    outcomes: list[bool] = []

    def log(card: Path, write: Callable[[Path], bool]) -> None:
        with suppress(FileNotFoundError):  # set aside meanwhile
            written = card.stat().st_mtime_ns
            if known.get(card) != written:
                outcomes.append(write(card.parent))
                known[card] = written

    for card in sorted(root.glob("*/*/seed*/run.json")):
        if not read_run_card(card.parent).outside:
            log(card, tracker.log_training)
    for summary in sorted(root.glob("*/*/seed*/evaluations/*/*/summary.json")):
        if not summary.parent.name.startswith("."):
            log(summary, tracker.log_evaluation)
    for progress in sorted(root.glob("*/*/seed*/progress.json")):
        if not is_present(progress.with_name("run.json")):
            tracker.log_unfinished(run_of(progress.parent))
    if report_record(profile):
        log(REPORTS / "provenance.json", lambda _: tracker.log_report())
    return sum(outcomes), len(outcomes) - sum(outcomes)


__all__ = [
    "MlflowClient",
    "MlflowException",
    "Tracker",
    "local_path",
    "notes_of",
    "own_note",
    "sync",
    "tracking_uri",
]
