"""Fetching a data set end to end: download, unpack, pair, and refuse what has changed."""

import functools
import http.server
import threading
import zipfile
from typing import ClassVar

import numpy as np
import pytest
import yaml

from irsde.data.fetch.fetching import LOCK, fetch
from irsde.data.sets import dataset_card, dataset_folder, read_records
from irsde.files import InputError, digest
from irsde.images import read_image, write_image
from irsde.seeds import numpy_generator


class Quiet(http.server.SimpleHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def log_message(self, *_):
        self.asked.append(self.path)


@pytest.fixture
def served(tmp_path):
    """A folder that a server on loopback hands out, and its address."""
    folder = tmp_path / "served"
    folder.mkdir()
    Quiet.asked = []
    handler = functools.partial(Quiet, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def project(tmp_path, monkeypatch, served):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    _, address = served

    def write(mirrors=("/toy.zip",), sha256=None, **changes):
        archives = [
            {
                "name": "toy.zip",
                "sha256": sha256,
                "mirrors": [
                    address + m if isinstance(m, str) else [address + part for part in m]
                    for m in mirrors
                ],
            }
        ]
        family = {
            "label": "Toy",
            "tasks": ["deraining"],
            "licence": "CC0",
            "page": "https://example.org/toy",
            "archives": archives,
            "splits": {
                "toy": {
                    "label": "Toy",
                    "role": "test",
                    "images": 2,
                    "degraded": 2,
                    "layouts": [{"clean": "norain-{image}.png", "degraded": "rain-{image}.png"}],
                }
            },
            **changes,
        }
        (tmp_path / "data/catalogue.yaml").write_text(yaml.safe_dump({"toy-family": family}))

    write()
    return write


def archive(path, names=("norain-1", "norain-2", "rain-1", "rain-2")):
    with zipfile.ZipFile(path, "w") as packed:
        for name in names:
            pixels = numpy_generator("toy", name).integers(0, 256, (16, 20, 3), dtype=np.uint8)
            write_image(path.parent / "image.png", pixels)
            packed.write(path.parent / "image.png", f"deep/er/{name}.png")
    (path.parent / "image.png").unlink()


def test_a_set_is_downloaded_unpacked_paired_and_not_asked_for_again(served, project):
    archive(served[0] / "toy.zip")
    lines = fetch("toy")
    assert "toy: 2 of 2" in lines[0]
    folder = dataset_folder("toy")
    records = read_records(folder)
    assert [record.image for record in records] == ["1", "2"]
    for record in records:
        assert read_image(folder / record.gt).shape == read_image(folder / record.lq).shape
    assert dataset_card(folder).verified is False
    assert "toy.zip" in LOCK.read_text()
    Quiet.asked.clear()
    assert "already there" in fetch("toy")[0]
    assert Quiet.asked == []


def test_a_missing_mirror_is_followed_by_the_next(served, project):
    archive(served[0] / "toy.zip")
    project(mirrors=("/gone.zip", "/toy.zip"))
    assert "toy: 2 of 2" in fetch("toy")[0]


def test_parts_of_a_cut_archive_are_joined(served, project):
    archive(served[0] / "toy.zip")
    content = (served[0] / "toy.zip").read_bytes()
    (served[0] / "a.001").write_bytes(content[:700])
    (served[0] / "a.002").write_bytes(content[700:])
    project(mirrors=[("/a.001", "/a.002")])
    assert "toy: 2 of 2" in fetch("toy")[0]


def test_parts_of_a_cut_archive_are_held_to_its_sha256(served, project, tmp_path):
    archive(served[0] / "toy.zip")
    content = (served[0] / "toy.zip").read_bytes()
    (served[0] / "a.001").write_bytes(content[:700])
    (served[0] / "a.002").write_bytes(content[700:])
    project(mirrors=[("/a.001", "/a.002")], sha256="0" * 64)
    with pytest.raises(InputError, match=r"toy\.zip: SHA-256 [0-9a-f]{12} instead of 000000000000"):
        fetch("toy")
    assert not (tmp_path / "data/toy").exists()
    assert not (tmp_path / "data/downloads/toy.zip").exists()
    assert not (tmp_path / "data/downloads/toy.unpacked").exists()
    project(mirrors=[("/a.001", "/a.002")], sha256=digest(content))
    assert "toy: 2 of 2" in fetch("toy")[0]


def test_an_archive_that_changed_since_the_first_fetch_is_refused(served, project, tmp_path):
    archive(served[0] / "toy.zip")
    fetch("toy")
    for name in ("toy", "downloads"):
        (tmp_path / "data" / name).rename(tmp_path / f"old-{name}")
    archive(served[0] / "toy.zip", ("norain-1", "norain-3", "rain-1", "rain-3"))
    with pytest.raises(InputError, match=r"toy.zip") as error:
        fetch("toy")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "data/toy").exists()


def test_what_cannot_be_had_is_said_with_what_to_do_by_hand(served, project):
    with pytest.raises(InputError, match=r"404.*by hand: .*example.org/toy.*--as toy") as error:
        fetch("toy")
    assert "\n" not in str(error.value)
    project(archives=[], by_hand="ask the authors, then `irsde data adopt FOLDER --as toy`")
    with pytest.raises(InputError, match="by hand: ask the authors"):
        fetch("toy")


def test_an_archive_without_the_images_is_refused_and_nothing_adopted(served, project, tmp_path):
    archive(served[0] / "toy.zip", ("norain-1", "rain-1", "rain-2"))
    with pytest.raises(InputError):
        fetch("toy")
    assert not (tmp_path / "data/toy").exists()


def test_a_folder_of_ones_own_is_indexed_and_read_again_after_a_change(project, tmp_path):
    folder = tmp_path / "data/mine"
    for part in ("GT", "LQ"):
        (folder / part).mkdir(parents=True)
        for name in "ab":
            pixels = numpy_generator(part, name).integers(0, 256, (16, 20, 3), dtype=np.uint8)
            write_image(folder / part / f"{name}.png", pixels)
    (folder / "dataset.yaml").write_text("label: Mine\ntask: deraining\n")
    fetch("mine")
    before = dataset_card(folder).fingerprint
    assert dataset_card(folder).tasks == ["deraining"]
    write_image(folder / "LQ/a.png", np.zeros((16, 20, 3), np.uint8))
    fetch("mine")
    assert dataset_card(folder).fingerprint != before
    write_image(folder / "LQ/a.png", np.zeros((16, 21, 3), np.uint8))
    with pytest.raises(InputError, match="21x16"):
        fetch("mine")
