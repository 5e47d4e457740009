"""Progress of a stage: a bar on a terminal, a line every few seconds in a log."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

T = TypeVar("T")
SECONDS_BETWEEN_LINES = 5.0


def track(
    items: Iterable[T],
    label: str,
    total: int,
    done: int = 0,
    patches: int = 0,
    size: Callable[[T], int] = lambda _: 1,
) -> Iterator[T]:
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
    patches : int
        Patches in an item, to give the speed in them; in items unless given.
    size : callable (item) -> int
        How much of the total an item is.
    """
    if sys.stderr.isatty():
        yield from _bar(items, label, total, done, patches, size)
    else:
        yield from _lines(items, label, total, done, patches, size)


class _Speed(ProgressColumn):
    """Items or patches per second."""

    def __init__(self, patches: int) -> None:
        super().__init__()
        self.patches = patches

    def render(self, task: Task) -> Text:
        """Speed of a task as text; empty before it is known."""
        return Text(_speed(task.speed, self.patches) if task.speed else "")


def _speed(rate: float, patches: int) -> str:
    return f"{rate * patches:.0f} patches/s" if patches else f"{rate:.2f}/s"


def _bar(
    items: Iterable[T],
    label: str,
    total: int,
    done: int,
    patches: int,
    size: Callable[[T], int],
) -> Iterator[T]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Speed(patches),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(label, total=total, completed=done)
        for item in items:
            yield item
            progress.advance(task, size(item))


def _lines(
    items: Iterable[T],
    label: str,
    total: int,
    done: int,
    patches: int,
    size: Callable[[T], int],
) -> Iterator[T]:
    start = last = time.monotonic()
    count = 0
    for item in items:
        yield item
        count += size(item)
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES or done + count == total:
            last = now
            left = (now - start) / count * (total - done - count)
            rate = count / max(now - start, 1e-9)
            print(  # noqa: T201 (the log is what this function is for)
                f"{label}: {done + count}/{total}, {_speed(rate, patches)}, {left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )
