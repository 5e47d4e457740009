"""A trained run applied to images: network, process and sampler together."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor, nn

from irsde.experiment.cards import RunCard
from irsde.experiment.options import Conversion
from irsde.experiment.profile import NAFNetSettings, RunSettings
from irsde.experiment.provenance import read_run_card
from irsde.files import InputError
from irsde.methods import MethodName, method_of
from irsde.networks import ConditionalNAFNet, ConditionalUNet
from irsde.networks.ffdnet import STRONGEST, FFDNet
from irsde.networks.imdn import IMDN, SCALE
from irsde.networks.published import SYSTEMS
from irsde.objectives import OBJECTIVES, largest_step
from irsde.processes import GaussianProcess, gaussian_denoising, matched_step, mean_reverting
from irsde.restoration.weights import WEIGHTS, load_weights
from irsde.samplers import SAMPLERS, NoiseSource, standard_normals, trajectory

REGRESSION_STEP = 1


def build_network(settings: RunSettings) -> nn.Module:
    """Network of a run, with PyTorch's default initialization from the current random state.

    Raises
    ------
    InputError
        If the run has no network.
    """
    size = settings.network
    conditional = method_of(settings.method).conditional
    if method_of(settings.method).kind == "published":
        return SYSTEMS[MethodName.parse(settings.method).base]()
    if size is None:
        raise InputError(f"{settings.method} has no network")
    try:
        if isinstance(size, NAFNetSettings):
            return ConditionalNAFNet(
                width=size.width,
                middle_blk_num=size.middle_blocks,
                enc_blk_nums=size.encoder_blocks,
                dec_blk_nums=size.decoder_blocks,
                conditional=conditional,
            )
        return ConditionalUNet(nf=size.width, depth=size.depth, conditional=conditional)
    except ValueError as error:
        raise InputError(f"network: {error}") from None


@dataclass(frozen=True)
class Restorer:
    """What turns degraded images into restored ones.

    Parameters
    ----------
    network : nn.Module
        (x_t, mu, step) -> output of shape (B, 3, H, W).
    process : GaussianProcess or None
        None for direct regression.
    objective : str
        A key of `objectives.OBJECTIVES`: how the output is to be read.
    centered : bool
        True if the process works on images in [-1, 1].
    conditional : bool
        False if the degraded image is not seen by the network but is the state to start from.
    clipped : bool
        True if estimates of the clean image are clipped to its range while sampling.
    """

    network: nn.Module
    process: GaussianProcess | None
    objective: str
    centered: bool
    conditional: bool
    clipped: bool = False

    def output(self, x_t: Tensor, mu: Tensor, step: int | Tensor) -> Tensor:
        """Network output; a clean image is predicted as the degraded one plus a residual."""
        output: Tensor = self.network(x_t, mu, step)
        return mu + output if OBJECTIVES[self.objective].residual else output

    @property
    def needs_noise_level(self) -> bool:
        """True if the noise level of an image must be known to restore it."""
        return not self.conditional

    @property
    def enlarges(self) -> bool:
        """True if the network enlarges itself: its input must be enlarged by nearest neighbor."""
        return False

    def first_step(self, noise_level: float | None) -> int:
        """First step that the network is called at, and so the most evaluations there can be.

        That of the noise level where a noisy image is the state to start from, else
        `objectives.largest_step`; 1 for direct regression.

        Raises
        ------
        InputError
            If the noise level is needed and not given, or is out of the process's range.
        """
        if self.process is None:
            return 1
        if self.conditional:
            return largest_step(OBJECTIVES[self.objective], self.process)
        return noise_step(self.process, noise_level)

    def restore(
        self,
        mu: Tensor,
        sampler: str,
        nfe: int,
        generators: Sequence[NoiseSource],
        grid: str = "uniform",
        noise_level: float | None = None,
        conversion: Conversion = "exact",
    ) -> Tensor:
        """Restored images, nominally in [0, 1], not clipped: the last of `states`."""
        states = self.states(mu, sampler, nfe, generators, grid, noise_level, conversion)
        ((_, restored),) = deque(states, maxlen=1)
        return restored

    @torch.inference_mode()
    def states(
        self,
        mu: Tensor,
        sampler: str,
        nfe: int,
        generators: Sequence[NoiseSource],
        grid: str = "uniform",
        noise_level: float | None = None,
        conversion: Conversion = "exact",
    ) -> Iterator[tuple[int, Tensor]]:
        """Steps and states of the reverse process, from the start to the restored image.

        Parameters
        ----------
        mu : Tensor of float32, shape (B, 3, H, W)
            Degraded images, nominally in [0, 1], at the size of the result.
        sampler, nfe, grid
            As in `samplers.sample`; "direct", 1 and "uniform" for direct regression.
        generators : sequence of NoiseSource, length B
            Noise of each image.
        noise_level : float, optional
            Standard deviation of the noise in `mu`, needed where that is the state to start from.
        conversion : {"exact", "plain"}
            How the clean image is read off a network trained with the maximum-likelihood
            objective: by the exact inverse, or by the noise formula as the authors' code does.

        Yields
        ------
        int, Tensor of shape (B, 3, H, W)
            Step and state, nominally in [0, 1], not clipped; direct regression has steps 1 and 0.

        Raises
        ------
        InputError
            If more network evaluations are asked than there are steps, the sampler is not defined
            for the process, or an option has no effect on direct regression.
        """
        if self.process is None:
            if (sampler, nfe, grid, conversion) != ("direct", 1, "uniform", "exact"):
                raise InputError(
                    "direct regression calls its network once: sampler, NFE, grid and conversion "
                    "have no effect; omit them"
                )
            yield 1, mu
            yield 0, self.output(mu, mu, REGRESSION_STEP)
            return
        degraded = 2 * mu - 1 if self.centered else mu
        first = self.first_step(noise_level)
        if self.conditional:
            start = self.process.start(degraded, standard_normals(generators, degraded))
        else:
            start = degraded
            if nfe > first:
                raise InputError(
                    f"{nfe} network evaluations are n/a: the noisy image is the state at step "
                    f"{first}; give at most that many"
                )
        if conversion not in get_args(Conversion):
            raise InputError(
                f"unknown conversion {conversion!r}: {', '.join(get_args(Conversion))}"
            )
        objective = OBJECTIVES[self.objective]
        prediction = objective.prediction
        if conversion == "plain":
            prediction = objective.plain or prediction
        try:
            for state in trajectory(
                self.process,
                self.output,
                start,
                degraded,
                sampler,
                nfe,
                grid,
                prediction,
                generators=generators,
                start=None if self.conditional else first,
                clean_range=(-1.0, 1.0) if self.clipped else None,
            ):
                yield state.t, (state.x + 1) / 2 if self.centered else state.x
        except ValueError as error:
            raise InputError(str(error)) from None


def apply_published(network: nn.Module, mu: Tensor, noise_level: float) -> Tensor:
    """Output of a published network for degraded images, on what its authors give it.

    Super-resolution is given the small image itself, read back from one that was enlarged by
    nearest neighbor; FFDNet the noise level beside the image.

    Parameters
    ----------
    network : nn.Module
        One of `networks.published.SYSTEMS`.
    mu : Tensor of float32, shape (B, 3, H, W)
        Nominally in [0, 1], at the size of the result.
    noise_level : float
        Standard deviation of the noise in `mu`.
    """
    given: tuple[Tensor | float, ...] = (mu,)
    if isinstance(network, FFDNet):
        given = (mu, noise_level)
    elif isinstance(network, IMDN):
        given = (mu[..., ::SCALE, ::SCALE],)
    output: Tensor = network(*given)
    return output


@dataclass(frozen=True)
class PublishedRestorer(Restorer):
    """A published system: its network called once."""

    @property
    def needs_noise_level(self) -> bool:
        """True if the network is told the noise level."""
        return isinstance(self.network, FFDNet)

    @property
    def enlarges(self) -> bool:
        """True if the network is given the small image."""
        return isinstance(self.network, IMDN)

    def output(self, x_t: Tensor, mu: Tensor, step: int | Tensor) -> Tensor:  # noqa: ARG002
        """Network output for degraded images without noise."""
        return apply_published(self.network, mu, 0.0)

    def first_step(self, noise_level: float | None) -> int:
        """1, after a look at the noise level.

        Raises
        ------
        InputError
            If the network is told a noise level that it was not trained for.
        """
        if self.needs_noise_level and not 0 <= (noise_level or 0.0) <= STRONGEST:
            raise InputError(
                f"noise level {noise_level:g}: FFDNet was trained for 0 to {STRONGEST:.3g} "
                "(75/255), of images in [0, 1]"
            )
        return 1

    @torch.inference_mode()
    def states(
        self,
        mu: Tensor,
        sampler: str,
        nfe: int,
        generators: Sequence[NoiseSource],  # noqa: ARG002 (one signature for all restorers)
        grid: str = "uniform",
        noise_level: float | None = None,
        conversion: Conversion = "exact",
    ) -> Iterator[tuple[int, Tensor]]:
        """Steps 1 and 0: the degraded and the restored image, as of `Restorer.states`.

        Raises
        ------
        InputError
            If an option has no effect, the noise level is needed and not given, or the images were
            enlarged otherwise than by nearest neighbor.
        """
        if (sampler, nfe, grid, conversion) != ("direct", 1, "uniform", "exact"):
            raise InputError(
                "a published system calls its network once: sampler, NFE, grid and conversion "
                "have no effect; leave them out"
            )
        if self.needs_noise_level and noise_level is None:
            raise InputError("FFDNet is told the noise level of the image; none is given")
        if self.enlarges:
            small = mu[..., ::SCALE, ::SCALE]
            again = small.repeat_interleave(SCALE, 2).repeat_interleave(SCALE, 3)
            if not torch.equal(again, mu):
                raise InputError(
                    "IMDN enlarges the small image itself: set data.tasks.super-resolution.enlarge "
                    "to nearest in the profile, and prepare its images again"
                )
        yield 1, mu
        yield 0, apply_published(self.network, mu, noise_level or 0.0)


def noise_step(process: GaussianProcess, noise_level: float | None) -> int:
    """Step of a noisy image that is itself the state to start from.

    Parameters
    ----------
    process : GaussianProcess
    noise_level : float, optional
        Standard deviation of the noise in the image, in its unit.

    Raises
    ------
    InputError
        If the noise level is not given, or is out of the process's range.
    """
    if noise_level is None:
        raise InputError("this method starts from the noise level of the image; none is given")
    try:
        return matched_step(process, noise_level)
    except ValueError as error:
        raise InputError(str(error)) from None


def process_of(settings: RunSettings) -> GaussianProcess | None:
    """Process of a run: the method's, or what imported weights were trained with.

    None for direct regression.
    """
    method = method_of(settings.method)
    if method.process is None:
        return None
    if settings.process is None or settings.stationary_std is None:
        return method.process_for(settings.stationary_std)
    build = mean_reverting if method.conditional else gaussian_denoising
    return build(settings.process.steps, settings.process.schedule, settings.stationary_std)


def usual_conversion(card: RunCard, sampler: str) -> Conversion:
    """How a run's network is read unless one says otherwise.

    Parameters
    ----------
    card : RunCard
        Run card. Those of imported runs have a `conversion`, that of the authors' code; runs
        trained here have none and are read by the exact inverse.
    sampler : str
        The Euler samplers take the output as the noise, so that none applies.
    """
    if card.conversion != "plain" or SAMPLERS[sampler].is_euler:
        return "exact"
    return "plain"


def restorer_of(settings: RunSettings, network: nn.Module) -> Restorer:
    """Restorer of a run's settings around a network."""
    method = method_of(settings.method)
    kind = PublishedRestorer if method.kind == "published" else Restorer
    return kind(
        network=network,
        process=process_of(settings),
        objective=method.objective,
        centered=method.centered,
        conditional=method.conditional,
        clipped=method.clipped,
    )


def flush_subnormal(network: nn.Module) -> None:
    """Set weights below the normal floats to 0.

    They change no output; a CPU takes fifty times as long for them, and AOD-Net and Light-DehazeNet
    were published with many.
    """
    for weights in network.state_dict().values():
        weights[weights.abs() < torch.finfo(weights.dtype).tiny] = 0


def load_restorer(folder: Path, settings: RunSettings, device: torch.device) -> Restorer:
    """Restorer of a finished run with its EMA weights.

    Raises
    ------
    InputError
        If the weights are absent, damaged or belong to another network.
    """
    network = build_network(settings)
    is_published = method_of(settings.method).kind == "published"
    if is_published and not (folder / WEIGHTS).exists():
        profile = read_run_card(folder).profile
        of = f" --profile {profile}" if profile else ""
        raise InputError(
            f"{folder / WEIGHTS}: no such file; run irsde weights import {settings.method}{of}"
        )
    load_weights(network, folder / WEIGHTS)
    if is_published:
        flush_subnormal(network)
    network = network.to(device).to(memory_format=torch.channels_last).eval()
    return restorer_of(settings, network.requires_grad_(False))
