"""Two evaluations of the same images against each other: `irsde compare A B`."""

import io
import itertools
import math
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image as PILImage
from rich import box
from rich.console import Console
from rich.table import Table as TextTable

from irsde.audit.pairing import (
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
from irsde.data.sets import TABLE, read_records
from irsde.drawing import (
    ACCENT,
    BLACK,
    BLUE,
    DOUBLE,
    GRAY,
    SMALL,
    STYLE,
    Window,
    frame,
    largest_window,
    window_sums,
)
from irsde.experiment.grid import pairs_folder
from irsde.experiment.options import unusual
from irsde.files import InputError, replacing
from irsde.images import ENDINGS, Pixels, read_image, to_pixels
from irsde.report.captions import counted
from irsde.report.judging import exact_text, interval_text, number_text, p_text, signed
from irsde.scoring.metrics import METRICS
from irsde.scoring.perceptual import network_label
from irsde.scoring.pixels import psnr
from irsde.scoring.protocols import PROTOCOLS
from irsde.scoring.score import reference_hash
from irsde.scoring.statistics import FEW_SCENES, SIGNIFICANCE, Estimate, paired_difference

Values = NDArray[np.float64]

DRAWN = 2  # images of each side

MOST_BINS = 40

COLORS = (ACCENT, BLUE)  # of A and of B

DRAWING, TITLES, ROW = 2.75, 0.22, 1.13  # inches: both drawings, titles of images, a row of them


@dataclass(frozen=True)
class _Scene:
    """One image as it is, as it was degraded, and as both sides restored it."""

    name: str
    title: str
    reference: Pixels
    degraded: Pixels | None
    a: Pixels
    b: Pixels
    notes: tuple[str, str]


def draw(comparison: Comparison, path: Path) -> str:
    """Write the picture of a comparison.

    Parameters
    ----------
    comparison : Comparison
    path : Path
        PNG file.

    Returns
    -------
    str
        What is in it.
    """
    scenes = _scenes_to_draw(comparison)
    height = DRAWING + (TITLES + ROW * len(scenes) if scenes else 0)
    with mpl.rc_context(STYLE):
        canvas = Canvas(figsize=(DOUBLE, height))
        for index, side in enumerate((comparison.a, comparison.b)):
            text = textwrap.shorten(f"{side.name}: {side.label}", 40, placeholder=" …")
            canvas.text(
                0.085 + 0.5 * index, 1 - 0.06 / height, text,
                va="top", color=COLORS[index], weight="bold",
            )  # fmt: skip
        top = canvas.add_gridspec(
            1, 2, left=0.085, right=0.985, top=1 - 0.5 / height,
            bottom=1 - (DRAWING - 0.42) / height, wspace=0.28,
        )  # fmt: skip
        _scatter(canvas.add_subplot(top[0]), comparison)
        _histogram(canvas.add_subplot(top[1]), comparison)
        if scenes:
            _rows(canvas, scenes, height)
        with replacing(path) as temporary:
            canvas.savefig(temporary, metadata={"Software": None})
    if not scenes:
        return "values and differences; no image that both keep has its reference available"
    return f"values, differences and {len(scenes)} of the images that both keep"


def _scatter(axes: Axes, comparison: Comparison) -> None:
    metric = comparison.main
    finite = np.concatenate([v[np.isfinite(v)] for v in (metric.a, metric.b)])
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
    margin = 0.06 * (high - low) or 0.5
    limits = (low - margin, high + margin)
    a, b = (np.minimum(v, limits[1]) for v in (metric.a, metric.b))  # exact ones at the edge
    better = metric.sign * metric.differences
    axes.plot(limits, limits, color=GRAY, linewidth=0.8, zorder=1)
    for name, sign, color, marker in zip(NAMES, (1, -1), COLORS, ("o", "s"), strict=True):
        wins = sign * better > 0
        axes.plot(
            b[wins], a[wins], marker, color=color, markersize=3.4, alpha=0.8,
            markeredgewidth=0, zorder=2, label=f"{name} is better: {wins.sum()}",
        )  # fmt: skip
    if (ties := better == 0).any():
        axes.plot(
            b[ties], a[ties], "x", color=GRAY, markersize=3.4, zorder=2,
            label=f"equal: {ties.sum()}",
        )  # fmt: skip
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    axes.set_xlabel(f"B, {metric.label}")
    axes.set_ylabel(f"A, {metric.label}")
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.02, 1), ncols=3, borderpad=0, handletextpad=0,
        columnspacing=0.8, fontsize=SMALL,
    )  # fmt: skip


