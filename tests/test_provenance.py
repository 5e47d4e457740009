"""Every number of the tables leads back to its images, and a break anywhere on the way is named."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file
from skimage.transform import resize

from irsde.audit import verify as verifying
from irsde.audit.explain import explain
from irsde.audit.recompute import evaluate_again, recompute
from irsde.audit.verify import verify
from irsde.evaluation.evaluate import evaluate
from irsde.evaluation.outside import PreparedSet, evaluate_restored
from irsde.experiment.grid import Evaluation, Run
from irsde.experiment.options import EvaluationOptions
from irsde.experiment.profile import load_profile, run_settings
from irsde.experiment.recorded import PROVENANCE
from irsde.files import InputError, digest_file, read_json, write_json, write_text
from irsde.images import read_image, write_image
from irsde.report import render
from irsde.report.build import write_checksums
from irsde.report.effects import protocol_tables
from irsde.report.lineage import lineage
from irsde.report.results import read_rows
from irsde.report.tables import cost_table, quality_tables
from irsde.seeds import numpy_generator
from irsde.training.run import train
from tests.project import call, copy_project, prepare_task

TASK, DATASET = "denoising", "photographs-test"
TABLE = f"{TASK}-{DATASET}"
RUNS = [Run("tiny", TASK, "identity", 0), Run("tiny", TASK, "ir-sde+l2", 0)]
IDENTITY = Evaluation(RUNS[0], DATASET, EvaluationOptions("direct", 0))
SAMPLED = [
    Evaluation(RUNS[1], DATASET, EvaluationOptions("posterior", 3, sampling_seed=k)) for k in (0, 1)
]
PREPARED = Path(f"data/prepared/tiny/{TASK}/{DATASET}")
RAW = Path("data/own-train")


def tables():
    return quality_tables(read_rows([e.folder for e in (IDENTITY, *SAMPLED)]), {})


def write_report(made=None):
    made = made or tables()
    lineage(made, "tiny").write(PROVENANCE)
    text = render.document("tiny", "Tiny.", made, [])
    write_text(PROVENANCE.parent / "tables.md", text)
    lines = render.csv_lines(made)
    lines.to_csv(PROVENANCE.parent / "tables.csv", index=False, lineterminator="\n")
    write_checksums()
    return text


def write_profile():
    """The smoke profile, trained on small images of one's own."""
    text = Path("workflow/config/smoke.yaml").read_text()
    for role in ("train", "validation"):
        text = text.replace(f"photographs-{role}", f"own-{role}")
        folder = Path(f"data/own-{role}")
        (folder / "GT").mkdir(parents=True)
        for k in range(2):
            seeds = numpy_generator("own", role, k).integers(0, 256, (5, 5, 3))
            pixels = resize(seeds.astype(float), (40, 40, 3), order=1).astype(np.uint8)
            write_image(folder / "GT" / f"{role}{k}.png", pixels)
        (folder / "dataset.yaml").write_text(f"label: own, {role}\nlicence: CC0\n")
    Path("workflow/config/tiny.yaml").write_text(text)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    copy_project(folder)
    call(folder, "git", "add", ".")
    person = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    call(folder, "git", *person, "commit", "--quiet", "-m", "all")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IRSDE_LPIPS_WEIGHTS", "")
        patch.chdir(folder)
        write_profile()
        prepare_task("tiny", TASK)
        profile = load_profile("tiny")
        for run in RUNS:
            train(run, run_settings(profile, TASK, run.method, 0), overwrite=False)
        for evaluation in (IDENTITY, *SAMPLED):
            evaluate(evaluation, profile.for_method(evaluation.run.method).evaluation)
        write_report()
    return folder


@pytest.fixture
def project(finished, tmp_path, monkeypatch):
    folder = tmp_path / "project"
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns("irsde", "cache"))
    monkeypatch.setenv("IRSDE_LPIPS_WEIGHTS", "")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(folder)
    return folder


