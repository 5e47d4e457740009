"""Figures of a profile: what each method makes of the same images."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from irsde.images import read_image
from irsde.plan import pairs_folder
from irsde.report.tables import Row

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle

Pixels = NDArray[np.uint8]
ACCENT = "#d55e00"
MAX_IMAGES = 2
STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "figure.dpi": 200,
    "savefig.dpi": 200,
    "font.family": "DejaVu Sans",
}


def comparison(rows: list[Row], path: Path) -> None:
    """Draw one task: an image of each of two scenes as restored by each method.

    Parameters
    ----------
    rows : list of Row
        Evaluations of one task.
    path : Path
        PNG file to write.

    Notes
    -----
    Below each image is a magnified detail: the square in which the degraded image differs most
    from the clean one.
    """
    rows = [row for row in rows if row.summary["seed"] == rows[0].summary["seed"]]
    summary = rows[0].summary
    folder = pairs_folder(summary["profile"], summary["task"], summary["dataset"]["dataset"])
    names = _shown(rows[0])
    columns = len(rows) + 1
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            2 * len(names),
            columns,
            figsize=(1.45 * columns, 3.2 * len(names)),
            squeeze=False,
            layout=ConstrainedLayoutEngine(w_pad=0.01, h_pad=0.01, wspace=0.02, hspace=0.02),
        )
        for index, name in enumerate(names):
            clean = read_image(folder / "GT" / f"{name}.png")
            images = [read_image(row.folder / "images" / f"{name}.png") for row in rows]
            box = _most_degraded(images[0], clean)
            for column, image in enumerate([*images, clean]):
                upper, lower = axes[2 * index][column], axes[2 * index + 1][column]
                _show(upper, image)
                _show(lower, image[box])
                upper.add_patch(
                    Rectangle(
                        (box[1].start - 0.5, box[0].start - 0.5),
                        box[1].stop - box[1].start,
                        box[0].stop - box[0].start,
                        fill=False,
                        edgecolor=ACCENT,
                        linewidth=1,
                    )
                )
                for spine in lower.spines.values():
                    spine.set(visible=True, edgecolor=ACCENT, linewidth=1)
                if column < len(rows):
                    row = rows[column].per_image.set_index("image").loc[name]
                    lower.set_xlabel(f"{row['psnr']:.2f} dB / {row['ssim']:.3f}", labelpad=2)
                else:
                    lower.set_xlabel("PSNR / SSIM", labelpad=2, color="#555555")
                if index == 0:
                    upper.set_title(
                        _wrapped(rows[column].label) if column < len(rows) else "ground truth"
                    )
        figure.savefig(path, metadata={"Software": None})
        plt.close(figure)


def _shown(row: Row) -> list[str]:
    """First kept image of each of the first scenes."""
    kept = {file.stem for file in (row.folder / "images").glob("*.png")}
    available = row.per_image[row.per_image["image"].isin(kept)]
    return available.drop_duplicates("scene")["image"].head(MAX_IMAGES).tolist()


def _show(axes: Any, image: Pixels) -> None:
    axes.imshow(image, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _wrapped(label: str) -> str:
    words = label.split(" ")
    if len(label) <= 18 or len(words) == 1:
        return label
    half = (len(words) + 1) // 2
    return " ".join(words[:half]) + "\n" + " ".join(words[half:])


def _most_degraded(degraded: Pixels, clean: Pixels) -> tuple[slice, slice]:
    """Square of a third of the shorter side where the two images differ most."""
    difference = np.abs(degraded.astype(np.float64) - clean).sum(axis=2)
    side = max(8, min(clean.shape[:2]) // 3)
    total = np.pad(difference.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    sums = total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
    margin = side // 4
    inner = sums[margin:-margin, margin:-margin] if min(sums.shape) > 2 * margin else sums
    offset = margin if inner is not sums else 0
    top, left = np.unravel_index(int(inner.argmax()), inner.shape)
    return (
        slice(int(top) + offset, int(top) + offset + side),
        slice(int(left) + offset, int(left) + offset + side),
    )
