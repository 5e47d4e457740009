"""Hashes of a report's files: `reports/SHA256SUMS`, as `sha256sum --check` reads it."""

from irsde.files import InputError, digest_file, write_text
from irsde.plan import REPORTS

CHECKSUMS = REPORTS / "SHA256SUMS"
FILES = (
    "cost.md",
    "figures",
    "index.html",
    "metrics.json",
    "provenance.json",
    "tables.csv",
    "tables.md",
    "tables.tex",
    "training.csv",
)


def write_checksums() -> None:
    """Write the hash of every file of the report."""
    paths = [path for name in FILES for path in (REPORTS / name, *(REPORTS / name).rglob("*"))]
    names = sorted(path.relative_to(REPORTS).as_posix() for path in paths if path.is_file())
    lines = [f"{digest_file(REPORTS / name)}  {name}\n" for name in names]
    write_text(CHECKSUMS, "".join(lines))


def read_checksums() -> dict[str, str]:
    """Name of a file below `reports/` → its SHA-256 when the report was written.

    Raises
    ------
    InputError
        If there are none, or the file is damaged.
    """
    if not CHECKSUMS.is_file():
        raise InputError(f"{CHECKSUMS}: no such file; run irsde report again")
    lines = CHECKSUMS.read_text(encoding="utf-8", errors="replace").splitlines()
    found = {name: recorded for recorded, _, name in (line.partition("  ") for line in lines)}
    if "provenance.json" not in found:
        raise InputError(f"{CHECKSUMS}: damaged; run irsde report again")
    return found
