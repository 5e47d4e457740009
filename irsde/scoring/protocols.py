"""Protocols: how a restored image is scored, each named by who uses it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from irsde.files import InputError
from irsde.scoring.metrics import WINDOWS, Scores, fidelity, full_range_luminance, rounded_luminance
from irsde.scoring.perceptual import perceptual_metric

if TYPE_CHECKING:
    from torch import Tensor

Channel = Literal["rgb", "y"]
Luminance = Literal["matlab", "matlab-rounded", "full-range"]
HEADLINES: dict[Channel, tuple[str, str]] = {"rgb": ("psnr", "ssim"), "y": ("psnr_y", "ssim_y")}
OTHER_LUMINANCES: "dict[Luminance, Callable[[Tensor], Tensor]]" = {
    "matlab-rounded": rounded_luminance,
    "full-range": full_range_luminance,
}
Restored = NDArray[np.floating]
Reference = NDArray[np.uint8]


@dataclass(frozen=True)
class Protocol:
    """How an image is scored.

    Whatever the protocol, `psnr` and `ssim` are of RGB, `psnr_y` and `ssim_y` of its Y, and LPIPS
    sees the whole image, clipped to [0, 1].

    Parameters
    ----------
    label : str
        What it does, for captions.
    source : str
        Who scores so, and where that is to be seen.
    version : int
        Raised when the same images would score differently.
    channel : {"rgb", "y"}
        Whose PSNR and SSIM are the headline.
    border : int
        Pixels cut from each side before PSNR and SSIM.
    rounded : bool
        Whether PSNR and SSIM see the restored image rounded to 8 bits; it is clipped either way.
    luminance : {"matlab", "matlab-rounded", "full-range"}
        Y from 16 to 235 as MATLAB's `rgb2ycbcr` has it, the same rounded to whole numbers, or from
        0 to 255.
    window : str
        Window of SSIM, a key of `metrics.WINDOWS`.
    lpips_rounded : bool
        Whether LPIPS sees the restored image rounded to 8 bits.
    """

    label: str
    source: str
    version: int = 1
    channel: Channel = "rgb"
    border: int = 0
    rounded: bool = True
    luminance: Luminance = "matlab"
    window: str = "gaussian"
    lpips_rounded: bool = True

    @property
    def headline(self) -> tuple[str, str]:
        """Names of the PSNR and the SSIM that this protocol is about."""
        return HEADLINES[self.channel]

    def fits(self, height: int, width: int) -> bool:
        """Whether an image is large enough for the window of SSIM after the crop."""
        return min(height, width) - 2 * self.border >= WINDOWS[self.window].size


PROTOCOLS: dict[str, Protocol] = {
    "rgb": Protocol(
        "8-bit RGB, no border crop; Y is MATLAB's",
        "this project's default; the usual one for deblurring and denoising",
    ),
    "y": Protocol(
        "MATLAB's Y of 8-bit RGB, not rounded, no border crop",
        "what the authors of IR-SDE say of the deraining tables: issue 121 of "
        "github.com/Algolzw/image-restoration-sde",
        channel="y",
    ),
    "authors": Protocol(
        "8-bit RGB with 4 border pixels cut from PSNR and SSIM, as the authors' script does for "
        "all tasks but denoising; LPIPS of the image before it is rounded",
        "test.py of github.com/Algolzw/image-restoration-sde: the crop is the `scale` of the "
        "task's settings, which is 4 for every task",
        version=2,
        border=4,
        lpips_rounded=False,
    ),
    "matlab-y": Protocol(
        "MATLAB's Y of 8-bit RGB, rounded to 8 bits, no border crop",
        "the deraining literature, whose MATLAB scripts call rgb2ycbcr on uint8 images",
        channel="y",
        luminance="matlab-rounded",
    ),
    "full-range-y": Protocol(
        "Y from 0 to 255 of 8-bit RGB, not rounded, no border crop",
        "psnry of github.com/chaofengc/IQA-PyTorch; Pillow's convert('L') is the same Y, rounded",
        channel="y",
        luminance="full-range",
    ),
    "sr": Protocol(
        "MATLAB's Y of 8-bit RGB, not rounded, with 4 border pixels cut from PSNR and SSIM",
        "the literature of fourfold super-resolution, as BasicSR computes it with crop_border 4 "
        "and test_y_channel",
        channel="y",
        border=4,
    ),
    "unrounded": Protocol(
        "RGB clipped to [0, 1] but not rounded to 8 bits, no border crop",
        "scripts that score a network's output without writing an image file",
        version=2,
        rounded=False,
        lpips_rounded=False,
    ),
    "skimage-default": Protocol(
        "8-bit RGB, no border crop; SSIM with a uniform 7x7 window and sample covariances",
        "scripts that call scikit-image's structural_similarity with its default window",
        window="uniform",
    ),
}


def score_pair(
    restored: Restored, reference: Reference, protocol: Protocol
) -> dict[str, float | None]:
    """Metrics of one restored image, shape (H, W, 3): `score_batch` of it alone."""
    return score_batch(restored[None], reference[None], protocol)[0]


def score_batch(
    restored: Restored, reference: Reference, protocol: Protocol, device: str = "cpu"
) -> list[dict[str, float | None]]:
    """Metrics of restored images of one size.

    Parameters
    ----------
    restored : ndarray of float, shape (B, H, W, 3)
        Nominally in [0, 1]; clipped.
    reference : ndarray of uint8, shape (B, H, W, 3)
        Clean images.
    protocol : Protocol
    device : str
        Torch device that computes.

    Returns
    -------
    list of dict of str to float or None
        For each image a value for each key of `metrics.METRICS`. The PSNR of identical images is
        infinite; an image with values that are no numbers scores NaN; `lpips` is None where
        `perceptual_distances` says so.

    Raises
    ------
    InputError
        If the sizes differ, the restored images are no floats, or too little is left after the
        crop.
    """
    output, target = _tensors(restored, reference, device)
    scores = _fidelities(output, target, [protocol])[0]
    distances = perceptual_distances(restored, reference, protocol, device)
    return [
        {**{name: float(values[k]) for name, values in scores.items()}, "lpips": distances[k]}
        for k in range(len(target))
    ]


def perceptual_distances(
    restored: Restored, reference: Reference, protocol: Protocol, device: str = "cpu"
) -> list[float | None]:
    """LPIPS of restored images of one size; the arguments are those of `score_batch`.

    Returns
    -------
    list of float or None
        None for each image where no weights are at hand, or where the images are smaller than
        the network takes.
    """
    metric = perceptual_metric()
    if metric.distances is None or min(reference.shape[1:3]) < metric.smallest:
        return [None] * len(reference)
    output, target = _tensors(restored, reference, device)
    seen = _pixels(output, protocol.lpips_rounded) / 255
    return [float(value) for value in metric.distances(seen, target / 255)]


def score_protocols(
    restored: Restored, reference: Reference, device: str = "cpu"
) -> list[dict[str, dict[str, float | None]]]:
    """PSNR and SSIM of restored images of one size under every protocol at once.

    Parameters
    ----------
    restored, reference, device
        As for `score_batch`.

    Returns
    -------
    list of dict
        For each image and each key of `PROTOCOLS` the values of `psnr`, `ssim`, `psnr_y` and
        `ssim_y`, the same that `score_batch` gives; None where the image is too small.

    Raises
    ------
    InputError
        If the sizes differ or the restored images are no floats.
    """
    output, target = _tensors(restored, reference, device)
    fitting = {
        name: protocol for name, protocol in PROTOCOLS.items() if protocol.fits(*target.shape[1:3])
    }
    found = dict(zip(fitting, _fidelities(output, target, list(fitting.values())), strict=True))
    names = ("psnr", "ssim", "psnr_y", "ssim_y")
    return [
        {
            protocol: {
                name: float(found[protocol][name][k]) if protocol in found else None
                for name in names
            }
            for protocol in PROTOCOLS
        }
        for k in range(len(target))
    ]


def _tensors(restored: Restored, reference: Reference, device: str) -> "tuple[Tensor, Tensor]":
    """Both on a device, the restored images in at least float32, all NaN where not finite."""
    import torch

    if restored.shape != reference.shape:
        raise InputError(
            f"restored {restored.shape[1:]} and reference {reference.shape[1:]} differ in size"
        )
    if not np.issubdtype(restored.dtype, np.floating):
        raise InputError(f"restored images are floats in [0, 1], not {restored.dtype}")
    output = np.array(restored, dtype=np.promote_types(restored.dtype, np.float32), order="C")
    output[~np.isfinite(output).all((1, 2, 3))] = np.nan
    target = torch.tensor(np.ascontiguousarray(reference), device=device)
    return torch.from_numpy(output).to(device), target


def _pixels(image: "Tensor", rounded: bool) -> "Tensor":
    """Image in [0, 1] as pixels from 0 to 255: clipped, rounded half to even if asked for."""
    if rounded:
        return image.clamp(0, 1).mul_(255).round_()
    return image.clamp(0, 1).double().mul_(255)


def _levels(image: "Tensor") -> "Tensor":
    """Unrounded pixels from 0 to 255, whole numbers where the image is as near as floats are.

    An image that equals the clean one then has an infinite PSNR.
    """
    pixels = _pixels(image, rounded=False)
    levels = pixels.round()
    is_level = (levels.to(image.dtype) / 255) == image
    return pixels.where(~is_level, levels)


def _fidelities(
    restored: "Tensor", reference: "Tensor", protocols: Sequence[Protocol]
) -> list[Scores]:
    """PSNR and SSIM under each protocol; what several have in common is computed once."""
    found: dict[tuple[bool, str, Luminance], dict[int, Scores]] = {}
    for rounded in sorted({protocol.rounded for protocol in protocols}):
        pixels = _pixels(restored, rounded) if rounded else _levels(restored)
        for window in sorted({p.window for p in protocols if p.rounded == rounded}):
            alike = [p for p in protocols if (p.rounded, p.window) == (rounded, window)]
            found[rounded, window, "matlab"] = fidelity(
                pixels, reference, WINDOWS[window], {p.border for p in alike}
            )
            for luminance, of in OTHER_LUMINANCES.items():
                if borders := {p.border for p in alike if p.luminance == luminance}:
                    found[rounded, window, luminance] = fidelity(
                        of(pixels), of(reference), WINDOWS[window], borders
                    )
    return [_of_protocol(protocol, found) for protocol in protocols]


def _of_protocol(
    protocol: Protocol, found: dict[tuple[bool, str, Luminance], dict[int, Scores]]
) -> Scores:
    scores = found[protocol.rounded, protocol.window, "matlab"][protocol.border]
    if protocol.luminance == "matlab":
        return scores
    of_y = found[protocol.rounded, protocol.window, protocol.luminance][protocol.border]
    return scores | {"psnr_y": of_y["psnr"], "ssim_y": of_y["ssim"]}
