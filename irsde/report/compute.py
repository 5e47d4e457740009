"""Quality against compute: the stored weights of each training, their trends and crossings."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import EngFormatter, FixedLocator, NullLocator
from numpy.typing import NDArray

from irsde.drawing import DOUBLE, STYLE, look, save
from irsde.experiment.options import OPTIONS
from irsde.experiment.provenance import read_network_run
from irsde.files import key_of
from irsde.report.captions import about_images, about_sampling, about_scores, counted
from irsde.report.judging import (
    METHOD,
    Metric,
    ends,
    headline,
    interval_text,
    mean_cell,
    named_lines,
    signed,
    titles,
)
from irsde.report.results import Entry, Row, by_table, entries
from irsde.report.table import Cell, Column, Figure, Line, Table
from irsde.scoring.statistics import SIGNIFICANCE, Estimate, compare, paired_difference

TREND = 4  # last snapshots that a trend is fitted to
REFERENCE = "regression"
BACKWARD = 2  # multiply-accumulates of a backward pass, by those of the forward pass
LABELS = 5  # below a panel at most; beyond, every other iteration has one
REACH = 10  # a crossing is extrapolated to this many times the last iteration at most


@dataclass(frozen=True)
class Curve:
    """One method at the iterations of its snapshots, all else being the same.

    Parameters
    ----------
    entries : tuple of Entry
        In the order of the iterations; at least two.
    """

    entries: tuple[Entry, ...]

    @property
    def first(self) -> Row:
        """Where what all have in common can be read."""
        return self.entries[0].first

    @property
    def label(self) -> str:
        """Method, and its sampler where it has one."""
        summary = self.first.summary
        if summary.sampler == "direct":
            return self.first.label
        return f"{self.first.label}, {summary.sampler}, {summary.nfe} NFE"

    @cached_property
    def iterations(self) -> NDArray[np.float64]:
        """Iteration of each entry."""
        return np.array([e.first.summary.snapshot for e in self.entries], dtype=np.float64)

    @cached_property
    def spent(self) -> NDArray[np.float64]:
        """Multiply-accumulates of the training up to each entry: forward and backward passes."""
        from irsde.restoration.cost import multiply_accumulates
        from irsde.restoration.restorer import build_network, restorer_of
        from irsde.training.update import patch_at

        _, settings = read_network_run(Path(self.first.summary.run))
        recipe = settings.training
        assert recipe is not None
        restorer = restorer_of(settings, build_network(settings))
        of_side = {
            side: (1 + BACKWARD) * recipe.batch * multiply_accumulates(restorer, side, side)
            for side in {recipe.patch, recipe.late_patch or recipe.patch}
        }
        reached = self.iterations.astype(int)
        each = [of_side[patch_at(recipe, k)] for k in range(reached[-1])]
        spent: NDArray[np.float64] = np.cumsum(each, dtype=np.float64)[reached - 1]
        return spent

    def estimates(self, metric: str) -> list[Estimate]:
        """Mean over images of each entry, with its interval; none unless all have the metric."""
        values = self.values(metric)
        return compare(values, [], self.entries[0].scenes).means if values else []

    def slope(self, metric: str) -> Estimate | None:
        """Change at a doubling of the iterations, fitted to the last snapshots; None without.

        The fit is linear in the values of every image, so its interval is one over scenes and
        training seeds, like that of a mean.
        """
        values = self.values(metric)[-TREND:]
        if len(values) < 2:
            return None
        doublings = np.log2(self.iterations[-len(values) :])
        weights = doublings - doublings.mean()
        weights /= (weights**2).sum()
        of_images = sum(w * v for w, v in zip(weights, values, strict=True))
        return compare([np.asarray(of_images)], [], self.entries[0].scenes).means[0]

    def values(self, metric: str) -> list[NDArray[np.float64]]:
        """Metric of each entry, of shape (seeds, images); none unless all have it."""
        values = [array for e in self.entries if (array := e.values(metric)) is not None]
        return values if len(values) == len(self.entries) else []


def curves(rows: Sequence[Row]) -> list[Curve]:
    """Curves of one task and data set, in the order of the rows."""
    grouped: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        names = [n for n, option in OPTIONS.items() if not option.repeats and n != "snapshot"]
        key = (row.method, *(getattr(row.summary, name) for name in names))
        grouped.setdefault(key, []).append(row)
    ordered = [
        sorted(entries(group), key=lambda entry: entry.first.summary.snapshot)
        for group in grouped.values()
    ]
    return [Curve(tuple(group)) for group in ordered if len(group) > 1]


def crossing(curve: Curve, reference: Curve, metric: Metric) -> str:
    """Where a curve overtakes another or falls behind it, in words.

    Between two snapshots the difference is taken as linear in the logarithm of the iterations;
    beyond the last, by the trends of both. Last comes whether the paired difference at the last
    snapshot of both is not significant.
    """
    of_both = sorted({*curve.iterations} & {*reference.iterations})
    found, other = (
        dict(zip(one.iterations, one.values(metric.name), strict=False))
        for one in (curve, reference)
    )
    if len(of_both) < 2 or not found or not other:
        return "n/a"
    scenes = curve.entries[0].scenes
    differences = [paired_difference(found[n], other[n], scenes) for n in of_both]
    words = _crossing(curve, reference, metric, of_both, [d.mean for d in differences])
    if differences[-1].p_value < SIGNIFICANCE:
        return words
    return f"{words}; not told apart at {_thousands(of_both[-1])}"


def _crossing(
    curve: Curve,
    reference: Curve,
    metric: Metric,
    of_both: Sequence[float],
    differences: Sequence[float],
) -> str:
    sign = 1 if metric.higher_is_better else -1
    ahead = [sign * difference for difference in differences]
    for k in range(len(of_both) - 1, 0, -1):
        if (ahead[k] > 0) != (ahead[k - 1] > 0):
            share = ahead[k - 1] / (ahead[k - 1] - ahead[k])
            place = of_both[k - 1] * (of_both[k] / of_both[k - 1]) ** share
            return f"{'overtakes' if ahead[k] > 0 else 'falls behind'} at {_thousands(place)}"
    slopes = [one.slope(metric.name) for one in (curve, reference)]
    where = "ahead throughout" if ahead[-1] > 0 else "behind throughout"
    if slopes[0] is None or slopes[1] is None:
        return where
    closing = -sign * (slopes[0].mean - slopes[1].mean) * math.copysign(1, ahead[-1])
    doublings = abs(ahead[-1]) / closing if closing > 0 else math.inf
    if doublings > math.log2(REACH):
        return where
    return f"{where}; by the trends to {_thousands(of_both[-1] * 2**doublings)}"


def _thousands(iterations: float) -> str:
    digits = max(0, int(math.log10(iterations)) - 1)
    return f"{round(iterations / 10**digits) * 10**digits:,}"


def compute_tables(rows: Sequence[Row]) -> list[Table]:
    """What each training reached, what a doubling gave, and where curves cross."""
    named = titles(rows)
    return [
        _table(of_table, group, named[names])
        for names, of_table in by_table(rows).items()
        if (group := curves(of_table))
    ]


def _table(rows: Sequence[Row], group: Sequence[Curve], title: str) -> Table:
    metrics = headline(rows)
    first = group[0].first
    reference = next((c for c in group if c.first.method == REFERENCE), group[0])
    columns = [METHOD, Column("iterations", "iterations"), Column("macs", "multiply-accumulates")]
    for metric in metrics:
        columns += [
            metric.column,
            Column(f"{metric.name}_doubling", f"{metric.label} at a doubling"),
            Column(f"{metric.name}_crossing", f"against {reference.first.label}", numeric=False),
        ]
    lasts = [curve.entries[-1] for curve in group]
    lines = []
    for curve, last, (key, name) in zip(group, lasts, named_lines(lasts), strict=True):
        reached, spent = float(curve.iterations[-1]), float(curve.spent[-1])
        cells = [
            Cell(curve.label, sources=name.sources),
            Cell(f"{int(reached):,}", reached, sources=last.sources),
            Cell(f"{spent:.1e}", spent, sources=last.sources),
        ]
        for metric in metrics:
            cells += _cells(curve, reference, metric)
        lines.append(Line(key, tuple(cells)))
    return Table(
        key=key_of("compute", first.task, first.dataset),
        title=f"{title}: quality against compute",
        section=str(first.summary.task_label),
        caption=(
            f"Values at the last stored weights. A doubling: the change when the iterations "
            f"double, fitted to the last {TREND} stored weights, with its 95 % interval. Against "
            f"{reference.first.label}: where the curves cross, between stored weights or, beyond "
            f"the last, by both trends up to {REACH} times the iterations; trends need not go on. "
            f"Not told apart: the p-value of the paired difference is above {SIGNIFICANCE:g}. "
            f"Multiply-accumulates are those of forward and backward passes. "
            f"{about_images(first)} {about_scores(first, [m.name for m in metrics])} "
            f"{about_sampling(lasts)}"
        ),
        columns=tuple(columns),
        lines=tuple(lines),
        figure=key_of("compute", first.task, first.dataset),
    )


def _cells(curve: Curve, reference: Curve, metric: Metric) -> list[Cell]:
    last = curve.entries[-1]
    of_all = tuple(source for entry in curve.entries for source in entry.sources)
    estimates, slope = curve.estimates(metric.name), curve.slope(metric.name)
    if not estimates or slope is None:
        return [Cell("n/a", reason=last.missing(metric.name))] * 3
    low, high = ends(slope)
    interval = interval_text(slope, metric.decimals, sign=True)
    text = f"{signed(slope.mean, metric.decimals)} ({interval})"
    words = "" if curve is reference else crossing(curve, reference, metric)
    return [
        mean_cell(estimates[-1], metric, last),
        Cell(text, slope.mean, low, high, sources=of_all),
        Cell(words, sources=(*of_all, *(s for e in reference.entries for s in e.sources))),
    ]


def compute_figures(rows: Sequence[Row], budget: str, folder: Path) -> list[Figure]:
    """Draw the curves of each task and data set: `compute-<task>-<dataset>`.

    Parameters
    ----------
    rows : sequence of Row
        Evaluations of stored weights.
    budget : str
        Caption of the profile.
    folder : Path
        Where the files are written.
    """
    figures = []
    for of_table in by_table(rows).values():
        group = curves(of_table)
        shown = [m for m in headline(of_table) if all(c.estimates(m.name) for c in group)]
        if group and shown:
            figures.append(_figure(group, shown, budget, folder))
    return figures


def _figure(group: Sequence[Curve], metrics: Sequence[Metric], budget: str, folder: Path) -> Figure:
    first = group[0].first
    sizes = {curve.spent[0] / curve.iterations[0] for curve in group}
    across = ["iterations", *(["multiply-accumulates"] if len(sizes) > 1 else [])]
    with mpl.rc_context(STYLE):
        canvas = Canvas((DOUBLE, 0.6 + 2.4 * len(across)), layout="constrained")
        panels = canvas.subplots(len(across), len(metrics), squeeze=False)
        for place, what in enumerate(across):
            for axes, metric in zip(panels[place], metrics, strict=True):
                _panel(axes, group, metric, what)
        handles, labels = panels[0][0].get_legend_handles_labels()
        canvas.legend(handles, labels, loc="outside lower center", ncols=2)
    key = key_of("compute", first.task, first.dataset)
    save(canvas, folder, key, drawing=True)
    each = next(iter(sizes))
    scale = "" if len(sizes) > 1 else f"An iteration takes {each:.2g} multiply-accumulates. "
    every = [entry for curve in group for entry in curve.entries]
    return Figure(
        key=key,
        title=f"{first.summary.dataset.label}: quality against compute",
        section=str(first.summary.task_label),
        caption=(
            f"{counted(len(group), 'training')} at the iterations whose weights were stored, as "
            f"averages of one relative width. {scale}Bars are 95 % intervals of each mean. Thin "
            f"lines: trends of the last {TREND}, drawn on to twice the iterations. "
            f"{about_images(first)} {about_scores(first, [m.name for m in metrics])} "
            f"{about_sampling(every)} {budget}"
        ),
        alternative=" ".join(
            f"{curve.label}: {metric.label} from {es[0].mean:.{metric.decimals}f} at "
            f"{int(curve.iterations[0]):,} to {es[-1].mean:.{metric.decimals}f} at "
            f"{int(curve.iterations[-1]):,} iterations."
            for curve in group
            for metric in metrics
            for es in [curve.estimates(metric.name)]
        ),
        sources=tuple(source for entry in every for source in entry.sources),
    )


def _panel(axes: Axes, group: Sequence[Curve], metric: Metric, what: str) -> None:
    for curve in group:
        x = curve.iterations if what == "iterations" else curve.spent
        estimates = curve.estimates(metric.name)
        mean = np.array([e.mean for e in estimates])
        style = look(curve.first.method)
        spread = np.array([(e.mean - e.low, e.high - e.mean) for e in estimates]).T
        face = style.color if style.filled else "white"
        axes.plot(
            x, mean, **style.line, marker=style.marker, markerfacecolor=face,
            label=curve.label, zorder=3,
        )  # fmt: skip
        if np.isfinite(spread).all():
            axes.errorbar(
                x, mean, np.maximum(spread, 0), fmt="none", ecolor=style.color, elinewidth=0.6
            )
        if slope := curve.slope(metric.name):
            last = min(TREND, len(x))
            middle = np.log2(x[-last:]).mean()
            level = mean[-last:].mean()
            beyond = np.array([x[-last], 2 * x[-1]])
            line = level + slope.mean * (np.log2(beyond) - middle)
            axes.plot(beyond, line, color=style.color, linewidth=0.5, zorder=2)
    axes.set_xscale("log")
    if what == "iterations":
        stored = sorted({int(n) for curve in group for n in curve.iterations})
        apart = 1 if len(stored) <= LABELS else 2
        axes.xaxis.set_major_locator(FixedLocator(stored[::-apart]))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set(xlabel=what, ylabel=metric.column.heading)
