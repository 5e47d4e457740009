"""Patches with the random numbers given: which window, turned how."""

from types import SimpleNamespace

import numpy as np
import pytest

from irsde.data.pairs import Pair, _read_array, check_patch, draw_patch
from irsde.files import InputError
from irsde.images import to_tensor
from irsde.tasks import TASKS, Degradation


class Chosen:
    """A generator with chosen whole numbers and coins."""

    def __init__(self, numbers, coins):
        self.numbers, self.coins, self.limits = list(numbers), list(coins), []

    def integers(self, limit):
        self.limits.append(limit)
        return self.numbers.pop(0)

    def random(self):
        return self.coins.pop(0)


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("coins", [(0.5, 0.5, 0.5), (0.49, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 1, 0)])
def test_a_patch_is_the_window_turned_as_the_coins_say(scale, coins):
    generator = np.random.default_rng(0)
    small = generator.random((12 // scale, 20 // scale, 3)).astype(np.float32)
    x0 = generator.integers(0, 256, (12, 20, 3), dtype=np.uint8)
    pair = Pair("a", "a", x0, small, scale=scale, enlarge="nearest")
    given = Chosen((1, 2), coins)
    clean, mu = draw_patch(pair, TASKS["denoising"], 8, given, Degradation())
    assert given.limits == [4 // scale + 1, 12 // scale + 1]
    top, left = scale, 2 * scale
    large = small.repeat(scale, 0).repeat(scale, 1)
    for found, whole in ((clean, x0 / np.float32(255)), (mu, large)):
        expected = whole[top : top + 8, left : left + 8]
        expected = expected[::-1] if coins[0] < 0.5 else expected
        expected = expected[:, ::-1] if coins[1] < 0.5 else expected
        expected = expected.transpose(1, 0, 2) if coins[2] < 0.5 else expected
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_window_as_large_as_the_image_can_be_drawn():
    pair = Pair("a", "a", np.zeros((8, 12, 3), np.uint8), None)
    check_patch(pair, 8)
    for side in (9, 12):
        with pytest.raises(InputError, match=f"12x8 pixels is smaller than the patch of {side}"):
            check_patch(pair, side)
    given = Chosen((0, 4), (1, 1, 1))
    task = SimpleNamespace(degrade=lambda x0, *_: x0)
    assert draw_patch(pair, task, 8, given, Degradation())[0].shape == (8, 8, 3)
    assert given.limits == [1, 5]


def test_images_become_a_tensor_of_channels_first():
    images = [np.random.default_rng(k).random((4, 6, 3)).astype(np.float32) for k in range(2)]
    tensor = to_tensor(images)
    assert tensor.shape == (2, 3, 4, 6)
    assert tensor[1, 2, 3, 5].item() == images[1][3, 5, 2]


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3)),
        np.zeros((4, 4, 4), np.float32),
        np.zeros((4, 3), np.float32),
        np.zeros((1, 4, 4, 3), np.float32),
    ],
)
def test_arrays_that_are_no_images_are_refused(array, tmp_path):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(InputError, match="float32 array of shape"):
        _read_array(tmp_path / "a.npy")


def test_an_array_is_read_as_it_is_and_never_as_pickled_code(tmp_path):
    image = np.random.default_rng(0).random((4, 5, 3)).astype(np.float32)
    np.save(tmp_path / "a.npy", image)
    np.testing.assert_array_equal(_read_array(tmp_path / "a.npy"), image)
    np.save(tmp_path / "b.npy", np.array([None]), allow_pickle=True)
    with pytest.raises(InputError, match="not a readable array"):
        _read_array(tmp_path / "b.npy")
