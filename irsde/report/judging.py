"""How each entry of a table differs from the best, and the cells that show it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

from irsde.experiment.options import unusual
from irsde.experiment.summary import StatedMetric
from irsde.report.results import Entry, Row, by_table, entries
from irsde.report.table import MEAN, SUMMARY, Cell, Column, Emphasis
from irsde.scoring.metrics import METRICS
from irsde.scoring.perceptual import network_label
from irsde.scoring.protocols import HEADLINES, PERCEPTUAL
from irsde.scoring.statistics import (
    Difference,
    Estimate,
    Values,
    compare,
    holm,
    is_significant,
    paired_difference,
    ranked,
)

Verdict = Literal["worse", "not resolved"]


@dataclass(frozen=True)
class Metric:
    """A metric as its evaluations describe it: name in files, label, direction, decimals."""

    name: str
    label: str
    higher_is_better: bool
    decimals: int

    @property
    def column(self) -> Column:
        """Its column."""
        return Column(self.name, self.label, higher_is_better=self.higher_is_better)

    def is_zero(self, difference: float) -> bool:
        """Whether a difference is 0 at the decimals of the metric."""
        return round(difference, self.decimals) == 0


@dataclass(frozen=True)
class Judged:
    """A metric of the entries of a table, and how each differs from the best.

    Parameters
    ----------
    metric : Metric
    means : list of Estimate or None
        Of each entry; None where it was not computed.
    ranking : list of int
        Entries that have the metric, best first.
    differences : dict
        Entry → its mean less that of the best, paired by image; for all but the best.
    improvements : dict
        Entry → the chance that a random image of it has a higher value than the best's.
    p_values : dict
        Entry → p-value of the difference after Holm's correction over all metrics and entries that
        were judged together.
    comparisons : int
        How many these are.
    """

    metric: Metric
    means: list[Estimate | None]
    ranking: list[int]
    differences: dict[int, Difference]
    improvements: dict[int, Estimate]
    p_values: dict[int, float]
    comparisons: int

    def verdict(self, entry: int) -> Verdict:
        """Whether an entry other than the best is worse than the best."""
        return "worse" if is_significant(self.p_values[entry]) else "not resolved"

    def is_close(self, entry: int) -> bool:
        """True if an entry other than the best gets the mark ≈."""
        return entry in self.differences and not is_significant(self.p_values[entry])

    def emphasis(self, entry: int) -> Emphasis:
        """Whether an entry is the best or the second."""
        styles: dict[int, Emphasis] = {0: "best", 1: "second"}
        return styles.get(self.ranking.index(entry), "") if entry in self.ranking else ""


def judge(group: Sequence[Entry], metrics: Sequence[Metric]) -> list[Judged]:
    """Every metric of entries that have the same images, as one family of comparisons."""
    arrays: list[Values] = []
    pairs: list[tuple[int, int]] = []
    plan: list[tuple[Metric, dict[int, int], list[int], dict[int, int]]] = []
    for metric in metrics:
        places: dict[int, int] = {}
        for k, entry in enumerate(group):
            if (values := entry.values(metric.name)) is not None:
                places[k] = len(arrays)
                arrays.append(values)
        having = list(places)
        order = ranked(
            [arrays[place] for place in places.values()], higher_is_better=metric.higher_is_better
        )
        ranking = [having[k] for k in order]
        others = {k: len(pairs) + i for i, k in enumerate(k for k in places if k != ranking[0])}
        pairs += [(places[k], places[ranking[0]]) for k in others]
        plan.append((metric, places, ranking, others))
    compared = compare(arrays, pairs, group[0].scenes)
    p_values = holm([difference.p_value for difference in compared.differences])
    judged = []
    for metric, places, ranking, others in plan:
        judged.append(
            Judged(
                metric,
                [compared.means[places[k]] if k in places else None for k in range(len(group))],
                ranking,
                {k: compared.differences[i] for k, i in others.items()},
                {k: compared.improvements[i] for k, i in others.items()},
                {k: p_values[i] for k, i in others.items()},
                len(pairs),
            )
        )
    return judged


def differences_from(group: Sequence[Entry], base: int, metric: Metric) -> dict[int, Difference]:
    """Difference of each entry from one of them; of the same runs where the seeds are the same."""
    values = [entry.values(metric.name) for entry in group]
    of_base = values[base]
    if of_base is None:
        return {}
    return {
        k: paired_difference(
            array,
            of_base,
            group[base].scenes,
            same_runs=group[k].training_seeds == group[base].training_seeds,
        )
        for k, array in enumerate(values)
        if array is not None and k != base
    }


def metrics_of(rows: Sequence[Row]) -> list[Metric]:
    """Metrics of a table, those of its protocol's channel first.

    One that was added when some of its evaluations were there counts if all of some line state it.
    """
    first = HEADLINES[rows[0].summary.protocol.channel]
    metrics = {
        m.name: Metric(m.name, label_of(m), m.higher_is_better, m.decimals)
        for entry in reversed(entries(rows))
        for m in entry.first.summary.metrics
        if all(row.summary.metric(m.name) for row in entry.rows)
    }
    order = [*first, *METRICS, *metrics]
    return sorted(metrics.values(), key=lambda metric: order.index(metric.name))


def label_of(metric: StatedMetric) -> str:
    """Label of a metric, with its network where it has one."""
    return metric.label + (f" ({network_label(metric.network)})" if metric.network else "")


def headline(rows: Sequence[Row]) -> list[Metric]:
    """PSNR and SSIM of the protocol's channel, and what is perceptual."""
    chosen = {*HEADLINES[rows[0].summary.protocol.channel], *PERCEPTUAL}
    return [metric for metric in metrics_of(rows) if metric.name in chosen]


