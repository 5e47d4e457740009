"""Quality as points: the perception-distortion plane, and two methods image by image."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from irsde.drawing import ACCENT, DASHED, DOUBLE, GRAY, LIGHT, SINGLE, SMALL, STYLE, look, save
from irsde.files import key_of
from irsde.report.captions import about_images, about_scores, about_seeds, counted, joined
from irsde.report.charts import PAPERS_SAMPLER, Sweep
from irsde.report.judging import Metric, headline, signed
from irsde.report.results import Entry, Row, entries
from irsde.report.table import Figure
from irsde.scoring.metrics import METRICS
from irsde.scoring.protocols import PERCEPTUAL
from irsde.scoring.statistics import Difference, Estimate, compare, mean_estimate, paired_difference

FEW = 5  # methods that fit into one column
MARKED = 10  # network evaluations that are named between the first and the last
FAR = 8  # median distances from the median: beyond that a method does not set the limits
BINS = 20
BEYOND = (0, (1, 2))  # dots: a line that leads to a point beyond the axes
Limits = tuple[tuple[float, float], tuple[float, float]]  # of both metrics


@dataclass(frozen=True)
class _Point:
    """A method in the plane."""

    entry: Entry
    fidelity: Estimate
    perception: Estimate


@dataclass(frozen=True)
class _Curve:
    """A method with one sampler in the plane, over its network evaluations."""

    method: str
    sampler: str
    nfe: tuple[int, ...]
    fidelity: NDArray[np.float64]
    perception: NDArray[np.float64]


def plane_figure(
    rows: Sequence[Row], swept: Sequence[Sweep], budget: str, folder: Path
) -> Figure | None:
    """Draw the protocol's PSNR against a perceptual metric, a point for each method.

    The metric is the one that most methods have, LPIPS before others. Better is up and to the
    right.

    Parameters
    ----------
    rows : sequence of Row
        Evaluations of one task and data set.
    swept : sequence of Sweep
        Those of the same task and data set; the best sampler of each and the paper's are drawn as
        curves over the network evaluations.
    budget : str
        Caption of the profile.
    folder : Path
        Where `plane-<task>-<dataset>` is written.

    Returns
    -------
    Figure or None
        None where fewer than two methods have both metrics.
    """
    perceptual = [metric for metric in headline(rows) if metric.name in PERCEPTUAL]
    of_metrics = [(metric, _points(rows, metric)) for metric in perceptual]
    metric, points = max(of_metrics, key=lambda one: len(one[1]), default=(None, []))
    if metric is None or len(points) < 2:
        return None
    curves = [curve for sweep in swept for curve in _curves(sweep, metric)]
    first = rows[0]
    name = METRICS[metric.name].label
    inverted = "" if metric.higher_is_better else ", axis inverted,"
    key = key_of("plane", first.task, first.dataset)
    with mpl.rc_context(STYLE):
        canvas, outside, limits = _plane(points, curves, metric)
    save(canvas, folder, key, drawing=True)
    lines = [f"{_label_of(points, c.method)} with {c.sampler}" for c in curves]
    over = f"Lines: {', '.join(lines)}; numbers are their network evaluations. "
    if left_out := [text for curve in curves for text in _beyond(points, curve, limits, metric)]:
        over += f"Dotted where they lead beyond the axes: {'; '.join(left_out)}. "
    return Figure(
        key=key,
        title=f"{first.summary.task_label}, {first.summary.dataset.label}: "
        "perception and distortion",
        section=str(first.summary.task_label),
        caption=(
            f"Mean {name}{inverted} against mean {_psnr(first).label}: better is up and to "
            "the right. "
            f"{counted(len(points), 'method')}; bars are 95 % intervals. "
            + (over if curves else "")
            + (
                f"Beyond the axes, in the direction of the arrow: {joined(outside)}. "
                if outside
                else ""
            )
            + f"{about_images(first)} {about_scores(first, [metric.name])} "
            f"{about_seeds([point.entry for point in points])} {budget}"
        ),
        alternative=f"{_psnr(first).label} and {name} of each method: "
        + "; ".join(
            f"{p.entry.first.label} {p.fidelity.mean:.2f} dB and "
            f"{p.perception.mean:.{metric.decimals}f}"
            for p in points
        )
        + ".",
        sources=tuple(
            source
            for entry in (*(p.entry for p in points), *(e for s in swept for e in s.entries))
            for source in entry.sources
        ),
    )


def _psnr(row: Row) -> Metric:
    """PSNR of the protocol's channel."""
    return headline([row])[0]


