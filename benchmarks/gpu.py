"""What `gpu.sh` measures. Each part is a process of its own with a time limit, so that one that
fails or hangs takes no other with it; its rows are written as they come.

A row says what was measured, its value and, where there is one, the ratio to the authors' way in
the same arithmetic. On a GPU the network is the paper's U-Net of 137 million parameters; with
`--device cpu` it is tiny, and the numbers mean nothing.
"""

import argparse
import copy
import functools
import hashlib
import importlib
import itertools
import json
import multiprocessing
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from tabulate import tabulate

from benchmarks.steps import Job, bare_step, our_step, plain_step, processor, seconds
from irsde.experiment.grid import Run
from irsde.experiment.profile import load_profile, run_settings
from irsde.experiment.provenance import commit
from irsde.files import InputError, digest_file, write_json, write_text
from irsde.machine.devices import compute_device, device_name
from irsde.machine.meters import Meter
from irsde.networks import ConditionalUNet
from irsde.processes import mean_reverting
from irsde.samplers import SAMPLERS, trajectory
from irsde.training.prediction import measure
from tests.plain_networks import plain_restoration, plain_unet
from tests.project import copy_project, prepare_task, search_path

ROOT = Path(__file__).resolve().parents[1]
RUN = Run("gpu", "denoising", "ir-sde", 0)
Row = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """How large everything is.

    Parameters
    ----------
    width, depth : int
        Of the U-Net.
    batch, patch : int
        Of a training step.
    batches : tuple of int
        Whose memory is measured.
    side, images, nfe : int
        Side and number of the images that are restored, in so many steps.
    rounds : int
        Timed repetitions.
    seconds : float
        Of the training that is killed.
    threads : int
        Of the training, on the CPU.
    tests : tuple of str
        Files of tests.
    limits : dict of str to int
        Seconds that a part may take.
    """

    width: int
    depth: int
    batch: int
    patch: int
    batches: tuple[int, ...]
    side: int
    images: int
    nfe: int
    rounds: int
    seconds: float
    threads: int
    tests: tuple[str, ...]
    limits: dict[str, int]


SIZES = {
    "cuda": Size(
        width=64, depth=4, batch=4, patch=128, batches=(4, 8, 16, 32, 64), side=256, images=8,
        nfe=100, rounds=20, seconds=60.0, threads=4,
        tests=("tests/test_cuda.py", "tests/test_restoring_folders.py", "tests/test_training.py"),
        limits={
            "tests": 300, "training": 330, "steps": 300, "sampling": 240, "samplers": 60,
            "memory": 120, "equality": 120,
        },
    ),
    "cpu": Size(
        width=4, depth=2, batch=2, patch=16, batches=(1, 2), side=16, images=2, nfe=10, rounds=1,
        seconds=0.5, threads=1, tests=("tests/test_progress.py",),
        limits=dict.fromkeys(
            ("tests", "training", "steps", "sampling", "samplers", "memory", "equality"), 300
        ),
    ),
}  # fmt: skip
# what is compiled is slow to begin with, so that it comes last
OURS = {
    "float32": ("float32", False, False),
    "TF32": ("float32", True, False),
    "bfloat16": ("bfloat16", True, False),
    "bfloat16, CUDA graphs": ("bfloat16", True, "cuda-graphs"),
    "TF32, compile": ("float32", True, True),
    "bfloat16, compile": ("bfloat16", True, True),
    "TF32, CUDA graphs": ("float32", True, "cuda-graphs"),
}


def row(part: str, what: str, value: Any, unit: str = "", ratio: float | None = None) -> Row:
    return {"part": part, "what": what, "value": value, "unit": unit, "ratio": ratio}


