"""What other samplers and fewer network evaluations cost in quality."""

from collections.abc import Sequence
from dataclasses import replace

from irsde.report.captions import about_sampling, counted
from irsde.report.cells import (
    difference_cell,
    key_of_table,
    mean_cell,
    nfe_cell,
    sampler_of,
    titles,
)
from irsde.report.judging import Metric, headline, judge
from irsde.report.rows import Entry, Row, entries
from irsde.report.table import Cell, Column, Line, Table
from irsde.report.table_captions import about_exact, close, interval_of, seeds_of
from irsde.statistics import Difference, holm, paired_difference

SECTION = "Samplers and network evaluations"


def sweep_tables(rows: Sequence[Row]) -> list[Table]:
    """Samplers against network evaluations, for each task, data set and method.

    Differences are from the best sampler, by PSNR, at the largest number of evaluations.
    """
    of_method: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        if row.summary["nfe"]:
            of_method.setdefault((row.task, row.dataset, row.method), []).append(row)
    titled = titles(rows)
    return [
        _sweep(group, titled[names[:2]])
        for names, found in of_method.items()
        if len(group := entries(found)) > 1
    ]


def _sweep(found: Sequence[Entry], title: str) -> Table:
    samplers = list(dict.fromkeys(sampler_of(entry.first) for entry in found))
    group = sorted(
        found, key=lambda e: (samplers.index(sampler_of(e.first)), int(e.first.summary["nfe"]))
    )
    first = group[0].first
    metrics = headline(first)
    judged = judge(group, metrics)
    most = max(int(entry.first.summary["nfe"]) for entry in group)
    ranking = judged[0].ranking or range(len(group))
    base = next(k for k in ranking if group[k].first.summary["nfe"] == most)
    differences = {
        (k, metric.name): found
        for metric in metrics
        for k, found in _differences(group, base, metric).items()
    }
    corrected = holm([found.p_value for found in differences.values()])
    p_values = dict(zip(differences, corrected, strict=True))
    lines = []
    for k, entry in enumerate(group):
        cells = [Cell(sampler_of(entry.first), sources=entry.sources), nfe_cell(entry)]
        sources = (*entry.sources, *group[base].sources)
        for of_metric in judged:
            metric = of_metric.metric
            mean = mean_cell(of_metric.means[k], metric, entry)
            cells.append(replace(mean, emphasis=of_metric.emphasis(k)))
            place = (k, metric.name)
            if k == base:
                cells.append(Cell("0", 0.0, reason="differences are from this line"))
            elif place in differences:
                found_here = (differences[place], p_values[place])
                cells.append(difference_cell(*found_here, metric.decimals, sources))
            else:
                cells.append(Cell("n/a", reason="not computed for every image"))
        lines.append(Line(entry.first.folder.name, tuple(cells)))
    exact = about_exact(cell for line in lines for cell in line.cells)
    exact += " " * bool(exact)
    names = (first.task, first.dataset, first.method)
    count, scenes = len(group[0].images), len(set(group[0].scenes))
    return Table(
        key_of_table(*names, "sweep"),
        f"{title}: samplers of {first.label}",
        SECTION,
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
        figure=key_of_table("nfe", *names),
    )


def _differences(group: Sequence[Entry], base: int, metric: Metric) -> dict[int, Difference]:
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
