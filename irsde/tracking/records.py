"""What the tracking store shows of each folder of results: read from its files, nothing else."""

import csv
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from irsde.experiment.cards import Cost, RunCard
from irsde.experiment.grid import PROGRESS, Run, pairs_folder
from irsde.experiment.options import OPTIONS
from irsde.experiment.provenance import read_run_card
from irsde.experiment.recorded import Lineage
from irsde.experiment.result_tables import HISTORY
from irsde.experiment.summary import Summary, read_summary
from irsde.files import REPORTS, digest_file, digest_json, is_present, read_json

WEIGHTS = "weights.safetensors"
REPORT_FILES = (
    "index.html",
    "tables.md",
    "tables.csv",
    "tables.tex",
    "metrics.json",
    "provenance.json",
    "cost.md",
)
IMAGES = 4
OWN_DESCRIPTION = "The runs and evaluations of `results/"
DIGEST = 36  # characters that MLflow keeps of a data set's digest


@dataclass(frozen=True)
class Input:
    """A data set that a run read.

    Parameters
    ----------
    name : str
    context : {"train", "validation", "test"}
    fingerprint : str
        Its SHA-256; of the training data the one in the run's identity.
    folders : tuple of str
        Where it is.
    details : dict
        What else is known.
    """

    name: str
    context: str
    fingerprint: str
    folders: tuple[str, ...]
    details: Mapping[str, object] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """As many characters of the fingerprint as MLflow takes."""
        return self.fingerprint[:DIGEST]


@dataclass(frozen=True)
class Model:
    """A version of a registered model.

    Parameters
    ----------
    name : str
        `<profile>.<task>.<method>`.
    alias : str
        `seed<k>`.
    files : dict of str to Path
        Name in the model's folder → file.
    tags : dict of str to str
    description : str
    """

    name: str
    alias: str
    files: Mapping[str, Path]
    tags: Mapping[str, str]
    description: str


@dataclass(frozen=True)
class Record:
    """What one MLflow run shows.

    Parameters
    ----------
    path : str
        Folder of the results, by which the run is found again.
    name : str
    task : str
        Task that it is nested in; "" for none.
    tags : dict of str to str
    parameters : dict of str to str
    metrics : list of (str, float, int)
        Name, value, step.
    inputs : list of Input
    files : dict of str to Path
        Path below the run's artifacts → file.
    card : str
        SHA-256 that changes with the content.
    started, ended : int
        Milliseconds since 1970, from the card's file and the recorded cost.
    model : Model, optional
    """

    path: str
    name: str
    task: str
    tags: Mapping[str, str]
    parameters: Mapping[str, str] = field(default_factory=dict)
    metrics: list[tuple[str, float, int]] = field(default_factory=list)
    inputs: list[Input] = field(default_factory=list)
    files: Mapping[str, Path] = field(default_factory=dict)
    card: str = ""
    started: int | None = None
    ended: int | None = None
    model: Model | None = None


def unfinished_record(run: Run) -> Record:
    """A run in training, as far as its history goes."""
    return Record(
        run.folder.as_posix(),
        f"{run.method} seed {run.seed}: {run.task}",
        run.task,
        {"stage": "train", "task": run.task, "method": run.method, "seed": str(run.seed)},
        metrics=_history(run.folder),
        files=_newest_validation(run.folder),
        started=_start(run.folder / PROGRESS),
    )


def training_record(folder: Path) -> Record:
    """A finished run."""
    card = read_run_card(folder)
    cost = _cost(folder)
    started, ended = _times(folder / "run.json", cost)
    numbers = {
        "best_validation_psnr": card.best_validation_psnr,
        "skipped_updates": card.skipped_updates,
        "rollbacks": card.rollbacks,
    }
    metrics = _history(folder) + _numbers(numbers)
    return Record(
        folder.as_posix(),
        f"{card.method} seed {card.seed}: {card.task}",
        card.task,
        _tags(card, "train"),
        _texts({"parameters": card.parameters, **_flat(card.settings.content())}),
        metrics + _numbers(cost.content(), "cost/"),
        _training_inputs(card),
        {
            **_present(folder, ("run.json", "training.csv")),
            **_newest_validation(folder),
        },
        digest_file(folder / "run.json"),
        started,
        ended,
        _model(folder, card),
    )


def evaluation_record(folder: Path) -> Record:
    """A finished evaluation."""
    summary = read_summary(folder)
    cost = _cost(folder)
    started, ended = _times(folder / "summary.json", cost)
    data = summary.dataset
    metrics = []
    for metric in summary.metrics:
        metrics += _numbers({metric.name: metric.mean})
        ends = {f"{metric.name}_low": metric.low, f"{metric.name}_high": metric.high}
        metrics += _numbers(ends, "interval/")
    metrics += _numbers(summary.distribution.values())
    counts = {
        "parameters": summary.parameters,
        "multiply_accumulates": summary.multiply_accumulates,
    }
    images = [f"images/{p.name}" for p in sorted((folder / "images").glob("*.png"))[:IMAGES]]
    known = ("label", "licence", "degradation", "pairs", "scenes")
    prepared = pairs_folder(summary.profile, summary.task, data.dataset)
    return Record(
        folder.as_posix(),
        f"{summary.method} seed {summary.seed}: {folder.name} on {data.dataset}",
        summary.task,
        {**_tags(summary, "evaluate"), "dataset": data.dataset},
        _texts(
            {
                "task": summary.task,
                "method": summary.method,
                "seed": summary.seed,
                "dataset": data.dataset,
                **{key: getattr(summary, key) for key in OPTIONS},
                "protocol": summary.protocol.name,
                **{f"{m.name}_network": m.network for m in summary.metrics if m.network},
            }
        ),
        metrics + _numbers(counts) + _numbers(cost.content(), "cost/"),
        [
            Input(
                data.dataset,
                "test",
                data.fingerprint,
                (prepared.as_posix(),),
                {key: getattr(data, key) for key in known},
            )
        ],
        _present(folder, ("summary.json", "per_image.csv", "protocols.csv", *images)),
        digest_file(folder / "summary.json"),
        started,
        ended,
    )


