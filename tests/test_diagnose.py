"""What explains the gap between somebody's number and a printed row."""

import re

import numpy as np
import pytest
from skimage import data

from irsde.audit.diagnose.study import TOPICS, study_effects
from irsde.images import write_image
from irsde.scoring.pixels import psnr
from tests.project import PROJECT, call

ROW = "rain100h-test/PReNet"  # printed: 29.46 dB of luminance
SIGMA = 255 * 10 ** (-28.1 / 20)  # of gray noise, which luminance has 1.3 dB less of
IMAGES = 8

OPTIONS = """
name: ir-sde
sde: {max_sigma: 10, T: 50, schedule: cosine, sampling_mode: posterior}
degradation: {scale: 4}
datasets:
  train: {dataroot_GT: rain/train/GT, batch_size: 4, GT_size: 64}
  val: {dataroot_GT: rain/train/GT}
path: {pretrain_model_G: experiments/models/500000_G.pth}
train: {niter: !!float 5e5}
"""
LOG = """26-01-01 00:00:00.000 - INFO: Number of test images in [Rain]: 100
26-01-01 00:00:01.000 - INFO: img  0:norain-1 - PSNR: 28.1 dB; SSIM: 0.8; LPIPS: 0.1; PSNR_Y: 2 dB
26-01-01 00:00:02.000 - INFO: ----Average PSNR/SSIM results for Rain----
\tPSNR: 28.100000 dB; SSIM: 0.850000

26-01-01 00:00:02.000 - INFO: ----Y channel, average PSNR/SSIM----
\tPSNR_Y: 29.500000 dB; SSIM_Y: 0.880000

"""


@pytest.fixture(scope="module")
def clean():
    generator = np.random.default_rng(0)
    tops = generator.integers(0, 512 - 64, (IMAGES, 2))
    windows = [data.astronaut()[y : y + 64, x : x + 64] for y, x in tops]
    return [np.clip(window, 40, 215) for window in windows]


def written(folder, images):
    for number, pixels in enumerate(images):
        write_image(folder / f"{number}.png", np.ascontiguousarray(pixels))
    return folder


def noisy(clean, to_bytes=np.round):
    generator = np.random.default_rng(1)
    return [
        to_bytes(pixels + generator.normal(0, SIGMA, (64, 64, 1))).clip(0, 255).astype(np.uint8)
        for pixels in clean
    ]


def diagnosed(folder, clean, restored, *options):
    (folder / "clean").mkdir(exist_ok=True)
    (folder / "restored").mkdir(exist_ok=True)
    places = (
        *("--restored", str(written(folder / "restored", restored))),
        *("--reference", str(written(folder / "clean", clean))),
    )
    return call(PROJECT, "irsde", "diagnose", ROW, *places, *options)


def ranked(text):
    """Lines of the table of what was measured, as (what, effect, gap left)."""
    table = text.split("the nearest to the gap first:")[1].split("\n\n")[1]
    body = table.split("\n", 2)[2]
    return [
        (line[:44].strip(), float(match[1]), float(match[2]))
        for line in body.split("\n")
        if (match := re.search(r" ([+-][\d.]+)(?: \[.*\])? +([+-][\d.]+) +your images", line))
    ]


def test_a_number_of_rgb_is_told_from_the_printed_luminance(tmp_path, clean):
    restored = noisy(clean)
    text = diagnosed(tmp_path, clean, restored)
    ours = np.mean([psnr(a, b) for a, b in zip(restored, clean, strict=True)])
    assert f"yours: {ours:.2f} dB, PSNR of {IMAGES} images by the protocol rgb" in text
    assert f"! {IMAGES} images, the row is of 100" in text
    assert f"! edition: only 0 of {IMAGES} clean images are those of rain100h-test" in text
    by_name = {what: (effect, left) for what, effect, left in ranked(text)}
    effect, left = by_name["luminance instead of RGB"]
    assert effect == pytest.approx(1.32, abs=0.1)
    assert left == pytest.approx(29.46 - ours - effect, abs=0.011)
    lefts = [abs(left) for _, _, left in ranked(text)]
    assert lefts == sorted(lefts)
    assert "red and blue exchanged (-" in text.split("Excluded")[1]
    assert "no sign of truncated bytes" in text


