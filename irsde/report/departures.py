"""Which lines of a table were not trained as the others: other settings, an earlier process."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from irsde.config import Profile, load_profile, run_settings
from irsde.files import InputError, read_json
from irsde.methods import METHODS
from irsde.report.figure import Figure
from irsde.report.table import Line, Table

MARKS = {
    "†": "trained otherwise than the profile says now",
    "‡": "trained with an earlier version of the method's process",
}
FREE = {  # settings that leave the training of a network as it is
    "data": ("test", "validation", "window", "windows_per_image", "allow_leakage"),
    "training": (
        "accumulate", "channels_last", "checkpoint_every", "compile", "ema_snapshots",
        "keep_checkpoints", "processes", "threads", "validate_every", "validation_images",
        "validation_nfe", "validation_window",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Training:
    """How a network was trained, beside what the profile and its method say now.

    Parameters
    ----------
    label : str
        Method as tables show it.
    seed : int
    found : tuple of str or None
        For each of `MARKS` None where the training does not depart so, else what must be added.
    """

    label: str
    seed: int
    found: tuple[str | None, ...]


def changed_settings(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Settings of a run card that differ from a profile's, where they change what is learned.

    Examples
    --------
    >>> changed_settings({"training": {"batch": 4, "threads": 1}}, {"training": {"batch": 8}})
    'batch 4 instead of 8'
    """
    return ", ".join(
        f"{name} {_text(before)} instead of {_text(after)}"
        for name, before, after in _differences(then, now)
    )


def _differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Name, earlier and present value; of another kind of network its kind only."""
    if then.get("stationary_std") != now.get("stationary_std"):
        yield "lambda", then.get("stationary_std"), now.get("stationary_std")
    for group in ("data", "network", "training"):
        before, after = then.get(group) or {}, now.get(group) or {}
        keys = [key for key in after if key in before and key not in FREE.get(group, ())]
        differing = [key for key in keys if before[key] != after[key]]
        if group == "network" and "name" in differing:
            differing = ["name"]
        for key in differing:
            yield "network" if key == "name" else key, before[key], after[key]


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value)


class Departures:
    """Finds the trainings behind tables and figures that depart, and says so there.

    Parameters
    ----------
    profile : Profile
        What the runs of its name are compared with; those of another profile with that one's file.
    """

    def __init__(self, profile: Profile) -> None:
        self._profiles: dict[str, Profile] = {profile.name: profile}
        self._trainings: dict[str, Training | None] = {}

    def in_table(self, table: Table) -> Table:
        """The table with marks on the lines that depart and a sentence for each mark.

        Where all networks of a table depart alike, no line has a mark and the caption says so.
        """
        trained = self._of(_all_sources(table))
        for place, (mark, meaning) in enumerate(MARKS.items()):
            texts = {training.found[place] for training in trained}
            if len(texts) == 1 and (text := texts.pop()) is not None:
                table = _noted(table, f"All networks of this table were {meaning}{_details(text)}.")
            elif len(texts) > 1:
                table = self._marked(table, place, mark, meaning)
        return table

    def _marked(self, table: Table, place: int, mark: str, meaning: str) -> Table:
        names, lines = [], []
        for line in table.lines:
            text = _together(self._of(line.cells[0].sources or _sources(line)), place)
            if text is not None:
                name = line.cells[0]
                names.append(f"{name.text}{text}")
                marks = f"{name.mark} {mark}".strip()
                reasons = "; ".join(filter(None, (name.reason, f"{meaning}{text}")))
                marked = replace(name, mark=marks, reason=reasons)
                line = replace(line, cells=(marked, *line.cells[1:]))
            lines.append(line)
        table = replace(table, lines=tuple(lines))
        if names:
            return _noted(table, f"{mark} {_capital(meaning)}: {'; '.join(dict.fromkeys(names))}.")
        return _noted(table, _sentence(self._of(_all_sources(table)), place, meaning))

    def in_figure(self, figure: Figure) -> Figure:
        """The figure with a sentence in its caption for each way in which what it shows departs."""
        trained = self._of(figure.sources)
        sentences = [_sentence(trained, *meaning) for meaning in enumerate(MARKS.values())]
        return replace(figure, caption=" ".join(filter(None, [figure.caption, *sentences])))

    def _of(self, sources: Iterable[str]) -> list[Training]:
        found = []
        for source in dict.fromkeys(sources):
            if source not in self._trainings:
                self._trainings[source] = self._training(Path(source))
            if (training := self._trainings[source]) is not None:
                found.append(training)
        return found

    def _training(self, source: Path) -> Training | None:
        """How the run that an evaluation is of was trained; None of what has no network."""
        evaluated = source / "summary.json"
        run = Path(read_json(evaluated)["run"]) if evaluated.is_file() else source
        card = read_json(run / "run.json") if (run / "run.json").is_file() else {}
        method = METHODS.get(str(card.get("method", "")).partition("+")[0])
        if method is None or not method.is_trained or "imported_from" in card:
            return None
        process = card["identity"].get("method")
        is_present = process is None or process == method.fingerprint(
            card["settings"].get("stationary_std")
        )
        found = (self._changed(card) or None, None if is_present else "")
        return Training(card["label"], card["seed"], found)

    def _changed(self, card: Mapping[str, Any]) -> str:
        """Settings that the profile has otherwise now; "" where it does not know the run."""
        name, method = card["profile"], card["method"]
        if "derived_from" in card:  # an average of the weights of another run
            method = method.rpartition("+")[0]
        try:
            if name not in self._profiles:
                self._profiles[name] = load_profile(name)
            now = run_settings(self._profiles[name], card["task"], method, card["seed"])
        except InputError:
            return ""
        return changed_settings(card["settings"], now.model_dump(mode="json"))


def _together(trainings: Sequence[Training], place: int) -> str | None:
    """What is added for the runs of one line, with their seeds where only some depart."""
    departing = [training for training in trainings if training.found[place] is not None]
    if not departing:
        return None
    texts = list(dict.fromkeys(filter(None, (one.found[place] for one in departing))))
    if len(departing) < len(trainings):
        seeds = sorted({training.seed for training in departing})
        texts.insert(0, f"seed {', '.join(map(str, seeds))}")
    return _details(": ".join(texts))


def _sentence(trainings: Sequence[Training], place: int, meaning: str) -> str:
    """Sentence that names the methods that depart, "" if none does."""
    of_label: dict[str, list[Training]] = {}
    for training in trainings:
        of_label.setdefault(training.label, []).append(training)
    names = [
        f"{label}{text}"
        for label, found in of_label.items()
        if (text := _together(found, place)) is not None
    ]
    return f"{_capital(meaning)}: {'; '.join(names)}." if names else ""


def _details(text: str) -> str:
    return f" ({text})" if text else ""


def _sources(line: Line) -> list[str]:
    return [source for cell in line.cells for source in cell.sources]


def _all_sources(table: Table) -> list[str]:
    return [source for line in table.lines for source in _sources(line)]


def _noted(table: Table, sentence: str) -> Table:
    return replace(table, caption=f"{table.caption} {sentence}".strip())


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
