"""Evidence: what of a profile's results is small enough for git, and back into `results/`."""

import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from irsde.data.sets import CARD, dataset_folder, set_card
from irsde.evaluation.current import is_current_evaluation
from irsde.experiment.cards import problem_of
from irsde.experiment.code import code_hash, is_same_code
from irsde.experiment.grid import (
    Evaluation,
    Run,
    cause_evaluations,
    evaluations,
    further_evaluations,
    runs,
)
from irsde.experiment.profile import Profile, TaskData, check_form, run_settings
from irsde.experiment.provenance import read_network_run, read_run_card
from irsde.experiment.result_tables import HISTORY, PER_IMAGE, PER_PROTOCOL
from irsde.experiment.summary import SUMMARY, Summary, read_summary
from irsde.files import (
    REPORTS,
    RESULTS,
    InputError,
    digest_file,
    is_present,
    read_json,
    replacing,
    replacing_folder,
    write_json,
    write_text,
)
from irsde.scoring.metrics import METRICS
from irsde.scoring.protocols import HEADLINES, PERCEPTUAL
from irsde.tasks import TASKS, Degradation
from irsde.training.current import is_current_run

STUDY = REPORTS / "study"
WEIGHTS = "weights.safetensors"
RUN_FILES = ("run.json", "cost.json", HISTORY)
SWEEP_FILES = (SUMMARY, PER_IMAGE, "cost.json")
EVALUATION_FILES = (*SWEEP_FILES, PER_PROTOCOL)
PICTURES = ("images", "states")
IMPORTED = "imported.json"


def export_evidence(
    profile: Profile, folder: Path, weights: Collection[str], pictures: Collection[str]
) -> str:
    """Copy what shows a profile's results into a folder for git, replacing what it had there.

    Run cards, training curves and the values of every image always; restored images and weights
    only where asked for, since data sets have licences and repositories grow.

    Parameters
    ----------
    profile : Profile
    folder : Path
        `<folder>/results/<profile>` is written, with the paths of `results/<profile>`.
    weights : collection of str
        Methods whose weights of the first seed go along, each with a model card.
    pictures : collection of str
        Test sets whose restored images may be published.

    Returns
    -------
    str
        One line that says what was copied and how large it is.

    Raises
    ------
    InputError
        If nothing is finished, a method or test set is not in the profile, weights asked for are
        not here, a card is damaged, or the folder has runs or evaluations that `results/` lacks;
        nothing is replaced then.
    """
    tests = {name for task in profile.tasks for name in profile.data.of(task).test}
    methods = {run.method for run in runs(profile) if run.is_trained}
    for kind, chosen, known in (("method", weights, methods), ("test set", pictures, tests)):
        if unknown := sorted(set(chosen) - known):
            has = ", ".join(sorted(known))
            raise InputError(f"{profile.name} has no {kind} {unknown[0]}; it has {has}")
    usual = {evaluation.folder for evaluation in evaluations(profile)}
    further = [*further_evaluations(profile), *_of_causes(profile)]
    grid = dict.fromkeys([*runs(profile), *(evaluation.run for evaluation in further)])
    finished = [run for run in grid if is_present(run.folder / "run.json")]
    if not finished:
        raise InputError(f"{RESULTS / profile.name}: no finished run; run snakemake or irsde train")
    evaluated = [*usual, *(evaluation.folder for evaluation in further)]
    scored = sorted({path for path in evaluated if is_present(path / SUMMARY)})
    first_seeds = {
        run.folder
        for run in finished
        if run.method in weights and run.seed == profile.runs_of(run.task)[run.method][0]
    }
    if bare := sorted(path for path in first_seeds if not (path / WEIGHTS).is_file()):
        raise InputError(f"{bare[0]}: has no {WEIGHTS}; train the run again or omit it")
    target = folder / RESULTS / profile.name
    _check_nothing_is_lost(target, {*scored, *(run.folder for run in finished)})
    with replacing_folder(target) as temporary:
        for run in finished:
            with_weights = run.folder in first_seeds
            _copy(run.folder, temporary, (*RUN_FILES, *((WEIGHTS,) if with_weights else ())))
            if with_weights:
                card = model_card(run, [path for path in scored if path in usual])
                write_text(temporary / _inside(run.folder) / "README.md", card)
        for path in scored:
            _copy(path, temporary, EVALUATION_FILES if path in usual else SWEEP_FILES)
            if path in usual and path.parent.name in pictures:
                for name in PICTURES:
                    if (path / name).is_dir():
                        shutil.copytree(path / name, temporary / _inside(path) / name)
        lost = [f for f in _files(target) if not (temporary / f.relative_to(target)).is_file()]
        if lost:
            raise InputError(
                f"{lost[0]}: would be lost ({len(lost)} files in all); name its weights "
                "or pictures too, or delete it first"
            )
    size = sum(file.stat().st_size for file in _files(target))
    return f"{target}: {len(finished)} runs, {len(scored)} evaluations, {size / 1e6:.1f} MB"


