"""Progress: lines in a log, a bar on a terminal, nothing on standard output."""

import sys

from irsde import terminal
from irsde.terminal import track


def test_a_log_gets_a_line_now_and_then_and_one_at_the_end(capsys, monkeypatch):
    assert list(track([1, 2, 3], "counting", 6, size=lambda item: item)) == [1, 2, 3]
    assert capsys.readouterr().err.startswith("counting: 6/6, ")
    monkeypatch.setattr(terminal, "SECONDS_BETWEEN_LINES", 0)
    list(track(range(2), "training", 5, done=3, patches=16))
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split(",")[0] for line in err.splitlines()] == ["training: 4/5", "training: 5/5"]
    assert "patches/s, 0 s left" in err


def test_a_terminal_gets_a_bar(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    list(track(range(2), "[b] counting", 5, done=3))
    out, err = capsys.readouterr()
    assert out == ""
    assert "[b] counting" in err
    assert "5/5" in err
