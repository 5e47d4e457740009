"""Profiles: what is read, what is refused, and that params.yaml is the grid."""

import re
from pathlib import Path

import pytest

from irsde.config import load_profile, run_settings
from irsde.data.catalogue import read_catalogue
from irsde.files import InputError
from irsde.plan import (
    Run,
    datasets,
    evaluation_of,
    evaluations,
    further_evaluations,
    parameters,
    run_of,
    runs,
    sweep_evaluations,
)

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture
def write_profile(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    smoke = (PROJECT / "workflow/config/smoke.yaml").read_text()
    folder = tmp_path / "workflow/config"
    folder.mkdir(parents=True)

    def write(old="", new=""):
        assert old in smoke
        (folder / "mine.yaml").write_text(smoke.replace(old, new, 1))

    return write


SHIPPED = sorted(path.stem for path in (PROJECT / "workflow/config").glob("*.yaml"))
OWN = {"rain100h-jpeg"}  # a set of one's own: docs/data.md


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_profiles_are_valid(name, monkeypatch):
    monkeypatch.chdir(PROJECT)
    profile = load_profile(name)
    tests = {task: len(profile.data.of(task).test) for task in profile.tasks}
    assert len(evaluations(profile)) == sum(tests[run.task] for run in runs(profile)) > 0
    known = {name for family in read_catalogue().values() for name in family.splits}
    assert set(datasets(profile)) <= known | OWN


def test_committed_parameters_are_the_grid_of_the_default_profile(monkeypatch):
    monkeypatch.chdir(PROJECT)
    assert Path("params.yaml").read_text() == parameters(load_profile("quick"))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("iterations: 6", "iteratons: 6", "line 18: training.iteratons: unknown key"),
        ("iterations: 6", "iterations: 0", "line 18: training.iterations"),
        ("  name: nafnet", "  name: resnet", "network"),
        ("tasks: [denoising", "tasks: [denoisin", "unknown task 'denoisin': choose from deraining"),
        ("methods: [identity", "methods: [identiti", "unknown method 'identiti'"),
        ("training: {norm: l2}", "training: {nrom: l2}", "ir-sde+l2, training.nrom: unknown key"),
        ("ir-sde+l2: {", "ir-sde+l3: {", "no variant 'ir-sde+l2'"),
        ("seeds: [0]", "seeds: [0", "not valid YAML"),
        ("test: photographs-test", "test: photographs-train", "must be different data sets"),
        ("test: photographs-test", "test: ../photographs", "data.test"),
        ("  batch: 3", "  protocol: rbg", "unknown protocol 'rbg'"),
        ("training: {norm: l2}", "data: {window: 48}", "data cannot differ"),
        ("seeds: [0]", "more: [{tasks: [dehazing], methods: [goub]}]", "not among the profile's"),
        ("seeds: [0]", "more: [{tasks: [denoising], methods: [gob]}]", "unknown method 'gob'"),
        ("seeds: [0]", "seeds: !!python/name:os.system", "not valid YAML"),
    ],
)
def test_a_wrong_profile_is_refused_with_file_and_place(write_profile, old, new, words):
    write_profile(old, new)
    with pytest.raises(InputError) as error:
        load_profile("mine")
    assert "workflow/config/mine.yaml" in str(error.value)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_an_absent_profile_names_those_that_exist(write_profile):
    write_profile()
    with pytest.raises(InputError, match="it has: mine"):
        load_profile("other")
    with pytest.raises(InputError, match="no profile"):
        load_profile("../config/mine")


def test_a_variant_overrides_only_what_it_says(write_profile):
    write_profile()
    profile = load_profile("mine")
    plain = run_settings(profile, "denoising", "ir-sde", 0)
    variant = run_settings(profile, "denoising", "ir-sde+l2", 0)
    assert variant.training.norm == "l2"
    changed = variant.model_copy(
        update={"method": "ir-sde", "training": variant.training.model_copy(update={"norm": "l1"})}
    )
    assert changed == plain
    assert variant.hash != plain.hash


def test_more_runs_come_beyond_the_grid(write_profile):
    write_profile(
        "seeds: [0]",
        "seeds: [0]\nmore: [{tasks: [denoising], methods: [goub, ir-sde+l2], seeds: [0, 1]}]",
    )
    profile = load_profile("mine")
    of_task = {
        task: [(run.method, run.seed) for run in runs(profile) if run.task == task]
        for task in profile.tasks
    }
    assert of_task["denoising"][-4:] == [
        ("ir-sde+l2", 0),
        ("ir-sde+l2", 1),
        ("goub", 0),
        ("goub", 1),
    ]
    assert ("goub", 0) not in of_task["super-resolution"]


def test_run_folders_and_runs_are_inverse(write_profile):
    write_profile()
    for run in runs(load_profile("mine")):
        assert run_of(run.folder) == run
    with pytest.raises(InputError, match="not a run folder"):
        run_of(Path("results/quick"))


def test_every_setting_changes_the_hash(write_profile):
    write_profile()
    before = run_settings(load_profile("mine"), "denoising", "ir-sde", 0).hash
    for old, new in (
        ("iterations: 6", "iterations: 7"),
        ("patch: 16", "patch: 24"),
        ("learning_rate: 0.001", "learning_rate: 0.002"),
        ("width: 8", "width: 12"),
        ("window: 32", "window: 48"),
    ):
        write_profile(old, new)
        assert run_settings(load_profile("mine"), "denoising", "ir-sde", 0).hash != before


