"""Averages of the weights of any width, chosen after training: power-function profiles.

Two averages whose profiles are powers of the iteration run beside the training; snapshots of them
span all such averages up to a small error.

References
----------
Karras et al., "Analyzing and Improving the Training Dynamics of Diffusion Models", CVPR 2024,
sections 3.1 and 3.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from irsde.experiment import provenance
from irsde.experiment.grid import SNAPSHOTS, Run
from irsde.files import InputError, digest_file, digest_json, replacing_folder
from irsde.machine.meters import peak_memory_bytes
from irsde.methods import MethodName
from irsde.restoration.weights import WEIGHTS
from irsde.training.checkpoints import write_tensors

WIDTHS = (0.05, 0.10)


def exponent(width: float) -> float:
    """Exponent of the power profile of a relative width (its standard deviation / the end).

    Raises
    ------
    InputError
        If there is none: widths lie between 0.01, below which snapshots cannot make one, and 0.28.
    """
    if not 0.01 <= width < 0.28:
        raise InputError(f"width {width}: must lie between 0.01 and 0.28")
    roots = np.roots([1, 7, 16 - width**-2, 12 - width**-2])
    return float(roots.real[np.abs(roots.imag) < 1e-9].max())


def decay(width: float, iteration: int) -> float:
    """Decay of a power-profile average at its update number `iteration`, counted from 1."""
    return float((1 - 1 / iteration) ** (exponent(width) + 1))


@dataclass(frozen=True)
class Snapshot:
    """A stored average: its iteration, width and file."""

    iteration: int
    width: float
    file: Path


def found_snapshots(run: Path) -> list[Snapshot]:
    """All snapshots of a run, the oldest first."""
    return [
        Snapshot(int(path.stem[:8]), float(path.stem[9:]), path)
        for path in sorted((run / SNAPSHOTS).glob("????????-*.safetensors"))
    ]


def coefficients(
    snapshots: Sequence[tuple[int, float]], iteration: int, width: float
) -> NDArray[np.float64]:
    """Weights of the snapshots whose sum is closest to the average of another width.

    Parameters
    ----------
    snapshots : sequence of (int, float)
        Iteration and width of each.
    iteration, width : int, float
        Of the wanted average.

    Returns
    -------
    ndarray, shape (len(snapshots),)
        Least-squares solution over the profiles; it sums to about 1.
    """
    times = np.array([t for t, _ in snapshots], dtype=np.float64)
    powers = np.array([exponent(w) for _, w in snapshots])
    gram = _inner(times[:, None], powers[:, None], times, powers)
    wanted = _inner(times, powers, np.float64(iteration), np.float64(exponent(width)))
    return np.asarray(np.linalg.lstsq(gram, wanted, rcond=None)[0], dtype=np.float64)


def _inner(
    first_time: NDArray[np.float64],
    first_power: NDArray[np.float64],
    second_time: NDArray[np.float64] | np.float64,
    second_power: NDArray[np.float64] | np.float64,
) -> NDArray[np.float64]:
    """Inner product of two power profiles, each normalised to integral 1 on [0, time]."""
    earlier = np.minimum(first_time, second_time)
    first = (first_power + 1) / first_time * (earlier / first_time) ** first_power
    second = (second_power + 1) / second_time * (earlier / second_time) ** second_power
    product: NDArray[np.float64] = first * second * earlier / (first_power + second_power + 1)
    return product


def average(run: Run, width: float) -> str:
    """Write a run whose weights are another average of a finished training.

    Parameters
    ----------
    run : Run
        A finished run that stored snapshots (`training.ema_snapshots`).
    width : float
        Relative width of the average, such as 0.07.

    Returns
    -------
    str
        One line that says where it is: beside the run, under `<method>+width<width>`.

    Raises
    ------
    InputError
        If the run is unfinished or has no snapshots, or something else is in that place;
        nothing is replaced, as evaluations are there too.
    """
    card, settings = provenance.read_network_run(run.folder)
    text = f"{width:g}"  # the number that its name has, and no other
    width = float(text)
    method = str(MethodName.parse(run.method).plus(f"width{text}"))
    derived = Run(run.profile, run.task, method, run.seed)
    identity = {"run": digest_json(card.identity), "width": text}
    if derived.folder.exists():
        _check_same(derived.folder, run.folder, identity)
        return f"{derived.folder}: up to date"
    snapshots = found_snapshots(run.folder)
    if len(snapshots) < 2 * len(WIDTHS):
        raise InputError(f"{run.folder}: has no snapshots; set training.ema_snapshots and train")
    parts = coefficients([(s.iteration, s.width) for s in snapshots], card.iterations or 0, width)
    weights: dict[str, Tensor] = {}
    for snapshot, part in zip(snapshots, parts, strict=True):
        try:
            with safe_open(snapshot.file, framework="pt") as stored:
                for name in stored.keys():  # noqa: SIM118 (not a dict)
                    tensor = stored.get_tensor(name).double() * float(part)
                    weights[name] = weights[name] + tensor if name in weights else tensor
        except SafetensorError as error:
            raise InputError(f"{snapshot.file}: damaged ({error}); train again") from None
    with replacing_folder(derived.folder) as folder:
        single = {name: tensor.to(torch.float32) for name, tensor in weights.items()}
        write_tensors(folder / WEIGHTS, single)
        provenance.write_run_card(
            folder,
            derived,
            settings,
            identity,
            "averaged from snapshots",
            {"seconds": 0.0, "peak_memory_bytes": peak_memory_bytes()},
            {
                "label": f"{card.label} (average of width {text})",
                "parameters": card.parameters,
                "iterations": card.iterations,
                "weights_sha256": digest_file(folder / WEIGHTS),
                "derived_from": run.folder.as_posix(),
            },
        )
    return f"{derived.folder}: average of width {text} from {len(snapshots)} snapshots"


def _check_same(folder: Path, run: Path, identity: dict[str, str]) -> None:
    """Refuse a folder that holds anything but that average."""
    try:
        card = provenance.read_run_card(folder)
        provenance.check_weights(folder / WEIGHTS, card)
    except (InputError, OSError):
        holds = "something else than a whole average"
    else:
        if card.identity == identity:
            return
        holds = f"an average of an earlier training of {run}"
    raise InputError(
        f"{folder}: holds {holds}; nothing was changed; move it away to rebuild the average"
    )
