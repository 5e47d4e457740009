"""Images that users bring: read as they are meant, or refused with the reason on one line."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from irsde.files import InputError
from irsde.images import read_image

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


@pytest.mark.parametrize("name", ["a.png", "a.bmp"])
def test_colors_are_read_as_stored(tmp_path, name):
    assert np.array_equal(read_image(written(tmp_path / name, Image.fromarray(COLORS))), COLORS)


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


JPEG = encoded(Image.fromarray(COLORS).resize((64, 64)), "JPEG")
PNG = encoded(Image.fromarray(COLORS).resize((64, 64)), "PNG")
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
    "GIF": (encoded(Image.new("RGB", (4, 4)), "GIF"), "not a readable PNG, JPEG, BMP, TIFF or WebP image"),
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


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"a\.png: no such file$"):
        read_image(tmp_path / "a.png")


def test_a_folder_is_no_image(tmp_path):
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory\)$"):
        read_image(tmp_path)
