"""The two networks: the authors' names and numbers, and what every caller relies on."""

import csv

import numpy as np
import pytest
import torch
from torch import nn

from irsde.networks import ConditionalNAFNet, ConditionalUNet
from irsde.networks.layers import LayerNorm2d, SinusoidalEmbedding
from irsde.networks.nafnet import NAFBlock
from irsde.networks.unet import LinearAttention, ResBlock, SoftmaxAttention, pad_by_reflection
from tests.reference import REFERENCE, needs_reference

NETWORKS = {"unet": ConditionalUNet, "nafnet": ConditionalNAFNet}
SMALL_NAFNET = {"width": 8, "enc_blk_nums": (1, 1, 2), "dec_blk_nums": (1, 1, 1)}
SMALL = {
    "unet_nf8_depth3": lambda: ConditionalUNet(nf=8, depth=3),
    "unet_nf16_depth4": lambda: ConditionalUNet(nf=16),
    "denoising_unet_nf8_depth3": lambda: ConditionalUNet(nf=8, depth=3, conditional=False),
    "nafnet_w8_e1_1_2_m1_d1_1_1": lambda: ConditionalNAFNet(**SMALL_NAFNET),
    "denoising_nafnet_w8_e1_1_2_m1_d1_1_1": lambda: ConditionalNAFNet(
        **SMALL_NAFNET, conditional=False
    ),
}
SHIPPED = {
    "unet_nf64_depth4": ConditionalUNet,
    "denoising_unet_nf64_depth4": lambda: ConditionalUNet(conditional=False),
    "nafnet_width64_refusion": ConditionalNAFNet,
}
TINY = {
    "unet": lambda **options: ConditionalUNet(nf=4, depth=2, **options),
    "nafnet": lambda **options: ConditionalNAFNet(
        width=4, enc_blk_nums=(1, 1), dec_blk_nums=(1, 1), **options
    ),
}
both = pytest.mark.parametrize("name", sorted(TINY))


def fill(module, rule):
    """Fill parameters by the rules of the reference README, `sin05` or `fan`."""
    with torch.no_grad():
        for i, (name, parameter) in enumerate(module.named_parameters()):
            wave = torch.sin(0.37 * torch.arange(parameter.numel(), dtype=torch.float64) + i)
            fan = parameter[0].numel() if parameter.ndim > 1 else 1
            if rule == "sin05":
                values = 0.05 * wave
            elif name.endswith(".g"):
                values = 1 + 0.1 * wave
            elif name.endswith(("beta", "gamma")):
                values = 0.5 + 0.1 * wave
            else:
                values = wave / fan**0.5
            parameter.copy_(values.reshape(parameter.shape))
    return module


def image(*shape, phase=0.0):
    k = torch.arange(int(np.prod(shape)), dtype=torch.float64)
    return (0.5 + 0.5 * torch.sin(0.11 * k + phase)).reshape(shape).float()


def pair(*shape):
    return image(*shape), image(*shape, phase=1.7)


def tiny(name, **options):
    return fill(TINY[name](**options), "fan").eval()


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


def load(name):
    with np.load(REFERENCE / name) as arrays:
        return {key: torch.from_numpy(np.asarray(arrays[key])) for key in arrays}


def close(ours, theirs, rtol, atol):
    """Compare with `atol` relative to the largest value where that exceeds 1."""
    scale = max(1.0, float(theirs.abs().max()))
    torch.testing.assert_close(ours, theirs, rtol=rtol, atol=atol * scale)


# against the authors' code


@needs_reference
@pytest.mark.parametrize("name", [*SMALL, *SHIPPED])
def test_state_dict_has_the_authors_names_shapes_and_order(name):
    with torch.device("meta"):
        network = (SMALL | SHIPPED)[name]()
    with (REFERENCE / f"params_{name}.csv").open(newline="") as file:
        expected = [(row["name"], row["shape"]) for row in csv.DictReader(file)]
    state = network.state_dict()
    assert [(key, "x".join(map(str, value.shape))) for key, value in state.items()] == expected
    assert [key for key, _ in network.named_parameters()] == list(state)


@needs_reference
@pytest.mark.parametrize("size", ["32x32", "27x35"])
@pytest.mark.parametrize("rule", ["sin05", "fan"])
@pytest.mark.parametrize("name", SMALL)
def test_outputs_equal_the_authors(name, rule, size):
    arrays, key = load(f"net_{name}.npz"), f"{rule}_{size}_"
    network = fill(SMALL[name](), rule)
    x_t, mu = arrays[key + "xt"], arrays[key + "mu"]
    atol = 1e-5 if rule == "sin05" else 1e-4  # `fan` amplifies the rounding of single precision
    close(network(x_t, mu, arrays[key + "t"]), arrays[key + "out"], 1e-3, atol)
    close(network(x_t[:1], mu[:1], 50), arrays[key + "out_int_t50_first"], 1e-3, atol)


