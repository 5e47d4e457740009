"""Progress of a stage: a bar on a terminal, a line every few seconds in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

T = TypeVar("T")
SECONDS_BETWEEN_LINES = 5.0


def track(items: Iterable[T], label: str, total: int, done: int = 0) -> Iterator[T]:
    """Iterate while showing progress on standard error.

    Parameters
    ----------
    items : iterable
    label : str
        What is being done.
    total : int
        Number of items in all, those already done included.
    done : int
        Items done before, as when training resumes.
    """
    if sys.stderr.isatty():
        yield from _bar(items, label, total, done)
    else:
        yield from _lines(items, label, total, done)


def _bar(items: Iterable[T], label: str, total: int, done: int) -> Iterator[T]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(label, total=total, completed=done)
        for item in items:
            yield item
            progress.advance(task)


def _lines(items: Iterable[T], label: str, total: int, done: int) -> Iterator[T]:
    start = last = time.monotonic()
    for count, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES or done + count == total:
            last = now
            left = (now - start) / count * (total - done - count)
            rate = count / max(now - start, 1e-9)
            print(  # noqa: T201 (the log is what this function is for)
                f"{label}: {done + count}/{total}, {rate:.2f} per second, {left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )
