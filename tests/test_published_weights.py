"""Published weights: recognised by their bytes, fetched, refused where they differ, imported."""

import os
import pickle
import shlex
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import yaml

from irsde.audit.evidence import given, import_evidence
from irsde.cli import main
from irsde.data.fetch import downloads
from irsde.experiment.grid import (
    arguments_of,
    by_run,
    evaluation_at,
    evaluations,
    further_evaluations,
    parameters,
    runs,
)
from irsde.experiment.profile import PROFILE_FOLDER, TestSet, load_profile
from irsde.experiment.published_weights import read_weights_catalogue, weights_file
from irsde.files import InputError, digest_file, read_json
from irsde.networks.published import SYSTEMS
from irsde.restoration.published import adopt_weights, read_state
from tests import test_downloads
from tests.project import PROJECT, copy_project, small_project
from tests.test_downloads import file as served

server = test_downloads.server  # a fixture
TestSet.__test__ = False  # no test of pytest's
SMALL = "aod-net"
CONVOLUTIONS = "cdncnn-s+sigma25"


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(small_project(tmp_path))


def network(name):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(len(name))
        return SYSTEMS[name.partition("+")[0]]()


def matlab(path, name=CONVOLUTIONS, change=lambda number, values: values):
    """A file as MATLAB writes a network of MatConvNet: arrays with their axes reversed."""
    modules = list(network(name).layers)
    with h5py.File(path, "w", userblock_size=512) as file:
        references = []
        for number, module in enumerate(modules):
            layer = file.create_group(f"#refs#/{number}")
            kind = "conv" if isinstance(module, torch.nn.Conv2d) else "relu"
            layer["type"] = np.array([[ord(letter)] for letter in kind], dtype=np.uint16)
            if kind == "conv":
                kernel = module.weight.detach().numpy().transpose(0, 1, 3, 2)
                bias = module.bias.detach().numpy()[None]
                parts = [
                    file.create_dataset(f"#refs#/{number}{key}", data=change(number, values)).ref
                    for key, values in (("a", kernel), ("b", bias))
                ]
                layer.create_dataset("weights", data=np.array(parts, dtype=h5py.ref_dtype))
            references.append(layer.ref)
        data = np.array(references, dtype=h5py.ref_dtype)[:, None]
        file.create_dataset("net/layers", data=data)
    return Path(path)


def described(**files):
    """Give records of the catalogue the bytes of files that were made here."""
    path = Path("data/published_weights.yaml")
    content = yaml.safe_load(path.read_text())
    for name, file in files.items():
        record = content[name]
        record |= {"sha256": digest_file(file), "size": file.stat().st_size}
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def small_file(folder="given"):
    Path(folder).mkdir(parents=True, exist_ok=True)
    file = Path(folder, "other name.PTH")
    torch.save(network(SMALL).state_dict(), file)
    described(**{SMALL: file})
    return file


