"""Evaluating one run: restore a prepared data set, score every image, write one folder."""

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from irsde import provenance
from irsde.classical import CLASSICAL, estimate_noise_level
from irsde.config import EvaluationSettings
from irsde.data.datasets import dataset_card
from irsde.data.pairs import Pair, load_pairs, to_tensor
from irsde.devices import compute_device
from irsde.files import InputError, digest_json, replacing_folder, write_json
from irsde.images import Pixels, to_pixels, write_image
from irsde.methods import METHODS
from irsde.metrics import METRICS, perceptual_metric
from irsde.parallel import World, joined, world_of_environment
from irsde.plan import Evaluation, pairs_folder
from irsde.progress import track
from irsde.protocols import PROTOCOLS, score_pair
from irsde.tasks import TASKS

if TYPE_CHECKING:
    import torch

    from irsde.restoration import Conversion
    from irsde.samplers import Grid

Image = NDArray[np.float32]


@dataclass(frozen=True)
class Scored:
    """A restored image's row of the table, and its pixels where they are kept."""

    image: str
    values: dict[str, Any]
    pixels: Pixels | None


def evaluate(
    evaluation: Evaluation,
    settings: EvaluationSettings,
    sampling_seed: int = 0,
    leaked: Collection[str] = (),
) -> str:
    """Restore and score one data set with one run, and write the evaluation's folder.

    Parameters
    ----------
    evaluation : Evaluation
        Run, data set, sampler and NFE.
    settings : EvaluationSettings
        Batch, threads, protocol and how many images to keep.
    sampling_seed : int
        Seed of the sampling noise, the same for all methods.
    leaked : collection of str
        Images of the data set that are shown in the training data, for the tables.

    Returns
    -------
    str
        One line with the mean PSNR; nothing in processes other than the first.

    Raises
    ------
    InputError
        If the run or the data set is absent or does not fit.
    """
    run = evaluation.run
    card = provenance.read_run_card(run.folder)
    if (card["task"], card["method"], card["seed"]) != (run.task, run.method, run.seed):
        raise InputError(f"{run.folder / 'run.json'}: is the card of another run")
    folder = pairs_folder(run.profile, run.task, evaluation.dataset)
    data = dataset_card(folder)
    pairs = load_pairs(folder)
    protocol = PROTOCOLS[settings.protocol]
    perceptual = perceptual_metric()
    start = time.monotonic()
    world = world_of_environment()
    with compute_device(settings.threads, world) as device, joined(world, device):
        kept = len(pairs) if settings.keep_images == "all" else settings.keep_images
        shown = {pair.image for pair in pairs[:kept]}
        restored = _restored(evaluation, card, pairs, settings, sampling_seed, device, world)
        label = f"{run.task} {run.method} seed {run.seed}, {evaluation.folder.name}"
        share = [
            Scored(
                pair.image,
                {
                    "image": pair.image,
                    "scene": pair.scene,
                    **score_pair(image, pair.x0, protocol),
                    "nfe": nfe,
                },
                to_pixels(image) if pair.image in shown else None,
            )
            for pair, image, nfe in track(restored, label, -(-len(pairs) // world.size))
        ]
        scored = {row.image: row for part in world.gather(share) for row in part}
    if not world.is_first:
        return ""
    rows = [scored[pair.image].values for pair in pairs]
    with replacing_folder(evaluation.folder) as temporary:
        (temporary / "images").mkdir()
        for row in scored.values():
            if row.pixels is not None:
                write_image(temporary / "images" / f"{row.image}.png", row.pixels)
        seconds = time.monotonic() - start
        table = pd.DataFrame(rows)
        table.to_csv(temporary / "per_image.csv", index=False, lineterminator="\n", na_rep="")
        write_json(
            temporary / "summary.json",
            {
                "profile": run.profile,
                "task": run.task,
                "task_label": TASKS[run.task].label,
                "method": run.method,
                "method_label": card["label"],
                "seed": run.seed,
                "run": run.folder.as_posix(),
                "run_identity": digest_json(card["identity"]),
                "dataset": data,
                "leaked": [pair.image for pair in pairs if pair.source in leaked],
                "sampler": evaluation.sampler,
                "nfe": evaluation.nfe,
                "grid": evaluation.grid,
                "conversion": evaluation.conversion,
                "versions": provenance.versions(),
                "sampling_seed": sampling_seed,
                "parameters": card["parameters"],
                "protocol": {
                    "name": settings.protocol,
                    "version": protocol.version,
                    "label": protocol.label,
                },
                "lpips": {"network": perceptual.network, "unavailable": perceptual.unavailable},
                "settings": settings.model_dump(mode="json"),
                "code": provenance.code_hash("evaluate"),
                **provenance.commit(),
                "metrics": [
                    {
                        "name": name,
                        "label": metric.label,
                        "higher_is_better": metric.higher_is_better,
                        "decimals": metric.decimals,
                        "mean": None if table[name].isna().any() else float(table[name].mean()),
                    }
                    for name, metric in METRICS.items()
                ],
            },
        )
        write_json(
            temporary / "cost.json",
            {
                "seconds": seconds,
                "seconds_per_image": seconds / len(rows),
                "peak_memory_bytes": provenance.peak_memory_bytes(),
            },
        )
    return f"{evaluation.folder}: {table['psnr'].mean():.2f} dB over {len(rows)} images"


def _restored(
    evaluation: Evaluation,
    card: dict[str, Any],
    pairs: Sequence[Pair],
    settings: EvaluationSettings,
    sampling_seed: int,
    device: "torch.device",
    world: World,
) -> Iterator[tuple[Pair, Image, int]]:
    """Pairs of this process with their restored images and the network evaluations spent."""
    kind = METHODS[evaluation.run.method.partition("+")[0]].kind
    if kind == "identity":
        for pair in pairs[world.rank :: world.size]:
            yield pair, pair.mu, 0
    elif kind == "classical":
        method = CLASSICAL[evaluation.run.task]
        value = card["tuned"][method.parameter_name]
        for pair in pairs[world.rank :: world.size]:
            yield pair, method.function(pair.mu, value), 0
    else:
        yield from _restored_by_network(evaluation, pairs, settings, sampling_seed, device, world)


def _restored_by_network(
    evaluation: Evaluation,
    pairs: Sequence[Pair],
    settings: EvaluationSettings,
    sampling_seed: int,
    device: "torch.device",
    world: World,
) -> Iterator[tuple[Pair, Image, int]]:
    import torch

    from irsde.restoration import WEIGHTS, load_restorer
    from irsde.seeds import torch_generator

    run = evaluation.run
    folder = pairs_folder(run.profile, run.task, evaluation.dataset)
    known = dataset_card(folder)["noise_level"]
    card, run_settings = provenance.read_network_run(run.folder)
    restorer = load_restorer(run.folder, run_settings, device)
    provenance.check_weights(run.folder / WEIGHTS, card)
    estimated = settings.noise_level == "estimated" and not restorer.conditional
    batches = list(_batches(pairs, 1 if estimated else settings.batch))
    for batch in batches[world.rank :: world.size]:
        noise_level = estimate_noise_level(batch[0].mu) if estimated else known
        nfe = evaluation.nfe
        if estimated:
            nfe = min(nfe, restorer.first_step(noise_level))
        mu = to_tensor([pair.mu for pair in batch])
        generators = [
            torch_generator("sampling", sampling_seed, evaluation.dataset, pair.image)
            for pair in batch
        ]
        restored = restorer.restore(
            mu.to(device, memory_format=torch.channels_last),
            evaluation.sampler,
            nfe,
            generators,
            cast("Grid", evaluation.grid),
            noise_level,
            cast("Conversion", evaluation.conversion),
        )
        for pair, image in zip(batch, restored.cpu().numpy(), strict=True):
            yield pair, image.transpose(1, 2, 0), nfe


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


def read_evaluations(folder: Path) -> list[Path]:
    """Folders of all finished evaluations below a profile's results, sorted by path."""
    found = folder.glob("*/*/seed*/evaluations/*/*/summary.json")
    return sorted(path.parent for path in found if not path.parent.name.startswith("."))
