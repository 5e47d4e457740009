"""Files from the web: mirrors in turn, broken downloads resumed, bytes held to a record."""

import os
import re
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http.client import responses
from pathlib import Path
from typing import TypedDict

import requests
import yaml
from filelock import FileLock
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.progress import DownloadColumn, Progress, TransferSpeedColumn
from urllib3.exceptions import HTTPError

from irsde.experiment.yaml_file import read_yaml
from irsde.files import InputError, digest_file, not_written, read_json, write_json, write_text

CHUNK = 1 << 14  # bytes at a time; a stall loses the chunk that it interrupts
TIMEOUT = (15.0, 60.0)  # seconds to wait for a connection, and for the next bytes
ATTEMPTS = 3  # in a row without progress, before the next mirror is asked
PAUSE = 2.0  # seconds before the next attempt, doubled with each without progress
PASSING = (408, 425, 429)  # refusals that may be over at the next attempt, like all from 500 on
SHA256 = re.compile("[0-9a-f]{64}")
HEADER = "# SHA-256 of each downloaded file. Delete a line to accept other bytes.\n"


class _Note(TypedDict):
    """What the beginning of a file is of."""

    url: str
    validator: str
    size: int | None


def download(
    mirrors: Sequence[str], target: Path, recorded: str | None = None, *, locked: bool = False
) -> str:
    """Fetch a file from the first mirror that delivers it; a file already there is kept.

    What has arrived waits in `.<name>.part` beside `target`. A later call resumes it if the server
    still has the same file by its ETag or Last-Modified, and starts again otherwise.

    Parameters
    ----------
    mirrors : sequence of str
        Addresses of the same file, http or https, the preferred one first.
    target : Path
        File to write. One already there is kept, and no server asked, unless it differs from
        `recorded`; then it is replaced in one step.
    recorded : str, optional
        SHA-256 that the file must have. A mirror with other bytes counts as failed.
    locked : bool
        True if `recorded` is from the lock file, whose line one may delete.

    Returns
    -------
    str
        SHA-256 of the file at `target`.

    Raises
    ------
    InputError
        If the disk is too full, or if no mirror delivers the file; with the reason of each.
    """
    try:
        if sha256 := _present(target, recorded):
            return sha256
        target.parent.mkdir(parents=True, exist_ok=True)
        with _lock(target):
            return _present(target, recorded) or _from_mirrors(mirrors, target, recorded, locked)
    except OSError as error:
        raise not_written(target, error) from None


def read_lock(path: Path) -> dict[str, str]:
    """SHA-256 of each file that was ever downloaded, by name; empty if there is no lock file.

    Raises
    ------
    InputError
        If the file is not a YAML mapping from names to SHA-256.
    """
    content = read_yaml(path)[1] if path.exists() else None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise InputError(f"{path}: not a mapping from names to SHA-256; delete it to start again")
    for name, sha256 in content.items():
        if not (isinstance(name, str) and isinstance(sha256, str) and SHA256.fullmatch(sha256)):
            raise InputError(f"{path}: {name!r} has no SHA-256 of 64 digits; delete its line")
    return content


