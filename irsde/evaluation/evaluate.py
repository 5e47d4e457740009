"""Evaluating one run: restore a prepared data set, score every image, write one folder."""

import sys
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from irsde.data.pairs import Pair, load_pairs
from irsde.data.sets import prepared_card
from irsde.evaluation.current import is_scored
from irsde.evaluation.states import States, Trail
from irsde.experiment import provenance
from irsde.experiment.cards import RunCard
from irsde.experiment.code import code_hash
from irsde.experiment.grid import (
    Evaluation,
    Run,
    default_sampler,
    pairs_folder,
    refuse_without_effect,
)
from irsde.experiment.options import EvaluationOptions
from irsde.experiment.profile import EvaluationSettings, Profile
from irsde.experiment.replaced import replacing_evaluation
from irsde.experiment.result_tables import (
    PER_IMAGE,
    PER_IMAGE_COLUMNS,
    PER_PROTOCOL,
    PER_PROTOCOL_COLUMNS,
)
from irsde.experiment.summary import SUMMARY, Summary
from irsde.files import InputError, digest_json
from irsde.images import Pixels, to_pixels, to_tensor, write_image
from irsde.machine.devices import compute_device
from irsde.machine.meters import Meter
from irsde.machine.world import joined, world_of_environment
from irsde.methods import method_of
from irsde.restoration.classical import classical_method, estimate_noise_level
from irsde.scoring.metrics import METRICS
from irsde.scoring.protocols import PROTOCOLS
from irsde.scoring.score import (
    Score,
    Table,
    exact_images,
    mean_text,
    reference_hash,
    score,
    score_card,
    table_of,
    write_table,
)
from irsde.tasks import TASKS
from irsde.terminal import track

if TYPE_CHECKING:
    import torch

    from irsde.restoration.restorer import Restorer


Image = NDArray[np.float32]


@dataclass(frozen=True)
class Batch:
    """Pairs of one size that were restored together.

    Parameters
    ----------
    pairs : sequence of Pair
    restored : ndarray of float32, shape (B, H, W, 3)
        Nominally in [0, 1], not clipped.
    nfe : int
        Network evaluations spent on each image.
    states : States, optional
        The way of the first image from the start to the restored image.
    """

    pairs: Sequence[Pair]
    restored: Image
    nfe: int
    states: States | None = None


@dataclass(frozen=True)
class Scored:
    """A restored image's row of the table, all its scores, and its pixels where they are kept."""

    image: str
    values: dict[str, float | str | None]
    score: Score
    pixels: Pixels | None


@dataclass
class Part:
    """What one process did of an evaluation."""

    rows: list[Scored]
    pixels: int
    states: States | None


def usual_evaluation(run: Run, dataset: str, profile: Profile, card: RunCard) -> Evaluation:
    """The evaluation of a run on a test set where one asks for nothing else.

    Parameters
    ----------
    run : Run
    dataset : str
    profile : Profile
        As `provenance.evaluation_profile` gives it.
    card : RunCard
        Run card. An imported run has as many steps as its own process, from T or the step of the
        noise level down, and is read as its card says.

    Raises
    ------
    InputError
        If the data set of an imported run is not prepared, or its noise is out of range.
    """
    sampler, nfe = default_sampler(profile, run.method)
    if card.imported_from is None:
        return Evaluation(run, dataset, EvaluationOptions(sampler, nfe))
    from irsde.restoration.restorer import noise_step, process_of, usual_conversion

    _, settings = provenance.read_network_run(run.folder)
    process = process_of(settings)
    if process is not None:
        noise_level = prepared_card(pairs_folder(run.profile, run.task, dataset)).noise_level
        conditional = method_of(run.method).conditional
        most = process.steps if conditional else noise_step(process, noise_level)
        nfe = most if profile.evaluation.nfe is None else min(profile.evaluation.nfe, most)
    conversion = usual_conversion(card, sampler)
    return Evaluation(run, dataset, EvaluationOptions(sampler, nfe, conversion=conversion))


