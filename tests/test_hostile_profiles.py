"""Profiles that would reach a shell, leave their folder, hang or break the reader are refused."""

import re
import shlex
import shutil
import time
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from irsde.audit.commands import _broken
from irsde.audit.evidence import import_evidence
from irsde.cli import app
from irsde.experiment.grid import Evaluation, Run, evaluation_of, parameters, run_of, runs
from irsde.experiment.options import EvaluationOptions
from irsde.experiment.profile import active_profile, load_profile
from irsde.files import InputError
from tests.project import PROJECT, call, copy_project

SMOKE = (PROJECT / "workflow/config/smoke.yaml").read_text()
CANARY = "$(touch canary)"


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "workflow/config").mkdir(parents=True)
    return tmp_path


def write(old="", new="", name="mine"):
    assert old in SMOKE
    text = SMOKE.replace(old, new, 1)
    Path(f"workflow/config/{name}.yaml").write_text(text)
    return text


def refusal(name="mine"):
    with pytest.raises(InputError) as error:
        load_profile(name)
    assert "\n" not in str(error.value)
    return str(error.value)


VARIANT = "ir-sde+l2]"
CAUSES = "causes: {profile: mine, task: denoising, method: regression, dataset: photographs-test, "
ROWS = "rows: [{{label: a, instead_of: b, {}}}]}}\nsweeps:"


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        (VARIANT, f"ir-sde+l2, 'regression+{CANARY}']", "line 5: methods.4"),
        (VARIANT, "ir-sde+l2, regression+../../../../escaped]", "line 5: methods.4"),
        (VARIANT, f"ir-sde+l2, '{CANARY}']", "line 5: methods.4"),
        ("  ir-sde+l2: {", f"  regression+{CANARY}: {{training: {{norm: l2}}}}\n  ir-sde+l2: {{",
         f"line 29: variants.regression+{CANARY}"),
        ("train: photographs-train", f"train: '{CANARY}'", "line 8: data.train"),
        ("train: photographs-train", "train: ../../x", "line 8: data.train"),
        ("train: photographs-train", "train: a+b.5", "line 8: data.train"),
        ("samplers: [posterior,", f"samplers: ['{CANARY}',", "line 31: sweeps.0.samplers.0"),
        ("sweeps:", CAUSES + ROWS.format(f"evaluation: 'direct;{CANARY};-1'"), "evaluation"),
        ("sweeps:", CAUSES + ROWS.format(f"profile: '{CANARY}'"), "causes.rows.0.profile"),
        ("sweeps:", CAUSES + ROWS.format("dataset: ../x"), "causes.rows.0.dataset"),
        ("sweeps:", CAUSES + ROWS.format(f"method: 'ir-sde+{CANARY}'"), "causes.rows.0.method"),
        ("sweeps:", CAUSES.replace("regression", "nosuch") + ROWS.format("seed: 0"),
         "causes.method: unknown method 'nosuch'"),
    ],
)  # fmt: skip
def test_a_name_of_another_form_is_refused_with_its_line(project, old, new, place):
    write(old, new)
    message = refusal()
    assert place in message
    assert re.search(r"workflow/config/mine\.yaml, line \d+: ", message)


@pytest.mark.parametrize("name", ["x;touch canary", "../../../x", "other", "x" * 101])
def test_a_profile_has_the_name_of_its_file(project, name):
    write("tasks:", f"name: '{name}'\ntasks:")
    assert "line 4: name: a profile has the name of its file, mine" in refusal()
    write("tasks:", "name: mine\ntasks:")
    assert load_profile("mine").name == "mine"


COMMANDS = (
    "plan", "status", "report", "verify", "evidence import", "evidence export", "track sync",
    "data figures",
)  # fmt: skip


@pytest.mark.parametrize(
    ("command", "name"),
    [*((command, "../escape") for command in COMMANDS), ("plan", "h;touch canary;"), ("plan", "")],
)
def test_commands_refuse_profile_names_of_another_form(project, command, name):
    done = CliRunner().invoke(app, [*command.split(), "--profile", name])
    assert isinstance(done.exception, InputError)
    assert "is no name: letters, digits" in str(done.exception)
    assert list(project.rglob("*.yaml")) == []
    Path("params.yaml").write_text(yaml.safe_dump({"profile": name}))
    with pytest.raises(InputError, match=r"params\.yaml"):
        active_profile()


def test_a_shell_reads_hostile_names_as_words():
    run = Run("mine", "denoising", "ir-sde+'; touch canary; '", 0)
    words = shlex.split(Evaluation(run, CANARY, EvaluationOptions("a b", 3)).arguments)
    assert words == ["--run", run.folder.as_posix(), "--dataset", CANARY, "--sampler", "a b",
                     "--nfe", "3"]  # fmt: skip
    command = ["irsde", "x", "--name", "a --b $(c)" * 9, "--task", "t"]
    assert shlex.split(_broken(shlex.join(command)).replace("\\\n", "")) == command


