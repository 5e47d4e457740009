"""Results and data in forms that others read: each is read back by its own library or validator."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote

import pytest
from huggingface_hub import ModelCard

from irsde.audit.crate import METADATA
from irsde.audit.croissant import CROISSANT
from irsde.files import digest_file, read_json
from tests.project import call, copy_project, prepare_task

TASK, METHOD = "denoising", "ir-sde+l2"
PROJECT = Path(__file__).parents[1]
RUN = f"results/smoke/{TASK}/{METHOD}/seed0"
SCORED = f"{RUN}/evaluations/photographs-test/posterior-3"
VALIDATOR = os.environ.get("IRSDE_ROC_VALIDATOR")
AUTHOR = "Ada Lovelace <https://orcid.org/0000-0002-1825-0097>"
RDFLIB = "ignore:ConjunctiveGraph is deprecated:DeprecationWarning"  # that mlcroissant uses


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A project with a tuned and a trained run, their evaluations and a partial report."""
    folder = copy_project(tmp_path_factory.mktemp("project"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        prepare_task("smoke", TASK)
    for method in ("classical", METHOD):
        call(folder, "irsde", "train", "--task", TASK, "--method", method)
        run = f"results/smoke/{TASK}/{method}/seed0"
        call(folder, "irsde", "evaluate", "--run", run)
    call(folder, "irsde", "report", "--partial")
    return folder


@pytest.fixture(scope="module")
def crate(finished):
    line = call(
        finished,
        *("irsde", "export", "crate", "crate", "--author", AUTHOR),
        *("--weights", METHOD, "--pictures", "photographs-test"),
    )
    assert line.startswith("crate: 2 runs, 2 evaluations, ")
    return finished / "crate"


def entities(crate):
    return {one["@id"]: one for one in read_json(crate / METADATA)["@graph"]}


def ids(value):
    return {one["@id"] for one in (value if isinstance(value, list) else [value])}


def test_every_file_of_the_crate_is_described_and_as_it_was(crate, finished):
    described = entities(crate)
    files = {
        unquote(name): one
        for name, one in described.items()
        if "File" in one["@type"] and not name.startswith("ro-crate")
    }
    there = {path.relative_to(crate).as_posix() for path in crate.rglob("*") if path.is_file()}
    assert there - set(files) == {METADATA, "ro-crate-preview.html"}
    del files["README.md"]
    for name, one in files.items():
        assert digest_file(crate / name) == digest_file(finished / name)
        assert one.get("sha256") in (None, digest_file(crate / name))
    kinds = {Path(name).name for name in there}
    assert {"Snakefile", "train.smk", "smoke.yaml", "tables.md", "provenance.json"} <= kinds
    assert f"{RUN}/weights.safetensors" in there
    assert any(name.startswith(f"{SCORED}/images/") for name in there)


def test_an_action_says_what_it_used_and_when(crate):
    described = entities(crate)
    trained, scored = described[f"#train/{RUN}"], described[f"#evaluate/{SCORED}"]
    assert trained["endTime"] >= trained["startTime"]
    assert scored["startTime"] >= trained["endTime"]
    weights = f"{RUN}/weights.safetensors".replace("+", "%2B")
    assert weights in ids(trained["result"])
    assert weights in ids(scored["object"])
    (test,) = [name for name in ids(scored["object"]) if name.startswith("#set-")]
    assert (
        described[test]["identifier"]
        == (read_json(crate / SCORED / "summary.json")["dataset"]["fingerprint"])
    )
    cost = read_json(crate / RUN / "cost.json")
    used = [described[name] for name in ids(trained["resourceUsage"])]
    seconds = {one["propertyID"]: one["value"] for one in used}["seconds"]
    assert float(seconds) == cost["seconds"]
    assert trained["endTime"] == cost["ended"]
    report = described["#report/smoke"]
    assert "reports/tables.md" in ids(report["result"])
    assert f"{SCORED}/per_image.csv".replace("+", "%2B") in ids(report["object"])


@pytest.mark.skipif(not VALIDATOR, reason="IRSDE_ROC_VALIDATOR names no Python with roc-validator")
@pytest.mark.parametrize("options", [(), ("--author", AUTHOR)])
def test_the_public_validator_accepts_it(finished, options):
    call(finished, "irsde", "export", "crate", "judged", *options)
    script = PROJECT / "tests/validate_crate.py"
    done = subprocess.run(
        [VALIDATOR, script, finished / "judged"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    broken = read_json(finished / "judged" / METADATA)
    for one in broken["@graph"]:
        one.pop("instrument", None)
    (finished / "judged" / METADATA).write_text(json.dumps(broken))
    done = subprocess.run(
        [VALIDATOR, script, finished / "judged"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "instrument" in done.stdout


def test_a_crate_is_replaced_and_nothing_else_is(finished, crate):
    before = set(entities(crate))
    call(finished, "irsde", "export", "crate", "crate")
    assert set(entities(crate)) < before
    assert "results: is there and no crate" in call(
        finished, "irsde", "export", "crate", "results", code=2
    )
    assert "reports: is of the profile smoke" in call(
        finished, "irsde", "export", "crate", "other", "--profile", "quick", code=2
    )
    for option, value, words in (
        ("--author", "<x>", "--author '<x>': write NAME"),
        ("--licence", "MIT", "--licence MIT: give its address"),
        ("--weights", "ddpm", "smoke has no method ddpm"),
    ):
        assert words in call(finished, "irsde", "export", "crate", "other", option, value, code=2)
    assert not (finished / "other").exists()


@pytest.mark.filterwarnings(RDFLIB)
def test_croissant_cards_are_valid_and_find_the_images(finished):
    import mlcroissant as mlc

    printed = call(finished, "irsde", "export", "croissant", "sets", "--task", TASK)
    assert "sets/denoising/photographs-test: 4 pairs; licence: CC0; no known copyright" in printed
    folder = finished / f"sets/{TASK}/photographs-test"
    card = mlc.Dataset(jsonld=folder / CROISSANT)
    assert not card.metadata.ctx.issues.errors
    pairs = list(card.records("pairs"))
    images = {one["clean/file"]: one["clean/image"] for one in card.records("clean")}
    assert [one["pairs/gt"] in images for one in pairs] == 4 * [True]
    assert all((folder / one["pairs/lq"].decode()).is_file() for one in pairs)
    assert {image.size for image in images.values()} == {(32, 32)}
    stray = finished / f"sets/{TASK}/photographs-train" / CROISSANT
    stray.unlink()
    assert "has no croissant.json" in call(finished, "irsde", "export", "croissant", "sets", code=2)
    shutil.rmtree(finished / "sets")
    assert "no prepared pairs of super-resolution" in call(
        finished, "irsde", "export", "croissant", "sets", "--task", "super-resolution", code=2
    )


def test_model_cards_have_an_index_that_hubs_read(finished):
    call(finished, "irsde", "evidence", "export", "evidence", "--weights", METHOD)
    run = finished / "evidence" / RUN
    card = ModelCard.load(run / "README.md")
    assert card.data.tags == ["image-restoration", TASK, METHOD]
    found = {result.metric_type: result for result in card.data.eval_results}
    summary = read_json(finished / SCORED / "summary.json")
    stated = {metric["name"]: metric["mean"] for metric in summary["metrics"]}
    assert found["psnr"].metric_value == stated["psnr"]
    assert found["psnr"].dataset_type == "photographs-test"
    assert found["psnr"].dataset_revision == summary["dataset"]["fingerprint"]
    assert found["psnr"].metric_args["sampler"] == "posterior"
    assert set(found) == {name for name, mean in stated.items() if mean is not None}
    assert "# Denoising by " in card.text


def test_the_committed_model_cards_have_one_too():
    cards = sorted((PROJECT / "reports/study/results").glob("*/*/*/*/README.md"))
    assert len(cards) == len(list((PROJECT / "reports/study/results").rglob("*.safetensors"))) > 0
    for path in cards:
        data = ModelCard.load(path).data
        for result in data.eval_results:
            folder = path.parent / "evaluations" / result.dataset_type
            options = f"{result.metric_args['sampler']}-{result.metric_args['nfe']}"
            summary = read_json(folder / options / "summary.json")
            stated = {metric["name"]: metric["mean"] for metric in summary["metrics"]}
            assert stated[result.metric_type] == result.metric_value
