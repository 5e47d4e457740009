"""The project's networks and sampling against the same written the usual way."""

import itertools

import pytest
import torch

from irsde.networks import ConditionalNAFNet, ConditionalUNet
from irsde.networks.layers import LayerNorm2d
from irsde.processes import mean_reverting
from irsde.samplers import sample
from tests.plain_networks import (
    PlainNAFNet,
    fused_layer_norm,
    layer_norm,
    plain_restoration,
    plain_unet,
)


def unet(**options):
    return ConditionalUNet(nf=8, depth=2, **options)


def nafnet(**options):
    network = ConditionalNAFNet(
        width=8, enc_blk_nums=(1, 2), dec_blk_nums=(1, 1), middle_blk_num=2, **options
    )
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith(("beta", "gamma")):
                torch.nn.init.uniform_(parameter, 0.5, 1.0)
    return network


def randomize_norms(network):
    for module in network.modules():
        if isinstance(module, LayerNorm2d):
            torch.nn.init.uniform_(module.g, 0.5, 1.5)


CASES = {
    "U-Net": (unet, plain_unet),
    "NAFNet": (nafnet, PlainNAFNet),
    "NAFNet, PyTorch's norm": (nafnet, lambda network: PlainNAFNet(network, fused_layer_norm)),
}


def gradients(network):
    return [p.grad for p in network.parameters()]


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("conditional", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_outputs_and_gradients_equal_the_plain_ones(name, conditional, layout):
    build, plain = CASES[name]
    torch.manual_seed(0)
    ours = build(conditional=conditional)
    randomize_norms(ours)
    theirs = build(conditional=conditional)
    theirs.load_state_dict(ours.state_dict())
    ours, theirs = (network.double().to(memory_format=layout) for network in (ours, theirs))
    written = plain(theirs)
    size = (8, 4) if name == "U-Net" else (7, 9)  # the U-Net pads by reflection, which is apart
    x_t, mu = torch.rand(2, 2, 3, *size, dtype=torch.float64)
    t = torch.tensor([3, 77])
    outputs = ours(x_t, mu, t), written(x_t, mu, t)
    torch.testing.assert_close(*outputs, rtol=1e-9, atol=1e-11)
    for output in outputs:
        output.square().sum().backward()
    for one, other in zip(gradients(ours), gradients(theirs), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)


def test_the_plain_layer_norm_is_pytorchs():
    x, gain = torch.rand(2, 5, 3, 4), torch.rand(1, 5, 1, 1)
    torch.testing.assert_close(layer_norm(x, gain), fused_layer_norm(x, gain))


def test_the_plain_restoration_is_posterior_sampling():
    process = mean_reverting(steps=10)
    torch.manual_seed(0)
    mu = torch.rand(1, 3, 4, 4)
    start = process.start(mu, torch.randn_like(mu))
    draws = [torch.randn_like(mu) for _ in range(10)]

    def network(x, mu, t):
        return (x - mu) * (1 + 0.01 * t)

    ours = sample(
        process, network, start, mu, "posterior", 10, noise=lambda t, shape: draws[10 - t]
    )
    given = itertools.chain(draws)
    theirs = plain_restoration(process, network, start, mu, noise=lambda _: next(given))
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
