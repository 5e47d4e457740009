"""Content of `reports/provenance.json`: every cell with its sources, every source with its hashes.

Equal files give equal content, and no time is in it.
"""

from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer

from irsde.experiment.cards import Stored
from irsde.files import REPORTS, InputError, is_present, json_number

PROVENANCE = REPORTS / "provenance.json"


def _number(value: object) -> object:
    return float(value) if value in ("inf", "-inf") and isinstance(value, str) else value


Number = Annotated[float, BeforeValidator(_number), PlainSerializer(json_number)]


class RecordedCell(Stored):
    """A cell: its text, and where there are, its mark, value, interval and sources.

    `rule` and `metric` say how the value is computed from the sources.
    """

    text: str
    mark: str = ""
    reason: str = ""
    value: Number | None = None
    low: Number | None = None
    high: Number | None = None
    sources: list[str] = Field([])
    rule: str = ""
    metric: str = ""


class RecordedColumn(Stored):
    """A column's key, which cells are found by, and its heading."""

    key: str
    heading: str


class RecordedRow(Stored):
    """A row's key and its cells by the keys of their columns."""

    key: str
    cells: dict[str, RecordedCell]


class RecordedTable(Stored):
    """A table of the report."""

    key: str
    title: str
    section: str
    columns: list[RecordedColumn]
    rows: list[RecordedRow]

    @property
    def by_key(self) -> dict[str, RecordedRow]:
        """Rows by their keys, in their order."""
        return {row.key: row for row in self.rows}

    @property
    def headings(self) -> dict[str, str]:
        """Headings of the columns by their keys, in their order."""
        return {column.key: column.heading for column in self.columns}


class RecordedSource(Stored):
    """A folder that cells come from: SHA-256 of its files by their names, and its code."""

    files: dict[str, str]
    commit: str | None
    dirty: bool | None


class RecordedSet(Stored):
    """Folder and fingerprint of a prepared test set, and of the set it was made from."""

    folder: str
    fingerprint: str
    source_fingerprint: str | None


class RecordedEvaluation(RecordedSource):
    """An evaluation: its run and that run's identity, its test set, hash of its settings, code."""

    run: str
    run_identity: str
    data: RecordedSet
    settings: str
    code: str | None


class RecordedRun(RecordedSource):
    """A run and its identity."""

    identity: dict[str, str]


class Lineage(Stored):
    """What a report shows and what that comes from; evaluations and runs by their folders."""

    kind = "a record of a report"
    most_bytes = 2**30

    profile: str
    tables: list[RecordedTable]
    evaluations: dict[str, RecordedEvaluation]
    runs: dict[str, RecordedRun]

    @property
    def by_key(self) -> dict[str, RecordedTable]:
        """Tables by their keys, in their order."""
        return {table.key: table for table in self.tables}


def read_lineage() -> Lineage:
    """Content of `reports/provenance.json`.

    Raises
    ------
    InputError
        If it is absent or was not written by this version.
    """
    if not is_present(PROVENANCE):
        raise InputError(f"{PROVENANCE}: no such file; run irsde report first")
    try:
        return Lineage.read(PROVENANCE)
    except InputError as error:
        raise InputError(f"{error}; run irsde report again") from None
