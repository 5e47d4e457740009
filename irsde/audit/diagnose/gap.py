"""The gap between somebody's number and a printed one, and what could explain it, best first."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import quantile_test
from tabulate import tabulate

from irsde.audit.diagnose.images import ReadImages, read_images
from irsde.audit.diagnose.settings import Finding, Log, read_log, read_options
from irsde.audit.diagnose.study import BASIS, TOPICS, study_effects
from irsde.data.adopt.fingerprints import find_images, known_sets, read_fingerprints
from irsde.data.catalogue import find_split
from irsde.data.published import Numbers, PublishedMethod, PublishedTable, read_published
from irsde.experiment.profile import TestSet
from irsde.experiment.published_weights import (
    CATALOGUE,
    PublishedRow,
    read_weights_catalogue,
    weights_of,
)
from irsde.files import InputError, check_name
from irsde.methods import METHODS
from irsde.scoring.protocols import PROTOCOLS
from irsde.scoring.statistics import paired_difference

PRINTED = {"psnr": "PSNR", "psnr_y": "PSNR-Y"}
NOTHING = 0.005  # dB: less than the last digit that is printed
ALIKE = 0.015  # dB: two numbers that can be one, rounded
FEW = 6  # images: of fewer a median has no 95 % interval
TRUNCATED = (0.3, 0.7)  # levels that bytes are too dark by where they were cut off, not rounded


@dataclass(frozen=True)
class Given:
    """What somebody gives of a result.

    Parameters
    ----------
    restored, reference : Path, optional
        Folders of images; both or neither.
    pattern : str, optional
        How the restored images are named.
    protocol : str, optional
        How they were scored, a key of `protocols.PROTOCOLS`.
    settings, log : Path, optional
        Option file and log of the authors' programs.
    psnr : float, optional
        The number itself.
    """

    restored: Path | None = None
    reference: Path | None = None
    pattern: str | None = None
    protocol: str | None = None
    settings: Path | None = None
    log: Path | None = None
    psnr: float | None = None


@dataclass(frozen=True)
class Explanation:
    """Something that could explain a gap.

    Parameters
    ----------
    what : str
    effect : float
        What it adds to the number, in dB.
    interval : tuple of float, optional
        95 %.
    known_by : str
    """

    what: str
    effect: float
    interval: tuple[float, float] | None
    known_by: str


def diagnose(row: str, given: Given) -> str:
    """Rank what could explain the gap between a number and the printed row.

    Parameters
    ----------
    row : str
        `DATASET/METHOD` of `data/published.yaml`, such as ``rain100h-test/PReNet``, or test set and
        name of a row of `data/published_weights.yaml`, such as ``kodak24+sigma25/ffdnet``.
    given : Given

    Raises
    ------
    InputError
        If the row is unknown or has no PSNR, what is given is not enough or has no effect, or a
        file or image cannot be used.
    """
    _check(given)
    table, method = _row(row)
    metric = "psnr_y" if "psnr_y" in method.values else "psnr"
    printed = float(method.values[metric][0])
    images = None
    if given.restored is not None and given.reference is not None:
        images = read_images(given.restored, given.reference, given.pattern)
    log = read_log(given.log) if given.log else None
    findings = read_options(given.settings, table, method) if given.settings else []
    number, source = _number(given, images, log, metric)
    gap = printed - number
    lines = [_stated(table, method, metric), f"yours: {number:.2f} dB, {source}"]
    if math.isinf(number):
        return "\n".join([*lines, "an image is restored exactly: there is no mean to compare"])
    lines.append(_missing(gap))
    lines += _warnings(images, log, table)
    if given.reference is not None:
        lines.append(_edition(given.reference, table.dataset))
    found = [*_measured(images, log, given, table.protocol_of(method), metric)]
    ranked = sorted(found, key=lambda one: abs(gap - one.effect))
    telling = [one for one in ranked if one.effect * math.copysign(1, gap) >= NOTHING]
    if telling:
        lines += ["", "Measured on what you gave, the nearest to the gap first:", ""]
        lines.append(_table(telling, gap))
    if excluded := [f"{one.what} ({one.effect:+.2f})" for one in ranked if one not in telling]:
        lines += ["", f"Excluded, as it would not close the gap: {'; '.join(excluded)}."]
    if images is not None and given.psnr is not None:
        lines += _recognised(images, given.psnr)
    lines += _traces(images)
    if findings:
        lines += ["", "Your option file:", "", *(f"- {_verdict(one)}" for one in findings)]
    lines += _of_study(gap, method, findings)
    lines += _unknown(images, log, findings, method)
    return "\n".join(lines)


def _check(given: Given) -> None:
    """Refuse what is not enough and what has no effect."""
    if (given.restored is None) != (given.reference is None):
        raise InputError("irsde diagnose: give --restored and --reference together")
    if given.restored is None:
        for option, value in (("--pattern", given.pattern), ("--protocol", given.protocol)):
            if value is not None:
                raise InputError(f"irsde diagnose {option}: goes with --restored")
        if given.log is None and given.psnr is None:
            raise InputError("no number is known: give --restored, --log or --psnr")
    if given.psnr is not None and given.protocol is not None:
        raise InputError("irsde diagnose: give --psnr or --protocol, which says how to compute it")
    if given.psnr is not None and not 0 < given.psnr < 100:
        raise InputError(f"--psnr {given.psnr:g}: is no PSNR in dB")
    check_name("protocol", given.protocol or "rgb", PROTOCOLS)


def _row(name: str) -> tuple[PublishedTable, PublishedMethod]:
    """The printed row of a name: of a table, or of published weights by their name."""
    dataset, _, label = name.partition("/")
    of_weights = {
        (row.dataset, name): row
        for name, weights in (read_weights_catalogue() if CATALOGUE.is_file() else {}).items()
        for row in weights.rows
        if row.psnr is not None
    }
    if (dataset, label) in of_weights:
        return _row_of_weights(label, of_weights[dataset, label])
    tables = {table.dataset: table for table in read_published().tables}
    sets = dict.fromkeys((*tables, *(of for of, _ in of_weights)))
    check_name("data set of printed rows", dataset, sets)
    methods = {
        method.label: method
        for method in (tables[dataset].methods if dataset in tables else ())
        if {"psnr", "psnr_y"} & set(method.values)
    }
    known = [name for of, name in of_weights if of == dataset]
    check_name(f"row of {dataset}", label, [*methods, *known])
    return tables[dataset], methods[label]


def _row_of_weights(name: str, row: PublishedRow) -> tuple[PublishedTable, PublishedMethod]:
    weights, test_set = weights_of(name), TestSet.parse(row.dataset)
    _, split = find_split(test_set.dataset)
    numbers = Numbers.model_validate(
        {
            "sources": [row.source],
            "confirmed": row.confirmed,
            **{metric: str(value) for metric, value in row.values.items()},
        }
    )
    method = PublishedMethod(label=weights.label, weights=name, nfe=1, numbers=(numbers,))
    table = PublishedTable(
        task=weights.task,
        dataset=test_set.dataset,
        label=split.label,
        images=max(split.images, split.degraded),
        noise_level=test_set.noise_level,
        protocol=row.protocol,
        lpips_network=None,
        methods=(method,),
    )
    return table, method


def _stated(table: PublishedTable, method: PublishedMethod, metric: str) -> str:
    value, group = method.values[metric]
    sources = read_published().sources
    names = [sources[name].label if name in sources else name for name in group.sources]
    by = ", ".join(names) or "unconfirmed"
    protocol = table.protocol_of(method)
    how = PROTOCOLS[protocol].label if protocol else "how it was scored is not stated"
    return (
        f"printed: {value} dB, {PRINTED[metric]} of {method.label} on {table.label} ({by}); {how}"
    )


def _number(
    given: Given, images: ReadImages | None, log: Log | None, metric: str
) -> tuple[float, str]:
    """The number in question and how it came about."""
    if given.psnr is not None:
        return given.psnr, "as you say"
    if log is not None and images is None:
        for value, of in (
            (log.psnr_y if metric == "psnr_y" else None, "PSNR_Y of your log"),
            (log.psnr, "PSNR of your log, in RGB"),
            (log.validation, "the last validation of your log, in RGB without a crop"),
        ):
            if value is not None:
                return value, of
    assert images is not None  # `_check` and `read_log` see to it
    protocol = given.protocol or "rgb"
    of = PROTOCOLS[protocol].headline[0]
    count = len(images.names)
    return (
        float(np.mean(images.scores[protocol, of])),
        f"{PRINTED[of]} of {count} images by the protocol {protocol}: {PROTOCOLS[protocol].label}",
    )


def _missing(gap: float) -> str:
    if abs(gap) < ALIKE:
        return "the two agree: there is no gap to explain"
    return f"{'missing' if gap > 0 else 'above it by'}: {abs(gap):.2f} dB"


def _warnings(images: ReadImages | None, log: Log | None, table: PublishedTable) -> Iterator[str]:
    """What makes the two numbers of different things."""
    count = len(images.names) if images else log.images if log else None
    if None not in (count, table.images) and count != table.images:
        yield f"! {count} images, the row is of {table.images}: part of the gap may be the choice"
    if images:
        yield from images.pairing.notes
        if images.lossy:
            yield f"! {images.lossy} restored images are JPEG files: what that took is lost"


def _edition(reference: Path, dataset: str) -> str:
    """Whether the clean images are those of the data set that the row is of."""
    if dataset not in known_sets():
        return f"edition: not known, the catalogue has no fingerprints of {dataset}"
    known = {
        key
        for image in read_fingerprints(dataset)
        if image.part == "clean"
        for key in (image.pixels, image.file)
        if key
    }
    found, _ = find_images(reference)
    same = sum(bool(image.keys & known) for image in found)
    if same == len(found):
        return f"edition: all {same} clean images are those of {dataset}, pixel by pixel"
    return (
        f"! edition: only {same} of {len(found)} clean images are those of {dataset}; irsde data "
        "adopt says how the others differ"
    )


def _measured(
    images: ReadImages | None, log: Log | None, given: Given, row: str | None, metric: str
) -> Iterator[Explanation]:
    """Explanations that the images or the log themselves have the size of."""
    if images is not None:
        yield from _of_scoring(images, given, row, metric)
        yield from _of_pixels(images, metric)
    elif log is not None and log.psnr is not None and log.psnr_y is not None:
        effect = log.psnr_y - log.psnr
        yield Explanation("luminance instead of RGB", effect, None, "both numbers of your log")


def _of_scoring(
    images: ReadImages, given: Given, row: str | None, metric: str
) -> Iterator[Explanation]:
    """The same images scored as the row is, all at once and one thing at a time."""
    if given.psnr is not None:
        for (protocol, of), values in images.scores.items():
            mean = float(np.mean(values))
            what = f"{PRINTED[of]} by {protocol} is {mean:.2f}"
            yield Explanation(what, mean - given.psnr, None, "your images")
        return
    own = given.protocol or "rgb"
    before = own, PROTOCOLS[own].headline[0]
    as_row = row or own, metric
    others: dict[tuple[str, str], str] = {}
    names = {"psnr": "RGB", "psnr_y": "luminance"}
    if before[1] != metric:
        others[own, metric] = f"{names[metric]} instead of {names[before[1]]}"
    borders = [PROTOCOLS[own].border, PROTOCOLS[row].border if row else 0]
    if borders[0] != borders[1]:
        cropped = "authors" if borders[1] else "rgb"
        others[cropped, before[1]] = f"{borders[1]} border pixels cut instead of {borders[0]}"
    if as_row not in (before, *others):
        others[as_row] = f"scored as the row is: {names[metric]} by {as_row[0]}"
    if metric == "psnr_y":
        for protocol in ("matlab-y", "full-range-y"):
            if PROTOCOLS[protocol].luminance != PROTOCOLS[as_row[0]].luminance:
                what = f"{PRINTED[metric]} by {protocol}: {PROTOCOLS[protocol].label}"
                others.setdefault((protocol, metric), what)
    for after, what in others.items():
        yield _difference(images, what, images.scores[after], images.scores[before])


def _of_pixels(images: ReadImages, metric: str) -> Iterator[Explanation]:
    """What changes where pixels are moved, exchanged or lifted."""
    yield _difference(
        images,
        "half a level added, as bytes that were cut off and not rounded have lost",
        images.lifted[metric],
        images.scores["unrounded" if metric == "psnr" else "y", metric],
    )
    yield _difference(
        images, "red and blue exchanged", images.swapped, images.scores["rgb", "psnr"]
    )
    best = max(images.shifted, key=lambda shift: float(np.mean(images.shifted[shift])))
    down, right = best
    yield _difference(
        images,
        f"moved by ({-down}, {-right}) pixels down and right",
        images.shifted[best],
        images.unshifted,
    )


def _difference(
    images: ReadImages,
    what: str,
    after: Sequence[float],
    before: Sequence[float],
) -> Explanation:
    """Paired by image; each is taken for a scene of its own."""
    found = paired_difference([after], [before], images.names)
    interval = None if math.isnan(found.low) else (found.low, found.high)
    return Explanation(what, found.mean, interval, "your images")


def _table(explanations: Sequence[Explanation], gap: float) -> str:
    lines = [
        [
            one.what,
            f"{one.effect:+.2f}"
            + (f" [{one.interval[0]:+.2f}, {one.interval[1]:+.2f}]" if one.interval else ""),
            f"{gap - one.effect:+.2f}",
            one.known_by,
        ]
        for one in explanations
    ]
    return tabulate(
        lines,
        ["what", "effect (dB)", "gap left", "measured on"],
        tablefmt="simple",
        disable_numparse=True,
        maxcolwidths=[44, None, None, 16],
    )


def _recognised(images: ReadImages, psnr: float) -> list[str]:
    """Ways of scoring by which the images have the number that was given."""
    means = {key: float(np.mean(values)) for key, values in images.scores.items()}
    alike = [
        f"{PRINTED[of]} by {protocol} is {mean:.2f}: your number, or one that rounds to it"
        for (protocol, of), mean in means.items()
        if abs(mean - psnr) < ALIKE
    ]
    return ["", *(alike or ["No way of scoring these images gives your number."])]


def _traces(images: ReadImages | None) -> list[str]:
    """Whether the bytes were truncated, by how dark they are.

    A truncated byte is half a level too dark on average. The median over images is taken: a method
    that fails on some of them is off by far more there.
    """
    if images is None:
        return []
    errors = np.array(images.errors)
    errors = errors[np.isfinite(errors)]
    if len(errors) < FEW:
        return ["", f"Truncation shows in the brightness of {FEW} images or more, not of fewer."]
    median = float(np.median(errors))
    bounds = quantile_test(errors, q=0, p=0.5).confidence_interval(0.95)
    low, high = TRUNCATED
    if low <= -median <= high and bounds.high < 0:
        verdict = "bytes look truncated, not rounded, unless the method itself darkens by as much"
    elif bounds.low <= 0 <= bounds.high:
        verdict = "no sign of truncated bytes, which would be half a level darker"
    else:
        verdict = "not the half level by which truncated bytes are darker"
    return [
        "",
        f"Restored minus clean, median over images: {median:+.2f} levels [{bounds.low:+.2f}, "
        f"{bounds.high:+.2f}]: {verdict}.",
    ]


def _verdict(finding: Finding) -> str:
    said = {True: "as the row", False: "DIFFERS", None: "not decided"}[finding.agrees]
    return f"{TOPICS[finding.topic].what}: {said}. {finding.text}"


def _of_study(gap: float, method: PublishedMethod, findings: Sequence[Finding]) -> list[str]:
    """Effects that only trainings show, by the committed study."""
    samples = method.method is not None and METHODS[method.method].kind == "process"
    agreeing = {one.topic for one in findings if one.agrees}
    differing = {one.topic for one in findings if one.agrees is False}
    seen = {"channel", "crop", "rounding"}
    effects = [
        one
        for one in study_effects()
        if one.topic not in agreeing | seen and (samples or not TOPICS[one.topic].of_sampling)
    ]
    if not effects:
        return []
    effects.sort(key=lambda one: (one.topic not in differing, abs(abs(gap) - abs(one.effect))))
    lines = [
        [
            TOPICS[one.topic].what + (" (DIFFERS)" if one.topic in differing else ""),
            f"{one.label} instead of {one.instead_of}",
            f"{one.effect:+.2f} [{one.low:+.2f}, {one.high:+.2f}]",
        ]
        for one in effects
    ]
    table = tabulate(
        lines,
        ["not seen here", "measured in the study", "effect (dB)"],
        tablefmt="simple",
        disable_numparse=True,
        maxcolwidths=[26, 44, None],
    )
    return [
        "",
        f"Not excluded, with the effect on {BASIS}; elsewhere take its sign and order only:",
        "",
        table,
    ]


def _unknown(
    images: ReadImages | None,
    log: Log | None,
    findings: Sequence[Finding],
    method: PublishedMethod,
) -> list[str]:
    """What cannot be known from what was given."""
    decided = {one.topic for one in findings if one.agrees is not None}
    samples = method.method is not None and METHODS[method.method].kind == "process"
    hidden = [
        topic.what
        for name, topic in TOPICS.items()
        if topic.unseen and name not in decided and (samples or not topic.of_sampling)
    ]
    lines = ["", "What cannot be known from what you gave:", ""]
    if hidden:
        lines.append(f"- {', '.join(hidden)}: no image shows them, and no file that you gave says")
    if images is None:
        lines.append("- anything of the pixels: give --restored and --reference")
    elif log is None and not findings:
        lines.append("- how the weights came about: give --settings and --log of the training")
    lines.append("- how the printed number itself varies with the seed of its training")
    return lines
