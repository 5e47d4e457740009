"""One run, trained or tuned: what identifies it, what is refused, and which of the two is done."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from irsde.data.leakage.record import Leak
from irsde.experiment.code import is_same_run
from irsde.experiment.grid import Run
from irsde.experiment.identity import differences
from irsde.experiment.profile import RunSettings
from irsde.experiment.provenance import read_run_card
from irsde.experiment.replaced import keep
from irsde.files import InputError, digest_json, is_present
from irsde.methods import method_of
from irsde.training.current import identity_of, is_finished

if TYPE_CHECKING:
    from irsde.training.starting import Start


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
        True to start afresh where a run of another configuration is; a finished run
        is kept in `results/replaced/`.
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
        allowed, or a run of another configuration is there and `overwrite` is False.
    interruption.StoppedError
        If a signal asked training to stop; a checkpoint was written.
    """
    if method_of(run.method).kind == "published":
        raise InputError(
            f"{run.method} was trained by its authors: run irsde weights import {run.method}"
        )
    _refuse_leaks(run, settings, leaks)
    identity = identity_of(run, settings)
    if start:
        identity |= start.identity
    if is_present(run.folder / "run.json"):
        if is_finished(run, settings, identity):
            return f"{run.folder}: up to date"
        if not overwrite:
            raise InputError(
                f"{run.folder}: holds another run, {_what_differs(run, settings, identity)}; "
                "nothing was changed; give --overwrite to keep it in results/replaced and train"
            )
    kept: list[str] = []

    def make_way() -> None:
        if is_present(run.folder / "run.json"):
            earlier = read_run_card(run.folder).identity
            place = keep(run.folder, digest_json(earlier)[:8])
            kept.append(f"; the earlier run is kept in {place}")

    if settings.training is None:
        from irsde.training.tuning import tune

        done = tune(run, settings, identity, leaks, make_way)
    else:
        from irsde.training.loop import train_network

        done = train_network(
            run,
            settings,
            identity,
            leaks,
            overwrite=overwrite,
            follow=follow,
            start=start,
            make_way=make_way,
        )
    return "".join([done, *kept])


def _what_differs(run: Run, settings: RunSettings, identity: dict[str, str]) -> str:
    """In what the finished run in a folder differs from the one that was asked for."""
    card = read_run_card(run.folder)
    known = card.identity
    if is_same_run(known, {**known, "code": identity["code"]}):
        identity = {**identity, "code": known.get("code", identity["code"])}
    differing = differences(
        known, identity, card.settings.content(), settings.model_dump(mode="json")
    )
    return f"which differs in {', '.join(differing)}" if differing else "without its weights"


def _refuse_leaks(run: Run, settings: RunSettings, leaks: Sequence[Leak]) -> None:
    if leaks and not settings.data.allow_leakage:
        first = leaks[0]
        images = len({(leak.test_set, leak.test_image) for leak in leaks})
        raise InputError(
            f"{run.task}: {images} test images are shown in the training data, the first "
            f"{first.test_set}/{first.test_image} by {first.train_set}/{first.train_image} "
            f"({first.evidence}); exclude their scenes (data.without), or give --allow-leakage"
        )
