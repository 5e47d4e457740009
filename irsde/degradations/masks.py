"""Keep-masks of inpainting, drawn or read from files, and the holes they cut into an image.

A keep-mask is a float32 array of shape (H, W): 1 where the image is kept, 0 in the holes.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from irsde.files import InputError

COLOR = 32  # levels by which the channels of a grey JPEG may differ

# whole radians, of the strokes of thin masks
DIRECTIONS = {angle: (float(np.cos(angle)), float(np.sin(angle))) for angle in range(-3, 4)}

Holes = Literal["white", "black"]
Image = NDArray[np.float32]
Point = tuple[float, float]  # row and column


def thin_mask(height: int, width: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """Keep-mask with thin broken strokes as holes.

    Parameters
    ----------
    height, width : int
        Size in pixels.
    generator : numpy.random.Generator
        Source of the strokes.

    Returns
    -------
    ndarray of float32, shape (height, width)
        1 where the image is kept, 0 in the holes.

    Notes
    -----
    LaMa's recipe for thin masks [1]_, as its code has it: 4 to 51 strokes of 1 to 5 straight
    pieces; at 256x256 a piece is 10 to 49 pixels long and 6 to 15 wide (5 to 14 in its settings,
    which OpenCV paints one pixel wider), other sizes scale with the shorter side; directions 0 to 3
    radians in whole numbers, of alternating sign from stroke to stroke; masks with more than half
    of the area in holes are drawn again. Nothing is fitted; docs/data.md compares published masks.

    References
    ----------
    .. [1] Suvorov et al., "Resolution-robust Large Mask Inpainting with Fourier Convolutions",
       WACV 2022; code, ``random_thin_256``.
    """
    mask = _strokes(height, width, generator)
    while mask.mean() < 0.5:
        mask = _strokes(height, width, generator)
    return mask


def _strokes(height: int, width: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """Keep-mask of one draw, shape (height, width), whatever its area."""
    unit = min(height, width) / 256
    mask = np.ones((height, width), dtype=np.float32)
    for stroke in range(generator.integers(4, 52)):
        y, x = (generator.random(2) * (height, width)).tolist()
        for _ in range(generator.integers(1, 6)):
            cosine, sine = DIRECTIONS[(-1) ** stroke * int(generator.integers(0, 4))]
            length = unit * int(generator.integers(10, 50))
            thickness = unit * int(generator.integers(6, 16))
            end_y = min(max(y + length * cosine, 0), height)
            end_x = min(max(x + length * sine, 0), width)
            _cut_piece(mask, (y, x), (end_y, end_x), thickness / 2)
            y, x = end_y, end_x
    return mask


def _cut_piece(mask: NDArray[np.float32], start: Point, end: Point, radius: float) -> None:
    """Set to 0 the pixels of `mask` within `radius` of the straight piece, in place."""
    (y, x), (end_y, end_x) = start, end
    top, left = int(max(min(y, end_y) - radius, 0)), int(max(min(x, end_x) - radius, 0))
    part = mask[top : int(max(y, end_y) + radius + 1), left : int(max(x, end_x) + radius + 1)]
    rows = np.arange(top, top + part.shape[0])[:, np.newaxis] - y
    columns = np.arange(left, left + part.shape[1]) - x
    dy, dx = end_y - y, end_x - x
    along = (rows * dy + columns * dx) / max(dy**2 + dx**2, 1e-12)
    np.minimum(np.maximum(along, 0, out=along), 1, out=along)
    part[np.hypot(rows - along * dy, columns - along * dx) <= radius] = 0


def read_mask(
    pixels: NDArray[np.uint8],
    height: int,
    width: int,
    *,
    holes: Holes = "white",
    place: object = "mask",
) -> NDArray[np.float32]:
    """Keep-mask of a stored 8-bit mask image, resized by the nearest pixel.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (h, w) or (h, w, C)
        Mask image in black and white; grey is kept in part.
    height, width : int
        Size to return, in pixels.
    holes : {"white", "black"}
        What marks a hole in the file: white in irsde and in ResShift's face samples, black in the
        thin masks that IR-SDE is tested with.
    place : object
        File or set of the mask, for messages.

    Returns
    -------
    ndarray of float32, shape (height, width)
        1 where the image is kept, 0 in the holes; a grey value v becomes v/255, or 1 - v/255 where
        white marks the holes.

    Raises
    ------
    InputError
        If the mask has colors or the values 0 and 1, or marks nothing or everything.

    Notes
    -----
    Row i comes from row ``floor(i * h / height)``, columns alike, with the quotient in single
    precision: ``torch.nn.functional.interpolate(mode="nearest")``, which the authors' code calls.
    """
    plane = _plane(pixels, holes, place)
    rows = _nearest(plane.shape[0], height)
    columns = _nearest(plane.shape[1], width)
    shade = plane[np.ix_(rows, columns)].astype(np.float32) / np.float32(255)
    return shade if holes == "black" else 1 - shade


def _plane(pixels: NDArray[np.uint8], holes: Holes, place: object) -> NDArray[np.uint8]:
    """The one channel of a mask image, shape (h, w), once it is known to mark something."""
    plane = pixels if pixels.ndim == 2 else pixels[..., 0]
    if pixels.ndim == 3:
        # Signed 16 bits hold the difference of two 8-bit values.
        difference = pixels[..., 1:3].astype(np.int16) - plane[..., np.newaxis]
        if difference.size and np.abs(difference).max() > COLOR:
            raise InputError(f"{place}: has colors; a mask is black and white")
    darkest, brightest = int(plane.min()), int(plane.max())
    if brightest == 1:
        raise InputError(f"{place}: has the values 0 and 1; save black as 0 and white as 255")
    if not darkest < 128 <= brightest:
        tone = "white" if darkest >= 128 else "black"
        marked = "everything" if tone == holes else "nothing"
        raise InputError(f"{place}: marks {marked}: {tone} everywhere, and holes are {holes}")
    return plane


def _nearest(length: int, n_out: int) -> NDArray[np.int64]:
    """Source index of each of `n_out` pixels."""
    step = np.float32(length) / np.float32(n_out)
    index = np.floor(np.arange(n_out, dtype=np.float32) * step).astype(np.int64)
    inside: NDArray[np.int64] = np.minimum(index, length - 1)
    return inside


def inpainting_holes(image: Image, mask: NDArray[np.float32]) -> Image:
    """Image with white holes, ``mask * image + (1 - mask)``.

    Parameters
    ----------
    image : ndarray of float32, shape (H, W, 3)
        Whole image in [0, 1].
    mask : ndarray of float32, shape (H, W)
        1 where the image is kept, 0 in the holes.

    Returns
    -------
    ndarray of float32, shape (H, W, 3)
        Image whose holes are 1.0, the convention of IR-SDE's code.
    """
    keep = mask[..., np.newaxis]
    return keep * image + (1 - keep)
