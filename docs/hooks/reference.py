"""Pages of the reference: commands, keys, methods, samplers, the figures of the study."""

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from typer.main import get_command

from irsde.cli import app
from irsde.experiment.keys import Key, profile_keys
from irsde.methods import METHODS
from irsde.objectives import OBJECTIVES
from irsde.samplers import GRIDS, SAMPLERS


def commands() -> str:
    """All commands with their options."""
    command: Any = get_command(app)
    return "\n".join(
        ["# Commands", "", f"{command.help}", "", *_of_command(command, "irsde", None)]
    )


def _of_command(command: Any, name: str, parent: Any) -> Iterator[str]:
    context = command.context_class(command, info_name=name, parent=parent)
    if hasattr(command, "list_commands"):
        for below in command.list_commands(context):
            yield from _of_command(command.get_command(context, below), below, context)
        return
    yield f"## {context.command_path}"
    yield ""
    usage = " ".join(command.collect_usage_pieces(context))
    yield from ("```text", f"{context.command_path} {usage}", "```", "")
    yield from (_paragraphs(command.help), "")
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    yield from ("| option | |", "|:--|:--|")
    for option, text in filter(None, records):
        yield f"| `{_cell(option)}` | {_cell(text)} |"
    yield ""


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def keys() -> str:
    """All keys of a profile, a table for each group."""
    lines = [
        "# Keys of a profile",
        "",
        "A profile is `workflow/config/NAME.yaml`. `[]` stands for each entry of a list. "
        "`irsde keys` prints the same.",
    ]
    grouped = itertools.groupby(profile_keys(), lambda key: re.split(r"[.\[]", key.path)[0])
    groups = {name: list(of_group) for name, of_group in grouped}
    alone = [key for of_group in groups.values() if len(of_group) == 1 for key in of_group]
    lines += _table("The profile itself", alone)
    for name, of_group in groups.items():
        if len(of_group) > 1:
            lines += _table(name, of_group)
    return "\n".join([*lines, ""])


def _table(title: str, keys: Sequence[Key]) -> list[str]:
    lines = ["", f"## {title}", "", "| key | values | default | effect |", "|:--|:--|:--|:--|"]
    for key in keys:
        default = key.default if key.default in ("", "needed", "none") else f"`{key.default}`"
        lines.append(f"| `{key.path}` | {key.values} | {default} | {_cell(key.effect)} |")
    return lines


def methods() -> str:
    """All methods, samplers and step grids."""
    lines = [
        "# Methods and samplers",
        "",
        "Names as profiles and commands have them. [Formulas](../mathematics.md); "
        "[how to add one](../contributing.md).",
        "",
        "## Methods",
        "",
        "| method | in tables | predicts | sampler, evaluations | from |",
        "|:--|:--|:--|:--|:--|",
    ]
    for name, method in METHODS.items():
        target = OBJECTIVES[method.objective].label if method.is_trained else ""
        sampler = f"`{method.sampler}`, {method.nfe}" if method.kind == "process" else ""
        own = f"; {method.only_task} only" if method.only_task else ""
        lines.append(f"| `{name}` | {method.label}{own} | {target} | {sampler} | {method.source} |")
    lines += ["", "## Samplers", "", "| sampler | in tables | order | noise | for |"]
    lines += ["|:--|:--|--:|:--|:--|"]
    processes = {
        name: process for name, method in METHODS.items() if (process := method.process_for(0.1))
    }
    for name, sampler in SAMPLERS.items():
        noise = "at every step" if sampler.stochastic else "at the start only"
        fits, rest = [], []
        for method, process in processes.items():
            is_met = all(need.is_met(process) for need in sampler.needs)
            (fits if is_met else rest).append(f"`{method}`")
        named = min(("all but ", rest), ("", fits), key=lambda names: len(names[1]))
        fitting = "".join((named[0], ", ".join(named[1]))) if rest else "all"
        order = sampler.order or ""
        lines.append(f"| `{name}` | {sampler.label} | {order} | {noise} | {fitting} |")
    lines += ["", "Each takes any number of evaluations up to the steps of the method, on one of"]
    lines += ["these step grids:", "", "| grid | even in |", "|:--|:--|"]
    lines += [f"| `{name}` | {grid.label} |" for name, grid in GRIDS.items()]
    return "\n".join([*lines, ""])


KINDS = {
    "plane": "Perception against distortion",
    "nfe": "Network evaluations",
    "scatter": "Image by image, against direct regression",
    "process": "From the clean image to the start and back",
    "objective": "Objectives",
    "schedule": "Schedules of theta",
    "training": "Training",
}


def figures(folder: Path) -> str:
    """All figures of a folder, by kind."""
    names = sorted(path.name for path in folder.glob("*.png"))
    of_kind = {title: [n for n in names if n.startswith(kind)] for kind, title in KINDS.items()}
    photographs = [name for name in names if not name.startswith(tuple(KINDS))]
    lines = ["# Figures of the profile `bench`", ""]
    for title, shown in {"Restored photographs": photographs, **of_kind}.items():
        lines += [f"## {title}", ""]
        for name in shown:
            title = name.removesuffix(".png")
            lines += [f"`{title}`", "", f"![{title}](figures/{name}){{ loading=lazy }}", ""]
    return "\n".join(lines)
