"""FID and KID: how far the restored images of a set are, as a whole, from the clean ones.

Features are arrays with one row for each image. They can be computed anywhere, in any order and by
several processes; put in order of the images' names, they give the same distances to the last bit.
"""

import os
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from irsde.files import InputError, digest_file
from irsde.scoring.metrics import Quantity
from irsde.scoring.perceptual import full_precision, read_weights, torch_cache
from irsde.seeds import numpy_generator

if TYPE_CHECKING:
    from torch import Tensor, nn

Pixels = NDArray[np.uint8]
Features = NDArray[np.float32]
Values = NDArray[np.float64]

VARIABLE = "IRSDE_INCEPTION_WEIGHTS"
CACHED = "pt_inception-2015-12-05-6726825d.pth"
PUBLISHED = "6726825d"  # how the SHA-256 of that file begins
FEW_IMAGES = 2000
SUBSETS = 100
SUBSET_SIZE = 1000
BLOCK = 1024  # features taken to float64 at a time

DISTANCES = {
    "fid": Quantity(label="FID", higher_is_better=False, decimals=2, near=0.1),
    "kid": Quantity(label="KID", higher_is_better=False, decimals=4),
}


@dataclass(frozen=True)
class FeatureNetwork:
    """Inception network of pytorch-fid with the weights on this machine, or why there are none.

    Parameters
    ----------
    sha256 : str
        Of the file of weights; empty without weights.
    unavailable : str
        Reason for `n/a`; empty with weights.
    features : callable, optional
        (images of shape (B, H, W, 3) as uint8, torch device) to features of shape (B, 2048). On a
        CPU images are taken one by one, so that a value does not depend on what else is in the
        batch.
    """

    sha256: str
    unavailable: str
    features: Callable[[Pixels, str], Features] | None = None

    @property
    def is_published(self) -> bool:
        """Whether the weights are those that FID means; distances by others have another name."""
        return self.sha256.startswith(PUBLISHED)


@dataclass(frozen=True)
class DistributionDistances:
    """Distances between the features of the restored and of the clean images of a set.

    Parameters
    ----------
    fid : float
        Fréchet distance of the normal distributions with the features' means and covariances.
    kid : float
        Squared maximum mean discrepancy, unbiased and therefore sometimes below 0: the mean over
        the subsets.
    kid_std : float or None
        Standard deviation over the subsets; None where all images are in every subset.
    images : int
        The smaller number of images.
    """

    fid: float
    kid: float
    kid_std: float | None
    images: int

    @property
    def warning(self) -> str:
        """What to say beside the numbers of a small set; empty for a large one."""
        if self.images >= FEW_IMAGES:
            return ""
        return (
            f"FID of {self.images} images is biased upwards (fewer than {FEW_IMAGES}): it compares "
            "methods on the same images only; KID is unbiased"
        )


@lru_cache(maxsize=1)
def feature_network() -> FeatureNetwork:
    """The Inception network by which pytorch-fid computes FID; nothing is downloaded.

    Weights are the file that IRSDE_INCEPTION_WEIGHTS names, or else pytorch-fid's own in torch's
    cache. A file is read without running code in it.

    Raises
    ------
    InputError
        If the named file is absent, damaged, or does not hold the weights of that network.

    References
    ----------
    .. [1] Seitzer, "pytorch-fid: FID score for PyTorch", version 0.3.0, 2020: what the authors of
       IR-SDE use (issue 144 of their repository).
    """
    path = inception_weights()
    if path is None:
        return FeatureNetwork(
            "", f"no Inception weights on this machine: set {VARIABLE} or see docs/setup.md"
        )
    network = _inception(path, read_weights(path, VARIABLE))
    return FeatureNetwork(digest_file(path), "", _features(network))


def inception_weights() -> Path | None:
    """File of the weights that `feature_network` would use, None without one."""
    if named := os.environ.get(VARIABLE):
        return Path(named)
    cached = torch_cache() / CACHED
    return cached if cached.is_file() else None


def _inception(path: Path, weights: "dict[str, Tensor]") -> "nn.Module":
    import torch

    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # torchvision's notices about how pytorch-fid calls it
        from pytorch_fid import inception

        download = inception.load_state_dict_from_url
        # Its own would download, and run pickled code.
        inception.load_state_dict_from_url = lambda *_, **__: weights
        try:
            network: nn.Module = inception.InceptionV3().eval()
        except RuntimeError:
            raise InputError(
                f"{path} ({VARIABLE}): not the weights of pytorch-fid's Inception network"
            ) from None
        finally:
            inception.load_state_dict_from_url = download
    return network


def _features(network: "nn.Module") -> Callable[[Pixels, str], Features]:
    import torch

    def features(images: Pixels, device: str = "cpu") -> Features:
        network.to(device)
        inputs = torch.tensor(np.ascontiguousarray(images)).permute(0, 3, 1, 2)
        size = 1 if torch.device(device).type == "cpu" else len(inputs)
        with torch.inference_mode(), full_precision():
            parts = [
                network(inputs[k : k + size].to(device).float() / 255)[0].flatten(1)
                for k in range(0, len(inputs), size)
            ]
        computed: Features = torch.cat(parts).cpu().numpy()
        return computed

    return features


