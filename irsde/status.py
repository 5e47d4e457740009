"""Where the runs of a profile stand, from their files: on any machine that sees the folder."""

import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from irsde.config import Profile
from irsde.files import read_json
from irsde.plan import Run, evaluations, runs
from irsde.provenance import read_run_card

PROGRESS = "progress.json"
QUIET_SECONDS = 3600


@dataclass(frozen=True)
class Standing:
    """What is known of a run.

    Parameters
    ----------
    run : Run
    state : {"finished", "running", "stopped", "waiting"}
    iteration, iterations : int or None
    patches_per_second, seconds_left, validation_psnr : float or None
    evaluated, evaluations : int
        Evaluations of the profile that are finished, and all of them.
    """

    run: Run
    state: str
    iteration: int | None
    iterations: int | None
    patches_per_second: float | None
    seconds_left: float | None
    validation_psnr: float | None
    evaluated: int
    evaluations: int


def standings(profile: Profile) -> list[Standing]:
    """Standing of every run of a profile, in the order of its grid."""
    wanted: dict[Path, list[Path]] = {}
    for evaluation in evaluations(profile):
        wanted.setdefault(evaluation.run.folder, []).append(evaluation.folder)
    found = []
    for run in runs(profile):
        folders = wanted.get(run.folder, [])
        done = sum((folder / "summary.json").is_file() for folder in folders)
        found.append(_standing(run, done, len(folders)))
    return found


def _standing(run: Run, evaluated: int, count: int) -> Standing:
    card, progress = run.folder / "run.json", run.folder / PROGRESS
    if card.is_file():
        content = read_run_card(run.folder)
        iterations = content.get("iterations")
        psnr = content.get("final_validation_psnr")
        return Standing(run, "finished", iterations, iterations, None, None, psnr, evaluated, count)
    if not progress.is_file():
        return Standing(run, "waiting", None, None, None, None, None, evaluated, count)
    content = read_json(progress)
    alive = _is_alive(content)
    return Standing(
        run,
        "running" if alive else "stopped",
        content["iteration"],
        content["iterations"],
        content["patches_per_second"] if alive else None,
        content["seconds_left"] if alive else None,
        content["validation_psnr"],
        evaluated,
        count,
    )


def _is_alive(progress: dict[str, Any]) -> bool:
    """True if the process that wrote the progress still runs, as far as this machine can tell."""
    if progress["host"] != socket.gethostname():
        return bool(time.time() - progress["time"] < QUIET_SECONDS)
    try:
        os.kill(progress["process"], 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def table(found: list[Standing]) -> str:
    """The standings as a table for a terminal, and a line that sums them up."""
    rows = [
        [
            f"{s.run.task}/{s.run.method}/seed{s.run.seed}",
            s.state,
            f"{s.iteration}/{s.iterations}" if s.iterations else "",
            f"{s.patches_per_second:.0f}" if s.patches_per_second else "",
            _duration(s.seconds_left),
            f"{s.validation_psnr:.2f}" if s.validation_psnr else "",
            f"{s.evaluated}/{s.evaluations}",
        ]
        for s in found
    ]
    header = ["run", "state", "iteration", "patches/s", "left", "validation dB", "evaluated"]
    states = [s.state for s in found]
    counts = ", ".join(
        f"{states.count(name)} {name}" for name in ("finished", "running", "stopped", "waiting")
    )
    align = ("left", "left", *["right"] * 5)
    text = tabulate(rows, header, "simple", colalign=align, disable_numparse=True)
    return f"{text}\n\n{len(found)} runs: {counts}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"
