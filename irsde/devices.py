"""Devices: one process a GPU, by lock files, and the settings that make results repeatable."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from irsde.parallel import ALONE, World
from irsde.plan import RESULTS

if TYPE_CHECKING:
    import torch

SLOTS = RESULTS / ".slots"


@contextmanager
def compute_device(threads: int, world: World = ALONE) -> "Iterator[torch.device]":
    """Device to compute on: a GPU that no other process of this project holds, else the CPU.

    Snakemake and DVC count GPUs but do not say which one a job may take; a lock file for each
    does. Where all are taken, this waits. Kernels are set to deterministic ones.

    Parameters
    ----------
    threads : int
        Threads of torch on the CPU. They come from the settings, because their number changes
        the last bits of a result.
    world : World
        Processes that share one training; each takes the GPU of its place on its machine.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch

    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    count = torch.cuda.device_count()
    if count == 0:
        yield torch.device("cpu")
        return
    torch.backends.cudnn.benchmark = False
    if world.size > 1:
        torch.cuda.set_device(world.local_rank)
        yield torch.device("cuda", world.local_rank)
        return
    slot, lock = _free_slot(count)
    try:
        yield torch.device("cuda", slot)
    finally:
        lock.release()


def _free_slot(count: int) -> tuple[int, FileLock]:
    SLOTS.mkdir(parents=True, exist_ok=True)
    locks = [FileLock(SLOTS / f"gpu{slot}.lock") for slot in range(count)]
    while True:
        for slot, lock in enumerate(locks):
            try:
                lock.acquire(timeout=0.5)
            except Timeout:
                continue
            return slot, lock


def device_name(device: "torch.device") -> str:
    """Name of a device for run cards, such as "cpu, 1 thread" or "NVIDIA H100"."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"cpu, {threads} thread{'s' if threads > 1 else ''}"