def test_the_same_files_give_the_same_lineage_without_times(project):
    text = PROVENANCE.read_text()
    write_report()
    assert PROVENANCE.read_text() == text
    assert "seconds" not in text
    assert "cost.json" not in text


def test_the_lineage_has_the_hash_of_every_file_behind_a_cell(project):
    content = read_json(PROVENANCE)
    for folder, entry in {**content["evaluations"], **content["runs"]}.items():
        for name, recorded in entry["files"].items():
            assert digest_file(project / folder / name) == recorded
    folder = SAMPLED[0].folder.as_posix()
    assert {"per_image.csv", "summary.json"} <= set(content["evaluations"][folder]["files"])
    run = content["runs"][RUNS[1].folder.as_posix()]
    assert set(run["files"]) == {"run.json", "training.csv", "weights.safetensors"}
    assert run["commit"] == call(project, "git", "rev-parse", "HEAD").strip()


def test_cells_say_by_which_rule_they_follow_from_their_sources(project):
    content = read_json(PROVENANCE)
    (table,) = content["tables"]
    for row in table["rows"]:
        for column in ("psnr", "ssim", "nfe"):
            cell = row["cells"][column]
            values = [pd.read_csv(Path(s) / "per_image.csv")[column] for s in cell["sources"]]
            assert (cell["rule"], cell["metric"]) == ("mean over images", column)
            assert cell["value"] == pytest.approx(np.mean(values))
        assert row["cells"]["parameters"]["rule"] == "parameters in summary.json"


def test_explain_shows_the_chain_from_the_cell_to_the_commands(project):
    text = explain(f"reports/tables.md:{TABLE}/ir-sde+l2/psnr")
    card = read_json(RUNS[1].folder / "run.json")
    values = pd.read_csv(SAMPLED[0].folder / "per_image.csv")
    for expected in (
        SAMPLED[0].folder.as_posix(),
        SAMPLED[1].folder.as_posix(),
        f"{values['image'][0]} {values['psnr'][0]:.6g}",
        f"SHA-256 {digest_file(SAMPLED[0].folder / 'per_image.csv')[:12]}",
        f"SHA-256 {card['weights_sha256'][:12]}",
        f"{card['parameters']:,} parameters",
        f"train_data {card['identity']['train_data'][:12]}",
        "6 iterations of 2 patches of 16x16",
        "sampler posterior, NFE 3",
        "data/own-train",
        "own, train; licence: CC0",
        "no image found in the training data",
        f"commit {card['commit'][:12]}",
        f"git checkout {card['commit']}",
        "irsde data fetch own-train own-validation photographs-test",
        f"irsde data prepare --profile tiny --task {TASK}",
        f"irsde train --profile tiny --task {TASK} --method ir-sde+l2 --seed 0",
        "--sampling-seed 1",
        "irsde report --profile tiny",
    ):
        assert expected in text
    long = [line for line in text.splitlines() if len(line) > 80]
    assert all(re.fullmatch(r"[│├└─ ]*results/\S+", line) for line in long)


@pytest.mark.parametrize(
    "address", ["{}", "tables.csv:{}", "reports/tables.tex:{}", "reports/index.html:{}"]
)
def test_tables_are_addressed_alike_whatever_the_file(project, address):
    place = f"{TABLE}/identity/ssim"
    assert explain(address.format(place)) == explain(f"reports/tables.md:{place}")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("reports/tables.md", [f"{TABLE}: Denoising"]),
        ("", [TABLE]),
        (TABLE, ["ir-sde+l2: IR-SDE + l2", "psnr: PSNR (dB) ↑", "parameters: parameters"]),
        (f"reports/tables.md:{TABLE}/identity", ["method: degraded input", "nfe: 0"]),
    ],
)
def test_an_address_that_stops_early_lists_what_follows(project, address, expected):
    text = explain(address)
    assert all(line in text for line in expected)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("nothing/a/b", f"no table 'nothing'; choose from {TABLE}"),
        (f"{TABLE}/ddpm/psnr", "no row 'ddpm'; choose from identity, ir-sde\\+l2"),
        (f"{TABLE}/identity/mse", "no column 'mse'; choose from method, psnr, ssim"),
    ],
)
def test_a_wrong_address_is_answered_with_the_right_ones(project, address, message):
    with pytest.raises(InputError, match=message):
        explain(address)


