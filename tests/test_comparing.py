"""`irsde compare`: two evaluations of the same images, as text and as a picture."""

import itertools
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from skimage import data

from irsde.audit.compare import WIDTH, _binned, compare
from irsde.audit.pairing import compared, paired, read_side, winning
from irsde.evaluation.outside import evaluate_restored
from irsde.experiment.grid import pairs_folder
from irsde.experiment.summary import Summary
from irsde.files import InputError, read_json, write_json
from irsde.images import read_image, write_image
from irsde.report.effects import by_protocol
from irsde.report.results import Entry, Row
from tests.fabricated import PREPARED

METRICS = (
    ("psnr", "PSNR (dB)", True, 2, 26.0),
    ("ssim", "SSIM", True, 4, 0.8),
    ("lpips", "LPIPS", False, 4, 0.2),
)
IMAGES = 16


def write(
    folder: Path,
    better: float = 0.0,
    label: str = "a method",
    images: int = IMAGES,
    task: str = "denoising",
    **changes: object,
) -> Path:
    """An evaluation below the working directory that is better by so many standard deviations."""
    generator = np.random.default_rng(len(label))
    shared = np.random.default_rng(1).normal(size=images)
    table = pd.DataFrame({"image": [f"image{k}" for k in range(images)]})
    table["scene"] = [f"scene{k // 2}" for k in range(images)]
    for name, _, higher, _, middle in METRICS:
        own = 0.05 * generator.normal(size=images)
        table[name] = middle * (1 + 0.01 * (shared + (better + own) * (1 if higher else -1)))
    table["nfe"] = 100
    folder.mkdir(parents=True)
    table.to_csv(folder / "per_image.csv", index=False)
    summary = {
        "profile": "made",
        "task": task,
        "task_label": task.capitalize(),
        "method": "ir-sde",
        "method_label": label,
        "seed": 0,
        "sampler": "posterior",
        "nfe": 100,
        "leaked": [],
        "dataset": {**PREPARED, "pairs": images, "window": None},
        "protocol": {"name": "rgb", "version": 1},
        "lpips": {"network": "alex", "unavailable": ""},
        "metrics": [
            {"name": name, "label": label, "higher_is_better": higher, "decimals": decimals}
            for name, label, higher, decimals, _ in METRICS
        ],
    }
    write_json(folder / "summary.json", {**summary, **changes})
    return folder


