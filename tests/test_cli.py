"""Wrong input ends with one line that says what to do, exit code 2, and nothing written."""

import contextlib
import io
import json
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from irsde.cli import main
from irsde.images import read_image, write_image
from tests.project import PROJECT


def make_project(folder):
    shutil.copytree(PROJECT / "workflow/config", folder / "workflow/config")
    (folder / "data").mkdir()
    shutil.copy(PROJECT / "data/catalogue.yaml", folder / "data")
    (folder / "params.yaml").write_text("profile: smoke\n")
    return folder


@pytest.fixture
def project(tmp_path):
    return make_project(tmp_path)


def irsde(folder, *arguments):
    """What the command does, in this process."""
    out, err = io.StringIO(), io.StringIO()
    code = None
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["irsde", *map(str, arguments)])
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main()
            except SystemExit as ended:
                code = ended.code
    return SimpleNamespace(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(folder, *arguments):
    before = contents(folder)
    done = irsde(folder, *arguments)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stdout == ""
    assert contents(folder) == before
    return done.stderr


def test_a_folder_that_cannot_be_written_is_named(project):
    for name in ("restored", "clean"):
        (project / name).mkdir()
        write_image(project / name / "a.png", np.full((16, 16, 3), 128, dtype=np.uint8))
    (project / "file").touch()
    command = ("evaluate", "--restored", "restored", "--reference", "clean", "--name", "mine")
    for out, where in (("/proc/nowhere/scored", "/proc/nowhere"), ("file/scored", "file")):
        done = irsde(project, *command, "--protocol", "rgb", "--out", out)
        assert done.returncode == 2
        last = done.stderr.splitlines()[-1]
        assert last.startswith(f"irsde: {out}: cannot be written ({where}: ")
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "--task", "deranig", "--method", "ir-sde"], "unknown task 'deranig': choose"),
        (["train", "--task", "denoising", "--method", "ir-sd"], "unknown method 'ir-sd': choose"),
        (["train", "--task", "denoising", "--method", "ir-sde+x"], "no variant 'ir-sde+x'"),
        (["train", "--task", "denoising"], "--method"),
        (["train", "--task", "denoising", "--method", "ir-sde", "--seed", "x"], "--seed"),
        (["train", "--task", "denoising", "--method", "ir-sde"], "irsde data check"),
        (["data", "prepare", "--task", "rain"], "unknown task 'rain'"),
        (["data", "prepare", "--task", "denoising", "--profile", "big"], "no profile 'big'"),
        (["data", "prepare", "--task", "denoising"], "irsde data fetch photographs-train"),
        (["data", "fetch"], "give names, or --profile"),
        (["data", "fetch", "rain100"], "no data set 'rain100'"),
        (["data", "fetch", "kodak24"], "by hand"),
        (["data", "list", "rain100"], "irsde data list shows all"),
        (["data", "adopt", "nowhere"], "nowhere"),
        (["data", "check", "--train", "photographs-train"], "give --train and --test"),
        (["data", "check", "--train", "a", "--test", "b"], "no data set in data/ and no folder"),
        (
            ["data", "check", "--task", "deraining"],
            "unknown task 'deraining': choose from denoising",
        ),
        (["evaluate", "--run", "results/smoke"], "not a run folder"),
        (["evaluate", "--run", "results/smoke/denoising/ir-sde/seed0"], "irsde train"),
        (["report"], "not evaluated yet"),
        (["plan", "--check"], "not the grid of smoke"),
        (["nonsense"], "No such command"),
        (["plan", "--profile", "../smoke"], "--profile: '../smoke' is no name"),
        (["evidence", "import", "--profile", "../escape"], "--profile: '../escape' is no name"),
        (["evidence", "import"], "no evidence there"),
        (["evidence", "export"], "no finished run"),
        (["track", "sync"], "results/smoke: no results; run snakemake or irsde train"),
        (["explain", "IR-SDE/PSNR"], "run irsde report first"),
        (["verify"], "run irsde report first"),
        (
            ["train", "--task", "denoising", "--method", "ir-sde", "--seed", "2147483648"],
            "give one from 0 to 2147483647",
        ),
        (["evaluate", "--run", "/elsewhere/results/smoke/denoising/ir-sde/seed0"], "not below"),
        (
            ["evaluate", "--run", "results/smoke/denoising/ir-sde/seed0", "--grid", "karras"],
            "unknown grid 'karras'",
        ),
    ],
)
def test_wrong_arguments_get_one_line(project, arguments, words):
    assert words in refused(project, *arguments)