def _of_causes(profile: Profile) -> list[Evaluation]:
    """What a table of causes has of the profile, runs with other averages of weights among them."""
    if profile.causes is None:
        return []
    return [
        evaluation
        for evaluation in cause_evaluations(profile.causes, profile)[1]
        if evaluation.run.profile == profile.name
    ]


def _check_nothing_is_lost(there: Path, known: Collection[Path]) -> None:
    """Refuse to replace evidence of what `results/` does not have."""
    for name in ("run.json", SUMMARY):
        for file in sorted(there.rglob(name)):
            folder = RESULTS / there.name / file.parent.relative_to(there)
            if folder not in known:
                raise InputError(
                    f"{file.parent}: would be lost, since {folder} is not here or no longer in the "
                    "profile; run irsde evidence import first, or delete it"
                )


def import_evidence(profile: str, folder: Path) -> str:
    """Copy evidence back into `results/`, to report, verify or extend it.

    Returns
    -------
    str
        One line that says what was copied.

    Raises
    ------
    InputError
        If the folder has none of this profile, or `results/` has something else in its place, or
        one of them has symbolic links; nothing is copied then.
    """
    source = folder / RESULTS / check_form("profile", profile)
    _refuse_links(chain((folder / RESULTS, source), _below(source)))
    files = [file for file in _files(source) if file.name != "README.md"]
    if not files:
        raise InputError(f"{source}: no evidence there")
    if odd := [path for path in _below(source) if path.is_dir() and path.name in EVALUATION_FILES]:
        raise InputError(f"{odd[0]}: is a folder where a file should be; nothing was copied")
    targets = {file: RESULTS / profile / file.relative_to(source) for file in files}
    _refuse_links(dict.fromkeys(chain.from_iterable(map(_way_to, targets.values()))))
    for file, target in targets.items():
        if target.exists() and digest_file(target) != digest_file(file):
            raise InputError(f"{target}: differs from {file}; nothing was copied; move it away")
    cards = [file for file in files if file.name in ("run.json", SUMMARY)]
    others = [targets[file].parent for file in cards if not _is_of_this_code(file)]
    absent = [file for file, target in targets.items() if not target.exists()]
    for file in absent:
        with replacing(targets[file]) as temporary:
            shutil.copyfile(file, temporary)
    known = RESULTS / profile / IMPORTED
    brought = {targets[file].parent.as_posix() for file in cards if file in absent}
    write_json(known, sorted(_imported(known) | brought))
    text = f"{RESULTS / profile}: {len(absent)} of {len(files)} files copied"
    if len(absent) < len(files):
        text += ", the others were there"
    if others:
        text += (
            f"; {len(others)} results are of other code than this version's (the first is "
            f"{others[0]}): an engine makes them again and keeps these in results/replaced"
        )
    return text


def _is_of_this_code(path: Path) -> bool:
    """True if a card's code is the present one or known to be equal; derived runs name none."""
    if path.name == SUMMARY:
        return is_same_code("evaluate", read_summary(path.parent).code, code_hash("evaluate"))
    identity = read_run_card(path.parent).identity
    stage = "train" if "method" in identity else "tune"
    recorded = identity.get("code")
    return recorded is None or is_same_code(stage, recorded, code_hash(stage))


def _imported(path: Path) -> set[str]:
    """Folders that `imported.json` lists, as text; none where there is no such file."""
    if not is_present(path):
        return set()
    try:
        return {*TypeAdapter(list[str]).validate_python(read_json(path), strict=True)}
    except ValidationError as error:
        raise InputError(f"{path}: {problem_of(error)}; import the evidence again") from None


def given(profile: Profile) -> set[Path]:
    """Folders of imported runs and evaluations that are what the profile asks for.

    An engine takes them as they are. DVC could not know: it would make again what has no weights.
    """
    path = RESULTS / profile.name / IMPORTED
    imported = {Path(name) for name in _imported(path)}
    kept = {
        run.folder
        for run in runs(profile)
        if run.folder in imported
        and is_current_run(run, run_settings(profile, run.task, run.method, run.seed))
    }
    kept |= {
        one.folder
        for one in [*evaluations(profile), *further_evaluations(profile)]
        if one.folder in imported and is_current_evaluation(one, profile)
    }
    return kept


def _refuse_links(paths: Iterable[Path]) -> None:
    """Refuse what is neither a plain file nor a folder: links lead elsewhere."""
    for path in paths:
        if path.is_symlink() or (path.exists() and not (path.is_file() or path.is_dir())):
            raise InputError(
                f"{path}: is a link or no plain file; nothing was copied; put a copy in its place"
            )