def keep_images(folders: list[Path], count: int) -> None:
    """Store the first images of evaluations and the prepared pairs they come from."""
    prepared = pairs_folder("made", "denoising", "photographs-test")
    for folder in (prepared / "GT", prepared / "LQ", *(folder / "images" for folder in folders)):
        folder.mkdir(parents=True)
    photograph = data.astronaut()
    lines = ["image,scene,gt,lq,mask,gt_sha256,lq_sha256,mask_sha256,source"]
    for k in range(count):
        clean = photograph[40 * k : 40 * k + 40, 200:264]
        write_image(prepared / "GT" / f"image{k}.png", clean)
        np.save(prepared / "LQ" / f"image{k}.npy", clean.astype(np.float32) / 255)
        lines.append(f"image{k},scene{k // 2},GT/image{k}.png,LQ/image{k}.npy,,,,,")
        for number, folder in enumerate(folders):
            noise = np.random.default_rng([k, number]).normal(0, 10, clean.shape)
            noisy = np.clip(clean + noise, 0, 255).astype(np.uint8)
            write_image(folder / "images" / f"image{k}.png", noisy)
    (prepared / "pairs.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_better_method_is_named_in_every_metric_whichever_way_is_better():
    good, bad = write(Path("good"), 1.0, "good"), write(Path("bad"), 0.0, "bad one")
    text = compare(good, bad)
    assert text.count("  A is better\n") == len(METRICS)
    assert "PSNR (dB): A is better by 0.2" in text
    text = compare(bad, good)
    assert text.count("  B is better\n") == len(METRICS)


def test_numbers_are_means_and_differences_of_the_two_tables():
    a, b = write(Path("a"), 0.3, "first"), write(Path("b"), 0.0, "the second")
    results = compared(paired(read_side("A", a), read_side("B", b)))
    first, second = (pd.read_csv(folder / "per_image.csv") for folder in (a, b))
    for result in results:
        name = result.metric.name
        assert result.mean_a.mean == pytest.approx(first[name].mean())
        assert result.mean_b.mean == pytest.approx(second[name].mean())
        assert result.difference.mean == pytest.approx((first[name] - second[name]).mean())
        assert result.difference.low < result.difference.mean < result.difference.high
    psnr, _, lpips = results
    assert psnr.won == (first["psnr"] > second["psnr"]).sum()
    assert lpips.won == (first["lpips"] < second["lpips"]).sum()
    assert psnr.probability.mean == pytest.approx(psnr.won / IMAGES)
    assert lpips.probability.mean == pytest.approx(lpips.won / IMAGES)
    assert all(result.p_value >= result.difference.p_value for result in results)


def test_swapping_the_two_changes_the_signs_only():
    a, b = write(Path("a"), 0.05, "first"), write(Path("b"), 0.0, "the second")
    there = compared(paired(read_side("A", a), read_side("B", b)))
    back = compared(paired(read_side("A", b), read_side("B", a)))
    for one, other in zip(there, back, strict=True):
        assert one.difference.mean == pytest.approx(-other.difference.mean)
        assert one.p_value == pytest.approx(other.p_value)
        assert (one.won, one.lost) == (other.lost, other.won)
        assert one.probability.mean == pytest.approx(1 - other.probability.mean)


def test_an_evaluation_against_itself_is_not_resolved():
    a = write(Path("a"))
    text = compare(a, a)
    assert "A and B are the same folder" in text
    assert "  A is better" not in text
    assert "  B is better" not in text
    assert text.count("  not resolved\n") == len(METRICS)
    assert "A wins on no image" in text
    assert "B wins on no image" in text


def test_the_images_where_each_wins_most_are_listed_first():
    a, b = write(Path("a"), 0.0, "first"), write(Path("b"), 0.0, "the second")
    table = pd.read_csv(a / "per_image.csv")
    table.loc[3, "psnr"] += 9
    table.loc[7, "psnr"] -= 8
    table.to_csv(a / "per_image.csv", index=False)
    comparison = paired(read_side("A", a), read_side("B", b))
    assert winning(comparison, 1)[0] == 3
    assert winning(comparison, -1)[0] == 7
    lines = compare(a, b).splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("Where A wins most"))
    assert lines[start + 3].startswith("image3")
    start = next(k for k, line in enumerate(lines) if line.startswith("Where B wins most"))
    assert lines[start + 3].startswith("image7")


def test_order_of_images_and_columns_does_not_matter():
    a, b = write(Path("a"), 0.1, "first"), write(Path("b"), 0.0, "the second")
    expected = compare(a, b)
    table = pd.read_csv(b / "per_image.csv").iloc[::-1, ::-1]
    table.to_csv(b / "per_image.csv", index=False)
    assert compare(a, b) == expected


def test_a_run_with_one_evaluation_stands_for_it():
    run = Path("results/made/denoising/ir-sde/seed0")
    a = write(run / "evaluations/photographs-test/posterior-100", 0.5, "first")
    b = write(Path("b"), 0.0, "the second")
    card = {
        "task": "denoising",
        "method": "ir-sde",
        "seed": 0,
        "label": "IR-SDE",
        "identity": {},
        "parameters": 380_000,
        "settings": {"training": {"iterations": 600, "batch": 8, "patch": 48}},
    }
    write_json(run / "run.json", card)
    text = compare(run, b)
    assert text == compare(a, b)
    assert "0.38 M parameters, 600 iterations of 8" in text


def test_a_run_with_several_evaluations_is_refused_with_their_list():
    run = Path("run")
    names = ["evaluations/x/posterior-10", "evaluations/x/posterior-100"]
    for name in names:
        write(run / name)
    other = write(Path("b"))
    with pytest.raises(InputError, match="has 2 evaluations") as error:
        compare(run, other)
    assert all(f"run/{name}" in str(error.value) for name in names)


