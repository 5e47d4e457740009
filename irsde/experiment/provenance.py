"""Where a result comes from: commit, code, settings, data, versions, device."""

import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TypedDict

from pydantic import ValidationError

from irsde.experiment.cards import RunCard
from irsde.experiment.grid import Run
from irsde.experiment.profile import PARAMETERS, Profile, RunSettings
from irsde.files import InputError, check_name, digest_file, is_present, write_json
from irsde.methods import METHODS, MethodName, method_of

LIBRARIES = ("numpy", "pandas", "scikit-image", "scipy", "torch", "lpips", "piq", "pillow")


class Commit(TypedDict):
    """A commit, and whether tracked files differ from it."""

    commit: str | None
    dirty: bool | None


def commit() -> Commit:
    """Commit of the working directory's checkout and whether tracked files differ from it.

    `params.yaml` does not count: it only names the active profile and repeats its grid. Both are
    None outside a git checkout.
    """
    try:
        head = _git("rev-parse", "HEAD")
        others = (":/", f":(top,exclude){PARAMETERS}")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", *others)
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}
    return {"commit": head, "dirty": bool(changed)}


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that results depend on."""
    known = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in ("irsde", *LIBRARIES):
        try:
            known[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            known[name] = "absent"
    return known


def write_cost(folder: Path, cost: Mapping[str, float | None]) -> None:
    """Write `cost.json`, with the time at which the work ended: now."""
    ended = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(folder / "cost.json", {**cost, "ended": ended})


def write_run_card(
    folder: Path,
    run: Run,
    settings: RunSettings,
    identity: dict[str, str],
    device: str,
    cost: dict[str, float],
    details: Mapping[str, object],
) -> None:
    """Write the card of a finished run, and beside it what differs between two equal runs.

    The card goes last: a folder without it holds no finished run.

    Parameters
    ----------
    folder : Path
        Folder to write to, that of the run or one that is about to be renamed to it.
    run : Run
    settings : RunSettings
    identity : dict of str to str
        What the run's weights depend on; two runs that agree in it are the same run.
    device : str
        What the weights were computed on.
    cost : dict of str to float
        Seconds it took, and its largest memory in bytes.
    details : dict
        Further fields; they replace those of the same name.
    """
    write_cost(folder, cost)
    method = method_of(run.method)
    card = RunCard.model_validate(
        {
            "profile": run.profile,
            "task": run.task,
            "method": run.method,
            "label": run.label,
            "source": method.source,
            "objective": method.objective if method.is_trained else None,
            "seed": run.seed,
            "settings": settings.model_dump(mode="json"),
            "identity": identity,
            **commit(),
            "versions": versions(),
            "device": device,
            "cost": "cost.json",
            **details,
        }
    )
    card.write(folder / "run.json")


def read_run_card(folder: Path) -> RunCard:
    """Run card of a finished run.

    Raises
    ------
    InputError
        If the run is absent, unfinished or its card is damaged.
    """
    if not is_present(folder / "run.json"):
        raise InputError(f"{folder}: no finished run there (no run.json); run irsde train first")
    return RunCard.read(folder / "run.json")


def read_network_run(folder: Path) -> tuple[RunCard, RunSettings]:
    """Card and settings of a finished run with a network.

    Raises
    ------
    InputError
        As `read_run_card`, and if the settings are of another version.
    """
    card = read_run_card(folder)
    try:
        settings = RunSettings.model_validate(card.settings.content())
    except ValidationError:
        raise InputError(f"{folder / 'run.json'}: not the card of this version") from None
    return card, settings


def check_weights(weights: Path, card: RunCard) -> None:
    """Refuse a weights file that is not the one a run card records.

    Raises
    ------
    InputError
        If the SHA-256 differs.
    """
    if digest_file(weights) != card.weights_sha256:
        raise InputError(f"{weights}: not the weights that run.json records")


def imported_from(folder: Path) -> str | None:
    """SHA-256 of the file that a run was imported from; None if it is no imported run."""
    try:
        source = read_run_card(folder).imported_from
    except InputError:
        return None
    return source.sha256 if source else None


def _is_derived(folder: Path) -> bool:
    """True if a run's weights were imported, or averaged from another run's."""
    if imported_from(folder):
        return True
    try:
        return read_run_card(folder).is_derived
    except InputError:
        return False


def evaluation_profile(profile: Profile, run: Run) -> Profile:
    """Profile that a run is evaluated with; one derived from another run is evaluated as that.

    Raises
    ------
    InputError
        If the method is unknown, or the run is a variant that the profile does not define and is
        of neither kind.
    """
    name = MethodName.parse(run.method)
    check_name("method", name.base, METHODS)
    if _is_derived(run.folder):
        while name.variant and str(name) not in profile.variants:
            name = name.origin
    return profile.for_method(str(name))
