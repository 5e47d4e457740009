"""What a training step costs beside the bare network: `pytest benchmarks/test_training_step.py`.

All ways of training the `bench` profile's network are timed in turn, in the same process and on the
same patches; the median of paired ratios is printed and nothing asserted:

- *step / bare*: a step as `irsde train` does it (draw the batch, degrade, diffuse, loss, backward,
  fused Adam, check that all is finite, moving average) / forward, L1 loss, backward and Adam alone,
  in the same memory layout. Goal: at most 1.05.
- *authors' / step*: a step as the authors' training script does it (their layer norm and memory
  layout, unfused Adam, the moving average in a Python loop over the parameters, the loss read
  after each step) / a step as `irsde train` does it. Above 1 we are faster. Goal: at least 1.3.
  On a CPU only: their U-Net is not written out here.
- *plain / step*: the same with our network in place of theirs.
- the same two for bfloat16;
- what bfloat16 gives the step, and what memory layout, torch.compile, CUDA graphs on a GPU and the
  fused Adam give the bare step.

On a GPU, if there is one, the U-Net of the paper on 128-pixel patches is timed instead.
"""

import copy
import statistics
import time

import numpy as np
import pytest
import torch

from irsde.data.pairs import Pair
from irsde.experiment.profile import TrainingSettings
from irsde.machine.world import ALONE
from irsde.networks import ConditionalNAFNet, ConditionalUNet
from irsde.networks.nafnet import NAFBlock
from irsde.processes import mean_reverting
from irsde.restoration.restorer import Restorer
from irsde.seeds import numpy_generator
from irsde.tasks import TASKS, Degradation
from irsde.training.checkpoints import TrainingState
from irsde.training.update import Batches, Update, make_optimizer

GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if GPU else "cpu")
BATCH, PATCH = (16, 128) if GPU else (8, 48)
WARM_UP, ROUNDS = 3, 25


def build():
    torch.manual_seed(0)
    if GPU:
        return ConditionalUNet(nf=64, depth=4).to(DEVICE)
    return ConditionalNAFNet(
        width=24, middle_blk_num=1, enc_blk_nums=(1, 1, 2), dec_blk_nums=(1, 1, 1)
    )


def recipe(precision):
    return TrainingSettings(
        iterations=10**6, batch=BATCH, patch=PATCH, learning_rate=1e-4, precision=precision,
        checkpoint_every=10**6, validate_every=10**6,
    )  # fmt: skip


def pairs():
    generator = numpy_generator("benchmark", "pairs")
    images = [generator.integers(0, 256, (321, 481, 3), dtype=np.uint8) for _ in range(8)]
    return [Pair(str(k), str(k), x0, x0[::-1].copy()) for k, x0 in enumerate(images)]


def our_step(precision):
    settings = recipe(precision)
    network = build().to(memory_format=torch.channels_last)
    average = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = TrainingState(
        network, average, make_optimizer(network, settings),
        skipped=torch.zeros((), device=DEVICE), skipped_in_a_row=torch.zeros((), device=DEVICE),
    )  # fmt: skip
    restorer = Restorer(network, mean_reverting(), "maximum-likelihood", False, True)
    update = Update(restorer, state, settings, ALONE, DEVICE)
    batches = Batches(pairs(), TASKS["deraining"], Degradation(), settings, ALONE)

    def step(k):
        x0, mu = batches.draw(("benchmark",), k)
        layout = torch.channels_last
        x0, mu = (t.to(DEVICE, memory_format=layout) for t in (x0, mu))
        update(x0, mu, ("benchmark",), k, 1e-4)

    return step


def bare_step(precision, *, layout=torch.channels_last, fused=True, compiled=None):
    network = build().to(memory_format=layout)
    if compiled:
        network.compile(mode=compiled)
    optimizer = torch.optim.Adam(network.parameters(), 1e-4, fused=fused)
    x0 = torch.rand(BATCH, 3, PATCH, PATCH, device=DEVICE).to(memory_format=layout)
    t = torch.ones(BATCH, device=DEVICE)

    def step(_):
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=precision == "bfloat16"):
            output = network(x0, x0, t)
        (output.float() - x0).abs().mean().backward()
        optimizer.step()

    return step


class AuthorsLayerNorm(torch.nn.Module):
    """Layer norm over the channels as the authors write it."""

    def __init__(self, norm):
        super().__init__()
        self.g = norm.g

    def forward(self, x):
        variance = torch.var(x, dim=1, unbiased=False, keepdim=True)
        mean = torch.mean(x, dim=1, keepdim=True)
        return (x - mean) * (variance + 1e-5).rsqrt() * self.g


