"""Content of `summary.json`: what was evaluated, how it was restored, and its scores."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, FiniteFloat, create_model, model_validator

from irsde.experiment.cards import (
    AnyMethod,
    Count,
    PreparedCard,
    Stored,
    TaskName,
    Text,
)
from irsde.experiment.fields import Name
from irsde.experiment.options import DEFAULTS, OPTIONS, EvaluationOptions
from irsde.scoring.distributions import DISTANCES
from irsde.scoring.metrics import METRICS

SUMMARY = "summary.json"


class StatedProtocol(Stored):
    """Protocol that images were scored under."""

    name: Name
    version: Count | None = None
    label: str = ""
    channel: Literal["rgb", "y"] = "rgb"
    source: str = ""


class StatedWeights(Stored):
    """Network that a metric was computed with; "" without one."""

    network: Text
    label: str = ""
    sha256: Text = ""


class StatedDistance(Stored):
    """FID or KID, or the reason why there is none."""

    value: FiniteFloat | None = None
    std: FiniteFloat | None = None
    reason: str = ""
    warning: str = ""


class StatedDistribution(Stored):
    """Distances between the distributions of restored and clean images."""

    network: Text = "unknown"
    sha256: Text = ""
    fid: StatedDistance = StatedDistance()
    kid: StatedDistance = StatedDistance()

    def of(self, name: str) -> StatedDistance:
        """The distance of this name, a key of `distributions.DISTANCES`."""
        return {"fid": self.fid, "kid": self.kid}[name]

    def values(self) -> dict[str, float | None]:
        """Every distance by its name; None of what is n/a."""
        return {name: self.of(name).value for name in DISTANCES}


class StatedMetric(Stored):
    """A metric with its mean over images and the ends of the 95 % interval.

    `unavailable` says why images have none. Numbers that are n/a or infinite are None. `exact`
    counts images that are restored exactly, which the mean excludes; older versions did not count
    them, and gave no mean then.
    """

    name: Text
    label: Text
    higher_is_better: bool
    decimals: Annotated[int, Field(ge=0, le=20)]
    unavailable: str = ""
    weights: StatedWeights | None = None
    mean: FiniteFloat | None = None
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None
    exact: Count | None = None

    @property
    def network(self) -> str:
        """Network whose weights it was computed with, "" where there is none."""
        return self.weights.network if self.weights else ""


class EvaluatedWith(Stored):
    """Evaluation settings of this version or an earlier one."""

    nfe: Count | None = None


def _options() -> dict[str, Any]:
    """Options of evaluations that have a default: of one made before there was one, that."""
    return {
        name: (Count if OPTIONS[name].is_number else Text, default)
        for name, default in DEFAULTS.items()
    }


if TYPE_CHECKING:
    _Evaluated = Stored
else:
    _Evaluated = create_model("_Evaluated", __base__=Stored, **_options())


class Scores(_Evaluated):
    """What `summary.json` holds of any scored images, whoever restored them.

    Parameters
    ----------
    metrics, protocol, distribution
        The scores, and what they were computed with.
    method_label : str, optional
        Method as tables show it.
    profile, task, task_label, method, seed, run, run_identity, dataset, leaked, sampler, nfe, ...
        As in `Summary`; absent where images are of no test set of a profile.
    outside : bool
        True for images that were restored elsewhere. Then `restored`, `reference` and `pattern` say
        which files were scored, `images` how many, and `identity` has the hashes of their pixels.
    settings, versions, code, commit, dirty
        Settings of the evaluation; libraries and code that it was made with.
    """

    kind = "a summary of scores"
    metrics: list[StatedMetric]
    protocol: StatedProtocol
    distribution: StatedDistribution = StatedDistribution()
    method_label: Text | None = None
    profile: Name | None = None
    task: TaskName | None = None
    task_label: Text | None = None
    method: AnyMethod | None = None
    seed: Count | None = None
    run: Text | None = None
    run_identity: Text | None = None
    dataset: PreparedCard | None = None
    leaked: list[str] = Field([])
    sampler: Text | None = None
    nfe: Count | None = None
    sampling_seed: Count = EvaluationOptions.sampling_seed
    snapshot: Count = EvaluationOptions.snapshot
    parameters: Count | None = None
    multiply_accumulates: FiniteFloat | None = None
    outside: bool = False
    restored: Text | None = None
    reference: Text | None = None
    pattern: Text | None = None
    images: Count | None = None
    identity: dict[str, Text] | None = None
    settings: EvaluatedWith | None = None
    versions: dict[str, Text] | None = None
    code: Text | None = None
    commit: Text | None = None
    dirty: bool | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_earlier_version(cls, content: object) -> object:
        """Facts of LPIPS's weights, once beside the metrics, now in the record of LPIPS."""
        if not isinstance(content, dict) or "lpips" not in content:
            return content
        content = {**content}
        match content.pop("lpips"), content.get("metrics"):
            case {**used}, [*metrics]:
                beside = {"unavailable": used.pop("unavailable", ""), "weights": used}
                content["metrics"] = [
                    {**of, **beside} if isinstance(of, dict) and of.get("name") == "lpips" else of
                    for of in metrics
                ]
        return content

    def metric(self, name: str) -> StatedMetric | None:
        """What it says of a metric; None where that was not known yet."""
        return next((metric for metric in self.metrics if metric.name == name), None)

    def missing(self, name: str) -> str:
        """Why images have no value of a metric, "" where it does not say."""
        if (metric := self.metric(name)) is not None:
            return metric.unavailable
        return f"evaluated before {METRICS[name].label if name in METRICS else name} was added"


class Summary(Scores):
    """Content of the `summary.json` of an evaluation.

    Parameters
    ----------
    profile, task, task_label, method, method_label, seed
        Which run was evaluated.
    run, run_identity : str
        Its folder, and the hash of its identity at that time.
    dataset : PreparedCard
        The test set.
    leaked : list of str
        Its images that the training data show.
    sampler, nfe, sampling_seed, and the other fields of `EvaluationOptions`
        How it was restored; nfe is None where that is not known.
    parameters : int or None
    multiply_accumulates : float or None
        Of a mean image, all network evaluations together.
    """

    method_label: Text
    profile: Name
    task: TaskName
    task_label: Text
    method: AnyMethod
    seed: Count
    run: Text
    run_identity: Text
    dataset: PreparedCard
    sampler: Text
    nfe: Count | None
    parameters: Count | None

    def stated(self) -> Mapping[str, float | None]:
        """Numbers that it states itself: means, distances between distributions and counts."""
        return {
            "seed": self.seed,
            "sampling_seed": self.sampling_seed,
            "nfe": self.nfe,
            "parameters": self.parameters,
            "multiply_accumulates": self.multiply_accumulates,
            **self.distribution.values(),
            **{metric.name: metric.mean for metric in self.metrics},
        }


class StoredStates(Stored):
    """Content of `states/states.json`: an image and the steps at which its states were kept."""

    kind = "a record of states"

    image: Text
    sampler: Text
    nfe: Count
    forward: list[Count]
    reverse: list[Count]


def read_summary(folder: Path) -> Summary:
    """Summary of an evaluation.

    Raises
    ------
    InputError
        If it is absent, or not that of an evaluation of this version.
    """
    return Summary.read(folder / SUMMARY)
