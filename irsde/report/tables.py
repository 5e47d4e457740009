"""Tables of a profile, from the files of its evaluations."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from tabulate import tabulate

from irsde.files import InputError, digest_json, read_json
from irsde.seeds import seed_from
from irsde.statistics import FEW_SCENES, Estimate, mean_over_scenes


@dataclass(frozen=True)
class Row:
    """One evaluation as a row of a table.

    Parameters
    ----------
    folder : Path
        Where the evaluation lies.
    summary : dict
        Its `summary.json`.
    per_image : pandas.DataFrame
        Its `per_image.csv`.
    """

    folder: Path
    summary: dict[str, Any]
    per_image: pd.DataFrame

    @property
    def label(self) -> str:
        """Method as the table shows it."""
        return str(self.summary["method_label"]) + (
            f" (seed {self.summary['seed']})" if self.summary["seed"] else ""
        )


def read_rows(folders: list[Path]) -> list[Row]:
    """Rows of the given evaluations.

    Raises
    ------
    InputError
        If a file is absent or damaged, an evaluation is of an older run, or the rows of a task
        differ in data set, protocol or LPIPS weights.
    """
    rows = []
    for folder in folders:
        summary = read_json(folder / "summary.json")
        try:
            per_image = pd.read_csv(folder / "per_image.csv")
        except (OSError, ValueError) as error:
            raise InputError(f"{folder / 'per_image.csv'}: cannot be read ({error})") from None
        card = read_json(Path(summary["run"]) / "run.json")
        if digest_json(card["identity"]) != summary["run_identity"]:
            raise InputError(
                f"{folder}: evaluates an earlier run than the one in {summary['run']}; "
                "run irsde evaluate again"
            )
        rows.append(Row(folder, summary, per_image))
    for of_table in by_table(rows).values():
        for row in of_table[1:]:
            for key in ("dataset", "leaked", "protocol", "lpips"):
                if row.summary[key] != of_table[0].summary[key]:
                    raise InputError(
                        f"{row.folder} and {of_table[0].folder} differ in {key}: not one table; "
                        "run irsde evaluate again"
                    )
    return rows


def by_table(rows: list[Row]) -> dict[tuple[str, str], list[Row]]:
    """Rows of each task and data set, in the order they come."""
    tables: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        key = (row.summary["task"], row.summary["dataset"]["dataset"])
        tables.setdefault(key, []).append(row)
    return tables


def without_leaked(rows: list[Row]) -> list[Row]:
    """The same rows without the test images that are shown in the training data."""
    leaked = rows[0].summary["leaked"]
    return [
        Row(row.folder, row.summary, row.per_image[~row.per_image["image"].isin(leaked)])
        for row in rows
    ]


def estimate(row: Row, metric: str) -> Estimate | None:
    """Mean and interval of a metric, or None where it was not computed."""
    values = row.per_image[metric]
    if values.isna().any():
        return None
    return mean_over_scenes(
        values.tolist(), row.per_image["scene"].tolist(), seed_from("interval", metric)
    )


def not_resolved(row: Row, best: Row, metric: str) -> bool:
    """True if the interval of the paired difference from the best contains zero."""
    joined = row.per_image.merge(best.per_image, on=["image", "scene"], suffixes=("", "_best"))
    difference = mean_over_scenes(
        (joined[metric] - joined[f"{metric}_best"]).tolist(),
        joined["scene"].tolist(),
        seed_from("difference", metric),
    )
    return not (difference.low > 0 or difference.high < 0)


def _cell(value: Estimate | None, decimals: int, mark: str, wrap: Callable[[str], str]) -> str:
    if value is None:
        return "n/a"
    text = wrap(f"{value.mean:.{decimals}f}")
    if math.isfinite(value.half_width):
        text += f" ± {value.half_width:.{decimals}f}"
    return text + mark


def _plain(text: str) -> str:
    return text


def _bold(text: str) -> str:
    return f"**{text}**"


def _underlined(text: str) -> str:
    return f"<u>{text}</u>"


def task_table(rows: list[Row], root: str, refused: dict[str, str]) -> str:
    """Markdown table of one task: methods against metrics, NFE and parameters.

    Parameters
    ----------
    rows : list of Row
        Evaluations of one task on one data set.
    root : str
        Prefix that leads from the table's file to the project's folder, for links.
    refused : dict
        Methods that cannot do the task, with the reason.
    """
    metrics = rows[0].summary["metrics"]
    cells: dict[str, list[str]] = {}
    header = ["method"]
    for metric in metrics:
        name, label = metric["name"], metric["label"]
        if name == "lpips" and (network := rows[0].summary["lpips"]["network"]):
            label += f" ({'AlexNet' if network == 'alex' else 'SqueezeNet'})"
        header.append(f"{label} {'↑' if metric['higher_is_better'] else '↓'}")
        cells[name] = _metric_column(rows, name, metric)
    body = [
        [
            f"[{row.label}]({root}{row.summary['run']}/run.json)",
            *(column[index] for column in cells.values()),
            row.summary["nfe"],
            _count(row.summary["parameters"]),
        ]
        for index, row in enumerate(rows)
    ]
    body += [[label, *["n/a"] * (len(header) - 1), "n/a", "n/a"] for label in refused]
    align = ("left", *["right"] * (len(metrics) + 2))
    return tabulate(
        body,
        [*header, "NFE", "parameters"],
        tablefmt="pipe",
        colalign=align,
        disable_numparse=True,
    )


def _metric_column(rows: list[Row], name: str, metric: dict[str, Any]) -> list[str]:
    """Cells of one metric: best in bold, second underlined, unresolved differences marked."""
    estimates = [estimate(row, name) for row in rows]
    sign = -1 if metric["higher_is_better"] else 1
    ranked = sorted(
        (i for i, e in enumerate(estimates) if e is not None),
        key=lambda i: sign * estimates[i].mean,  # type: ignore[union-attr]
    )
    column = []
    for index, value in enumerate(estimates):
        place = ranked.index(index) if index in ranked else len(ranked)
        mark = ""
        if 0 < place < len(ranked) and not_resolved(rows[index], rows[ranked[0]], name):
            mark = " ≈"
        wrap = {0: _bold, 1: _underlined}.get(place, _plain)
        column.append(_cell(value, metric["decimals"], mark, wrap))
    return column


def _count(parameters: int) -> str:
    return f"{parameters / 1e6:.2f} M" if parameters else "0"


def caption(rows: list[Row]) -> str:
    """What stands above a task's table: images, degradation, protocol and seeds."""
    summary = rows[0].summary
    data = summary["dataset"]
    seeds = sorted({row.summary["seed"] for row in rows})
    text = (
        f"{data['label']}: {data['pairs']} images of {data['scenes']} scenes. "
        f"Degradation: {data['degradation']}. "
        f"{_agreement(data)}"
        f"Protocol {summary['protocol']['name']} v{summary['protocol']['version']}: "
        f"{summary['protocol']['label']}. Training seeds: {', '.join(map(str, seeds))}. "
        f"± is half of the 95 % bootstrap interval over scenes"
    )
    if data["scenes"] < FEW_SCENES:
        text += f" ({data['scenes']} scenes are too few for a reliable interval)"
    text += "; ≈ marks a paired difference from the best whose interval contains 0."
    if leaked := len(summary["leaked"]):
        text += (
            f" Leakage: {leaked} of the {data['pairs']} test images show what a training or "
            "validation image shows, which the profile allows."
        )
    if reason := summary["lpips"]["unavailable"]:
        text += f" LPIPS is n/a: {reason}."
    elif summary["lpips"]["network"] != "alex":
        text += " LPIPS uses SqueezeNet, not the paper's AlexNet: not comparable with the paper."
    return text


