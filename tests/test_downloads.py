"""Downloads from a real server on this machine that cuts, stalls, lies, forgets and refuses."""

import gzip
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from irsde.data.fetch import downloads
from irsde.data.fetch.downloads import download, read_lock, record
from irsde.files import InputError

CONTENT = np.random.default_rng(0).bytes(400_000)
CHANGED = np.random.default_rng(1).bytes(400_000)
HASH = sha256(CONTENT).hexdigest()
CUT = 9 * downloads.CHUNK
REST = f"bytes={CUT}-"


class Server(ThreadingHTTPServer):
    """Answers a path by its list of answers, the last of them for ever, and keeps a log."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.requests, self.sent = {}, [], 0
        self.release = threading.Event()

    def add(self, *answers, path="/x.zip"):
        self.answers[path] = list(answers)
        return f"http://127.0.0.1:{self.server_port}{path}"

    def handle_error(self, request, client_address):
        if not isinstance(sys.exception(), ConnectionError):  # a client may leave when it likes
            super().handle_error(request, client_address)

    @property
    def ranges(self):
        return [headers["Range"] for _, headers in self.requests]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.requests.append((self.path, self.headers))
        answers = self.server.answers[self.path]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        answer(self)

    def log_message(self, *_):
        pass

    def reply(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)
        self.server.sent += len(body)

    def hang_up(self):
        self.close_connection = True


def file(content=CONTENT, *, cut=None, stall=False, ranges=True, heeds=True, **headers):
    """A file of a well-kept server, cut or stalled at a byte if so asked.

    `ranges`: whether it knows ranges; `heeds`: whether If-Range makes a difference to it.
    """
    headers = headers or {"ETag": '"1"'}
    validator = headers.get("ETag", headers.get("Last_Modified"))

    def answer(handler):
        asked, condition = handler.headers["Range"], handler.headers["If-Range"]
        start, status, extra = 0, 200, {}
        if asked and ranges and (condition == validator or not heeds):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            status = 206
            extra["Content_Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        extra["Content_Length"] = len(content) - start
        body = content[start:] if cut is None else content[start : max(start, cut)]
        handler.reply(status, body, **extra, **headers)
        if stall:
            handler.server.release.wait(20)
        if len(body) < len(content) - start:
            handler.hang_up()

    return answer


def status(code, body=b"", **headers):
    def answer(handler):
        handler.reply(code, body, Content_Length=len(body), **headers)

    return answer


def chunked(*chunks, end=b"0\r\n\r\n", **headers):
    def answer(handler):
        body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
        handler.reply(200, body + end, Transfer_Encoding="chunked", **headers)
        handler.hang_up()

    return answer


def never(handler):
    handler.server.release.wait(20)


def without_length(handler):
    handler.reply(200, CONTENT)
    handler.hang_up()


PAGE = status(200, b"<html>", Content_Type="text/html; charset=utf-8")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(downloads, "ATTEMPTS", 2)
    monkeypatch.setattr(downloads, "PAUSE", 0.01)
    monkeypatch.setattr(downloads, "TIMEOUT", (5, 1))


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.release.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "data" / "x.zip"


def left(target):
    """What lies in the target's folder, but for the file that keeps others out."""
    return sorted(p.name for p in target.parent.glob("*") if not p.name.endswith(".lock"))


def refused(mirrors, target, recorded=None, **options):
    """The one line of a download that fails, after which there is no file at `target`."""
    with pytest.raises(InputError) as caught:
        download(mirrors, target, recorded, **options)
    assert "\n" not in str(caught.value)
    assert not target.exists()
    return str(caught.value)


def test_file_arrives_with_its_hash_and_nothing_else(server, target):
    assert download([server.add(file())], target, HASH) == HASH
    assert target.read_bytes() == CONTENT
    assert left(target) == ["x.zip"]


def test_file_already_there_needs_no_server_unless_it_differs_from_the_record(server, target):
    url = server.add(file())
    target.parent.mkdir()
    target.write_bytes(CHANGED)
    assert download([url], target) == sha256(CHANGED).hexdigest()
    assert server.requests == []
    assert download([url], target, HASH) == HASH
    assert target.read_bytes() == CONTENT


# A range that ends before the file does, and one that was not asked for.
SHORT = status(206, CONTENT[CUT:200_000], Content_Range=f"bytes {CUT}-199999/400000")
OTHER = status(206, Content_Range="bytes 5-9/400000")
DATED = {"Last_Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}


@pytest.mark.parametrize(
    ("answers", "ranges"),
    [
        ([file(cut=CUT), file()], [None, REST]),
        ([file(cut=CUT, stall=True), file()], [None, REST]),
        ([file(cut=CUT), file(cut=2 * CUT), file()], [None, REST, f"bytes={2 * CUT}-"]),
        ([file(cut=CUT), SHORT, file()], [None, REST, "bytes=200000-"]),
        ([file(cut=CUT, **DATED), file(**DATED)], [None, REST]),
        ([file(cut=CUT, ETag='W/"1"', **DATED), file(ETag='W/"1"', **DATED)], [None, REST]),
        ([file(cut=CUT, ETag='W/"1"'), file()], [None, None]),
        ([file(cut=CUT, Server="x"), file()], [None, None]),
        ([file(cut=CUT), file(ranges=False)], [None, REST]),
        ([chunked(CONTENT[:CUT], end=b"", ETag='"1"'), file()], [None, REST]),
        ([chunked(CONTENT[:CUT], end=b""), chunked(CONTENT[:CUT], CONTENT[CUT:])], [None, None]),
        # The file changed, and the server heeds If-Range, or gives the range all the same.
        ([file(CHANGED, cut=CUT, ETag='"0"'), file()], [None, REST]),
        ([file(CHANGED, cut=CUT, ETag='"0"'), file(heeds=False), file()], [None, REST, None]),
        ([file(CHANGED[:-9], cut=CUT), file(heeds=False), file()], [None, REST, None]),
        # Ranges that are refused, or are not the one that was asked for.
        ([file(cut=CUT), status(416), file()], [None, REST, None]),
        ([file(cut=CUT), status(206, CONTENT[CUT:]), file()], [None, REST, None]),
        ([file(cut=CUT), OTHER, file()], [None, REST, None]),
        # Refusals that may pass.
        ([status(503), file()], [None, None]),
        ([file(cut=CUT), status(429), file()], [None, REST, REST]),
    ],
)
def test_broken_download_is_resumed_or_begun_again(server, target, answers, ranges):
    assert download([server.add(*answers)], target) == HASH
    assert server.ranges == ranges
    assert left(target) == ["x.zip"]


def test_later_call_resumes_what_an_earlier_one_left(server, target):
    url = server.add(file(cut=CUT), PAGE, file())
    assert "web page" in refused([url], target)
    assert left(target) == [".x.zip.part", ".x.zip.part.json"]
    assert download([url], target) == HASH
    assert server.ranges == [None, REST, REST]


def test_part_of_one_mirror_is_not_joined_to_another(server, target):
    first = server.add(file(CHANGED, cut=CUT), status(404), path="/first")
    assert download([first, server.add(file(), path="/second")], target) == HASH
    assert server.ranges == [None, REST, None]


def test_killed_download_is_resumed(server, target):
    url = server.add(file(cut=CUT, stall=True), file())
    code = (
        "import sys; from pathlib import Path; from irsde.data.fetch.downloads import download; "
        "download([sys.argv[1]], Path(sys.argv[2]))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, url, str(target)])
    part = target.with_name(".x.zip.part")
    while not (part.exists() and part.stat().st_size >= CUT - downloads.CHUNK):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not target.exists()
    assert download([url], target) == HASH
    assert server.ranges[1] is not None
    assert left(target) == ["x.zip"]


def test_download_killed_before_its_rename_is_finished_without_the_server(
    server, target, monkeypatch
):
    def kill(path):
        raise KeyboardInterrupt

    url = server.add(file(), status(500))
    with monkeypatch.context() as patch:
        patch.setattr(downloads, "digest_file", kill)
        with pytest.raises(KeyboardInterrupt):
            download([url], target)
    assert not target.exists()
    assert download([url], target) == HASH
    assert len(server.requests) == 1


def redirect(place):
    return status(302, Location=place)


@pytest.mark.parametrize(
    ("answer", "reason", "requests"),
    [
        (status(404), "404 Not Found", 1),
        (status(500), "500 Internal Server Error", 2),
        (file(cut=CUT), f"cut after {CUT} of 400000 bytes", 3),
        (never, "no answer: ReadTimeout", 2),
        (PAGE, "the server answered with a web page", 1),
        (without_length, "the server does not say how long the file is", 1),
        (file(b""), "the server sent an empty file", 1),
        (chunked(b""), "the server sent an empty file", 1),
        (status(206, CONTENT), "did not send the part that was asked for", 2),
        (redirect("/x.zip"), "no answer: TooManyRedirects", 62),
        (redirect("file:///etc/passwd"), "leads to no http or https address", 1),
        (redirect("ftp://127.0.0.1/x"), "leads to no http or https address", 1),
    ],
)
def test_reason_of_a_failure_is_named(server, target, answer, reason, requests):
    url = server.add(answer)
    assert refused([url], target) == (
        f"{target}: not downloaded from {url} ({reason}); "
        f"try again later, or put the file at {target} by hand"
    )
    assert len(server.requests) == requests


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        *((url, "leads to no http or") for url in ("file:///etc/passwd", "ftp://host/x", "x.zip")),
        *((url, "") for url in ("http://", "http://a..b/", "http://[::1/", "http://a:99999/")),
        ("http://nowhere.invalid/x", "no answer: NameResolutionError"),
    ],
)
def test_address_that_leads_nowhere_is_named(target, url, reason):
    assert f"{url} ({reason}" in refused([url], target)


