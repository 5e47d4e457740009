"""One attempt at a command, as a job of Snakemake: its output added to a log, and how it ended.

``python -m irsde.machine.attempt [--requeue] [--number N] LOG COMMAND...`` runs the command and
ends with its code. Snakemake deletes the log of a job before it runs it again, so the log is a link
to a file beside it, ``NAME.attempts.log``, that keeps what earlier attempts wrote. With
``--requeue``, a training that stopped has Slurm start its job again; Snakemake counts no retry.
"""

import argparse
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from irsde.machine.signals import SIGNALS, STOPPED_EXIT_CODE

SECONDS_UNTIL_KILLED = 120  # that a job lives on after Slurm was told to start it again
FORM = "%Y-%m-%d %H:%M:%S"
LINE = re.compile(
    r"== (?P<time>[-0-9]+ [:0-9]+) UTC, (?P<host>\S+), process (?P<process>\d+): "
    r"(?:attempt (?P<number>\d+)(?: of Slurm job (?P<job>\w+))?"
    r"|ended with (?P<code>\d+)(?P<again>, Slurm starts)?)"
)


@dataclass(frozen=True)
class Attempt:
    """What a log says about an attempt.

    Parameters
    ----------
    started : datetime
    host : str
    process : int
    number : int
        From 1; more where Snakemake tried again.
    job : str
        Number of the Slurm job; empty where there was none.
    code : int or None
        Exit code; None while it runs, or where it was killed.
    again : bool
        True if Slurm was to start the same job again.
    ended : datetime or None
    """

    started: datetime
    host: str
    process: int
    number: int
    job: str
    code: int | None = None
    again: bool = False
    ended: datetime | None = None


def run_attempt(
    log: Path, command: Sequence[str], *, number: int = 1, requeue: bool = False
) -> int:
    """Run a command with its output added to a log, between two lines about the attempt.

    Signals that ask a training to stop end the command only, which answers them.

    Parameters
    ----------
    log : Path
        Becomes a link to `history_of(log)`; its folder is made.
    command : sequence of str
    number : int
        How often Snakemake has tried.
    requeue : bool
        Have Slurm start the job around this process again where the command ends with 75.

    Returns
    -------
    int
        Exit code of the command, as a shell has it.
    """
    history = history_of(log)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    log.symlink_to(history.name)
    job = os.environ.get("SLURM_JOB_ID", "")
    for one in SIGNALS:
        if signal.getsignal(one) is not signal.SIG_IGN:  # a command inherits what is ignored
            signal.signal(one, lambda *_: None)
    with history.open("ab", buffering=0) as stream:

        def note(text: str) -> None:
            now = datetime.now(UTC).strftime(FORM)
            place = f"{socket.gethostname()}, process {os.getpid()}"
            stream.write(f"== {now} UTC, {place}: {text}\n".encode())

        before = _restarts(_shown(job)) if requeue else 0
        note(f"attempt {number}{f' of Slurm job {job}' if job else ''}")
        try:
            code = subprocess.run(
                command, stdout=stream, stderr=subprocess.STDOUT, check=False
            ).returncode
        except OSError as error:
            stream.write(f"{command[0]}: {error.strerror}\n".encode())
            code = 127
        code = code if code >= 0 else 128 - code
        again = requeue and code != 0 and _is_started_again(job, before, code)
        note(f"ended with {code}{', Slurm starts the job again' if again else ''}")
    if again:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        time.sleep(SECONDS_UNTIL_KILLED)
    return code


def _is_started_again(job: str, before: int, code: int) -> bool:
    """Whether Slurm starts a job again that it had `before` times, told so if its command stopped.

    One that Slurm ends is not running any more: pre-empted or requeued by hand it is counted
    already, cancelled it is not.
    """
    shown = _shown(job)
    if code == STOPPED_EXIT_CODE and "JobState=RUNNING" in shown:
        with suppress(OSError, subprocess.TimeoutExpired):
            return _scontrol("requeue", job).returncode == 0
    return _restarts(shown) > before


def _shown(job: str) -> str:
    """What Slurm says about a job; nothing where it does not answer."""
    with suppress(OSError, subprocess.TimeoutExpired):
        return _scontrol("show", "job", "--oneliner", job).stdout
    return ""


def _restarts(shown: str) -> int:
    found = re.search(r"\bRestarts=(\d+)", shown)
    return int(found[1]) if found else 0


def _scontrol(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["scontrol", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def history_of(log: Path) -> Path:
    """File that keeps what all attempts wrote to a log.

    Examples
    --------
    >>> history_of(Path("logs/train.log")).as_posix()
    'logs/train.attempts.log'
    """
    return log.with_suffix(".attempts.log")


def attempts(log: Path) -> list[Attempt]:
    """The attempts at a job with a log, in the order of their starts; none where it is absent.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    found: list[Attempt] = []
    history = history_of(log)
    if not history.is_file():
        return found
    with history.open(encoding="utf-8", errors="replace") as lines:
        for line in filter(None, map(LINE.match, lines)):
            host, process = line["host"], int(line["process"])
            time_ = datetime.strptime(line["time"], FORM).replace(tzinfo=UTC)
            if line["number"]:
                found.append(Attempt(time_, host, process, int(line["number"]), line["job"] or ""))
                continue
            for place, one in enumerate(found):
                if (one.host, one.process, one.code) == (host, process, None):
                    found[place] = replace(
                        one, code=int(line["code"]), again=bool(line["again"]), ended=time_
                    )
    return found


def failures(log: Path) -> int:
    """How many calls of Snakemake ended with a failed attempt at a job.

    One that was followed by another try in the same call, or by another start of the same Slurm
    job, does not count. Snakemake notes a failed job whose earlier results are there as done;
    where this number is among its parameters, it makes it again.
    """
    return sum(
        one.code != 0 and not (after and _goes_on(one, after))
        for one, after in pairwise([*attempts(log), None])
        if one
    )


def _goes_on(one: Attempt, after: Attempt) -> bool:
    """Whether an attempt is another try of the one before, in the same call of Snakemake."""
    return after.number > one.number or (after.job != "" and after.job == one.job)


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--requeue", action="store_true")
    parser.add_argument("--number", type=int, default=1)
    parser.add_argument("log", type=Path)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    sys.exit(run_attempt(given.log, given.command, number=given.number, requeue=given.requeue))


if __name__ == "__main__":
    main()