def _histogram(axes: Axes, comparison: Comparison) -> None:
    metric = comparison.main
    d = paired_difference(metric.a[None], metric.b[None], comparison.scenes)
    differences = metric.differences[np.isfinite(metric.a) & np.isfinite(metric.b)]
    if not len(differences):
        axes.set_title("no image has two finite values", loc="left", fontsize=SMALL)
        return
    counts, edges = _binned(differences)
    middles = (edges[:-1] + edges[1:]) / 2
    colors = [COLORS[int(middle * metric.sign < 0)] for middle in middles]
    axes.bar(
        edges[:-1], counts, np.diff(edges), align="edge", color=colors, alpha=0.55,
        edgecolor="white", linewidth=0.4,
    )  # fmt: skip
    axes.axvline(0, color=GRAY, linewidth=0.8)
    top = counts.max()
    axes.set_ylim(0, 1.22 * top)
    if math.isfinite(d.low):
        axes.plot([d.low, d.high], [1.1 * top] * 2, color=BLACK, linewidth=1.6)
    axes.plot([d.mean], [1.1 * top], "o", color=BLACK, markersize=4.5)
    ends = interval_text(d, metric.decimals, sign=True)
    interval = f", 95 %: {ends}" if math.isfinite(d.low) else ""
    axes.set_title(
        f"mean {signed(d.mean, metric.decimals)}{interval}{exact_text(d)}",
        loc="left", fontsize=SMALL,
    )  # fmt: skip
    axes.set_xlabel(f"A − B, {metric.label}")
    axes.set_ylabel("images")
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))


def _binned(differences: Values) -> tuple[Values, Values]:
    """Counts and edges of bins, one edge of which is 0."""
    usual = np.histogram_bin_edges(differences, "auto")
    span = max(differences.max(), 0) - min(differences.min(), 0)
    width = max(float(usual[1] - usual[0]), span / MOST_BINS) or 1.0
    first = math.floor(differences.min() / width) if differences.min() < 0 else 0
    last = math.floor(differences.max() / width) + 1 if differences.max() >= 0 else 0
    edges = width * np.arange(first, max(last, first + 1) + 1)
    counts, _ = np.histogram(differences, edges)
    return counts.astype(np.float64), edges


def _scenes_to_draw(comparison: Comparison) -> list[_Scene]:
    """Where each side wins most, of the images that both keep and whose reference is available."""
    chosen = []
    for name, sign in zip(NAMES, (1, -1), strict=True):
        drawn = (_scene(comparison, index, name) for index in winning(comparison, sign))
        chosen += list(itertools.islice((scene for scene in drawn if scene is not None), DRAWN))
    return chosen


def _scene(comparison: Comparison, index: int, winner: str) -> _Scene | None:
    image, metric = comparison.images[index], comparison.main
    reference, degraded = _originals(comparison, image)
    if reference is None:
        return None
    clean = read_image(reference)
    sides = (comparison.a, comparison.b)
    if not all(_is_scored(clean, side, index) for side in sides):
        return None
    kept = [_restored(side, image, clean, index) for side in sides]
    if kept[0] is None or kept[1] is None:
        return None
    a, b = kept[0], kept[1]
    notes = (number_text(v[index], metric.decimals) for v in (metric.a, metric.b))
    unit = " dB" if metric.label.endswith("(dB)") else ""
    first, second = (f"{note}{unit}" for note in notes)
    return _Scene(image, f"{winner} wins", clean, _degraded(degraded, clean), a, b, (first, second))


