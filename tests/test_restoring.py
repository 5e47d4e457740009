"""Photographs restored in tiles: noise, blend, files, batches, samples, memory, refusals."""

import re
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, ImageCms, PngImagePlugin
from PIL import Image as PILImage
from safetensors.torch import load_file, save_file

from irsde.cli import main
from irsde.degradations.resampling import enlarge
from irsde.experiment import provenance
from irsde.experiment.grid import Run
from irsde.experiment.profile import load_profile, run_settings
from irsde.files import InputError, digest_file, read_json, write_json
from irsde.images import read_image, to_float, write_image
from irsde.methods import METHODS
from irsde.networks.published import SYSTEMS
from irsde.restoration import photos, restorer
from irsde.restoration.photo_files import read_photo, write_photo, write_scale
from irsde.restoration.photos import RestoreOptions, restore_photographs
from irsde.restoration.restorer import build_network
from irsde.restoration.tiling import NoiseField, spans
from irsde.seeds import numpy_generator
from tests.project import PROJECT

SMALL = RestoreOptions(nfe=2, tile=64, overlap=16)


def make_run(folder, task="denoising", method="ir-sde", attention=False, recorded_task=None):
    """A run of the smoke profile's network as initialized.

    NAFNet's blocks start as the identity, so that nothing in it looks at the whole image;
    with `attention` they do.
    """
    profile = load_profile("smoke")
    content = profile.model_dump()
    loaded = type(profile).model_validate(
        {**content, "tasks": [task], "methods": [method], "variants": {}, "sweeps": []}
    )
    chosen = run_settings(loaded, task, method, 0)
    torch.manual_seed(0)
    network = build_network(chosen)
    if attention:
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if name.endswith(("beta", "gamma")):
                    parameter.normal_()
    folder.mkdir(parents=True)
    save_file(network.state_dict(), folder / "weights.safetensors")
    details = {"parameters": 1, "weights_sha256": digest_file(folder / "weights.safetensors")}
    run = Run("smoke", recorded_task or task, method, 0)
    provenance.write_run_card(folder, run, chosen, {"code": "x"}, "cpu", {"seconds": 0.0}, details)
    return folder


