"""What of results goes into git, and back; restoring with committed weights."""

import re
import shutil
from pathlib import Path

import pytest

from irsde.audit import evidence
from irsde.audit.evidence import export_evidence, import_evidence, run_with_weights
from irsde.audit.verify import verify
from irsde.evaluation.evaluate import evaluate
from irsde.experiment.grid import Evaluation, Run
from irsde.experiment.options import EvaluationOptions
from irsde.experiment.profile import Causes, load_profile, run_settings
from irsde.files import InputError, digest_file, read_json, write_json
from irsde.report.build import compile_report, rebuilt_tables
from irsde.training.run import train
from tests.project import call, copy_project, prepare_task

TASK, SET, METHOD = "denoising", "photographs-test", "ir-sde+l2"
RUN = Run("smoke", TASK, METHOD, 0)
PLAIN = Run("smoke", TASK, "identity", 0)
EVALUATIONS = (
    Evaluation(PLAIN, SET, EvaluationOptions("direct", 0)),
    Evaluation(RUN, SET, EvaluationOptions("posterior", 3)),
    Evaluation(RUN, SET, EvaluationOptions("ddim", 1)),
)
FOLDER = Path("evidence")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = copy_project(tmp_path_factory.mktemp("project"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("IRSDE_LPIPS_WEIGHTS", "")
        prepare_task("smoke", TASK)
        profile = load_profile("smoke")
        for run in (PLAIN, RUN):
            train(run, run_settings(profile, TASK, run.method, 0), overwrite=False)
        for evaluation in EVALUATIONS:
            evaluate(evaluation, profile.evaluation)
        export_evidence(profile, FOLDER, [METHOD], [SET])
    return folder


@pytest.fixture
def project(finished, tmp_path, monkeypatch):
    """A project with evidence and without results."""
    folder = tmp_path / "project"
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns("irsde"))
    shutil.rmtree(folder / "results")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(evidence, "STUDY", FOLDER)


def files(folder):
    return {f.relative_to(folder): digest_file(f) for f in folder.rglob("*") if f.is_file()}


def test_runs_with_other_averages_go_along_where_a_table_of_causes_has_them(finished, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(shutil.copytree(finished, tmp_path / "project"))
        averaged = Run("smoke", TASK, f"{METHOD}+width0.1", 0)
        shutil.copytree(RUN.folder, averaged.folder)
        of = {"profile": "smoke", "task": TASK, "method": METHOD, "dataset": SET}
        row = {"label": "width 0.1", "instead_of": "decay 0.999", "method": averaged.method}
        causes = Causes.model_validate({**of, "rows": [row]})
        profile = load_profile("smoke").model_copy(update={"causes": causes})
        shutil.rmtree(FOLDER)
        export_evidence(profile, FOLDER, [], [])
        assert (FOLDER / averaged.folder / "run.json").is_file()
        assert list((FOLDER / averaged.folder).rglob("per_image.csv"))


def test_evidence_is_a_part_of_the_results(finished):
    of_results = files(finished / "results/smoke")
    found = files(finished / FOLDER / "results/smoke")
    cards = {path for path in found if path.name == "README.md"}
    assert {path: found[path] for path in set(found) - cards} == {
        path: of_results[path] for path in set(found) - cards
    }
    kinds = {path.name for path in found}
    assert {"run.json", "training.csv", "weights.safetensors", "per_image.csv"} <= kinds
    assert not any("checkpoint" in path.parts or "validation" in path.parts for path in found)
    run = Path(TASK, METHOD, "seed0")
    scored = run / "evaluations" / SET
    assert scored / "posterior-3/protocols.csv" in found
    assert scored / "ddim-1/protocols.csv" not in found
    assert any(path.is_relative_to(scored / "posterior-3/images") for path in found)
    assert not any(path.is_relative_to(scored / "ddim-1/images") for path in found)


def test_weights_come_with_a_model_card(finished):
    run = finished / FOLDER / RUN.folder
    text = (run / "README.md").read_text()
    assert read_json(run / "run.json")["weights_sha256"] in text
    assert "6 iterations on batches of 2 patches of 16x16 pixels" in text
    assert "photographs inside scikit-image, training part (" in text
    assert "Gaussian noise of standard deviation 25/255" in text
    assert re.search(r"^\| photographs inside .* \| posterior, 3 NFE \| 4 \| [\d.]+ \|", text, re.M)


def test_nothing_goes_along_that_was_not_asked_for(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(finished)
    export_evidence(load_profile("smoke"), tmp_path, [], [])
    kinds = {path.name for path in files(tmp_path)}
    assert kinds == {
        "run.json", "cost.json", "training.csv", "summary.json", "per_image.csv", "protocols.csv",
    }  # fmt: skip
    for weights, pictures, words in (
        (["ddpm"], [], "smoke has no method ddpm; it has ir-sde"),
        ([], ["kodak24"], "smoke has no test set kodak24; it has photographs-test"),
    ):
        with pytest.raises(InputError, match=words):
            export_evidence(load_profile("smoke"), tmp_path, weights, pictures)
    assert {path.name for path in files(tmp_path)} == kinds


def test_evidence_comes_back_once_and_replaces_nothing(project, finished):
    assert re.fullmatch(
        r"results/smoke: (\d+) of \1 files copied.*", import_evidence("smoke", FOLDER)
    )
    of_results = files(finished / "results/smoke")
    imported = files(Path("results/smoke"))
    del imported[Path("imported.json")]
    assert all(of_results[path] == value for path, value in imported.items())
    assert import_evidence("smoke", FOLDER).startswith("results/smoke: 0 of ")
    (RUN.folder / "run.json").write_text("{}")
    (RUN.folder / "training.csv").unlink()
    with pytest.raises(InputError, match=r"run\.json: differs from .*; nothing was copied"):
        import_evidence("smoke", FOLDER)
    assert not (RUN.folder / "training.csv").exists()
    with pytest.raises(InputError, match="no evidence there"):
        import_evidence("quick", FOLDER)


def test_evidence_that_results_lack_is_not_replaced(project):
    profile, before = load_profile("smoke"), files(FOLDER)
    import_evidence("smoke", FOLDER)
    (RUN.folder / "weights.safetensors").unlink()
    with pytest.raises(InputError, match=r"ir-sde\+l2/seed0: has no weights\.safetensors"):
        export_evidence(profile, FOLDER, [METHOD], [SET])
    shutil.rmtree(EVALUATIONS[2].folder)
    with pytest.raises(InputError, match=r"ddim-1: would be lost.*irsde evidence import first"):
        export_evidence(profile, FOLDER, [], [SET])
    assert files(FOLDER) == before


def test_scores_come_out_again_from_what_came_back(project, finished):
    import_evidence("smoke", FOLDER)
    evaluation = EVALUATIONS[1]
    shutil.rmtree(evaluation.folder)
    evaluate(evaluation, load_profile("smoke").evaluation)
    again = digest_file(evaluation.folder / "per_image.csv")
    assert again == digest_file(finished / evaluation.folder / "per_image.csv")


def test_a_partial_report_says_what_was_not_run(project):
    import_evidence("smoke", FOLDER)
    profile = load_profile("smoke")
    with pytest.raises(InputError, match=r"not evaluated yet \(8 of 11 missing\)"):
        compile_report(profile)
    line = compile_report(profile, partial=True)
    assert "3 evaluations\nPartial: 8 of 11 evaluations are missing: results/smoke/" in line
    assert Path("reports/tables.md").stat().st_mtime == 0
    text = Path("reports/tables.md").read_text()
    assert "Partial: 8 of 11 evaluations are missing: results/smoke/" in text
    assert "direct regression is n/a: it is in the profile and was not evaluated." in text
    assert "IR-SDE + l2 is n/a" not in text
    outcome, agrees = verify("smoke", lambda: rebuilt_tables(profile))
    assert agrees, outcome
    shutil.rmtree("results")
    with pytest.raises(InputError, match=r"not evaluated yet \(11 of 11 missing\)"):
        compile_report(profile, partial=True)


def test_a_run_is_found_by_its_task(project):
    assert run_with_weights(TASK, METHOD) == FOLDER / RUN.folder
    with pytest.raises(InputError, match=r"of ir-sde for denoising: .* denoising with ir-sde\+l2"):
        run_with_weights(TASK, "ir-sde")
    card = read_json(FOLDER / RUN.folder / "run.json")
    other = FOLDER / "results/other" / RUN.folder.relative_to("results/smoke")
    shutil.copytree(FOLDER / RUN.folder, other)
    for better, chosen in ((1, other), (-1, FOLDER / RUN.folder)):
        psnr = card["final_validation_psnr"] + better
        write_json(other / "run.json", {**card, "final_validation_psnr": psnr})
        assert run_with_weights(TASK, METHOD) == chosen
    shutil.rmtree(FOLDER / "results/other")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "give --run, a run folder, or --task"),
        (("--task", TASK, "--run", "results/x"), "give --run, a run folder, or --task"),
        (("--run", "results/x", "--method", METHOD), "--method goes with --task"),
    ],
)
def test_restoring_wants_a_run_or_a_task(project, options, words):
    text = call(Path(), "irsde", "restore", "a.png", "--out", "b", *options, code=2)
    assert text.startswith(f"irsde: {words}")


def test_evidence_that_an_export_would_lose_is_not_replaced(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(shutil.copytree(finished, tmp_path / "project"))
    before = files(FOLDER)
    with pytest.raises(InputError, match="would be lost"):
        export_evidence(load_profile("smoke"), FOLDER, [], [])
    assert files(FOLDER) == before


@pytest.mark.parametrize("content", ["[" * 200_000, None])
def test_hostile_summaries_are_one_line(project, content):
    summary = FOLDER / EVALUATIONS[1].folder / "summary.json"
    summary.unlink()
    summary.mkdir() if content is None else summary.write_text(content)
    with pytest.raises(InputError, match=r"nested too deep|is a folder"):
        import_evidence("smoke", FOLDER)
    assert not Path("results").exists()