def rows_of(group: Sequence[Entry]) -> list[Row]:
    """All evaluations of some entries."""
    return [row for entry in group for row in entry.rows]


METHOD = Column("method", "method", numeric=False)

ALL_EXACT = "no image has two finite values"

CLOSE = "≈"


def line_keys(group: Sequence[Entry]) -> list[str]:
    """Keys of entries: the method, and how it was sampled where a method appears twice."""
    methods = [entry.first.method for entry in group]
    return [
        method if methods.count(method) == 1 else f"{method}-{entry.first.folder.name}"
        for method, entry in zip(methods, group, strict=True)
    ]


def line_names(group: Sequence[Entry]) -> list[str]:
    """Names of entries: the method's label, and how it was sampled where a label appears twice."""
    labels = [entry.first.label for entry in group]
    names = []
    for label, entry in zip(labels, group, strict=True):
        summary = entry.first.summary
        name = label
        if labels.count(label) > 1:
            name += f", {sampler_of(entry.first)}, {summary.nfe or 0} NFE"
        names.append(f"{name} (outside)" if summary.outside else name)
    return names


def sampler_of(row: Row) -> str:
    """Sampler of an evaluation, and what else of its sampling is not the default."""
    return ", ".join([row.summary.sampler, *unusual(row.summary)])


def named_lines(group: Sequence[Entry]) -> list[tuple[str, Cell]]:
    """Key and first cell of each line."""
    names = zip(line_names(group), group, strict=True)
    cells = [Cell(name, sources=entry.sources) for name, entry in names]
    return list(zip(line_keys(group), cells, strict=True))


def titles(rows: Sequence[Row]) -> dict[tuple[str, str], str]:
    """Title of each task and data set; the data set is named where a task has several."""
    tables = by_table(rows)
    tasks = [task for task, _ in tables]
    named = {}
    for (task, dataset), of_table in tables.items():
        named[task, dataset] = str(of_table[0].summary.task_label)
        if tasks.count(task) > 1:
            named[task, dataset] += f": {of_table[0].summary.dataset.label}"
    return named


def number_text(value: float, decimals: int) -> str:
    """Number with its decimals, a true minus; zero has no sign.

    Examples
    --------
    >>> number_text(31.654, 2), number_text(math.inf, 2), number_text(-0.001, 2)
    ('31.65', '∞', '0.00')
    """
    if not math.isfinite(value):
        return "n/a" if math.isnan(value) else "∞" if value > 0 else "−∞"
    rounded = round(value, decimals) or 0.0
    return f"{rounded:.{decimals}f}".replace("-", "−")


def mean_text(mean: Estimate, decimals: int) -> str:
    """Mean, its interval where there is one, and how many exact images it excludes.

    The interval is ± half of it where it is symmetric, else its ends in brackets.

    Examples
    --------
    >>> mean_text(Estimate(31.654, 31.144, 32.164), 2)
    '31.65 ± 0.51'
    >>> mean_text(Estimate(0.5, 0.2, 0.6, exact=1), 2)
    '0.50 [0.20, 0.60] (1 exact)'
    """
    return f"{number_text(mean.mean, decimals)}{_width(mean, decimals)}{exact_text(mean)}"


def _width(mean: Estimate, decimals: int) -> str:
    if not math.isfinite(mean.half_width):
        return ""
    if math.isclose(mean.high - mean.mean, mean.mean - mean.low, rel_tol=1e-6, abs_tol=1e-12):
        return f" ± {number_text(mean.half_width, decimals)}"
    return f" [{number_text(mean.low, decimals)}, {number_text(mean.high, decimals)}]"


