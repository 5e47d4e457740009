"""Profiles: what is read, what is refused, and that params.yaml is the grid."""

import re
from pathlib import Path

import pytest

from irsde.data.catalogue import read_catalogue
from irsde.experiment.grid import (
    datasets,
    evaluations,
    further_evaluations,
    parameters,
    run_of,
    runs,
    sweep_evaluations,
)
from irsde.experiment.profile import active_profile, largest_nfe, load_profile, run_settings
from irsde.files import InputError
from irsde.methods import METHODS
from irsde.samplers import SAMPLERS
from tests.project import PROJECT


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
    evaluated = evaluations(profile)
    assert len({one.run for one in evaluated}) == len(runs(profile)) > 0
    own = [run for run in runs(profile) if run.stage != "import"]
    assert len([one for one in evaluated if one.run in own]) == sum(tests[r.task] for r in own)
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
        (
            "training: {norm: l2}",
            "training: {nrom: l2}",
            "line 29: variants.ir-sde+l2.training.nrom: unknown key",
        ),
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
    with pytest.raises(InputError, match="is no name"):
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
    made_by_hand = (
        "method: regression+width0.1",
        "method: regression+to9, evaluation: direct-1-at9",
    )
    for row in ("profile: elsewhere", *made_by_hand):
        write_profile("variants:", causes.format("denoising", row))
        load_profile("mine")
    for task, row, words in (
        ("denoising", "seed: 1", "row 1: the profile has no regression on denoising of seed 1"),
        ("denoising", "method: goub", "row 1: the profile has no goub"),
        ("denoising", "method: goub+to9", r"row 1: the profile has no goub\+to9"),
        ("denoising", "method: goub+width0.1", r"row 1: the profile has no goub\+width0\.1"),
        ("dehazing", "seed: 0", "causes: the profile has no regression on dehazing"),
        ("denoising", "protocol: lab", "unknown protocol"),
        ("denoising", "dataset: kodak24, seed: 0", "rows.0.dataset: kodak24 is no test set of den"),
        ("denoising", "method: regression", "rows.0: nothing differs from the base"),
    ):
        write_profile("variants:", causes.format(task, row))
        with pytest.raises(InputError, match=words):
            load_profile("mine")


SWEEP = (
    "sweeps:\n"
    "  - {tasks: [denoising], methods: [ir-sde+l2], samplers: [posterior, ddim], nfe: [1, 3]}"
)


def test_a_sweep_is_every_combination(write_profile):
    write_profile(
        SWEEP,
        "sweeps:\n  - {tasks: [denoising], methods: [ir-sde+l2], nfe: [2, 3],"
        " grids: [uniform, log-snr], weights: [ema, raw], sampling_seeds: [0, 2]}",
    )
    names = [evaluation.options.name for evaluation in sweep_evaluations(load_profile("mine"))]
    assert len(names) == len(set(names)) == 2 * 2 * 2 * 2
    assert "posterior-3-log-snr-raw-sampling2" in names


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
        (
            "{tasks: [denoising], methods: [ir-sde+l2], nfe: [1, 1000]}",
            r"nfe\.1: 1000 is n/a: ir-sde\+l2 takes 100 network evaluations at most",
        ),
        (
            "{tasks: [denoising], methods: [regression], nfe: [3]}",
            "nfe.0: 3 is n/a: regression takes 1 network evaluations always",
        ),
        (
            "{tasks: [denoising], methods: [ir-sde+l2], samplers: [ddim, posteriorr]}",
            "samplers.1: unknown sampler 'posteriorr': choose from euler-maruyama",
        ),
        (
            "{tasks: [denoising], methods: [regression], samplers: [ddim]}",
            "samplers.0: direct regression has no sampler",
        ),
        (
            "{tasks: [denoising], methods: [regression], weights: [raw, raw]}",
            r"weights\.1: 'raw' appears twice",
        ),
    ],
)
def test_a_sweep_of_what_the_profile_lacks_is_refused(write_profile, sweep, words):
    write_profile(SWEEP, f"sweeps:\n  - {sweep}")
    with pytest.raises(InputError, match=words) as error:
        load_profile("mine")
    assert re.search(r"line 3[01]: sweeps", str(error.value))


def with_methods(methods, more="", evaluation="nfe: 3"):
    """Edits of the smoke profile: its methods, further lines, and how it is evaluated."""
    smoke = (PROJECT / "workflow/config/smoke.yaml").read_text()
    text = smoke[: smoke.index("variants:")] + more
    text = text.replace("[identity, classical, regression, ir-sde+l2]", methods)
    Path("workflow/config/mine.yaml").write_text(text.replace("nfe: 3", evaluation))


def test_a_method_takes_as_many_evaluations_as_it_has_steps(write_profile):
    with_methods(
        "[ddpm]", "sweeps: [{tasks: [denoising], methods: [ddpm], nfe: [100, 250, 1000]}]\n",
        "nfe: 250"
    )  # fmt: skip
    profile = load_profile("mine")
    assert {evaluation.options.name for evaluation in evaluations(profile)} == {"ddim-250"}
    names = [evaluation.options.name for evaluation in sweep_evaluations(profile)]
    assert names == ["ddim-100", "ddim-250", "ddim-1000"]


