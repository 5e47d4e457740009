"""FID and KID at their limits, and on features whose distances are worked out by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from irsde.files import InputError
from irsde.scoring import distributions
from irsde.scoring.distributions import (
    DistributionDistances,
    FeatureNetwork,
    _features,
    distribution_distances,
    frechet_distance,
    kernel_distances,
    moments,
)
from irsde.scoring.perceptual import full_precision, torch_cache


def test_the_warning_ends_at_two_thousand_images():
    few, many = (DistributionDistances(1.0, 1.0, None, n).warning for n in (1999, 2000))
    assert "FID of 1999 images is biased upwards (fewer than 2000)" in few
    assert many == ""


def test_only_the_published_weights_are_the_published_ones():
    assert FeatureNetwork("6726825d" + 56 * "0", "").is_published
    assert not FeatureNetwork("", "").is_published


def test_fid_of_two_images_each():
    """Means 1.5 and 2, sample variances 1/2 and 2: 1/4 + (sqrt 2 - sqrt 1/2)²."""
    x, y = np.array([[1.0], [2.0]]), np.array([[1.0], [3.0]])
    found = frechet_distance(moments(x), moments(y))
    assert found == pytest.approx(0.25 + (2**0.5 - 0.5**0.5) ** 2)
    assert moments(y).covariance.item() == pytest.approx(2)
    merged = moments(x).merged(moments(np.array([[4.0], [5.0], [9.0]])))
    assert (merged.count, merged.mean.item()) == (5, pytest.approx(4.2))
    assert merged.covariance.item() == pytest.approx(np.var([1, 2, 4, 5, 9], ddof=1))


@pytest.mark.parametrize(
    ("restored", "reference", "subsets", "size"),
    [(12, 12, 1, 12), (13, 12, 100, 12), (12, 13, 100, 12), (20, 20, 1, 20), (21, 21, 100, 20)],
)
def test_subsets_hold_at_most_their_size(restored, reference, subsets, size, monkeypatch):
    assert (distributions.SUBSET_SIZE, distributions.SUBSETS) == (1000, 100)
    monkeypatch.setattr(distributions, "SUBSET_SIZE", 20)
    asked = []

    def distances(x, y, *rest):
        asked.append((len(x), len(y), *rest[:2]))
        return np.array([1.0, 3.0])[: rest[0]]

    monkeypatch.setattr(distributions, "kernel_distances", distances)
    features = np.random.default_rng(0).normal(size=(21, 3)).astype(np.float32)
    found = distribution_distances(features[:restored], features[:reference], "set")
    assert asked == [(restored, reference, subsets, size)]
    assert found.images == min(restored, reference)
    assert (found.kid, found.kid_std) == ((2.0, 1.0) if subsets == 100 else (1.0, None))
    same = distribution_distances(features[:12], features[:12], "set")
    assert same.fid == pytest.approx(0, abs=1e-9)


def test_one_image_or_an_infinite_feature_is_refused():
    features = np.ones((3, 2), np.float32)
    for x, y in ((features[:1], features), (features, features[:1])):
        with pytest.raises(InputError, match="at least two images, not 1"):
            distribution_distances(x, y)
    bad = features.copy()
    bad[1, 1] = np.inf
    for x, y in ((bad, features), (features, bad)):
        with pytest.raises(InputError, match="not finite"):
            distribution_distances(x, y)
    with pytest.raises(InputError, match="no features"):
        moments([])


def test_subsets_are_drawn_without_replacement_from_the_seed():
    x = np.arange(6.0)[:, None]
    found = kernel_distances(x, x[:3], 2, 3, np.random.default_rng(0))
    generator = np.random.default_rng(0)
    for value in found:
        a = np.sort(generator.choice(6, 3, replace=False)).astype(float)
        b = np.sort(generator.choice(3, 3, replace=False)).astype(float)
        within = sum(
            sum((s[i] * s[j] + 1) ** 3 for i in range(3) for j in range(3) if i != j)
            for s in (a, b)
        )
        across = np.mean([(p * q + 1) ** 3 for p in a for q in b])
        assert value == pytest.approx(within / 6 - 2 * across)


def test_the_network_sees_channels_first_in_zero_to_one_image_by_image():
    seen = []

    class Network:
        def to(self, device):
            return self

        def __call__(self, images):
            seen.append(images.clone())
            return [images.mean((2, 3), keepdim=True)]

    images = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3)).astype(np.uint8)
    found = _features(Network())(images)
    np.testing.assert_allclose(found, images.mean((1, 2)) / 255, rtol=1e-5)
    assert [tuple(image.shape) for image in seen] == [(1, 3, 4, 5)] * 3
    np.testing.assert_allclose(seen[1][0, 2], images[1, :, :, 2] / 255, rtol=1e-6)


def test_where_torch_keeps_weights(monkeypatch, tmp_path):
    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    places = [torch_cache()]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    places.append(torch_cache())
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "t"))
    places.append(torch_cache())
    names = (".cache/torch", "x/torch", "t")
    assert places == [tmp_path / name / "hub/checkpoints" for name in names]


def test_convolutions_are_in_full_precision_and_always_the_same():
    flags = torch.backends.cudnn
    before = flags.deterministic, flags.allow_tf32
    with full_precision():
        assert (flags.enabled, flags.deterministic, flags.allow_tf32) == (True, True, False)
    assert (flags.deterministic, flags.allow_tf32) == before


def test_lpips_is_the_weighed_distance_of_unit_features():
    """A network of one layer that passes its input on, and a head that sums the channels."""
    from irsde.scoring.perceptual import _distances

    class Model:
        net = SimpleNamespace(slice1=lambda x: x, N_slices=1)
        lins = (lambda x: x.sum(1, keepdim=True),)

        def scaling_layer(self, x):
            return x

        def to(self, device):
            return self

    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand(2, 4, 5, 3, generator=generator).double() for _ in range(2))
    u, v = ((2 * image - 1) / (2 * image - 1).norm(dim=3, keepdim=True) for image in (a, b))
    expected = ((u - v) ** 2).sum(3).mean((1, 2))
    np.testing.assert_allclose(_distances(Model())(a, b), expected, rtol=1e-4)


def test_two_images_each_are_enough():
    """Means 1.5 and 2, variances 1/2 and 2; kernels 27 and 64 within, 8, 64, 27 and 343 across."""
    x, y = np.array([[1.0], [2.0]], np.float32), np.array([[1.0], [3.0]], np.float32)
    found = distribution_distances(x, y)
    assert found.fid == pytest.approx(0.25 + (2**0.5 - 0.5**0.5) ** 2)
    assert found.kid == pytest.approx(27 + 64 - 2 * (8 + 64 + 27 + 343) / 4)
    assert (found.kid_std, found.images) == (None, 2)
