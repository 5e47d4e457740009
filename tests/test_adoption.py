"""Adoption: images recognised by pixels, compared, paired, put into data/ or refused with a reason.

Most tests use a small catalogue of smooth random pictures; those on the benchmark images skip
where these are absent.
"""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from irsde.cli import main
from irsde.data.adopt.adoption import adopt
from irsde.data.adopt.fingerprints import (
    NEAR,
    find_images,
    known_sets,
    perceptual_hash,
    read_fingerprints,
)
from irsde.data.adopt.known_sets import record_fingerprints
from irsde.data.adopt.own_sets import index_own
from irsde.data.fetch.photographs import write_photographs
from irsde.data.sets import dataset_card, read_records
from irsde.files import InputError, digest
from irsde.images import read_image
from tests.project import PROJECT
from tests.reference import DATA, needs_data

CATALOGUE = """
rain:
  label: Rain
  tasks: [deraining]
  licence: free
  splits:
    rain-test:
      label: Rain test
      role: test
      images: 3
      degraded: 6
      sizes: [64x48]
      layouts:
        - {clean: "clear/{image}.png", degraded: "rainy/{image}_{version}.png"}
        - {clean: "GT/{image}.*", degraded: "LQ/{image}_{version}.*"}
films:
  label: Films
  tasks: [deblurring]
  licence: free
  splits:
    films-test:
      label: Films test
      role: test
      images: 4
      degraded: 4
      layouts:
        - {clean: "{scene}/sharp/{image}.png", degraded: "{scene}/blur/{image}.png"}
small:
  label: Small
  tasks: [super-resolution]
  licence: free
  splits:
    small-x4:
      label: Small images
      role: test
      images: 2
      degraded: 2
      layouts:
        - {clean: "{image}_HR.*", degraded: "{image}_LR.*"}
        - {clean: "{image}.png", degraded: "{image}x4.png"}
faces:
  label: Faces
  tasks: [inpainting]
  licence: free
  splits:
    faces-test:
      label: Faces test
      role: test
      images: 4
    holes:
      label: Holes
      role: masks
      images: 2
      holes: black
      layouts:
        - {mask: "holes/{image}.png"}
photographs:
  label: Photographs
  tasks: [denoising]
  licence: stated for each
  splits:
    two-photographs:
      label: two photographs
      role: test
      images: 2
      photographs: {coffee: CC0, camera: CC0}
    no-photographs:
      label: none
      role: test
      images: 1
      photographs: {no_such_image: CC0}
"""