def test_without_a_report_both_say_what_to_run(project):
    PROVENANCE.unlink()
    for ask in (lambda: explain("a/b/c"), verify, lambda: recompute("a/b")):
        with pytest.raises(InputError, match="no such file; run irsde report first"):
            ask()


def test_exact_images_of_some_are_left_out_of_the_mean_and_verified(project, tmp_path):
    profile = load_profile("tiny")
    test_set = PreparedSet(profile, TASK, DATASET)
    restored = tmp_path / "restored"
    shutil.copytree(PREPARED / "GT", restored)
    first, second = sorted(restored.iterdir())[:2]
    for step, path in enumerate((first, second), start=1):
        write_image(path, read_image(path) ^ np.uint8(step))
    _, folder = evaluate_restored(restored, None, "rgb", "nearly", None, test_set)
    rows = read_rows([IDENTITY.folder, folder])
    write_report([*quality_tables(rows, {}), *protocol_tables(rows)])
    outcome, agrees = verify("tiny")
    assert agrees, outcome
    count = len(rows[1].per_image)
    assert f"({count - 2} exact)" in explain(f"reports/tables.md:{TABLE}/outside+nearly/psnr")
    assert "mean over images of" in explain(f"reports/tables.md:{TABLE}/outside+nearly/psnr")


def test_an_exact_restoration_is_infinite_in_every_table(project):
    profile = load_profile("tiny")
    test_set = PreparedSet(profile, TASK, DATASET)
    _, folder = evaluate_restored(PREPARED / "GT", None, "rgb", "oracle", None, test_set)
    rows = read_rows([IDENTITY.folder, folder])
    made = [*quality_tables(rows, {}), *protocol_tables(rows), cost_table(rows)]
    text = write_report(made)
    outcome, agrees = verify("tiny")
    assert agrees, outcome
    assert not re.search(r"\b(inf|nan)\b", text)
    chain = explain(f"reports/tables.md:{TABLE}/outside+oracle/psnr")
    assert "shows ∞" in chain
    assert "leakage: not compared with" in chain
    moved = explain(f"reports/tables.md:{TABLE}-protocols/outside+oracle-authors/psnr_difference")
    assert "no image has two finite values" in moved


def test_untouched_results_agree(project):
    text, agree = verify("tiny", tables)
    assert agree
    assert text.splitlines()[-1].endswith(": all agree")
    assert "3 evaluations, 2 runs, 6 data sets with" in text
    with pytest.raises(InputError, match="is of the profile tiny; run irsde report --profile q"):
        verify("q")


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def raise_psnr(by=1):
    path = SAMPLED[0].folder / "per_image.csv"
    values = pd.read_csv(path)
    values.loc[0, "psnr"] += by
    values.to_csv(path, index=False)


def swap_weights():
    path = RUNS[1].folder / "weights.safetensors"
    tensors = load_file(path)
    save_file({name: values + 1 for name, values in tensors.items()}, path)


