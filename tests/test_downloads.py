"""Downloads from a real server on this machine that cuts, stalls, lies, forgets and refuses."""

import gzip
import json
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
from irsde.data.fetch.downloads import Patience, download, read_lock, record
from irsde.files import InputError

CONTENT = np.random.default_rng(0).bytes(400_000)
CHANGED = np.random.default_rng(1).bytes(400_000)
HASH = sha256(CONTENT).hexdigest()
CUT = 9 * downloads.CHUNK  # a chunk that is cut is lost
QUICK = Patience(connect=5, read=5, attempts=2, pause=0.01)
IMPATIENT = Patience(connect=5, read=0.3, attempts=2, pause=0.01)


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


def file(
    content=CONTENT,
    *,
    cut=None,
    stall=False,
    ranges=True,
    heeds=True,
    **headers,
):
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


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
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


def refused(mirrors, target, *, patience=QUICK, **options):
    """The one line of a download that fails, after which there is no file at `target`."""
    with pytest.raises(InputError) as caught:
        download(mirrors, target, patience=patience, **options)
    assert "\n" not in str(caught.value)
    assert not target.exists()
    return str(caught.value)


def test_file_arrives_with_its_hash_and_nothing_else(server, target):
    url = server.add(file())
    assert download([url], target, recorded=HASH) == HASH
    assert target.read_bytes() == CONTENT
    assert target.stat().st_mode & 0o777 == 0o644
    assert left(target) == ["x.zip"]
    assert server.ranges == [None]


def test_file_already_there_needs_no_server(server, target):
    url = server.add(status(500))
    target.parent.mkdir()
    target.write_bytes(CONTENT)
    assert download([url], target, recorded=HASH) == HASH
    assert download([url], target) == HASH
    assert server.requests == []
    assert list(target.parent.iterdir()) == [target]


def test_file_that_differs_from_the_record_is_replaced(server, target):
    target.parent.mkdir()
    target.write_bytes(CHANGED)
    download([server.add(file())], target, recorded=HASH)
    assert target.read_bytes() == CONTENT


def test_cut_download_goes_on_at_the_byte_where_it_was_cut(server, target):
    url = server.add(file(cut=CUT), file())
    assert download([url], target, patience=QUICK) == HASH
    assert server.ranges == [None, f"bytes={CUT}-"]
    assert server.requests[1][1]["If-Range"] == '"1"'
    assert server.sent == len(CONTENT)
    assert left(target) == ["x.zip"]


def test_later_call_goes_on_where_an_earlier_one_gave_up(server, target):
    url = server.add(file(cut=CUT), status(404), file())
    assert "404 Not Found" in refused([url], target)
    assert download([url], target, patience=QUICK) == HASH
    assert server.ranges == [None, f"bytes={CUT}-", f"bytes={CUT}-"]
    assert server.sent == len(CONTENT)


def test_server_that_cuts_often_is_asked_as_long_as_it_gets_further(server, target):
    cuts = range(3 * downloads.CHUNK, len(CONTENT), 3 * downloads.CHUNK)
    url = server.add(*(file(cut=cut) for cut in cuts), file())
    assert download([url], target, patience=QUICK) == HASH
    assert server.ranges == [None, *(f"bytes={cut}-" for cut in cuts)]
    assert server.sent == len(CONTENT)


def test_cut_within_a_chunk_loses_no_more_than_the_chunk(server, target):
    url = server.add(file(cut=CUT + 5), file())
    assert download([url], target, patience=QUICK) == HASH
    assert server.ranges == [None, f"bytes={CUT}-"]


def test_server_that_gets_no_further_is_given_up(server, target):
    url = server.add(file(cut=CUT))
    assert f"cut after {CUT} of" in refused([url], target)
    assert server.ranges == [None, f"bytes={CUT}-", f"bytes={CUT}-"]