def photograph(path, height=100, width=150):
    generator = numpy_generator("tests", path.name)
    coarse = generator.integers(64, 192, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    image = PILImage.fromarray(coarse).resize((width, height), PILImage.Resampling.BICUBIC)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


@pytest.fixture(autouse=True)
def in_project(monkeypatch):
    monkeypatch.chdir(PROJECT)


@pytest.fixture
def photo(tmp_path):
    return photograph(tmp_path / "photo.png")


def restored(photo, run, out, options):
    restore_photographs(photo, run, out, options)
    return read_image(out / f"{photo.stem}.png").astype(int)


# --- tiles and noise


@given(
    length=st.integers(1, 700),
    side=st.integers(2, 20).map(lambda i: 8 * i),
    overlap=st.integers(0, 152),
)
@settings(max_examples=200, deadline=None)
def test_spans_cover_an_axis_with_weights_that_sum_to_one(length, side, overlap):
    overlap = min(overlap, side - 8)
    total, reached = np.zeros(length), 0
    found = spans(length, side, overlap, multiple=8)
    for span in found:
        assert span.start % 8 == 0
        assert span.stop - span.start <= side
        assert 0 <= found[0].stop - (span.stop - span.start) < 8
        assert span.weights.min() >= 0
        assert span.start == 0 or reached - span.start >= overlap
        total[span.pixels] += span.weights
        reached = span.stop
    assert reached == length
    assert np.abs(total - 1).max() < 1e-6


def test_weights_change_smoothly_and_leave_out_the_border_of_a_tile():
    first, second = spans(96, side=64, overlap=32)
    assert (first.weights[-8:] == 0).all()
    assert (second.weights[:8] == 0).all()
    assert np.abs(np.diff(first.weights)).max() < 0.11


def test_the_noise_is_standard_normal_and_differs_with_each_name_and_draw():
    fields = [
        NoiseField("restore", seed, name, k) for seed in (0, 1) for name in "ab" for k in (1, 2)
    ]
    draws = torch.stack(
        [
            field.window(i, slice(0, 256), slice(0, 256)).flatten()
            for field in fields
            for i in (0, 1)
        ]
    )
    n = draws.shape[1]
    assert (draws.mean(1).abs() < 5 / n**0.5).all()
    assert ((draws.var(1) - 1).abs() < 5 * (2 / n) ** 0.5).all()
    correlation = torch.corrcoef(draws) - torch.eye(len(draws))
    assert correlation.abs().max() < 5 / n**0.5


def test_neighbouring_blocks_and_channels_are_independent():
    noise = NoiseField("tests").window(0, slice(0, 192), slice(0, 192))
    blocks = noise.reshape(3, 3, 64, 3, 64).permute(0, 1, 3, 2, 4).reshape(27, -1)
    assert (torch.corrcoef(blocks) - torch.eye(27)).abs().max() < 5 / 64


# --- tiled and untiled


@pytest.mark.parametrize("overlap", [32, 48])
@pytest.mark.parametrize("sampler", ["posterior", "mrs-ode-2"])
def test_tiled_equals_untiled_where_the_network_has_no_global_operation(
    tmp_path, photo, overlap, sampler
):
    run = make_run(tmp_path / "run", task="deraining")
    options = RestoreOptions(nfe=2, tile=64, overlap=overlap, sampler=sampler)
    tiled = restored(photo, run, tmp_path / "tiled", options)
    whole = restored(photo, run, tmp_path / "whole", replace(options, tile=0, overlap=None))
    assert np.abs(tiled - whole).max() <= 1
    assert (tiled != whole).mean() < 1e-3


def test_attention_over_the_tile_is_what_makes_them_differ(tmp_path, photo):
    run = make_run(tmp_path / "run", task="deraining", attention=True)
    tiled = restored(photo, run, tmp_path / "tiled", SMALL)
    whole = restored(photo, run, tmp_path / "whole", replace(SMALL, tile=0, overlap=None))
    assert (tiled != whole).mean() > 0.01


def test_a_photograph_that_fits_a_tile_is_restored_whole(tmp_path, photo):
    run = make_run(tmp_path / "run", attention=True)
    restore_photographs(photo, run, tmp_path / "large", RestoreOptions(nfe=2, tile=256))
    restore_photographs(photo, run, tmp_path / "whole", RestoreOptions(nfe=2, tile=0))
    assert (tmp_path / "large/photo.png").read_bytes() == (
        tmp_path / "whole/photo.png"
    ).read_bytes()


@pytest.mark.parametrize("mode", ["bicubic", "nearest"])
def test_a_part_is_enlarged_as_it_is_within_the_whole(mode):
    small = numpy_generator("tests").integers(0, 256, (40, 53, 3), dtype=np.uint8)
    whole = enlarge(to_float(small), 4, mode)
    for rows, columns in (
        (slice(0, 64), slice(0, 64)),
        (slice(40, 104), slice(96, 212)),
        (slice(103, 160), slice(7, 61)),
    ):
        part = photos._enlarged(small, rows, columns, 4, mode)
        assert np.array_equal(part, whole[rows, columns])


def test_super_resolution_enlarges_tile_by_tile(tmp_path):
    photo = photograph(tmp_path / "photo.png", 37, 50)
    run = make_run(tmp_path / "run", task="super-resolution")
    options = replace(SMALL, nfe=1)
    tiled = restored(photo, run, tmp_path / "tiled", options)
    assert tiled.shape == (148, 200, 3)
    whole = restored(photo, run, tmp_path / "whole", replace(options, tile=0, overlap=None))
    assert np.abs(tiled - whole).max() <= 1


# --- batches


def test_results_do_not_depend_on_the_batch(tmp_path):
    folder = tmp_path / "photos"
    for i, size in enumerate([(48, 40), (48, 40), (48, 40), (100, 64)]):
        photograph(folder / f"{i}.png", *size)
    run = make_run(tmp_path / "run", method="indi")
    for batch in (1, 3):
        options = replace(SMALL, batch=batch, samples=2)
        restore_photographs(folder, run, tmp_path / str(batch), options)
    names = sorted(path.name for path in (tmp_path / "1").glob("*-[12m]*.png"))
    assert len(names) == 12
    for name in names:
        alone, together = (read_image(tmp_path / batch / name).astype(int) for batch in "13")
        # not the last bits: for some sizes a CPU's kernels choose another algorithm by the batch
        assert np.abs(alone - together).max() <= 1, name
        assert (alone != together).mean() < 1e-3


def test_batches_fill_with_photographs_of_one_size(tmp_path, capsys):
    folder = tmp_path / "photos"
    for i, size in enumerate([(48, 40)] * 5 + [(40, 48), (100, 64)]):
        photograph(folder / f"{i}.png", *size)
    run = make_run(tmp_path / "run", method="regression")
    sizes = []

    def record(module, inputs):
        sizes.append(tuple(inputs[0].shape))

    handle = torch.nn.modules.module.register_module_forward_pre_hook(
        lambda module, inputs: (
            record(module, inputs) if type(module).__name__ == "ConditionalNAFNet" else None
        )
    )
    restore_photographs(folder, run, tmp_path / "out", RestoreOptions(tile=64, batch=3))
    handle.remove()
    timed, *sizes = sizes[1:]  # of the two calls by which the time is predicted
    assert timed == (1, 3, 64, 64)
    assert sizes == [(3, 3, 48, 40), (2, 3, 48, 40), (1, 3, 40, 48), (2, 3, 54, 64)]
    said = capsys.readouterr().err.splitlines()[0]
    assert said.startswith("7 images: 8 tiles, 1 network evaluation of each, ")
    assert re.search(r"about \d+ s", said)


# --- seed and samples


def test_the_seed_the_name_and_the_sample_decide_the_noise(tmp_path, photo):
    run = make_run(tmp_path / "run")
    first = restored(photo, run, tmp_path / "first", SMALL)
    again = restored(photo, run, tmp_path / "again", SMALL)
    other = restored(photo, run, tmp_path / "other", replace(SMALL, seed=1))
    renamed = shutil.copy(photo, tmp_path / "renamed.png")
    third = restored(Path(renamed), run, tmp_path / "third", SMALL)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, third)