def test_a_variant_keeps_the_settings_of_single_tasks():
    profile = load_profile("bench")
    plain = run_settings(profile, "deraining", "ir-sde", 0)
    variant = run_settings(profile, "deraining", "ir-sde+lambda10", 0)
    assert variant.data == plain.data
    assert (plain.stationary_std, variant.stationary_std) == (50 / 255, 10 / 255)


def test_a_profile_like_another_has_its_settings_and_its_own(write_profile):
    write_profile()
    file = Path("workflow/config/near.yaml")
    file.write_text("like: mine\nseeds: [0, 1]\ntraining: {batch: 4}\nsweeps: []\nvariants: {}\n"
                    "methods: [regression]\n")  # fmt: skip
    base, near = load_profile("mine"), load_profile("near")
    assert near.name == "near"
    assert near.seeds == (0, 1)
    assert near.training == base.training.model_copy(update={"batch": 4})
    assert near.data == base.data
    for text, words in (
        ("like: mine\ntraining:\n  batch: 0\n", "near.yaml, line 3: training.batch"),
        ("like: other\n", "near.yaml: like: no profile 'other'"),
        ("like: near\n", "must itself be a profile that is like no other"),
        ("like: [mine]\n", "no profile"),
    ):
        file.write_text(text)
        with pytest.raises(InputError, match=words):
            load_profile("near")


def test_causes_are_of_runs_that_exist_and_are_planned(write_profile):
    causes = (
        "causes:\n  {{profile: mine, task: {}, method: regression, dataset: photographs-test,\n"
        "   rows: [{{label: a, instead_of: b, {}}}]}}\nvariants:"
    )
    write_profile("variants:", causes.format("denoising", "evaluation: direct-1-raw"))
    (extra,) = set(further_evaluations(load_profile("mine"))) - set(
        sweep_evaluations(load_profile("mine"))
    )
    assert extra.folder == Path(
        "results/mine/denoising/regression/seed0/evaluations/photographs-test/direct-1-raw"
    )
    for row in ("profile: elsewhere", "method: regression+width0.1"):  # of `irsde average`
        write_profile("variants:", causes.format("denoising", row))
        load_profile("mine")
    for task, row, words in (
        ("denoising", "seed: 1", "row 1: the profile has no regression on denoising of seed 1"),
        ("denoising", "method: goub", "row 1: the profile has no goub"),
        ("denoising", "method: goub+width0.1", r"row 1: the profile has no goub\+width0\.1"),
        ("dehazing", "seed: 0", "causes: the profile has no regression on dehazing"),
        ("denoising", "protocol: lab", "unknown protocol"),
    ):
        write_profile("variants:", causes.format(task, row))
        with pytest.raises(InputError, match=words):
            load_profile("mine")


SWEEP = (
    "sweeps:\n"
    "  - {tasks: [denoising], methods: [ir-sde+l2], samplers: [posterior, ddim], nfe: [1, 3]}"
)


def test_a_sweep_is_every_combination_that_the_method_has_steps_for(write_profile):
    write_profile(
        SWEEP,
        "sweeps:\n  - {tasks: [denoising], methods: [ir-sde+l2, regression], nfe: [1, 3, 1000],"
        " grids: [uniform, log-snr], weights: [ema, raw], sampling_seeds: [0, 2]}",
    )
    names = [evaluation.name for evaluation in sweep_evaluations(load_profile("mine"))]
    assert len(names) == len(set(names)) == 2 * 2 * 2 * 2 + 8
    assert "posterior-3-log-snr-raw-sampling2" in names
    assert "posterior-1000" not in names


def test_a_sweep_shares_evaluations_with_the_tables(monkeypatch):
    monkeypatch.chdir(PROJECT)
    profile = load_profile("smoke")
    assert len(set(sweep_evaluations(profile)) - set(evaluations(profile))) == 3


@pytest.mark.parametrize(
    ("sweep", "words"),
    [
        ("{tasks: [dehazing], methods: [regression]}", "dehazing is not among the profile's tasks"),
        ("{tasks: [denoising], methods: [goub]}", "the profile has no goub on denoising of seed 0"),
        ("{tasks: [denoising], methods: [regression], seeds: [1]}", "no regression on denoising"),
        ("{tasks: [denoising], methods: [regression], datasets: [kodak24]}", "no test set"),
        ("{tasks: [denoising], methods: [regression], nfe: [0]}", "nfe"),
        ("{tasks: [denoising], methods: [regression], weights: [best]}", "weights"),
    ],
)
def test_a_sweep_of_what_the_profile_lacks_is_refused(write_profile, sweep, words):
    write_profile(SWEEP, f"sweeps:\n  - {sweep}")
    with pytest.raises(InputError, match=words) as error:
        load_profile("mine")
    assert re.search(r"line 3[01]: sweeps", str(error.value))


@pytest.mark.parametrize("name", ["posterior", "posterior-x", "posterior-3-best", "-3", ""])
def test_a_folder_of_another_form_is_no_evaluation(name):
    with pytest.raises(InputError, match="not the name of an evaluation"):
        evaluation_of(Run("quick", "deraining", "ir-sde", 0), "set5-x4", name)
