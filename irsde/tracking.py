"""MLflow as a view of the result files: every run folder and evaluation is one MLflow run.

Files are the truth. The store is SQLite below `results/` unless MLFLOW_TRACKING_URI names a
server; it is made once, under a lock, because several processes that start on an empty SQLite
store at once break it. Importing this module takes a second or two.
"""

import csv
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

import logging

from filelock import FileLock
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from irsde.evaluation import read_evaluations
from irsde.files import digest_file, read_json
from irsde.plan import RESULTS, Run

STORE = RESULTS / "mlflow.db"
ARTIFACTS = RESULTS / "mlartifacts"
PATH_TAG = "irsde.path"
CARD_TAG = "irsde.card_sha256"
LOGGED_TAG = "irsde.logged_iteration"


def tracking_uri() -> str:
    """Where runs are logged: MLFLOW_TRACKING_URI, or the SQLite store below `results/`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{STORE.resolve()}"


class Tracker:
    """Writes result folders of one profile to MLflow.

    Parameters
    ----------
    profile : str
        Name of the profile, and of its experiment.

    Raises
    ------
    MlflowException
        If the store cannot be reached.
    """

    def __init__(self, profile: str) -> None:
        logging.getLogger("alembic").setLevel(logging.WARNING)
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        RESULTS.mkdir(parents=True, exist_ok=True)
        self.lock = FileLock(RESULTS / ".mlflow.lock")
        with self.lock:
            self.client = MlflowClient(tracking_uri())
            found = self.client.get_experiment_by_name(profile)
            self.experiment = (
                found.experiment_id
                if found
                else self.client.create_experiment(
                    profile, artifact_location=(ARTIFACTS / profile).resolve().as_uri()
                )
            )

    def _find(self, path: str) -> Any | None:
        found = self.client.search_runs(
            [self.experiment], f"tags.`{PATH_TAG}` = '{path}'", max_results=1
        )
        return found[0] if found else None

    def _task_run(self, task: str) -> str:
        """MLflow run that the runs of a task are nested in."""
        with self.lock:
            path = f"task:{task}"
            if found := self._find(path):
                return str(found.info.run_id)
            run = self.client.create_run(
                self.experiment,
                run_name=task,
                tags={PATH_TAG: path, "task": task, "stage": "task"},
            )
            self.client.set_terminated(run.info.run_id)
            return str(run.info.run_id)

    def log_unfinished(self, run: Run) -> None:
        """Log the history of a run in training and its newest validation images."""
        path = run.folder.as_posix()
        found = self._find(path)
        if found and CARD_TAG in found.data.tags:
            self.client.delete_run(found.info.run_id)
            found = None
        done = self._logged_iteration(run.folder)
        metrics = _history(run.folder, done)
        if not metrics:
            return
        if found:
            run_id = found.info.run_id
        else:
            card = {"task": run.task, "method": run.method, "seed": run.seed}
            run_id = self._create(run.folder, "train", card)
        last = max(metric.step for metric in metrics)
        self.client.log_batch(run_id, metrics, [], [RunTag(LOGGED_TAG, str(last))])
        images = run.folder / "validation" / f"{last:08d}.png"
        if images.is_file():
            self.client.log_artifact(run_id, str(images), "validation")

    def _logged_iteration(self, folder: Path) -> int:
        """Last iteration of an unfinished run's history that was logged; 0 for another run."""
        found = self._find(folder.as_posix())
        if found is None or CARD_TAG in found.data.tags:
            return 0
        return int(found.data.tags.get(LOGGED_TAG, "0"))

    def log_training(self, folder: Path) -> bool:
        """Log a finished run folder; False if it was logged already."""
        card = read_json(folder / "run.json")
        metrics = _history(folder, self._logged_iteration(folder))
        cost = read_json(folder / "cost.json")
        metrics += [Metric(f"cost.{k}", float(v), 0, 0) for k, v in cost.items()]
        parameters = {"parameters": card["parameters"], **_flat(card["settings"])}
        return self._log(
            folder, "run.json", "train", card, parameters, metrics, ["run.json", "training.csv"]
        )

    def log_evaluation(self, folder: Path) -> bool:
        """Log a finished evaluation folder; False if it was logged already."""
        summary = read_json(folder / "summary.json")
        metrics = [
            Metric(metric["name"], metric["mean"], 0, 0)
            for metric in summary["metrics"]
            if metric["mean"] is not None
        ]
        cost = read_json(folder / "cost.json")
        metrics += [Metric(f"cost.{k}", float(v), 0, 0) for k, v in cost.items()]
        parameters = {
            "dataset": summary["dataset"]["dataset"],
            "sampler": summary["sampler"],
            "nfe": summary["nfe"],
            "parameters": summary["parameters"],
            "protocol": summary["protocol"]["name"],
        }
        images = [f"images/{p.name}" for p in sorted((folder / "images").glob("*.png"))[:4]]
        return self._log(
            folder,
            "summary.json",
            "evaluate",
            summary,
            parameters,
            metrics,
            ["summary.json", "per_image.csv", *images],
        )

    def _create(self, folder: Path, stage: str, card: dict[str, Any]) -> str:
        """A new MLflow run, still running, nested in that of its task."""
        name = f"{card['method']} seed {card['seed']}"
        if stage == "evaluate":
            name += f", {folder.name}"
        path = folder.as_posix()
        tags = {
            "mlflow.parentRunId": self._task_run(card["task"]),
            "mlflow.note.content": f"`{path}`",
            PATH_TAG: path,
            "stage": stage,
            "task": card["task"],
            "method": card["method"],
            "seed": str(card["seed"]),
            "commit": str(card.get("commit")),
        }
        run = self.client.create_run(self.experiment, run_name=name, tags=tags)
        return str(run.info.run_id)

    def _log(
        self,
        folder: Path,
        card_name: str,
        stage: str,
        card: dict[str, Any],
        parameters: dict[str, Any],
        metrics: list[Metric],
        files: list[str],
    ) -> bool:
        path = folder.as_posix()
        card_hash = digest_file(folder / card_name)
        if found := self._find(path):
            if found.data.tags.get(CARD_TAG) == card_hash:
                return False
            if CARD_TAG in found.data.tags:
                self.client.delete_run(found.info.run_id)
        unfinished = found is not None and CARD_TAG not in found.data.tags
        run_id = found.info.run_id if found and unfinished else self._create(folder, stage, card)
        self.client.log_batch(
            run_id,
            metrics,
            [Param(k, str(v)) for k, v in parameters.items()],
            [RunTag(CARD_TAG, card_hash)],
        )
        for file in files:
            if (folder / file).is_file():
                parent = Path(file).parent.as_posix()
                self.client.log_artifact(
                    run_id, str(folder / file), parent if parent != "." else None
                )
        self.client.set_terminated(run_id)
        return True


def _history(folder: Path, after: int) -> list[Metric]:
    """Rows of a run's training history later than an iteration, as metrics with steps."""
    metrics: list[Metric] = []
    history = folder / "training.csv"
    if history.is_file():
        with history.open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                step = int(row.pop("iteration"))
                if step > after:
                    metrics += [Metric(k, float(v), 0, step) for k, v in row.items()]
    return metrics


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        elif value is not None:
            flat[f"{prefix}{key}"] = value
    return flat


def sync(profile: str) -> tuple[int, int]:
    """Log every finished run and evaluation of a profile that the store lacks.

    Returns
    -------
    logged, present : int
        How many were logged now, and how many were there already.
    """
    tracker = Tracker(profile)
    root = RESULTS / profile
    outcomes = [
        tracker.log_training(path.parent) for path in sorted(root.glob("*/*/seed*/run.json"))
    ]
    outcomes += [tracker.log_evaluation(folder) for folder in read_evaluations(root)]
    return sum(outcomes), len(outcomes) - sum(outcomes)


__all__ = ["MlflowException", "Tracker", "sync", "tracking_uri"]
