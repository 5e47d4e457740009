"""One run, trained or tuned: what identifies it, what is refused, and which of the two is done."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from irsde import provenance
from irsde.config import RunSettings
from irsde.data.datasets import dataset_card
from irsde.data.leakage import Leak
from irsde.files import InputError, digest_file, digest_json, read_json
from irsde.methods import METHODS
from irsde.plan import Run, pairs_folder

if TYPE_CHECKING:
    from irsde.starting import Start


def train(
    run: Run,
    settings: RunSettings,
    *,
    overwrite: bool,
    leaks: Sequence[Leak] = (),
    follow: Callable[[], None] = lambda: None,
    start: "Start | None" = None,
) -> str:
    """Train or tune one run, resuming from its checkpoint if there is one.

    Parameters
    ----------
    run : Run
        Says where the results go.
    settings : RunSettings
        Resolved settings of the run.
    overwrite : bool
        True to start afresh where what lies there belongs to another configuration.
    leaks : sequence of Leak
        What the leakage check found in the data.
    follow : callable () -> None
        Called after each validation of a network, when the run's files are written.
    start : starting.Start, optional
        What a network starts from instead of fresh weights.

    Returns
    -------
    str
        One line that says what was done.

    Raises
    ------
    InputError
        If the prepared data are absent, training images leak into the test sets and that is not
        allowed, or what lies there belongs to another configuration and `overwrite` is False.
    interruption.StoppedError
        If a signal asked training to stop; a checkpoint was written.
    """
    _refuse_leaks(run, settings, leaks)
    identity = _identity(run, settings)
    if start:
        identity |= start.identity
    card = run.folder / "run.json"
    if card.is_file():
        if _is_finished(run, settings, identity):
            return f"{run.folder}: up to date"
        if not overwrite:
            raise InputError(
                f"{run.folder}: holds a run of another configuration, code or data; "
                "nothing was changed; give --overwrite to replace it"
            )
    if settings.training is None:
        from irsde.tuning import tune

        card.unlink(missing_ok=True)
        return tune(run, settings, identity, leaks)
    from irsde.trainer import train_network

    return train_network(
        run, settings, identity, leaks, overwrite=overwrite, follow=follow, start=start
    )


def _identity(run: Run, settings: RunSettings) -> dict[str, str]:
    """What a run's weights depend on; two runs that agree in it are the same run."""
    identity = {
        "settings": settings.hash,
        "code": provenance.code_hash("weights" if settings.training else "tune"),
        "train_data": _fingerprint(run, settings.data.train),
        "validation_data": _fingerprint(run, settings.data.validation),
    }
    if settings.training:
        method = METHODS[settings.method.partition("+")[0]]
        identity["method"] = method.fingerprint(settings.stationary_std)
    return identity


def _fingerprint(run: Run, datasets: tuple[str, ...]) -> str:
    folders = [pairs_folder(run.profile, run.task, name) for name in datasets]
    return digest_json([dataset_card(folder)["fingerprint"] for folder in folders])


def _refuse_leaks(run: Run, settings: RunSettings, leaks: Sequence[Leak]) -> None:
    if leaks and not settings.data.allow_leakage:
        first = leaks[0]
        images = len({(leak.test_set, leak.test_image) for leak in leaks})
        raise InputError(
            f"{run.task}: {images} test images are shown in the training data, the first "
            f"{first.test_set}/{first.test_image} by {first.train_set}/{first.train_image} "
            f"({first.evidence}); leave their scenes out (data.without), or give --allow-leakage"
        )


def _is_finished(run: Run, settings: RunSettings, identity: dict[str, str]) -> bool:
    """True if the card is of this run and the weights beside it are those it records."""
    card = read_json(run.folder / "run.json")
    if not isinstance(card, dict) or card.get("identity") != identity:
        return False
    weights = run.folder / "weights.safetensors"
    return settings.training is None or (
        weights.is_file() and digest_file(weights) == card.get("weights_sha256")
    )
