"""Whether a finished evaluation is the one that is asked for: same settings, code and data."""

from collections.abc import Collection, Iterable
from pathlib import Path

from irsde.data.catalogue import OWN
from irsde.data.leakage.record import leaked_images, read_leaks
from irsde.data.sets import CARD, dataset_folder, prepared_card, read_records, source_fingerprint
from irsde.experiment.code import STAGES, code_hash, current, is_same_code
from irsde.experiment.grid import Evaluation, datasets, leakage_file, pairs_folder
from irsde.experiment.profile import EvaluationSettings, Profile
from irsde.experiment.provenance import read_run_card
from irsde.experiment.result_tables import PER_IMAGE
from irsde.experiment.summary import SUMMARY, read_summary
from irsde.files import DATA, InputError, digest_file, digest_json, is_present, write_json
from irsde.scoring.distributions import inception_weights
from irsde.scoring.metrics import METRICS

STATE = DATA / "state.json"


def is_current_evaluation(evaluation: Evaluation, profile: Profile) -> bool:
    """True if a finished evaluation is the one that a profile asks for.

    As in `is_current_run`, data that are not prepared or checked yet count as those of the
    evaluation.
    """
    run = evaluation.run
    settings = profile.for_method(run.method).evaluation
    try:
        checked = leakage_file(run.profile, run.task).is_file()
        leaks = read_leaks(run.profile, run.task, profile.data.of(run.task)) if checked else []
    except InputError:  # the check is of other data
        return False
    return is_scored(evaluation, settings, leaked_images(leaks, evaluation.dataset))


def is_scored(
    evaluation: Evaluation, settings: EvaluationSettings, leaked: Collection[str]
) -> bool:
    """True if a finished evaluation is the one that its run, the settings, code and data ask for.

    Equal code counts as the same. Scores that need weights which are not here stay as they are.

    Parameters
    ----------
    evaluation : Evaluation
    settings : EvaluationSettings
    leaked : collection of str
        Images of the data set that are shown in the training data.

    Raises
    ------
    InputError
        If the summary or the table is there but is not a file.
    """
    if not is_complete(evaluation.folder):
        return False
    try:
        summary = read_summary(evaluation.folder)
        card = read_run_card(evaluation.run.folder)
    except InputError:
        return False
    folder = pairs_folder(evaluation.run.profile, evaluation.run.task, evaluation.dataset)
    if is_present(folder / CARD):
        if summary.dataset != prepared_card(folder):
            return False
        shown = [r.image for r in read_records(folder) if r.source in leaked] if leaked else []
        if summary.leaked != shown:
            return False
    made_with = summary.settings.content() if summary.settings else None
    known = {m.name: m.weights.sha256 for m in summary.metrics if m.weights}
    known["distribution"] = summary.distribution.sha256
    return (
        summary.run_identity == digest_json(card.identity)
        and made_with == settings.model_dump(mode="json")
        and is_same_code("evaluate", summary.code, code_hash("evaluate"))
        and all(now in ("", known.get(name, now)) for name, now in metric_weights().items())
    )


def is_complete(folder: Path) -> bool:
    """True if an evaluation's summary and its table are there.

    Raises
    ------
    InputError
        If one of them is there but is not a file.
    """
    there = [is_present(folder / name) for name in (SUMMARY, PER_IMAGE)]
    return all(there)


def write_done(evaluations: Iterable[Evaluation], file: Path) -> None:
    """List finished evaluations, each with the SHA-256 of its summary: what Snakemake compares."""
    write_json(file, {one.place: digest_file(one.folder / SUMMARY) for one in evaluations})


def write_state(profile: Profile) -> str:
    """Write `data/state.json`: what DVC, which runs no code of ours, compares between its calls.

    It holds the code of each stage (``code``), the contents of data sets of one's own (``own``) and
    the weights that metrics are computed with (``weights``).
    """
    content: dict[str, dict[str, str]] = {
        "code": {stage: current(stage) for stage in STAGES},
        "own": {name: own_contents(name) for name in datasets(profile)},
        "weights": metric_weights(),
    }
    write_json(STATE, content)
    return f"{STATE}: written"


def own_contents(dataset: str) -> str:
    """Hash of what a data set of one's own holds now; "" for one of the catalogue."""
    is_own = (dataset_folder(dataset) / OWN).is_file()
    return source_fingerprint(dataset) if is_own else ""


def metric_weights() -> dict[str, str]:
    """SHA-256 of the weights that metrics and FID are computed with here, "" where absent."""
    files = {name: of.weights.file() for name, of in METRICS.items() if of.weights}
    files["distribution"] = inception_weights()
    return {
        name: digest_file(file) if file and file.is_file() else "" for name, file in files.items()
    }
