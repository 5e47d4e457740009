"""What identifies a run, and in which words two runs differ."""

from collections.abc import Iterator, Mapping

from irsde.experiment.profile import SINCE_FIRST_RUNS

NAMES = {
    "code": "the code",
    "train_data": "the training data",
    "validation_data": "the validation data",
    "method": "the numbers of the method's process",
    "run": "the run it was made from",
    "weights": "the weights it started from",
}
MOST_SETTINGS = 4  # that are named


def differences(
    old: Mapping[str, object],
    new: Mapping[str, object],
    old_settings: Mapping[str, object] | None = None,
    new_settings: Mapping[str, object] | None = None,
) -> list[str]:
    """In what two runs differ, for messages.

    Parameters
    ----------
    old, new : mapping
        Identities, as a run card has them.
    old_settings, new_settings : mapping, optional
        Settings, as a run card has them: those that differ are named with both values.

    Returns
    -------
    list of str
        Plain words, one for each part that differs; empty where the identities are equal.

    Examples
    --------
    >>> old, new = {"settings": "a", "code": "b"}, {"settings": "c", "code": "d"}
    >>> differences(old, new, {"training": {"batch": 2}}, {"training": {"batch": 8}})
    ['settings (training.batch 2, now 8)', 'the code']
    """
    differing = []
    for key in dict.fromkeys([*old, *new]):
        if old.get(key) == new.get(key):
            continue
        if key == "settings":
            named = list(_settings(old_settings, new_settings)) if old_settings else []
            further = len(named) - MOST_SETTINGS
            shown = named[:MOST_SETTINGS] + ([f"and {further} more"] if further > 0 else [])
            differing.append(f"settings ({', '.join(shown)})" if shown else "settings")
        else:
            differing.append(NAMES.get(key, key.replace("_", " ")))
    return differing


def _settings(old: Mapping[str, object] | None, new: Mapping[str, object] | None) -> Iterator[str]:
    """Settings that differ, each with both values."""
    before, now = _flat(old or {}), _flat(new or {})
    for key in dict.fromkeys([*before, *now]):
        was, is_now = before.get(key), now.get(key)
        if was != is_now:
            yield f"{key} {_text(was)}, now {_text(is_now)}"


def _flat(settings: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Settings by their dotted names; those that came later at the value that was used before."""
    flat: dict[str, object] = {}
    if prefix == "training.":
        settings = {**SINCE_FIRST_RUNS, **settings}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return {key: list(v) if isinstance(v, tuple) else v for key, v in flat.items()}


def _text(value: object) -> str:
    return "none" if value is None else str(value)
