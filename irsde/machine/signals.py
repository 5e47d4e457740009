"""Signals that ask a training to stop: it writes a checkpoint and ends, to be started again."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPPED_EXIT_CODE = 75  # "temporary failure, try again" of sysexits.h

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
SECONDS_OF_ONE = 1.0  # in which further signals of a kind are the same one: timeout(1) sends two


class StoppedError(Exception):
    """Training ended early and the same command goes on later.

    It was asked to stop and has written a checkpoint, or another process trains the run.
    """


class StopRequest:
    """Whether a signal has asked this process to stop."""

    def __init__(self) -> None:
        self.signal: str | None = None

    def __bool__(self) -> bool:
        """True once a signal has come."""
        return self.signal is not None


@contextmanager
def stop_on_signals(*, repeated: bool = False) -> Iterator[StopRequest]:
    """Note SIGTERM, SIGUSR1 (which Slurm can send before it pre-empts) and Ctrl-C.

    Parameters
    ----------
    repeated : bool
        True where a signal may come twice, from outside and through the process that started this
        one, or from Slurm, which sends two before it pre-empts; else a second one of the same kind
        does what it usually does. In a job of Slurm a process that was asked ignores further ones
        until it ends.
    """
    request = StopRequest()
    asked: dict[int, float] = {}

    def note(number: int, _: FrameType | None) -> None:
        request.signal = signal.Signals(number).name
        since = time.monotonic() - asked.setdefault(number, time.monotonic())
        if not repeated and since > SECONDS_OF_ONE:
            signal.signal(number, before[signal.Signals(number)])
            signal.raise_signal(number)

    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, note)
    try:
        yield request
    finally:
        is_ending = repeated and request and "SLURM_JOB_ID" in os.environ
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if is_ending else handler)
