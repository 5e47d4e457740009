"""The parts of the search for copies, on arrays whose result is known."""

import numpy as np
import pytest
from skimage import data

from irsde.data.leakage import similarity
from irsde.data.leakage.similarity import (
    ORIENTATIONS,
    SIDE,
    WINDOWS,
    _aligned,
    _candidates,
    _channels,
    _edge_products,
    _features,
    _likeness,
    _oriented,
    _overlap,
    _part,
    _reduced,
    _rows_at,
    _score,
    _Sketches,
    describe,
    find_copies,
)

WHOLE = np.array([0.0, 1.0, 0.0, 1.0])


def thumbnail(image):
    return describe(np.ascontiguousarray(image))


COFFEE, CAT = data.coffee(), data.chelsea()


def test_channels_are_luminance_and_two_differences():
    image = np.zeros((96, 96, 3), np.uint8)
    image[0, 1] = (200, 100, 50)
    found = _channels(image)
    assert found.shape == (3, 96, 96)
    expected = (0.299 * 200 + 0.587 * 100 + 0.114 * 50, 200 - 100, (200 + 100) / 2 - 50)
    np.testing.assert_allclose(found[:, 0, 1], expected, rtol=1e-6)
    assert not found[:, 1, 0].any()


def test_eight_orientations_are_all_different_and_as_named():
    image = np.arange(12).reshape(2, 2, 3)
    found = [_oriented(image, k)[..., 0].tolist() for k in range(ORIENTATIONS)]
    assert found == [
        [[0, 3], [6, 9]], [[3, 0], [9, 6]], [[6, 9], [0, 3]], [[9, 6], [3, 0]],
        [[0, 6], [3, 9]], [[6, 0], [9, 3]], [[3, 9], [0, 6]], [[9, 3], [6, 0]],
    ]  # fmt: skip


def test_blocks_are_averaged():
    image = np.zeros((3, 96, 96), np.float32)
    image[1, 4:8, 8:12] = 2
    image[2, 0, 0] = 16
    found = _reduced(image, 24)
    expected = np.zeros((3, 24, 24))
    expected[1, 1, 2], expected[2, 0, 0] = 2, 1
    np.testing.assert_allclose(found, expected)


def test_rows_are_interpolated_between_their_neighbours():
    image = np.arange(10.0, dtype=np.float32)[None, :, None] ** 2 * np.ones((3, 1, 4), np.float32)
    found = _rows_at(image, np.array([0.0, 1.25, 7.5, 9.0]))[1, :, 2]
    np.testing.assert_allclose(found, [0, 1 + 0.25 * 3, 49 + 0.5 * 15, 81])


def test_an_overlap_shows_the_window_of_the_whole():
    whole = np.zeros((3, 24, 24), np.float32)
    whole += np.arange(24)[:, None] * 100 + np.arange(24)
    part = np.arange(3 * 24 * 24, dtype=np.float32).reshape(3, 24, 24)
    shown, wanted, u, v = _overlap(whole, part, WHOLE)
    rows, columns = shown.shape[1:]
    assert min(rows, columns) >= 23  # the last may lie beyond the edge by rounding
    np.testing.assert_allclose(shown, whole[:, :rows, :columns], atol=1e-3)
    np.testing.assert_array_equal(wanted, part[:, :rows, :columns])
    np.testing.assert_allclose(u, (np.arange(columns) + 0.5) / 24)
    np.testing.assert_allclose(v[:, 0], (np.arange(rows) + 0.5) / 24)
    window = np.array([0.25, 0.75, 0.5, 1.25])
    shown, wanted, u, v = _overlap(whole, part, window)
    columns = (0.25 + 0.5 * (np.arange(24) + 0.5) / 24) * 24 - 0.5
    rows = (0.5 + 0.75 * (np.arange(24) + 0.5) / 24) * 24 - 0.5
    inside = (rows >= 0) & (rows <= 23)
    assert shown.shape == (3, inside.sum(), 24)
    expected = rows[inside][:, None] * 100 + columns
    np.testing.assert_allclose(shown[0], expected, rtol=1e-5)
    np.testing.assert_array_equal(wanted, part[:, inside])
    np.testing.assert_allclose(v[:, 0], ((np.arange(24) + 0.5) / 24)[inside])


