"""Several processes that train one network: who does which part of a batch, and their sums."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from irsde.files import InputError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

T = TypeVar("T")


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

    def gather(self, part: T) -> list[T]:
        """What each process has, in the order of their ranks."""
        if self.size == 1:
            return [part]
        from torch import distributed

        parts = [part] * self.size
        distributed.all_gather_object(parts, part)
        return parts

    def gathered(self, make: Callable[[], T]) -> list[T]:
        """What each process makes, in the order of their ranks.

        Raises
        ------
        InputError
            In all processes, if one of them raises it.
        """
        if self.size == 1:
            return [make()]
        part: T | InputError
        try:
            part = make()
        except InputError as error:
            part = error
        made: list[T] = []
        for found in self.gather(part):
            if isinstance(found, InputError):
                raise found
            made.append(found)
        return made

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
LONGEST_WAIT = timedelta(hours=1)  # of a process for the others, as for one large validation image


def world_of_environment() -> World:
    """The world that `torchrun` describes in the environment; one process without it.

    Raises
    ------
    InputError
        If the variables are no numbers, or the rank is none of that many processes.
    """
    given = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}
    texts = {name: os.environ.get(name, default) for name, default in given.items()}
    if not all(text.isdecimal() for text in texts.values()):
        shown = ", ".join(f"{name}={text}" for name, text in texts.items())
        raise InputError(f"{shown}: are numbers where torchrun sets them; unset them otherwise")
    rank, size, local = (int(text) for text in texts.values())
    if rank >= size:
        raise InputError(f"RANK={rank} is none of WORLD_SIZE={size}; unset them, or use torchrun")
    return World(rank, size, local)


@contextmanager
def joined(world: World, device: "torch.device") -> Iterator[None]:
    """Connect the processes of a world: NCCL between GPUs, gloo between CPUs.

    A process that fails leaves without waiting for the others, which torchrun then ends.

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
        distributed.init_process_group(
            "nccl" if device.type == "cuda" else "gloo", timeout=LONGEST_WAIT
        )
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"{world.size} processes cannot connect ({' '.join(str(error).split())[:200]}); "
            "start them with torchrun"
        ) from None
    yield
    distributed.destroy_process_group()
