"""The contact sheet of a leakage check: each test image beside the training image that shows it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image

from irsde.data.leakage.record import Leak
from irsde.drawing import STYLE
from irsde.images import Pixels, read_image

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.layout_engine import ConstrainedLayoutEngine

PAIRS_PER_ROW = 4
MAX_PAIRS = 120
HEIGHT = 160


def contact_sheet(leaks: Sequence[Leak], files: Mapping[tuple[str, str], Path], path: Path) -> None:
    """Draw the pairs of a leakage check, training image on the left, test image on the right.

    Parameters
    ----------
    leaks : sequence of Leak
        Pairs; of more than 120 the first are drawn, and the title says so.
    files : mapping of (data set, image) to Path
        Folders of the images.
    path : Path
        PNG file to write.
    """
    drawn = leaks[:MAX_PAIRS]
    rows = max(1, -(-len(drawn) // PAIRS_PER_ROW))
    with plt.rc_context({**STYLE, "figure.dpi": 100, "savefig.dpi": 100}):
        figure, axes = plt.subplots(
            rows,
            PAIRS_PER_ROW,
            figsize=(3.6 * PAIRS_PER_ROW, 1.75 * rows + 0.5),
            squeeze=False,
            layout=ConstrainedLayoutEngine(w_pad=0.04, h_pad=0.04),
        )
        for axis in axes.flat:
            axis.set_axis_off()
        for axis, leak in zip(axes.flat, drawn, strict=False):
            pair = [
                _thumbnail(files[leak.train_set, leak.train_image]),
                _thumbnail(files[leak.test_set, leak.test_image]),
            ]
            axis.imshow(_beside(*pair))
            axis.set_title(
                f"{leak.train_set}/{leak.train_image}  |  {leak.test_set}/{leak.test_image}\n"
                f"{leak.evidence}",
                fontsize=7,
            )
        shown = f", the first {len(drawn)} drawn" if len(drawn) < len(leaks) else ""
        figure.suptitle(
            f"{len(leaks)} training images (left) that show a test image (right){shown}"
        )
        figure.savefig(path, metadata={"Software": None})
        plt.close(figure)


def _thumbnail(file: Path) -> Pixels:
    picture = Image.fromarray(read_image(file))
    width = round(picture.width * HEIGHT / picture.height)
    return np.asarray(picture.resize((width, HEIGHT), Image.Resampling.LANCZOS))


def _beside(first: Pixels, second: Pixels) -> Pixels:
    gap = np.full((HEIGHT, 4, 3), 255, np.uint8)
    return np.concatenate([first, gap, second], axis=1)
