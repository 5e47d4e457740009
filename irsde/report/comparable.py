"""Whether a published number and ours measure the same thing, and whether they agree."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from irsde.files import InputError, read_json, read_table
from irsde.perceptual import network_label
from irsde.report.published import (
    MetricName,
    Numbers,
    PublishedMethod,
    PublishedTable,
    Training,
)
from irsde.report.rows import Entry
from irsde.statistics import Estimate, mean_estimate

FAR = 2  # a budget further from every known one than this factor is another budget


@dataclass(frozen=True)
class Shown:
    """How a metric is shown.

    Parameters
    ----------
    label : str
        With its unit.
    higher_is_better : bool
    decimals : int
        Of our values; published ones keep their own.
    near : float
        Values no further apart than this count as equal.
    """

    label: str
    higher_is_better: bool
    decimals: int
    near: float

    @property
    def heading(self) -> str:
        """Label with an arrow that says which way is better."""
        return f"{self.label} {'↑' if self.higher_is_better else '↓'}"


SHOWN: dict[MetricName, Shown] = {
    "psnr": Shown("PSNR (dB)", higher_is_better=True, decimals=2, near=0.1),
    "ssim": Shown("SSIM", higher_is_better=True, decimals=4, near=0.005),
    "psnr_y": Shown("PSNR-Y (dB)", higher_is_better=True, decimals=2, near=0.1),
    "ssim_y": Shown("SSIM-Y", higher_is_better=True, decimals=4, near=0.005),
    "lpips": Shown("LPIPS", higher_is_better=False, decimals=4, near=0.005),
    "fid": Shown("FID", higher_is_better=False, decimals=2, near=0.1),
}


@dataclass(frozen=True)
class Reason:
    """Why a number of ours is not the published one.

    Parameters
    ----------
    word : str
        What stands in the table.
    sentence : str
        What stands below it.
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
        Where it stands, and whether it is confirmed.
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
    metric: MetricName
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
        return judged(self.printed, self.estimate, SHOWN[self.metric])


def judged(printed: Decimal, ours: Estimate, shown: Shown) -> str:
    """Whether our mean agrees with a published value.

    The absence of a difference is no agreement: a wide interval holds any value.

    Parameters
    ----------
    printed : Decimal
        The published value; its last printed digit says how it was rounded.
    ours : Estimate
        Our mean with its 95 % interval.
    shown : Shown
        Of the metric.

    Returns
    -------
    str
        "matches" if our whole interval is as near to the value as `shown.near`, or as half a unit
        of its last printed digit where that is more; else "consistent" if the interval holds the
        value, "short" or "better" if it lies on that side of it. Where there is no interval,
        "matches" if our mean rounds to the value, else "not resolved".

    Examples
    --------
    >>> judged(Decimal("31.65"), Estimate(31.64, 31.60, 31.68), SHOWN["psnr"])
    'matches'
    >>> judged(Decimal("31.65"), Estimate(31.4, 31.1, 31.7), SHOWN["psnr"])
    'consistent'
    >>> judged(Decimal("0.047"), Estimate(0.061, 0.055, 0.068), SHOWN["lpips"])
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
    table: PublishedTable, method: PublishedMethod, found: Sequence[Entry]
) -> list[Compared]:
    """Every number of a published method beside ours.

    Parameters
    ----------
    table : PublishedTable
    method : PublishedMethod
        A method that exists here.
    found : sequence of Entry
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
        for entry in found
        if entry.first.method.partition("+")[0] == method.method
    ]
    if not candidates:
        return []
    metrics = list(method.values)
    best = min(
        candidates,
        key=lambda candidate: (
            len(candidate.reasons(metrics[0])),
            candidate.rescored is None,
            -(candidate.entry.first.summary["nfe"] or 0),
        ),
    )
    return [best.compared(metric) for metric in metrics]