def test_features_have_one_length_and_weigh_chroma_by_half():
    flat = np.full((1, 12, 12, 3), 100, np.uint8)
    assert not _features(flat).any()
    pictures = np.random.default_rng(0).integers(0, 256, (2, 12, 12, 3)).astype(np.uint8)
    found = _features(pictures)
    assert found.shape == (2, 2 * 12 * 11 * 3)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 2048, rtol=1e-3)
    np.testing.assert_array_equal(found, np.rint(found))
    expected = []
    channels = pictures[1] @ np.array([[0.299, 1, 0.5], [0.587, -1, 0.5], [0.114, 0, -1]])
    for axis in (0, 1):
        edges = np.diff(channels, axis=axis)
        edges /= np.linalg.norm(edges.reshape(-1, 3), axis=0) + 3
        expected.append((edges * (1, 0.5, 0.5)).ravel())
    expected = np.concatenate(expected)
    expected *= 2048 / np.linalg.norm(expected)
    np.testing.assert_allclose(found[1], expected, atol=0.51)
    faint = flat.copy()
    faint[0, 0, 0] = 101  # the 3 damps what hardly has edges, the length is 2048 all the same
    assert np.linalg.norm(_features(faint)) == pytest.approx(2048, rel=1e-3)


def test_a_part_is_resized_from_its_window():
    from PIL import Image

    image = np.zeros((96, 96, 3), np.uint8)
    image[:, 48:] = 200
    image[48:] += 50
    part = _part(Image.fromarray(image), np.array([0.5, 1.0, 0.0, 0.5]))
    assert part.shape == (12, 12, 3)
    assert (part[:-1, 1:] == 200).all()
    part = _part(Image.fromarray(image), np.array([0.0, 0.5, 0.5, 1.0]))
    assert (part[1:, :-1] == 50).all()


def test_windows_are_all_pairs_of_four_spans():
    spans = {(0.0, 1.0), (0.0, 0.92), (0.08, 1.0), (0.06, 0.94)}
    assert {tuple(w) for w in WINDOWS} == {(*a, *b) for a in spans for b in spans}
    assert tuple(WINDOWS[0]) == (0, 1, 0, 1)


def test_likeness_is_the_largest_product_of_windows_and_orientations():
    generator = np.random.default_rng(0)
    windows = generator.normal(size=(2, 16, 5)).astype(np.float32)
    orientations = generator.normal(size=(3, 8, 5)).astype(np.float32)
    expected = np.einsum("iwf,jof->ijwo", windows, orientations).max(axis=(2, 3))
    np.testing.assert_allclose(_likeness(windows, orientations), expected, rtol=1e-5)


def sketches(rows):
    """Sketches whose whole window and first orientation are the rows, the others nothing."""
    rows = np.asarray(rows, np.float32)
    windows = np.zeros((len(rows), 16, rows.shape[1]), np.float32)
    orientations = np.zeros((len(rows), 8, rows.shape[1]), np.float32)
    windows[:, 3], orientations[:, 5] = rows, rows
    return _Sketches(windows, orientations)


def test_candidates_are_likely_enough_and_at_most_ten():
    shown = sketches([[2048.0, 0.0]])
    levels = [0.35, 0.36, 0.5, 0.99]
    tested = sketches([[2048 * level, 0] for level in levels])
    assert list(_candidates(shown, tested)) == [(0, 1), (0, 2), (0, 3)]
    many = sketches([[2048 * (0.4 + 0.01 * k), 0] for k in range(14)])
    assert list(_candidates(shown, many)) == [(0, j) for j in range(4, 14)]


def test_edges_multiply_channel_by_channel():
    generator = np.random.default_rng(0)
    whole, part = generator.normal(size=(2, 3, 24, 24)).astype(np.float32)
    found = _edge_products(whole, part, WHOLE)
    assert found.shape == (3, 6)
    swapped = _edge_products(part, whole, WHOLE)
    np.testing.assert_allclose(swapped[[0, 2, 1]], found, rtol=1e-4, atol=1e-6)
    same = _edge_products(whole, whole, WHOLE)
    np.testing.assert_allclose(same[0], same[1], rtol=1e-4)
    from scipy.ndimage import gaussian_filter1d

    shown = _overlap(whole, whole, WHOLE)[0]
    edge = gaussian_filter1d(np.diff(shown[1].astype(float), axis=0), 2.25, axis=1)
    assert same[0, 1] == pytest.approx(edge.var(), rel=1e-3)
    edge = gaussian_filter1d(np.diff(shown[2].astype(float), axis=1), 2.25, axis=0)
    assert same[0, 5] == pytest.approx(edge.var(), rel=1e-3)


@pytest.mark.parametrize("window", [(0, 1, 0, 1), (0.05, 0.97, 0.0, 0.95), (0.02, 1.0, 0.06, 0.98)])
def test_the_window_that_is_shown_is_found_again(window):
    pixels = CAT
    height, width = pixels.shape[:2]
    left, right, top, bottom = window
    rows = slice(round(top * height), round(bottom * height))
    columns = slice(round(left * width), round(right * width))
    truth = [columns.start / width, columns.stop / width, rows.start / height, rows.stop / height]
    whole = _reduced(_channels(thumbnail(pixels)), 48)
    part = _reduced(_channels(thumbnail(pixels[rows, columns])), 48)
    for contrast in (1, 0.5, 1.5):
        found = _aligned(whole, np.float32(contrast) * part + 20, WHOLE)
        np.testing.assert_allclose(found, truth, atol=0.006)
    score = _score(_channels(thumbnail(pixels)), _channels(thumbnail(pixels[rows, columns])), WHOLE)
    assert score > 0.95


