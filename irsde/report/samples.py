"""Figures of what each task's degradation does, beside real samples of the sets in `data/`."""

from collections.abc import Sequence
from pathlib import Path

from irsde.data.datasets import CARD, Record, dataset_card, dataset_folder, holes_of, read_records
from irsde.files import replacing_folder
from irsde.images import Pixels, read_image, to_float
from irsde.masks import inpainting_holes, read_mask
from irsde.plan import DATA, REPORTS
from irsde.report.degradations import MAX_REAL, MAX_VERSIONS, Example, degradation_figure
from irsde.resampling import enlarge
from irsde.seeds import numpy_generator
from irsde.tasks import TASKS, Degradation

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
        if task_name not in card["tasks"]:
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
    scale = TASKS[task_name].scale
    if task_name == "inpainting" and record.mask:
        height, width = clean.shape[:2]
        path = folder / record.mask
        holes = holes_of(folder.name)
        mask = read_mask(read_image(path), height, width, holes=holes, place=path)
        degraded = inpainting_holes(to_float(clean), mask)
    else:
        degraded = to_float(read_image(folder / record.lq))
    if scale > 1:
        degraded = enlarge(degraded, scale)
    return Example(f"{folder.name.partition('-')[0]} {record.image}", clean, degraded)


def _cut(pixels: Pixels, multiple: int) -> Pixels:
    height, width = (side - side % multiple for side in pixels.shape[:2])
    return pixels[:height, :width]
