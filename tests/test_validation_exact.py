"""Validation: mean PSNR, the middle of an image, evaluations, the picture of the first pairs."""

import math

import numpy as np
import pytest
import torch

from irsde.data.pairs import Pair
from irsde.experiment.profile import load_profile, run_settings
from irsde.machine.world import World
from irsde.training import validation
from irsde.training.validation import _row, _stacked, _window, validate, validation_nfe
from tests.project import PROJECT


@pytest.fixture
def settings(monkeypatch):
    """Settings of a run of the smoke profile with changes to its training."""
    monkeypatch.chdir(PROJECT)

    def made(method="regression", task="denoising", **changes):
        run = run_settings(load_profile("smoke"), task, method, 0)
        return run.model_copy(update={"training": run.training.model_copy(update=changes)})

    return made


def grey(shade, height=12, width=16):
    return np.full((height, width, 3), shade, np.uint8)


def pairs_of(*shades):
    return [Pair(f"{k}", f"{k}", grey(shade), grey(10 * k)) for k, shade in enumerate(shades)]


def validated(settings, pairs, monkeypatch, found, **options):
    """`validate` where image k is restored as `found[k]`."""
    monkeypatch.setattr(validation, "_restored", lambda pair, *_: found[int(pair.image)])
    network = torch.nn.Linear(1, 1)
    average = network.state_dict()
    return validate(settings, pairs, network, average, torch.device("cpu"), **options)


def test_the_mean_over_the_first_images_and_the_picture_of_four(settings, monkeypatch):
    """Images off by 1, 2, 3, 4 and 5 levels; a sixth is not asked for."""
    pairs = pairs_of(*[100] * 6)
    found = [np.float32(grey(100 + off)) / 255 for off in (1, 2, 3, 4, 5, 90)]
    chosen = settings(validation_images=5, validation_window=None)
    result = validated(chosen, pairs, monkeypatch, found)
    expected = [20 * math.log10(255 / off) for off in (1, 2, 3, 4, 5)]
    assert result.psnr == pytest.approx(sum(expected) / 5)
    rows = [[10 * k, 101 + k, 100] for k in range(4)]
    assert result.images.shape == (4 * 12, 3 * 16, 3)
    assert result.images[::12, ::16, 0].tolist() == rows


def test_what_is_not_finite_has_no_value_and_is_black(settings, monkeypatch):
    found = [np.full((8, 8, 3), math.nan, np.float32), np.float32(grey(101, 8, 8)) / 255]
    chosen = settings(validation_images=2, validation_window=8)
    result = validated(chosen, pairs_of(100, 100), monkeypatch, found)
    assert math.isnan(result.psnr)
    assert result.images[::8, ::8, 0].tolist() == [[0, 0, 100], [10, 101, 100]]


def test_a_stop_before_any_image_ends_it_without_a_result(settings, monkeypatch):
    chosen = settings(validation_images=2, validation_window=None)
    found = [np.float32(grey(101)) / 255] * 2
    for answers in ([True], [False, True]):
        stop = iter(answers).__next__
        assert validated(chosen, pairs_of(100, 100), monkeypatch, found, stop=stop) is None
    assert validated(chosen, pairs_of(100, 100), monkeypatch, [None, found[1]]) is None
    stops = iter([False, False]).__next__
    assert validated(chosen, pairs_of(9, 9), monkeypatch, found, stop=stops) is not None


def test_processes_share_images_and_their_rows_come_in_order(settings, monkeypatch):
    class Second(World):
        """Of two processes, the other of which had the even images."""

        def share(self, count):
            return range(1, count, 2)

        def gather(self, value):
            others = [(0, 20.0), (2, 24.0)], [(2, _row([grey(7)] * 3)), (0, _row([grey(5)] * 3))]
            return [value, (False, *others)]

    found = [np.float32(grey(110)) / 255] * 4
    chosen = settings(validation_images=4, validation_window=None)
    result = validated(chosen, pairs_of(*[100] * 4), monkeypatch, found, world=Second())
    assert result.psnr == pytest.approx((44 + 2 * 20 * math.log10(25.5)) / 4)
    assert result.images[::12, 0, 0].tolist() == [5, 10, 7, 30]


@pytest.mark.parametrize(
    ("side", "scale", "rows", "columns"),
    [
        (8, 1, (4, 12), (6, 14)),
        (7, 1, (4, 11), (6, 13)),
        (8, 4, (4, 12), (4, 12)),
        (11, 4, (0, 8), (4, 12)),
        (16, 1, (0, 16), (2, 18)),
        (40, 1, (0, 16), (0, 20)),
        (None, 4, (0, 16), (0, 20)),
    ],
)
def test_the_window_is_the_middle_at_whole_pixels_of_the_small_image(side, scale, rows, columns):
    x0 = np.arange(16 * 20, dtype=np.uint16).astype(np.uint8).reshape(16, 20, 1).repeat(3, 2)
    pair = Pair("a", "a", x0, x0[::scale, ::scale].copy(), scale=scale)
    window = _window(pair, side)
    expected = x0[slice(*rows), slice(*columns)]
    np.testing.assert_array_equal(window.x0, expected)
    np.testing.assert_array_equal(window.lq, expected[::scale, ::scale])
    assert _window(Pair("a", "a", x0, None), 4).lq is None


def test_as_many_evaluations_as_the_profile_asks_or_the_method_has(settings):
    def nfe(asked, *run):
        return validation_nfe(settings(*run, validation_nfe=asked))

    assert [nfe(4, "ir-sde", "deraining"), nfe(1000, "ir-sde", "deraining")] == [4, 100]
    assert [nfe(99, "goub", "deraining"), nfe(1000, "goub", "deraining")] == [99, 99]
    assert nfe(7, "regression", "deraining") == 1
    assert nfe(1000, "i2sb", "deraining") == 1000
    assert nfe(1000, "resshift", "deraining") == 15
    assert nfe(1000, "denoising-sde", "denoising") == 22  # the noise of 25 levels, published


def test_large_images_are_shown_in_part_and_narrow_rows_padded_with_white():
    wide = _row([grey(3, 260, 300), grey(4, 260, 300)])
    assert wide.shape == (256, 512, 3)
    assert wide[0, [0, 255, 256, 511], 0].tolist() == [3, 3, 4, 4]
    stacked = _stacked([grey(3, 2, 5), grey(4, 1, 3)])
    assert stacked[:, :, 0].tolist() == [[3] * 5, [3] * 5, [4, 4, 4, 255, 255]]
