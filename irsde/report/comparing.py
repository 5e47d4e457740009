"""Two evaluations of the same images against each other, as text: `irsde compare A B`."""

import io
import math
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table as TextTable

from irsde.files import InputError
from irsde.perceptual import network_label
from irsde.report.captions import counted
from irsde.report.cells import exact_text, interval_text, number_text, p_text, signed
from irsde.report.comparing_picture import draw
from irsde.report.pairing import (
    NAMES,
    Comparison,
    Result,
    Side,
    budget_of,
    compared,
    paired,
    prepared,
    read_side,
    winning,
)
from irsde.statistics import FEW_SCENES, SIGNIFICANCE, Estimate

WIDTH = 110  # characters of a line
LISTED = 5  # images where a side wins most


def compare(a: Path, b: Path, picture: Path | None = None) -> str:
    """Compare two evaluations image by image.

    Parameters
    ----------
    a, b : Path
        Folders of evaluations, of results of `irsde evaluate --restored`, or of runs with one
        evaluation.
    picture : Path, optional
        PNG file to write: the values against each other, their differences, and the images that
        differ most where they are kept.

    Returns
    -------
    str
        What A and B are, what differs between them, the differences of every metric with their
        intervals and tests, and the images where each wins most.

    Raises
    ------
    InputError
        If a folder holds no evaluation or several, or no image can be paired.
    """
    if picture is not None and picture.suffix.lower() != ".png":
        raise InputError(f"--picture {picture}: give a name that ends in .png")
    comparison = paired(read_side("A", a), read_side("B", b))
    results = compared(comparison)
    text = describe(comparison, results)
    if picture is not None:
        drawn = draw(comparison, picture)
        text += f"\n{picture}: {drawn}"
    return text


def describe(comparison: Comparison, results: Sequence[Result]) -> str:
    """The comparison as text of at most 110 characters a line."""
    a, b = comparison.a, comparison.b
    parts = [_rendered(_about(a, b)).rstrip(), ""]
    parts += [_wrapped(f"Warning: {warning}.") for warning in comparison.warnings]
    parts += [""] if comparison.warnings else []
    count, scenes = len(comparison.images), len(set(comparison.scenes))
    parts.append(f"{counted(count, 'image')} of {counted(scenes, 'scene')}, paired by name:")
    parts.append(_rendered(_table(comparison, results)).rstrip())
    parts.append("")
    parts += _explained(comparison, results, scenes)
    parts += ["", *_extremes(comparison)]
    return "\n".join(line.rstrip() for part in parts for line in part.split("\n"))


def _about(a: Side, b: Side) -> TextTable:
    table = _text_table("", "A", "B")
    for label, of_side in _FACTS.items():
        values = [of_side(side) for side in (a, b)]
        if any(values):
            table.add_row(label, *(value or "n/a" for value in values))
    return table


def _images(side: Side) -> str:
    if not side.data:
        return str(side.summary.get("reference", ""))
    data = side.data
    return f"{data['label']}: {prepared(data)}"


def _sampling(side: Side) -> str:
    summary = side.summary
    if summary.get("outside") or "sampler" not in summary:
        return ""
    if summary["sampler"] == "direct":
        return f"{summary['nfe'] or 0} NFE"
    options = [summary.get(key) for key in ("grid", "conversion", "weights", "precision")]
    differing = [o for o in options if o not in (None, "uniform", "exact", "ema", "float32")]
    differing.append(f"noise seed {summary.get('sampling_seed', 0)}")
    return f"{summary['sampler']}, {summary['nfe']} NFE, {', '.join(differing)}"


def _seed(side: Side) -> str:
    return str(side.summary["seed"]) if budget_of(side) and "seed" in side.summary else ""


def _protocol(side: Side) -> str:
    protocol = side.summary["protocol"]
    return f"{protocol['name']} v{protocol.get('version', '?')}"


_FACTS: dict[str, Callable[[Side], str]] = {
    "method": lambda side: side.label,
    "folder": lambda side: side.folder.as_posix(),
    "task": lambda side: str(side.summary.get("task_label", "")),
    "images": _images,
    "sampled by": _sampling,
    "training": budget_of,
    "training seed": _seed,
    "protocol": _protocol,
    "LPIPS network": lambda side: network_label(side.summary["lpips"]["network"]),
}


