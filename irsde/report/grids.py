"""Figures made of images: the same scenes by every method, and the states of a process."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import FancyArrowPatch
from numpy.typing import NDArray

from irsde.drawing import (
    ACCENT,
    DOUBLE,
    GRAY,
    SMALL,
    STYLE,
    Window,
    frame,
    key_of,
    largest_window,
    save,
    window_sums,
)
from irsde.experiment.grid import pairs_folder
from irsde.experiment.summary import StoredStates
from irsde.images import Pixels, read_image
from irsde.report.captions import about_images, about_scores, counted
from irsde.report.judging import Metric, headline, number_text
from irsde.report.results import Entry, Row, entries
from irsde.report.table import Figure

MAX_IMAGES = 2
MAX_COLUMNS = 7
MAX_STATES = 7
MAX_STRIPS = 3
GAP, LINE, NOTE = 0.05, 0.135, 0.2  # inches: between panels, a line of a title, a note below
WIDEST = 1.38  # inches, of one panel
WIDEST_DETAIL = 0.85  # inches, of one panel of a wrapped grid
NARROWEST_OVERVIEW = 1.3  # inches, of the whole images beside a wrapped grid


@dataclass(frozen=True)
class _Panel:
    """One method's image of a scene, or the truth."""

    title: str
    pixels: Pixels
    note: str


@dataclass(frozen=True)
class _Scene:
    """The same image by every method; the truth is the last panel."""

    name: str
    degraded: Pixels | None
    panels: tuple[_Panel, ...]
    window: Window


def comparison_figure(rows: Sequence[Row], budget: str, folder: Path) -> Figure | None:
    """Draw images of two scenes as restored by each method, with a magnified detail of each.

    Parameters
    ----------
    rows : sequence of Row
        Evaluations of one task and data set, at least one; of several seeds the first is shown.
    budget : str
        Caption of the profile.
    folder : Path
        Where `<task>-<dataset>.png` is written.

    Returns
    -------
    Figure or None
        None where the images are not there.

    Notes
    -----
    The detail is the square in which the degraded image differs most from the clean one. Up to
    seven panels stand side by side, the whole image above the detail; more are wrapped, details
    only, beside the whole degraded and clean image.
    """
    scenes = _scenes(rows)
    if not scenes:
        return None
    first = rows[0]
    key = key_of(first.task, first.dataset)
    with mpl.rc_context(STYLE):
        wide = len(scenes[0].panels) > MAX_COLUMNS
        canvas = _wrapped_grid(scenes) if wide else _one_row_grid(scenes)
    save(canvas, folder, key, drawing=False)
    below = "is the detail" if wide else "below it is the detail"
    return Figure(
        key=key,
        title=f"{first.summary.task_label}, {first.summary.dataset.label}: comparison",
        section=str(first.summary.task_label),
        caption=(
            f"{counted(len(scenes), 'image')} ({', '.join(scene.name for scene in scenes)}), "
            f"the first kept of {'each scene' if len(scenes) > 1 else 'its scene'}. Framed "
            f"in the whole image and magnified {below} in which the degraded image differs most "
            f"from the clean one. Numbers are {_metrics(first, ' and ')} of the whole image; of "
            f"several seeds the first is shown. {about_images(first)} {about_scores(first)} "
            f"{budget}"
        ),
        alternative=" ".join(
            f"Image {scene.name} ({_metrics(first, ' / ')}): "
            + ", ".join(f"{panel.title} {panel.note}" for panel in scene.panels[:-1])
            + "; last the ground truth."
            for scene in scenes
        ),
        sources=tuple(entry.first.folder.as_posix() for entry in entries(rows)),
    )


def _scenes(rows: Sequence[Row]) -> list[_Scene]:
    """Scenes whose images are there, with the panels in the order of the rows."""
    shown = [entry.first for entry in entries(rows)]
    summary = shown[0].summary
    pairs = pairs_folder(summary.profile, summary.task, summary.dataset.dataset)
    with_images = [row for row in shown if _kept(row)]
    if not with_images:
        return []
    kept = set.intersection(*(_kept(row) for row in with_images))
    kept &= {file.stem for file in (pairs / "GT").glob("*.png")}
    table = with_images[0].per_image
    names = table[table["image"].isin(kept)].drop_duplicates("scene")["image"].head(MAX_IMAGES)
    return [_scene(name, with_images, pairs) for name in names]


def _shown(row: Row) -> list[Metric]:
    """PSNR and SSIM of the protocol's channel."""
    return headline(row)[:2]


def _metrics(row: Row, between: str) -> str:
    return between.join(metric.label for metric in _shown(row))


