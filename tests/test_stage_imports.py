"""What a stage imports: no more than it uses, since every run and evaluation is a process."""

import subprocess
import sys

import pytest

from irsde.experiment.grid import Run
from irsde.experiment.profile import load_profile, run_settings
from irsde.tasks import TASKS
from irsde.training.run import train
from tests.project import PROJECT, copy_project, prepare_task

UNUSED = (
    "lpips", "matplotlib", "mlflow", "pandas", "piq.fid", "rich", "scipy.ndimage", "scipy.stats",
    "skimage", "sympy", "torch._dynamo", "torch._inductor", "torchvision",
)  # fmt: skip
CODE = """
import sys
from irsde import cli
sys.argv = ["irsde", *sys.argv[1:]]
try:
    cli.main()
except SystemExit as ended:
    assert not ended.code, ended.code
print("imported:", *sorted(sys.modules))
"""
# Statements, and what none of those up to them imports.
SPARING = {
    "import irsde.degradations.resampling": ["torch"],
    "import irsde.scoring.metrics, irsde.scoring.protocols": ["torch"],
    "from irsde.report import build, charts; charts.write_process_figures = lambda _: None;"
    "build.write_figures([], [], '', None)": [
        "torch", "matplotlib.pyplot",
    ],
    "import irsde.scoring.score": ["piq"],
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run without a network; the working directory of the tests here."""
    patch = pytest.MonkeyPatch()
    patch.chdir(copy_project(tmp_path_factory.mktemp("project")))
    patch.setenv("IRSDE_LPIPS_WEIGHTS", "")
    patch.setenv("PYTHONPATH", str(PROJECT))
    prepare_task("smoke", "denoising")
    run = Run("smoke", "denoising", "identity", 0)
    settings = run_settings(load_profile("smoke"), run.task, run.method, run.seed)
    train(run, settings, overwrite=False)
    yield run
    patch.undo()


def imported(*arguments):
    command = [sys.executable, "-P", "-c", CODE, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("imported: ")[2].split())


@pytest.fixture(scope="module")
def trained(run):
    """Modules that the training of a network imports, and the folder of its run."""
    chosen = ["--task", run.task, "--method", "regression"]
    modules = imported("train", "--profile", run.profile, *chosen)
    return modules, run.folder.parents[1] / "regression/seed0"


@pytest.mark.parametrize("nfe", [0, 1])
def test_an_evaluation_imports_what_it_uses(run, trained, nfe):
    folder = trained[1] if nfe else run.folder
    modules = imported("evaluate", "--run", folder.as_posix())
    assert (folder / f"evaluations/photographs-test/direct-{nfe}/summary.json").is_file()
    assert "torch" in modules  # it computes the scores
    assert [name for name in UNUSED if name in modules] == []


def test_a_training_imports_what_it_uses(trained):
    modules, folder = trained
    assert (folder / "weights.safetensors").is_file()
    assert "torch" in modules
    assert [name for name in UNUSED if name in modules] == []


@pytest.mark.parametrize("arguments", [["status"], ["plan", "--check"]])
def test_what_computes_nothing_imports_no_torch(run, arguments):
    modules = imported(*arguments, *(["--profile", "smoke"] if arguments[0] == "status" else []))
    assert [name for name in (*UNUSED, "torch") if name in modules] == []


def test_parts_are_imported_without_what_is_heavy():
    program = """
import sys
for code, unused in %r.items():
    exec(code)
    print(*[(code, name) for name in unused if name in sys.modules])
"""
    command = [sys.executable, "-c", program % SPARING]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("task", TASKS)
def test_threads_that_prepare_pairs_import_nothing(task):
    """Of two threads that import one package at once, one may find half of it."""
    program = """
import sys
import numpy as np
from irsde.data.prepare import _on_all_cores
from irsde.tasks import TASKS, Degradation

task = TASKS[sys.argv[1]]

def write(number, record):
    before = {*sys.modules}
    image = np.full((40, 40, 3), 0.5, np.float32)
    for seed in range(20):
        task.degrade(image, np.random.default_rng(seed), Degradation())
    return [sorted({*sys.modules} - before)]

print(_on_all_cores(write, [None], task.imports), "scipy" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, task],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == f"[[]] {bool(TASKS[task].imports)}", done.stderr
