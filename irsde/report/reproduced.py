"""Rows of published tables measured again: what is printed beside what the weights give here."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from irsde.data.catalogue import find_split
from irsde.experiment.cards import Cost
from irsde.experiment.profile import TestSet
from irsde.experiment.published_weights import (
    PublishedRow,
    PublishedWeights,
    read_weights_catalogue,
)
from irsde.files import InputError, is_present
from irsde.methods import method_of
from irsde.report.effects import by_protocol
from irsde.report.judging import count_cell, ends, mean_text, number_text, signed
from irsde.report.results import Entry, Row, entries
from irsde.report.table import Cell, Column, Line, Table
from irsde.scoring.metrics import METRICS
from irsde.scoring.protocols import PROTOCOLS
from irsde.scoring.statistics import Estimate, mean_estimate

SECTION = "Published rows, measured again"
TOLERANCE = {"psnr": 0.05, "ssim": 0.002}  # of a reproduced row, in dB and of SSIM
ROUNDING = 1e-9  # of the difference of two decimal numbers
REPRODUCED, NOT_REPRODUCED = "reproduced", "not reproduced"


@dataclass(frozen=True)
class Measured:
    """A published row and what was measured of it.

    Parameters
    ----------
    name : str
        Name of the weights.
    record : PublishedWeights
    row : PublishedRow
    entry : Entry
        The evaluation.
    means : dict
        Protocol → metric of its channel → mean; of whole rows of the table of protocols.
    scored : int
        Images that were scored.
    images : int, optional
        Images that the published number is of; None where the catalogue does not say.
    """

    name: str
    record: PublishedWeights
    row: PublishedRow
    entry: Entry
    means: dict[str, dict[str, Estimate]]
    scored: int
    images: int | None

    def difference(self, protocol: str, kind: str) -> float | None:
        """Mean under a protocol less the printed value of its kind, "psnr" or "ssim"."""
        printed: Decimal | None = getattr(self.row, kind)
        found = self.means.get(protocol, {}).get(kind)
        if printed is None or found is None:
            return None
        return found.mean - float(printed)

    def agrees(self, protocol: str) -> bool:
        """True if every printed number is met under a protocol."""
        found = [self.difference(protocol, kind) for kind in TOLERANCE]
        pairs = zip(found, TOLERANCE.values(), strict=True)
        near = [abs(d) <= most + ROUNDING for d, most in pairs if d is not None]
        return bool(near) and all(near)

    @property
    def verdict(self) -> str:
        """Whether the row is reproduced; none for a part of the set or another edition of it."""
        if self.row.confirmed == "no":
            return "none: no confirmed number"
        if self.images is None:
            return "none: the catalogue does not say how many images the set has"
        if self.scored < self.images:
            return f"none: {self.scored} of {self.images} images"
        if self.entry.first.summary.dataset.source.differences:
            return "none: not the set as published"
        return REPRODUCED if self.agrees(self.row.protocol) else NOT_REPRODUCED


def reproduced_tables(rows: Sequence[Row]) -> list[Table]:
    """Published rows measured again, and how far they move with the noise.

    Parameters
    ----------
    rows : sequence of Row
        Evaluations of a profile; those of published systems are taken.

    Returns
    -------
    list of Table
        None where there is no published system. The first has a line for each row, the second one
        for each denoiser and level of which several draws of the noise were evaluated.
    """
    own = [row for row in rows if not row.summary.outside]
    found = [entry for entry in entries(own) if method_of(entry.first.method).kind == "published"]
    if not found:
        return []
    measured = [one for entry in found for one in _measured(entry)]
    tables = [_rows_table(measured)] if measured else []
    if lines := _draw_lines(measured, found):
        tables.append(_draws_table(lines))
    return tables


def _measured(entry: Entry) -> list[Measured]:
    name, test_set = entry.first.method, TestSet.parse(entry.first.dataset)
    record = read_weights_catalogue().get(name)
    if record is None or test_set.draw:
        return []
    return [
        Measured(
            name,
            record,
            row,
            entry,
            _means(entry),
            len(entry.images),
            _images_of(row),
        )
        for row in record.rows
        if entry.first.dataset in (row.dataset, *row.parts)
    ]


def remeasured(rows: Sequence[Row], weights: str, dataset: str, noise: float | None) -> Cell | None:
    """What a method's own weights gave here on a test set, under the protocol of its row.

    Parameters
    ----------
    rows : sequence of Row
        Evaluations of a profile.
    weights : str
        Name of the weights.
    dataset : str
        Data set, without the noise.
    noise : float, optional
        Its level, in the unit of images in [0, 1].

    Returns
    -------
    Cell or None
        None where they were not evaluated on it.
    """
    for entry in entries(row for row in rows if row.method == weights):
        test_set = TestSet.parse(entry.first.dataset)
        level = test_set.noise_level
        if test_set.dataset != dataset or (level and not math.isclose(level, noise or 0)):
            continue
        for one in _measured(entry):
            means = one.means.get(one.row.protocol, {})
            texts = [number_text(mean.mean, METRICS[kind].decimals) for kind, mean in means.items()]
            if texts:
                text = f"re-measured: {' / '.join(texts)} ({one.row.protocol})"
                return Cell(text, sources=entry.sources)
    return None


def _images_of(row: PublishedRow) -> int | None:
    """Images of the set that a printed number is of, degraded ones where they are more."""
    try:
        _, split = find_split(TestSet.parse(row.dataset).dataset)
    except InputError:
        return None
    return max(split.images, split.degraded)


def _means(entry: Entry) -> dict[str, dict[str, Estimate]]:
    means: dict[str, dict[str, Estimate]] = {}
    for protocol, scored in by_protocol(entry).items():
        for kind, metric in zip(TOLERANCE, PROTOCOLS[protocol].headline, strict=True):
            if (values := scored.values(metric)) is not None:
                means.setdefault(protocol, {})[kind] = mean_estimate(values, scored.scenes)
    return means


def _rows_table(measured: Sequence[Measured]) -> Table:
    shown = dict.fromkeys(protocol for one in measured for protocol in one.means)
    notes = _gathered((one.row.note, one.record.label) for one in measured if one.row.note)
    sources = _gathered(
        (one.row.source, one.record.label) for one in measured if one.row.confirmed != "no"
    )
    return Table(
        key="published-rows",
        title="Rows of published tables, measured again",
        section=SECTION,
        caption=(
            "Each system has the weights that its authors published and is called once on each "
            "whole image. Printed: as its authors, or where they could not be read others, print "
            "it; ★ marks rows that the IR-SDE paper's own tables have, with their PSNR where it is "
            "quoted otherwise. ± is half of the 95 % interval of the mean over scenes. Reproduced: "
            "within "
            f"{TOLERANCE['psnr']} dB and {TOLERANCE['ssim']} of SSIM over the whole set, under the "
            "protocol of its authors' script; a part of a set has no verdict. Other protocols: how "
            "far PSNR would be off under each, those in brackets agree too. Seconds per image are "
            "of one thread on the machine of the evaluation. "
            f"Protocols: {'; '.join(f'{name}: {PROTOCOLS[name].label}' for name in shown)}. "
            f"{' '.join(f'{note}.' for note in notes)} Printed in: {'; '.join(sources)}."
        ).replace("  ", " "),
        columns=(
            Column("system", "system", numeric=False),
            Column("dataset", "test set", numeric=False),
            Column("printed", "printed", numeric=False),
            Column("psnr", "PSNR (dB)"),
            Column("ssim", "SSIM"),
            Column("psnr-difference", "difference (dB)"),
            Column("ssim-difference", "difference (SSIM)"),
            Column("protocol", "protocol", numeric=False),
            Column("others", "other protocols (dB)", numeric=False),
            Column("verdict", "verdict", numeric=False),
            Column("training", "trained by its authors on", numeric=False),
            Column("parameters", "parameters"),
            Column("seconds", "seconds per image"),
        ),
        lines=tuple(_line(one) for one in measured),
    )


def _gathered(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Each text once, after the names that it is of."""
    names: dict[str, dict[str, None]] = {}
    for text, name in pairs:
        names.setdefault(text, {})[name] = None
    return [f"{' and '.join(of_text)}: {text}" for text, of_text in names.items()]