def _points(rows: Sequence[Row], metric: Metric) -> list[_Point]:
    usual: list[Entry] = []
    fidelities: list[NDArray[np.float64]] = []
    perceptions: list[NDArray[np.float64]] = []
    for entry in entries(rows):
        fidelity, perception = (entry.values(of.name) for of in (_psnr(entry.first), metric))
        is_finite = fidelity is not None and np.isfinite(fidelity).all(axis=0).any()
        if fidelity is not None and perception is not None and is_finite:
            usual.append(entry)
            fidelities.append(fidelity)
            perceptions.append(perception)
    if not usual:
        return []
    fidelity_of, perception_of = (
        compare(arrays, [], usual[0].scenes).means for arrays in (fidelities, perceptions)
    )
    return [_Point(*parts) for parts in zip(usual, fidelity_of, perception_of, strict=True)]


def _curves(sweep: Sweep, metric: Metric) -> list[_Curve]:
    fidelity_name = _psnr(sweep.first).name
    if not {fidelity_name, metric.name} <= set(sweep.values):
        return []
    curves = []
    ranked = sweep.ranked()
    papers = [PAPERS_SAMPLER] if PAPERS_SAMPLER in ranked else []
    for sampler in dict.fromkeys([ranked[0], *papers]):
        fidelity, perception = (
            sweep.values[name][sampler] for name in (fidelity_name, metric.name)
        )
        nfe = tuple(sorted(fidelity))
        curves.append(
            _Curve(
                sweep.first.method,
                sampler,
                nfe,
                np.array([fidelity[n].mean for n in nfe]),
                np.array([perception[n].mean for n in nfe]),
            )
        )
    return curves


def _label_of(points: Sequence[_Point], method: str) -> str:
    labels = [point.entry.first.label for point in points if point.entry.first.method == method]
    return labels[0] if labels else method


def _plane(
    points: Sequence[_Point], curves: Sequence[_Curve], metric: Metric
) -> tuple[Canvas, list[str], Limits]:
    """The figure, the labels of the methods beyond its axes, and their limits."""
    (left, right), (low, high) = limits = (
        _span(points, "fidelity", with_curves=bool(curves)),
        _span(points, "perception", with_curves=bool(curves)),
    )
    wide = len(points) > FEW or bool(curves)
    height = max(3.4, 0.17 * (len(points) + len(curves)))  # as many lines has the legend
    canvas = Canvas((DOUBLE, height) if wide else (SINGLE, 3.3), layout="constrained")
    axes = canvas.subplots()
    axes.set(xlim=(left, right), ylim=(low, high) if metric.higher_is_better else (high, low))
    outside = []
    for point in sorted(points, key=lambda point: -point.fidelity.mean):
        style, label = look(point.entry.first.method), point.entry.first.label
        x, y = point.fidelity, point.perception
        if left < x.mean < right and low < y.mean < high:
            for ends in (([x.low, x.high], [y.mean] * 2), ([x.mean] * 2, [y.low, y.high])):
                axes.plot(*ends, color=style.color, linewidth=0.7, alpha=0.55, zorder=2)
        else:
            outside.append(label)
            label = f"{_arrow(point, limits, metric)} {label} ({_pair_of(x.mean, y.mean, metric)})"
        axes.plot(x.mean, y.mean, **style.points, markersize=6, zorder=3, label=label)
    for curve in curves:
        _draw_curve(axes, curve, limits, _label_of(points, curve.method))
    label = _psnr(points[0].entry.first).label
    inverted = "" if metric.higher_is_better else ", inverted"
    name = METRICS[metric.name].label
    axes.set(xlabel=f"{label}, better →", ylabel=f"{name}{inverted}, better →")
    axes.grid(visible=True, color="#eeeeee", linewidth=0.6)
    axes.set_axisbelow(True)
    canvas.legend(loc="outside right upper" if wide else "outside lower center", handlelength=2)
    return canvas, outside, limits


