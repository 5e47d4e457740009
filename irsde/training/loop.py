"""The training loop of one network: guards, validation, checkpoints, what can be seen meanwhile."""

import csv
import io
import math
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch
from torch import Tensor

from irsde.data.leakage.record import Leak, counts
from irsde.data.pairs import Pair, load_all
from irsde.data.sets import degradation_of
from irsde.experiment import provenance
from irsde.experiment.grid import (
    PROGRESS,
    SNAPSHOTS,
    Run,
    checkpoints_in,
    snapshot_file,
)
from irsde.experiment.profile import RunSettings
from irsde.experiment.replaced import LOCK
from irsde.experiment.result_tables import HISTORY, HISTORY_COLUMNS
from irsde.files import (
    INPUT_EXIT_CODE,
    RESULTS,
    InputError,
    digest_file,
    json_number,
    replacing,
    write_json,
    write_text,
)
from irsde.images import write_image
from irsde.machine.devices import (
    compute_device,
    device_name,
    memory_text,
    refusing_too_little_memory,
)
from irsde.machine.holding import held_alone
from irsde.machine.meters import peak_memory
from irsde.machine.signals import STOPPED_EXIT_CODE, StoppedError, StopRequest, stop_on_signals
from irsde.machine.world import World, joined, world_of_environment
from irsde.restoration.restorer import build_network, restorer_of
from irsde.restoration.weights import WEIGHTS, load_weights
from irsde.seeds import seed_from
from irsde.tasks import TASKS
from irsde.terminal import track
from irsde.training.averaging import WIDTHS, found_snapshots
from irsde.training.checkpoints import Row, TrainingState, resume, save, write_tensors
from irsde.training.starting import Start
from irsde.training.update import (
    Batches,
    Stream,
    Update,
    layout_of,
    learning_rate,
    make_optimizer,
    placed,
    to_device,
)
from irsde.training.validation import validate

CHECKPOINTS = "checkpoint"
BEST = "best.safetensors"
BAD_UPDATES_IN_A_ROW = 10
REPORT_EVERY = 10  # seconds between reports of the progress
ASK_EVERY = 2  # seconds in which several processes ask each other once whether to stop
MAX_ROLLBACKS = 3


def train_network(
    run: Run,
    settings: RunSettings,
    identity: dict[str, str],
    leaks: Sequence[Leak],
    *,
    overwrite: bool,
    follow: Callable[[], None] = lambda: None,
    start: Start | None = None,
    make_way: Callable[[], None] = lambda: None,
) -> str:
    """Train a run's network to its last iteration, from its newest checkpoint if there is one.

    Parameters
    ----------
    run : Run
    settings : RunSettings
    identity : dict of str to str
        What the weights depend on; a checkpoint of another is refused.
    leaks : sequence of Leak
        For the card.
    overwrite : bool
        True to start afresh where the checkpoint is of another configuration.
    follow : callable () -> None
        Called after each validation, when the run's files are written.
    start : Start, optional
        What to start from instead of fresh weights.
    make_way : callable () -> None
        Called once the training is known to be possible, before anything of the run is written.

    Returns
    -------
    str
        One line that says what was done.

    Raises
    ------
    InputError
        If a checkpoint cannot be used or written, the network, a batch or a validation image does
        not fit the device, or the loss diverges again and again.
    StoppedError
        If a signal asked to stop, a checkpoint being written; or another process trains the run.
    """
    recipe = settings.training
    assert recipe is not None
    world = world_of_environment()
    if recipe.batch % (world.size * recipe.accumulate):
        raise InputError(
            f"a batch of {recipe.batch} cannot be shared by {world.size} processes in "
            f"{recipe.accumulate} parts each"
        )
    pairs = load_all(run, settings.data.train)
    validation = load_all(run, settings.data.validation)
    with (
        _alone_with(run, world),
        compute_device(recipe.threads, world) as device,
        joined(world, device),
        stop_on_signals(repeated=world.size > 1 or "SLURM_JOB_ID" in os.environ) as stop,
    ):
        with refusing_too_little_memory(
            lambda: (
                f"{run.folder}: the network, its averages and the optimizer's state do not fit "
                f"into {memory_text(device)}"
            )
        ):
            trainer = Trainer(
                run, settings, identity, pairs, validation, world, device, follow, start
            )
            if world.is_first:
                make_way()
            resumed = trainer.resume(overwrite=overwrite)
            trainer.train(stop)
        if world.is_first:
            trainer.finish(counts(leaks))
        world.wait()
    return f"{run.folder}: trained{f', resumed at {resumed}' if resumed else ''}"