def _below(folder: Path) -> Iterator[Path]:
    for top, folders, files in os.walk(folder):
        yield from (Path(top) / name for name in (*folders, *files))


def _way_to(target: Path) -> list[Path]:
    """A path in `results/` and the folders above it there."""
    return [*target.parents[: -len(RESULTS.parts) - 1], target]


def run_with_weights(task: str, method: str) -> Path:
    """Folder of the committed run that has the weights of a method for a task.

    Looked for in the working directory and beside the package.

    Raises
    ------
    InputError
        If there is none; the message says what there is.
    """
    places = (STUDY, Path(__file__).resolve().parents[2] / STUDY)
    known: set[str] = set()
    for place in places:
        for file in sorted((place / RESULTS).glob(f"*/*/*/*/{WEIGHTS}")):
            of_task, of_method = file.parts[-4:-2]
            if (of_task, of_method) == (task, method):
                return file.parent
            known.add(f"{of_task} with {of_method}")
    offer = f"there are weights for {', '.join(sorted(known))}" if known else "there are none"
    raise InputError(f"no committed weights of {method} for {task}: {offer}; give --run")


def model_card(run: Run, scored: Collection[Path]) -> str:
    """Model card of a finished run in Markdown: what it is, saw and reaches, and its limits."""
    card, settings = read_network_run(run.folder)
    data, training = settings.data, settings.training
    if training is None or settings.network is None:
        raise InputError(f"{run.folder / 'run.json'}: is of no trained network")
    network = {"nafnet": "ConditionalNAFNet", "unet": "ConditionalUNet"}[settings.network.name]
    left_out = ", ".join(data.without)
    return "\n".join(
        [
            f"# {TASKS[run.task].label} by {card.label}",
            "",
            f"A {network} of {(card.parameters or 0) / 1e6:.2f} million parameters, trained from "
            f"scratch: `irsde train --profile {run.profile} --task {run.task} --method "
            f"{run.method} --seed {run.seed}`.",
            "",
            f"- **Use**: `irsde restore photo.jpg --task {run.task} --method {run.method} "
            "--out restored`.",
            f"- **Budget**: {training.iterations:,} iterations on batches of "
            f"{training.batch} patches of {training.patch}x{training.patch} pixels, on "
            f"{card.device}. These are the averaged (EMA) weights of the last iteration.",
            f"- **Training images**: {_sources(data.train)}"
            + (f"; without scenes of {left_out}." if left_out else "."),
            f"- **Degradation**: {_degradation(run, data)}.",
            "- **Licence**: the terms of the training images, above, hold for the weights too.",
            "- **Limits**: made to compare methods at one small budget, not to restore as well as "
            "can be. Degradations unlike those of the training stay, and details may be invented.",
            f"- **File**: `{WEIGHTS}`, SHA-256 `{card.weights_sha256}`; settings and versions "
            "are in `run.json`.",
            "",
            *_table(path for path in scored if path.is_relative_to(run.folder)),
            "",
        ]
    )


def _degradation(run: Run, data: TaskData) -> str:
    """What the training images were degraded by, in the words of the task."""
    level = Degradation.noise_level if data.noise_level is None else data.noise_level
    return TASKS[run.task].description(Degradation(level, data.clipped))


def _sources(names: Collection[str]) -> str:
    """Labels and licences of data sets."""
    described = []
    for name in names:
        folder = dataset_folder(name)
        card = set_card(folder) if is_present(folder / CARD) else None
        label, licence = (card.label, card.licence) if card else (name, "see data/catalogue.yaml")
        described.append(f"{label} ({licence})")
    return "; ".join(described)


def _table(scored: Iterable[Path]) -> list[str]:
    """Table of the scores of a run, of RGB."""
    summaries = [read_summary(path) for path in scored]
    names = (*HEADLINES["rgb"], *PERCEPTUAL)
    shown = [name for name in names if any(summary.metric(name) for summary in summaries)]
    labels = " | ".join(METRICS[name].label for name in shown)
    return [
        f"| test set | sampled by | images | {labels} |",
        f"|---|---|---:|{'---:|' * len(shown)}",
        *(_scores(summary, shown) for summary in summaries),
    ]


def _scores(summary: Summary, metrics: Sequence[str]) -> str:
    cells = [
        "n/a" if metric is None or metric.mean is None else f"{metric.mean:.{metric.decimals}f}"
        for metric in map(summary.metric, metrics)
    ]
    sampled = f"{summary.sampler}, {summary.nfe} NFE"
    label = summary.dataset.label
    return f"| {label} | {sampled} | {summary.dataset.pairs} | {' | '.join(cells)} |"


def _inside(path: Path) -> Path:
    """Path below `results/<profile>`."""
    return Path(*path.parts[2:])


def _copy(source: Path, root: Path, names: Collection[str]) -> None:
    target = root / _inside(source)
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in sorted(folder.rglob("*")) if file.is_file())
