"""The cores of this machine: how many may be used, and calls on several at once."""

import ctypes
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from irsde.files import InputError

T = TypeVar("T")

PR_SET_PDEATHSIG = 1  # of Linux's prctl.h

_calls: Sequence[Callable[[], object]] = ()  # of a fork


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_forks(calls: Sequence[Callable[[], T]], processes: int) -> list[T]:
    """Results of calls, in their order, made by forks of this process.

    What a call needs is not copied; what it returns is. Without forks that can be trusted, so
    outside Linux, and with one process they are made here.

    Parameters
    ----------
    calls : sequence of callables without arguments
        Begun in this order.
    processes : int
        How many at once; no more than cores that may be used.

    Raises
    ------
    InputError
        If a fork was killed. What a call raises is raised here, that of the first in their order.
    """
    count = min(processes, available_cores(), len(calls))
    if count <= 1 or sys.platform != "linux":
        return [call() for call in calls]
    context = multiprocessing.get_context("fork")
    with warnings.catch_warnings():
        # Python 3.12 warns where libraries have threads; these have handlers, or `_begin` for them
        warnings.simplefilter("ignore", DeprecationWarning)
        with ProcessPoolExecutor(count, context, _begin, (calls, os.getpid())) as pool:
            try:
                return list(pool.map(_made, range(len(calls))))  # type: ignore[arg-type]
            except BrokenProcessPool:
                raise InputError(
                    "a process was killed; the machine's memory may be too small for "
                    f"{count} at once"
                ) from None


def _begin(calls: Sequence[Callable[[], object]], parent: int) -> None:
    """Take what to call; end with the process that forked, and do without threads of torch.

    Those of OpenMP are gone after a fork, and torch would wait for them.
    """
    global _calls
    _calls = calls
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)


def _made(index: int) -> object:
    return _calls[index]()
