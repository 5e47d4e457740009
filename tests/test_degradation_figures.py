"""Figures of degradations: what they show, and that the same examples give the same bytes."""

import numpy as np
import pytest
from skimage import data

from irsde.data.pictures import Example, _most_varied, degradation_figure
from irsde.images import to_float

COFFEE = data.coffee()[100:196, 200:344]
CHELSEA = data.chelsea()[100:196, 150:294]


def example(label, clean, offset):
    return Example(label, clean, to_float(clean) + np.float32(offset))


SYNTHESISED = [
    example(f"draw {i}", clean, 0.1 * i) for clean in (COFFEE, CHELSEA) for i in (1, 2, 3)
]
REAL = [example(f"pair {i}", COFFEE[:, :width], 0.5) for i, width in enumerate((96, 60, 144))]


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Function that draws a figure and gives it, its titles, captions and other texts."""
    from matplotlib.figure import Figure

    figures = []
    save = Figure.savefig

    def keep(figure, *args, **kwargs):
        figures.append(figure)
        save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", keep)

    def draw(examples, real):
        degradation_figure("Deraining", examples, real, tmp_path / "figure.png")
        figure = figures[-1]
        titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
        captions = [axes.get_xlabel() for axes in figure.axes if axes.get_xlabel()]
        return figure, titles, captions, [part.get_suptitle() for part in figure.subfigs]

    return draw


def test_every_example_has_its_label_and_its_psnr(drawn):
    _, titles, captions, texts = drawn(SYNTHESISED, REAL)
    assert sorted(titles) == sorted(
        ["clean"] * 2
        + ["draw 1", "draw 2", "draw 3"] * 2
        + ["pair 0", "pair 1", "pair 2"]
        + ["degraded"] * 3
    )
    assert sorted(set(captions)) == ["10.46 dB", "13.98 dB", "20.00 dB", "6.02 dB", "PSNR"]
    assert captions.count("6.02 dB") == 3
    assert texts == ["Deraining: synthesised", "benchmark"]


def test_missing_real_samples_are_said_to_be_missing(drawn):
    _, titles, _, texts = drawn(SYNTHESISED, [])
    assert texts == ["Deraining: synthesised", "no real samples\nadopted"]
    assert "degraded" not in titles


def test_images_are_the_pixels_and_the_detail_is_the_framed_window(drawn):
    figure, *_ = drawn(SYNTHESISED, REAL)
    whole, detail = figure.axes[0], figure.axes[4]
    (frame,) = whole.patches
    left, top = (int(corner + 0.5) for corner in frame.get_xy())
    window = COFFEE[top : top + round(frame.get_height()), left : left + round(frame.get_width())]
    assert np.array_equal(whole.images[0].get_array(), COFFEE)
    assert np.array_equal(detail.images[0].get_array(), window)
    assert window.shape == (32, 48, 3)


def test_images_stand_side_by_side_without_overlap(drawn):
    figure, *_ = drawn(SYNTHESISED, REAL)
    boxes = [axes.get_window_extent() for axes in figure.axes]
    assert len(boxes) == 2 * (2 * 4 + 2 * 3)
    for box in boxes:
        assert figure.bbox.contains(*box.min)
        assert figure.bbox.contains(*box.max)
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])


def test_more_examples_than_fit_are_left_out(drawn):
    many = [example(str(i), clean, 0.1) for clean in (COFFEE, CHELSEA, COFFEE) for i in range(5)]
    _, titles, _, _ = drawn(many, REAL * 2)
    assert titles.count("clean") == 2
    assert titles.count("2") == 2
    assert "3" not in titles
    assert titles.count("degraded") == 3


def test_detail_is_where_the_difference_varies():
    degraded = to_float(COFFEE)
    degraded[70:90:2, 100:130] += 0.5
    rows, columns = _most_varied([degraded], COFFEE)
    assert rows.start <= 70
    assert rows.stop >= 89
    assert columns.start <= 100
    assert columns.stop >= 130


def test_same_examples_give_the_same_bytes_without_the_program_in_them(tmp_path):
    from matplotlib import pyplot as plt

    for name in ("first", "second"):
        degradation_figure("Deraining", SYNTHESISED, REAL, tmp_path / f"{name}.png")
    first, second = ((tmp_path / f"{name}.png").read_bytes() for name in ("first", "second"))
    assert first == second
    assert b"matplotlib" not in first.lower()
    assert not plt.get_fignums()
