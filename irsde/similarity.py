"""Pairs of images that show the same picture, although one may be degraded, resized or cropped.

A coarse comparison of all pairs chooses candidates; the two images of a candidate are then laid
over each other and their edges compared. A result depends on the two images alone: neither on the
order of the images nor on how many are compared at once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from scipy.ndimage import gaussian_filter1d

from irsde.images import Pixels

Description = Pixels
Values = NDArray[np.float32]
Window = NDArray[np.float64]  # left, right, top, bottom as shares of an image

SIDE = 96
LEVELS = ((24, 0.5), (48, 0.5), (96, 0.53))  # side of the thumbnails, least score that goes on
ALONG_AN_EDGE = 2.25  # pixels, standard deviation

COARSE_SIDE = 12
CHROMA_WEIGHT = 0.5
CANDIDATE = 0.42
MOST_CANDIDATES = 10
FULL_SCALE = 2048
BLOCK = 64

SPANS = ((0.0, 1.0), (0.0, 0.92), (0.08, 1.0), (0.06, 0.94))
WINDOWS = np.array([(*columns, *rows) for columns in SPANS for rows in SPANS])
ORIENTATIONS = 8
REACH = 0.1
STEPS = 6
STIFFNESS = 50.0

LUMINANCE_AND_CHROMA = np.array(
    [[0.299, 1, 0.5], [0.587, -1, 0.5], [0.114, 0, -1]], np.float32
)  # columns: luminance, red - green, yellow - blue


@dataclass(frozen=True)
class Copy:
    """A training image and a test image that show the same picture.

    Parameters
    ----------
    train, test : int
        Positions in the sequences that were compared.
    score : float
        Correlation of the edges, up to 1, which equal images reach.
    """

    train: int
    test: int
    score: float


def describe(pixels: Pixels) -> Description:
    """What `find_copies` needs of an image: a square thumbnail, whatever the image's proportions.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (H, W, 3)
        RGB image.

    Returns
    -------
    ndarray of uint8, shape (96, 96, 3)
        Thumbnail, antialiased.
    """
    image = PILImage.fromarray(pixels).resize((SIDE, SIDE), PILImage.Resampling.BILINEAR)
    return np.asarray(image)


def find_copies(train: Sequence[Description], test: Sequence[Description]) -> list[Copy]:
    """All pairs of a training and a test image that show the same picture.

    Parameters
    ----------
    train, test : sequence of ndarray of uint8, shape (96, 96, 3)
        Thumbnails by `describe`.

    Returns
    -------
    list of Copy
        In the order of `train`, then of `test`.
    """
    if not train or not test:
        return []
    tested = _Sketches.of(test)
    copies = []
    for first in range(0, len(train), BLOCK):
        shown = _Sketches.of(train[first : first + BLOCK])
        for i, j in _candidates(shown, tested):
            score = _compare(train[first + i], test[j], shown, tested, i, j)
            if score is not None:
                copies.append(Copy(first + i, j, score))
    return copies


@dataclass(frozen=True)
class _Sketches:
    """Coarse features of some images.

    All are whole numbers and a scalar product stays below 2**24, so products of float32 matrices
    are exact, in whatever order a library adds.
    """

    windows: Values  # (images, windows, features)
    orientations: Values  # (images, orientations, features)

    @classmethod
    def of(cls, descriptions: Sequence[Description]) -> "_Sketches":
        windows, orientations = [], []
        for description in descriptions:
            image = PILImage.fromarray(description)
            small = np.stack([_cut(image, window) for window in WINDOWS])
            turned = np.stack([_oriented(small[0], k) for k in range(ORIENTATIONS)])
            windows.append(_features(small))
            orientations.append(_features(turned))
        return cls(np.stack(windows), np.stack(orientations))


def _cut(image: PILImage.Image, window: Window) -> Pixels:
    left, right, top, bottom = (window * SIDE).tolist()
    size = (COARSE_SIDE, COARSE_SIDE)
    small = image.resize(size, PILImage.Resampling.BILINEAR, box=(left, top, right, bottom))
    return np.asarray(small)


def _oriented(image: Pixels, orientation: int) -> Pixels:
    """Image in one of eight orientations: transposed or not, rows and columns reversed or not."""
    turned = image.swapaxes(0, 1) if orientation & 4 else image
    return turned[:: -1 if orientation & 2 else 1, :: -1 if orientation & 1 else 1]


def _features(images: Pixels) -> Values:
    """Differences of neighbours, shape (images, features), each image's of the same length."""
    channels = images @ LUMINANCE_AND_CHROMA
    weights = np.array([1, CHROMA_WEIGHT, CHROMA_WEIGHT], np.float32)
    parts = []
    for axis in (1, 2):
        edges = np.diff(channels, axis=axis)
        length = np.sqrt((edges**2).sum(axis=(1, 2), keepdims=True))
        parts.append((weights * edges / (length + 3)).reshape(len(images), -1))
    features = np.concatenate(parts, axis=1)
    length = np.sqrt((features**2).sum(axis=1, keepdims=True))
    scaled: Values = np.rint(FULL_SCALE * features / np.maximum(length, 1e-6))
    return scaled


def _candidates(shown: _Sketches, tested: _Sketches) -> Iterator[tuple[int, int]]:
    likeness = np.maximum(
        _likeness(shown.windows, tested.orientations),
        _likeness(tested.windows, shown.orientations).T,
    )
    for i, row in enumerate(likeness):
        best = np.argsort(-row, kind="stable")[:MOST_CANDIDATES]
        for j in sorted(best[row[best] >= CANDIDATE * FULL_SCALE**2].tolist()):
            yield i, j


