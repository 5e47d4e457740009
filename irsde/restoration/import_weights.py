"""Importing the authors' released weights as a run that `evaluate` reads like a trained one.

A released file is a stranger's: it is read without unpickling objects, compared name by name
with a network built without memory, and only then written, as safetensors and with a run card.
"""

import re
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import ValidationError
from safetensors.torch import save_file
from torch import Tensor

from irsde.experiment import provenance
from irsde.experiment.fields import problem_of
from irsde.experiment.grid import IMPORTED, Run
from irsde.experiment.profile import (
    ImportedProcess,
    NAFNetSettings,
    NetworkSettings,
    RunSettings,
    TaskData,
    UNetSettings,
    method_refusal,
)
from irsde.experiment.replaced import replacing_run
from irsde.files import InputError, check_name, digest_file, replacing
from irsde.machine.meters import peak_memory_bytes
from irsde.methods import METHODS, MethodName, method_of
from irsde.restoration.restorer import build_network
from irsde.restoration.weight_files import (
    check_file,
    check_tensor,
    finite_weights,
    first_few,
    load_checkpoint,
    shown,
    state_dict_of,
)
from irsde.restoration.weights import WEIGHTS
from irsde.tasks import TASKS

METHOD = str(MethodName("ir-sde", IMPORTED))
DENOISING_METHOD = "denoising-ode"
MAX_STEPS = 10_000
MAX_BLOCKS = 100  # of one level; the released networks have up to 28
MAX_TENSORS = 20_000  # the released networks have up to 800
MAX_LEVELS = 8  # the released networks have four or five
COLOR_CHANNELS = 3


@dataclass(frozen=True)
class Process:
    """Process that weights were trained with.

    Parameters
    ----------
    stationary_std : float
        lambda, in the unit of images in [0, 1].
    steps : int
        T.
    schedule : {"cosine", "linear", "constant"}
        Schedule of theta.
    """

    stationary_std: float
    steps: int = 100
    schedule: Literal["cosine", "linear", "constant"] = "cosine"

    @property
    def label(self) -> str:
        """Words for a line, such as "lambda 50/255, T = 100, cosine"."""
        return f"lambda {255 * self.stationary_std:g}/255, T = {self.steps}, {self.schedule}"


def authors_process(network: NetworkSettings, task: str, *, conditional: bool) -> Process:
    """Process of the authors' configuration that a network belongs to.

    Parameters
    ----------
    network : NetworkSettings
        A ConditionalUNet is IR-SDE's, a ConditionalNAFNet is Refusion's.
    task : str
    conditional : bool
        False for a network that sees the noisy image only.

    Notes
    -----
    Refusion's ``refusion.yml`` has ``max_sigma: 50`` and T = 100 for every task in image space, 70
    and T = 1000 for denoising; ``ir-sde.yml`` has the task's own (`tasks.TASKS`) and T = 100, its
    test of denoising 75 and T = 100. The schedule is cosine everywhere.
    """
    if isinstance(network, NAFNetSettings):
        return Process(50 / 255) if conditional else Process(70 / 255, 1000)
    return Process(TASKS[task].stationary_std if conditional else 75 / 255)


