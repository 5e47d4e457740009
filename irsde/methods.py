"""The methods: name, process, objective, default sampler. Adding a method is one entry here.

IR-SDE and its competitors differ only in these fields; network, data order, budget and metrics
are the same for all. Importing this module does not import torch.
"""

import dataclasses
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from irsde.files import InputError, digest_json

if TYPE_CHECKING:
    import torch

    from irsde.processes import GaussianProcess, NoiseScale, Schedule

Kind = Literal["identity", "classical", "regression", "process", "published"]


@dataclass(frozen=True)
class Method:
    """A restoration method.

    Parameters
    ----------
    label : str
        Name in tables and figures.
    kind : {"identity", "classical", "regression", "process", "published"}
        What restores: nothing, the task's classical method, the network called once, a process
        with a sampler, or a network of its own with the weights that its authors published
        (`restoration.published.SYSTEMS`).
    process : callable (stationary_std) -> GaussianProcess, optional
        The process, for kind "process", given lambda in the unit of the images.
    objective : str
        A key of `objectives.OBJECTIVES`.
    sampler : str
        Default sampler, a key of `samplers.SAMPLERS`, or "direct" where there is none.
    nfe : int
        Default network evaluations, at most T; T - 1 for a bridge whose network predicts noise,
        of which there is none at T.
    centered : bool
        True if the process works on images in [-1, 1] instead of [0, 1].
    conditional : bool
        False if the network does not see the degraded image, which is itself the state that
        restoration starts from, at the step of its noise level.
    has_lambda : bool
        True if the process depends on lambda, the standard deviation of the terminal noise.
    clipped : bool
        True if estimates of the clean image are clipped to its range while sampling.
    only_task : str, optional
        The one task that the method is made for.
    source : str
        Where the method comes from.
    """

    label: str
    kind: Kind
    process: "Callable[[float], GaussianProcess] | None" = None
    objective: str = "clean"
    sampler: str = "direct"
    nfe: int = 0
    centered: bool = False
    conditional: bool = True
    has_lambda: bool = True
    clipped: bool = False
    only_task: str | None = None
    source: str = ""

    @property
    def is_trained(self) -> bool:
        """True if the method has a network that is trained here."""
        return self.kind in ("regression", "process")

    @property
    def has_network(self) -> bool:
        """True if the method has a network, trained here or by its authors."""
        return self.is_trained or self.kind == "published"

    def __post_init__(self) -> None:
        """Refuse an entry whose parts do not fit together."""
        if self.kind not in get_args(Kind):
            raise ValueError(
                f"{self.label}: kind {self.kind!r} is none of {', '.join(get_args(Kind))}"
            )
        if (self.process is not None) != (self.kind == "process"):
            raise ValueError(f"{self.label}: a process and kind 'process' go together")
        if (self.kind == "process") != (self.sampler != "direct"):
            raise ValueError(f"{self.label}: a process needs a sampler, and nothing else has one")
        if self.has_network != (self.nfe > 0):
            raise ValueError(f"{self.label}: nfe must be positive with a network, else 0")

    def process_for(self, stationary_std: float | None) -> "GaussianProcess | None":
        """The process for a lambda in the unit of the images; None for a method without one.

        Raises
        ------
        InputError
            If the method needs a lambda and it is not given, or is out of range.
        """
        if self.process is None:
            return None
        if stationary_std is None and self.has_lambda:
            raise InputError(f"{self.label} needs a lambda: process.stationary_std is not given")
        try:
            return self.process(math.nan if stationary_std is None else stationary_std)
        except ValueError as error:
            raise InputError(f"{self.label}: {error}") from None

    def fingerprint(self, stationary_std: float | None) -> str:
        """SHA-256 of all of the method that weights depend on, the process's numbers included.

        A part of the process that is at its default is omitted, so that a new one changes
        nothing for processes without it. Numbers count to 8 digits: in the last ones the
        exponentials of two processors differ.
        """
        content = [self.kind, self.objective, self.centered, self.conditional]
        process = self.process_for(stationary_std)
        for field in dataclasses.fields(process) if process else ():
            value = getattr(process, field.name)
            if value is not field.default:
                content.append(_to_8_digits(value) if hasattr(value, "tolist") else value)
        return digest_json(content)


def _to_8_digits(table: "torch.Tensor") -> list[str]:
    return [f"{number + 0.0:.7e}" for number in table.flatten().tolist()]


def _ir_sde(schedule: "Schedule") -> "Callable[[float], GaussianProcess]":
    def build(stationary_std: float) -> "GaussianProcess":
        from irsde.processes import mean_reverting

        return mean_reverting(100, schedule, stationary_std)

    return build


