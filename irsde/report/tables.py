"""The tables of a profile: quality, samplers, cost; its numbers for other programs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pandas as pd

from irsde.experiment.cards import Cost
from irsde.experiment.result_tables import HISTORY, read_history
from irsde.experiment.summary import StatedDistance
from irsde.files import is_present, key_of, slug
from irsde.report.captions import (
    about,
    about_exact,
    about_sampling,
    close,
    counted,
    interval_of,
    joined,
    rule,
    seeds_of,
)
from irsde.report.judging import (
    CLOSE,
    METHOD,
    Judged,
    count_cell,
    difference_cell,
    differences_from,
    headline,
    judge,
    line_keys,
    mean_cell,
    metrics_of,
    named_lines,
    nfe_cell,
    number_text,
    parameters_cell,
    rows_of,
    sampler_of,
    titles,
)
from irsde.report.results import Entry, Row, by_table, entries, without_leaked
from irsde.report.table import MEAN, SUMMARY, UNSEEN, Cell, Column, Emphasis, Line, Table, column_of
from irsde.scoring.distributions import DISTANCES
from irsde.scoring.statistics import Difference, holm, mean_estimate

SWEEP_SECTION = "Samplers and network evaluations"


def sweep_tables(rows: Sequence[Row]) -> list[Table]:
    """Samplers against network evaluations, for each task, data set and method.

    Differences are from the best sampler, by PSNR, at the largest number of evaluations.
    """
    of_method: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        if row.summary.nfe:
            of_method.setdefault((row.task, row.dataset, row.method), []).append(row)
    titled = titles(rows)
    return [
        _sweep(group, titled[names[:2]])
        for names, of_names in of_method.items()
        if len(group := entries(of_names)) > 1
    ]


def _sweep(evaluated: Sequence[Entry], title: str) -> Table:
    samplers = list(dict.fromkeys(sampler_of(entry.first) for entry in evaluated))
    group = sorted(
        evaluated, key=lambda e: (samplers.index(sampler_of(e.first)), e.first.summary.nfe or 0)
    )
    first = group[0].first
    metrics = headline(rows_of(group))
    judged = judge(group, metrics)
    most = max(entry.first.summary.nfe or 0 for entry in group)
    ranking = judged[0].ranking or range(len(group))
    base = next(k for k in ranking if group[k].first.summary.nfe == most)
    differences = {
        (k, metric.name): difference
        for metric in metrics
        for k, difference in differences_from(group, base, metric).items()
    }
    corrected = holm([difference.p_value for difference in differences.values()])
    p_values = dict(zip(differences, corrected, strict=True))
    effects = {place: (differences[place], p_values[place]) for place in differences}
    lines = [_sweep_line(k, group, base, judged, effects) for k in range(len(group))]
    exact = about_exact(cell for line in lines for cell in line.cells)
    exact += " " * bool(exact)
    names = (first.task, first.dataset, first.method)
    count, scenes = len(group[0].images), len(set(group[0].scenes))
    return Table(
        key_of(*names, "sweep"),
        f"{title}: samplers of {first.label}",
        SWEEP_SECTION,
        f"The same weights sampled in different ways: {counted(count, 'image')} of "
        f"{counted(scenes, 'scene')}, the same noise where a sampler takes any. Differences are "
        f"from {sampler_of(group[base].first)} with {most} NFE, the best by {metrics[0].label} at "
        "the largest NFE, paired by image; in brackets is their 95 % interval, ± is half of that "
        f"of a mean. {interval_of(group)} {close(len(differences))} Bold is the best, underlined "
        f"the second. {exact}{seeds_of('Training', group, lambda entry: entry.training_seeds)} "
        f"{about_sampling(group)}",
        (
            Column("sampler", "sampler", numeric=False),
            Column("nfe", "NFE"),
            *(
                column
                for metric in metrics
                for column in (metric.column, Column(f"{metric.name}_difference", "difference"))
            ),
        ),
        tuple(lines),
        figure=key_of("nfe", *names),
    )


def _sweep_line(
    k: int,
    group: Sequence[Entry],
    base: int,
    judged: Sequence[Judged],
    effects: Mapping[tuple[int, str], tuple[Difference, float]],
) -> Line:
    """Means of an entry, and its differences from the entry `base` with their p-values."""
    entry = group[k]
    cells = [Cell(sampler_of(entry.first), sources=entry.sources), nfe_cell(entry)]
    sources = (*entry.sources, *group[base].sources)
    for of_metric in judged:
        metric = of_metric.metric
        mean = mean_cell(of_metric.means[k], metric, entry)
        cells.append(replace(mean, emphasis=of_metric.emphasis(k)))
        if k == base:
            cells.append(Cell("0", 0.0, reason="differences are from this line"))
        elif effect := effects.get((k, metric.name)):
            cells.append(difference_cell(*effect, metric.decimals, sources))
        else:
            of = entry if of_metric.means[k] is None else group[base]
            cells.append(Cell("n/a", reason=of.missing(metric.name)))
    return Line(entry.first.folder.name, tuple(cells))


COST_SECTION = "Cost"


def cost_table(rows: Sequence[Row]) -> Table:
    """Parameters, arithmetic, seconds, memory and energy of every line of the quality tables.

    Seconds and energy are means over seeds, memory is the largest. They differ from one run to the
    next, so this table is never in `tables.md`.
    """
    lines = []
    for (task, dataset), of_table in by_table(rows).items():
        group = entries(of_table)
        psnr = headline(of_table)[0]
        for entry, (key, name) in zip(group, named_lines(group), strict=True):
            evaluation = [_cost(row.folder) for row in entry.rows]
            training = [_cost(Path(run)) for run in {r.summary.run: None for r in entry.rows}]
            summary = entry.first.summary
            values = entry.values(psnr.name)
            mean = None if values is None else float(values.mean())
            macs = summary.multiply_accumulates
            cells = [
                name,
                Cell(summary.task_label),
                Cell(summary.dataset.label),
                count_cell(None, "", entry)
                if mean is None
                else Cell(number_text(mean, psnr.decimals), mean, sources=entry.sources),
                parameters_cell(entry),
                nfe_cell(entry),
                count_cell(None if macs is None else macs / 1e9, "{:.2f}", entry),
                _measured(evaluation, "seconds_per_image", 1, "{:.3f}", entry),
                _measured(evaluation, "seconds_per_megapixel", 1, "{:.2f}", entry),
                _measured(evaluation, "peak_memory_bytes", 2**20, "{:.0f}", entry),
                _measured(evaluation, "peak_gpu_memory_bytes", 2**20, "{:.0f}", entry),
                _measured(evaluation, "joules", 1, "{:.0f}", entry),
                _measured(training, "seconds", 1, "{:.1f}", entry),
                _measured(training, "peak_memory_bytes", 2**20, "{:.0f}", entry),
            ]
            lines.append(Line(key_of(task, dataset, key), tuple(cells)))
    return Table(
        "cost",
        "Cost",
        COST_SECTION,
        "Measured while other jobs may have shared the machine; these numbers differ from run to "
        "run. Seconds and joules are means over seeds, memory is the largest. Multiply-accumulates "
        "are those of all network evaluations of an image. Of methods without a network, training "
        "is the search for the filter's parameter.",
        (
            METHOD,
            Column("task", "task", numeric=False),
            Column("dataset", "data set", numeric=False),
            _psnr_column(rows),
            Column("parameters", "parameters"),
            Column("nfe", "NFE"),
            Column("multiply_accumulates", "multiply-accumulates per image (10⁹)"),
            Column("seconds_per_image", "seconds per image", higher_is_better=False),
            Column("seconds_per_megapixel", "seconds per megapixel", higher_is_better=False),
            Column("peak", "peak memory (MiB)", higher_is_better=False),
            Column("peak_gpu", "peak GPU memory (MiB)", higher_is_better=False),
            Column("joules", "joules of the evaluation", higher_is_better=False),
            Column("training_seconds", "training (s)", higher_is_better=False),
            Column("training_peak", "training peak (MiB)", higher_is_better=False),
        ),
        tuple(lines),
    )


def _psnr_column(rows: Sequence[Row]) -> Column:
    """Column of the PSNR of each protocol's channel, which its heading names."""
    columns = {column.label: column for column in (headline([row])[0].column for row in rows)}
    first = next(iter(columns.values()), Column("psnr", "PSNR (dB)", higher_is_better=True))
    return replace(first, label=" or ".join(columns) or first.label)