def test_channels_that_show_something_else_hardly_count():
    height, width = CAT.shape[:2]
    rows, columns = slice(0, round(0.95 * height)), slice(round(0.05 * width), width)
    truth = [columns.start / width, 1, 0, rows.stop / height]
    whole = _reduced(_channels(thumbnail(CAT)), 48)
    part = _reduced(_channels(thumbnail(CAT[rows, columns])), 48).copy()
    noise = np.random.default_rng(0).normal(0, 60, part[1:].shape)
    part[1:] = 3 * np.roll(whole[1:], (3, -3), (1, 2)) + noise
    np.testing.assert_allclose(_aligned(whole, part, WHOLE), truth, atol=0.006)


def test_a_window_stays_near_where_it_started():
    whole = _reduced(_channels(thumbnail(COFFEE)), 24)
    part = _reduced(_channels(thumbnail(COFFEE[100:300, 200:500])), 24)
    found = _aligned(whole, part, WHOLE)
    assert (np.abs(found - WHOLE) <= 0.1 + 1e-9).all()
    flat = np.zeros((3, 24, 24), np.float32)
    np.testing.assert_allclose(_aligned(flat, flat, WINDOWS[5]), WINDOWS[5])


def test_contrast_does_not_matter_but_its_loss_in_the_detail_does():
    cat = _channels(thumbnail(CAT))
    assert _score(cat, cat, WHOLE) == pytest.approx(1, abs=1e-3)
    assert _score(cat, 0.5 * cat, WHOLE) == pytest.approx(1, abs=2e-2)
    assert _score(cat, -cat, WHOLE) == 0
    assert _score(cat, _channels(thumbnail(COFFEE)), WHOLE) == 0


def test_a_score_is_the_correlation_times_the_kept_contrast_squared(monkeypatch):
    """Both computed apart, from products that are given."""
    fine = np.array([[2, 2, 3, 4, 1, 2.0], [4, 4, 4, 5, 4, 4], [4, 4, 4, 5, 4, 4]], np.float32)
    coarse = np.array(
        [[2, 2, 3, 4, 1, 2.0], [4, 4, 3.5, 4.5, 4, 4], [4, 4, 4, 5, 4, 4]], np.float32
    )
    given = iter((fine, fine, fine, coarse))

    def products(whole, part, window):
        assert (whole == 1).all()
        assert (part == 2).all()
        return next(given)

    monkeypatch.setattr(similarity, "_edge_products", products)
    monkeypatch.setattr(similarity, "_aligned", lambda large, small, window: window)
    image = np.ones((3, 96, 96), np.float32)
    correlation = (3 / 4 + 4 / 5) / 2
    of_train = correlation / ((3 / 3.5 + 4 / 4.5) / 2)
    kept = max(of_train, correlation / correlation)
    assert _score(image, 2 * image, WHOLE) == pytest.approx(
        correlation * min(kept, 1) ** 2, rel=1e-4
    )
    weaker = coarse.copy()
    weaker[1:] = [[4, 4, 3, 4, 4, 4], [4, 4, 3.2, 4.5, 4, 4]]
    given = iter((fine, fine, fine, weaker))
    kept = correlation / np.array([(3 / 3 + 4 / 4) / 2, (3 / 3.2 + 4 / 4.5) / 2])
    assert _score(image, 2 * image, WHOLE) == pytest.approx(correlation * kept.max() ** 2, rel=1e-4)


@pytest.mark.parametrize(("level", "least"), [(0, 0.6), (1, 0.45), (2, 0.46)])
def test_a_correlation_below_the_least_of_a_level_ends_the_comparison(level, least, monkeypatch):
    image = np.zeros((3, 96, 96), np.float32)
    for below, expected in ((1e-3, 0), (-1e-3, None)):
        strong, weak = np.ones((3, 6), np.float32), np.ones((3, 6), np.float32)
        strong[0] = 0.9
        weak[0] = least - below
        given = iter([*[strong] * level, *[weak] * (4 - level)])
        monkeypatch.setattr(similarity, "_edge_products", lambda *_, given=given: next(given))
        monkeypatch.setattr(similarity, "_aligned", lambda large, small, window: window)
        found = _score(image, image, WHOLE)
        if expected == 0:
            assert found == 0
        elif level == 2 or least >= 0.46:
            assert found == pytest.approx(least - below, rel=1e-3)