@needs_reference
@pytest.mark.parametrize("size", ["32x32", "27x35"])
@pytest.mark.parametrize("name", SMALL)
def test_double_precision_outputs_equal_the_authors_to_rounding(name, size):
    arrays, key = load(f"net_{name}.npz"), f"fan_{size}_"
    network = fill(SMALL[name](), "fan").double()
    x_t, mu = arrays[key + "xt"].double(), arrays[key + "mu"].double()
    output = network(x_t, mu, arrays[key + "t"])
    close(output, arrays[key + "out_f64"], rtol=0, atol=1e-11)


@needs_reference
@pytest.mark.parametrize("dim", [8, 64])
def test_embedding_equals_the_authors(dim):
    embedding = SinusoidalEmbedding(dim)(torch.tensor([1, 2, 50, 100]))
    close(embedding, load("net_modules.npz")[f"sinusoidal_dim{dim}_t1_2_50_100"], 1e-5, 1e-6)


@needs_reference
@pytest.mark.parametrize(
    ("key", "module", "inputs"),
    [
        ("linear_attention_out", LinearAttention(16), ("linear_attention_in",)),
        ("attention_out", SoftmaxAttention(16), ("linear_attention_in",)),
        ("layernorm_out", LayerNorm2d(16), ("linear_attention_in",)),
        ("resblock_out", ResBlock(16, 8, 32), ("linear_attention_in", "resblock_time")),
    ],
)
def test_modules_equal_the_authors(key, module, inputs):
    arrays = load("net_modules.npz")
    close(fill(module, "fan")(*(arrays[name] for name in inputs)), arrays[key], 1e-5, 1e-6)


# golden numbers of our own: double precision, parameters filled by the rule `fan`, from the code
# that agreed with the authors' double precision to 1e-12 (torch 2.14)

GOLDEN = {
    ("unet", True): [-1.277965039166, 2.610383721693, -5.965677060005, -9.741773261355],
    ("unet", False): [0.193477689854, -1.349000378812, -2.444955124407, -2.010635269700],
    ("nafnet", True): [0.550119985090, 0.615459868650, -0.381870395752, 0.743170433862],
    ("nafnet", False): [0.975495188473, 0.823165716336, 0.565078735785, 0.839323036483],
}


@pytest.mark.parametrize(("name", "conditional"), GOLDEN)
def test_outputs_equal_golden_numbers(name, conditional):
    network = tiny(name, conditional=conditional).double()
    x_t, mu = pair(2, 3, 7, 9)
    output = network(x_t.double(), mu.double(), torch.tensor([3, 77]))
    ours = output[[0, 0, 1, 1], [0, 2, 1, 2], [0, 6, 3, 5], [0, 8, 2, 7]]
    expected = torch.tensor(GOLDEN[name, conditional], dtype=torch.float64)
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("network", "options", "total"),
    [
        ("unet", {}, 137_147_523),
        ("unet", {"nf": 32, "depth": 5}, 135_346_755),
        ("unet", {"nf": 32}, 34_799_171),
        ("unet", {"conditional": False}, 137_137_091),
        ("nafnet", {}, 76_608_387),
        ("nafnet", {"conditional": False}, 76_606_659),
        ("nafnet", {"img_channel": 8}, 76_617_032),
    ],
)
def test_parameter_totals_are_those_of_the_shipped_configurations(network, options, total):
    with torch.device("meta"):
        parameters = list(NETWORKS[network](**options).parameters())
    assert sum(parameter.numel() for parameter in parameters) == total


# what callers rely on


@both
@pytest.mark.parametrize("size", [(1, 1), (1, 6), (5, 2), (3, 3), (8, 4), (13, 10)])
def test_images_of_any_size_keep_their_size(name, size):
    x_t, mu = pair(2, 3, *size)
    output = tiny(name)(x_t, mu, 5)
    assert output.shape == x_t.shape
    assert output.is_contiguous()
    assert output.isfinite().all()


@pytest.mark.parametrize("size", [(9, 13), (12, 10), (8, 15)])
def test_padding_equals_reflection_where_torch_defines_it(size):
    x = image(1, 2, *size)
    expected = nn.functional.pad(x, (0, -size[1] % 8, 0, -size[0] % 8), mode="reflect")
    assert torch.equal(pad_by_reflection(x, 8), expected)


def test_padding_larger_than_the_image_reflects_repeatedly():
    row = torch.tensor([[[[1.0, 2.0, 3.0]]]])
    padded = pad_by_reflection(row, 8)
    assert padded.shape == (1, 1, 8, 8)
    assert padded[0, 0, 7].tolist() == [1, 2, 3, 2, 1, 2, 3, 2]