@contextmanager
def arithmetic(*, tf32: bool, authors: bool = False) -> Iterator[None]:
    """Multiply in TF32 or in full float32; the authors also let cuDNN choose any kernel."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    torch.use_deterministic_algorithms(not authors)
    torch.backends.cudnn.benchmark = authors
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False


def median(device, function, rounds: int, *, warm_up: int = 3) -> float:
    """Median seconds of calls function(k)."""
    for k in range(warm_up):
        function(k)
    return statistics.median(seconds(device, function, k) for k in range(rounds))


def job(size: Size, device: torch.device, batch: int | None = None) -> Job:
    network = functools.partial(ConditionalUNet, nf=size.width, depth=size.depth)
    return Job(network, batch or size.batch, size.patch, device)


def run_tests(size: Size, device: torch.device) -> Iterator[Row]:
    """The tests that need CUDA, and those of training, which take a GPU where there is one."""
    command = (sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider")
    for file in size.tests:
        done = subprocess.run(
            (*command, file), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False,
        )  # fmt: skip
        summary = done.stdout.strip().splitlines()[-1]
        for count, outcome in re.findall(r"(\d+) (passed|failed|skipped|errors?)", summary):
            yield row(f"tests, {file} on {device.type}", outcome, int(count))
        for name in re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE):
            yield row(f"tests, {file} on {device.type}", name, "failed")
        if done.returncode not in (0, 1):
            raise InputError(f"pytest {file} ended with {done.returncode}: {summary}")


def time_steps(size: Size, device: torch.device) -> Iterator[Row]:
    """A training step in every way that it can be computed."""
    work, part = job(size, device), f"training step, batch {size.batch} of {size.patch}²"
    theirs = {}
    for tf32 in (False, True):
        name = "TF32" if tf32 else "float32"
        with arithmetic(tf32=tf32, authors=True):
            theirs[tf32] = median(device, plain_step(work, plain_unet), size.rounds)
        yield row(part, f"authors' way, {name}", 1e3 * theirs[tf32], "ms", 1.0)
    with arithmetic(tf32=False):
        bare = median(device, bare_step(work, "float32"), size.rounds)
        yield row(part, "bare network, float32", 1e3 * bare, "ms", theirs[False] / bare)
    for name, (precision, tf32, compiled) in OURS.items():
        if compiled and device.type == "cpu":
            continue  # minutes of a compiler for nothing; test_a_network_is_compiled does it
        with arithmetic(tf32=tf32):
            begin = time.perf_counter()
            step = our_step(work, precision, compiled=compiled)
            step(0)
            if compiled:
                spent = time.perf_counter() - begin
                yield row(part, f"ours, {name}: first step", spent, "s")
            each = median(device, step, size.rounds)
        yield row(part, f"ours, {name}", 1e3 * each, "ms", theirs[tf32] / each)
        torch.compiler.reset()


def time_sampling(size: Size, device: torch.device) -> Iterator[Row]:
    """A batch of images restored in all steps by the posterior sampler."""
    process = mean_reverting(steps=size.nfe)
    part = f"{size.nfe} steps for a batch of {size.images} of {size.side}²"
    torch.manual_seed(0)
    mu = torch.rand(size.images, 3, size.side, size.side, device=device)
    start = process.start(mu, torch.randn_like(mu))
    network = job(size, device).fresh().to(device).eval()
    theirs = {}
    for tf32 in (False, True):
        name = "TF32" if tf32 else "float32"
        plain = plain_unet(copy.deepcopy(network))
        with arithmetic(tf32=tf32, authors=True), torch.no_grad():
            plain(start, mu, 1)
            theirs[tf32] = seconds(device, plain_restoration, process, plain, start, mu)
        yield row(part, f"authors' way, {name}", theirs[tf32], "s", 1.0)
    network = network.to(memory_format=torch.channels_last)
    last = [image.contiguous(memory_format=torch.channels_last) for image in (start, mu)]
    for name, (precision, tf32, compiled) in OURS.items():
        if compiled and device.type == "cpu":
            continue
        ours = copy.deepcopy(network)
        if compiled:
            ours.compile(mode="reduce-overhead" if compiled == "cuda-graphs" else None)

        def restore(steps: int, ours=ours, compiled=compiled) -> None:
            def called(x, mu, t):
                if compiled == "cuda-graphs":
                    torch.compiler.cudagraph_mark_step_begin()
                return ours(x, mu, t).float()

            states = trajectory(process, called, *last, "posterior", process.steps)
            for _ in itertools.islice(states, steps + 1):
                pass

        meter = Meter(device)
        with (
            arithmetic(tf32=tf32),
            torch.inference_mode(),
            torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"),
        ):
            restore(3)
            with meter.running():
                spent = seconds(device, restore, size.nfe)
        yield row(part, f"ours, {name}", spent, "s", theirs[tf32] / spent)
        if "peak_gpu_memory_bytes" in meter.memory():
            memory = meter.memory()["peak_gpu_memory_bytes"] / 2**30
            yield row(part, f"ours, {name}: memory", memory, "GiB")
        torch.compiler.reset()


def time_samplers(size: Size, device: torch.device) -> Iterator[Row]:
    """What a step of every sampler costs beside a bare call of the network, one image."""
    process, nfe = mean_reverting(), 10
    part = f"sampler step / bare network, one image of {size.side}², TF32"
    torch.manual_seed(0)
    network = job(size, device).fresh().to(device, memory_format=torch.channels_last).eval()
    mu = torch.rand(1, 3, size.side, size.side, device=device)
    mu = mu.contiguous(memory_format=torch.channels_last)
    start = process.start(mu, torch.randn_like(mu))

    def bare(_: int) -> None:
        for t in range(1, nfe + 1):
            network(start, mu, t)

    with arithmetic(tf32=True), torch.inference_mode():
        for name, sampler in SAMPLERS.items():
            if sampler.refusal(process) is not None:
                continue

            def restore(_: int, name=name) -> None:
                for _ in trajectory(process, network, start, mu, name, nfe):
                    pass

            for function in (bare, restore):
                function(0)
            ratios = [
                seconds(device, restore, k) / seconds(device, bare, k) for k in range(size.rounds)
            ]
            yield row(part, name, statistics.median(ratios))


def measure_memory(size: Size, device: torch.device) -> Iterator[Row]:
    """Memory and speed of a training step at several batches."""
    for precision in ("float32", "bfloat16"):
        for batch in size.batches:
            part = f"training step, patches of {size.patch}², {precision} with TF32"
            meter = Meter(device)
            try:
                with arithmetic(tf32=True), meter.running():
                    step = our_step(job(size, device, batch), precision)
                    each = median(device, step, 3, warm_up=2)
            except (InputError, torch.OutOfMemoryError):
                yield row(part, f"batch {batch}", "does not fit")
                break
            memory = meter.memory()
            peak = memory.get("peak_gpu_memory_bytes", memory["peak_memory_bytes"])
            yield row(part, f"batch {batch}: memory", peak / 2**30, "GiB")
            yield row(part, f"batch {batch}: patches", batch / each, "1/s")
            del step


def compare_runs(size: Size, device: torch.device) -> Iterator[Row]:
    """Whether two trainings of a few steps end with the same bits."""
    for name, (precision, tf32, compiled) in OURS.items():
        if compiled and (device.type == "cpu" or precision == "float32"):
            continue
        digests = []
        for _ in range(2):
            with arithmetic(tf32=tf32):
                step = our_step(job(size, device), precision, compiled=compiled)
                for k in range(5):
                    step(k)
            digest = hashlib.sha256()
            for value in step.network.state_dict().values():
                digest.update(value.cpu().numpy().tobytes())
            digests.append(digest.hexdigest())
            torch.compiler.reset()
        yield row("two trainings of 5 steps", name, same(digests[0] == digests[1]))


def same(equal: bool) -> str:
    return "equal bits" if equal else "different bits"


def train_for_real(size: Size, device: torch.device) -> Iterator[Row]:
    """The paper's training on photographs by the command: whole, and killed and resumed."""
    part = "training of profile paper"
    with tempfile.TemporaryDirectory(prefix="irsde-gpu-") as name:
        folder = Path(name) / "project"
        copy_project(folder)
        os.chdir(folder)
        iterations = _write_profile(size, folder, 0)
        prepare_task(RUN.profile, RUN.task)
        settings = run_settings(load_profile(RUN.profile), RUN.task, RUN.method, RUN.seed)
        speed = measure(RUN, settings)
        yield row(part, "predicted for an iteration", 1e3 * speed.seconds_per_iteration, "ms")
        yield row(part, "predicted memory", speed.peak_memory_bytes / 2**30, "GiB")
        if device.type == "cuda":
            torch.cuda.empty_cache()
        iterations = _write_profile(size, folder, size.seconds / speed.seconds_per_iteration)
        begin = time.perf_counter()
        Training(folder, device.type).wait_for_success()
        spent = time.perf_counter() - begin
        yield row(part, f"{iterations} iterations with start, checkpoints, validation", spent, "s")
        whole = digest_file(RUN.folder / "weights.safetensors")
        RUN.folder.rename("whole")
        killed = Training(folder, device.type)
        killed.kill_after_a_checkpoint()
        kept = max(int(path.stem[:8]) for path in _checkpoints())
        yield row(part, "killed after the checkpoint of iteration", kept)
        begin = time.perf_counter()
        output = Training(folder, device.type).wait_for_success()
        spent = time.perf_counter() - begin
        yield row(part, "the rest with start, checkpoints, validation", spent, "s")
        if "resumed at" not in output:
            raise InputError(f"the training was not resumed: {output.strip()}")
        resumed = digest_file(RUN.folder / "weights.safetensors")
        yield row(part, "weights, whole and resumed", same(whole == resumed))


