"""Options of an evaluation. Adding one is a field of `EvaluationOptions` and the code that uses it.

The command line, names of folders, sweeps of profiles, summaries, MLflow and tables follow.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_type_hints

from irsde.files import InputError, check_name
from irsde.objectives import OBJECTIVES
from irsde.samplers import GRIDS, SAMPLERS

if TYPE_CHECKING:
    from irsde.methods import Method

Conversion = Literal["exact", "plain"]
_GRIDS = ", ".join(f"{name} (even in {grid.label})" for name, grid in GRIDS.items())


@dataclass(frozen=True)
class Option:
    """What there is to know of a field of `EvaluationOptions`.

    Parameters
    ----------
    help : str
        For the command line.
    plural : str
        Key of a profile's sweeps.
    idle : callable (options, method) -> str
        Why another value than the default changes nothing, to follow the method's label; "" if
        it changes something.
    prefix : str
        Precedes the value in the names of folders and in tables.
    repeats : bool
        True for a seed: evaluations that differ in it only are averaged.
    least : int
        Smallest number.
    values : tuple of str
        Names of a table, where the type does not say them.
    type, default
        Those of the field; no default where it depends on the method.
    """

    help: str
    plural: str
    idle: "Callable[[EvaluationOptions, Method], str]" = lambda _options, _method: ""
    prefix: str = ""
    repeats: bool = False
    least: int = 0
    values: tuple[str, ...] = ()
    type: object = str
    default: str | int | None = None

    @property
    def is_number(self) -> bool:
        """True if the values are whole numbers."""
        return self.type is int

    @property
    def choices(self) -> tuple[str, ...]:
        """Values of a finite set; none for numbers and the names of samplers."""
        return self.values or get_args(self.type)


def _without_network(_: "EvaluationOptions", method: "Method") -> str:
    return "" if method.has_network else "has no network"


def _without_training(_: "EvaluationOptions", method: "Method") -> str:
    return "" if method.is_trained else "is not trained"


def _without_raw(options: "EvaluationOptions", method: "Method") -> str:
    of_averages = "has averages alone at --snapshot" if options.snapshot else ""
    return _without_network(options, method) or of_averages


def _without_steps(options: "EvaluationOptions", method: "Method") -> str:
    if method.kind == "process":
        return ""
    return _without_network(options, method) or "draws no noise and has no steps"


def _with_one_step(options: "EvaluationOptions", method: "Method") -> str:
    """A grid needs two steps to differ."""
    one = "takes one step, the same on every grid" if options.nfe == 1 else ""
    return _without_steps(options, method) or one


def _without_conversion(options: "EvaluationOptions", method: "Method") -> str:
    """Networks trained otherwise have one reading; Euler samplers take the output as the noise."""
    if reason := _without_steps(options, method):
        return reason
    if not OBJECTIVES[method.objective].plain:
        return "is not trained by maximum likelihood"
    sampler = SAMPLERS[options.sampler]
    return f"takes the output as the noise with {sampler.label}" if sampler.is_euler else ""


def _without_noise(options: "EvaluationOptions", method: "Method") -> str:
    """A deterministic sampler that starts from the noisy image itself draws no noise."""
    if (reason := _without_steps(options, method)) or method.conditional:
        return reason
    sampler = SAMPLERS[options.sampler]
    return "" if sampler.stochastic else f"draws no noise with {sampler.label}"


@dataclass(frozen=True)
class EvaluationOptions:
    """How a run restores images.

    Parameters
    ----------
    sampler : str
        A key of `samplers.SAMPLERS`, or "direct" for methods without one.
    nfe : int
        Network evaluations of an image.
    grid : str
        A key of `samplers.GRIDS`.
    conversion : {"exact", "plain"}
        How the clean image is read off a network trained by maximum likelihood: by the exact
        inverse, or by the noise formula as the authors' code does.
    weights : {"ema", "raw"}
        The moving average that tables use, or the weights of the last iteration themselves.
    precision : {"float32", "bfloat16"}
        Of the network's arithmetic.
    sampling_seed : int
        Seed of the sampling noise.
    snapshot : int
        Iteration at which the training stored its average of relative width 0.1, or 0 for what
        `weights` says.

    Raises
    ------
    InputError
        If a value is none of those.
    """

    sampler: Annotated[str, Option("Sampler; default: the method's", "samplers")]
    nfe: Annotated[int, Option("Network evaluations; default: the profile's", "nfe", least=1)]
    grid: Annotated[
        str,
        Option(f"Step grid: {_GRIDS}", "grids", _with_one_step, values=tuple(GRIDS)),
    ] = "uniform"
    conversion: Annotated[
        Conversion,
        Option(
            "How the clean image is read off a network trained by maximum likelihood: exact, or "
            "plain (the noise formula, as the authors' code does, and usual for imported weights)",
            "conversions",
            _without_conversion,
        ),
    ] = "exact"
    weights: Annotated[
        Literal["ema", "raw"],
        Option("ema, or raw: the last iteration's, from the checkpoint", "weights", _without_raw),
    ] = "ema"
    precision: Annotated[
        Literal["float32", "bfloat16"],
        Option("Of the network's arithmetic: float32 or bfloat16", "precisions", _without_network),
    ] = "float32"
    sampling_seed: Annotated[
        int,
        Option(
            "Seed of the sampling noise",
            "sampling_seeds",
            _without_noise,
            prefix="sampling",
            repeats=True,
        ),
    ] = 0
    snapshot: Annotated[
        int,
        Option(
            "Iteration whose stored average (training.ema_snapshots) is taken, not the last one's",
            "snapshots",
            _without_training,
            prefix="at",
        ),
    ] = 0

    def __post_init__(self) -> None:
        """Refuse unknown values."""
        check_options(vars(self))

    @property
    def differing(self) -> dict[str, str | int]:
        """Options that have a default and are not at it, by name."""
        values = {name: getattr(self, name) for name in DEFAULTS}
        return {name: value for name, value in values.items() if value != DEFAULTS[name]}

    @property
    def name(self) -> str:
        """Name of a folder: `<sampler>-<nfe>`, and what differs from the defaults."""
        ends = [_shown(name, value) for name, value in self.differing.items()]
        return "-".join([self.sampler, str(self.nfe), *ends])

    @property
    def arguments(self) -> list[str]:
        """Arguments of `irsde evaluate` that choose these options."""
        sampled = {} if self.sampler == "direct" else {"sampler": self.sampler, "nfe": self.nfe}
        chosen = {**sampled, **self.differing}
        return [part for name, value in chosen.items() for part in (flag(name), str(value))]

    def refusal(self, method: "Method") -> str | None:
        """Why an option would change the name of an evaluation and not one pixel of it.

        Parameters
        ----------
        method : Method
            What is evaluated, with a sampler that it has.

        Returns
        -------
        str or None
            A sentence that names the option as `irsde evaluate` has it; None if all have an
            effect.
        """
        is_own = (self.sampler, self.nfe) == (method.sampler, method.nfe)
        if method.kind != "process" and not is_own:
            return f"{method.label} has no sampler: omit --sampler and --nfe"
        for name in self.differing:
            if reason := OPTIONS[name].idle(self, method):
                advice = f"omit {flag(name)}, which would change nothing"
                return f"{method.label} {reason}: {advice}"
        return None


def _options() -> dict[str, Option]:
    hints = get_type_hints(EvaluationOptions, include_extras=True)
    options = {}
    for field in dataclasses.fields(EvaluationOptions):
        kind, option = get_args(hints[field.name])
        options[field.name] = dataclasses.replace(
            option,
            type=kind,
            default=None if field.default is dataclasses.MISSING else field.default,
        )
    return options


OPTIONS: dict[str, Option] = _options()
DEFAULTS: dict[str, str | int] = {
    name: option.default for name, option in OPTIONS.items() if option.default is not None
}
"""Of the options that do not depend on the method."""


def check_options(given: Mapping[str, str | int]) -> None:
    """Refuse values of options that are not among their choices.

    Raises
    ------
    InputError
        Says what exists.
    """
    for name, value in given.items():
        if choices := OPTIONS[name].choices:
            check_name(name, str(value), choices)


def _shown(name: str, value: str | int) -> str:
    return f"{OPTIONS[name].prefix}{value}"


def flag(name: str) -> str:
    """Option of the command line."""
    return f"--{name.replace('_', '-')}"


def _form_of_names() -> re.Pattern[str]:
    form = "(?P<sampler>[A-Za-z0-9][A-Za-z0-9_-]*?)-(?P<nfe>[0-9]{1,9})"
    for name, default in DEFAULTS.items():
        option = OPTIONS[name]
        others = "|".join(re.escape(choice) for choice in option.choices if choice != default)
        form += f"(?:-{option.prefix}(?P<{name}>{others or '[0-9]{1,18}'}))?"
    return re.compile(form)


_NAME = _form_of_names()


def options_of(name: str) -> EvaluationOptions:
    """Options of a folder's name: what `EvaluationOptions.name` writes, read back.

    Raises
    ------
    InputError
        If the name is of another form.

    Examples
    --------
    >>> options_of("mrs-ode-2-10-log-snr-sampling3").differing
    {'grid': 'log-snr', 'sampling_seed': 3}
    """
    if match := _NAME.fullmatch(name):
        values: dict[str, Any] = {
            key: int(value) if OPTIONS[key].is_number else value
            for key, value in match.groupdict().items()
            if value
        }
        options = EvaluationOptions(**values)
        if options.name == name:
            return options
    raise InputError(f"{name[:100]!r}: not the name of an evaluation, such as posterior-100")


def alike(summary: object) -> tuple[str | int | None, ...]:
    """All options in a summary but the seed: equal where evaluations differ in seeds only."""
    return tuple(getattr(summary, name) for name, option in OPTIONS.items() if not option.repeats)


def unusual(summary: object) -> list[str]:
    """Options in a summary, but for the seed, that are not at their default."""
    return [
        _shown(name, getattr(summary, name))
        for name, default in DEFAULTS.items()
        if not OPTIONS[name].repeats and getattr(summary, name) != default
    ]
