"""Metrics against independent values, protocols, LPIPS."""

import math
import warnings
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file
from skimage.metrics import structural_similarity
from torch.nn import functional
from typer.testing import CliRunner

from irsde.cli import app
from irsde.files import InputError, digest_file, read_json
from irsde.images import read_image, to_float, to_pixels, write_image
from irsde.scoring.metrics import METRICS, Metric, fidelity
from irsde.scoring.perceptual import BACKBONES, network_label, perceptual_metric
from irsde.scoring.pixels import WINDOWS, psnr, rounded_luminance
from irsde.scoring.protocols import PROTOCOLS, Protocol, score_images, score_protocols
from irsde.scoring.score import score
from tests.reference import DATA, REFERENCE, needs_data, needs_reference

LPIPS = REFERENCE.parent / "weights"
FIDELITY = ("psnr", "ssim", "psnr_y", "ssim_y")
WITHOUT_WEIGHTS = (*FIDELITY, "haarpsi")
GAUSSIAN = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
SKIMAGE = {"gaussian": GAUSSIAN, "uniform": {}}


@pytest.fixture(autouse=True)
def no_weights(monkeypatch, tmp_path):
    """No weights but those that a test names."""
    monkeypatch.delenv("IRSDE_LPIPS_WEIGHTS", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    perceptual_metric.cache_clear()
    yield
    perceptual_metric.cache_clear()


def pictures(seed=0, size=(24, 20)):
    generator = np.random.default_rng(seed)
    return [generator.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in "ab"]


def unrounded(seed=0, size=(24, 20)):
    """A restored image beyond [0, 1] in places, and a clean one like it."""
    clean = pictures(seed, size)[0]
    noise = np.random.default_rng(seed + 1).normal(0, 0.1, clean.shape)
    return (to_float(clean) + noise).astype(np.float32), clean


def similarity(a, b, window="gaussian"):
    """SSIM as scikit-image computes it."""
    axis = -1 if a.ndim == 3 else None
    a, b = a.astype(np.float64), b.astype(np.float64)
    options = SKIMAGE[window]
    return structural_similarity(a, b, data_range=255, channel_axis=axis, **options)


def luminance(pixels):
    """MATLAB's Y of 8-bit RGB, not rounded, whose weights BT.601 has."""
    return pixels.astype(np.float64) @ [65.481, 128.553, 24.966] / 255 + 16


def scored(restored, clean, protocol):
    """All metrics of one image under a protocol of `PROTOCOLS`."""
    return score(["image"], restored[None], clean[None], protocol)[0].values


def measured(a, b, window="gaussian", border=0):
    """`fidelity` of one pair of arrays of shape (H, W, C)."""
    pair = (torch.tensor(image[None]) for image in (a, b))
    scores = fidelity(*pair, WINDOWS[window], [border])[border]
    return {name: values.item() for name, values in scores.items()}


@given(offset=st.integers(1, 100))
@settings(max_examples=10, deadline=None)
def test_a_constant_offset_has_a_known_psnr(offset):
    reference = np.full((12, 12, 3), 50, dtype=np.uint8)
    restored = reference + np.uint8(offset)
    expected = 20 * math.log10(255 / offset)
    assert math.isclose(psnr(restored, reference), expected, rel_tol=1e-12)
    assert math.isclose(measured(restored, reference)["psnr"], expected, rel_tol=1e-12)


def test_identical_images_have_infinite_psnr_and_ssim_one_under_every_protocol():
    a, _ = pictures()
    assert psnr(a, a) == math.inf
    for scores in score_protocols(to_float(a)[None], a[None])[0].values():
        assert scores == {"psnr": math.inf, "ssim": 1, "psnr_y": math.inf, "ssim_y": 1}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_level_equals_itself_without_rounding(dtype):
    levels = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    image = to_float(levels) if dtype == np.float32 else levels / 255
    assert scored(image[0], levels[0], "unrounded")["psnr"] == math.inf
    near = (image - dtype(1e-6)).clip(0)
    assert 100 < scored(near[0], levels[0], "unrounded")["psnr"] < 130


def test_metrics_are_symmetric():
    a, b = pictures()
    assert psnr(a, b) == psnr(b, a)
    assert measured(a, b) == pytest.approx(measured(b, a), rel=1e-12)


@pytest.mark.parametrize("window", WINDOWS)
@given(
    height=st.integers(11, 100), width=st.integers(11, 60), border=st.integers(0, 14),
    seed=st.integers(0, 9), color=st.booleans(),
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_psnr_and_ssim_equal_scikit_images(window, height, width, border, seed, color):
    if min(height, width) - 2 * border < 11:
        border = 0
    a, b = pictures(seed, (height, width))
    b = (0.7 * a + 0.3 * b).astype(np.float64)  # alike, and not whole numbers
    inner = np.s_[border : height - border, border : width - border]
    scores = measured(a if color else a[..., :1], b if color else b[..., :1], window, border)
    a, b = a[inner], b[inner]
    if not color:
        expected = [psnr(a[..., 0], b[..., 0]), similarity(a[..., 0], b[..., 0], window)]
        assert list(scores.values()) == pytest.approx(expected, abs=1e-9)
        return
    pair = luminance(a), luminance(b)
    expected = [psnr(a, b), similarity(a, b, window), psnr(*pair), similarity(*pair, window)]
    assert [scores[name] for name in FIDELITY] == pytest.approx(expected, abs=1e-9)


def test_an_image_scores_the_same_alone_and_in_a_batch():
    """SSIM is of strips of 32 rows: here three, the last of 3 rows."""
    pairs = [unrounded(seed, (77, 37)) for seed in range(4)]
    batch = score_protocols(*(np.stack(images) for images in zip(*pairs, strict=True)))
    assert batch == [score_protocols(a[None], b[None])[0] for a, b in pairs]


def test_rounded_luminance_is_exact_and_rounds_ties_up():
    ties = [(0, 204, 68), (1, 173, 225), (2, 44, 141), (5, 65, 25), (254, 82, 30), (255, 51, 187)]
    others = np.random.default_rng(0).integers(0, 256, (500, 3)).tolist()
    colors = np.array(ties + others, dtype=np.uint8)
    weights = [Fraction(weight, 255_000) for weight in (65481, 128553, 24966)]
    exact = [16 + sum(w * int(v) for w, v in zip(weights, color, strict=True)) for color in colors]
    assert {y % 1 for y in exact[: len(ties)]} == {Fraction(1, 2)}
    expected = [math.floor(y + Fraction(1, 2)) for y in exact]
    assert rounded_luminance(torch.tensor(colors))[:, 0].tolist() == expected


def test_images_are_rounded_half_to_even_and_clipped():
    values = np.array([-1, 0.5 / 255, 1.5 / 255, 2.5 / 255, 2], dtype=np.float64)
    assert to_pixels(values).tolist() == [0, 0, 2, 2, 255]


def by_definition(restored, clean, protocol):
    """PSNR and SSIM of one image under a protocol, written out with NumPy and scikit-image."""
    a = to_pixels(restored) if protocol.rounded else 255 * np.clip(restored.astype(float), 0, 1)
    if protocol.truncated:
        a = np.uint8(255 * np.clip(restored.astype(float), 0, 1))
    cut = protocol.border
    a, b = (image[cut : len(image) - cut, cut : image.shape[1] - cut] for image in (a, clean))
    ya, yb = luminance(a), luminance(b)
    if protocol.luminance == "matlab-rounded":
        ya, yb = np.floor(ya + 0.5), np.floor(yb + 0.5)
    if protocol.luminance == "full-range":
        ya, yb = (image @ [0.299, 0.587, 0.114] for image in (a, b))
    return {
        "psnr": psnr(a, b),
        "ssim": similarity(a, b, protocol.window),
        "psnr_y": psnr(ya, yb),
        "ssim_y": similarity(ya, yb, protocol.window),
    }


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_scores_as_it_says(name):
    restored, clean = unrounded(size=(50, 61))
    expected = by_definition(restored, clean, PROTOCOLS[name])
    scores = scored(restored, clean, name)
    assert {key: scores[key] for key in FIDELITY} == pytest.approx(expected, abs=1e-9)
    assert score_protocols(restored[None], clean[None])[0][name] == pytest.approx(
        expected, abs=1e-9
    )


def test_protocols_differ_where_they_say():
    restored, clean = unrounded(size=(50, 61))
    scores = score_protocols(restored[None], clean[None])[0]
    differing = {
        ("rgb", "y"): (), ("rgb", "authors"): FIDELITY, ("authors", "sr"): (),
        ("rgb", "matlab-y"): ("psnr_y", "ssim_y"), ("rgb", "unrounded"): FIDELITY,
        ("rgb", "skimage-default"): ("ssim", "ssim_y"),
        ("rgb", "full-range-y"): ("psnr_y", "ssim_y"),
    }  # fmt: skip
    for (a, b), expected in differing.items():
        found = [key for key in FIDELITY if scores[a][key] != scores[b][key]]
        assert found == list(expected), (a, b)
    headlines = {name: protocol.headline[0] for name, protocol in PROTOCOLS.items()}
    assert {name for name, key in headlines.items() if key == "psnr_y"} == {
        "y", "matlab-y", "sr", "full-range-y", "truncated-y",
    }  # fmt: skip


def test_full_range_luminance_is_pillows_and_lies_below_matlabs_by_a_constant():
    restored, clean = unrounded(size=(50, 61))
    scores = score_protocols(restored[None], clean[None])[0]
    below = scores["y"]["psnr_y"] - scores["full-range-y"]["psnr_y"]
    assert below == pytest.approx(20 * math.log10(255 / 219), abs=1e-9)
    pillows = [Image.fromarray(image).convert("L") for image in (to_pixels(restored), clean)]
    expected = psnr(*(np.asarray(image) for image in pillows))
    assert scores["full-range-y"]["psnr_y"] == pytest.approx(expected, abs=0.02)


def enlarged(image, scale=4):
    """Image enlarged like MATLAB's ``imresize(image, scale)``, as bicubic baselines are."""
    for axis in (0, 1):
        length = image.shape[axis]
        centers = (np.arange(scale * length) + 0.5) / scale - 0.5
        sources = np.floor(centers)[:, np.newaxis] + np.arange(-1, 3)
        d = np.abs(sources - centers[:, np.newaxis])
        weights = np.where(
            d <= 1, 1.5 * d**3 - 2.5 * d**2 + 1, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
        )
        mirrored = np.pad(np.arange(length), 2, mode="symmetric")[sources.astype(int) + 2]
        image = np.einsum("ij...,ij->i...", np.moveaxis(image, axis, 0)[mirrored], weights)
        image = np.moveaxis(image, 0, axis)
    return image


def of_benchmark(folder, name):
    """Bicubic enlargement and clean image of a set for fourfold super-resolution."""
    small, clean = (read_image(DATA / folder / part / name) for part in ("LQ", "GT"))
    return enlarged(to_float(small).astype(float))[: len(clean), : clean.shape[1]], clean


@needs_data
def test_bicubic_set5_has_the_published_value_and_the_one_of_full_range():
    images = [of_benchmark("Set5-x4", f"img_{k:03d}.png") for k in range(1, 6)]
    for protocol, expected in (("sr", 28.43), ("full-range-y", 27.11)):
        values = [scored(*image, protocol)["psnr_y"] for image in images]
        assert np.mean(values) == pytest.approx(expected, abs=0.005)


@needs_data
def test_a_grey_image_scores_higher_by_its_y_than_by_its_own_values():
    """Why Set14 has 26.09 dB here and 26.00 where its `bridge` is scored as it is stored."""
    restored, clean = of_benchmark("Set14-x4", "img_003.png")
    assert (clean == clean[..., :1]).all()
    scores = scored(restored, clean, "sr")
    assert scores["psnr_y"] - scores["psnr"] == pytest.approx(20 * math.log10(255 / 219))
    assert 26.0928 - (scores["psnr_y"] - scores["psnr"]) / 14 == pytest.approx(26.00, abs=0.005)


def test_the_authors_protocol_ignores_four_border_pixels():
    a, b = pictures()
    inner = to_float(b).copy()
    inner[4:-4, 4:-4] = to_float(a)[4:-4, 4:-4]
    scores = scored(inner, a, "authors")
    assert scores["psnr"] == math.inf
    assert scored(inner, a, "rgb")["psnr"] < 20


def test_scores_cover_every_metric():
    a, b = pictures()
    scores = scored(to_float(b), a, "rgb")
    assert scores.keys() == METRICS.keys()
    assert scores["lpips"] is None


@pytest.mark.parametrize("row", [0, 10, 39, 44])
def test_an_image_that_is_not_finite_scores_nan_and_its_neighbour_as_ever(row):
    restored, clean = unrounded(size=(45, 20))
    broken = restored.copy()
    broken[row, 10, 0] = np.nan
    batch = np.stack([broken, restored]), np.stack([clean, clean])
    first, second = score(["broken", "whole"], *batch, "rgb")
    assert all(math.isnan(first.values[key]) for key in WITHOUT_WEIGHTS)
    assert second.values == scored(restored, clean, "rgb")


def test_what_is_infinite_scores_nan_too():
    restored, clean = unrounded(size=(45, 20))
    restored[0, 0, 0] = np.inf  # cut away by some protocols
    for protocol in ("rgb", "authors"):
        scores = scored(restored, clean, protocol)
        assert all(math.isnan(scores[key]) for key in WITHOUT_WEIGHTS)


def test_half_precision_scores_as_its_values_in_single():
    restored, clean = unrounded(size=(45, 20))
    half = restored.astype(np.float16)
    assert scored(half, clean, "rgb") == scored(half.astype(np.float32), clean, "rgb")


def test_whole_numbers_and_other_counts_of_images_are_refused():
    a, b = pictures()
    with pytest.raises(InputError, match=r"floats in \[0, 1\], not uint8"):
        scored(a, b, "rgb")
    with pytest.raises(InputError, match="differ"):
        fidelity(torch.zeros(2, 20, 20, 3), torch.zeros(1, 20, 20, 3), WINDOWS["gaussian"])


def test_sizes_that_differ_are_refused():
    a, _ = pictures()
    with pytest.raises(InputError, match="differ in size"):
        scored(to_float(a)[:-1], a, "rgb")


def test_images_too_small_for_the_window_are_refused_or_have_no_score():
    a, b = pictures(size=(18, 30))
    with pytest.raises(InputError, match="too few for protocol authors"):
        scored(to_float(a), b, "authors")
    scores = score_protocols(to_float(a)[None], b[None])[0]
    assert {name for name, found in scores.items() if found["ssim"] is None} == {"authors", "sr"}


def test_read_only_and_strided_arrays_are_scored():
    restored, clean = unrounded()
    strided = np.ascontiguousarray(restored.transpose(2, 0, 1)).transpose(1, 2, 0)
    clean.flags.writeable = strided.flags.writeable = False
    expected = scored(restored[::-1].copy(), clean[::-1].copy(), "rgb")
    assert scored(strided[::-1], clean[::-1], "rgb") == expected


@needs_reference
@needs_data
def test_rain100h_scores_equal_the_authors_script():
    with np.load(REFERENCE / "image_ops.npz") as arrays:
        expected = arrays["rain_pairs_values"][:, 4:]
    folder = DATA / "Rain100H-test"
    rows = []
    for number in (1, 2, 10):
        gt, lq = (read_image(folder / part / f"{number}.png") for part in ("GT", "LQ"))
        for border in ("rgb", "authors"):
            scores = scored(to_float(lq), gt, border)
            rows.append([scores[k] for k in FIDELITY])
    np.testing.assert_allclose(rows, expected, rtol=1e-6)


def squeezenet_lpips(parameters, a, b):
    """LPIPS v0.1 over SqueezeNet 1.1, written out layer by layer."""

    def convolved(x, name, **options):
        weight, bias = parameters[f"features.{name}.weight"], parameters[f"features.{name}.bias"]
        return functional.relu(functional.conv2d(x, weight, bias, **options))

    def features(image):
        x = torch.from_numpy(image.transpose(2, 0, 1)[None].copy()) * 2 - 1
        shift = torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)
        scale = torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
        x = convolved((x - shift) / scale, "0", stride=2)
        taps = [x]
        for layer in range(2, 13):
            if layer in (2, 5, 8):
                x = functional.max_pool2d(x, 3, 2, ceil_mode=True)
                continue
            squeezed = convolved(x, f"{layer}.squeeze")
            wide = convolved(squeezed, f"{layer}.expand3x3", padding=1)
            x = torch.cat([convolved(squeezed, f"{layer}.expand1x1"), wide], 1)
            if layer in (4, 7, 9, 10, 11, 12):
                taps.append(x)
        return [t / (t.square().sum(1, keepdim=True).sqrt() + 1e-10) for t in taps]

    return sum(
        float(functional.conv2d((p - q) ** 2, parameters[f"lin{k}.model.1.weight"]).mean())
        for k, (p, q) in enumerate(zip(features(a), features(b), strict=True))
    )


def random_backbone(network, path, seed=0):
    """File of random weights of a torchvision network's features."""
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")
        import lpips

        torch.manual_seed(seed)
        model = lpips.LPIPS(net=network, verbose=False, pnet_rand=True).eval()
    weights = {
        "features." + name.split(".", 1)[1]: value for name, value in model.net.state_dict().items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        save_file(weights, path)
    else:
        torch.save(weights, path)
    return model


@pytest.mark.parametrize(
    ("network", "suffix"), [("alex", ".safetensors"), ("vgg", ".pth"), ("squeeze", ".pth")]
)
def test_lpips_equals_the_lpips_packages_for_each_network(network, suffix, monkeypatch, tmp_path):
    path = tmp_path / f"weights{suffix}"
    model = random_backbone(network, path)
    monkeypatch.setenv("IRSDE_LPIPS_WEIGHTS", str(path))
    metric = perceptual_metric()
    assert (metric.network, metric.label) == (network, BACKBONES[network].label)
    assert metric.sha256 == digest_file(path)
    assert network_label(metric.network) == metric.label == BACKBONES[network].label
    a, b = (torch.rand(2, 64, 70, 3, generator=torch.manual_seed(0)) for _ in "ab")
    b = 1 - a
    with torch.inference_mode():
        expected = model(*(x.permute(0, 3, 1, 2) for x in (a, b)), normalize=True).flatten()
    assert metric.distances(a, b).tolist() == pytest.approx(expected.tolist(), rel=1e-5)
    assert expected.min() > 1e-3
    assert metric.smallest == BACKBONES[network].smallest
    with pytest.raises(RuntimeError, match="too small"):
        metric.distances(*torch.rand(2, 1, metric.smallest - 1, 40, 3))
    for size in ((metric.smallest, 40), (40, metric.smallest)):
        restored, clean = unrounded(size=size)
        assert scored(restored, clean, "rgb")["lpips"] > 0
    restored, clean = unrounded(size=(metric.smallest - 1, 40))
    assert scored(restored, clean, "rgb")["lpips"] is None


def test_evaluate_says_why_small_images_have_no_lpips(monkeypatch, tmp_path):
    path = tmp_path / "weights.pth"
    random_backbone("squeeze", path)
    monkeypatch.setenv("IRSDE_LPIPS_WEIGHTS", str(path))
    for name, side in (("large", 20), ("small", 16)):
        for folder, seed in (("clean", 0), ("restored", 1)):
            (tmp_path / folder).mkdir(exist_ok=True)
            write_image(tmp_path / folder / f"{name}.png", pictures(seed, (side, side))[0])
    options = ["--restored", "--reference", "--out"]
    folders = [str(tmp_path / name) for name in ("restored", "clean", "out")]
    arguments = [word for pair in zip(options, folders, strict=True) for word in pair]
    done = CliRunner().invoke(app, ["evaluate", "--name", "A", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    reason = "not of every image, for SqueezeNet needs 17x17 pixels at least"
    assert f"LPIPS: n/a, {reason}" in done.output
    summary = read_json(tmp_path / "out/summary.json")
    (stated,) = [metric for metric in summary["metrics"] if metric["name"] == "lpips"]
    assert stated["unavailable"] == reason
    assert stated["weights"]["network"] == "squeeze"
    table = pd.read_csv(tmp_path / "out/per_image.csv").set_index("image")
    assert table["lpips"].notna().to_dict() == {"large": True, "small": False}


def test_lpips_sees_the_rounded_image_or_the_clipped_one_as_the_protocol_says(
    monkeypatch, tmp_path
):
    path = tmp_path / "weights.pth"
    random_backbone("alex", path)
    monkeypatch.setenv("IRSDE_LPIPS_WEIGHTS", str(path))
    restored, clean = unrounded(size=(64, 64))
    seen = {"rgb": to_float(to_pixels(restored)), "authors": np.clip(restored, 0, 1)}
    for name, image in seen.items():
        pair = (torch.tensor(x[None]) for x in (image, to_float(clean)))
        [expected] = perceptual_metric().distances(*pair)
        assert scored(restored, clean, name)["lpips"] == pytest.approx(expected.item(), rel=1e-5)
    rounded, whole = (
        score_images(restored[None], clean[None], Protocol("", "", whole_rounded=is_rounded))[0]
        for is_rounded in (True, False)
    )
    assert all(rounded[name] != whole[name] for name in ("lpips", "haarpsi"))


def test_weights_in_torchs_cache_are_found_alexnets_first(tmp_path):
    assert "IRSDE_LPIPS_WEIGHTS" in perceptual_metric().unavailable
    cache = tmp_path / "torch/hub/checkpoints"
    for network in ("squeeze", "alex"):
        random_backbone(network, cache / BACKBONES[network].cached)
        perceptual_metric.cache_clear()
        assert perceptual_metric().network == network


@pytest.fixture
def squeezenet(monkeypatch):
    """Published weights of SqueezeNet, and LPIPS with them."""
    path = LPIPS / "lpips_squeeze_params_from_onnx.npz"
    if not path.is_file():
        pytest.skip("LPIPS weights absent: they lie in weights/ beside IRSDE_REFERENCE")
    monkeypatch.setenv("IRSDE_LPIPS_WEIGHTS", str(path))
    with np.load(path) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}, perceptual_metric()


def test_lpips_of_squeezenet_equals_its_published_definition(squeezenet):
    parameters, metric = squeezenet
    a, b = (to_float(p) for p in pictures(size=(64, 64)))
    pair = [torch.tensor(x[None]) for x in (a, b)]
    assert metric.distances(pair[0], pair[0]).item() == 0
    expected = squeezenet_lpips(parameters, a, b)
    assert expected > 0.01
    assert metric.distances(*pair).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("seed", "size", "expected"),
    [(0, (64, 64), 0.07787847518920898), (1, (53, 77), 0.09946154057979584)],
)
def test_lpips_of_squeezenet_equals_the_published_onnx_network(squeezenet, seed, size, expected):
    """Values of onnxruntime 1.32.0 for `lpips_sq.onnx`, fed ``(x - mean) / std`` of ImageNet."""
    pair = (torch.tensor(to_float(p)[None]) for p in pictures(seed, size))
    assert squeezenet[1].distances(*pair).item() == pytest.approx(expected, abs=1e-6)


def test_named_weights_that_are_no_weights_are_refused(tmp_path, monkeypatch):
    names = ("wrong.npz", "text.pth", "cut.safetensors", "code.pth", "objects.npz")
    wrong, text, cut, code, objects = (tmp_path / name for name in names)
    np.savez(objects, a=np.array([{}], dtype=object))
    np.savez(wrong, nothing=np.zeros(1))
    text.write_text("no weights")
    cut.write_bytes(b"\x00" * 7)
    torch.save({"features.0.weight": print}, code)
    part = tmp_path / "part.safetensors"
    save_file({"features.0.weight": torch.zeros(64, 3, 11, 11)}, part)
    cases = {
        wrong: "not the weights of AlexNet", text: "cannot be read", cut: "cannot be read",
        code: "cannot be read", part: "lacks 9 arrays of alex, the first features.0.bias",
        objects: "cannot be read", tmp_path / "absent.pth": "no such file",
    }  # fmt: skip
    for path, words in cases.items():
        monkeypatch.setenv("IRSDE_LPIPS_WEIGHTS", str(path))
        perceptual_metric.cache_clear()
        with pytest.raises(InputError, match=words) as error:
            perceptual_metric()
        assert "\n" not in str(error.value)


def test_a_metric_is_of_pixels_or_of_images():
    shown = {"label": "none", "higher_is_better": True, "decimals": 2}
    with pytest.raises(ValueError, match="either at_pixels or of_images"):
        Metric(**shown)
    with pytest.raises(ValueError, match="channel is for at_pixels"):
        Metric(**shown, at_pixels=lambda a, b, _: a - b)