def test_samples_their_mean_and_their_uncertainty(tmp_path, photo):
    run, out = make_run(tmp_path / "run", "deraining", "indi"), tmp_path / "out"
    line = restore_photographs(photo, run, out, replace(SMALL, samples=4))
    assert sorted(path.name for path in out.iterdir()) == [
        *[f"photo-{k}.png" for k in (1, 2, 3, 4)],
        "photo-mean.png",
        "photo-uncertainty.png",
        "restored.json",
    ]
    samples = np.stack([read_image(out / f"photo-{k}.png") for k in (1, 2, 3, 4)]).astype(float)
    assert np.array_equal(samples[0], restored(photo, run, tmp_path / "one", SMALL))
    inside = ((samples > 0) & (samples < 255)).all((0, 3))  # elsewhere pixels are clipped
    mean = read_image(out / "photo-mean.png").astype(float)
    assert np.abs(mean - samples.mean(0))[inside].max() <= 1

    recorded = read_json(out / "restored.json")["photo.png"]["uncertainty"]
    largest = recorded["range"][1]
    assert f"0 to {largest:g}" in line
    with PILImage.open(out / "photo-uncertainty.png") as image:
        assert image.mode == "P"
        index = np.array(image)
        colors = np.array(image.convert("RGB"), float)
    deviation = np.sqrt((samples.std(0, ddof=1) ** 2).mean(2)) / 255
    shown = index / 255 * largest
    assert np.abs(shown - np.minimum(deviation, largest))[inside].max() < 0.004
    assert recorded["mean"] == pytest.approx(deviation.mean(), rel=0.1)
    order = np.argsort(index, axis=None)
    luminance = (colors @ [0.2126, 0.7152, 0.0722]).flatten()[order]
    assert (np.diff(luminance) > -0.5).all()


def test_running_moments_are_those_of_all_samples():
    samples = numpy_generator("tests").normal(0.5, 0.2, (5, 300, 20, 3)).astype(np.float32)
    moments = photos._Moments(300, 20)
    for sample in samples:
        moments.add(sample)
    assert np.allclose(moments.mean, samples.mean(0), atol=1e-6)
    expected = np.sqrt(samples.var(0, ddof=1).mean(2))
    assert np.allclose(moments.deviation(), expected, rtol=1e-4)


