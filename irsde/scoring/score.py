"""What evaluations of runs and of other people's images have in common: scores and their card."""

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from irsde.files import InputError, digest, replacing
from irsde.images import Pixels, to_pixels
from irsde.scoring.distributions import Features, distribution_distances, feature_network
from irsde.scoring.metrics import METRICS, Metric
from irsde.scoring.protocols import PROTOCOLS, score_images, score_protocols
from irsde.scoring.statistics import mean_estimate

NAMED = 5  # exact images


class Columns(Protocol):
    """A table of images by its columns: a dict of lists, or a DataFrame."""

    def __contains__(self, name: object, /) -> bool:
        """Whether there is a column of that name."""

    def __getitem__(self, name: str, /) -> Any:
        """Values of a column; None or NaN where one is n/a."""


Table = dict[str, list[Any]]


def table_of(rows: Iterable[Mapping[str, object]], columns: Iterable[str]) -> Table:
    """Rows as columns, in their order; None where a row lacks one."""
    found = list(rows)
    return {name: [row.get(name) for row in found] for name in columns}


def _floats(table: Columns, name: str) -> NDArray[np.float64]:
    return np.asarray(table[name], dtype=np.float64)


@dataclass(frozen=True)
class Score:
    """Metrics of one image.

    Parameters
    ----------
    values : dict
        Metric → value under the chosen protocol; None where it is n/a.
    by_protocol : list of dict
        The same without metrics of whole images under every protocol.
    features : tuple of two ndarrays, optional
        Features of the restored and the clean image for FID and KID; None without their network.
    """

    values: dict[str, float | None]
    by_protocol: list[dict[str, float | str | None]]
    features: tuple[Features, Features] | None


def score(
    names: Sequence[str],
    restored: NDArray[np.float32],
    reference: Pixels,
    protocol: str,
    device: str = "cpu",
) -> list[Score]:
    """Scores of a batch of images of one size.

    Parameters
    ----------
    names : sequence of str, length B
    restored : ndarray of float32, shape (B, H, W, 3)
        Nominally in [0, 1].
    reference : ndarray of uint8, shape (B, H, W, 3)
    protocol : str
        A key of `protocols.PROTOCOLS`.
    device : str
        Torch device that computes.

    Raises
    ------
    InputError
        If the sizes differ or the images are too small for the protocol.
    """
    chosen = PROTOCOLS[protocol]
    height, width = reference.shape[1:3]
    if not chosen.fits(height, width):
        raise InputError(
            f"{', '.join(names[:3])}: {width}x{height} pixels are too few for protocol {protocol}; "
            "exclude such images, or take another protocol"
        )
    by_protocol = score_protocols(restored, reference, device)
    of_images = score_images(restored, reference, chosen, device)
    features = _features(restored, reference, device)
    return [
        Score(
            {name: (of_protocols[protocol] | of_whole)[name] for name in METRICS},
            [{"image": name, "protocol": key, **scores} for key, scores in of_protocols.items()],
            of_network,
        )
        for name, of_protocols, of_whole, of_network in zip(
            names, by_protocol, of_images, features, strict=True
        )
    ]


def reference_hash(clean: Pixels) -> str:
    """First 16 digits of the SHA-256 of a clean image's pixels and size.

    It is stored with the scores, so that those of other images of the same name are not compared.
    """
    return digest(repr(clean.shape).encode() + clean.tobytes())[:16]


def _features(
    restored: NDArray[np.float32], reference: Pixels, device: str
) -> list[tuple[Features, Features] | None]:
    """Features of each restored image and of its clean one; None where they cannot be had."""
    network = feature_network().features
    finite = [bool(np.isfinite(image).all()) for image in restored]
    if network is None or not any(finite):
        return [None] * len(reference)
    sides = network(to_pixels(restored[finite]), device), network(reference[finite], device)
    computed = iter(zip(*sides, strict=True))
    return [next(computed) if is_finite else None for is_finite in finite]


def score_card(
    protocol: str,
    table: Columns,
    features: Sequence[tuple[Features, Features] | None],
    dataset: str,
) -> dict[str, object]:
    """What a summary says of its scores: protocol, means, weights, FID and KID.

    Parameters
    ----------
    protocol : str
    table : Columns
        `per_image.csv`.
    features : sequence
        Of each image in the order of the table, as in `Score`.
    dataset : str
        Name of the test set, which seeds the subsets of KID.
    """
    chosen = PROTOCOLS[protocol]
    return {
        "protocol": {
            "name": protocol,
            "version": chosen.version,
            "label": chosen.label,
            "channel": chosen.channel,
            "source": chosen.source,
        },
        "distribution": _distribution(features, dataset),
        "metrics": [
            {
                "name": name,
                "label": metric.label,
                "higher_is_better": metric.higher_is_better,
                "decimals": metric.decimals,
                "unavailable": metric.unavailable or _too_small(table, name, metric),
                "weights": _weights(metric),
                **_estimate(table, name),
            }
            for name, metric in METRICS.items()
        ],
    }


