"""Photographs on disk: pixels with the EXIF data and the color profile that go with them."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import ExifTags
from PIL import Image as PILImage

from irsde.images import FORMATS, Pixels, read_image

# What Pillow raises on EXIF data that are damaged; the pixels are good all the same.
DAMAGED = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
)
# Tags of a TIFF file that say how its pixels are stored, not what the picture is.
STORAGE_TAGS = frozenset(
    [*range(254, 267), 273, *range(277, 281), 284, 317, *range(320, 326), 330, 338, 339, 347]
)


@dataclass(frozen=True)
class Photo:
    """A photograph as it was read.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (H, W, 3)
        Upright, in the values that are stored: no color profile was applied.
    exif : bytes
        EXIF data without orientation and thumbnail; empty if there are none.
    profile : bytes
        ICC profile as it is stored, of gray values where the file holds gray, else of RGB colors;
        empty if there is none.
    is_gray : bool
        True if the three channels are equal everywhere.
    mode : {"L", "RGB"}
        How its pixels are stored again: "L" if the file itself holds gray values.
    """

    pixels: Pixels
    exif: bytes = b""
    profile: bytes = b""
    is_gray: bool = False
    mode: Literal["L", "RGB"] = "RGB"


def read_photo(path: Path) -> Photo:
    """Photograph of a PNG, JPEG, BMP, TIFF or WebP file.

    The orientation of the EXIF data is applied to the pixels and removed from the data kept, so
    that nobody turns the image twice; the thumbnail, which shows the old image, is removed too.
    Damaged EXIF data are dropped, and so is a profile of other colors than the pixels'.

    Raises
    ------
    InputError
        As `images.read_image`.
    """
    pixels = read_image(path)
    with PILImage.open(path, formats=FORMATS) as image:
        profile = image.info.get("icc_profile") or b""
        mode: Literal["L", "RGB"] = "L" if image.mode in ("1", "L", "LA") else "RGB"
        try:
            exif = _upright(image)
        except DAMAGED:
            exif = b""
    colors = b"GRAY" if mode == "L" else b"RGB "
    is_gray = all((pixels[rows] == pixels[rows, :, :1]).all() for rows in bands(len(pixels)))
    return Photo(pixels, exif, profile if profile[16:20] == colors else b"", is_gray, mode)


def _upright(image: PILImage.Image) -> bytes:
    exif = image.getexif()
    exif.pop(ExifTags.Base.Orientation, None)
    if image.format == "TIFF":
        for tag in STORAGE_TAGS & set(exif):
            del exif[tag]
    return exif.tobytes() if len(exif) else b""


def write_photo(path: Path, pixels: Pixels, original: Photo) -> None:
    """Write (H, W, 3) uint8 pixels as PNG with the original's EXIF data and color profile.

    The data are those of the original but for the size in pixels, where they give one. Pixels of
    an original that holds gray values are stored as gray values; their channels must be equal.
    """
    exif = PILImage.Exif()
    if original.exif:
        exif.load(original.exif)
        height, width = pixels.shape[:2]
        inner = exif.get_ifd(ExifTags.IFD.Exif)
        for tags, tag, size in (
            (exif, ExifTags.Base.ImageWidth, width),
            (exif, ExifTags.Base.ImageLength, height),
            (inner, ExifTags.Base.ExifImageWidth, width),
            (inner, ExifTags.Base.ExifImageHeight, height),
        ):
            if tag in tags:
                tags[tag] = size
    stored = pixels[..., 0] if original.mode == "L" else pixels
    PILImage.fromarray(stored).save(
        path,
        format="PNG",
        compress_level=1,
        exif=exif.tobytes() if original.exif else None,
        icc_profile=original.profile or None,
    )


def write_scale(path: Path, values: np.ndarray, largest: float) -> None:
    """Write values in [0, largest] as a PNG on matplotlib's perceptually uniform cividis.

    Parameters
    ----------
    path : Path
    values : ndarray of float32, shape (H, W)
        Values above `largest` are drawn as it.
    largest : float
        Value of the brightest color. The palette index i of a pixel stands for
        ``largest * i / 255``.
    """
    from matplotlib import colormaps

    index = np.empty(values.shape, np.uint8)
    for rows in bands(len(values)):
        index[rows] = np.rint(np.clip(values[rows] / max(largest, 1e-12), 0, 1) * 255)
    image = PILImage.fromarray(index).convert("P")
    palette = np.rint(colormaps["cividis"](np.arange(256))[:, :3] * 255).astype(np.uint8)
    image.putpalette(palette.tobytes())
    image.save(path, format="PNG", compress_level=1)


def bands(height: int, size: int = 256) -> list[slice]:
    """Consecutive rows of an image, so that arithmetic on them needs little memory."""
    return [slice(top, min(top + size, height)) for top in range(0, height, size)]