@pytest.mark.parametrize(
    ("methods", "evaluation", "words"),
    [
        ("[ddpm]", "nfe: 1001", "ddpm takes 1000 network evaluations at most, not 1001"),
        ("[ir-sde, ddpm]", "nfe: 250", "ir-sde takes 100 network evaluations at most, not 250"),
        ("[goub]", "nfe: 100", "goub takes 99 network evaluations at most"),
        ("[resshift]", "nfe: 16", "resshift takes 15 network evaluations at most"),
    ],
)
def test_more_evaluations_than_steps_are_refused(write_profile, methods, evaluation, words):
    with_methods(methods, evaluation=evaluation)
    with pytest.raises(InputError, match=f"line 26: evaluation.nfe: {words}"):
        load_profile("mine")


def test_a_start_at_the_noise_level_bounds_the_evaluations(write_profile):
    with_methods("[denoising-ode]", evaluation="threads: 1")
    file = Path("workflow/config/mine.yaml")
    (evaluation,) = evaluations(load_profile("mine"))
    assert evaluation.options.name == "probability-flow-22"
    text = file.read_text()
    for level, words in (
        ("10/255", "denoising-ode takes 11 network evaluations at most, not 22"),
        ("80/255", r"data.noise_level: noise level 0\.3137 must lie in"),
    ):
        file.write_text(text.replace("window: 32", f"window: 32\n  noise_level: {level}"))
        with pytest.raises(InputError, match=words):
            load_profile("mine")


def test_defaults_are_the_steps_there_are():
    for name, method in METHODS.items():
        most = largest_nfe(method, at_least=10**6)
        assert method.nfe <= most, name
        if not method.conditional:
            assert method.nfe == most, name


def test_the_samplers_of_methods_fit_their_processes():
    for method in METHODS.values():
        if method.process:
            assert SAMPLERS[method.sampler].refusal(method.process(0.1)) is None


@pytest.mark.parametrize("sampler", ["euler-maruyama", "mrs-ode-2"])
def test_a_sampler_that_does_not_fit_the_process_is_refused(write_profile, sampler):
    with_methods(
        "[indi]", f"sweeps:\n  - {{tasks: [denoising], methods: [indi], samplers: [{sampler}]}}\n"
    )
    with pytest.raises(InputError, match=r"line 29: sweeps.0.samplers.0: .* linear interpolant"):
        load_profile("mine")


@pytest.mark.parametrize(
    ("sweep", "words"),
    [
        ("methods: [regression], nfe: [1], conversions: [exact, plain]", "omit --conversion"),
        ("methods: [identity], weights: [ema, raw]", "omit --weights"),
        ("methods: [ir-sde], nfe: [1], grids: [log-snr]", "omit --grid"),
    ],
)
def test_options_of_a_sweep_without_effect_are_refused(write_profile, sweep, words):
    with_methods(
        "[identity, regression, ir-sde]", f"sweeps:\n  - {{tasks: [denoising], {sweep}}}\n"
    )
    with pytest.raises(InputError, match=f"line 29: sweeps.0: .*{words}"):
        sweep_evaluations(load_profile("mine"))


@pytest.mark.parametrize(
    ("evaluation", "words"),
    [
        ("posteriorr-3", "unknown sampler 'posteriorr'"),
        ("posterior-101", "ir-sde takes 100 network evaluations at most"),
        ("posterior", "not the name of an evaluation"),
        ("euler-maruyama-3-plain", "omit --conversion"),
    ],
)
def test_causes_of_evaluations_that_there_are_not_are_refused(write_profile, evaluation, words):
    with_methods(
        "[ir-sde]",
        "causes:\n  profile: mine\n  task: denoising\n  method: ir-sde\n"
        "  dataset: photographs-test\n  rows:\n    - label: a\n      instead_of: b\n"
        f"      evaluation: {evaluation}\n",
    )
    with pytest.raises(InputError, match=f"line 36: causes.rows.0.evaluation: .*{words}"):
        further_evaluations(load_profile("mine"))


def test_a_variant_and_a_profile_like_another_can_change_the_kind_of_network(write_profile):
    unet = "{name: unet, width: 16, depth: 2}"
    with_methods("[ir-sde, ir-sde+unet]", f"variants: {{ir-sde+unet: {{network: {unet}}}}}\n")
    profile = load_profile("mine")
    of = {
        method: run_settings(profile, "denoising", method, 0).network.model_dump()
        for method in ("ir-sde", "ir-sde+unet")
    }
    assert of["ir-sde"]["name"] == "nafnet"
    assert of["ir-sde+unet"] == {"name": "unet", "width": 16, "depth": 2}
    Path("workflow/config/near.yaml").write_text("like: mine\nnetwork: {name: unet, width: 8}\n")
    near = run_settings(load_profile("near"), "denoising", "ir-sde", 0).network
    assert near.model_dump() == {"name": "unet", "width": 8, "depth": 4}


