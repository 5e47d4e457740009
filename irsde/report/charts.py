"""Curves: quality against network evaluations, training curves, and the processes themselves."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, FixedLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray
from scipy.stats import rankdata

from irsde import objectives
from irsde.drawing import DOUBLE, GRAY, LIGHT, SINGLE, STYLE, Look, look, sampler_look, save
from irsde.experiment.provenance import read_run_card
from irsde.experiment.result_tables import HISTORY, read_history
from irsde.files import is_present, key_of
from irsde.methods import METHODS
from irsde.report.captions import about_images, about_sampling, about_scores, counted, joined
from irsde.report.judging import Metric, headline, rows_of, sampler_of
from irsde.report.results import Entry, Row, entries
from irsde.report.table import Figure
from irsde.scoring.statistics import Estimate, compare

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
        return next(m for m in headline(rows_of(self.entries)) if m.name == name)

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
    swept: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        if row.summary.nfe:
            swept.setdefault((row.task, row.dataset, row.method), []).append(row)
    made = []
    for of_method in swept.values():
        grouped = entries(of_method)
        if len({entry.first.summary.nfe for entry in grouped}) >= 2:
            made.append(Sweep(tuple(grouped), _estimates(grouped)))
    return [sweep for sweep in made if sweep.values]


def _estimates(grouped: Sequence[Entry]) -> dict[str, dict[str, dict[int, Estimate]]]:
    estimates: dict[str, dict[str, dict[int, Estimate]]] = {}
    for name in [metric.name for metric in headline(rows_of(grouped))]:
        values = [array for entry in grouped if (array := entry.values(name)) is not None]
        if len(values) < len(grouped):
            continue
        means = compare(values, [], grouped[0].scenes).means
        for entry, estimate in zip(grouped, means, strict=True):
            of_sampler = estimates.setdefault(name, {}).setdefault(sampler_of(entry.first), {})
            of_sampler[entry.first.summary.nfe or 0] = estimate
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
    trained = sorted({seed for entry in sweep.entries for seed in entry.training_seeds})
    return Figure(
        key=key,
        title=f"{first.label} on {first.summary.dataset.label}: samplers",
        section=str(first.summary.task_label),
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
            + "Bars are 95 % intervals of each mean, side by side for legibility; unlike those of "
            "paired differences they include the spread of the images. "
            + ("Values beyond a panel's edge are cut off. " if cut else "")
            + f"{about_images(first)} {about_scores(first, sweep.values)} "
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
    cut = False
    canvas = Canvas((DOUBLE, 2.8), layout="constrained")
    panels = canvas.subplots(1, len(sweep.values), squeeze=False)[0]
    for axes, name in zip(panels, sweep.values, strict=True):
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
    canvas.legend(handles=lines, loc="outside lower center", ncols=3)
    return canvas, cut


def _panel(axes: Axes, sweep: Sweep, name: str, shown: Sequence[str], reference: str) -> bool:
    """Draw one metric; True if something is beyond the edge of the panel."""
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
        estimates = [of_sampler[int(n)] for n in nfe]
        mean = np.array([estimate.mean for estimate in estimates])
        ends = np.array([(e.mean - e.low, e.high - e.mean) for e in estimates]).T
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
    mark_steps(axes, steps)
    axes.set_ylabel(metric.column.heading)
    bars = [
        e.low if metric.higher_is_better else e.high for s in shown for e in of_metric[s].values()
    ]
    return limit(axes, of_metric, bars, higher=metric.higher_is_better)


def mark_steps(axes: Axes, steps: Sequence[int]) -> None:
    """Network evaluations across, with a tick at each of these numbers."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(steps))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels(_labels(steps))
    axes.set_xlabel("network evaluations")


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