def test_a_scale_without_spread_is_one_color(tmp_path):
    write_scale(tmp_path / "flat.png", np.zeros((4, 5), np.float32), 0.0)
    assert len(np.unique(read_image(tmp_path / "flat.png").reshape(-1, 3), axis=0)) == 1


# --- files


def tagged(path, orientation=6, size=(40, 24), mode="RGB", profile=None):
    exif = PILImage.Exif()
    exif[ExifTags.Base.Make] = "Maker"
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.ImageWidth] = size[0]
    inner = exif.get_ifd(ExifTags.IFD.Exif)
    inner[ExifTags.Base.DateTimeOriginal] = "2020:01:02 03:04:05"
    inner[ExifTags.Base.ExifImageWidth], inner[ExifTags.Base.ExifImageHeight] = size
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (52.0, 31.0, 12.0)
    pixels = numpy_generator("tests").integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    PILImage.fromarray(pixels).convert(mode).save(path, exif=exif, icc_profile=profile)
    return path


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_exif_and_color_profile_are_kept_and_the_orientation_is_reset(tmp_path, ending):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    photo = tagged(tmp_path / f"photo.{ending}", profile=profile)
    run = make_run(tmp_path / "run", method="regression", task="super-resolution")
    out = tmp_path / "out"
    restore_photographs(photo, run, out, RestoreOptions())
    with PILImage.open(out / "photo.png") as image:
        assert image.size == (96, 160)  # upright and four times as large
        assert image.info["icc_profile"] == profile
        exif = image.getexif()
        assert ExifTags.Base.Orientation not in exif
        assert exif[ExifTags.Base.Make] == "Maker"
        assert exif[ExifTags.Base.ImageWidth] == 96
        inner = exif.get_ifd(ExifTags.IFD.Exif)
        assert inner[ExifTags.Base.DateTimeOriginal] == "2020:01:02 03:04:05"
        assert inner[ExifTags.Base.ExifImageWidth] == 96
        assert inner[ExifTags.Base.ExifImageHeight] == 160
        gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
        assert gps[ExifTags.GPS.GPSLatitude] == (52.0, 31.0, 12.0)
    assert np.array_equal(read_image(out / "photo.png").shape, (160, 96, 3))


@pytest.mark.parametrize(("mode", "stored"), [("L", "L"), ("LA", "L"), ("1", "L"), ("RGB", "RGB")])
def test_gray_in_gray_out(tmp_path, mode, stored):
    """Every channel of a gray photograph gets the same value, whatever the network gives."""
    photo = photograph(tmp_path / "color.png", 40, 48)
    with PILImage.open(photo) as image:
        image.convert("L").convert(mode).save(tmp_path / "gray.png")
    run = make_run(tmp_path / "run", attention=True)
    for options, name in ((SMALL, "gray"), (replace(SMALL, samples=2), "gray-mean")):
        out = tmp_path / name
        restore_photographs(tmp_path / "gray.png", run, out, options)
        with PILImage.open(out / f"{name}.png") as image:
            assert image.mode == stored
            values = np.array(image.convert("RGB"))
        assert (values == values[..., :1]).all()
        assert len(np.unique(values)) > 2
    assert not read_photo(photo).is_gray


def test_the_profile_of_a_gray_image_stays_with_gray_values(tmp_path):
    profile = bytes(16) + b"GRAYXYZ " + bytes(104)
    photo = read_photo(tagged(tmp_path / "photo.png", mode="L", profile=profile))
    assert (photo.profile, photo.mode, photo.is_gray) == (profile, "L", True)
    colored = read_photo(tagged(tmp_path / "other.png", profile=profile))
    assert (colored.profile, colored.mode, colored.is_gray) == (b"", "RGB", False)
    assert photo.pixels.shape == (40, 24, 3)


