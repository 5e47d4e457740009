"""Weight files read into networks, every name, shape and value being checked."""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from irsde.experiment.code import is_same_run
from irsde.experiment.grid import SNAPSHOTS, checkpoints_in, snapshot_file
from irsde.files import InputError

WEIGHTS = "weights.safetensors"
SNAPSHOT_WIDTH = 0.1


def load_weights(network: nn.Module, path: Path) -> None:
    """Load a safetensors file into a network, every name and shape being checked.

    Raises
    ------
    InputError
        Naming the first parameter that differs or is not finite.
    """
    own = network.state_dict()
    try:
        with safe_open(path, framework="pt") as stored:
            names = set(stored.keys())
            if differing := sorted(names ^ set(own)):
                raise InputError(
                    f"{path}: weights of another network: {len(differing)} parameter names "
                    f"differ, the first {differing[0]}"
                )
            for name, parameter in own.items():
                tensor = stored.get_tensor(name)
                if tensor.shape != parameter.shape:
                    raise InputError(
                        f"{path}: weights of another network: {name} has the shape "
                        f"{tuple(tensor.shape)} instead of {tuple(parameter.shape)}"
                    )
                check_finite(path, name, tensor)
                parameter.copy_(tensor)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run irsde train again") from None
    except SafetensorError as error:
        raise InputError(f"{path}: not a readable safetensors file ({error})") from None


def load_snapshot(network: nn.Module, run: Path, iteration: int) -> None:
    """Load the average that a training stored at an iteration, of relative width 0.1.

    Raises
    ------
    InputError
        If there is none, or as in `load_weights`.
    """
    path = snapshot_file(run, iteration, SNAPSHOT_WIDTH)
    if not path.is_file():
        stored = sorted({int(file.name[:8]) for file in (run / SNAPSHOTS).glob("????????-*")})
        known = f"there are {', '.join(map(str, stored))}" if stored else "there are none"
        raise InputError(
            f"{run}: no weights of iteration {iteration} are stored ({known}); set "
            "training.ema_snapshots and train"
        )
    load_weights(network, path)


def check_finite(path: Path, name: str, tensor: Tensor) -> None:
    """Refuse weights of which some are NaN or infinite: whatever they restore is black.

    Raises
    ------
    InputError
        Naming the file and the parameter.
    """
    if not bool(tensor.isfinite().all()):
        raise InputError(
            f"{path}: {name} holds NaN or infinite values; such weights restore nothing: train "
            "the run again, or get the file again"
        )


def raw_weights(folder: Path, identity: dict[str, str]) -> dict[str, Tensor]:
    """Weights themselves, not their average, of the newest checkpoint of a finished run.

    Raises
    ------
    InputError
        If there is no checkpoint of that run.
    """
    checkpoints = checkpoints_in(folder)
    try:
        if checkpoints:
            with safe_open(checkpoints[-1], framework="pt") as stored:
                if is_same_run(json.loads(stored.metadata()["irsde"])["identity"], identity):
                    names = [name for name in stored.keys() if name.startswith("network.")]  # noqa: SIM118
                    return {n.removeprefix("network."): stored.get_tensor(n) for n in names}
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{checkpoints[-1]}: damaged checkpoint ({error}); delete it") from None
    raise InputError(f"{folder}: no checkpoint of this run, so its raw weights are n/a")
