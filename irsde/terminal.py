"""Text and bars for terminals, as wide as they are and in characters that they can show."""

import codecs
import io
import shutil
import sys
import textwrap
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TextIO, TypeVar, cast

T = TypeVar("T")
SECONDS_BETWEEN_LINES = 10.0

HANDLER = "irsde.plain"
PLAIN = {
    "−": "-",
    "–": "-",
    "—": "-",
    "─": "-",
    "±": "+-",
    "×": "x",
    "≈": "~",
    "≤": "<=",
    "≥": ">=",
    "↑": "^",
    "↓": "v",
    "→": "->",
    "∞": "inf",
    "│": "|",
    "├": "|",
    "└": "`",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
}


def plain(text: str) -> str:
    """Text in ASCII, as near to what it says as that allows.

    Examples
    --------
    >>> plain("−0.50 ≈ é…雨")
    '-0.50 ~ e...?'
    """
    return "".join(PLAIN.get(character) or _ascii(character) for character in text)


def _ascii(character: str) -> str:
    decomposed = unicodedata.normalize("NFKD", character)
    return decomposed.encode("ascii", "ignore").decode() or "?"


def _handle(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return plain(error.object[error.start : error.end]), error.end


def write_plainly() -> None:
    """Have standard output and error write characters that their encoding lacks in ASCII.

    A terminal of Latin-1, or a pipe in the locale C, then shows a report instead of ending it.
    """
    codecs.register_error(HANDLER, _handle)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=HANDLER)


def width_of(stream: TextIO) -> int | None:
    """Columns of the terminal that a stream writes to; None for a file or a pipe."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def folded(text: str, width: int | None) -> str:
    """Text with its long lines folded at spaces, what is left of them set in; all, without width.

    Examples
    --------
    >>> print(folded("  a line of six words here", 16))
      a line of six
          words here
    """
    if width is None:
        return text
    lines = []
    for line in text.split("\n"):
        if set(line) <= set("─- "):  # a rule of a table
            lines.append(line[:width])
            continue
        margin = " " * min(len(line) - len(line.lstrip()), width // 2)
        short = len(line) <= width
        lines += (
            [line]
            if short
            else textwrap.wrap(
                line.strip(),
                width,
                initial_indent=margin,
                subsequent_indent=f"{margin}    ",
                break_on_hyphens=False,
                break_long_words=False,
            )
        )
    return "\n".join(lines)


class Folding(io.TextIOBase):
    """Standard output whose lines are folded to the terminal's width as they end."""

    def __init__(self, stream: TextIO, width: int) -> None:
        self.stream, self.width, self.begun = stream, width, ""

    def write(self, text: str) -> int:
        """Write what is complete; the last line waits for its end."""
        *lines, self.begun = (self.begun + text).split("\n")
        for line in lines:
            self.stream.write(folded(line, self.width) + "\n")
        return len(text)

    def flush(self) -> None:
        """Write all of it."""
        if self.begun:
            self.stream.write(self.begun)
            self.begun = ""
        self.stream.flush()


def fold_to_terminal() -> None:
    """Fold standard output where it is a terminal."""
    if width := width_of(sys.stdout):
        sys.stdout = cast(TextIO, Folding(sys.stdout, width))


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    align: Sequence[str] | None = None,
    spare: Sequence[str] = (),
) -> str:
    """A table for standard output.

    On a terminal that it is too wide for, columns are left out until it fits: those without a
    value, then those of `spare` in their order. A line below the table names the latter.

    Parameters
    ----------
    header : sequence of str
    rows : sequence of sequence of str
        A cell for each column.
    align : sequence of {"left", "right"}, optional
        Of each column; all left unless given.
    spare : sequence of str
        Columns that can be missed, of `header`, the first to go first.
    """
    from tabulate import tabulate

    width = sys.stdout.width if isinstance(sys.stdout, Folding) else None
    align = align or ["left"] * len(header)

    def drawn(names: Sequence[str]) -> str:
        chosen = [header.index(name) for name in names]
        cells = [[row[k] for k in chosen] for row in rows]
        aligned = [align[k] for k in chosen]
        return tabulate(cells, names, "simple", colalign=aligned, disable_numparse=True)

    kept, left_out = list(header), []
    text = drawn(kept)
    empty = [name for k, name in enumerate(header) if not any(row[k] for row in rows)]
    for name in dict.fromkeys([*empty, *spare]):
        if width is None or len(text.partition("\n")[0]) <= width:
            break
        kept.remove(name)
        left_out += [name] if name not in empty else []
        text = drawn(kept)
    return f"{text}\nnot shown for want of width: {', '.join(left_out)}" if left_out else text


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