def picture(seed, size=(64, 48)):
    """A smooth picture that looks like no other."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def save(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


@pytest.fixture
def project(tmp_path, monkeypatch):
    folder = tmp_path / "project"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "catalogue.yaml").write_text(CATALOGUE)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def rain(tmp_path):
    """Three clean images with two rainy versions each."""
    folder = tmp_path / "Rain"
    for k in range(3):
        save(folder / "clear" / f"{k}.png", picture(k))
        for version in "ab":
            save(folder / "rainy" / f"{k}_{version}.png", picture(1000 * k + ord(version)))
    return folder


@pytest.fixture
def known_rain(project, rain):
    """The same, its fingerprints known, and not in data/."""
    adopt(rain, "rain-test")
    record_fingerprints("rain-test")
    shutil.rmtree("data/rain-test")
    return rain


@pytest.fixture
def known_faces(project, tmp_path):
    """Four clean images, their fingerprints known, and not in data/."""
    folder = tmp_path / "Faces"
    for k in range(4):
        save(folder / f"face{k}.png", picture(100 + k))
    adopt(folder, "faces-test")
    record_fingerprints("faces-test")
    shutil.rmtree("data/faces-test")
    return folder


def contents(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def changed(source, target, change):
    """A copy of a folder with every image changed and saved as PNG."""
    for path in source.rglob("*.png"):
        with Image.open(path) as image:
            save(target / path.relative_to(source), change(image))
    return target


def refused(*arguments, **options):
    """Message of a refusal, after which data/ is as before."""
    before = contents(project_data())
    with pytest.raises(InputError) as error:
        adopt(*arguments, **options)
    assert "\n" not in str(error.value)
    assert contents(project_data()) == before
    return str(error.value)


def project_data():
    return Path("data").resolve()


# Finding images


def test_images_are_found_at_any_depth_and_links_in_a_circle_end(tmp_path):
    save(tmp_path / "b" / "c" / "deep.PNG", picture(1))
    save(tmp_path / "a.jpeg", picture(2))
    save(tmp_path / ".hidden" / "x.png", picture(3))
    save(tmp_path / "__MACOSX" / "x.png", picture(3))
    save(tmp_path / "._a.png", picture(3))
    (tmp_path / "notes.txt").write_text("none")
    (tmp_path / "b" / "circle").symlink_to(tmp_path)
    found, unreadable = find_images(tmp_path)
    assert [str(file.place) for file in found] == ["a.jpeg", "b/c/deep.PNG"]
    assert unreadable == {}


def test_files_that_cannot_be_used_are_listed_with_the_reason(tmp_path):
    save(tmp_path / "a.png", picture(1))
    (tmp_path / "b.png").write_bytes(b"")
    (tmp_path / "c.png").symlink_to(tmp_path / "absent.png")
    found, unreadable = find_images(tmp_path)
    assert [str(file.place) for file in found] == ["a.png"]
    assert unreadable == {"b.png": "an empty file; get it again", "c.png": "no such file"}


def test_copies_look_alike_and_other_pictures_do_not():
    def bits(first, second):
        return (int(first, 16) ^ int(second, 16)).bit_count()

    image = picture(1, (256, 192))
    look = perceptual_hash(np.asarray(image))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=40)
    for copy in (Image.open(stream), image.resize((128, 96)), image.crop((0, 0, 255, 191))):
        assert bits(look, perceptual_hash(np.asarray(copy))) <= NEAR
    for seed in range(2, 40):
        assert bits(look, perceptual_hash(np.asarray(picture(seed, (256, 192))))) > NEAR


# Recognising known sets


def test_a_renamed_shuffled_and_scattered_copy_is_recognised_whole(known_rain, tmp_path):
    adopt(known_rain, "rain-test")
    expected = read_records(project_data() / "rain-test")
    shutil.rmtree("data/rain-test")
    for k, path in enumerate(sorted(known_rain.rglob("*.png"), key=lambda path: path.name[::-1])):
        target = tmp_path / "scattered" / "/".join("x" * (k % 3)) / f"IMG_{k * 7 % 9}.PNG"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    lines = adopt(tmp_path / "scattered")
    assert lines == [
        "rain-test: 6 of 6 pairs agree; linked into data/rain-test",
        "adopted rain-test",
    ]
    assert read_records(project_data() / "rain-test") == expected


def test_pixels_count_and_not_the_file(known_rain, tmp_path):
    repacked = tmp_path / "repacked"
    for path in known_rain.rglob("*.png"):
        with Image.open(path) as image:
            save(repacked / path.relative_to(known_rain), image, compress_level=0)
    assert adopt(repacked)[0].startswith("rain-test: 6 of 6 pairs agree")


def test_the_card_says_that_all_agree(known_rain):
    adopt(known_rain)
    card = dataset_card(project_data() / "rain-test")
    assert card.agreement.content() == {"pairs": 6, "agree": 6, "differ": {}, "missing": 0}
    assert card.verified is True
    assert (card.label, card.tasks, card.licence) == ("Rain test", ["deraining"], "free")
    assert (card.source, card.pairs, card.scenes) == ("Rain", 6, 3)


def test_several_sets_in_one_folder_are_all_adopted(known_rain, known_faces, tmp_path):
    save(tmp_path / "stray.png", picture(999))
    lines = adopt(tmp_path / ".")
    assert lines == [
        "rain-test: 6 of 6 pairs agree; linked into data/rain-test",
        "faces-test: 4 of 4 images agree; linked into data/faces-test",
        "of no known data set: 1 image (stray.png)",
        "adopted rain-test, faces-test",
    ]


def test_a_few_images_of_another_known_set_are_mentioned(known_rain, known_faces):
    shutil.copy(known_faces / "face1.png", known_rain)
    lines = adopt(known_rain)
    assert "1 of 4 images of faces-test are there, too few to adopt it" in lines
    assert not (project_data() / "faces-test").exists()


def test_a_jpeg_agrees_by_its_bytes_whatever_its_pixels_decode_to(project, tmp_path):
    for k in range(4):
        save(tmp_path / "Faces" / f"{k}.jpg", picture(k))
    adopt(tmp_path / "Faces", "faces-test")
    record_fingerprints("faces-test")
    table = project_data() / "fingerprints" / "faces-test.csv"
    for known in read_fingerprints("faces-test"):
        table.write_text(table.read_text().replace(known.pixels, known.pixels[::-1]))
    shutil.rmtree("data/faces-test")
    assert adopt(tmp_path / "Faces")[0].startswith("faces-test: 4 of 4 images agree")


def test_a_second_file_of_an_image_is_mentioned_where_its_bytes_differ(known_faces):
    shutil.copy(known_faces / "face0.png", known_faces / "same.png")
    assert len(adopt(known_faces)) == 2
    with Image.open(known_faces / "face0.png") as image:
        save(known_faces / "a" / "other.png", image, compress_level=0)
    assert (
        "faces-test: 1 more file with the same pixels but other bytes, not taken (a/other.png "
        "beside face0.png)"
    ) in adopt(known_faces)


def test_a_picture_that_a_set_holds_twice_takes_both_files(project, tmp_path):
    for k, name in enumerate("abcd"):
        save(tmp_path / "Faces" / f"{name}.png", picture(k // 2), compress_level=k)
    adopt(tmp_path / "Faces", "faces-test")
    record_fingerprints("faces-test")
    shutil.rmtree("data/faces-test")
    for name in "abcd":
        (tmp_path / "Faces" / f"{name}.png").rename(tmp_path / "Faces" / f"new{name}.png")
    assert adopt(tmp_path / "Faces") == [
        "faces-test: 4 of 4 images agree; linked into data/faces-test",
        "adopted faces-test",
    ]


def test_a_set_of_masks_is_recognised(project, tmp_path):
    for k in range(2):
        save(tmp_path / "holes" / f"{k}.png", picture(k).convert("L"))
    adopt(tmp_path / "holes", "holes")
    record_fingerprints("holes")
    shutil.rmtree("data/holes")
    assert adopt(tmp_path / "holes")[0].startswith("holes: 2 of 2 masks agree")
    assert [record.mask for record in read_records(project_data() / "holes")] == [
        "mask/0.png",
        "mask/1.png",
    ]


def test_a_folder_without_known_images_is_refused(known_rain, tmp_path):
    save(tmp_path / "mine" / "a.png", picture(999))
    assert refused(tmp_path / "mine").endswith(
        "none of the known data sets is in it (1 images); say what it is with --as NAME "
        "(irsde data list shows the names)"
    )
    assert "holds 1 images, none of them of rain-test" in refused(tmp_path / "mine", "rain-test")


# Differences


def jpeg(image):
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=90)
    return Image.open(stream)


@pytest.mark.parametrize("name", [None, "rain-test"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (jpeg, "9 images re-encoded or edited: same size, other pixels (GT/"),
        (lambda image: image.resize((32, 24)), " 32x24 instead of 64x48, "),
    ],
)
def test_a_changed_copy_is_refused_with_its_kind(known_rain, tmp_path, name, change, said):
    message = refused(changed(known_rain, tmp_path / "copy", change), name)
    assert message.startswith("rain-test: 0 of 6 pairs agree; 9 images ")
    assert said in message
    assert message.endswith("Nothing was adopted; take it as it is with --allow-differences")


def test_jpeg_copies_are_named_as_such(known_rain, tmp_path):
    for path in known_rain.rglob("*.png"):
        with Image.open(path) as image:
            target = (tmp_path / "copy" / path.relative_to(known_rain)).with_suffix(".jpg")
            save(target, image, quality=90)
    assert "9 images are JPEG copies (GT/" in refused(tmp_path / "copy")


def test_copies_that_look_alike_are_told_apart_by_their_size(project, tmp_path):
    for k in range(2):
        large = picture(k, (256, 192))
        save(tmp_path / "SR" / f"{k}_HR.png", large)
        save(tmp_path / "SR" / f"{k}_LR.png", large.resize((64, 48), Image.Resampling.BICUBIC))
    adopt(tmp_path / "SR", "small-x4")
    record_fingerprints("small-x4")
    shutil.rmtree("data/small-x4")
    for k, path in enumerate(sorted((tmp_path / "SR").iterdir(), reverse=True)):
        with Image.open(path) as image:
            save(tmp_path / "copy" / f"{k}.jpg", image, quality=90)
    message = refused(tmp_path / "copy")
    assert message.startswith("small-x4: 0 of 2 pairs agree; 4 images are JPEG copies (GT/")
    assert "resized" not in message


def test_missing_images_are_named_and_a_truncated_file_among_them(known_rain):
    (known_rain / "rainy" / "0_b.png").unlink()
    broken = known_rain / "clear" / "2.png"
    broken.write_bytes(broken.read_bytes()[:1000])
    message = refused(known_rain)
    assert message.startswith(
        "rain-test: 3 of 6 pairs agree; 2 images missing (GT/2, LQ/0_b); "
        "clear/2.png cannot be read: not a readable image: damaged or truncated"
    )


def test_differences_are_taken_on_demand_and_the_card_says_so(known_rain):
    (known_rain / "rainy" / "0_b.png").unlink()
    with Image.open(known_rain / "clear" / "2.png") as image:
        copy = jpeg(image)
    copy.save(known_rain / "clear" / "2.png")
    lines = adopt(known_rain, allow_differences=True)
    assert lines[0] == (
        "rain-test: 3 of 6 pairs agree; 1 image re-encoded or edited: same size, other pixels "
        "(GT/2); 1 image missing (LQ/0_b); taken as it is; linked into data/rain-test"
    )
    card = dataset_card(project_data() / "rain-test")
    assert card.agreement.content() == {
        "pairs": 6,
        "agree": 3,
        "differ": {"re-encoded or edited": 2},
        "missing": 1,
    }
    assert card.verified is False
    assert len(card.differences) == 2
    assert [record.image for record in read_records(project_data() / "rain-test")] == [
        "0_a",
        "1_a",
        "1_b",
        "2_a",
        "2_b",
    ]


def test_nothing_is_adopted_where_one_of_several_sets_differs(known_rain, known_faces, tmp_path):
    (known_faces / "face0.png").unlink()
    message = refused(tmp_path)
    assert message.startswith("faces-test: 3 of 4 images agree; 1 image missing (GT/face0). ")
    assert "adopt a single set with --as NAME" in message
    assert adopt(tmp_path, "rain-test")[0].startswith("rain-test: 6 of 6 pairs agree")


# Putting into data/


def test_links_are_absolute_and_copies_are_files(known_rain):
    adopt(known_rain)
    link = project_data() / "rain-test" / "LQ" / "1_b.png"
    assert link.readlink() == known_rain / "rainy" / "1_b.png"
    assert adopt(known_rain, copy=True)[0].endswith("copied into data/rain-test, replaced")
    assert not link.is_symlink()
    assert link.read_bytes() == (known_rain / "rainy" / "1_b.png").read_bytes()


def test_adopting_again_changes_nothing(known_rain):
    adopt(known_rain)
    card = project_data() / "rain-test" / "dataset.json"
    before = card.stat().st_ino
    assert adopt(known_rain) == [
        "rain-test: 6 of 6 pairs agree; data/rain-test is up to date",
        "up to date: rain-test",
    ]
    assert card.stat().st_ino == before


def test_links_to_a_folder_that_moved_are_renewed(known_rain, tmp_path):
    adopt(known_rain)
    moved = known_rain.rename(tmp_path / "moved")
    assert adopt(moved)[0].endswith("linked into data/rain-test, replaced")
    assert (project_data() / "rain-test" / "GT" / "0.png").is_file()


def test_more_agreement_replaces_and_less_does_not(known_rain, tmp_path):
    whole = shutil.copytree(known_rain, tmp_path / "whole")
    (known_rain / "rainy" / "0_b.png").unlink()
    adopt(known_rain, allow_differences=True)
    assert adopt(whole)[0] == (
        "rain-test: 6 of 6 pairs agree; linked into data/rain-test, replaced"
    )
    assert refused(known_rain, allow_differences=True) == (
        "data/rain-test: holds another version of rain-test (6 pairs of it agree); remove that "
        "folder first"
    )


def test_a_folder_that_is_no_data_set_is_not_replaced(known_rain):
    save(project_data() / "rain-test" / "GT" / "mine.png", picture(5))
    assert refused(known_rain) == "data/rain-test: exists and is no data set; move it away"


def test_a_failed_write_leaves_nothing(known_rain, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    message = refused(known_rain, copy=True)
    assert message == (
        "data/rain-test: cannot be written (No space left on device); what was there before is "
        "whole: make room and run the same command again"
    )


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".x"])
def test_a_name_that_is_none_is_refused(known_rain, name):
    assert "is no valid name of a data set" in refused(known_rain, name)


def test_a_folder_of_the_program_is_no_name(known_rain):
    assert "is a folder of irsde itself" in refused(known_rain, "prepared")


def test_no_folder_and_no_images_are_refused(project, tmp_path):
    assert refused(tmp_path / "absent").endswith("absent: no such folder")
    (tmp_path / "a.zip").write_bytes(b"PK")
    assert refused(tmp_path / "a.zip").endswith("a.zip: not a folder; unpack it first")
    (tmp_path / "empty").mkdir()
    assert "no PNG, JPEG, BMP, TIFF or WebP images in it" in refused(tmp_path / "empty")


# Pairing by file names


def test_files_of_a_set_without_fingerprints_are_paired_by_the_layout_that_fits(project, rain):
    lines = adopt(rain, "rain-test")
    assert lines[0] == (
        "rain-test: 6 of 6 pairs by their file names, pixels not verified; "
        "linked into data/rain-test"
    )
    records = read_records(project_data() / "rain-test")
    assert [(r.image, r.gt, r.lq, r.scene) for r in records[:2]] == [
        ("0_a", "GT/0.png", "LQ/0_a.png", "rain-test-0"),
        ("0_b", "GT/0.png", "LQ/0_b.png", "rain-test-0"),
    ]
    card = dataset_card(project_data() / "rain-test")
    assert card.verified is False
    assert card.agreement.content() == {"pairs": 6, "agree": 6, "differ": {}, "missing": 0}


def test_clean_images_of_an_edition_with_a_border_lose_it(project, rain):
    text = CATALOGUE.replace("degraded: 6", "degraded: 6\n      border: 5")
    (project / "data/catalogue.yaml").write_text(text)
    inside = [read_image(rain / f"clear/{k}.png") for k in range(3)]
    for k, pixels in enumerate(inside):
        padded = np.pad(pixels, ((5, 5), (5, 5), (0, 0)), constant_values=255)
        save(rain / f"clear/{k}.png", Image.fromarray(padded))
    lines = adopt(rain, "rain-test")
    assert lines[0].startswith("rain-test: 6 of 6 pairs")
    assert "3 clean images of the edition with a border, 5 pixels cut off" in lines[1]
    target = project_data() / "rain-test"
    for k, pixels in enumerate(inside):
        assert np.array_equal(read_image(target / f"GT/{k}.png"), pixels)
    assert {r.gt_sha256 for r in read_records(target)} == {digest(p.tobytes()) for p in inside}
    assert adopt(rain, "rain-test")[-1] == "up to date: rain-test"
    shutil.rmtree(target)
    save(rain / "clear/1.png", Image.fromarray(inside[1]))
    assert "sizes must be equal" in refused(rain, "rain-test", allow_differences=True)


def test_known_images_of_the_edition_with_a_border_are_recognised(
    known_rain, rain, monkeypatch, capsys
):
    """A set that is known, and one of the same names that is not and holds it."""
    more = CATALOGUE.replace("degraded: 6", "degraded: 6\n      border: 5")
    part = more[more.index("    rain-test:") : more.index("films:")]
    whole = part.replace("rain-test", "rain-whole").replace("images: 3", "images: 4")
    whole = whole.replace("degraded: 6", "degraded: 8")
    Path("data/catalogue.yaml").write_text(more.replace("films:", f"{whole}films:", 1))
    for k in range(4):
        padded = np.pad(np.asarray(picture(k)), ((5, 5), (5, 5), (0, 0)), constant_values=255)
        save(rain / f"clear/{k}.png", Image.fromarray(padded))
    for version in "ab":
        save(rain / f"rainy/3_{version}.png", picture(3000 + ord(version)))

    def command(*options):
        monkeypatch.setattr("sys.argv", ["irsde", "data", "adopt", str(rain), *options])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capsys.readouterr()

    code, output = command()
    lines = output.out.splitlines()
    assert code == 0
    assert lines[0] == "rain-test: 6 of 6 pairs agree; linked into data/rain-test"
    assert lines[1].startswith("rain-test: 3 clean images of the edition with a border, 5 pixels")
    assert lines[3].endswith(f"irsde data adopt {rain} --as rain-whole")
    code, output = command("--as", "rain-whole")
    assert code == 0
    assert "rain-whole: 8 of 8 pairs by their file names" in output.out
    assert "rain-whole: 4 clean images of the edition with a border" in output.out
    for name, image in (("rain-test", "0"), ("rain-whole", "0"), ("rain-whole", "3")):
        pixels = read_image(project_data() / name / f"GT/{image}.png")
        assert np.array_equal(pixels, np.asarray(picture(int(image))))
    for k in range(4):  # other pixels: what is known is refused, the way to the other one is said
        save(rain / f"clear/{k}.png", picture(10 * k + 77))
    shutil.rmtree(project_data() / "rain-whole")
    code, output = command()
    assert code == 2
    assert "Nothing was adopted" in output.err
    assert output.err.rstrip().endswith(f"irsde data adopt {rain} --as rain-whole")


def test_names_of_a_set_are_said_where_nothing_is_known(project, rain):
    assert refused(rain).endswith(f"irsde data adopt {rain} --as rain-test")


def test_a_folder_named_as_a_set_whose_pixels_are_not_known_is_said(known_faces, rain, tmp_path):
    both = tmp_path / "both"
    both.mkdir()
    (both / "faces").symlink_to(known_faces)
    (both / "rain").symlink_to(rain)
    lines = adopt(both)
    assert lines[-2].endswith(f"irsde data adopt {both / 'rain'} --as rain-test")
    assert lines[-1] == "adopted faces-test"
    (rain / "rainy/0_a.png").unlink()
    assert "--as" not in "".join(adopt(both))


def test_images_of_a_scene_share_it_and_keep_names_apart(project, tmp_path):
    for k, film in enumerate(("A", "A", "B", "B")):
        save(tmp_path / film / "sharp" / f"{k % 2}.png", picture(k))
        save(tmp_path / film / "blur" / f"{k % 2}.png", picture(10 + k))
    adopt(tmp_path, "films-test")
    records = read_records(project_data() / "films-test")
    assert [(record.image, record.scene) for record in records] == [
        ("A_0", "films-A"),
        ("A_1", "films-A"),
        ("B_0", "films-B"),
        ("B_1", "films-B"),
    ]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "rainy/0_a.png").unlink(), "5 pairs instead of 6"),
        (
            lambda folder: (folder / "clear/1.png").unlink(),
            "2 degraded without a clean one (1_a, 1_b); 2 images instead of 3; 4 pairs instead",
        ),
        (
            lambda folder: [(folder / f"rainy/2_{v}.png").unlink() for v in "ab"],
            "1 clean without a degraded one (2)",
        ),
        (
            lambda folder: save(folder / "clear/1.png", picture(1, (60, 48))),
            "1 images of another size than 64x48 (1.png 60x48)",
        ),
        (
            lambda folder: (folder / "rainy/1_a.png").write_bytes(b"x"),
            "rainy/1_a.png cannot be read: not a readable PNG, JPEG, BMP, TIFF or WebP image",
        ),
        (
            lambda folder: save(folder / "again/clear/1.png", picture(77)),
            "1 names belong to two images (again/clear/1.png and clear/1.png)",
        ),
        (lambda folder: save(folder / "clear/9.png", picture(77)), "4 images instead of 3"),
    ],
)
def test_names_that_do_not_pair_are_refused_with_the_reason(project, rain, spoil, said):
    spoil(rain)
    assert said in refused(rain, "rain-test")


LOW_LIGHT = """
dim:
  label: Dim
  tasks: [dehazing]
  licence: free
  splits:
    dim-train:
      label: Dim, training part
      role: train
      images: 9
      degraded: 9
      layouts:
        - {clean: "our/high/{image}.png", degraded: "our/low/{image}.png"}
        - {clean: "high/{image}.*", degraded: "low/{image}.*"}
    dim-test:
      label: Dim
      role: test
      images: 3
      degraded: 3
      layouts:
        - {clean: "eval/high/{image}.png", degraded: "eval/low/{image}.png"}
        - {clean: "high/{image}.*", degraded: "low/{image}.*"}
