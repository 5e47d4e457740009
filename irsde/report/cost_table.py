"""What quality costs: arithmetic, seconds, memory, energy."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from irsde.files import read_json
from irsde.report.cells import (
    METHOD,
    count_cell,
    key_of_table,
    named_lines,
    nfe_cell,
    number_text,
    parameters_cell,
)
from irsde.report.judging import headline
from irsde.report.rows import Entry, Row, by_table, entries
from irsde.report.table import Cell, Column, Line, Table

SECTION = "Cost"


def cost_table(rows: Sequence[Row]) -> Table:
    """Parameters, arithmetic, seconds, memory and energy of every line of the quality tables.

    Seconds and energy are means over seeds, memory is the largest. They differ from one run to the
    next, so this table never stands in `tables.md`.
    """
    lines = []
    for (task, dataset), of_table in by_table(rows).items():
        group = entries(of_table)
        psnr = headline(of_table[0])[0]
        for entry, (key, name) in zip(group, named_lines(group), strict=True):
            evaluation = [_cost(row.folder) for row in entry.rows]
            training = [_cost(Path(run)) for run in {r.summary["run"]: None for r in entry.rows}]
            summary = entry.first.summary
            values = entry.values(psnr.name)
            mean = None if values is None else float(values.mean())
            macs = summary.get("multiply_accumulates")
            cells = [
                name,
                Cell(summary["task_label"]),
                Cell(summary["dataset"]["label"]),
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
            lines.append(Line(key_of_table(task, dataset, key), tuple(cells)))
    return Table(
        "cost",
        "Cost",
        SECTION,
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
    columns = {column.label: column for column in (headline(row)[0].column for row in rows)}
    first = next(iter(columns.values()), Column("psnr", "PSNR (dB)", higher_is_better=True))
    return replace(first, label=" or ".join(columns) or first.label)


def _cost(folder: Path) -> dict[str, Any]:
    path = folder / "cost.json"
    return dict(read_json(path)) if path.is_file() else {}


def _measured(
    found: Sequence[Mapping[str, Any]], key: str, unit: float, form: str, entry: Entry
) -> Cell:
    values = [float(cost[key]) for cost in found if cost.get(key) is not None]
    if len(values) < len(found):
        return count_cell(None, form, entry)
    together = max(values) if key.startswith("peak") else fmean(values)
    return count_cell(together / unit, form, entry)
