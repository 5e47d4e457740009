"""Checkpoints: one safetensors file that holds all that training carries between iterations."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from irsde.files import InputError, replacing

Row = dict[str, float]
ADAM_STATE = ("step", "exp_avg", "exp_avg_sq")


@dataclass
class TrainingState:
    """What training carries from one iteration to the next.

    There is no random state: every stream is named by the iteration.

    Parameters
    ----------
    network : nn.Module
        With the raw weights.
    average : dict of str to Tensor
        Exponential moving average of the weights.
    optimizer : torch.optim.Adam
    iteration : int
        Updates done so far.
    losses : list of scalar Tensor or float
        Losses since the last row of the history.
    history : list of dict
        Rows of `training.csv`.
    seconds : float
        Time spent so far, in earlier processes too.
    """

    network: nn.Module
    average: dict[str, Tensor]
    optimizer: torch.optim.Adam
    iteration: int
    losses: list[Tensor | float]
    history: list[Row]
    seconds: float


def save(state: TrainingState, path: Path, identity: dict[str, str]) -> None:
    """Write a checkpoint under a temporary name and rename it.

    Parameters
    ----------
    state : TrainingState
    path : Path
    identity : dict
        What the run is; `resume` refuses a checkpoint of another.
    """
    tensors = {f"network.{n}": t.contiguous() for n, t in state.network.state_dict().items()}
    tensors |= {f"average.{n}": t.contiguous() for n, t in state.average.items()}
    for name, parameter in state.network.named_parameters():
        for key in ADAM_STATE:
            tensors[f"optimizer.{key}.{name}"] = state.optimizer.state[parameter][key].contiguous()
    state.losses = [float(loss) for loss in state.losses]
    header = {
        "iteration": state.iteration,
        "losses": state.losses,
        "history": state.history,
        "seconds": state.seconds,
        "identity": identity,
    }
    with replacing(path) as temporary:
        save_file(tensors, temporary, {"irsde": json.dumps(header)})


def resume(state: TrainingState, path: Path, identity: dict[str, str], *, overwrite: bool) -> int:
    """Load a checkpoint into the state.

    Returns
    -------
    int
        Iteration it was made at; 0 without a checkpoint, or with one of another run that
        `overwrite` allows to ignore.

    Raises
    ------
    InputError
        If the checkpoint is damaged, or is of another run and `overwrite` is False.
    """
    if not path.is_file():
        return 0
    try:
        with safe_open(path, framework="pt") as stored:
            header = json.loads(stored.metadata()["irsde"])
            if header["identity"] != identity:
                if overwrite:
                    return 0
                raise InputError(
                    f"{path}: checkpoint of another configuration, code or data; nothing was "
                    "changed; give --overwrite to start afresh"
                )
            state.network.load_state_dict(
                {n: stored.get_tensor(f"network.{n}") for n in state.network.state_dict()}
            )
            for name, tensor in state.average.items():
                tensor.copy_(stored.get_tensor(f"average.{name}"))
            for name, parameter in state.network.named_parameters():
                state.optimizer.state[parameter] = {
                    key: stored.get_tensor(f"optimizer.{key}.{name}").to(
                        "cpu" if key == "step" else parameter.device
                    )
                    for key in ADAM_STATE
                }
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: damaged checkpoint ({error}); delete it") from None
    state.iteration, state.seconds = header["iteration"], header["seconds"]
    state.losses, state.history = header["losses"], header["history"]
    return state.iteration
