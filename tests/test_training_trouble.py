"""Training that something gets in the way of: validations, signals, too little memory."""

import functools
import os
import shutil
import signal
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from irsde import cli
from irsde.experiment.grid import Run
from irsde.experiment.profile import load_profile
from irsde.files import InputError, read_json
from irsde.machine import launch
from irsde.machine.devices import refusing_too_little_memory
from irsde.machine.signals import STOPPED_EXIT_CODE, StoppedError
from irsde.machine.world import World
from irsde.training import loop, prediction, validation
from irsde.training.prediction import overview
from irsde.training.run import train
from irsde.training.validation import validate
from tests.project import settings, small_project

TASK = "denoising"
TOLD = []  # what processes told each other


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return small_project(tmp_path_factory.mktemp("trouble"), TASK)


@pytest.fixture(autouse=True)
def project(prepared, monkeypatch):
    """The prepared project, without the runs of other tests."""
    monkeypatch.chdir(prepared)
    shutil.rmtree("results", ignore_errors=True)
    return prepared


settings = functools.partial(settings, validation_images=1)


def run(method="ir-sde"):
    return Run("smoke", TASK, method, 0)


def checkpoints(method="ir-sde"):
    found = (run(method).folder / "checkpoint").glob("[0-9]*.safetensors")
    return sorted(int(path.stem) for path in found)


def irsde(*arguments):
    """Exit code and output of a command."""
    found = CliRunner().invoke(cli.app, [*arguments])
    assert found.exception is None or isinstance(found.exception, SystemExit | InputError)
    return found.exit_code, found.output + str(found.exception or "")


def test_a_validation_that_fails_costs_no_iterations(project, monkeypatch):
    asked = settings("ir-sde", iterations=9, validate_every=3, checkpoint_every=100)
    validated = []

    def failing(*arguments):
        validated.append(arguments)
        if len(validated) == 2:
            raise InputError("too large")
        return validate(*arguments)

    monkeypatch.setattr(loop, "validate", failing)
    with pytest.raises(InputError, match="too large"):
        train(run(), asked, overwrite=False)
    assert checkpoints() == [6]
    assert "resumed at 6" in train(run(), asked, overwrite=False)
    weights = (run().folder / "weights.safetensors").read_bytes()
    history = (run().folder / "training.csv").read_bytes()
    shutil.rmtree(run().folder)
    train(run(), asked, overwrite=False)
    assert (run().folder / "weights.safetensors").read_bytes() == weights
    assert (run().folder / "training.csv").read_bytes() == history


def test_a_signal_is_seen_between_the_steps_of_a_validation(project, monkeypatch):
    """At the third of 20 evaluations of the first image."""
    calls = []
    asked = settings("ir-sde", iterations=1, validation_nfe=20)
    built = validation.restorer_of

    def counting(its_settings, network):
        restorer = built(its_settings, network)

        def noted(*arguments):
            calls.append(arguments)
            if len(calls) == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            return network(*arguments)

        object.__setattr__(restorer, "network", noted)
        return restorer

    monkeypatch.setattr(validation, "restorer_of", counting)
    with pytest.raises(StoppedError, match="by SIGTERM at iteration 1 of 1"):
        train(run(), asked, overwrite=False)
    assert len(calls) == 3
    assert checkpoints() == [1]


class Several(World):
    """One of two processes of which the other does nothing; it counts what they tell each other."""

    def sum(self, value):
        TOLD.append(value.clone())

    def any(self, flag, device):
        self.sum(torch.tensor(float(flag)))
        return flag

    def share(self, count):
        return range(count)

    def gather(self, part):
        return [part]

    def wrapped(self, network):
        return network

    def wait(self):
        pass


@pytest.fixture
def several(monkeypatch):
    monkeypatch.setattr(loop, "world_of_environment", lambda: Several(0, 2))
    monkeypatch.setattr(loop, "joined", lambda *_: refusing_too_little_memory(str))
    TOLD.clear()
    return TOLD


def test_processes_ask_each_other_now_and_then_whether_to_stop(project, several):
    """Each of 60 updates sums its loss; that the processes also ask each other is rare."""
    train(run(), settings("ir-sde", iterations=60, validate_every=60), overwrite=False)
    assert 60 < len(several) < 60 + 20


def test_processes_ask_each_other_as_often_as_a_signal_may_wait(project, several, monkeypatch):
    monkeypatch.setattr(loop, "ASK_EVERY", 0)
    asked = settings("ir-sde", iterations=40, validate_every=40, checkpoint_every=100)
    update = loop.Update.__call__

    def stopping(self, *arguments):
        if arguments[3] == 7:
            os.kill(os.getpid(), signal.SIGUSR1)
        return update(self, *arguments)

    monkeypatch.setattr(loop.Update, "__call__", stopping)
    with pytest.raises(StoppedError, match="by SIGUSR1 at iteration 8 of 40"):
        train(run(), asked, overwrite=False)
    assert checkpoints() == [8]


def cpu_allocator(*_, **__):
    torch.empty(10**17)


def numpy_allocator(*_, **__):
    raise MemoryError


