"""Devices: one process a GPU, by lock files, and the settings that make results repeatable."""

import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from irsde.files import RESULTS, InputError
from irsde.machine.memory import keep_memory
from irsde.machine.world import ALONE, World

if TYPE_CHECKING:
    import torch
    from filelock import FileLock

SLOTS = RESULTS / ".slots"
SECONDS_BETWEEN_TRIES = 1.0
CPU_REFUSALS = ("can't allocate memory", "not enough memory")  # words of torch's CPU allocator


@contextmanager
def compute_device(threads: int, world: World = ALONE) -> "Iterator[torch.device]":
    """Device to compute on: a GPU that no other process of this project holds, else the CPU.

    Kernels are set to deterministic ones.

    Parameters
    ----------
    threads : int
        Threads of torch on the CPU. They come from the settings, because their number changes
        the last bits of a result.
    world : World
        Processes that share one run; each takes the GPU of its place among those its machine
        shows, which `launching.start_processes` holds for them.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch

    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("error")  # without the compiler, which takes 2 s to import
    if torch.cuda.device_count() == 0:
        keep_memory()
        yield torch.device("cpu")
        return
    torch.backends.cudnn.benchmark = False
    if world.size > 1:
        if world.local_rank >= torch.cuda.device_count():
            raise InputError(
                f"process {world.local_rank} has no GPU of its own: this machine shows "
                f"{torch.cuda.device_count()}; start fewer"
            )
        torch.cuda.set_device(world.local_rank)
        yield torch.device("cuda", world.local_rank)
        return
    with held_gpus(1) as (number,):
        yield torch.device("cuda", number)


@contextmanager
def held_gpus(count: int) -> Iterator[list[int]]:
    """Numbers of so many GPUs of this machine, held until the block ends; none where it has none.

    Snakemake and DVC count GPUs but do not say which one a job may take; a lock file for each
    does. Its name is that of the card, so that jobs of a cluster whose nodes share the folder do
    not wait for each other. Where too few are free, this waits, and meanwhile holds none.

    Raises
    ------
    InputError
        If the machine has GPUs, but fewer.
    """
    import torch

    present = torch.cuda.device_count()
    if present == 0:
        yield []
        return
    if present < count:
        raise InputError(
            f"{count} processes need a GPU each and this machine has {present}; set fewer "
            "processes in the profile"
        )
    from filelock import FileLock

    SLOTS.mkdir(parents=True, exist_ok=True)
    names = [torch.cuda.get_device_properties(number).uuid for number in range(present)]
    locks = [FileLock(SLOTS / f"{name}.lock") for name in names]
    held = _acquired(locks, count)
    if len(held) < count:
        print(f"waiting for {count} of {present} GPUs", file=sys.stderr, flush=True)  # noqa: T201
    while len(held) < count:
        time.sleep(random.uniform(0.5, 1.5) * SECONDS_BETWEEN_TRIES)
        held = _acquired(locks, count)
    try:
        yield held
    finally:
        for number in held:
            locks[number].release()


def _acquired(locks: "Sequence[FileLock]", count: int) -> list[int]:
    """Numbers of the locks that were taken: so many of them, or none."""
    from filelock import Timeout

    taken: list[int] = []
    for number, lock in enumerate(locks):
        if len(taken) == count:
            break
        with suppress(Timeout):
            lock.acquire(timeout=0)
            taken.append(number)
    if len(taken) < count:
        for number in taken:
            locks[number].release()
        return []
    return taken


def device_name(device: "torch.device") -> str:
    """Name of a device for run cards, such as "cpu, 1 thread" or "NVIDIA H100"."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"cpu, {threads} thread{'s' if threads > 1 else ''}"


def memory_text(device: "torch.device") -> str:
    """Memory of a device for messages, such as "the 80 GiB of NVIDIA H100"."""
    import torch

    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory / 2**30
        return f"the {total:.0f} GiB of {device_name(device)}"
    return f"the memory of {device_name(device)}"


@contextmanager
def refusing_too_little_memory(message: Callable[[], str]) -> Iterator[None]:
    """Turn the errors by which a device or the system refuses memory into one line.

    What the system grants and takes back later, by killing the process, is not seen here.

    Parameters
    ----------
    message : callable () -> str
        What does not fit, and what would.

    Raises
    ------
    InputError
        With that message.
    """
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, MemoryError):
        raise InputError(message()) from None
    except RuntimeError as error:  # torch's allocator of the CPU has no error of its own
        if not any(words in str(error) for words in CPU_REFUSALS):
            raise
        raise InputError(message()) from None