def command(monkeypatch, capsys, *arguments):
    monkeypatch.setattr("sys.argv", ["irsde", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code, capsys.readouterr()


def test_every_record_is_of_a_system_and_says_what_it_must_meet():
    catalogue = read_weights_catalogue()
    assert {name.partition("+")[0] for name in catalogue} == set(SYSTEMS)
    for record in catalogue.values():
        assert all(str(TestSet.parse(row.dataset)) == row.dataset for row in record.rows)


def test_the_profile_evaluates_each_system_on_the_sets_of_its_record():
    profile = load_profile("published")
    catalogue = read_weights_catalogue()
    assert {run.method for run in runs(profile)} == set(catalogue)
    for one in evaluations(profile):
        dataset = one.dataset.partition("+draw")[0]
        assert dataset in catalogue[one.run.method].test_sets
    grid = yaml.safe_load(parameters(profile))
    assert {item["weights"] for item in grid["import"].values()} == {
        record.sha256 for record in catalogue.values()
    }
    assert (grid["train"], grid["tune"]) == ({}, {})


def test_files_are_known_by_their_bytes_whatever_their_names(monkeypatch, capsys):
    file = small_file()
    deeper = Path("given/a/b")
    deeper.mkdir(parents=True)
    file = file.rename(deeper / "two\nlines")
    code, output = command(monkeypatch, capsys, "weights", "adopt", "given")
    assert (code, f"{SMALL}: given/a/b/two\\x0alines agrees, " in output.out) == (0, True)
    file = file.rename(deeper / "net_latest.bin")
    code, output = command(monkeypatch, capsys, "weights", "adopt", "given")
    assert code == 0
    assert f"{SMALL}: given/a/b/net_latest.bin agrees, linked to data/weights/" in output.out
    assert "missing: prenet+rain100h" in output.out
    assert weights_file(SMALL).resolve() == file.resolve()
    assert "up to date" in adopt_weights(Path("given"))[0][0]
    assert "copied" in adopt_weights(Path("given"), copy=True)[0][0]
    assert not weights_file(SMALL).is_symlink()
    assert "agrees" in command(monkeypatch, capsys, "weights", "list")[1].out


def test_a_single_file_and_folders_behind_links_are_adopted(monkeypatch, capsys):
    file = small_file("elsewhere/deep")
    Path("given").mkdir()
    Path("given/again").symlink_to(Path("given").resolve())
    Path("given/linked").symlink_to(Path("elsewhere").resolve())
    for source in ("given", "given/linked/deep", str(file)):
        code, output = command(monkeypatch, capsys, "weights", "adopt", source)
        assert (code, f"{SMALL}: {source}" in output.out) == (0, True), output.err
        assert weights_file(SMALL).resolve() == file.resolve()
        weights_file(SMALL).unlink()


def test_what_cannot_be_a_file_of_weights_is_said(monkeypatch, capsys):
    small_file()
    os.mkfifo("given/pipe.pth")
    Path("given/lost.pth").symlink_to("nowhere")
    Path("given/old.mat").write_bytes(b"MATLAB 5.0 MAT-file".ljust(600))
    code, output = command(monkeypatch, capsys, "weights", "adopt", "given")
    assert (code, output.err.count("\n")) == (2, 1)
    assert "this and 2 more files, listed above" in output.err
    for words in ("lost.pth: links to nothing", "pipe.pth: is not a regular", "old.mat: truncated"):
        assert words in output.out
    assert weights_file(SMALL).is_file()


def test_a_wrong_file_is_compared_with_the_system_it_is_nearest_to(monkeypatch, capsys):
    Path("given").mkdir()
    matlab(Path("given/net.mat"), change=lambda n, v: v[:, :1] if (n, v.ndim) == (0, 4) else v)
    matlab(Path("given/large.mat"), change=lambda n, v: v.astype(float) * 1e300)
    state = network("prenet").state_dict()
    first = next(iter(state))
    torch.save(state | {first: state[first][:1]}, "given/short.pth")
    torch.save(state | {first: state[first] * float("nan")}, "given/nan.pth")
    code, output = command(monkeypatch, capsys, "weights", "adopt", "given")
    lines = output.out.splitlines()
    assert code == 2
    said = {name: next(one for one in lines if name in one) for name in ("net.", "short.", "nan.")}
    assert "layer 1 holds float32 of shape (64, 1, 3, 3)" in said["net."]
    assert "(64, 3, 3, 3); nearest to cdncnn-s" in said["net."]
    assert f"1 of its names and shapes differ ({first}); nearest to prenet" in said["short."]
    assert f"{first} holds NaN" in said["nan."]
    assert "large.mat: layers.0.weight holds NaN or infinite values" in output.out


def test_one_byte_changed_is_said_and_not_taken(monkeypatch, capsys):
    file = small_file()
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    code, output = command(monkeypatch, capsys, "weights", "adopt", "given")
    assert code == 2
    assert output.err.count("\n") == 1
    assert f"differs from {SMALL}" in output.err
    assert not weights_file(SMALL).exists()
    code, output = command(
        monkeypatch, capsys, "weights", "import", str(file), "--profile", "published"
    )
    assert (code, "neither a name" in output.err) == (2, True)


class Harm:
    def __reduce__(self):
        return os.system, ("touch harmed",)


def test_a_pickle_with_code_is_refused_and_not_run(monkeypatch, capsys):
    Path("given").mkdir()
    Path("given/net.pth").write_bytes(pickle.dumps({"weight": Harm()}, protocol=2))
    code, output = command(monkeypatch, capsys, "weights", "adopt", "given")
    assert (code, output.err.count("\n")) == (2, 1)
    assert "could run code" in output.err
    assert not Path("harmed").exists()


def test_matlab_files_are_read_with_their_axes_turned(tmp_path):
    state = read_state(matlab(tmp_path / "net.mat"), CONVOLUTIONS)
    for name, tensor in network(CONVOLUTIONS).state_dict().items():
        assert torch.equal(state[name], tensor), name


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda number, v: v[:, :1] if (number, v.ndim) == (4, 4) else v, "layer 5 holds float32"),
        (lambda number, v: v.T if (number, v.ndim) == (0, 2) else v, "layer 1 holds float32"),
        (lambda number, v: v.astype(str).astype("S") if number == 2 else v, "layer 3 holds"),
    ],
)
def test_wrong_shapes_in_a_matlab_file_are_one_line(tmp_path, change, words):
    with pytest.raises(InputError, match=words) as refused:
        read_state(matlab(tmp_path / "net.mat", change=change), CONVOLUTIONS)
    assert "\n" not in str(refused.value)


