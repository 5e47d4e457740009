"""Pairs of images that show the same picture, although one is degraded, resized, turned or cropped.

A coarse comparison of all pairs chooses candidates. The two images of a candidate are laid over
each other, and the edges of what both show are compared. Each pair's score depends on its two
images alone.
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
Window = NDArray[np.float64]  # left, right, top, bottom of a part of an image, from 0 to 1

SIDE = 96
COPY = 0.46  # least score of a copy; studies/similarity.py measures what it finds
LEVELS = ((24, 0.6), (48, 0.45), (SIDE, COPY))  # side of a thumbnail, least correlation there
ALONG_AN_EDGE = 2.25  # standard deviation in pixels

CANDIDATE = 0.36
MOST_CANDIDATES = 10
COARSE_SIDE = 12
CHROMA_WEIGHT = 0.5
FULL_SCALE = 2048
BLOCK = 64

SPANS = ((0.0, 1.0), (0.0, 0.92), (0.08, 1.0), (0.06, 0.94))
WINDOWS = np.array([(*columns, *rows) for columns in SPANS for rows in SPANS])
ORIENTATIONS = 8
REACH = 0.1  # of a window's edges from where they start
STIFFNESS = 50.0
STEPS = 6

CHANNELS = np.array(
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
        From 0.46 to 1. Clean copies, cropped or not, are above 0.9; below 0.7 is a
        heavily degraded copy or, rarely, a portrait taken for another one.
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
    size = (SIDE, SIDE)
    return np.asarray(PILImage.fromarray(pixels).resize(size, PILImage.Resampling.BILINEAR))


def find_copies(train: Sequence[Description], test: Sequence[Description]) -> list[Copy]:
    """Pairs of a training and a test image that show the same picture.

    Parameters
    ----------
    train, test : sequence of ndarray of uint8, shape (96, 96, 3)
        Thumbnails by `describe`.

    Returns
    -------
    list of Copy
        In the order of `train`, then of `test`; for a training image at most 10 test images.

    Notes
    -----
    Found are copies that are resized, mirrored, turned by multiples of 90 degrees, compressed,
    noisy, rainy, hazy or blurred, and such that each side is cropped by up to a tenth. An image
    without any edge is nobody's copy.

    Candidates are chosen by the correlation of the differences of neighbouring pixels at 12x12
    pixels, luminance and chroma, over 16 windows and 8 orientations. Gauss-Newton steps then fit
    the window of one image that the other shows, at 24x24, 48x48 and 96x96 pixels [1]_. The score
    is the correlation of the edges, each smoothed along its direction: the mean of the two largest
    of six, three channels and two directions, since vertical rain hides vertical edges and noise
    hides chroma. It is multiplied by the square of the contrast kept from 48x48 to 96x96: what
    shows through a degradation has one contrast at all scales, but different faces agree less the
    closer one looks.

    References
    ----------
    .. [1] Baker and Matthews, "Lucas-Kanade 20 Years On: A Unifying Framework", International
       Journal of Computer Vision, 2004.
    """
    if not train or not test:
        return []
    tested = _Sketches.of(test)
    copies = []
    for first in range(0, len(train), BLOCK):
        block = train[first : first + BLOCK]
        shown = _Sketches.of(block)
        for i, j in _candidates(shown, tested):
            score = _score(*_best_match(block[i], test[j], shown, tested, i, j))
            if score >= COPY:
                copies.append(Copy(first + i, j, score))
    return copies


@dataclass(frozen=True)
class _Sketches:
    """Coarse features of some images.

    They are whole numbers with scalar products below 2**24, so that products of float32 matrices
    are exact, in whatever order they are summed.
    """

    windows: Values  # (images, windows, features)
    orientations: Values  # (images, orientations, features)

    @classmethod
    def of(cls, descriptions: Sequence[Description]) -> "_Sketches":
        windows, orientations = [], []
        for description in descriptions:
            image = PILImage.fromarray(description)
            parts = np.stack([_part(image, window) for window in WINDOWS])
            turned = np.stack([_oriented(parts[0], k) for k in range(ORIENTATIONS)])
            windows.append(_features(parts))
            orientations.append(_features(turned))
        return cls(np.stack(windows), np.stack(orientations))


def _part(image: PILImage.Image, window: Window) -> Pixels:
    left, right, top, bottom = (window * SIDE).tolist()
    size, box = (COARSE_SIDE, COARSE_SIDE), (left, top, right, bottom)
    return np.asarray(image.resize(size, PILImage.Resampling.BILINEAR, box=box))


def _oriented(image: Pixels, orientation: int) -> Pixels:
    """Image in one of eight orientations: transposed or not, rows and columns reversed or not."""
    turned = image.swapaxes(0, 1) if orientation & 4 else image
    return turned[:: -1 if orientation & 2 else 1, :: -1 if orientation & 1 else 1]


def _features(images: Pixels) -> Values:
    """Differences of neighbouring pixels, shape (images, features), of one length."""
    weights = np.array([1, CHROMA_WEIGHT, CHROMA_WEIGHT], np.float32)
    parts = []
    for axis in (1, 2):
        edges = np.diff(images @ CHANNELS, axis=axis)
        length = np.sqrt((edges**2).sum(axis=(1, 2), keepdims=True))
        parts.append((weights * edges / (length + 3)).reshape(len(images), -1))
    features = np.concatenate(parts, axis=1)
    length = np.sqrt((features**2).sum(axis=1, keepdims=True))
    whole: Values = np.rint(FULL_SCALE * features / np.maximum(length, 1e-6))
    return whole


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
    """Largest product of a window of one image and an orientation of another, for all pairs."""
    rows = windows.reshape(-1, windows.shape[2])
    best = np.full((len(windows), len(orientations)), -np.inf, np.float32)
    for k in range(ORIENTATIONS):
        products = rows @ orientations[:, k].T
        np.maximum(best, products.reshape(*windows.shape[:2], -1).max(axis=1), out=best)
    return best


def _best_match(
    train: Description, test: Description, shown: _Sketches, tested: _Sketches, i: int, j: int
) -> tuple[Values, Values, Window]:
    """The two images of a candidate, one of them turned, and the window that it shows."""
    in_train = shown.windows[i] @ tested.orientations[j].T
    in_test = tested.windows[j] @ shown.orientations[i].T
    whole, part, products = (
        (train, test, in_train) if in_train.max() >= in_test.max() else (test, train, in_test)
    )
    window, orientation = divmod(int(products.argmax()), ORIENTATIONS)
    return _channels(whole), _channels(_oriented(part, orientation)), WINDOWS[window]


def _channels(image: Pixels) -> Values:
    """Luminance and two chroma channels, shape (3, 96, 96)."""
    return np.ascontiguousarray((image @ CHANNELS).transpose(2, 0, 1))


def _reduced(image: Values, side: int) -> Values:
    """Channels averaged over blocks, shape (3, side, side)."""
    rows = image.reshape(3, side, -1, SIDE).mean(axis=2)
    reduced: Values = rows.reshape(3, side, side, -1).mean(axis=3)
    return reduced


def _score(whole: Values, part: Values, window: Window) -> float:
    """Score of two images, 0 if they show different pictures.

    Parameters
    ----------
    whole, part : ndarray, shape (3, 96, 96)
    window : ndarray, shape (4,)
        About where in `whole` is what `part` shows.
    """
    correlation, clearest = 0.0, np.arange(2)
    products = np.zeros((3, 6), np.float32)
    for side, least in LEVELS:
        large, small = _reduced(whole, side), _reduced(part, side)
        window = _aligned(large, small, window)
        products = _edge_products(large, small, window)
        correlations = products[0] / np.sqrt(products[1] * products[2] + 1e-6)
        clearest = np.argsort(correlations)[-2:]
        correlation = float(correlations[clearest].mean())
        if correlation < least:
            return 0.0
    coarser = _edge_products(_reduced(whole, SIDE // 2), _reduced(part, SIDE // 2), window)
    fine, coarse = (
        (p[0, clearest] / (p[1:, clearest] + 1e-6)).mean(axis=1) for p in (products, coarser)
    )
    kept = float((fine / np.maximum(coarse, 1e-3)).max())
    return correlation * min(kept, 1.0) ** 2


def _overlap(whole: Values, part: Values, window: Window) -> tuple[Values, Values, Values, Values]:
    """What both images show if `part` shows a window of `whole`.

    Returns
    -------
    ndarray, shape (3, h, w)
        `whole`, interpolated linearly at the pixels of `part`.
    ndarray, shape (3, h, w)
        `part`.
    ndarray, shape (w,)
        Places of the columns in `part`, from 0 to 1.
    ndarray, shape (h, 1)
        Places of the rows in it.
    """
    side = whole.shape[2]
    centres = ((np.arange(side) + 0.5) / side).astype(np.float32)
    across = (window[0] + (window[1] - window[0]) * centres) * side - 0.5
    down = (window[2] + (window[3] - window[2]) * centres) * side - 0.5
    columns, rows = ((axis >= 0) & (axis <= side - 1) for axis in (across, down))
    shown = _rows_at(_rows_at(whole, down[rows]).swapaxes(1, 2), across[columns]).swapaxes(1, 2)
    return shown, part[:, rows][:, :, columns], centres[columns], centres[rows, np.newaxis]


def _rows_at(image: Values, position: NDArray[np.float64]) -> Values:
    """Rows interpolated linearly, shape (3, positions, columns)."""
    upper = np.minimum(position.astype(np.int64), image.shape[1] - 2)
    share = (position - upper).astype(np.float32)[:, np.newaxis]
    rows: Values = image[:, upper] * (1 - share) + image[:, upper + 1] * share
    return rows


def _aligned(whole: Values, part: Values, window: Window) -> Window:
    """Window of `whole` that fits `part` best, by Gauss-Newton steps.

    Each channel has a contrast of its own and weighs by what it leaves unexplained. A spring to
    the first window holds images that show too little.
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
        by_edge = np.stack([across * (1 - u), across * u, down * (1 - v), down * v])
        slopes = (by_edge * (contrast / deviation)).swapaxes(0, 1).reshape(3, 4, -1)
        error = (rest / deviation).reshape(3, -1, 1)
        system = (slopes @ slopes.swapaxes(1, 2)).sum(axis=0) + STIFFNESS * np.eye(4)
        force = (slopes @ error).sum(axis=(0, 2)) - STIFFNESS * (window - first)
        step = np.clip(np.linalg.solve(system, force), -0.04, 0.04)
        window = np.clip(window + step, first - REACH, first + REACH)
        if np.abs(step).max() < 0.001:
            break
    return window


def _edge_products(whole: Values, part: Values, window: Window) -> Values:
    """Mean products of the edges of two images, shape (3, 6).

    Rows: of both, of `whole` with itself, of `part` with itself. Columns: three channels with
    horizontal edges, then with vertical ones.
    """
    images = _overlap(whole, part, window)[:2]
    columns = []
    for axis in (1, 2):
        edges = [
            gaussian_filter1d(np.diff(image, axis=axis), ALONG_AN_EDGE, axis=3 - axis)
            for image in images
        ]
        a, b = (edge - edge.mean(axis=(1, 2), keepdims=True) for edge in edges)
        columns.append(np.stack([(x * y).mean(axis=(1, 2)) for x, y in ((a, b), (a, a), (b, b))]))
    return np.concatenate(columns, axis=1)
