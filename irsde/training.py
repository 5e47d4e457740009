"""Training one run: the loop, moving average, checkpoints, and resuming to the same bits.

Every random number is drawn from a stream named by (task, seed, iteration, purpose), so the state
to resume from is the iteration, the weights and the optimizer, and all methods of a seed see the
same patches and the same noise.
"""

import csv
import io
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irsde import provenance
from irsde.classical import CLASSICAL
from irsde.config import RunSettings, TrainingSettings
from irsde.data.datasets import dataset_card, degradation_of, noise_level_of
from irsde.data.leakage import Leak, counts
from irsde.data.pairs import Pair, draw_batch, load_pairs, to_tensor
from irsde.devices import compute_device, device_name
from irsde.files import InputError, digest_file, digest_json, read_json, replacing, write_text
from irsde.images import to_pixels
from irsde.methods import METHODS
from irsde.metrics import psnr
from irsde.plan import Run, pairs_folder
from irsde.progress import track
from irsde.seeds import numpy_generator, seed_from
from irsde.tasks import TASKS, Degradation

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from irsde.checkpoints import Row, TrainingState
    from irsde.restoration import Restorer

CHECKPOINT = Path("checkpoint") / "state.safetensors"
HISTORY = ("iteration", "loss", "gradient_norm", "learning_rate", "validation_psnr")


def train(run: Run, settings: RunSettings, *, overwrite: bool, leaks: Sequence[Leak] = ()) -> str:
    """Train or tune one run, resuming from its checkpoint if there is one.

    Parameters
    ----------
    run : Run
        Says where the results go.
    settings : RunSettings
        Resolved settings of the run.
    overwrite : bool
        True to start afresh where what lies there belongs to another configuration.
    leaks : sequence of Leak
        What `leakage.check_task` found in the data.

    Returns
    -------
    str
        One line that says what was done.

    Raises
    ------
    InputError
        If the prepared data are absent, training images leak into the test sets and that is not
        allowed, or what lies there belongs to another configuration and `overwrite` is False.
    """
    _refuse_leaks(run, settings, leaks)
    identity = _identity(run, settings)
    card = run.folder / "run.json"
    if card.is_file():
        if read_json(card).get("identity") == identity and _weights_agree(run, settings):
            return f"{run.folder}: up to date"
        if not overwrite:
            raise InputError(
                f"{run.folder}: holds a run of another configuration, code or data; "
                "nothing was changed; give --overwrite to replace it"
            )
    card.unlink(missing_ok=True)
    if settings.training is None:
        return _tune(run, settings, identity, leaks)
    return _train_network(run, settings, settings.training, identity, leaks, overwrite=overwrite)


def _identity(run: Run, settings: RunSettings) -> dict[str, str]:
    """What a run's weights depend on; two runs that agree in it are the same run."""
    return {
        "settings": settings.hash,
        "code": provenance.code_hash("train" if settings.training else "tune"),
        "train_data": _fingerprint(run, settings.data.train),
        "validation_data": _fingerprint(run, settings.data.validation),
    }


def _fingerprint(run: Run, datasets: tuple[str, ...]) -> str:
    folders = [pairs_folder(run.profile, run.task, name) for name in datasets]
    return digest_json([dataset_card(folder)["fingerprint"] for folder in folders])


def _refuse_leaks(run: Run, settings: RunSettings, leaks: Sequence[Leak]) -> None:
    if leaks and not settings.data.allow_leakage:
        first = leaks[0]
        images = len({(leak.test_set, leak.test_image) for leak in leaks})
        raise InputError(
            f"{run.task}: {images} test images are shown in the training data, the first "
            f"{first.test_set}/{first.test_image} by {first.train_set}/{first.train_image} "
            f"({first.evidence}); leave their scenes out (data.without), or give --allow-leakage"
        )


def _weights_agree(run: Run, settings: RunSettings) -> bool:
    weights = run.folder / "weights.safetensors"
    recorded = read_json(run.folder / "run.json").get("weights_sha256")
    if settings.training is None:
        return True
    return weights.is_file() and digest_file(weights) == recorded


def _pairs(run: Run, datasets: tuple[str, ...]) -> list[Pair]:
    folders = [pairs_folder(run.profile, run.task, name) for name in datasets]
    return [pair for folder in folders for pair in load_pairs(folder)]