def test_copies_are_named_by_their_places():
    train = [thumbnail(image) for image in (CAT, COFFEE[:, ::-1], data.astronaut())]
    test = [thumbnail(image) for image in (COFFEE, CAT[8:-4, 10:-20])]
    found = [(copy.train, copy.test) for copy in find_copies(train, test)]
    assert found == [(0, 1), (1, 0)]
    assert SIDE == 96


@pytest.mark.parametrize(("amplitude", "shift"), [(0.3, 0.02), (40, 0.02), (40, 0.07)])
def test_steps_to_a_window_solve_least_squares(amplitude, shift):
    """A row for each pixel and channel, and one for each edge of the window, held by a spring."""
    generator = np.random.default_rng(0)
    smooth = _reduced(_channels(thumbnail(CAT)), 24).astype(float)
    whole = amplitude * (smooth / smooth.std() + 0.2 * generator.normal(size=smooth.shape))
    first = np.array([0.06, 0.94, 0.0, 0.92])
    truth = first + np.array([1, -0.5, 1, 0.5]) * shift
    part = np.zeros_like(whole)
    shown, _, u, v = _overlap(whole, whole, truth)
    columns, rows = np.rint(u * 24 - 0.5).astype(int), np.rint(v[:, 0] * 24 - 0.5).astype(int)
    part[:, rows[:, None], columns] = np.array([1.2, 0.7, -0.5])[:, None, None] * shown
    part += 0.1 * amplitude * generator.normal(size=part.shape)
    window = first
    for _ in range(6):
        shown, wanted, u, v = _overlap(whole, part, window)
        lines, targets = [], []
        for x, y in zip(shown, wanted, strict=True):
            x, y = x - x.mean(), y - y.mean()
            contrast = max((x * y).sum() / ((x * x).sum() + 1), 0)
            rest = y - contrast * x
            weight = 1 / np.sqrt((rest**2).mean() + 4)
            down, across = (24 * np.gradient(x, axis=k) for k in (0, 1))
            across, down = across / (window[1] - window[0]), down / (window[3] - window[2])
            slopes = (across * (1 - u), across * u, down * (1 - v), down * v)
            lines.append(weight * contrast * np.stack([slope.ravel() for slope in slopes], axis=1))
            targets.append(weight * rest.ravel())
        lines.append(50**0.5 * np.eye(4))
        targets.append(50**0.5 * (first - window))
        step = np.linalg.lstsq(np.concatenate(lines), np.concatenate(targets), rcond=None)[0]
        step = np.clip(step, -0.04, 0.04)
        window = np.clip(window + step, first - 0.1, first + 0.1)
        if np.abs(step).max() < 0.001:
            break
    np.testing.assert_allclose(_aligned(whole, part, first), window, atol=1e-6)


@pytest.mark.parametrize("turned", range(8))
@pytest.mark.parametrize("in_train", [True, False])
def test_a_match_names_the_whole_the_turned_part_and_its_window(turned, in_train):
    height, width = COFFEE.shape[:2]
    whole = thumbnail(COFFEE)
    cut = thumbnail(COFFEE[: round(0.92 * height), round(0.08 * width) :])
    back = {5: 6, 6: 5}.get(turned, turned)  # a quarter turn is undone by the other one
    part = np.ascontiguousarray(_oriented(cut, back))
    train, test = (whole, part) if in_train else (part, whole)
    other = thumbnail(CAT)
    shown, tested = _Sketches.of([other, train]), _Sketches.of([test, other])
    found = similarity._best_match(train, test, shown, tested, 1, 0)
    np.testing.assert_array_equal(found[0], _channels(whole))
    np.testing.assert_array_equal(found[1], _channels(cut))
    assert found[2].tolist() == [0.08, 1, 0, 0.92]


def test_blocks_of_training_images_are_compared_with_all_test_images(monkeypatch):
    """A score of just 0.46 is that of a copy."""
    scores = {(0, 1): 0.46, (1, 0): 0.459, (2, 0): 0.5, (2, 1): 0.9, (4, 1): 1.0}
    monkeypatch.setattr(similarity, "BLOCK", 2)
    monkeypatch.setattr(similarity, "_best_match", lambda a, b, *_: (a[0, 0, 0], b[0, 0, 0]))
    monkeypatch.setattr(similarity, "_score", lambda a, b: scores.get((int(a), int(b)), 0.0))
    monkeypatch.setattr(
        similarity, "_candidates", lambda x, y: np.ndindex(len(x.windows), len(y.windows))
    )
    train = [np.full((96, 96, 3), k, np.uint8) for k in range(5)]
    found = find_copies(train, train[:2])
    assert [(one.train, one.test, one.score) for one in found] == [
        (0, 1, 0.46), (2, 0, 0.5), (2, 1, 0.9), (4, 1, 1.0),
    ]  # fmt: skip
    assert find_copies([], train) == find_copies(train, []) == []
