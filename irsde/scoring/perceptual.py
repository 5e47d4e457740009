"""LPIPS of a batch of images, with the backbone weights that this machine has."""

import os
import pickle
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from irsde.files import InputError, digest_file, user_cache

if TYPE_CHECKING:
    from torch import Tensor

Distances = Callable[["Tensor", "Tensor"], "Tensor"]

VARIABLE = "IRSDE_LPIPS_WEIGHTS"


@dataclass(frozen=True)
class Backbone:
    """Network whose features LPIPS compares.

    Parameters
    ----------
    label : str
        Name in captions.
    cached : str
        File name of torchvision's ImageNet weights in torch's cache.
    array, shape : str, tuple of int
        Array that tells its weights from other networks'.
    smallest : int
        Shortest side of an image, in pixels, of which its last layer still leaves something.
    """

    label: str
    cached: str
    array: str
    shape: tuple[int, ...]
    smallest: int


BACKBONES: dict[str, Backbone] = {
    "alex": Backbone(
        "AlexNet", "alexnet-owt-7be5be79.pth", "features.0.weight", (64, 3, 11, 11), 31
    ),
    "vgg": Backbone("VGG", "vgg16-397923af.pth", "features.17.weight", (512, 256, 3, 3), 16),
    "squeeze": Backbone(
        "SqueezeNet", "squeezenet1_1-b8a52dc0.pth", "features.3.squeeze.weight", (16, 64, 1, 1), 17
    ),
}


def network_label(network: str | None) -> str:
    """Name of a network of LPIPS in tables and captions, given the one that a summary records."""
    if network in BACKBONES:
        return BACKBONES[network].label
    return network or "none"


@dataclass(frozen=True)
class PerceptualMetric:
    """LPIPS v0.1 with the weights on this machine, or why there are none.

    Parameters
    ----------
    network : str
        "alex", "vgg" or "squeeze"; empty without weights.
    label : str
        Name of the network in captions; empty without weights.
    sha256 : str
        Of the file of the backbone's weights; empty without weights.
    unavailable : str
        Reason for `n/a`; empty with weights.
    distances : callable, optional
        (restored, reference), float tensors (B, H, W, 3) in [0, 1] on one device, to a distance
        for each image, no side shorter than `smallest`.
    """

    network: str
    label: str
    sha256: str
    unavailable: str
    distances: Distances | None = None

    @property
    def smallest(self) -> int:
        """Shortest side of an image that has a distance, in pixels; 0 without weights."""
        return BACKBONES[self.network].smallest if self.network else 0


def perceptual_weights() -> Path | None:
    """File of the backbone's weights that `perceptual_metric` would use, None without one.

    The one that IRSDE_LPIPS_WEIGHTS names, whether or not it is there, or else one of torchvision's
    in torch's cache, AlexNet's first.
    """
    if named := os.environ.get(VARIABLE):
        return Path(named)
    for backbone in BACKBONES.values():
        if (path := torch_cache() / backbone.cached).is_file():
            return path
    return None


def torch_cache() -> Path:
    """Folder in which torch keeps downloaded weights."""
    return Path(os.environ.get("TORCH_HOME") or user_cache() / "torch") / "hub/checkpoints"


@lru_cache(maxsize=1)
def perceptual_metric() -> PerceptualMetric:
    """LPIPS with the weights of `perceptual_weights`; nothing is downloaded.

    The file holds a torchvision network as `.pth` (read without running code) or `.safetensors`,
    or SqueezeNet's features and LPIPS's linear heads as `.npz`. The network is told from the
    shapes. Linear heads that the file lacks are those of the lpips package, v0.1.

    Raises
    ------
    InputError
        If the file is absent, damaged, or does not hold the weights of one of `BACKBONES`.

    References
    ----------
    .. [1] Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric",
       CVPR 2018.
    """
    path = perceptual_weights()
    if path is None:
        reason = f"no LPIPS backbone weights on this machine: set {VARIABLE} or see docs/setup.md"
        return PerceptualMetric("", "", "", reason)
    weights = read_weights(path, VARIABLE)
    for network, backbone in BACKBONES.items():
        if backbone.array in weights and tuple(weights[backbone.array].shape) == backbone.shape:
            distances = _distances(_model(network, path, weights))
            return PerceptualMetric(network, backbone.label, digest_file(path), "", distances)
    raise InputError(
        f"{path} ({VARIABLE}): not the weights of AlexNet, VGG16 or SqueezeNet 1.1 under "
        "torchvision's names"
    )


