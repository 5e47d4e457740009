"""Files from the web: mirrors in turn, broken downloads resumed, bytes held to a record.

pooch's `HTTPDownloader` streams to disk and drives the bar. `pooch.retrieve` is not used: it
streams to a name of its own making, which no later attempt could find and resume.
"""

import os
import re
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http import HTTPStatus, client
from pathlib import Path
from typing import IO, Any, cast

import pooch
import requests
import yaml
from filelock import FileLock
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.progress import DownloadColumn, Progress, TransferSpeedColumn
from urllib3.exceptions import HTTPError, NameResolutionError, ReadTimeoutError

from irsde.files import InputError, digest_file, not_written, read_json, write_json, write_text

CHUNK = 1 << 14  # bytes at a time; a cut or a stall loses the chunk that it interrupts
ADDRESS = re.compile(r"https?://[^\s/]\S*", re.IGNORECASE)
SHA256 = re.compile("[0-9a-f]{64}")
WEB_PAGES = ("text/html", "application/xhtml+xml")
PASSING = (408, 425, 429)  # refusals that may be over a moment later, as all from 500 on
HEADER = "# SHA-256 of each downloaded file. Delete a line to accept other bytes.\n"


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server, and how often to try again.

    Attributes
    ----------
    connect : float
        Seconds until a connection stands.
    read : float
        Seconds without a byte before a download counts as broken.
    attempts : int
        Attempts in a row that get no further, before the next mirror is asked.
    pause : float
        Seconds before the next attempt after a broken one; doubled with each in a row.
    """

    connect: float = 15.0
    read: float = 60.0
    attempts: int = 3
    pause: float = 2.0


PATIENCE = Patience()


def download(
    mirrors: Sequence[str],
    target: Path,
    *,
    recorded: str | None = None,
    patience: Patience = PATIENCE,
) -> str:
    """Fetch a file from the first mirror that delivers it; a file already there is kept.

    What has arrived waits in `.<name>.part` beside `target`. A later call goes on from there if
    the server still has the same file by its ETag or Last-Modified, and starts again otherwise.

    Parameters
    ----------
    mirrors : sequence of str
        Addresses of the same file, http or https, the preferred one first.
    target : Path
        File to write. One already there is left as it is, without a word to any server, unless
        it differs from `recorded`; then it is replaced in one step.
    recorded : str, optional
        SHA-256 that the file must have. A mirror with other bytes counts as failed.
    patience : Patience
        Time limits and number of attempts.

    Returns
    -------
    str
        SHA-256 of the file at `target`.

    Raises
    ------
    InputError
        If an address or `recorded` makes no sense, if the disk is too full, or if no mirror
        delivers the file; the message has the reason of each.
    """
    if not mirrors:
        raise InputError(f"{target}: no address to download it from")
    for url in mirrors:
        if not ADDRESS.fullmatch(url):
            raise InputError(f"{target}: {url!r} is not an http or https address")
    if recorded is not None and not SHA256.fullmatch(recorded):
        raise InputError(f"{target}: {recorded!r} is not a SHA-256 of 64 digits in lower case")
    try:
        if found := _present(target, recorded):
            return found
        target.parent.mkdir(parents=True, exist_ok=True)
        with _guard(target):
            return _present(target, recorded) or _from_mirrors(mirrors, target, recorded, patience)
    except OSError as error:
        raise not_written(target, error) from None


def read_lock(path: Path) -> dict[str, str]:
    """SHA-256 of each file that was ever downloaded, by name; empty if there is no lock file.

    Raises
    ------
    InputError
        If the file is not a YAML mapping from names to SHA-256.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}" if mark else type(error).__name__
        raise InputError(f"{path}: cannot be read as YAML ({place})") from None
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
        with _guard(path):
            content = read_lock(path)
            if content.get(name) != sha256:
                content[name] = sha256
                write_text(path, HEADER + yaml.safe_dump(content, allow_unicode=True, width=1000))
    except OSError as error:
        raise not_written(path, error) from None


class _BrokenError(Exception):
    """Why an attempt failed; another one may succeed."""


class _HopelessError(Exception):
    """Why a mirror failed; another attempt would fail too."""


def _guard(path: Path) -> FileLock:
    return FileLock(path.with_name(f".{path.name}.lock"))


