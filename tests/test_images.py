"""Images that users bring: read as they are meant, or refused with the reason on one line."""

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from irsde.files import InputError
from irsde.images import image_files, read_image

COLORS = np.random.default_rng(0).integers(0, 256, (12, 9, 3), dtype=np.uint8)
GREY = COLORS[..., 0]


def png(width, height, depth, color_type, rows=b"", extra=b""):
    """A PNG of hand-made header and rows, each row led by its filter byte."""

    def chunk(name, content):
        return (
            struct.pack(">I", len(content))
            + name
            + content
            + struct.pack(">I", zlib.crc32(name + content))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def written(path, image, **options):
    image.save(path, **options)
    return path


def with_alpha(alpha, mode="RGBA"):
    color = Image.fromarray(COLORS if mode == "RGBA" else GREY)
    color.putalpha(Image.fromarray(np.full(GREY.shape, alpha, dtype=np.uint8)))
    assert color.mode == mode
    return color


LOSSLESS = [
    ("a.png", {}),
    ("a.bmp", {}),
    ("a.tif", {}),
    ("a.tiff", {"compression": "tiff_lzw"}),
    ("a.tif", {"compression": "tiff_adobe_deflate"}),
    ("a.webp", {"lossless": True}),
]


@pytest.mark.parametrize(("name", "options"), LOSSLESS)
def test_colors_are_read_as_stored(tmp_path, name, options):
    path = written(tmp_path / name, Image.fromarray(COLORS), **options)
    assert np.array_equal(read_image(path), COLORS)


@pytest.mark.parametrize(("name", "options"), [LOSSLESS[2], LOSSLESS[3], LOSSLESS[5]])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_format_is_turned_as_a_png_is(tmp_path, name, options, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(COLORS)
    upright = read_image(written(tmp_path / "upright.png", image, exif=exif))
    assert upright.shape == ((12, 9, 3) if orientation < 5 else (9, 12, 3))
    assert np.array_equal(
        read_image(written(tmp_path / name, image, exif=exif, **options)), upright
    )


def test_grey_is_repeated_on_three_channels(tmp_path):
    pixels = read_image(written(tmp_path / "a.png", Image.fromarray(GREY)))
    assert np.array_equal(pixels, np.stack([GREY] * 3, axis=2))


@pytest.mark.parametrize(("depth", "step"), [(1, 255), (2, 85), (4, 17)])
def test_few_bits_of_grey_span_the_whole_range(tmp_path, depth, step):
    (tmp_path / "a.png").write_bytes(png(2, 1, depth, 0, rows=bytes([0, 1 << (8 - 2 * depth)])))
    assert read_image(tmp_path / "a.png").tolist() == [[[0] * 3, [step] * 3]]


@pytest.mark.parametrize("name", ["a.png", "a.bmp"])
def test_a_palette_is_looked_up_exactly(tmp_path, name):
    few = COLORS // 128 * 200
    indexed = Image.fromarray(few).quantize(8, dither=Image.Dither.NONE)
    path = written(tmp_path / name, indexed)
    with Image.open(path) as stored:
        assert stored.mode == "P"
    assert np.array_equal(read_image(path), np.asarray(indexed.convert("RGB")))


def test_a_jpeg_is_turned_as_its_orientation_says(tmp_path):
    smooth = np.zeros((16, 32, 3), dtype=np.uint8)
    smooth[:, 16:] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    pixels = read_image(written(tmp_path / "a.jpg", Image.fromarray(smooth), exif=exif))
    assert pixels.shape == (32, 16, 3)
    assert pixels[2].mean() < 5
    assert pixels[-2].mean() > 250


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_an_opaque_alpha_channel_is_dropped(tmp_path, mode):
    expected = COLORS if mode == "RGBA" else np.stack([GREY] * 3, axis=2)
    pixels = read_image(written(tmp_path / "a.png", with_alpha(255, mode)))
    assert np.array_equal(pixels, expected)


def test_a_palette_with_an_unused_transparent_color_is_read(tmp_path):
    indexed = Image.fromarray(GREY // 128 * 255).convert("P")
    pixels = read_image(written(tmp_path / "a.png", indexed, transparency=17))
    assert np.array_equal(pixels, np.asarray(indexed.convert("RGB")))


def test_the_first_picture_of_a_jpeg_with_several_counts(tmp_path):
    first, second = (Image.new("RGB", (16, 16), color) for color in ("red", "blue"))
    written(tmp_path / "a.jpg", first, format="MPO", save_all=True, append_images=[second])
    assert read_image(tmp_path / "a.jpg")[8, 8, 0] > 200


def transparent_palette():
    indexed = Image.fromarray(GREY // 128 * 255).convert("P")
    return encoded(indexed, "PNG", transparency=int(np.asarray(indexed)[0, 0]))


def encoded(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def deep_tiff():
    """A TIFF of one pixel with 16 bits a channel, which Pillow would read as 8 bits."""
    tags = ((256, 1), (257, 1), (258, 122), (259, 1), (262, 2), (273, 128), (277, 3), (279, 6))
    header = struct.pack("<2sHIH", b"II", 42, 8, len(tags))
    for tag, value in tags:
        header += struct.pack("<HHII", tag, 3, 3 if tag == 258 else 1, value)
    header += struct.pack("<I", 0)
    return header.ljust(122, b"\0") + struct.pack("<3H", 16, 16, 16) + bytes(6)


JPEG = encoded(Image.fromarray(COLORS).resize((64, 64)), "JPEG")
PNG = encoded(Image.fromarray(COLORS).resize((64, 64)), "PNG")
TIFF = encoded(Image.fromarray(COLORS).resize((64, 64)), "TIFF")
WEBP = encoded(Image.fromarray(COLORS).resize((64, 64)), "WEBP", lossless=True)
FRAMES = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]

REFUSED = {
    "16-bit grey": (png(1, 1, 16, 0, bytes(3)), "16 bits a channel; convert it to 8"),
    "16-bit colors": (png(1, 1, 16, 2, bytes(7)), "16 bits a channel; convert it to 8"),
    "16-bit colors with alpha": (png(1, 1, 16, 6, bytes(9)), "16 bits a channel"),
    "transparent colors": (encoded(with_alpha(254), "PNG"), "has transparent pixels; flatten it"),
    "transparent grey": (encoded(with_alpha(0, "LA"), "PNG"), "has transparent pixels"),
    "transparent palette": (transparent_palette(), "has transparent pixels"),
    "transparent key color": (
        encoded(Image.new("RGB", (4, 4), (1, 2, 3)), "PNG", transparency=(1, 2, 3)),
        "has transparent pixels",
    ),
    "CMYK": (encoded(Image.new("CMYK", (8, 8)), "JPEG"), "CMYK colors; convert it to RGB"),
    "animated": (
        encoded(FRAMES[0], "PNG", save_all=True, append_images=FRAMES[1:]),
        "animated; save the one frame",
    ),
    "16-bit TIFF": (
        encoded(Image.fromarray(GREY.astype(np.uint16)), "TIFF"),
        "16 bits a channel; convert it to 8",
    ),
    "16-bit colors of a TIFF": (deep_tiff(), "16 bits a channel; convert it to 8"),
    "TIFF of floating point": (
        encoded(Image.fromarray(GREY.astype(np.float32)), "TIFF"),
        "32 bits a channel; convert it to 8",
    ),
    "CMYK TIFF": (encoded(Image.new("CMYK", (8, 8)), "TIFF"), "CMYK colors; convert it to RGB"),
    "TIFF of several pages": (
        encoded(FRAMES[0], "TIFF", save_all=True, append_images=FRAMES[1:]),
        "several pages; save the one that is meant",
    ),
    "transparent WebP": (encoded(with_alpha(9), "WEBP"), "has transparent pixels; flatten it"),
    "animated WebP": (
        encoded(FRAMES[0], "WEBP", save_all=True, append_images=FRAMES[1:]),
        "animated; save the one frame",
    ),
    "truncated TIFF": (TIFF[: len(TIFF) // 2], "not a readable image: damaged or truncated"),
    "truncated WebP": (WEBP[: len(WEBP) // 2], "not a readable image: damaged or truncated"),
    "truncated PNG": (PNG[: len(PNG) * 2 // 3], "not a readable image: damaged or truncated"),
    "truncated JPEG": (JPEG[: len(JPEG) * 2 // 3], "not a readable image: damaged or truncated"),
    "PNG header alone": (PNG[:33], "not a readable image: damaged or truncated"),
    "damaged PNG": (
        PNG[:60] + b"\x00\x00\x00" + PNG[63:],
        "not a readable image: damaged or truncated",
    ),
    "PNG bomb": (png(20_000, 20_000, 8, 2), "more than 100 million pixels"),
    "PNG bomb of two sides": (png(2**31 - 1, 2**31 - 1, 8, 2), "more than 100 million pixels"),
    "JPEG bomb": (
        JPEG.replace(struct.pack(">HH", 64, 64), struct.pack(">HH", 65000, 65000), 1),
        "more than 100 million pixels",
    ),
    "empty": (b"", "an empty file; get it again"),
    "text": (
        b"<html>404 not found</html>",
        "not a readable PNG, JPEG, BMP, TIFF or WebP image, whatever its name",
    ),
    "FITS": (
        b"SIMPLE  =                    T".ljust(2880),
        "not a readable PNG, JPEG, BMP, TIFF or WebP image",
    ),
    "GIF": (
        encoded(Image.new("RGB", (4, 4)), "GIF"),
        "not a readable PNG, JPEG, BMP, TIFF or WebP image",
    ),
    "PNG signature alone": (PNG[:8], "not a readable image: damaged or truncated"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_refused_by_name_on_one_line(tmp_path, case):
    content, reason = REFUSED[case]
    path = tmp_path / "photo.png"
    path.write_bytes(content)
    with pytest.raises(InputError) as refused:
        read_image(path)
    assert str(refused.value).startswith(f"{path}: {reason}")
    assert "\n" not in str(refused.value)
    assert str(refused.value).count(str(path)) == 1


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(
        InputError, match=r"a\.png: not a regular file but a pipe, socket or device"
    ):
        read_image(tmp_path / "a.png")
    with pytest.raises(InputError, match="not a regular file"):
        read_image(Path("/dev/zero"))


def test_damaged_metadata_says_nothing(tmp_path):
    """In a process of its own, because pytest has its own rules for warnings."""
    entry = struct.pack("<HHII", 0x010F, 2, 0x7FFFFFFF, 16)
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 500) + entry * 9
    written(tmp_path / "a.jpg", Image.fromarray(COLORS), exif=exif)
    code = "import sys, pathlib, irsde.images as i; i.read_image(pathlib.Path(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.jpg")], capture_output=True, check=True
    )
    assert (done.stdout, done.stderr) == (b"", b"")


def test_files_of_a_folder_are_images_or_pictures_that_are_not_read(tmp_path):
    for name in ("b.TIF", "a.png", "c.gif", ".hidden.png", "._a.png", "notes.txt", "deep/d.webp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    images, unread = image_files(tmp_path)
    assert ([f.name for f in images], [f.name for f in unread]) == (["a.png", "b.TIF"], ["c.gif"])
    assert [f.name for f in image_files(tmp_path, deep=True)[0]] == ["a.png", "b.TIF", "d.webp"]


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"a\.png: no such file$"):
        read_image(tmp_path / "a.png")


def test_a_folder_is_no_image(tmp_path):
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory\)$"):
        read_image(tmp_path)
