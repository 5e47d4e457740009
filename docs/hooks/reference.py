"""Pages of the reference: commands, keys of a profile, the figures of the study."""

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from typer.main import get_command

from irsde.cli import app
from irsde.experiment.keys import Key, profile_keys


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