def _gaussian_denoising(stationary_std: float) -> "GaussianProcess":  # noqa: ARG001
    from irsde.processes import gaussian_denoising

    return gaussian_denoising(100, "cosine", 70 / 255)


def _ddpm(stationary_std: float) -> "GaussianProcess":  # noqa: ARG001 (one signature for all)
    from irsde.processes import variance_preserving

    return variance_preserving(1000, "linear")


def _i2sb(stationary_std: float) -> "GaussianProcess":  # noqa: ARG001
    from irsde.processes import brownian_bridge

    return brownian_bridge(1000, beta_max=0.3)


def _goub(stationary_std: float) -> "GaussianProcess":
    from irsde.processes import ornstein_uhlenbeck_bridge

    return ornstein_uhlenbeck_bridge(100, "cosine", stationary_std)


def _unidb(stationary_std: float) -> "GaussianProcess":
    from irsde.processes import ornstein_uhlenbeck_bridge

    return ornstein_uhlenbeck_bridge(100, "cosine", stationary_std, penalty=1e8)


def _ddbm(stationary_std: float) -> "GaussianProcess":  # noqa: ARG001
    from irsde.processes import diffusion_bridge

    return diffusion_bridge(1000)


def _rdbm(label: str, noise_scale: "NoiseScale") -> Method:
    """A method of RDBM's ablation, in which only the scale of the noise differs."""

    def process(stationary_std: float) -> "GaussianProcess":  # noqa: ARG001
        from irsde.processes import residual_bridge

        return residual_bridge(100, noise_scale=noise_scale)

    return Method(
        label,
        "process",
        process,
        "clean",
        "rdbm",
        10,
        centered=True,
        has_lambda=False,
        clipped=True,
        source="arXiv 2510.23116",
    )


def _fod(stationary_std: float) -> "GaussianProcess":  # noqa: ARG001
    from irsde.processes import forward_only

    return forward_only(100)


def _resshift(stationary_std: float) -> "GaussianProcess":
    from irsde.processes import residual_shift

    return residual_shift(15, kappa=stationary_std / 0.99)


def _interpolant(stationary_std: float) -> "GaussianProcess":
    from irsde.processes import linear_interpolant

    return linear_interpolant(100, noise_level=stationary_std)


@dataclass(frozen=True)
class MethodName:
    """Method and variant of a run, which folders, cards and commands write as `ir-sde+l2`.

    Parameters
    ----------
    base : str
        A key of `METHODS`.
    variant : str
        Names joined by "+", each of a change to what is named before it; "" for none.

    Examples
    --------
    >>> name = MethodName.parse("ir-sde+l2+width0.07")
    >>> name.base, name.variant, str(name.origin), str(name.origin.plus("width0.1"))
    ('ir-sde', 'l2+width0.07', 'ir-sde+l2', 'ir-sde+l2+width0.1')
    """

    base: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> "MethodName":
        """The name that a text spells."""
        base, _, variant = text.partition("+")
        return cls(base, variant)

    def __str__(self) -> str:
        """Text of the name."""
        return f"{self.base}+{self.variant}" if self.variant else self.base

    @property
    def origin(self) -> "MethodName":
        """The name without its last change."""
        return MethodName(self.base, self.variant.rpartition("+")[0])

    @property
    def made_from(self) -> "MethodName":
        """The name without what `irsde average` and `irsde train --continue-to` add last."""
        last = self.variant.rpartition("+")[2]
        return self.origin if re.fullmatch(r"width[\d.]+|to\d+", last) else self

    def plus(self, change: str) -> "MethodName":
        """The name with one more change."""
        return MethodName.parse(f"{self}+{change}")


def method_of(name: str) -> Method:
    """The method that a name, with or without a variant, belongs to; KeyError if unknown."""
    return METHODS[MethodName.parse(name).base]


