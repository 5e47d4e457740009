"""A copy of the project in an empty folder, as a fresh clone would be."""

import atexit
import contextlib
import functools
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest
from filelock import FileLock

from irsde import cli
from irsde.data.fetch.fetching import fetch
from irsde.data.leakage.check import check_profile
from irsde.data.prepare import prepare
from irsde.experiment.grid import EVALUATED
from irsde.experiment.profile import (
    Profile,
    RunSettings,
    TrainingSettings,
    load_profile,
    run_settings,
)
from irsde.files import digest_file, write_json
from irsde.machine import launch
from irsde.scoring.perceptual import perceptual_metric
from tests import preloaded

PROJECT = Path(__file__).resolve().parents[1]
PARTS = (
    ".dvc/config",
    ".dvc/.gitignore",
    ".dvcignore",
    ".gitignore",
    "Snakefile",
    "data/catalogue.yaml",
    "data/fingerprints",
    "data/published_weights.yaml",
    "dvc.yaml",
    "irsde",
    "profiles",
    "workflow",
)
ENGINES = {
    "snakemake": ("snakemake", "--cores", "8", "reports/tables.md"),
    "dvc": ("dvc", "repro", "--quiet"),
}
METHODS = "methods: [identity, classical, regression, ir-sde+l2]"  # of the smoke profile
TIMED = {"cost.json", "cost.md", "index.html", "SHA256SUMS", ".snakemake_timestamp"}
OF_ONE_ENGINE = {EVALUATED}
LEFT_OUT = TIMED | OF_ONE_ENGINE
FILES = "files.json"
OF_THE_WHEEL = "photographs-"  # sets that are the same in every project
# A profile of one quick run, on photographs in data/mine.
OWN = """
caption: Own photographs.
tasks: [denoising]
methods: [identity]
seeds: [0]
data: {train: photographs-train, validation: photographs-validation, test: mine, window: 32}
network: {name: nafnet, width: 8, encoder_blocks: [1], decoder_blocks: [1]}
training:
  {iterations: 2, batch: 1, patch: 16, learning_rate: 0.001, validate_every: 2, checkpoint_every: 2}
evaluation: {nfe: 1}
"""


def copy_project(folder: Path) -> Path:
    """Copy what both engines read, make a git repository of it and activate the smoke profile."""
    shutil.copytree(_fresh_project(), folder, dirs_exist_ok=True)
    return folder


@functools.cache
def _fresh_project() -> Path:
    folder = _kept_folder()
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


def small_project(folder: Path, task: str | None = None) -> Path:
    """Copy the profiles and the catalogues into a folder, and prepare a task of smoke there."""
    shutil.copytree(PROJECT / "workflow/config", folder / "workflow/config")
    (folder / "data").mkdir()
    for name in ("catalogue.yaml", "published_weights.yaml"):
        shutil.copy(PROJECT / "data" / name, folder / "data")
    if task is not None:
        with contextlib.chdir(folder):
            prepare_task("smoke", task)
    return folder


def prepare_task(profile: str, task: str) -> None:
    """Fetch, prepare and check the sets of a task below the working directory."""
    loaded = load_profile(profile)
    settings = loaded.data.of(task)
    names = (*settings.train, *settings.validation, *settings.test)
    if not all(name.startswith(OF_THE_WHEEL) for name in names):
        _prepare(loaded, task)
        return
    content = Path("workflow/config", f"{profile}.yaml").read_text()
    shutil.copytree(_prepared(profile, content, task), "data", dirs_exist_ok=True)


@functools.cache
def _prepared(profile: str, content: str, task: str) -> Path:
    """Folder ``data`` after the task was prepared, made once for all tests."""
    folder = copy_project(_kept_folder())
    (folder / f"workflow/config/{profile}.yaml").write_text(content)
    with contextlib.chdir(folder):
        _prepare(load_profile(profile), task)
    return folder / "data"


def _prepare(profile: Profile, task: str) -> None:
    settings = profile.data.of(task)
    for name in (*settings.train, *settings.validation, *settings.test):
        fetch(name)
        prepare(profile.name, task, name, settings)
    check_profile(profile, (task,))


