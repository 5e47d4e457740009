"""What training will cost on this machine, from a short calibration."""

import copy
import multiprocessing
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

import numpy as np
import torch

from irsde import terminal
from irsde.data.catalogue import find_split
from irsde.data.pairs import Pair, load_all
from irsde.data.sets import CARD, degradation_of
from irsde.experiment.grid import Run, pairs_folder, runs
from irsde.experiment.profile import Profile, RunSettings, TrainingSettings, run_settings
from irsde.files import InputError, check_name, digest_json
from irsde.machine.devices import (
    compute_device,
    device_name,
    memory_text,
    refusing_too_little_memory,
)
from irsde.machine.meters import peak_memory
from irsde.machine.world import ALONE
from irsde.methods import method_of
from irsde.restoration.restorer import REGRESSION_STEP, build_network, restorer_of
from irsde.seeds import numpy_generator
from irsde.tasks import TASKS, Degradation
from irsde.training.checkpoints import TrainingState
from irsde.training.update import Batches, Update, layout_of, make_optimizer, placed, to_device
from irsde.training.validation import validation_nfe

WARM_UP, TIMED = 3, 8
ENOUGH_SECONDS = 20  # after which fewer updates must do
HEADER = (
    "run", "seeds", "million parameters", "s/iteration", "s/validation", "GiB", "hours each",
)  # fmt: skip
SPARE = ("seeds", "s/validation", "million parameters", "s/iteration")
SIDE = 256  # of the image that a network evaluation is timed with, pixels


@dataclass(frozen=True)
class Speed:
    """What was measured of a network on this machine.

    Parameters
    ----------
    device : str
    parameters : int
    seconds_per_iteration : float
        Mean over the training, with late patches where there are any.
    seconds_per_pixel : float
        Of one network evaluation in a validation.
    peak_memory_bytes : int
        Of the GPU where there is one, else of the process.
    """

    device: str
    parameters: int
    seconds_per_iteration: float
    seconds_per_pixel: float
    peak_memory_bytes: int


@dataclass(frozen=True)
class Prediction:
    """What a run would cost.

    Parameters
    ----------
    speed : Speed
    seconds_per_validation : float
    hours : float
        Of the whole training, its validations included.
    note : str
        What had to be assumed.
    """

    speed: Speed
    seconds_per_validation: float
    hours: float
    note: str

    @property
    def text(self) -> str:
        """The prediction as one line."""
        speed = self.speed
        return (
            f"{self.hours:.1f} h on {speed.device}: {speed.seconds_per_iteration:.3f} s an "
            f"iteration, {self.seconds_per_validation:.1f} s a validation, "
            f"{speed.peak_memory_bytes / 2**30:.1f} GiB, {speed.parameters / 1e6:.1f} million "
            f"parameters{self.note}"
        )


