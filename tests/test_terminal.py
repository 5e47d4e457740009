"""Commands on terminals that cannot show every character, and tables of names that look missing."""

import io
import re
import sys
from pathlib import Path

import pandas as pd
import pytest

from irsde import files
from irsde.cli import main
from irsde.experiment.recorded import PROVENANCE
from irsde.files import read_table
from irsde.report.lineage import lineage
from irsde.report.results import read_rows
from irsde.report.tables import quality_tables
from tests.fabricated import fabricate
from tests.test_comparing import write

PACKAGE = Path(files.__file__).parent


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tables = quality_tables(read_rows(fabricate(images=12, label="{} é雨")), {})
    lineage(tables, "made").write(PROVENANCE)
    return write(Path("a"), 0.0, "first"), write(Path("b"), 1.0, "the second")


def printed(monkeypatch, encoding, *arguments):
    """Exit code and output of a command whose standard streams have an encoding."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding) for _ in range(2)]
    monkeypatch.setattr(sys, "argv", ["irsde", *map(str, arguments)])
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    with pytest.raises(SystemExit) as ended:
        main()
    for stream in streams:
        stream.flush()
    return ended.value.code, *(stream.buffer.getvalue().decode(encoding) for stream in streams)


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_compare_and_explain_write_what_a_terminal_can_show(encoding, folders, monkeypatch):
    code, text, _ = printed(monkeypatch, encoding, "compare", *folders)
    assert code == 0
    assert re.search(r"\n-+\n", text)  # lines of a table
    assert "PSNR (dB) ^" in text
    assert re.search(r"-\d\.\d\d +-\d\.\d\d to -\d\.\d\d", text)
    address = "reports/tables.md:denoising-photographs-test"
    code, text, _ = printed(monkeypatch, encoding, "explain", address)
    assert code == 0
    assert "`-- columns" in text
    assert ("é?" if encoding == "latin-1" else "e?") in text


def test_errors_are_written_too(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    code, _, text = printed(monkeypatch, "ascii", "compare", "雨→", "b")
    assert code == 2
    assert text.startswith("irsde: ?->: no such folder; ")


def test_terminals_of_utf_8_are_left_as_they_are(folders, monkeypatch):
    _, text, _ = printed(monkeypatch, "utf-8", "compare", *folders)
    assert "PSNR (dB) ↑" in text
    assert "−" in text


def test_names_that_look_missing_are_read_as_they_are(tmp_path):
    names = ["NA", "null", "nan", "None", "", "007", "1e3", "N/A", "#N/A"]
    table = pd.DataFrame({"image": names, "psnr": [1.5, None, float("inf"), *range(6)]})
    path = tmp_path / "per_image.csv"
    table.to_csv(path, index=False, na_rep="")
    found = read_table(path)
    assert [name for name in found["image"] if isinstance(name, str)] == [n for n in names if n]
    assert found["psnr"].isna().tolist() == [False, True, *[False] * 7]
    assert found["psnr"].iloc[2] == float("inf")


def test_all_tables_are_read_by_the_one_reader():
    sources = {path.name: path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}
    assert [name for name, text in sources.items() if "read_csv(" in text] == ["files.py"]
