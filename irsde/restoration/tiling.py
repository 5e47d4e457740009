"""Tiles of a large image: where they are, how they blend, and noise that knows nothing of them.

Each tile goes the whole way from the noise to the image, and the restored tiles are blended, rather
than the network's outputs at every step: that needs a tile's memory instead of some ten images in
floating point, and a batch may hold tiles of any images. docs/tiles.md measures what that costs.
"""

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from irsde.seeds import torch_generator

if TYPE_CHECKING:
    import torch

    from irsde.samplers import NoiseSource

BLOCK = 64


@dataclass(frozen=True)
class Span:
    """Pixels from `start` to before `stop` along one axis, with their weights in the blend.

    Parameters
    ----------
    start, stop : int
    weights : ndarray of float32, shape (stop - start,)
        In [0, 1]; those of all spans of an axis sum to one at each pixel.
    """

    start: int
    stop: int
    weights: NDArray[np.float32]

    @property
    def pixels(self) -> slice:
        """The span as a slice of the axis."""
        return slice(self.start, self.stop)


@dataclass(frozen=True)
class Tile:
    """A rectangle of the image.

    Parameters
    ----------
    rows, columns : Span
    """

    rows: Span
    columns: Span

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return len(self.rows.weights), len(self.columns.weights)

    @property
    def weights(self) -> NDArray[np.float32]:
        """Weights in the blend, shape (height, width); all tiles' sum to one at each pixel."""
        weights: NDArray[np.float32] = np.multiply.outer(self.rows.weights, self.columns.weights)
        return weights


