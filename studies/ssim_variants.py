"""What SSIM of a folder of restored images is, computed in the ways of dehazing papers.

``python -m studies.ssim_variants RESTORED CLEAN`` prints a Markdown table. Images are paired by
their names; those of one scene, `{scene}_{version}.png`, share it in the interval. For GCANet:

    irsde data prepare --profile published --task dehazing
    irsde weights import gcanet --profile published
    irsde restore data/prepared/published/dehazing/sots-indoor-17/LQ --tile 0 \
      --run results/published/dehazing/gcanet/seed0 --out restored
    python -m studies.ssim_variants restored data/prepared/published/dehazing/sots-indoor-17/GT
"""

import argparse
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage.color import rgb2gray
from skimage.metrics import structural_similarity
from tabulate import tabulate

from irsde.images import Pixels, image_files, read_image
from irsde.scoring.statistics import mean_estimate

Plane = NDArray[np.float64]
GAUSSIAN = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}


def _luminance(pixels: Pixels) -> Plane:
    """MATLAB's Y, from 16 to 235."""
    luminance: Plane = 16 + pixels @ np.array([65.481, 128.553, 24.966]) / 255
    return luminance


def _gray(pixels: Pixels) -> Plane:
    gray: Plane = rgb2gray(pixels)
    return gray


WAYS: dict[str, Callable[[Pixels, Pixels], float]] = {
    "RGB": lambda a, b: structural_similarity(a, b, channel_axis=2, **GAUSSIAN),
    "RGB, uniform window": lambda a, b: structural_similarity(a, b, channel_axis=2),
    "MATLAB's Y": lambda a, b: structural_similarity(
        _luminance(a), _luminance(b), data_range=255, **GAUSSIAN
    ),
    "gray": lambda a, b: structural_similarity(_gray(a), _gray(b), data_range=1, **GAUSSIAN),
    "gray, uniform window": lambda a, b: structural_similarity(_gray(a), _gray(b), data_range=1),
    "RGB of floats, data range 2": lambda a, b: structural_similarity(
        a / 255, b / 255, channel_axis=2, data_range=2, **GAUSSIAN
    ),
    "gray of floats, data range 2": lambda a, b: structural_similarity(
        _gray(a), _gray(b), data_range=2, **GAUSSIAN
    ),
    "gray of floats, uniform window, data range 2": lambda a, b: structural_similarity(
        _gray(a), _gray(b), data_range=2
    ),
}
"""Two is what earlier versions of scikit-image took for the range of floats by default."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("restored", type=Path)
    parser.add_argument("clean", type=Path)
    options = parser.parse_args()
    found: dict[str, list[float]] = defaultdict(list)
    scenes = []
    for file in image_files(options.restored)[0]:
        restored, clean = read_image(file), read_image(options.clean / file.name)
        scenes.append(file.stem.partition("_")[0])
        for name, way in WAYS.items():
            found[name].append(float(way(restored, clean)))
    rows = []
    for name, values in found.items():
        mean = mean_estimate(np.array([values]), scenes)
        rows.append([name, f"{mean.mean:.4f}", f"{mean.low:.4f} to {mean.high:.4f}"])
    print(tabulate(rows, ["SSIM of", "mean", "95 % interval"], "pipe", disable_numparse=True))


if __name__ == "__main__":
    main()
