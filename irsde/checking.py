"""What `irsde data check` does: compare sets, keep the result, show the pairs."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from irsde.config import Profile
from irsde.files import replacing
from irsde.leakage import Leak, Picture, check_task, counts, find_leaks, pictures


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
    return _described(f"{' + '.join(train)} against {' + '.join(test)}", leaks, len(shown))


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
    found: list[Leak] = []
    seen: list[Picture] = []
    for task in tasks:
        settings = profile.data.of(task)
        shown = pictures((*settings.train, *settings.validation), settings.without)
        tested = pictures(settings.test)
        leaks = check_task(profile.name, task, settings, shown, tested)
        lines.append(_described(task, leaks, len(shown)))
        found += leaks
        seen += [*shown, *tested]
    _write(found, seen, sheet, table)
    return "\n".join(lines)


def _described(label: str, leaks: Sequence[Leak], images: int) -> str:
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


SHOWN = 5


def _write(
    leaks: Sequence[Leak], seen: Sequence[Picture], sheet: Path | None, table: Path | None
) -> None:
    if table:
        columns = list(Leak.__dataclass_fields__)
        with replacing(table) as temporary:
            frame = pd.DataFrame([asdict(leak) for leak in leaks], columns=columns)
            frame.to_csv(temporary, index=False, lineterminator="\n")
    if sheet:
        from irsde.report.contact_sheet import contact_sheet

        files = {(picture.dataset, picture.image): picture.file for picture in seen}
        with replacing(sheet) as temporary:
            contact_sheet(leaks, files, temporary)
