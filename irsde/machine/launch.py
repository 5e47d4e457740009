"""Starting a command again in several processes, each on a GPU of its own."""

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from irsde.machine.devices import held_gpus
from irsde.machine.signals import SIGNALS, STOPPED_EXIT_CODE, StoppedError
from irsde.machine.world import world_of_environment

FAILED_EXIT_CODE = 1
STOPPED, FINISHED = "stopped", "finished"
REPORT = "IRSDE_STARTER_REPORT"  # file in which the first process tells how it ended
SECONDS_TO_STOP = 600  # for an update or a validation image, after which they are killed


def start_processes(count: int) -> None:
    """Run the command of this process in several, by torchrun, and wait for them.

    Each has a GPU of its own where there are any. Signals that ask a training to stop go on to all
    of them. Ends this process with the exit code of the first that failed. That of a stopped
    training stands for a whole checkpoint: it is given only where the first process, which writes
    it for all, says so.

    Raises
    ------
    InputError
        If the machine has GPUs, but fewer than that.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import get_args_parser, run

    signals = ",".join(number.name for number in SIGNALS)
    arguments = get_args_parser().parse_args(
        [
            "--standalone",
            f"--nproc_per_node={count}",
            f"--signals-to-handle={signals}",
            f"--shutdown-timeout={SECONDS_TO_STOP}",
            "-m",
            "irsde.cli",
        ]
    )
    arguments.training_script_args = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder, held_gpus(count) as numbers:
        report = Path(folder) / "report"
        os.environ[REPORT] = str(report)
        _show_only(numbers)
        try:
            run(arguments)  # type: ignore[no-untyped-call]
        except ChildFailedError as error:
            _leave(report, error.get_first_failure()[1].exitcode)
        except SignalException:
            _leave(report, STOPPED_EXIT_CODE)
        finally:
            del os.environ[REPORT]


def _leave(report: Path, code: int) -> None:
    """End this process as those it started did, of which the first may have reported."""
    told = report.read_text() if report.is_file() else ""
    if code == STOPPED_EXIT_CODE and told == FINISHED:
        return
    if code == STOPPED_EXIT_CODE and told != STOPPED:
        _fail("ended before they had finished or saved where they were; run the same command again")
    if code < 0:
        _fail(f"ended, as signal {-code} killed one of them: is the memory enough for all?")
    sys.exit(code)


def _fail(how: str) -> NoReturn:
    print(f"irsde: the processes {how}", file=sys.stderr)  # noqa: T201
    sys.exit(FAILED_EXIT_CODE)


@contextmanager
def reported_end() -> Iterator[None]:
    """Tell `start_processes`, where that started this process, how the training in it ended."""
    report = os.environ.get(REPORT)
    if report is None or not world_of_environment().is_first:
        yield
        return
    try:
        yield
    except StoppedError:
        Path(report).write_text(STOPPED)
        raise
    Path(report).write_text(FINISHED)


def _show_only(numbers: Sequence[int]) -> None:
    """Let processes started from here see these GPUs, of those that this one sees."""
    if numbers:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = (
            visible.split(",") if visible else [str(number) for number in range(max(numbers) + 1)]
        )
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(names[number] for number in numbers)
