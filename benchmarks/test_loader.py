"""How fast batches are drawn beside how fast the bench network eats them, on one CPU thread.

`pytest benchmarks/test_loader.py --benchmark-only`. One number per task, reported and not asserted
(goal: at least 3): the time of a training step of the `bench` profile's network (forward, backward,
Adam) / the time of drawing the batch for it. The two are measured in turn, in CPU time of one
thread, and the median of the paired ratios is kept. Images lie in the decoded cache, 400 of
481x321 pixels, as in the set that the profile trains on.
"""

import statistics
import time

import numpy as np
import pytest
import torch
from skimage import data

from irsde.data import pairs as cache
from irsde.data.pairs import Pair
from irsde.experiment.profile import TrainingSettings
from irsde.files import digest
from irsde.images import to_float, to_pixels, write_image
from irsde.machine.world import ALONE
from irsde.networks import ConditionalNAFNet
from irsde.seeds import numpy_generator
from irsde.tasks import TASKS, Degradation
from irsde.training.update import Batches

IMAGES, HEIGHT, WIDTH = 400, 321, 481
BATCH, PATCH = 8, 48
ROUNDS = 20
GOAL = 3.0


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Windows of photographs, flipped and shifted, decoded through the cache."""
    folder = tmp_path_factory.mktemp("images")
    sources = [data.astronaut(), data.coffee(), data.retina(), data.hubble_deep_field()]
    files = []
    for k in range(IMAGES):
        source = sources[k % len(sources)]
        pixels = np.roll(source, 7 * k, axis=(0, 1))[:HEIGHT, :WIDTH].copy()
        write_image(folder / f"{k}.png", pixels)
        files.append((folder / f"{k}.png", digest(pixels.tobytes())))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "CACHE", folder / "cache")
        begin = time.perf_counter()
        cache.decoded(files)
        filled = time.perf_counter()
        mapped = cache.decoded(files)
        opened = time.perf_counter()
    print(
        f"\ndecoded cache: filled in {filled - begin:.2f} s, opened in {opened - filled:.3f} s "
        f"({IMAGES} images)"
    )
    return mapped


@pytest.fixture(scope="module")
def step():
    """A training step of the bench network on a batch."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = ConditionalNAFNet(
        width=24, middle_blk_num=1, enc_blk_nums=(1, 1, 2), dec_blk_nums=(1, 1, 1)
    ).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), 1e-4)

    def run(x0, mu):
        optimizer.zero_grad(set_to_none=True)
        network(x0, mu, torch.ones(len(x0))).abs().mean().backward()
        optimizer.step()

    yield run
    torch.set_num_threads(threads)


def pairs_of(task, images):
    """Pairs as preparation stores them: degraded once, or not at all where training does it."""
    if task.fresh:
        return [Pair(str(k), str(k), x0, None) for k, x0 in enumerate(images)]
    pairs = []
    for k, x0 in enumerate(images[:20]):
        whole = x0[: HEIGHT - HEIGHT % task.scale, : WIDTH - WIDTH % task.scale]
        degraded = task.degrade(to_float(whole), numpy_generator("loader", k), Degradation())
        pairs.append(Pair(str(k), str(k), whole, to_pixels(degraded), scale=task.scale))
    return pairs


@pytest.mark.parametrize("name", list(TASKS))
def test_loader(name, images, step, benchmark):
    task = TASKS[name]
    recipe = TrainingSettings(
        iterations=1, batch=BATCH, patch=PATCH, learning_rate=1, checkpoint_every=1,
        validate_every=1,
    )  # fmt: skip
    batches = Batches(pairs_of(task, images), task, Degradation(), recipe, ALONE)
    ratios = []
    for k in range(ROUNDS):
        begin = time.process_time()
        x0, mu = batches.draw_batch(("loader", name), k)
        drawn = time.process_time()
        step(x0, mu)
        ratios.append((time.process_time() - drawn) / (drawn - begin))
    ratio = statistics.median(ratios[3:])
    print(
        f"\n{name}: a training step takes {ratio:.0f} times as long as its batch (goal {GOAL:.0f})"
    )
    benchmark.extra_info["ratio"] = ratio
    benchmark.pedantic(batches.draw_batch, (("loader", name), 0), rounds=5)