def exact_text(estimate: Estimate) -> str:
    """How many images a mean excludes since they are exact, "" if none."""
    return f" ({estimate.exact} exact)" if estimate.exact else ""


def mean_cell(mean: Estimate | None, metric: Metric, entry: Entry) -> Cell:
    """Mean of a metric, or n/a and why."""
    if mean is None:
        return Cell("n/a", reason=entry.missing(metric.name), sources=entry.sources)
    text, low, high = mean_text(mean, metric.decimals), *ends(mean)
    return Cell(text, mean.mean, low, high, sources=entry.sources, rule=MEAN, metric=metric.name)


def ends(estimate: Estimate) -> tuple[float | None, float | None]:
    """Ends of an interval; None where there is none."""
    finite = math.isfinite(estimate.low) and math.isfinite(estimate.high)
    return (estimate.low, estimate.high) if finite else (None, None)


def difference_cell(
    difference: Difference, p_value: float, decimals: int, sources: tuple[str, ...]
) -> Cell:
    """Difference with its sign, its interval in brackets, and ≈ if it may be none.

    Parameters
    ----------
    difference : Difference
    p_value : float
        Corrected for all comparisons of the table.
    decimals : int
    sources : tuple of str
    """
    mark = "" if is_significant(p_value) else CLOSE
    if math.isnan(difference.mean):
        return Cell("n/a", mark=mark, reason=ALL_EXACT, sources=sources)
    text = signed(difference.mean, decimals)
    low, high = ends(difference)
    if low is not None and high is not None:
        text += f" [{signed(low, decimals)}, {signed(high, decimals)}]"
    text += exact_text(difference)
    return Cell(text, difference.mean, low, high, mark=mark, sources=sources)


def signed(value: float, decimals: int) -> str:
    """Number with its sign, a true minus; zero has none.

    Examples
    --------
    >>> signed(-0.52, 1), signed(0.52, 1), signed(-0.01, 1)
    ('−0.5', '+0.5', '0.0')
    """
    if not math.isfinite(value):
        return "n/a" if math.isnan(value) else "+∞" if value > 0 else "−∞"
    rounded = round(value, decimals)
    return f"{rounded:+.{decimals}f}".replace("-", "−") if rounded else f"{0:.{decimals}f}"


def interval_text(estimate: Estimate, decimals: int, *, sign: bool = False) -> str:
    """Ends of an interval, "n/a" where there is none.

    Examples
    --------
    >>> interval_text(Estimate(0.5, -0.25, 0.75), 2, sign=True)
    '−0.25 to +0.75'
    """
    form = signed if sign else number_text
    low, high = ends(estimate)
    if low is None or high is None:
        return "n/a"
    return f"{form(low, decimals)} to {form(high, decimals)}"


def p_cell(p_value: float, reason: str, sources: tuple[str, ...]) -> Cell:
    """A p-value, or n/a and why."""
    if math.isnan(p_value):
        return Cell("n/a", reason=reason, sources=sources)
    return Cell(p_text(p_value), p_value, sources=sources)


def p_text(p_value: float) -> str:
    """A p-value with four decimals."""
    return f"{p_value:.4f}" if p_value >= 1e-4 else "< 0.0001"


def count_cell(value: float | None, form: str, entry: Entry) -> Cell:
    """Number that all rows of an entry share."""
    if value is None:
        outside = entry.first.summary.outside
        reason = "made elsewhere" if outside else "not recorded"
        return Cell("n/a", reason=reason, sources=entry.sources)
    return Cell(form.format(value), value, sources=entry.sources)


def nfe_cell(entry: Entry) -> Cell:
    """Network evaluations of an image: the mean of those counted."""
    if entry.first.summary.nfe is None:
        return count_cell(None, "", entry)
    value = fmean(float(row.per_image["nfe"].mean()) for row in entry.rows)
    cell = count_cell(value, "{:.0f}" if value == round(value) else "{:.1f}", entry)
    return replace(cell, rule=MEAN, metric="nfe")


def parameters_cell(entry: Entry) -> Cell:
    """Parameters of the network in millions."""
    value = entry.first.summary.parameters
    cell = count_cell(value, "{:.0f}", entry)
    text = f"{value / 1e6:.2f} M" if value else cell.text
    return replace(cell, text=text, rule=SUMMARY.format("parameters"))


def share_cell(share: Estimate, sources: tuple[str, ...]) -> Cell:
    """Share in [0, 1] with its interval in brackets."""
    low, high = ends(share)
    text = f"{share.mean:.2f}"
    if low is not None and high is not None:
        text += f" [{low:.2f}, {high:.2f}]"
    return Cell(text, share.mean, low, high, sources=sources)
