"""Several processes that train one network: who does which part of a batch, and their sums."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from irsde.files import InputError
from irsde.interruption import SIGNALS, STOPPED_EXIT_CODE

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


@dataclass(frozen=True)
class World:
    """The processes that work on one run, as `torchrun` starts them.

    Parameters
    ----------
    rank : int
        Number of this process; the first one writes files.
    size : int
        How many there are.
    local_rank : int
        Number of this process on its machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """True in the process that writes files."""
        return self.rank == 0

    def share(self, count: int) -> range:
        """Indices of the elements of a batch that this process computes."""
        return range(self.rank, count, self.size)

    def sum(self, value: "Tensor") -> None:
        """Add a tensor of all processes in place."""
        if self.size > 1:
            from torch import distributed

            distributed.all_reduce(value)

    def any(self, flag: bool, device: "torch.device") -> bool:
        """True in all processes if `flag` is True in one of them."""
        if self.size == 1:
            return flag
        import torch

        count = torch.tensor(float(flag), device=device)
        self.sum(count)
        return bool(count > 0)

    def gather(self, part: Any) -> list[Any]:
        """What each process has, in the order of their ranks."""
        if self.size == 1:
            return [part]
        from torch import distributed

        parts: list[Any] = [None] * self.size
        distributed.all_gather_object(parts, part)
        return parts

    def wrapped(self, network: "nn.Module") -> "nn.Module":
        """Network whose gradients are averaged over all processes."""
        if self.size == 1:
            return network
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(network)

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            from torch import distributed

            distributed.barrier()


ALONE = World()


def world_of_environment() -> World:
    """The world that `torchrun` describes in the environment; one process without it."""
    rank, size, local = (
        int(os.environ.get(name, default))
        for name, default in (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))
    )
    return World(rank, size, local)


@contextmanager
def joined(world: World, device: "torch.device") -> Iterator[None]:
    """Connect the processes of a world: NCCL between GPUs, gloo between CPUs.

    Raises
    ------
    InputError
        If they cannot find each other.
    """
    if world.size == 1:
        yield
        return
    from torch import distributed

    try:
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"{world.size} processes cannot connect ({' '.join(str(error).split())[:200]}); "
            "start them with torchrun"
        ) from None
    try:
        yield
    finally:
        distributed.destroy_process_group()


def start_processes(count: int) -> None:
    """Run the command of this process in several, by torchrun, and wait for them.

    Signals that ask a training to stop go on to all of them. Ends this process with the exit code
    of the first that failed, or with that of a stopped training.
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
            "-m",
            "irsde.cli",
        ]
    )
    arguments.training_script_args = sys.argv[1:]
    try:
        run(arguments)  # type: ignore[no-untyped-call]
    except ChildFailedError as error:
        sys.exit(error.get_first_failure()[1].exitcode)
    except SignalException:  # the processes have said where they stopped
        sys.exit(STOPPED_EXIT_CODE)