@dataclass(frozen=True)
class Weights:
    """Weights that a metric needs.

    Parameters
    ----------
    variable : str
        Environment variable that names their file.
    file : callable
        The file that `load` would read, None without one; torch is not imported.
    load : callable
        What they are and compute, or why there are none.
    papers : str
        The paper's network: values of others are not comparable with published ones.
    """

    variable: str
    file: Callable[[], Path | None]
    load: Callable[[], PerceptualMetric]
    papers: str


LPIPS_WEIGHTS = Weights(VARIABLE, perceptual_weights, perceptual_metric, papers="alex")


@contextmanager
def full_precision() -> Iterator[None]:
    """Convolutions of a GPU in float32, not in the TF32 that torch allows by itself."""
    import torch

    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        yield


def read_weights(path: Path, variable: str) -> "dict[str, Tensor]":
    """Tensors of an npz, safetensors or torch file, by name; no code in the file is run.

    Raises
    ------
    InputError
        If the file is absent or cannot be read so; `variable`, which may have named it, is said.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    failures = (OSError, ValueError, RuntimeError, EOFError, KeyError, pickle.UnpicklingError,
                zipfile.BadZipFile, SafetensorError)  # fmt: skip
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return {name: torch.from_numpy(arrays[name]) for name in arrays}
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the old format that some published files have
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path} ({variable}): no such file") from None
    except failures as error:
        reason = type(error).__name__
        raise InputError(f"{path} ({variable}): cannot be read as weights ({reason})") from None
    if not isinstance(content, dict) or not all(map(torch.is_tensor, content.values())):
        raise InputError(f"{path} ({variable}): does not hold tensors by name")
    return dict(content)


def _model(network: str, path: Path, weights: "dict[str, Tensor]") -> Any:
    """LPIPS model of the lpips package with the backbone's weights, every one of them."""
    import torch

    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # torchvision's notices about how lpips calls it
        import lpips

        model = lpips.LPIPS(net=network, verbose=False, pnet_rand=True).eval()
    wanted = {
        "features." + name.split(".", 1)[1]: parameter
        for name, parameter in model.net.named_parameters()
    }
    heads = {f"lin{k}.model.1.weight": head.model[1].weight for k, head in enumerate(model.lins)}
    if heads.keys() & weights.keys():
        wanted |= heads
    missing = [
        name
        for name, parameter in wanted.items()
        if name not in weights or weights[name].shape != parameter.shape
    ]
    if missing:
        raise InputError(
            f"{path}: lacks {len(missing)} arrays of {network}, the first {missing[0]}"
        )
    for name, parameter in wanted.items():
        parameter.data.copy_(weights[name])
    return model


def _distances(model: Any) -> Distances:
    import lpips
    import torch

    layers = [getattr(model.net, f"slice{k + 1}") for k in range(model.net.N_slices)]

    def distances(restored: "Tensor", reference: "Tensor") -> "Tensor":
        model.to(reference.device)
        with torch.inference_mode(), full_precision():
            return of_batch(restored, reference)

    def of_batch(restored: "Tensor", reference: "Tensor") -> "Tensor":
        a, b = (
            model.scaling_layer(2 * image.permute(0, 3, 1, 2).contiguous().float() - 1)
            for image in (restored, reference)
        )
        total = torch.zeros(len(a), device=a.device)
        for layer, head in zip(layers, model.lins, strict=True):
            a, b = layer(a), layer(b)
            difference = lpips.normalize_tensor(a).sub_(lpips.normalize_tensor(b)).square_()
            total += head(difference).mean((1, 2, 3))
            del difference
        return total

    return distances