METHODS: dict[str, Method] = {
    "identity": Method("degraded input", "identity"),
    "classical": Method("classical", "classical", source="scikit-image"),
    "regression": Method("direct regression", "regression", nfe=1, source="arXiv 2301.11699"),
    "ir-sde": Method(
        "IR-SDE",
        "process",
        _ir_sde("cosine"),
        "maximum-likelihood",
        "posterior",
        100,
        source="arXiv 2301.11699",
    ),
    "ir-sde-noise": Method(
        "IR-SDE, noise matching",
        "process",
        _ir_sde("cosine"),
        "noise",
        "posterior",
        100,
        source="arXiv 2301.11699",
    ),
    "ir-sde-linear": Method(
        "IR-SDE, linear schedule",
        "process",
        _ir_sde("linear"),
        "maximum-likelihood",
        "posterior",
        100,
        source="arXiv 2301.11699",
    ),
    "ir-sde-constant": Method(
        "IR-SDE, constant schedule",
        "process",
        _ir_sde("constant"),
        "maximum-likelihood",
        "posterior",
        100,
        source="arXiv 2301.11699",
    ),
    "ir-sde-clean": Method(
        "IR-SDE, clean prediction",
        "process",
        _ir_sde("cosine"),
        "clean",
        "posterior",
        100,
        source="arXiv 2301.11699 (process), arXiv 2303.11435 (target)",
    ),
    "denoising-sde": Method(
        "Denoising-SDE",
        "process",
        _gaussian_denoising,
        "maximum-likelihood",
        "euler-maruyama",
        22,
        conditional=False,
        has_lambda=False,
        only_task="denoising",
        source="arXiv 2301.11699",
    ),
    "denoising-ode": Method(
        "Denoising-ODE",
        "process",
        _gaussian_denoising,
        "maximum-likelihood",
        "probability-flow",
        22,
        conditional=False,
        has_lambda=False,
        only_task="denoising",
        source="arXiv 2301.11699",
    ),
    "ddpm": Method(
        "conditional DDPM",
        "process",
        _ddpm,
        "noise",
        "ddim",
        100,
        centered=True,
        has_lambda=False,
        clipped=True,
        source="arXiv 2006.11239, arXiv 2104.07636",
    ),
    "i2sb": Method(
        "I2SB",
        "process",
        _i2sb,
        "clean",
        "posterior",
        100,
        centered=True,
        has_lambda=False,
        source="arXiv 2302.05872",
    ),
    "goub": Method(
        "GOUB",
        "process",
        _goub,
        "maximum-likelihood",
        "euler-maruyama",
        99,
        source="arXiv 2312.10299",
    ),
    "resshift": Method(
        "ResShift", "process", _resshift, "clean", "posterior", 15, source="arXiv 2307.12348"
    ),
    "indi": Method(
        "InDI", "process", _interpolant, "clean", "posterior", 100, source="arXiv 2303.11435"
    ),
    "flow": Method(
        "rectified flow",
        "process",
        _interpolant,
        "velocity",
        "ddim",
        100,
        source="arXiv 2209.03003, arXiv 2210.02747",
    ),
    "prenet": Method(
        "PReNet", "published", nfe=1, only_task="deraining", source="arXiv 1901.09221"
    ),
    "prenet-r": Method(
        "PReNet_r", "published", nfe=1, only_task="deraining", source="arXiv 1901.09221"
    ),
    "cdncnn-s": Method(
        "CDnCNN-S", "published", nfe=1, only_task="denoising", source="arXiv 1608.03981"
    ),
    "ffdnet": Method(
        "FFDNet", "published", nfe=1, only_task="denoising", source="arXiv 1710.04026"
    ),
    "gcanet": Method("GCANet", "published", nfe=1, only_task="dehazing", source="arXiv 1811.08747"),
    "aod-net": Method(
        "AOD-Net", "published", nfe=1, only_task="dehazing", source="arXiv 1707.06543"
    ),
    "light-dehazenet": Method(
        "Light-DehazeNet",
        "published",
        nfe=1,
        only_task="dehazing",
        source="doi 10.1109/TIP.2021.3116790",
    ),
    "imdn": Method(
        "IMDN", "published", nfe=1, only_task="super-resolution", source="arXiv 1909.11856"
    ),
    "i2sb-distance": Method(
        "I2SB, its authors' target",
        "process",
        _i2sb,
        "distance",
        "posterior",
        100,
        centered=True,
        has_lambda=False,
        source="arXiv 2302.05872",
    ),
    "unidb": Method(
        "UniDB",
        "process",
        _unidb,
        "maximum-likelihood",
        "euler-maruyama",
        99,
        source="arXiv 2502.05749",
    ),
    "ddbm": Method(
        "DDBM-VP",
        "process",
        _ddbm,
        "clean",
        "posterior",
        100,
        centered=True,
        has_lambda=False,
        source="arXiv 2309.16948 (process), arXiv 2405.15885 (sampler)",
    ),
    "rdbm": _rdbm("RDBM", "residual"),
    "rdbm-uniform": _rdbm("RDBM, uniform noise", "one"),
    "rdbm-noiseless": _rdbm("RDBM, no noise", "zero"),
    "fod": Method(
        "FoD",
        "process",
        _fod,
        "stochastic-flow",
        "posterior",
        100,
        centered=True,
        has_lambda=False,
        source="arXiv 2505.16733",
    ),
    "ir-sde-consistency": Method(
        "IR-SDE, consistency training",
        "process",
        _ir_sde("cosine"),
        "consistency",
        "consistency",
        2,
        source="arXiv 2303.01469; IR-CM, NeurIPS 2024",
    ),
}