def record(path: Path, name: str, sha256: str) -> None:
    """Write the SHA-256 of a file into the lock file, whoever else writes to it meanwhile.

    Raises
    ------
    InputError
        If the lock file cannot be read or written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _lock(path):
            content = read_lock(path) | {name: sha256}
            write_text(path, HEADER + yaml.safe_dump(content, allow_unicode=True, width=1000))
    except OSError as error:
        raise not_written(path, error) from None


class _MirrorError(Exception):
    """Why a mirror does not deliver the file."""


class _BrokenError(_MirrorError):
    """Why an attempt failed; another one may succeed."""


def _lock(path: Path) -> FileLock:
    return FileLock(path.with_name(f".{path.name}.lock"))


def _present(target: Path, recorded: str | None) -> str | None:
    if target.is_dir():
        raise InputError(f"{target}: is a folder; give the name of a file")
    sha256 = digest_file(target) if target.exists() else None
    return sha256 if recorded in (None, sha256) else None


def _from_mirrors(mirrors: Sequence[str], target: Path, recorded: str | None, locked: bool) -> str:
    part = target.with_name(f".{target.name}.part")
    reasons = []
    remedy = f"try again later, or put the file at {target} by hand"
    for url in mirrors:
        try:
            _fetch(url, part)
        except _MirrorError as error:
            reasons.append(f"{url} ({error})")
            continue
        sha256 = digest_file(part)
        _note(part).unlink(missing_ok=True)
        if recorded in (None, sha256):
            part.replace(target)
            return sha256
        part.unlink()
        reasons.append(f"{url} (SHA-256 {sha256[:12]} instead of the recorded {recorded:.12})")
        if locked:
            remedy = f"if the change is wanted, delete the line of {target.name} in the lock file"
    raise InputError(f"{target}: not downloaded from {'; '.join(reasons)}; {remedy}")


def _fetch(url: str, part: Path) -> None:
    """Ask one mirror until the file is complete or attempts bring no progress."""
    failures = furthest = 0
    while True:
        try:
            return _attempt(url, part)
        except _BrokenError:
            start, _ = _arrived(url, part)
            failures = failures + 1 if start <= furthest else 0
            furthest = max(furthest, start)
            if failures >= ATTEMPTS:
                raise
        time.sleep(PAUSE * 2**failures)


def _note(part: Path) -> Path:
    """File with the address, the validator and the size of what a part is the beginning of."""
    return part.with_name(f"{part.name}.json")


def _arrived(url: str, part: Path) -> tuple[int, _Note | None]:
    """Bytes that can be resumed from an address, with their note; none without a note."""
    note = read_json(_note(part)) if part.exists() and _note(part).exists() else None
    if isinstance(note, dict) and note.get("url") == url:
        return part.stat().st_size, _Note(url=url, validator=note["validator"], size=note["size"])
    return 0, None


def _attempt(url: str, part: Path) -> None:
    """Ask once for what is missing; return when the file is complete."""
    start, note = _arrived(url, part)
    if note and start and start == note["size"]:
        return  # killed between the last byte and the rename
    headers = {"Accept-Encoding": "identity"}
    if note and start:
        headers |= {"Range": f"bytes={start}-", "If-Range": note["validator"]}
    try:
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            start, size = _judge(response, part, start, note)
            _write(response, url, part, start, size)
    except (requests.RequestException, HTTPError) as error:
        if isinstance(error, ValueError):
            raise _MirrorError("leads to no http or https address") from None
        cause = getattr(error.args[0] if error.args else None, "reason", None) or error
        raise _BrokenError(f"no answer: {type(cause).__name__}") from None


def _judge(
    response: requests.Response, part: Path, asked: int, note: _Note | None
) -> tuple[int, int | None]:
    """Where in the file an answer begins, and the size of the file if it is known."""
    status, headers = response.status_code, response.headers
    if status == 206:
        sent = re.fullmatch(r"bytes (\d{1,18})-\d+/(\d{1,18})", headers.get("Content-Range", ""))
        if (
            note
            and asked
            and sent
            and int(sent[1]) == asked
            and note["size"] in (None, int(sent[2]))
            and _validator(headers) in ("", note["validator"])
        ):
            return asked, int(sent[2])
    if status in (206, 416):
        _note(part).unlink(missing_ok=True)
        raise _BrokenError("did not send the part that was asked for")
    if status != 200:
        kind = _BrokenError if status >= 500 or status in PASSING else _MirrorError
        raise kind(f"{status} {responses.get(status, '')}".strip())
    if "html" in headers.get("Content-Type", "").lower():
        raise _MirrorError("the server answered with a web page")
    size: int | None = response.raw.length_remaining
    if size is None and not response.raw.chunked:
        raise _MirrorError("the server does not say how long the file is")
    return 0, size


def _validator(headers: Mapping[str, str]) -> str:
    """What If-Range may hold: an ETag that is not weak, or else the date."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified", "")


def _write(response: requests.Response, url: str, part: Path, start: int, size: int | None) -> None:
    """Write the body of an answer behind the first `start` bytes, or in place of all."""
    needed, free = (size or 0) - start, shutil.disk_usage(part.parent).free
    if needed > free:
        raise InputError(f"{part.parent}: {decimal(needed)} to come, {decimal(free)} free on disk")
    columns = (*Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    if not start:
        _note(part).unlink(missing_ok=True)
    with (
        part.open("ab" if start else "wb") as stream,
        Progress(*columns, console=console, disable=not sys.stderr.isatty()) as bar,
    ):
        if not start and (validator := _validator(response.headers)):
            write_json(_note(part), _Note(url=url, validator=validator, size=size))
        task = bar.add_task(escape(part.stem[1:]), completed=start, total=size)
        is_complete = False
        with suppress(HTTPError):
            for block in response.raw.stream(CHUNK, decode_content=False):
                stream.write(block)
                bar.advance(task, len(block))
            is_complete = size in (None, stream.tell())
        os.fsync(stream.fileno())
    arrived = part.stat().st_size
    if not is_complete:
        raise _BrokenError(f"cut after {arrived} of {size or 'unknown'} bytes")
    if not arrived:
        raise _MirrorError("the server sent an empty file")
