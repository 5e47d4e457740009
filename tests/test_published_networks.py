"""Networks of published systems: their shapes, their sizes as published, and their files."""

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from irsde.networks.aodnet import AODNet, LightDehazeNet
from irsde.networks.dncnn import CDnCNN
from irsde.networks.ffdnet import FFDNet, from_quarters, to_quarters
from irsde.networks.gcanet import GCANet, edges
from irsde.networks.imdn import IMDN
from irsde.networks.prenet import PReNet
from tests.project import PROJECT

FILES = Path(os.environ.get("IRSDE_WEIGHTS", PROJECT.parent / "shared/weights/published"))
NETWORKS = {
    "prenet": (PReNet, 168_963),
    "prenet-r": (lambda: PReNet(recursive=True), 94_979),
    "cdncnn": (CDnCNN, 668_227),
    "ffdnet": (FFDNet, 852_108),
    "gcanet": (GCANet, 702_818),
    "aodnet": (AODNet, 1_761),
    "light-dehazenet": (LightDehazeNet, 30_187),
    "imdn": (IMDN, 715_176),
}
FILE_OF = {
    "prenet": "prenet-rain100h.pth",
    "prenet-r": "prenet_r-rain100h.pth",
    "gcanet": "gcanet-dehaze.pth",
    "aodnet": "aodnet.pth",
    "light-dehazenet": "light-dehazenet.pth",
    "imdn": "imdn-x4.pth",
}
every = pytest.mark.parametrize("name", NETWORKS)


@pytest.fixture(autouse=True)
def _repeatable():
    torch.manual_seed(0)
    with torch.no_grad():
        yield


def built(name):
    return NETWORKS[name][0]().eval()


def restored(name, network, image):
    return network(image, 25 / 255) if name == "ffdnet" else network(image)


@every
def test_it_has_as_many_parameters_as_the_released_file(name):
    assert sum(p.numel() for p in built(name).parameters()) == NETWORKS[name][1]


@every
@pytest.mark.parametrize("size", [(16, 24), (17, 23)])
def test_images_of_any_size_keep_it_or_are_enlarged_by_four(name, size):
    images = torch.rand(2, 3, *size)
    scale = 4 if name == "imdn" else 1
    assert restored(name, built(name), images).shape == (2, 3, scale * size[0], scale * size[1])


@every
def test_images_of_a_batch_do_not_see_each_other(name):
    network, images = built(name), torch.rand(2, 3, 20, 20)
    together = restored(name, network, images)
    torch.testing.assert_close(restored(name, network, images[:1]), together[:1])


@pytest.mark.parametrize("name", FILE_OF)
def test_the_released_file_has_the_networks_names_and_shapes(name):
    file = FILES / FILE_OF[name]
    if not file.is_file():
        pytest.skip(f"{file} is not here: its authors' file, named by IRSDE_WEIGHTS")
    stored = torch.load(file, map_location="cpu", weights_only=True)
    state = {key.removeprefix("module."): value for key, value in stored.items()}
    built(name).load_state_dict(state, strict=True)


def zeroed(network):
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    return network


@pytest.mark.parametrize("name", ["prenet", "prenet-r", "cdncnn", "gcanet"])
def test_what_is_predicted_is_added_to_the_image(name):
    image = torch.rand(1, 3, 12, 14)
    torch.testing.assert_close(restored(name, zeroed(built(name)), image), image)


@pytest.mark.parametrize("name", ["aodnet", "light-dehazenet"])
def test_a_map_of_one_leaves_the_image(name):
    network, image = zeroed(built(name)), torch.rand(1, 3, 12, 14)
    last = list(network.children())[-1]
    nn.init.ones_(last.bias)
    torch.testing.assert_close(network(image), image)


def test_the_recursive_network_is_the_other_with_five_equal_blocks():
    recursive, plain = built("prenet-r"), built("prenet")
    state = recursive.state_dict()
    for number in range(2, 6):
        of_first = {k: v for k, v in state.items() if k.startswith("res_conv1.")}
        state |= {k.replace("res_conv1", f"res_conv{number}"): v for k, v in of_first.items()}
    plain.load_state_dict(state, strict=True)
    image = torch.rand(1, 3, 12, 14)
    assert torch.equal(recursive(image), plain(image))


def test_quarters_go_down_the_columns_of_each_block_channel_by_channel():
    image = torch.arange(8.0).reshape(1, 2, 2, 2)
    assert to_quarters(image).flatten().tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
    larger = torch.rand(2, 3, 6, 8)
    assert torch.equal(from_quarters(to_quarters(larger)), larger)


def test_the_denoiser_is_told_the_noise_level():
    network, image = built("ffdnet"), torch.rand(1, 3, 8, 8)
    assert not torch.equal(network(image, 15 / 255), network(image, 50 / 255))


def test_an_odd_image_is_restored_as_if_its_border_went_on():
    network, image = built("ffdnet"), torch.rand(1, 3, 7, 8)
    longer = torch.cat((image, image[:, :, -1:]), 2)
    assert torch.equal(network(image, 0.1), network(longer, 0.1)[:, :, :7])


def test_edges_are_the_mean_difference_to_the_neighbors():
    image = torch.zeros(1, 3, 3, 3)
    image[..., 1, 1] = 12
    expected = torch.tensor([[0.0, 3, 0], [3, 12, 3], [0, 3, 0]])
    assert torch.equal(edges(image)[0, 0], expected)