def test_outside_a_project_the_reason_is_given(tmp_path):
    assert "params.yaml" in refused(tmp_path, "train", "--task", "denoising", "--method", "ir-sde")


def test_every_command_explains_itself():
    for command in (
        ["plan"],
        ["data", "list"],
        ["data", "fetch"],
        ["data", "adopt"],
        ["data", "check"],
        ["data", "fingerprint"],
        ["data", "figures"],
        ["data", "prepare"],
        ["train"],
        ["evaluate"],
        ["weights", "import"],
        ["restore"],
        ["report"],
        ["status"],
        ["average"],
        ["track", "sync"],
        ["track", "follow"],
        ["doctor"],
    ):
        done = irsde(PROJECT, *command, "--help")
        assert done.returncode == 0
        assert "Usage" in done.stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = make_project(tmp_path_factory.mktemp("project"))
    for arguments in (
        ["data", "fetch", "--profile", "smoke"],
        ["data", "prepare", "--task", "super-resolution"],
        ["train", "--task", "super-resolution", "--method", "regression"],
    ):
        assert irsde(folder, *arguments).returncode == 0
    return folder


@pytest.fixture
def evaluated(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "project")


RUN = "results/smoke/super-resolution/regression/seed0"
TEST_SET = "data/prepared/smoke/super-resolution/photographs-test"


def test_damaged_files_get_one_line(evaluated):
    evaluate = ["evaluate", "--run", RUN]
    image = evaluated / TEST_SET / "LQ/coffee_0.png"
    weights = evaluated / RUN / "weights.safetensors"
    card = evaluated / RUN / "run.json"
    for path, content, words in (
        (image, b"not an image", "coffee_0.png: not a readable"),
        (image, image.read_bytes()[:60], "coffee_0.png: not a readable"),
        (weights, weights.read_bytes()[:500], "weights.safetensors: not a readable"),
        (weights, weights.read_bytes()[:-4] + b"abcd", "not the weights that run.json records"),
        (card, b"{", "run.json: cannot be read"),
        (card, b"[]", "run.json: not a run card"),
    ):
        good = path.read_bytes()
        path.write_bytes(content)
        assert words in refused(evaluated, *evaluate)
        path.write_bytes(good)
    shutil.copy(evaluated / TEST_SET / "GT/coffee_0.png", image)
    assert "not the image that pairs.csv records" in refused(evaluated, *evaluate)


def test_a_photograph_is_restored_and_nothing_overwritten(evaluated):
    photo, out = f"{TEST_SET}/LQ/coffee_0.png", "restored"
    done = irsde(evaluated, "restore", photo, "--run", RUN, "--out", out)
    assert done.returncode == 0, done.stderr
    restored = read_image(evaluated / out / "coffee_0.png")
    assert restored.shape == (32, 32, 3)
    assert "exists already" in refused(evaluated, "restore", photo, "--run", RUN, "--out", out)
    assert "no such file" in refused(evaluated, "restore", "x.png", "--run", RUN, "--out", "o")
    irsde(evaluated, "restore", photo, "--run", RUN, "--out", "again")
    assert (evaluated / "again/coffee_0.png").read_bytes() == (
        evaluated / out / "coffee_0.png"
    ).read_bytes()


def test_weights_of_another_network_are_refused(evaluated):
    card = evaluated / RUN / "run.json"
    content = json.loads(card.read_text())
    content["settings"]["network"]["width"] = 12
    card.write_text(json.dumps(content))
    assert "weights of another network" in refused(evaluated, "evaluate", "--run", RUN)


def test_a_run_of_another_configuration_is_not_overwritten(evaluated):
    profile = evaluated / "workflow/config/smoke.yaml"
    profile.write_text(profile.read_text().replace("batch: 2", "batch: 4"))
    words = refused(evaluated, "train", "--task", "super-resolution", "--method", "regression")
    assert "differs in settings (training.batch 2, now 4)" in words
    assert "--overwrite" in words


def test_the_version_is_that_of_the_package(tmp_path):
    from irsde import __version__

    assert irsde(tmp_path, "--version").stdout == f"irsde {__version__}\n"