def _checkpoints() -> list[Path]:
    return sorted((RUN.folder / "checkpoint").glob("[0-9]*.safetensors"))


def _write_profile(size: Size, folder: Path, iterations: float) -> int:
    """The profile `paper` with photographs of scikit-image's wheel, in few iterations."""
    count = max(int(iterations), 6)
    profile = yaml.safe_load((folder / "workflow/config/paper.yaml").read_text())
    profile |= {
        "tasks": [RUN.task],
        "methods": [RUN.method],
        "data": {
            "train": "photographs-train",
            "validation": "photographs-validation",
            "test": "photographs-test",
        },
    }
    profile["network"] |= {"width": size.width, "depth": size.depth}
    profile["training"] |= {
        "iterations": count, "batch": size.batch, "patch": size.patch, "milestones": [],
        "checkpoint_every": max(count // 3, 1), "validate_every": count, "validation_images": 1,
        "validation_window": size.side, "threads": size.threads,
        "validation_nfe": min(size.nfe, 10),
    }  # fmt: skip
    write_text(folder / "workflow/config/gpu.yaml", yaml.safe_dump(profile))
    return count


class Training:
    """A training by the command, in a process of its own; on a GPU with all its imports."""

    def __init__(self, folder: Path, kind: str) -> None:
        command = (sys.executable, "-m", "irsde.cli") if kind == "cuda" else ("irsde",)
        self.process = subprocess.Popen(
            (
                *command, "train", "--profile", RUN.profile, "--task", RUN.task,
                "--method", RUN.method,
            ),
            cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "PATH": search_path(), "PYTHONPATH": str(folder)},
        )  # fmt: skip

    def wait_for_success(self) -> str:
        output, _ = self.process.communicate()
        if self.process.returncode:
            raise InputError(f"irsde train ended with {self.process.returncode}: {output[-2000:]}")
        return output

    def kill_after_a_checkpoint(self) -> None:
        while not _checkpoints() and self.process.poll() is None:
            time.sleep(0.002)
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