def report_record(profile: str, folder: Path = REPORTS) -> Record | None:
    """The report of a profile; None where `folder` holds none or that of another profile."""
    if not (folder / "provenance.json").is_file():
        return None
    if Lineage.read(folder / "provenance.json").profile != profile:
        return None
    figures = [f"figures/{path.name}" for path in sorted((folder / "figures").glob("*.png"))]
    files = _present(folder, (*REPORT_FILES, *figures))
    _, ended = _times(folder / "provenance.json", Cost())
    return Record(
        folder.as_posix(),
        "report",
        "",
        {"stage": "report"},
        files=files,
        card=digest_json({name: digest_file(path) for name, path in files.items()}),
        started=ended,
        ended=ended,
    )


def _tags(card: RunCard | Summary, stage: str) -> dict[str, str]:
    keys = ("task", "method", "seed", "commit", "dirty")
    return {"stage": stage, **_texts({key: getattr(card, key) for key in keys})}


def _texts(values: Mapping[str, object]) -> dict[str, str]:
    """Values as text, without those that are None."""
    return {key: str(value) for key, value in values.items() if value is not None}


def _numbers(values: Mapping[str, object], prefix: str = "") -> list[tuple[str, float, int]]:
    """Values that are numbers, as metrics without a step."""
    return [
        (f"{prefix}{key}", float(value), 0)
        for key, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]


def _history(folder: Path) -> list[tuple[str, float, int]]:
    """Training history of a run, as metrics with steps."""
    path = folder / HISTORY
    if not is_present(path):
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        return [
            (key, float(value), int(row["iteration"]))
            for row in csv.DictReader(stream)
            for key, value in row.items()
            if key != "iteration" and value
        ]


def _newest_validation(folder: Path) -> dict[str, Path]:
    images = sorted((folder / "validation").glob("*.png"))
    return {"validation/newest.png": images[-1]} if images else {}


def _present(folder: Path, names: Iterable[str]) -> dict[str, Path]:
    return {name: folder / name for name in names if (folder / name).is_file()}


def _cost(folder: Path) -> Cost:
    return Cost.read(folder / "cost.json")


def _times(card: Path, cost: Cost) -> tuple[int, int]:
    """Start and end in milliseconds; the card was written at the end."""
    when = datetime.fromisoformat(cost.ended).timestamp() if cost.ended else card.stat().st_mtime
    ended = int(1000 * when)
    seconds = cost.seconds
    return ended - int(1000 * seconds if seconds and math.isfinite(seconds) else 0), ended


def _start(progress: Path) -> int | None:
    """When a training began, as far as it says so; had it never been interrupted."""
    if not is_present(progress):
        return None
    content = read_json(progress)
    started = content.get("started") if isinstance(content, dict) else None
    return int(1000 * started) if isinstance(started, float) else None


def _training_inputs(card: RunCard) -> list[Input]:
    """Training and validation data by the fingerprints in the run's identity."""
    inputs = []
    data = card.settings.data
    for role, names in (("train", data.train), ("validation", data.validation)):
        fingerprint = card.identity.get(f"{role}_data")
        if fingerprint and names:
            folders = [pairs_folder(card.home, card.task, name) for name in names]
            paths = tuple(folder.as_posix() for folder in folders)
            inputs.append(Input("+".join(names), role, fingerprint, paths))
    return inputs


def _model(folder: Path, card: RunCard) -> Model | None:
    """Weights of a run with a network."""
    if card.weights_sha256 is None or not (folder / WEIGHTS).is_file():
        return None
    path = folder.as_posix()
    return Model(
        f"{card.profile}.{card.task}.{card.method}",
        f"seed{card.seed}",
        _present(folder, (WEIGHTS, "run.json")),
        {
            "path": path,
            "seed": str(card.seed),
            "label": card.label,
            "parameters": str(card.parameters),
            "weights_sha256": card.weights_sha256,
        },
        f"EMA weights of `{path}` (safetensors, no pickle) and its run card. "
        f"To use them: `irsde restore PHOTO --run {path} --out FOLDER`.",
    )


def source_of(data: Input) -> str:
    """Where a data set is, as JSON."""
    folders = list(data.folders)
    return json.dumps({"uri": folders[0] if len(folders) == 1 else folders})


def profile_of(data: Input) -> str:
    """What is known of a data set, as JSON."""
    return json.dumps({"fingerprint": data.fingerprint, **data.details}, sort_keys=True)


def _flat(settings: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        elif value is not None:
            flat[f"{prefix}{key}"] = value
    return flat


def is_own_description(text: str) -> bool:
    """True if an experiment's description is ours, of this version or an earlier one."""
    return text.startswith(OWN_DESCRIPTION)


def experiment_description(profile: str) -> str:
    """What the page of a profile's experiment says."""
    return (
        f"{OWN_DESCRIPTION}{profile}/`, as MLflow shows them; the files are the truth.\n\n"
        "- To compare the methods of a task, choose *Model training* at the top left and search "
        'for `tags.stage = "evaluate" and tags.task = "denoising"`; runs sorted by a metric are '
        "not nested.\n"
        "- Weights are registered models named `<profile>.<task>.<method>`, with an alias for "
        "each training seed.\n"
        "- `irsde track rebuild` makes all of this again from the files."
    )
