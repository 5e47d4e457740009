"""Where labels stand so that they cover neither each other nor what they name."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from irsde.report.style import GRAY

ANGLES = (0, 180, 90, 270, 45, 135, 225, 315, 20, 160)  # degrees
DISTANCES = (6, 10, 16, 24, 34, 46)  # points
NEAR = 10  # points: a label farther away has a line to its point
PASSES = 4
POINT = 1 / 72  # inches
Places = NDArray[np.float64]


def spread(places: Sequence[float], gap: float, low: float, high: float) -> Places:
    """Places nearest to the given ones that are a gap apart and within bounds.

    The sum of squared displacements is the least possible, by isotonic regression.

    Parameters
    ----------
    places : sequence of float
        Where labels would stand.
    gap : float
        Least distance between two of them; smaller where they would not fit otherwise.
    low, high : float
        Bounds.

    Returns
    -------
    ndarray, in the order given

    Examples
    --------
    >>> spread([1.0, 1.0, 5.0], 1.0, 0.0, 6.0).tolist()
    [0.5, 1.5, 5.0]
    """
    wanted = np.asarray(places, dtype=np.float64)
    if len(wanted) < 2:
        return np.clip(wanted, low, high)
    gap = min(gap, (high - low) / (len(wanted) - 1))
    order = np.argsort(wanted, kind="stable")
    offsets = gap * np.arange(len(wanted))
    free = isotonic_regression(wanted[order] - offsets).x
    placed = np.empty_like(wanted)
    placed[order] = np.clip(free, low, high - offsets[-1]) + offsets
    return placed


def label_ends(axes: Any, ends: Sequence[tuple[float, float, str, str]], size: float = 8) -> None:
    """Write labels to the right of the ends of lines, spread where the ends are close.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        With its final limits and place.
    ends : sequence of (x, y, label, color)
        Ends of the lines, in data.
    size : float
        Of the text, in points.
    """
    box = axes.get_window_extent()
    scale = axes.figure.dpi * POINT
    pixels = axes.transData.transform([(x, y) for x, y, _, _ in ends])
    heights = spread(pixels[:, 1], 1.25 * size * scale, box.y0, box.y1)
    for (x, y, label, color), (_, own), height in zip(ends, pixels, heights, strict=True):
        axes.annotate(
            label,
            (x, y),
            xytext=(12, (height - own) / scale),
            textcoords="offset points",
            va="center",
            fontsize=size,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": color,
                "linewidth": 0.5,
                "shrinkA": 2,
                "shrinkB": 2,
                "relpos": (0, 0.5),
                "patchA": None,
            },
        )


def label_points(
    axes: Any,
    points: Sequence[tuple[float, float]],
    labels: Sequence[str],
    obstacles: Places,
    sizes: Sequence[float],
    colors: Sequence[str],
) -> None:
    """Write a label beside each point where it covers least, with a line to it if it is far.

    Each label in turn takes the best of 60 places given the others; after four passes over all of
    them that is where they stay. No chance is involved.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        With its final limits and place.
    points : sequence of (x, y)
        In data.
    labels : sequence of str
        One for each point.
    obstacles : ndarray, shape (N, 2)
        Places in data that should stay visible, such as intervals and curves; may be empty.
    sizes, colors : sequence
        Of the texts, in points and as Matplotlib names them.
    """
    scale = axes.figure.dpi * POINT
    window = axes.get_window_extent()
    own = axes.transData.transform(np.asarray(points, dtype=np.float64))
    hidden = axes.transData.transform(obstacles.reshape(-1, 2))
    boxes = []
    for label, point, place, size in zip(labels, points, own, sizes, strict=True):
        text = axes.annotate(label, point, fontsize=size)
        boxes.append(_choices(place, text.get_window_extent().size, scale))
        text.remove()
    fixed = [_fixed_costs(of_label, own, k, hidden, window) for k, of_label in enumerate(boxes)]
    chosen = [int(costs.argmin()) for costs in fixed]
    for _ in range(PASSES):
        for index in range(len(labels)):
            others = [k for k in range(len(labels)) if k != index]
            placed = np.array([boxes[k][chosen[k]] for k in others]).reshape(-1, 4)
            shared = _shared_costs(boxes[index], own[index], placed, own[others])
            chosen[index] = int((fixed[index] + shared).argmin())
    for index, label in enumerate(labels):
        box = boxes[index][chosen[index]]
        center = ((box[:2] + box[2:]) / 2 - own[index]) / scale
        is_far = np.repeat(DISTANCES, len(ANGLES))[chosen[index]] > NEAR
        line = {"arrowstyle": "-", "color": GRAY, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3}
        axes.annotate(
            label,
            points[index],
            xytext=tuple(center),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=sizes[index],
            color=colors[index],
            arrowprops=line if is_far else None,
            path_effects=[withStroke(linewidth=1.5, foreground="white")],
            zorder=5,
        )


def _choices(point: Places, extent: Places, scale: float) -> Places:
    """Boxes (left, bottom, right, top) of a text around a point, nearest first."""
    angles = np.tile(np.radians(ANGLES), len(DISTANCES))
    away = scale * np.repeat(DISTANCES, len(ANGLES))
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    centers = point + directions * (away[:, None] + extent / 2)
    return np.concatenate([centers - extent / 2, centers + extent / 2], axis=1)


def _fixed_costs(boxes: Places, points: Places, index: int, hidden: Places, window: Bbox) -> Places:
    """Cost of each box whatever the other labels do."""
    low, high = boxes[:, :2], boxes[:, 2:]
    outside = np.maximum(window.min - low, high - window.max).max(axis=1).clip(min=0)
    nearest = np.clip(points, low[:, None], high[:, None])
    away = np.linalg.norm(points - nearest, axis=2)
    doubtful = (away < away[:, index, None] + 2).sum(axis=1) - 1
    cost: Places = (
        np.repeat(DISTANCES, len(ANGLES))
        + 20 * outside
        + 12 * doubtful
        + 100 * _inside(boxes, points, 2).sum(axis=1)
        + 40 * _inside(boxes, points, 6).sum(axis=1)
        + 3 * _inside(boxes, hidden, 1).sum(axis=1)
    )
    return cost


def _shared_costs(boxes: Places, point: Places, placed: Places, points: Places) -> Places:
    """Cost of each box beside other labels, and of the lines to labels that would cross."""
    apart = (boxes[:, None, :2] > placed[:, 2:] + 2) | (placed[:, :2] > boxes[:, None, 2:] + 2)
    overlaps = ~apart.any(axis=2)
    lines = _lines(points, placed)
    crossed = _inside(boxes, lines.reshape(-1, 2)).reshape(len(boxes), *lines.shape[:2]).any(axis=2)
    own = _lines(np.broadcast_to(point, (len(boxes), 2)), boxes)
    crossing = _inside(placed, own.reshape(-1, 2)).reshape(-1, *own.shape[:2]).any(axis=2).T
    crossings = crossed.sum(axis=1) + crossing.sum(axis=1)
    cost: Places = 200.0 * overlaps.sum(axis=1) + 15.0 * crossings
    return cost


def _lines(points: Places, boxes: Places) -> Places:
    """Twelve places, shape (N, 12, 2), on the line from each point to the nearest of its box."""
    nearest = np.clip(points, boxes[:, :2], boxes[:, 2:])
    return np.linspace(points, nearest, 12, axis=1)


def _inside(boxes: Places, points: Places, room: float = 0) -> NDArray[np.bool_]:
    """Which points lie in which boxes made larger: shape (boxes, points)."""
    above = points > boxes[:, None, :2] - room
    below = points < boxes[:, None, 2:] + room
    inside: NDArray[np.bool_] = np.all(above & below, axis=2)
    return inside
