"""The catalogue of data sets: what it holds, and that its patterns fit the files handed around."""

from pathlib import PurePosixPath

import pytest

from irsde.data.adopt.fingerprints import read_fingerprints
from irsde.data.catalogue import PARTS, common_scenes, find_split, read_catalogue
from irsde.data.listing import described
from irsde.files import InputError
from tests.project import PROJECT

PROMISED = [
    "photographs-train", "photographs-validation", "photographs-test", "rain100h-train",
    "rain100h-test", "rain100l-train", "rain100l-test", "raindrop-train", "raindrop-test-a",
    "raindrop-test-b", "gopro-train", "gopro-test", "gopro-samples", "bsd400", "bsd32", "cbsd68",
    "kodak24", "mcmaster", "div2k-train", "div2k-validation", "flickr2k", "set5-x4", "set14-x4",
    "bsd100-x4", "urban100-x4", "celeba-hq-256-train", "celeba-hq-256-test",
    "celeba-hq-samples-train", "celeba-hq-samples-validation", "celeba-hq-samples-test",
    "masks-thin", "masks-thick", "reside-its", "sots-indoor", "sots-indoor-17", "sots-outdoor",
    "o-haze", "lol-train", "lol-test",
]  # fmt: skip

# Files as archives and other people's folders hold them: split, clean file, degraded file, pieces.
PAIRS = [
    ("rain100h-train", "RainTrainH/norain-1.png", "RainTrainH/rain-1.png", "1"),
    (
        "rain100h-train",
        "rain_data_train_Heavy/norain/norain-1.png",
        "rain_data_train_Heavy/rain/X2/norain-1x2.png",
        "1",
    ),
    ("rain100h-train", "rain/trainH/GT/1.png", "rain/trainH/LQ/1.png", "1"),
    ("rain100h-test", "Rain100H/norain-001.png", "Rain100H/rain-001.png", "001"),
    ("rain100h-test", "Rain100H/norain-001.png", "Rain100H/rainy/rain-001.png", "001"),
    ("rain100h-test", "Rain100H/target/1.png", "Rain100H/input/1.png", "1"),
    ("rain100h-test", "norain-001.png", "rain-001.png", "001"),
    ("rain100h-test", "GT/1.png", "LQ/1.png", "1"),
    ("rain100l-train", "RainTrainL/norain-1.png", "RainTrainL/rain-1.png", "1"),
    ("rain100l-test", "Rain100L/norain-001.png", "Rain100L/rainy/rain-001.png", "001"),
    ("raindrop-train", "train/gt/0_clean.png", "train/data/0_rain.png", "0"),
    ("raindrop-test-a", "test_a/gt/0_clean.png", "test_a/data/0_rain.png", "0"),
    ("raindrop-test-b", "test_b/gt/0_clean.jpg", "test_b/data/0_rain.jpg", "0"),
    ("gopro-samples", "images/Flower_sharp1.png", "images/Flower_blur1.png", "Flower"),
    ("gopro-samples", "GT/Istanbul.png", "LQ/Istanbul.png", "Istanbul"),
    (
        "div2k-train",
        "DIV2K_train_HR/0001.png",
        "DIV2K_train_LR_bicubic/X4/0001x4.png",
        "0001",
    ),
    (
        "div2k-validation",
        "DIV2K_valid_HR/0801.png",
        "DIV2K_valid_LR_bicubic/X4/0801x4.png",
        "0801",
    ),
    (
        "flickr2k",
        "Flickr2K/Flickr2K_HR/000001.png",
        "Flickr2K/Flickr2K_LR_bicubic/X4/000001x4.png",
        "000001",
    ),
    (
        "set5-x4",
        "SelfExSR-master/data/Set5/image_SRF_4/img_001_SRF_4_HR.png",
        "SelfExSR-master/data/Set5/image_SRF_4/img_001_SRF_4_LR.png",
        "img_001",
    ),
    ("set5-x4", "benchmark/Set5/HR/baby.png", "benchmark/Set5/LR_bicubic/X4/babyx4.png", "baby"),
    ("set5-x4", "Set5_HR/baby.png", "Set5_LR_x4/baby.png", "baby"),
    ("set14-x4", "Set14/HR/baboon.png", "Set14/LR_bicubic/X4/baboonx4.png", "baboon"),
    ("bsd100-x4", "benchmark/B100/HR/3096.png", "benchmark/B100/LR_bicubic/X4/3096x4.png", "3096"),
    ("urban100-x4", "Urban100/HR/img004.png", "Urban100/LR_bicubic/X4/img004x4.png", "img004"),
    ("celeba-hq-samples-test", "face/hq/269.png", "face/lq/269.png", "269"),
    ("o-haze", "O-HAZE/GT/01_outdoor_GT.jpg", "O-HAZE/hazy/01_outdoor_hazy.jpg", "01_outdoor"),
    ("lol-train", "lol_dataset/our485/high/2.png", "lol_dataset/our485/low/2.png", "2"),
    ("lol-test", "lol_dataset/eval15/high/1.png", "lol_dataset/eval15/low/1.png", "1"),
]