def spans(length: int, side: int, overlap: int, multiple: int = 1) -> list[Span]:
    """Overlapping spans that cover an axis, one if it is not longer than `side`.

    Parameters
    ----------
    length : int
        Pixels of the axis.
    side : int
        Longest span.
    overlap : int
        Pixels that neighbours share, at least; at most ``side - multiple``.
    multiple : int
        What every start is a multiple of: the factor by which a network reduces the image, so
        that its coarse pixels are those of the whole image.

    Returns
    -------
    list of Span
        As few as possible, evenly spaced, and then as short as possible; of one length, the last
        one of up to ``multiple - 1`` pixels fewer.

    Raises
    ------
    ValueError
        If spans of this side and overlap do not get ahead.

    Notes
    -----
    The outer quarter of an overlap has the weight zero, because a network sees zeros or a
    reflection beyond it; over the inner half the weight rises as a raised cosine.

    Examples
    --------
    >>> [(span.start, span.stop) for span in spans(100, side=48, overlap=16, multiple=4)]
    [(0, 44), (28, 72), (56, 100)]
    """
    if side - overlap < multiple or overlap < 0:
        raise ValueError(
            f"an overlap of {overlap} does not fit a tile of {side}: give 0 to {side - multiple}"
        )
    if length <= side:
        return [Span(0, length, np.ones(length, np.float32))]
    count = _number(length, side, overlap, multiple)
    while (
        side - overlap >= 2 * multiple
        and _number(length, side - multiple, overlap, multiple) == count
    ):
        side -= multiple
    last = _last(length, side, multiple)
    starts = [i * last // (count - 1) * multiple for i in range(count)]
    stops = [min(start + side, length) for start in starts]
    bumps = [_bump(*ends, length, overlap) for ends in zip(starts, stops, strict=True)]
    total = np.zeros(length)
    for start, stop, bump in zip(starts, stops, bumps, strict=True):
        total[start:stop] += bump
    return [
        Span(start, stop, (bump / total[start:stop]).astype(np.float32))
        for start, stop, bump in zip(starts, stops, bumps, strict=True)
    ]


def _last(length: int, side: int, multiple: int) -> int:
    """Start of the last span, in multiples."""
    return -(-(length - side) // multiple)


def _number(length: int, side: int, overlap: int, multiple: int) -> int:
    """Number of spans of a length that are needed."""
    return math.ceil(_last(length, side, multiple) / ((side - overlap) // multiple)) + 1


def _bump(start: int, stop: int, length: int, overlap: int) -> NDArray[np.float64]:
    """Weights of a span before they are made to sum to one with its neighbours'."""
    center = np.arange(start, stop) + 0.5
    left = center - start if start > 0 else np.inf
    right = stop - center if stop < length else np.inf
    margin, rise = overlap / 4, max(overlap / 2, 1e-9)
    along = np.clip((np.minimum(left, right) - margin) / rise, 0, 1)
    bump: NDArray[np.float64] = np.broadcast_to(
        0.5 - 0.5 * np.cos(np.pi * along), (stop - start,)
    ).copy()
    return bump


def tiles(height: int, width: int, side: int, overlap: int, multiple: int = 1) -> list[Tile]:
    """Overlapping tiles that cover an image, row by row; `spans` along both axes.

    Examples
    --------
    >>> len(tiles(4000, 6000, side=512, overlap=64, multiple=8))
    126
    >>> whole = np.zeros((100, 70), np.float32)
    >>> for tile in tiles(100, 70, side=48, overlap=16):
    ...     whole[tile.rows.pixels, tile.columns.pixels] += tile.weights
    >>> bool(np.allclose(whole, 1))
    True
    """
    rows = spans(height, side, overlap, multiple)
    columns = spans(width, side, overlap, multiple)
    return [Tile(*pair) for pair in itertools.product(rows, columns)]


class NoiseField:
    """Standard normals over an unbounded plane, drawn in blocks named by their position.

    The noise at a pixel depends on the names, the number of the draw and the pixel's position:
    not on the tile that asks for it, nor on the size of the image, the order or the device.

    Parameters
    ----------
    *names : str or int
        What the noise is for, such as ``("restore", seed, file_name, sample)``.

    Attributes
    ----------
    n_draws : int
        Draws taken by the source that has taken most.

    Examples
    --------
    >>> field = NoiseField("restore", 0, "photo.jpg", 1)
    >>> whole = field.window(0, slice(0, 200), slice(0, 300))
    >>> part = field.window(0, slice(50, 130), slice(60, 70))
    >>> bool((whole[:, 50:130, 60:70] == part).all())
    True
    """

    def __init__(self, *names: str | int) -> None:
        self.names = names
        self.n_draws = 0

    def window(self, draw: int, rows: slice, columns: slice) -> "torch.Tensor":
        """Noise of one draw at the given pixels: float32 on the CPU, shape (3, H, W)."""
        import torch

        noise = torch.empty(3, rows.stop - rows.start, columns.stop - columns.start)
        for i in range(rows.start // BLOCK, -(-rows.stop // BLOCK)):
            top, bottom = max(rows.start, i * BLOCK), min(rows.stop, (i + 1) * BLOCK)
            for j in range(columns.start // BLOCK, -(-columns.stop // BLOCK)):
                left, right = max(columns.start, j * BLOCK), min(columns.stop, (j + 1) * BLOCK)
                generator = torch_generator(*self.names, draw, i, j)
                block = torch.randn(3, BLOCK, BLOCK, generator=generator)
                noise[
                    :,
                    top - rows.start : bottom - rows.start,
                    left - columns.start : right - columns.start,
                ] = block[
                    :,
                    top - i * BLOCK : bottom - i * BLOCK,
                    left - j * BLOCK : right - j * BLOCK,
                ]
        return noise

    def source(self, tile: Tile) -> "NoiseSource":
        """Noise of a tile, one draw at each call, as a sampler asks for it."""
        draws = itertools.count()

        def draw(shape: "torch.Size") -> "torch.Tensor":
            number = next(draws)
            self.n_draws = max(self.n_draws, number + 1)
            noise = self.window(number, tile.rows.pixels, tile.columns.pixels)
            if noise.shape != shape:
                raise ValueError(f"noise {tuple(shape)} of a tile {tuple(noise.shape)}")
            return noise

        return draw