def test_damaged_exif_does_not_stop_a_restoration(tmp_path):
    text = PngImagePlugin.PngInfo()
    PILImage.fromarray(np.zeros((9, 9, 3), np.uint8)).save(
        tmp_path / "p.png", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\0\0", pnginfo=text
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's own about the damage
        photo = read_photo(tmp_path / "p.png")
        write_photo(tmp_path / "out.png", photo.pixels, photo)
    assert read_image(tmp_path / "out.png").shape == (9, 9, 3)


def test_a_photograph_without_data_gets_none(tmp_path, photo):
    write_photo(tmp_path / "out.png", read_image(photo), read_photo(photo))
    with PILImage.open(tmp_path / "out.png") as image:
        assert not {"exif", "icc_profile"} & set(image.info)


def test_the_record_says_what_made_each_output(tmp_path, photo):
    run, out = make_run(tmp_path / "run"), tmp_path / "out"
    restore_photographs(photo, run, out, SMALL)
    entry = read_json(out / "restored.json")["photo.png"]
    assert entry["outputs"] == ["photo.png"]
    assert entry["size"] == [150, 100]
    assert entry["photo_sha256"] == digest_file(photo)
    assert entry["settings"]["run"] == run.as_posix()
    assert entry["settings"]["weights_sha256"] == digest_file(run / "weights.safetensors")
    assert entry["settings"]["sampler"] == METHODS["ir-sde"].sampler
    assert (entry["settings"]["nfe"], entry["settings"]["seed"]) == (2, 0)
    bytes_before = (out / "restored.json").read_bytes()
    restore_photographs(photo, run, tmp_path / "again", SMALL)
    assert (tmp_path / "again/restored.json").read_bytes() == bytes_before


def test_an_interrupted_folder_goes_on_where_it_was(tmp_path, monkeypatch):
    folder, out = tmp_path / "photos", tmp_path / "out"
    for name in ("a.png", "b.png", "c.png"):
        photograph(folder / name, 48, 40)
    run = make_run(tmp_path / "run")
    write = photos.write_photo

    def stop_at_b(path, pixels, original):
        if path.name == "b.png":
            path.write_bytes(b"half a file")
            raise KeyboardInterrupt
        write(path, pixels, original)

    monkeypatch.setattr(photos, "write_photo", stop_at_b)
    with pytest.raises(KeyboardInterrupt):
        restore_photographs(folder, run, out, SMALL)
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "restored.json"]
    monkeypatch.undo()
    monkeypatch.chdir(PROJECT)
    before = (out / "a.png").stat().st_mtime_ns
    assert "2 images restored, 1 there already" in restore_photographs(folder, run, out, SMALL)
    assert (out / "a.png").stat().st_mtime_ns == before
    restore_photographs(folder, run, tmp_path / "undisturbed", SMALL)
    for name in ("a.png", "b.png", "c.png", "restored.json"):
        assert (out / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()


def test_nothing_is_overwritten(tmp_path, photo):
    run, out = make_run(tmp_path / "run"), tmp_path / "out"
    restore_photographs(photo, run, out, SMALL)
    before = {path: path.read_bytes() for path in out.iterdir()}
    for options in (SMALL, replace(SMALL, seed=1)):
        with pytest.raises(InputError, match=r"photo\.png: exists already; choose another --out"):
            restore_photographs(photo, run, out, options)
    photograph(tmp_path / "photo.png", 90, 90)  # another photograph of the same name
    with pytest.raises(InputError, match="exists already"):
        restore_photographs(photo, run, out, SMALL)
    assert {path: path.read_bytes() for path in out.iterdir()} == before


# --- masks


def test_a_mask_says_where_to_fill_and_the_rest_is_kept(tmp_path, photo):
    run = make_run(tmp_path / "run", task="inpainting")
    holes = np.zeros((100, 150), bool)
    holes[20:70, 40:130] = True
    write_image(tmp_path / "mask.png", np.stack([holes * np.uint8(255)] * 3, axis=2))
    options = replace(SMALL, mask=tmp_path / "mask.png")
    filled = restored(photo, run, tmp_path / "out", options)
    pixels = read_image(photo).astype(int)
    assert np.array_equal(filled[~holes], pixels[~holes])
    white = pixels.astype(np.uint8)
    white[holes] = 255
    (tmp_path / "holes").mkdir()
    write_image(tmp_path / "holes" / photo.name, white)
    by_hand = restored(tmp_path / "holes" / photo.name, run, tmp_path / "by-hand", SMALL)
    assert np.array_equal(filled[holes], by_hand[holes])


def marked(height, width):
    """A mask with a hole in its corner."""
    mask = np.zeros((height, width, 3), np.uint8)
    mask[:5, :5] = 255
    return mask


def test_masks_of_a_folder_go_by_name(tmp_path):
    folder, masks = tmp_path / "photos", tmp_path / "masks"
    masks.mkdir()
    for name in ("a.png", "b.jpg"):
        photograph(folder / name, 40, 48)
    run = make_run(tmp_path / "run", task="inpainting")
    options = replace(SMALL, mask=masks)
    write_image(masks / "a.png", marked(40, 48))
    with pytest.raises(InputError, match=r"no mask of the name of b\.jpg; each photograph needs"):
        restore_photographs(folder, run, tmp_path / "out", options)
    write_image(masks / "b.png", marked(40, 50))
    with pytest.raises(InputError, match=r"b\.png: 50x40 pixels, but its photograph has 48x40"):
        restore_photographs(folder, run, tmp_path / "out", options)
    write_image(masks / "b.png", marked(40, 48))
    write_image(masks / "c.png", marked(40, 48))
    with pytest.raises(InputError, match="no photograph of the name of c"):
        restore_photographs(folder, run, tmp_path / "out", options)
    (masks / "c.png").unlink()
    restore_photographs(folder, run, tmp_path / "out", options)
    for name in ("a.png", "b.jpg"):
        filled = read_image(tmp_path / "out" / f"{name[0]}.png")
        assert np.array_equal(filled[5:], read_image(folder / name)[5:])
        assert not np.array_equal(filled[:5, :5], read_image(folder / name)[:5, :5])


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.zeros((100, 150, 3), np.uint8), "marks nothing"),
        (np.eye(100, 150, dtype=np.uint8)[..., None].repeat(3, 2), "has the values 0 and 1"),
        (np.full((100, 150, 3), (0, 255, 0), np.uint8), "has colors"),
        (np.full((50, 75, 3), 255, np.uint8), "75x50 pixels, but its photograph"),
    ],
)
def test_a_mask_that_marks_nothing_is_refused(tmp_path, photo, mask, words):
    run = make_run(tmp_path / "run", task="inpainting")
    write_image(tmp_path / "mask.png", mask)
    with pytest.raises(InputError, match=words):
        restore_photographs(
            photo, run, tmp_path / "out", replace(SMALL, mask=tmp_path / "mask.png")
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("method", ["aod-net", "light-dehazenet"])
def test_weights_below_the_normal_floats_change_nothing(tmp_path, photo, monkeypatch, method):
    run = make_run(tmp_path / "run", "dehazing", method)
    file = run / "weights.safetensors"
    state = load_file(file)
    for tensor in state.values():
        tensor[::2] = torch.where(tensor[::2] > 0, 1e-41, -1e-39)
    save_file(state, file)
    card = read_json(run / "run.json")
    write_json(run / "run.json", card | {"weights_sha256": digest_file(file)})
    seen = []

    def look(module, inputs):
        if isinstance(module, SYSTEMS[method]):
            weights = torch.cat([tensor.ravel() for tensor in module.state_dict().values()])
            seen.append(bool(((weights != 0) & (weights.abs() < 1e-38)).any()))

    handle = torch.nn.modules.module.register_module_forward_pre_hook(look)
    fast = restored(photo, run, tmp_path / "fast", RestoreOptions())
    assert seen
    assert not any(seen)
    monkeypatch.setattr(restorer, "flush_subnormal", lambda network: None)
    slow = restored(photo, run, tmp_path / "slow", RestoreOptions())
    handle.remove()
    assert seen[-1]
    assert np.array_equal(fast, slow)


# --- refusals


def test_absent_weights_of_a_published_system_are_to_be_imported(
    tmp_path, photo, monkeypatch, capsys
):
    run = make_run(tmp_path / "run", "dehazing", "aod-net")
    (run / "weights.safetensors").unlink()
    options = ("--run", str(run), "--out", str(tmp_path / "out"))
    monkeypatch.setattr("sys.argv", ["irsde", "restore", str(photo), *options])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "run irsde weights import aod-net --profile smoke" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("task", "method", "options", "words"),
    [
        ("denoising", "ir-sde", {"tile": 7}, "give at least 8, or 0 for whole images"),
        ("denoising", "ir-sde", {"tile": -1}, "give at least 8, or 0 for whole images"),
        ("denoising", "ir-sde", {"tile": 64, "overlap": 64}, "give 0 to 62 for tiles of 64"),
        ("denoising", "ir-sde", {"overlap": -1}, "give 0 to 510"),
        ("denoising", "ir-sde", {"tile": 0, "overlap": 8}, "no tiles; omit it"),
        ("denoising", "ir-sde", {"samples": 0}, "--samples 0: give at least 1"),
        ("denoising", "ir-sde", {"samples": 10**8}, "give at least 1 and at most 1000"),
        ("denoising", "ir-sde", {"batch": 10**9}, "give at least 1 and at most 1024"),
        ("denoising", "ir-sde", {"batch": 0}, "--batch 0: give at least 1"),
        ("denoising", "ir-sde", {"threads": 0}, "--threads 0: give at least 1"),
        ("denoising", "ir-sde", {"nfe": 101}, "101 steps do not fit"),
        ("denoising", "ir-sde", {"sampler": "rk9"}, "unknown sampler 'rk9'"),
        ("denoising", "ir-sde", {"noise_level": 0.1}, "takes no noise level"),
        ("denoising", "regression", {"samples": 2}, "draws no noise: omit --samples"),
        ("denoising", "regression", {"seed": 3}, "draws no noise: omit --seed"),
        ("denoising", "regression", {"conversion": "plain"}, "omit --conversion"),
        ("denoising", "ddpm", {"conversion": "plain"}, "not trained by maximum likelihood"),
        ("denoising", "ir-sde", {"conversion": "exactly"}, "unknown conversion 'exactly'"),
        ("denoising", "denoising-ode", {"seed": 3}, "draws no noise: omit --seed"),
        ("denoising", "denoising-ode", {"noise_level": 0.0}, r"noise level 0.0000 must lie in"),
        ("denoising", "denoising-ode", {"noise_level": float("nan")}, "must lie in"),
        ("denoising", "regression", {"nfe": 5}, "omit --sampler and --nfe"),
        ("denoising", "regression", {"mask": Path("m.png")}, "takes no mask; omit --mask"),
        ("denoising", "denoising-ode", {"samples": 2}, "draws no noise: omit --samples"),
        ("denoising", "denoising-ode", {"nfe": 90}, "give at most that many"),
        ("inpainting", "ir-sde", {"mask": Path("nowhere.png")}, "nowhere.png: no such file"),
        ("denoising", "ffdnet", {}, "give --noise-level"),
        ("denoising", "ffdnet", {"noise_level": 0.4}, "trained for 0 to 0.294"),
        ("denoising", "ffdnet", {"noise_level": float("nan")}, "trained for 0 to 0.294"),
        ("denoising", "cdncnn-s+sigma25", {"noise_level": 0.1}, "omit --noise-level"),
        ("dehazing", "gcanet", {"sampler": "ddim"}, "omit --sampler"),
        ("dehazing", "gcanet", {"samples": 2}, "omit --samples"),
    ],
)
def test_options_that_cannot_be_used_get_one_line(tmp_path, photo, task, method, options, words):
    run, out = make_run(tmp_path / "run", task, method), tmp_path / "out"
    with pytest.raises(InputError) as refusal:
        restore_photographs(photo, run, out, RestoreOptions(**options))
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not out.exists() or not list(out.iterdir())