# Several degraded images of one clean one: the piece that tells them apart.
VERSIONS = [
    ("reside-its", "ITS/clear/1.png", "ITS/hazy/1_1_0.90179.png", "1", "1_0.90179"),
    ("reside-its", "GT/1.png", "LQ/1_1_0.90179.png", "1", "1_0.90179"),
    ("sots-indoor", "SOTS/indoor/gt/1400.png", "SOTS/indoor/hazy/1400_10.png", "1400", "10"),
    ("sots-indoor-17", "GT/1400.png", "LQ/1400_1.png", "1400", "1"),
    (
        "sots-outdoor",
        "SOTS/outdoor/gt/0001.png",
        "SOTS/outdoor/hazy/0001_0.8_0.2.jpg",
        "0001",
        "0.8_0.2",
    ),
]

# Images of a video sequence: its folder or name is their scene.
SEQUENCES = [
    (
        "gopro-test",
        "GOPRO_Large/test/GOPR0384_11_00/sharp/000001.png",
        "GOPRO_Large/test/GOPR0384_11_00/blur/000001.png",
    ),
    ("gopro-test", "target/GOPR0384_11_00-000001.png", "input/GOPR0384_11_00-000001.png"),
    (
        "gopro-train",
        "train/GOPR0384_11_00/sharp/000001.png",
        "train/GOPR0384_11_00/blur/000001.png",
    ),
]

ALONE = [
    ("bsd400", "clean", "BSDS500-master/BSDS500/data/images/train/8049.jpg", "8049"),
    ("bsd400", "clean", "BSDS500/test/100007.jpg", "100007"),
    ("bsd32", "clean", "BSR/BSDS500/data/images/val/8023.jpg", "8023"),
    ("cbsd68", "clean", "CBSD68/0/101085.png", "101085"),
    ("cbsd68", "clean", "CBSD68-dataset-master/CBSD68/original_png/0000.png", "0000"),
    ("cbsd68", "clean", "0000.png", "0000"),
    ("kodak24", "clean", "FFDNet/testsets/Kodak24/kodim01.png", "kodim01"),
    ("mcmaster", "clean", "McM/1.png", "1"),
    ("flickr2k", "clean", "Flickr2K/000001.png", "000001"),
    ("celeba-hq-256-train", "clean", "00100.jpg", "00100"),
    ("celeba-hq-256-test", "clean", "val/uncompleted/GT/00000.jpg", "00000"),
    ("celeba-hq-samples-train", "clean", "celeba_hq/ref/female/015248.jpg", "015248"),
    ("celeba-hq-samples-validation", "clean", "MaskGAN_demo/samples/0.jpg", "0"),
    ("celeba-hq-samples-test", "mask", "face/mask/269.png", "269"),
    ("masks-thin", "mask", "gt_keep_masks/thin/000000.png", "000000"),
    ("masks-thick", "mask", "gt_keep_masks/thick/000000.png", "000000"),
]


@pytest.fixture(scope="module")
def families():
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(PROJECT)
        return read_catalogue()


@pytest.fixture(scope="module")
def splits(families):
    return {name: split for family in families.values() for name, split in family.splits.items()}


def matches(split, files):
    """Pieces of the files by part, by the first layout that fits all of them; None if none does."""
    for layout in split.layouts:
        found = {part: layout.match(part, PurePosixPath(path)) for part, path in files.items()}
        if all(pieces is not None for pieces in found.values()):
            return found
    return None


def test_every_promised_data_set_is_there(splits):
    assert sorted(splits) == sorted(PROMISED)


@pytest.mark.parametrize(("split", "clean", "degraded", "image"), PAIRS)
def test_a_pair_of_files_belongs_together(splits, split, clean, degraded, image):
    pieces = {"image": image}
    found = matches(splits[split], {"clean": clean, "degraded": degraded})
    assert found == {"clean": pieces, "degraded": pieces}


@pytest.mark.parametrize(("split", "clean", "degraded", "image", "version"), VERSIONS)
def test_several_versions_share_a_clean_image(splits, split, clean, degraded, image, version):
    assert matches(splits[split], {"clean": clean, "degraded": degraded}) == {
        "clean": {"image": image},
        "degraded": {"image": image, "version": version},
    }