def distribution_distances(
    restored: Features, reference: Features, *names: str | int
) -> DistributionDistances:
    """FID and KID of features.

    Parameters
    ----------
    restored, reference : ndarray, shapes (N, D) and (M, D)
        Features of the restored and of the clean images, at least two each, in an order that does
        not depend on how they were computed.
    *names : str or int
        What the comparison is of, such as the data set: the seed of KID's subsets.

    Raises
    ------
    InputError
        If there are fewer than two images, or a feature is not finite.
    """
    count = min(len(restored), len(reference))
    if count < 2:
        raise InputError(f"FID and KID need at least two images, not {count}")
    if not (np.isfinite(restored).all() and np.isfinite(reference).all()):
        raise InputError("FID and KID: a feature is not finite; is an image damaged?")
    size = min(count, SUBSET_SIZE)
    subsets = SUBSETS if size < max(len(restored), len(reference)) else 1
    generator = numpy_generator("kid", *names)
    values = kernel_distances(restored, reference, subsets, size, generator)
    return DistributionDistances(
        fid=frechet_distance(moments(restored), moments(reference)),
        kid=float(values.mean()),
        kid_std=float(values.std()) if subsets > 1 else None,
        images=count,
    )


@dataclass(frozen=True)
class Moments:
    """Count, mean and spread of features.

    Parameters
    ----------
    count : int
    mean : Tensor of float64, shape (D,)
    factor : Tensor of float64, shape (K, D)
        Its product with itself, ``factor.T @ factor``, is the sum of the outer products of the
        features' deviations from their mean. K is at most D once the rows were compressed.
    """

    count: int
    mean: "Tensor"
    factor: "Tensor"

    @property
    def covariance(self) -> "Tensor":
        """Sample covariance, divided by the count less one."""
        return self.factor.T @ self.factor / (self.count - 1)

    def merged(self, other: "Moments") -> "Moments":
        """Moments of both sets of features together.

        References
        ----------
        .. [1] Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing
           sample variances", COMPSTAT 1982.
        """
        import torch

        count = self.count + other.count
        step = other.mean - self.mean
        between = step * (self.count * other.count / count) ** 0.5
        factor = torch.cat([self.factor, other.factor, between[None]])
        if len(factor) > len(step):
            factor = torch.linalg.qr(factor, mode="r").R
        return Moments(count, self.mean + step * (other.count / count), factor)


def moments(features: Features | Iterable[Features]) -> Moments:
    """Moments of features of shape (N, D), or of blocks of them, in float64, block by block.

    Raises
    ------
    InputError
        If there are no features.
    """
    import torch

    blocks = features
    if isinstance(features, np.ndarray):
        blocks = (features[k : k + BLOCK] for k in range(0, len(features), BLOCK))
    merged: Moments | None = None
    for block in blocks:
        values = torch.from_numpy(np.array(block, dtype=np.float64))
        mean = values.mean(0)
        part = Moments(len(values), mean, values - mean)
        merged = part if merged is None else merged.merged(part)
    if merged is None:
        raise InputError("moments of no features at all")
    return merged


def frechet_distance(a: Moments, b: Moments) -> float:
    """Fréchet distance of the normal distributions with the given moments.

    ``|m_a - m_b|² + tr(A + B - 2 (A B)^½)`` for covariances A = F'F and B = G'G, where the trace
    of the root is the sum of the singular values of FG'. That needs no root of a matrix, which is
    singular where there are fewer images than features, and takes no time for few images.

    References
    ----------
    .. [1] Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash
       equilibrium", NeurIPS 2017.
    """
    import torch

    f, g = (m.factor / (m.count - 1) ** 0.5 for m in (a, b))
    roots = torch.linalg.svdvals(f @ g.T).sum()
    return float((a.mean - b.mean).square().sum() + f.square().sum() + g.square().sum() - 2 * roots)


def kernel_distances(
    x: Features, y: Features, subsets: int, size: int, generator: np.random.Generator
) -> Values:
    """Unbiased squared maximum mean discrepancy of random subsets, with KID's cubic kernel.

    Parameters
    ----------
    x, y : ndarray, shapes (N, D) and (M, D)
    subsets : int
        Number of pairs of subsets.
    size : int
        Images in each, drawn without replacement.
    generator : numpy.random.Generator

    Returns
    -------
    ndarray, shape (subsets,)

    References
    ----------
    .. [1] Binkowski et al., "Demystifying MMD GANs", ICLR 2018: kernel ``(x·y / D + 1)³``.
    """
    import torch

    distances = []
    for _ in range(subsets):
        a, b = (
            torch.tensor(
                features[np.sort(generator.choice(len(features), size, replace=False))],
                dtype=torch.float64,
            )
            for features in (x, y)
        )
        within = sum(kernel.sum() - kernel.trace() for kernel in (_kernel(a, a), _kernel(b, b)))
        distances.append(float(within / (size * (size - 1)) - 2 * _kernel(a, b).mean()))
    return np.array(distances)


def _kernel(x: "Tensor", y: "Tensor") -> "Tensor":
    return (x @ y.T / x.shape[1] + 1) ** 3
