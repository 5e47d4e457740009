"""Files written under a temporary name and renamed, digests, and paths that stay in a folder."""

import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

INPUT_EXIT_CODE = 2
TEMPORARY = ".part"  # in the names of files that are not whole yet


class InputError(Exception):
    """What a user gave cannot be used; the message is one line that says what to do.

    The command line prints it and exits with code 2.
    """


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Temporary path beside `path`, renamed to it if the block ends without an exception.

    Parameters
    ----------
    path : Path
        File to write; its folder is made. A file already there is replaced in one step.

    Yields
    ------
    Path
        Name to write to, with the suffix of `path`.

    Raises
    ------
    InputError
        If the file cannot be written, as on a full disk.
    """
    temporary = path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(f"{TEMPORARY}{path.suffix}", f".{path.stem}.", path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o644)
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.filename not in (None, str(temporary), str(path), str(path.parent)):
            raise
        raise InputError(
            f"{path}: cannot be written ({error.strerror}); what was there before is whole: make "
            "room and run the same command again"
        ) from None
    finally:
        if temporary != path:
            temporary.unlink(missing_ok=True)


def remove_temporaries(folder: Path) -> None:
    """Delete the files that a killed process left half written in a folder."""
    for path in folder.glob(f".*{TEMPORARY}*"):
        if path.is_file():
            path.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Temporary folder beside `path`, renamed to it if the block ends without an exception.

    A folder already at `path` is moved away first and deleted after the rename.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        if path.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
            path.replace(old / path.name)
            temporary.replace(path)
            shutil.rmtree(old)
        else:
            temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with Unix line ends, by way of a temporary name."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, content: Any) -> None:
    """Write JSON with sorted keys and an indent of two, by way of a temporary name."""
    write_text(path, json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def json_number(value: float) -> float | str | None:
    """Number as strict JSON can hold it: an infinite one as `inf` or `-inf`, no number as None.

    Examples
    --------
    >>> json_number(float("inf")), json_number(float("nan")), json_number(0.5)
    ('inf', None, 0.5)
    """
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else str(value)


def read_json(path: Path) -> Any:
    """Content of a JSON file.

    Raises
    ------
    InputError
        If the file is absent or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error})") from None


def read_table(path: Path, *, as_text: bool = False) -> "pd.DataFrame":
    """Content of a CSV file of ours; only an empty field is missing.

    Pandas would also take a name for a missing value, such as that of an image called NA or null.

    Parameters
    ----------
    path : Path
    as_text : bool
        Keep every field as it is written, also numbers and empty ones.

    Raises
    ------
    OSError, ValueError
        If the file cannot be read or is no table.
    """
    import pandas as pd

    if as_text:
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    names = dict.fromkeys(("image", "scene", "protocol", "reference"), str)
    return pd.read_csv(path, dtype=names, keep_default_na=False, na_values=[""])


def digest(content: bytes) -> str:
    """SHA-256 of bytes in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def digest_file(path: Path) -> str:
    """SHA-256 of a file's bytes in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_json(content: Any) -> str:
    """SHA-256 of a JSON value in its one canonical form (sorted keys, no spaces)."""
    return digest(json.dumps(content, sort_keys=True, separators=(",", ":")).encode())
