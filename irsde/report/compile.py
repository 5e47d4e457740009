"""The report of a profile: all its tables and figures, written into `reports/`."""

from pathlib import Path

from irsde.files import InputError, replacing, replacing_folder, write_json, write_text
from irsde.plan import REPORTS
from irsde.report import tables
from irsde.report.figures import comparison


def compile_report(
    profile: str, budget: str, folders: list[Path], refused: dict[str, dict[str, str]]
) -> str:
    """Write tables.md, tables.csv, metrics.json, cost.md and the figures.

    Parameters
    ----------
    profile : str
        Name of the profile.
    budget : str
        Its caption.
    folders : list of Path
        Its evaluations, in the order of the tables' rows.
    refused : dict
        Task → label of a method that cannot do it → the reason.

    Returns
    -------
    str
        One line that says what was written.

    Raises
    ------
    InputError
        If an evaluation is not finished, is of an older run, or was scored otherwise than the
        rest of its table.
    """
    missing = [folder for folder in folders if not (folder / "summary.json").is_file()]
    if missing:
        raise InputError(
            f"{missing[0]}: not evaluated yet ({len(missing)} of {len(folders)} missing); "
            "run snakemake or irsde evaluate"
        )
    rows = tables.read_rows(folders)
    by_table = tables.by_table(rows)
    with replacing_folder(REPORTS / "figures") as temporary:
        for (task, dataset), of_table in by_table.items():
            comparison(of_table, temporary / f"{task}-{dataset}.png")
    with replacing(REPORTS / "tables.csv") as temporary:
        tables.tidy(rows).to_csv(temporary, index=False, lineterminator="\n")
    with replacing(REPORTS / "training.csv") as temporary:
        tables.training_curves(rows).to_csv(temporary, index=False, lineterminator="\n")
    write_json(REPORTS / "metrics.json", tables.metrics_tree(rows))
    write_text(REPORTS / "cost.md", tables.cost_text(profile, rows))
    write_text(REPORTS / "tables.md", tables.tables_text(profile, budget, rows, refused))
    return f"{REPORTS / 'tables.md'}: {len(by_table)} tables, {len(rows)} evaluations"
