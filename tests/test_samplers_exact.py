"""The grid of steps that is even in the logarithm of signal to noise."""

import numpy as np
import pytest

from irsde.processes import mean_reverting
from irsde.samplers import _log_snr_positions


@pytest.mark.parametrize("nfe", [2, 3, 7])
def test_steps_between_the_first_and_the_last_are_even_in_the_log_ratio(nfe):
    process = mean_reverting(20, "cosine", 0.2, 0.005)
    found = _log_snr_positions(process, nfe, 20).numpy()
    steps = np.arange(1, 21)
    ratio = np.log(process.a[1:].numpy()) - np.log(process.c[1:].numpy())
    assert len(found) == nfe + 1
    assert found[0] == 0
    reached = np.interp(found[1:], steps, ratio)
    expected = np.linspace(ratio[0], ratio[-1], nfe)
    np.testing.assert_allclose(reached, expected, atol=1e-6)
