"""Tables of published numbers beside ours, and of the paper's ablations as reproduced."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from irsde.files import read_json
from irsde.perceptual import network_label
from irsde.report.cells import difference_cell, ends, interval_text, mean_text, signed
from irsde.report.comparable import (
    FAR,
    SHOWN,
    Compared,
    budget_text,
    compared_method,
    millions,
    setting,
)
from irsde.report.published import (
    MetricName,
    Numbers,
    Published,
    PublishedTable,
    read_published,
)
from irsde.report.rows import Entry, Row, by_table, entries
from irsde.report.table import Cell, Column, Line, Table
from irsde.report.table_captions import about_exact, close, interval_of
from irsde.statistics import Difference, Estimate, holm, mean_estimate, paired_difference

SECTION = "Against the paper"
ABLATIONS = "Ablations"
ABLATION_METRICS: dict[bool, tuple[MetricName, ...]] = {
    True: ("psnr_y", "ssim_y", "lpips"),
    False: ("psnr", "ssim", "lpips"),
}
GROUPS = {
    "objective": ("Objective", ("ir-sde", "ir-sde-noise")),
    "schedule": ("Schedule of theta", ("ir-sde", "ir-sde-linear", "ir-sde-constant")),
}


def paper_tables(
    rows: list[Row], caption_budget: str, published: Published | None = None
) -> list[Table]:
    """Every published table, and where its data set was run, ours against it.

    Parameters
    ----------
    rows : list of Row
        Evaluations of a profile, those of its sweeps included; one that comes twice counts once.
    caption_budget : str
        What the profile's budget is, for the captions.
    published : Published, optional
        Published numbers; those of `read_published` unless given.

    Returns
    -------
    list of Table
        For each data set: the published numbers of all methods; before it, if one of them was run,
        a line for each of its metrics with the published value, ours, their difference and a
        verdict.

    Raises
    ------
    InputError
        If a run card or a table of protocols cannot be read.
    """
    published = published or read_published()
    rows = list({row.folder: row for row in rows}.values())
    tables = []
    for table in published.tables:
        found = entries(
            row for row in rows if (row.task, row.dataset) == (table.task, table.dataset)
        )
        compared = [
            line
            for method in table.methods
            if method.method is not None
            for line in compared_method(table, method, found)
        ]
        run = {line.method.label for line in compared}
        if compared:
            tables.append(_comparison(table, compared, found, caption_budget))
        tables.append(_as_published(table, published, run))
    return tables


def _comparison(
    table: PublishedTable, compared: Sequence[Compared], found: Sequence[Entry], budget: str
) -> Table:
    lines = tuple(_line(line) for line in compared)
    return Table(
        key=f"paper-{table.task}-{table.dataset}",
        title=f"{table.label}: published and reproduced",
        section=SECTION,
        caption=_caption(table, compared, lines, found, budget),
        columns=(
            Column("method", "method", numeric=False),
            Column("metric", "metric", numeric=False),
            Column("published", "published"),
            Column("reproduced", "reproduced"),
            Column("difference", "difference"),
            Column("interval", "its 95 % interval", numeric=False),
            Column("sampling", "sampled by", numeric=False),
            Column("verdict", "verdict", numeric=False),
        ),
        lines=lines,
    )


def _line(line: Compared) -> Line:
    decimals = SHOWN[line.metric].decimals
    sources = line.entry.sources
    blocking = "; ".join(f"{r.word}: {r.sentence}" for r in line.reasons if r.blocks)
    reproduced = difference = interval = Cell("n/a", reason=line.missing, sources=sources)
    if (ours := line.estimate) is not None:
        reproduced = Cell(mean_text(ours, decimals), ours.mean, *ends(ours), sources=sources)
        difference = interval = Cell("n/a", reason=blocking, sources=sources)
    if (d := line.difference) is not None:
        reached = math.isfinite(d.low)
        difference = Cell(
            signed(d.mean, decimals),
            d.mean,
            d.low if reached else None,
            d.high if reached else None,
            sources=sources,
        )
        interval = (
            Cell(interval_text(d, decimals, sign=True), low=d.low, high=d.high, sources=sources)
            if reached
            else Cell("n/a", reason="this number has no interval", sources=sources)
        )
    return Line(
        f"{_slug(line.method.label)}-{line.metric}",
        (
            Cell(line.method.label, sources=sources),
            Cell(SHOWN[line.metric].heading),
            _published_cell(line.printed, line.group),
            reproduced,
            difference,
            interval,
            _sampling(line),
            Cell(line.verdict, reason=line.missing, sources=sources),
        ),
    )


def _sampling(line: Compared) -> Cell:
    summary = line.entry.first.summary
    if summary["sampler"] == "direct":
        return Cell(f"{summary['nfe'] or 0} NFE")
    return Cell(f"{summary['sampler']}, {summary['nfe']} NFE")


def _published_cell(printed: Decimal | None, group: Numbers | None) -> Cell:
    if printed is None or group is None:
        return Cell("n/a", reason="no source has it")
    if group.confirmed == "no":
        return Cell(f"{printed} (unconfirmed)", float(printed), emphasis="doubtful")
    return Cell(str(printed), float(printed))


def _caption(
    table: PublishedTable,
    compared: Sequence[Compared],
    lines: Sequence[Line],
    found: Sequence[Entry],
    budget: str,
) -> str:
    first = found[0].first
    scenes = len(set(found[0].scenes))
    near = ", ".join(
        f"{SHOWN[metric].near:g} in {SHOWN[metric].label}"
        for metric in dict.fromkeys(line.metric for line in compared)
    )
    parts = [
        f"Ours: {len(first.per_image)} images of {scenes} scenes. {budget.strip()}",
        "± is half of the 95 % interval of our mean, and the interval of the difference is that of "
        f"our mean less the published value. {interval_of(found)}",
        f"A number matches if our whole interval is as near to the published value as {near}, or "
        "as its printed digits tell. It is consistent if the value lies in our interval, which may "
        "be wide and then says little, and short or better if the interval lies on that side. It "
        "is not comparable if anything that makes a number differs; a budget or a network differs "
        f"if it is more than {FAR} times smaller or larger than every one that is known of the "
        "published method.",
        about_exact(cell for line in lines for cell in line.cells),
        table.note,
        *_legend(compared),
    ]
    return " ".join(part.strip() for part in parts if part)


def _legend(compared: Sequence[Compared]) -> list[str]:
    """Every reason once, with the methods it is about where they differ in it."""
    about: dict[str, dict[str, list[str]]] = {}
    for line in compared:
        for reason in line.reasons:
            of_sentence = about.setdefault(reason.word, {}).setdefault(reason.sentence, [])
            if line.method.label not in of_sentence:
                of_sentence.append(line.method.label)
    legend = []
    for word, sentences in about.items():
        if len(sentences) == 1:
            legend.append(f"{_capital(word)}: {next(iter(sentences))}.")
        else:
            texts = [f"{', '.join(names)}: {sentence}" for sentence, names in sentences.items()]
            legend.append(f"{_capital(word)}, {'; '.join(texts)}.")
    return legend


def _as_published(table: PublishedTable, published: Published, run: set[str]) -> Table:
    """The published numbers of all methods, whether they exist here or not."""
    lines = []
    used: list[str] = []
    for method in table.methods:
        names = list(dict.fromkeys(name for g in method.numbers for name in g.sources))
        used += [name for name in names if name not in used]
        if method.label in run:
            here = Cell("above")
        elif method.method is None:
            here = Cell("n/a, no such method")
        else:
            here = Cell("n/a, not run")
        nfe = Cell(str(method.nfe), method.nfe) if method.nfe else Cell("n/a", reason="not known")
        source = "; ".join(published.sources[name].label for name in names)
        lines.append(
            Line(
                _slug(method.label),
                (
                    Cell(method.label),
                    *(
                        _published_cell(*method.values.get(metric, (None, None)))
                        for metric in table.metrics
                    ),
                    nfe,
                    Cell(source) if source else Cell("n/a", reason="found in no source"),
                    here,
                ),
            )
        )
    citations = [published.sources[name] for name in used]
    notes = [f"{m.label}: {m.note}." for m in table.methods if m.note]
    caption = [
        f"As published, on {table.images} images; nothing here was measured by us.",
        "Unconfirmed marks numbers that were found in no source." if _has_doubtful(table) else "",
        table.note,
        *notes,
        "Sources: " + "; ".join(f"{s.label} ({s.citation})" for s in citations) + ".",
    ]
    return Table(
        key=f"published-{table.task}-{table.dataset}",
        title=f"{table.label}: published numbers",
        section=SECTION,
        caption=" ".join(part for part in caption if part),
        columns=(
            Column("method", "method", numeric=False),
            *(
                Column(
                    metric,
                    SHOWN[metric].label,
                    higher_is_better=SHOWN[metric].higher_is_better,
                )
                for metric in table.metrics
            ),
            Column("nfe", "NFE"),
            Column("source", "source", numeric=False),
            Column("here", "reproduced", numeric=False),
        ),
        lines=tuple(lines),
    )


def _has_doubtful(table: PublishedTable) -> bool:
    return any(g.confirmed == "no" for method in table.methods for g in method.numbers)


def _slug(label: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def ablation_tables(rows: list[Row]) -> list[Table]:
    """The paper's ablations as reproduced: IR-SDE beside what differs in one thing.

    Parameters
    ----------
    rows : list of Row
        Evaluations of a profile.

    Returns
    -------
    list of Table
        One for each test set and group of `GROUPS` of which IR-SDE and at least one other were
        evaluated in the same way; each mean with its interval, and its paired difference from
        IR-SDE.
    """
    tables = []
    for of_set in by_table(rows).values():
        found = entries(of_set)
        for key, (title, methods) in GROUPS.items():
            group = _evaluated_alike(found, methods)
            if len(group) > 1:
                tables.append(_ablation(key, title, group))
    return tables


def _evaluated_alike(found: Sequence[Entry], methods: Sequence[str]) -> list[Entry]:
    """Entries of the methods that differ in the method only: the largest such group.

    Of groups of one size the first is taken, which is that of the default sampler.
    """
    groups: dict[tuple[Any, ...], dict[str, Entry]] = {}
    keys = ("sampler", "nfe", "grid", "conversion", "weights", "precision")
    for entry in found:
        if entry.first.method in methods:
            alike = tuple(entry.first.summary.get(key) for key in keys)
            groups.setdefault(alike, {})[entry.first.method] = entry
    with_base = [group for group in groups.values() if methods[0] in group]
    largest = max(with_base, key=len, default={})
    return [largest[method] for method in methods if method in largest]


@dataclass(frozen=True)
class _Against:
    """A mean of a method and its paired difference from the first one."""

    estimate: Estimate | None
    difference: Difference | None
    missing: str = ""


def _ablation(key: str, title: str, group: Sequence[Entry]) -> Table:
    base, summary = group[0], group[0].first.summary
    metrics = ABLATION_METRICS[base.first.task == "deraining"]
    cells = {
        (entry.first.method, metric): _against(entry, base, metric)
        for entry in group
        for metric in metrics
    }
    tested = {
        place: cell.difference.p_value
        for place, cell in cells.items()
        if cell.difference is not None
    }
    corrected = dict(zip(tested, holm(list(tested.values())), strict=True))
    lines = tuple(
        Line(
            entry.first.method,
            (
                Cell(entry.first.label, sources=entry.sources),
                *(
                    cell
                    for metric in metrics
                    for cell in _ablation_cells(
                        cells[entry.first.method, metric],
                        SHOWN[metric].decimals,
                        entry,
                        base,
                        corrected.get((entry.first.method, metric), math.nan),
                    )
                ),
            ),
        )
        for entry in group
    )
    columns = [Column("method", "method", numeric=False)]
    for metric in metrics:
        label = SHOWN[metric].label
        if metric == "lpips" and summary["lpips"]["network"]:
            label += f" ({network_label(summary['lpips']['network'])})"
        columns += [
            Column(metric, label, higher_is_better=SHOWN[metric].higher_is_better),
            Column(f"{metric}-difference", f"difference from {base.first.label}"),
        ]
    data = summary["dataset"]
    return Table(
        key=f"ablation-{key}-{base.first.task}-{base.first.dataset}",
        title=f"{title}: {summary['task_label']}, {data['label']}",
        section=ABLATIONS,
        caption=_ablation_caption(group, lines, len(tested)),
        columns=tuple(columns),
        lines=lines,
    )


def _against(entry: Entry, base: Entry, metric: MetricName) -> _Against:
    ours, first = entry.values(metric), base.values(metric)
    if ours is None or first is None:
        why = entry.first.summary["lpips"]["unavailable"] if metric == "lpips" else ""
        return _Against(None, None, why or f"{metric} was not computed for every image")
    estimate = mean_estimate(ours, entry.scenes)
    if entry is base:
        return _Against(estimate, None)
    return _Against(estimate, paired_difference(ours, first, entry.scenes))


def _ablation_cells(
    against: _Against, decimals: int, entry: Entry, base: Entry, p_value: float
) -> tuple[Cell, Cell]:
    if (mean := against.estimate) is None:
        cell = Cell("n/a", reason=against.missing, sources=entry.sources)
        return cell, cell
    shown = Cell(mean_text(mean, decimals), mean.mean, *ends(mean), sources=entry.sources)
    if (d := against.difference) is None:
        return shown, Cell("0", 0.0, reason="every difference is from this method")
    return shown, difference_cell(d, p_value, decimals, (*entry.sources, *base.sources))


def _ablation_caption(group: Sequence[Entry], lines: Sequence[Line], comparisons: int) -> str:
    first = group[0].first
    summary = first.summary
    scenes = len(set(group[0].scenes))
    training = setting(read_json(Path(summary["run"]) / "run.json"), "training")
    sampled = f"{summary['sampler']}, {summary['nfe']} NFE"
    parts = [
        "The paper shows this ablation; its numbers are in no source that could be opened, so "
        "there is nothing of it to compare with.",
        f"{len(first.per_image)} images of {scenes} scenes, sampled by {sampled}; {_seeds(group)}.",
        f"Budget: {budget_text(training)}, {millions(summary['parameters'])} parameters."
        if training
        else "",
        "± is half of the 95 % interval of a mean; in brackets is the 95 % interval of the "
        f"difference paired by image. {interval_of(group)} {close(comparisons)}",
        about_exact(cell for line in lines for cell in line.cells),
    ]
    return " ".join(part.strip() for part in parts if part)


def _seeds(group: Sequence[Entry]) -> str:
    """Training seeds, of each method where they differ."""
    texts = {", ".join(map(str, entry.training_seeds)) for entry in group}
    if len(texts) == 1:
        return f"training seeds {texts.pop()}"
    return "training seeds " + "; ".join(
        f"{', '.join(map(str, entry.training_seeds))} of {entry.first.label}" for entry in group
    )
