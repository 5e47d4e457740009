"""What scoring costs: `pytest benchmarks/test_metrics.py --benchmark-only`.

Two numbers over the 100 pairs of Rain100H's test set (degraded against clean), reported and not
asserted:

- *loop / ours*: PSNR and SSIM of RGB and of the luminance by scikit-image, image by image / the
  same by `score_batch` without LPIPS weights (goal: at least 5);
- *all / one*: all protocols by `score_protocols` / one of them (goal: at most 3).

The two sides of a ratio are timed in turn on each pair, in CPU time of one thread, and the median
of the paired ratios is kept. Both read float images and round them first. The products with banded
matrices keep the arithmetic units busy, the filters of scikit-image do not: where another job
computes on the second thread of the same core, the first ratio is smaller than on an idle machine.
"""

import statistics
import time

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from irsde.images import read_image, to_float, to_pixels
from irsde.metrics import luminance
from irsde.perceptual import perceptual_metric
from irsde.protocols import PROTOCOLS, score_batch, score_protocols
from tests.reference import DATA

FOLDER = DATA / "Rain100H-test"
PAIRS = 100
GAUSSIAN = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}


@pytest.fixture(scope="module")
def pairs():
    """Degraded and clean images, one thread, no LPIPS weights."""
    if not FOLDER.is_dir():
        pytest.skip("Rain100H absent: its test set lies in data/ beside IRSDE_REFERENCE")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("IRSDE_LPIPS_WEIGHTS", raising=False)
        patch.setenv("TORCH_HOME", str(FOLDER))
        perceptual_metric.cache_clear()
        yield [
            (
                to_float(read_image(FOLDER / "LQ" / f"{k}.png")),
                read_image(FOLDER / "GT" / f"{k}.png"),
            )
            for k in range(1, PAIRS + 1)
        ]
    perceptual_metric.cache_clear()
    torch.set_num_threads(threads)


def loop(restored, clean):
    """PSNR and SSIM of RGB and luminance by scikit-image."""
    pixels = to_pixels(restored)
    scores = []
    for a, b, axis in ((pixels, clean, -1), (luminance(pixels), luminance(clean), None)):
        a, b = a.astype(np.float64), b.astype(np.float64)
        scores += [
            peak_signal_noise_ratio(b, a, data_range=255),
            structural_similarity(a, b, data_range=255, channel_axis=axis, **GAUSSIAN),
        ]
    return scores


def ours(restored, clean):
    """The same by `score_batch`."""
    return score_batch(restored[None], clean[None], PROTOCOLS["rgb"])


def every(restored, clean):
    """All protocols."""
    return score_protocols(restored[None], clean[None])


def seconds(function, pair):
    begin = time.process_time()
    function(*pair)
    return time.process_time() - begin


def test_scoring(benchmark, pairs, request):
    functions = (loop, ours, every)
    for function in functions:
        function(*pairs[0])

    def measure():
        return np.array([[seconds(function, pair) for function in functions] for pair in pairs])

    times = benchmark.pedantic(measure, rounds=1)
    by_loop, by_ours, by_every = times.T
    ratios = {"loop / ours": by_loop / by_ours, "all / one": by_every / by_ours}
    for name, values in ratios.items():
        benchmark.extra_info[name] = statistics.median(values)
    terminal = request.config.pluginmanager.getplugin("terminalreporter")
    capture = request.config.pluginmanager.getplugin("capturemanager")
    if terminal is None:
        return
    lines = [f"\n\nScoring {len(pairs)} pairs of 480x320 pixels, one thread, ms per pair:"]
    for function, values in zip(functions, times.T, strict=True):
        lines.append(f"  {function.__name__:<6}{1e3 * np.median(values):8.1f}")
    for name, values in ratios.items():
        low, middle, high = np.percentile(values, [25, 50, 75])
        lines.append(f"  {name:<12}{middle:6.2f}  (quartiles {low:.2f} to {high:.2f})")
    with capture.global_and_fixture_disabled():
        terminal.write("\n".join(lines) + "\n")