def limit(
    axes: Axes, of_metric: dict[str, dict[int, Estimate]], bars: Sequence[float], *, higher: bool
) -> bool:
    """Leave out the far end of what goes wrong with few evaluations; True if that cuts anything."""
    sign = 1 if higher else -1
    means = sign * np.array([e.mean for of_nfe in of_metric.values() for e in of_nfe.values()])
    ends = [
        sign * end
        for of_nfe in of_metric.values()
        for e in of_nfe.values()
        for end in (e.low, e.high)
    ]
    best = np.nanmax([*ends, means.max()])
    usual = best - np.quantile(means, 0.2)
    lowest = np.nanmin([means.min(), *(sign * end for end in bars)])
    worst = max(lowest, best - 1.8 * usual)
    room = 0.04 * (best - worst)
    low, high = sorted((sign * (worst - room), sign * (best + room)))
    axes.set_ylim(low, high)
    return bool(worst > lowest)


OBJECTIVES = ("ir-sde", "ir-sde-noise")

SCHEDULES = ("ir-sde", "ir-sde-linear", "ir-sde-constant")

REFERENCE = "regression"

FEW_METHODS = 4  # methods that fit into one column


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
        if is_present(Path(row.summary.run) / HISTORY):
            runs.setdefault(row.method, {})[str(row.summary.run)] = row
    curves = []
    for method, of_method in runs.items():
        histories = [
            read_history(Path(run) / HISTORY).dropna(subset=["validation_psnr"])
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
    label = rows[0].summary.task_label
    ranked = sorted(curves, key=lambda curve: -curve.mean.iloc[-1])
    key = key_of(name, rows[0].task)
    with mpl.rc_context(STYLE):
        canvas, cut = _drawn_curves(ranked, wide=name == "training" and len(curves) > FEW_METHODS)
    save(canvas, folder, key, drawing=True)
    seeds = max(curve.seeds for curve in curves)
    bands = f" Lines are means over up to {seeds} training seeds, bands their range." * (seeds > 1)
    finals = [f"{curve.label} {curve.mean.iloc[-1]:.2f} dB" for curve in ranked]
    return Figure(
        key=key,
        title=f"{label}: {title}",
        section=label,
        caption=(
            "PSNR of RGB of what a validation restores while training, averaged weights, "
            f"{_validation_nfe(rows)}of {counted(len(curves), 'method')}.{bands} "
            f"{'Values below the axis are cut off. ' if cut else ''}{budget}"
        ),
        alternative=(
            f"Lines of validation PSNR against iteration up to {ranked[0].iterations[-1]}. "
            f"At the end: {joined(finals)}."
        ),
        sources=tuple(run for curve in ranked for run in curve.runs),
    )


def _validation_nfe(rows: Sequence[Row]) -> str:
    """How many network evaluations a validation image took, where all runs say the same."""
    numbers: set[int | None] = set()
    for run in sorted({str(row.summary.run) for row in rows}):
        if is_present(Path(run) / HISTORY):
            training = read_run_card(Path(run)).settings.training
            numbers.add(training.validation_nfe if training else None)
    nfe = numbers.pop() if len(numbers) == 1 else None
    return f"at most {counted(nfe, 'network evaluation')}, " if nfe is not None else ""


def _drawn_curves(curves: Sequence[_Curve], *, wide: bool) -> tuple[Canvas, bool]:
    """The figure, and whether something is below its axis."""
    size = (DOUBLE, max(2.3, 0.17 * len(curves))) if wide else (SINGLE, 2.6)
    canvas = Canvas(size, layout="constrained")
    axes = canvas.subplots()
    for rank, curve in enumerate(curves):
        style = look(curve.method)
        axes.plot(
            curve.iterations,
            curve.mean,
            **style.line,
            label=curve.label if wide else curve.label.removeprefix("IR-SDE, "),
            zorder=3 - rank / len(curves),
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
    if wide:
        canvas.legend(loc="outside right upper")
    else:
        canvas.legend(loc="outside lower center", ncols=2)
    return canvas, bool(bottom > lowest)


if TYPE_CHECKING:
    from irsde.processes import GaussianProcess

PROCESS_SECTION = "Processes"

STATIONARY_STD = 10 / 255  # lambda of the paper's deraining and deblurring

STEPS = 100

DELTA = 0.005

LEVELS = 255  # of an 8-bit image

Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Line:
    """One line of a panel; places with nothing to draw are NaN."""

    label: str
    look: Look
    time: Array
    values: Array


def write_process_figures(folder: Path) -> list[Figure]:
    """Draw the schedules, the processes of all methods and the weights of the objectives.

    Importing this module does not import torch; calling this function does.

    Parameters
    ----------
    folder : Path
        Where `schedules`, `processes` and `objective-weights` are written.

    Returns
    -------
    list of Figure
    """
    with mpl.rc_context(STYLE):
        return [_schedules(folder), _processes(folder), _objective_weights(folder)]


def _schedules(folder: Path) -> Figure:
    from irsde.processes import mean_reverting, theta_integral

    speed, weight, noise = [], [], []
    time = np.linspace(0, 1, STEPS + 1)
    for method, schedule in (
        ("ir-sde", "cosine"),
        ("ir-sde-linear", "linear"),
        ("ir-sde-constant", "constant"),
    ):
        process = mean_reverting(STEPS, schedule, STATIONARY_STD, DELTA)  # type: ignore[arg-type]
        theta = STEPS * np.diff(theta_integral(schedule, STEPS, DELTA).numpy())  # type: ignore[arg-type]
        style = look(method)
        speed.append(_Line(schedule, style, time[1:], theta))
        weight.append(_Line(schedule, style, time, process.a.numpy()))
        noise.append(_Line(schedule, style, time, process.c.numpy() / STATIONARY_STD))
    canvas = _canvas(
        [
            ("reversion speed $\\theta_t$", speed),
            ("weight of $x_0-\\mu$, $a_t$", weight),
            ("noise level $c_t/\\lambda$", noise),
        ],
    )
    for axes in canvas.axes:
        axes.set_ylim(bottom=0)
    save(canvas, folder, "schedules", drawing=True)
    halves = [f"{line.label} {_crossing(line, 0.5):.2f}" for line in weight]
    return Figure(
        key="schedules",
        title="Schedules of IR-SDE",
        section=PROCESS_SECTION,
        caption=(
            f"The mean-reverting SDE with {STEPS} steps under its three schedules, each scaled so "
            f"that the weight {DELTA} of the clean image is left at T. Left: speed of mean "
            "reversion per unit of t/T. Middle: weight of the difference between the clean and the "
            "degraded image in the mean of the state. Right: standard deviation of the state in "
            "units of lambda. Computed from the tables that training and sampling use."
        ),
        alternative=(
            "Three panels of three lines each. Half of the difference between clean and degraded "
            f"image is left at t/T of: {joined(halves)}."
        ),
    )


def _processes(folder: Path) -> Figure:
    weight, noise = [], []
    for names, process, scale in _distinct_processes():
        time = np.linspace(0, 1, process.steps + 1)
        label = _together([METHODS[name].label for name in names])
        style = look(names[0])
        level = LEVELS * scale * process.c.numpy()
        weight.append(_Line(label, style, time, process.a.numpy()))
        noise.append(_Line(label, style, time, np.where(level > 0, level, np.nan)))
    canvas = _canvas(
        [("weight of the clean image, $a_t$", weight), ("noise level $c_t$, of 255", noise)],
        height=3,
    )
    canvas.axes[0].set_ylim(0, 1.04)
    canvas.axes[1].set_yscale("log")
    canvas.axes[1].set_ylim(1, LEVELS)
    canvas.axes[1].set_yticks([1, 10, 100], ["1", "10", "100"])
    save(canvas, folder, "processes", drawing=True)
    largest = [f"{line.label} {np.nanmax(line.values):.1f}" for line in noise]
    return Figure(
        key="processes",
        title="Processes of the methods",
        section=PROCESS_SECTION,
        caption=(
            "What is left of the clean image in the mean of the state, and the standard deviation "
            "of its noise in 8-bit levels (logarithmic, cut off below 1), over t/T. Where a + b = "
            "1 the mean is the degraded image plus a times the difference; that of conditional "
            "DDPM falls to 0, that of the denoising SDE and ODE stays at the clean image. Lambda "
            f"is {LEVELS * STATIONARY_STD:.0f}/255. Noise that is a multiple of the difference is "
            "drawn for a difference of 1. Methods named together have one process, but for that "
            "multiple."
        ),
        alternative=f"Two panels. Largest noise level, of 255: {joined(largest)}.",
    )


def _distinct_processes() -> list[tuple[list[str], "GaussianProcess", float]]:
    """Methods with equal processes, the process, and one unit of its images in [0, 1]."""
    distinct: dict[bytes, tuple[list[str], GaussianProcess, float]] = {}
    for name, method in METHODS.items():
        if method.process is None:
            continue
        process = method.process(STATIONARY_STD)
        is_share = process.noise_scale != "one"
        scale = 0.5 if method.centered and not is_share else 1.0
        tables = b"".join(table.numpy().tobytes() for table in (process.a, process.b, process.c))
        distinct.setdefault(tables, ([], process, scale))[0].append(name)
    return list(distinct.values())


def _objective_weights(folder: Path) -> Figure:
    import torch

    lines: list[_Line] = []
    for name, method in METHODS.items():
        if method.process is None:
            continue
        objective, process = objectives.OBJECTIVES[method.objective], method.process(STATIONARY_STD)
        if not objective.is_noise:
            continue
        steps = torch.arange(1, objectives.largest_step(objective, process) + 1)
        size = objective.weight(process, steps).numpy()
        if np.ptp(size) == 0:
            continue
        line = _Line(method.label, look(name), steps.numpy() / process.steps, size / size.mean())
        if not any(np.array_equal(line.values, other.values) for other in lines):
            lines.append(line)
    canvas = _canvas([("weight, relative to its mean", lines)], width=SINGLE, height=2.6, columns=2)
    (axes,) = canvas.axes
    axes.set_yscale("log")
    axes.set_yticks([0.1, 0.2, 0.5, 1, 2, 5], ["0.1", "0.2", "0.5", "1", "2", "5"])
    axes.set_yticks([], minor=True)
    axes.axhline(1, color=GRAY, linewidth=0.7, linestyle=(0, (6, 3)), zorder=1)
    save(canvas, folder, "objective-weights", drawing=True)
    ratios = [f"{line.label} {line.values.max() / line.values.min():.0f}" for line in lines]
    return Figure(
        key="objective-weights",
        title="Weight of the maximum-likelihood objective",
        section=PROCESS_SECTION,
        caption=(
            "The maximum-likelihood objective is the error of the predicted noise times a factor "
            "that depends on the step, against the noise that makes the reverse step optimal. "
            "Here that factor is drawn over t/T, relative to its mean; dashed is noise matching, "
            "whose factor is 1 at every step."
        ),
        alternative=(
            "Lines of the factor over t/T. The largest over the smallest factor is: "
            f"{joined(ratios)}."
        ),
    )


def _together(labels: Sequence[str]) -> str:
    """One label for methods with one process, without those that only add to the first."""
    return " / ".join(
        label for label in labels if label == labels[0] or not label.startswith(f"{labels[0]},")
    )


def _crossing(line: _Line, level: float) -> float:
    """Time at which a falling line goes through a level."""
    return float(np.interp(-level, -line.values, line.time))


def _canvas(
    panels: Sequence[tuple[str, Sequence[_Line]]],
    *,
    width: float = DOUBLE,
    height: float = 2.4,
    columns: int = 3,
) -> Canvas:
    """Panels side by side over t/T, with one legend below."""
    canvas = Canvas((width, height), layout="constrained")
    every_axes = canvas.subplots(1, len(panels), squeeze=False)[0]
    for axes, (label, of_panel) in zip(every_axes, panels, strict=True):
        for line in of_panel:
            axes.plot(line.time, line.values, **line.look.line, label=line.label)
        axes.set(xlabel="$t/T$", ylabel=label, xlim=(0, 1))
    handles = every_axes[0].get_lines()
    canvas.legend(handles=handles, loc="outside lower center", ncols=columns)
    return canvas
