"""Image files and the two forms of an image: 8-bit pixels and floating point in [0, 1]."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from irsde.files import InputError

MAX_PIXELS = 100_000_000
Pixels = NDArray[np.uint8]


def rgb(pixels: Pixels) -> Pixels:
    """Grey (H, W), RGB or RGBA pixels as (H, W, 3): grey repeated, alpha dropped."""
    if pixels.ndim == 2:
        return np.stack([pixels] * 3, axis=2)
    color: Pixels = pixels[..., :3]
    return color


def read_image(path: Path) -> Pixels:
    """Pixels of a PNG, JPEG or BMP file as (H, W, 3) uint8.

    Raises
    ------
    InputError
        If the file is absent, of another format, damaged, too large or not 8-bit grey or RGB.
    """
    try:
        with PILImage.open(path, formats=("PNG", "JPEG", "BMP")) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise InputError(
                    f"{path}: {width}x{height} pixels are more than the limit of {MAX_PIXELS}"
                )
            if image.mode not in ("RGB", "L"):
                raise InputError(f"{path}: mode {image.mode} is not 8-bit grey or RGB; convert it")
            image.load()
            return rgb(np.asarray(image))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, SyntaxError, ValueError, PILImage.DecompressionBombError) as error:
        raise InputError(f"{path}: not a readable PNG, JPEG or BMP image ({error})") from None


def write_image(path: Path, pixels: Pixels) -> None:
    """Write (H, W, 3) uint8 pixels as PNG."""
    PILImage.fromarray(pixels).save(path, format="PNG")


def to_float(pixels: Pixels) -> NDArray[np.float32]:
    """8-bit pixels to float32 in [0, 1]."""
    return pixels.astype(np.float32) / np.float32(255)


def to_pixels(image: NDArray[np.floating[Any]]) -> Pixels:
    """Image in [0, 1] to 8 bits: clipped, times 255, rounded half to even."""
    pixels: Pixels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return pixels