def test_other_folders_are_refused():
    a = write(Path("a"))
    Path("empty").mkdir()
    for wrong, message in ((Path("nothing"), "no such folder"), (Path("empty"), "no evaluation")):
        with pytest.raises(InputError, match=message):
            compare(a, wrong)
        with pytest.raises(InputError, match=message):
            compare(wrong, a)
    write_json(Path("empty/summary.json"), {})
    with pytest.raises(InputError, match="metrics: field required"):
        compare(a, Path("empty"))
    shutil.copy(a / "summary.json", "empty")
    with pytest.raises(InputError, match=r"per_image\.csv: no such file"):
        compare(a, Path("empty"))


def test_what_cannot_be_paired_is_refused():
    a, b = write(Path("a")), write(Path("b"))
    summary = read_json(b / "summary.json")
    summary["dataset"]["dataset"] = "kodak24"
    write_json(b / "summary.json", summary)
    with pytest.raises(InputError, match="photographs-test, B of kodak24"):
        compare(a, b)
    b = write(Path("c"))
    table = pd.read_csv(b / "per_image.csv")
    table["image"] = "other_" + table["image"]
    table.to_csv(b / "per_image.csv", index=False)
    with pytest.raises(InputError, match="no image name in common"):
        compare(a, b)
    table["image"] = "image0"
    table.to_csv(b / "per_image.csv", index=False)
    with pytest.raises(InputError, match="image0 appears twice"):
        compare(a, b)


def test_only_common_images_are_compared_and_the_rest_counted():
    a, b = write(Path("a"), 0.2, "first"), write(Path("b"), 0.0, "the second", images=10)
    text = compare(a, b)
    assert "Warning: A has 16 images, of which 10 are compared." in text
    assert "10 images of 5 scenes" in text
    mean = pd.read_csv(a / "per_image.csv")["psnr"].head(10).mean()
    assert f"{mean:.2f}" in text


def test_what_differs_is_warned_of():
    a = write(Path("a"))
    data_card = read_json(a / "summary.json")["dataset"]
    other = {**data_card, "fingerprint": "g", "window": 128}
    b = write(Path("b"), 0.0, "b", 16, "deraining", dataset=other, leaked=["image1"])
    text = " ".join(compare(a, b).split())
    assert "Warning: the tasks differ: denoising and deraining." in text
    assert "were prepared differently: 16 images, noise and 16 images, noise, windows" in text
    assert "Warning: B: 1 test images show what a training image shows." in text


def test_lpips_of_another_network_is_not_compared():
    a = write(Path("a"))
    b = write(Path("b"), lpips={"network": "squeeze", "unavailable": ""})
    results = compared(paired(read_side("A", a), read_side("B", b)))
    assert [result.metric.name for result in results] == ["psnr", "ssim"]
    assert "LPIPS is n/a: the LPIPS networks differ: alex and squeeze." in compare(a, b)


def test_protocols_that_differ_are_warned_of_unless_both_were_computed():
    a = write(Path("a"), 0.5, "first")
    b = write(Path("b"), 0.0, "the second", protocol={"name": "authors", "version": 1})
    assert "the protocols differ: rgb v1 and authors v1" in compare(a, b)
    table = pd.read_csv(b / "per_image.csv")
    again = table[["image", "ssim"]].assign(protocol="rgb", psnr=table["psnr"] - 3)
    again = again.assign(psnr_y=again["psnr"], ssim_y=again["ssim"])
    again.to_csv(b / "protocols.csv", index=False)
    text = compare(a, b)
    assert "B was scored under authors v1; its values here are under rgb v1." in text
    assert f"{table['psnr'].mean() - 3:.2f}" in text


def test_images_made_elsewhere_are_paired_by_name():
    a, b = write(Path("a"), 0.5, "first"), write(Path("b"), 0.0, "somebody's")
    table = pd.read_csv(b / "per_image.csv").drop(columns=["scene", "nfe"])
    table.to_csv(b / "per_image.csv", index=False)
    summary = read_json(b / "summary.json")
    kept = {key: summary[key] for key in ("method_label", "metrics", "protocol", "lpips")}
    write_json(b / "summary.json", {**kept, "outside": True, "reference": "clean"})
    text = " ".join(compare(a, b).split())
    assert "B does not say which test set it is of" in text
    assert "16 images of 8 scenes" in text
    text = " ".join(compare(b, b).split())
    assert "neither says which test set it is of" in text
    assert "every image counts as a scene of its own" in text
    assert "16 images of 16 scenes" in text


