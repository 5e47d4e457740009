"""Checkpoints: one safetensors file that holds all that training carries between iterations."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from irsde.experiment.code import is_same_run
from irsde.experiment.grid import checkpoints_in
from irsde.experiment.identity import differences
from irsde.experiment.replaced import keep_files
from irsde.files import InputError, digest_json, replacing

Row = dict[str, float]
ADAM_STATE = ("step", "exp_avg", "exp_avg_sq")


@dataclass
class TrainingState:
    """What training carries from one iteration to the next.

    There is no random state: every stream is named by the iteration and by the rollbacks so far.

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
    skipped, skipped_in_a_row : Tensor, shape ()
        Updates that were skipped because loss or gradient were not finite.
    rollbacks : int
        How often training went back to a checkpoint because too many in a row were skipped.
    best_psnr : float
        Largest validation PSNR so far.
    unvalidated : float or None
        Gradient norm of the last update where the validation after it is still to be done.
    peak : dict of str to int
        Largest memory so far, in earlier processes too, as `cost.peak_memory` has it.
    profiles : dict of float to dict of str to Tensor
        For each width of `averaging.WIDTHS` the average of that power profile, where snapshots
        are stored.
    """

    network: nn.Module
    average: dict[str, Tensor]
    optimizer: torch.optim.Adam
    iteration: int = 0
    losses: list[Tensor | float] = field(default_factory=list)
    history: list[Row] = field(default_factory=list)
    seconds: float = 0.0
    skipped: Tensor = field(default_factory=lambda: torch.zeros(()))
    skipped_in_a_row: Tensor = field(default_factory=lambda: torch.zeros(()))
    rollbacks: int = 0
    best_psnr: float = -1.0
    unvalidated: float | None = None
    peak: dict[str, int] = field(default_factory=dict)
    profiles: dict[float, dict[str, Tensor]] = field(default_factory=dict)


def file_of(folder: Path, iteration: int) -> Path:
    """Checkpoint of an iteration in a run's folder of checkpoints."""
    return folder / f"{iteration:08d}.safetensors"


def save(
    state: TrainingState,
    folder: Path,
    identity: dict[str, str],
    settings: Mapping[str, object],
    keep: int,
    every: int,
) -> None:
    """Write a checkpoint under a temporary name and rename it; drop older ones.

    Parameters
    ----------
    state : TrainingState
    folder : Path
        A run's folder of checkpoints.
    identity : dict
        What the run is; `resume` refuses a checkpoint of another.
    settings : mapping
        Those of the run, by which such a refusal says what differs.
    keep : int
        How many checkpoints at multiples of `every` to keep. One at another iteration, where a
        signal came, is dropped when the next is written.
    every : int

    Raises
    ------
    InputError
        If it cannot be written; earlier checkpoints are untouched.
    """
    tensors = {f"network.{n}": t.contiguous() for n, t in state.network.state_dict().items()}
    tensors |= {f"average.{n}": t.contiguous() for n, t in state.average.items()}
    for width, profile in state.profiles.items():
        tensors |= {f"profile{width}.{n}": t.contiguous() for n, t in profile.items()}
    for name, parameter in state.network.named_parameters():
        for key in ADAM_STATE:
            tensors[f"optimizer.{key}.{name}"] = state.optimizer.state[parameter][key].contiguous()
    state.losses = [float(loss) for loss in state.losses]
    header = {
        "iteration": state.iteration,
        "losses": state.losses,
        "history": state.history,
        "seconds": state.seconds,
        "skipped": float(state.skipped),
        "skipped_in_a_row": float(state.skipped_in_a_row),
        "rollbacks": state.rollbacks,
        "best_psnr": state.best_psnr,
        "unvalidated": state.unvalidated,
        "peak": state.peak,
        "identity": identity,
        "settings": settings,
    }
    path = file_of(folder, state.iteration)
    write_tensors(path, tensors, {"irsde": json.dumps(header)})
    kept = {path, *checkpoints_in(folder, every)[-keep:]}
    for old in checkpoints_in(folder):
        if old not in kept:
            old.unlink(missing_ok=True)


def write_tensors(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write a safetensors file under a temporary name and rename it.

    Raises
    ------
    InputError
        If it cannot be written, as on a full disk; a file already there is untouched.
    """
    try:
        with replacing(path) as temporary:
            save_file(tensors, temporary, metadata)
    except SafetensorError as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: cannot be written ({reason}); what was there before is whole: make room and "
            "run the same command again"
        ) from None


def resume(
    state: TrainingState,
    folder: Path,
    identity: dict[str, str],
    settings: Mapping[str, object] | None = None,
    *,
    overwrite: bool = False,
    every: int = 1,
) -> int:
    """Load the newest checkpoint, of those made at multiples of `every`, into the state.

    Parameters
    ----------
    state : TrainingState
    folder : Path
        A run's folder of checkpoints.
    identity : dict
        What the run is.
    settings : mapping, optional
        Those of the run, to say which of them a checkpoint of another run differs in.
    overwrite : bool
        True to delete a checkpoint of another run.
    every : int

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
    checkpoints = checkpoints_in(folder, every)
    if not checkpoints:
        return 0
    path = checkpoints[-1]
    try:
        with safe_open(path, framework="pt") as stored:
            header = json.loads(stored.metadata()["irsde"])
            if not is_same_run(header["identity"], identity):
                if overwrite:
                    keep_files([*folder.glob("*.safetensors")], digest_json(header["identity"])[:8])
                    return 0
                differing = differences(
                    header["identity"], identity, header.get("settings"), settings
                )
                raise InputError(
                    f"{path}: checkpoint of another run, which differs in {', '.join(differing)}; "
                    "nothing was changed; give --overwrite to start afresh"
                )
            state.network.load_state_dict(
                {n: stored.get_tensor(f"network.{n}") for n in state.network.state_dict()}
            )
            for name, tensor in state.average.items():
                tensor.copy_(stored.get_tensor(f"average.{name}"))
            for width, profile in state.profiles.items():
                for name, tensor in profile.items():
                    tensor.copy_(stored.get_tensor(f"profile{width}.{name}"))
            for name, parameter in state.network.named_parameters():
                moments = {key: stored.get_tensor(f"optimizer.{key}.{name}") for key in ADAM_STATE}
                # The fused optimizer walks through memory: moments need the layout of weights.
                state.optimizer.state[parameter] = {
                    key: value.to(parameter.device)
                    if key == "step"
                    else torch.empty_like(parameter, requires_grad=False).copy_(value)
                    for key, value in moments.items()
                }
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: damaged checkpoint ({error}); delete it") from None
    state.iteration, state.seconds = header["iteration"], header["seconds"]
    state.losses, state.history = header["losses"], header["history"]
    state.rollbacks, state.best_psnr = header["rollbacks"], header["best_psnr"]
    state.unvalidated, state.peak = header["unvalidated"], header["peak"]
    state.skipped.fill_(header["skipped"])
    state.skipped_in_a_row.fill_(header["skipped_in_a_row"])
    return state.iteration


def holds_run(folder: Path, identity: Mapping[str, str]) -> bool:
    """Whether the newest checkpoint of a folder is of a run of that identity.

    Raises
    ------
    InputError
        If it is damaged.
    """
    checkpoints = checkpoints_in(folder)
    if not checkpoints:
        return False
    try:
        with safe_open(checkpoints[-1], framework="pt") as stored:
            return bool(json.loads(stored.metadata()["irsde"])["identity"] == identity)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{checkpoints[-1]}: damaged checkpoint ({error}); delete it") from None
