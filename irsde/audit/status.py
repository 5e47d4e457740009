"""The progress of the runs of a profile, from their files: on any machine that sees the folder."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import (
    BaseModel,
    ConfigDict,
    FiniteFloat,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
)

from irsde import terminal
from irsde.audit.jobs import Job, evaluation_job, is_alive, training_job
from irsde.experiment.grid import PROGRESS, Run, evaluations, run_of, runs
from irsde.experiment.profile import Profile
from irsde.experiment.provenance import read_run_card
from irsde.experiment.summary import read_summary
from irsde.files import RESULTS, InputError, digest_json, is_present, read_json
from irsde.methods import METHODS, MethodName

STATES = ("finished", "running", "stopped", "waiting", "queued", "requeued", "failed", "damaged")
RARE = frozenset(STATES[4:])  # are counted where there are any


class Progress(BaseModel):
    """What a training writes about itself while it runs; further fields are for people."""

    model_config = ConfigDict(strict=True)

    iteration: NonNegativeInt
    iterations: PositiveInt
    patches_per_second: FiniteFloat | None
    seconds_left: FiniteFloat | None
    validation_psnr: float | None
    host: str
    process: PositiveInt
    time: FiniteFloat


@dataclass(frozen=True)
class Standing:
    """What is known of a run.

    Parameters
    ----------
    run : Run
    state : str
        One of `STATES`. A queued run was submitted and has not begun; a requeued one is to be
        started again by Slurm.
    iteration, iterations : int or None
    patches_per_second, seconds_left, validation_psnr : float or None
    evaluated, evaluations : int
        Evaluations of the profile that are finished, and all of them; those of an earlier training
        of the run are not.
    problem : str
        What is wrong with the files of a damaged run, or which log says why a job failed.
    """

    run: Run
    state: str
    evaluated: int
    evaluations: int
    iteration: int | None = None
    iterations: int | None = None
    patches_per_second: float | None = None
    seconds_left: float | None = None
    validation_psnr: float | None = None
    problem: str = ""


def standings(profile: Profile) -> list[Standing]:
    """Standing of every run of a profile, in the order of its grid; then of those beside it.

    Beside it are the runs that others were made into, by more iterations, another average or other
    first weights.
    """
    wanted: dict[Run, list[Path]] = {run: [] for run in runs(profile)}
    for evaluation in evaluations(profile):
        wanted[evaluation.run].append(evaluation.folder)
    for run in _derived_runs(profile):
        if run not in wanted:
            summaries = (run.folder / "evaluations").glob("*/[!.]*/summary.json")
            wanted[run] = sorted(path.parent for path in summaries)
    return [_standing(run, folders) for run, folders in wanted.items()]


def _derived_runs(profile: Profile) -> list[Run]:
    """Runs below a profile's results whose card or progress says that they come from another."""
    derived = []
    for folder in sorted((RESULTS / profile.name).glob("*/*+*/seed*")):
        with suppress(InputError):
            if _says_derived(folder):
                derived.append(run_of(folder))
    return [run for run in derived if MethodName.parse(run.method).base in METHODS]


def _says_derived(folder: Path) -> bool:
    if is_present(folder / "run.json"):
        return read_run_card(folder).is_derived
    progress = read_json(folder / PROGRESS)
    return isinstance(progress, dict) and "derived_from" in progress


def _standing(run: Run, wanted: list[Path]) -> Standing:
    """Standing of a run, of which those evaluations are wanted."""
    try:
        if is_present(run.folder / "run.json"):
            card = read_run_card(run.folder)
            done = sum(_is_of(folder, digest_json(card.identity)) for folder in wanted)
            iterations, psnr = card.iterations, card.final_validation_psnr
            psnr = psnr if isinstance(psnr, float) else None
            return Standing(
                run,
                "finished",
                done,
                len(wanted),
                iterations,
                iterations,
                validation_psnr=psnr,
                problem=_failure(run, evaluation_job(run)) if done < len(wanted) else "",
            )
        job = training_job(run)
        if not is_present(run.folder / PROGRESS):
            state = job.state or "waiting"
            return Standing(run, state, 0, len(wanted), problem=_failure(run, job))
        progress = _read_progress(run.folder / PROGRESS)
    except InputError as error:
        return Standing(run, "damaged", 0, len(wanted), problem=str(error))
    is_older = progress.time <= job.since
    alive = not is_older and is_alive(progress.host, progress.process, progress.time)
    return Standing(
        run,
        "running" if alive else (is_older and job.state) or "stopped",
        0,
        len(wanted),
        progress.iteration,
        progress.iterations,
        progress.patches_per_second if alive else None,
        progress.seconds_left if alive else None,
        progress.validation_psnr,
        "" if alive else _failure(run, job),
    )


def _failure(run: Run, job: Job) -> str:
    """Which log says why a job failed; empty where it did not."""
    if job.state != "failed":
        return ""
    return f"{run.task}/{run.method}/seed{run.seed}: ended with {job.code}, see {job.log}"


def _is_of(evaluation: Path, run_identity: str) -> bool:
    """Whether an evaluation is finished, and of that training of its run."""
    try:
        return read_summary(evaluation).run_identity == run_identity
    except InputError:
        return False


def _read_progress(path: Path) -> Progress:
    """What a training wrote about itself.

    Raises
    ------
    InputError
        If it is something else.
    """
    try:
        return Progress.model_validate(read_json(path))
    except ValidationError:
        raise InputError(f"{path}: not the progress of a training; delete it") from None


def table(listed: list[Standing]) -> str:
    """The standings as a table for a terminal, and a line that sums them up."""
    rows = [
        [
            f"{s.run.task}/{s.run.method}/seed{s.run.seed}",
            s.state,
            "" if s.iterations is None else f"{s.iteration}/{s.iterations}",
            "" if s.patches_per_second is None else f"{s.patches_per_second:.0f}",
            _duration(s.seconds_left),
            "" if s.validation_psnr is None else f"{s.validation_psnr:.2f}",
            f"{s.evaluated}/{s.evaluations}",
        ]
        for s in listed
    ]
    header = ["run", "state", "iteration", "patches/s", "left", "val. dB", "evaluated"]
    states = [s.state for s in listed]
    counts = ", ".join(
        f"{states.count(name)} {name}" for name in STATES if name not in RARE or name in states
    )
    align = ("left", "left", *["right"] * 5)
    text = terminal.table(
        header, rows, align=align, spare=["val. dB", "patches/s", "iteration", "evaluated"]
    )
    problems = [s.problem for s in listed if s.problem]
    return "\n".join([f"{text}\n\n{len(listed)} runs: {counts}", *problems])


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"