def _draw_curve(axes: Axes, curve: _Curve, limits: Limits, label: str) -> None:
    """A curve within the limits; the first and the last network evaluations and ten are named."""
    within = _within(curve, limits)
    color = look(curve.method).color
    axes.plot(
        np.where(within, curve.fidelity, np.nan),
        np.where(within, curve.perception, np.nan),
        linestyle=DASHED if curve.sampler == PAPERS_SAMPLER else "-",
        marker=".",
        markersize=4,
        label=f"{label}, {curve.sampler}",
        color=color,
        linewidth=0.8,
        zorder=1,
    )
    for piece in range(len(curve.nfe) - 1):
        ends = slice(piece, piece + 2)
        if not within[ends].all():
            x, y = curve.fidelity[ends], curve.perception[ends]
            axes.plot(x, y, linestyle=BEYOND, color=color, linewidth=0.8, zorder=1)
    seen = np.flatnonzero(within)
    for index in seen:
        if index in (seen[0], seen[-1]) or curve.nfe[index] == MARKED:
            axes.annotate(
                str(curve.nfe[index]),
                (curve.fidelity[index], curve.perception[index]),
                xytext=(3, -3),
                textcoords="offset points",
                va="top",
                fontsize=SMALL,
                color=color,
                path_effects=[withStroke(linewidth=1.5, foreground="white")],
                zorder=4,
            )


def _pair_of(fidelity: float, perception: float, metric: Metric) -> str:
    return f"{fidelity:.2f} dB, {perception:.{metric.decimals - 1}f}"


def _arrow(point: _Point, limits: Limits, metric: Metric) -> str:
    """The direction of a point beyond the axes; up is better."""
    across, along = limits
    x = int(point.fidelity.mean > across[1]) - int(point.fidelity.mean < across[0])
    y = int(point.perception.mean > along[1]) - int(point.perception.mean < along[0])
    y *= 1 if metric.higher_is_better else -1
    return {-1: "↙←↖", 0: "↓·↑", 1: "↘→↗"}[x][y + 1]


def _span(
    points: Sequence[_Point], metric: Literal["fidelity", "perception"], *, with_curves: bool
) -> tuple[float, float]:
    """Limits that hold the intervals of trained methods but of those far from all the others."""
    trained = [point for point in points if point.entry.first.summary.parameters]
    estimates = [
        getattr(point, metric)
        for point in (trained if len(trained) > (1 if with_curves else 2) else points)
    ]
    means = np.array([estimate.mean for estimate in estimates])
    away = np.abs(means - np.median(means))
    if len(means) > 3 and np.median(away) > 0:
        near = away <= FAR * np.median(away)
        estimates = [one for one, is_near in zip(estimates, near, strict=True) if is_near]
    ends = [end for e in estimates for end in (e.mean, e.low, e.high) if np.isfinite(end)]
    room = 0.1 * (max(ends) - min(ends)) or 0.1
    return min(ends) - room, max(ends) + room


def _within(curve: _Curve, limits: Limits) -> NDArray[np.bool_]:
    """Which points of a curve are within the axes."""
    (left, right), (low, high) = limits
    x, y = curve.fidelity, curve.perception
    within: NDArray[np.bool_] = (left < x) & (x < right) & (low < y) & (y < high)
    return within


def _beyond(points: Sequence[_Point], curve: _Curve, limits: Limits, metric: Metric) -> list[str]:
    """What a caption says of the points of a curve beyond the axes: at most one text."""
    values = [
        f"{nfe} ({_pair_of(x, y, metric)})"
        for nfe, x, y, within in zip(
            curve.nfe, curve.fidelity, curve.perception, _within(curve, limits), strict=True
        )
        if not within
    ]
    name = f"{_label_of(points, curve.method)} with {curve.sampler}"
    return [f"{name} at {joined(values)}"] if values else []