def test_few_scenes_have_a_verdict_and_its_condition():
    a, b = write(Path("a"), 1.0, "first", 8), write(Path("b"), 0.0, "the second", 8)
    text = compare(a, b)
    assert text.count("  A is better\n") == len(METRICS)
    assert "Of 4 scenes, they hold if scenes are normally distributed." in text
    a, b = write(Path("c"), 1.0, "first", 2), write(Path("d"), 0.0, "the second", 2)
    text = compare(a, b)
    assert text.count("  cannot be told\n") == len(METRICS)
    assert "No verdict is possible: all images are of one scene." in text


def test_the_verdict_is_that_of_the_tables():
    """Where Wilcoxon's test would see a difference and Student's interval holds 0, none is seen."""
    a, b = write(Path("a"), 0.0, "first"), write(Path("b"), 0.0, "the second")
    table = pd.read_csv(a / "per_image.csv")
    other = pd.read_csv(b / "per_image.csv")
    table["psnr"] = other["psnr"] + 0.1
    table.loc[table["scene"] == "scene7", "psnr"] -= 9
    table.to_csv(a / "per_image.csv", index=False)
    psnr = compared(paired(read_side("A", a), read_side("B", b)))[0]
    assert psnr.difference.low < 0 < psnr.difference.high
    assert psnr.verdict == "not resolved"


def test_exact_images_are_left_out_of_means_and_count_as_won():
    a, b = write(Path("a"), 0.5, "first"), write(Path("b"), 0.0, "the second")
    table = pd.read_csv(a / "per_image.csv")
    table.loc[0, "psnr"] = np.inf
    table.to_csv(a / "per_image.csv", index=False)
    text = compare(a, b, Path("c.png"))
    assert f"{table['psnr'][1:].mean():.2f} (1 exact)" in text
    assert "which counts them by their rank" in " ".join(text.split())
    psnr = compared(paired(read_side("A", a), read_side("B", b)))[0]
    second = pd.read_csv(b / "per_image.csv")["psnr"]
    assert psnr.difference.mean == pytest.approx((table["psnr"] - second)[1:].mean())
    assert psnr.won == IMAGES
    assert psnr.verdict == "A is better"
    lines = text.splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("Where A wins most"))
    assert "∞" in lines[start + 3]
    assert "+∞" in lines[start + 3]
    assert "nan" not in text
    table["psnr"] = np.inf
    table.to_csv(a / "per_image.csv", index=False)
    assert "nan" not in compare(a, a, Path("c.png"))


def scored(folder: Path, seed: int, reference: Path, names: Sequence[str]) -> Path:
    """Photographs of a seed and noisy ones of them, scored by `irsde evaluate --restored`."""
    generator = np.random.default_rng(seed)
    restored = folder / "restored"
    for place in (restored, reference):
        place.mkdir(parents=True, exist_ok=True)
    for name in names:
        clean = generator.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        write_image(reference / f"{name}.png", clean)
        noisy = clean + generator.normal(0, 10, clean.shape)
        write_image(restored / f"{name}.png", np.clip(noisy, 0, 255).astype(np.uint8))
    evaluate_restored(restored, reference, "rgb", "noisy", folder / "scored")
    return folder / "scored"


@pytest.fixture
def _without_lpips(monkeypatch):
    monkeypatch.setenv("IRSDE_LPIPS_WEIGHTS", "")
    monkeypatch.setenv("IRSDE_INCEPTION_WEIGHTS", "")


@pytest.mark.usefixtures("_without_lpips")
def test_two_data_sets_of_the_same_file_names_are_refused():
    names = [f"{k:03d}" for k in range(3)]
    a = scored(Path("A"), 1, Path("A/GT"), names)
    b = scored(Path("B"), 2, Path("B/GT"), names)
    with pytest.raises(InputError, match=r"other clean images, such as that of 000 \(3 of 3"):
        compare(a, b)
    assert "3 images" in compare(a, a)
    table = pd.read_csv(b / "per_image.csv", dtype=str).drop(columns="reference")
    table.to_csv(b / "per_image.csv", index=False)
    assert "neither says which test set it is of" in compare(a, b)  # as older versions wrote it


