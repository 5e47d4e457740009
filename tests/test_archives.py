"""Archives: good ones come out whole, every hostile or broken one is refused in one line."""

import bz2
import dataclasses
import gzip
import io
import lzma
import shutil
import stat
import struct
import tarfile
import zipfile

import numpy as np
import pytest

from irsde.data.fetch import archives
from irsde.data.fetch.archives import Limits, extract, join_parts
from irsde.files import InputError

FILES = {
    "set/rain/1.png": np.random.default_rng(0).bytes(700_000),
    "set/norain/雨.png": b"norain" * 9,
    "readme.txt": b"read me\n",
}
JUNK = dict.fromkeys(["__MACOSX/set/1.png", "set/.DS_Store", "set/rain/._1.png"], b"junk")
SMALL = Limits(members=20, total=2_000_000, ratio=20, spared=100_000)
COMPRESSIONS = {"": bytes, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


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


def zip_info(name, mode):
    info = zipfile.ZipInfo(name)
    info.create_system = 3  # Unix
    info.external_attr = mode << 16
    return info


def tar_info(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def patched(content, old, new):
    """All places of `old` replaced by as many bytes; there is one at least."""
    assert old in content
    assert len(old) == len(new)
    return content.replace(old, new)


def written(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def archive(tmp_path):
    return tmp_path / "in" / "archive.bin"  # its name says nothing of what it is


def save(archive, content):
    archive.parent.mkdir(exist_ok=True)
    archive.write_bytes(content)
    return archive


def refused(archive, content, *, limits=SMALL):
    """The one line by which an archive is refused, after which nothing else lies on disk."""
    save(archive, content)
    folder = archive.parent.parent / "out" / "set"
    with pytest.raises(InputError) as caught:
        extract(archive, folder, limits=limits)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{archive}: ")
    left = [path for path in archive.parent.parent.rglob("*") if not path.is_dir()]
    assert left == [archive]
    assert not folder.exists()
    return message


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_zip_comes_out_whole(archive, tmp_path, method):
    save(archive, zipped({"set/": b"", **FILES, **JUNK}, method))
    assert extract(archive, tmp_path / "out") == len(FILES)
    assert written(tmp_path / "out") == FILES


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("layout", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_tar_comes_out_whole(archive, tmp_path, compression, layout):
    files = {f"./{name}": content for name, content in (FILES | JUNK).items()}
    files[f"./long/{'x' * 200}.png"] = b"a name longer than a header has room for"
    plain = tarred({tar_info(".", tarfile.DIRTYPE): b"", **files}, format=layout)
    save(archive, COMPRESSIONS[compression](plain))
    assert extract(archive, tmp_path / "out") == len(FILES) + 1
    expected = FILES | {f"long/{'x' * 200}.png": b"a name longer than a header has room for"}
    assert written(tmp_path / "out") == expected


def test_old_folder_is_replaced_by_a_good_archive_and_kept_by_a_bad_one(archive, tmp_path):
    folder = tmp_path / "out"
    extract(save(archive, zipped({"old.png": b"old"})), folder)
    with pytest.raises(InputError):
        extract(save(archive, zipped({"new.png": b"new", "../x": b""})), folder)
    assert written(folder) == {"old.png": b"old"}
    extract(save(archive, zipped({"new.png": b"new"})), folder)
    assert written(folder) == {"new.png": b"new"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_killed_extraction_leaves_nothing(archive, tmp_path, monkeypatch):
    def kill(*_):
        raise KeyboardInterrupt

    save(archive, zipped(FILES))
    monkeypatch.setattr(archives, "_check_bomb", kill)
    with pytest.raises(KeyboardInterrupt):
        extract(archive, tmp_path / "out" / "set")
    assert list((tmp_path / "out").iterdir()) == []


def test_executable_bits_and_set_uid_are_dropped(archive, tmp_path):
    info = tar_info("tool", tarfile.REGTYPE)
    info.mode = 0o4777
    extract(save(archive, tarred({info: b"#!"})), tmp_path / "out")
    mode = (tmp_path / "out" / "tool").stat().st_mode
    assert not mode & (stat.S_IXUSR | stat.S_ISUID | stat.S_IWOTH)


EVIL_NAMES = ["../x", "a/../../x", "/tmp/x", "C:/x", "c:x", "..\\x", "a\\b", "a/.."]


@pytest.mark.parametrize("name", EVIL_NAMES)
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_name_outside_the_folder_is_refused(archive, name, pack):
    message = refused(archive, pack({"good.png": b"good", name: b"evil"}))
    assert f"{name!r} could lie outside the folder" in message


@pytest.mark.parametrize("name", ["a\nb.png", "a\x1b[2Jb.png"])
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_name_with_control_characters_is_refused(archive, name, pack):
    assert "that are no text" in refused(archive, pack({name: b"evil"}))


@pytest.mark.parametrize("start", ["a.png", ""])
def test_name_that_ends_early_is_refused(archive, start):
    held = f"{start}_.exe"
    content = patched(zipped({held: b"evil"}), held.encode(), f"{start}\0.exe".encode())
    assert rf"'{start}\x00.exe' has characters" in refused(archive, content)


@pytest.mark.parametrize("name", [".", "./."])
def test_file_without_a_name_is_refused(archive, name):
    assert "without a name" in refused(archive, zipped({name: b"evil"}))


def test_links_and_special_files_in_a_zip_are_refused(archive):
    link = {zip_info("link.png", stat.S_IFLNK | 0o777): b"/etc/passwd"}
    assert "'link.png' is a link" in refused(archive, zipped(link))
    pipe = {zip_info("pipe", stat.S_IFIFO | 0o644): b""}
    assert "'pipe' is a special file" in refused(archive, zipped(pipe))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (tarfile.SYMTYPE, "a link"),
        (tarfile.LNKTYPE, "a link"),
        (tarfile.CHRTYPE, "a special file"),
        (tarfile.BLKTYPE, "a special file"),
        (tarfile.FIFOTYPE, "a special file"),
    ],
)
def test_links_and_devices_in_a_tar_are_refused(archive, kind, words):
    evil = tar_info("evil", kind, target="good.png")
    message = refused(archive, tarred({"good.png": b"good", evil: b""}))
    assert f"member 'evil' is {words}" in message


def test_encrypted_zip_is_refused(archive):
    content = bytearray(zipped({"a.png": b"secret"}))
    content[6] |= 1  # the flag in the local header
    content[content.index(b"PK\1\2") + 8] |= 1  # and in the directory
    assert "'a.png' is encrypted" in refused(archive, bytes(content))


def test_unknown_compression_is_refused(archive):
    content = bytearray(zipped({"a.png": b"deflate64"}))
    content[8] = 9
    content[content.index(b"PK\1\2") + 10] = 9
    assert "unpack it by hand" in refused(archive, bytes(content))


@pytest.mark.parametrize(
    "pair",
    [("a.png", "A.png"), ("set/1.png", "SET/2.png"), ("é.png", "e\u0301.png")],
    ids=["file", "folder", "unicode form"],
)
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_names_that_are_one_on_other_systems_are_refused(archive, pair, pack):
    assert "have one name on some systems" in refused(archive, pack(dict.fromkeys(pair, b"x")))


@pytest.mark.parametrize("second", ["a", "a/b"], ids=["file twice", "file and folder"])
def test_names_that_occur_twice_are_refused(archive, second):
    held = "q" * len(second)  # zipfile warns of a name that it writes twice
    twice = patched(zipped({"a": b"1", held: b"2"}), held.encode(), second.encode())
    assert "'a' is there twice" in refused(archive, twice)
    infos = [tar_info(name, tarfile.REGTYPE) for name in ("a", second)]
    for order in (infos, infos[::-1]):
        assert "'a' is there twice" in refused(archive, tarred(dict.fromkeys(order, b"1")))


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zip_bomb_is_refused(archive, method):
    bomb = zipped({"bomb": bytes(1_000_000)}, method)
    assert len(bomb) < 10_000
    assert "as a bomb does" in refused(archive, bomb)


def test_bomb_beside_a_large_photograph_is_refused(archive):
    files = {"photograph.png": FILES["set/rain/1.png"], "bomb": bytes(1_000_000)}
    assert 20 * len(zipped(files)) > sum(map(len, files.values()))  # the whole is no bomb
    assert "as a bomb does" in refused(archive, zipped(files))


@pytest.mark.parametrize("compression", ["gz", "bz2", "xz"])
@pytest.mark.parametrize("name", ["bomb", "__MACOSX/bomb"])
def test_tar_bomb_is_refused(archive, compression, name):
    bomb = COMPRESSIONS[compression](tarred({name: bytes(1_000_000)}))
    assert "as a bomb does" in refused(archive, bomb)


def test_default_limits_refuse_a_bomb_and_take_an_empty_mask(archive, tmp_path):
    mask = zipped({"mask.bmp": bytes(9_000_000)})
    assert extract(save(archive, mask), tmp_path / "mask") == 1
    shutil.rmtree(tmp_path / "mask")
    bomb = zipped({"bomb": bytes(11_000_000)})
    assert "as a bomb does" in refused(archive, bomb, limits=archives.LIMITS)


def test_archive_above_a_limit_is_refused(archive):
    photograph = FILES["set/rain/1.png"]
    large = {f"{k}.png": photograph for k in range(3)}
    assert "the limit is 2.0 MB" in refused(archive, zipped(large))
    zeros = COMPRESSIONS["gz"](tarred({"zeros": bytes(3_000_000)}))
    no_bomb = dataclasses.replace(SMALL, ratio=10_000)
    assert "more than 2.0 MB" in refused(archive, zeros, limits=no_bomb)
    many = {f"{k}.png": b"x" for k in range(21)}
    for pack in (zipped, tarred):
        assert "more than 20 members" in refused(archive, pack(many))


def test_archive_larger_than_the_disk_is_refused_before_a_byte_is_written(archive, monkeypatch):
    usage = shutil.disk_usage(".")._replace(free=600_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    monkeypatch.setattr(archives, "_unpack", None)
    save(archive, zipped(FILES))
    with pytest.raises(InputError, match=r"needs 700\.1 kB, the disk has 600\.0 kB free"):
        extract(archive, archive.parent / "out")


@pytest.mark.parametrize("lie", [5, 2_000])
def test_zip_whose_header_lies_about_the_length_is_refused(archive, lie):
    content = zipped({"a.png": bytes(range(200)) * 5})
    content = patched(content, struct.pack("<L", 1_000), struct.pack("<L", lie))
    message = refused(archive, content)
    assert ("Bad CRC" if lie < 1_000 else "not as long as its header says") in message


def test_zip_that_hides_how_much_it_holds_is_refused(archive):
    content = zipped({"bomb": bytes(1_000_000)})
    packed = struct.unpack_from("<L", content, 18)[0]
    content = patched(content, struct.pack("<L", packed), struct.pack("<L", 500_000))
    refused(archive, content)


def test_tar_that_claims_a_negative_length_is_refused(archive):
    content = bytearray(tarred({"a.png": b"x", "b.png": b"y"}))
    header = content[1024:1536]
    header[124:136] = b"\xff" * 10 + b"\xfc\x00"  # -1024 in base 256
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    content[1024:1536] = header
    assert "damaged" in refused(archive, bytes(content))


def test_tar_with_a_sparse_file_counts_its_holes(archive):
    info = tar_info("sparse.npy", tarfile.REGTYPE)
    info.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.map": "0,1",
        "GNU.sparse.size": str(1_500_000),
        "GNU.sparse.name": "sparse.npy",
    }
    message = refused(archive, tarred({info: b"x"}, format=tarfile.PAX_FORMAT))
    assert "as a bomb does" in message


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_tar_with_a_header_that_fills_the_memory_is_refused(archive, kind):
    header = tar_info("x", kind)
    content = COMPRESSIONS["gz"](tarred({header: b"0" * 50_000_000}))
    assert "a header of impossible length" in refused(archive, content)


@pytest.mark.parametrize("compression", ["zip", *COMPRESSIONS])
@pytest.mark.parametrize("left", [0.2, 0.5, 0.9, 0.98])
def test_archive_cut_short_is_refused(archive, compression, left):
    content = zipped(FILES) if compression == "zip" else COMPRESSIONS[compression](tarred(FILES))
    message = refused(archive, content[: int(len(content) * left)])
    assert "damaged or cut short" in message


def test_tar_cut_between_two_members_is_refused(archive):
    content = tarred({"1.png": b"x" * 512, "2.png": b"y" * 512})
    assert "its end is missing" in refused(archive, content[:1024])


def test_tar_with_a_spoiled_header_in_the_middle_is_refused(archive):
    content = patched(tarred({"1.png": b"x", "2.png": b"y"}), b"2.png", b"2.pnG")
    assert "its end is missing" in refused(archive, content)


def test_two_tars_in_one_file_are_refused(archive):
    content = tarred({"1.png": b"x"}) + tarred({"2.png": b"y"})
    assert "something follows its end" in refused(archive, content)


@pytest.mark.parametrize("compression", ["zip", "gz", "bz2", "xz"])
def test_archive_with_one_wrong_bit_is_refused(archive, compression):
    content = zipped(FILES) if compression == "zip" else COMPRESSIONS[compression](tarred(FILES))
    spoiled = bytearray(content)
    spoiled[len(content) // 2] ^= 1
    assert "get it again" in refused(archive, bytes(spoiled))


@pytest.mark.parametrize(
    "content",
    [zipped({}), tarred({}), zipped({"set/": b""}), zipped(JUNK), tarred(JUNK)],
    ids=["empty zip", "empty tar", "folders only", "junk in zip", "junk in tar"],
)
def test_archive_without_files_is_refused(archive, content):
    assert "holds no files" in refused(archive, content)


def test_what_is_no_archive_is_refused(archive):
    for content in (b"<html>", FILES["set/rain/1.png"], gzip.compress(b"not a tar")):
        assert "not a zip or tar archive" in refused(archive, content)
    assert "the file is empty" in refused(archive, b"")


def test_missing_archive_and_folder_in_its_place_are_refused(tmp_path):
    for path, words in ((tmp_path / "no.zip", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(InputError, match=words) as caught:
            extract(path, tmp_path / "out")
        assert str(caught.value).startswith(f"{path}: cannot be read")
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_written_is_named(archive, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file/out: cannot be written"):
        extract(save(archive, zipped(FILES)), tmp_path / "file" / "out")


def parts_of(content, folder, count=3):
    size = len(content) // count + 1
    parts = [folder / f"set.zip.{k + 1:03}" for k in range(count)]
    for k, part in enumerate(parts):
        part.write_bytes(content[k * size : (k + 1) * size])
    return parts


def test_joined_parts_are_the_archive(tmp_path):
    content = zipped(FILES)
    join_parts(parts_of(content, tmp_path), tmp_path / "set.zip")
    assert (tmp_path / "set.zip").read_bytes() == content


def test_parts_that_are_not_all_there_are_refused(tmp_path):
    first, second, third = parts_of(zipped(FILES), tmp_path)
    for parts in ([first, third], [second, third], [second, first, third], [first, first]):
        with pytest.raises(InputError, match="not a whole sequence"):
            join_parts(parts, tmp_path / "set.zip")
    with pytest.raises(InputError, match="no parts"):
        join_parts([], tmp_path / "set.zip")
    second.write_bytes(b"")
    with pytest.raises(InputError, match=f"{second}: is empty"):
        join_parts([first, second, third], tmp_path / "set.zip")
    second.unlink()
    with pytest.raises(InputError, match=f"{second}: no such file"):
        join_parts([first, second, third], tmp_path / "set.zip")
    assert sorted(tmp_path.iterdir()) == [first, third]


def test_parts_larger_than_the_disk_are_not_joined(tmp_path, monkeypatch):
    parts = parts_of(zipped(FILES), tmp_path)
    usage = shutil.disk_usage(".")._replace(free=600_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(InputError, match="the disk has"):
        join_parts(parts, tmp_path / "set.zip")
    assert sorted(tmp_path.iterdir()) == parts