def _present(target: Path, recorded: str | None) -> str | None:
    if target.is_dir():
        raise InputError(f"{target}: is a folder; give the name of a file")
    if not target.exists():
        return None
    found = digest_file(target)
    return found if recorded in (None, found) else None


def _from_mirrors(
    mirrors: Sequence[str], target: Path, recorded: str | None, patience: Patience
) -> str:
    reasons = []
    remedy = f"try again later, or put the file at {target} by hand"
    for url in mirrors:
        part = _Part(target, url)
        try:
            _fetch(url, part, patience)
        except (_BrokenError, _HopelessError) as error:
            reasons.append(f"{url} ({error})")
            continue
        found = digest_file(part.path)
        if recorded in (None, found):
            part.path.replace(target)
            part.forget()
            return found
        part.forget()
        part.path.unlink()
        reasons.append(f"{url} (SHA-256 {found[:12]} instead of the recorded {recorded:.12})")
        remedy = f"if the change is wanted, delete the line of {target.name} in the lock file"
    raise InputError(f"{target}: not downloaded from {'; '.join(reasons)}; {remedy}")


class _Part:
    """What has arrived of a file, and beside it what the server said the file is.

    The note is written before the first byte and only where the server names a validator, so
    bytes without a note are never taken up again.
    """

    def __init__(self, target: Path, url: str) -> None:
        self.label = target.name
        self.path = target.with_name(f".{target.name}.part")
        self.note_path = target.with_name(f".{target.name}.part.json")
        self.url = url

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def note(self) -> dict[str, Any] | None:
        """Validator and size that this address gave for the bytes at hand, if it gave them."""
        if not (self.size and self.note_path.exists()):
            return None
        note = cast("dict[str, Any]", read_json(self.note_path))
        return note if note["url"] == self.url else None

    @property
    def usable(self) -> int:
        """Bytes that a next attempt can go on from."""
        return self.size if self.note() else 0

    def forget(self) -> None:
        self.note_path.unlink(missing_ok=True)


def _fetch(url: str, part: _Part, patience: Patience) -> None:
    """Ask one mirror until the file is complete or attempts get no further."""
    failures, furthest = 0, part.usable
    while True:
        before = part.usable
        try:
            return _attempt(url, part, patience)
        except _BrokenError:
            after = part.usable
            if before and not after:
                continue  # the server does not go on from there: from the start, at once
            failures = failures + 1 if after <= furthest else 0
            furthest = max(furthest, after)
            if failures >= patience.attempts:
                raise
        time.sleep(patience.pause * 2**failures)


def _attempt(url: str, part: _Part, patience: Patience) -> None:
    """One request for what is missing; returns once the file is complete."""
    note = part.note()
    if note and part.size == note["size"]:
        return  # killed between the last byte and the rename
    headers = {"Accept-Encoding": "identity"}
    if note:
        headers |= {"Range": f"bytes={part.size}-", "If-Range": note["validator"]}
    size, answered = None, False
    with ExitStack() as stack:
        stream = stack.enter_context(part.path.open("ab"))
        bar = stack.enter_context(_bar(part.label))

        def accept(response: requests.Response, **_: Any) -> None:
            """Judge the headers: requests calls this before it reads the body."""
            nonlocal size, answered
            stack.callback(response.close)
            if not response.is_redirect:
                size, answered = _accept(response, part, stream, note), True
                bar.begin(stream.tell(), size)

        fetch = pooch.HTTPDownloader(
            progressbar=bar,
            chunk_size=CHUNK,
            timeout=(patience.connect, patience.read),
            headers=headers,
            hooks={"response": accept},
        )
        try:
            fetch(url, stream, None)
        except (requests.RequestException, HTTPError) as error:
            raise _failure(error, patience, _cut(part, size) if answered else None) from None
        os.fsync(stream.fileno())
    if size is not None and part.size != size:
        raise _BrokenError(_cut(part, size))
    if not part.size:
        raise _HopelessError("the server sent an empty file")


