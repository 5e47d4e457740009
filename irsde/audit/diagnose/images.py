"""What restored images themselves say: scores in every way, and traces of faults."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from irsde.evaluation.restored_pairs import Pairing, RestoredPair, pair_images
from irsde.files import InputError
from irsde.images import Pixels, read_image, to_float
from irsde.scoring.pixels import LUMINANCE, psnr
from irsde.scoring.protocols import score_protocols
from irsde.terminal import track

Values = NDArray[np.float64]
LOSSY = {".jpg", ".jpeg"}
SHIFTS = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]
CLIPPED = (2, 253)  # nearer to the ends of the range, errors are one-sided


@dataclass
class ReadImages:
    """Scores of restored images by image, in every way that is tried.

    Parameters
    ----------
    pairing : Pairing
    scores : dict
        Protocol and metric (`psnr`, `psnr_y`) → value of each image.
    lifted : dict
        Metric → values with half a level added to every pixel, not rounded.
    swapped : ndarray
        RGB PSNR with red and blue exchanged.
    shifted : dict
        Shift in pixels (down, right) → RGB PSNR of the part that remains.
    unshifted : ndarray
        RGB PSNR of that part as it is.
    errors : ndarray
        Mean of restored - clean of each image, in levels; pixels near 0 and 255 do not count.
    """

    pairing: Pairing
    scores: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    lifted: dict[str, list[float]] = field(default_factory=dict)
    swapped: list[float] = field(default_factory=list)
    shifted: dict[tuple[int, int], list[float]] = field(default_factory=dict)
    unshifted: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Names of the pairs."""
        return [pair.name for pair in self.pairing.pairs]

    @property
    def lossy(self) -> int:
        """How many restored images are JPEG files."""
        return sum(pair.restored.suffix.lower() in LOSSY for pair in self.pairing.pairs)


def read_images(restored: Path, reference: Path, pattern: str | None) -> ReadImages:
    """Score a folder of restored images in every way.

    Parameters
    ----------
    restored, reference : Path
        Folders of 8-bit images, paired as `irsde evaluate --restored` does.
    pattern : str, optional
        How the restored images are named.

    Raises
    ------
    InputError
        If an image is missing, unreadable, or of another size than the clean one.
    """
    found = ReadImages(pair_images(restored, reference, pattern=pattern))
    pairs = found.pairing.pairs
    for pair in track(iter(pairs), f"reading {restored}", len(pairs)):
        _add(found, *_loaded(pair))
    return found


def _loaded(pair: RestoredPair) -> tuple[Pixels, Pixels]:
    restored, clean = read_image(pair.restored), read_image(pair.clean)
    if restored.shape != clean.shape:
        (height, width, _), (high, wide, _) = restored.shape, clean.shape
        raise InputError(
            f"{pair.restored}: {width}x{height} pixels beside {wide}x{high} of {pair.clean}; a "
            "border that was cut or added cannot be put back: restore the images at their size"
        )
    if min(clean.shape[:2]) < 24:
        raise InputError(f"{pair.clean}: smaller than 24 pixels, too small to be scored")
    return restored, clean


def _add(found: ReadImages, restored: Pixels, clean: Pixels) -> None:
    """Put the scores of one image to those of the others."""
    image = to_float(restored)[None]
    (scores,) = score_protocols(image, clean[None])
    for protocol, values in scores.items():
        for metric in ("psnr", "psnr_y"):
            value = values[metric]
            found.scores.setdefault((protocol, metric), []).append(
                np.nan if value is None else value
            )
    lifted = np.minimum(restored + 0.5, 255)
    found.lifted.setdefault("psnr", []).append(psnr(lifted, clean))
    found.lifted.setdefault("psnr_y", []).append(psnr(lifted @ LUMINANCE, clean @ LUMINANCE))
    found.swapped.append(psnr(restored[..., ::-1], clean))
    inner = clean[1:-1, 1:-1]
    found.unshifted.append(psnr(restored[1:-1, 1:-1], inner))
    for y, x in SHIFTS:
        moved = restored[1 + y : restored.shape[0] - 1 + y, 1 + x : restored.shape[1] - 1 + x]
        found.shifted.setdefault((y, x), []).append(psnr(moved, inner))
    found.errors.append(_error(restored, clean))


def _error(restored: Pixels, clean: Pixels) -> float:
    inside = (clean >= CLIPPED[0]) & (clean <= CLIPPED[1])
    inside &= (restored >= CLIPPED[0]) & (restored <= CLIPPED[1])
    difference = restored.astype(np.float64) - clean
    return float(difference[inside].mean()) if inside.any() else float("nan")