class Shared:
    """What the evaluations of one run share: device, networks with its weights, a data set's pairs.

    Each is made when the first evaluation needs it.

    Parameters
    ----------
    run : Run
    settings : EvaluationSettings
    """

    def __init__(self, run: Run, settings: EvaluationSettings) -> None:
        self.run, self.settings = run, settings
        self.world = world_of_environment()
        self._open = ExitStack()
        self.device = lru_cache(1)(self._device)
        self.pairs = lru_cache(1)(self._pairs)
        self.restorer = lru_cache(None)(self._restorer)

    def __enter__(self) -> "Shared":
        """Hold nothing yet."""
        return self

    def __exit__(self, *error: Any) -> None:
        """Give the device back."""
        self._open.__exit__(*error)

    def _device(self) -> "torch.device":
        device = self._open.enter_context(compute_device(self.settings.threads, self.world))
        self._open.enter_context(joined(self.world, device))
        return device

    def _pairs(self, dataset: str) -> list[Pair]:
        return load_pairs(pairs_folder(self.run.profile, self.run.task, dataset))

    def _restorer(self, weights: str, snapshot: int) -> "Restorer":
        from irsde.restoration.restorer import load_restorer
        from irsde.restoration.weights import WEIGHTS, check_finite, load_snapshot, raw_weights

        folder = self.run.folder
        card, run_settings = provenance.read_network_run(folder)
        restorer = load_restorer(folder, run_settings, self.device())
        provenance.check_weights(folder / WEIGHTS, card)
        if weights == "raw":
            raw = raw_weights(folder / "checkpoint", card.identity)
            for name, tensor in raw.items():
                check_finite(folder / "checkpoint", name, tensor)
            restorer.network.load_state_dict(raw)
        if snapshot:
            load_snapshot(restorer.network, folder, snapshot)
        return restorer


def evaluate_all(
    evaluations: Sequence[Evaluation],
    settings: EvaluationSettings,
    leaked: Mapping[str, Collection[str]],
) -> Iterator[tuple[Evaluation, str]]:
    """Restore and score with one run, in one process: `evaluate` for each of its evaluations.

    One that fails is named on standard error and does not keep the others from being made.

    Parameters
    ----------
    evaluations : sequence of Evaluation
        Of one run.
    settings : EvaluationSettings
    leaked : mapping of str to collection of str
        By data set, as in `evaluate`.

    Yields
    ------
    Evaluation, str
        Each that is finished, and its line.

    Raises
    ------
    InputError
        At the end, if some failed; that of the evaluation itself where it is the only one.
    """
    failed: list[str] = []
    with Shared(evaluations[0].run, settings) as shared:
        for evaluation in evaluations:
            try:
                line = evaluate(evaluation, settings, leaked.get(evaluation.dataset, ()), shared)
            except Exception as error:
                is_input = isinstance(error, InputError)
                if len(evaluations) == 1 or (shared.world.size > 1 and not is_input):
                    raise
                if shared.world.is_first:
                    told = str(error) if is_input else traceback.format_exc()
                    print(f"irsde: {evaluation.place}: {told}", file=sys.stderr)  # noqa: T201
                failed.append(evaluation.place)
            else:
                yield evaluation, line
    if failed:
        raise InputError(
            f"{evaluations[0].run.folder}: {len(failed)} of {len(evaluations)} evaluations failed: "
            f"{', '.join(failed)}; the others are finished"
        )


def evaluate(
    evaluation: Evaluation,
    settings: EvaluationSettings,
    leaked: Collection[str] = (),
    shared: Shared | None = None,
) -> str:
    """Restore and score one data set with one run, and write the evaluation's folder.

    Parameters
    ----------
    evaluation : Evaluation
        Run, data set and options; the seed of the sampling noise is the same for all methods.
    settings : EvaluationSettings
        Batch, threads, protocol and how many images to keep.
    leaked : collection of str
        Images of the data set that are shown in the training data, for the tables.
    shared : Shared, optional
        Of the same run and settings, where it is evaluated more than once.

    Returns
    -------
    str
        One line with the mean PSNR of the protocol; nothing in processes other than the first.

    Raises
    ------
    InputError
        If the run or the data set is absent or does not fit, an option has no effect, or a
        restored image is not finite; nothing is written then.
    """
    if shared is None:
        with Shared(evaluation.run, settings) as alone:
            return evaluate(evaluation, settings, leaked, alone)
    run = evaluation.run
    refuse_without_effect(evaluation.options, run.method)
    card = provenance.read_run_card(run.folder)
    if (card.task, card.method, card.seed) != (run.task, run.method, run.seed):
        raise InputError(f"{run.folder / 'run.json'}: is the card of another run")
    if is_scored(evaluation, settings, leaked):
        return f"{evaluation.folder}: up to date"
    data = prepared_card(pairs_folder(run.profile, run.task, evaluation.dataset))
    pairs = shared.pairs(evaluation.dataset)
    world = shared.world
    meter = Meter(shared.device())
    kept = len(pairs) if settings.keep_images == "all" else settings.keep_images
    shown = {pair.image for pair in pairs[:kept]}
    parts = world.gathered(lambda: _part(evaluation, card, pairs, shared, meter, shown))
    scored = {row.image: row for part in parts for row in part.rows}
    if not world.is_first:
        return ""
    own = parts[0]
    in_order = [scored[pair.image] for pair in pairs]
    table = table_of((row.values for row in in_order), PER_IMAGE_COLUMNS)
    lines = [line for row in in_order for line in row.score.by_protocol]
    protocols = table_of(lines, PER_PROTOCOL_COLUMNS)
    with replacing_evaluation(evaluation.folder) as (temporary, earlier):
        _write_images(temporary, in_order, own.states)
        write_table(temporary / PER_IMAGE, table)
        write_table(temporary / PER_PROTOCOL, protocols)
        cost = _cost(meter, own)
        summary = Summary.model_validate(
            {
                **_run_facts(run, card),
                "dataset": data,
                "leaked": [pair.image for pair in pairs if pair.source in leaked],
                **asdict(evaluation.options),
                "versions": provenance.versions(),
                "multiply_accumulates": _multiply_accumulates(
                    evaluation, pairs, table["nfe"], shared
                ),
                "settings": settings.model_dump(mode="json"),
                "code": code_hash("evaluate"),
                **provenance.commit(),
                **score_card(
                    settings.protocol,
                    table,
                    [row.score.features for row in in_order],
                    evaluation.dataset,
                ),
            }
        )
        summary.write(temporary / SUMMARY)
        provenance.write_cost(temporary, cost)
    kept_in = "".join(f"; the earlier one is kept in {place}" for place in earlier)
    return f"{evaluation.folder}: {_headline(table, settings.protocol)}{kept_in}"


