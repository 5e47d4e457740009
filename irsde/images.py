"""Image files and the two forms of an image: 8-bit pixels and floating point in [0, 1]."""

import logging
import os
import stat
import struct
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL import ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from irsde.files import InputError

if TYPE_CHECKING:
    from torch import Tensor

MAX_PIXELS = 100_000_000
Pixels = NDArray[np.uint8]

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
KINDS = "PNG, JPEG, BMP, TIFF or WebP"
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
UNREAD = (
    *(".gif", ".heic", ".heif", ".avif", ".jxl", ".jp2", ".j2k", ".jfif", ".jpe", ".dib", ".ico"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".psd", ".svg", ".exr", ".hdr", ".pfm", ".npy"),
    *(".dng", ".nef", ".cr2", ".cr3", ".arw", ".raf", ".orf", ".rw2"),
)  # endings of pictures that are not read

PNG_START = b"\x89PNG\r\n\x1a\n"
JPEG_START = b"\xff\xd8\xff"
BMP_START = b"BM"
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
COLOR_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")
BITS_PER_SAMPLE = 258  # tag of a TIFF

# The limit here is stricter than the one at which Pillow begins to warn of large images, and what
# it says of damaged metadata concerns no pixel.
warnings.filterwarnings("ignore", category=PILImage.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
logging.getLogger("PIL").setLevel(logging.CRITICAL)


def image_files(folder: Path, *, deep: bool = False) -> tuple[list[Path], list[Path]]:
    """Files of a folder that are images by their names, and pictures that are not read.

    Parameters
    ----------
    folder : Path
        Hidden files and `__MACOSX` are skipped.
    deep : bool
        True to look into all folders below it too; links are followed, each folder is visited
        once.

    Returns
    -------
    images : list of Path
        Sorted; those whose names end in one of `ENDINGS`.
    unread : list of Path
        Sorted; pictures in other formats.

    Raises
    ------
    InputError
        If there is no such folder, one below it cannot be listed, or an image's name is no text.
    """
    if not folder.is_dir():
        what = "not a folder; unpack it first" if folder.exists() else "no such folder"
        raise InputError(f"{folder}: {what}")
    images, unread = [], []
    for file in files_below(folder, deep=deep):
        ending = file.suffix.lower()
        if ending in ENDINGS:
            check_text(file)
            images.append(file)
        elif ending in UNREAD:
            unread.append(file)
    return sorted(images), sorted(unread)


def unread_line(files: Sequence[Path], shown: int = 3) -> str:
    """What was skipped because its format is not read, for people."""
    names = [printable(file.name) for file in files[:shown]]
    more = ", …" if len(files) > shown else ""
    pictures = "1 picture" if len(files) == 1 else f"{len(files)} pictures"
    return f"skipped: {pictures} ({', '.join(names)}{more}); {KINDS} are read"


def check_text(path: Path) -> None:
    """Refuse a path that could not be printed in a table or on a line.

    Raises
    ------
    InputError
        If a name in it is not UTF-8 or has control characters.
    """
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in str(path)):
        raise InputError(f"{printable(path)}: its name is not plain UTF-8 text; rename it")


def printable(name: Path | str) -> str:
    """Name with the bytes and the control characters escaped that are no text."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(
        character if unicodedata.category(character) != "Cc" else f"\\x{ord(character):02x}"
        for character in text
    )


def files_below(folder: Path, *, deep: bool = True) -> Iterator[Path]:
    """Files in a folder, and below it if deep: no hidden ones, links followed, no folder twice."""
    visited = set()
    for name, folders, files in os.walk(folder, followlinks=True, onerror=_refuse_folder):
        here = Path(name)
        if here.resolve() in visited:
            folders.clear()
            continue
        visited.add(here.resolve())
        folders[:] = sorted(f for f in folders if deep and not _is_hidden(f))
        yield from (here / file for file in sorted(files) if not _is_hidden(file))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _refuse_folder(error: OSError) -> None:
    raise InputError(f"{printable(error.filename)}: cannot be listed ({error.strerror})")


def rgb(pixels: Pixels) -> Pixels:
    """Grey (H, W), RGB or RGBA pixels as (H, W, 3): grey repeated, alpha dropped."""
    if pixels.ndim == 2:
        return np.stack([pixels] * 3, axis=2)
    color: Pixels = pixels[..., :3]
    return color


def read_image(path: Path) -> Pixels:
    """Pixels of a PNG, JPEG, BMP, TIFF or WebP file as (H, W, 3) uint8.

    Grey values are repeated on three channels, palettes looked up, 1 bit becomes 0 and 255, an
    alpha channel that is opaque everywhere is dropped. The image is turned upright as its EXIF
    orientation says. Colour profiles are ignored: pixels are taken as they are stored. Of a JPEG
    with several pictures the first one counts.

    Raises
    ------
    InputError
        If the file is absent, no regular file, empty, of another format, damaged or truncated, has
        more than `MAX_PIXELS` pixels, 16 bits a channel, CMYK colors, transparent pixels or several
        frames.
    """
    try:
        _check_header(path)
        with PILImage.open(path, formats=FORMATS) as image:
            _check_size(path, *image.size)
            _check_kind(path, image)
            image.load()
            upright = ImageOps.exif_transpose(image)
            return np.array(_opaque(path, upright).convert("RGB"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except UnidentifiedImageError:
        raise InputError(
            f"{path}: not a readable image: damaged or truncated (no whole header)"
        ) from None
    except PILImage.DecompressionBombError:
        raise _too_large(path) from None
    except (PermissionError, IsADirectoryError) as error:
        raise InputError(f"{path}: cannot be read ({_reason(error)})") from None
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, struct.error) as error:
        raise InputError(
            f"{path}: not a readable image: damaged or truncated ({_reason(error)})"
        ) from None


def _reason(error: Exception) -> str:
    """Message of an exception on one line, without the path that the operating system adds."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__


