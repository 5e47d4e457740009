"""The tables of quality of a profile, and its numbers for other programs.

Functions take the rows of evaluations and return tables as data; `render.py` writes them. Those of
the other tables of a report can be had from here as well.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd

from irsde.files import InputError, read_table
from irsde.report.captions import counted, joined
from irsde.report.cells import (
    CLOSE,
    METHOD,
    key_of_table,
    line_keys,
    mean_cell,
    named_lines,
    nfe_cell,
    number_text,
    parameters_cell,
    sampler_of,
    titles,
)
from irsde.report.cost_table import cost_table
from irsde.report.difference_tables import seed_tables, significance_tables
from irsde.report.judging import judge, metrics_of
from irsde.report.protocol_tables import protocol_tables
from irsde.report.rows import Entry, Row, by_table, entries, without_leaked
from irsde.report.sweep_tables import sweep_tables
from irsde.report.table import Cell, Column, Emphasis, Line, Table
from irsde.report.table_captions import about, about_exact, rule
from irsde.statistics import mean_estimate

__all__ = [
    "cost_table",
    "metrics_tree",
    "protocol_tables",
    "quality_tables",
    "seed_tables",
    "significance_tables",
    "sweep_tables",
    "tidy",
    "training_curves",
]

DISTANCES = {"fid": ("FID", 2), "kid": ("KID", 4)}  # label, decimals


def quality_tables(rows: Sequence[Row], refused: Mapping[str, Mapping[str, str]]) -> list[Table]:
    """Methods against metrics, network evaluations and parameters, for each task and data set.

    Parameters
    ----------
    rows : sequence of Row
    refused : mapping
        Task → label of a method that cannot do it → the reason.

    Returns
    -------
    list of Table
        Where some test images are shown in the training data, a second table without them follows.
    """
    titled = titles(rows)
    tables = []
    for (task, dataset), of_table in by_table(rows).items():
        key, title = key_of_table(task, dataset), titled[task, dataset]
        group = entries(of_table)
        shown = {entry.first.label for entry in group}
        reasons = {k: v for k, v in refused.get(task, {}).items() if k not in shown}
        table = _quality(group, key, title, about(group), reasons)
        tables.append(replace(table, figure=key))
        clean = without_leaked(of_table)
        count = len(clean[0].per_image)
        if 0 < count < len(of_table[0].per_image):
            scenes = clean[0].per_image["scene"].nunique()
            note = (
                "Without the images that are shown in the training data, "
                f"{counted(count, 'image')} of {counted(scenes, 'scene')}."
            )
            tables.append(
                _quality(
                    entries(clean),
                    key_of_table(task, dataset, "leak-free"),
                    f"{title}, without images shown in training",
                    note,
                    reasons,
                    whole=False,
                )
            )
    return tables


def _quality(
    group: Sequence[Entry],
    key: str,
    title: str,
    note: str,
    refused: Mapping[str, str],
    *,
    whole: bool = True,
) -> Table:
    metrics = metrics_of(group[0].first)
    judged = judge(group, metrics)
    distances = [
        name
        for name in DISTANCES
        if any(_distance(e.first, name).get("value") is not None for e in group)
    ]
    columns = [
        METHOD,
        *(metric.column for metric in metrics),
        *(Column(name, DISTANCES[name][0], higher_is_better=False) for name in distances),
        Column("nfe", "NFE"),
        Column("parameters", "parameters"),
    ]
    of_distance = {name: _distance_cells(group, name, whole=whole) for name in distances}
    lines = []
    for k, (entry, (line_key, name)) in enumerate(zip(group, named_lines(group), strict=True)):
        cells = [
            replace(
                mean_cell(of_metric.means[k], of_metric.metric, entry),
                emphasis=of_metric.emphasis(k),
                mark=CLOSE if of_metric.is_close(k) else "",
            )
            for of_metric in judged
        ]
        cells += [of_distance[name][k] for name in distances]
        lines.append(Line(line_key, (name, *cells, nfe_cell(entry), parameters_cell(entry))))
    for label, reason in refused.items():
        absent = [Cell("n/a", reason=reason)] * (len(columns) - 1)
        lines.append(Line(_slug(label), (Cell(label, reason=reason), *absent)))
    notes = [
        note,
        rule(group, judged[0].comparisons if judged else 0),
        about_exact(cell for line in lines for cell in line.cells),
        *_about_distances(group, distances),
        *(f"{label} is n/a: {reason.rstrip('.')}." for label, reason in refused.items()),
    ]
    section = str(group[0].first.summary["task_label"])
    caption = " ".join(filter(None, notes))
    return Table(key, title, section, caption, tuple(columns), tuple(lines))


def _slug(label: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in label.lower()).split())


def _distance(row: Row, name: str) -> Mapping[str, Any]:
    """What an evaluation says of its FID or KID: value, reason, warning, std; empty if nothing."""
    found = (row.summary.get("distribution") or {}).get(name)
    return found if isinstance(found, Mapping) else {}


def _distance_cells(group: Sequence[Entry], name: str, *, whole: bool) -> list[Cell]:
    """FID or KID of each entry: of all images together, averaged over seeds."""
    label, decimals = DISTANCES[name]
    cells = []
    for entry in group:
        found = [_distance(row, name) for row in entry.rows]
        if not whole:
            cell = Cell("n/a", reason=f"{label} was computed of all images together")
        elif any(of_row.get("value") is None for of_row in found):
            reason = next((of_row["reason"] for of_row in found if of_row.get("reason")), "")
            cell = Cell("n/a", reason=reason or "not computed", sources=entry.sources)
        else:
            value = _mean_over_seeds(entry, [of_row["value"] for of_row in found])
            text = number_text(value, decimals)
            if all(of_row.get("std") for of_row in found):
                text += f" ± {fmean(of_row['std'] for of_row in found):.{decimals}f}"
            cell = Cell(text, value, sources=entry.sources)
        cells.append(cell)
    ranking = sorted(
        (k for k, cell in enumerate(cells) if cell.value is not None),
        key=lambda k: cells[k].value or 0.0,
    )
    places: tuple[Emphasis, ...] = ("best", "second")
    for k, emphasis in zip(ranking, places, strict=False):
        cells[k] = replace(cells[k], emphasis=emphasis)
    return cells


def _mean_over_seeds(entry: Entry, values: Sequence[Any]) -> float:
    """Mean over training seeds of the mean over sampling seeds."""
    of_seed: dict[int, list[float]] = {}
    for row, value in zip(entry.rows, values, strict=True):
        of_seed.setdefault(int(row.summary["seed"]), []).append(float(value))
    return fmean(fmean(found) for found in of_seed.values())


def _about_distances(group: Sequence[Entry], shown: Sequence[str]) -> list[str]:
    """What must be known of FID and KID, or why there are none."""
    found = [_distance(entry.first, name) for name in shown or DISTANCES for entry in group]
    key = "warning" if shown else "reason"
    said = list(dict.fromkeys(str(of[key]).rstrip(".") for of in found if of.get(key)))
    if not shown:
        return [f"FID and KID are n/a: {joined(said)}."] if said else []
    parts = [f"{text}." for text in said]
    parts.append(
        "They compare all images at once: nothing is known of the differences between them."
    )
    if any(of.get("std") for of in found):
        parts.append("± of KID is the standard deviation over its subsets of the images.")
    return parts


def tidy(rows: Sequence[Row]) -> pd.DataFrame:
    """One line for each entry and metric: mean, interval, seeds, run of the first seed."""
    lines = []
    for (task, dataset), of_table in by_table(rows).items():
        group = entries(of_table)
        for of_metric in judge(group, metrics_of(of_table[0])):
            for entry, mean in zip(group, of_metric.means, strict=True):
                summary = entry.first.summary
                lines.append(
                    {
                        "task": task,
                        "dataset": dataset,
                        "method": entry.first.method,
                        "seeds": " ".join(map(str, entry.training_seeds)),
                        "sampling_seeds": " ".join(map(str, entry.sampling_seeds)),
                        "sampler": sampler_of(entry.first),
                        "nfe": summary["nfe"],
                        "parameters": summary["parameters"],
                        "metric": of_metric.metric.name,
                        "mean": mean.mean if mean else None,
                        "low": mean.low if mean else None,
                        "high": mean.high if mean else None,
                        "run": summary["run"],
                    }
                )
    return pd.DataFrame(lines)


def training_curves(rows: Sequence[Row]) -> pd.DataFrame:
    """Training histories of all trained runs, one line for each run and logged iteration."""
    parts = []
    for row in {row.summary["run"]: row for row in rows}.values():
        history = Path(row.summary["run"]) / "training.csv"
        if history.is_file():
            run = f"{row.task}/{row.method}/seed{row.summary['seed']}"
            curve = read_table(history)
            if "iteration" not in curve:
                raise InputError(f"{history}: no training curve; train the run again")
            parts.append(curve.assign(run=run))
    columns = ["iteration", "loss", "gradient_norm", "learning_rate", "validation_psnr", "run"]
    return pd.concat(parts) if parts else pd.DataFrame(columns=columns)


def metrics_tree(rows: Sequence[Row]) -> dict[str, Any]:
    """Means as task → data set → method → metric, for `dvc metrics show`; seeds are averaged.

    Images that are restored exactly are left out.
    """
    tree: dict[str, Any] = {}
    for (task, dataset), of_table in by_table(rows).items():
        group = entries(of_table)
        of_set = tree.setdefault(task, {}).setdefault(dataset, {})
        for key, entry in zip(line_keys(group), group, strict=True):
            found = {m.name: entry.values(m.name) for m in metrics_of(entry.first)}
            means = {
                name: mean_estimate(values, entry.scenes).mean
                for name, values in found.items()
                if values is not None
            }
            of_set[key] = {name: round(m, 6) for name, m in means.items() if math.isfinite(m)}
    return tree