def test_damaged_and_foreign_matlab_files_are_one_line(tmp_path):
    file = matlab(tmp_path / "net.mat")
    whole = file.read_bytes()
    for content in (whole[:600], whole[:-2000], whole[:520] + b"\0" * 5000):
        file.write_bytes(content)
        with pytest.raises(InputError, match=r"net\.mat: "):
            read_state(file, CONVOLUTIONS)
    with h5py.File(file, "w") as content:
        content["net"] = h5py.ExternalLink("/etc/passwd", "layers")
    with pytest.raises(InputError, match="elsewhere"):
        read_state(file, CONVOLUTIONS)


def test_a_file_becomes_a_run_with_its_source(monkeypatch, capsys):
    small_file()
    adopt_weights(Path("given"))
    arguments = ("weights", "import", SMALL, "--profile", "published")
    code, output = command(monkeypatch, capsys, *arguments)
    assert code == 0
    assert "1,761 parameters" in output.out
    (run,) = (one for one in runs(load_profile("published")) if one.method == SMALL)
    card = read_json(run.folder / "run.json")
    assert card["imported_from"]["sha256"] == read_weights_catalogue()[SMALL].sha256
    assert "up to date" in command(monkeypatch, capsys, *arguments)[1].out
    card_bytes = (run.folder / "run.json").read_bytes()
    (run.folder / "weights.safetensors").unlink()  # as in evidence
    assert "are back" in command(monkeypatch, capsys, *arguments)[1].out
    assert digest_file(run.folder / "weights.safetensors") == card["weights_sha256"]
    assert (run.folder / "run.json").read_bytes() == card_bytes
    code, output = command(monkeypatch, capsys, *arguments, "--task", "dehazing")
    assert (code, "--task has no effect" in output.err) == (2, True)


def test_training_a_published_system_is_refused(monkeypatch, capsys):
    arguments = ("train", "--task", "dehazing", "--method", SMALL, "--profile", "published")
    code, output = command(monkeypatch, capsys, *arguments)
    assert (code, output.err.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mcmaster+sigma0", "no name"),
        ("mcmaster+draw1+sigma15", "no name"),
        ("mcmaster+rain", "no name"),
        ("mcmastr+sigma15", "did you mean 'mcmaster'"),
    ],
)
def test_conditions_of_test_sets_are_checked(name, words):
    path = Path("workflow/config/published.yaml")
    path.write_text(path.read_text().replace("mcmaster+sigma15", name))
    with pytest.raises(InputError, match=words):
        load_profile("published")


def test_a_download_goes_on_where_it_was_cut_and_is_checked(server, monkeypatch, capsys):
    source = small_file()
    content = source.read_bytes()
    monkeypatch.setattr(downloads, "CHUNK", 1000)
    address = server.add(served(content, cut=5000), served(content), path="/a/net.pth")
    path = Path("data/published_weights.yaml")
    catalogue = yaml.safe_load(path.read_text())
    catalogue[SMALL]["address"] = address
    path.write_text(yaml.safe_dump(catalogue, sort_keys=False))
    code, output = command(monkeypatch, capsys, "weights", "fetch", SMALL)
    assert (code, "agrees" in output.out) == (0, True)
    assert weights_file(SMALL).read_bytes() == content
    assert server.ranges == [None, "bytes=5000-"]
    weights_file(SMALL).unlink()
    server.add(served(content[::-1]), path="/a/net.pth")
    code, output = command(monkeypatch, capsys, "weights", "fetch", SMALL)
    assert (code, output.err.count("\n")) == (2, 1)
    assert "instead of the recorded" in output.err
    assert f"put the file at {weights_file(SMALL)} by hand" in output.err  # no lock file has it
    assert not weights_file(SMALL).exists()


@pytest.mark.parametrize(
    "profile", sorted(path.stem for path in (PROJECT / PROFILE_FOLDER).glob("*.yaml"))
)
def test_what_engines_ask_for_is_what_the_command_understands(profile, monkeypatch):
    """Names of test sets have a `+` where they are noisy."""
    monkeypatch.chdir(PROJECT)
    loaded = load_profile(profile)
    wanted = by_run([*evaluations(loaded), *further_evaluations(loaded)])
    for run, asked in wanted.items():
        folder, *places = shlex.split(arguments_of(asked))[1::2]
        assert Path(folder) == run.folder
        assert [evaluation_at(run, place) for place in places] == asked


def test_imported_systems_get_weights_only_where_more_is_to_be_evaluated(tmp_path, monkeypatch):
    monkeypatch.chdir(copy_project(tmp_path))
    profile = load_profile("published")
    import_evidence("published", PROJECT / "reports/study")
    wanted = by_run(evaluations(profile))
    made = given(profile)
    run = next(run for run, asked in wanted.items() if all(one.folder in made for one in asked))
    assert run.folder in made
    shutil.rmtree(wanted[run][0].folder)
    assert made - given(profile) == {run.folder, wanted[run][0].folder}
