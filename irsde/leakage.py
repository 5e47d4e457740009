"""Training images that show what a test set shows: by pixels, by known scene, by look."""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from irsde.catalogue import ENDINGS
from irsde.config import TaskData
from irsde.datasets import CARD, dataset_card, dataset_folder, read_records
from irsde.files import InputError, digest, read_json, write_json
from irsde.images import read_image
from irsde.plan import leakage_file
from irsde.similarity import Description, describe, find_copies

Evidence = Literal["same pixels", "same scene", "same look"]


@dataclass(frozen=True)
class Leak:
    """A training image and a test image that show the same.

    Parameters
    ----------
    train_set, train_image : str
    test_set, test_image : str
    evidence : str
        The strongest of: "same pixels", "same look" (by `similarity.find_copies`), "same scene"
        (by the names of scenes in the fingerprints).
    score : float
        Of the comparison by look; 1 for equal pixels, 0 where only the scene's name agrees.
    """

    train_set: str
    train_image: str
    test_set: str
    test_image: str
    evidence: Evidence
    score: float


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
        Data sets whose scenes are left out.

    Raises
    ------
    InputError
        If a set is absent or an image cannot be read.
    """
    left_out = {record.scene for name in without for record in read_records(dataset_folder(name))}
    found: dict[Path, tuple[str, str, str]] = {}
    for name in names:
        folder = dataset_folder(name)
        if "/" not in name and (folder / CARD).is_file():
            for record in read_records(folder):
                if record.scene not in left_out:
                    file = folder / record.gt
                    found.setdefault(file, (name, file.stem, record.scene))
        elif Path(name).is_dir():
            for file in sorted(Path(name).rglob("*")):
                if file.suffix.lower() in ENDINGS and not file.name.startswith("."):
                    relative = file.relative_to(name).with_suffix("").as_posix()
                    found.setdefault(file, (Path(name).name, relative, ""))
        else:
            raise InputError(f"{name}: no data set in data/ and no folder; run irsde data adopt")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(_picture, found, found.values()))


def _picture(file: Path, names: tuple[str, str, str]) -> Picture:
    dataset, image, scene = names
    pixels = read_image(file)
    return Picture(dataset, image, file, scene, digest(pixels.tobytes()), describe(pixels))


def find_leaks(train: Sequence[Picture], test: Sequence[Picture]) -> list[Leak]:
    """All pairs of a training and a test picture that show the same, sorted by test image."""
    found: dict[tuple[int, int], tuple[Evidence, float]] = {}
    for i, shown in enumerate(train):
        for j, tested in enumerate(test):
            if shown.scene and shown.scene == tested.scene:
                found[i, j] = ("same scene", 0.0)
    for copy in find_copies([p.look for p in train], [p.look for p in test]):
        found[copy.train, copy.test] = ("same look", copy.score)
    for i, shown in enumerate(train):
        for j, tested in enumerate(test):
            if shown.pixels == tested.pixels:
                found[i, j] = ("same pixels", 1.0)
    leaks = [
        Leak(train[i].dataset, train[i].image, test[j].dataset, test[j].image, evidence, score)
        for (i, j), (evidence, score) in found.items()
    ]
    return sorted(leaks, key=lambda leak: (leak.test_set, leak.test_image, leak.train_image))


def check_task(
    profile: str,
    task: str,
    settings: TaskData,
    shown: Sequence[Picture],
    tested: Sequence[Picture],
) -> list[Leak]:
    """Compare the training and validation images of a task with its test images; keep the result.

    Parameters
    ----------
    profile, task : str
        Say where the file goes: `data/leakage/<profile>/<task>.json`.
    settings : TaskData
        Sets of the task.
    shown, tested : sequence of Picture
        Images of training and validation, and of the test sets.
    """
    leaks = find_leaks(shown, tested)
    write_json(
        leakage_file(profile, task),
        {"sets": _fingerprints(settings), "leaks": [asdict(leak) for leak in leaks]},
    )
    return leaks


def read_leaks(profile: str, task: str, settings: TaskData) -> list[Leak]:
    """What the check of a task found.

    Raises
    ------
    InputError
        If it was not run on the sets of today.
    """
    path = leakage_file(profile, task)
    advice = f"run irsde data check --profile {profile} --task {task}"
    if not path.is_file():
        raise InputError(f"{path}: not checked for leakage yet; {advice}")
    content = read_json(path)
    if not isinstance(content, dict) or content.get("sets") != _fingerprints(settings):
        raise InputError(f"{path}: is of other data sets; {advice}")
    return [Leak(**leak) for leak in content["leaks"]]


def counts(leaks: Sequence[Leak]) -> dict[str, int]:
    """How many images of each test set are shown in the training data, for cards and captions."""
    images = sorted({(leak.test_set, leak.test_image) for leak in leaks})
    return {name: sum(test_set == name for test_set, _ in images) for name, _ in images}


def leaked_images(leaks: Sequence[Leak], dataset: str) -> set[str]:
    """Names of the images of a test set that are shown in the training data."""
    return {leak.test_image for leak in leaks if leak.test_set == dataset}


def _fingerprints(settings: TaskData) -> dict[str, Any]:
    sets = {
        name: dataset_card(dataset_folder(name))["fingerprint"]
        for name in (*settings.train, *settings.validation, *settings.test, *settings.without)
    }
    return {"fingerprints": sets, "without": list(settings.without)}
