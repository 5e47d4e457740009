"""Importing the authors' weights: the same bits as their network, and one line for each refusal."""

import csv
import os
import re
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from irsde.cli import main
from irsde.experiment.grid import Evaluation, Run, evaluations
from irsde.experiment.options import EvaluationOptions
from irsde.experiment.profile import RunSettings, load_profile
from irsde.experiment.provenance import evaluation_profile
from irsde.files import InputError, digest_file, read_json, write_json, write_text
from irsde.networks import ConditionalNAFNet, ConditionalUNet
from irsde.processes import mean_reverting
from irsde.restoration import import_weights as importing
from irsde.restoration import weight_files
from irsde.restoration.import_weights import METHOD, import_weights
from irsde.restoration.restorer import load_restorer
from irsde.samplers import sample, standard_normals
from tests.project import PROJECT, prepare_task
from tests.reference import REFERENCE, needs_reference

RUN = Run("smoke", "inpainting", METHOD, 0)
BLOCKS = {"middle_blk_num": 2, "enc_blk_nums": (1, 0, 2), "dec_blk_nums": (2, 1, 1)}
NETWORKS = {
    "unet": lambda **options: ConditionalUNet(nf=8, depth=3, **options),
    "nafnet": lambda **options: ConditionalNAFNet(width=8, **BLOCKS, **options),
}
both = pytest.mark.parametrize("name", sorted(NETWORKS))


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """A folder with the profiles, as the working directory."""
    shutil.copytree(PROJECT / "workflow/config", tmp_path / "workflow/config")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def network(name, seed=0, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        built = NETWORKS[name](**options).eval().requires_grad_(False)
        for parameter in built.parameters():  # no zero gains, no unit gains
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return built


def prefixed(state, prefix):
    return {prefix + name: tensor for name, tensor in state.items()}


def saved(content, path="latest_G.pth", **options):
    torch.save(content, path, **options)
    return Path(path)


def imported(file, run=RUN, *, overwrite=False, **process):
    data = load_profile("smoke").data.of(run.task)
    return import_weights(file, run, data, overwrite=overwrite, **process)


def card():
    return read_json(RUN.folder / "run.json")


def restorer():
    settings = RunSettings.model_validate(card()["settings"])
    return load_restorer(RUN.folder, settings, torch.device("cpu"))


def files():
    return {
        path: path.read_bytes() for path in sorted(Path("results").rglob("*")) if path.is_file()
    }


def refusal(file, **options):
    """Message of a refused import, which is one line about the file and changes nothing."""
    before = files()
    with pytest.raises(InputError) as caught:
        imported(file, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600
    assert files() == before
    if not before:
        assert not Path("results").exists()
    return message


# what is imported is the authors' network


def wrappings(state, other):
    """Every layout that holds `state` beside nothing, bookkeeping or another network."""
    counters = {"initted": torch.tensor(True), "step": torch.tensor(700_000)}
    average = prefixed(state, "ema_model.") | prefixed(other, "online_model.") | counters
    return {
        "bare": state,
        "DataParallel": prefixed(state, "module."),
        "ema_pytorch": average,
        "ema_pytorch of DataParallel": prefixed(state, "ema_model.module.")
        | prefixed(other, "online_model.module."),
        "DataParallel of ema_pytorch": prefixed(average, "module."),
        "raw copy only": prefixed(state, "online_model.") | counters,
        "params": {"params": state, "iteration": 7},
        "state_dict with optimizer": {"state_dict": state, "optimizer": {"lr": 1e-4}},
        "ema": {"ema": average, "epoch": 3},
    }


LAYOUTS = sorted(wrappings({}, {}))


@both
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_weights(name, layout):
    state, other = network(name).state_dict(), network(name, seed=1).state_dict()
    line = imported(saved(wrappings(state, other)[layout]))
    stored = restorer().network.state_dict()
    assert stored.keys() == state.keys()
    assert all(torch.equal(stored[key], state[key]) for key in state)
    assert ("ema_model" in line) == ("ema" in layout)
    assert ("online_model" in line) == ("raw" in layout)


@both
def test_an_imported_run_restores_as_the_network_called_directly(name):
    original = network(name)
    imported(saved(prefixed(original.state_dict(), "module.")))
    mu = torch.rand(2, 3, 20, 27, generator=torch.Generator().manual_seed(1))

    def generators():
        return [torch.Generator().manual_seed(seed) for seed in (5, 6)]

    restored = restorer().restore(mu, "posterior", 4, generators())

    # ir-sde.yml has 30 for inpainting, refusion.yml 50 for every task
    stationary_std = {"unet": 30 / 255, "nafnet": 50 / 255}[name]
    process = mean_reverting(100, "cosine", stationary_std)
    direct, noise = original.to(memory_format=torch.channels_last), generators()
    start = process.start(mu, standard_normals(noise, mu))
    with torch.inference_mode():
        expected = sample(
            process,
            direct,
            start,
            mu,
            "posterior",
            4,
            "uniform",
            "optimal-noise",
            generators=noise,
        )
    assert torch.equal(restored, expected)


@needs_reference
@pytest.mark.parametrize("name", ["unet_nf8_depth3", "nafnet_w8_e1_1_2_m1_d1_1_1"])
def test_a_file_in_the_authors_layout_gives_the_authors_outputs(name):
    with (REFERENCE / f"params_{name}.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    state = {}
    for i, row in enumerate(rows):
        shape = [int(side) for side in row["shape"].split("x")]
        values = torch.arange(int(np.prod(shape)), dtype=torch.float64)
        wave = 0.05 * torch.sin(0.37 * values + i)
        state[f"module.{row['name']}"] = wave.float().reshape(shape)
    imported(saved(state))
    with np.load(REFERENCE / f"net_{name}.npz") as arrays:
        x_t, mu, t, out = (
            torch.from_numpy(arrays[f"sin05_27x35_{key}"]) for key in ("xt", "mu", "t", "out")
        )
    torch.testing.assert_close(restorer().output(x_t, mu, t), out, rtol=1e-3, atol=1e-5)


def test_the_size_is_read_from_the_shapes():
    file = saved(ConditionalUNet(nf=12, depth=2).state_dict())
    assert "ConditionalUNet of width 12 and depth 2, 398,187 parameters" in imported(file)
    assert card()["settings"]["network"] == {"name": "unet", "width": 12, "depth": 2}
    file = saved(network("nafnet").state_dict())
    assert "ConditionalNAFNet of width 8 and blocks 1 0 2 | 2 | 2 1 1, " in imported(
        file, overwrite=True
    )
    assert RunSettings.model_validate(card()["settings"]).network.encoder_blocks == (1, 0, 2)


def test_the_card_says_where_the_weights_come_from():
    original = network("unet")
    file = saved(original.state_dict())
    imported(file)
    content = card()
    assert content["imported_from"] == {"file": "latest_G.pth", "sha256": digest_file(file)}
    assert digest_file(file) in content["identity"].values()
    assert content["label"] == "IR-SDE (authors' weights)"
    assert (content["profile"], content["task"], content["method"], content["seed"]) == (
        RUN.profile,
        RUN.task,
        RUN.method,
        RUN.seed,
    )
    assert content["parameters"] == sum(p.numel() for p in original.parameters())
    assert content["weights_sha256"] == digest_file(RUN.folder / "weights.safetensors")
    assert content["settings"]["training"] is None
    assert content["settings"]["data"]["train"] == list(load_profile("smoke").data.train)
    assert {"commit", "dirty", "versions", "device"} <= content.keys()
    assert {path.name for path in RUN.folder.iterdir()} == {
        "cost.json",
        "run.json",
        "weights.safetensors",
    }


def test_half_precision_and_shared_memory_are_imported():
    state = {key: tensor.half() for key, tensor in network("unet").state_dict().items()}
    together = torch.cat([tensor.flatten() for tensor in state.values()])
    views = together.split([tensor.numel() for tensor in state.values()])
    shared = {key: v.reshape(state[key].shape) for key, v in zip(state, views, strict=True)}
    imported(saved(shared, _use_new_zipfile_serialization=False))
    stored = restorer().network.state_dict()
    assert all(torch.equal(stored[key], state[key].float()) for key in state)


# again, and in the way


def test_the_same_source_again_changes_nothing():
    file = saved(network("unet").state_dict())
    imported(file)
    before = files()
    assert ": up to date, lambda 30/255, T = 100, cosine" in imported(file)
    assert ": up to date, " in imported(file.rename("renamed.pth"), overwrite=True)
    assert files() == before


def test_damaged_weights_of_the_same_source_are_written_again():
    file = saved(network("unet").state_dict())
    imported(file)
    weights = RUN.folder / "weights.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + b"\0")
    assert "imported" in imported(file)
    assert weights.read_bytes() == content


def test_another_source_in_the_way_is_refused_unless_overwritten():
    imported(saved(network("unet").state_dict()))
    write_text(RUN.folder / "evaluations/photographs/posterior-3/summary.json", "{}\n")
    other = saved(network("nafnet").state_dict(), "other.pth")
    assert "--overwrite" in refusal(other)
    refusal(saved({"a": torch.zeros(1)}, "wrong.pth"), overwrite=True)
    imported(other, overwrite=True)
    assert card()["imported_from"]["file"] == "other.pth"
    assert not (RUN.folder / "evaluations").exists()


@pytest.mark.parametrize("content", ['{"settings": {}, "identity": {}}', "no card", None])
def test_a_trained_damaged_or_unfinished_run_in_the_way_is_refused(content):
    write_text(RUN.folder / "checkpoint/state.safetensors", "state")
    if content:
        write_text(RUN.folder / "run.json", content)
    file = saved(network("unet").state_dict())
    assert "holds something that does not come from latest_G.pth" in refusal(file)
    imported(file, overwrite=True)
    assert not (RUN.folder / "checkpoint").exists()


# refusals of files


class Planted:
    """A pickle of it makes a file when it is loaded without care."""

    def __reduce__(self):
        return os.mkdir, ("planted",)


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize("content", [Planted(), torch.nn.Conv2d(3, 3, 1), {"params": Planted()}])
def test_pickled_objects_are_refused_and_not_run(content, is_zip):
    file = saved(content, _use_new_zipfile_serialization=is_zip)
    assert "holds a pickled object" in refusal(file)
    assert not Path("planted").exists()


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize("protocol", [4, 5])
def test_plain_tensors_in_a_later_protocol_are_not_called_damaged(protocol, is_zip):
    file = saved(
        network("unet").state_dict(),
        _use_new_zipfile_serialization=is_zip,
        pickle_protocol=protocol,
    )
    assert "a pickle of protocol 4 or later" in refusal(file)


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize("protocol", [1, 4, 5])
def test_code_in_a_pickle_of_any_protocol_is_called_code(protocol, is_zip):
    file = saved(Planted(), _use_new_zipfile_serialization=is_zip, pickle_protocol=protocol)
    assert "holds a pickled object (posix.mkdir), which could run code" in refusal(file)
    file.write_bytes(b"\x80\x02(S'planted'\nios\nmkdir\n.")
    assert "holds a pickled object (os.mkdir), which could run code" in refusal(file)
    assert not Path("planted").exists()


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize("fraction", [0.001, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(fraction, is_zip):
    file = saved(network("unet").state_dict(), _use_new_zipfile_serialization=is_zip)
    content = file.read_bytes()
    file.write_bytes(content[: int(fraction * len(content))])
    assert "latest_G.pth: truncated or damaged" in refusal(file)


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs", b"<html>", b"ustar"])
def test_a_file_of_another_kind_is_refused(content):
    Path("page.pth").write_bytes(content)
    assert "page.pth: not a PyTorch checkpoint" in refusal(Path("page.pth"))


@pytest.mark.parametrize("content", [b"\x80\x04N.", b"\x80\x02", b"PK\x03\x04" + bytes(50)])
def test_a_file_that_only_begins_well_is_refused(content):
    Path("odd.pth").write_bytes(content)
    assert "odd.pth: truncated or damaged" in refusal(Path("odd.pth"))


def test_other_archives_and_scripts_are_refused():
    with zipfile.ZipFile("other.pth", "w") as archive:
        archive.writestr("a/data.txt", "text")
    assert "truncated or damaged, or no PyTorch file" in refusal(Path("other.pth"))


def test_a_missing_file_a_folder_and_a_pipe_are_refused():
    assert "absent.pth: no such file" in refusal(Path("absent.pth"))
    Path("folder.pth").mkdir()
    assert "folder.pth: is a folder" in refusal(Path("folder.pth"))
    os.mkfifo("pipe.pth")
    assert "pipe.pth: is not a regular file" in refusal(Path("pipe.pth"))


def test_a_huge_file_and_a_huge_archive_are_refused(monkeypatch):
    file = saved(network("unet").state_dict())
    with zipfile.ZipFile("bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(2**22))
    monkeypatch.setattr(weight_files, "MAX_BYTES", 2**20)
    assert "are more than the limit" in refusal(file)
    assert "unpacks to" in refusal(Path("bomb.pth"))


def changed(name="unet", **changes):
    return network(name).state_dict() | changes


def without(state, *names):
    return {name: tensor for name, tensor in state.items() if name not in names}


@both
def test_a_wrong_key_is_refused(name):
    last = {"unet": "final_conv.bias", "nafnet": "ending.bias"}[name]
    state = without(changed(name, **{"odd.bias": torch.zeros(3), "odd\n": torch.zeros(1)}), last)
    message = refusal(saved(state))
    assert f"keys that differ: 3 (1 missing: {last}; 2 unexpected: odd.bias, 'odd\\n')" in message
    assert "width 8" in message


@both
def test_many_wrong_keys_are_counted_and_the_first_named(name):
    original = network(name).state_dict()
    state = {key.replace("downs", "down"): tensor for key, tensor in original.items()}
    assert "no network has 0 levels" in refusal(saved(state))
    first = {"unet": "init_conv.weight", "nafnet": "intro.weight"}[name]
    state = {key if key == first else f"{key}.x": tensor for key, tensor in original.items()}
    message, n = refusal(saved(state)), len(original) - 1
    assert f"keys that differ: {2 * n} ({n} missing: time_mlp.1.weight, " in message
    assert f", ...; {n} unexpected: time_mlp.1.weight.x, " in message


def test_a_wrong_shape_is_refused():
    message = refusal(saved(changed(**{"final_conv.weight": torch.zeros(3, 8, 1, 1)})))
    assert "1 of another shape: final_conv.weight (3, 8, 1, 1) instead of (3, 8, 3, 3)" in message


@pytest.mark.parametrize("shape", [(8,), (7, 6, 7, 7), (2, 6, 7, 7), (0, 6, 7, 7)])
def test_a_width_that_no_network_has_is_refused(shape):
    state = changed(**{"init_conv.weight": torch.zeros(shape)})
    assert f"a first convolution of shape {shape}" in refusal(saved(state))


def test_too_many_levels_are_refused():
    state = changed() | {f"downs.{level}.x": torch.zeros(1) for level in range(2000)}
    assert "no network has 2000 levels" in refusal(saved(state))


def test_too_many_blocks_are_refused_at_once(monkeypatch):
    many = {f"encoders.0.{block}.beta": torch.zeros(1) for block in range(101)}
    file = saved(changed("nafnet") | many)
    monkeypatch.setattr(importing, "_compare", lambda *_: pytest.fail("built the network"))
    assert "names 101 blocks of one level, more than the limit of 100" in refusal(file)
    monkeypatch.setattr(importing, "MAX_TENSORS", 200)
    assert "tensors, more than 200" in refusal(file)


def test_weights_of_another_network_are_refused():
    message = refusal(saved(torch.nn.Linear(2, 2).state_dict()))
    assert "neither a ConditionalUNet nor a ConditionalNAFNet" in message
    assert "weight, bias" in message
    both_networks = network("unet").state_dict() | network("nafnet").state_dict()
    assert "neither" in refusal(saved(both_networks))


def test_a_training_state_is_refused():
    optimizer = torch.optim.Adam(network("unet").requires_grad_(True).parameters())
    assert "state of an optimizer" in refusal(saved(optimizer.state_dict()))
    authors = {"epoch": 1, "iter": 5000, "schedulers": [], "optimizers": [optimizer.state_dict()]}
    assert "state of an optimizer" in refusal(saved(authors))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([torch.zeros(1)], "holds a list, not a state dict"),
        (torch.zeros(1), "holds a Tensor, not a state dict"),
        ({}, "its keys: none"),
        ({"step": 3}, "its keys: step"),
        ({"a": 1, "b": torch.zeros(1)}, "its keys: a, b"),
        ({1: torch.zeros(1)}, "its keys: 1"),
        ({"params": {"params": {"a": torch.zeros(1)}}}, "its keys: params"),
        (
            {"params": {"a": torch.zeros(1)}, "params_ema": {"a": torch.ones(1)}},
            "several sets of weights (params, params_ema)",
        ),
        (
            {"ema_model.a": torch.zeros(1), "a": torch.zeros(1)},
            "holds 1 tensors beside those of ema_model (a)",
        ),
    ],
)
def test_content_that_is_no_one_state_dict_is_refused(content, words):
    assert words in refusal(saved(content))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(value):
    bias = torch.tensor([0, value, 0])
    message = refusal(saved(changed(**{"final_conv.bias": bias})))
    assert "final_conv.bias holds NaN or infinite values" in message


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (torch.zeros(3, dtype=torch.int64), "has the type torch.int64"),
        (torch.zeros(3, dtype=torch.complex64), "has the type torch.complex64"),
        (torch.zeros(3).to_sparse(), "is not a plain tensor"),
        (torch.zeros(3, device="meta"), "is not a plain tensor"),
        (torch.zeros(1).expand(10**12), "is not a plain tensor"),
    ],
)
def test_tensors_that_are_no_plain_floats_are_refused(tensor, words):
    message = refusal(saved(changed(**{"final_conv.bias": tensor})))
    assert f"final_conv.bias {words}" in message


@both
def test_an_unconditional_network_is_a_denoiser_and_refused_for_other_tasks(name):
    built = network(name, conditional=False)
    file = saved(built.state_dict())
    assert "give --task denoising" in refusal(file)
    run = Run("smoke", "denoising", METHOD, 0)
    assert "results/smoke/denoising/denoising-ode+authors/seed0" in imported(file, run)
    folder = Run("smoke", "denoising", "denoising-ode+authors", 0).folder
    settings = RunSettings.model_validate(read_json(folder / "run.json")["settings"])
    loaded = load_restorer(folder, settings, torch.device("cpu"))
    noisy = torch.rand(1, 3, 16, 16)
    expected = built(noisy, None, 22)
    difference = (loaded.output(noisy, noisy, 22) - expected).abs().max()
    assert difference < 1e-4 * expected.abs().max()
    # 70/255 and T = 1000 in refusion.yml, 75/255 and T = 100 in the U-Net's test configuration
    assert loaded.process.steps == {"nafnet": 1000, "unet": 100}[name]
    assert loaded.first_step(25 / 255) == {"nafnet": 230, "unet": 21}[name]


@pytest.mark.parametrize(
    ("name", "task", "stationary_std"),
    [
        ("unet", "deraining", 10 / 255),
        ("unet", "super-resolution", 30 / 255),
        ("nafnet", "deraining", 50 / 255),
        ("nafnet", "super-resolution", 50 / 255),
    ],
)
def test_the_network_decides_the_process(name, task, stationary_std):
    folder = Run("smoke", task, METHOD, 0).folder
    line = imported(saved(network(name).state_dict()), Run("smoke", task, METHOD, 0))
    assert (
        f"; lambda {255 * stationary_std:g}/255, T = 100, cosine, read by the plain conversion: a "
    ) in line
    owner = {"unet": "IR-SDE", "nafnet": "Refusion"}[name]
    assert line.endswith(f" is {owner}'s, whose authors' settings for {task} these are")
    content = read_json(folder / "run.json")
    assert content["settings"]["stationary_std"] == stationary_std
    assert content["settings"]["process"] == {"steps": 100, "schedule": "cosine"}
    assert content["conversion"] == "plain"
    settings = RunSettings.model_validate(content["settings"])
    process = load_restorer(folder, settings, torch.device("cpu")).process
    expected = mean_reverting(100, "cosine", stationary_std)
    assert torch.equal(process.c, expected.c)
    assert torch.equal(process.a, expected.a)


def test_the_process_may_be_chosen_and_another_one_is_not_up_to_date():
    file = saved(network("nafnet").state_dict())
    imported(file)
    assert "with another process or other data" in refusal(file, stationary_std="30/255")
    line = imported(file, overwrite=True, stationary_std="30/255", steps=50, schedule="linear")
    assert "; lambda 30/255, T = 50, linear" in line
    expected = mean_reverting(50, "linear", 30 / 255)
    assert torch.equal(restorer().process.c, expected.c)
    assert restorer().first_step(None) == 50


@pytest.mark.parametrize(
    ("process", "words"),
    [
        ({"stationary_std": "50"}, "--lambda 50: must be .* write the authors' max_sigma 50 as"),
        ({"stationary_std": "0"}, "--lambda 0: must be"),
        ({"stationary_std": "nan"}, "--lambda nan: must be"),
        ({"stationary_std": "1e999999999"}, "--lambda 1e999999999: must be"),
        ({"steps": 0}, "--steps 0: give 1 to 10000"),
        ({"steps": 10**9}, "--steps 1000000000: give 1 to 10000"),
        ({"schedule": "cubic"}, "unknown schedule 'cubic': choose from cosine, linear, constant"),
    ],
)
def test_a_process_that_cannot_be_is_refused(process, words):
    assert re.search(words, refusal(saved(network("nafnet").state_dict()), **process))


def test_a_denoiser_has_no_constant_schedule():
    run = Run("smoke", "denoising", METHOD, 0)
    file = saved(network("unet", conditional=False).state_dict())
    assert "choose from cosine, linear" in refusal(file, run=run, schedule="constant")


def test_a_network_of_latents_is_refused():
    message = refusal(saved(ConditionalNAFNet(img_channel=8, width=8).state_dict()))
    assert "16 input channels" in message


# through the command line


def command(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["irsde", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code, capsys.readouterr()


def test_import_and_evaluate_on_the_command_line(monkeypatch, capsys):
    Path("data").mkdir()
    shutil.copy(PROJECT / "data/catalogue.yaml", "data")
    profile = load_profile("smoke")
    prepare_task("smoke", RUN.task)
    saved(network("nafnet").state_dict())
    arguments = ("weights", "import", "latest_G.pth", "--task", RUN.task, "--profile", "smoke")
    code, output = command(monkeypatch, capsys, *arguments)
    assert code == 0
    assert output.out.startswith("results/smoke/inpainting/ir-sde+authors/seed0: imported")
    code, output = command(monkeypatch, capsys, "evaluate", "--run", str(RUN.folder), "--nfe", "2")
    assert (code, " dB over " in output.out) == (0, True)
    folder = Evaluation(
        RUN, profile.data.test[0], EvaluationOptions("posterior", 2, conversion="plain")
    ).folder
    summary = read_json(folder / "summary.json")
    assert summary["conversion"] == "plain"
    assert summary["method_label"] == "IR-SDE (authors' weights)"
    assert summary["parameters"] == card()["parameters"]
    assert all(METHOD not in e.run.method for e in evaluations(profile))


def test_a_refusal_ends_with_code_2_and_one_line(monkeypatch, capsys):
    code, output = command(
        monkeypatch,
        capsys,
        "weights",
        "import",
        "a.pth",
        "--task",
        "deraining",
        "--profile",
        "smoke",
    )
    assert (code, output.out) == (2, "")
    assert output.err == "irsde: a.pth: no such file\n"
    code, output = command(
        monkeypatch, capsys, "weights", "import", "a.pth", "--task", "raining", "--profile", "smoke"
    )
    assert code == 2
    assert "unknown task 'raining'" in output.err


def test_only_imported_runs_are_evaluated_without_a_variant():
    profile = load_profile("smoke")
    with pytest.raises(InputError, match="no variant"):
        evaluation_profile(profile, RUN)
    write_json(RUN.folder / "run.json", {"settings": {}, "identity": {}})
    with pytest.raises(InputError, match="no variant"):
        evaluation_profile(profile, RUN)
    imported(saved(network("unet").state_dict()), overwrite=True)
    assert evaluation_profile(profile, RUN) == profile
    variant = profile.model_copy(update={"variants": {METHOD: {"evaluation": {"nfe": 2}}}})
    assert evaluation_profile(variant, RUN).evaluation.nfe == 2