@pytest.mark.parametrize(("split", "clean", "degraded"), SEQUENCES)
def test_the_sequence_of_a_frame_is_its_scene(splits, split, clean, degraded):
    pieces = {"scene": "GOPR0384_11_00", "image": "000001"}
    found = matches(splits[split], {"clean": clean, "degraded": degraded})
    assert found == {"clean": pieces, "degraded": pieces}


@pytest.mark.parametrize(("split", "part", "path", "image"), ALONE)
def test_a_clean_image_or_mask_is_found_alone(splits, split, part, path, image):
    assert matches(splits[split], {part: path}) == {part: {"image": image}}


def test_every_data_set_with_files_has_an_example(splits):
    shown = {name for name, *_ in [*PAIRS, *VERSIONS, *SEQUENCES, *ALONE]}
    assert shown == {name for name, split in splits.items() if not split.photographs}


@pytest.mark.parametrize(
    ("split", "part", "path"),
    [
        ("bsd400", "clean", "BSDS500/data/images/val/8023.jpg"),
        ("bsd32", "clean", "BSDS500/data/images/train/8049.jpg"),
        ("rain100h-test", "clean", "RainTrainH/norain-1.png"),
        ("rain100h-test", "degraded", "Rain100H/norain-001.png"),
        ("rain100l-train", "degraded", "RainTrainL/rainstreak-1.png"),
        ("div2k-validation", "clean", "DIV2K_train_HR/0001.png"),
        ("gopro-test", "degraded", "test/GOPR0384_11_00/blur_gamma/000001.png"),
        ("cbsd68", "clean", "CBSD68/noisy25/0000.png"),
        ("sots-indoor", "degraded", "SOTS/outdoor/hazy/0001_0.8_0.2.jpg"),
        ("masks-thin", "mask", "gt_keep_masks/thick/000000.png"),
    ],
)
def test_the_most_particular_layout_leaves_other_files_out(splits, split, part, path):
    assert splits[split].layouts[0].match(part, PurePosixPath(path)) is None


def test_layouts_say_what_a_data_set_has(splits):
    for name, split in splits.items():
        if split.photographs:
            assert len(split.photographs) == split.images, name
            continue
        given = {part for layout in split.layouts for part in PARTS if getattr(layout, part)}
        assert ("clean" in given) == (split.role != "masks"), name
        assert ("degraded" in given) == (split.degraded > 0), name
        assert all(layout.clean or layout.mask for layout in split.layouts), name
        assert split.note, name


def test_degraded_images_of_a_family_belong_to_one_task_at_most(families):
    for name, family in families.items():
        if any(split.degraded for split in family.splits.values()):
            assert len(family.tasks) <= 1, name


def test_a_family_is_cited_and_says_how_it_is_got(families):
    for name, family in families.items():
        assert family.citation, name
        assert family.page.startswith(("https://", "http://")), name
        assert "\n" not in family.citation + family.by_hand, name
        for name_of_split, split in family.splits.items():
            known = split.photographs or f"--as {name_of_split}" in family.by_hand
            assert known, name_of_split


def test_sets_with_common_scenes_know_of_each_other(monkeypatch):
    monkeypatch.chdir(PROJECT)
    for first, second, words in (
        ("lol-train", "lol-test", "14 of the 15 test images"),
        ("rain100h-test", "rain100l-test", "the same 91 scenes"),
        ("rain100h-test", "bsd400", "67 common scenes"),
    ):
        assert words in common_scenes(first, second)
        assert words in common_scenes(second, first)
        assert words in described(first)
        assert words in described(second)
    assert common_scenes("lol-train", "kodak24") == ""


def test_what_the_catalogue_says_of_common_scenes_is_what_the_fingerprints_say(monkeypatch):
    monkeypatch.chdir(PROJECT)
    scenes = {
        name: {one.scene for one in read_fingerprints(name) if one.part == "clean"}
        for name in ("rain100h-test", "rain100l-test", "bsd400", "cbsd68")
    }
    for name in ("rain100h-test", "rain100l-test"):
        assert len(scenes[name]) == 91
        assert len(scenes[name] & scenes["bsd400"]) == 67
        assert len(scenes[name] & scenes["cbsd68"]) == 24
    assert scenes["rain100h-test"] == scenes["rain100l-test"]


def test_mirrors_are_web_addresses(families):
    archives = [archive for family in families.values() for archive in family.archives]
    for archive in archives:
        for mirror in archive.mirrors:
            parts = (mirror,) if isinstance(mirror, str) else mirror
            assert all(part.startswith(("https://", "http://")) for part in parts), archive.name


def test_an_unknown_data_set_is_refused_with_what_there_is(monkeypatch):
    monkeypatch.chdir(PROJECT)
    with pytest.raises(InputError, match=r"no data set 'rain100'.*rain100h-test"):
        find_split("rain100")
