"""Starting a command again in several processes, each on a GPU of its own."""

import os
import sys
from collections.abc import Sequence

from irsde.devices import held_gpus
from irsde.interruption import SIGNALS, STOPPED_EXIT_CODE

SECONDS_TO_STOP = 600  # for an update or a validation image, after which they are killed


def start_processes(count: int) -> None:
    """Run the command of this process in several, by torchrun, and wait for them.

    Each has a GPU of its own where there are any. Signals that ask a training to stop go on to all
    of them. Ends this process with the exit code of the first that failed, or with that of a
    stopped training.

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
    try:
        with held_gpus(count) as numbers:
            _show_only(numbers)
            run(arguments)  # type: ignore[no-untyped-call]
    except ChildFailedError as error:
        sys.exit(error.get_first_failure()[1].exitcode)
    except SignalException:  # the processes have said where they stopped
        sys.exit(STOPPED_EXIT_CODE)


def _show_only(numbers: Sequence[int]) -> None:
    """Let processes started from here see these GPUs, of those that this one sees."""
    if numbers:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = (
            visible.split(",") if visible else [str(number) for number in range(max(numbers) + 1)]
        )
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(names[number] for number in numbers)