def shell_lines():
    for file in sorted((PROJECT / "workflow/rules").glob("*.smk")):
        for block in re.findall(
            r"^    shell:\n((?:        .*\n)+)", file.read_text(), re.MULTILINE
        ):
            yield file.name, block


def test_every_rule_quotes_what_it_puts_into_a_shell():
    found = [
        (file, name) for file, block in shell_lines() for name in re.findall(r"{(.+?)}", block)
    ]
    assert len(found) > 15
    for file, name in found:
        assert name.endswith(":q") or name in (
            "params.arguments",
            "params.attempt",
            "threads",
            "resources.attempt",
        ), f"{file}: {name}"


def test_every_stage_of_dvc_quotes_what_it_puts_into_a_shell():
    stages = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]
    for name, stage in stages.items():
        bare = re.sub(r"'\$\{[a-z.]+\}'", "", stage.get("do", stage)["cmd"])
        assert "$" not in bare.replace("${item.arguments}", ""), name


@pytest.mark.slow
def test_neither_engine_runs_what_a_name_says(tmp_path):
    folder = copy_project(tmp_path)
    text = SMOKE.replace(VARIANT, f"ir-sde+l2, 'regression+{CANARY}']", 1).replace(
        "  ir-sde+l2: {", f"  'regression+{CANARY}': {{training: {{norm: l2}}}}\n  ir-sde+l2: {{"
    )
    (folder / "workflow/config/hostile.yaml").write_text(text)
    log = "logs/hostile/denoising/regression+$(touch canary)/seed0/train.log"
    snakemake = ("snakemake", "-n", "-p", "-c1", "--config", "profile=hostile", "--")
    target = f"results/hostile/denoising/regression+{CANARY}/seed0/run.json"
    out = call(folder, *snakemake, target, code=1)
    assert "hostile.yaml, line 5: methods.4" in out
    assert "Traceback" not in out
    assert "line 5: methods.4" in call(folder, "irsde", "plan", "--profile", "hostile", code=2)
    code = folder / "irsde/experiment/fields.py"
    code.write_text(code.read_text().replace("if pattern.fullmatch(name) is None or", "if"))
    out = call(folder, *snakemake, target, PYTHONPATH=str(folder))
    assert f" '{log}' irsde train " in out
    assert f"--method 'regression+{CANARY}' --seed 0" in out
    (folder / "params.yaml").write_text(f"profile: {CANARY}\nfetch: []\n")
    for grid in ("prepare", "check", "import", "train", "tune", "evaluate"):
        with (folder / "params.yaml").open("a") as file:
            file.write(f"{grid}: {{}}\n")
    out = call(folder, "dvc", "repro", "fetch", code=255)
    assert f"--profile '{CANARY}'" in out
    assert not (folder / "canary").exists()


TRAPS = {
    "an integer of 5,001 digits": (SMOKE.replace("iterations: 6", "iterations: " + "9" * 5001), ""),
    "5,000 brackets": ("[" * 5000, "too deep"),
    "deep aliases": (
        "a: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"b{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)),
        "more than 100,000 values",
    ),
    "an anchor within itself": ("a: &a [*a]\n", "holds itself"),
    "a broken date": (SMOKE + "more: 2020-13-45\n", "not valid YAML"),
    "a broken number": (SMOKE + "more: !!int ''\n", "not valid YAML"),
    "a broken truth": (SMOKE + "more: !!bool maybe\n", "not valid YAML"),
    "a number for a key": (SMOKE + "1: 2\n", "line 32: 1: "),
    "a list for names": (SMOKE.replace("methods: [identity", "methods: [[identity]"), "methods.0"),
    "a number for a group": (SMOKE.replace("evaluation:\n  nfe: 3\n  batch: 3", "evaluation: 3"),
                             "evaluation"),
    "an endless power": (SMOKE + 'process: {stationary_std: "1e999999999"}\n', "stationary_std"),
    "a power of a fraction": (SMOKE + 'process: {stationary_std: "1/1e999"}\n', "stationary_std"),
}  # fmt: skip


@pytest.mark.parametrize("trap", TRAPS)
def test_traps_for_the_reader_end_with_one_line_at_once(project, trap):
    text, words = TRAPS[trap]
    Path("workflow/config/mine.yaml").write_text(text)
    start = time.process_time()
    message = refusal()
    assert time.process_time() - start < 5
    assert words in message
    assert len(message) < 500


