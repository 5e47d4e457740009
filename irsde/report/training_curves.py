"""Training curves: validation PSNR against iteration, and the paper's two ablations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import EngFormatter, MaxNLocator

from irsde.files import read_json, read_table
from irsde.report.captions import counted, joined
from irsde.report.figure import Figure
from irsde.report.labels import label_ends
from irsde.report.rows import Row
from irsde.report.style import DOUBLE, SINGLE, STYLE, key_of, look, save

OBJECTIVES = ("ir-sde", "ir-sde-noise")
SCHEDULES = ("ir-sde", "ir-sde-linear", "ir-sde-constant")
REFERENCE = "regression"
FEW = 4  # methods that fit into one column


@dataclass(frozen=True)
class _Curve:
    """Validation PSNR of a method at each validated iteration, over its training seeds."""

    method: str
    label: str
    iterations: pd.Index
    mean: pd.Series
    low: pd.Series
    high: pd.Series
    runs: tuple[str, ...]

    @property
    def seeds(self) -> int:
        """How many trainings the curve is of."""
        return len(self.runs)


def training_figures(rows: Sequence[Row], budget: str, folder: Path) -> list[Figure]:
    """Draw the training curves of a task.

    Parameters
    ----------
    rows : sequence of Row
        Evaluations of one task, of any data sets; the `training.csv` of their runs is read.
    budget : str
        Caption of the profile.
    folder : Path
        Where the files are written: `training-<task>`, and `objective-<task>` and
        `schedule-<task>` where IR-SDE was trained and at least one of the ablations' rivals.
    """
    curves = _curves(rows)
    figures = []
    if curves:
        figures.append(_figure("training", "training", curves, rows, budget, folder))
    for name, title, methods in (
        ("objective", "objectives of IR-SDE", OBJECTIVES),
        ("schedule", "schedules of IR-SDE", SCHEDULES),
    ):
        ablation = [curve for curve in curves if curve.method in methods]
        if len(ablation) >= 2 and any(curve.method == methods[0] for curve in ablation):
            reference = [curve for curve in curves if curve.method == REFERENCE]
            figures.append(_figure(name, title, ablation + reference, rows, budget, folder))
    return figures


def _curves(rows: Sequence[Row]) -> list[_Curve]:
    runs: dict[str, dict[str, Row]] = {}
    for row in rows:
        if (Path(row.summary["run"]) / "training.csv").is_file():
            runs.setdefault(row.method, {})[str(row.summary["run"])] = row
    curves = []
    for method, of_method in runs.items():
        histories = [
            read_table(Path(run) / "training.csv").dropna(subset=["validation_psnr"])
            for run in of_method
        ]
        values = pd.concat(histories).groupby("iteration")["validation_psnr"]
        if len(mean := values.mean()) >= 2:
            label = next(iter(of_method.values())).label
            curve = _Curve(
                method, label, mean.index, mean, values.min(), values.max(), tuple(of_method)
            )
            curves.append(curve)
    return curves


def _figure(
    name: str,
    title: str,
    curves: Sequence[_Curve],
    rows: Sequence[Row],
    budget: str,
    folder: Path,
) -> Figure:
    task = rows[0].summary
    ranked = sorted(curves, key=lambda curve: -curve.mean.iloc[-1])
    key = key_of(name, rows[0].task)
    with mpl.rc_context(STYLE):
        canvas, cut = _drawn(ranked, wide=name == "training" and len(curves) > FEW)
    save(canvas, folder, key, drawing=True)
    seeds = max(curve.seeds for curve in curves)
    bands = f" Lines are means over up to {seeds} training seeds, bands their range." * (seeds > 1)
    finals = [f"{curve.label} {curve.mean.iloc[-1]:.2f} dB" for curve in ranked]
    return Figure(
        key=key,
        title=f"{task['task_label']}: {title}",
        section=str(task["task_label"]),
        caption=(
            "PSNR of RGB of what a validation restores while training, averaged weights, "
            f"{_validation_nfe(rows)}of {counted(len(curves), 'method')}.{bands} "
            f"{'What lies below the axis is cut off. ' if cut else ''}{budget}"
        ),
        alternative=(
            f"Lines of validation PSNR against iteration up to {ranked[0].iterations[-1]}. "
            f"At the end: {joined(finals)}."
        ),
        sources=tuple(run for curve in ranked for run in curve.runs),
    )


def _validation_nfe(rows: Sequence[Row]) -> str:
    """How many network evaluations a validation image took, where all runs say the same."""
    found = set()
    for run in sorted({str(row.summary["run"]) for row in rows}):
        if (Path(run) / "training.csv").is_file():
            found.add(read_json(Path(run) / "run.json")["settings"]["training"]["validation_nfe"])
    return f"at most {counted(found.pop(), 'network evaluation')}, " if len(found) == 1 else ""


def _drawn(curves: Sequence[_Curve], *, wide: bool) -> tuple[Canvas, bool]:
    """The figure, and whether something lies below its axis."""
    height = max(2.3, 0.17 * len(curves) + 0.6)
    width, margin = (DOUBLE, 1.75) if wide else (SINGLE, 1.25)
    canvas = Canvas((width, height))
    left, below, top = 0.5, 0.38, 0.08
    axes = canvas.add_axes(
        (
            left / width,
            below / height,
            (width - left - margin) / width,
            (height - below - top) / height,
        )
    )
    for curve in reversed(curves):
        style = look(curve.method)
        axes.plot(
            curve.iterations,
            curve.mean,
            **style.line,
            linewidth=1.8 if curve.method == "ir-sde" else 1.2,
            marker=style.marker,
            markerfacecolor=style.color if style.filled else "white",
            markevery=max(1, len(curve.iterations) // 6),
        )
        if curve.seeds > 1:
            axes.fill_between(
                curve.iterations, curve.low, curve.high, color=style.color, alpha=0.15, linewidth=0
            )
    finals = np.array([curve.mean.iloc[-1] for curve in curves])
    highest = max(curve.high.max() for curve in curves)
    lowest = min(curve.low.min() for curve in curves)
    room = max(highest - finals.min(), 0.5)
    bottom = max(lowest - 0.05 * room, finals.min() - max(1.2 * room, 3))
    axes.set_ylim(bottom, highest + 0.05 * room)
    axes.set_xlim(0, 1.015 * max(curve.iterations[-1] for curve in curves))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set(xlabel="iteration", ylabel="validation PSNR (dB)")
    shorten: Callable[[str], str] = str if wide else _shortened
    label_ends(
        axes,
        [
            (
                float(curve.iterations[-1]),
                float(curve.mean.iloc[-1]),
                shorten(curve.label),
                look(curve.method).color,
            )
            for curve in curves
        ],
    )
    return canvas, bool(bottom > lowest)


def _shortened(label: str) -> str:
    """Label within an ablation of IR-SDE: what differs."""
    return label.removeprefix("IR-SDE, ")
