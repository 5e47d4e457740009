"""Pairs of one task made from a data set: windows cut, images degraded, scenes excluded."""

import importlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from irsde.data.sets import (
    Record,
    check_unchanged,
    dataset_card,
    dataset_folder,
    degradation_of,
    holes_of,
    read_records,
    write_dataset,
)
from irsde.degradations.masks import Holes, inpainting_holes, read_mask
from irsde.experiment.cards import DatasetCard, Masks, PreparedCard, Source
from irsde.experiment.grid import pairs_folder
from irsde.experiment.profile import TaskData, TestSet
from irsde.files import InputError, digest, replacing_folder
from irsde.images import Pixels, read_image, to_float, to_pixels, write_image
from irsde.seeds import numpy_generator
from irsde.tasks import TASKS, Degradation, Task

Role = Literal["train", "validation", "test"]
Image = NDArray[np.float32]


def role_of(settings: TaskData, dataset: str) -> Role:
    """What a profile uses a data set for.

    Raises
    ------
    InputError
        If it does not use it.
    """
    roles: dict[Role, tuple[str, ...]] = {
        "train": settings.train,
        "validation": settings.validation,
        "test": settings.test,
    }
    for role, names in roles.items():
        if dataset in names:
            return role
    known = ", ".join(name for names in roles.values() for name in names)
    raise InputError(f"the profile does not use the data set {dataset!r} here (it uses {known})")


def prepare(profile: str, task_name: str, dataset: str, settings: TaskData) -> Path:
    """Make the pairs of a task from one data set.

    Parameters
    ----------
    profile : str
        Profile that the pairs belong to.
    task_name : str
        A key of `tasks.TASKS`.
    dataset : str
        Name of a data set in `data/`.
    settings : TaskData
        Its role, windows, realizations and what is chosen of the degradation.

    Returns
    -------
    Path
        Folder with `GT/`, `LQ/`, `pairs.csv` and `dataset.json`. Training images that need no
        change are not copied: `pairs.csv` names the files of the data set.

    Raises
    ------
    InputError
        If the data set or one of its images cannot be used.

    Notes
    -----
    Degraded images that come with the data set are used where it was made for the task; else they
    are synthesised, each from a stream named by task, data set and image. Inpainting makes white
    holes, as the paper does: by the profile's set of masks, image i by mask i, else by the data
    set's own masks, else by generated ones.
    """
    role = role_of(settings, dataset)
    test_set = TestSet.parse(dataset)
    source = dataset_folder(test_set.dataset)
    for name in (test_set.dataset, *(settings.without if role != "test" else ())):
        check_unchanged(name)
    card = dataset_card(source)
    without = settings.without if role != "test" else ()
    left_out = {record.scene for name in without for record in read_records(dataset_folder(name))}
    records = [record for record in read_records(source) if record.scene not in left_out]
    if not records:
        raise InputError(f"{dataset}: no image is left without the scenes of {settings.without}")
    degradation = degradation_of(settings)
    if test_set.noise_level is not None:
        degradation = replace(degradation, noise_level=test_set.noise_level)
    has_masks = TASKS[task_name].has_holes and any(record.mask for record in records)
    comes_masked = has_masks and role != "train" and not settings.masks
    comes_degraded = (
        task_name in card.tasks and any(record.lq for record in records) and not has_masks
    )
    if comes_degraded:
        records = [record for record in records if record.lq]
    folder = pairs_folder(profile, task_name, dataset)
    with replacing_folder(folder) as temporary:
        for part in ("GT", "LQ"):
            (temporary / part).mkdir()
        job = _Job(
            folder, temporary, source, task_name, TASKS[task_name], test_set, settings,
            degradation, comes_degraded, holes_of(test_set.dataset) if comes_masked else None,
        )  # fmt: skip
        write = job.training_pairs if role == "train" else job.scored_pairs
        rows = _on_all_cores(write, records, job.task.imports)
        write_dataset(temporary, rows, _prepared_card(job, card, role, len(records)))
    return folder