def _run_facts(run: Run, card: RunCard) -> dict[str, object]:
    """What the summary says of the run."""
    return {
        "profile": run.profile,
        "task": run.task,
        "task_label": TASKS[run.task].label,
        "method": run.method,
        "method_label": card.label,
        "seed": run.seed,
        "run": run.folder.as_posix(),
        "run_identity": digest_json(card.identity),
        "parameters": card.parameters,
    }


def _write_images(folder: Path, rows: Sequence[Scored], states: States | None) -> None:
    (folder / "images").mkdir()
    for row in rows:
        if row.pixels is not None:
            write_image(folder / "images" / f"{row.image}.png", row.pixels)
    if states is not None:
        states.write(folder / "states")


def _cost(meter: Meter, own: Part) -> dict[str, float | None]:
    """What the restoration took in this process."""
    return {
        "seconds": meter.seconds,
        "seconds_per_image": meter.seconds / len(own.rows),
        "seconds_per_megapixel": 1e6 * meter.seconds / own.pixels,
        **meter.memory(),
        "joules": meter.joules,
    }


def _headline(table: Table, protocol: str) -> str:
    """Mean PSNR of a protocol in words."""
    psnr = PROTOCOLS[protocol].headline[0]
    name = METRICS[psnr].label.removesuffix(" (dB)")
    exact = exact_images(table)
    named = f", restored exactly: {exact}" if exact else ""
    return f"{name} {mean_text(table, psnr)} dB over {len(table['image'])} images{named}"


