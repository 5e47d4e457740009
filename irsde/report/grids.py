"""Figures made of images: the same scenes by every method, and the states of a process."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from numpy.typing import NDArray

from irsde.drawing import (
    DOUBLE,
    GRAY,
    SMALL,
    STYLE,
    TIGHT,
    Window,
    largest_window,
    save,
    show_detail,
    show_whole,
    window_sums,
)
from irsde.experiment.grid import pairs_folder
from irsde.experiment.summary import StoredStates
from irsde.files import key_of
from irsde.images import Pixels, read_image
from irsde.report.captions import about_images, about_scores, counted
from irsde.report.judging import Metric, headline, number_text
from irsde.report.results import Entry, Row, entries
from irsde.report.table import Figure

MAX_IMAGES = 2
MAX_COLUMNS = 7
MAX_STATES = 7
MAX_STRIPS = 3
LINE, WIDEST = 0.135, 1.38  # inches: height of a line of text, width of a panel


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
    seven panels are side by side, the whole image above the detail; more are wrapped, details
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
    return headline([row])[:2]


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
    """All panels of a scene in one row, the whole images above the details."""
    columns = len(scenes[0].panels)
    width = min(WIDEST, DOUBLE / columns)
    heights = [height for scene in scenes for height in (_aspect(scene.panels[-1].pixels), 1)]
    canvas = Canvas((width * columns, width * sum(heights) + LINE * len(scenes) + 0.5))
    grid = _axes(canvas, len(heights), columns, heights)
    for number, scene in enumerate(scenes):
        for panel, whole, detail in zip(scene.panels, *grid[2 * number :][:2], strict=True):
            show_whole(whole, panel.pixels, scene.window)
            show_detail(detail, panel.pixels, scene.window)
            _note(detail, panel)
            if number == 0:
                whole.set_title(_wrapped(panel.title, width))
    return canvas


def _wrapped_grid(scenes: Sequence[_Scene]) -> Canvas:
    """Whole degraded and clean image, and beside them the details of all panels, wrapped."""
    count = len(scenes[0].panels)
    lines = math.ceil(count / MAX_COLUMNS)
    columns = math.ceil(count / lines)
    width = DOUBLE / (1 + columns)
    canvas = Canvas((DOUBLE, len(scenes) * lines * (width + 3 * LINE)))
    grid = _axes(canvas, len(scenes) * lines, 1 + columns)
    for number, scene in enumerate(scenes):
        of_scene = grid[number * lines :][:lines]
        overviews = {"ground truth": scene.panels[-1].pixels}
        if scene.degraded is not None:
            overviews = {"degraded": scene.degraded, **overviews}
        for (axes, *_), (title, pixels) in zip(of_scene, overviews.items(), strict=False):
            show_whole(axes, pixels, scene.window)
            axes.set_title(title)
        details = (axes for row in of_scene for axes in row[1:])
        for axes, panel in zip(details, scene.panels, strict=False):
            show_detail(axes, panel.pixels, scene.window)
            axes.set_title(_wrapped(panel.title, width))
            _note(axes, panel)
    for axes in canvas.axes:
        if not axes.images:
            axes.remove()
    return canvas


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
    with_states = [row for entry in entries(rows) if (row := _with_states(entry)) is not None]
    own = [row for row in with_states if row.method == "ir-sde"]
    others = [row for row in with_states if not row.method.startswith("ir-sde")]
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
    count = len(images[0])
    columns = count + (mu is not None)
    width = min(WIDEST, DOUBLE / columns)
    canvas = Canvas((width * columns, 2 * (width * _aspect(images[0][0]) + 3 * LINE)))
    grid = _axes(canvas, 2, columns)
    for row, of_row, shown, end in zip(grid, images, steps, ("clean", "restored"), strict=True):
        for axes, pixels, step in zip(row, of_row, shown, strict=False):
            show_whole(axes, pixels)
            label = f"$t = {step}$" + (f", {end}" if step == 0 else "")
            axes.set_xlabel(label, fontsize=SMALL)
    grid[0][0].set_title("forward process ⟶", loc="left")
    grid[1][count - 1].set_title("⟵ reverse process", loc="right")
    if mu is not None:
        show_whole(grid[0][-1], mu)
        grid[0][-1].set_xlabel("degraded, μ", fontsize=SMALL)
        grid[1][-1].remove()
    return canvas


def _axes(
    canvas: Canvas, rows: int, columns: int, heights: Sequence[float] | None = None
) -> list[list[Axes]]:
    """Rows of axes for images, as close together as their titles allow."""
    canvas.set_layout_engine("compressed", **TIGHT)
    grid = canvas.subplots(rows, columns, squeeze=False, height_ratios=heights)
    return [list(row) for row in grid]


def _note(axes: Axes, panel: _Panel) -> None:
    """What a panel says below its detail; the ground truth says what the numbers are."""
    color = GRAY if panel.title == "ground truth" else "black"
    axes.set_xlabel(panel.note, fontsize=SMALL, color=color)


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
