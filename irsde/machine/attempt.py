"""One attempt at a command, as a job of Snakemake: its output added to a log, and how it ended.

``python -m irsde.machine.attempt [--requeue] LOG COMMAND...`` runs the command and ends with its
code. The log keeps what earlier attempts wrote. With ``--requeue``, a training that stopped
has Slurm start its job again, which costs Snakemake no retry.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from irsde.machine.signals import SIGNALS, STOPPED_EXIT_CODE

REQUEUE = "--requeue"
SECONDS_UNTIL_KILLED = 120  # that a job lives on after Slurm was told to start it again
FORM = "%Y-%m-%d %H:%M:%S"
START = re.compile(
    r"== (?P<time>[-0-9]+ [:0-9]+) UTC on (?P<host>\S+), process (?P<process>\d+)"
    r"(?:, Slurm job (?P<job>\w+))?"
)
END = re.compile(
    r"== (?P<time>[-0-9]+ [:0-9]+) UTC: ended with (?P<code>-?\d+)(?P<again>; Slurm starts)?"
)


@dataclass(frozen=True)
class Attempt:
    """What a log says about the last attempt in it.

    Parameters
    ----------
    started : datetime
    host : str
    process : int
    job : str
        Number of the Slurm job; empty where there was none.
    code : int or None
        Exit code; None while it runs, or where it was killed.
    again : bool
        True if Slurm was to start the same job again.
    """

    started: datetime
    host: str
    process: int
    job: str
    code: int | None
    again: bool


def run_attempt(log: Path, command: Sequence[str], *, requeue: bool = False) -> int:
    """Run a command with its output added to a log, between two lines about the attempt.

    Signals that ask a training to stop end the command only, which answers them.

    Parameters
    ----------
    log : Path
        Made with its folder where it is absent.
    command : sequence of str
    requeue : bool
        Have Slurm start the job around this process again where the command ends with 75.

    Returns
    -------
    int
        Exit code of the command, as a shell has it.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    job = os.environ.get("SLURM_JOB_ID", "")
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # a command inherits what is ignored
            signal.signal(number, lambda *_: None)
    with log.open("ab", buffering=0) as stream:

        def note(text: str) -> None:
            stream.write(f"== {datetime.now(UTC).strftime(FORM)} UTC{text}\n".encode())

        slurm = f", Slurm job {job}" if job else ""
        note(f" on {socket.gethostname()}, process {os.getpid()}{slurm}")
        try:
            code = subprocess.run(
                command, stdout=stream, stderr=subprocess.STDOUT, check=False
            ).returncode
        except OSError as error:
            stream.write(f"{command[0]}: {error.strerror}\n".encode())
            code = 127
        code = code if code >= 0 else 128 - code
        again = requeue and code == STOPPED_EXIT_CODE and _is_started_again(job)
        note(f": ended with {code}{f'; Slurm starts job {job} again' if again else ''}")
    if again:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        time.sleep(SECONDS_UNTIL_KILLED)
    return code


def _is_started_again(job: str) -> bool:
    """Have Slurm start a job again, unless it was cancelled; False if it does not."""
    with suppress(OSError, subprocess.TimeoutExpired):
        shown = _scontrol("show", "job", "--oneliner", job).stdout
        if "JobState=RUNNING" in shown:
            return _scontrol("requeue", job).returncode == 0
        restarts = re.search(r"\bRestarts=(\d+)", shown)
        before = int(os.environ.get("SLURM_RESTART_COUNT") or 0)
        return restarts is not None and int(restarts[1]) > before  # pre-empted, or by hand
    return False


def _scontrol(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["scontrol", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def last_attempt(log: Path) -> Attempt | None:
    """What a log says about its last attempt; None if it holds none.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    start = ends = None
    with log.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if found := START.match(line):
                start, ends = found, None
            elif found := END.match(line):
                ends = found
    if start is None:
        return None
    return Attempt(
        datetime.strptime(start["time"], FORM).replace(tzinfo=UTC),
        start["host"],
        int(start["process"]),
        start["job"] or "",
        None if ends is None else int(ends["code"]),
        bool(ends and ends["again"]),
    )


def main() -> None:
    """Run what the command line says."""
    arguments = sys.argv[1:]
    requeue = REQUEUE in arguments[:1]
    log, *command = arguments[requeue:]
    sys.exit(run_attempt(Path(log), command, requeue=requeue))


if __name__ == "__main__":
    main()