def test_closed_port_is_named(target):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/x"
        assert f"{url} (no answer: NewConnectionError)" in refused([url], target)


def test_mirrors_are_asked_in_order_until_one_has_the_recorded_bytes(server, target):
    answers = {"/gone": status(404), "/changed": file(CHANGED), "/good": file(), "/unused": file()}
    mirrors = [server.add(answer, path=path) for path, answer in answers.items()]
    message = refused(mirrors[:2], target, HASH, locked=True)
    changed = sha256(CHANGED).hexdigest()
    assert f"{mirrors[0]} (404 Not Found); {mirrors[1]} (SHA-256 {changed[:12]} instead" in message
    assert "delete the line of x.zip in the lock file" in message
    assert left(target) == []
    server.requests.clear()
    mirrors[2] = server.add(redirect("/good"), path="/to")
    assert download(mirrors, target, HASH) == HASH
    assert [path for path, _ in server.requests] == ["/gone", "/changed", "/to", "/good"]


def test_compressed_file_is_not_unpacked_on_the_way(server, target):
    packed = gzip.compress(CONTENT)
    headers = {"ETag": '"1"', "Content_Encoding": "gzip"}
    url = server.add(file(packed, cut=CUT, **headers), file(packed, **headers))
    assert download([url], target) == sha256(packed).hexdigest()
    assert server.sent == len(packed)


def test_place_that_cannot_be_written_is_named(target):
    target.mkdir(parents=True)
    with pytest.raises(InputError, match="is a folder"):
        download(["http://a/"], target)
    (target / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        download(["http://a/"], target / "file" / "x.zip")


@pytest.mark.parametrize("missing", [1, 0])
def test_full_disk_is_noticed_before_the_body(server, target, monkeypatch, missing):
    url = server.add(file(cut=CUT), status(404), file())
    refused([url], target)
    usage = shutil.disk_usage(".")._replace(free=len(CONTENT) - CUT - missing)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    if missing:
        assert "252.5 kB to come, 252.5 kB free on disk" in refused([url], target)
    else:
        assert download([url], target) == HASH


def test_two_downloads_of_one_file_ask_once(server, target):
    url = server.add(file())
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda _: download([url], target), range(2))) == [HASH, HASH]
    assert len(server.requests) == 1


def test_bar_shows_on_a_terminal_only(server, target, capsys, monkeypatch):
    download([server.add(file(cut=CUT), file())], target)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    download([server.add(file(cut=CUT), file())], target.with_name("[y].zip"))
    shown = capsys.readouterr().err
    assert all(text in shown for text in ("[y].zip", "100%", "400.0/400.0 kB"))


def test_lock_file_is_sorted_and_its_lines_can_be_deleted(tmp_path):
    lock = tmp_path / "data" / "downloads.lock"
    assert read_lock(lock) == {}
    names = ["rain/b.zip", "a.zip", "Ж: x.zip", "c" * 100, *(f"{k}.zip" for k in range(40))]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: record(lock, name, HASH), names))
    assert read_lock(lock) == dict.fromkeys(names, HASH)
    record(lock, "a.zip", sha256(CHANGED).hexdigest())
    assert read_lock(lock)["a.zip"] == sha256(CHANGED).hexdigest()
    header, *lines = lock.read_text(encoding="utf-8").splitlines()
    assert lines.index(f"2.zip: {HASH}") < lines.index(f"3.zip: {HASH}")
    lock.write_text(f"{header}\n{lines[0]}", encoding="utf-8")
    assert len(read_lock(lock)) == 1
    lock.write_text(header, encoding="utf-8")
    assert read_lock(lock) == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a.zip: [", "line 1"),
        ("a.zip: 1\n<<<<<<< HEAD\n", "line 3"),
        ("- a.zip", "not a mapping"),
        ("a.zip: 0123", "'a.zip' has no SHA-256"),
        (f"a.zip: {HASH[:-1]}", "'a.zip' has no SHA-256"),
        (f"1: {HASH}", "1 has no SHA-256"),
        (f"a.zip: {'1' * 64}", "'a.zip' has no SHA-256"),
    ],
)
def test_spoiled_lock_file_is_refused(tmp_path, text, words):
    lock = tmp_path / "downloads.lock"
    lock.write_text(text)
    for use in (lambda: read_lock(lock), lambda: record(lock, "b.zip", HASH)):
        with pytest.raises(InputError) as caught:
            use()
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)
    assert lock.read_text() == text