@pytest.mark.parametrize(
    ("variant", "words"),
    [
        ("ddpm+x: {process: {stationary_std: 10/255}}", "ddpm.x.process: .* has no lambda"),
        ("classical+x: {training: {batch: 4}}", "classical.x.training: classical has no network"),
        ("regression+x: {evaluation: {nfe: 5}}", "evaluation.nfe: direct regression has no sampl"),
        ("ir-sde+x: {sweeps: {}}", "sweeps cannot differ between methods"),
        ("ddpm+x: {training: {batch: 2}}", r"ddpm\+x: changes nothing"),
        ("ir-sde: {training: {batch: 4}}", r"a variant is named ir-sde\+name"),
        ("ir-sd+x: {training: {batch: 4}}", "unknown method 'ir-sd'"),
    ],
)
def test_variants_that_change_nothing_are_refused(write_profile, variant, words):
    with_methods("[ddpm, regression, ddpm+x]", f"variants:\n  {variant}\n")
    with pytest.raises(InputError, match=f"line 29: variants.*{words}"):
        load_profile("mine")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("window: 32", "noise_level: 25", "line 11: data.noise_level: 25 is out of range, .* did "
         "you mean 25/255"),
        ("seeds: [0]", "process: {stationary_std: 10}", "did you mean 10/255"),
        ("seeds: [0]", "process: {stationary_std: 300}", r"lie in \[0, 1\]$"),
        ("seeds: [0]", "process: {stationary_std: x}", "not a number or a fraction"),
        ("seeds: [0]", "seeds: [-1]", "line 6: seeds.0"),
        ("seeds: [0]", "seeds: [2147483648]", "line 6: seeds.0"),
        ("seeds: [0]", "seeds: [0, 0]", "line 6: seeds.1: 0 appears twice"),
        ("[identity,", "[identity, identity,", "methods.1: 'identity' appears twice"),
        ("tasks: [denoising,", "tasks: [denoising, denoising,", "'denoising' appears twice"),
        ("test: photographs-test", "test: photograph-test", "line 10: data.test: no data set "
         "'photograph-test'; did you mean 'photographs-test'"),
        ("encoder_blocks: [1]", "encoder_blocks: [1, 1]", "line 16: network.decoder_blocks: 1 "
         "levels, but encoder_blocks has 2"),
        ("encoder_blocks: [1]", "encoder_blocks: [-1]", "encoder_blocks.0"),
        ("width: 8", "width: 9", "line 14: network.width"),
        ("width: 8", "width: 1" + "0" * 30, "line 14: network.width"),
        ("learning_rate: 0.001", "learning_rate: .inf", "line 21: training.learning_rate"),
        ("learning_rate: 0.001", "learning_rate: .nan", "line 21: training.learning_rate"),
        ("iterations: 6", "iterations: true", "line 18: training.iterations"),
        ("learning_rate: 0.001", "learning_rate: true", "True is not a number"),
        ("  name: nafnet", "  name: " + "x" * 1000, "line 12: network"),
        ("learning_rate: 0.001", "learning_rate: 10", "line 21: training.learning_rate"),
        ("iterations: 6", "iterations: 1" + "0" * 4000, "line 18: training.iterations"),
        ("patch: 16", "patch: 18", "training.patch: 18 is no multiple of 4"),
        ("patch: 16", "patch: 16\n  ema_decay: .nan", "training.ema_decay"),
        ("patch: 16", "patch: 16\n  learning_rate_schedule: cosine\n  milestones: [3]",
         "training.milestones: have no effect"),
    ],
)  # fmt: skip
def test_values_out_of_range_are_refused_with_their_line(write_profile, old, new, words):
    write_profile(old, new)
    Path("data").mkdir()
    Path("data/catalogue.yaml").write_text((PROJECT / "data/catalogue.yaml").read_text())
    with pytest.raises(InputError, match=words) as error:
        load_profile("mine")
    assert re.match(r"workflow/config/mine\.yaml, line \d+: ", str(error.value))
    assert len(str(error.value)) < 500


def test_a_data_set_of_ones_own_may_be_named_like_another(write_profile):
    write_profile("test: photographs-test", "test: photograph-test")
    Path("data/photograph-test").mkdir(parents=True)
    Path("data/catalogue.yaml").write_text((PROJECT / "data/catalogue.yaml").read_text())
    assert load_profile("mine").data.test == ("photograph-test",)
    write_profile("test: photographs-test", "test: of-my-own")
    assert load_profile("mine").data.test == ("of-my-own",)


def test_the_active_profile_is_read_without_the_grid(write_profile, monkeypatch):
    Path("params.yaml").write_text("profile: mine\nevaluate: [not: {closed\n")
    assert active_profile() == "mine"
    for text in ("caption: x\n", "profile: [a]\n", "profile: a\nprofile: {b\n"):
        Path("params.yaml").write_text(text)
        with pytest.raises(InputError, match="has no 'profile'"):
            active_profile()
