"""Protocols: how a restored image is scored, each named by who uses it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from irsde.files import InputError
from irsde.scoring.metrics import METRICS, Channel, Metric, Scores, fidelity
from irsde.scoring.perceptual import full_precision
from irsde.scoring.pixels import WINDOWS, full_range_luminance, rounded_luminance

if TYPE_CHECKING:
    from torch import Tensor

Luminance = Literal["matlab", "matlab-rounded", "full-range"]
Levels = Literal["rounded", "truncated", "unrounded"]
PIXELS_AT_ONCE = 2**22  # of all images that a metric gets together, on a GPU


def _headline(channel: Channel) -> tuple[str, ...]:
    of_channel = {name: of for name, of in METRICS.items() if of.channel == channel}
    return tuple(name for name, of in of_channel.items() if of.role == "headline")


HEADLINES: dict[Channel, tuple[str, ...]] = {"rgb": _headline("rgb"), "y": _headline("y")}
"""PSNR and SSIM of each channel."""
PERCEPTUAL = tuple(name for name, metric in METRICS.items() if metric.role == "perceptual")
"""Metrics that follow what people see more than the headlines do."""
BY_PROTOCOL = tuple(name for name, metric in METRICS.items() if metric.channel)
"""Metrics that are taken under every protocol; the others are of whole images."""
OTHER_LUMINANCES: "dict[Luminance, Callable[[Tensor], Tensor]]" = {
    "matlab-rounded": rounded_luminance,
    "full-range": full_range_luminance,
}
Restored = NDArray[np.floating]
Reference = NDArray[np.uint8]


@dataclass(frozen=True)
class Protocol:
    """How an image is scored.

    Whatever the protocol, metrics of the channel "rgb" are of RGB, those of "y" of its Y, and
    those without a channel, such as LPIPS, see the whole RGB image, clipped to [0, 1].

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
        Pixels cut from each side before PSNR, SSIM and other metrics of a channel.
    rounded : bool
        Whether these see the restored image rounded to 8 bits; it is clipped either way.
    luminance : {"matlab", "matlab-rounded", "full-range"}
        Y from 16 to 235 as MATLAB's `rgb2ycbcr` has it, the same rounded to whole numbers, or from
        0 to 255.
    window : str
        Window of SSIM, a key of `metrics.WINDOWS`.
    whole_rounded : bool
        Whether metrics of whole images see the restored image rounded to 8 bits.
    truncated : bool
        Whether 8 bits are reached by cutting off what is behind the point, instead of rounding.
    """

    label: str
    source: str
    version: int = 1
    channel: Channel = "rgb"
    border: int = 0
    rounded: bool = True
    luminance: Luminance = "matlab"
    window: str = "gaussian"
    whole_rounded: bool = True
    truncated: bool = False

    @property
    def levels(self) -> Levels:
        """How values become pixels before metrics of a channel."""
        if not self.rounded:
            return "unrounded"
        return "truncated" if self.truncated else "rounded"

    @property
    def headline(self) -> tuple[str, ...]:
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
        whole_rounded=False,
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
        whole_rounded=False,
    ),
    "skimage-default": Protocol(
        "8-bit RGB, no border crop; SSIM with a uniform 7x7 window and sample covariances",
        "scripts that call scikit-image's structural_similarity with its default window",
        window="uniform",
    ),
    "truncated-y": Protocol(
        "MATLAB's Y, not rounded, of RGB cut to 8 bits without rounding, no border crop",
        "test_PReNet.py of github.com/csdwren/PReNet, which writes np.uint8(255 * x), and its "
        "statistic_rain100H.m",
        channel="y",
        truncated=True,
    ),
}


def score_images(
    restored: Restored, reference: Reference, protocol: Protocol, device: str = "cpu"
) -> list[dict[str, float | None]]:
    """Metrics of whole restored images of one size.

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
        For each image a value for each metric without a channel: None where its weights are not at
        hand or the image is smaller than it takes, NaN where the image is not finite.

    Raises
    ------
    InputError
        If the sizes differ or the restored images are no floats.
    """
    output, target = _tensors(restored, reference, device)
    seen, clean = _pixels(output, protocol.whole_rounded).double(), target.double()
    scored = {
        name: _of_images(metric, seen, clean)
        for name, metric in METRICS.items()
        if metric.of_images
    }
    return [{name: values[k] for name, values in scored.items()} for k in range(len(clean))]


def _of_images(metric: Metric, seen: "Tensor", clean: "Tensor") -> Sequence[float | None]:
    """Values of a metric of whole images, in parts that a device can take at once."""
    import torch

    count, height, width, _ = clean.shape
    assert metric.of_images is not None
    if metric.unavailable or min(height, width) < metric.smallest_side:
        return [None] * count
    is_finite = seen.isfinite().all(3).all(2).all(1)
    seen, clean = seen[is_finite], clean[is_finite]
    size = 1 if clean.device.type == "cpu" else max(1, PIXELS_AT_ONCE // (height * width))
    values: list[float] = []
    with torch.inference_mode(), full_precision():
        for k in range(0, len(clean), size):
            part = metric.of_images(seen[k : k + size], clean[k : k + size])
            values += part.double().tolist()
    present = iter(values)
    return [next(present) if finite else math.nan for finite in is_finite.tolist()]


def score_protocols(
    restored: Restored, reference: Reference, device: str = "cpu"
) -> list[dict[str, dict[str, float | None]]]:
    """Metrics of a channel of restored images of one size under every protocol at once.

    Parameters
    ----------
    restored, reference, device
        As for `score_images`.

    Returns
    -------
    list of dict
        For each image and each key of `PROTOCOLS` the values of the metrics `BY_PROTOCOL`; None
        where the image is too small. The PSNR of identical images is infinite; an image with
        values that are no numbers scores NaN.

    Raises
    ------
    InputError
        If the sizes differ or the restored images are no floats.
    """
    output, target = _tensors(restored, reference, device)
    fitting = {
        name: protocol for name, protocol in PROTOCOLS.items() if protocol.fits(*target.shape[1:3])
    }
    fidelities = dict(
        zip(fitting, _fidelities(output, target, list(fitting.values())), strict=True)
    )
    return [
        {
            protocol: {
                name: float(fidelities[protocol][name][k]) if protocol in fidelities else None
                for name in BY_PROTOCOL
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
    """Metrics of a channel under each protocol; what several have in common is computed once."""
    fidelities: dict[tuple[Levels, str, Luminance], dict[int, Scores]] = {}
    for levels in sorted({protocol.levels for protocol in protocols}):
        pixels = _at_levels(restored, levels)
        for window in sorted({p.window for p in protocols if p.levels == levels}):
            alike = [p for p in protocols if (p.levels, p.window) == (levels, window)]
            fidelities[levels, window, "matlab"] = fidelity(
                pixels, reference, WINDOWS[window], {p.border for p in alike}
            )
            for luminance, of in OTHER_LUMINANCES.items():
                if borders := {p.border for p in alike if p.luminance == luminance}:
                    fidelities[levels, window, luminance] = fidelity(
                        of(pixels), of(reference), WINDOWS[window], borders
                    )
    return [_of_protocol(protocol, fidelities) for protocol in protocols]


def _at_levels(restored: "Tensor", levels: Levels) -> "Tensor":
    """Image in [0, 1] as pixels from 0 to 255 as a protocol has them."""
    if levels == "truncated":
        return _levels(restored).floor_().to(restored.dtype)
    return _levels(restored) if levels == "unrounded" else _pixels(restored, rounded=True)


def _of_protocol(
    protocol: Protocol, fidelities: dict[tuple[Levels, str, Luminance], dict[int, Scores]]
) -> Scores:
    scores = fidelities[protocol.levels, protocol.window, "matlab"][protocol.border]
    if protocol.luminance == "matlab":
        return scores
    return (
        scores | fidelities[protocol.levels, protocol.window, protocol.luminance][protocol.border]
    )
