"""Keys and names of a table's lines, and cells of the numbers that tables share."""

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from irsde.report.judging import Metric
from irsde.report.rows import Entry, Row, by_table
from irsde.report.table import Cell, Column
from irsde.statistics import Estimate

METHOD = Column("method", "method", numeric=False)
NOT_FINITE = "a value is not finite"
USUAL = {"grid": "uniform", "conversion": "exact", "weights": "ema", "precision": "float32"}


def line_keys(group: Sequence[Entry]) -> list[str]:
    """Keys of entries: the method, and how it was sampled where one method stands twice."""
    methods = [entry.first.method for entry in group]
    return [
        method if methods.count(method) == 1 else f"{method}-{entry.first.folder.name}"
        for method, entry in zip(methods, group, strict=True)
    ]


def line_names(group: Sequence[Entry]) -> list[str]:
    """Names of entries: the method's label, and how it was sampled where a label stands twice."""
    labels = [entry.first.label for entry in group]
    names = []
    for label, entry in zip(labels, group, strict=True):
        summary = entry.first.summary
        name = label
        if labels.count(label) > 1:
            name += f", {sampler_of(entry.first)}, {summary['nfe'] or 0} NFE"
        names.append(f"{name} (outside)" if summary.get("outside") else name)
    return names


def sampler_of(row: Row) -> str:
    """Sampler of an evaluation, and what else of its sampling is not the default."""
    unusual = [str(row.summary[k]) for k, v in USUAL.items() if row.summary.get(k, v) != v]
    return ", ".join([str(row.summary["sampler"]), *unusual])


def named_lines(group: Sequence[Entry]) -> list[tuple[str, Cell]]:
    """Key and first cell of each line."""
    names = zip(line_names(group), group, strict=True)
    cells = [Cell(name, sources=entry.sources) for name, entry in names]
    return list(zip(line_keys(group), cells, strict=True))


def key_of_table(*parts: str) -> str:
    """Parts of a key joined by dashes, the plus of a variant as a dot: as keys of figures."""
    return "-".join(parts).replace("+", ".")


def titles(rows: Sequence[Row]) -> dict[tuple[str, str], str]:
    """Title of each task and data set; the data set is named where a task has several."""
    found = by_table(rows)
    tasks = [task for task, _ in found]
    named = {}
    for (task, dataset), of_table in found.items():
        named[task, dataset] = str(of_table[0].summary["task_label"])
        if tasks.count(task) > 1:
            named[task, dataset] += f": {of_table[0].summary['dataset']['label']}"
    return named


def number_text(value: float, decimals: int) -> str:
    """Number with its decimals.

    Examples
    --------
    >>> number_text(31.654, 2), number_text(math.inf, 2)
    ('31.65', '∞')
    """
    return "∞" if value == math.inf else f"{value:.{decimals}f}"


def mean_text(mean: Estimate, decimals: int) -> str:
    """Mean and, where there is an interval, half of it."""
    text = number_text(mean.mean, decimals)
    if math.isfinite(mean.half_width):
        text += f" ± {mean.half_width:.{decimals}f}"
    return text


def mean_cell(mean: Estimate | None, metric: Metric, entry: Entry) -> Cell:
    """Mean of a metric, or n/a and why."""
    if mean is None:
        reason = entry.first.summary["lpips"]["unavailable"] if metric.name == "lpips" else ""
        return Cell("n/a", reason=reason or "not computed for every image", sources=entry.sources)
    text = mean_text(mean, metric.decimals)
    return Cell(text, mean.mean, *ends(mean), sources=entry.sources)


def ends(estimate: Estimate) -> tuple[float | None, float | None]:
    """Ends of an interval; None where there is none."""
    finite = math.isfinite(estimate.low) and math.isfinite(estimate.high)
    return (estimate.low, estimate.high) if finite else (None, None)


def difference_cell(difference: Estimate, decimals: int, sources: tuple[str, ...]) -> Cell:
    """Difference with its sign, and its interval in brackets."""
    if not math.isfinite(difference.mean):
        return Cell("n/a", reason=NOT_FINITE, sources=sources)
    text = signed(difference.mean, decimals)
    low, high = ends(difference)
    if low is not None and high is not None:
        text += f" [{signed(low, decimals)}, {signed(high, decimals)}]"
    return Cell(text, difference.mean, low, high, sources=sources)


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


def p_cell(p_value: float, reason: str, sources: tuple[str, ...]) -> Cell:
    """A p-value, or n/a and why."""
    if math.isnan(p_value):
        return Cell("n/a", reason=reason, sources=sources)
    text = f"{p_value:.4f}" if p_value >= 1e-4 else "< 0.0001"
    return Cell(text, p_value, sources=sources)


def count_cell(value: float | None, form: str, entry: Entry) -> Cell:
    """Number that all rows of an entry share."""
    if value is None:
        outside = entry.first.summary.get("outside")
        reason = "made elsewhere" if outside else "not recorded"
        return Cell("n/a", reason=reason, sources=entry.sources)
    return Cell(form.format(value), value, sources=entry.sources)


def nfe_cell(entry: Entry) -> Cell:
    """Network evaluations of an image: the mean of those counted."""
    if entry.first.summary["nfe"] is None:
        return count_cell(None, "", entry)
    value = fmean(float(row.per_image["nfe"].mean()) for row in entry.rows)
    return count_cell(value, "{:.0f}" if value == round(value) else "{:.1f}", entry)


def parameters_cell(entry: Entry) -> Cell:
    """Parameters of the network in millions."""
    value = entry.first.summary["parameters"]
    if not value:
        return count_cell(value, "{:.0f}", entry)
    return replace(count_cell(value, "{}", entry), text=f"{value / 1e6:.2f} M")


def share_cell(share: Estimate, sources: tuple[str, ...]) -> Cell:
    """Share in [0, 1] with its interval in brackets."""
    low, high = ends(share)
    text = f"{share.mean:.2f}"
    if low is not None and high is not None:
        text += f" [{low:.2f}, {high:.2f}]"
    return Cell(text, share.mean, low, high, sources=sources)