def import_weights(
    file: Path,
    run: Run,
    data: TaskData,
    *,
    overwrite: bool,
    stationary_std: float | str | None = None,
    steps: int | None = None,
    schedule: str | None = None,
) -> str:
    """Write a run whose weights are the authors' instead of trained here.

    Parameters
    ----------
    file : Path
        A released `.pth` file: a state dict of `ConditionalUNet` or `ConditionalNAFNet`, bare or
        wrapped by DataParallel, by ema_pytorch or in a dict with one set of weights.
    run : Run
        Says where the run goes.
    data : TaskData
        Data settings of the task in the run's profile, for the card.
    overwrite : bool
        True to import where a run from another source or with another process is; that one is kept
        with its evaluations in `results/replaced/`.
    stationary_std, steps, schedule : optional
        Of the process; those of `authors_process` unless given. The first may be a fraction in
        words, such as "50/255".

    Returns
    -------
    str
        One line that says what was done, the process among it.

    Raises
    ------
    InputError
        If the file or the process cannot be used, or something else is in the run's folder and
        `overwrite` is False; nothing is written then.

    Notes
    -----
    The released super-resolution weights expect the small image enlarged by nearest neighbor
    (docs/mathematics.md, 7): set `data.tasks.super-resolution.enlarge: nearest` in the profile that
    evaluates them. An unconditional network is imported as Denoising-ODE. The authors read the
    noise off their networks by the noise formula, so the run card asks for the plain conversion.
    """
    started = time.monotonic()
    check_file(file)
    source = {"file": file.name, "sha256": digest_file(file)}
    state, origin = state_dict_of(file, load_checkpoint(file))
    if len(state) > MAX_TENSORS:
        raise InputError(f"{file}: names {len(state):,} tensors, more than {MAX_TENSORS:,}")
    for name, tensor in state.items():
        check_tensor(file, name, tensor)
    network, is_conditional = _network_of(file, state)
    if not is_conditional:
        run = _denoising_run(file, run)
    usual = authors_process(network, run.task, conditional=is_conditional)
    process = _process(usual, stationary_std, steps, schedule, conditional=is_conditional)
    settings = RunSettings(
        task=run.task,
        method=run.method,
        seed=run.seed,
        stationary_std=process.stationary_std,
        data=data,
        network=network,
        training=None,
        process=ImportedProcess(steps=process.steps, schedule=process.schedule),
    )
    if _is_up_to_date(run.folder, source["sha256"], settings):
        return f"{run.folder}: up to date, {process.label}"
    if run.folder.exists() and not overwrite:
        _check_source(run.folder, file.name, source["sha256"], settings)
    _compare(file, state, settings)
    weights = {name: finite_weights(file, name, tensor) for name, tensor in state.items()}
    parameters = sum(tensor.numel() for tensor in weights.values())
    with replacing_run(run.folder) as folder:
        with replacing(folder / WEIGHTS) as temporary:
            save_file(weights, temporary)
        provenance.write_run_card(
            folder,
            run,
            settings,
            {"settings": settings.hash, "weights_file": source["sha256"]},
            "imported, not trained here",
            {"seconds": time.monotonic() - started, "peak_memory_bytes": peak_memory_bytes()},
            {
                "label": f"{method_of(run.method).label} (authors' weights)",
                "parameters": parameters,
                "weights_sha256": digest_file(folder / WEIGHTS),
                "imported_from": source,
                "conversion": "plain",
            },
        )
    return (
        f"{run.folder}: imported {_described(network)}, {parameters:,} parameters, "
        f"from {file.name}{origin}; {process.label}, read by the plain conversion: "
        f"{_why(network, run.task, process, usual)}"
    )


def _why(network: NetworkSettings, task: str, process: Process, usual: Process) -> str:
    """Why these settings were chosen."""
    chosen = [f.name for f in fields(Process) if getattr(process, f.name) != getattr(usual, f.name)]
    owner = "IR-SDE" if isinstance(network, UNetSettings) else "Refusion"
    kind = "ConditionalUNet" if isinstance(network, UNetSettings) else "ConditionalNAFNet"
    words = {"stationary_std": "lambda", "steps": "T", "schedule": "the schedule"}
    given = f", but for {' and '.join(words[name] for name in chosen)} as given" if chosen else ""
    return f"a {kind} is {owner}'s, whose authors' settings for {task} these are{given}"


def _process(
    usual: Process,
    stationary_std: float | str | None,
    steps: int | None,
    schedule: str | None,
    *,
    conditional: bool,
) -> Process:
    """The usual process with what was chosen instead."""
    chosen: dict[str, Any] = {}
    if stationary_std is not None:
        chosen["stationary_std"] = _stationary_std(stationary_std)
    if steps is not None:
        if not 1 <= steps <= MAX_STEPS:
            raise InputError(f"--steps {steps}: give 1 to {MAX_STEPS}")
        chosen["steps"] = steps
    if schedule is not None:
        # the authors' DenoisingSDE knows two schedules and takes linear for any other name
        check_name("schedule", schedule, ("cosine", "linear", "constant")[: 2 + conditional])
        chosen["schedule"] = schedule
    return replace(usual, **chosen)


def _stationary_std(given: float | str) -> float:
    value = float("nan")
    if len(text := str(given)) <= 32 and re.fullmatch(r"[\d.]+(e-\d\d?)?(/[\d.]+)?", text):
        with suppress(ValueError, ZeroDivisionError):
            numerator, _, denominator = text.partition("/")
            value = float(numerator) / float(denominator or 1)
    if not 0 < value <= 1:
        raise InputError(
            f"--lambda {shown(text)}: must be a number or fraction in (0, 1], the unit of "
            "the images; write the authors' max_sigma 50 as 50/255"
        )
    return value


def _check_source(folder: Path, name: str, sha256: str, settings: RunSettings) -> None:
    """Refuse to replace what comes from elsewhere, or was imported with another process."""
    if provenance.imported_from(folder) != sha256:
        raise InputError(
            f"{folder}: holds something that does not come from {name}; nothing was "
            "changed; give --overwrite to replace it together with its evaluations"
        )
    if _settings_of(folder) != settings:
        raise InputError(
            f"{folder}: was imported from {name} with another process or other data; nothing was "
            "changed; give --overwrite to replace it together with its evaluations"
        )