def predict(run: Run, settings: RunSettings) -> Prediction:
    """Time a few updates and a network evaluation of a run; nothing is written.

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
    return _predicted(run, settings, measure(run, settings))


def overview(
    profile: Profile, task: str | None = None, method: str | None = None, seed: int | None = None
) -> str:
    """Predictions for all runs with a network of a profile, as a table for a terminal.

    Runs that differ in their data alone are measured once; each measurement is a process of its
    own, so that its memory is its own too. A run that does not fit is n/a, with the reason below.

    Parameters
    ----------
    profile : Profile
    task, method : str, optional
        Only the runs of these.
    seed : int, optional
        Only the runs of this one.

    Raises
    ------
    InputError
        If there is no such run, or none fits the device.
    """
    lines = list(_lines(profile, _chosen_runs(profile, task, method, seed)))
    predicted = [(line.runs, p) for line in lines if isinstance(p := line.outcome, Prediction)]
    failures = {line.name: e for line in lines if isinstance(e := line.outcome, InputError)}
    if not predicted:
        first, reason = next(iter(failures.items()))
        raise InputError(f"{first}: {reason}")
    rows = [line.cells for line in lines]
    columns = ("left", *["right"] * (len(HEADER) - 1))
    table = terminal.table(HEADER, rows, align=columns, spare=SPARE)
    count = sum(runs for runs, _ in predicted)
    total = sum(runs * prediction.hours for runs, prediction in predicted)
    notes = Counter(prediction.note for _, prediction in predicted)
    remarks = "".join(
        note if among == notes.total() else f"{note} ({among} of {notes.total()} lines)"
        for note, among in sorted(notes.items())
        if note
    )
    device = predicted[0][1].speed.device
    text = f"{table}\n\n{count} runs on {device}: {total:.1f} h one after the other{remarks}"
    return "\n".join([text, *(f"n/a: {name}: {error}" for name, error in failures.items())])


def _chosen_runs(
    profile: Profile, task: str | None, method: str | None, seed: int | None
) -> list[Run]:
    """Runs with a network of a task, a method and a seed, where these are given."""
    if task:
        check_name("task", task, profile.tasks)
    chosen = [
        run
        for run in runs(profile)
        if run.is_trained
        and task in (None, run.task)
        and method in (None, run.method)
        and seed in (None, run.seed)
    ]
    if not chosen:
        named = (method, task, None if seed is None else f"seed {seed}")
        of = "".join(f" of {name}" for name in named if name)
        raise InputError(f"profile {profile.name}: has no run{of} with a network")
    return chosen


@dataclass(frozen=True)
class _Line:
    """Runs that differ in their seed alone, and what each of them costs or why that is n/a."""

    name: str
    runs: int
    outcome: Prediction | InputError

    @property
    def cells(self) -> list[str]:
        """Cells below `HEADER`."""
        if isinstance(self.outcome, InputError):
            return [self.name, str(self.runs), *["n/a"] * (len(HEADER) - 2)]
        speed = self.outcome.speed
        return [
            self.name,
            str(self.runs),
            f"{speed.parameters / 1e6:.1f}",
            f"{speed.seconds_per_iteration:.3f}",
            f"{self.outcome.seconds_per_validation:.1f}",
            f"{speed.peak_memory_bytes / 2**30:.1f}",
            f"{self.outcome.hours:.1f}",
        ]


def _lines(profile: Profile, chosen: Sequence[Run]) -> Iterator[_Line]:
    """Measure runs with different networks or recipes once each, and predict all."""
    seeds: dict[tuple[str, str], list[Run]] = {}
    for run in chosen:
        seeds.setdefault((run.task, run.method), []).append(run)
    measured: dict[str, Speed | InputError] = {}
    for (task, method), alike in seeds.items():
        settings = run_settings(profile, task, method, alike[0].seed)
        key = _key(settings)
        if key not in measured:
            measured[key] = _measured_apart(alike[0], settings)
        outcome: Speed | Prediction | InputError = measured[key]
        if isinstance(outcome, Speed):
            outcome = _predicted(alike[0], settings, outcome)
        yield _Line(f"{task}/{method}", len(alike), outcome)


def measure(run: Run, settings: RunSettings) -> Speed:
    """Time a few updates and one network evaluation on this machine.

    With several processes, the share of one of them is timed.

    Raises
    ------
    InputError
        If the run has no network, or its batch does not fit the device.
    """
    whole = settings.training
    if whole is None:
        raise InputError(f"{run.method}: has no network to train; nothing to predict")
    recipe = whole.model_copy(update={"batch": whole.batch // whole.processes, "processes": 1})
    prepared = _is_prepared(run, settings)
    largest = max(recipe.patch, recipe.late_patch or 0)
    pairs = load_all(run, settings.data.train) if prepared else _random_pairs(run, largest)
    degradation = degradation_of(settings.data) if prepared else Degradation()
    with (
        compute_device(recipe.threads) as device,
        refusing_too_little_memory(
            lambda: (
                "the network, its averages and the optimizer's state do not fit into "
                f"{memory_text(device)}"
            )
        ),
    ):
        torch.manual_seed(0)
        network = placed(build_network(settings), recipe, device)
        state = TrainingState(
            network=network,
            average={name: tensor.clone() for name, tensor in network.state_dict().items()},
            optimizer=make_optimizer(network, recipe),
            skipped=torch.zeros((), device=device),
            skipped_in_a_row=torch.zeros((), device=device),
        )
        update = Update(restorer_of(settings, network), state, recipe, ALONE, device)
        batches = Batches(pairs, TASKS[run.task], degradation, recipe, ALONE)
        each = _seconds_of_update(update, batches, 0, device)
        if recipe.late_patch:
            late = _seconds_of_update(update, batches, recipe.iterations - 1, device)
            each = 0.75 * each + 0.25 * late
        image = torch.rand(1, 3, SIDE, SIDE, device=device).to(memory_format=layout_of(recipe))
        restorer = restorer_of(settings, copy.deepcopy(network).eval())
        with (
            torch.inference_mode(),
            torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"),
        ):
            for _ in range(2):  # the first one warms up
                begin = time.perf_counter()
                restorer.output(image, image, REGRESSION_STEP).sum().item()
                evaluation = time.perf_counter() - begin
        peak = peak_memory(device)
        return Speed(
            device_name(device),
            sum(p.numel() for p in network.parameters()),
            each,
            evaluation / SIDE**2,
            peak.get("peak_gpu_memory_bytes", peak["peak_memory_bytes"]),
        )


def _measured_apart(run: Run, settings: RunSettings) -> Speed | InputError:
    """What `measure` finds in a process of its own, or why it cannot."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        try:
            return pool.submit(measure, run, settings).result()
        except InputError as error:
            return error
        except BrokenProcessPool:
            return InputError(
                "the calibration was killed; the machine's memory may be too small for it"
            )


