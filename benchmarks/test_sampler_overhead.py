"""What a sampler costs on top of the network: `pytest benchmarks --benchmark-only`.

Two numbers per sampler, both reported and neither asserted (goal: at most 1.03):

- *ratio*: sampler time / time of the same network calls made by a bare loop. Bare and sampler
  runs alternate, each sampler run is divided by the mean of the two bare runs around it, and the
  median of these paired ratios is kept. It cancels a slow drift of the machine. The ratio of
  minima does not: on a shared two-core machine five repeats of it spread from 0.99 to 1.09,
  the median of pairs from 0.99 to 1.02.
- *in situ*: sampler time / time spent inside the network during the same run. No second run is
  needed, so it has next to no noise; it does not see what a sampler costs the network through
  the caches, which the ratio does.

Times are CPU times of one thread, which other people's jobs disturb least.
"""

import statistics
import time

import pytest
import torch

from irsde.networks import ConditionalNAFNet
from irsde.processes import mean_reverting
from irsde.samplers import SAMPLERS, sample, step_grid

PROCESS = mean_reverting()
NFE = 5
BATCH, SIDE = 4, 128
ROUNDS, WARM_UP = 9, 1
GOAL = 1.03


class Network:
    """The network, and the CPU time that was spent inside it."""

    def __init__(self):
        torch.manual_seed(0)
        self.module = ConditionalNAFNet(
            width=24, middle_blocks=1, encoder_blocks=(1, 1, 2), decoder_blocks=(1, 1, 1)
        ).eval()
        self.seconds = 0.0

    def __call__(self, x, mu, t):
        begin = time.process_time()
        output = self.module(x, mu, t)
        self.seconds += time.process_time() - begin
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
    if not rows or terminal is None:
        return
    terminal.write_line(
        f"\n\nSampler overhead: batch {BATCH}, {SIDE}x{SIDE} pixels, NFE {NFE}, one thread, "
        f"{ROUNDS} pairs; goal at most {GOAL}"
    )
    terminal.write_line(f"{'sampler':<18}{'ratio':>8}{'in situ':>10}{'own ms/step':>13}")
    for name, ratio, in_situ, own in rows:
        terminal.write_line(f"{name:<18}{ratio:>8.3f}{in_situ:>10.4f}{1e3 * own / NFE:>13.2f}")


@pytest.mark.benchmark(group="sampler overhead", timer=time.process_time)
@pytest.mark.parametrize("sampler", [n for n, s in SAMPLERS.items() if s.refusal(PROCESS) is None])
def test_sampler_against_bare_network(benchmark, network, table, sampler):
    torch.manual_seed(1)
    mu = torch.rand(BATCH, 3, SIDE, SIDE)
    x = PROCESS.start(mu, torch.randn_like(mu))
    steps = step_grid(PROCESS, NFE)[:-1]
    generators = [torch.Generator().manual_seed(i) for i in range(BATCH)]
    bare, inside = [], []

    def run_bare():
        begin = time.process_time()
        with torch.inference_mode():
            for t in steps:
                network.module(x, mu, t)
        bare.append(time.process_time() - begin)

    def run_sampler():
        network.seconds = 0.0
        with torch.inference_mode():
            restored = sample(PROCESS, network, x, mu, sampler, NFE, generators=generators)
        inside.append(network.seconds)
        return restored

    restored = benchmark.pedantic(
        run_sampler, setup=run_bare, rounds=ROUNDS, warmup_rounds=WARM_UP, iterations=1
    )
    assert restored.shape == mu.shape
    if benchmark.stats is None:  # --benchmark-disable
        return
    run_bare()
    sampled = benchmark.stats.stats.data
    before, after, inside = bare[WARM_UP:-1], bare[WARM_UP + 1 :], inside[WARM_UP:]
    ratio = statistics.median(
        2 * s / (b + a) for s, b, a in zip(sampled, before, after, strict=True)
    )
    in_situ = statistics.median(s / i for s, i in zip(sampled, inside, strict=True))
    own = statistics.median(s - i for s, i in zip(sampled, inside, strict=True))
    benchmark.extra_info |= {"ratio": ratio, "in_situ": in_situ, "own_seconds": own}
    table.append((sampler, ratio, in_situ, own))
