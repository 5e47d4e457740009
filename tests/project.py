"""A copy of the project in an empty folder, as a fresh clone would be."""

import os
import shutil
import subprocess
from pathlib import Path

from irsde.config import load_profile
from irsde.data.checking import check_profile
from irsde.data.fetching import fetch
from irsde.data.preparation import prepare

PROJECT = Path(__file__).resolve().parents[1]
PARTS = (
    ".dvc/config",
    ".dvc/.gitignore",
    ".dvcignore",
    ".gitignore",
    "Snakefile",
    "data/catalogue.yaml",
    "data/fingerprints",
    "dvc.yaml",
    "irsde",
    "profiles",
    "workflow",
)


def copy_project(folder: Path) -> Path:
    """Copy what both engines read, make a git repository of it and activate the smoke profile."""
    for part in PARTS:
        source, target = PROJECT / part, folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    call(folder, "git", "init", "--quiet")
    call(folder, "irsde", "plan", "--profile", "smoke")
    return folder


def prepare_task(profile: str, task: str) -> None:
    """Fetch, prepare and check the sets of a task below the working directory."""
    loaded = load_profile(profile)
    settings = loaded.data.of(task)
    for name in (*settings.train, *settings.validation, *settings.test):
        fetch(name)
        prepare(profile, task, name, settings)
    check_profile(loaded, (task,))


def call(folder: Path, *command: str, code: int = 0, **variables: str) -> str:
    """Run a command in a folder; its output, after checking its exit code."""
    done = subprocess.run(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "IRSDE_LPIPS_WEIGHTS": "", **variables},
        check=False,
    )
    assert done.returncode == code, done.stdout
    return done.stdout