def _cost(folder: Path) -> Cost:
    path = folder / "cost.json"
    return Cost.read(path) if is_present(path) else Cost()


def _measured(costs: Sequence[Cost], key: str, unit: float, form: str, entry: Entry) -> Cell:
    values = [float(value) for cost in costs if (value := getattr(cost, key)) is not None]
    if len(values) < len(costs):
        return count_cell(None, form, entry)
    together = max(values) if key.startswith("peak") else fmean(values)
    return count_cell(together / unit, form, entry)


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
        key, title = key_of(task, dataset), titled[task, dataset]
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
                    key_of(task, dataset, "leak-free"),
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
    metrics = metrics_of(rows_of(group))
    judged = judge(group, metrics)
    distances = [
        name for name in DISTANCES if any(_distance(e.first, name).value is not None for e in group)
    ]
    columns = [
        METHOD,
        *(metric.column for metric in metrics),
        *(column_of(name, DISTANCES[name]) for name in distances),
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
                rule=MEAN if whole else UNSEEN,
            )
            for of_metric in judged
        ]
        cells += [of_distance[name][k] for name in distances]
        lines.append(Line(line_key, (name, *cells, nfe_cell(entry), parameters_cell(entry))))
    for label, reason in refused.items():
        absent = [Cell("n/a", reason=reason)] * (len(columns) - 1)
        lines.append(Line(slug(label), (Cell(label, reason=reason), *absent)))
    notes = [
        note,
        rule(group, judged[0].comparisons if judged else 0),
        about_exact(cell for line in lines for cell in line.cells),
        *_about_distances(group, distances),
        *(f"{label} is n/a: {reason.rstrip('.')}." for label, reason in refused.items()),
    ]
    section = str(group[0].first.summary.task_label)
    caption = " ".join(filter(None, notes))
    return Table(key, title, section, caption, tuple(columns), tuple(lines))


