"""Figures of what each task's degradation does, beside real samples of the sets in `data/`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from irsde.data.sets import CARD, Record, dataset_card, dataset_folder, holes_of, read_records
from irsde.degradations.masks import inpainting_holes, read_mask
from irsde.degradations.resampling import enlarge
from irsde.drawing import (
    GRAY,
    STYLE,
    TIGHT,
    Window,
    largest_window,
    show_detail,
    show_whole,
    window_sums,
)
from irsde.files import DATA, REPORTS, replacing_folder
from irsde.images import Pixels, read_image, to_float, to_pixels
from irsde.scoring.pixels import psnr
from irsde.seeds import numpy_generator
from irsde.tasks import TASKS, Degradation

MAX_PHOTOGRAPHS = 2

MAX_VERSIONS = 3

MAX_REAL = 3

NARROWEST = 0.8  # of a column, in heights of an image, which is one inch: room for a label


@dataclass(frozen=True, eq=False)
class Example:
    """A clean image and one degraded version of it.

    Parameters
    ----------
    label : str
        Text above it: the draw of a synthesised example, the name of a real one.
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
    synthesised = [_row(group) for group in _by_photograph(examples)][:MAX_PHOTOGRAPHS]
    benchmark = _upright(real[:MAX_REAL])
    widths = [_widths(synthesised), _widths(benchmark)]
    with mpl.rc_context({**STYLE, "savefig.bbox": "tight", "figure.titlesize": "medium"}):
        lines = max(len(synthesised), len(benchmark))
        size = (sum(map(sum, widths)) + 0.4, 2.3 * lines + 0.2)
        figure = Figure(size)
        figure.set_layout_engine("constrained", **TIGHT)
        left, right = figure.subfigures(
            1, 2, squeeze=False, wspace=0.04, width_ratios=[sum(of_part) for of_part in widths]
        )[0]
        _draw(left, f"{task_label}: synthesised", synthesised, widths[0])
        if real:
            _draw(right, "benchmark", benchmark, widths[1])
        else:
            right.suptitle("no real samples\nadopted", y=0.5, color=GRAY)
        figure.savefig(path, metadata={"Software": None})


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
    """Width of each column in inches, that of its widest image; of the note if there is none."""
    return [
        max(
            NARROWEST,
            *(p.pixels.shape[1] / p.pixels.shape[0] for p in column if p is not None),
        )
        for column in zip_longest(*grid)
    ] or [1.1]


def _most_varied(degraded: list[NDArray[np.float32]], clean: Pixels) -> Window:
    """Window of a third of the image where the difference from the clean pixels varies most."""
    height, width = (max(1, length // 3) for length in clean.shape[:2])
    differences = [(version - to_float(clean)).astype(np.float64) for version in degraded]

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        means: NDArray[np.float64] = window_sums(values, height, width) / (height * width)
        return means

    variances = [mean(d**2) - mean(d) ** 2 for d in differences]
    return largest_window(np.sum(variances, axis=(0, 3)), height, width)


def _draw(figure: SubFigure, title: str, grid: Grid, widths: Sequence[float]) -> None:
    """Draw the panels in their columns: the whole image above the detail."""
    figure.suptitle(title, weight="bold")
    axes = figure.subplots(2 * len(grid), len(widths), squeeze=False, width_ratios=widths)
    for line, row in enumerate(grid):
        for panel, whole, detail in zip(row, *axes[2 * line :][:2], strict=False):
            show_whole(whole, panel.pixels, panel.window)
            whole.set_title(panel.title, pad=3)
            show_detail(detail, panel.pixels, panel.window)
            detail.set_xlabel(panel.caption, color=panel.color)
    for place in axes.flat:
        if not place.images:
            place.remove()


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
