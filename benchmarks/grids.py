"""What large grids cost around their computing: `python -m benchmarks.grids`.

Of grids of 240 to 4,032 runs with three evaluations each, without results and with all of them: CPU
seconds of `irsde plan`, `irsde status` and `snakemake -n`, which should grow as the grid does. Of
200,000 rows of images: those of `irsde report`. Results are made up.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import chdir
from pathlib import Path

from irsde.experiment.grid import write_parameters
from irsde.experiment.profile import Profile
from irsde.tasks import TASKS
from tests.fabricated import fabricate, write_profile
from tests.project import PROJECT, copy_project

METHODS = ("ir-sde", "ddpm", "i2sb", "goub", "resshift", "indi", "flow", "regression")
SAMPLING_SEEDS = (0, 1, 2)
SEEDS = (5, 21, 84)
IMAGES = 5000  # of each of 40 evaluations of a report
IRSDE = ("-P", "-m", "irsde.cli")
COMMANDS = {
    "irsde plan": (*IRSDE, "plan", "--profile", "made"),
    "irsde status": (*IRSDE, "status", "--profile", "made"),
    "snakemake -n": ("-m", "snakemake", "-n", "--quiet", "all"),
}
REPORT = (*IRSDE, "report", "--profile", "made")
GOAL = "goals: at about 1,000 runs 2 s, 2 s and 10 s; 20 s for the report"


def seconds(arguments: Sequence[str]) -> float:
    """CPU seconds of a Python process and its children in the working directory."""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "IRSDE_LPIPS_WEIGHTS": ""}
    with tempfile.TemporaryFile() as said:
        actions = [(os.POSIX_SPAWN_DUP2, said.fileno(), fd) for fd in (1, 2)]
        command = [sys.executable, *arguments]
        process = os.posix_spawn(sys.executable, command, environment, file_actions=actions)
        _, status, used = os.wait4(process, 0)
        said.seek(0)
        assert status == 0, said.read().decode()
    return used.ru_utime + used.ru_stime


def profile_of(tasks: Sequence[str], seeds: int, sampling_seeds: Sequence[int]) -> Profile:
    """A profile ``made`` of all methods, active in the working directory."""
    sets = {"train": "photographs-train", "validation": "photographs-validation"}
    profile = write_profile(
        tasks=list(tasks),
        methods=list(METHODS),
        seeds=list(range(seeds)),
        data={
            **sets,
            "test": "photographs-test",
            "tasks": {"inpainting": {"masks": "masks-thin"}},
        },
        evaluation={"sampling_seeds": list(sampling_seeds)},
    )
    write_parameters(profile)
    return profile


def finish(profile: Profile, images: int) -> None:
    """Write results of all runs and evaluations of a profile."""
    for task in profile.tasks:
        folders = fabricate(
            METHODS, profile.seeds, images=images, kept=0, task=task, profile=profile
        )
        for folder in folders:
            summary = json.loads((folder / "summary.json").read_text())
            for seed in profile.evaluation.sampling_seeds[1:]:
                other = folder.with_name(f"{folder.name}-sampling{seed}")
                shutil.copytree(folder, other)
                changed = json.dumps({**summary, "sampling_seed": seed})
                (other / "summary.json").write_text(changed)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS, help="of each method")
    given = parser.parse_args()
    print(f"{'runs':>5}  results  {'  '.join(COMMANDS)}")
    for seeds in given.seeds:
        with tempfile.TemporaryDirectory() as place, chdir(copy_project(Path(place))):
            profile = profile_of(tuple(TASKS), seeds, SAMPLING_SEEDS)
            for results in ("none", "all"):
                if results == "all":
                    finish(profile, images=2)
                print(f"{len(TASKS) * len(METHODS) * seeds:5}  {results:>7}", end="", flush=True)
                for name, command in COMMANDS.items():
                    print(f"  {seconds(command):{len(name)}.1f}", end="", flush=True)
                print()
    with tempfile.TemporaryDirectory() as place, chdir(copy_project(Path(place))):
        finish(profile_of(("denoising",), 5, (0,)), IMAGES)
        print(f"irsde report of {40 * IMAGES:,} rows: {seconds(REPORT):.1f} s")
    print(GOAL)


if __name__ == "__main__":
    main()