def _check_header(path: Path) -> None:
    """Refuse by the first bytes what Pillow would refuse less clearly, or silently reduce."""
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputError(f"{path}: not a regular file but a pipe, socket or device; remove it")
    with path.open("rb") as stream:
        start = stream.read(25)
    if not start:
        raise InputError(f"{path}: an empty file; get it again")
    is_webp = start.startswith(b"RIFF") and start[8:12] == b"WEBP"
    if not (is_webp or start.startswith((PNG_START, JPEG_START, BMP_START, *TIFF_STARTS))):
        raise InputError(f"{path}: not a readable {KINDS} image, whatever its name says")
    if start.startswith(PNG_START) and len(start) == 25:
        width, height, depth = struct.unpack(">IIB", start[16:])
        _check_size(path, width, height)
        if depth == 16:
            raise InputError(f"{path}: 16 bits a channel; convert it to 8")


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise _too_large(path)


def _too_large(path: Path) -> InputError:
    return InputError(
        f"{path}: more than {MAX_PIXELS // 1_000_000} million pixels; cut or reduce it"
    )


def _check_kind(path: Path, image: PILImage.Image) -> None:
    if image.format in ("PNG", "WEBP") and getattr(image, "is_animated", False):
        raise InputError(f"{path}: animated; save the one frame that is meant")
    if isinstance(image, TiffImageFile):
        _check_tiff(path, image)
    if image.mode == "CMYK":
        raise InputError(f"{path}: CMYK colors; convert it to RGB")
    if image.mode not in COLOR_MODES:
        raise InputError(f"{path}: mode {image.mode} is not 8-bit grey or RGB; convert it")


def _check_tiff(path: Path, image: TiffImageFile) -> None:
    if image.is_animated:
        raise InputError(f"{path}: several pages; save the one that is meant")
    bits = image.tag_v2.get(BITS_PER_SAMPLE, (1,))
    deepest = max(bits) if isinstance(bits, Iterable) else bits
    if deepest > 8:  # Pillow would reduce 16-bit colors to 8 bits without a word
        raise InputError(f"{path}: {deepest} bits a channel; convert it to 8")


def _opaque(path: Path, image: PILImage.Image) -> PILImage.Image:
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    lowest, _ = image.getchannel("A").getextrema()
    if lowest != 255:
        raise InputError(f"{path}: has transparent pixels; flatten it first")
    return image


def write_image(path: Path, pixels: Pixels) -> None:
    """Write (H, W, 3) uint8 pixels as PNG."""
    PILImage.fromarray(pixels).save(path, format="PNG", compress_level=1)


def to_float(pixels: Pixels) -> NDArray[np.float32]:
    """8-bit pixels to float32 in [0, 1]."""
    return pixels.astype(np.float32) / np.float32(255)


def to_pixels(image: NDArray[np.floating]) -> Pixels:
    """Image in [0, 1] to 8 bits: clipped, times 255, rounded half to even."""
    pixels: Pixels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return pixels


def to_tensor(images: Sequence[NDArray[np.float32]]) -> "Tensor":
    """Images (H, W, 3) of one size to a tensor (B, 3, H, W)."""
    import torch

    return torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).copy())
