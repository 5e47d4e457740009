"""Methods without a network: a classical filter's one parameter is chosen on validation pairs."""

import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from irsde.data.leakage.record import Leak, counts
from irsde.data.pairs import Pair, load_all
from irsde.experiment import provenance
from irsde.experiment.grid import Run
from irsde.experiment.profile import RunSettings
from irsde.images import to_pixels
from irsde.machine.meters import peak_memory_bytes
from irsde.methods import method_of
from irsde.restoration.classical import classical_method
from irsde.scoring.pixels import psnr
from irsde.terminal import track


def tune(
    run: Run,
    settings: RunSettings,
    identity: dict[str, str],
    leaks: Sequence[Leak],
    make_way: Callable[[], None] = lambda: None,
) -> str:
    """Write the card of a run without a network, after choosing its parameter if it has one.

    `make_way` is called once that is done, before anything is written.
    """
    start = time.monotonic()
    details: dict[str, object] = {"parameters": 0, "leakage": counts(leaks)}
    if method_of(run.method).kind == "classical":
        method = classical_method(run.task)
        pairs = load_all(run, settings.data.validation)
        scores = {
            value: sum(_psnr(method.function(pair.mu, value), pair) for pair in pairs) / len(pairs)
            for value in track(method.candidates, f"tuning {method.label}", len(method.candidates))
        }
        best = max(scores, key=lambda value: scores[value])
        details |= {
            "label": method.label,
            "tuned": {method.parameter_name: best},
            "validation_psnr": {str(value): score for value, score in scores.items()},
        }
    seconds = time.monotonic() - start
    make_way()
    provenance.write_run_card(
        run.folder,
        run,
        settings,
        identity,
        "cpu, 1 thread",
        {"seconds": seconds, "peak_memory_bytes": peak_memory_bytes()},
        details,
    )
    return f"{run.folder}: done"


def _psnr(restored: NDArray[np.float32], pair: Pair) -> float:
    return psnr(to_pixels(restored), pair.x0)
