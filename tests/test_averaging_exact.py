"""Averages of any width: their profiles by integrals worked out apart."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from irsde.experiment.grid import Run, snapshot_file
from irsde.files import InputError
from irsde.training import averaging
from irsde.training.averaging import (
    WIDTHS,
    Snapshot,
    _inner,
    average,
    coefficients,
    decay,
    exponent,
    found_snapshots,
)


def test_an_exponent_of_one_and_of_two():
    """The profile (p + 1) t^p on [0, 1] has the variance (p + 1) / ((p + 2)² (p + 3))."""
    assert exponent(math.sqrt(2 / 36)) == pytest.approx(1)
    assert exponent(math.sqrt(3 / 80)) == pytest.approx(2)
    assert [decay(math.sqrt(2 / 36), k) for k in (1, 2, 4)] == pytest.approx([0, 0.25, 0.5625])
    for width in (0.0, 0.28, -0.1):
        with pytest.raises(InputError, match=r"between 0\.01 and 0\.28"):
            exponent(width)
    assert exponent(0.279) > 0


def test_inner_products_of_profiles_are_integrals():
    for t, p, s, q in ((2.0, 1.0, 3.0, 4.0), (5.0, 3.0, 2.0, 0.5), (4.0, 2.0, 4.0, 2.0)):
        grid = (np.arange(200_000) + 0.5) / 200_000 * min(t, s)
        first = (p + 1) / t * (grid / t) ** p
        second = (q + 1) / s * (grid / s) ** q
        expected = (first * second).mean() * min(t, s)
        arrays = (np.array(value) for value in (t, p, s, q))
        assert float(_inner(*arrays)) == pytest.approx(expected, rel=1e-6)


def test_a_snapshot_of_the_wanted_width_is_taken_alone(tmp_path):
    snapshots = [(50, 0.05), (50, 0.1), (100, 0.05), (100, 0.1)]
    for k, (iteration, width) in enumerate(snapshots):
        found = coefficients(snapshots, iteration, width)
        np.testing.assert_allclose(found, np.eye(4)[k], atol=1e-6)
    file = snapshot_file(tmp_path, 50, 0.1)
    assert file.name == "00000050-0.100.safetensors"
    file.parent.mkdir(parents=True)
    file.touch()
    (snapshot,) = found_snapshots(tmp_path)
    assert (snapshot.iteration, snapshot.width, snapshot.file) == (50, 0.1, file)


@pytest.mark.parametrize("count", [0, 2, 3, 4])
def test_an_average_needs_two_snapshots_of_both_widths(count, tmp_path, monkeypatch):
    def reached(*_):
        raise LookupError("needs no more")

    every = [Snapshot(k, width, tmp_path / "absent") for k in (50, 100) for width in WIDTHS]
    card = SimpleNamespace(identity={}, iterations=100)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(averaging.provenance, "read_network_run", lambda _: (card, None))
    monkeypatch.setattr(averaging, "found_snapshots", lambda _: every[:count])
    monkeypatch.setattr(averaging, "coefficients", reached)
    kind, said = (LookupError, "no more") if count == 4 else (InputError, "has no snapshots")
    with pytest.raises(kind, match=said):
        average(Run("smoke", "denoising", "ir-sde", 0), 0.07)
