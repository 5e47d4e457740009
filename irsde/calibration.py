"""What a training will cost on this machine, from a short calibration."""

import statistics
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from irsde import provenance
from irsde.checkpoints import TrainingState
from irsde.config import RunSettings, TrainingSettings
from irsde.data.datasets import CARD, degradation_of
from irsde.data.pairs import Pair, load_all
from irsde.devices import compute_device, device_name
from irsde.files import InputError
from irsde.optimization import Batches, Update, make_optimizer
from irsde.parallel import ALONE
from irsde.plan import Run, pairs_folder
from irsde.restoration import build_network, restorer_of
from irsde.seeds import numpy_generator
from irsde.tasks import TASKS, Degradation
from irsde.validation import validate

WARM_UP, TIMED = 3, 8


@dataclass(frozen=True)
class Prediction:
    """What a run would cost.

    Parameters
    ----------
    device : str
    parameters : int
    seconds_per_iteration, seconds_per_validation : float
        Measured.
    hours : float
        Of the whole training, its validations included.
    peak_memory_bytes : int
        Of the GPU where there is one, else of this process.
    note : str
        What the calibration could not use.
    """

    device: str
    parameters: int
    seconds_per_iteration: float
    seconds_per_validation: float
    hours: float
    peak_memory_bytes: int
    note: str

    @property
    def text(self) -> str:
        """The prediction as one line."""
        return (
            f"{self.hours:.1f} h on {self.device}: {self.seconds_per_iteration:.3f} s an "
            f"iteration, {self.seconds_per_validation:.1f} s a validation, "
            f"{self.peak_memory_bytes / 2**30:.1f} GiB, {self.parameters / 1e6:.1f} million "
            f"parameters{self.note}"
        )


def predict(run: Run, settings: RunSettings) -> Prediction:
    """Time a few updates and one validation image of a run; nothing is written.

    Parameters
    ----------
    run : Run
        Its prepared pairs are used where they are there, else random images.
    settings : RunSettings

    Raises
    ------
    InputError
        If the run has no network, or its batch does not fit the device.
    """
    recipe = settings.training
    if recipe is None:
        raise InputError(f"{run.method}: has no network to train; nothing to predict")
    names = (*settings.data.train, *settings.data.validation)
    prepared = all((pairs_folder(run.profile, run.task, name) / CARD).is_file() for name in names)
    largest = max(recipe.patch, recipe.late_patch or 0)
    pairs = load_all(run, settings.data.train) if prepared else _random_pairs(run, largest)
    validation = load_all(run, settings.data.validation) if prepared else pairs[:1]
    degradation = degradation_of(settings.data) if prepared else Degradation()
    with compute_device(recipe.threads) as device:
        torch.manual_seed(0)
        network = build_network(settings).to(device).to(memory_format=torch.channels_last)
        if recipe.compile:
            network.compile()
        average = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        state = _state(network, average, recipe, device)
        update = Update(restorer_of(settings, network), state, recipe, ALONE, device)
        batches = Batches(pairs, TASKS[run.task], degradation, recipe, ALONE)
        early = _seconds(update, batches, 0, device)
        late = _seconds(update, batches, recipe.iterations - 1, device)
        begin = time.perf_counter()
        validate(settings, validation[:1], network, average, device)
        validation_seconds = (time.perf_counter() - begin) * len(validation)
        peak = (
            torch.cuda.max_memory_allocated(device)
            if device.type == "cuda"
            else provenance.peak_memory_bytes()
        )
        each = 0.75 * early + 0.25 * late if recipe.late_patch else early
        total = recipe.iterations * each
        total += recipe.iterations / recipe.validate_every * validation_seconds
        return Prediction(
            device_name(device),
            sum(p.numel() for p in network.parameters()),
            each,
            validation_seconds,
            total / 3600,
            peak,
            "" if prepared else "; on random images, as the pairs are not prepared",
        )


def _seconds(update: Update, batches: Batches, iteration: int, device: torch.device) -> float:
    """Median time of an update with the patches of an iteration."""
    seconds = []
    for k in range(WARM_UP + TIMED):
        begin = time.perf_counter()
        x0, mu = batches.draw(("calibration", k), iteration)
        loss, _ = update(x0.to(device), mu.to(device), ("calibration", k), iteration, 0.0)
        float(loss)
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds[WARM_UP:])


def _state(
    network: nn.Module, average: dict[str, Tensor], recipe: TrainingSettings, device: torch.device
) -> TrainingState:
    return TrainingState(
        network=network,
        average=average,
        optimizer=make_optimizer(network, recipe),
        skipped=torch.zeros((), device=device),
        skipped_in_a_row=torch.zeros((), device=device),
    )


def _random_pairs(run: Run, side: int) -> list[Pair]:
    """One random image that fits the task, its degraded version taken from its own pixels."""
    scale = TASKS[run.task].scale
    height = scale * -(-max(side, 256) // scale)
    generator = numpy_generator("calibration")
    clean = generator.integers(0, 256, (height, height, 3), dtype=np.uint8)
    lq = clean[::scale, ::scale]
    return [Pair("random", "random", clean, lq, scale=scale)]
