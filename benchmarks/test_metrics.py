"""What scoring costs: `pytest benchmarks/test_metrics.py --benchmark-only`.

Two numbers over the 100 pairs of Rain100H's test set (degraded against clean), reported and not
asserted:

- *loop / ours*: PSNR and SSIM of RGB and of the luminance by scikit-image, image by image / the
  same by `fidelity`, ten images of one size at a time (goal: at least 5);
- *all / one*: all protocols by `score_protocols` / one of them.

The two sides of a ratio are timed in turn on each batch, in CPU time of one thread, and the median
of the paired ratios is kept. Both read float images and round them first. The loop allocates
arrays of megabytes all the time: in a process whose allocator does not keep freed memory, as in a
plain script, it takes up to twice as long as here, where large arrays were freed before. That
gain is not counted.
"""

import statistics
import time

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from irsde.images import read_image, to_float, to_pixels
from irsde.scoring.metrics import fidelity
from irsde.scoring.pixels import WINDOWS
from irsde.scoring.protocols import score_protocols
from tests.reference import DATA

FOLDER = DATA / "Rain100H-test"
PAIRS, BATCH = 100, 10
FIDELITY = ("psnr", "ssim", "psnr_y", "ssim_y")
LUMINANCE = [65.481, 128.553, 24.966]
GAUSSIAN = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}


def batches():
    """Restored and clean images of one size, at most ten together."""
    of_shape = {}
    for k in range(1, PAIRS + 1):
        degraded, clean = (read_image(FOLDER / part / f"{k}.png") for part in ("LQ", "GT"))
        of_shape.setdefault(clean.shape, []).append((to_float(degraded), clean))
    return [
        tuple(np.stack(images) for images in zip(*alike[k : k + BATCH], strict=True))
        for alike in of_shape.values()
        for k in range(0, len(alike), BATCH)
    ]


@pytest.fixture(scope="module")
def pairs():
    """Batches of degraded and clean images, one thread."""
    if not FOLDER.is_dir():
        pytest.skip("Rain100H absent: its test set lies in data/ beside IRSDE_REFERENCE")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield batches()
    torch.set_num_threads(threads)


def loop(restored, reference):
    """PSNR and SSIM of RGB and luminance by scikit-image, image by image."""
    scores = []
    for image, clean in zip(restored, reference, strict=True):
        pixels = to_pixels(image)
        lumas = (image @ LUMINANCE / 255 + 16 for image in (pixels, clean))
        for a, b, axis in ((pixels, clean, -1), (*lumas, None)):
            a, b = a.astype(np.float64), b.astype(np.float64)
            scores += [
                peak_signal_noise_ratio(b, a, data_range=255),
                structural_similarity(a, b, data_range=255, channel_axis=axis, **GAUSSIAN),
            ]
    return np.reshape(scores, (-1, 4))


def ours(restored, reference):
    """The same by `fidelity`."""
    pair = (torch.from_numpy(pixels) for pixels in (to_pixels(restored), reference))
    scores = fidelity(*pair, WINDOWS["gaussian"])[0]
    return np.stack([scores[name] for name in FIDELITY], axis=1)


def every(restored, reference):
    """All protocols."""
    return score_protocols(restored, reference)


def seconds(function, batch):
    begin = time.process_time()
    function(*batch)
    return time.process_time() - begin


def test_scoring(benchmark, pairs, request):
    functions = (loop, ours, every)
    every(*pairs[0])
    np.testing.assert_allclose(ours(*pairs[0]), loop(*pairs[0]), rtol=1e-9)
    sizes = np.array([len(clean) for _, clean in pairs])

    def measure():
        return np.array([[seconds(function, batch) for function in functions] for batch in pairs])

    times = benchmark.pedantic(measure, rounds=1)
    by_loop, by_ours, by_every = times.T
    ratios = {"loop / ours": by_loop / by_ours, "all / one": by_every / by_ours}
    for name, values in ratios.items():
        benchmark.extra_info[name] = statistics.median(values)
    terminal = request.config.pluginmanager.getplugin("terminalreporter")
    capture = request.config.pluginmanager.getplugin("capturemanager")
    if terminal is None:
        return
    lines = [f"\n\nScoring {sizes.sum()} pairs of 480x320 pixels, one thread, ms per pair:"]
    for function, values in zip(functions, times.T, strict=True):
        lines.append(f"  {function.__name__:<6}{1e3 * values.sum() / sizes.sum():8.1f}")
    for name, values in ratios.items():
        low, middle, high = np.percentile(values, [25, 50, 75])
        lines.append(f"  {name:<12}{middle:6.2f}  (quartiles {low:.2f} to {high:.2f})")
    with capture.global_and_fixture_disabled():
        terminal.write("\n".join(lines) + "\n")
