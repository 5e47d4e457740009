"""What a training starts from instead of fresh weights: a finished run, or given weights.

Either makes a run of its own beside the others, named like a variant: `<method>+to<iterations>`
or `<method>+from<first digits of the weights' SHA-256>`.
"""

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from irsde.experiment import provenance
from irsde.experiment.grid import Run, run_of
from irsde.experiment.profile import Profile, RunSettings, TrainingSettings
from irsde.files import InputError, digest_file, digest_json
from irsde.methods import MethodName
from irsde.restoration.weights import WEIGHTS
from irsde.training.checkpoints import holds_run

DIGITS = 8  # of a SHA-256 in the name of a run


@dataclass(frozen=True)
class Start:
    """What a training starts from.

    Parameters
    ----------
    identity : dict of str to str
        What it adds to the identity of the run.
    details : dict
        What it adds to the run card.
    weights : Path, optional
        Weights that take the place of fresh ones.
    continued : Path, optional
        Folder of the finished run whose last checkpoint is gone on from.
    base : dict of str to str
        Identity of that run.
    """

    identity: dict[str, str]
    details: dict[str, object]
    weights: Path | None = None
    continued: Path | None = None
    base: dict[str, str] = field(default_factory=dict)


def continuation(profile: Profile, run: Run, iterations: int) -> tuple[Run, RunSettings, Start]:
    """More iterations of a finished run, which itself stays as it is.

    Parameters
    ----------
    profile : Profile
    run : Run
        A finished run with its last checkpoint.
    iterations : int
        How many there are to be in all. Schedules that depend on their number, cosine decay and
        late patches, are those of the new one from where the run goes on.

    Returns
    -------
    Run, RunSettings, Start
        The run `<method>+to<iterations>`, with the settings in the card of the finished one.

    Raises
    ------
    InputError
        If the run is unfinished, has no network or no checkpoint, or has as many already.
    """
    card, settings = provenance.read_network_run(run.folder)
    if settings.training is None:
        raise InputError(f"{run.folder}: has no network to train")
    if iterations <= (finished := card.iterations or 0):
        raise InputError(
            f"{run.folder}: is trained to {finished} iterations; give --continue-to more"
        )
    if not holds_run(run.folder / "checkpoint", card.identity):
        raise InputError(
            f"{run.folder}: has no checkpoint to go on from; --from {run.folder} starts from its "
            "weights"
        )
    recipe = {**settings.training.model_dump(), "iterations": iterations}
    try:
        changes = {"training": TrainingSettings.model_validate(recipe)}
    except ValidationError as error:
        raise InputError(f"--continue-to: {error.errors()[0]['msg'].lower()}") from None
    start = Start(
        {"run": digest_json(card.identity), "weights": card.weights_sha256 or ""},
        {
            "label": f"{card.label} (to {iterations:,} iterations)",
            "derived_from": run.folder.as_posix(),
            "continued_at": finished,
        },
        continued=run.folder,
        base=card.identity,
    )
    return _beside(profile, run, f"to{iterations}"), settings.model_copy(update=changes), start


def fine_tuning(profile: Profile, run: Run, weights: Path) -> tuple[Run, Start]:
    """A training of a run's settings that starts from given weights.

    Parameters
    ----------
    profile : Profile
    run : Run
    weights : Path
        A run folder, or a safetensors file, of a network of the same size.

    Returns
    -------
    Run, Start
        The run `<method>+from<digits>`, with the digits of the weights' SHA-256.

    Raises
    ------
    InputError
        If there are none, or a run card has others.
    """
    if not run.is_trained:
        raise InputError(f"{run.method}: has no network, so --from has no effect")
    file = weights / WEIGHTS if weights.is_dir() else weights
    if not file.is_file():
        raise InputError(f"{file}: no such file; give --from a run folder or a safetensors file")
    sha256 = digest_file(file)
    identity, origin = {"weights": sha256}, None
    if weights.is_dir():
        card, _ = provenance.read_network_run(weights)
        provenance.check_weights(file, card)
        origin = _run_here(weights)
        if origin:
            identity["run"] = digest_json(card.identity)
    details: dict[str, object] = {
        "label": f"{run.label} (from {sha256[:DIGITS]})",
        "derived_from": origin,
        "started_from": {"file": _shown(file), "sha256": sha256},
    }
    return _beside(profile, run, f"from{sha256[:DIGITS]}"), Start(identity, details, file)


def _beside(profile: Profile, run: Run, name: str) -> Run:
    """The run whose method has one more name."""
    method = str(MethodName.parse(run.method).plus(name))
    if method in profile.variants:
        raise InputError(
            f"profile {profile.name}: has a variant {method}, whose folder this needs; rename it"
        )
    return Run(run.profile, run.task, method, run.seed)


def _run_here(folder: Path) -> str | None:
    """Folder of a run of this project; None for any other folder."""
    try:
        return run_of(folder).folder.as_posix()
    except InputError:
        return None


def _shown(file: Path) -> str:
    """Path below the working directory, or the name of a file elsewhere."""
    here = Path.cwd().resolve()
    path = file.resolve()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else file.name
