"""Leakage: training images that show what a test image shows, by pixels, by scene, by look."""

import itertools
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from irsde.data.catalogue import common_scenes
from irsde.data.leakage.record import Evidence, Leak, counts, write_leaks
from irsde.data.leakage.similarity import Description, describe, find_copies
from irsde.data.sets import CARD, dataset_folder, read_records
from irsde.experiment.grid import datasets_tested
from irsde.experiment.profile import Profile, method_refusal
from irsde.experiment.published_weights import weights_of
from irsde.files import InputError, digest, replacing
from irsde.images import image_files, read_image, unread_line
from irsde.methods import method_of

SHOWN = 5


@dataclass(frozen=True)
class Picture:
    """A clean image of a set as the check sees it."""

    dataset: str
    image: str
    file: Path
    scene: str
    pixels: str
    look: Description


def pictures(names: Iterable[str], without: Iterable[str] = ()) -> list[Picture]:
    """Clean images of data sets in `data/`, or of any folders, each file once.

    Parameters
    ----------
    names : iterable of str
        Names of data sets, or paths of folders, searched through all levels.
    without : iterable of str
        Data sets whose scenes are excluded.

    Raises
    ------
    InputError
        If a set is absent or an image cannot be read.
    """
    left_out = {record.scene for name in without for record in read_records(dataset_folder(name))}
    files: dict[Path, tuple[str, str, str]] = {}
    for name in names:
        folder = dataset_folder(name)
        if _is_set(name):
            for record in read_records(folder):
                if record.scene not in left_out:
                    file = folder / record.gt
                    files.setdefault(file, (name, file.stem, record.scene))
        elif Path(name).is_dir():
            for file in image_files(Path(name), deep=True)[0]:
                relative = file.relative_to(name).with_suffix("").as_posix()
                files.setdefault(file, (Path(name).name, relative, ""))
        else:
            raise InputError(f"{name}: no data set in data/ and no folder; run irsde data adopt")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(_picture, files, files.values()))


def _is_set(name: str) -> bool:
    return "/" not in name and (dataset_folder(name) / CARD).is_file()


def _known(train: Sequence[str], test: Sequence[str], without: Sequence[str]) -> list[str]:
    """What the catalogue knows of scenes that training and test sets share, a line each."""
    lines = []
    for shown, tested in itertools.product(train, test):
        if known := common_scenes(shown, tested):
            left_out = "; without the scenes that are known by name" if tested in without else ""
            lines.append(f"  the catalogue says of {shown} and {tested}: {known}{left_out}")
    return lines


def _trained_elsewhere(profile: Profile, task: str, tests: Sequence[str]) -> list[str]:
    """What is known of the training images of published systems, a line each.

    Their images are not here: what they share with the test sets is known by name only.
    """
    lines = []
    for method in profile.runs_of(task):
        if (
            method_of(method).kind == "published"
            and method_refusal(method_of(method), task) is None
        ):
            record = weights_of(method)
            lines.append(f"  {record.label} was trained by its authors on {record.trained_on}")
            lines += _known(record.train, tests, ())
    return lines


def _picture(file: Path, names: tuple[str, str, str]) -> Picture:
    dataset, image, scene = names
    pixels = read_image(file)
    return Picture(dataset, image, file, scene, digest(pixels.tobytes()), describe(pixels))


def find_leaks(train: Sequence[Picture], test: Sequence[Picture]) -> list[Leak]:
    """All pairs of a training and a test picture that show the same, sorted by test image."""
    evidence_of: dict[tuple[int, int], tuple[Evidence, float]] = {}
    for i, shown in enumerate(train):
        for j, tested in enumerate(test):
            if shown.scene and shown.scene == tested.scene:
                evidence_of[i, j] = ("same scene", 0.0)
    for copy in find_copies([p.look for p in train], [p.look for p in test]):
        evidence_of[copy.train, copy.test] = ("same look", copy.score)
    for i, shown in enumerate(train):
        for j, tested in enumerate(test):
            if shown.pixels == tested.pixels:
                evidence_of[i, j] = ("same pixels", 1.0)
    leaks = [
        Leak(train[i].dataset, train[i].image, test[j].dataset, test[j].image, evidence, score)
        for (i, j), (evidence, score) in evidence_of.items()
    ]
    return sorted(leaks, key=lambda leak: (leak.test_set, leak.test_image, leak.train_image))


