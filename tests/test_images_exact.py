"""Pixels and floating point, channels, and the line about files that are skipped."""

from pathlib import Path

import numpy as np
import pytest

from irsde.images import image_files, rgb, to_float, to_pixels, unread_line


def test_every_pixel_comes_back_and_values_are_rounded_and_clipped():
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    image = to_float(pixels)
    assert image.dtype == np.float32
    np.testing.assert_allclose(image[:, :, 0].ravel(), np.arange(256) / 255, rtol=1e-6)
    np.testing.assert_array_equal(to_pixels(image), pixels)
    values = np.array([[[-0.2, 1.7, 100.4 / 255]], [[100.6 / 255, 254.6 / 255, 0.4 / 255]]])
    found = to_pixels(values.astype(np.float32))
    assert found.tolist() == [[[0, 255, 100]], [[101, 255, 0]]]


def test_grey_is_repeated_and_alpha_dropped():
    grey = np.array([[1, 2], [3, 4]], np.uint8)
    assert rgb(grey).tolist() == [[[1] * 3, [2] * 3], [[3] * 3, [4] * 3]]
    color = np.arange(16, dtype=np.uint8).reshape(2, 2, 4)
    np.testing.assert_array_equal(rgb(color), color[:, :, [0, 1, 2]])
    np.testing.assert_array_equal(rgb(color[..., :3]), color[..., :3])


@pytest.mark.parametrize(
    ("count", "start"),
    [
        (1, "skipped: 1 picture (0.gif); "),
        (3, "skipped: 3 pictures (0.gif, 1.gif, 2.gif); "),
        (4, "skipped: 4 pictures (0.gif, 1.gif, 2.gif, …); "),
    ],
)
def test_the_line_names_three_files(count, start):
    assert unread_line([Path(f"{k}.gif") for k in range(count)]).startswith(start)


def test_linked_folders_are_looked_into_once_and_hidden_ones_never(tmp_path):
    for name in ("all/b.png", "all/deep/a.JPG", "all/.hidden/c.png", "all/x.gif", "else/d.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "all/linked").symlink_to(tmp_path / "else")
    (tmp_path / "all/loop").symlink_to(tmp_path / "all")

    def names(*found):
        return [[str(file.relative_to(tmp_path / "all")) for file in files] for files in found]

    assert names(*image_files(tmp_path / "all")) == [["b.png"], ["x.gif"]]
    deep = names(*image_files(tmp_path / "all", deep=True))
    assert deep == [["b.png", "deep/a.JPG", "linked/d.png"], ["x.gif"]]
