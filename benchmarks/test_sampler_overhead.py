"""What a sampler costs on top of the network: `pytest benchmarks --benchmark-only`.

Two numbers per sampler, both reported and neither asserted (goal: at most 1.03):

- *ratio*: time of a sampler step / time of a bare network call. Each step is paired with a bare
  call just before or just after it, in turn, and the median of the paired ratios is kept: it
  cancels a slow drift of the machine, which a ratio of minima does not. (On a shared two-core
  machine, five repeats of the ratio of minima of whole runs spread from 0.99 to 1.09, of the
  median of pairs from 0.99 to 1.02.) The column +- is the standard error of that median.
- *in situ*: time of a sampler step / time inside the network during that same step. It needs no
  second run, so it repeats to a few parts in a thousand even on a busy machine; it does not see
  what a sampler costs the network through the caches, which the ratio does.

Times are CPU times of one thread, which other people's jobs disturb least. The checks and tables
before the first step, less than a tenth of a millisecond a restoration, are not counted.
"""

import itertools
import statistics
import time

import numpy as np
import pytest
import torch

from irsde.networks import ConditionalNAFNet
from irsde.processes import mean_reverting
from irsde.samplers import SAMPLERS, step_grid, trajectory

PROCESS = mean_reverting()
NFE = 5
BATCH, SIDE = 4, 128
WARM_UP, ROUNDS = NFE, 10 * NFE  # in steps
GOAL = 1.03


class Network:
    """The network, and the CPU time of its last call."""

    def __init__(self):
        torch.manual_seed(0)
        self.module = ConditionalNAFNet(
            width=24, middle_blk_num=1, enc_blk_nums=(1, 1, 2), dec_blk_nums=(1, 1, 1)
        ).eval()
        self.seconds = 0.0

    def __call__(self, x, mu, t):
        begin = time.process_time()
        output = self.module(x, mu, t)
        self.seconds = time.process_time() - begin
        return output


@pytest.fixture(scope="module")
def network():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Network()
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def table(request):
    rows = []
    yield rows
    terminal = request.config.pluginmanager.getplugin("terminalreporter")
    capture = request.config.pluginmanager.getplugin("capturemanager")
    if not rows or terminal is None:
        return
    lines = [
        "",
        f"Sampler overhead: batch {BATCH}, {SIDE}x{SIDE} pixels, one thread, {ROUNDS} steps of "
        f"{NFE}-step restorations; goal at most {GOAL}",
        f"{'sampler':<18}{'ratio':>8}{'+-':>8}{'in situ':>10}{'own ms/step':>13}",
    ]
    for name, ratio, error, in_situ, own in rows:
        lines.append(f"{name:<18}{ratio:>8.3f}{error:>8.3f}{in_situ:>10.4f}{1e3 * own:>13.2f}")
    with capture.global_and_fixture_disabled():
        terminal.write("\n" + "\n".join(lines) + "\n")


@pytest.mark.benchmark(group="sampler overhead, one step", timer=time.process_time)
@pytest.mark.parametrize("sampler", [n for n, s in SAMPLERS.items() if s.refusal(PROCESS) is None])
def test_sampler_step_against_bare_network_call(benchmark, network, table, sampler):
    torch.manual_seed(1)
    mu = torch.rand(BATCH, 3, SIDE, SIDE)
    start = PROCESS.start(mu, torch.randn_like(mu))
    generators = [torch.Generator().manual_seed(i) for i in range(BATCH)]
    steps = itertools.cycle(step_grid(PROCESS, NFE)[:-1])
    bare_is_first = itertools.cycle([True, False])
    bare, inside = [], []
    states = iter(())

    def time_bare(t):
        begin = time.process_time()
        with torch.inference_mode():
            network.module(start, mu, t)
        bare.append(time.process_time() - begin)

    def before():
        nonlocal states
        t, bare_now = next(steps), next(bare_is_first)
        if t == PROCESS.steps:
            states = trajectory(PROCESS, network, start, mu, sampler, NFE, generators=generators)
            next(states)
        if bare_now:
            time_bare(t)
        return (states, t, bare_now), {}

    def step(states, t, bare_now):
        with torch.inference_mode():
            return next(states)

    def after(states, t, bare_now):
        inside.append(network.seconds)
        if not bare_now:
            time_bare(t)

    state = benchmark.pedantic(
        step, setup=before, teardown=after, rounds=ROUNDS, warmup_rounds=WARM_UP, iterations=1
    )
    assert state.x.shape == mu.shape
    if benchmark.stats is None:  # --benchmark-disable
        return
    stepped = np.array(benchmark.stats.stats.data)
    in_network = np.array(inside[WARM_UP:])
    ratios = stepped / np.array(bare[WARM_UP:])
    ratio = statistics.median(ratios)
    low, high = np.quantile(ratios, [0.25, 0.75])
    error = 1.25 * (high - low) / 1.35 / len(ratios) ** 0.5
    in_situ = statistics.median(stepped / in_network)
    own = statistics.median(stepped - in_network)
    row = (float(ratio), float(error), float(in_situ), float(own))
    benchmark.extra_info |= dict(
        zip(("ratio", "error", "in_situ", "own_seconds"), row, strict=True)
    )
    table.append((sampler, *row))