@contextmanager
def _alone_with(run: Run, world: World) -> Iterator[None]:
    """Hold the run, among the processes of all machines that share the folder."""
    if not world.is_first:
        yield
        return
    lock = run.folder / CHECKPOINTS / LOCK
    note = RESULTS / ".held" / run.folder.relative_to(RESULTS)
    with held_alone(f"{run.folder}: is being trained", lock, note):
        yield


class Trainer:
    """One network in training.

    Parameters
    ----------
    run : Run
    settings : RunSettings
    identity : dict of str to str
    pairs, validation : sequence of Pair
    world : World
    device : torch.device
    follow : callable () -> None
    start : Start or None
    """

    def __init__(
        self,
        run: Run,
        settings: RunSettings,
        identity: dict[str, str],
        pairs: Sequence[Pair],
        validation: Sequence[Pair],
        world: World,
        device: torch.device,
        follow: Callable[[], None],
        start: Start | None,
    ) -> None:
        assert settings.training is not None
        self.follow, self.start = follow, start
        self.run, self.settings, self.recipe = run, settings, settings.training
        self.identity, self.validation = identity, validation
        self.world, self.device = world, device
        self.snapshots = frozenset(self.recipe.snapshots)
        self.folder = run.folder / CHECKPOINTS
        self.batches = Batches(
            pairs, TASKS[run.task], degradation_of(settings.data), self.recipe, world
        )
        self._begin(0)

    def _begin(self, rollbacks: int) -> None:
        """State before the first iteration."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_from("initialization", self.run.task, self.run.seed))
            network = build_network(self.settings)
        if self.start and self.start.weights:
            load_weights(network, self.start.weights)
        network = placed(network, self.recipe, self.device).train()
        self.state = TrainingState(
            network=network,
            average={name: tensor.clone() for name, tensor in network.state_dict().items()},
            optimizer=make_optimizer(network, self.recipe),
            skipped=torch.zeros((), device=self.device),
            skipped_in_a_row=torch.zeros((), device=self.device),
            rollbacks=rollbacks,
            profiles={
                width: {name: tensor.clone() for name, tensor in network.state_dict().items()}
                for width in (WIDTHS if self.recipe.ema_snapshots else ())
            },
        )
        restorer = restorer_of(self.settings, self.world.wrapped(network))
        self.update = Update(restorer, self.state, self.recipe, self.world, self.device)
        self.started = time.monotonic()

    def resume(self, *, overwrite: bool) -> int:
        """Load the newest checkpoint; the iteration it was made at, 0 without one."""
        resumed, failure = 0, None
        if self.world.is_first:
            try:
                resumed = self._load(overwrite=overwrite)
                if not checkpoints_in(self.folder):
                    self._clear()
            except InputError as error:
                failure = error
        if self.world.any(failure is not None, self.device):
            raise failure or SystemExit(INPUT_EXIT_CODE)  # the first process says it
        if not self.world.is_first:
            resumed = self._load()
        self.started = time.monotonic() - self.state.seconds
        return resumed

    def _load(self, *, overwrite: bool = False, every: int = 1) -> int:
        """Load the newest checkpoint, else that of the run this one continues; its iteration."""
        resumed = resume(
            self.state,
            self.folder,
            self.identity,
            self.settings.model_dump(mode="json"),
            overwrite=overwrite,
            every=every,
        )
        if not resumed and self.start and self.start.continued:
            resumed = resume(self.state, self.start.continued / CHECKPOINTS, self.start.base)
        return resumed

    def _clear(self) -> None:
        """Delete what another training left in the folder; bring what a continued one stored."""
        for name in (SNAPSHOTS, "validation"):
            shutil.rmtree(self.run.folder / name, ignore_errors=True)
        for path in (self.folder / BEST, self.run.folder / HISTORY, self.run.folder / PROGRESS):
            path.unlink(missing_ok=True)
        if self.start and self.start.continued:
            for snapshot in found_snapshots(self.start.continued):
                target = snapshot_file(self.run.folder, snapshot.iteration, snapshot.width)
                with replacing(target) as temporary:
                    shutil.copyfile(snapshot.file, temporary)
            best = self.start.continued / CHECKPOINTS / BEST
            if best.is_file():
                with replacing(self.folder / BEST) as temporary:
                    shutil.copyfile(best, temporary)

    @property
    def stream(self) -> Stream:
        """Name of the random streams; another one after each rollback."""
        rolled = ("rollback", self.state.rollbacks) if self.state.rollbacks else ()
        return ("train", self.run.task, self.run.seed, *rolled)

    def train(self, stop: StopRequest) -> None:
        """Iterate to the end, going back to a checkpoint where the loss does not stay finite.

        Raises
        ------
        InputError
            If it does not after several rollbacks either.
        StoppedError
            If a signal asked to stop.
        """
        while not self._iterate(stop):
            rollbacks = self.state.rollbacks + 1
            if rollbacks > MAX_ROLLBACKS:
                raise InputError(
                    f"{self.run.folder}: loss or gradient do not stay finite, not after "
                    f"{MAX_ROLLBACKS} rollbacks either; lower training.learning_rate"
                )
            started, skipped = self.started, self.state.skipped
            self._begin(rollbacks)
            self._load(every=self.recipe.checkpoint_every)
            self.started = started
            self.state.rollbacks = rollbacks
            self.state.skipped.copy_(skipped)
            self.state.skipped_in_a_row.zero_()

    def _iterate(self, stop: StopRequest) -> bool:
        """Iterations up to the last one; False if too many updates in a row were skipped."""
        state, recipe = self.state, self.recipe
        label = f"{self.run.task} {self.run.method} seed {self.run.seed}"
        first = state.iteration
        begun = time.monotonic()
        self.next_question = first + 1
        self.answered = (first, begun)
        self._report(first, begun)
        if state.unvalidated is not None:
            self._validate(stop)
            self._save()
            self._end_if_asked(stop)
        iterations = range(first, recipe.iterations)
        steps = (
            track(iterations, label, recipe.iterations, first, recipe.batch)
            if self.world.is_first
            else iterations
        )
        for iteration, (x0, mu) in zip(steps, self._prefetched(iterations), strict=True):
            loss, norm = self.update(x0, mu, self.stream, iteration, self._rate(iteration))
            state.losses.append(loss)
            state.iteration = iteration + 1
            last = state.iteration == recipe.iterations
            looked_at = last or state.iteration % BAD_UPDATES_IN_A_ROW == 0
            tolerated = 1 if last else BAD_UPDATES_IN_A_ROW - 1
            if looked_at and float(state.skipped_in_a_row) > tolerated:
                return False
            self._store_snapshots()
            if last or state.iteration % recipe.validate_every == 0:
                state.unvalidated = float(norm)
                self._save()  # what fails in a validation costs no iterations
                self._validate(stop)
                self._report(first, begun)
            elif time.monotonic() > self.reported + REPORT_EVERY:
                self._report(first, begun)
            stopping = self._asked(stop) or state.unvalidated is not None
            if last or stopping or state.iteration % recipe.checkpoint_every == 0:
                self._save()
            if stopping:
                self._end_if_asked(stop)
        return True

    def _asked(self, stop: StopRequest) -> bool:
        """Whether a signal asked one of the processes to stop, as far as they have told each other.

        That takes a message and waits for the device, so several do it every few seconds only, at
        an iteration that all of them compute from the speed of the first.
        """
        iteration = self.state.iteration
        if self.world.size == 1 or iteration < self.next_question:
            return self.world.size == 1 and bool(stop)
        since, then = self.answered
        self.answered = (iteration, time.monotonic())
        spent = self.answered[1] - then if self.world.is_first else 0.0
        both = torch.tensor([float(bool(stop)), spent], device=self.device)
        self.world.sum(both)
        asked, seconds = both.tolist()
        each = max(seconds, 1e-9) / (iteration - since)
        self.next_question = iteration + max(1, int(ASK_EVERY / each))
        return bool(asked)

    def _end_if_asked(self, stop: StopRequest) -> None:
        """Leave where a signal asked to stop, unless all is done."""
        state, recipe = self.state, self.recipe
        done = state.iteration == recipe.iterations and state.unvalidated is None
        if done or not self.world.any(bool(stop), self.device):
            return
        if not self.world.is_first:
            raise SystemExit(STOPPED_EXIT_CODE)  # the first process says it
        raise StoppedError(
            f"{self.run.folder}: stopped by {stop.signal or 'another process'} at iteration "
            f"{state.iteration} of {recipe.iterations}; the same command goes on from its last "
            "checkpoint"
        )

    def _rate(self, iteration: int) -> float:
        return learning_rate(self.recipe, iteration) * 0.5**self.state.rollbacks

    def _store_snapshots(self) -> None:
        """Store the averages of power profiles at evenly spaced iterations."""
        now = self.state.iteration
        if self.world.is_first and now in self.snapshots:
            for width, profile in self.state.profiles.items():
                path = snapshot_file(self.run.folder, now, width)
                write_tensors(path, _contiguous(profile))

    def _prefetched(self, iterations: range) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches on the device; beside a GPU the next one is drawn while it computes."""
        if self.device.type == "cpu":
            for iteration in iterations:
                yield self._moved(*self.batches.draw_batch(self.stream, iteration))
            return
        with ThreadPoolExecutor(1) as pool:
            stream = self.stream
            waiting = [pool.submit(self.batches.draw_batch, stream, i) for i in iterations[:2]]
            for iteration in iterations:
                x0, mu = waiting.pop(0).result()
                if iteration + 2 < iterations.stop:
                    waiting.append(pool.submit(self.batches.draw_batch, stream, iteration + 2))
                yield self._moved(x0, mu)

    def _moved(self, x0: Tensor, mu: Tensor) -> tuple[Tensor, Tensor]:
        layout = layout_of(self.recipe)
        return (
            to_device(x0, self.device, memory_format=layout),
            to_device(mu, self.device, memory_format=layout),
        )

    def _save(self) -> None:
        """Write a checkpoint; not after a skipped update, of which the weights may be the cause.

        The last one is written all the same: it is what the finished run was made of.
        """
        last = self.state.iteration == self.recipe.iterations
        if self.world.is_first and (last or float(self.state.skipped_in_a_row) == 0):
            self.state.seconds = time.monotonic() - self.started
            self._note_peak()
            save(
                self.state,
                self.folder,
                self.identity,
                self.settings.model_dump(mode="json"),
                self.recipe.keep_checkpoints,
                self.recipe.checkpoint_every,
            )

    def _note_peak(self) -> None:
        peak = self.state.peak
        for name, size in peak_memory(self.device).items():
            peak[name] = max(size, peak.get(name, 0))

    def _validate(self, stop: StopRequest) -> None:
        """A row of the history, the images of the validation, and the best weights so far.

        Nothing of it where a signal comes meanwhile: a training that goes on begins with it.
        """
        state = self.state
        validation = validate(
            self.settings,
            self.validation,
            state.network,
            state.average,
            self.device,
            self.world,
            lambda: bool(stop),
        )
        if validation is None:
            return
        norm, state.unvalidated = state.unvalidated, None
        assert norm is not None
        losses = [value for value in map(float, state.losses) if math.isfinite(value)]
        state.losses.clear()
        if not self.world.is_first:
            return
        state.history.append(
            {
                "iteration": state.iteration,
                "loss": math.fsum(losses) / len(losses) if losses else math.nan,
                "gradient_norm": norm,
                "learning_rate": self._rate(state.iteration - 1),
                "ema_decay": self.update.decay(state.iteration),
                "skipped": float(state.skipped),
                "validation_psnr": validation.psnr,
            }
        )
        write_text(self.run.folder / HISTORY, _history_text(state.history))
        with replacing(self.run.folder / "validation" / f"{state.iteration:08d}.png") as temporary:
            write_image(temporary, validation.images)
        if validation.psnr > state.best_psnr:
            state.best_psnr = validation.psnr
            write_tensors(self.folder / BEST, _contiguous(state.average))
        self.follow()

    def _report(self, first: int, begun: float) -> None:
        """What `irsde status` shows of a run in training; it began at an iteration and time."""
        self.reported = time.monotonic()
        if not self.world.is_first:
            return
        state = self.state
        done = state.iteration - first
        seconds = (self.reported - begun) / done if done else None
        write_json(
            self.run.folder / PROGRESS,
            {
                "iteration": state.iteration,
                "iterations": self.recipe.iterations,
                "patches_per_second": self.recipe.batch / seconds if seconds else None,
                "seconds_left": seconds and (self.recipe.iterations - state.iteration) * seconds,
                "validation_psnr": state.history[-1]["validation_psnr"] if state.history else None,
                **({"derived_from": self.start.details["derived_from"]} if self.start else {}),
                "device": device_name(self.device),
                "host": socket.gethostname(),
                "process": os.getpid(),
                "time": time.time(),
                "started": time.time() - (time.monotonic() - self.started),
            },
        )

    def finish(self, leaked: dict[str, int]) -> None:
        """Write the averaged weights and, last, the card."""
        state, recipe, folder = self.state, self.recipe, self.run.folder
        write_tensors(folder / WEIGHTS, _contiguous(state.average))
        write_text(folder / HISTORY, _history_text(state.history))
        (folder / PROGRESS).unlink(missing_ok=True)
        self._note_peak()
        provenance.write_run_card(
            folder,
            self.run,
            self.settings,
            self.identity,
            device_name(self.device),
            {"seconds": time.monotonic() - self.started, **state.peak},
            {
                "parameters": sum(p.numel() for p in state.network.parameters()),
                "leakage": leaked,
                "iterations": recipe.iterations,
                "patches_seen": recipe.iterations * recipe.batch,
                "processes": self.world.size,
                "skipped_updates": int(state.skipped),
                "rollbacks": state.rollbacks,
                "final_validation_psnr": json_number(state.history[-1]["validation_psnr"]),
                "best_validation_psnr": None if state.best_psnr < 0 else state.best_psnr,
                "weights_sha256": digest_file(folder / WEIGHTS),
                **(self.start.details if self.start else {}),
            },
        )


def _contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def _history_text(history: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=HISTORY_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue()