@pytest.mark.parametrize("refusal", [cpu_allocator, numpy_allocator])
@pytest.mark.parametrize(
    ("place", "words"),
    [
        (
            "irsde.training.update.training_loss",
            r"patches of 16x16 pixels, 2 at once, do not fit",
        ),
        ("irsde.training.loop.make_optimizer", "the network, its averages .* do not fit into"),
        (
            "irsde.restoration.restorer.trajectory",
            r"validation image \S+ of 32x32 pixels does not fit",
        ),
    ],
)
def test_too_little_memory_of_a_cpu_gives_one_line(project, monkeypatch, refusal, place, words):
    monkeypatch.setattr(place, refusal)
    with pytest.raises(InputError, match=words) as error:
        train(run(), settings("ir-sde"), overwrite=False)
    assert "\n" not in str(error.value)


def test_other_errors_of_torch_are_not_taken_for_too_little_memory():
    with pytest.raises(RuntimeError, match="size of tensor"), refusing_too_little_memory(str):
        torch.ones(2) + torch.ones(3)


@pytest.fixture
def calibrated_here(monkeypatch):
    """Calibrations in this process, of which some do not fit."""
    too_large = set()

    def measure(run, its_settings):
        if run.method in too_large:
            raise InputError("patches of 16x16 pixels do not fit")
        return prediction.Speed("cpu", 1000, 0.5, 1e-6, 2**30)

    def here(run, its_settings):
        try:
            return measure(run, its_settings)
        except InputError as error:
            return error

    monkeypatch.setattr(prediction, "_measured_apart", here)
    return too_large


def test_a_run_that_does_not_fit_is_one_line_of_a_dry_run(project, calibrated_here):
    calibrated_here.add("regression")
    shown = overview(load_profile("smoke"), TASK)
    line = next(line for line in shown.splitlines() if line.startswith("denoising/regression"))
    assert line.split() == ["denoising/regression", "1", *["n/a"] * 5]
    assert "denoising/ir-sde+l2" in shown
    assert "1 runs on cpu: 0.0 h one after the other" in shown
    assert shown.endswith("n/a: denoising/regression: patches of 16x16 pixels do not fit")
    calibrated_here.add("ir-sde+l2")
    with pytest.raises(InputError, match="denoising/regression: patches of 16x16 pixels"):
        overview(load_profile("smoke"), TASK)


def test_a_dry_run_is_of_the_seed_that_is_given(project, calibrated_here):
    profile = Path("workflow/config/seeds.yaml")
    profile.write_text("like: smoke\nseeds: [0, 4, 5]\n")
    dry = ("train", "--profile", "seeds", "--task", TASK, "--dry-run")
    assert "6 runs on cpu" in irsde(*dry)[1]
    assert "2 runs on cpu" in irsde(*dry, "--seed", "4")[1]
    code, output = irsde(*dry, "--seed", "7")
    assert code
    assert "has no run of denoising of seed 7 with a network" in output
    profile.unlink()


@pytest.mark.parametrize(
    "option", ["--overwrite", "--allow-leakage", "--continue-to=9", "--from=a"]
)
def test_a_dry_run_refuses_options_without_effect(project, option):
    code, output = irsde("train", "--profile", "smoke", "--dry-run", option)
    assert code
    assert f"{option.partition('=')[0]} has no effect" in output


@pytest.mark.parametrize(
    ("told", "code", "expected"),
    [
        ("stopped", STOPPED_EXIT_CODE, STOPPED_EXIT_CODE),
        ("finished", STOPPED_EXIT_CODE, None),
        ("", STOPPED_EXIT_CODE, 1),
        ("", 2, 2),
        ("", -9, 1),
    ],
)
def test_a_stopped_run_of_several_processes_ends_with_75_only_with_a_checkpoint(
    project, capsys, monkeypatch, told, code, expected
):
    """The first process tells the one that started it how it ended."""
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

    def ended(_):
        monkeypatch.setenv("RANK", "0")
        monkeypatch.setenv("WORLD_SIZE", "2")
        try:
            with launch.reported_end():
                if told == "stopped":
                    raise StoppedError
                if not told:
                    raise InputError("the disk is full")
        except (StoppedError, InputError):
            pass
        if code == STOPPED_EXIT_CODE:
            raise SignalException("asked to stop", signal.SIGTERM)
        raise ChildFailedError("irsde", {0: ProcessFailure(0, 1, code, "")})

    monkeypatch.setattr(torchrun, "run", ended)
    if expected is None:
        launch.start_processes(2)
    else:
        with pytest.raises(SystemExit) as left:
            launch.start_processes(2)
        assert left.value.code == expected
    error = capsys.readouterr().err
    assert error.count("\n") == (expected == 1)
    if expected == 1:
        assert "signal 9 killed one" in error or "run the same command again" in error


def test_a_run_that_another_process_trains_can_be_tried_again(project, monkeypatch):
    codes = []

    def second():
        codes.append(
            irsde_main("train", "--profile", "smoke", "--task", TASK, "--method", "ir-sde")
        )

    def irsde_main(*arguments):
        monkeypatch.setattr("sys.argv", ["irsde", *arguments])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return left.value.code

    train(run(), settings("ir-sde", iterations=1), overwrite=False, follow=second)
    assert codes == [STOPPED_EXIT_CODE]
    assert read_json(run().folder / "run.json")["iterations"] == 1
