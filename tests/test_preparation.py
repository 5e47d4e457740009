"""Pairs of a task: given degraded images, windows, masks, left-out scenes, decoded cache."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from irsde.data import pairs as cache
from irsde.data.pairs import Pair, draw_patch, load_pairs
from irsde.data.prepare import prepare
from irsde.data.sets import Record, prepared_card, read_records, write_dataset
from irsde.degradations.resampling import downsample_bicubic
from irsde.experiment.cards import DatasetCard
from irsde.experiment.grid import pairs_folder
from irsde.experiment.profile import DataSettings, TaskData
from irsde.files import InputError, digest
from irsde.images import read_image, to_float, to_pixels, write_image
from irsde.seeds import numpy_generator
from irsde.tasks import TASKS, Degradation


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cache, "CACHE", tmp_path / "cache")


def picture(name, height=40, width=48):
    return numpy_generator("picture", name).integers(0, 256, (height, width, 3), dtype=np.uint8)


def make_set(folder, parts, tasks=(), scenes=None, **card):
    """A data set of the given images: name -> (clean, degraded or None, mask or None)."""
    for part in ("GT", "LQ", "mask"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    records = []
    for name, images in parts.items():
        fields = {}
        for part, key, pixels in zip(
            ("GT", "LQ", "mask"), ("gt", "lq", "mask"), images, strict=True
        ):
            if pixels is not None:
                write_image(folder / part / f"{name}.png", pixels)
                fields |= {key: f"{part}/{name}.png", f"{key}_sha256": digest(pixels.tobytes())}
        records.append(Record(name, (scenes or {}).get(name, name), **fields))
    about = {"dataset": folder.name, "label": folder.name, "licence": "none", "source": "made"}
    content = DatasetCard.model_validate({**about, "tasks": list(tasks), **card})
    write_dataset(folder, records, content)


def settings(**changes):
    return TaskData.model_validate(
        {"train": "train-set", "validation": "validation-set", "test": "test-set", **changes}
    )


def clean_set(tmp_path, name, images=("a", "b"), **kwargs):
    make_set(tmp_path / "data" / name, {n: (picture(n), None, None) for n in images}, **kwargs)


def test_degraded_images_that_come_with_a_set_are_used_for_its_own_task_only(tmp_path):
    given = picture("given")
    make_set(tmp_path / "data/test-set", {"a": (picture("a"), given, None)}, tasks=["deraining"])
    folder = prepare("p", "deraining", "test-set", settings())
    assert np.array_equal(load_pairs(folder)[0].lq, given)
    assert prepared_card(folder).degradation == "as the data set comes"
    folder = prepare("p", "dehazing", "test-set", settings())
    assert not np.array_equal(load_pairs(folder)[0].lq, given)
    assert "haze" in prepared_card(folder).degradation


def test_windows_cut_the_same_place_of_both_images(tmp_path):
    clean, given = picture("a"), picture("given")
    make_set(tmp_path / "data/test-set", {"a": (clean, given, None)}, tasks=["deraining"])
    folder = prepare("p", "deraining", "test-set", settings(window=16, windows_per_image=2))
    pairs = load_pairs(folder)
    assert [pair.image for pair in pairs] == ["a_0", "a_1"]
    for pair, (top, left) in zip(pairs, ((8, 11), (16, 21)), strict=True):
        assert np.array_equal(pair.x0, clean[top : top + 16, left : left + 16])
        assert np.array_equal(pair.lq, given[top : top + 16, left : left + 16])
        assert pair.source == "a"


def test_windows_of_small_images_lie_where_those_of_the_clean_ones_do(tmp_path):
    clean = picture("a", 43, 50)
    small = to_pixels(downsample_bicubic(to_float(clean[:40, :48])))
    make_set(tmp_path / "data/test-set", {"a": (clean, small, None)}, tasks=["super-resolution"])
    folder = prepare("p", "super-resolution", "test-set", settings(window=16))
    (pair,) = load_pairs(folder)
    assert np.array_equal(pair.x0, clean[12:28, 16:32])
    assert np.array_equal(pair.lq, small[3:7, 4:8])
    assert pair.mu.shape == (16, 16, 3)
    nearest = prepare("p", "super-resolution", "test-set", settings(window=16, enlarge="nearest"))
    (repeated,) = load_pairs(nearest)
    assert np.array_equal(repeated.mu, to_float(small[3:7, 4:8]).repeat(4, 0).repeat(4, 1))


def test_sizes_that_do_not_fit_are_refused_by_name(tmp_path):
    make_set(
        tmp_path / "data/test-set",
        {"a": (picture("a"), picture("b", 40, 47), None)},
        tasks=["deraining"],
    )
    with pytest.raises(InputError, match=r"LQ/a.png: 47x40 pixels where 48x40 fit"):
        prepare("p", "deraining", "test-set", settings())
    assert not pairs_folder("p", "deraining", "test-set").exists()


def test_training_images_stay_where_they_are_and_are_read_through_the_cache(tmp_path):
    clean_set(tmp_path, "train-set")
    folder = prepare("p", "denoising", "train-set", settings())
    assert not list((folder / "GT").iterdir())
    pairs = load_pairs(folder)
    assert [type(pair.x0) for pair in pairs] == [np.memmap] * 2
    assert np.array_equal(pairs[0].x0, picture("a"))
    stored = sorted(cache.CACHE.rglob("*.npy"))
    assert len(stored) == 2
    times = [file.stat().st_mtime_ns for file in stored]
    load_pairs(folder)
    assert [file.stat().st_mtime_ns for file in stored] == times


def test_the_cache_refuses_a_file_that_is_not_the_recorded_image(tmp_path):
    clean_set(tmp_path, "train-set")
    folder = prepare("p", "denoising", "train-set", settings())
    write_image(tmp_path / "data/train-set/GT/a.png", picture("other"))
    with pytest.raises(InputError, match=r"a.png: not the image that pairs.csv records"):
        load_pairs(folder)
    assert len(list(cache.CACHE.rglob("*.npy"))) <= 1


def test_a_damaged_file_of_the_cache_is_refused_with_what_to_do(tmp_path):
    clean_set(tmp_path, "train-set")
    folder = prepare("p", "denoising", "train-set", settings())
    load_pairs(folder)
    stored = sorted(cache.CACHE.rglob("*.npy"))[0]
    stored.write_bytes(stored.read_bytes()[:200])
    with pytest.raises(InputError, match="delete it"):
        load_pairs(folder)


def test_scenes_of_other_sets_are_left_out_of_training_but_not_of_the_test(tmp_path):
    scenes = {"a": "bsd-1", "b": "bsd-2"}
    clean_set(tmp_path, "train-set", scenes=scenes)
    clean_set(tmp_path, "test-set", images=("x",), scenes={"x": "bsd-1"})
    chosen = settings(without="test-set", realizations=2)
    train = prepare("p", "deblurring", "train-set", chosen)
    assert [record.image for record in read_records(train)] == ["b_0", "b_1"]
    test = prepare("p", "deblurring", "test-set", chosen)
    assert [record.image for record in read_records(test)] == ["x"]
    everything = settings(without=["test-set", "other"])
    clean_set(tmp_path, "other", images=("y",), scenes={"y": "bsd-2"})
    with pytest.raises(InputError, match="no image is left"):
        prepare("p", "deblurring", "train-set", everything)


def test_masks_of_the_profile_then_of_the_set_then_generated_ones_make_the_holes(tmp_path):
    clean, white = picture("a"), np.full((40, 48, 3), 255, np.uint8)
    own, other = white.copy(), white.copy()
    own[:20], other[:, :24] = 0, 0
    make_set(tmp_path / "data/masks", {"m": (None, None, other)})
    make_set(tmp_path / "data/test-set", {"a": (clean, picture("lq"), own)}, tasks=["inpainting"])
    make_set(tmp_path / "data/validation-set", {"a": (clean, None, None)})
    catalogue(masks="black", **{"test-set": "black"})
    chosen = settings(masks="masks")
    (by_own,) = load_pairs(prepare("p", "inpainting", "test-set", settings()))
    assert (by_own.lq[:20] == 255).all()
    assert np.array_equal(by_own.lq[20:], clean[20:])
    (by_set,) = load_pairs(prepare("p", "inpainting", "test-set", chosen))
    assert (by_set.lq[:, :24] == 255).all()
    assert np.array_equal(by_set.lq[:, 24:], clean[:, 24:])
    (generated,) = load_pairs(prepare("p", "inpainting", "validation-set", settings()))
    assert not np.array_equal(generated.lq, by_set.lq)


def catalogue(**holes):
    """A catalogue of sets with masks in which white or black marks the holes."""
    splits = {
        name: {
            "label": name,
            "role": "test",
            "images": 1,
            "holes": marked,
            "layouts": [{"clean": "GT/{image}.*", "mask": "mask/{image}.*"}],
        }
        for name, marked in holes.items()
    }
    family = {"label": "f", "tasks": ["inpainting"], "licence": "none", "splits": splits}
    Path("data/catalogue.yaml").write_text(yaml.safe_dump({"family": family}))


@pytest.mark.parametrize("holes", ["white", "black"])
def test_the_catalogue_says_what_marks_a_hole(tmp_path, holes):
    clean, mask = picture("a"), np.zeros((40, 48, 3), np.uint8)
    mask[:20] = 255
    if holes == "black":
        mask = 255 - mask
    make_set(tmp_path / "data/test-set", {"a": (clean, None, mask)}, tasks=["inpainting"])
    catalogue(**{"test-set": holes})
    (pair,) = load_pairs(prepare("p", "inpainting", "test-set", settings()))
    assert (pair.lq[:20] == 255).all()
    assert np.array_equal(pair.lq[20:], clean[20:])


def test_large_images_are_reduced_to_the_wanted_side(tmp_path):
    make_set(tmp_path / "data/train-set", {"a": (picture("a", 80, 60), None, None)})
    folder = prepare("p", "denoising", "train-set", settings(resize=30))
    (pair,) = load_pairs(folder)
    assert pair.x0.shape == (40, 30, 3)
    assert read_image(folder / "GT/a.png").shape == (40, 30, 3)


def test_preparation_does_not_depend_on_the_number_of_cores(tmp_path, monkeypatch):
    clean_set(tmp_path, "test-set", images=[f"i{k}" for k in range(6)])
    tables = []
    for cores in (1, 4):
        monkeypatch.setattr("os.cpu_count", lambda cores=cores: cores)
        tables.append(
            (prepare("p", "deraining", "test-set", settings()) / "pairs.csv").read_bytes()
        )
    assert tables[0] == tables[1]


@pytest.mark.parametrize("task", ["super-resolution", "deraining"])
def test_patches_of_both_images_show_the_same_place(task):
    clean = np.zeros((32, 32, 3), np.uint8)
    clean[..., 0], clean[..., 1] = np.mgrid[:32, :32] * 8
    scale = TASKS[task].scale
    lq = clean if scale == 1 else clean.reshape(8, 4, 8, 4, 3).mean((1, 3)).astype(np.uint8)
    pair = Pair("a", "a", clean, lq, scale=scale, enlarge="nearest")
    for k in range(8):
        x0, mu = draw_patch(pair, TASKS[task], 16, numpy_generator("patch", k), Degradation())
        assert np.abs(x0 - mu).max() <= (0 if scale == 1 else 13 / 255)


def test_a_patch_that_is_no_multiple_of_the_scale_is_refused():
    pair = Pair("a", "a", picture("a"), picture("b", 10, 12), scale=4)
    with pytest.raises(InputError, match="18 is no multiple of the scale 4"):
        draw_patch(pair, TASKS["super-resolution"], 18, numpy_generator("x"), Degradation())


def test_settings_of_a_task_override_those_of_all():
    data = DataSettings.model_validate(
        {
            "train": "t",
            "validation": "v",
            "test": ["x", "y"],
            "window": 64,
            "tasks": {"denoising": {"test": "z", "noise_level": "50/255", "window": 32}},
        }
    )
    assert data.of("deraining").test == ("x", "y")
    assert data.of("deraining").noise_level is None
    chosen = data.of("denoising")
    assert (chosen.test, chosen.window, chosen.train) == (("z",), 32, ("t",))
    assert chosen.noise_level == 50 / 255


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"test": "t"}, "must be different"),
        ({"test": []}, "names no data set for dehazing"),
        ({"tasks": {"dehazing": {"noise_level": 0.1}}}, "is a setting of denoising"),
        ({"tasks": {"dehazing": {"masks": "m"}}}, "is a setting of inpainting"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, words):
    content = {"train": "t", "validation": "v", "test": "x", **changes}
    with pytest.raises(ValueError, match=words):
        DataSettings.model_validate(content).of("dehazing")
