"""What a training step costs beside the bare network: `pytest benchmarks/test_training_step.py`.

All ways of training the `bench` profile's network are timed in turn, in the same process and on the
same patches; the median of paired ratios is printed and nothing asserted:

- *step / bare*: a step as `irsde train` does it (draw the batch, degrade, diffuse, loss, backward,
  fused Adam, check that all is finite, moving average) / forward, L1 loss, backward and Adam alone,
  in the same memory layout. Goal: at most 1.05.
- *authors' / step*: a step as the authors' training script does it (their layer norm and memory
  layout, unfused Adam, the moving average in a Python loop over the parameters, the loss read
  after each step) / a step as `irsde train` does it. Above 1 we are faster. Goal: at least 1.6.
- *authors' / compiled step*: the same with `training.compile`, which the profile `compute` has.
- *plain / step*: the same with our network in place of theirs.
- *earlier / step*: our step with the NAFNet as it was computed up to commit d51f656, by
  1x1 convolutions and products of images, / our step now. On a CPU only.
- the same two for bfloat16;
- what bfloat16 gives the step, and what memory layout, torch.compile, CUDA graphs on a GPU and the
  fused Adam give the bare step.

On a GPU, if there is one, the U-Net of the paper on 128-pixel patches is timed instead.
"""

import statistics

import pytest
import torch

from benchmarks.steps import Job, bare_step, our_step, plain_step, processor, seconds
from irsde.networks import ConditionalNAFNet, ConditionalUNet
from tests.plain_networks import PlainNAFNet, fused_layer_norm, plain_unet

GPU = torch.cuda.is_available()
WARM_UP, ROUNDS = 3, 25


def nafnet():
    return ConditionalNAFNet(
        width=16, middle_blk_num=1, enc_blk_nums=(1, 1, 2), dec_blk_nums=(1, 1, 1)
    )


JOB = (
    Job(lambda: ConditionalUNet(nf=64, depth=4), 16, 128, torch.device("cuda"))
    if GPU
    else Job(nafnet, 8, 48, torch.device("cpu"))
)
authors = plain_unet if GPU else PlainNAFNet


def paired(first, second):
    """Median and standard error of the ratio of the times of two steps taken in turn."""
    for k in range(WARM_UP):
        first(k)
        second(k)
    ratios = []
    for k in range(ROUNDS):
        order = (first, second) if k % 2 else (second, first)
        times = {step: seconds(JOB.device, step, k) for step in order}
        ratios.append(times[first] / times[second])
    spread = statistics.stdev(ratios) * 1.25 / len(ratios) ** 0.5
    return statistics.median(ratios), spread


@pytest.fixture(scope="module", autouse=True)
def machine(request):
    """Print which processor it is."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(f"\n{processor()}")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


COMPARISONS = {
    "step / bare, float32": (lambda: our_step(JOB, "float32"), lambda: bare_step(JOB, "float32")),
    "step / bare, bfloat16": (
        lambda: our_step(JOB, "bfloat16"),
        lambda: bare_step(JOB, "bfloat16"),
    ),
    "authors' / step, float32": (
        lambda: plain_step(JOB, authors),
        lambda: our_step(JOB, "float32"),
    ),
    "authors' / step, bfloat16": (
        lambda: plain_step(JOB, authors),
        lambda: our_step(JOB, "bfloat16"),
    ),
    "authors' / compiled step, float32": (
        lambda: plain_step(JOB, authors),
        lambda: our_step(JOB, "float32", compiled=True),
    ),
    "authors' / compiled step, bfloat16": (
        lambda: plain_step(JOB, authors),
        lambda: our_step(JOB, "bfloat16", compiled=True),
    ),
    "earlier / step, float32": (
        lambda: our_step(JOB, "float32", wrap=lambda n: PlainNAFNet(n, fused_layer_norm)),
        lambda: our_step(JOB, "float32"),
    ),
    "plain / step, float32": (lambda: plain_step(JOB), lambda: our_step(JOB, "float32")),
    "plain / step, bfloat16": (lambda: plain_step(JOB), lambda: our_step(JOB, "bfloat16")),
    "float32 / bfloat16": (lambda: our_step(JOB, "float32"), lambda: our_step(JOB, "bfloat16")),
    "contiguous / channels last": (
        lambda: bare_step(JOB, "float32", layout=torch.contiguous_format),
        lambda: bare_step(JOB, "float32"),
    ),
    "eager / compiled": (
        lambda: bare_step(JOB, "float32"),
        lambda: bare_step(JOB, "float32", compiled="default"),
    ),
    "eager / CUDA graphs": (
        lambda: bare_step(JOB, "float32"),
        lambda: bare_step(JOB, "float32", compiled="reduce-overhead"),
    ),
    "unfused / fused Adam": (
        lambda: bare_step(JOB, "float32", fused=False),
        lambda: bare_step(JOB, "float32"),
    ),
}


@pytest.mark.parametrize("name", COMPARISONS)
def test_training_step(name, capsys):
    if not GPU and name.endswith("CUDA graphs"):
        pytest.skip("there are no CUDA graphs on a CPU")
    if not GPU and name.startswith("contiguous"):
        pytest.skip("the NAFNet has channels last whatever its weights have")
    if GPU and name.startswith("earlier"):
        pytest.skip("the U-Net is as it was")
    first, second = COMPARISONS[name]
    ratio, error = paired(first(), second())
    with capsys.disabled():
        print(
            f"\n{name}: {ratio:.3f} +- {error:.3f} "
            f"({JOB.device}, batch {JOB.batch}, patch {JOB.patch})"
        )