def test_a_method_that_starts_from_the_noise_needs_its_level(tmp_path, photo):
    run = make_run(tmp_path / "run", method="denoising-ode", recorded_task="deraining")
    with pytest.raises(InputError, match="not known: give --noise-level"):
        restore_photographs(photo, run, tmp_path / "out", RestoreOptions())
    restore_photographs(photo, run, tmp_path / "out", RestoreOptions(noise_level=25 / 255))
    entry = read_json(tmp_path / "out/restored.json")["photo.png"]["settings"]
    assert entry["nfe"] == 22


@pytest.mark.parametrize(
    ("method", "task", "options"),
    [
        ("prenet+rain100h", "deraining", {}),
        ("gcanet", "dehazing", {}),
        ("imdn", "super-resolution", {}),
        ("ffdnet", "denoising", {"noise_level": 15 / 255}),
    ],
)
def test_published_systems_restore_photographs(tmp_path, method, task, options):
    run = make_run(tmp_path / "run", task, method)
    photo = photograph(tmp_path / "photo.png", 41, 39)
    pixels = restored(photo, run, tmp_path / "out", RestoreOptions(**options))
    network = build_network(provenance.read_network_run(run)[1])
    network.load_state_dict(load_file(run / "weights.safetensors"))
    image = torch.from_numpy(to_float(read_image(photo))).permute(2, 0, 1)[None]
    with torch.inference_mode():
        expected = network.eval()(image, *options.values())[0].permute(1, 2, 0).numpy()
    assert np.abs(pixels - 255 * expected.clip(0, 1)).max() <= 0.51
    tiled = RestoreOptions(**options, tile=32, overlap=8)
    assert restored(photo, run, tmp_path / "tiled", tiled).shape == expected.shape