def _agreement(data: dict[str, Any]) -> str:
    """What the images are where they are not all those that the catalogue knows."""
    differences = data["source"]["differences"]
    return f"Not the data set as published: {'; '.join(differences)}. " if differences else ""


def tables_text(
    profile: str, budget: str, rows: list[Row], refused: dict[str, dict[str, str]]
) -> str:
    """Text of `tables.md`: one section a task, free of timings and of anything random."""
    parts = [
        f"# Results of the profile `{profile}`\n",
        f"{budget.strip()}\n",
    ]
    tables = by_table(rows)
    for (task, dataset), table_rows in tables.items():
        label = table_rows[0].summary["task_label"]
        if sum(of == task for of, _ in tables) > 1:
            label += f": {table_rows[0].summary['dataset']['label']}"
        reasons = refused.get(task, {})
        notes = "".join(f" n/a: {reason}." for reason in reasons.values())
        parts += [
            f"## {label}\n",
            caption(table_rows) + notes + "\n",
            task_table(table_rows, "../", reasons) + "\n",
            *_leak_free_table(table_rows, reasons),
            f"![{label}: degraded, restored and clean](figures/{task}-{dataset}.png)\n",
        ]
    return "\n".join(parts)


def _leak_free_table(rows: list[Row], refused: dict[str, str]) -> list[str]:
    """A second table where test images are shown in the training data."""
    clean = without_leaked(rows)
    if len(clean[0].per_image) in (0, len(rows[0].per_image)):
        return []
    count, scenes = len(clean[0].per_image), clean[0].per_image["scene"].nunique()
    return [
        f"Without the images that are shown in the training data, {count} images of {scenes} "
        "scenes are left:\n",
        task_table(clean, "../", refused) + "\n",
    ]