def _line(one: Measured) -> Line:
    sources, summary = one.entry.sources, one.entry.first.summary
    printed = " / ".join(str(value) for value in one.row.values.values()) or "n/a"
    own = one.row.in_paper
    star = "" if own is None else " ★" if own == one.row.psnr else f" (★ {own})"
    return Line(
        f"{one.name}-{summary.dataset.dataset}".replace("+", "-"),
        (
            Cell(one.record.label, sources=sources),
            Cell(summary.dataset.label),
            Cell(f"{printed}{star}"),
            _mean_cell(one, "psnr"),
            _mean_cell(one, "ssim"),
            _difference_cell(one, "psnr"),
            _difference_cell(one, "ssim"),
            Cell(one.row.protocol),
            Cell(_others(one), sources=sources),
            Cell(one.verdict, sources=sources),
            Cell(one.record.trained_on),
            count_cell(summary.parameters, "{:,.0f}", one.entry),
            _seconds(one.entry),
        ),
    )


def _decimals(kind: str) -> int:
    return METRICS[kind].decimals + (kind == "psnr")


def _mean_cell(one: Measured, kind: str) -> Cell:
    found = one.means.get(one.row.protocol, {}).get(kind)
    if found is None:
        return Cell("n/a", reason="not scored under this protocol", sources=one.entry.sources)
    text = mean_text(found, _decimals(kind))
    return Cell(text, found.mean, *ends(found), sources=one.entry.sources)


