"""Evidence: what of a profile's results is small enough for git, and back into `results/`."""

import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from itertools import chain
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from irsde.audit.model_card import model_card
from irsde.audit.selection import EVALUATION_FILES, WEIGHTS, files_below, select
from irsde.evaluation.current import is_current_evaluation
from irsde.experiment.code import code_hash, is_same_code
from irsde.experiment.fields import check_form, problem_of
from irsde.experiment.grid import (
    evaluations,
    further_evaluations,
    runs,
)
from irsde.experiment.profile import Profile, run_settings
from irsde.experiment.provenance import read_run_card
from irsde.experiment.summary import SUMMARY, read_summary
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
from irsde.training.current import is_current_run

STUDY = REPORTS / "study"
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
    chosen = select(profile, weights, pictures)
    target = folder / RESULTS / profile.name
    _check_nothing_is_lost(target, chosen.folders)
    with replacing_folder(target) as temporary:
        for file in chosen.files:
            copy = temporary / _inside(file)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
        for run in chosen.with_weights:
            write_text(temporary / _inside(run.folder) / "README.md", model_card(run, chosen.usual))
        lost = [f for f in files_below(target) if not (temporary / f.relative_to(target)).is_file()]
        if lost:
            raise InputError(
                f"{lost[0]}: would be lost ({len(lost)} files in all); name its weights "
                "or pictures too, or delete it first"
            )
    size = sum(file.stat().st_size for file in files_below(target))
    return f"{target}: {chosen.counts}, {size / 1e6:.1f} MB"


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
    files = [file for file in files_below(source) if file.name != "README.md"]
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
    brought = {targets[file].parent.as_posix() for file in {*cards}.intersection(absent)}
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
    A published system without weights is no such run where more of it is to be evaluated, as its
    weights can be had again.
    """
    path = RESULTS / profile.name / IMPORTED
    imported = {Path(name) for name in _imported(path)}
    wanted = [*evaluations(profile), *further_evaluations(profile)]
    made = {
        one.folder
        for one in wanted
        if one.folder in imported and is_current_evaluation(one, profile)
    }
    without = {
        one.run
        for one in wanted
        if one.run.stage == "import"
        and one.folder not in made
        and not (one.run.folder / WEIGHTS).is_file()
    }
    kept = {
        run.folder
        for run in runs(profile)
        if run.folder in imported
        and run not in without
        and is_current_run(run, run_settings(profile, run.task, run.method, run.seed))
    }
    return made | kept


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

    Looked for in the working directory and beside the package. Of several trainings, the one with
    the highest PSNR on validation images, which all profiles with committed weights share.

    Raises
    ------
    InputError
        If there is none; the message says what there is.
    """
    places = (STUDY, Path(__file__).resolve().parents[2] / STUDY)
    known: set[str] = set()
    for place in places:
        found = []
        for file in sorted((place / RESULTS).glob(f"*/*/*/*/{WEIGHTS}")):
            of_task, of_method = file.parts[-4:-2]
            if (of_task, of_method) == (task, method):
                found.append(file.parent)
            known.add(f"{of_task} with {of_method}")
        if found:
            return max(found, key=lambda run: float(read_run_card(run).final_validation_psnr or 0))
    offer = f"there are weights for {', '.join(sorted(known))}"
    if not known:
        offer = f"they lie in {STUDY} of the repository, not in the package: run it in a clone"
    raise InputError(f"no committed weights of {method} for {task}: {offer}, or give --run")


def _inside(path: Path) -> Path:
    """Path below `results/<profile>`."""
    return Path(*path.parts[2:])
