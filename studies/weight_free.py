"""Which metric without learned weights ranks restored images most like LPIPS.

``python -m studies.weight_free`` prints a Markdown table. It reads the restored photographs of the
committed study and their LPIPS (SqueezeNet), and the clean ones below `data/prepared/bench`: first

    irsde plan --profile bench && irsde data fetch photographs-test
    irsde data prepare --profile bench --task TASK --dataset photographs-test

for each task. A task whose clean images are absent is named and left out, as inpainting is without
its masks. Ranks of a handful of pictures are coarse, so images with many have columns of their own.
SSIMULACRA2 is measured where the package ssimulacra2 is installed.
"""

import importlib.util
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd
import piq
import torch
from scipy.stats import spearmanr
from tabulate import tabulate
from torch import Tensor

from irsde.images import read_image
from irsde.scoring.metrics import METRICS, fidelity
from irsde.scoring.pixels import WINDOWS

COMMAND = "python -m studies.weight_free"
STUDY = Path("reports/study/results/bench")
PREPARED = Path("data/prepared/bench")
TEST_SET = "photographs-test"
MANY = 8  # pictures of an image
Compare = Callable[["Picture"], float]


@dataclass(frozen=True)
class Picture:
    """A restored photograph, the clean one, and its LPIPS."""

    task: str
    image: str
    restored: Path
    clean: Path
    lpips: float

    @property
    def pair(self) -> tuple[Tensor, Tensor]:
        """Both, shape (1, 3, H, W), float64 in [0, 1]."""
        return _tensor(self.restored), _tensor(self.clean)


def _tensor(path: Path) -> Tensor:
    return torch.from_numpy(read_image(path).copy()).double().permute(2, 0, 1)[None] / 255


def pictures() -> tuple[list[Picture], list[str]]:
    """Pictures by task and image, and the tasks whose clean images are absent."""
    found, absent = [], set()
    for path in sorted(STUDY.glob(f"*/*/seed*/evaluations/{TEST_SET}/*/images/*.png")):
        task = path.relative_to(STUDY).parts[0]
        clean = PREPARED / task / TEST_SET / "GT" / path.name
        if not clean.is_file():
            absent.add(task)
            continue
        table = pd.read_csv(path.parents[1] / "per_image.csv").set_index("image")
        lpips = float(table.loc[path.stem, "lpips"])
        if np.isfinite(lpips):
            found.append(Picture(task, path.stem, path, clean, lpips))
    return sorted(found, key=_group), sorted(absent)


def _group(picture: Picture) -> tuple[str, str]:
    return picture.task, picture.image


def _ours(name: str) -> Compare:
    """A metric of `METRICS`."""
    metric = METRICS[name]

    def compare(picture: Picture) -> float:
        restored, clean = (255 * image.permute(0, 2, 3, 1) for image in picture.pair)
        if metric.of_images:
            return float(metric.of_images(restored, clean))
        return float(fidelity(restored, clean, WINDOWS["gaussian"])[0][name][0])

    return compare


def _piq(function: Callable[[Tensor, Tensor], Tensor], sign: int = 1) -> Compare:
    return lambda picture: sign * float(function(*picture.pair))


def metrics() -> dict[str, Compare]:
    """What is measured, all higher where better."""
    found = {
        "HaarPSI": _ours("haarpsi"),
        "SSIM": _ours("ssim"),
        "FSIM": _piq(piq.fsim),
        "VSI": _piq(piq.vsi),
        "MS-GMSD": _piq(piq.multi_scale_gmsd, -1),
        "PSNR": _ours("psnr"),
        "MDSI": _piq(piq.mdsi, -1),
    }
    if importlib.util.find_spec("ssimulacra2"):
        from ssimulacra2 import compute_ssimulacra2

        found["SSIMULACRA2"] = lambda p: compute_ssimulacra2(str(p.clean), str(p.restored))
    return found


def row(label: str, compare: Compare, shown: list[Picture]) -> tuple[float, list[str]]:
    """A line of the table, and what it is sorted by."""
    compare(shown[0])  # compiles what is compiled
    begin = time.process_time()
    values = [compare(picture) for picture in shown]
    milliseconds = 1e3 * (time.process_time() - begin) / len(shown)
    pairs = list(zip(shown, values, strict=True))
    of_images = [[*of_image] for _, of_image in groupby(pairs, key=lambda p: _group(p[0]))]
    many = [_rank(of) for of in of_images if len(of) >= MANY]
    mean, every = float(np.mean(many)), float(np.mean([_rank(of) for of in of_images]))
    numbers = [mean, min(many), every, _rank(pairs)]
    return mean, [label, *(f"{n:.2f}" for n in numbers), f"{milliseconds:.0f}"]


def _rank(pairs: list[tuple[Picture, float]]) -> float:
    """Rank correlation of a metric with LPIPS, 1 where both put pictures in one order."""
    return float(spearmanr([-p.lpips for p, _ in pairs], [value for _, value in pairs]).statistic)


def table() -> str:
    """The table, best first, and what it is of."""
    shown, absent = pictures()
    if not shown:
        raise SystemExit(f"no clean images below {PREPARED}: see {__file__}")
    rows = sorted((row(*item, shown) for item in metrics().items()), key=lambda r: -r[0])
    head = ["metric", f"of an image with {MANY} pictures or more", "least", "of every image"]
    head += ["over all", "ms a picture"]
    body = tabulate(
        [cells for _, cells in rows], head, tablefmt="pipe", disable_numparse=True,
        colalign=["left", *["right"] * 5],
    )  # fmt: skip
    counts = Counter(map(_group, shown)).values()
    note = (
        f"Rank correlation with LPIPS of {len(shown)} pictures of {len(counts)} images (task and "
    )
    note += (
        f"and photograph), {sum(count >= MANY for count in counts)} with {MANY} pictures or more"
    )
    left_out = f"; without clean images, left out: {', '.join(absent)}" if absent else ""
    return f"{body}\n\n{note}{left_out}."


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(table())