@dataclass(frozen=True)
class _Candidate:
    """Evaluations of ours that a published method can be compared with."""

    table: PublishedTable
    method: PublishedMethod
    entry: Entry
    card: dict[str, Any]
    rescored: Entry | None  # the same images under the published protocol

    @classmethod
    def of(cls, table: PublishedTable, method: PublishedMethod, entry: Entry) -> "_Candidate":
        card = read_json(Path(entry.first.summary["run"]) / "run.json")
        return cls(table, method, entry, card, rescored(entry, table.protocol_of(method)))

    def compared(self, metric: MetricName) -> Compared:
        printed, group = self.method.values[metric]
        estimate, missing = self._estimate(metric)
        reasons = self.reasons(metric) if estimate else ()
        return Compared(self.method, metric, printed, group, self.entry, estimate, missing, reasons)

    def _estimate(self, metric: MetricName) -> tuple[Estimate | None, str]:
        summary = self.entry.first.summary
        if metric == "fid":
            return _distance(self.entry)
        source = self.entry
        if metric != "lpips" and self.rescored is not None:
            source = self.rescored
        values = source.values(metric)
        if values is None:
            why = summary["lpips"]["unavailable"] if metric == "lpips" else ""
            return None, why or f"{metric} was not computed for every image"
        return mean_estimate(values, source.scenes), ""

    def reasons(self, metric: MetricName) -> tuple[Reason, ...]:
        """All that differs, what blocks first."""
        found = [
            *self._of_number(metric),
            *self._of_images(),
            *self._of_training(),
            *self._of_sampling(),
        ]
        return tuple(sorted(found, key=lambda reason: not reason.blocks))

    def _of_number(self, metric: MetricName) -> Iterable[Reason]:
        summary = self.entry.first.summary
        if self.method.values[metric][1].confirmed == "no":
            yield Reason("unconfirmed", "the published number was found in no source")
        if metric == "lpips":
            ours = network_label(summary["lpips"]["network"])
            theirs = self.table.lpips_network_of(self.method)
            if theirs is None:
                sentence = f"{ours}; the published one is not known"
                yield Reason("LPIPS network", sentence, blocks=True)
            elif ours != network_label(theirs):
                sentence = f"{ours} instead of {network_label(theirs)}"
                yield Reason("LPIPS network", sentence, blocks=True)
        elif metric == "fid":
            network = str(summary.get("distribution", {}).get("network", "unknown"))
            if "inception" not in network.lower():
                yield Reason("FID network", f"{network} instead of Inception", blocks=True)
        elif self.rescored is None:
            protocol = self.table.protocol_of(self.method)
            ours = summary["protocol"]["name"]
            yield Reason(
                "protocol",
                f"{ours}; the published one is not known"
                if protocol is None
                else f"{ours} instead of {protocol}",
            )

    def _of_images(self) -> Iterable[Reason]:
        table, first = self.table, self.entry.first
        data = first.summary["dataset"]
        if window := data["window"]:
            yield Reason("windows", f"windows of {window}x{window} pixels instead of whole images")
        resize = setting(self.card, "data", "resize")
        if resize not in (None, table.resize):
            yield Reason("resized", f"images reduced to a shorter side of {resize} pixels")
        differences = data["source"]["differences"]
        if data["images"] != table.images:
            yield Reason("images", f"{data['images']} of {table.images} images")
        elif len(first.per_image) < data["pairs"]:
            yield Reason("images", f"{len(first.per_image)} of {data['pairs']} images")
        elif differences:
            yield Reason("images", f"not the set as published: {'; '.join(differences)}")
        if degradation := _other_degradation(table, data, self.card):
            yield Reason("degradation", degradation)

    def _of_training(self) -> Iterable[Reason]:
        if "imported_from" in self.card:
            return  # the authors' own weights
        table, card = self.table, self.card
        ours = sorted(setting(card, "data", "train") or ())
        if table.train and ours and ours != sorted(table.train):
            yield Reason(
                "training set", f"{', '.join(ours)} instead of {', '.join(sorted(table.train))}"
            )
        leaked = len(self.entry.first.summary["leaked"])
        if leaked and ours != sorted(table.train):
            yield Reason("leakage", f"{leaked} test images show what a training image shows")
        known = [t.parameters for t in self.method.trainings if t.parameters]
        parameters = card["parameters"]
        if known and parameters and all(_is_far(parameters, other) for other in known):
            yield Reason(
                "network",
                f"{millions(parameters)} parameters instead of "
                f"{' or '.join(dict.fromkeys(map(millions, known)))}",
            )
        training = setting(card, "training")
        budgets = [t for t in self.method.trainings if t.iterations and t.batch]
        if training and budgets and all(_is_far(*_seen(training, t)) for t in budgets):
            theirs = " or ".join(map(_published_budget, budgets))
            yield Reason("budget", f"{budget_text(training)} instead of {theirs}")

    def _of_sampling(self) -> Iterable[Reason]:
        summary, method = self.entry.first.summary, self.method
        if method.nfe and summary["nfe"] and summary["nfe"] < method.nfe:
            yield Reason(
                "NFE", f"{summary['nfe']} evaluations of the network instead of {method.nfe}"
            )
        if method.sampler and summary["sampler"] != method.sampler:
            yield Reason("sampler", f"{summary['sampler']} instead of {method.sampler}")