def test_sources_that_cannot_be_used_get_one_line(tmp_path, photo):
    run, out = make_run(tmp_path / "run"), tmp_path / "out"
    empty = tmp_path / "empty"
    empty.mkdir()
    twins = tmp_path / "twins"
    for name in ("a.png", "a.jpg"):
        photograph(twins / name, 20, 20)
    broken = tmp_path / "broken"
    photograph(broken / "a.png", 20, 20)
    (broken / "b.png").write_bytes(photo.read_bytes()[:300])
    for source, words in (
        (tmp_path / "x.png", "no such file or folder"),
        (empty, "no PNG, JPEG, BMP, TIFF or WebP image in this folder"),
        (twins, "two images would be written as a.png"),
        (broken, "b.png: not a readable image"),
    ):
        with pytest.raises(InputError, match=words):
            restore_photographs(source, run, out, SMALL)
    assert not out.exists()
    out.mkdir()
    (out / "restored.json").write_text("[]")
    with pytest.raises(InputError, match="not written by irsde restore"):
        restore_photographs(photo, run, out, SMALL)


def test_results_that_are_too_large_to_be_read_again_are_refused(tmp_path):
    PILImage.new("RGB", (3000, 2100)).save(tmp_path / "large.png")
    run = make_run(tmp_path / "run", task="super-resolution")
    with pytest.raises(InputError, match="would have more than 100 million pixels"):
        restore_photographs(tmp_path / "large.png", run, tmp_path / "out", SMALL)


