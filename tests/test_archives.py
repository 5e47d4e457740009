"""Archives: good ones come out whole, hostile and damaged ones are refused in one line."""

import bz2
import gzip
import io
import lzma
import shutil
import stat
import tarfile
import zipfile

import numpy as np
import pytest

from irsde.data.fetch import archives
from irsde.data.fetch.archives import extract
from irsde.files import InputError

FILES = {
    "set/rain/1.png": np.random.default_rng(0).bytes(300_000),
    "set/norain/雨.png": b"norain" * 9,
    f"long/{'x' * 200}.png": b"a name longer than a tar header has room for",
}


def zipped(files, method=zipfile.ZIP_DEFLATED):
    """Bytes of a zip; keys are names or `ZipInfo`."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def tarred(files, **options):
    """Bytes of a plain tar; keys are names or `TarInfo`."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", **options) as archive:
        for name, content in files.items():
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


PACKERS = {
    "zip": zipped,
    "tar": tarred,
    "gz": lambda files: gzip.compress(tarred(files)),
    "bz2": lambda files: bz2.compress(tarred(files)),
    "xz": lambda files: lzma.compress(tarred(files)),
}


def zip_info(name, mode):
    info = zipfile.ZipInfo(name)
    info.create_system = 3  # Unix
    info.external_attr = mode << 16
    return info


def tar_info(name, kind=tarfile.REGTYPE, target="", mode=0o644):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, target, mode
    return info


def encrypted():
    content = bytearray(zipped({"a.png": b"secret"}))
    content[6] |= 1  # the flag in the local header
    content[content.index(b"PK\1\2") + 8] |= 1  # and in the directory
    return bytes(content)


def with_negative_length():
    """A tar whose second member claims -1024 bytes, in base 256."""
    content = bytearray(tarred({"a.png": b"x", "b.png": b"y"}))
    header = content[1024:1536]
    header[124:136] = (-1024).to_bytes(12, "big", signed=True)
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    content[1024:1536] = header
    return bytes(content)


def with_holes(size):
    """A tar of a sparse file with one byte of data."""
    headers = {"major": "0", "minor": "1", "map": "0,1", "size": str(size), "name": "sparse.npy"}
    info = tar_info("sparse.npy")
    info.pax_headers = {f"GNU.sparse.{key}": value for key, value in headers.items()}
    return tarred({info: b"x"}, format=tarfile.PAX_FORMAT)


@pytest.fixture
def archive(tmp_path):
    return tmp_path / "archive.bin"  # its name says nothing of what it is


def save(archive, content):
    archive.write_bytes(content)
    return archive


def written(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def refused(archive, content):
    """The one line by which an archive is refused, after which nothing else lies on disk."""
    with pytest.raises(InputError) as caught:
        extract(save(archive, content), archive.parent / "out" / "set")
    assert "\n" not in str(caught.value)
    assert [path for path in archive.parent.rglob("*") if path.is_file()] == [archive]
    assert not (archive.parent / "out" / "set").exists()
    return str(caught.value)


@pytest.mark.parametrize("packer", PACKERS)
def test_archive_comes_out_whole(archive, tmp_path, packer):
    extract(save(archive, PACKERS[packer](FILES)), tmp_path / "out")
    assert written(tmp_path / "out") == FILES


def test_tar_of_a_folder_comes_out_without_its_set_uid_bits(archive, tmp_path):
    files = {
        tar_info("./", tarfile.DIRTYPE): b"",
        tar_info("./set/", tarfile.DIRTYPE, mode=0o000): b"",
        tar_info("./set/tool", mode=0o4777): b"#!",
    }
    extract(save(archive, tarred(files, format=tarfile.GNU_FORMAT)), tmp_path / "out")
    assert written(tmp_path / "out") == {"set/tool": b"#!"}
    mode = (tmp_path / "out" / "set" / "tool").stat().st_mode
    assert not mode & (stat.S_ISUID | stat.S_IWOTH)


def test_old_folder_is_replaced_by_a_good_archive_and_kept_by_a_bad_one(archive, tmp_path):
    folder = tmp_path / "out"
    extract(save(archive, zipped({"old.png": b"old"})), folder)
    with pytest.raises(InputError):
        extract(save(archive, zipped({"new.png": b"new", "../x": b""})), folder)
    assert written(folder) == {"old.png": b"old"}
    extract(save(archive, zipped({"new.png": b"new"})), folder)
    assert written(folder) == {"new.png": b"new"}
    assert sorted(tmp_path.iterdir()) == [archive, folder]


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"good.png": b"good", "../x": b"evil"}, "'../x' would lie outside the folder"),
        ({"a/../../x": b"evil"}, "would lie outside the folder"),
        ({"/tmp/x": b"evil"}, "would lie outside the folder"),
        ({"a.png": b"1", "A.png": b"2"}, "'A.png' has the name of another member"),
        ({"a": b"1", "a/b": b"2"}, "cannot be written"),
        ({"zeros": bytes(archives.SPARED + 1)}, "like a bomb"),
        ({}, "no files in it"),
    ],
    ids=["above", "above too", "absolute", "same name", "file and folder", "bomb", "empty"],
)
def test_hostile_names_bombs_and_empty_archives_are_refused(archive, packer, files, words):
    if (packer, words) == ("tar", "like a bomb"):
        return  # a plain tar is as large as what it holds
    assert words in refused(archive, PACKERS[packer](files))


