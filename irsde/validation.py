"""Validation while training: PSNR of the averaged weights with few steps, and images to look at."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from irsde.config import RunSettings
from irsde.data.datasets import noise_level_of
from irsde.data.pairs import Pair, to_tensor
from irsde.images import Pixels, to_pixels
from irsde.methods import METHODS
from irsde.metrics import psnr
from irsde.restoration import restorer_of
from irsde.seeds import torch_generator

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
) -> Validation:
    """Restore the validation pairs with the averaged weights.

    Parameters
    ----------
    settings : RunSettings
    pairs : sequence of Pair
    network : nn.Module
        Of the run; a copy of it takes the averaged weights.
    average : dict of str to Tensor
    device : torch.device
    """
    recipe = settings.training
    assert recipe is not None
    averaged = copy.deepcopy(network).eval()
    averaged.load_state_dict(average)
    restorer = restorer_of(settings, averaged)
    noise_level = noise_level_of(settings.task, settings.data)
    nfe = min(recipe.validation_nfe, restorer.first_step(noise_level))
    sampler = METHODS[settings.method.partition("+")[0]].sampler
    scores: list[float] = []
    rows: list[Pixels] = []
    for pair in pairs:
        mu = to_tensor([pair.mu]).to(device, memory_format=torch.channels_last)
        generator = torch_generator("validation", settings.task, pair.image)
        restored = restorer.restore(mu, sampler, nfe, [generator], noise_level=noise_level)
        image = restored[0].cpu().numpy().transpose(1, 2, 0)
        finite = bool(np.isfinite(image).all())
        pixels = to_pixels(image if finite else np.zeros_like(image))
        scores.append(psnr(pixels, pair.x0) if finite else math.nan)
        if len(rows) < SHOWN:
            rows.append(_row([to_pixels(pair.mu), pixels, pair.x0]))
    return Validation(sum(scores) / len(scores), _stacked(rows))


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
