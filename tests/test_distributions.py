"""FID and KID: closed forms, independent formulas, and the whole chain with random weights."""

import itertools
import warnings

import numpy as np
import pytest
import torch
from scipy import linalg

from irsde.files import InputError, digest_file
from irsde.scoring.distributions import (
    CACHED,
    SUBSETS,
    distribution_distances,
    feature_network,
    frechet_distance,
    inception_weights,
    kernel_distances,
    moments,
)


@pytest.fixture(autouse=True)
def no_weights(monkeypatch, tmp_path):
    """No weights but those that a test names."""
    monkeypatch.delenv("IRSDE_INCEPTION_WEIGHTS", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    feature_network.cache_clear()
    yield
    feature_network.cache_clear()


def features(count, size=6, seed=0, offset=0.0):
    """Features with correlated entries, as float32."""
    generator = np.random.default_rng(seed)
    mixing = generator.normal(size=(size, size))
    values = generator.normal(size=(count, size)) @ mixing + generator.normal(size=size) + offset
    return values.astype(np.float32)


@pytest.mark.parametrize(("count", "size"), [(50, 6), (4, 6), (7, 6)])
def test_moments_in_blocks_are_those_of_all_at_once(count, size):
    x = features(count, size)
    exact = x.astype(np.float64)
    for cuts in ([], [3], [1, 2], [2, 3]):
        found = moments(np.split(x, cuts))
        assert found.count == count
        np.testing.assert_allclose(found.mean, exact.mean(0), rtol=1e-12)
        np.testing.assert_allclose(found.covariance, np.cov(exact.T), rtol=1e-10, atol=1e-12)


def test_moments_do_not_depend_on_the_order_of_merging_and_stay_small():
    parts = [moments(block) for block in np.split(features(60), [5, 25, 31])]
    found = []
    for order in itertools.permutations(parts):
        total = order[0]
        for part in order[1:]:
            total = total.merged(part)
        assert len(total.factor) == 6
        found.append(total)
    for other in found[1:]:
        np.testing.assert_allclose(other.mean, found[0].mean, rtol=1e-12)
        np.testing.assert_allclose(other.covariance, found[0].covariance, rtol=1e-10)


def test_moments_far_from_zero_keep_their_digits():
    steps = np.arange(64, dtype=np.float64).reshape(-1, 1) % 8
    far = moments(np.split(steps + 1e8, 16))
    assert far.covariance.item() == pytest.approx(np.var(steps, ddof=1), rel=1e-7)


@pytest.mark.parametrize("count", [4, 50])
def test_frechet_distance_of_stretched_and_shifted_features_has_a_closed_form(count):
    x = features(count).astype(np.float64)
    shift = np.arange(6)
    expected = np.square(x.mean(0) - (3 * x + shift).mean(0)).sum() + 4 * np.trace(np.cov(x.T))
    assert frechet_distance(moments(x), moments(3 * x + shift)) == pytest.approx(expected)
    assert frechet_distance(moments(x), moments(x[::-1])) == pytest.approx(0, abs=1e-10)


def test_frechet_distance_equals_the_formula_with_the_root_of_a_matrix():
    x, y = features(40, 6, seed=0), features(90, 6, seed=1)
    a, b = np.cov(x.T.astype(float)), np.cov(y.T.astype(float))
    difference = x.astype(float).mean(0) - y.astype(float).mean(0)
    root = linalg.sqrtm(a @ b).real
    expected = difference @ difference + np.trace(a + b - 2 * root)
    assert frechet_distance(moments(x), moments(y)) == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(moments(y), moments(x)) == pytest.approx(expected, rel=1e-8)


def test_kernel_distance_equals_the_sums_written_out():
    x, y = features(5, 3, seed=0), features(5, 3, seed=1)

    def kernel(p, q):
        return (np.dot(p.astype(float), q.astype(float)) / 3 + 1) ** 3

    within = sum(kernel(z[i], z[j]) for z in (x, y) for i in range(5) for j in range(5) if i != j)
    between = sum(kernel(p, q) for p in x for q in y)
    expected = within / 20 - 2 * between / 25
    [found] = kernel_distances(x, y, 1, 5, np.random.default_rng(0))
    assert found == pytest.approx(expected, rel=1e-10)


def test_kernel_distance_of_equal_distributions_is_zero_on_average():
    generator = np.random.default_rng(0)
    found = [
        kernel_distances(*generator.normal(size=(2, 20, 4)), 1, 20, generator)[0]
        for _ in range(400)
    ]
    error = np.std(found) / 20
    assert abs(np.mean(found)) < 3 * error
    [shifted] = kernel_distances(
        generator.normal(size=(50, 4)), generator.normal(1, size=(50, 4)), 1, 50, generator
    )
    assert shifted > 20 * error


def test_subsets_of_kid_depend_on_the_names_alone():
    x, y = features(40, 6, seed=0), features(60, 6, seed=1)
    found = distribution_distances(x, y, "dehazing", "sots-indoor")
    assert found == distribution_distances(x, y, "dehazing", "sots-indoor")
    assert found.kid != distribution_distances(x, y, "dehazing", "other").kid
    assert found.images == 40
    expected = kernel_distances(x, y, SUBSETS * 10, 40, np.random.default_rng(0))
    assert found.kid == pytest.approx(expected.mean(), abs=4 * found.kid_std / SUBSETS**0.5)
    assert found.kid_std == pytest.approx(expected.std(), rel=0.3)


def test_kid_of_all_images_has_no_spread_over_subsets():
    x, y = features(40, 6, seed=0), features(40, 6, seed=1)
    found = distribution_distances(x, y, "a")
    assert found.kid_std is None
    assert found == distribution_distances(x, y, "b")


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory):
    """File of random weights of pytorch-fid's Inception network, and that network."""
    import torchvision
    from pytorch_fid import inception

    with (
        pytest.MonkeyPatch.context() as patch,
        warnings.catch_warnings(),
        torch.random.fork_rng(),
    ):
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        patch.setattr(inception, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(torchvision.models.Inception3, "load_state_dict", lambda *_: None)
        network = inception.fid_inception_v3().eval()
        for parameter in network.parameters():
            if parameter.ndim == 4:
                torch.nn.init.kaiming_normal_(parameter)
        patch.setattr(inception, "fid_inception_v3", lambda: network)
        extractor = inception.InceptionV3().eval()
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    torch.save(network.state_dict(), path)
    return path, extractor


def test_the_whole_chain_equals_pytorch_fids_network(random_weights, monkeypatch):
    path, extractor = random_weights

    def refused(*_, **__):
        raise AssertionError("a download was tried")

    monkeypatch.setattr("pytorch_fid.inception.load_state_dict_from_url", refused)
    monkeypatch.setenv("IRSDE_INCEPTION_WEIGHTS", str(path))
    network = feature_network()
    assert network.unavailable == ""
    assert network.sha256 == digest_file(path)
    assert not network.is_published
    images = np.random.default_rng(0).integers(0, 256, (4, 40, 52, 3), dtype=np.uint8)
    found = network.features(images, "cpu")
    with torch.inference_mode():
        inputs = torch.tensor(images).permute(0, 3, 1, 2) / 255
        expected = extractor(inputs)[0].flatten(1).numpy()
    assert found.shape == (4, 2048)
    assert found.std(axis=0).mean() > 1e-3 * found.mean()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * expected.max())
    np.testing.assert_array_equal(network.features(images[2:3], "cpu"), found[2:3])
    same = distribution_distances(found, found, "set")
    assert same.fid == pytest.approx(0, abs=1e-6 * float(np.square(found).sum()))
    other = distribution_distances(network.features(images // 2, "cpu"), found, "set")
    assert other.fid > 1e3 * abs(same.fid)
    assert other.kid > same.kid


def test_without_weights_the_reason_is_told(tmp_path):
    network = feature_network()
    assert network.features is None
    assert "IRSDE_INCEPTION_WEIGHTS" in network.unavailable
    assert inception_weights() is None
    cached = tmp_path / "torch/hub/checkpoints" / CACHED
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"")
    assert inception_weights() == cached


def test_weights_that_are_not_inceptions_are_refused(tmp_path, monkeypatch):
    wrong, text = tmp_path / "wrong.pth", tmp_path / "text.pth"
    torch.save({"fc.weight": torch.zeros(2, 2)}, wrong)
    text.write_text("no weights")
    cases = {
        wrong: "not the weights of pytorch-fid's Inception",
        text: "cannot be read as weights",
        tmp_path / "absent.pth": "no such file",
    }
    for path, words in cases.items():
        monkeypatch.setenv("IRSDE_INCEPTION_WEIGHTS", str(path))
        feature_network.cache_clear()
        with pytest.raises(InputError, match=words) as error:
            feature_network()
        assert "\n" not in str(error.value)