def _table(comparison: Comparison, results: Sequence[Result]) -> TextTable:
    table = _text_table(
        "metric", ">A", ">B", ">A − B", ">95 % interval", ">p", ">P(A wins)", ">won by A", "verdict"
    )
    by_name = {result.metric.name: result for result in results}
    for metric in comparison.metrics:
        label = f"{metric.label} {'↑' if metric.higher_is_better else '↓'}"
        if metric.name not in by_name:
            table.add_row(label, *["n/a"] * 7, "n/a")
            continue
        result, decimals = by_name[metric.name], metric.decimals
        d, chance = result.difference, result.probability
        table.add_row(
            label,
            _mean(result.mean_a, decimals),
            _mean(result.mean_b, decimals),
            signed(d.mean, decimals),
            interval_text(d, decimals, sign=True),
            "n/a" if math.isnan(result.p_value) else p_text(result.p_value),
            f"{chance.mean:.2f}",
            f"{result.won} of {len(comparison.images)}",
            result.verdict,
        )
    return table


def _mean(mean: Estimate, decimals: int) -> str:
    return f"{number_text(mean.mean, decimals)}{exact_text(mean)}"


def _explained(comparison: Comparison, results: Sequence[Result], scenes: int) -> Iterator[str]:
    for result in results:
        if result.metric.name == comparison.headline:
            yield _wrapped(_sentence(result))
    yield _wrapped(
        "Intervals are Student's over scenes. p is of the t-test that belongs to the interval, by "
        f"Holm's method for {counted(len(results), 'metric')} together. P(A wins) is the chance "
        "that A is better on a random image, ties count half. A or B is better where p is at most "
        f"{SIGNIFICANCE:g}; a difference that is not resolved may be chance. What another training "
        "would change is in neither."
    )
    exact = [r.metric.label for r in results if r.difference.exact]
    if exact:
        yield _wrapped(
            "(k exact): k images are restored exactly, which is infinite. The mean and A − B of "
            f"{', '.join(exact)} leave them out; p is then of Wilcoxon's signed-rank test, which "
            "counts them by their rank."
        )
    if scenes < 2:
        yield "No verdict is possible: all images are of one scene."
    elif scenes < FEW_SCENES:
        yield _wrapped(f"Of {scenes} scenes, they hold if scenes are normally distributed.")
    for metric in comparison.metrics:
        if metric.missing:
            yield _wrapped(f"{metric.label} is n/a: {metric.missing}.")


def _sentence(result: Result) -> str:
    """The verdict on the main metric in words."""
    d, metric, chance = result.difference, result.metric, result.probability
    size = number_text(abs(d.mean), metric.decimals)
    said = {
        "not resolved": f"A and B differ by {size}, which is not resolved",
        "cannot be told": f"A and B differ by {size}; whether by chance cannot be told",
    }.get(result.verdict, f"{result.verdict} by {size}")
    if d.exact:
        left_out = counted(d.exact, "image")
        said += f" over the images that neither restores exactly ({left_out} left out)"
        if not math.isfinite(d.mean):
            said = "every image is restored exactly by A or B, so there is no mean difference"
    interval = f" ({interval_text(chance, 2)})" if math.isfinite(chance.low) else ""
    return (
        f"{metric.label}: {said}. A wins on a random image with probability "
        f"{chance.mean:.2f}{interval}."
    )


def _extremes(comparison: Comparison) -> Iterator[str]:
    """Where each side wins most."""
    metric = comparison.main
    for name, sign in zip(NAMES, (1, -1), strict=True):
        chosen = winning(comparison, sign)[:LISTED]
        if not chosen:
            yield f"{name} wins on no image in {metric.label}."
            continue
        table = _text_table("image", "scene", ">A", ">B", ">A − B")
        for index in chosen:
            a, b = metric.a[index], metric.b[index]
            table.add_row(
                comparison.images[index],
                comparison.scenes[index],
                *(number_text(value, metric.decimals) for value in (a, b)),
                signed(metric.differences[index], metric.decimals),
            )
        yield f"Where {name} wins most in {metric.label}:"
        yield _rendered(table).rstrip()


def _text_table(*headings: str) -> TextTable:
    table = TextTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for heading in headings:
        table.add_column(
            heading.removeprefix(">"),
            justify="right" if heading.startswith(">") else "left",
            overflow="fold",
            no_wrap=heading.startswith(">"),
        )
    return table


def _rendered(table: TextTable) -> str:
    stream = io.StringIO()
    console = Console(
        file=stream, width=WIDTH, color_system=None, legacy_windows=False, markup=False, emoji=False
    )
    console.print(table)
    return stream.getvalue()


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)
