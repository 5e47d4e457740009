"""What moves a number of one method, one cause at a time: why reproductions fall short."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from irsde.config import Cause, Profile
from irsde.files import InputError
from irsde.plan import Evaluation, cause_evaluations
from irsde.protocols import PROTOCOLS
from irsde.report.captions import counted
from irsde.report.cells import (
    difference_cell,
    exact_text,
    mean_cell,
    number_text,
    sampler_of,
)
from irsde.report.judging import Metric, headline
from irsde.report.protocol_tables import by_protocol
from irsde.report.rows import Entry, Row, read_row
from irsde.report.table import Cell, Column, Line, Table
from irsde.report.table_captions import about_exact, close, interval_of
from irsde.statistics import Difference, Estimate, holm, mean_estimate, paired_difference

SECTION = "Why reproductions fall short"
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
    base, found = cause_evaluations(profile.causes, profile)
    if not (base.folder / "summary.json").is_file():
        return []
    first = read_row(base.folder)
    metrics = headline(first)
    effects = [
        _effects(cause, evaluation, first, metrics)
        for cause, evaluation in zip(profile.causes.rows, found, strict=True)
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
    if not (evaluation.folder / "summary.json").is_file():
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
        psnr, ssim = PROTOCOLS[cause.protocol].headline
        names = {"psnr": psnr, "ssim": ssim}
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
    return Cell(text, mean.mean, sources=entry.sources)


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
            reason = "this protocol scores no LPIPS of its own" if effect is None else ""
            unscored = Cell("n/a", reason=reason or "not computed", sources=sources)
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
    data, card = summary["dataset"], first.folder
    columns = [Column("cause", "cause", numeric=False), Column("base", "base has", numeric=False)]
    for metric in metrics:
        columns += [
            Column(metric.name, metric.label, higher_is_better=metric.higher_is_better),
            Column(f"{metric.name}_effect", "effect"),
        ]
    return Table(
        key=f"{KEY}-{first.task}-{first.dataset}",
        title=f"{summary['task_label']}: what moves the numbers of {first.label}",
        section=SECTION,
        caption=(
            f"{first.label} of the profile {summary['profile']} on {data['label']}, "
            f"{counted(len(first.per_image), 'image')}, sampled by {sampler_of(first)} with "
            f"{summary['nfe']} NFE ({card.as_posix()}), and the same with one thing changed at a "
            "time. Effects are paired by image; in brackets the 95 % interval. "
            f"{interval_of([Entry((first,))])} {close(comparisons, 'an effect')} Lines of another "
            "training seed show how much a training changes by chance. "
            f"{about_exact(cell for line in lines for cell in line.cells)}"
        ).strip(),
        columns=tuple(columns),
        lines=tuple(lines),
    )