def darken(path):
    pixels = read_image(path)
    write_image(path, pixels // 2)


def change_degraded():
    path = PREPARED / "LQ" / "coffee_0.npy"
    np.save(path, np.load(path) * 0.5)


def replace_run():
    card = read_json(RUNS[1].folder / "run.json")
    card["identity"]["train_data"] = "0" * 64
    write_json(RUNS[1].folder / "run.json", card)


BREAKS = {
    "a value of an image": (
        raise_psnr,
        ["per_image.csv: SHA-256", f"{TABLE}/ir-sde+l2/psnr: rebuilt cell", "mean psnr"],
    ),
    "a mean": (
        lambda: edit(IDENTITY.folder / "summary.json", '"mean": 0.', '"mean": 1.'),
        ["summary.json: SHA-256", "summary.json: mean ssim"],
    ),
    "weights of another training": (
        swap_weights,
        ["weights.safetensors: SHA-256", "weights.safetensors: weights of run.json"],
    ),
    "no weights": (
        (RUNS[1].folder / "weights.safetensors").unlink,
        ["weights.safetensors: SHA-256", "found no such file"],
    ),
    "a setting of the training": (
        lambda: edit(RUNS[1].folder / "run.json", '"batch": 2', '"batch": 4'),
        ["run.json: SHA-256", "run.json: hash of the settings"],
    ),
    "another run": (
        replace_run,
        ["summary.json: identity of the run", "data that results/tiny/denoising/ir-sde+l2"],
    ),
    "a run card that is none": (
        lambda: (RUNS[1].folder / "run.json").write_text("[]"),
        ["run.json: run card", "not a run card"],
    ),
    "a table of images that is none": (
        lambda: (IDENTITY.folder / "per_image.csv").write_bytes(b"\0\xff"),
        ["per_image.csv: SHA-256", "direct-0: evaluation: expected readable files"],
    ),
    "a clean image": (
        lambda: darken(PREPARED / "GT" / "camera_0.png"),
        [f"{PREPARED}/GT/camera_0.png: hash of the pixels"],
    ),
    "a degraded image": (
        change_degraded,
        [f"{PREPARED}/LQ/coffee_0.npy: hash of the pixels", "--dataset photographs-test"],
    ),
    "a training image": (
        lambda: darken(RAW / "GT" / "train1.png"),
        ["own-train/GT/train1.png: hash of the pixels", "data fetch or adopt"],
    ),
    "the table of pairs": (
        lambda: edit(PREPARED / "pairs.csv", "coffee_0,coffee,", "coffee_0,tea,"),
        [f"{PREPARED}/pairs.csv: fingerprint of dataset.json"],
    ),
    "a cell of the text": (
        lambda: edit(PROVENANCE.parent / "tables.md", " n/a |", " 0.1 |"),
        ["reports/tables.md: SHA-256"],
    ),
    "a recorded value": (
        lambda: edit(PROVENANCE, '"value": ', '"value": 1'),
        ["reports/provenance.json: SHA-256", f"{TABLE}/identity/haarpsi: rebuilt cell"],
    ),
    "no text": ((PROVENANCE.parent / "tables.md").unlink, ["tables.md: SHA-256", "no such file"]),
    "a report without hashes": (
        (PROVENANCE.parent / "SHA256SUMS").unlink,
        ["reports/SHA256SUMS: hashes of the report"],
    ),
    "a restored image": (
        lambda: darken(next((SAMPLED[0].folder / "images").glob("*.png"))),
        ["images/", "SHA-256"],
    ),
    "an empty summary": (
        lambda: (IDENTITY.folder / "summary.json").write_text("{}"),
        [
            "summary.json: SHA-256",
            "not a summary of scores of this version: metrics: field",
        ],
    ),
    "a word among the values": (
        lambda: edit(IDENTITY.folder / "per_image.csv", ",0.", ",abc"),
        ["per_image.csv: SHA-256", "per_image.csv: cannot be read"],
    ),
    "an empty run card": (
        lambda: (RUNS[1].folder / "run.json").write_text("{}"),
        ["run.json: SHA-256", "not a run card"],
    ),
    "a cell of the lines": (
        lambda: edit(PROVENANCE.parent / "tables.csv", ",n/a,", ",0.1,"),
        ["reports/tables.csv: SHA-256"],
    ),
}


@pytest.mark.parametrize("link", BREAKS)
def test_a_break_is_named_wherever_it_is(project, link):
    damage, expected = BREAKS[link]
    damage()
    text, agree = verify("tiny", tables)
    assert not agree
    for part in expected:
        assert part in text
    assert re.search(r": \d+ disagreements?$", text)
    assert all(line.count("; ") or "no damage" in line for line in text.splitlines()[:-1])


def test_ends_of_intervals_are_compared_with_tables_made_anew(project):
    content = read_json(PROVENANCE)
    cell = content["tables"][0]["rows"][0]["cells"]["psnr"]
    cell["low"] -= 0.5
    write_json(PROVENANCE, content)
    write_checksums()
    assert verify("tiny")[1]
    text, agree = verify("tiny", tables)
    assert not agree
    assert f"{TABLE}/identity/psnr: rebuilt cell" in text


def test_code_and_settings_that_moved_on_are_no_damage(project, monkeypatch):
    now = verifying.code_hash
    monkeypatch.setattr(verifying, "code_hash", lambda stage: now(stage)[::-1])
    edit(Path("workflow/config/tiny.yaml"), "learning_rate: 0.001", "learning_rate: 0.002")
    text, agree = verify()
    assert agree
    assert "no damage, but the code of irsde evaluate has changed since" in text
    assert "no damage, but the code of irsde train has changed since" in text
    assert f"another setting in the profile today for {RUNS[1].folder}" in text


def test_what_is_not_here_is_no_damage_but_said(project):
    shutil.rmtree(PREPARED)
    text, agree = verify("tiny", tables)
    assert agree
    assert f"no damage, but not compared with data that are not here: {PREPARED};" in text
    (RUNS[1].folder / "weights.safetensors").unlink()
    write_report()
    text, agree = verify("tiny", tables)
    assert agree
    assert f"which were not here when the report was made: {RUNS[1].folder}" in text


def test_a_commit_that_is_nowhere_and_uncommitted_changes_are_mentioned(project):
    shutil.rmtree(".git")
    commit = read_json(RUNS[0].folder / "run.json")["commit"]
    assert f"commit {commit[:12]}, which made" in verify()[0]
    content = read_json(PROVENANCE)
    content["runs"][RUNS[0].folder.as_posix()]["dirty"] = True
    write_json(PROVENANCE, content)
    write_checksums()
    text, agree = verify()
    assert agree
    assert f"made with uncommitted changes, which no commit holds: {RUNS[0].folder}" in text


def test_explain_points_at_files_that_are_others_now(project):
    raise_psnr()
    (RUNS[1].folder / "weights.safetensors").unlink()
    text = explain(f"{TABLE}/ir-sde+l2/psnr")
    now = digest_file(SAMPLED[0].folder / "per_image.csv")[:12]
    assert re.search(rf"NOW\s[│ ]*{now}: run", text)
    assert "weights.safetensors: ABSENT NOW" in text


def test_evaluating_again_gives_the_same_bits_or_names_what_differs(project):
    raise_psnr()
    before = {path: path.stat().st_mtime_ns for path in Path("results").rglob("*")}
    text, same = recompute(f"reports/tables.md:{TABLE}/ir-sde+l2/psnr")
    changed, untouched = text.splitlines()
    assert not same
    assert f"{SAMPLED[0].folder}: differs: psnr of 1 of 4 images, most of chelsea_0" in changed
    assert untouched == f"{SAMPLED[1].folder}: 4 images, the same bits"
    assert {path: path.stat().st_mtime_ns for path in Path("results").rglob("*")} == before


def test_values_that_another_processor_rounds_otherwise_agree(project):
    raise_psnr(by=1e-9)
    text, same = recompute(f"{TABLE}/ir-sde+l2/psnr")
    assert same
    changed, untouched = text.splitlines()
    assert f"{SAMPLED[0].folder}: 4 images, equal up to rounding: psnr by 1e-09" in changed
    assert untouched == f"{SAMPLED[1].folder}: 4 images, the same bits"


def test_what_cannot_be_evaluated_again_is_said(project):
    with pytest.raises(InputError, match="name a table and a row, such as TABLE/ROW"):
        recompute(TABLE)
    card = read_json(RUNS[0].folder / "run.json")
    write_json(RUNS[0].folder / "run.json", {**card, "outside": True})
    with pytest.raises(InputError, match="restored elsewhere and cannot be restored again here"):
        recompute(f"{TABLE}/identity")
    shutil.rmtree(PREPARED)
    with pytest.raises(InputError, match="no data set there; run irsde data prepare"):
        evaluate_again(SAMPLED[0].folder.as_posix())
