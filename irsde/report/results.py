"""Finished evaluations as rows of tables, and the commands that make them again."""

import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from irsde.experiment import provenance
from irsde.experiment.grid import IMPORTED, OUTSIDE, evaluation_of, run_of
from irsde.experiment.options import alike
from irsde.files import InputError, digest_json, read_json, read_table
from irsde.methods import MethodName
from irsde.scoring.metrics import METRICS

# What `summary.json` always has.
SUMMARY = (
    "commit", "dataset", "dirty", "leaked", "lpips", "method", "method_label", "metrics", "nfe",
    "parameters", "profile", "protocol", "run", "run_identity", "sampler", "sampling_seed", "seed",
    "task", "task_label",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One evaluation.

    Parameters
    ----------
    folder : Path
        Where the evaluation lies.
    summary : dict
        Its `summary.json`.
    per_image : pandas.DataFrame
        Its `per_image.csv`: image, scene, psnr, ssim, psnr_y, ssim_y, lpips, nfe, reference (the
        first digits of the SHA-256 of the clean image's pixels; old evaluations lack it).
    """

    folder: Path
    summary: dict[str, Any]
    per_image: pd.DataFrame

    @property
    def task(self) -> str:
        """Name of the task."""
        return str(self.summary["task"])

    @property
    def dataset(self) -> str:
        """Name of the test set."""
        return str(self.summary["dataset"]["dataset"])

    @property
    def method(self) -> str:
        """Name of the method or variant."""
        return str(self.summary["method"])

    @property
    def label(self) -> str:
        """Method as tables and figures show it."""
        return str(self.summary["method_label"])

    @property
    def kind(self) -> tuple[Any, ...]:
        """All that tells entries apart: everything but the seeds."""
        return (self.dataset, self.task, self.method, *alike(self.summary))


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
        return sorted({int(row.summary["seed"]) for row in self.rows})

    @property
    def sampling_seeds(self) -> list[int]:
        """Seeds of the sampling noise, sorted."""
        return sorted({int(row.summary["sampling_seed"]) for row in self.rows})

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
            column = row.per_image[metric].to_numpy(dtype=np.float64)
            if np.isnan(column).any():
                return None
            of_seed.setdefault(int(row.summary["seed"]), []).append(column)
        return np.array([np.mean(of_seed[seed], axis=0) for seed in sorted(of_seed)])

    def mean_over_seeds(self, values: Sequence[float]) -> float:
        """Mean over training seeds of the mean over sampling seeds of one value of each row."""
        of_seed: dict[int, list[float]] = {}
        for row, value in zip(self.rows, values, strict=True):
            of_seed.setdefault(int(row.summary["seed"]), []).append(float(value))
        return fmean(fmean(found) for found in of_seed.values())

    @property
    def sources(self) -> tuple[str, ...]:
        """Folders of the evaluations, as paths below the project."""
        return tuple(row.folder.as_posix() for row in self.rows)


def read_evaluation(
    folder: Path, needed: Collection[str] = SUMMARY
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Summary and per-image values of an evaluation, as they lie there.

    Parameters
    ----------
    folder : Path
    needed : collection of str
        What the summary has to have.

    Raises
    ------
    InputError
        If a file is absent or damaged.
    """
    summary = read_json(folder / "summary.json")
    path = folder / "per_image.csv"
    try:
        values = read_table(path)
        values = values.astype({name: float for name in METRICS if name in values})
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({' '.join(str(error).split())})") from None
    if not isinstance(summary, dict) or "image" not in values:
        raise InputError(f"{folder}: not an evaluation; run irsde evaluate again")
    if missing := [key for key in needed if key not in summary]:
        raise InputError(
            f"{folder / 'summary.json'}: has no {missing[0]}; run irsde evaluate again"
        )
    return summary, values


def read_row(folder: Path) -> Row:
    """Row of a finished evaluation.

    Raises
    ------
    InputError
        If a file is absent or damaged, or the evaluation is of an older run than the one there.
    """
    summary, per_image = read_evaluation(folder)
    card = provenance.read_run_card(Path(summary["run"]))
    if digest_json(card["identity"]) != summary["run_identity"]:
        raise InputError(
            f"{folder}: evaluates an earlier run than the one in {summary['run']}; "
            "run irsde evaluate again"
        )
    return Row(folder, summary, per_image)


def read_rows(folders: Iterable[Path]) -> list[Row]:
    """Rows of the given evaluations, in their order.

    Raises
    ------
    InputError
        As `read_row`, and if rows of one task and data set differ in images, leakage, protocol
        or LPIPS weights.
    """
    rows = [read_row(folder) for folder in folders]
    for of_table in by_table(rows).values():
        for row in of_table[1:]:
            first = of_table[0]
            differing = [
                key
                for key in ("dataset", "leaked", "protocol", "lpips")
                if row.summary[key] != first.summary[key]
            ]
            if list(row.per_image["image"]) != list(first.per_image["image"]):
                differing.append("images")
            if differing:
                advice = "run irsde evaluate again"
                if differing[0] == "lpips":
                    networks = [one.summary["lpips"].get("network") for one in (row, first)]
                    advice = (
                        f"LPIPS is of {networks[0]} and of {networks[1]}; delete one of them and "
                        "evaluate it again where IRSDE_LPIPS_WEIGHTS names the other's weights"
                    )
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
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(row.kind, []).append(row)
    return [Entry(tuple(of_kind)) for of_kind in found.values()]


def without_leaked(rows: Sequence[Row]) -> list[Row]:
    """The same rows without the test images that are shown in the training data."""
    leaked = rows[0].summary["leaked"]
    return [
        Row(row.folder, row.summary, row.per_image[~row.per_image["image"].isin(leaked)])
        for row in rows
    ]


def run_command(card: Mapping[str, Any]) -> str:
    """Command that makes a run, from its `run.json`; "" for results made elsewhere."""
    chosen = ["--profile", card["profile"], "--task", card["task"]]
    if imported := card.get("imported_from"):
        settings = card.get("settings", {})
        if process := settings.get("process"):
            stationary_std = f"{255 * settings['stationary_std']:g}/255"
            chosen += ["--lambda", stationary_std, "--steps", str(process["steps"])]
            chosen += ["--schedule", process["schedule"]]
        return shlex.join(["irsde", "import-weights", imported["file"], *chosen])
    origin = card.get("derived_from")
    if origin and "width" in card["identity"]:
        width = str(card["identity"]["width"])
        return shlex.join(["irsde", "average", "--run", origin, "--width", width])
    if card.get("outside"):
        return ""
    method, start = card["method"], []
    if "continued_at" in card:
        method = run_of(Path(str(origin))).method
        start = ["--continue-to", str(card["iterations"])]
    elif source := card.get("started_from"):
        method, start = card["settings"]["method"], ["--from", origin or source["file"]]
    own = ["--method", method, "--seed", str(card["seed"])]
    allowed = card.get("settings", {}).get("data", {}).get("allow_leakage")
    leakage = ["--allow-leakage"] if allowed else []
    return shlex.join(["irsde", "train", *chosen, *own, *start, *leakage])


def evaluation_command(summary: Mapping[str, Any], folder: Path) -> str:
    """Command that makes an evaluation, from its `summary.json` and its folder."""
    dataset = summary["dataset"]["dataset"]
    if MethodName.parse(summary["method"]).base == OUTSIDE:
        given = {
            "restored": summary.get("restored", "FOLDER"),
            "dataset": dataset,
            "name": summary["method_label"],
            "task": summary["task"],
            "profile": summary["profile"],
        }
        if pattern := summary.get("pattern"):
            given["pattern"] = pattern
        options = [part for key, value in given.items() for part in (f"--{key}", value)]
        return shlex.join(["irsde", "evaluate", *options])
    evaluation = evaluation_of(run_of(Path(summary["run"])), dataset, folder.name)
    is_imported = MethodName.parse(evaluation.run.method).variant == IMPORTED  # plain unless told
    is_exact = is_imported and evaluation.options.conversion == "exact"
    return f"irsde evaluate {evaluation.arguments}{' --conversion exact' if is_exact else ''}"
