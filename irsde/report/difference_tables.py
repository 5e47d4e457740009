"""How certain the order of methods is: differences from the best, and training seeds."""

import math
from collections.abc import Sequence

import numpy as np

from irsde.report.captions import counted
from irsde.report.cells import (
    METHOD,
    difference_cell,
    key_of_table,
    mean_cell,
    named_lines,
    number_text,
    p_cell,
    share_cell,
    titles,
)
from irsde.report.judging import Judged, Metric, headline, judge, metrics_of
from irsde.report.rows import Entry, Row, by_table, entries
from irsde.report.table import Cell, Column, Line, Table
from irsde.report.table_captions import about_exact, interval_of
from irsde.statistics import SIGNIFICANCE, Estimate, variation

DIFFERENCES = "Differences between methods"
SEEDS = "Training seeds"
ONE_SCENE = "one scene and one training seed: no test"


def significance_tables(rows: Sequence[Row]) -> list[Table]:
    """Every method against the best by the protocol's PSNR, for each task and data set.

    The p-values are those of the table of quality, corrected for all its comparisons.
    """
    titled = titles(rows)
    tables = []
    for names, of_table in by_table(rows).items():
        group = entries(of_table)
        judged = judge(group, metrics_of(of_table[0]))[0]
        if judged.differences:
            tables.append(_significance(group, judged, key_of_table(*names), titled[names]))
    return tables


def _significance(group: Sequence[Entry], judged: Judged, key: str, title: str) -> Table:
    metric, best = judged.metric, judged.ranking[0]
    named = named_lines(group)
    lines = []
    for k in judged.ranking[1:]:
        difference = judged.differences[k]
        sources = (*group[k].sources, *group[best].sources)
        cells = (
            named[k][1],
            difference_cell(difference, judged.p_values[k], metric.decimals, sources),
            p_cell(judged.p_values[k], ONE_SCENE, sources),
            share_cell(judged.improvements[k], sources),
            Cell(f"{100 * difference.wins:.0f} %", 100 * difference.wins, sources=sources),
            Cell(judged.verdict(k), sources=sources),
        )
        lines.append(Line(named[k][0], cells))
    scenes = len(set(group[best].scenes))
    count = len(group[best].images)
    caption = [
        f"Each method less {named[best][1].text}, the best by {metric.label}, on the same "
        f"{counted(count, 'image')} of {counted(scenes, 'scene')}.",
        f"In brackets: the 95 % interval. {interval_of(group)}",
        "p: of the two-sided t-test that belongs to the interval, corrected by Holm's method for "
        f"{counted(judged.comparisons, 'comparison')}, those of all metrics of the table of "
        "quality.",
        "Chance to beat the best: of a random image by random training seeds, ties count half, "
        "0.5 is no difference; in brackets Wilson's 95 % interval, of as many trials as the fewest "
        "of scenes and of seeds where there are several: it takes no values to be normally "
        "distributed, and is wide with few seeds.",
        f"Worse: p is at most {SIGNIFICANCE:g}; otherwise the difference is not resolved (≈).",
        about_exact(cell for line in lines for cell in line.cells),
    ]
    return Table(
        key_of_table(key, "differences"),
        f"{title}: differences from {named[best][1].text}",
        DIFFERENCES,
        " ".join(filter(None, caption)),
        (
            METHOD,
            Column("difference", f"difference of {metric.label}"),
            Column("p", "p (Holm)"),
            Column("improvement", "chance to beat the best"),
            Column("wins", "images won"),
            Column("verdict", "verdict", numeric=False),
        ),
        tuple(lines),
    )


def seed_tables(rows: Sequence[Row]) -> list[Table]:
    """Means of each training seed, for each task and data set where a method has several."""
    titled = titles(rows)
    tables = []
    for names, of_table in by_table(rows).items():
        everyone = entries(of_table)
        several = [k for k, entry in enumerate(everyone) if len(entry.training_seeds) > 1]
        if several:
            named, group = named_lines(everyone), [everyone[k] for k in several]
            judged = judge(group, headline(of_table[0]))
            lines = [
                _seed_line(entry, of_metric.metric, mean, *named[k], seeds=_every_seed(group))
                for place, (k, entry) in enumerate(zip(several, group, strict=True))
                for of_metric in judged
                if (mean := of_metric.means[place]) is not None
            ]
            tables.append(_seed_table(group, lines, key_of_table(*names), titled[names]))
    return tables


def _every_seed(group: Sequence[Entry]) -> list[int]:
    return sorted({seed for entry in group for seed in entry.training_seeds})


def _seed_line(
    entry: Entry, metric: Metric, mean: Estimate, key: str, name: Cell, seeds: Sequence[int]
) -> Line:
    values = entry.values(metric.name)
    assert values is not None
    finite = values[:, np.isfinite(values).all(axis=0)]
    means = finite.mean(axis=1) if finite.size else values.mean(axis=1)
    of_seed = dict(zip(entry.training_seeds, means, strict=True))
    cells = []
    for seed in seeds:
        sources = tuple(r.folder.as_posix() for r in entry.rows if int(r.summary["seed"]) == seed)
        cells.append(
            Cell(number_text(of_seed[seed], metric.decimals), float(of_seed[seed]), sources=sources)
            if seed in of_seed
            else Cell("n/a", reason=f"not trained with seed {seed}")
        )
    spread = variation(values, entry.scenes)
    cells.append(mean_cell(mean, metric, entry))
    cells += [
        Cell("n/a", reason="there is one only", sources=entry.sources)
        if math.isnan(deviation)
        else Cell(f"{deviation:.{metric.decimals + 1}f}", deviation, sources=entry.sources)
        for deviation in (spread.over_seeds, spread.over_scenes)
    ]
    return Line(f"{key}-{metric.name}", (name, Cell(metric.column.heading), *cells))


def _seed_table(group: Sequence[Entry], lines: Sequence[Line], key: str, title: str) -> Table:
    scenes = len(set(group[0].scenes))
    return Table(
        key_of_table(key, "seeds"),
        f"{title}: training seeds",
        SEEDS,
        f"Means over the same {counted(len(group[0].images), 'image')} of "
        f"{counted(scenes, 'scene')}. The two standard deviations answer two questions: how much a "
        "mean would move with another training seed, and how much scenes differ from each other. "
        f"± is half of the 95 % interval over both. {interval_of(group)}",
        (
            METHOD,
            Column("metric", "metric", numeric=False),
            *(Column(f"seed{seed}", f"seed {seed}") for seed in _every_seed(group)),
            Column("mean", "mean"),
            Column("over_seeds", "deviation over seeds"),
            Column("over_scenes", "deviation over scenes"),
        ),
        tuple(lines),
    )