def _kept(row: Row) -> set[str]:
    return {file.stem for file in (row.folder / "images").glob("*.png")}


def _scene(name: str, rows: Sequence[Row], pairs: Path) -> _Scene:
    clean = read_image(pairs / "GT" / f"{name}.png")
    panels = []
    degraded = None
    for row in rows:
        scores = row.per_image.set_index("image")
        psnr, ssim = (float(scores[metric.name].to_dict()[name]) for metric in _shown(row))
        note = f"{number_text(psnr, 2)} / {ssim:.3f}"
        panels.append(_Panel(row.label, read_image(row.folder / "images" / f"{name}.png"), note))
        degraded = panels[-1].pixels if row.method == "identity" else degraded
    if degraded is None and (file := pairs / "LQ" / f"{name}.png").is_file():
        degraded = read_image(file)
        scale = clean.shape[0] // degraded.shape[0]
        degraded = degraded.repeat(scale, axis=0).repeat(scale, axis=1)
        panels.insert(0, _Panel("degraded input", degraded, ""))
    seen = panels[-1].pixels if degraded is None else degraded
    window = _most_degraded(seen, clean)
    heading = " / ".join(metric.label.removesuffix(" (dB)") for metric in _shown(rows[0]))
    panels.append(_Panel("ground truth", clean, heading))
    return _Scene(name, degraded, tuple(panels), window)


def _one_row_grid(scenes: Sequence[_Scene]) -> Canvas:
    """All panels of a scene in one row: whole image, detail and note."""
    columns = len(scenes[0].panels)
    width = min(WIDEST, (DOUBLE - GAP * (columns + 1)) / columns)
    titles = [_wrapped(panel.title, width) for panel in scenes[0].panels]
    heading = LINE * max(title.count("\n") + 1 for title in titles) + GAP
    heights = [width * _aspect(scene.panels[-1].pixels) for scene in scenes]
    blocks = [height + GAP + width + NOTE for height in heights]
    canvas = Canvas((columns * (width + GAP) + GAP, heading + sum(blocks)))
    top = heading
    for row, (scene, height) in enumerate(zip(scenes, heights, strict=True)):
        for column, panel in enumerate(scene.panels):
            left = GAP + column * (width + GAP)
            if row == 0:
                _write(canvas, left + width / 2, top - GAP, titles[column], "bottom")
            _whole(canvas, (left, top, width, height), panel.pixels, scene.window)
            _detail(canvas, (left, top + height + GAP, width), panel.pixels, scene.window)
            _note(canvas, left + width / 2, top + height + GAP + width, panel, scene)
        top += blocks[row]
    return canvas


def _wrapped_grid(scenes: Sequence[_Scene]) -> Canvas:
    """Whole degraded and clean image, and beside them the details of all panels, wrapped."""
    count = len(scenes[0].panels)
    lines = math.ceil(count / MAX_COLUMNS)
    columns = math.ceil(count / lines)
    room = DOUBLE - GAP * (columns + 3)
    width = min(WIDEST_DETAIL, (room - NARROWEST_OVERVIEW) / columns)
    overview = room - columns * width
    titles = [_wrapped(panel.title, width) for panel in scenes[0].panels]
    headings = [
        LINE * max(title.count("\n") + 1 for title in titles[line * columns :][:columns]) + GAP
        for line in range(lines)
    ]
    block = sum(headings) + lines * (width + NOTE)
    between = 0.1
    canvas = Canvas((DOUBLE, len(scenes) * (block + between) - between + 0.02))
    for row, scene in enumerate(scenes):
        start = row * (block + between)
        _overview(canvas, (start, overview, block), scene)
        top = start
        for index, panel in enumerate(scene.panels):
            line, column = divmod(index, columns)
            if column == 0:
                top += headings[line] + (width + NOTE if line else 0)
            left = overview + 3 * GAP + column * (width + GAP)
            _write(canvas, left + width / 2, top - GAP, titles[index], "bottom")
            _detail(canvas, (left, top, width), panel.pixels, scene.window)
            _note(canvas, left + width / 2, top + width, panel, scene)
    return canvas


def _overview(canvas: Canvas, place: tuple[float, float, float], scene: _Scene) -> None:
    """The whole degraded and clean image, one above the other: top, width and height in inches."""
    top, room, block = place
    aspect = _aspect(scene.panels[-1].pixels)
    width = min(room, ((block - NOTE) / 2 - LINE - 2 * GAP) / aspect)
    height = width * aspect
    left = GAP + (room - width) / 2
    for pixels, title in ((scene.degraded, "degraded"), (scene.panels[-1].pixels, "ground truth")):
        if pixels is None:
            continue
        _write(canvas, left + width / 2, top + LINE, title, "bottom")
        _whole(canvas, (left, top + LINE + GAP, width, height), pixels, scene.window)
        top += LINE + 3 * GAP + height