def test_truncated_bytes_are_noticed(tmp_path, clean):
    text = diagnosed(tmp_path, clean, noisy(clean, np.floor))
    assert re.search(r"median over images: -0\.[3-6]\d levels .*: bytes look truncated", text)
    dark = [(pixels - 3.0) for pixels in clean]
    text = diagnosed(tmp_path, clean, noisy(dark))
    assert "not the half level by which truncated bytes are darker" in text


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda image: image[..., ::-1], "red and blue exchanged"),
        (lambda image: np.roll(image, (1, -1), (0, 1)), "moved by (-1, 1) pixels down and right"),
    ],
)
def test_what_spoils_every_pixel_comes_first(tmp_path, clean, spoil, words):
    generator = np.random.default_rng(2)
    as_printed = 255 * 10 ** (-29.46 / 20)
    noise = [np.round(generator.normal(0, as_printed, image.shape)) for image in clean]
    pairs = zip(clean, noise, strict=True)
    good = [(image + of).clip(0, 255).astype(np.uint8) for image, of in pairs]
    first, *_ = ranked(diagnosed(tmp_path, clean, map(spoil, good)))
    assert words.startswith(first[0]) or first[0].startswith(words)


def test_a_number_alone_is_found_among_the_ways_of_scoring(tmp_path, clean):
    restored = noisy(clean)
    inner = np.s_[4:-4, 4:-4]
    pairs = zip(restored, clean, strict=True)
    rgb = np.mean([psnr(ours[inner], theirs[inner]) for ours, theirs in pairs])
    text = diagnosed(tmp_path, clean, restored, "--psnr", f"{rgb:.2f}")
    assert "yours: " in text
    assert f"PSNR by authors is {rgb:.2f}: your number" in text


def test_option_file_and_log_of_the_authors_are_read(tmp_path):
    (tmp_path / "ir-sde.yml").write_text(OPTIONS)
    (tmp_path / "test.log").write_text(LOG)
    files = ("--settings", str(tmp_path / "ir-sde.yml"), "--log", str(tmp_path / "test.log"))
    text = call(PROJECT, "irsde", "diagnose", "rain100h-test/IR-SDE", *files)
    assert "yours: 29.50 dB, PSNR_Y of your log" in text
    assert "missing: 2.15 dB" in text
    for words in (
        "number of steps: DIFFERS. T: 50; the row's 100",
        "sampler: DIFFERS. sampling_mode: posterior; the row's sampler: euler-maruyama",
        "500000_G.pth, the weights of one iteration, no average",
        "batch: not decided. batch_size: 4; known of the method: 4, 16",
        "patch size: DIFFERS. GT_size: 64; known of the method: 128",
        "border cut or not: as the row. test.py cuts 4 border pixels",
        "training split: DIFFERS. trained and tested on one folder, rain/train/GT",
        "anything of the pixels: give --restored and --reference",
    ):
        assert words in text
    unknown = text.split("cannot be known")[1]
    assert "seed of the training" in unknown
    assert "number of steps" not in unknown
    table = text.split("Not excluded")[1].split("What cannot")[0]
    assert table.index("(DIFFERS)") < table.index("seed of the training")


def test_rows_of_published_weights_are_rows_too():
    text = call(PROJECT, "irsde", "diagnose", "kodak24+sigma25/ffdnet", "--psnr", "32.11")
    assert "printed: 32.13 dB, PSNR of FFDNet on Kodak24 (figure table2 in the README of" in text
    assert "missing: 0.02 dB" in text


def test_the_topics_are_those_of_the_committed_table(monkeypatch):
    monkeypatch.chdir(PROJECT)
    measured = {effect.label for effect in study_effects()}
    assert measured == {label for topic in TOPICS.values() for label in topic.lines}


@pytest.mark.parametrize(
    ("row", "options", "words"),
    [
        ("rain100h-test/Nothing", ("--psnr", "20"), "unknown row of rain100h-test 'Nothing'"),
        ("set5-x4/ffdnet", ("--psnr", "20"), "unknown row of set5-x4 'ffdnet': choose from imdn"),
        ("rain100l-test/ffdnet", ("--psnr", "20"), "D3GM, prenet+rain100l, prenet-r+rain100l"),
        ("nowhere/PReNet", ("--psnr", "20"), "unknown data set of printed rows 'nowhere'"),
        (ROW, (), "give --restored, --log or --psnr"),
        (ROW, ("--restored", "x"), "give --restored and --reference together"),
        (ROW, ("--psnr", "20", "--protocol", "y"), "--protocol: goes with --restored"),
        (ROW, ("--psnr", "200"), "--psnr 200: is no PSNR"),
        (ROW, ("--log", "LICENSE"), "LICENSE: neither averages of the authors' test.py nor"),
        (ROW, ("--psnr", "20", "--settings", "params.yaml"), "no option file of the authors"),
    ],
)
def test_what_is_not_enough_is_refused(row, options, words):
    assert words in call(PROJECT, "irsde", "diagnose", row, *options, code=2)
