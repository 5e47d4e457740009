"""Quality against the number of network evaluations, for every sampler of a sweep."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator
from scipy.stats import rankdata

from irsde.report.captions import about_images, about_sampling, about_scores, counted, joined
from irsde.report.cells import sampler_of
from irsde.report.figure import Figure
from irsde.report.judging import Metric, headline
from irsde.report.rows import Entry, Row, entries
from irsde.report.style import DOUBLE, GRAY, LIGHT, STYLE, key_of, sampler_look, save
from irsde.statistics import Estimate, compare

PAPERS_SAMPLER = "euler-maruyama"
PAPERS_NFE = 100
BEST = 4
FEW = 6  # samplers that can all be told apart


@dataclass(frozen=True)
class Sweep:
    """Evaluations of one method on one data set.

    Parameters
    ----------
    entries : tuple of Entry
    values : dict of str to dict
        Metric → sampler → NFE → estimate, for those of `judging.headline` that all entries have.
    """

    entries: tuple[Entry, ...]
    values: dict[str, dict[str, dict[int, Estimate]]]

    @property
    def samplers(self) -> list[str]:
        """Names of the samplers, in the order of the evaluations."""
        return list(next(iter(self.values.values())))

    @property
    def first(self) -> Row:
        """Where what all have in common can be read."""
        return self.entries[0].first

    def metric(self, name: str) -> Metric:
        """Label, decimals and direction of a metric."""
        return next(metric for metric in headline(self.first) if metric.name == name)

    def ranked(self) -> list[str]:
        """Samplers by their mean rank over all metrics and numbers of evaluations, best first.

        Ranks go from 0 to 1 among the samplers that have a number; alone, there is none.
        """
        ranks: dict[str, list[float]] = {sampler: [] for sampler in self.samplers}
        for name, of_metric in self.values.items():
            sign = -1 if self.metric(name).higher_is_better else 1
            for nfe in sorted({nfe for of_sampler in of_metric.values() for nfe in of_sampler}):
                compared = [sampler for sampler in of_metric if nfe in of_metric[sampler]]
                means = [sign * of_metric[sampler][nfe].mean for sampler in compared]
                if len(means) < 2:
                    continue
                for sampler, rank in zip(compared, rankdata(means), strict=True):
                    ranks[sampler].append((float(rank) - 1) / (len(means) - 1))
        return sorted(ranks, key=lambda sampler: float(np.mean(ranks[sampler] or [1.0])))


def sweeps(rows: Sequence[Row]) -> list[Sweep]:
    """Sweeps of each task, data set and method with at least two numbers of evaluations."""
    found: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        if row.summary["nfe"]:
            found.setdefault((row.task, row.dataset, row.method), []).append(row)
    made = []
    for of_method in found.values():
        grouped = entries(of_method)
        if len({entry.first.summary["nfe"] for entry in grouped}) >= 2:
            made.append(Sweep(tuple(grouped), _estimates(grouped)))
    return [sweep for sweep in made if sweep.values]


def _estimates(grouped: Sequence[Entry]) -> dict[str, dict[str, dict[int, Estimate]]]:
    estimates: dict[str, dict[str, dict[int, Estimate]]] = {}
    for name in [metric.name for metric in headline(grouped[0].first)]:
        values = [array for entry in grouped if (array := entry.values(name)) is not None]
        if len(values) < len(grouped):
            continue
        found = compare(values, [], grouped[0].scenes).means
        for entry, estimate in zip(grouped, found, strict=True):
            of_sampler = estimates.setdefault(name, {}).setdefault(sampler_of(entry.first), {})
            of_sampler[int(entry.first.summary["nfe"])] = estimate
    return estimates


def sweep_figure(sweep: Sweep, budget: str, folder: Path) -> Figure:
    """Draw a panel for each metric: the mean over images against the network evaluations.

    Parameters
    ----------
    sweep : Sweep
    budget : str
        Caption of the profile.
    folder : Path
        Where `nfe-<task>-<dataset>-<method>` is written.

    Notes
    -----
    Of more than six samplers the paper's and the four that are best on average over metrics and
    numbers of evaluations have colours and intervals, the others are grey.
    """
    first = sweep.first
    ranked = sweep.ranked()
    shown = ranked if len(ranked) <= FEW else ranked[:BEST]
    if PAPERS_SAMPLER in ranked and PAPERS_SAMPLER not in shown:
        shown = [*shown, PAPERS_SAMPLER]
    others = [sampler for sampler in sweep.samplers if sampler not in shown]
    reference = next(
        (
            sampler
            for sampler in (PAPERS_SAMPLER, "posterior")
            if PAPERS_NFE in next(iter(sweep.values.values())).get(sampler, {})
        ),
        "",
    )
    with mpl.rc_context(STYLE):
        canvas, cut = _drawn(sweep, shown, others, reference)
    key = key_of("nfe", first.task, first.dataset, first.method)
    save(canvas, folder, key, drawing=True)
    lpips = "lpips" in sweep.values
    trained = sorted({seed for entry in sweep.entries for seed in entry.training_seeds})
    return Figure(
        key=key,
        title=f"{first.label} on {first.summary['dataset']['label']}: samplers",
        section=str(first.summary["task_label"]),
        caption=(
            f"Means over images against the number of network evaluations, "
            f"{counted(len(sweep.samplers), 'sampler')} with the same weights. "
            + (
                f"In colour the {BEST} with the best mean rank over all metrics and numbers of "
                f"evaluations, and the paper's; in grey {joined(others)}. "
                if others
                else ""
            )
            + (f"Dashed: {reference} with {PAPERS_NFE} evaluations. " if reference else "")
            + "Bars are 95 % intervals of each mean, side by side for legibility; they hold the "
            "spread of the images, which paired differences do not. "
            + ("What lies beyond a panel's edge is cut off. " if cut else "")
            + f"{about_images(first)} {about_scores(first, lpips=lpips)} "
            f"Training seeds: {', '.join(map(str, trained))}. {about_sampling(sweep.entries)} "
            f"{budget}"
        ),
        alternative=_alternative(sweep, ranked),
        sources=tuple(source for entry in sweep.entries for source in entry.sources),
    )


def _alternative(sweep: Sweep, ranked: Sequence[str]) -> str:
    parts = []
    for name, of_metric in sweep.values.items():
        metric = sweep.metric(name)
        words = []
        for sampler in ranked:
            of_sampler = of_metric[sampler]
            ends = [
                f"{of_sampler[nfe].mean:.{metric.decimals}f} at {nfe}"
                for nfe in dict.fromkeys((min(of_sampler), max(of_sampler)))
            ]
            words.append(f"{sampler} {' and '.join(ends)}")
        parts.append(f"{metric.label}: {'; '.join(words)}.")
    return "Lines against network evaluations, samplers from best to worst. " + " ".join(parts)


def _drawn(
    sweep: Sweep, shown: Sequence[str], others: Sequence[str], reference: str
) -> tuple[Canvas, bool]:
    columns = 3
    handles = len(shown) + bool(others) + bool(reference)
    legend = 0.17 * -(-handles // columns) + 0.06
    height = 2.1 + legend
    canvas = Canvas((DOUBLE, height))
    panels = len(sweep.values)
    left, gap, bottom = 0.48, 0.58, 0.38 + legend
    width = (DOUBLE - left - 0.06 - gap * (panels - 1)) / panels
    cut = False
    for index, name in enumerate(sweep.values):
        axes = canvas.add_axes(
            (
                (left + index * (width + gap)) / DOUBLE,
                bottom / height,
                width / DOUBLE,
                (height - bottom - 0.1) / height,
            )
        )
        cut |= _panel(axes, sweep, name, shown, reference)
    lines = [
        Line2D(
            [],
            [],
            **sampler_look(sampler).line,
            marker=sampler_look(sampler).marker,
            label=sampler + (" (the paper's)" if sampler == PAPERS_SAMPLER else ""),
        )
        for sampler in shown
    ]
    if others:
        label = f"{len(others)} other{'s' if len(others) > 1 else ''}"
        lines.append(Line2D([], [], color=LIGHT, linewidth=0.8, label=label))
    if reference:
        label = f"{reference}, {PAPERS_NFE} evaluations"
        lines.append(Line2D([], [], color=GRAY, linewidth=0.8, linestyle=(0, (6, 3)), label=label))
    canvas.legend(
        handles=lines,
        loc="lower center",
        bbox_to_anchor=(0.5, 0),
        ncols=columns,
        handlelength=3,
        columnspacing=2.5,
        labelspacing=0.35,
        borderaxespad=0.2,
    )
    return canvas, cut


def _panel(axes: Any, sweep: Sweep, name: str, shown: Sequence[str], reference: str) -> bool:
    """Draw one metric; True if something lies beyond the edge of the panel."""
    of_metric = sweep.values[name]
    metric = sweep.metric(name)
    steps = sorted({nfe for of_sampler in of_metric.values() for nfe in of_sampler})
    if reference:
        level = of_metric[reference][PAPERS_NFE].mean
        axes.axhline(level, color=GRAY, linewidth=0.8, linestyle=(0, (6, 3)), zorder=1)
    for sampler, of_sampler in of_metric.items():
        if sampler not in shown:
            means = [of_sampler[nfe].mean for nfe in sorted(of_sampler)]
            axes.plot(sorted(of_sampler), means, color=LIGHT, linewidth=0.8, zorder=1.5)
    for place, sampler in enumerate(reversed(shown)):
        of_sampler = of_metric[sampler]
        nfe = np.array(sorted(of_sampler))
        found = [of_sampler[int(n)] for n in nfe]
        mean = np.array([estimate.mean for estimate in found])
        ends = np.array([(e.mean - e.low, e.high - e.mean) for e in found]).T
        beside = 1 + 0.035 * (place - (len(shown) - 1) / 2)
        style = sampler_look(sampler)
        axes.plot(nfe * beside, mean, **style.line, marker=style.marker, zorder=2 + place)
        if np.isfinite(ends).all():
            axes.errorbar(
                nfe * beside,
                mean,
                np.maximum(ends, 0),
                fmt="none",
                ecolor=style.color,
                elinewidth=0.6,
                alpha=0.7,
                zorder=2 + place,
            )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(steps))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels(_labels(steps))
    axes.set(xlabel="network evaluations", ylabel=metric.column.heading)
    return _limit(axes, of_metric, higher=metric.higher_is_better)


def _labels(steps: Sequence[int]) -> list[str]:
    """Labels of the ticks; those too close to the one before or to the last are empty."""
    span = np.log(steps[-1] / steps[0]) or 1.0
    labels, last = [], -np.inf
    for step in steps:
        place = float(np.log(step / steps[0]) / span)
        free = step == steps[-1] or (place - last > 0.07 and 1 - place > 0.1)
        labels.append(str(step) if free else "")
        last = place if free else last
    return labels


def _limit(axes: Any, of_metric: dict[str, dict[int, Estimate]], *, higher: bool) -> bool:
    """Leave out the far end of what goes wrong with few evaluations; True if that cuts anything."""
    sign = 1 if higher else -1
    means = sign * np.array([e.mean for found in of_metric.values() for e in found.values()])
    ends = [
        sign * end
        for found in of_metric.values()
        for e in found.values()
        for end in (e.low, e.high)
    ]
    best = np.nanmax([*ends, means.max()])
    usual = best - np.quantile(means, 0.2)
    worst = max(means.min(), best - 1.8 * usual)
    room = 0.04 * (best - worst)
    low, high = sorted((sign * (worst - room), sign * (best + room)))
    axes.set_ylim(low, high)
    return bool(worst > means.min())
