"""Recognition of known images at its limits: bits, coverage, names, sizes."""

import hashlib
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from PIL import Image as PILImage

from irsde.data.adopt import fingerprints
from irsde.data.adopt.fingerprints import (
    Fingerprint,
    Found,
    compare,
    difference,
    find_images,
    fingerprint_of,
    known_scenes,
    known_sets,
    perceptual_hash,
    read_fingerprints,
    recognise,
    write_fingerprints,
)
from irsde.files import InputError


def look(bits, of=0):
    """A hash that differs from that of another `of` in so many bits."""
    return f"{of ^ ((1 << bits) - 1):064x}"


def known(image, pixels, bits=0, size=(8, 6), file="", of=0, part="clean", scene=""):
    return Fingerprint(
        part, image, image, scene or image, *size, f"{pixels:032x}",
        f"{file:032x}" if file else "", look(bits, of),
    )  # fmt: skip


def found(name, pixels, bits=0, size=(8, 6), file="", of=0):
    place = PurePosixPath(name + ".png")
    return Found(
        Path("/") / place, place, *size, f"{pixels:032x}" + 32 * "0",
        f"{file:032x}" + 32 * "1" if file else "", look(bits, of),
    )  # fmt: skip


FAR = int("5" * 64, 16)


@pytest.mark.parametrize(("bits", "is_near"), [(0, True), (40, True), (41, False)])
def test_a_look_within_40_bits_is_near(bits, is_near):
    image, file = known("a", 1), found("b", 2, bits)
    assert bool(compare("set", [image], [file]).differ) == is_near
    assert bool(known_scenes([file], {"set": [image]})) == is_near


def test_the_same_pixels_or_bytes_agree_by_their_first_32_digits():
    image = known("a", 1, file=7)
    for file in (found("x", 1, of=FAR), found("x", 2, file=7, of=FAR)):
        result = compare("set", [image], [file])
        assert result.agree == {image: file}
        assert (result.missing, result.coverage) == ([], 1.0)
    assert compare("set", [known("a", 1)], [found("x", 2, of=FAR)]).missing
    assert fingerprint_of(found("x", 5, file=6), "clean", "n", "o", "s") == Fingerprint(
        "clean", "n", "o", "s", 8, 6, f"{5:032x}", f"{6:032x}", look(0)
    )


def test_of_several_files_the_one_of_the_name_is_taken_the_rest_is_spare():
    image = known("b", 1)
    files = [found(name, 1) for name in "abc"]
    result = compare("set", [image], files)
    assert result.agree == {image: files[1]}
    assert set(result.spare) == {files[0], files[2]}
    assert result.used == set(files)
    twice = [known("p", 1), known("q", 1)]
    assert set(compare("set", twice, files[:2]).agree.values()) == set(files[:2])


def test_of_what_looks_alike_size_comes_first_then_bits_then_the_name():
    image = known("n", 1)
    other_size = found("n", 2, 0, (9, 6))
    near, nearer = found("a", 3, 20), found("z", 4, 19)
    named = found("n", 5, 19)
    for files, best in (
        ([other_size, near], near), ([near, nearer], nearer), ([nearer, named], named),
    ):  # fmt: skip
        assert compare("set", [image], files).differ == {image: best}
    two = [known("n", 1), known("m", 8, 5)]
    result = compare("set", two, [found("u", 2, 0), found("v", 3, 6)])
    assert [result.differ[k].place.stem for k in two] == ["u", "v"]


def test_only_files_that_may_be_compared_by_look_are():
    image, file = known("a", 1), found("a", 2)
    assert compare("set", [image], [file], ()).missing == [image]
    assert compare("set", [image], [file], {file}).differ == {image: file}


@pytest.mark.parametrize(
    ("size", "file", "known_file", "expected"),
    [
        ((8, 7), "", "", "resized or cut"),
        ((9, 6), 3, "", "resized or cut"),
        ((8, 6), 3, "", "JPEG copy"),
        ((8, 6), 3, 4, "re-encoded or edited"),
        ((8, 6), "", "", "re-encoded or edited"),
    ],
)
def test_how_a_file_differs(size, file, known_file, expected):
    image = known("a", 1, file=known_file)
    assert difference(image, found("a", 2, size=size, file=file)) == expected
    assert (image.size, found("a", 2, size=size).size) == ("8x6", f"{size[0]}x{size[1]}")