def _tune(run: Run, settings: RunSettings, identity: dict[str, str], leaks: Sequence[Leak]) -> str:
    """Choose the one parameter of a classical method on the validation pairs."""
    start = time.monotonic()
    details: dict[str, Any] = {"parameters": 0, "leakage": counts(leaks)}
    if METHODS[run.method.partition("+")[0]].kind == "classical":
        method = CLASSICAL[run.task]
        pairs = _pairs(run, settings.data.validation)
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
    provenance.write_run_card(
        run.folder, run, settings, identity, "cpu, 1 thread", seconds, details
    )
    return f"{run.folder}: done"


def _psnr(restored: Any, pair: Pair) -> float:
    return psnr(to_pixels(restored), pair.x0)


def learning_rate(settings: TrainingSettings, iteration: int) -> float:
    """Learning rate of an iteration, counted from 0.

    Linear warm-up, then halved at each milestone (the authors' recipe) or cosine decay to 1 %.
    """
    warm = min(1.0, (iteration + 1) / settings.warmup) if settings.warmup else 1.0
    if settings.learning_rate_schedule == "cosine":
        fraction = iteration / settings.iterations
        return (
            settings.learning_rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * fraction)))
        )
    halvings = sum(iteration >= milestone for milestone in settings.milestones)
    return settings.learning_rate * warm * 0.5**halvings


def _train_network(
    run: Run,
    settings: RunSettings,
    recipe: TrainingSettings,
    identity: dict[str, str],
    leaks: Sequence[Leak],
    *,
    overwrite: bool,
) -> str:
    from safetensors.torch import save_file

    from irsde.checkpoints import resume, save
    from irsde.restoration import WEIGHTS, restorer_of

    pairs = _pairs(run, settings.data.train)
    degradation = degradation_of(settings.data)
    validation = _pairs(run, settings.data.validation)
    with compute_device(recipe.threads) as device:
        state = _initial_state(run, settings, recipe, device)
        checkpoint = run.folder / CHECKPOINT
        resumed = resume(state, checkpoint, identity, overwrite=overwrite)
        restorer = restorer_of(settings, state.network)
        started = time.monotonic() - state.seconds
        for iteration in track(
            range(state.iteration, recipe.iterations),
            f"{run.task} {run.method} seed {run.seed}",
            recipe.iterations,
            state.iteration,
        ):
            loss, norm = _update(
                run, pairs, degradation, recipe, restorer, state, iteration, device
            )
            state.losses.append(loss)
            state.iteration = iteration + 1
            last = state.iteration == recipe.iterations
            if last or state.iteration % recipe.validate_every == 0:
                mean = math.fsum(map(float, state.losses)) / len(state.losses)
                state.losses.clear()
                _refuse_divergence(run, mean, state.iteration)
                state.history.append(
                    {
                        "iteration": state.iteration,
                        "loss": mean,
                        "gradient_norm": float(norm),
                        "learning_rate": learning_rate(recipe, iteration),
                        "validation_psnr": _validate(
                            run, settings, recipe, validation, state, device
                        ),
                    }
                )
            if not last and state.iteration % recipe.checkpoint_every == 0:
                state.seconds = time.monotonic() - started
                save(state, checkpoint, identity)

        with replacing(run.folder / WEIGHTS) as temporary:
            save_file({name: t.contiguous() for name, t in state.average.items()}, temporary)
        write_text(run.folder / "training.csv", _history_text(state.history))
        save(state, checkpoint, identity)
        parameters = sum(p.numel() for p in state.network.parameters())
        provenance.write_run_card(
            run.folder,
            run,
            settings,
            identity,
            device_name(device),
            time.monotonic() - started,
            {
                "parameters": parameters,
                "leakage": counts(leaks),
                "iterations": recipe.iterations,
                "patches_seen": recipe.iterations * recipe.batch,
                "final_validation_psnr": state.history[-1]["validation_psnr"],
                "weights_sha256": digest_file(run.folder / WEIGHTS),
            },
        )
    return f"{run.folder}: trained{f', resumed at {resumed}' if resumed else ''}"


def _initial_state(
    run: Run, settings: RunSettings, recipe: TrainingSettings, device: "torch.device"
) -> "TrainingState":
    import torch

    from irsde.checkpoints import TrainingState
    from irsde.restoration import build_network

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_from("initialization", run.task, run.seed))
        network = build_network(settings)
    network = network.to(device).to(memory_format=torch.channels_last).train()
    return TrainingState(
        network=network,
        average={name: tensor.clone() for name, tensor in network.state_dict().items()},
        optimizer=torch.optim.Adam(
            network.parameters(), lr=recipe.learning_rate, betas=recipe.betas
        ),
        iteration=0,
        losses=[],
        history=[],
        seconds=0.0,
    )


