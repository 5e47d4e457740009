"""Text for terminals that cannot show every character."""

import codecs
import io
import sys
import unicodedata

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
