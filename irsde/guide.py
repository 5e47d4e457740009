"""The command line as a guide: commands by stage in the order of work, and what comes next."""

import sys
from typing import Any

from typer.core import TyperGroup

from irsde.terminal import folded, width_of

STAGES = {
    "Begin": ("doctor", "keys", "plan"),
    "Data and weights from elsewhere": ("data", "weights"),
    "Train": ("train", "average", "status"),
    "Restore and score": ("evaluate", "restore"),
    "Report": ("report", "compare", "diagnose", "track"),
    "Check and pass on": ("explain", "verify", "evidence", "export"),
}
"""Commands and groups of `irsde`, in the order of work."""

NEXT = {
    "doctor": "irsde plan --profile quick",
    "keys": "irsde plan --profile NAME, once the keys stand in workflow/config/NAME.yaml",
    "plan": "snakemake --cores all reports/tables.md, or by hand: irsde data fetch --profile NAME",
    "data list": "irsde data fetch NAME, or irsde data adopt FOLDER for what you have",
    "data fetch": "irsde data prepare --task TASK",
    "data adopt": "irsde data prepare --task TASK",
    "data fingerprint": "irsde data adopt FOLDER knows copies of this set from now on",
    "data check": "irsde train --task TASK --method METHOD; what leaks goes into data.without",
    "data prepare": "irsde train --task TASK --method METHOD, or irsde weights import NAME",
    "data figures": "look at reports/degradations",
    "data state": "dvc repro",
    "weights list": "irsde weights fetch NAME",
    "weights fetch": "irsde weights import NAME",
    "weights adopt": "irsde weights import NAME",
    "weights import": "irsde evaluate --run RUN",
    "train": "irsde evaluate --run RUN",
    "average": "irsde evaluate --run RUN",
    "status": "irsde train or irsde evaluate for what is missing, irsde report when all is there",
    "evaluate": "irsde report, or irsde compare A B",
    "restore": "look at the images; restored.json says what made them",
    "report": "open reports/index.html; irsde verify",
    "compare": "irsde explain reports/tables.md:TABLE/ROW/COLUMN for where a number comes from",
    "diagnose": "irsde evaluate --restored FOLDER --all-protocols, or train with what differs",
    "track sync": "mlflow ui --backend-store-uri sqlite:///results/mlflow.db",
    "track rebuild": "mlflow ui --backend-store-uri sqlite:///results/mlflow.db",
    "track follow": "mlflow ui --backend-store-uri sqlite:///results/mlflow.db",
    "explain": "irsde verify --recompute TABLE/ROW",
    "verify": "irsde evidence export or irsde export crate, to pass the results on",
    "evidence export": "git add the folder, or irsde export crate",
    "evidence import": "irsde report --partial, then irsde verify",
    "export crate": "deposit the folder: docs/deposit.md",
    "export croissant": "deposit the card: docs/deposit.md",
}
"""What to do after a command; names in capitals are the reader's."""


class Guide(TyperGroup):
    """A group whose help has its stages, and whose commands say what comes next."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order of work; those of a group as they are written."""
        names = super().list_commands(ctx)
        order = [name for of_stage in STAGES.values() for name in of_stage]
        return sorted(names, key=order.index) if ctx.parent is None else names

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a part of the help for every stage."""
        longest = max(map(len, self.commands))
        stages = {"Commands": tuple(self.list_commands(ctx))} if ctx.parent else STAGES
        for stage, names in stages.items():
            helps = (self.commands[name].get_short_help_str(1000) for name in names)
            rows = [(name.ljust(longest), text) for name, text in zip(names, helps, strict=True)]
            with formatter.section(stage):
                formatter.write_dl(rows)

    def invoke(self, ctx: Any) -> Any:
        """Run the command, then say what comes next."""
        result = super().invoke(ctx)
        group = f"{ctx.info_name} " if ctx.parent else ""
        if hint := NEXT.get(f"{group}{ctx.invoked_subcommand}"):
            print(folded(f"next: {hint}", width_of(sys.stderr)), file=sys.stderr)  # noqa: T201
        return result
