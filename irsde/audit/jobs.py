"""What the shared folder says about the job of a run: its log, and Snakemake's mark of it."""

import socket
import time
from base64 import urlsafe_b64encode
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from irsde.experiment.grid import Run
from irsde.files import RESULTS, InputError
from irsde.machine.attempt import Attempt, attempts
from irsde.machine.holding import is_running
from irsde.machine.signals import STOPPED_EXIT_CODE

LOGS = Path("logs")
MARKS = Path(".snakemake/incomplete")  # of files whose jobs were submitted or started
QUIET_SECONDS = 3600  # after which a process of another machine that says nothing is taken for dead


@dataclass(frozen=True)
class Job:
    """What is known of a job.

    Parameters
    ----------
    state : {"", "queued", "requeued", "running", "stopped", "failed"}
        Empty where no engine left a trace of it. A requeued job is to be started by Slurm again.
    log : Path or None
        The log of the last attempt.
    code : int or None
        Exit code of the last attempt.
    since : float
        When it ended or was submitted, in seconds since 1970; 0 while it runs.
    """

    state: str = ""
    log: Path | None = None
    code: int | None = None
    since: float = 0.0


def training_job(run: Run) -> Job:
    """The job that trains, tunes or imports a run.

    Raises
    ------
    InputError
        If its log cannot be read.
    """
    return _job(run, run.stage, run.folder / "run.json")


def evaluation_job(run: Run) -> Job:
    """The job that makes the evaluations of a run.

    Raises
    ------
    InputError
        If its log cannot be read.
    """
    return _job(run, "evaluate", None)


def _job(run: Run, rule: str, output: Path | None) -> Job:
    log = LOGS / run.folder.relative_to(RESULTS) / f"{rule}.log"
    try:
        found = attempts(log)
    except OSError as error:
        raise InputError(f"{log}: cannot be read ({error.strerror})") from None
    last = found[-1] if found else None
    ended = last.ended.timestamp() + 1 if last and last.ended else 0.0  # the log has whole seconds
    marked = _marked(output) if output else 0.0
    if marked > ended and (last is None or last.code is not None):
        return Job("queued", log if found else None, since=marked)
    return Job(_state(last), log, last.code, ended) if last else Job()


def _state(last: Attempt) -> str:
    """State of a job by its last attempt; empty if that did what was asked."""
    if last.again:
        return "requeued"
    if last.code is None:
        return (
            "running" if is_alive(last.host, last.process, last.started.timestamp()) else "stopped"
        )
    return {0: "", STOPPED_EXIT_CODE: "stopped"}.get(last.code, "failed")


def _marked(output: Path) -> float:
    """When Snakemake noted that a job which makes a file was submitted; 0 if it did not."""
    mark = MARKS / urlsafe_b64encode(output.as_posix().encode()).decode()
    with suppress(OSError):
        return mark.stat().st_mtime
    return 0.0


def is_alive(host: str, process: int, spoke: float) -> bool:
    """True if a process still runs, as far as this machine can tell.

    Parameters
    ----------
    host : str
        Machine of the process.
    process : int
    spoke : float
        When it last said something, in seconds since 1970; it counts for other machines.
    """
    if host != socket.gethostname():
        return time.time() - spoke < QUIET_SECONDS
    return is_running(process)