def _update(
    run: Run,
    pairs: list[Pair],
    degradation: Degradation,
    recipe: TrainingSettings,
    restorer: "Restorer",
    state: "TrainingState",
    iteration: int,
    device: "torch.device",
) -> "tuple[Tensor, Tensor]":
    """One optimizer update; loss and gradient norm stay on the device."""
    import torch

    stream = ("train", run.task, run.seed, iteration)
    x0, mu = draw_batch(
        pairs,
        TASKS[run.task],
        recipe.patch,
        recipe.batch,
        numpy_generator(*stream, "patches"),
        degradation,
    )
    loss = training_loss(
        restorer,
        x0.to(device, memory_format=torch.channels_last),
        mu.to(device, memory_format=torch.channels_last),
        recipe,
        seed_from(*stream, "noise"),
    )
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(recipe, iteration)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.get_total_norm(
        [p.grad for p in state.network.parameters() if p.grad is not None]
    )
    state.optimizer.step()
    if (iteration + 1) % recipe.ema_every == 0:
        updates = (iteration + 1) // recipe.ema_every
        decay = min(recipe.ema_decay, updates / (updates + 10))
        with torch.no_grad():
            for name, tensor in state.network.state_dict().items():
                state.average[name].lerp_(tensor, 1 - decay)
    return loss.detach(), norm


def training_loss(
    restorer: "Restorer", x0: "Tensor", mu: "Tensor", recipe: TrainingSettings, seed: int
) -> "Tensor":
    """Mean loss of a batch.

    Parameters
    ----------
    restorer : Restorer
    x0, mu : Tensor, shape (B, 3, H, W)
        Clean and degraded patches in [0, 1].
    recipe : TrainingSettings
        Says the norm.
    seed : int
        Seed of the steps and of the noise; the same for all methods.

    Returns
    -------
    Tensor, shape ()
    """
    import torch

    from irsde.objectives import OBJECTIVES, largest_step, loss_per_image, per_image
    from irsde.restoration import REGRESSION_STEP

    if restorer.process is None:
        output = restorer.output(mu, mu, REGRESSION_STEP)
        return per_image(output - x0, recipe.norm).mean()
    if restorer.centered:
        x0, mu = 2 * x0 - 1, 2 * mu - 1
    if not restorer.conditional:
        mu = x0
    objective = OBJECTIVES[restorer.objective]
    generator = torch.Generator().manual_seed(seed)
    last = largest_step(objective, restorer.process)
    t = torch.randint(1, last + 1, (len(x0),), generator=generator)
    noise = torch.randn(x0.shape, generator=generator).to(x0)
    x_t = restorer.process.sample(x0, mu, t, noise)
    output = restorer.output(x_t, mu, t.to(x0.device))
    return loss_per_image(objective, restorer.process, x0, mu, noise, t, output, recipe.norm).mean()


def _refuse_divergence(run: Run, loss: float, iteration: int) -> None:
    if not math.isfinite(loss):
        raise InputError(
            f"{run.folder}: the loss is {loss} by iteration {iteration}; "
            "lower training.learning_rate"
        )


def _validate(
    run: Run,
    settings: RunSettings,
    recipe: TrainingSettings,
    pairs: list[Pair],
    state: "TrainingState",
    device: "torch.device",
) -> float:
    """PSNR of the averaged weights on the validation pairs, with few steps."""
    import copy

    import torch

    from irsde.restoration import restorer_of
    from irsde.seeds import torch_generator

    network = copy.deepcopy(state.network).eval()
    network.load_state_dict(state.average)
    restorer = restorer_of(settings, network)
    noise_level = noise_level_of(run.task, settings.data)
    nfe = min(recipe.validation_nfe, restorer.first_step(noise_level))
    sampler = METHODS[run.method.partition("+")[0]].sampler
    scores = []
    for pair in pairs:
        mu = to_tensor([pair.mu]).to(device, memory_format=torch.channels_last)
        generator = torch_generator("validation", run.task, pair.image)
        restored = restorer.restore(mu, sampler, nfe, [generator], noise_level=noise_level)
        scores.append(_psnr(restored[0].cpu().numpy().transpose(1, 2, 0), pair))
    return sum(scores) / len(scores)


def _history_text(history: "list[Row]") -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=HISTORY, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue()
