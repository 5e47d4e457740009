"""Metrics of one image, with their direction, unit and decimals."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irsde.files import InputError

Pixels = NDArray[np.uint8]
Values = NDArray[np.float64]

LPIPS_VARIABLE = "IRSDE_LPIPS_WEIGHTS"


@dataclass(frozen=True)
class Metric:
    """A metric of a restored image.

    Parameters
    ----------
    label : str
        Name in tables and figures, with its unit.
    higher_is_better : bool
    decimals : int
        Digits after the point in tables.
    """

    label: str
    higher_is_better: bool
    decimals: int


METRICS: dict[str, Metric] = {
    "psnr": Metric("PSNR (dB)", higher_is_better=True, decimals=2),
    "ssim": Metric("SSIM", higher_is_better=True, decimals=4),
    "psnr_y": Metric("PSNR-Y (dB)", higher_is_better=True, decimals=2),
    "ssim_y": Metric("SSIM-Y", higher_is_better=True, decimals=4),
    "lpips": Metric("LPIPS", higher_is_better=False, decimals=4),
}


def luminance(pixels: NDArray[Any]) -> Values:
    """MATLAB's Y of 8-bit RGB: ``(65.481 R + 128.553 G + 24.966 B) / 255 + 16``, not rounded."""
    weights: Values = np.array([65.481, 128.553, 24.966])
    weighted: Values = pixels.astype(np.float64) @ weights
    return weighted / 255 + 16


def psnr(restored: NDArray[Any], reference: NDArray[Any]) -> float:
    """Peak signal-to-noise ratio in dB for a peak of 255, over all pixels and channels.

    Identical images give infinity.
    """
    from skimage.metrics import peak_signal_noise_ratio

    a, b = restored.astype(np.float64), reference.astype(np.float64)
    if np.array_equal(a, b):
        return float("inf")
    return float(peak_signal_noise_ratio(b, a, data_range=255))


def ssim(restored: NDArray[Any], reference: NDArray[Any]) -> float:
    """Structural similarity with an 11x11 Gaussian window of 1.5, over the valid region.

    Biased covariances and the mean over channels, as Wang et al. and the authors' code have it.

    Raises
    ------
    InputError
        If the image is smaller than the window.
    """
    from skimage.metrics import structural_similarity

    if min(reference.shape[:2]) < 11:
        raise InputError(f"SSIM needs at least 11x11 pixels, not {reference.shape[:2]}")
    return float(
        structural_similarity(
            restored.astype(np.float64),
            reference.astype(np.float64),
            data_range=255,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            channel_axis=-1 if reference.ndim == 3 else None,
        )
    )


@dataclass(frozen=True)
class PerceptualMetric:
    """LPIPS with the weights at hand, or the reason why there is none.

    Parameters
    ----------
    network : str
        "alex" or "squeeze"; empty without weights.
    unavailable : str
        Reason for `n/a`; empty with weights.
    distance : callable, optional
        (restored, reference) as float images in [0, 1] of shape (H, W, 3) -> distance.
    """

    network: str
    unavailable: str
    distance: "Callable[[NDArray[Any], NDArray[Any]], float] | None" = None


@lru_cache(maxsize=1)
def perceptual_metric() -> PerceptualMetric:
    """LPIPS from the weights that this machine has; nothing is downloaded.

    The environment variable IRSDE_LPIPS_WEIGHTS names an npz file of SqueezeNet's and LPIPS's
    weights; without it AlexNet's weights are looked for in torch's cache. The paper's network is
    AlexNet, so values of SqueezeNet compare with each other only.

    Raises
    ------
    InputError
        If the named file is absent or does not hold the weights.
    """
    network = perceptual_network()
    if network == "squeeze":
        return PerceptualMetric(network, "", _squeeze(Path(os.environ[LPIPS_VARIABLE])))
    if network == "alex":
        return PerceptualMetric(network, "", _lpips_distance(network, None))
    return PerceptualMetric(
        "", f"no LPIPS backbone weights on this machine: set {LPIPS_VARIABLE} or see the README"
    )


def perceptual_network() -> str:
    """Network that `perceptual_metric` would use here, "" if none, without loading it."""
    if os.environ.get(LPIPS_VARIABLE):
        return "squeeze"
    user_cache = os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")
    cache = Path(os.environ.get("TORCH_HOME", Path(user_cache) / "torch"))
    return "alex" if (cache / "hub/checkpoints/alexnet-owt-7be5be79.pth").is_file() else ""


def _squeeze(path: Path) -> "Callable[[NDArray[Any], NDArray[Any]], float]":
    try:
        with np.load(path, allow_pickle=False) as arrays:
            weights = {key: arrays[key] for key in arrays}
    except (OSError, ValueError) as error:
        raise InputError(f"{path} ({LPIPS_VARIABLE}): not a readable npz file ({error})") from None
    return _lpips_distance("squeeze", (path, weights))


def _lpips_distance(
    network: str, source: "tuple[Path, dict[str, NDArray[Any]]] | None"
) -> "Callable[[NDArray[Any], NDArray[Any]], float]":
    import warnings

    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision's notices about how lpips calls it
        import lpips

        model = lpips.LPIPS(
            net=network, verbose=False, pnet_rand=source is not None, lpips=True
        ).eval()
    if source is not None:
        path, weights = source
        _load_squeeze(model, path, {k: torch.from_numpy(v) for k, v in weights.items()})

    def distance(restored: NDArray[Any], reference: NDArray[Any]) -> float:
        with torch.inference_mode():
            a, b = (
                torch.from_numpy(
                    np.ascontiguousarray(image.transpose(2, 0, 1)[None], dtype=np.float32)
                )
                for image in (restored, reference)
            )
            return float(model(a, b, normalize=True))

    return distance


def _load_squeeze(model: Any, path: Path, weights: dict[str, Any]) -> None:
    """Put SqueezeNet features and linear heads into an lpips model, every one of them."""
    missing = []
    for name, parameter in model.net.named_parameters():
        key = "features." + name.split(".", 1)[1]
        if key in weights and weights[key].shape == parameter.shape:
            parameter.data.copy_(weights[key])
        else:
            missing.append(key)
    for index, head in enumerate(model.lins):
        key = f"lin{index}.model.1.weight"
        if key in weights:
            head.model[1].weight.data.copy_(weights[key])
        else:
            missing.append(key)
    if missing:
        raise InputError(
            f"{path} ({LPIPS_VARIABLE}): lacks {len(missing)} arrays, the first {missing[0]}"
        )