def _part(
    evaluation: Evaluation,
    card: RunCard,
    pairs: Sequence[Pair],
    shared: Shared,
    meter: Meter,
    shown: Collection[str],
) -> Part:
    """Restore and score the pairs of this process."""
    run, settings = evaluation.run, shared.settings
    part = Part([], 0, None)
    label = f"{run.task} {run.method} seed {run.seed}, {evaluation.options.name}"
    total = -(-len(pairs) // shared.world.size)
    batches = _restored(evaluation, card, pairs, shared, meter)
    for batch in track(batches, label, total, size=lambda batch: len(batch.pairs)):
        part.pixels += batch.restored[..., 0].size
        part.states = part.states or batch.states
        part.rows += _scored(batch, settings.protocol, shared.device(), shown)
    return part


def _scored(
    batch: Batch, protocol: str, device: "torch.device", shown: Collection[str]
) -> list[Scored]:
    """Rows of a batch."""
    reference = np.stack([pair.x0 for pair in batch.pairs])
    names = [pair.image for pair in batch.pairs]
    scores = score(names, batch.restored, reference, protocol, str(device))
    return [
        Scored(
            pair.image,
            {
                "image": pair.image,
                "scene": pair.scene,
                **of_image.values,
                "nfe": batch.nfe,
                "reference": reference_hash(pair.x0),
            },
            of_image,
            to_pixels(restored) if pair.image in shown else None,
        )
        for pair, restored, of_image in zip(batch.pairs, batch.restored, scores, strict=True)
    ]


def _restored(
    evaluation: Evaluation,
    card: RunCard,
    pairs: Sequence[Pair],
    shared: Shared,
    meter: Meter,
) -> Iterator[Batch]:
    """Pairs of this process with their restored images, batch by batch."""
    kind = method_of(evaluation.run.method).kind
    if kind in ("regression", "process", "published"):
        yield from _restored_by_network(evaluation, pairs, shared, meter)
        return
    restore = _direct(evaluation.run, card)
    world = shared.world
    for batch in list(_batches(pairs, shared.settings.batch))[world.rank :: world.size]:
        with meter.running():
            restored = np.stack([restore(pair.mu) for pair in batch])
        _refuse_not_finite(batch, restored)
        yield Batch(batch, restored, 0)


def _refuse_not_finite(pairs: Sequence[Pair], restored: Image) -> None:
    for pair, image in zip(pairs, restored, strict=True):
        if not np.isfinite(image).all():
            raise InputError(
                f"{pair.image}: the restored image has values that are not finite; try another "
                "sampler or more network evaluations"
            )


def _direct(run: Run, card: RunCard) -> Callable[[Image], Image]:
    """What restores an image without a network: nothing, or the tuned classical method."""
    if method_of(run.method).kind == "identity":
        return lambda image: image
    method = classical_method(run.task)
    value = (card.tuned or {}).get(method.parameter_name)
    if value is None:
        raise InputError(
            f"{run.folder / 'run.json'}: has no {method.parameter_name}; run irsde train again"
        )
    return lambda image: method.function(image, value)


def _restored_by_network(
    evaluation: Evaluation, pairs: Sequence[Pair], shared: Shared, meter: Meter
) -> Iterator[Batch]:
    import torch

    from irsde.seeds import torch_generator

    run, options, settings = evaluation.run, evaluation.options, shared.settings
    world, device = shared.world, shared.device()
    folder = pairs_folder(run.profile, run.task, evaluation.dataset)
    known = prepared_card(folder).noise_level
    restorer = shared.restorer(options.weights, options.snapshot)
    estimated = settings.noise_level == "estimated" and not restorer.conditional
    batches = list(_batches(pairs, 1 if estimated else settings.batch))
    for index in range(world.rank, len(batches), world.size):
        batch = batches[index]
        noise_level = estimate_noise_level(batch[0].mu) if estimated else known
        nfe = options.nfe
        if estimated:
            nfe = min(nfe, restorer.first_step(noise_level))
        generators = [
            torch_generator("sampling", options.sampling_seed, evaluation.dataset, pair.image)
            for pair in batch
        ]
        trail = Trail(restorer, batch[0], nfe) if index == 0 else None
        with (
            meter.running(),
            torch.autocast(device.type, torch.bfloat16, enabled=options.precision == "bfloat16"),
        ):
            mu = to_tensor([pair.mu for pair in batch])
            for step, state in restorer.states(
                mu.to(device, memory_format=torch.channels_last),
                options.sampler,
                nfe,
                generators,
                options.grid,
                noise_level,
                options.conversion,
            ):
                restored = state
                if trail:
                    trail.add(step, state[0])
            images = restored.float().cpu().numpy().transpose(0, 2, 3, 1)
        _refuse_not_finite(batch, images)
        states = trail.states(evaluation) if trail and restorer.process else None
        yield Batch(batch, images, nfe, states)


def _multiply_accumulates(
    evaluation: Evaluation, pairs: Sequence[Pair], nfe: Sequence[int], shared: Shared
) -> float:
    """Multiply-accumulates of a mean image, all network evaluations together."""
    if not method_of(evaluation.run.method).has_network:
        return 0.0
    from irsde.restoration.cost import multiply_accumulates

    restorer = shared.restorer(evaluation.options.weights, evaluation.options.snapshot)
    shapes = [(pair.x0.shape[0], pair.x0.shape[1]) for pair in pairs]
    of_shape = {shape: multiply_accumulates(restorer, *shape) for shape in set(shapes)}
    return float(np.mean([of_shape[shape] * n for shape, n in zip(shapes, nfe, strict=True)]))


def _batches(pairs: Sequence[Pair], size: int) -> Iterator[list[Pair]]:
    """Runs of consecutive pairs of one shape, at most `size` long."""
    batch: list[Pair] = []
    for pair in pairs:
        if batch and (len(batch) == size or pair.x0.shape != batch[0].x0.shape):
            yield batch
            batch = []
        batch.append(pair)
    if batch:
        yield batch
