"""The best sampler of each method at each number of network evaluations."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from irsde.drawing import DOUBLE, GRAY, STYLE, look, sampler_look, save
from irsde.files import key_of
from irsde.report.captions import (
    about_exact,
    about_images,
    about_sampling,
    about_scores,
    interval_of,
    joined,
    seeds_of,
)
from irsde.report.charts import limit, mark_steps
from irsde.report.judging import (
    METHOD,
    Metric,
    differences_from,
    headline,
    mean_cell,
    mean_text,
    rows_of,
    sampler_of,
    titles,
)
from irsde.report.results import Entry, Row, by_table, entries
from irsde.report.table import Cell, Column, Figure, Line, Table
from irsde.report.tables import SWEEP_SECTION
from irsde.samplers import SAMPLERS
from irsde.scoring.protocols import PERCEPTUAL
from irsde.scoring.statistics import (
    SIGNIFICANCE,
    Difference,
    Estimate,
    holm,
    is_significant,
    mean_estimate,
    ranked,
)


@dataclass(frozen=True)
class Best:
    """The best of some samplers by a metric.

    Parameters
    ----------
    metric : Metric
    entry : Entry
        Of several whose means differ by what rounds to 0, the first.
    mean : Estimate
    differences : dict of str to Difference
        Every other sampler → its mean less that of the best, paired by image.
    p_values : dict of str to float
        Of these, corrected by Holm's method for all comparisons of a table.
    """

    metric: Metric
    entry: Entry
    mean: Estimate
    differences: dict[str, Difference]
    p_values: dict[str, float] = field(default_factory=dict)

    @property
    def sampler(self) -> str:
        """Name of the sampler."""
        return sampler_of(self.entry.first)

    @property
    def close(self) -> list[str]:
        """Samplers that are not told apart from the best."""
        return [
            sampler
            for sampler, p_value in self.p_values.items()
            if not is_significant(p_value) or self.metric.is_zero(self.differences[sampler].mean)
        ]

    @property
    def close_text(self) -> str:
        """These, or where that is shorter all but those that are told apart."""
        names = self.close
        others = [sampler for sampler in self.differences if sampler not in names]
        if names and not others:
            return "all others"
        if len(others) < len(names):
            return f"all but {joined(others)}"
        return ", ".join(names) or "none"


@dataclass(frozen=True)
class Choice:
    """Samplers of a method at a number of network evaluations, and the best by each metric."""

    nfe: int
    entries: tuple[Entry, ...]
    best: dict[str, Best]

    @property
    def first(self) -> Row:
        """Where what all have in common can be read."""
        return self.entries[0].first

    @property
    def sources(self) -> tuple[str, ...]:
        """Folders of all evaluations."""
        return tuple(source for entry in self.entries for source in entry.sources)


@dataclass(frozen=True)
class Choices:
    """All choices on one task and data set, by method and number of evaluations."""

    metrics: tuple[Metric, ...]
    choices: tuple[Choice, ...]

    @property
    def first(self) -> Row:
        """Where what all have in common can be read."""
        return self.choices[0].first

    @property
    def key(self) -> str:
        """Of the table and of the figure."""
        return key_of("best", self.first.task, self.first.dataset)

    @property
    def entries(self) -> list[Entry]:
        """Everything that was compared."""
        return [entry for choice in self.choices for entry in choice.entries]


def choices(rows: Sequence[Row]) -> list[Choices]:
    """Of each task and data set on which samplers of at least two methods were swept.

    The metrics are PSNR and the perceptual one that most evaluations have, LPIPS before others.
    """
    return [made for of_table in by_table(rows).values() if (made := _choices(of_table))]


def _choices(rows: Sequence[Row]) -> Choices | None:
    of_method: dict[str, dict[int, list[Entry]]] = {}
    for entry in entries(row for row in rows if row.summary.sampler in SAMPLERS):
        at = of_method.setdefault(entry.first.method, {})
        at.setdefault(entry.first.summary.nfe or 0, []).append(entry)
    swept = [at for at in of_method.values() if sum(map(len, at.values())) > 1]
    if len(swept) < 2:
        return None
    metrics = _metrics([entry for at in swept for group in at.values() for entry in group])
    found = [
        Choice(nfe, tuple(at[nfe]), {m.name: b for m in metrics if (b := _best(at[nfe], m))})
        for at in swept
        for nfe in sorted(at)
    ]
    every = [best for choice in found for best in choice.best.values()]
    corrected = iter(holm([d.p_value for best in every for d in best.differences.values()]))
    return Choices(
        tuple(metrics),
        tuple(
            replace(
                choice,
                best={
                    name: replace(best, p_values={s: next(corrected) for s in best.differences})
                    for name, best in choice.best.items()
                },
            )
            for choice in found
        ),
    )


def _metrics(swept: Sequence[Entry]) -> list[Metric]:
    psnr, *others = headline(rows_of(swept))
    having = {
        metric: sum(entry.values(metric.name) is not None for entry in swept)
        for metric in others
        if metric.name in PERCEPTUAL
    }
    return [psnr, max(having, key=lambda metric: having[metric])] if having else [psnr]


def _best(tried: Sequence[Entry], metric: Metric) -> Best | None:
    """The best of the entries that have a metric; p-values are not there yet."""
    group = [entry for entry in tried if entry.values(metric.name) is not None]
    if not group:
        return None
    arrays = [array for e in group if (array := e.values(metric.name)) is not None]
    means = [mean_estimate(array, group[0].scenes) for array in arrays]
    top = ranked(arrays, higher_is_better=metric.higher_is_better)[0]
    same = [
        k == top or (mean.exact == means[top].exact and metric.is_zero(mean.mean - means[top].mean))
        for k, mean in enumerate(means)
    ]
    first = same.index(True)
    differences = differences_from(group, first, metric)
    of_sampler = {sampler_of(group[k].first): d for k, d in differences.items()}
    return Best(metric, group[first], means[first], of_sampler)


def best_tables(rows: Sequence[Row]) -> list[Table]:
    """The best sampler of each method and number of evaluations: `best-<task>-<dataset>`."""
    titled = titles(rows)
    return [_table(made, titled[made.first.task, made.first.dataset]) for made in choices(rows)]


def _table(made: Choices, title: str) -> Table:
    lines = []
    for choice in made.choices:
        cells = [
            Cell(choice.first.label, sources=choice.sources),
            Cell(str(choice.nfe), choice.nfe, sources=choice.sources),
        ]
        for metric in made.metrics:
            cells += _cells(choice, metric)
        lines.append(Line(f"{choice.first.method}-{choice.nfe}", tuple(cells)))
    comparisons = sum(len(b.p_values) for c in made.choices for b in c.best.values())
    labels = joined([metric.label for metric in made.metrics])
    names = [metric.name for metric in made.metrics]
    parts = [
        "For each method and number of network evaluations the samplers with the best "
        f"{labels}, of those that were run with the same weights; where means differ by what "
        "rounds to 0, the first of them. Tables of the methods have all samplers. ± is half of "
        f"the 95 % interval of a mean. {interval_of(made.entries)}",
        "Not told apart: samplers whose difference from the best, paired by image, rounds to 0 or "
        "is not significant: the p-value of the t-test that belongs to its interval, corrected by "
        f"Holm's method for the {comparisons} comparisons of the table, is above "
        f"{SIGNIFICANCE:g}. The best of several is flattered by the choice.",
        about_exact(cell for line in lines for cell in line.cells),
        f"{about_images(made.first)} {about_scores(made.first, names)}",
        seeds_of("Training", made.entries, lambda entry: entry.training_seeds),
        about_sampling(made.entries),
    ]
    return Table(
        made.key,
        f"{title}: the best sampler of each method",
        SWEEP_SECTION,
        " ".join(filter(None, parts)),
        (
            METHOD,
            Column("nfe", "NFE"),
            *(
                column
                for metric in made.metrics
                for column in (
                    Column(f"{metric.name}_sampler", f"best by {metric.label}", numeric=False),
                    metric.column,
                    Column(f"{metric.name}_close", "not told apart", numeric=False),
                )
            ),
        ),
        tuple(lines),
        figure=made.key,
    )


def _cells(choice: Choice, metric: Metric) -> list[Cell]:
    best = choice.best.get(metric.name)
    if best is None:
        reason = choice.entries[0].missing(metric.name)
        return [Cell("n/a", reason=reason, sources=choice.sources)] * 3
    return [
        Cell(best.sampler, sources=choice.sources),
        mean_cell(best.mean, metric, best.entry),
        Cell(best.close_text, sources=choice.sources),
    ]


def best_figures(rows: Sequence[Row], budget: str, folder: Path) -> list[Figure]:
    """Draw the best values over the network evaluations: `best-<task>-<dataset>`.

    Parameters
    ----------
    rows : sequence of Row
        Evaluations of sweeps.
    budget : str
        Caption of the profile.
    folder : Path
        Where the files are written.
    """
    return [_figure(made, budget, folder) for made in choices(rows)]


def _figure(made: Choices, budget: str, folder: Path) -> Figure:
    with mpl.rc_context(STYLE):
        canvas, cut = _drawn(made)
    save(canvas, folder, made.key, drawing=True)
    first = made.first
    return Figure(
        key=made.key,
        title=f"{first.summary.task_label}, {first.summary.dataset.label}: the best sampler of "
        "each method",
        section=SWEEP_SECTION,
        caption=(
            "Means over images of the best sampler of each method at each number of network "
            "evaluations; lines are methods, markers samplers. Bars are 95 % intervals of each "
            f"mean, with the spread of the images. Table {made.key} says which other samplers are "
            f"not told apart. {'Values beyond a panel edge are cut off. ' * cut}"
            f"{about_images(first)} {about_scores(first, [m.name for m in made.metrics])} "
            f"{about_sampling(made.entries)} {budget}"
        ),
        alternative="Lines against network evaluations. "
        + " ".join(
            f"{choice.first.label}, {choice.nfe} NFE: {best.metric.label} "
            f"{mean_text(best.mean, best.metric.decimals)} by {best.sampler}."
            for choice in made.choices
            for best in choice.best.values()
        ),
        sources=tuple(source for entry in made.entries for source in entry.sources),
    )


def _drawn(made: Choices) -> tuple[Canvas, bool]:
    """The figure, and whether something is beyond its edges."""
    canvas = Canvas((DOUBLE, 3.6), layout="constrained")
    panels = canvas.subplots(1, len(made.metrics), squeeze=False)[0]
    cut = [_panel(axes, made, metric) for axes, metric in zip(panels, made.metrics, strict=True)]
    methods = {choice.first.method: choice.first.label for choice in made.choices}
    lines = [Line2D([], [], **look(method).line, label=name) for method, name in methods.items()]
    canvas.legend(handles=lines, loc="outside upper center", ncols=4)
    chosen = {best.sampler for choice in made.choices for best in choice.best.values()}
    order = dict.fromkeys(sampler_of(entry.first) for entry in made.entries)
    points = [
        Line2D([], [], **replace(sampler_look(sampler), color=GRAY).points, label=sampler)
        for sampler in order
        if sampler in chosen
    ]
    canvas.legend(handles=points, loc="outside lower center", ncols=5, handlelength=1)
    return canvas, any(cut)


def _panel(axes: Axes, made: Choices, metric: Metric) -> bool:
    """Draw one metric; True if something is beyond the edge of the panel."""
    of_method: dict[str, list[tuple[int, Best]]] = {}
    for choice in made.choices:
        if best := choice.best.get(metric.name):
            of_method.setdefault(choice.first.method, []).append((choice.nfe, best))
    for place, (method, points) in enumerate(of_method.items()):
        beside = 1 + 0.03 * (place - (len(of_method) - 1) / 2)
        x = beside * np.array([nfe for nfe, _ in points])
        mean = np.array([best.mean.mean for _, best in points])
        style = look(method)
        axes.plot(x, mean, **style.line, linewidth=1, zorder=2)
        for at, (_, best) in zip(x, points, strict=True):
            marked = replace(sampler_look(best.sampler), color=style.color)
            axes.plot(at, best.mean.mean, **marked.points, markersize=4.5, zorder=3)
            if np.isfinite(best.mean.half_width):
                ends = (best.mean.low, best.mean.high)
                axes.plot((at, at), ends, color=style.color, linewidth=0.5, alpha=0.6, zorder=1)
    mark_steps(axes, sorted({choice.nfe for choice in made.choices}))
    axes.set(ylabel=metric.column.heading)
    means = {m: {nfe: best.mean for nfe, best in points} for m, points in of_method.items()}
    return limit(axes, means, [], higher=metric.higher_is_better)