def _on_all_cores(
    write: Callable[[int, Record], list[Record]], records: Sequence[Record], imports: Sequence[str]
) -> list[Record]:
    for module in imports:
        importlib.import_module(module)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [row for rows in pool.map(write, *zip(*enumerate(records))) for row in rows]  # noqa: B905


@dataclass(frozen=True)
class _Job:
    """What all pairs of one prepared data set share."""

    folder: Path
    temporary: Path
    source: Path
    task_name: str
    task: Task
    test_set: TestSet
    settings: TaskData
    degradation: Degradation
    comes_degraded: bool
    own_holes: Holes | None  # what marks a hole in the set's own masks, where these are used

    def training_pairs(self, _: int, record: Record) -> list[Record]:
        """Whole image, with its degraded version or as many synthesised ones as realizations."""
        stored = read_image(self.source / record.gt)
        clean = self._whole(stored)
        if clean.shape == stored.shape and np.array_equal(clean, stored):
            gt = _relative(self.source / record.gt, self.folder)
        else:
            gt = f"GT/{Path(record.gt).stem}.png"
            self._write(gt, clean)
        source = Path(record.gt).stem
        row = Record(record.image, record.scene, gt=gt, gt_sha256=_hash(clean), source=source)
        if self.comes_degraded:
            pixels = self._stored_degraded(record, clean)
            lq = _relative(self.source / record.lq, self.folder)
            return [replace(row, lq=lq, lq_sha256=_hash(pixels))]
        count = 1 if self.task.fresh else self.settings.realizations
        rows = [replace(row, image=f"{record.image}_{k}") for k in range(count)]
        if self.task.fresh:
            return rows
        return [self._synthesised(row, clean) for row in rows]

    def scored_pairs(self, index: int, record: Record) -> list[Record]:
        """Windows of an image, each with its degraded version."""
        clean = self._whole(read_image(self.source / record.gt))
        stored = self._stored_degraded(record, clean) if self.comes_degraded else None
        mask = self._mask(index, record, clean)
        rows = []
        boxes = _windows(
            clean, self.settings.window, self.settings.windows_per_image, self.task.scale
        )
        for k, (top, left, height, width) in enumerate(boxes):
            view = clean[top : top + height, left : left + width]
            name = record.image if self.settings.window is None else f"{record.image}_{k}"
            row = Record(
                name,
                record.scene,
                gt=f"GT/{name}.png",
                gt_sha256=_hash(view),
                source=Path(record.gt).stem,
            )
            self._write(row.gt, view)
            if stored is not None:
                scale = self.task.scale
                lower = stored[
                    top // scale : (top + height) // scale, left // scale : (left + width) // scale
                ]
                self._write(f"LQ/{name}.png", lower)
                rows.append(replace(row, lq=f"LQ/{name}.png", lq_sha256=_hash(lower)))
            elif mask is not None:
                holes = mask[top : top + height, left : left + width]
                lower = to_pixels(inpainting_holes(to_float(view), holes))
                self._write(f"LQ/{name}.png", lower)
                rows.append(replace(row, lq=f"LQ/{name}.png", lq_sha256=_hash(lower)))
            else:
                rows.append(self._synthesised(row, view))
        return rows

    def _whole(self, pixels: Pixels) -> Pixels:
        """Image reduced to the wanted size and cut to a multiple of the task's scale."""
        side = self.settings.resize
        height, width = pixels.shape[:2]
        if side is not None and min(height, width) > side:
            factor = side / min(height, width)
            size = (max(side, round(width * factor)), max(side, round(height * factor)))
            pixels = np.asarray(
                PILImage.fromarray(pixels).resize(size, PILImage.Resampling.LANCZOS)
            )
        height, width = (length - length % self.task.scale for length in pixels.shape[:2])
        return np.ascontiguousarray(pixels[:height, :width])

    def _stored_degraded(self, record: Record, clean: Pixels) -> Pixels:
        path = self.source / record.lq
        pixels = read_image(path)
        height, width = (length // self.task.scale for length in clean.shape[:2])
        if pixels.shape[:2] != (height, width):
            raise InputError(
                f"{path}: {pixels.shape[1]}x{pixels.shape[0]} pixels where {width}x{height} fit "
                f"the clean image {record.gt}"
            )
        return pixels

    def _mask(self, index: int, record: Record, clean: Pixels) -> Image | None:
        """Keep-mask of a test image: that of its place in the set of masks, or its own."""
        if not self.task.has_holes:
            return None
        height, width = clean.shape[:2]
        if self.degradation.masks:
            i = index % len(self.degradation.masks)
            return read_mask(
                self.degradation.masks[i], height, width, holes=self.degradation.holes,
                place=f"{self.settings.masks}: mask {i}",
            )  # fmt: skip
        if self.own_holes:
            path = self.source / record.mask
            return read_mask(read_image(path), height, width, holes=self.own_holes, place=path)
        return None

    def _synthesised(self, row: Record, view: Pixels) -> Record:
        names = ["degradation", self.task_name, self.test_set.dataset, row.image]
        names += [f"draw {self.test_set.draw}"] if self.test_set.draw else []
        generator = numpy_generator(*names)
        degraded = self.task.degrade(to_float(view), generator, self.degradation)
        if self.task.exact:
            values = np.ascontiguousarray(degraded, dtype=np.float32)
            lq = f"LQ/{row.image}.npy"
            np.save(self.temporary / lq, values, allow_pickle=False)
            return replace(row, lq=lq, lq_sha256=digest(values.tobytes()))
        pixels = to_pixels(degraded)
        lq = f"LQ/{row.image}.png"
        self._write(lq, pixels)
        return replace(row, lq=lq, lq_sha256=_hash(pixels))

    def _write(self, name: str, pixels: Pixels) -> None:
        write_image(self.temporary / name, pixels)


def _prepared_card(job: _Job, card: DatasetCard, role: Role, images: int) -> PreparedCard:
    described = job.task.description(job.degradation)
    if job.comes_degraded:
        described = "as the data set comes"
    elif job.own_holes:
        described = "white holes by the masks of the data set"
    if job.task.scale > 1:
        described += f", enlarged again by {job.settings.enlarge} interpolation"
    masks = None
    if job.settings.masks and job.task.has_holes:
        fingerprint = dataset_card(dataset_folder(job.settings.masks)).fingerprint
        masks = Masks(dataset=job.settings.masks, fingerprint=fingerprint)
    return PreparedCard(
        dataset=str(job.test_set),
        label=f"{card.label}{_conditions(job.test_set)}",
        licence=card.licence,
        task=job.task_name,
        role=role,
        degradation=described,
        scale=job.task.scale,
        enlarge=job.settings.enlarge,
        noise_level=job.degradation.noise_level if job.task.is_noise else None,
        images=images,
        window=job.settings.window if role != "train" else None,
        without=list(job.settings.without) if role != "test" else [],
        source=Source(fingerprint=card.fingerprint, differences=card.differences),
        masks=masks,
    )


def _conditions(test_set: TestSet) -> str:
    """What the name of a test set says beyond the data set, for people."""
    level = test_set.noise_level
    sigma = "" if level is None else f", noise {level * 255:.0f}/255"
    return sigma + (f", draw {test_set.draw}" if test_set.draw else "")


def _hash(pixels: Pixels) -> str:
    return digest(np.ascontiguousarray(pixels).tobytes())


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()


def _windows(
    pixels: Pixels, side: int | None, count: int, scale: int
) -> list[tuple[int, int, int, int]]:
    """Top, left, height and width of the whole image, or of windows along its diagonal."""
    height, width = pixels.shape[:2]
    if side is None:
        return [(0, 0, height, width)]
    if min(height, width) < side:
        raise InputError(f"a window of {side} pixels does not fit an image of {width}x{height}")
    if side % scale:
        raise InputError(f"a window of {side} pixels is no multiple of the scale {scale}")
    fractions = (np.arange(count) + 1) / (count + 1)
    return [
        (_multiple(f * (height - side), scale), _multiple(f * (width - side), scale), side, side)
        for f in fractions
    ]


def _multiple(position: float, scale: int) -> int:
    return scale * round(position / scale)