@pytest.mark.usefixtures("_without_lpips")
def test_images_called_na_or_null_are_compared():
    names = ["NA", "null", "nan", "None", "007"]
    a = scored(Path("A"), 1, Path("A/GT"), names)
    text = compare(a, a)
    assert "5 images of 5 scenes" in text
    assert list(read_side("A", a).per_image["image"]) == sorted(names)
    entry = Entry(
        (Row(a, Summary.model_construct(), read_side("A", a).per_image.assign(scene="s")),)
    )
    assert list(by_protocol(entry)["y"].images) == sorted(names)


@pytest.mark.usefixtures("_without_lpips")
def test_a_picture_of_another_working_directory_is_not_drawn(monkeypatch, tmp_path):
    names = [f"{k:03d}" for k in range(3)]
    a = scored(Path("A"), 1, Path("A/GT"), names)
    assert "of the images that both keep" not in compare(a, a, Path("same.png"))  # no side wins
    scored(Path("elsewhere/A"), 3, Path("elsewhere/A/GT"), names)
    b = Path("B/scored")
    shutil.copytree(a, b)
    table = pd.read_csv(b / "per_image.csv", dtype={"image": str})
    table["psnr"] -= [1, 2, 3]
    table.to_csv(b / "per_image.csv", index=False)
    summary = read_json(b / "summary.json")
    write_json(b / "summary.json", {**summary, "restored": "B/restored"})
    shutil.copytree("A/restored", "B/restored")
    assert "no image that both keep" in compare(a, b, Path("c.png"))  # B's are not those scored
    table["psnr"] = pd.read_csv(a / "per_image.csv")["psnr"]
    table["ssim"] -= [0.1, 0.2, 0.3]
    table.to_csv(b / "per_image.csv", index=False)
    monkeypatch.chdir(tmp_path / "elsewhere")
    text = compare(tmp_path / a, tmp_path / b, Path("c.png"))
    assert "no image that both keep" in text


def test_differences_have_true_minus_signs_and_no_negative_zero():
    a, b = write(Path("a"), 0.0, "first"), write(Path("b"), 1.0, "the second")
    text = compare(a, b)
    assert re.search(r"−0\.\d\d +−0\.\d\d to −0\.\d\d", text)
    assert not re.search(r"-\d", text)
    table = pd.read_csv(a / "per_image.csv")
    table["psnr"] -= 0.001
    write(Path("c"), 0.0, "first")
    table.to_csv(Path("c/per_image.csv"), index=False)
    assert not re.search(r"[-−]0\.00 ", compare(Path("c"), a))


def test_text_is_narrow_and_names_are_shown_as_they_are():
    label = "[bold]a method[/bold] :smile: " + "with a long name " * 8
    a, b = write(Path("a"), 0.1, label), write(Path("b"), 0.0, "the second")
    text = compare(a, b)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "[bold]a method[/bold] :smile:" in text
    assert not any(line.endswith(" ") for line in text.splitlines())


def test_the_picture_shows_images_where_they_are_kept():
    a, b = write(Path("a"), 0.0, "first"), write(Path("b"), 0.0, "the second")
    assert "no image that both keep" in compare(a, b, Path("bare.png"))
    keep_images([a, b], 6)
    text = compare(a, b, Path("full.png"))
    assert "of the images that both keep" in text
    bare, full = (read_image(Path(f"{name}.png")) for name in ("bare", "full"))
    assert full.shape[1] == bare.shape[1]
    assert full.shape[0] > bare.shape[0] + 200
    content = Path("full.png").read_bytes()
    compare(a, b, Path("full.png"))
    assert Path("full.png").read_bytes() == content


def test_a_picture_of_another_kind_is_refused_before_anything_is_written():
    a = write(Path("a"))
    with pytest.raises(InputError, match=r"ends in \.png"):
        compare(a, a, Path("c.jpg"))
    assert not Path("c.jpg").exists()


@pytest.mark.parametrize(
    "values", [[0.0], [0.0, 0.0], [-1.0, -0.5], [0.5, 3.0], [-0.1, 0, 4], [1e-9, 1.0], [-2.0]]
)
def test_bins_hold_every_difference_and_none_crosses_zero(values):
    counts, edges = _binned(np.array(values))
    assert counts.sum() == len(values)
    assert all(not low < 0 < high for low, high in itertools.pairwise(edges))