def _is_scored(clean: Pixels, side: Side, index: int) -> bool:
    """Whether a side was scored against this clean image; old evaluations cannot tell."""
    if "reference" not in side.per_image:
        return True
    recorded = side.per_image["reference"].iloc[index]
    return bool(recorded == reference_hash(clean) or pd.isna(recorded))


def _restored(side: Side, image: str, clean: Pixels, index: int) -> Pixels | None:
    """A restored image, of the evaluation or of the folder that was scored.

    That folder's path is relative to where it was scored; an image of another value than the one
    in the table is of elsewhere.
    """
    if path := _file([side.folder / "images"], image):
        pixels = read_image(path)
        return pixels if pixels.shape == clean.shape else None
    path = _file([Path(side.summary.restored)], image) if side.summary.restored else None
    if path is None:
        return None
    pixels = read_image(path)
    protocol = PROTOCOLS.get(side.summary.protocol.name)
    if protocol is None or pixels.shape != clean.shape or "psnr" not in side.per_image:
        return None
    inner = slice(protocol.border, -protocol.border or None)
    recomputed = psnr(pixels[inner, inner], clean[inner, inner])
    return pixels if np.isclose(recomputed, side.per_image["psnr"].iloc[index], atol=1e-3) else None


def _file(places: Sequence[Path], image: str) -> Path | None:
    files = (place / f"{image}{ending}" for place in places for ending in ENDINGS)
    return next((file for file in files if file.is_file()), None)


def _originals(comparison: Comparison, image: str) -> tuple[Path | None, Path | None]:
    """Files of the clean and of the degraded image, where they are available."""
    for side in (comparison.a, comparison.b):
        if side.data and side.summary.profile and side.summary.task:
            folder = pairs_folder(side.summary.profile, side.summary.task, side.data.dataset)
            if (folder / TABLE).is_file():
                records = {record.image: record for record in read_records(folder)}
                if image in records and (folder / records[image].gt).is_file():
                    record = records[image]
                    lower = folder / record.lq if record.lq else None
                    return folder / record.gt, lower if lower and lower.is_file() else None
    places = [
        Path(side.summary.reference)
        for side in (comparison.a, comparison.b)
        if side.summary.reference
    ]
    return _file(places, image), None


def _degraded(path: Path | None, clean: Pixels) -> Pixels | None:
    """Degraded image at the size of the clean one."""
    if path is None:
        return None
    if path.suffix == ".npy":
        pixels = to_pixels(np.load(path, allow_pickle=False))
    else:
        pixels = read_image(path)
    if pixels.shape != clean.shape:
        size = (clean.shape[1], clean.shape[0])
        resized = PILImage.fromarray(pixels).resize(size, PILImage.Resampling.NEAREST)
        pixels = np.asarray(resized)
    return pixels


