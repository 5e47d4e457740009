"""Whether a finished run is the one that is asked for: same settings, code and data."""

from irsde.data.sets import CARD, set_card
from irsde.experiment.code import code_hash, is_same_run
from irsde.experiment.grid import Run, pairs_folder
from irsde.experiment.profile import RunSettings
from irsde.experiment.provenance import read_run_card
from irsde.experiment.published_weights import weights_of
from irsde.files import InputError, digest_file, digest_json, is_present
from irsde.methods import method_of


def identity_of(run: Run, settings: RunSettings, *, prepared: bool = True) -> dict[str, str]:
    """What a run's weights depend on; two runs that agree in it are the same run.

    Data that are not prepared are an error, or omitted where `prepared` is False.
    """
    method = method_of(settings.method)
    identity = {"settings": settings.hash}
    if settings.training:
        identity["method"] = method.fingerprint(settings.stationary_std)
    if method.kind == "published":
        return {**identity, "weights_file": weights_of(settings.method).sha256}
    identity["code"] = code_hash("train" if settings.training else "tune")
    for role, names in (("train", settings.data.train), ("validation", settings.data.validation)):
        folders = [pairs_folder(run.profile, run.task, name) for name in names]
        if prepared or all((folder / CARD).is_file() for folder in folders):
            cards = [set_card(folder).fingerprint for folder in folders]
            identity[f"{role}_data"] = digest_json(cards)
    return identity


def is_finished(
    run: Run, settings: RunSettings, identity: dict[str, str], *, without_weights: bool = False
) -> bool:
    """True if the card is of this run and the weights beside it are those it records.

    With `without_weights` they may be absent, as where evidence was imported without them.
    """
    try:
        card = read_run_card(run.folder)
    except InputError:  # damaged, or just set aside by the first of several processes
        return False
    known = card.identity
    unknown = {"train_data", "validation_data"} - identity.keys()
    if not is_same_run(identity, {key: known[key] for key in known.keys() - unknown}):
        return False
    weights = run.folder / "weights.safetensors"
    has_network = method_of(settings.method).has_network
    if not has_network or (without_weights and not weights.exists()):
        return True
    return weights.is_file() and digest_file(weights) == card.weights_sha256


def is_current_run(run: Run, settings: RunSettings) -> bool:
    """True if a finished run is the one that its settings, the code and the data ask for.

    Code that gives the same numbers counts as the same (`known_code.yaml`). Data that are not
    prepared yet count as those of the run, and so do weights that evidence was imported without.
    """
    if not is_present(run.folder / "run.json"):
        return False
    identity = identity_of(run, settings, prepared=False)
    return is_finished(run, settings, identity, without_weights=True)