def _kept_folder() -> Path:
    """Empty folder that lasts as long as this process."""
    folder = Path(tempfile.mkdtemp(prefix="irsde-tests-"))
    _KEPT.callback(shutil.rmtree, folder)
    return folder


_KEPT = contextlib.ExitStack()
atexit.register(_KEPT.close)


def settings(method: str, seed: int = 0, **changes: object) -> RunSettings:
    """Settings of a run of denoising in the smoke profile with changes to its training."""
    found = run_settings(load_profile("smoke"), "denoising", method, seed)
    training = found.training.model_copy(update=changes)
    return found.model_copy(update={"training": training})


def recipe(**changes: object) -> TrainingSettings:
    """Settings of a training."""
    base = {
        "iterations": 100, "batch": 4, "patch": 8, "learning_rate": 0.01, "checkpoint_every": 1,
        "validate_every": 1,
    }  # fmt: skip
    return TrainingSettings.model_validate(base | changes)


def grid_by(engine: str, folders: pytest.TempPathFactory) -> Path:
    """Project whose grid an engine has made: smoke with a tuned and a trained method only.

    It is made once for all processes that test; `grid_files` has what it was then.
    """
    own = folders.getbasetemp()
    base = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    folder = base / engine
    with FileLock(base / f"{engine}.lock"):
        if not (folder / FILES).is_file():
            copy_project(folder)
            profile = folder / "workflow/config/smoke.yaml"
            text = profile.read_text()
            assert text.count(METHODS) == 1
            profile.write_text(text.replace(METHODS, "methods: [classical, ir-sde+l2]"))
            call(folder, "irsde", "plan", "--profile", "smoke")
            call(folder, *ENGINES[engine])
            write_json(folder / FILES, hashes(folder))
    return folder


def grid_files(engine: str, folders: pytest.TempPathFactory) -> dict[str, str]:
    """SHA-256 of the files that an engine made, by their names; none that hold times."""
    return json.loads((grid_by(engine, folders) / FILES).read_text())


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of what a grid made, by the names of files; of none that hold times."""
    parts = ("data/prepared", "data/leakage", "results/smoke", "reports")
    return {
        path.relative_to(folder).as_posix(): digest_file(path)
        for part in parts
        for path in sorted((folder / part).rglob("*"))
        if path.is_file() and path.name not in LEFT_OUT and "checkpoint" not in path.parts
    }


def call(folder: Path, *command: str, code: int = 0, **variables: str) -> str:
    """Run a command in a folder; its output, after checking its exit code.

    Commands of irsde run in this process, which spares them the start of Python and of torch;
    what they start or become runs in one of its own. So do those of engines, and what they start.
    """
    if command[0] == "irsde":
        found, output = _irsde(folder, command, variables)
    else:
        done = subprocess.run(
            command,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PATH": search_path(), "IRSDE_LPIPS_WEIGHTS": "", **variables},
            check=False,
        )
        found, output = done.returncode, done.stdout
    assert found == code, output
    return output


def search_path() -> str:
    """``PATH`` with `preloaded` commands before the installed ones, after what a test put first."""
    names = os.environ["PATH"].split(os.pathsep)
    if preloaded.SCRIPTS in names:
        names.insert(names.index(preloaded.SCRIPTS), str(_preloaded()))
    return os.pathsep.join(names)


@functools.cache
def _preloaded() -> Path:
    folder = _kept_folder()
    _KEPT.enter_context(preloaded.start(folder))
    return folder


def _irsde(folder: Path, command: tuple[str, ...], variables: dict[str, str]) -> tuple[int, str]:
    output = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", list(command))
        for name, value in {"IRSDE_LPIPS_WEIGHTS": "", **variables}.items():
            patch.setenv(name, value)
        patch.setattr(
            launch,
            "start_processes",
            lambda _: _become([sys.executable, "-m", "irsde.cli", *command[1:]]),
        )
        perceptual_metric.cache_clear()
        with (
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(output),
            pytest.raises(SystemExit) as ended,
        ):
            cli.main()
        perceptual_metric.cache_clear()
    return int(ended.value.code or 0), output.getvalue()


def _become(command: list[str]) -> NoReturn:
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        check=False,
    )
    print(done.stdout, end="")
    sys.exit(done.returncode)