class AuthorsNAFNet(torch.nn.Module):
    """The NAFNet computed as in the authors' code, in contiguous memory."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        for block in network.modules():
            if isinstance(block, NAFBlock):
                block.norm1, block.norm2 = map(AuthorsLayerNorm, (block.norm1, block.norm2))

    def forward(self, x_t, mu, t):
        network = self.network
        x = torch.cat([x_t - mu, mu], dim=1)
        features = network.time_mlp(t, x)
        x = network.intro(x)
        skips = []
        for blocks, down in zip(network.encoders, network.downs, strict=True):
            x = blocks(x, features)
            skips.append(x)
            x = down(x)
        x = network.middle_blks(x, features)
        for blocks, up in zip(network.decoders, network.ups, strict=True):
            x = blocks(up(x) + skips.pop(), features)
        return network.ending(x)


def plain_step(authors=False):
    """Forward, loss, backward, Adam and moving average, each written the usual way."""
    network = AuthorsNAFNet(build()) if authors else build()
    averaged = copy.deepcopy(network)
    optimizer = torch.optim.Adam(network.parameters(), 1e-4)
    process = mean_reverting()
    generator = np.random.default_rng(0)
    images = [(p.x0.astype(np.float32) / 255, p.mu) for p in pairs()]

    def batch():
        patches = []
        for _ in range(BATCH):
            x0, mu = images[generator.integers(len(images))]
            top = generator.integers(x0.shape[0] - PATCH + 1)
            left = generator.integers(x0.shape[1] - PATCH + 1)
            window = np.s_[top : top + PATCH, left : left + PATCH]
            patches.append(
                [torch.from_numpy(i[window].transpose(2, 0, 1).copy()) for i in (x0, mu)]
            )
        return (torch.stack([p[k] for p in patches]).to(DEVICE) for k in (0, 1))

    def step(_):
        x0, mu = batch()
        t = torch.randint(1, 101, (BATCH,))
        noise = torch.randn(x0.shape).to(DEVICE)
        x_t = process.sample(x0, mu, t, noise)
        optimizer.zero_grad()
        loss = (network(x_t, mu, t.to(DEVICE)) - noise).abs().mean()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for own, raw in zip(averaged.parameters(), network.parameters(), strict=True):
                own.mul_(0.999).add_(raw, alpha=0.001)
        loss.item()

    return step


def seconds(step, k):
    clock = time.perf_counter if GPU else time.process_time
    begin = clock()
    step(k)
    if GPU:
        torch.cuda.synchronize()
    return clock() - begin


def paired(first, second):
    """Median and standard error of the ratio of the times of two steps taken in turn."""
    for k in range(WARM_UP):
        first(k)
        second(k)
    ratios = []
    for k in range(ROUNDS):
        order = (first, second) if k % 2 else (second, first)
        times = {step: seconds(step, k) for step in order}
        ratios.append(times[first] / times[second])
    spread = statistics.stdev(ratios) * 1.25 / len(ratios) ** 0.5
    return statistics.median(ratios), spread


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


COMPARISONS = {
    "step / bare, float32": (lambda: our_step("float32"), lambda: bare_step("float32")),
    "step / bare, bfloat16": (lambda: our_step("bfloat16"), lambda: bare_step("bfloat16")),
    "authors' / step, float32": (lambda: plain_step(authors=True), lambda: our_step("float32")),
    "authors' / step, bfloat16": (lambda: plain_step(authors=True), lambda: our_step("bfloat16")),
    "plain / step, float32": (plain_step, lambda: our_step("float32")),
    "plain / step, bfloat16": (plain_step, lambda: our_step("bfloat16")),
    "float32 / bfloat16": (lambda: our_step("float32"), lambda: our_step("bfloat16")),
    "contiguous / channels last": (
        lambda: bare_step("float32", layout=torch.contiguous_format),
        lambda: bare_step("float32"),
    ),
    "eager / compiled": (
        lambda: bare_step("float32"),
        lambda: bare_step("float32", compiled="default"),
    ),
    "eager / CUDA graphs": (
        lambda: bare_step("float32"),
        lambda: bare_step("float32", compiled="reduce-overhead"),
    ),
    "unfused / fused Adam": (
        lambda: bare_step("float32", fused=False),
        lambda: bare_step("float32"),
    ),
}


@pytest.mark.parametrize("name", COMPARISONS)
def test_training_step(name, capsys):
    if GPU and name.startswith("authors'"):
        pytest.skip("the authors' U-Net is not written out here")
    if not GPU and name.endswith("CUDA graphs"):
        pytest.skip("there are no CUDA graphs on a CPU")
    first, second = COMPARISONS[name]
    ratio, error = paired(first(), second())
    with capsys.disabled():
        print(f"\n{name}: {ratio:.3f} +- {error:.3f} ({DEVICE}, batch {BATCH}, patch {PATCH})")
