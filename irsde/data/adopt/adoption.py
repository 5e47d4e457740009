"""Images from anywhere, taken as data sets: recognised, compared, paired, put into `data/`."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from irsde.data.adopt.fingerprints import compare, recognise
from irsde.data.adopt.known_sets import plan_known
from irsde.data.adopt.layouts import named_like, plan_by_names
from irsde.data.adopt.own_sets import plan_own
from irsde.data.adopt.placing import Plan, check_plan, put
from irsde.data.adopt.searching import SHOWN, Search, search_folder
from irsde.data.catalogue import split_names
from irsde.experiment.fields import DatasetName
from irsde.files import InputError
from irsde.images import KINDS, check_text

RESERVED = ("cache", "downloads", "fingerprints", "leakage", "prepared", "sets")


def adopt(
    folder: Path, name: str | None = None, *, copy: bool = False, allow_differences: bool = False
) -> list[str]:
    """Put the images of a folder into `data/` as one or several data sets.

    Parameters
    ----------
    folder : Path
        Searched through all its levels; file names do not matter where fingerprints are known.
    name : str, optional
        The set it is: one of the catalogue, or a new one of one's own with `GT/` and, where there
        are, `LQ/` and `mask/`. Unless given, all known sets in the folder are recognised.
    copy : bool
        Copy the files; else links to them are made.
    allow_differences : bool
        Take a set although images differ or are missing; its card then says so.

    Returns
    -------
    list of str
        A line on each set, on what belongs to none, and a summary.

    Raises
    ------
    InputError
        If nothing is recognised; if images differ or are missing and this is not allowed; if
        files cannot be paired, sizes do not fit, or another version is in `data/` already.
        Nothing is written then.
    """
    if name is not None:
        _check_name(name)
    check_text(folder.absolute())
    search = search_folder(folder)
    if not search.found:
        reasons = search.rest((), "")
        why = f": {'; '.join(reasons)}" if reasons else ""
        raise InputError(f"{folder}: no {KINDS} images in it that can be used{why}")
    if name is None:
        plans, notes = _recognised(search)
    else:
        plans = [_named(name, search)]
        notes = search.rest(plans[0].used, "not of this set")
    flawed = [plan for plan in plans if plan.flaws]
    if flawed and not allow_differences:
        hints = [] if name else list(named_like(search))
        raise InputError("; ".join([_refusal(flawed, alone=len(plans) == 1), *hints]))
    checked = [(plan, check_plan(plan, copy)) for plan in plans]
    lines = [put(plan, standing, copy) for plan, standing in checked]
    for plan in plans:
        lines += plan.notes
    adopted = [plan.name for plan, standing in checked if standing != "current"]
    current = [plan.name for plan, standing in checked if standing == "current"]
    summary = [f"adopted {', '.join(adopted)}"] if adopted else []
    summary += [f"up to date: {', '.join(current)}"] if current else []
    return [*lines, *notes, "; ".join(summary)]


def _check_name(name: str) -> None:
    try:
        TypeAdapter(DatasetName).validate_python(name)
    except ValidationError:
        raise InputError(
            f"{name!r} is no valid name of a data set: letters, digits, '-' and '_' only"
        ) from None
    if name in RESERVED:
        raise InputError(f"{name!r} is a folder of irsde itself; choose another name")


def _recognised(search: Search) -> tuple[list[Plan], list[str]]:
    """Plans of all known sets there, and lines on the other images."""
    sets, strays = recognise(search.found, search.known)
    if not sets:
        partly = "".join(
            f"; {len(stray.agree)} of the {len(stray.known)} of {stray.name}"
            for stray in strays[:SHOWN]
        )
        remedy = "; ".join(named_like(search)) or (
            "say what it is with --as NAME (irsde data list shows the names)"
        )
        raise InputError(
            f"{search.folder}: none of the known data sets is in it ({len(search.found)} images"
            f"{partly}); {remedy}"
        )
    plans = [plan_known(comparison, search) for comparison in sets]
    notes = [
        f"{len(stray.agree)} of {len(stray.known)} images of {stray.name} are there, too few to "
        "adopt it"
        for stray in strays
    ]
    used = {file for comparison in (*sets, *strays) for file in comparison.used}
    return plans, [*notes, *search.rest(used, "of no known data set"), *named_like(search, used)]


def _named(name: str, search: Search) -> Plan:
    """Plan of the set that a user says it is."""
    if name in search.known:
        comparison = compare(name, search.known[name], search.found)
        if not comparison.files:
            raise InputError(
                f"{search.folder}: holds {len(search.found)} images, none of them of {name}"
            )
        return plan_known(comparison, search)
    if name in split_names():
        return plan_by_names(name, search)
    return plan_own(name, search)


def _refusal(plans: Sequence[Plan], *, alone: bool) -> str:
    first = f"{plans[0].name}: {plans[0].state}; {'; '.join(plans[0].flaws)}"
    more = f"; also incomplete: {', '.join(plan.name for plan in plans[1:])}" if plans[1:] else ""
    hint = "" if alone else "adopt a single set with --as NAME, or "
    return f"{first}{more}. Nothing was adopted; {hint}take it as it is with --allow-differences"