def _distance(row: Row, name: str) -> StatedDistance:
    """What an evaluation says of its FID or KID."""
    return row.summary.distribution.of(name)


def _distance_cells(group: Sequence[Entry], name: str, *, whole: bool) -> list[Cell]:
    """FID or KID of each entry: of all images together, averaged over seeds."""
    label, decimals = DISTANCES[name].label, DISTANCES[name].decimals
    cells = []
    for entry in group:
        distances = [_distance(row, name) for row in entry.rows]
        if not whole:
            cell = Cell("n/a", reason=f"{label} was computed of all images together")
        elif len(values := [one.value for one in distances if one.value is not None]) < len(
            distances
        ):
            reason = next((one.reason for one in distances if one.reason), "")
            cell = Cell("n/a", reason=reason or "not computed", sources=entry.sources)
        else:
            value = entry.mean_over_seeds(values)
            text = number_text(value, decimals)
            if all(deviations := [one.std or 0.0 for one in distances]):
                text += f" ± {fmean(deviations):.{decimals}f}"
            cell = Cell(text, value, sources=entry.sources, rule=SUMMARY.format(label))
        cells.append(cell)
    ranking = sorted(
        (k for k, cell in enumerate(cells) if cell.value is not None),
        key=lambda k: cells[k].value or 0.0,
    )
    places: tuple[Emphasis, ...] = ("best", "second")
    for k, emphasis in zip(ranking, places, strict=False):
        cells[k] = replace(cells[k], emphasis=emphasis)
    return cells


def _about_distances(group: Sequence[Entry], shown: Sequence[str]) -> list[str]:
    """What must be known of FID and KID, or why there are none."""
    distances = [_distance(entry.first, name) for name in shown or DISTANCES for entry in group]
    texts = [of.warning if shown else of.reason for of in distances]
    said = list(dict.fromkeys(text.rstrip(".") for text in texts if text))
    if not shown:
        return [f"FID and KID are n/a: {joined(said)}."] if said else []
    parts = [f"{text}." for text in said]
    parts.append("They compare all images at once, so their differences have no intervals.")
    if any(of.std for of in distances):
        parts.append("± of KID is the standard deviation over its subsets of the images.")
    return parts


def training_curves(rows: Sequence[Row]) -> pd.DataFrame:
    """Training histories of all trained runs, one line for each run and logged iteration."""
    parts = []
    for row in {row.summary.run: row for row in rows}.values():
        history = Path(row.summary.run) / HISTORY
        if is_present(history):
            run = f"{row.task}/{row.method}/seed{row.summary.seed}"
            parts.append(read_history(history).assign(run=run))
    columns = ["iteration", "loss", "gradient_norm", "learning_rate", "validation_psnr", "run"]
    return pd.concat(parts) if parts else pd.DataFrame(columns=columns)


def metrics_tree(rows: Sequence[Row]) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Means as task → data set → method → metric, for `dvc metrics show`; seeds are averaged.

    Images that are restored exactly are excluded.
    """
    tree: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for (task, dataset), of_table in by_table(rows).items():
        group = entries(of_table)
        of_set = tree.setdefault(task, {}).setdefault(dataset, {})
        for key, entry in zip(line_keys(group), group, strict=True):
            values_of = {m.name: entry.values(m.name) for m in metrics_of(entry.rows)}
            means = {
                name: mean_estimate(values, entry.scenes).mean
                for name, values in values_of.items()
                if values is not None
            }
            of_set[key] = {name: round(m, 6) for name, m in means.items() if math.isfinite(m)}
    return tree
