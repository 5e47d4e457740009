"""What a leakage check found: which test images the training data show, kept in a file."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from irsde.data.sets import dataset_card, dataset_folder
from irsde.experiment.grid import datasets_tested, leakage_file
from irsde.experiment.profile import TaskData, TestSet
from irsde.files import InputError, read_json, write_json

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


def write_leaks(profile: str, task: str, settings: TaskData, leaks: Sequence[Leak]) -> None:
    """Keep what the check of a task found, with the fingerprints of the sets it looked at."""
    write_json(
        leakage_file(profile, task),
        {"sets": _fingerprints(settings), "leaks": [asdict(leak) for leak in leaks]},
    )


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
    name = TestSet.parse(dataset).dataset
    return {leak.test_image for leak in leaks if leak.test_set == name}


def _fingerprints(settings: TaskData) -> dict[str, object]:
    tested = datasets_tested(settings)
    names = (*settings.train, *settings.validation, *tested, *settings.without)
    sets = {name: dataset_card(dataset_folder(name)).fingerprint for name in names}
    return {"fingerprints": sets, "without": list(settings.without)}
