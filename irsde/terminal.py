"""Text for terminals: as wide as they are, and in characters that they can show."""

import codecs
import io
import shutil
import sys
import textwrap
import unicodedata
from typing import TextIO, cast

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
