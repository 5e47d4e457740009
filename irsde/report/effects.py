"""How certain differences are: between protocols, methods, training seeds, and by cause."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from irsde.experiment.grid import Evaluation, cause_evaluations
from irsde.experiment.profile import Cause, Profile
from irsde.experiment.summary import SUMMARY
from irsde.files import InputError, is_present, key_of
from irsde.report.captions import about_exact, close, counted, interval_of
from irsde.report.judging import (
    ALL_EXACT,
    METHOD,
    Judged,
    Metric,
    difference_cell,
    exact_text,
    headline,
    judge,
    mean_cell,
    metrics_of,
    named_lines,
    number_text,
    p_cell,
    sampler_of,
    share_cell,
    signed,
    titles,
)
from irsde.report.results import Entry, Row, by_table, entries, read_row
from irsde.report.table import MEAN, Cell, Column, Line, Table, column_of
from irsde.scoring.metrics import METRICS
from irsde.scoring.protocols import HEADLINES, PROTOCOLS
from irsde.scoring.statistics import (
    SIGNIFICANCE,
    Difference,
    Estimate,
    holm,
    mean_estimate,
    paired_difference,
    variation,
)

PROTOCOL_SECTION = "Protocols"


def protocol_tables(rows: Sequence[Row]) -> list[Table]:
    """How far a channel's headline moves by the protocol alone, for each task and data set.

    Evaluations without `protocols.csv` are skipped.

    Raises
    ------
    InputError
        If a `protocols.csv` is damaged.
    """
    titled = titles(rows)
    tables = []
    for names, of_table in by_table(rows).items():
        group = entries(of_table)
        default = str(of_table[0].summary.protocol.name)
        named = named_lines(group)
        lines: list[Line] = []
        shown: dict[str, None] = {}
        for (key, name), entry in zip(named, group, strict=True):
            rescored = by_protocol(entry)
            if default not in rescored or len(rescored) < 2:
                continue
            for protocol in sorted(rescored, key=lambda p: (p != default, list(rescored).index(p))):
                shown[protocol] = None
                lines.append(_protocol_line(key, name, rescored, protocol, default))
        if lines:
            about_one = [f"{name}: {PROTOCOLS[name].label}" for name in shown]
            tables.append(
                Table(
                    key_of(*names, "protocols"),
                    f"{titled[names]}: protocols",
                    PROTOCOL_SECTION,
                    "The same restored images, scored in different ways: nothing but the protocol "
                    "moves these numbers. PSNR and SSIM are those of each protocol's channel, "
                    f"differences are from protocol {default}, which the other tables use. "
                    f"{'; '.join(about_one)}. "
                    f"{about_exact(cell for line in lines for cell in line.cells)}".strip(),
                    (
                        METHOD,
                        Column("protocol", "protocol", numeric=False),
                        *(
                            column
                            for name in HEADLINES["rgb"]
                            for column in (
                                column_of(name, METRICS[name]),
                                Column(f"{name}_difference", "difference"),
                            )
                        ),
                    ),
                    tuple(lines),
                )
            )
    return tables


def by_protocol(entry: Entry) -> dict[str, Entry]:
    """The same evaluations under each protocol that all their images were scored under."""
    of_protocol: dict[str, list[Row]] = {}
    for row in entry.rows:
        for protocol, rescored in row.rescored.items():
            of_protocol.setdefault(protocol, []).append(rescored)
    complete = {name: rows for name, rows in of_protocol.items() if len(rows) == len(entry.rows)}
    return {name: Entry(tuple(rows)) for name, rows in complete.items()}


def _protocol_line(
    key: str, name: Cell, rescored: Mapping[str, Entry], protocol: str, default: str
) -> Line:
    cells: list[Cell] = []
    own, usual = PROTOCOLS[protocol].headline, PROTOCOLS[default].headline
    sources = rescored[protocol].sources
    for metric, of_default in zip(own, usual, strict=True):
        decimals = METRICS[metric].decimals
        values = rescored[protocol].values(metric)
        others = rescored[default].values(of_default)
        if values is None or others is None:
            cells += [Cell("n/a", reason="not computed for every image", sources=sources)] * 2
            continue
        scenes = rescored[protocol].scenes
        mean = mean_estimate(values, scenes)
        text = f"{number_text(mean.mean, decimals)}{exact_text(mean)}"
        cells.append(Cell(text, mean.mean, sources=sources, rule=MEAN))
        moved = paired_difference(values, others, scenes, same_runs=True)
        if protocol == default:
            cells.append(Cell("0", 0.0, reason="the other tables use this protocol"))
        elif math.isfinite(moved.mean):
            text = f"{signed(moved.mean, decimals)}{exact_text(moved)}"
            cells.append(Cell(text, moved.mean, sources=sources))
        else:
            cells.append(Cell("n/a", reason=ALL_EXACT, sources=sources))
    return Line(f"{key}-{protocol}", (name, Cell(protocol), *cells))


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
        judged = judge(group, metrics_of(of_table))[0]
        if judged.differences:
            tables.append(_significance(group, judged, key_of(*names), titled[names]))
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
        "Chance to beat the best: on a random image with random training seeds, ties count half; "
        "in brackets Wilson's 95 % interval for as many trials as there are scenes or, where there "
        "are several, seeds, whichever are fewer.",
        f"Worse: p is at most {SIGNIFICANCE:g}; otherwise the difference is not resolved (≈).",
        about_exact(cell for line in lines for cell in line.cells),
    ]
    return Table(
        key_of(key, "differences"),
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
            judged = judge(group, headline(of_table))
            lines = [
                _seed_line(entry, of_metric.metric, mean, *named[k], seeds=_every_seed(group))
                for place, (k, entry) in enumerate(zip(several, group, strict=True))
                for of_metric in judged
                if (mean := of_metric.means[place]) is not None
            ]
            tables.append(_seed_table(group, lines, key_of(*names), titled[names]))
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
        sources = tuple(r.folder.as_posix() for r in entry.rows if int(r.summary.seed) == seed)
        cells.append(
            Cell(
                number_text(of_seed[seed], metric.decimals),
                float(of_seed[seed]),
                sources=sources,
                rule=MEAN,
                metric=metric.name,
            )
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
        key_of(key, "seeds"),
        f"{title}: training seeds",
        SEEDS,
        f"Means over the same {counted(len(group[0].images), 'image')} of "
        f"{counted(scenes, 'scene')}, with their standard deviations between training seeds and "
        f"between scenes. ± is half of the 95 % interval over both. {interval_of(group)}",
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


CAUSE_SECTION = "Why reproductions fall short"

KEY = "causes"


@dataclass(frozen=True)
class _Effect:
    """What one cause does: the number it leads to, and its difference from the base."""

    entry: Entry
    mean: Cell
    difference: Difference | None


def causes_tables(profile: Profile) -> list[Table]:
    """The table of a profile's `causes`, if it has them and their base was evaluated.

    Each line differs from the base evaluation in one thing. Differences are paired by image; a
    line whose evaluation is not there says how to make it.
    """
    if profile.causes is None:
        return []
    base, of_causes = cause_evaluations(profile.causes, profile)
    if not is_present(base.folder / SUMMARY):
        return []
    first = read_row(base.folder)
    metrics = headline([first])
    effects = [
        _effects(cause, evaluation, first, metrics)
        for cause, evaluation in zip(profile.causes.rows, of_causes, strict=True)
    ]
    differences = {
        (number, name): effect.difference
        for number, of_line in enumerate(effects, start=1)
        if isinstance(of_line, dict)
        for name, effect in of_line.items()
        if effect.difference is not None
    }
    corrected = holm([difference.p_value for difference in differences.values()])
    p_values = dict(zip(differences, corrected, strict=True))
    lines = [_base_line(first, metrics)]
    for number, (cause, of_line) in enumerate(
        zip(profile.causes.rows, effects, strict=True), start=1
    ):
        of_number = {name: p for (place, name), p in p_values.items() if place == number}
        lines.append(_line(f"cause-{number}", cause, of_line, of_number, metrics))
    return [_table(first, metrics, lines, len(differences))]


def _effects(
    cause: Cause, evaluation: Evaluation, first: Row, metrics: Sequence[Metric]
) -> dict[str, _Effect] | str:
    """Effects on each metric, or why there are none."""
    if not is_present(evaluation.folder / SUMMARY):
        command = f"irsde plan --profile {evaluation.run.profile}, then snakemake or dvc repro"
        return f"{evaluation.folder.as_posix()} is not there: {command}"
    row = read_row(evaluation.folder)
    if list(row.per_image["image"]) != list(first.per_image["image"]):
        raise InputError(f"{row.folder} and {first.folder} are not of the same images")
    entry, base = Entry((row,)), Entry((first,))
    names = {metric.name: metric.name for metric in metrics}
    if cause.protocol is not None:
        rescored = by_protocol(entry)
        if cause.protocol not in rescored:
            return f"{row.folder.as_posix()}/protocols.csv lacks it: run irsde evaluate again"
        entry = rescored[cause.protocol]
        own = PROTOCOLS[cause.protocol].headline
        names = dict(zip(HEADLINES[first.summary.protocol.channel], own, strict=True))
    effects = {}
    for metric in metrics:
        if metric.name not in names:
            continue
        ours, before = entry.values(names[metric.name]), base.values(metric.name)
        estimate = None if ours is None else mean_estimate(ours, base.scenes)
        difference = (
            None if ours is None or before is None else paired_difference(ours, before, base.scenes)
        )
        mean = _mean_alone(estimate, metric, entry)
        effects[metric.name] = _Effect(entry, mean, difference)
    return effects


def _base_line(first: Row, metrics: Sequence[Metric]) -> Line:
    entry = Entry((first,))
    cells = [Cell("none: the base", sources=entry.sources), Cell("")]
    for metric in metrics:
        values = entry.values(metric.name)
        mean = None if values is None else mean_estimate(values, entry.scenes)
        cells += [
            _mean_alone(mean, metric, entry),
            Cell("0", 0.0, reason="differences are from this line"),
        ]
    return Line("base", tuple(cells))


def _mean_alone(mean: Estimate | None, metric: Metric, entry: Entry) -> Cell:
    """Mean without its interval: what counts here is the difference."""
    if mean is None:
        return mean_cell(None, metric, entry)
    text = f"{number_text(mean.mean, metric.decimals)}{exact_text(mean)}"
    return Cell(text, mean.mean, sources=entry.sources, rule=MEAN)


def _line(
    key: str,
    cause: Cause,
    effects: dict[str, _Effect] | str,
    p_values: Mapping[str, float],
    metrics: Sequence[Metric],
) -> Line:
    if isinstance(effects, str):
        absent = [Cell("n/a", reason=effects)] * (2 * len(metrics))
        return Line(key, (Cell(cause.label), Cell(cause.instead_of), *absent))
    sources = next(iter(effects.values())).entry.sources
    cells = [Cell(cause.label, sources=sources), Cell(cause.instead_of)]
    for metric in metrics:
        effect = effects.get(metric.name)
        if effect is None or effect.difference is None:
            reason = f"this protocol scores no {METRICS[metric.name].label} of its own"
            if effect is not None:
                reason = "not computed"
            unscored = Cell("n/a", reason=reason, sources=sources)
            cells += [effect.mean if effect else unscored, unscored]
            continue
        p_value = p_values[metric.name]
        cells += [
            effect.mean,
            difference_cell(effect.difference, p_value, metric.decimals, sources),
        ]
    return Line(key, tuple(cells))


def _table(first: Row, metrics: Sequence[Metric], lines: Sequence[Line], comparisons: int) -> Table:
    summary = first.summary
    data, card = summary.dataset, first.folder
    columns = [Column("cause", "cause", numeric=False), Column("base", "base has", numeric=False)]
    for metric in metrics:
        columns += [
            metric.column,
            Column(f"{metric.name}_effect", "effect"),
        ]
    return Table(
        key=f"{KEY}-{first.task}-{first.dataset}",
        title=f"{summary.task_label}: what moves the numbers of {first.label}",
        section=CAUSE_SECTION,
        caption=(
            f"{first.label} of the profile {summary.profile} on {data.label}, "
            f"{counted(len(first.per_image), 'image')}, sampled by {sampler_of(first)} with "
            f"{summary.nfe} NFE ({card.as_posix()}), and the same with one thing changed at a "
            "time. Effects are paired by image; in brackets the 95 % interval. "
            f"{interval_of([Entry((first,))])} {close(comparisons, 'an effect')} Rows of another "
            "training seed show the variation between trainings. "
            f"{about_exact(cell for line in lines for cell in line.cells)}"
        ).strip(),
        columns=tuple(columns),
        lines=tuple(lines),
    )