def _settings_of(folder: Path) -> RunSettings | None:
    try:
        return provenance.read_network_run(folder)[1]
    except InputError:
        return None


def _is_up_to_date(folder: Path, sha256: str, settings: RunSettings) -> bool:
    if provenance.imported_from(folder) != sha256 or not (folder / WEIGHTS).is_file():
        return False
    if _settings_of(folder) != settings:
        return False
    return digest_file(folder / WEIGHTS) == provenance.read_run_card(folder).weights_sha256


def _network_of(file: Path, state: Mapping[str, Tensor]) -> tuple[NetworkSettings, bool]:
    """Network that the names and shapes speak of, and whether it sees the degraded image."""
    kinds = [("init_conv.weight", UNetSettings), ("intro.weight", NAFNetSettings)]
    fitting = [(name, kind) for name, kind in kinds if name in state]
    if len(fitting) != 1:
        raise InputError(
            f"{file}: weights of neither a ConditionalUNet nor a ConditionalNAFNet "
            f"(the first names: {first_few(state) or 'none'})"
        )
    name, kind = fitting[0]
    shape, levels = tuple(state[name].shape), _count(state, "downs.")
    if len(shape) != 4 or shape[0] < 4 or shape[0] % 2 or not 1 <= levels <= MAX_LEVELS:
        raise InputError(
            f"{file}: no network has {levels} levels and a first convolution of shape {shape}"
        )
    width, channels = shape[:2]
    if channels not in (COLOR_CHANNELS, 2 * COLOR_CHANNELS):
        raise InputError(
            f"{file}: a network of {channels} input channels; networks of color images have 6"
        )
    is_conditional = channels == 2 * COLOR_CHANNELS
    network: NetworkSettings
    try:
        if kind is UNetSettings:
            network = UNetSettings(name="unet", width=width, depth=levels)
        else:
            network = NAFNetSettings(
                name="nafnet",
                width=width,
                middle_blocks=max(1, _count(state, "middle_blks.")),
                encoder_blocks=_blocks(file, state, "encoders", levels),
                decoder_blocks=_blocks(file, state, "decoders", levels),
            )
    except ValidationError as error:
        raise InputError(f"{file}: no network of this size is built: {problem_of(error)}") from None
    return network, is_conditional


def _blocks(file: Path, state: Mapping[str, Tensor], part: str, levels: int) -> tuple[int, ...]:
    """Blocks of each level of the encoder or decoder."""
    blocks = tuple(_count(state, f"{part}.{level}.") for level in range(levels))
    if max(blocks) > MAX_BLOCKS:
        raise InputError(
            f"{file}: names {max(blocks)} blocks of one level, more than the limit of {MAX_BLOCKS}"
        )
    return blocks


def _count(names: Iterable[str], prefix: str) -> int:
    """Count the modules that come right after a prefix."""
    return len({n.removeprefix(prefix).split(".")[0] for n in names if n.startswith(prefix)})


def _denoising_run(file: Path, run: Run) -> Run:
    """Run of an unconditional network, which belongs to the Gaussian-denoising methods."""
    method = METHODS[DENOISING_METHOD]
    if method_refusal(method, run.task):
        raise InputError(
            f"{file}: an unconditional network (3 input channels) removes Gaussian noise only; "
            f"give --task {method.only_task}"
        )
    return replace(run, method=str(replace(MethodName.parse(run.method), base=DENOISING_METHOD)))


def _compare(file: Path, state: Mapping[str, Tensor], settings: RunSettings) -> None:
    """Refuse weights that differ in a name or shape from the network of the settings."""
    with torch.device("meta"):
        expected = {n: tuple(t.shape) for n, t in build_network(settings).state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in state.items()}
    missing = [name for name in expected if name not in given]
    unexpected = [name for name in given if name not in expected]
    shapes = [
        f"{name} {given[name]} instead of {shape}"
        for name, shape in expected.items()
        if name in given and given[name] != shape
    ]
    if differing := len(missing) + len(unexpected) + len(shapes):
        parts = (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
        listed = "; ".join(f"{len(p)} {word}: {first_few(p)}" for word, p in parts if p)
        raise InputError(
            f"{file}: does not fit a {_described(settings.network)}; "
            f"keys that differ: {differing} ({listed})"
        )


def _described(network: NetworkSettings | None) -> str:
    if isinstance(network, UNetSettings):
        return f"ConditionalUNet of width {network.width} and depth {network.depth}"
    if isinstance(network, NAFNetSettings):
        blocks = (network.encoder_blocks, (network.middle_blocks,), network.decoder_blocks)
        text = " | ".join(" ".join(map(str, part)) for part in blocks)
        return f"ConditionalNAFNet of width {network.width} and blocks {text}"
    return "network"
