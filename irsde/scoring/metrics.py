"""The metrics of restored images: one function and one record each.

Columns, summaries, tables, figures, the page and MLflow follow from `METRICS`.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from irsde.files import InputError
from irsde.scoring.perceptual import LPIPS_WEIGHTS, Weights
from irsde.scoring.pixels import (
    LUMINANCE,
    LUMINANCE_OFFSET,
    PEAK,
    Window,
    similarity,
    squared_error,
)

if TYPE_CHECKING:
    from torch import Tensor

Values = NDArray[np.float64]
Scores = dict[str, Values]
Channel = Literal["rgb", "y"]
PixelFunction = Callable[["Tensor", "Tensor", Window], "Tensor"]
ImageFunction = Callable[["Tensor", "Tensor"], "Tensor"]


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """How a metric, or a distance between sets of images, is shown.

    Parameters
    ----------
    label : str
        Name in tables and figures, with its unit.
    higher_is_better : bool
    decimals : int
        Digits after the point in tables.
    near : float
        A mean whose whole interval is no further than this from a published value matches it.
    """

    label: str
    higher_is_better: bool
    decimals: int
    near: float = 0.0

    @property
    def heading(self) -> str:
        """Label with an arrow that says which way is better."""
        return f"{self.label} {'↑' if self.higher_is_better else '↓'}"


@dataclass(frozen=True, kw_only=True)
class Metric(Quantity):
    """A metric of a restored image, with either `at_pixels` or `of_images`.

    Parameters
    ----------
    at_pixels : callable, optional
        (restored, reference, window of SSIM) to a value at every pixel, of planes of shape
        (B, H, W), float64, from 0 to 255. It is taken under every protocol.
    channel : {"rgb", "y"}, optional
        Planes that `at_pixels` sees: red, green and blue one by one, or the luminance.
    of_mean : callable
        The metric, given the mean of `at_pixels` over the pixels and the planes.
    of_images : callable, optional
        (restored, reference) to a value for each image, of whole RGB images of shape (B, H, W, 3),
        float64, from 0 to 255. On a CPU it gets images one by one.
    smallest : int
        Shortest side that `of_images` takes, in pixels, unless its weights say.
    weights : Weights, optional
        What `of_images` needs beside the images.
    role : {"headline", "perceptual", "further"}
        The PSNR and the SSIM of a channel are the headline of its protocols. They and what is
        perceptual have figures and tables of seeds, samplers and causes; what is further, a column.
    """

    at_pixels: PixelFunction | None = None
    channel: Channel | None = None
    of_mean: Callable[[Values], Values] = lambda mean: mean
    of_images: ImageFunction | None = None
    smallest: int = 1
    weights: Weights | None = None
    role: Literal["headline", "perceptual", "further"] = "further"

    def __post_init__(self) -> None:
        if (self.at_pixels is None) == (self.of_images is None):
            raise ValueError(f"{self.label}: give either at_pixels or of_images")
        if (self.at_pixels is None) != (self.channel is None):
            raise ValueError(f"{self.label}: channel is for at_pixels, and it needs one")

    @property
    def unavailable(self) -> str:
        """Why it cannot be computed on this machine; "" if it can."""
        return self.weights.load().unavailable if self.weights else ""

    @property
    def smallest_side(self) -> int:
        """Shortest side of an image that has a value, in pixels."""
        return self.weights.load().smallest if self.weights else self.smallest


def decibels(squared: Values) -> Values:
    """PSNR in dB of a mean squared error, for a peak of 255; of no error infinite."""
    with np.errstate(divide="ignore"):
        in_decibels: Values = 10 * np.log10(PEAK**2 / squared)
    return in_decibels


@contextmanager
def _parts_of(name: str) -> Iterator[None]:
    """Let modules of a package be imported without what its `__init__` imports.

    That of piq brings torchvision, which takes as long as torch.
    """
    if name in sys.modules:
        yield
        return
    package, spec = ModuleType(name), find_spec(name)
    assert spec is not None
    package.__path__ = spec.submodule_search_locations or []
    sys.modules[name] = package
    try:
        yield
    finally:
        del sys.modules[name]


def haarpsi(restored: "Tensor", reference: "Tensor") -> "Tensor":
    """HaarPSI of colors (YIQ), in [0, 1]: 1 for identical images; symmetric.

    Gradients and colors are compared on images of half the size by Haar wavelets, and weighed by
    the coarser of them. It needs no learned weights.

    References
    ----------
    .. [1] Reisenhofer et al., "A Haar wavelet-based perceptual similarity index for image quality
       assessment", Signal Processing: Image Communication 61, 2018.
    """
    with _parts_of("piq"):
        from piq.haarpsi import haarpsi as of_piq

    channels_first = (image.permute(0, 3, 1, 2) for image in (restored, reference))
    similarity: Tensor = of_piq(*channels_first, reduction="none", data_range=PEAK)
    # Two black images have no wavelet to weigh by, and would be infinitely alike.
    return similarity.where((restored != reference).flatten(1).any(1), 1.0)


def lpips(restored: "Tensor", reference: "Tensor") -> "Tensor":
    """LPIPS v0.1 by the network whose weights were found, at least 0."""
    distances = LPIPS_WEIGHTS.load().distances
    assert distances is not None
    return distances(restored / PEAK, reference / PEAK)


METRICS: dict[str, Metric] = {
    "psnr": Metric(
        label="PSNR (dB)",
        higher_is_better=True,
        decimals=2,
        near=0.1,
        at_pixels=squared_error,
        of_mean=decibels,
        channel="rgb",
        role="headline",
    ),
    "ssim": Metric(
        label="SSIM",
        higher_is_better=True,
        decimals=4,
        near=0.005,
        at_pixels=similarity,
        channel="rgb",
        role="headline",
    ),
    "psnr_y": Metric(
        label="PSNR-Y (dB)",
        higher_is_better=True,
        decimals=2,
        near=0.1,
        at_pixels=squared_error,
        of_mean=decibels,
        channel="y",
        role="headline",
    ),
    "ssim_y": Metric(
        label="SSIM-Y",
        higher_is_better=True,
        decimals=4,
        near=0.005,
        at_pixels=similarity,
        channel="y",
        role="headline",
    ),
    "lpips": Metric(
        label="LPIPS",
        higher_is_better=False,
        decimals=4,
        near=0.005,
        of_images=lpips,
        weights=LPIPS_WEIGHTS,
        role="perceptual",
    ),
    "haarpsi": Metric(
        label="HaarPSI",
        higher_is_better=True,
        decimals=4,
        of_images=haarpsi,
        smallest=16,
        role="perceptual",
    ),
}


def fidelity(
    restored: "Tensor", reference: "Tensor", window: Window, borders: Iterable[int] = (0,)
) -> dict[int, Scores]:
    """Metrics with `at_pixels` of a batch of images, for several border crops at once.

    Parameters
    ----------
    restored, reference : Tensor, shape (B, H, W, 3) or (B, H, W, 1)
        RGB, or a luminance, in the range 0 to 255, of any real dtype, on one device.
    window : Window
        Of SSIM, which is averaged over the pixels whose window is inside the cropped image.
    borders : iterable of int
        Pixels cut from each side.

    Returns
    -------
    dict of int to dict of str to ndarray, shape (B,)
        For each border the metrics of RGB and those of MATLAB's luminance, not rounded; of a
        luminance the latter.

    Raises
    ------
    InputError
        If the shapes differ or a cropped image is smaller than the window.

    Notes
    -----
    In float64 throughout, channel by channel. On a CPU images are taken one by one: a value does
    not depend on what else is in the batch.
    """
    import torch

    if restored.shape != reference.shape:
        raise InputError(f"{tuple(restored.shape)} and {tuple(reference.shape)} differ")
    cuts = sorted(set(borders))
    height, width = reference.shape[1:3]
    if min(height, width) - 2 * cuts[-1] < window.size:
        raise InputError(
            f"SSIM needs at least {window.size}x{window.size} pixels, fewer are left of "
            f"{height}x{width} after a border of {cuts[-1]}"
        )
    size = 1 if reference.device.type == "cpu" else len(reference)
    with torch.inference_mode():
        parts = [
            _fidelity(restored[k : k + size], reference[k : k + size], window, cuts)
            for k in range(0, len(reference), size)
        ]
    return {
        border: {name: np.concatenate([part[k][name] for part in parts]) for name in parts[0][k]}
        for k, border in enumerate(cuts)
    }


def _fidelity(x: "Tensor", y: "Tensor", window: Window, borders: list[int]) -> list[Scores]:
    """`fidelity` of as many images as are taken at once."""
    means: dict[tuple[Channel, PixelFunction], list[list[Values]]] = {}
    for channel, a, b in _planes(x, y):
        for function in _functions(channel):
            values = function(a, b, window)
            of_borders = means.setdefault((channel, function), [[] for _ in borders])
            for of_border, border in zip(of_borders, borders, strict=True):
                of_border.append(_mean(values, border))
    return [
        {
            name: metric.of_mean(np.stack(means[metric.channel, metric.at_pixels][k]).mean(0))
            for name, metric in METRICS.items()
            if metric.channel and metric.at_pixels and (metric.channel, metric.at_pixels) in means
        }
        for k in range(len(borders))
    ]


def _functions(channel: Channel) -> list[PixelFunction]:
    """What is computed of the planes of a channel, each once."""
    wanted = [metric.at_pixels for metric in METRICS.values() if metric.channel == channel]
    return list(dict.fromkeys(function for function in wanted if function))


def _planes(x: "Tensor", y: "Tensor") -> "Iterator[tuple[Channel, Tensor, Tensor]]":
    """Each channel of two images in float64, then the luminance: shape (B, H, W)."""
    import torch

    if x.shape[-1] == 1:
        yield "y", x[..., 0].double(), y[..., 0].double()
        return
    luminances = [
        torch.full(t.shape[:-1], LUMINANCE_OFFSET, device=t.device).double() for t in (x, y)
    ]
    for channel in range(x.shape[-1]):
        planes = [torch.empty_like(luminances[0]).copy_(t[..., channel]) for t in (x, y)]
        for total, plane in zip(luminances, planes, strict=True):
            total.add_(plane, alpha=LUMINANCE[channel])
        yield "rgb", planes[0], planes[1]
    yield "y", luminances[0], luminances[1]


def _mean(values: "Tensor", border: int) -> Values:
    """Mean of each image without its border; the sums do not depend on the number of threads."""
    height, width = values.shape[1:]
    inner = values[:, border : height - border, border : width - border]
    mean: Values = (inner.sum(2).sum(1) / inner[0].numel()).cpu().numpy()
    return mean