def _rows(canvas: Canvas, scenes: Sequence[_Scene], height: float) -> None:
    """A row of details for each image: clean, degraded, both restorations, their errors."""
    has_degraded = any(scene.degraded is not None for scene in scenes)
    titles = ["whole", "reference", *(["degraded"] if has_degraded else []), "A", "B"]
    titles += ["|A - reference|", "|B - reference|"]
    grid = canvas.add_gridspec(
        len(scenes), len(titles), left=0.03, right=0.995, top=1 - (DRAWING + TITLES) / height,
        bottom=0.2 / height, wspace=0.04, hspace=0.22,
    )  # fmt: skip
    for index, scene in enumerate(scenes):
        box_ = _where_they_differ(scene)
        errors = [_error(side, scene.reference)[box_] for side in (scene.a, scene.b)]
        ceiling = max(1.0, float(np.quantile(np.stack(errors), 0.995)))
        details = [scene.reference, *([scene.degraded] if has_degraded else []), scene.a, scene.b]
        panels: list[Pixels | Values | None] = [scene.reference]
        panels += [None if detail is None else detail[box_] for detail in details]
        panels += errors
        for column, panel in enumerate(panels):
            axes = canvas.add_subplot(grid[index, column])
            axes.set(xticks=[], yticks=[])
            for spine in axes.spines.values():
                spine.set_visible(False)
            if index == 0:
                axes.set_title(titles[column], fontsize=SMALL, pad=3)
            if panel is None:
                axes.text(0.5, 0.5, "n/a", ha="center", va="center", transform=axes.transAxes)
            elif panel.ndim == 2:
                axes.imshow(panel, cmap="gray_r", vmin=0, vmax=ceiling, interpolation="nearest")
            else:
                axes.imshow(panel, interpolation="nearest")
            if column == 0:
                frame(axes, box_)
                axes.set_ylabel(scene.title, fontsize=SMALL, labelpad=2)
                axes.set_xlabel(scene.name, fontsize=SMALL, labelpad=2)
            if titles[column] in NAMES:
                note = scene.notes[NAMES.index(titles[column])]
                axes.set_xlabel(note, fontsize=SMALL, labelpad=2)
            if column == len(panels) - 1:
                note = f"black: {ceiling:.0f} of 255"
                axes.set_xlabel(note, fontsize=SMALL, labelpad=2)


def _error(restored: Pixels, reference: Pixels) -> Values:
    """Absolute difference in 0 to 255, mean over the channels."""
    difference = restored.astype(np.float64) - reference.astype(np.float64)
    return np.asarray(np.abs(difference).mean(axis=2))


def _where_they_differ(scene: _Scene) -> Window:
    """Square of two fifths of the shorter side in which the errors of A and B differ most."""
    gap = np.abs(_error(scene.a, scene.reference) - _error(scene.b, scene.reference))
    side = max(8, 2 * min(gap.shape) // 5)
    side = min(side, *gap.shape)
    return largest_window(window_sums(gap, side, side), side, side)


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
        return side.summary.reference or ""
    return f"{side.data.label}: {prepared(side.data)}"


def _sampling(side: Side) -> str:
    summary = side.summary
    if summary.outside or summary.sampler is None:
        return ""
    if summary.sampler == "direct":
        return f"{summary.nfe or 0} NFE"
    options = [*unusual(summary), f"noise seed {summary.sampling_seed}"]
    return f"{summary.sampler}, {summary.nfe} NFE, {', '.join(options)}"


def _seed(side: Side) -> str:
    return str(side.summary.seed) if budget_of(side) and side.summary.seed is not None else ""


def _protocol(side: Side) -> str:
    protocol = side.summary.protocol
    return f"{protocol.name} v{'?' if protocol.version is None else protocol.version}"


def _network(side: Side, name: str) -> str:
    stated = side.summary.metric(name)
    return network_label(stated.network) if stated else ""


_FACTS: dict[str, Callable[[Side], str]] = {
    "method": lambda side: side.label,
    "folder": lambda side: side.folder.as_posix(),
    "task": lambda side: side.summary.task_label or "",
    "images": _images,
    "sampled by": _sampling,
    "training": budget_of,
    "training seed": _seed,
    "protocol": _protocol,
    **{
        f"{of.label} network": partial(_network, name=name)
        for name, of in METRICS.items()
        if of.weights
    },
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
        f"{SIGNIFICANCE:g}; a difference that is not resolved may be chance. The variation between "
        "trainings is not included."
    )
    exact = [r.metric.label for r in results if r.difference.exact]
    if exact:
        yield _wrapped(
            "(k exact): k images are restored exactly, which is infinite. The mean and A − B of "
            f"{', '.join(exact)} exclude them; p is then of Wilcoxon's signed-rank test, which "
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
        "not resolved": f"A and B differ by {size}, which is not significant",
        "cannot be told": f"A and B differ by {size}; whether by chance cannot be told",
    }.get(result.verdict, f"{result.verdict} by {size}")
    if d.exact:
        left_out = counted(d.exact, "image")
        said += f" over the images that neither restores exactly ({left_out} excluded)"
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
