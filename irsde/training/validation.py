"""Validation while training: PSNR of the averaged weights with few steps, and images to look at."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from irsde.data.pairs import Image, Pair
from irsde.experiment.profile import RunSettings, noise_level_of
from irsde.images import Pixels, to_pixels, to_tensor
from irsde.machine.devices import memory_text, refusing_too_little_memory
from irsde.machine.world import ALONE, World
from irsde.methods import method_of
from irsde.objectives import OBJECTIVES, largest_step
from irsde.restoration.restorer import Restorer, restorer_of
from irsde.scoring.pixels import psnr
from irsde.seeds import torch_generator
from irsde.training.update import layout_of

SHOWN = 4
HEIGHT = 256


@dataclass(frozen=True)
class Validation:
    """What a validation found.

    Parameters
    ----------
    psnr : float
        Mean over the validation pairs, dB; NaN where a restored image is not finite.
    images : ndarray of uint8, shape (H, W, 3)
        The first pairs, a row each: degraded, restored, clean.
    """

    psnr: float
    images: Pixels


def validate(
    settings: RunSettings,
    pairs: Sequence[Pair],
    network: torch.nn.Module,
    average: dict[str, torch.Tensor],
    device: torch.device,
    world: World = ALONE,
    stop: Callable[[], bool] = lambda: False,
) -> Validation | None:
    """Restore the validation pairs with the averaged weights, in the precision of the training.

    Parameters
    ----------
    settings : RunSettings
    pairs : sequence of Pair
    network : nn.Module
        Of the run; a copy of it takes the averaged weights.
    average : dict of str to Tensor
    device : torch.device
    world : World
        Processes that share the pairs; all of them get the result.
    stop : callable () -> bool
        Asked before each image and at each step of its restoration.

    Returns
    -------
    Validation or None
        None if `stop` was true in one of the processes.

    Raises
    ------
    InputError
        If an image does not fit into the device's memory.
    """
    recipe = settings.training
    assert recipe is not None
    averaged = copy.deepcopy(network).eval()
    averaged.load_state_dict(average)
    restorer = restorer_of(settings, averaged)
    pairs = pairs[: recipe.validation_images]
    scores: list[tuple[int, float]] = []
    rows: list[tuple[int, Pixels]] = []
    stopped = False
    for index in world.share(len(pairs)):
        pair = _window(pairs[index], recipe.validation_window)
        image = None if stop() else _restored(pair, settings, restorer, device, stop)
        if image is None:
            stopped = True
            break
        finite = bool(np.isfinite(image).all())
        restored = to_pixels(image) if finite else np.zeros_like(pair.x0)
        scores.append((index, psnr(restored, pair.x0) if finite else math.nan))
        if index < SHOWN:
            rows.append((index, _row([to_pixels(pair.mu), restored, pair.x0])))
    parts = world.gather((stopped, scores, rows))
    if any(was_stopped for was_stopped, _, _ in parts):
        return None
    values = [value for _, value in sorted(pair for _, part, _ in parts for pair in part)]
    images = sorted((row for _, _, part in parts for row in part), key=lambda row: row[0])
    return Validation(sum(values) / len(values), _stacked([row for _, row in images]))


def _window(pair: Pair, side: int | None) -> Pair:
    """The middle of a pair, at most of that side; the pair itself unless given."""
    if side is None:
        return pair
    height, width = pair.x0.shape[:2]
    low = side // pair.scale
    top = max(0, (height - side) // 2 // pair.scale)
    left = max(0, (width - side) // 2 // pair.scale)
    lq = None if pair.lq is None else pair.lq[top : top + low, left : left + low]
    top, left, side = (pair.scale * value for value in (top, left, low))
    return replace(pair, x0=pair.x0[top : top + side, left : left + side], lq=lq)


def validation_nfe(settings: RunSettings) -> int:
    """Network evaluations of a validation image: those of the profile, or all the method has.

    A bridge whose network predicts noise has one step less than its process, a method that starts
    from the noisy image only those up to its noise level.
    """
    recipe = settings.training
    assert recipe is not None
    restorer = restorer_of(settings, torch.nn.Identity())
    if restorer.process is None:
        return 1
    most = restorer.first_step(noise_level_of(settings.task, settings.data))
    return min(
        recipe.validation_nfe, most, largest_step(OBJECTIVES[restorer.objective], restorer.process)
    )


def _restored(
    pair: Pair,
    settings: RunSettings,
    restorer: Restorer,
    device: torch.device,
    stop: Callable[[], bool],
) -> Image | None:
    """Restored image of a pair, nominally in [0, 1]; None if `stop` was true on the way."""
    recipe = settings.training
    assert recipe is not None
    height, width = pair.x0.shape[:2]
    with (
        refusing_too_little_memory(
            lambda: (
                f"restoring the validation image {pair.image} of {width}x{height} pixels does not "
                f"fit into {memory_text(device)}; set training.validation_window, and as that "
                "makes it another run, --overwrite"
            )
        ),
        torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"),
    ):
        mu = to_tensor([pair.mu]).to(device, memory_format=layout_of(recipe))
        states = restorer.states(
            mu,
            method_of(settings.method).sampler,
            validation_nfe(settings),
            [torch_generator("validation", settings.task, pair.image)],
            noise_level=noise_level_of(settings.task, settings.data),
        )
        for _, state in states:
            if stop():
                return None
            restored = state
        image: Image = restored[0].float().cpu().numpy().transpose(1, 2, 0)
    return image


def _row(images: list[NDArray[np.uint8]]) -> Pixels:
    return np.concatenate([image[:HEIGHT, :HEIGHT] for image in images], axis=1)


def _stacked(rows: list[Pixels]) -> Pixels:
    """Rows one below the other, white beside the narrower ones."""
    width = max(row.shape[1] for row in rows)
    padded = [
        np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255)
        for row in rows
    ]
    return np.concatenate(padded)