def _difference_cell(one: Measured, kind: str) -> Cell:
    difference = one.difference(one.row.protocol, kind)
    if difference is None:
        known = "printed" if one.row.confirmed != "no" else "confirmed"
        reason = f"none is {known}" if getattr(one.row, kind) is None else "not scored so"
        return Cell("n/a", reason=reason, sources=one.entry.sources)
    return Cell(signed(difference, _decimals(kind)), difference, sources=one.entry.sources)


def _others(one: Measured) -> str:
    texts = []
    for protocol in one.means:
        off = one.difference(protocol, "psnr")
        if protocol == one.row.protocol or off is None:
            continue
        text = f"{protocol} {signed(off, 2)}"
        texts.append(f"({text})" if one.agrees(protocol) else text)
    return ", ".join(texts) or "none"


def _seconds(entry: Entry) -> Cell:
    path = Path(entry.first.folder) / "cost.json"
    seconds = Cost.read(path).seconds_per_image if is_present(path) else None
    if seconds is None:
        return Cell("n/a", reason="not measured")
    return Cell(number_text(seconds, 2), seconds, sources=entry.sources)


def _draw_lines(measured: Sequence[Measured], found: Sequence[Entry]) -> list[Line]:
    """A line for each row of which other draws of the noise were evaluated too."""
    lines = []
    for one in measured:
        first = TestSet.parse(one.entry.first.dataset)
        draws = [
            entry
            for entry in found
            if entry.first.method == one.name
            and replace(TestSet.parse(entry.first.dataset), draw=0) == first
        ]
        means = [_means(entry).get(one.row.protocol, {}).get("psnr") for entry in draws]
        values = [mean.mean for mean in means if mean is not None and math.isfinite(mean.mean)]
        if one.row.psnr is None or len(values) < 2:
            continue
        sources = tuple(source for entry in draws for source in entry.sources)
        middle = sum(values) / len(values)
        deviation = math.sqrt(sum((v - middle) ** 2 for v in values) / (len(values) - 1))
        lines.append(
            Line(
                f"{one.name}-{one.entry.first.dataset}".replace("+", "-"),
                (
                    Cell(one.record.label, sources=sources),
                    Cell(one.entry.first.summary.dataset.label),
                    Cell(str(one.row.psnr), float(one.row.psnr)),
                    Cell(str(len(values)), len(values)),
                    Cell(number_text(middle, 3), middle, sources=sources),
                    Cell(number_text(deviation, 3), deviation, sources=sources),
                    Cell(f"{min(values):.3f} to {max(values):.3f}", sources=sources),
                ),
            )
        )
    return lines


def _draws_table(lines: Sequence[Line]) -> Table:
    return Table(
        key="published-draws",
        title="How much of a printed number is the draw of the noise",
        section=SECTION,
        caption=(
            "The same images and weights with several draws of the noise: mean PSNR of the set for "
            "each draw, under the protocol of the row. The deviation says how far another draw "
            "moves a number of the set; authors report one."
        ),
        columns=(
            Column("system", "system", numeric=False),
            Column("dataset", "test set", numeric=False),
            Column("printed", "printed (dB)"),
            Column("draws", "draws"),
            Column("mean", "mean (dB)"),
            Column("deviation", "standard deviation (dB)"),
            Column("range", "least to most (dB)", numeric=False),
        ),
        lines=tuple(lines),
    )