def rescored(entry: Entry, protocol: str | None) -> Entry | None:
    """The same evaluations with PSNR and SSIM under a protocol.

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
    if entry.first.summary["protocol"]["name"] == protocol:
        return entry
    found = []
    for row in entry.rows:
        path = row.folder / "protocols.csv"
        if not path.is_file():
            return None
        try:
            table = read_table(path)
            table = table[table["protocol"] == protocol].set_index("image")
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{path}: cannot be read ({error})") from None
        images = row.per_image["image"]
        if not set(images) <= set(table.index):
            return None
        columns = {
            name: table.loc[images, name].to_numpy(dtype=np.float64)
            for name in ("psnr", "ssim", "psnr_y", "ssim_y")
            if name in table
        }
        found.append(replace(row, per_image=row.per_image.assign(**columns)))
    return Entry(tuple(found))


def _distance(entry: Entry) -> tuple[Estimate | None, str]:
    """FID of all images together, averaged over seeds as other metrics are; it has no interval."""
    of_seed: dict[int, list[float]] = {}
    for row in entry.rows:
        fid = row.summary.get("distribution", {}).get("fid", {})
        if fid.get("value") is None:
            return None, fid.get("reason") or "FID was not computed"
        of_seed.setdefault(int(row.summary["seed"]), []).append(float(fid["value"]))
    mean = fmean(fmean(values) for values in of_seed.values())
    return Estimate(mean, math.nan, math.nan), ""


def _other_degradation(
    table: PublishedTable, data: dict[str, Any], card: dict[str, Any]
) -> str | None:
    """How the images were degraded, if otherwise than for the published numbers."""
    if table.noise_level is not None:
        level = data["noise_level"]
        if level is None or not math.isclose(level, table.noise_level, rel_tol=1e-6):
            return f"{data['degradation']} instead of {table.noise_level * 255:g}/255"
        if setting(card, "data", "clipped"):
            return "noisy images are clipped to [0, 1]"
        return None
    if table.masks is not None:
        masks = (data["masks"] or {}).get("dataset")
        if masks == table.masks:
            return None
        return f"{data['degradation']} instead of those of {table.masks}"
    if not data["degradation"].startswith("as the data set comes"):
        return f"{data['degradation']} instead of the set's own degraded images"
    return None


def setting(card: dict[str, Any], *keys: str) -> Any:
    """A setting of a run card; None where it has none, as those of images made elsewhere."""
    found: Any = card.get("settings")
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _is_far(ours: float, theirs: float) -> bool:
    return not 1 / FAR <= ours / theirs <= FAR


def _seen(training: dict[str, Any], known: Training) -> tuple[float, float]:
    """Pixels seen in training, ours and theirs; patches where theirs have no known size."""
    assert known.iterations is not None
    assert known.batch is not None
    ours, theirs = training["iterations"] * training["batch"], known.iterations * known.batch
    if known.patch is None:
        return ours, theirs
    return ours * training["patch"] ** 2, theirs * known.patch**2


def budget_text(training: dict[str, Any]) -> str:
    """Iterations, batch and patch of the settings of a training."""
    return (
        f"{training['iterations']:,} iterations of {training['batch']} patches of "
        f"{training['patch']}x{training['patch']}"
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