def _weights(metric: Metric) -> dict[str, str] | None:
    """Which weights a metric was computed with; None where it needs none."""
    if metric.weights is None:
        return None
    used = metric.weights.load()
    return {"network": used.network, "label": used.label, "sha256": used.sha256}


def _too_small(table: Columns, name: str, metric: Metric) -> str:
    """Why images have no value of a metric that can be computed; "" if all that are finite do."""
    if not (np.isnan(_floats(table, name)) & ~np.isnan(_floats(table, "psnr"))).any():
        return ""
    side = metric.smallest_side
    needing = metric.weights.load().label if metric.weights else metric.label
    return f"not of every image, for {needing} needs {side}x{side} pixels at least"


def _estimate(table: Columns, metric: str) -> dict[str, float | int | None]:
    """Mean of a metric over images with finite values, its 95 % interval, how many have no such.

    Numbers that are n/a or infinite are None.
    """
    values = _floats(table, metric)
    if np.isnan(values).any():
        return {"mean": None, "low": None, "high": None, "exact": 0}
    scenes = [str(scene) for scene in table["scene" if "scene" in table else "image"]]
    estimate = mean_estimate(values[None], scenes)
    numbers = {"mean": estimate.mean, "low": estimate.low, "high": estimate.high}
    return {k: v if np.isfinite(v) else None for k, v in numbers.items()} | {
        "exact": estimate.exact
    }


def _distribution(
    features: Sequence[tuple[Features, Features] | None], dataset: str
) -> dict[str, dict[str, object] | str]:
    """FID and KID, or why they are n/a."""
    network = feature_network()
    present = [pair for pair in features if pair is not None]
    reason = network.unavailable
    if not reason and not network.is_published:
        reason = "the Inception weights are not those that FID and KID are defined by"
    if not reason and len(present) < len(features):
        reason = f"{len(features) - len(present)} restored images are not finite"
    if not reason and len(present) < 2:
        reason = "needs two images at least"
    fid: dict[str, object] = {"value": None, "reason": reason, "warning": ""}
    kid: dict[str, object] = {"value": None, "std": None, "reason": reason, "warning": ""}
    if not reason:
        restored, clean = (np.stack(side) for side in zip(*present, strict=True))
        distances = distribution_distances(restored, clean, dataset)
        fid |= {"value": distances.fid, "warning": distances.warning}
        kid |= {"value": distances.kid, "std": distances.kid_std}
    name = "" if reason else "Inception of pytorch-fid"
    return {"network": name, "sha256": network.sha256, "fid": fid, "kid": kid}


def protocol_means(table: Columns) -> str:
    """The means under every protocol, as text for a terminal; n/a where an image has no score.

    Parameters
    ----------
    table : Columns
        `protocols.csv`: image, protocol, and the metrics `protocols.BY_PROTOCOL`.
    """
    from tabulate import tabulate

    metrics = [name for name in METRICS if name in table]
    protocols = [str(name) for name in table["protocol"]]
    rows = {name: [of == name for of in protocols] for name in dict.fromkeys(protocols)}
    parts = {
        name: {metric: _floats(table, metric)[chosen] for metric in metrics}
        for name, chosen in rows.items()
    }
    return tabulate(
        [
            [name, *(mean_text(part, metric) for metric in metrics), PROTOCOLS[name].label]
            for name, part in parts.items()
        ],
        ["protocol", *(METRICS[m].label for m in metrics), "what it is"],
        disable_numparse=True,
        colalign=("left", *["right"] * len(metrics), "left"),
        maxcolwidths=[None] * (len(metrics) + 1) + [60],
    )


def _shown(mean: float, decimals: int) -> str:
    return "n/a" if math.isnan(mean) else f"{mean:.{decimals}f}"


def mean_text(table: Columns, metric: str) -> str:
    """Mean of a metric as text for a terminal, and how many exact images it excludes.

    Examples
    --------
    >>> mean_text({"psnr": [30.0, 31.0, math.inf]}, "psnr")
    '30.50 (1 exact)'
    """
    values = _floats(table, metric)
    if np.isnan(values).any():
        return "n/a"
    finite = values[np.isfinite(values)]
    exact = len(values) - len(finite)
    if not len(finite):
        return f"∞ ({exact} exact)"
    return _shown(finite.mean(), METRICS[metric].decimals) + (f" ({exact} exact)" * (exact > 0))


def exact_images(table: Columns) -> str:
    """Names of the images that are restored exactly, the first few of many; "" if none is."""
    is_exact = np.isinf(_floats(table, "psnr"))
    names = [name for name, exact in zip(table["image"], is_exact, strict=True) if exact]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(map(str, names[:NAMED]))}{more}"


def write_table(path: Path, table: Table) -> None:
    """Write a table of images as CSV; what is n/a stays empty."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table)
        writer.writerows(zip(*([_text(v) for v in of] for of in table.values()), strict=True))


def _text(value: object) -> str:
    """Value as it stands in a table: as many digits of a number as tell it from all others."""
    if value is None:
        return ""
    if isinstance(value, float | np.floating):
        return "" if math.isnan(value) else repr(float(value))
    return str(value)
