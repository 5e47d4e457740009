"""Image files and the two forms of an image: 8-bit pixels and floating point in [0, 1]."""

import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL import ImageOps, UnidentifiedImageError

from irsde.files import InputError

MAX_PIXELS = 100_000_000
Pixels = NDArray[np.uint8]

PNG_START = b"\x89PNG\r\n\x1a\n"
JPEG_START = b"\xff\xd8\xff"
BMP_START = b"BM"
COLOR_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")

# The limit here is stricter than the one at which Pillow begins to warn of large images.
warnings.filterwarnings("ignore", category=PILImage.DecompressionBombWarning)


def rgb(pixels: Pixels) -> Pixels:
    """Grey (H, W), RGB or RGBA pixels as (H, W, 3): grey repeated, alpha dropped."""
    if pixels.ndim == 2:
        return np.stack([pixels] * 3, axis=2)
    color: Pixels = pixels[..., :3]
    return color


def read_image(path: Path) -> Pixels:
    """Pixels of a PNG, JPEG or BMP file as (H, W, 3) uint8.

    Grey values are repeated on three channels, palettes looked up, 1 bit becomes 0 and 255, an
    alpha channel that is opaque everywhere is dropped. The image is turned upright as its EXIF
    orientation says. Colour profiles are ignored: pixels are taken as they are stored. Of a JPEG
    with several pictures the first one counts.

    Raises
    ------
    InputError
        If the file is absent, empty, of another format, damaged or truncated, has more than
        `MAX_PIXELS` pixels, 16 bits a channel, CMYK colors, transparent pixels or several frames.
    """
    try:
        _check_header(path)
        with PILImage.open(path, formats=("PNG", "JPEG", "BMP")) as image:
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
    with path.open("rb") as stream:
        start = stream.read(25)
    if not start:
        raise InputError(f"{path}: an empty file; get it again")
    if not start.startswith((PNG_START, JPEG_START, BMP_START)):
        raise InputError(f"{path}: not a readable PNG, JPEG or BMP image, whatever its name says")
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
    if image.format == "PNG" and getattr(image, "is_animated", False):
        raise InputError(f"{path}: animated; save the one frame that is meant")
    if image.mode == "CMYK":
        raise InputError(f"{path}: CMYK colors; convert it to RGB")
    if image.mode not in COLOR_MODES:
        raise InputError(f"{path}: mode {image.mode} is not 8-bit grey or RGB; convert it")


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


def to_pixels(image: NDArray[np.floating[Any]]) -> Pixels:
    """Image in [0, 1] to 8 bits: clipped, times 255, rounded half to even."""
    pixels: Pixels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return pixels