def test_a_number_to_base_60_is_refused(project):
    text = SMOKE.replace("iterations: 6", "iterations: 1:00")
    Path("workflow/config/mine.yaml").write_text(text)
    assert "1:00 is a number to base 60; write it plainly" in refusal()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (SMOKE + "seeds: [1]\n", "line 32: the key 'seeds'"),
        (SMOKE.replace("  iterations: 6", "  iterations: 9\n  iterations: 6"), "line 19: the key"),
        (SMOKE.replace("{norm: l2}", "{norm: l2, norm: l1}"), "line 29: the key 'norm'"),
    ],
)
def test_a_key_that_stands_twice_is_refused_with_its_line(project, text, line):
    Path("workflow/config/mine.yaml").write_text(text)
    assert line in refusal()
    assert "appears twice" in refusal()


@pytest.mark.parametrize(
    "name",
    [
        "posterior", "posterior-x", "posterior-3-best", "posterior-²", "posterior-007",
        "posterior-3-sampling0", "$(x)-1", "a/b-1", "x" * 99, "-3", "",
    ],
)  # fmt: skip
def test_a_name_that_no_evaluation_has_is_refused(name):
    with pytest.raises(InputError, match="not the name of an evaluation"):
        evaluation_of(Run("smoke", "denoising", "ir-sde", 0), "kodak24", name)


@pytest.mark.parametrize(
    "folder",
    [
        "results/smoke/denoising/ir-sde/seed²",
        "results/smoke/denoising/ir-sde/seed" + "9" * 5000,
        "results/../denoising/ir-sde/seed0",
        "results/smoke/denoising/ir-sde+;x/seed0",
    ],
)
def test_a_folder_that_no_run_has_is_refused(folder):
    with pytest.raises(InputError):
        run_of(Path(folder))


def test_names_that_dvc_would_confuse_are_told_apart(project):
    names = "ir-sde+a.5, ir-sde+b"
    variants = "  ir-sde+a.5: {training: {norm: l2}}\n  ir-sde+b: {training: {norm: l2}}\n"
    write(VARIANT, f"ir-sde+l2, {names}]")
    file = Path("workflow/config/mine.yaml")
    file.write_text(file.read_text().replace("  ir-sde+l2: {", variants + "  ir-sde+l2: {"))
    profile = load_profile("mine")
    keys = yaml.safe_load(parameters(profile))["train"]
    assert len(keys) == sum(run.is_trained for run in runs(profile))
    assert not any("." in key for key in keys)
    file.write_text(file.read_text().replace("ir-sde+b", "ir-sde+a_5"))
    with pytest.raises(InputError, match="have one name for DVC"):
        parameters(load_profile("mine"))


EVIDENCE = Path("evidence/results/smoke/denoising/identity/seed0")


@pytest.fixture
def evidence(project):
    EVIDENCE.mkdir(parents=True)
    card = PROJECT / "reports/study/results/bench/denoising/regression/seed0/run.json"
    shutil.copy(card, EVIDENCE / "run.json")
    (project / "elsewhere").mkdir()
    return project


@pytest.mark.parametrize("link", ["run.json", "more", "../seed1", "../../../../smoke/x"])
def test_links_in_evidence_are_refused(evidence, link):
    path = EVIDENCE / link
    path.unlink(missing_ok=True)
    path.symlink_to("/etc/hostname" if link == "run.json" else evidence / "elsewhere")
    with pytest.raises(InputError, match="is a link or no plain file; nothing was copied"):
        import_evidence("smoke", Path("evidence"))
    assert not Path("results").exists()


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_evidence_is_not_written_through_links(evidence, depth):
    folder = Path(*(Path("results") / EVIDENCE.relative_to("evidence/results")).parts[: depth + 1])
    folder.parent.mkdir(parents=True)
    folder.symlink_to(evidence / "elsewhere")
    with pytest.raises(InputError, match=f"{folder}: is a link"):
        import_evidence("smoke", Path("evidence"))
    assert list((evidence / "elsewhere").iterdir()) == []


def test_evidence_without_links_is_imported_into_linked_results(evidence):
    Path("results").symlink_to(evidence / "elsewhere")
    assert "1 of 1 files copied" in import_evidence("smoke", Path("evidence"))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("learning_rate: 0.001", f"learning_rate: 1{':59' * 20_000}.5", "learning_rate|YAML"),
        ("seeds: [0]", f"seeds: {[*range(50_000)]}", "seeds"),
        (re.search(r"caption: >-\n  .*", SMOKE)[0], 'caption: "\\e[31mred"', "control characters"),
    ],
)
def test_further_traps_end_in_one_line(project, old, new, words):
    path = project / "workflow/config/smoke.yaml"
    assert old in SMOKE
    path.write_text(SMOKE.replace(old, new))
    with pytest.raises(InputError, match=words):
        load_profile("smoke")
