"""Every metric of a table's entries, and how each entry differs from the best."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from irsde.perceptual import network_label
from irsde.protocols import HEADLINES
from irsde.report.rows import Entry, Row
from irsde.report.table import Column, Emphasis
from irsde.statistics import (
    Difference,
    Estimate,
    Values,
    compare,
    holm,
    is_significant,
    ranked,
)

Verdict = Literal["worse", "not resolved"]


@dataclass(frozen=True)
class Metric:
    """A metric as its evaluations describe it: name in files, label, direction, decimals."""

    name: str
    label: str
    higher_is_better: bool
    decimals: int

    @property
    def column(self) -> Column:
        """Its column."""
        return Column(self.name, self.label, higher_is_better=self.higher_is_better)


@dataclass(frozen=True)
class Judged:
    """A metric of the entries of a table, and how each differs from the best.

    Parameters
    ----------
    metric : Metric
    means : list of Estimate or None
        Of each entry; None where it was not computed.
    ranking : list of int
        Entries that have the metric, best first.
    differences : dict
        Entry → its mean less that of the best, paired by image; for all but the best.
    improvements : dict
        Entry → the chance that a random image of it has a higher value than the best's.
    p_values : dict
        Entry → p-value of the difference after Holm's correction over all metrics and entries that
        were judged together.
    comparisons : int
        How many these are.
    """

    metric: Metric
    means: list[Estimate | None]
    ranking: list[int]
    differences: dict[int, Difference]
    improvements: dict[int, Estimate]
    p_values: dict[int, float]
    comparisons: int

    def verdict(self, entry: int) -> Verdict:
        """Whether an entry other than the best is worse than the best."""
        return "worse" if is_significant(self.p_values[entry]) else "not resolved"

    def is_close(self, entry: int) -> bool:
        """True if an entry other than the best gets the mark ≈."""
        return entry in self.differences and not is_significant(self.p_values[entry])

    def emphasis(self, entry: int) -> Emphasis:
        """Whether an entry is the best or the second."""
        styles: dict[int, Emphasis] = {0: "best", 1: "second"}
        return styles.get(self.ranking.index(entry), "") if entry in self.ranking else ""


def judge(group: Sequence[Entry], metrics: Sequence[Metric]) -> list[Judged]:
    """Every metric of entries that have the same images, as one family of comparisons."""
    arrays: list[Values] = []
    pairs: list[tuple[int, int]] = []
    plan: list[tuple[Metric, dict[int, int], list[int], dict[int, int]]] = []
    for metric in metrics:
        places: dict[int, int] = {}
        for k, entry in enumerate(group):
            if (values := entry.values(metric.name)) is not None:
                places[k] = len(arrays)
                arrays.append(values)
        having = list(places)
        order = ranked(
            [arrays[place] for place in places.values()], higher_is_better=metric.higher_is_better
        )
        ranking = [having[k] for k in order]
        others = {k: len(pairs) + i for i, k in enumerate(k for k in places if k != ranking[0])}
        pairs += [(places[k], places[ranking[0]]) for k in others]
        plan.append((metric, places, ranking, others))
    found = compare(arrays, pairs, group[0].scenes)
    p_values = holm([difference.p_value for difference in found.differences])
    judged = []
    for metric, places, ranking, others in plan:
        judged.append(
            Judged(
                metric,
                [found.means[places[k]] if k in places else None for k in range(len(group))],
                ranking,
                {k: found.differences[i] for k, i in others.items()},
                {k: found.improvements[i] for k, i in others.items()},
                {k: p_values[i] for k, i in others.items()},
                len(pairs),
            )
        )
    return judged


def metrics_of(row: Row) -> list[Metric]:
    """Metrics of an evaluation, those of its protocol's channel first."""
    first = HEADLINES[row.summary["protocol"].get("channel", "rgb")]
    metrics = [
        Metric(m["name"], _label(m, row.summary), m["higher_is_better"], m["decimals"])
        for m in row.summary["metrics"]
    ]
    return sorted(metrics, key=lambda metric: metric.name not in first)


def _label(metric: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    label = str(metric["label"])
    if metric["name"] == "lpips" and (network := summary["lpips"]["network"]):
        label += f" ({network_label(network)})"
    return label


def headline(row: Row) -> list[Metric]:
    """PSNR and SSIM of the protocol's channel, and LPIPS."""
    chosen = {*HEADLINES[row.summary["protocol"].get("channel", "rgb")], "lpips"}
    return [metric for metric in metrics_of(row) if metric.name in chosen]