@pytest.mark.parametrize(
    ("headers", "condition"),
    [
        ({"Last_Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}, "Mon, 01 Jan 2024 00:00:00 GMT"),
        ({"ETag": 'W/"1"', "Last_Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}, "Mon, 01 Jan 2024"),
        ({"ETag": 'W/"1"'}, None),
        ({"Server": "forgets"}, None),
    ],
    ids=["date", "weak ETag and date", "weak ETag", "nothing"],
)
def test_only_a_validator_lets_a_download_go_on(server, target, headers, condition):
    url = server.add(file(cut=CUT, **headers), file(heeds=False, **headers))
    assert download([url], target, patience=QUICK) == HASH
    assert server.ranges == [None, f"bytes={CUT}-" if condition else None]
    assert (server.requests[1][1]["If-Range"] or "").startswith(condition or "")


@pytest.mark.parametrize("heeds", [True, False], ids=["heeds If-Range", "heeds only Range"])
def test_changed_file_is_never_joined_to_the_old_one(server, target, heeds):
    url = server.add(file(cut=CUT), file(CHANGED, heeds=heeds, ETag='"2"'))
    digest = download([url], target, patience=QUICK)
    assert digest == sha256(CHANGED).hexdigest()
    assert target.read_bytes() == CHANGED
    assert server.ranges[1] == f"bytes={CUT}-"


def test_change_of_length_alone_is_noticed(server, target):
    longer = CONTENT + b"more"
    url = server.add(file(cut=CUT), file(longer, heeds=False))
    download([url], target, patience=QUICK)
    assert target.read_bytes() == longer
    assert server.ranges == [None, f"bytes={CUT}-", None]


def test_server_without_ranges_starts_again(server, target):
    url = server.add(file(cut=CUT), file(ranges=False))
    assert download([url], target, patience=QUICK) == HASH
    assert server.ranges == [None, f"bytes={CUT}-"]


@pytest.mark.parametrize(
    "answer",
    [
        status(416, Content_Range=f"bytes */{len(CONTENT)}"),
        status(206, CONTENT[5:], Content_Range=f"bytes 5-{len(CONTENT) - 1}/{len(CONTENT)}"),
        status(206, CONTENT[CUT:]),
    ],
    ids=["416", "another range", "no range said"],
)
def test_wrong_answer_to_a_range_starts_again(server, target, answer):
    url = server.add(file(cut=CUT), answer, file())
    assert download([url], target, patience=Patience(attempts=1, pause=0.01)) == HASH
    assert server.ranges == [None, f"bytes={CUT}-", None]


def test_file_that_loses_its_validator_is_not_gone_on_with(server, target):
    url = server.add(file(cut=CUT), file(CHANGED, cut=CUT, ranges=False, Server="forgets"), file())
    assert download([url], target, patience=QUICK) == HASH
    assert server.ranges == [None, f"bytes={CUT}-", None]


def test_range_shorter_than_asked_is_gone_on_with(server, target):
    def answer(handler):
        start = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        piece = CONTENT[start : start + 200_000]
        place = f"bytes {start}-{start + len(piece) - 1}/{len(CONTENT)}"
        handler.reply(206, piece, Content_Length=len(piece), Content_Range=place)

    url = server.add(file(cut=CUT), answer)
    assert download([url], target, patience=QUICK) == HASH
    assert server.ranges == [None, f"bytes={CUT}-", f"bytes={CUT + 200_000}-"]


def test_range_that_nobody_asked_for_is_refused(server, target):
    answer = status(206, CONTENT[5:], Content_Range=f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}")
    assert "another part" in refused([server.add(answer)], target)


def test_part_of_one_mirror_is_not_joined_to_another(server, target):
    first = server.add(file(cut=CUT), status(404), path="/first")
    second = server.add(file(CHANGED), path="/second")
    download([first, second], target, patience=QUICK)
    assert target.read_bytes() == CHANGED
    assert server.ranges == [None, f"bytes={CUT}-", None]


def test_stalled_download_is_cut_and_goes_on(server, target):
    url = server.add(file(cut=CUT, stall=True), file())
    assert download([url], target, patience=IMPATIENT) == HASH
    start = int(server.ranges[1].removeprefix("bytes=").removesuffix("-"))
    assert CUT - downloads.CHUNK <= start <= CUT


def test_server_that_takes_no_connection_is_given_up(target):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        with socket.create_connection(address), socket.socket() as second:
            second.setblocking(False)
            second.connect_ex(address)
            url = f"http://127.0.0.1:{address[1]}/x.zip"
            patience = Patience(connect=0.2, read=5, attempts=1)
            assert "no answer within 0.2 s" in refused([url], target, patience=patience)


def test_killed_download_goes_on(server, target):
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
    assert download([url], target, patience=QUICK) == HASH
    assert int(server.ranges[1].removeprefix("bytes=").removesuffix("-")) > 0
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


def test_error_that_may_pass_is_tried_again_and_others_are_not(server, target):
    url = server.add(status(503), status(429), file())
    assert download([url], target, patience=Patience(attempts=3, pause=0.01)) == HASH
    gone = server.add(status(404), path="/gone")
    broken = server.add(status(500), path="/broken")
    server.requests.clear()
    message = refused([gone, broken], target.with_name("y.zip"))
    assert f"{gone} (404 Not Found); {broken} (500 Internal Server Error)" in message
    assert [path for path, _ in server.requests] == ["/gone", "/broken", "/broken"]


def test_one_line_names_every_mirror_and_its_reason(server, target, monkeypatch):
    def offline(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}/x.zip"
        reasons = {
            server.add(status(404), path="/a"): "404 Not Found",
            server.add(file(cut=CUT), path="/b"): f"cut after {CUT} of 400000 bytes",
            server.add(lambda handler: handler.server.release.wait(20), path="/c"): (
                "stalled for 0.3 s, before any answer"
            ),
            server.add(file(cut=65_536, stall=True), path="/d"): (
                "stalled for 0.3 s, cut after 65536 of 400000 bytes"
            ),
            server.add(
                status(200, b"<html>", Content_Type="text/html; charset=utf-8"), path="/e"
            ): ("the server answered with a web page"),
            closed: "no connection",
        }
        message = refused(list(reasons), target, patience=IMPATIENT)
    listed = "; ".join(f"{url} ({reason})" for url, reason in reasons.items())
    assert message == (
        f"{target}: not downloaded from {listed}; "
        f"try again later, or put the file at {target} by hand"
    )
    monkeypatch.setattr(socket, "getaddrinfo", offline)
    message = refused(["http://nowhere.invalid/x.zip"], target)
    assert "(no network, or no such host)" in message


def test_mirrors_are_asked_in_order_until_one_delivers(server, target):
    mirrors = [
        server.add(status(404), path="/gone"),
        server.add(file(), path="/good"),
        server.add(file(), path="/unused"),
    ]
    assert download(mirrors, target, recorded=HASH, patience=QUICK) == HASH
    assert [path for path, _ in server.requests] == ["/gone", "/good"]


def test_web_page_does_not_spoil_what_has_arrived(server, target):
    page = status(200, b"<html>", Content_Type="text/html")
    url = server.add(file(cut=CUT), page, file())
    assert "web page" in refused([url], target)
    assert download([url], target, patience=QUICK) == HASH
    assert server.sent == len(CONTENT) + len(b"<html>")
    assert server.ranges[1:] == [f"bytes={CUT}-"] * 2


def test_other_bytes_than_recorded_are_refused(server, target):
    url = server.add(file(CHANGED))
    message = refused([url], target, recorded=HASH)
    changed = sha256(CHANGED).hexdigest()
    assert f"{url} (SHA-256 {changed[:12]} instead of the recorded {HASH[:12]})" in message
    assert "delete the line of x.zip in the lock file" in message
    assert left(target) == []


def test_mirror_with_other_bytes_gives_way_to_the_next(server, target):
    mirrors = [server.add(file(CHANGED), path="/bad"), server.add(file(), path="/good")]
    assert download(mirrors, target, recorded=HASH) == HASH
    assert target.read_bytes() == CONTENT


def test_old_file_stays_while_no_mirror_has_the_recorded_one(server, target):
    target.parent.mkdir()
    target.write_bytes(b"old")
    with pytest.raises(InputError, match="instead of the recorded"):
        download([server.add(file(CHANGED))], target, recorded=HASH)
    assert target.read_bytes() == b"old"


def chunked(*chunks, is_complete=True, **headers):
    def answer(handler):
        body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
        end = b"0\r\n\r\n" if is_complete else b""
        handler.reply(200, body + end, Transfer_Encoding="chunked", **headers)
        handler.hang_up()

    return answer


def test_chunked_answer_needs_no_length_but_an_end(server, target):
    pieces = CONTENT[:CUT], CONTENT[CUT:]
    url = server.add(chunked(pieces[0], is_complete=False), chunked(*pieces))
    assert download([url], target, patience=QUICK) == HASH
    assert server.ranges == [None, None]
    url = server.add(chunked(pieces[0], is_complete=False, ETag='"1"'), file())
    assert download([url], target.with_name("y.zip"), patience=QUICK) == HASH
    assert server.ranges[2:] == [None, f"bytes={CUT}-"]


@pytest.mark.parametrize("headers", [{}, {"Content_Length": "many"}], ids=["none", "nonsense"])
def test_answer_without_a_length_is_refused(server, target, headers):
    def answer(handler):
        handler.reply(200, CONTENT[:CUT], **headers)
        handler.hang_up()

    assert "does not say how long" in refused([server.add(answer)], target)


def test_empty_file_is_refused(server, target):
    assert "an empty file" in refused([server.add(file(b""))], target)


def test_compressed_file_is_not_unpacked_on_the_way(server, target):
    packed = gzip.compress(CONTENT)
    headers = {"ETag": '"1"', "Content_Type": "application/x-tar", "Content_Encoding": "gzip"}
    url = server.add(file(packed, cut=CUT, **headers), file(packed, **headers))
    assert download([url], target, patience=QUICK) == sha256(packed).hexdigest()
    assert server.sent == len(packed)
    assert server.requests[0][1]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://host/x", "x.zip", "", "http://", "http://a b/", "http:///x"],
)
def test_address_that_is_not_http_is_refused_unasked(server, target, url):
    good = server.add(file())
    assert "is not an http or https address" in refused([good, url], target)
    assert server.requests == []
    assert not target.parent.exists()


def test_redirects_are_followed_to_http_only(server, target):
    good = server.add(file(), path="/good")
    assert download([server.add(status(302, Location=good))], target) == HASH
    for place in ("file:///etc/passwd", "ftp://127.0.0.1/x"):
        url = server.add(status(302, Location=place))
        message = refused([url], target.with_name("y.zip"))
        assert f"{url} (leads to an address that is not http or https)" in message
    url = server.add(status(302, Location="/x.zip"))
    assert "redirects without end" in refused([url], target.with_name("y.zip"))
    nonsense = refused(
        ["http://a..b/", "http://[::1/", "http://127.0.0.1:99999/"], target.with_name("y.zip")
    )
    assert nonsense.count("http://") == 3


def test_request_that_makes_no_sense_is_refused(target):
    assert "no address" in refused([], target)
    assert "is not a SHA-256" in refused(["http://a/"], target, recorded="abc")
    target.mkdir(parents=True)
    with pytest.raises(InputError, match="is a folder"):
        download(["http://a/"], target)
    (target / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        download(["http://a/"], target / "file" / "x.zip")


def test_full_disk_is_noticed_before_the_body(server, target, monkeypatch):
    url = server.add(file(cut=CUT), status(404), file())
    refused([url], target)
    for free, fits in ((len(CONTENT) - CUT - 1, False), (len(CONTENT) - CUT, True)):
        usage = shutil.disk_usage(".")._replace(free=free)
        monkeypatch.setattr(shutil, "disk_usage", lambda path, usage=usage: usage)
        if fits:
            assert download([url], target) == HASH
        else:
            assert "252.5 kB to come, 252.5 kB free on disk" in refused([url], target)
    usage = shutil.disk_usage(".")._replace(free=len(CONTENT) - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert "400.0 kB to come" in refused([url], target.with_name("y.zip"))


def test_two_downloads_of_one_file_ask_once(server, target):
    url = server.add(file())
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda _: download([url], target), range(2))) == [HASH, HASH]
    assert len(server.requests) == 1


def test_bar_shows_on_a_terminal_only(server, target, capsys, monkeypatch):
    url = server.add(file(cut=CUT), file())
    download([url], target, patience=QUICK)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    url = server.add(file(cut=CUT), file())
    download([url], target.with_name("[y].zip"), patience=QUICK)
    shown = capsys.readouterr().err
    assert "[y].zip" in shown
    assert "100%" in shown
    assert "400.0/400.0 kB" in shown


def test_bar_starts_where_the_download_goes_on():
    with downloads._bar("x.zip") as bar:
        bar.begin(100, 400)
        task = bar.progress.tasks[0]
        assert (task.completed, task.total) == (100, 400)
        bar.update(50)
        assert task.completed == 150
        bar.reset()
        assert task.completed == 100


def test_lock_file_is_sorted_and_its_lines_can_be_deleted(tmp_path):
    lock = tmp_path / "data" / "downloads.lock"
    assert read_lock(lock) == {}
    names = ["rain/b.zip", "a.zip", "Ж: x.zip", "c" * 100]
    for name in names:
        record(lock, name, sha256(name.encode()).hexdigest())
    assert read_lock(lock) == {name: sha256(name.encode()).hexdigest() for name in names}
    lines = lock.read_text(encoding="utf-8").splitlines()
    assert [line.partition(":")[0] for line in lines[1:3]] == ["a.zip", "c" * 100]
    lock.write_text("\n".join(lines[:2]), encoding="utf-8")
    assert list(read_lock(lock)) == ["a.zip"]
    lock.write_text(lines[0], encoding="utf-8")
    assert read_lock(lock) == {}


def test_record_replaces_an_old_hash(tmp_path):
    lock = tmp_path / "downloads.lock"
    for content in (CONTENT, CHANGED):
        record(lock, "x.zip", sha256(content).hexdigest())
    assert read_lock(lock) == {"x.zip": sha256(CHANGED).hexdigest()}


def test_records_written_at_once_are_all_kept(tmp_path):
    lock = tmp_path / "downloads.lock"
    names = [f"{k}.zip" for k in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: record(lock, name, HASH), names))
    assert read_lock(lock) == dict.fromkeys(names, HASH)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a.zip: [", "cannot be read as YAML (line 1)"),
        ("a.zip: 1\n<<<<<<< HEAD\n", "cannot be read as YAML (line 3)"),
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


def test_note_beside_a_part_says_whose_it_is(server, target):
    url = server.add(file(cut=CUT), status(404))
    refused([url], target)
    note = json.loads(target.with_name(".x.zip.part.json").read_text())
    assert note == {"url": url, "validator": '"1"', "size": len(CONTENT)}
    assert target.with_name(".x.zip.part").read_bytes() == CONTENT[:CUT]