"""


@pytest.mark.parametrize(
    ("files", "images"),
    [
        ({"our": range(5), "eval": range(10, 12)}, ["10", "11"]),
        ({"our": range(5), "mine": range(10, 12)}, ["10", "11"]),
        ({"eval": range(2)}, ["0", "1"]),
    ],
)
def test_images_of_the_training_part_do_not_fill_up_a_test_part(project, tmp_path, files, images):
    (project / "data" / "catalogue.yaml").write_text(LOW_LIGHT)
    for place, numbers in files.items():
        for k in numbers:
            save(tmp_path / "Dim" / place / "high" / f"{k}.png", picture(k))
            save(tmp_path / "Dim" / place / "low" / f"{k}.png", picture(100 + k))
    assert refused(tmp_path / "Dim", "dim-test").startswith(
        "dim-test: 2 of 3 pairs by their file names, pixels not verified; 2 images instead of 3; "
    )
    adopt(tmp_path / "Dim", "dim-test", allow_differences=True)
    assert [record.image for record in read_records(project_data() / "dim-test")] == images


def test_names_that_differ_by_case_are_refused(project, tmp_path):
    for k in range(3):
        save(tmp_path / "clear" / f"a{k}.png", picture(k))
        for version in "bc":
            save(tmp_path / "rainy" / f"A{k}_{version}.png", picture(10 + k))
    assert "differ by upper and lower case only: rename them" in refused(tmp_path, "rain-test")


def test_a_known_set_under_the_name_of_another_is_refused(known_faces):
    assert "holds 4 images, none of them" not in refused(known_faces, "two-photographs")
    assert "these are the images of faces-test" in refused(known_faces, "two-photographs")


def test_names_of_no_layout_are_refused(project, tmp_path):
    save(tmp_path / "a.png", picture(1))
    assert "no file is named as those of films-test" in refused(tmp_path, "films-test")


def test_sizes_that_do_not_fit_are_refused_by_name(project, rain):
    save(rain / "rainy" / "1_a.png", picture(5, (32, 24)))
    assert refused(rain, "rain-test", allow_differences=True) == (
        "rain-test: rainy/1_a.png of 32x24 pixels does not fit clear/1.png of 64x48; sizes must "
        "be equal"
    )


def test_small_images_of_super_resolution_fit_by_the_factor(project, tmp_path):
    for k in range(2):
        save(tmp_path / f"{k}_HR.png", picture(k, (66, 48)))
        save(tmp_path / f"{k}_LR.png", picture(k, (16, 12)))
    assert adopt(tmp_path, "small-x4")[0].startswith("small-x4: 2 of 2 pairs")
    shutil.rmtree("data/small-x4")
    save(tmp_path / "1_LR.png", picture(1, (33, 24)))
    assert "it must be smaller by 4" in refused(tmp_path, "small-x4")


def test_a_file_that_fits_two_patterns_is_of_the_more_particular_one(project, tmp_path):
    for name in "ab":
        save(tmp_path / f"{name}.png", picture(ord(name)))
        save(tmp_path / f"{name}x4.png", picture(ord(name), (16, 12)))
    assert adopt(tmp_path, "small-x4")[0].startswith("small-x4: 2 of 2 pairs")
    assert [record.image for record in read_records(project_data() / "small-x4")] == ["a", "b"]


def test_scenes_of_known_pictures_keep_their_name(known_faces, tmp_path):
    for k in range(2):
        with Image.open(known_faces / f"face{k}.png") as image:
            save(tmp_path / "small" / f"{k}_HR.png", image.resize((128, 96)))
        save(tmp_path / "small" / f"{k}_LR.png", picture(50 + k, (32, 24)))
    adopt(tmp_path / "small", "small-x4")
    scenes = [record.scene for record in read_records(project_data() / "small-x4")]
    assert scenes == ["faces-test-face0", "faces-test-face1"]


# Sets of one's own


@pytest.fixture
def mine(tmp_path):
    folder = tmp_path / "Mine"
    for k in range(3):
        save(folder / "GT" / f"room{k // 2}_{k}.png", picture(k))
        save(folder / "LQ" / f"room{k // 2}_{k}.jpg", picture(10 + k))
    return folder


def test_a_folder_becomes_a_set_of_ones_own(project, mine):
    lines = adopt(mine, "my-set")
    assert lines == [
        "my-set: 3 pairs by equal names; linked into data/my-set",
        "my-set: not in the catalogue, so a set of your own, described in data/my-set/dataset.yaml",
        "my-set: add 'task:' to data/my-set/dataset.yaml, then irsde data fetch my-set",
        "adopted my-set",
    ]
    records = read_records(project_data() / "my-set")
    assert [(r.image, r.gt, r.lq) for r in records[:1]] == [
        ("room0_0", "GT/room0_0.png", "LQ/room0_0.jpg")
    ]
    assert dataset_card(project_data() / "my-set").tasks == []
    assert adopt(mine, "my-set")[0].endswith("data/my-set is up to date")


def test_a_description_that_exists_is_kept_and_used(project, mine):
    adopt(mine, "my-set")
    text = "label: Mine\ntask: deraining\nscene: 'room(\\d)'\n"
    (project_data() / "my-set" / "dataset.yaml").write_text(text)
    assert index_own("my-set") == ["data/my-set: 3 pairs, 2 scenes"]
    card = dataset_card(project_data() / "my-set")
    assert (card.label, card.tasks) == ("Mine", ["deraining"])
    save(mine / "GT" / "room5_9.png", picture(30))
    save(mine / "LQ" / "room5_9.png", picture(31))
    assert adopt(mine, "my-set")[0].startswith("my-set: 4 pairs by equal names; linked into")
    assert (project_data() / "my-set" / "dataset.yaml").read_text() == text
    assert dataset_card(project_data() / "my-set").scenes == 3


def test_an_unknown_name_without_clean_images_hints_at_the_known_one(project, rain):
    message = refused(rain, "rain-tets")
    assert "is no known data set (is rain-test meant?); a set of your own needs" in message


def test_fingerprints_of_a_set_of_ones_own_disturb_nothing(known_rain, mine):
    adopt(mine, "my-set")
    record_fingerprints("my-set")
    assert adopt(mine, "my-set")[0].endswith("data/my-set is up to date")
    assert adopt(known_rain)[-1] == "adopted rain-test"


@pytest.fixture
def by_hand(project):
    """A set placed in data/ by hand: one clean image with two rainy versions, one with one."""
    folder = project_data() / "hand"
    save(folder / "GT" / "a.png", picture(1))
    save(folder / "GT" / "b.png", picture(2))
    for k, name in enumerate(("a_1", "a_2", "b")):
        save(folder / "LQ" / f"{name}.png", picture(10 + k))
        save(folder / "mask" / f"{name}.png", picture(20 + k).convert("L"))
    (folder / "dataset.yaml").write_text("label: By hand\ntask: deraining\nholes: white\n")
    return folder


def test_a_set_placed_by_hand_is_indexed_in_place(by_hand):
    assert index_own("hand") == ["data/hand: 3 pairs, 2 scenes"]
    assert [(r.image, r.scene, r.gt, r.lq, r.mask) for r in read_records(by_hand)] == [
        ("a_1", "hand-a", "GT/a.png", "LQ/a_1.png", "mask/a_1.png"),
        ("a_2", "hand-a", "GT/a.png", "LQ/a_2.png", "mask/a_2.png"),
        ("b", "hand-b", "GT/b.png", "LQ/b.png", "mask/b.png"),
    ]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: (f / "GT/b.png").unlink(), "1 images of LQ/ have no partner in GT/ (b)"),
        (lambda f: (f / "LQ/b.png").unlink(), "1 images of GT/ have no partner in LQ/ (b)"),
        (
            lambda f: (f / "LQ/b.png").rename(f / "LQ/B.png"),
            "no partner in GT/ (B); give both one name, upper and lower case alike",
        ),
        (lambda f: (f / "mask/b.png").unlink(), "b has no mask in mask/"),
        (lambda f: (f / "GT/b.png").write_bytes(b""), "GT/b.png cannot be read: an empty file"),
        (lambda f: save(f / "LQ/b.png", picture(5, (63, 48))), "of 63x48 pixels does not fit GT/b"),
        (lambda f: save(f / "GT/b.jpg", picture(5)), "GT/b.jpg and GT/b.png have one name"),
        (
            lambda f: [
                save(f / part / "A_1.png", picture(7).convert("L")) for part in ("GT", "LQ", "mask")
            ],
            "A_1 and a_1 differ by upper and lower case only",
        ),
        (
            lambda f: (f / "dataset.yaml").write_text("label: x\nholes: white\nscene: 'room(.)'\n"),
            "data/hand/dataset.yaml: scene: 'room(.)' finds nothing in the name a",
        ),
        (lambda f: (f / "dataset.yaml").unlink(), "data/hand/dataset.yaml: no such file"),
        (lambda f: [shutil.rmtree(f / p) for p in ("GT", "LQ", "mask")], "no clean images there"),
    ],
)
def test_a_set_by_hand_that_does_not_fit_together_is_refused(by_hand, spoil, said):
    spoil(by_hand)
    with pytest.raises(InputError) as error:
        index_own("hand")
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert not (by_hand / "pairs.csv").exists()


def test_images_placed_by_hand_are_never_replaced(by_hand, mine):
    assert "holds image files of its own, which would be lost" in refused(mine, "hand")


# Photographs and fingerprints


def test_photographs_are_written_as_a_data_set(project):
    assert write_photographs("two-photographs") == [
        "data/two-photographs: 2 photographs of scikit-image"
    ]
    records = read_records(project_data() / "two-photographs")
    assert [(r.image, r.scene, r.gt) for r in records] == [
        ("coffee", "coffee", "GT/coffee.png"),
        ("camera", "camera", "GT/camera.png"),
    ]
    card = dataset_card(project_data() / "two-photographs")
    assert card.licences == {"coffee": "CC0", "camera": "CC0"}
    assert card.source.startswith("scikit-image 0.")


def test_a_photograph_that_does_not_exist_is_refused(project):
    with pytest.raises(InputError, match=r"no-photographs\.no_such_image: not a photograph"):
        write_photographs("no-photographs")
    assert contents(project_data()) == ["catalogue.yaml"]


def test_fingerprints_of_an_adopted_set_are_those_it_was_recognised_by(known_rain):
    table = project_data() / "fingerprints" / "rain-test.csv"
    before = table.read_bytes()
    adopt(known_rain)
    assert record_fingerprints("rain-test") == (
        "data/fingerprints/rain-test.csv: 9 images of 6 pairs"
    )
    assert table.read_bytes() == before


def test_fingerprints_of_changed_files_are_not_recorded(known_rain):
    adopt(known_rain)
    save(known_rain / "clear" / "1.png", picture(500))
    with pytest.raises(InputError, match=r"GT/1\.png: not the image that pairs\.csv records"):
        record_fingerprints("rain-test")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("clean,1,", "dirty,1,", "line 3: part"),
        (",64,48,", ",64,tall,", "line 2: height"),
        ("clean,1,", "clean,0,", "GT/0 appears twice"),
        ("look\n", "luck\n", "line 2: look"),
    ],
)
def test_damaged_fingerprints_are_refused(known_rain, old, new, said):
    table = project_data() / "fingerprints" / "rain-test.csv"
    table.write_text(table.read_text().replace(old, new, 1))
    with pytest.raises(InputError) as error:
        read_fingerprints("rain-test")
    assert said in str(error.value)


# The benchmark images


@pytest.fixture
def real_project(tmp_path, monkeypatch):
    folder = tmp_path / "project"
    shutil.copytree(PROJECT / "data" / "fingerprints", folder / "data" / "fingerprints")
    shutil.copy(PROJECT / "data" / "catalogue.yaml", folder / "data")
    monkeypatch.chdir(folder)
    return folder


def test_fingerprints_of_the_repository_are_small_and_well_formed(real_project):
    assert known_sets()
    for name in known_sets():
        assert read_fingerprints(name)
    files = (real_project / "data" / "fingerprints").iterdir()
    assert sum(path.stat().st_size for path in files) < 250_000


@needs_data
def test_benchmark_sets_in_one_folder_are_recognised_all_at_once(real_project, tmp_path):
    (tmp_path / "all").mkdir()
    for name in ("CBSD68", "Rain100H-test", "SOTS-indoor", "Set14-x4", "inpainting-masks"):
        (tmp_path / "all" / name).symlink_to(DATA / name)
    lines = adopt(tmp_path / "all")
    assert sorted(lines[:-1]) == [
        "cbsd68: 68 of 68 images agree; linked into data/cbsd68",
        "masks-thick: 100 of 100 masks agree; linked into data/masks-thick",
        "masks-thin: 100 of 100 masks agree; linked into data/masks-thin",
        "rain100h-test: 100 of 100 pairs agree; linked into data/rain100h-test",
        "set14-x4: 14 of 14 pairs agree; linked into data/set14-x4",
        "sots-indoor-17: 51 of 51 pairs agree; linked into data/sots-indoor-17",
    ]
    assert lines[-1].startswith("adopted rain100h-test, ")
    for name in ("masks-thin", "sots-indoor-17"):
        before = (real_project / "data" / "fingerprints" / f"{name}.csv").read_bytes()
        record_fingerprints(name)
        assert (real_project / "data" / "fingerprints" / f"{name}.csv").read_bytes() == before


@needs_data
def test_a_jpeg_copy_of_a_benchmark_set_is_told_from_the_set_its_photographs_are_of(
    real_project, tmp_path
):
    for path in sorted((DATA / "Rain100H-test" / "GT").iterdir())[:60]:
        for part in ("GT", "LQ"):
            with Image.open(DATA / "Rain100H-test" / part / path.name) as image:
                save(tmp_path / "copy" / part / f"{path.stem}.jpg", image, quality=85)
    message = refused(tmp_path / "copy")
    assert message.startswith(
        "rain100h-test: 0 of 100 pairs agree; 120 images are JPEG copies (GT/"
    )
    assert "80 images missing" in message


@needs_data
def test_rain100h_shows_the_photographs_of_bsd_that_its_list_names(real_project):
    lines = (DATA / "BSDS500" / "lists" / "rain100_test_gt_to_bsd.csv").read_text().split()[1:]
    listed = {
        index.lstrip("0"): f"bsd-{file.partition('/')[2].removesuffix('.jpg')}"
        for index, file in (line.split(",") for line in lines)
    }
    scenes = {image.of: image.scene for image in read_fingerprints("rain100h-test")}
    assert scenes == listed