def check_sets(
    train: Sequence[str],
    test: Sequence[str],
    without: Sequence[str],
    sheet: Path | None = None,
    table: Path | None = None,
) -> str:
    """Compare any data sets or folders of training and of test images.

    Returns
    -------
    str
        What was found, for people.

    Raises
    ------
    InputError
        If a set is absent or an image cannot be read.
    """
    shown, tested = pictures(train, without), pictures(test)
    leaks = find_leaks(shown, tested)
    _write(leaks, [*shown, *tested], sheet, table)
    folders = [Path(name) for name in (*train, *test) if not _is_set(name)]
    unread = [file for folder in folders for file in image_files(folder, deep=True)[1]]
    lines = [
        _described(f"{' + '.join(train)} against {' + '.join(test)}", leaks, len(shown)),
        *_known(train, test, without),
        *([unread_line(unread)] if unread else []),
    ]
    return "\n".join(lines)


def check_profile(
    profile: Profile,
    tasks: Sequence[str],
    sheet: Path | None = None,
    table: Path | None = None,
) -> str:
    """Compare the training and validation sets of tasks with their test sets, and keep the results.

    Returns
    -------
    str
        A line for each task.
    """
    lines = []
    all_leaks: list[Leak] = []
    seen: list[Picture] = []
    for task in tasks:
        settings = profile.data.of(task)
        shown = pictures((*settings.train, *settings.validation), settings.without)
        tests = datasets_tested(settings)
        shown_in_tests = pictures(tests)
        leaks = find_leaks(shown, shown_in_tests)
        write_leaks(profile.name, task, settings, leaks)
        lines.append(_described(task, leaks, len(shown)))
        lines += _known((*settings.train, *settings.validation), tests, settings.without)
        lines += _trained_elsewhere(profile, task, tests)
        all_leaks += leaks
        seen += [*shown, *shown_in_tests]
    _write(all_leaks, seen, sheet, table)
    return "\n".join(lines)


def _described(label: str, leaks: Sequence[Leak], images: int) -> str:
    if not images:
        return f"{label}: nothing is trained here"
    if not leaks:
        return f"{label}: none of {images} training images shows what a test image shows"
    of_set = ", ".join(f"{count} of {name}" for name, count in counts(leaks).items())
    by = pd.Series([leak.evidence for leak in leaks]).value_counts()
    evidence = ", ".join(f"{count} by {name}" for name, count in by.items())
    lines = [f"{label}: {len(leaks)} pairs show the same ({evidence}); test images: {of_set}"]
    lines += [
        f"  {leak.train_set}/{leak.train_image} = {leak.test_set}/{leak.test_image} "
        f"({leak.evidence})"
        for leak in leaks[:SHOWN]
    ]
    if len(leaks) > SHOWN:
        lines.append(f"  and {len(leaks) - SHOWN} more; --table FILE writes all")
    return "\n".join(lines)


def _write(
    leaks: Sequence[Leak], seen: Sequence[Picture], sheet: Path | None, table: Path | None
) -> None:
    if table:
        columns = list(Leak.__dataclass_fields__)
        with replacing(table) as temporary:
            frame = pd.DataFrame([asdict(leak) for leak in leaks], columns=columns)
            frame.to_csv(temporary, index=False, lineterminator="\n")
    if sheet:
        from irsde.data.leakage.sheet import contact_sheet

        files = {(picture.dataset, picture.image): picture.file for picture in seen}
        with replacing(sheet) as temporary:
            contact_sheet(leaks, files, temporary)