def scatter_figure(rows: Sequence[Row], budget: str, folder: Path) -> Figure | None:
    """Draw the protocol's PSNR of every image by two methods, and the differences.

    Parameters
    ----------
    rows : sequence of Row
        Evaluations of one task and data set.
    budget : str
        Caption of the profile.
    folder : Path
        Where `scatter-<task>-<dataset>` is written.

    Returns
    -------
    Figure or None
        None where two methods with a network, or three images, are not there. The methods are the
        best one and direct regression, or the two best where there is no regression.
    """
    pair = _pair(rows)
    if pair is None or len(rows[0].per_image) < 3:
        return None
    one, other = pair
    psnr = _psnr(one.first)
    a, b = (entry.values(psnr.name) for entry in pair)
    assert a is not None
    assert b is not None
    difference = paired_difference(a, b, one.scenes)
    finite = np.isfinite(a).all(axis=0) & np.isfinite(b).all(axis=0)
    if finite.sum() < 3:
        return None
    first = one.first
    names = (one.first.label, other.first.label)
    key = key_of("scatter", first.task, first.dataset)
    with mpl.rc_context(STYLE):
        one_shown, other_shown = (values[:, finite].mean(axis=0) for values in (a, b))
        canvas = _scatter(one_shown, other_shown, names, pair, difference)
    save(canvas, folder, key, drawing=True)
    mean, low, high = (signed(v, 2) for v in (difference.mean, difference.low, difference.high))
    interval = f"[{low}, {high}]"
    left_out = f" {counted(difference.exact, 'image')} restored exactly by one of them are excluded"
    count = len(first.per_image)
    return Figure(
        key=key,
        title=f"{first.summary.task_label}, {first.summary.dataset.label}: "
        f"{names[0]} and {names[1]} image by image",
        section=str(first.summary.task_label),
        caption=(
            f"Left: {psnr.label} of each of {counted(count, 'image')} by {names[0]} and by "
            f"{names[1]}; above the diagonal {names[0]} is better. Right: histogram of the "
            f"differences, their mean {mean} dB and its 95 % interval {interval} dB. {names[0]} is "
            f"better on {100 * difference.wins:.0f} % of the images."
            f"{f'{left_out}.' if difference.exact else ''} {about_images(first)} "
            f"{about_scores(first)} {about_seeds(pair)} {budget}"
        ),
        alternative=(
            f"{names[0]} minus {names[1]}: {mean} dB on average, interval "
            f"{interval}, better on {100 * difference.wins:.0f} % of {counted(count, 'image')}."
        ),
        sources=tuple(source for entry in pair for source in entry.sources),
    )


def _pair(rows: Sequence[Row]) -> tuple[Entry, Entry] | None:
    """The best trained method and regression, or the two best."""
    scored = [
        (mean, entry)
        for entry in entries(rows)
        if entry.first.summary.parameters
        and (values := entry.values(_psnr(entry.first).name)) is not None
        and math.isfinite(mean := mean_estimate(values, entry.scenes).mean)
    ]
    ranked = [entry for _, entry in sorted(scored, key=lambda item: -item[0])]
    if len(ranked) < 2:
        return None
    regression = [entry for entry in ranked if entry.first.method == "regression"]
    others = [entry for entry in ranked if entry.first.method != "regression"]
    return (others[0], regression[0]) if regression else (ranked[0], ranked[1])


def _scatter(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    names: tuple[str, str],
    pair: tuple[Entry, Entry],
    difference: Difference,
) -> Canvas:
    canvas = Canvas((DOUBLE, 2.75), layout="constrained")
    axes, beside = canvas.subplots(1, 2, width_ratios=(1, 1.6))
    low, high = min(a.min(), b.min()), max(a.max(), b.max())
    room = 0.05 * (high - low)
    label = _psnr(pair[0].first).label
    axes.plot([low - room, high + room], [low - room, high + room], color=GRAY, linewidth=0.7)
    style = look(pair[0].first.method)
    axes.plot(
        b,
        a,
        linestyle="none",
        marker="o",
        markersize=3.5,
        markerfacecolor=(style.color, 0.5),
        markeredgecolor=style.color,
        markeredgewidth=0.4,
    )
    axes.set(
        box_aspect=1,
        xlim=(low - room, high + room),
        ylim=(low - room, high + room),
        xlabel=f"{label}, {names[1]}",
        ylabel=f"{label}, {names[0]}",
    )
    axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(5))
    axes.yaxis.set_major_locator(mpl.ticker.MaxNLocator(5))
    _histogram(beside, a - b, names, difference)
    return canvas


def _histogram(
    axes: Axes, differences: NDArray[np.float64], names: tuple[str, str], difference: Difference
) -> None:
    bins = np.histogram_bin_edges(differences, bins="auto")
    if len(bins) > BINS + 1:
        bins = np.linspace(bins[0], bins[-1], BINS + 1)
    counts, *_ = axes.hist(
        differences, bins=bins.tolist(), color=LIGHT, edgecolor="white", linewidth=0.5
    )
    top = float(np.max(counts))
    axes.axvline(0, color="black", linewidth=0.7)
    axes.set_ylim(0, 1.3 * top)
    if np.isfinite([difference.low, difference.high]).all():
        axes.plot([difference.low, difference.high], [1.09 * top] * 2, color=ACCENT, linewidth=1.2)
    axes.plot(difference.mean, 1.09 * top, marker="o", color=ACCENT)
    axes.text(
        difference.mean,
        1.15 * top,
        f"mean {signed(difference.mean, 2)} dB",
        ha="center",
        va="bottom",
        color=ACCENT,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
    )
    axes.set(xlabel=f"{names[0]} − {names[1]} (dB)", ylabel="images")
    axes.yaxis.set_major_locator(mpl.ticker.MaxNLocator(5, integer=True))