def _accept(
    response: requests.Response, part: _Part, stream: IO[bytes], note: Mapping[str, Any] | None
) -> int | None:
    """Size of the whole file, if the answer is one that `stream` can go on with.

    An answer with the whole file empties `stream`; one with the asked range leaves it.
    """
    status, headers = response.status_code, response.headers
    start = stream.tell()
    is_chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
    length = headers.get("Content-Length", "")
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and note:
        part.forget()
        raise _BrokenError("refused to resume")
    if status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
        kind = _BrokenError if status >= 500 or status in PASSING else _HopelessError
        raise kind(f"{status} {client.responses.get(status, 'in answer')}")
    if headers.get("Content-Type", "").partition(";")[0].strip().lower() in WEB_PAGES:
        raise _HopelessError("the server answered with a web page")
    if not is_chunked and not length.isdecimal():
        raise _HopelessError("the server does not say how long the file is")
    # A .tar.gz said to be a tar with Content-Encoding gzip stays the .tar.gz that it is.
    response.raw.headers.pop("Content-Encoding", None)
    if status == HTTPStatus.PARTIAL_CONTENT:
        return _accept_range(headers, part, start, note)
    size = None if is_chunked else int(length)
    part.forget()
    stream.truncate(0)
    stream.seek(0)
    if validator := _validator(headers):
        write_json(part.note_path, {"url": part.url, "validator": validator, "size": size})
    _check_space(part.path, size or 0)
    return size


def _accept_range(
    headers: Mapping[str, str], part: _Part, start: int, note: Mapping[str, Any] | None
) -> int:
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", headers.get("Content-Range", ""))
    if (
        note is None
        or found is None
        or int(found[1]) != start
        or note["size"] not in (None, int(found[2]))
        or headers.get(_kind(note["validator"]), note["validator"]) != note["validator"]
    ):
        part.forget()
        raise _BrokenError("sent another part than it was asked for")
    size = int(found[2])
    _check_space(part.path, size - start)
    return size


def _validator(headers: Mapping[str, str]) -> str:
    """What If-Range may hold: an ETag that is not weak, or else the date."""
    tag = headers.get("ETag", "")
    return tag if _kind(tag) == "ETag" else headers.get("Last-Modified", "")


def _kind(validator: str) -> str:
    return "ETag" if validator.startswith('"') else "Last-Modified"


def _check_space(path: Path, needed: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise InputError(f"{path.parent}: {decimal(needed)} to come, {decimal(free)} free on disk")


def _failure(error: Exception, patience: Patience, cut: str | None) -> Exception:
    """The short reason of what requests raised; `cut` says where, once bytes flowed."""
    cause = error.args[0] if error.args else None
    cause = getattr(cause, "reason", cause)
    if isinstance(error, (requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL)):
        return _HopelessError("leads to an address that is not http or https")
    if isinstance(error, requests.TooManyRedirects):
        return _HopelessError("redirects without end")
    if isinstance(error, requests.ConnectTimeout):
        return _BrokenError(f"no answer within {patience.connect:g} s")
    if isinstance(error, requests.ReadTimeout) or isinstance(cause, ReadTimeoutError):
        return _BrokenError(f"stalled for {patience.read:g} s, {cut or 'before any answer'}")
    if cut:
        return _BrokenError(cut)
    if isinstance(error, requests.exceptions.SSLError):
        return _BrokenError("no secure connection; is its certificate valid?")
    if isinstance(cause, NameResolutionError):
        return _BrokenError("no network, or no such host")
    return _BrokenError("no connection")


def _cut(part: _Part, size: int | None) -> str:
    return f"cut after {part.size} of {'unknown' if size is None else size} bytes"


class _Bar:
    """rich's bar behind the names by which pooch drives one."""

    def __init__(self, progress: Progress, label: str) -> None:
        self.progress = progress
        self.task = progress.add_task(escape(label), total=None)
        self.start = self.total = 0

    def begin(self, start: int, size: int | None) -> None:
        self.start = start
        self.progress.update(self.task, completed=start, total=size)

    def update(self, count: int) -> None:
        self.progress.advance(self.task, count)

    def reset(self) -> None:
        self.progress.update(self.task, completed=self.start)

    def close(self) -> None:
        """Leave it to the block that opened the bar, which also ends after a failure."""


@contextmanager
def _bar(label: str) -> Iterator[_Bar]:
    columns = (*Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as progress:
        yield _Bar(progress, label)