def test_a_set_is_recognised_from_half_of_its_images_on():
    far = [int(f"{k:x}" * 64, 16) for k in (1, 2, 4, 8)]
    images = [known(f"i{k}", k + 1, of=far[k]) for k in range(4)]
    files = [found(f"f{k}", k + 1, of=far[k]) for k in range(4)]
    sets, strays = recognise(files, {"set": images})
    assert ([s.coverage for s in sets], strays) == ([1.0], [])
    sets, strays = recognise(files[:2], {"set": images})
    assert ([s.coverage for s in sets], strays) == ([0.5], [])
    sets, strays = recognise(files[:1], {"set": images})
    assert (sets, [s.coverage for s in strays]) == ([], [0.25])
    other = [*files, found("stray", 99, of=FAR)]
    more = {"small": images[:2], "set": images, "empty": []}
    sets, strays = recognise(other, more)
    assert ([s.name for s in sets], strays) == (["small", "set"], [])


def test_the_set_of_which_most_was_found_goes_first():
    far = [int(f"{k:x}" * 64, 16) for k in (1, 2, 4, 8)]
    images = [known(f"i{k}", k + 1, of=far[k]) for k in range(4)]
    files = [found(f"f{k}", k + 1, of=far[k]) for k in range(3)]
    sets, strays = recognise(files, {"half": [images[0], images[3]], "most": images})
    assert [s.name for s in sets] == ["most"]
    assert strays == []


def test_a_table_is_written_in_order_and_read_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [known("b", 1), known("c", 2, file=3, part="degraded"), known("a", 4, bits=9)]
    path = write_fingerprints("mine", rows)
    assert path == Path("data/fingerprints/mine.csv")
    assert read_fingerprints("mine") == [rows[2], rows[0], rows[1]]
    assert (known_sets(), read_fingerprints("other")) == (["mine"], [])


def test_scenes_are_those_of_the_nearest_clean_image():
    rows = [
        known("a", 1, 30, scene="s"), known("b", 2, 10, scene="t"),
        known("c", 3, 0, part="degraded", scene="u"),
    ]  # fmt: skip
    file = found("x", 9)
    assert known_scenes([file], {"set": rows}) == {file: "t"}
    same = found("y", 1, of=FAR)
    assert known_scenes([same], {"set": rows}) == {same: "s"}
    assert known_scenes([same], {}) == {}
    both = [known("p", 1, scene="of pixels"), known("q", 2, file=7, scene="of bytes")]
    file = found("z", 1, file=7, of=FAR)
    assert known_scenes([file], {"set": both}) == {file: "of pixels"}


def test_images_of_a_folder_are_found_by_place_and_hashed(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    for name in ("b.png", "a/c.jpg", ".hidden.png", ".git/d.png", "__MACOSX/e.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        PILImage.fromarray(pixels).save(tmp_path / name)
    (tmp_path / "notes.txt").touch()
    (tmp_path / "z.png").write_bytes(b"nothing")
    found_here, unreadable = find_images(tmp_path)
    assert [str(file.place) for file in found_here] == ["a/c.jpg", "b.png"]
    assert list(unreadable) == ["z.png"]
    jpeg, png = found_here
    assert (png.width, png.height, png.file) == (8, 6, "")
    assert png.pixels == hashlib.sha256(pixels.tobytes()).hexdigest()
    assert jpeg.file == hashlib.sha256((tmp_path / "a/c.jpg").read_bytes()).hexdigest()
    for missing, words in ((tmp_path / "b.png", "unpack it first"), (tmp_path / "no", "no such")):
        with pytest.raises(InputError, match=words):
            find_images(missing)


def test_a_perceptual_hash_has_the_signs_of_16_by_16_cosines():
    """One cosine of the third order across, the second down: one of 256 bits stands out."""
    y, x = (np.mgrid[:64, :64] + 0.5) / 64
    wave = 128 + 100 * np.cos(3 * np.pi * x) * np.cos(2 * np.pi * y)
    text = perceptual_hash(np.repeat(np.rint(wave).astype(np.uint8)[..., None], 3, axis=2))
    assert len(text) == 64
    bits = f"{int(text, 16):0256b}"
    assert bits[2 * 16 + 3] == "1"


@pytest.mark.parametrize(("count", "bars"), [(1, 0), (2, 1), (3, 1)])
def test_many_images_are_read_behind_a_bar(count, bars, tmp_path, monkeypatch):
    shown = []

    def track(images, text, total):
        shown.append((text, total))
        return images

    monkeypatch.setattr(fingerprints, "WORTH_A_BAR", 2)
    monkeypatch.setattr(fingerprints, "track", track)
    for k in range(count):
        PILImage.new("RGB", (8, 6)).save(tmp_path / f"{k}.png")
    assert len(find_images(tmp_path)[0]) == count
    assert shown == [(f"reading {tmp_path}", count)] * bars