def _likeness(windows: Values, orientations: Values) -> Values:
    """Largest product of any window of an image with any orientation of another."""
    rows = windows.reshape(-1, windows.shape[2])
    best = np.full((len(windows), len(orientations)), -np.inf, np.float32)
    for k in range(ORIENTATIONS):
        products = rows @ orientations[:, k].T
        np.maximum(best, products.reshape(*windows.shape[:2], -1).max(axis=1), out=best)
    return best


def _compare(
    train: Description, test: Description, shown: _Sketches, tested: _Sketches, i: int, j: int
) -> float | None:
    """Score of a candidate, None if the images show different pictures."""
    of_train = shown.windows[i] @ tested.orientations[j].T
    of_test = tested.windows[j] @ shown.orientations[i].T
    whole, part, products = (
        (train, test, of_train) if of_train.max() >= of_test.max() else (test, train, of_test)
    )
    window, orientation = divmod(int(products.argmax()), ORIENTATIONS)
    return _score(whole, _oriented(part, orientation), WINDOWS[window])


def _score(whole: Pixels, part: Pixels, window: Window) -> float | None:
    """Correlation of the edges of two images at the best position near a window.

    Parameters
    ----------
    whole, part : ndarray of uint8, shape (96, 96, 3)
    window : ndarray, shape (4,)
        About where in `whole` lies what `part` shows.
    """
    score = 0.0
    for side, least in LEVELS:
        large, small = _reduced(whole, side), _reduced(part, side)
        window = _aligned(large, small, window)
        score = _edge_correlation(*_overlap(large, small, window)[:2])
        if score < least:
            return None
    return score


def _reduced(image: Pixels, side: int) -> Values:
    """Luminance and chroma of a thumbnail, shape (3, side, side)."""
    factor = SIDE // side
    blocks = image.reshape(side, factor, side, factor, 3).mean(axis=(1, 3), dtype=np.float32)
    return np.ascontiguousarray((blocks @ LUMINANCE_AND_CHROMA).transpose(2, 0, 1))


def _overlap(whole: Values, part: Values, window: Window) -> tuple[Values, Values, Values, Values]:
    """The pixels of `part` that `whole` also shows if it shows `part` at a window.

    Returns
    -------
    ndarray, shape (3, h, w)
        `whole` at these pixels, interpolated linearly.
    ndarray, shape (3, h, w)
        `part`.
    ndarray, shape (w,)
        Where the columns lie in `part`, from 0 to 1.
    ndarray, shape (h,)
        Where the rows lie.
    """
    side = whole.shape[2]
    centres = ((np.arange(side) + 0.5) / side).astype(np.float32)
    axes = []
    for start, end in (window[:2], window[2:]):
        position = (start + (end - start) * centres) * side - 0.5
        seen = (position >= 0) & (position <= side - 1)
        weights = np.maximum(0, 1 - np.abs(position[seen, np.newaxis] - np.arange(side)))
        axes.append((seen, weights.astype(np.float32)))
    (columns, across), (rows, down) = axes
    resampled = down @ whole @ across.T
    return resampled, part[:, rows][:, :, columns], centres[columns], centres[rows]


def _aligned(whole: Values, part: Values, window: Window) -> Window:
    """Window of `whole` that fits `part` best, by Gauss-Newton steps.

    Each channel has its own contrast and weighs by what it leaves unexplained: rain and noise
    leave the channels unequally clear. A stiff spring to the first window holds images in which
    nothing is clear.
    """
    first = window
    for _ in range(STEPS):
        shown, wanted, u, v = _overlap(whole, part, window)
        shown = shown - shown.mean(axis=(1, 2), keepdims=True)
        wanted = wanted - wanted.mean(axis=(1, 2), keepdims=True)
        contrast = (shown * wanted).sum(axis=(1, 2)) / ((shown**2).sum(axis=(1, 2)) + 1)
        contrast = np.maximum(contrast, 0)[:, np.newaxis, np.newaxis]
        rest = wanted - contrast * shown
        deviation = np.sqrt((rest**2).mean(axis=(1, 2), keepdims=True) + 4)
        down, across = np.gradient(shown, 1 / whole.shape[2], axis=(1, 2))
        across, down = across / (window[1] - window[0]), down / (window[3] - window[2])
        moves = [across * (1 - u), across * u, down * (1 - v[:, None]), down * v[:, None]]
        slopes = (contrast / deviation * np.stack(moves)).reshape(4, -1).astype(np.float64)
        system = slopes @ slopes.T + STIFFNESS * np.eye(4)
        force = slopes @ (rest / deviation).ravel() - STIFFNESS * (window - first)
        step = np.clip(np.linalg.solve(system, force), -0.04, 0.04)
        window = np.clip(window + step, first - REACH, first + REACH)
        if np.abs(step).max() < 0.001:
            break
    return window


def _edge_correlation(first: Values, second: Values) -> float:
    """Mean of the two largest of six correlations: three channels, two directions of edges.

    Vertical streaks of rain hide vertical edges, and noise hides chroma, but not the rest.
    """
    correlations = []
    for axis in (1, 2):
        edges = [
            gaussian_filter1d(np.diff(image, axis=axis), ALONG_AN_EDGE, axis=3 - axis)
            for image in (first, second)
        ]
        a, b = (edge - edge.mean(axis=(1, 2), keepdims=True) for edge in edges)
        energy = (a**2).sum(axis=(1, 2)) * (b**2).sum(axis=(1, 2))
        correlations.extend((a * b).sum(axis=(1, 2)) / np.sqrt(energy + 1e-3))
    return float(np.mean(np.sort(correlations)[-2:]))