def strip_figures(rows: Sequence[Row], budget: str, folder: Path) -> list[Figure]:
    """Draw the forward and the reverse process of IR-SDE and of at most two other methods.

    Parameters
    ----------
    rows : sequence of Row
        Evaluations of one task and data set. Those with a file `states/states.json` are drawn:
        its keys image, sampler, nfe, forward and reverse name the steps of
        `states/forward-<step>.png` and `states/reverse-<step>.png`.
    budget : str
        Caption of the profile.
    folder : Path
        Where `process-<task>-<dataset>-<method>.png` are written.
    """
    found = [row for entry in entries(rows) if (row := _with_states(entry)) is not None]
    own = [row for row in found if row.method == "ir-sde"]
    others = [row for row in found if not row.method.startswith("ir-sde")]
    return [_strip(row, budget, folder) for row in (own + others)[:MAX_STRIPS]]


def _with_states(entry: Entry) -> Row | None:
    kept = (row for row in entry.rows if (row.folder / "states" / "states.json").is_file())
    return next(kept, None)


def _strip(row: Row, budget: str, folder: Path) -> Figure:
    states = StoredStates.read(row.folder / "states" / "states.json")
    forward, reverse = _shown_steps(states.forward, states.reverse)
    images = [
        [read_image(row.folder / "states" / f"{name}-{step}.png") for step in steps]
        for name, steps in (("forward", forward), ("reverse", reverse))
    ]
    summary = row.summary
    pairs = pairs_folder(summary.profile, summary.task, summary.dataset.dataset)
    degraded = pairs / "LQ" / f"{states.image}.png"
    mu = read_image(degraded) if degraded.is_file() else None
    key = key_of("process", row.task, row.dataset, row.method)
    with mpl.rc_context(STYLE):
        canvas = _two_rows(images, (forward, reverse), mu)
    save(canvas, folder, key, drawing=False)
    steps = ", ".join(map(str, reversed(reverse)))
    return Figure(
        key=key,
        title=f"{row.label} on {summary.dataset.label}: states of the process",
        section=str(summary.task_label),
        caption=(
            f"One image ({states.image}). Above: states that the forward process of "
            f"{row.label} reaches from the clean image. Below, from right to left: states of its "
            f"reverse process on the way to the restored image, sampler {states.sampler}, "
            f"{counted(states.nfe, 'network evaluation')}, of which the states at {steps} are "
            f"shown. Values outside [0, 1] are clipped. {about_images(row)} {budget}"
        ),
        alternative=(
            f"Two rows of images. Upper row: the clean image turns into the state at step "
            f"{forward[-1]} over steps {', '.join(map(str, forward))}. Lower row: from step "
            f"{reverse[-1]} back to the restored image at step {reverse[0]}."
        ),
        sources=(row.folder.as_posix(),),
    )


def _shown_steps(forward: list[int], reverse: list[int]) -> tuple[list[int], list[int]]:
    """At most seven steps for each row, ascending, the same where both have them."""
    forward, reverse = sorted(set(forward)), sorted(set(reverse))
    common = sorted(set(forward) & set(reverse))
    if len(common) >= 3 and common[0] == reverse[0] and common[-1] == reverse[-1]:
        forward = reverse = common
    longest = min(MAX_STATES, len(forward), len(reverse))
    even = [n for n in (longest, longest - 1, longest - 2) if n > 3 and _is_even(reverse, n)]
    count = even[0] if even else longest

    def chosen(steps: list[int]) -> list[int]:
        places = np.linspace(0, len(steps) - 1, count).round().astype(int)
        return [steps[place] for place in places]

    return chosen(forward), chosen(reverse)


def _is_even(steps: list[int], count: int) -> bool:
    return (len(steps) - 1) % (count - 1) == 0


