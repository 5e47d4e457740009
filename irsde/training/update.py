"""One update of the weights: batch, loss, gradient, optimizer, moving average."""

import inspect
import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from irsde.data.pairs import Pair, check_patch, draw_patch
from irsde.experiment.profile import TrainingSettings
from irsde.images import to_tensor
from irsde.machine.devices import memory_text, refusing_too_little_memory
from irsde.machine.world import World
from irsde.objectives import OBJECTIVES, Drawn, Norm, largest_step, loss_per_image, per_image
from irsde.restoration.restorer import REGRESSION_STEP, Restorer
from irsde.seeds import numpy_generator, seed_from
from irsde.tasks import Degradation, Task
from irsde.training.averaging import decay

if TYPE_CHECKING:
    from irsde.training.checkpoints import TrainingState

Stream = tuple[str | int, ...]


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


def patch_at(recipe: TrainingSettings, iteration: int) -> int:
    """Side of the patches of an iteration, counted from 0: larger ones in the last quarter."""
    is_late = 4 * iteration >= 3 * recipe.iterations
    return recipe.patch if recipe.late_patch is None or not is_late else recipe.late_patch


class Batches:
    """Training batches of a run, each a function of its iteration alone.

    Parameters
    ----------
    pairs : sequence of Pair
    task : Task
    degradation : Degradation
    recipe : TrainingSettings
    world : World
        This process draws its share of a batch only.

    Raises
    ------
    InputError
        If an image is too small for a patch.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        task: Task,
        degradation: Degradation,
        recipe: TrainingSettings,
        world: World,
    ) -> None:
        first, last = patch_at(recipe, 0), patch_at(recipe, recipe.iterations - 1)
        for pair in pairs:
            check_patch(pair, first)
            check_patch(pair, last)
        self.pairs, self.task, self.degradation = pairs, task, degradation
        self.recipe, self.world = recipe, world

    def draw_batch(self, stream: Stream, iteration: int) -> tuple[Tensor, Tensor]:
        """Clean and degraded patches (B, 3, H, W) of this process, from a stream by each patch."""
        patches = []
        for index in self.world.share(self.recipe.batch):
            generator = numpy_generator(*stream, iteration, "patch", index)
            pair = self.pairs[int(generator.integers(len(self.pairs)))]
            side = patch_at(self.recipe, iteration)
            patches.append(draw_patch(pair, self.task, side, generator, self.degradation))
        return to_tensor([x0 for x0, _ in patches]), to_tensor([mu for _, mu in patches])


@dataclass(frozen=True)
class Draws:
    """What is random in the training states of some patches.

    Parameters
    ----------
    steps : Tensor of int64, shape (B,)
        In [1, T], or [1, T - 1] for a bridge whose network predicts noise.
    noise : Tensor of float32, shape (B, 3, H, W)
        Standard normals.
    """

    steps: Tensor
    noise: Tensor

    def __getitem__(self, window: slice) -> "Draws":
        """Those of some of the patches."""
        return Draws(self.steps[window], self.noise[window])


def draw_states(
    restorer: Restorer, shape: Sequence[int], batch: int, share: Sequence[int], seed: int
) -> Draws | None:
    """Steps and noise of this process's patches; None for direct regression, which has neither.

    Parameters
    ----------
    restorer : Restorer
    shape : sequence of int
        Of one patch, (3, H, W).
    batch : int
        Size of the whole batch.
    share : sequence of int
        Places of this process's patches in it.
    seed : int
        Seed of the whole batch; the same for all methods.
    """
    if restorer.process is None:
        return None
    generator = torch.Generator().manual_seed(seed)
    last = largest_step(OBJECTIVES[restorer.objective], restorer.process)
    places = list(share)
    steps = torch.randint(1, last + 1, (batch,), generator=generator)[places]
    return Draws(steps, torch.randn((batch, *shape), generator=generator)[places])


def training_loss(
    restorer: Restorer, x0: Tensor, mu: Tensor, norm: Norm, draws: Draws | None
) -> Tensor:
    """Mean loss of some patches.

    Parameters
    ----------
    restorer : Restorer
    x0, mu : Tensor, shape (B, 3, H, W)
        Clean and degraded patches in [0, 1].
    norm : {"l1", "l2"}
    draws : Draws or None
        What `draw_states` gives for the patches.

    Returns
    -------
    Tensor, shape ()
    """
    if restorer.process is None:
        output = restorer.output(mu, mu, REGRESSION_STEP).float()
        return per_image(output - x0, norm).mean()
    assert draws is not None
    if restorer.centered:
        x0, mu = 2 * x0 - 1, 2 * mu - 1
    if not restorer.conditional:
        mu = x0
    process, objective = restorer.process, OBJECTIVES[restorer.objective]
    normals = to_device(draws.noise, x0.device, dtype=x0.dtype)

    def predicted(t: Tensor) -> tuple[Drawn, Tensor]:
        x_t = process.sample(x0, mu, t, normals)
        output = restorer.output(x_t, mu, t.to(x0.device)).float()
        return Drawn(x0, mu, process.noise_in(x0, mu, t, normals), x_t, t), output

    drawn, output = predicted(draws.steps)
    nearer = None
    if objective.origin_weight is not None:
        with torch.no_grad():
            nearer = objective.error(process, *predicted(draws.steps - 1))
    return loss_per_image(objective, process, drawn, output, norm, nearer).mean()


def layout_of(recipe: TrainingSettings) -> torch.memory_format:
    """Memory layout of the network and of its images."""
    return torch.channels_last if recipe.channels_last else torch.contiguous_format


def placed(network: nn.Module, recipe: TrainingSettings, device: torch.device) -> nn.Module:
    """A network on a device, in the recipe's memory layout and compiled where it says so."""
    network = network.to(device).to(memory_format=layout_of(recipe))
    if recipe.compile:
        torch.use_deterministic_algorithms(True)  # of compiled code too
        network.compile(mode="reduce-overhead" if recipe.compile == "cuda-graphs" else None)
    return network


