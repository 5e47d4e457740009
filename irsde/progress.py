"""Progress of a stage on standard error: a bar on a terminal, a line now and then in a log."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
SECONDS_BETWEEN_LINES = 10.0


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
        yield from _with_bar(items, label, total, done, size)
        return
    unit = "patches" if patches else "items"
    start = last = time.monotonic()
    completed = done
    for item in items:
        yield item
        completed += size(item)
        now = time.monotonic()
        if completed >= total or now - last >= SECONDS_BETWEEN_LINES:
            last, rate = now, (completed - done) / max(now - start, 1e-9)
            print(  # noqa: T201 (the log is what this is for)
                f"{label}: {completed}/{total}, {rate * (patches or 1):.2f} {unit}/s, "
                f"{_duration((total - completed) / rate)} left",
                file=sys.stderr,
                flush=True,
            )


def _with_bar(
    items: Iterable[T], label: str, total: int, done: int, size: Callable[[T], int]
) -> Iterator[T]:
    """Iterate beside a bar on a terminal."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import MofNCompleteColumn, Progress

    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(
        *columns,
        console=Console(stderr=True),
        speed_estimate_period=600,  # an item may take minutes
    ) as progress:
        task = progress.add_task(escape(label), total=total, completed=done)
        for item in items:
            yield item
            progress.advance(task, size(item))


def _duration(seconds: float) -> str:
    """Seconds as a reader takes them in: 40 s, 12 min, 3 h 20 min."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
