"""A training step in several ways, for the benchmarks that time them side by side."""

import copy
import platform
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from irsde.data.pairs import Pair
from irsde.experiment.profile import TrainingSettings
from irsde.machine.world import ALONE
from irsde.processes import mean_reverting
from irsde.restoration.restorer import Restorer
from irsde.seeds import numpy_generator
from irsde.tasks import TASKS, Degradation
from irsde.training.checkpoints import TrainingState
from irsde.training.update import Batches, Update, make_optimizer, placed


@dataclass(frozen=True)
class Job:
    """What is trained: a network, on batches of patches, on a device."""

    network: Callable[[], torch.nn.Module]
    batch: int
    patch: int
    device: torch.device

    def fresh(self):
        torch.manual_seed(0)
        return self.network()

    def recipe(self, precision, compiled=False):
        return TrainingSettings(
            iterations=10**6, batch=self.batch, patch=self.patch, learning_rate=1e-4,
            precision=precision, compile=compiled, checkpoint_every=10**6, validate_every=10**6,
        )  # fmt: skip


def pairs():
    generator = numpy_generator("benchmark", "pairs")
    images = [generator.integers(0, 256, (321, 481, 3), dtype=np.uint8) for _ in range(8)]
    return [Pair(str(k), str(k), x0, x0[::-1].copy()) for k, x0 in enumerate(images)]


def our_step(job, precision, *, compiled=False, wrap=lambda network: network):
    """A step as `irsde train` does it, of the network or of what `wrap` makes of it."""
    recipe, device = job.recipe(precision, compiled), job.device
    network = placed(wrap(job.fresh()), recipe, device)
    state = TrainingState(
        network, {name: tensor.clone() for name, tensor in network.state_dict().items()},
        make_optimizer(network, recipe),
        skipped=torch.zeros((), device=device), skipped_in_a_row=torch.zeros((), device=device),
    )  # fmt: skip
    restorer = Restorer(network, mean_reverting(), "maximum-likelihood", False, True)
    update = Update(restorer, state, recipe, ALONE, device)
    batches = Batches(pairs(), TASKS["deraining"], Degradation(), recipe, ALONE)

    def step(k):
        x0, mu = batches.draw_batch(("benchmark",), k)
        layout = torch.channels_last
        x0, mu = (t.to(device, memory_format=layout) for t in (x0, mu))
        update(x0, mu, ("benchmark",), k, 1e-4)

    step.network = network
    return step


def bare_step(job, precision, *, layout=torch.channels_last, fused=True, compiled=None):
    """Forward, L1 loss, backward and Adam alone."""
    network = job.fresh().to(job.device, memory_format=layout)
    if compiled:
        network.compile(mode=compiled)
    optimizer = torch.optim.Adam(network.parameters(), 1e-4, fused=fused)
    x0 = torch.rand(job.batch, 3, job.patch, job.patch, device=job.device)
    x0 = x0.contiguous(memory_format=layout)
    t = torch.ones(job.batch, device=job.device)

    def step(_):
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(job.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            output = network(x0, x0, t)
        (output.float() - x0).abs().mean().backward()
        optimizer.step()

    return step


def plain_step(job, wrap=lambda network: network):
    """Batch, forward, loss, backward, Adam and moving average, each written the usual way.

    Adam is not fused, the average is a Python loop over the parameters, the loss is read after
    each step; of the network or of what `wrap` makes of it.
    """
    network = wrap(job.fresh()).to(job.device)
    averaged = copy.deepcopy(network)
    optimizer = torch.optim.Adam(network.parameters(), 1e-4)
    process = mean_reverting()
    generator = np.random.default_rng(0)
    images = [(p.x0.astype(np.float32) / 255, p.mu) for p in pairs()]

    def batch():
        patches = []
        for _ in range(job.batch):
            x0, mu = images[generator.integers(len(images))]
            top = generator.integers(x0.shape[0] - job.patch + 1)
            left = generator.integers(x0.shape[1] - job.patch + 1)
            window = np.s_[top : top + job.patch, left : left + job.patch]
            patches.append(
                [torch.from_numpy(i[window].transpose(2, 0, 1).copy()) for i in (x0, mu)]
            )
        return (torch.stack([p[k] for p in patches]).to(job.device) for k in (0, 1))

    def step(_):
        x0, mu = batch()
        t = torch.randint(1, 101, (job.batch,))
        noise = torch.randn(x0.shape).to(job.device)
        x_t = process.sample(x0, mu, t, noise)
        optimizer.zero_grad()
        loss = (network(x_t, mu, t.to(job.device)) - noise).abs().mean()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for own, raw in zip(averaged.parameters(), network.parameters(), strict=True):
                own.mul_(0.999).add_(raw, alpha=0.001)
        loss.item()

    return step


def seconds(device, function, *arguments):
    """Seconds of a call: of this process's CPU, or by the clock until the GPU is done."""
    on_gpu = device.type == "cuda"
    clock = time.perf_counter if on_gpu else time.process_time
    begin = clock()
    function(*arguments)
    if on_gpu:
        torch.cuda.synchronize(device)
    return clock() - begin


def processor() -> str:
    """Name of the processor, and whether it multiplies in bfloat16."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    name = re.search(r"model name\s*: (.*)", text)
    has = any(flag in text for flag in ("avx512_bf16", "amx_bf16"))
    without = "with" if has else "without"
    return f"{name[1] if name else platform.machine()}, {without} bfloat16 instructions"