PARTS = {
    "tests": run_tests,
    "training": train_for_real,
    "steps": time_steps,
    "sampling": time_sampling,
    "samplers": time_samplers,
    "memory": measure_memory,
    "equality": compare_runs,
}


def run_part(name: str, kind: str, file: Path) -> None:
    """Run one part in this process, each row a line of a file."""
    apart = name in ("tests", "training")  # whose processes need the GPU for themselves
    with file.open("a") as out:

        def write(rows: Iterator[Row]) -> None:
            for each in rows:
                print(json.dumps(each), file=out, flush=True)

        if apart:
            write(PARTS[name](SIZES[kind], torch.device(kind)))
            return
        with compute_device(1) as device:
            write(PARTS[name](SIZES[kind], device))


def described(kind: str) -> dict[str, Any]:
    """The machine and the code."""
    found = {
        "device": torch.cuda.get_device_name()
        if kind == "cuda"
        else device_name(torch.device(kind)),
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "torch": torch.__version__,
        **commit(),
    }
    if kind == "cuda":
        properties = torch.cuda.get_device_properties(0)
        driver = subprocess.run(
            ("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        found |= {
            "memory_gib": properties.total_memory / 2**30,
            "capability": f"{properties.major}.{properties.minor}",
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "driver": driver.stdout.strip().split("\n")[0],
        }
    return found


def shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def markdown(machine: dict[str, Any], rows: list[Row], total: float) -> str:
    body = [
        [
            each["part"],
            each["what"],
            f"{shown(each['value'])} {each['unit']}".strip(),
            "" if each["ratio"] is None else f"{each['ratio']:.2f}",
        ]
        for each in rows
    ]
    header = ("part", "what", "result", "times as fast as the authors' way")
    table = tabulate(body, header, "github", disable_numparse=True)
    names = ", ".join(
        f"{key} {shown(value)}" for key, value in machine.items() if key not in commit()
    )
    return (
        f"# Measured by benchmarks/gpu.sh\n\n{names}. Commit {machine['commit']}"
        f"{' with changes' if machine['dirty'] else ''}; "
        f"{total:.0f} s in all.\n\nA ratio is to the authors' way in float32 where ours is in "
        f"float32, else to theirs in TF32.\n\n{table}\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks/gpu.sh", description=__doc__)
    parser.add_argument("folder", type=Path, help="where gpu.json and gpu.md are written")
    parser.add_argument("--device", choices=SIZES, default="cuda")
    parser.add_argument("--part", choices=PARTS, action="append", help="only this part")
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        print("benchmarks/gpu.sh: no CUDA device; give --device cpu to try it at toy size")
        return 2
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    if given.device == "cpu":
        os.environ |= {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
        importlib.import_module("torch._dynamo")  # of optimizers; the parts are forks of this
    began = time.perf_counter()
    rows: list[Row] = []
    failed = False
    with tempfile.TemporaryDirectory(prefix="irsde-gpu-") as name:
        for part in given.part or PARTS:
            begin = time.perf_counter()
            file = Path(name) / f"{part}.jsonl"
            file.touch()
            problem = _apart(part, given.device, file)
            rows += map(json.loads, file.read_text().splitlines())
            if problem:
                failed = True
                rows.append(row(part, "did not finish", problem))
            spent = time.perf_counter() - begin
            print(f"{part}: {problem or 'done'}, {spent:.0f} s", flush=True)
    total = time.perf_counter() - began
    machine = described(given.device)
    content = {"machine": machine, "seconds": total, "rows": rows}
    write_json(given.folder / "gpu.json", content)
    write_text(given.folder / "gpu.md", markdown(machine, rows, total))
    print(f"{given.folder / 'gpu.md'}: {len(rows)} rows, {total:.0f} s")
    return int(failed or any(each["value"] == "failed" for each in rows))


def _apart(part: str, kind: str, file: Path) -> str:
    """Run a part in a process of its own; what went wrong, if anything did."""
    limit = SIZES[kind].limits[part]
    # CUDA does not outlive a fork; without it a fork spares the imports
    context = multiprocessing.get_context("spawn" if kind == "cuda" else "fork")
    errors = file.with_suffix(".txt")
    process = context.Process(target=_run_alone, args=(part, kind, file, errors))
    process.start()
    process.join(limit)
    if process.is_alive():
        os.killpg(process.pid, signal.SIGKILL)  # with what it started itself
        process.join()
        return f"stopped after {limit} s"
    if process.exitcode == 0:
        return ""
    lines = errors.read_text().strip().splitlines() or [f"ended with {process.exitcode}"]
    return lines[-1][:300]


def _run_alone(part: str, kind: str, file: Path, errors: Path) -> None:
    os.setsid()
    for stream, path in ((1, os.devnull), (2, errors)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream)
    run_part(part, kind, file)


if __name__ == "__main__":
    sys.exit(main())
