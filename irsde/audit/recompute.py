"""The images behind a row of the tables restored and scored again, and compared."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import ValidationError

from irsde.audit.explain import find
from irsde.experiment import provenance
from irsde.experiment.code import PACKAGE
from irsde.experiment.grid import evaluation_of, run_of
from irsde.experiment.profile import EvaluationSettings
from irsde.experiment.recorded import read_lineage
from irsde.experiment.result_tables import PER_IMAGE
from irsde.experiment.summary import Summary, read_summary
from irsde.files import DATA, InputError, read_table
from irsde.report.results import read_evaluation
from irsde.scoring.metrics import METRICS

# Rounding is a hundredth of a unit of the last digit that tables print, at most.
ROUNDING = {name: 10.0 ** -(metric.decimals + 2) for name, metric in METRICS.items()}


def recompute(address: str) -> tuple[str, bool]:
    """Restore and score the images behind a row again, and compare every value.

    Parameters
    ----------
    address : str
        ``<table>/<row>``, as `explaining.explain` takes it; a column is ignored.

    Returns
    -------
    str
        A line for each evaluation.
    bool
        True if all values are the same bits, or differ by a hundredth of a unit of the last digit
        that tables print at most (0.0001 dB), as they do where another processor or version rounds
        otherwise. Metrics that cannot be computed here, such as LPIPS without weights, are named
        and skipped.

    Raises
    ------
    InputError
        If there is no such row, or an evaluation cannot be run again.

    Notes
    -----
    The evaluations run in a process of its own and in a folder of its own, with the recorded
    settings and links to the data and the weights; nothing is written below `results/`.
    """
    content = read_lineage()
    place = find(content, address)
    if place.table is None or place.row is None:
        raise InputError(f"{address}: name a table and a row, such as TABLE/ROW")
    cells = content.by_key[place.table].by_key[place.row].cells
    sources = dict.fromkeys(source for cell in cells.values() for source in cell.sources)
    folders = [source for source in sources if source in content.evaluations]
    if not folders:
        raise InputError(f"{place.table}/{place.row}: comes from no evaluation")
    paths = [Path(folder) for folder in folders]
    summaries = {path: read_evaluation(path)[0] for path in paths}
    with tempfile.TemporaryDirectory(prefix="irsde-") as name:
        _evaluate_in(Path(name), summaries)
        outcomes = [
            _difference(path, summary, _texts(path), _texts(Path(name) / path))
            for path, summary in summaries.items()
        ]
    return "\n".join(line for line, _ in outcomes), all(same for _, same in outcomes)


def _evaluate_in(project: Path, summaries: Mapping[Path, Summary]) -> None:
    """Run evaluations again in an empty folder, with links to the data and the runs."""
    (project / DATA).symlink_to(DATA.resolve())
    for folder, summary in summaries.items():
        run = Path(summary.run)
        if provenance.read_run_card(run).outside:
            raise InputError(f"{folder}: was restored elsewhere and cannot be restored again here")
        if (project / run).is_dir():
            continue
        (project / run).mkdir(parents=True)
        for path in run.iterdir():
            if path.name != "evaluations":
                (project / run / path.name).symlink_to(path.resolve())
    done = subprocess.run(
        [sys.executable, "-m", __name__, *(str(folder.resolve()) for folder in summaries)],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise InputError(done.stderr.strip().rpartition("\n")[2] or "evaluating again failed")


def _texts(folder: Path) -> pd.DataFrame:
    """Per-image values as they are written: equal texts are equal bits."""
    return read_table(folder / PER_IMAGE, as_text=True)


def evaluate_again(folder: str) -> None:
    """Run a recorded evaluation below the working directory: what `recompute` starts.

    Parameters
    ----------
    folder : str
        Absolute path of the recorded evaluation.

    Raises
    ------
    InputError
        As `evaluation.evaluate`, and if its settings are of another version.
    """
    from irsde.evaluation.evaluate import evaluate

    summary = read_summary(Path(folder))
    run = run_of(Path(summary.run))
    evaluation = evaluation_of(run, summary.dataset.dataset, Path(folder).name)
    recorded = summary.settings.content() if summary.settings else {}
    try:
        settings = EvaluationSettings.model_validate({**recorded, "keep_images": 1})
    except ValidationError:
        raise InputError("its settings belong to another version of irsde") from None
    evaluate(evaluation, settings)


def _difference(
    folder: Path, summary: Summary, recorded: pd.DataFrame, again: pd.DataFrame
) -> tuple[str, bool]:
    """What differs between two tables of per-image values."""
    known = ["image", *({"reference"} & {*recorded} & {*again})]
    if any(list(recorded[name]) != list(again[name]) for name in known):
        return f"{folder}: the images have changed; run irsde data prepare again", False
    names = map(str, recorded.columns)
    metrics = [name for name in names if name not in ("image", "scene", "reference")]
    missing = [m for m in metrics if m not in again or "" in {*again[m], *recorded[m]}]
    differing, rounded = [], []
    for metric in metrics:
        if metric in missing or list(recorded[metric]) == list(again[metric]):
            continue
        changed = recorded[metric].ne(again[metric])
        before, after = recorded[metric].astype(float), again[metric].astype(float)
        apart = (before - after).abs().fillna(np.inf).where(changed, 0)
        worst = int(apart.to_numpy().argmax())
        if apart.iloc[worst] <= ROUNDING.get(metric, 0):
            rounded.append(f"{metric} by {apart.iloc[worst]:.1g}")
            continue
        differing.append(
            f"{metric} of {changed.sum()} of {len(changed)} images, most of "
            f"{recorded['image'].iloc[worst]}: {before.iloc[worst]:.9g} then, "
            f"{after.iloc[worst]:.9g} now"
        )
    missing = [m for m in missing if set(recorded[m]) != {""} or m not in again]
    left_out = f"; not compared, as values are missing: {', '.join(missing)}" if missing else ""
    versions = [
        f"{name} {version} then, {now or 'not used'} now"
        for name, version in (summary.versions or {}).items()
        if (now := provenance.versions().get(name)) != version
    ]
    if differing:
        return f"{folder}: differs: {'; '.join([*differing, *versions])}{left_out}", False
    if rounded:
        same = f"equal up to rounding: {', '.join(rounded)} at most"
        return f"{folder}: {len(again)} images, {'; '.join([same, *versions])}{left_out}", True
    return f"{folder}: {len(again)} images, the same bits{left_out}", True


if __name__ == "__main__":  # in the folder that `_evaluate_in` makes
    for place in sys.argv[1:]:
        try:
            evaluate_again(place)
        except InputError as reason:
            sys.exit(f"{place}: cannot be evaluated again: {reason}")
