"""Two evaluations paired image by image, and what differs between them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from irsde.experiment.cards import PreparedCard, RunCard
from irsde.experiment.provenance import read_run_card
from irsde.experiment.result_tables import PER_IMAGE, read_per_image
from irsde.experiment.summary import SUMMARY, Scores
from irsde.files import InputError, is_present
from irsde.report.captions import counted
from irsde.report.paper import budget_text, millions, under_protocol
from irsde.scoring.metrics import METRICS
from irsde.scoring.protocols import HEADLINES
from irsde.scoring.statistics import (
    Difference,
    Estimate,
    holm,
    is_significant,
    mean_estimate,
    paired_difference,
    probability_of_improvement,
)
from irsde.tasks import TASKS

Values = NDArray[np.float64]

NAMES = ("A", "B")


@dataclass(frozen=True)
class Side:
    """One of the two evaluations.

    Parameters
    ----------
    name : str
        "A" or "B".
    folder : Path
        With `summary.json` and `per_image.csv`.
    summary : Scores
        Its `summary.json`.
    per_image : pandas.DataFrame
        Its `per_image.csv`.
    card : RunCard or None
        The run card; None for images made elsewhere.
    """

    name: str
    folder: Path
    summary: Scores
    per_image: pd.DataFrame
    card: RunCard | None

    @property
    def label(self) -> str:
        """Method as tables show it."""
        return self.summary.method_label or self.folder.name

    @property
    def data(self) -> PreparedCard | None:
        """Card of the test set; None where none is known."""
        return self.summary.dataset


@dataclass(frozen=True)
class Metric:
    """A metric of both sides.

    Parameters
    ----------
    name, label : str
    decimals : int
    higher_is_better : bool
    a, b : ndarray, shape (images,)
    missing : str
        Why it is not compared, "" if it is.
    """

    name: str
    label: str
    decimals: int
    higher_is_better: bool
    a: Values
    b: Values
    missing: str = ""

    @property
    def sign(self) -> int:
        """1 where higher is better, -1 where lower is."""
        return 1 if self.higher_is_better else -1

    @property
    def differences(self) -> Values:
        """Of each image, a - b; 0 where both are infinite."""
        with np.errstate(invalid="ignore"):
            return np.where(self.a == self.b, 0.0, self.a - self.b)


@dataclass(frozen=True)
class Result:
    """What the images say about one metric.

    Parameters
    ----------
    metric : Metric
    mean_a, mean_b : Estimate
    difference : Difference
        Of A less B.
    p_value : float
        Corrected over the metrics; NaN where no test is possible.
    probability : Estimate
        That A is better on a random image.
    won, lost : int
        Images where A is better, and worse.
    """

    metric: Metric
    mean_a: Estimate
    mean_b: Estimate
    difference: Difference
    p_value: float
    probability: Estimate
    won: int
    lost: int

    @property
    def verdict(self) -> str:
        """Who is better, in words."""
        if math.isnan(self.p_value):
            return "cannot be told"
        if not is_significant(self.p_value):
            return "not resolved"
        return f"{NAMES[int(self.difference.direction * self.metric.sign < 0)]} is better"


@dataclass(frozen=True)
class Comparison:
    """Two evaluations, paired.

    Parameters
    ----------
    a, b : Side
        Cut to the images that both have, in the order of A.
    scenes : tuple of str
        Scene of each image.
    warnings : tuple of str
        What makes the comparison doubtful.
    metrics : tuple of Metric
    headline : str
        The PSNR that images are sorted by.
    """

    a: Side
    b: Side
    scenes: tuple[str, ...]
    warnings: tuple[str, ...]
    metrics: tuple[Metric, ...]
    headline: str

    @property
    def images(self) -> list[str]:
        """Names of the images."""
        return [str(image) for image in self.a.per_image["image"]]

    @property
    def main(self) -> Metric:
        """The metric that images are sorted by."""
        return next(metric for metric in self.metrics if metric.name == self.headline)


def read_side(name: str, folder: Path) -> Side:
    """One of the two evaluations.

    Parameters
    ----------
    name : str
        "A" or "B".
    folder : Path
        Of an evaluation, of what `irsde evaluate --restored` wrote, or of a run.

    Raises
    ------
    InputError
        If it is none of these, or a run that has no evaluation or several.
    """
    if not folder.is_dir():
        raise InputError(
            f"{folder}: no such folder; give a run, such as results/PROFILE/TASK/METHOD/seed0, one "
            "of its evaluations, or what irsde evaluate --restored wrote"
        )
    if not is_present(folder / SUMMARY):
        folder = _only_evaluation(folder)
    summary, per_image = Scores.read(folder / SUMMARY), read_per_image(folder / PER_IMAGE)
    if repeated := sorted(per_image["image"][per_image["image"].duplicated()]):
        raise InputError(f"{folder / 'per_image.csv'}: the image {repeated[0]} appears twice")
    return Side(name, folder, summary, per_image, _card(folder, summary))


def _only_evaluation(folder: Path) -> Path:
    evaluations = sorted(
        path.parent
        for path in folder.glob("evaluations/*/*/summary.json")
        if not path.parent.name.startswith(".")
    )
    if not evaluations:
        raise InputError(
            f"{folder}: no evaluation there; give a folder with summary.json and per_image.csv, "
            "such as results/<profile>/<task>/<method>/seed0/evaluations/<dataset>/<sampler>-<nfe>"
        )
    if len(evaluations) > 1:
        raise InputError(
            f"{folder}: has {len(evaluations)} evaluations, choose one: "
            + ", ".join(path.as_posix() for path in evaluations)
        )
    return evaluations[0]


def _card(folder: Path, summary: Scores) -> RunCard | None:
    """Run card beside an evaluation, or where the summary says it is; None where there is none."""
    places = [Path(summary.run)] if summary.run else []
    if len(folder.resolve().parents) > 2:
        places.insert(0, folder.resolve().parents[2])
    for place in places:
        if is_present(place / "run.json"):
            return read_run_card(place)
    return None


def paired(a: Side, b: Side) -> Comparison:
    """The two evaluations cut to the images that both have.

    Raises
    ------
    InputError
        If they are of different data sets, have no image in common, or were scored against other
        clean images of the same names.
    """
    if a.data and b.data and a.data.dataset != b.data.dataset:
        raise InputError(
            f"A is of {a.data.dataset}, B of {b.data.dataset}: their images cannot be paired"
        )
    common = set(a.per_image["image"]) & set(b.per_image["image"])
    if not common:
        raise InputError(
            f"{a.folder} and {b.folder}: no image name in common (the first are "
            f"{a.per_image['image'].iloc[0]} and {b.per_image['image'].iloc[0]})"
            if len(a.per_image) and len(b.per_image)
            else f"{a.folder} or {b.folder}: has no images"
        )
    warnings = list(_warnings(a, b, len(common)))
    order = [image for image in a.per_image["image"] if image in common]
    a, b = (_cut(side, order) for side in (a, b))
    _check_references(a, b)
    scenes, guessed = _scenes(a, b, order)
    warnings += guessed
    a, b, scored = _under_one_protocol(a, b)
    warnings += scored
    metrics = tuple(_metrics(a, b))
    usable = [metric.name for metric in metrics if not metric.missing]
    wanted = HEADLINES["y" if _is_of_luma(a) else "rgb"][0]
    if not usable:
        raise InputError(f"{a.folder} and {b.folder}: no metric that both have for every image")
    headline = wanted if wanted in usable else usable[0]
    return Comparison(a, b, tuple(scenes), tuple(warnings), metrics, headline)


def _check_references(a: Side, b: Side) -> None:
    """Refuse clean images that have one name and other pixels; old evaluations cannot tell."""
    if not all("reference" in side.per_image for side in (a, b)):
        return
    ours, theirs = (side.per_image["reference"] for side in (a, b))
    differing = a.per_image["image"][ours.ne(theirs) & ours.notna() & theirs.notna()]
    if len(differing):
        raise InputError(
            f"{a.folder} and {b.folder}: were scored against other clean images, such as that of "
            f"{differing.iloc[0]} ({len(differing)} of {counted(len(ours), 'image')}): evaluate "
            "both against the same ones"
        )


def _warnings(a: Side, b: Side, common: int) -> Iterator[str]:
    if a.folder.resolve() == b.folder.resolve():
        yield "A and B are the same folder"
    tasks = (a.summary.task, b.summary.task)
    if None not in tasks and tasks[0] != tasks[1]:
        yield f"the tasks differ: {tasks[0]} and {tasks[1]}"
    if a.data is None and b.data is None:
        yield "neither says which test set it is of; images are paired by name"
    elif a.data is None or b.data is None:
        known, other = (a.data, b.name) if a.data else (b.data, a.name)
        yield (
            f"{other} does not say which test set it is of; images are paired by name with "
            f"those of {known.label if known else ''}"
        )
    elif a.data.fingerprint != b.data.fingerprint:
        yield (
            f"the images of {a.data.dataset} were prepared differently: "
            f"{prepared(a.data)} and {prepared(b.data)}"
        )
    for side in (a, b):
        if len(side.per_image) > common:
            yield f"{side.name} has {len(side.per_image)} images, of which {common} are compared"
        if leaked := len(side.summary.leaked):
            yield f"{side.name}: {leaked} test images show what a training image shows"
    budgets = (budget_of(a), budget_of(b))
    if all(budgets) and budgets[0] != budgets[1]:
        yield f"the budgets differ: {budgets[0]} and {budgets[1]}"


def prepared(data: PreparedCard) -> str:
    """How many images a test set has, and how they were degraded and cut."""
    window = f", windows of {data.window}" if data.window else ""
    return f"{data.pairs} images, {data.degradation}{window}"


def _cut(side: Side, order: Sequence[str]) -> Side:
    table = side.per_image.set_index("image").loc[list(order)].reset_index()
    return replace(side, per_image=table)


def _scenes(a: Side, b: Side, order: Sequence[str]) -> tuple[list[str], list[str]]:
    """Scene of each image, from whichever side knows it, and a warning where none does."""
    for side in (a, b):
        if "scene" in side.per_image and not side.per_image["scene"].isna().any():
            return side.per_image["scene"].tolist(), []
    return list(order), ["no scenes are known; every image counts as a scene of its own"]


def _under_one_protocol(a: Side, b: Side) -> tuple[Side, Side, list[str]]:
    """Both sides under the protocol of one of them where their files allow it."""
    protocols = [(side.summary.protocol.name, side.summary.protocol.version) for side in (a, b)]
    if protocols[0] == protocols[1]:
        return a, b, []
    first, second = (f"{name} v{version}" for name, version in protocols)
    if protocols[0][0] != protocols[1][0]:
        if (again := _rescored(b, protocols[0][0])) is not None:
            return a, again, [f"B was scored under {second}; its values here are under {first}"]
        if (again := _rescored(a, protocols[1][0])) is not None:
            return again, b, [f"A was scored under {first}; its values here are under {second}"]
    warning = f"the protocols differ: {first} and {second}; part of a difference may be theirs"
    return a, b, [warning]


def _rescored(side: Side, protocol: str) -> Side | None:
    table = under_protocol(side.folder, side.per_image, protocol)
    return None if table is None else replace(side, per_image=table)


def _is_of_luma(side: Side) -> bool:
    task = TASKS.get(side.summary.task or "")
    return side.summary.protocol.channel == "y" or (task is not None and task.channel == "y")


def _metrics(a: Side, b: Side) -> Iterator[Metric]:
    """Metrics that either side has values of, with what keeps one from being compared."""
    stated = {of.name: of for side in (b, a) for of in side.summary.metrics}
    order = [*METRICS, *stated]
    for name, metric in sorted(stated.items(), key=lambda item: order.index(item[0])):
        if not any(name in side.per_image for side in (a, b)):
            continue
        values = [
            side.per_image.reindex(columns=[name])[name].to_numpy(dtype=np.float64)
            for side in (a, b)
        ]
        yield Metric(
            name,
            metric.label,
            metric.decimals,
            metric.higher_is_better,
            values[0],
            values[1],
            _missing(name, (a, b), values),
        )


def _missing(name: str, sides: Sequence[Side], values: Sequence[Values]) -> str:
    stated = [side.summary.metric(name) for side in sides]
    networks = [of.network for of in stated if of and of.network]
    if len({*networks}) > 1:
        label = next(of.label for of in stated if of)
        return f"the {label} networks differ: {networks[0]} and {networks[1]}"
    for side, column in zip(sides, values, strict=True):
        if np.isnan(column).any():
            lacking = counted(int(np.isnan(column).sum()), "image")
            return side.summary.missing(name) or f"{side.name} lacks it for {lacking}"
    return ""


def budget_of(side: Side) -> str:
    """What a side's network was trained with; "" where there is none."""
    if side.card is None:
        return ""
    if side.card.imported_from:
        return "weights of the authors"
    training = side.card.settings.training
    if not training:
        return ""
    return f"{millions(side.card.parameters or 0)} parameters, {budget_text(training)}"


def compared(comparison: Comparison) -> list[Result]:
    """What the images say about each metric that can be compared."""
    results = []
    for metric in comparison.metrics:
        if metric.missing:
            continue
        a, b = metric.a[None], metric.b[None]
        scenes = comparison.scenes
        better = metric.sign * metric.differences
        results.append(
            Result(
                metric,
                mean_estimate(a, scenes),
                mean_estimate(b, scenes),
                paired_difference(a, b, scenes),
                math.nan,
                probability_of_improvement(metric.sign * a, metric.sign * b, scenes),
                int((better > 0).sum()),
                int((better < 0).sum()),
            )
        )
    corrected = holm([result.difference.p_value for result in results])
    return [replace(result, p_value=p) for result, p in zip(results, corrected, strict=True)]


def winning(comparison: Comparison, sign: int) -> list[int]:
    """Images that a side wins, the largest difference first.

    Parameters
    ----------
    comparison : Comparison
    sign : {1, -1}
        1 for A, -1 for B.
    """
    metric = comparison.main
    better = sign * metric.sign * metric.differences
    order = np.argsort(-better, kind="stable")
    return [int(index) for index in order if better[index] > 0]
