"""The commands that make a run and an evaluation again, from their cards."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from irsde.plan import IMPORTED, OUTSIDE, evaluation_of, run_of


def run_command(card: Mapping[str, Any]) -> str:
    """Command that makes a run, from its `run.json`; "" for results made elsewhere."""
    chosen = ["--profile", card["profile"], "--task", card["task"]]
    if imported := card.get("imported_from"):
        settings = card.get("settings", {})
        if process := settings.get("process"):
            stationary_std = f"{255 * settings['stationary_std']:g}/255"
            chosen += ["--lambda", stationary_std, "--steps", str(process["steps"])]
            chosen += ["--schedule", process["schedule"]]
        return shlex.join(["irsde", "import-weights", imported["file"], *chosen])
    origin = card.get("derived_from")
    if origin and "width" in card["identity"]:
        width = str(card["identity"]["width"])
        return shlex.join(["irsde", "average", "--run", origin, "--width", width])
    if card.get("outside"):
        return ""
    method, start = card["method"], []
    if "continued_at" in card:
        method = run_of(Path(str(origin))).method
        start = ["--continue-to", str(card["iterations"])]
    elif source := card.get("started_from"):
        method, start = card["settings"]["method"], ["--from", origin or source["file"]]
    own = ["--method", method, "--seed", str(card["seed"])]
    allowed = card.get("settings", {}).get("data", {}).get("allow_leakage")
    leakage = ["--allow-leakage"] if allowed else []
    return shlex.join(["irsde", "train", *chosen, *own, *start, *leakage])


def evaluation_command(summary: Mapping[str, Any], folder: Path) -> str:
    """Command that makes an evaluation, from its `summary.json` and its folder."""
    dataset = summary["dataset"]["dataset"]
    if summary["method"].startswith(OUTSIDE):
        given = {
            "restored": summary.get("restored", "FOLDER"),
            "dataset": dataset,
            "name": summary["method_label"],
            "task": summary["task"],
            "profile": summary["profile"],
        }
        if pattern := summary.get("pattern"):
            given["pattern"] = pattern
        options = [part for key, value in given.items() for part in (f"--{key}", value)]
        return shlex.join(["irsde", "evaluate", *options])
    evaluation = evaluation_of(run_of(Path(summary["run"])), dataset, folder.name)
    is_imported = evaluation.run.method.endswith(f"+{IMPORTED}")  # read by plain unless told
    exact = " --conversion exact" if is_imported and evaluation.conversion == "exact" else ""
    return f"irsde evaluate {evaluation.arguments}{exact}"
