"""Finished evaluations as rows of tables, and the commands that make them again."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from irsde.experiment import provenance
from irsde.experiment.cards import RunCard
from irsde.experiment.grid import IMPORTED, OUTSIDE, evaluation_of, run_of
from irsde.experiment.options import alike
from irsde.experiment.result_tables import PER_IMAGE, PER_PROTOCOL, read_per_image, read_protocols
from irsde.experiment.summary import Summary, read_summary
from irsde.files import InputError, digest_json, is_present
from irsde.methods import MethodName, method_of
from irsde.scoring.protocols import HEADLINES, PROTOCOLS


@dataclass(frozen=True)
class Row:
    """One evaluation.

    Parameters
    ----------
    folder : Path
        Folder of the evaluation.
    summary : Summary
        Its `summary.json`.
    per_image : pandas.DataFrame
        Its `per_image.csv`, with columns of `result_tables.PER_IMAGE_COLUMNS`.
    """

    folder: Path
    summary: Summary
    per_image: pd.DataFrame

    @property
    def task(self) -> str:
        """Name of the task."""
        return self.summary.task

    @property
    def dataset(self) -> str:
        """Name of the test set."""
        return self.summary.dataset.dataset

    @property
    def method(self) -> str:
        """Name of the method or variant."""
        return self.summary.method

    @property
    def label(self) -> str:
        """Method as tables and figures show it."""
        return self.summary.method_label

    @cached_property
    def rescored(self) -> dict[str, "Row"]:
        """The same images as each protocol scores them, of protocols that score every image.

        Empty without `protocols.csv`. Small images have no score where a crop leaves too little.
        """
        path = self.folder / PER_PROTOCOL
        if not is_present(path):
            return {}
        images = self.per_image["image"]
        metrics = [metric for pair in HEADLINES.values() for metric in pair]
        rows = {}
        for protocol, scores in read_protocols(path).groupby("protocol", sort=False):
            of_image = scores.set_index("image")[metrics]
            if protocol in PROTOCOLS and set(images) <= set(of_image.index):
                values = of_image.loc[images].set_axis(self.per_image.index)
                scored = pd.concat([self.per_image[["image", "scene"]], values], axis=1)
                rows[str(protocol)] = replace(self, per_image=scored)
        return rows

    @property
    def kind(self) -> tuple[str | int | None, ...]:
        """All that tells entries apart: everything but the seeds."""
        of = self.summary
        return (self.dataset, of.task, of.method, *alike(of))


@dataclass(frozen=True)
class Entry:
    """Evaluations that differ in training seed and sampling seed only: one line of a table.

    Parameters
    ----------
    rows : tuple of Row
        At least one; all have the same images in the same order.
    """

    rows: tuple[Row, ...]

    @property
    def first(self) -> Row:
        """The row of the first seeds: what they all have in common can be read there."""
        return self.rows[0]

    @property
    def training_seeds(self) -> list[int]:
        """Training seeds, sorted."""
        return sorted({row.summary.seed for row in self.rows})

    @property
    def sampling_seeds(self) -> list[int]:
        """Seeds of the sampling noise, sorted."""
        return sorted({row.summary.sampling_seed for row in self.rows})

    @cached_property
    def scenes(self) -> list[str]:
        """Scene of each image."""
        return [str(scene) for scene in self.first.per_image["scene"]]

    @property
    def images(self) -> list[str]:
        """Names of the images."""
        return [str(image) for image in self.first.per_image["image"]]

    def values(self, metric: str) -> NDArray[np.float64] | None:
        """Metric of shape (seeds, images); None where it was not computed for every image.

        The PSNR of an image that is restored exactly is infinite.

        Values of one training seed are averaged over its sampling seeds.
        """
        of_seed: dict[int, list[NDArray[np.float64]]] = {}
        for row in self.rows:
            if metric not in row.per_image:
                return None
            column = row.per_image[metric].to_numpy(dtype=np.float64)
            if np.isnan(column).any():
                return None
            of_seed.setdefault(row.summary.seed, []).append(column)
        return np.array([np.mean(of_seed[seed], axis=0) for seed in sorted(of_seed)])

    def mean_over_seeds(self, values: Sequence[float]) -> float:
        """Mean over training seeds of the mean over sampling seeds of one value of each row."""
        of_seed: dict[int, list[float]] = {}
        for row, value in zip(self.rows, values, strict=True):
            of_seed.setdefault(row.summary.seed, []).append(float(value))
        return fmean(fmean(of_one) for of_one in of_seed.values())

    def missing(self, metric: str) -> str:
        """Why `values` are None."""
        said = (row.summary.missing(metric) for row in self.rows)
        return next(filter(None, said), "not computed for every image")

    @property
    def sources(self) -> tuple[str, ...]:
        """Folders of the evaluations, as paths below the project."""
        return tuple(row.folder.as_posix() for row in self.rows)


def read_evaluation(folder: Path) -> tuple[Summary, pd.DataFrame]:
    """Summary and per-image values of an evaluation.

    Raises
    ------
    InputError
        If a file is absent or damaged.
    """
    try:
        return read_summary(folder), read_per_image(folder / PER_IMAGE)
    except InputError as error:
        raise InputError(f"{error}; run irsde evaluate again") from None


def read_row(folder: Path) -> Row:
    """Row of a finished evaluation.

    Raises
    ------
    InputError
        If a file is absent or damaged, or the evaluation is of an older run than the one there.
    """
    summary, per_image = read_evaluation(folder)
    card = provenance.read_run_card(Path(summary.run))
    if digest_json(card.identity) != summary.run_identity:
        raise InputError(
            f"{folder}: evaluates an earlier run than the one in {summary.run}; "
            "run irsde evaluate again"
        )
    return Row(folder, summary, per_image)


def read_rows(folders: Iterable[Path]) -> list[Row]:
    """Rows of the given evaluations, in their order.

    Raises
    ------
    InputError
        As `read_row`, and if rows of one task and data set differ in images, leakage, protocol
        or the weights of a metric.
    """
    rows = [read_row(folder) for folder in folders]
    for of_table in by_table(rows).values():
        for row in of_table[1:]:
            first = of_table[0]
            differing = [
                key
                for key in ("dataset", "leaked", "protocol")
                if getattr(row.summary, key) != getattr(first.summary, key)
            ]
            if list(row.per_image["image"]) != list(first.per_image["image"]):
                differing.append("images")
            advice = "run irsde evaluate again"
            for metric in row.summary.metrics:
                other = first.summary.metric(metric.name)
                if other and metric.weights != other.weights:
                    differing.append(metric.name)
                    advice = (
                        f"{metric.label} is of {metric.network or 'no network'} and of "
                        f"{other.network or 'no network'}; delete one of them and evaluate it "
                        "again where the other's weights are (docs/setup.md)"
                    )
            if differing:
                raise InputError(
                    f"{row.folder} and {first.folder} differ in {differing[0]}: not one table; "
                    f"{advice}"
                )
    return rows


def by_table(rows: Iterable[Row]) -> dict[tuple[str, str], list[Row]]:
    """Rows of each task and data set, in the order they come."""
    tables: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        tables.setdefault((row.task, row.dataset), []).append(row)
    return tables


def entries(rows: Iterable[Row]) -> list[Entry]:
    """Rows put together that differ in their seeds only, in the order they come."""
    grouped: dict[tuple[str | int | None, ...], list[Row]] = {}
    for row in rows:
        grouped.setdefault(row.kind, []).append(row)
    return [Entry(tuple(of_kind)) for of_kind in grouped.values()]


def without_leaked(rows: Sequence[Row]) -> list[Row]:
    """The same rows without the test images that are shown in the training data."""
    leaked = rows[0].summary.leaked
    return [
        Row(row.folder, row.summary, row.per_image[~row.per_image["image"].isin(leaked)])
        for row in rows
    ]


def run_command(card: RunCard) -> str:
    """Command that makes a run, from its card; "" for results made elsewhere."""
    settings = card.settings
    chosen = ["--profile", card.home, "--task", card.task]
    if card.imported_from and method_of(card.method).kind == "published":
        return shlex.join(["irsde", "weights", "import", card.method, "--profile", card.home])
    if imported := card.imported_from:
        if settings.process and settings.stationary_std is not None:
            process = settings.process
            chosen += ["--lambda", f"{255 * settings.stationary_std:g}/255"]
            chosen += ["--steps", str(process.steps), "--schedule", process.schedule]
        return shlex.join(["irsde", "weights", "import", imported.file, *chosen])
    origin = card.derived_from
    if origin and "width" in card.identity:
        width = card.identity["width"]
        return shlex.join(["irsde", "average", "--run", origin, "--width", width])
    if card.outside:
        return ""
    method, start = card.method, []
    if card.continued_at is not None:
        method = run_of(Path(str(origin))).method
        start = ["--continue-to", str(card.iterations)]
    elif source := card.started_from:
        method, start = settings.method or method, ["--from", origin or source.file]
    own = ["--method", method, "--seed", str(card.seed)]
    leakage = ["--allow-leakage"] if settings.data.allow_leakage else []
    return shlex.join(["irsde", "train", *chosen, *own, *start, *leakage])


def evaluation_command(summary: Summary, folder: Path) -> str:
    """Command that makes an evaluation, from its summary and its folder."""
    dataset = summary.dataset.dataset
    if MethodName.parse(summary.method).base == OUTSIDE:
        given = {
            "restored": summary.restored or "FOLDER",
            "dataset": dataset,
            "name": summary.method_label,
            "task": summary.task,
            "profile": summary.profile,
        }
        if summary.pattern:
            given["pattern"] = summary.pattern
        options = [part for key, value in given.items() for part in (f"--{key}", value)]
        return shlex.join(["irsde", "evaluate", *options])
    evaluation = evaluation_of(run_of(Path(summary.run)), dataset, folder.name)
    is_imported = MethodName.parse(evaluation.run.method).variant == IMPORTED  # plain unless told
    is_exact = is_imported and evaluation.options.conversion == "exact"
    return f"irsde evaluate {evaluation.arguments}{' --conversion exact' if is_exact else ''}"
