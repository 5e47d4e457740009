"""What a GPU must do as the CPU does; without one the same is asked of the CPU alone."""

import copy
import json
import shutil

import pytest
import torch

from irsde.experiment.grid import Run
from irsde.experiment.profile import load_profile, run_settings
from irsde.files import digest_file
from irsde.machine.devices import compute_device
from irsde.machine.meters import Meter
from irsde.networks import ConditionalNAFNet, ConditionalUNet
from irsde.processes import mean_reverting
from irsde.samplers import sample, standard_normals
from irsde.training.run import train
from tests.project import copy_project, prepare_task

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
needs_cuda = pytest.mark.skipif(not CUDA, reason="needs a GPU")
RUN = Run("smoke", "denoising", "ir-sde", 0)
NETWORKS = {
    "unet": lambda: ConditionalUNet(nf=8, depth=2),
    "nafnet": lambda: ConditionalNAFNet(width=8, enc_blk_nums=(1, 1), dec_blk_nums=(1, 1)),
}


@pytest.fixture(autouse=True)
def _full_float32():
    """Products in float32 itself, not in the GPU's TF32."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@pytest.fixture
def project(tmp_path, monkeypatch):
    copy_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    prepare_task("smoke", "denoising")
    return tmp_path


def close(ours, expected):
    """Equal to the rounding of single precision, relative to the largest value."""
    scale = float(expected.abs().max())
    torch.testing.assert_close(ours.cpu(), expected.cpu(), rtol=0, atol=2e-4 * scale)


def on_both(network, *inputs):
    """Outputs on the device and on the CPU, and gradients of the parameters."""
    found = []
    for device in (DEVICE, torch.device("cpu")):
        moved = copy.deepcopy(network).to(device, memory_format=torch.channels_last)
        output = moved(*(each.to(device) for each in inputs))
        output.square().mean().backward()
        found.append((output.detach(), [p.grad for p in moved.parameters()]))
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_and_gradients_equal_those_of_the_cpu(name):
    torch.manual_seed(0)
    x_t, mu = torch.rand(2, 2, 3, 18, 20)
    (ours, ours_slopes), (expected, slopes) = on_both(
        NETWORKS[name](), x_t, mu, torch.tensor([3, 77])
    )
    close(ours, expected)
    largest = max(float(slope.abs().max()) for slope in slopes)
    for one, other in zip(ours_slopes, slopes, strict=True):
        torch.testing.assert_close(one.cpu(), other, rtol=0, atol=1e-3 * largest)


def test_noise_and_restoration_equal_those_of_the_cpu():
    process, network = mean_reverting(), NETWORKS["nafnet"]().eval()
    mu = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    restored = []
    for device in (DEVICE, torch.device("cpu")):
        generators = [torch.Generator().manual_seed(k) for k in range(2)]
        degraded, moved = mu.to(device), copy.deepcopy(network).to(device)
        start = process.start(degraded, standard_normals(generators, degraded))
        with torch.inference_mode():
            restored.append(sample(process, moved, start, degraded, nfe=10, generators=generators))
    close(*restored)


KINDS = [
    ("float32", False),
    ("bfloat16", False),
    pytest.param("float32", True, marks=needs_cuda),
    pytest.param("bfloat16", "cuda-graphs", marks=needs_cuda),
]


@pytest.mark.parametrize(("precision", "compiled"), KINDS)
def test_two_trainings_by_the_device_give_the_same_bits(project, precision, compiled):
    settings = run_settings(load_profile("smoke"), RUN.task, RUN.method, RUN.seed)
    recipe = settings.training.model_copy(update={"precision": precision, "compile": compiled})
    settings = settings.model_copy(update={"training": recipe})
    weights = []
    for _ in range(2):
        train(RUN, settings, overwrite=False)
        weights.append(digest_file(RUN.folder / "weights.safetensors"))
        card = json.loads((RUN.folder / "run.json").read_text())
        shutil.rmtree(RUN.folder)
        torch.compiler.reset()
    assert weights[0] == weights[1]
    assert card["skipped_updates"] == 0
    if CUDA:
        assert torch.cuda.get_device_name() in json.dumps(card)


@needs_cuda
def test_memory_and_energy_of_the_gpu_are_metered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with compute_device(1) as device:
        meter = Meter(device)
        with meter.running():
            torch.rand(1024, 1024, device=device).square_().sum().item()
    assert meter.memory()["peak_gpu_memory_bytes"] >= 4 * 1024**2
    assert meter.joules is None or meter.joules >= 0