LINKS = (tarfile.SYMTYPE, tarfile.LNKTYPE)
DEVICES = (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)
HEADERS = (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME)
LONG = b"0" * (archives.LONGEST_HEADER + 1)
TWO = tarred({"1.png": b"x" * 512, "2.png": b"y" * 512})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        *(
            (tarred({"1.png": b"1", tar_info("evil", kind, target): b""}), "a link or a device")
            for target in ("1.png", "../../x", "/etc/passwd")
            for kind in (*LINKS, *DEVICES)
        ),
        (zipped({zip_info("evil", stat.S_IFLNK | 0o777): b"../../x"}), "a link or a device"),
        (zipped({zip_info("evil", stat.S_IFIFO | 0o644): b""}), "a link or a device"),
        *(
            (tarred({"1.png": b"1", tar_info("x", kind): LONG}), "a header of impossible length")
            for kind in HEADERS
        ),
        (with_negative_length(), "a header of impossible length"),
        (with_holes(2**40), "like a bomb"),
        (encrypted(), "encrypted"),
        (TWO[:1024], "its end is missing"),  # cut behind a member
        (TWO[:1300], "its end is missing"),  # cut in a header
        (TWO.replace(b"2.png", b"2.pnG"), "its end is missing"),  # a header with a wrong checksum
        (TWO + TWO, "its end is missing"),
        (gzip.compress(b"no tar", mtime=0), "not an archive"),
        (b"PK no zip", "not an archive"),
        (b"<html>", "not an archive"),
        (b"", "not an archive"),
    ],
)
def test_hostile_or_broken_archive_is_refused(archive, content, words):
    assert words in refused(archive, content)


@pytest.mark.parametrize("damage", ["cut at 20 %", "cut at 50 %", "cut at 98 %", "one wrong bit"])
@pytest.mark.parametrize("packer", sorted({*PACKERS} - {"tar"}))
def test_damaged_archive_is_refused(archive, packer, damage):
    content = bytearray(PACKERS[packer](FILES))
    if damage == "one wrong bit":
        content[len(content) // 2] ^= 1
    else:
        del content[len(content) * int(damage.split()[2]) // 100 :]
    assert "get it again" in refused(archive, content)


@pytest.mark.parametrize("packer", ["zip", "tar"])
def test_limits_on_bytes_members_and_disk(archive, packer, monkeypatch, tmp_path):
    content = PACKERS[packer](FILES)
    usage = shutil.disk_usage(".")._replace(free=200_000)
    for owner, name, value, words in (
        (archives, "TOTAL", 300_000, "300.1 kB or more"),
        (archives, "MEMBERS", 2, "more than 2 members"),
        (shutil, "disk_usage", lambda path: usage, "the disk has 200.0 kB free"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, value)
            assert words in refused(archive, content)
    extract(save(archive, zipped({"mask.bmp": bytes(9_000_000)})), tmp_path / "mask")  # no bomb


def test_missing_archive_and_folder_that_cannot_be_written_are_named(archive, tmp_path):
    with pytest.raises(InputError, match=r"no\.zip: .*\(No such file or directory\)"):
        extract(tmp_path / "no.zip", tmp_path / "out")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file/out: cannot be written"):
        extract(save(archive, zipped(FILES)), tmp_path / "file" / "out")