class Adam(torch.optim.Adam):
    """That of torch without the marks by which a compiler leaves it out: they import it, 1.3 s."""

    add_param_group = inspect.unwrap(torch.optim.Adam.add_param_group)
    state_dict = inspect.unwrap(torch.optim.Adam.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.Adam.load_state_dict)
    zero_grad = inspect.unwrap(torch.optim.Adam.zero_grad)
    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))


def make_optimizer(network: nn.Module, recipe: TrainingSettings) -> Adam:
    """Adam in its fused form, which skips an update on the device where `found_inf` says so."""
    return Adam(network.parameters(), lr=recipe.learning_rate, betas=recipe.betas, fused=True)


class Update:
    """Updates of one run: forward and backward in parts, optimizer, moving average.

    A loss or gradient that is not finite changes nothing: the optimizer's own check leaves weights
    and moments as they are. How many such updates came in a row is counted on the device.

    Parameters
    ----------
    restorer : Restorer
        Around the network that is trained.
    state : TrainingState
    recipe : TrainingSettings
    world : World
    device : torch.device
    """

    def __init__(
        self,
        restorer: Restorer,
        state: "TrainingState",
        recipe: TrainingSettings,
        world: World,
        device: torch.device,
    ) -> None:
        self.restorer, self.state, self.recipe = restorer, state, recipe
        self.world, self.device = world, device
        self.parameters = [p for p in state.network.parameters() if p.requires_grad]
        raw = state.network.state_dict()
        self.averaged = [state.average[name] for name in raw]
        self.raw = list(raw.values())
        self.profiles = {
            width: [profile[name] for name in raw] for width, profile in state.profiles.items()
        }

    def __call__(
        self, x0: Tensor, mu: Tensor, stream: Stream, iteration: int, rate: float
    ) -> tuple[Tensor, Tensor]:
        """Loss and gradient norm of one update, left on the device.

        Raises
        ------
        InputError
            If the batch does not fit into the device's memory; it says what would.
        """
        with refusing_too_little_memory(lambda: self._too_large(iteration)):
            return self._update(x0, mu, stream, iteration, rate)

    def _update(
        self, x0: Tensor, mu: Tensor, stream: Stream, iteration: int, rate: float
    ) -> tuple[Tensor, Tensor]:
        recipe, optimizer = self.recipe, self.state.optimizer
        network: Any = self.restorer.network
        seed = seed_from(*stream, iteration, "noise")
        share = list(self.world.share(recipe.batch))
        draws = draw_states(self.restorer, x0.shape[1:], recipe.batch, share, seed)
        optimizer.zero_grad(set_to_none=True)
        loss = torch.zeros((), device=self.device)
        part = len(share) // recipe.accumulate
        for start in range(0, len(share), part):
            window = slice(start, start + part)
            last = start + part >= len(share)
            alone = self.world.size == 1 or last
            if recipe.compile == "cuda-graphs":
                torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
            with nullcontext() if alone else network.no_sync():
                with torch.autocast(
                    self.device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"
                ):
                    mean = training_loss(
                        self.restorer,
                        x0[window],
                        mu[window],
                        recipe.norm,
                        draws[window] if draws else None,
                    )
                weighted = mean * (part / len(share))
                weighted.backward()  # type: ignore[no-untyped-call]
            loss += weighted.detach() / self.world.size
        self.world.sum(loss)
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        bad = torch.logical_not(torch.isfinite(norm) & torch.isfinite(loss)).float()
        self._step(bad, rate)
        state = self.state
        state.skipped += bad
        state.skipped_in_a_row = (state.skipped_in_a_row + bad) * bad
        if (iteration + 1) % recipe.ema_every == 0:
            with torch.no_grad():
                torch._foreach_lerp_(self.averaged, self.raw, 1 - self.decay(iteration + 1))
        with torch.no_grad():
            for width, averaged in self.profiles.items():
                torch._foreach_lerp_(averaged, self.raw, 1 - decay(width, iteration + 1))
        return loss, norm

    def _too_large(self, iteration: int) -> str:
        recipe = self.recipe
        share = recipe.batch // self.world.size
        side = patch_at(recipe, iteration)
        parts = next((n for n in range(recipe.accumulate + 1, share + 1) if share % n == 0), None)
        if parts:
            advice = (
                f"training.accumulate: {parts} computes the same batch in parts of {share // parts}"
            )
            if iteration:
                advice += "; it rounds differently, so it starts afresh, with --overwrite"
        else:
            late = "late_" if side != recipe.patch else ""
            advice = f"make training.{late}patch or the network smaller"
        return (
            f"patches of {side}x{side} pixels, {share // recipe.accumulate} at once, do not fit "
            f"into {memory_text(self.device)}; {advice}"
        )

    def decay(self, iterations: int) -> float:
        """Decay of the moving average at its last update in so many iterations."""
        updates = iterations // self.recipe.ema_every
        return min(self.recipe.ema_decay, updates / (updates + 10))

    def _step(self, bad: Tensor, rate: float) -> None:
        optimizer: Any = self.state.optimizer
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.grad_scale, optimizer.found_inf = None, bad
        optimizer.step()
        del optimizer.grad_scale, optimizer.found_inf


def to_device(tensor: Tensor, device: torch.device, **options: Any) -> Tensor:
    """A tensor on a device; to a GPU it is copied while the CPU goes on.

    Parameters
    ----------
    tensor : Tensor
        In memory of the CPU.
    device : torch.device
    **options
        Further arguments of `Tensor.to`.
    """
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True, **options)
    return tensor.to(device, **options)