@both
@pytest.mark.parametrize(
    "step", [torch.tensor(9), torch.tensor([9]), torch.tensor([9, 9, 9]), torch.full((3,), 9.0)]
)
def test_an_integer_step_equals_a_tensor_step(name, step):
    network, inputs = tiny(name), pair(3, 3, 8, 8)
    close(network(*inputs, step), network(*inputs, 9), rtol=1e-3, atol=1e-4)


@both
def test_the_step_changes_the_output(name):
    network, inputs = tiny(name), pair(1, 3, 8, 8)
    assert not torch.allclose(network(*inputs, 9), network(*inputs, 10))


@both
def test_a_batch_of_one_equals_its_row_in_a_larger_batch(name):
    network, (x_t, mu), step = tiny(name), pair(3, 3, 8, 8), torch.tensor([1, 40, 100])
    together = network(x_t, mu, step)
    for row in range(3):
        alone = network(x_t[row : row + 1], mu[row : row + 1], step[row : row + 1])
        close(alone, together[row : row + 1], rtol=1e-3, atol=1e-4)


@both
def test_channels_last_equals_contiguous(name):
    network, (x_t, mu) = tiny(name), pair(2, 3, 10, 12)
    expected = network(x_t, mu, 5)
    network.to(memory_format=torch.channels_last)
    last = [value.contiguous(memory_format=torch.channels_last) for value in (x_t, mu)]
    close(network(*last, 5), expected, rtol=1e-3, atol=1e-4)


@both
def test_bfloat16_autocast_is_close_to_single_precision(name):
    torch.manual_seed(0)
    network, (x_t, mu) = TINY[name](), pair(2, 3, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        output = network(x_t, mu, 5)
    expected = network(x_t, mu, 5)
    assert output.dtype == torch.bfloat16
    assert (output - expected).abs().max() < 0.03 * expected.abs().max()


@both
def test_compiles_to_one_graph_whatever_the_step(name):
    torch.compiler.reset()
    network, inputs = tiny(name), pair(2, 3, 8, 6)
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    for step in range(1, 12):  # more steps than torch allows graphs of one function
        close(compiled(*inputs, step), network(*inputs, step), rtol=1e-3, atol=1e-4)
    steps = torch.tensor([3, 77])
    close(compiled(*inputs, steps), network(*inputs, steps), rtol=1e-3, atol=1e-4)


@both
def test_the_denoising_variant_ignores_mu(name):
    network, (x_t, mu) = tiny(name, conditional=False), pair(2, 3, 8, 8)
    assert torch.equal(network(x_t, mu, 5), network(x_t, None, 5))


@both
def test_a_conditional_network_asks_for_mu(name):
    with pytest.raises(ValueError, match="needs the degraded image mu"):
        tiny(name)(image(1, 3, 8, 8), None, 5)


@both
def test_inputs_are_left_as_they_are(name):
    inputs = pair(2, 3, 8, 8)
    tiny(name)(*inputs, 5)
    for before, after in zip(pair(2, 3, 8, 8), inputs, strict=True):
        assert torch.equal(before, after)


@both
@pytest.mark.parametrize("conditional", [True, False])
def test_every_parameter_receives_a_gradient(name, conditional):
    network = tiny(name, conditional=conditional)
    with torch.enable_grad():
        network(*pair(2, 3, 8, 8), 5).square().mean().backward()
    for parameter in network.parameters():
        assert parameter.grad.isfinite().all()
        assert parameter.grad.abs().max() > 0


@both
@pytest.mark.parametrize("width", [2, 7])
def test_a_width_that_cannot_be_embedded_is_refused(name, width):
    with pytest.raises(ValueError, match=f"even and at least 4, got {width}"):
        NETWORKS[name](**{"unet": {"nf": width}, "nafnet": {"width": width}}[name])


def test_nafnet_refuses_unequal_numbers_of_levels():
    with pytest.raises(ValueError, match="as many levels"):
        ConditionalNAFNet(width=4, enc_blk_nums=(1, 1), dec_blk_nums=(1,))


def test_a_new_naf_block_is_the_identity():
    x = image(2, 4, 5, 6)
    assert torch.equal(NAFBlock(4, 16)(x, torch.ones(1, 16)), x)


@pytest.mark.parametrize(
    ("dtype", "eps"), [(torch.float32, 1e-5), (torch.float64, 1e-3), (torch.bfloat16, 1e-3)]
)
def test_layer_norm_adds_the_authors_constant_for_each_dtype(dtype, eps):
    x = torch.tensor([-0.01, 0.01], dtype=dtype)[None, :, None, None]
    expected = x.double() / (x.double().square().mean() + eps).sqrt()
    output = LayerNorm2d(2).to(dtype)(x)
    assert output.dtype == dtype
    torch.testing.assert_close(output.double(), expected, rtol=5e-3, atol=0)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_layer_norm_keeps_the_memory_format(memory_format):
    x = image(2, 3, 4, 5).contiguous(memory_format=memory_format)
    assert LayerNorm2d(3)(x).is_contiguous(memory_format=memory_format)
