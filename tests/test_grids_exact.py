"""Comparison grids without a row of the degraded input, which is then read from the pairs."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from irsde.images import write_image
from irsde.report import grids


@pytest.mark.parametrize("scale", [1, 4])
def test_a_degraded_input_that_is_smaller_is_shown_at_the_clean_size(scale, tmp_path, monkeypatch):
    clean = np.random.default_rng(0).integers(0, 256, (32, 48, 3)).astype(np.uint8)
    small = clean[::scale, ::scale].copy()
    small[16 // scale : 24 // scale, 24 // scale : 32 // scale] = 0
    for folder, pixels in (("GT", clean), ("LQ", small), ("images", clean)):
        (tmp_path / folder).mkdir()
        write_image(tmp_path / folder / "a.png", np.ascontiguousarray(pixels))
    metrics = [SimpleNamespace(name=name, label=name) for name in ("psnr", "ssim")]
    monkeypatch.setattr(grids, "_shown", lambda row: metrics)
    row = SimpleNamespace(
        per_image=pd.DataFrame({"image": ["a"], "psnr": [20.0], "ssim": [0.5]}),
        method="ir-sde", label="IR-SDE", folder=tmp_path,
    )  # fmt: skip
    scene = grids._scene("a", [row], tmp_path)
    assert [panel.title for panel in scene.panels] == ["degraded input", "IR-SDE", "ground truth"]
    expected = small.repeat(scale, axis=0).repeat(scale, axis=1)
    np.testing.assert_array_equal(scene.panels[0].pixels, expected)
    assert scene.panels[0].pixels[scene.window].shape == scene.panels[2].pixels[scene.window].shape
