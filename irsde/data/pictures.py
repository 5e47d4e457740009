"""Figures of what each task's degradation does, beside real samples of the sets in `data/`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from irsde.data.sets import CARD, Record, dataset_card, dataset_folder, holes_of, read_records
from irsde.degradations.masks import inpainting_holes, read_mask
from irsde.degradations.resampling import enlarge
from irsde.drawing import ACCENT, STYLE, Window, largest_window, window_sums
from irsde.experiment.grid import DATA, REPORTS
from irsde.files import replacing_folder
from irsde.images import Pixels, read_image, to_float, to_pixels
from irsde.scoring.metrics import psnr
from irsde.seeds import numpy_generator
from irsde.tasks import TASKS, Degradation

MAX_PHOTOGRAPHS = 2

MAX_VERSIONS = 3

MAX_REAL = 3

HEIGHT, MARGIN, BETWEEN = 1.0, 0.06, 0.2  # of an image, beside it, between the blocks; in inches

NOTE, LABEL = 1.1, 0.8  # widths in inches

HEADING, TITLE, CAPTION = 0.22, 0.18, 0.24

CELL = TITLE + 2 * HEIGHT + MARGIN + CAPTION

GRAY = "#555555"


@dataclass(frozen=True, eq=False)
class Example:
    """A clean image and one degraded version of it.

    Parameters
    ----------
    label : str
        What stands above it: the draw of a synthesised example, the name of a real one.
    clean : ndarray of uint8, shape (H, W, 3)
        Clean pixels.
    degraded : ndarray of float32, shape (H, W, 3)
        Degraded image, nominally in [0, 1]; shown clipped, scored as it is.
    """

    label: str
    clean: Pixels
    degraded: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Panel:
    """An image with a title above, a magnified window below, and a line under that."""

    title: str
    pixels: Pixels
    window: Window
    caption: str
    color: str = "black"


Grid = list[list[_Panel]]


def degradation_figure(
    task_label: str, examples: Sequence[Example], real: Sequence[Example], path: Path
) -> None:
    """Draw what a degradation makes of photographs, beside real samples of the benchmark.

    Parameters
    ----------
    task_label : str
        Name of the task.
    examples : sequence of Example
        Synthesised examples, at least one, those of a photograph one after the other; the first
        three of the first two photographs are shown.
    real : sequence of Example
        Pairs of the benchmark, of which the first three are shown; may be empty.
    path : Path
        PNG file to write; the same examples give the same bytes.

    Notes
    -----
    Below each image are a magnified detail, a third of its width and height, where the difference
    from the clean image varies most, and the PSNR over the whole image, not clipped.
    """
    import matplotlib.pyplot as plt

    synthesised = [_row(group) for group in _by_photograph(examples)][:MAX_PHOTOGRAPHS]
    benchmark = _upright(real[:MAX_REAL])
    left, right = _width(synthesised), _width(benchmark)
    height = HEADING + CELL * max(len(synthesised), len(benchmark))
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(left + BETWEEN + right, height))
        _draw(figure, f"{task_label}: synthesised", synthesised, 0)
        if real:
            _draw(figure, "benchmark", benchmark, left + BETWEEN)
        else:
            center = (left + BETWEEN + right / 2) / (left + BETWEEN + right)
            figure.text(center, 0.5, "no real samples\nadopted", color=GRAY, ha="center")
        figure.savefig(path, metadata={"Software": None})
        plt.close(figure)


def _by_photograph(examples: Sequence[Example]) -> Iterator[list[Example]]:
    """Neighbouring examples with the same clean pixels, at most `MAX_VERSIONS` of them."""
    group: list[Example] = []
    for example in examples:
        if group and not np.array_equal(group[0].clean, example.clean):
            yield group[:MAX_VERSIONS]
            group = []
        group.append(example)
    yield group[:MAX_VERSIONS]


def _row(group: list[Example]) -> list[_Panel]:
    """Panel of the clean image, then those of its degraded versions."""
    clean = group[0].clean
    window = _most_varied([example.degraded for example in group], clean)
    return [_Panel("clean", clean, window, "PSNR", GRAY)] + [
        _Panel(
            example.label,
            to_pixels(example.degraded),
            window,
            f"{psnr(255 * example.degraded, clean):.2f} dB",
        )
        for example in group
    ]


def _upright(pairs: Sequence[Example]) -> Grid:
    """Pairs as columns: clean images above, degraded ones below; no rows without pairs."""
    columns = [_row([pair]) for pair in pairs]
    above = [replace(clean, title=degraded.title) for clean, degraded in columns]
    below = [replace(degraded, title="degraded") for _, degraded in columns]
    return [above, below] if columns else []


def _widths(grid: Grid) -> list[float]:
    """Width of each column in inches, that of its widest image, with room for a label."""
    return [
        max(
            LABEL,
            *(
                HEIGHT * panel.pixels.shape[1] / panel.pixels.shape[0]
                for panel in column
                if panel is not None
            ),
        )
        for column in zip_longest(*grid)
    ]


def _width(grid: Grid) -> float:
    """Width of a grid in inches, with its margins; of the note in its place if it is empty."""
    widths = _widths(grid)
    return sum(widths) + MARGIN * (len(widths) + 1) if widths else NOTE


def _most_varied(degraded: list[NDArray[np.float32]], clean: Pixels) -> Window:
    """Window of a third of the image where the difference from the clean pixels varies most."""
    height, width = (max(1, length // 3) for length in clean.shape[:2])
    differences = [(version - to_float(clean)).astype(np.float64) for version in degraded]

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        means: NDArray[np.float64] = window_sums(values, height, width) / (height * width)
        return means

    variances = [mean(d**2) - mean(d) ** 2 for d in differences]
    return largest_window(np.sum(variances, axis=(0, 3)), height, width)


def _draw(figure: Figure, title: str, grid: Grid, left: float) -> None:
    """Draw a grid of panels `left` inches from the left edge of the figure, below its title."""
    width, height = figure.get_size_inches()
    center = left + _width(grid) / 2
    figure.text(center / width, 1 - 0.05 / height, title, weight="bold", ha="center", va="top")
    for index, column_width in enumerate(_widths(grid)):
        left += MARGIN
        for line, row in enumerate(grid):
            if index < len(row):
                top = HEADING + CELL * line + TITLE
                _show_whole(_axes(figure, left, top, column_width), row[index])
                _show_detail(_axes(figure, left, top + HEIGHT + MARGIN, column_width), row[index])
        left += column_width


def _axes(figure: Figure, left: float, top: float, width: float) -> Axes:
    """Axes of an image, in inches from the upper left corner of the figure."""
    total_width, total_height = figure.get_size_inches()
    bottom = total_height - top - HEIGHT
    place = (
        left / total_width, bottom / total_height, width / total_width, HEIGHT / total_height
    )  # fmt: skip
    axes: Axes = figure.add_axes(place)
    return axes


def _show_whole(axes: Axes, panel: _Panel) -> None:
    from matplotlib.patches import Rectangle

    rows, columns = panel.window
    _show(axes, panel.pixels, "antialiased")
    axes.set_title(panel.title, pad=3)
    for spine in axes.spines.values():
        spine.set_visible(False)
    corner = (columns.start - 0.5, rows.start - 0.5)
    size = (columns.stop - columns.start, rows.stop - rows.start)
    axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=ACCENT, linewidth=1))


def _show_detail(axes: Axes, panel: _Panel) -> None:
    _show(axes, panel.pixels[panel.window], "nearest")
    axes.set_xlabel(panel.caption, labelpad=3, color=panel.color)
    for spine in axes.spines.values():
        spine.set(edgecolor=ACCENT, linewidth=1)


def _show(axes: Axes, pixels: Pixels, interpolation: Literal["antialiased", "nearest"]) -> None:
    axes.imshow(pixels, interpolation=interpolation)
    axes.set(xticks=[], yticks=[])


PHOTOGRAPHS = "photographs-test"

SHOWN = ("coffee", "chelsea")


def write_figures(tasks: Sequence[str]) -> str:
    """Draw a figure for each task into `reports/degradations/`.

    Parameters
    ----------
    tasks : sequence of str
        Keys of `tasks.TASKS`.

    Returns
    -------
    str
        One line that says what was written.

    Raises
    ------
    InputError
        If the photographs are not in `data/`.
    """
    with replacing_folder(REPORTS / "degradations") as temporary:
        for task in tasks:
            path = temporary / f"{task}.png"
            degradation_figure(TASKS[task].label, _synthesised(task), _real(task), path)
    return f"{REPORTS / 'degradations'}: {len(tasks)} figures"


def _synthesised(task_name: str) -> list[Example]:
    task = TASKS[task_name]
    folder = dataset_folder(PHOTOGRAPHS)
    examples = []
    for record in read_records(folder):
        if record.image not in SHOWN:
            continue
        clean = _cut(read_image(folder / record.gt), 4 * task.scale)
        for draw in range(1, 1 + (1 if task.scale > 1 else MAX_VERSIONS)):
            generator = numpy_generator("figure", task_name, record.image, draw)
            degraded = task.degrade(to_float(clean), generator, Degradation())
            if task.scale > 1:
                degraded = enlarge(degraded, task.scale)
            examples.append(Example(f"draw {draw}", clean, degraded))
    return examples


def _real(task_name: str) -> list[Example]:
    """Pairs of different scenes from the sets in `data/` that come degraded for the task."""
    examples: list[Example] = []
    for card_file in sorted(DATA.glob(f"*/{CARD}")):
        folder = card_file.parent
        card = dataset_card(folder)
        if task_name not in card.tasks:
            continue
        scenes: set[str] = set()
        for record in read_records(folder):
            if record.lq and record.scene not in scenes and len(examples) < MAX_REAL:
                scenes.add(record.scene)
                examples.append(_pair(folder, record, task_name))
    return examples


def _pair(folder: Path, record: Record, task_name: str) -> Example:
    """A pair as preparation makes it, enlarged; holes are white, whatever the set has in them."""
    clean = read_image(folder / record.gt)
    task = TASKS[task_name]
    if task.has_holes and record.mask:
        height, width = clean.shape[:2]
        path = folder / record.mask
        holes = holes_of(folder.name)
        mask = read_mask(read_image(path), height, width, holes=holes, place=path)
        degraded = inpainting_holes(to_float(clean), mask)
    else:
        degraded = to_float(read_image(folder / record.lq))
    if task.scale > 1:
        degraded = enlarge(degraded, task.scale)
    return Example(f"{folder.name.partition('-')[0]} {record.image}", clean, degraded)


def _cut(pixels: Pixels, multiple: int) -> Pixels:
    height, width = (side - side % multiple for side in pixels.shape[:2])
    return pixels[:height, :width]