def _two_rows(
    images: Sequence[Sequence[Pixels]], steps: Sequence[Sequence[int]], mu: Pixels | None
) -> Canvas:
    """Forward states above reverse states, and the degraded image beside them."""
    columns = len(images[0])
    beside = 0.18
    units = columns + (mu is not None)
    room = DOUBLE - GAP * (units + 1) - (beside if mu is not None else 0)
    width = min(WIDEST, room / units)
    height = width * _aspect(images[0][0])
    heading = LINE + 2 * GAP
    block = heading + height + NOTE
    total = GAP + units * (width + GAP) + (beside if mu is not None else 0)
    canvas = Canvas((total, 2 * block))
    titles = ("forward process", "reverse process")
    ends = (("clean", ""), ("restored", ""))
    right = GAP + columns * (width + GAP) - GAP
    for row in range(2):
        top = row * block + heading
        for column, (pixels, step) in enumerate(zip(images[row], steps[row], strict=True)):
            left = GAP + column * (width + GAP)
            _picture(canvas, (left, top, width, height), pixels, "antialiased")
            end = ends[row][0] if column == 0 and step == 0 else ""
            label = f"$t = {step}$" + (f", {end}" if end else "")
            _write(canvas, left + width / 2, top + height + 0.03, label, "top", SMALL)
        _titled_arrow(canvas, (GAP, right), top - GAP - LINE / 2, titles[row], forward=row == 0)
    if mu is not None:
        top = (2 * block + heading - NOTE) / 2 - height / 2
        left = right + GAP + beside
        _picture(canvas, (left, top, width, height), mu, "antialiased")
        _write(canvas, left + width / 2, top + height + 0.03, "degraded, μ", "top", SMALL)
    return canvas


def _titled_arrow(
    canvas: Canvas, ends: tuple[float, float], top: float, title: str, *, forward: bool
) -> None:
    """A title in the middle of an arrow that spans a row, in inches."""
    wide, high = canvas.get_size_inches()
    tail, head = ends if forward else ends[::-1]
    canvas.add_artist(
        FancyArrowPatch(
            (tail / wide, 1 - top / high),
            (head / wide, 1 - top / high),
            transform=canvas.transFigure,
            arrowstyle="-|>,head_length=3,head_width=1.6",
            mutation_scale=1,
            shrinkA=0,
            shrinkB=0,
            linewidth=0.8,
            color=GRAY,
        )
    )
    canvas.text(
        sum(ends) / 2 / wide,
        1 - top / high,
        title,
        ha="center",
        va="center",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 2},
    )


def _whole(
    canvas: Canvas, place: tuple[float, float, float, float], pixels: Pixels, window: Window
) -> None:
    axes = _picture(canvas, place, pixels, "antialiased")
    frame(axes, window)


def _detail(
    canvas: Canvas, place: tuple[float, float, float], pixels: Pixels, window: Window
) -> None:
    left, top, side = place
    axes = _picture(canvas, (left, top, side, side), pixels[window], "nearest")
    for spine in axes.spines.values():
        spine.set(visible=True, edgecolor=ACCENT, linewidth=1)


def _note(canvas: Canvas, center: float, top: float, panel: _Panel, scene: _Scene) -> None:
    color = GRAY if panel is scene.panels[-1] else "black"
    _write(canvas, center, top + 0.03, panel.note, "top", SMALL, color)


def _picture(
    canvas: Canvas,
    place: tuple[float, float, float, float],
    pixels: Pixels,
    interpolation: Literal["antialiased", "nearest"],
) -> Axes:
    """Axes with an image, given left, top, width and height in inches from the upper left."""
    left, top, width, height = place
    wide, high = canvas.get_size_inches()
    axes = canvas.add_axes((left / wide, 1 - (top + height) / high, width / wide, height / high))
    axes.imshow(pixels, interpolation=interpolation, aspect="auto")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes


def _write(
    canvas: Canvas,
    center: float,
    top: float,
    text: str,
    anchor: Literal["top", "bottom"],
    size: float = 8,
    color: str = "black",
) -> None:
    """Lines of text below a height in inches, or above it."""
    wide, high = canvas.get_size_inches()
    lines = text.split("\n")
    for index, line in enumerate(reversed(lines)):
        above = 0.02 + LINE * index if anchor == "bottom" else 0
        canvas.text(
            center / wide,
            1 - (top - above) / high,
            line,
            ha="center",
            va="baseline" if anchor == "bottom" else "top",
            fontsize=size,
            color=color,
        )


def _wrapped(title: str, width: float) -> str:
    """Title in lines that fit a width in inches, at 8 points."""
    return textwrap.fill(title, max(8, int(width / 0.066)), break_long_words=False)


def _aspect(pixels: Pixels) -> float:
    height, width = pixels.shape[:2]
    return float(height) / float(width)


def _most_degraded(degraded: NDArray[np.uint8], clean: Pixels) -> Window:
    """Square of a third of the shorter side where the two images differ most."""
    difference = np.abs(degraded.astype(np.float64) - clean).sum(axis=2)
    side = max(8, min(clean.shape[:2]) // 3)
    return largest_window(window_sums(difference, side, side), side, side, margin=side // 4)