def _key(settings: RunSettings) -> str:
    """The same for runs that are alike in what they cost."""
    method = method_of(settings.method)
    assert settings.training is not None
    assert settings.network is not None
    return digest_json(
        [
            settings.network.model_dump(mode="json"),
            settings.training.model_dump(mode="json"),
            method.kind,
            method.conditional,
            TASKS[settings.task].fresh,  # degrading patches takes time
        ]
    )


def _predicted(run: Run, settings: RunSettings, speed: Speed) -> Prediction:
    recipe = settings.training
    assert recipe is not None
    pixels, note = _validation_pixels(run, settings, recipe)
    validation = pixels * validation_nfe(settings) * speed.seconds_per_pixel / recipe.processes
    seconds = recipe.iterations * speed.seconds_per_iteration
    seconds += recipe.iterations / recipe.validate_every * validation
    if recipe.processes > 1:
        note += (
            f"; {recipe.processes} processes, each on a device of its own, without their exchange"
        )
    return Prediction(speed, validation, seconds / 3600, note)


def _is_prepared(run: Run, settings: RunSettings) -> bool:
    names = (*settings.data.train, *settings.data.validation)
    return all((pairs_folder(run.profile, run.task, name) / CARD).is_file() for name in names)


def _validation_pixels(
    run: Run, settings: RunSettings, recipe: TrainingSettings
) -> tuple[int, str]:
    """Pixels of the images that a validation restores, and what was assumed of them."""
    most, window = recipe.validation_images, recipe.validation_window
    if _is_prepared(run, settings):
        pairs = load_all(run, settings.data.validation)[:most]
        sizes = [pair.x0.shape[:2] for pair in pairs]
        cut = [(min(h, window or h), min(w, window or w)) for h, w in sizes]
        return sum(height * width for height, width in cut), ""
    count = 0
    for name in settings.data.validation:
        try:
            count += find_split(name)[1].images
        except InputError:  # a set of one's own that is not here
            count += 1
    known = settings.data.window or settings.data.resize
    side = min(known or window or SIDE, window or known or SIDE)
    note = "; on random images, as pairs are not prepared"
    if not (known or window):
        note += f", and with validation images of {SIDE}x{SIDE} pixels"
    return min(count, most or count) * side**2, note


def _seconds_of_update(
    update: Update, batches: Batches, iteration: int, device: torch.device
) -> float:
    """Median time of an update with the patches of an iteration."""
    seconds: list[float] = []
    for k in range(WARM_UP + TIMED):
        begin = time.perf_counter()
        batch = batches.draw_batch(("calibration", k), iteration)
        layout = layout_of(batches.recipe)
        x0, mu = (to_device(part, device, memory_format=layout) for part in batch)
        loss, _ = update(x0, mu, ("calibration", k), iteration, 0.0)
        float(loss)
        seconds.append(time.perf_counter() - begin)
        if sum(seconds[1:]) > ENOUGH_SECONDS:
            break
    return statistics.median(seconds[WARM_UP:] or seconds[1:])


def _random_pairs(run: Run, side: int) -> Sequence[Pair]:
    """One random image that fits the task, its degraded version taken from its own pixels."""
    scale = TASKS[run.task].scale
    height = scale * -(-max(side, SIDE) // scale)
    generator = numpy_generator("calibration")
    clean = generator.integers(0, 256, (height, height, 3), dtype=np.uint8)
    lq = clean[::scale, ::scale]
    return [Pair("random", "random", clean, lq, scale=scale)]