def tidy(rows: list[Row]) -> pd.DataFrame:
    """One line for each task, method, seed and metric, with the interval."""
    lines = []
    for row in rows:
        for name in (metric["name"] for metric in row.summary["metrics"]):
            value = estimate(row, name)
            lines.append(
                {
                    "task": row.summary["task"],
                    "dataset": row.summary["dataset"]["dataset"],
                    "method": row.summary["method"],
                    "seed": row.summary["seed"],
                    "sampler": row.summary["sampler"],
                    "nfe": row.summary["nfe"],
                    "parameters": row.summary["parameters"],
                    "metric": name,
                    "mean": value.mean if value else None,
                    "low": value.low if value else None,
                    "high": value.high if value else None,
                    "run": row.summary["run"],
                }
            )
    return pd.DataFrame(lines)


def training_curves(rows: list[Row]) -> pd.DataFrame:
    """Training histories of all trained runs, one line for each run and logged iteration."""
    parts = []
    for row in {row.summary["run"]: row for row in rows}.values():
        history = Path(row.summary["run"]) / "training.csv"
        if history.is_file():
            run = f"{row.summary['task']}/{row.summary['method']}/seed{row.summary['seed']}"
            parts.append(pd.read_csv(history).assign(run=run))
    columns = ["iteration", "loss", "gradient_norm", "learning_rate", "validation_psnr", "run"]
    return pd.concat(parts) if parts else pd.DataFrame(columns=columns)


def metrics_tree(rows: list[Row]) -> dict[str, Any]:
    """Means as task → data set → method → metric, for `dvc metrics show`; seeds are averaged."""
    table = tidy(rows).dropna(subset=["mean"])
    tree: dict[str, Any] = {}
    for names, group in table.groupby(["task", "dataset", "method", "metric"], sort=True):
        task, dataset, method, metric = map(str, names)
        of_method = tree.setdefault(task, {}).setdefault(dataset, {}).setdefault(method, {})
        of_method[metric] = round(float(group["mean"].mean()), 6)
    return tree


def cost_text(profile: str, rows: list[Row]) -> str:
    """Text of `cost.md`: seconds and memory beside quality; differs from run to run."""
    body = []
    for row in rows:
        training = read_json(Path(row.summary["run"]) / "cost.json")
        evaluation = read_json(row.folder / "cost.json")
        body.append(
            [
                row.summary["task"],
                row.summary["dataset"]["label"],
                row.label,
                f"{row.per_image['psnr'].mean():.2f}",
                row.summary["nfe"],
                _count(row.summary["parameters"]),
                f"{training['seconds']:.1f}",
                f"{training['peak_memory_bytes'] / 2**20:.0f}",
                f"{evaluation['seconds_per_image']:.3f}",
                f"{evaluation['peak_memory_bytes'] / 2**20:.0f}",
            ]
        )
    header = [
        "task",
        "data set",
        "method",
        "PSNR (dB)",
        "NFE",
        "parameters",
        "training (s)",
        "training peak (MiB)",
        "seconds per image",
        "evaluation peak (MiB)",
    ]
    table = tabulate(
        body,
        header,
        tablefmt="pipe",
        colalign=("left", "left", "left", *["right"] * 7),
        disable_numparse=True,
    )
    return (
        f"# Cost of the profile `{profile}`\n\n"
        "Measured while other jobs may have shared the machine; these numbers differ from run to "
        f"run.\n\n{table}\n"
    )
