"""Published numbers beside ours, whether they measure the same thing, and the ablations."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd

from irsde.data.published import (
    QUANTITIES,
    Numbers,
    Published,
    PublishedMethod,
    PublishedTable,
    Training,
    read_published,
)
from irsde.experiment.cards import PreparedCard, RecordedTraining, RunCard
from irsde.experiment.options import alike
from irsde.experiment.provenance import read_run_card
from irsde.experiment.result_tables import PER_PROTOCOL, read_protocols
from irsde.files import is_present, slug
from irsde.methods import MethodName
from irsde.report.captions import about_exact, close, interval_of
from irsde.report.judging import (
    Metric,
    difference_cell,
    ends,
    interval_text,
    mean_text,
    metrics_of,
    rows_of,
    signed,
)
from irsde.report.reproduced import remeasured
from irsde.report.results import Entry, Row, by_table, entries
from irsde.report.table import MEAN, SUMMARY, Cell, Column, Line, Table, column_of
from irsde.scoring.distributions import DISTANCES
from irsde.scoring.metrics import METRICS, Quantity
from irsde.scoring.perceptual import network_label
from irsde.scoring.protocols import BY_PROTOCOL, HEADLINES, PERCEPTUAL
from irsde.scoring.statistics import Difference, Estimate, holm, mean_estimate, paired_difference
from irsde.tasks import TASKS

FAR = 2  # a budget further from every known one than this factor is another budget


@dataclass(frozen=True)
class Reason:
    """Why a number of ours is not the published one.

    Parameters
    ----------
    word : str
        What the table shows.
    sentence : str
        What its note says.
    blocks : bool
        True if the two numbers measure different things, so that not even their difference is
        shown.
    """

    word: str
    sentence: str
    blocks: bool = False


@dataclass(frozen=True)
class Compared:
    """One published number and ours.

    Parameters
    ----------
    method : PublishedMethod
    metric : str
    printed : Decimal
        The published value with its printed digits.
    group : Numbers
        Where it was published, and whether it is confirmed.
    entry : Entry
        Our evaluations that come closest to what was published.
    estimate : Estimate, optional
        Our mean with its interval.
    missing : str
        Why there is no mean.
    reasons : tuple of Reason
        Why they are not comparable; empty if they are.
    """

    method: PublishedMethod
    metric: str
    printed: Decimal
    group: Numbers
    entry: Entry
    estimate: Estimate | None
    missing: str
    reasons: tuple[Reason, ...]

    @property
    def difference(self) -> Estimate | None:
        """Ours less the published value, None where they measure different things."""
        if self.estimate is None or any(reason.blocks for reason in self.reasons):
            return None
        value = float(self.printed)
        ours = self.estimate
        return Estimate(ours.mean - value, ours.low - value, ours.high - value)

    @property
    def verdict(self) -> str:
        """One of those of `judged`, "not comparable: why", or "n/a"."""
        if self.estimate is None:
            return "n/a"
        if self.reasons:
            return "not comparable: " + ", ".join(reason.word for reason in self.reasons)
        return judged(self.printed, self.estimate, QUANTITIES[self.metric])


def judged(printed: Decimal, ours: Estimate, shown: Quantity) -> str:
    """Whether our mean agrees with a published value.

    The absence of a difference is no agreement: a wide interval holds any value.

    Parameters
    ----------
    printed : Decimal
        The published value; its last printed digit says how it was rounded.
    ours : Estimate
        Our mean with its 95 % interval.
    shown : Quantity
        The metric.

    Returns
    -------
    str
        "matches" if our whole interval is as near to the value as `shown.near`, or as half a unit
        of its last printed digit where that is more; else "consistent" if the interval holds the
        value, "short" or "better" if it is on that side of it. Where there is no interval,
        "matches" if our mean rounds to the value, else "not resolved".

    Examples
    --------
    >>> judged(Decimal("31.65"), Estimate(31.64, 31.60, 31.68), QUANTITIES["psnr"])
    'matches'
    >>> judged(Decimal("31.65"), Estimate(31.4, 31.1, 31.7), QUANTITIES["psnr"])
    'consistent'
    >>> judged(Decimal("0.047"), Estimate(0.061, 0.055, 0.068), QUANTITIES["lpips"])
    'short'
    """
    value = float(printed)
    exponent = printed.as_tuple().exponent
    assert isinstance(exponent, int)
    half_unit = 0.5 * 10.0**exponent * (1 + 1e-9)
    if not (math.isfinite(ours.low) and math.isfinite(ours.high)):
        return "matches" if abs(ours.mean - value) <= half_unit else "not resolved"
    if max(abs(ours.low - value), abs(ours.high - value)) <= max(shown.near, half_unit):
        return "matches"
    if ours.low <= value <= ours.high:
        return "consistent"
    return "better" if (ours.mean > value) is shown.higher_is_better else "short"


def compared_method(
    table: PublishedTable, method: PublishedMethod, evaluated: Sequence[Entry]
) -> list[Compared]:
    """Every number of a published method beside ours.

    Parameters
    ----------
    table : PublishedTable
    method : PublishedMethod
        A method that exists here.
    evaluated : sequence of Entry
        Evaluations on the table's data set. Of several of the method, variants included, the one
        with the fewest reasons against it is taken, then one that can be scored as published, then
        the one with the most evaluations of the network.

    Returns
    -------
    list of Compared
        Empty if the method was not run.
    """
    candidates = [
        _Candidate.of(table, method, entry)
        for entry in evaluated
        if MethodName.parse(entry.first.method).base == method.method
    ]
    if not candidates:
        return []
    metrics = list(method.values)
    best = min(
        candidates,
        key=lambda candidate: (
            len(candidate.reasons(metrics[0])),
            candidate.rescored is None,
            -(candidate.entry.first.summary.nfe or 0),
        ),
    )
    return [best.compared(metric) for metric in metrics]


@dataclass(frozen=True)
class _Candidate:
    """Evaluations of ours that a published method can be compared with."""

    table: PublishedTable
    method: PublishedMethod
    entry: Entry
    card: RunCard
    rescored: Entry | None  # the same images under the published protocol

    @classmethod
    def of(cls, table: PublishedTable, method: PublishedMethod, entry: Entry) -> "_Candidate":
        card = read_run_card(Path(entry.first.summary.run))
        return cls(table, method, entry, card, rescored(entry, table.protocol_of(method)))

    def compared(self, metric: str) -> Compared:
        printed, group = self.method.values[metric]
        estimate, missing = self._estimate(metric)
        reasons = self.reasons(metric) if estimate else ()
        return Compared(self.method, metric, printed, group, self.entry, estimate, missing, reasons)

    def _estimate(self, metric: str) -> tuple[Estimate | None, str]:
        if metric in DISTANCES:
            return _distance(self.entry, metric)
        source = self.entry
        if metric in BY_PROTOCOL and self.rescored is not None:
            source = self.rescored
        values = source.values(metric)
        if values is None:
            return None, source.missing(metric)
        return mean_estimate(values, source.scenes), ""

    def reasons(self, metric: str) -> tuple[Reason, ...]:
        """All that differs, what blocks first."""
        given = [
            *self._of_number(metric),
            *self._of_images(),
            *self._of_training(),
            *self._of_sampling(),
        ]
        return tuple(sorted(given, key=lambda reason: not reason.blocks))

    def _of_number(self, metric: str) -> Iterable[Reason]:
        summary = self.entry.first.summary
        network = f"{QUANTITIES[metric].label} network"
        if self.method.values[metric][1].confirmed == "no":
            yield Reason("unconfirmed", "the published number was found in no source")
        if metric in METRICS and METRICS[metric].weights:
            stated = summary.metric(metric)
            ours = network_label(stated.network if stated else "")
            theirs = self.table.lpips_network_of(self.method)
            if theirs is None:
                sentence = f"{ours}; the published one is not known"
                yield Reason(network, sentence, blocks=True)
            elif ours != network_label(theirs):
                sentence = f"{ours} instead of {network_label(theirs)}"
                yield Reason(network, sentence, blocks=True)
        elif metric in DISTANCES:
            ours = summary.distribution.network
            if "inception" not in ours.lower():
                yield Reason(network, f"{ours} instead of Inception", blocks=True)
        elif metric in BY_PROTOCOL and self.rescored is None:
            protocol = self.table.protocol_of(self.method)
            ours = summary.protocol.name
            yield Reason(
                "protocol",
                f"{ours}; the published one is not known"
                if protocol is None
                else f"{ours} instead of {protocol}",
            )

    def _of_images(self) -> Iterable[Reason]:
        table, first = self.table, self.entry.first
        data = first.summary.dataset
        if window := data.window:
            yield Reason("windows", f"windows of {window}x{window} pixels instead of whole images")
        resize = self.card.settings.data.resize
        if resize not in (None, table.resize):
            yield Reason("resized", f"images reduced to a shorter side of {resize} pixels")
        differences = data.source.differences
        if table.images and data.images != table.images:
            yield Reason("images", f"{data.images} of {table.images} images")
        elif len(first.per_image) < data.pairs:
            yield Reason("images", f"{len(first.per_image)} of {data.pairs} images")
        elif differences:
            yield Reason("images", f"not the set as published: {'; '.join(differences)}")
        if degradation := _other_degradation(table, data, self.card):
            yield Reason("degradation", degradation)

    def _of_training(self) -> Iterable[Reason]:
        if self.card.imported_from:
            return  # the authors' own weights
        table, card = self.table, self.card
        ours = sorted(card.settings.data.train)
        if table.train and ours and ours != sorted(table.train):
            yield Reason(
                "training set", f"{', '.join(ours)} instead of {', '.join(sorted(table.train))}"
            )
        leaked = len(self.entry.first.summary.leaked)
        if leaked and ours != sorted(table.train):
            yield Reason("leakage", f"{leaked} test images show what a training image shows")
        known = [t.parameters for t in self.method.trainings if t.parameters]
        parameters = card.parameters
        if known and parameters and all(_is_far(parameters, other) for other in known):
            yield Reason(
                "network",
                f"{millions(parameters)} parameters instead of "
                f"{' or '.join(dict.fromkeys(map(millions, known)))}",
            )
        training = card.settings.training
        budgets = [t for t in self.method.trainings if t.iterations and t.batch]
        if training and budgets and all(_is_far(*_seen(training, t)) for t in budgets):
            theirs = " or ".join(map(_published_budget, budgets))
            yield Reason("budget", f"{budget_text(training)} instead of {theirs}")

    def _of_sampling(self) -> Iterable[Reason]:
        summary, method = self.entry.first.summary, self.method
        if method.nfe and summary.nfe and summary.nfe < method.nfe:
            yield Reason("NFE", f"{summary.nfe} evaluations of the network instead of {method.nfe}")
        if method.sampler and summary.sampler != method.sampler:
            yield Reason("sampler", f"{summary.sampler} instead of {method.sampler}")


def rescored(entry: Entry, protocol: str | None) -> Entry | None:
    """The same evaluations with the metrics of a channel under a protocol.

    Parameters
    ----------
    entry : Entry
    protocol : str, optional
        A key of `protocols.PROTOCOLS`; None where it is not known.

    Returns
    -------
    Entry or None
        None where an evaluation was neither scored under it nor holds `protocols.csv` with it.

    Raises
    ------
    InputError
        If a `protocols.csv` is damaged.
    """
    if protocol is None:
        return None
    if entry.first.summary.protocol.name == protocol:
        return entry
    rows = []
    for row in entry.rows:
        table = under_protocol(row.folder, row.per_image, protocol)
        if table is None:
            return None
        rows.append(replace(row, per_image=table))
    return Entry(tuple(rows))


def under_protocol(folder: Path, per_image: pd.DataFrame, protocol: str) -> pd.DataFrame | None:
    """Values of each image with the metrics of a channel under another protocol.

    None where the evaluation has no `protocols.csv`, or not all images in it.

    Raises
    ------
    InputError
        If that is damaged.
    """
    path = folder / PER_PROTOCOL
    if not is_present(path):
        return None
    table = read_protocols(path)
    table = table[table["protocol"] == protocol].set_index("image")
    images = per_image["image"]
    if not set(images) <= set(table.index):
        return None
    # What was added since that table was written is not known of its protocols.
    per_image = per_image.drop(columns=[*BY_PROTOCOL], errors="ignore")
    columns = {
        name: table.loc[images, name].to_numpy(dtype=np.float64)
        for name in BY_PROTOCOL
        if name in table
    }
    return per_image.assign(**columns)


def _distance(entry: Entry, name: str) -> tuple[Estimate | None, str]:
    """FID or KID of all images together, averaged over seeds as other metrics are, no interval."""
    distances = [row.summary.distribution.of(name) for row in entry.rows]
    values = [one.value for one in distances if one.value is not None]
    if len(values) < len(distances):
        reason = next(one.reason for one in distances if one.value is None)
        return None, reason or f"{DISTANCES[name].label} was not computed"
    mean = entry.mean_over_seeds(values)
    return Estimate(mean, math.nan, math.nan), ""


def _other_degradation(table: PublishedTable, data: PreparedCard, card: RunCard) -> str | None:
    """How the images were degraded, if otherwise than for the published numbers."""
    if table.noise_level is not None:
        level = data.noise_level
        if level is None or not math.isclose(level, table.noise_level, rel_tol=1e-6):
            return f"{data.degradation} instead of {table.noise_level * 255:g}/255"
        if card.settings.data.clipped:
            return "noisy images are clipped to [0, 1]"
        return None
    if table.masks is not None:
        masks = data.masks.dataset if data.masks else None
        if masks == table.masks:
            return None
        return f"{data.degradation} instead of those of {table.masks}"
    if not data.degradation.startswith("as the data set comes"):
        return f"{data.degradation} instead of the set's own degraded images"
    return None


def _is_far(ours: float, theirs: float) -> bool:
    return not 1 / FAR <= ours / theirs <= FAR


def _seen(training: RecordedTraining, known: Training) -> tuple[float, float]:
    """Pixels seen in training, ours and theirs; patches where theirs have no known size."""
    assert known.iterations is not None
    assert known.batch is not None
    ours, theirs = training.iterations * training.batch, known.iterations * known.batch
    if known.patch is None:
        return ours, theirs
    return ours * training.patch**2, theirs * known.patch**2


def budget_text(training: RecordedTraining) -> str:
    """Iterations, batch and patch of the settings of a training."""
    return (
        f"{training.iterations:,} iterations of {training.batch} patches of "
        f"{training.patch}x{training.patch}"
    )


def _published_budget(known: Training) -> str:
    text = f"{known.iterations:,} of {known.batch}"
    return text + (f" of {known.patch}x{known.patch}" if known.patch else "")


def millions(parameters: int) -> str:
    """A number of parameters.

    Examples
    --------
    >>> millions(137_147_523)
    '137 M'
    """
    return f"{parameters / 1e6:.3g} M"


SECTION = "Against the paper"

ABLATIONS = "Ablations"

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
        evaluated = entries(
            row for row in rows if (row.task, row.dataset) == (table.task, table.dataset)
        )
        compared = [
            line
            for method in table.methods
            if method.method is not None
            for line in compared_method(table, method, evaluated)
        ]
        run = {line.method.label for line in compared}
        if compared:
            tables.append(_comparison(table, compared, evaluated, caption_budget))
        tables.append(_as_published(table, published, run, rows))
    return tables


def _comparison(
    table: PublishedTable, compared: Sequence[Compared], evaluated: Sequence[Entry], budget: str
) -> Table:
    lines = tuple(_line(line) for line in compared)
    return Table(
        key=f"paper-{table.task}-{table.dataset}",
        title=f"{table.label}: published and reproduced",
        section=SECTION,
        caption=_caption(table, compared, lines, evaluated, budget),
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
    decimals = QUANTITIES[line.metric].decimals
    sources = line.entry.sources
    blocking = "; ".join(f"{r.word}: {r.sentence}" for r in line.reasons if r.blocks)
    reproduced = difference = interval = Cell("n/a", reason=line.missing, sources=sources)
    if (ours := line.estimate) is not None:
        is_distance = line.metric in DISTANCES
        rule = SUMMARY.format(QUANTITIES[line.metric].label) if is_distance else MEAN
        shown = Cell(mean_text(ours, decimals), ours.mean, *ends(ours), sources=sources)
        reproduced = replace(shown, rule=rule, metric=line.metric)
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
        f"{slug(line.method.label)}-{line.metric}",
        (
            Cell(line.method.label, sources=sources),
            Cell(QUANTITIES[line.metric].heading),
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
    if summary.sampler == "direct":
        return Cell(f"{summary.nfe or 0} NFE")
    return Cell(f"{summary.sampler}, {summary.nfe} NFE")


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
    evaluated: Sequence[Entry],
    budget: str,
) -> str:
    first = evaluated[0].first
    scenes = len(set(evaluated[0].scenes))
    near = ", ".join(
        f"{QUANTITIES[metric].near:g} in {QUANTITIES[metric].label}"
        for metric in dict.fromkeys(line.metric for line in compared)
    )
    parts = [
        f"Ours: {len(first.per_image)} images of {scenes} scenes. {budget.strip()}",
        "± is half of the 95 % interval of our mean, and the interval of the difference is that of "
        f"our mean less the published value. {interval_of(evaluated)}",
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


def _as_published(
    table: PublishedTable, published: Published, run: set[str], rows: Sequence[Row]
) -> Table:
    """The published numbers of all methods: quoted, measured again here, or beside ours."""
    lines = []
    used: list[str] = []
    for method in table.methods:
        names = list(dict.fromkeys(name for g in method.numbers for name in g.sources))
        used += [name for name in names if name not in used]
        nfe = Cell(str(method.nfe), method.nfe) if method.nfe else Cell("n/a", reason="not known")
        source = "; ".join(published.sources[name].label for name in names)
        lines.append(
            Line(
                slug(method.label),
                (
                    Cell(method.label),
                    *(
                        _published_cell(*method.values.get(metric, (None, None)))
                        for metric in table.metrics
                    ),
                    nfe,
                    Cell(source) if source else Cell("n/a", reason="found in no source"),
                    _here(method, table, run, rows),
                ),
            )
        )
    citations = [published.sources[name] for name in used]
    notes = [f"{m.label}: {m.note}." for m in table.methods if m.note]
    images = f"{table.images} images" if table.images else "images of an unknown number"
    caption = [
        f"As published, on {images}; measured by us is only what the last column has.",
        "Unconfirmed marks numbers found in no source." if _has_doubtful(table) else "",
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
            *(column_of(metric, QUANTITIES[metric]) for metric in table.metrics),
            Column("nfe", "NFE"),
            Column("source", "source", numeric=False),
            Column("here", "here", numeric=False),
        ),
        lines=tuple(lines),
    )


def _here(
    method: PublishedMethod, table: PublishedTable, run: set[str], rows: Sequence[Row]
) -> Cell:
    """What of a published method was measured here."""
    if method.weights is not None:
        again = remeasured(rows, method.weights, table.dataset, table.noise_level)
        if again is not None:
            return again
    if method.label in run:
        return Cell("ours, above")
    if method.method is None:
        return Cell("quoted" if method.weights is None else "quoted, not run here")
    return Cell("quoted, ours not run")


def drift_table(published: Published | None = None) -> Table:
    """Numbers of one method on one test set that differ between the places that print them."""
    published = published or read_published()
    groups = [(drift, group) for drift in published.drift for group in drift.numbers]
    metrics = [name for name in QUANTITIES if any(name in group.values for _, group in groups)]
    used = dict.fromkeys(name for _, group in groups for name in group.sources)
    lines = tuple(
        Line(
            slug(f"{drift.label} {drift.dataset} {' '.join(group.sources)}"),
            (
                Cell(drift.label),
                Cell(drift.dataset),
                *(
                    _published_cell(group.values[metric], group)
                    if metric in group.values
                    else Cell("n/a", reason="not printed there")
                    for metric in metrics
                ),
                Cell("; ".join(published.sources[name].label for name in group.sources)),
            ),
        )
        for drift, group in groups
    )
    citations = [published.sources[name] for name in used]
    return Table(
        key="published-drift",
        title="One method, one test set, different numbers",
        section=SECTION,
        caption=(
            "What several places print of one method on one test set. Where a number is quoted, "
            "measured anew or of another training, its neighbors say by how much it may move. "
            f"Sources: {'; '.join(f'{s.label} ({s.citation})' for s in citations)}."
        ),
        columns=(
            Column("method", "method", numeric=False),
            Column("dataset", "test set", numeric=False),
            *(column_of(metric, QUANTITIES[metric]) for metric in metrics),
            Column("source", "printed in", numeric=False),
        ),
        lines=lines,
    )


def _has_doubtful(table: PublishedTable) -> bool:
    return any(g.confirmed == "no" for method in table.methods for g in method.numbers)


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
        evaluated = entries(of_set)
        for key, (title, methods) in GROUPS.items():
            group = _evaluated_alike(evaluated, methods)
            if len(group) > 1:
                tables.append(_ablation(key, title, group))
    return tables


def _evaluated_alike(evaluated: Sequence[Entry], methods: Sequence[str]) -> list[Entry]:
    """Entries of the methods that differ in the method only: the largest such group.

    Of groups of one size the first is taken, which is that of the default sampler.
    """
    groups: dict[tuple[str | int | None, ...], dict[str, Entry]] = {}
    for entry in evaluated:
        if entry.first.method in methods:
            groups.setdefault(alike(entry.first.summary), {})[entry.first.method] = entry
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
    chosen = (*HEADLINES[TASKS[base.first.task].channel], *PERCEPTUAL)
    metrics = [metric for metric in metrics_of(rows_of(group)) if metric.name in chosen]
    cells = {
        (entry.first.method, metric.name): _against(entry, base, metric.name)
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
                        cells[entry.first.method, metric.name],
                        metric,
                        entry,
                        base,
                        corrected.get((entry.first.method, metric.name), math.nan),
                    )
                ),
            ),
        )
        for entry in group
    )
    columns = [Column("method", "method", numeric=False)]
    for metric in metrics:
        difference = Column(f"{metric.name}-difference", f"difference from {base.first.label}")
        columns += [metric.column, difference]
    data = summary.dataset
    return Table(
        key=f"ablation-{key}-{base.first.task}-{base.first.dataset}",
        title=f"{title}: {summary.task_label}, {data.label}",
        section=ABLATIONS,
        caption=_ablation_caption(group, lines, len(tested)),
        columns=tuple(columns),
        lines=lines,
    )


def _against(entry: Entry, base: Entry, metric: str) -> _Against:
    ours, first = entry.values(metric), base.values(metric)
    if ours is None or first is None:
        return _Against(None, None, (entry if ours is None else base).missing(metric))
    estimate = mean_estimate(ours, entry.scenes)
    if entry is base:
        return _Against(estimate, None)
    return _Against(estimate, paired_difference(ours, first, entry.scenes))


def _ablation_cells(
    against: _Against, metric: Metric, entry: Entry, base: Entry, p_value: float
) -> tuple[Cell, Cell]:
    decimals = metric.decimals
    if (mean := against.estimate) is None:
        cell = Cell("n/a", reason=against.missing, sources=entry.sources)
        return cell, cell
    shown = Cell(mean_text(mean, decimals), mean.mean, *ends(mean), sources=entry.sources)
    shown = replace(shown, rule=MEAN, metric=metric.name)
    if (d := against.difference) is None:
        return shown, Cell("0", 0.0, reason="every difference is from this method")
    return shown, difference_cell(d, p_value, decimals, (*entry.sources, *base.sources))


def _ablation_caption(group: Sequence[Entry], lines: Sequence[Line], comparisons: int) -> str:
    first = group[0].first
    summary = first.summary
    scenes = len(set(group[0].scenes))
    training = read_run_card(Path(summary.run)).settings.training
    sampled = f"{summary.sampler}, {summary.nfe} NFE"
    parts = [
        "The paper shows this ablation; its numbers are in no source that could be opened, so "
        "there is nothing of it to compare with.",
        f"{len(first.per_image)} images of {scenes} scenes, sampled by {sampled}; {_seeds(group)}.",
        f"Budget: {budget_text(training)}, {millions(summary.parameters or 0)} parameters."
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