def test_sixteen_bits_and_cmyk_are_refused(tmp_path):
    run = make_run(tmp_path / "run")
    PILImage.fromarray(np.zeros((9, 9), np.uint16)).save(tmp_path / "deep.png")
    PILImage.new("CMYK", (9, 9)).save(tmp_path / "cmyk.jpg")
    for name, words in (("deep.png", "16 bits a channel"), ("cmyk.jpg", "CMYK")):
        with pytest.raises(InputError, match=words):
            restore_photographs(tmp_path / name, run, tmp_path / "out", SMALL)


# --- memory

MEASURED = """
import re, sys
from pathlib import Path
from irsde.restoration.photos import RestoreOptions, restore_photographs
_, folder, run = sys.argv
for name, tile in (("small", 128), ("large", 128), ("large", 0)):
    options = RestoreOptions(tile=tile, nfe=1, threads=1)
    out = Path(folder) / f"{name}-{tile}"
    restore_photographs(Path(folder) / f"{name}.png", Path(run), out, options)
    status = Path("/proc/self/status").read_text()  # ru_maxrss would begin with the parent's
    print(1024 * int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_grows_by_the_image_buffers_only(tmp_path):
    run = make_run(tmp_path / "run")
    photograph(tmp_path / "small.png", 128, 128)
    photograph(tmp_path / "large.png", 900, 1200)
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(tmp_path), str(run)],
        capture_output=True,
        text=True,
        check=True,
    )
    small, tiled, whole = map(int, done.stdout.split())
    pixels = 900 * 1200
    assert tiled - small < 40 * pixels, "read, blended in float32 and written: 18 to 24 bytes"
    assert whole - small > 100 * pixels, "the network's activations"
