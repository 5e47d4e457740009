"""The report of a profile: all its tables and figures, written into `reports/`."""

from pathlib import Path

from irsde.config import Profile
from irsde.files import InputError, replacing, replacing_folder, write_json, write_text
from irsde.plan import (
    REPORTS,
    evaluations,
    further_evaluations,
    outside_evaluations,
    refusals,
    sweep_evaluations,
)
from irsde.report import causes_table, paper, render, tables
from irsde.report.checksums import write_checksums
from irsde.report.departures import Departures
from irsde.report.figures import write_figures, write_process_figures
from irsde.report.lineage import lineage
from irsde.report.page import write_page
from irsde.report.rows import Row, read_rows
from irsde.report.table import Table

NOT_RUN = "it is in the profile and was not run"


def compile_report(profile: Profile, *, partial: bool = False) -> str:
    """Write tables, figures, the HTML page and the provenance of every cell.

    Parameters
    ----------
    profile : Profile
        Whose finished evaluations are compiled, and results made elsewhere on its test sets.
    partial : bool
        Whether evaluations may be missing; the tables then say which methods were not run.

    Returns
    -------
    str
        One line that says what was written.

    Raises
    ------
    InputError
        If an evaluation is not finished (of a partial report: if none is), is of an older run, or
        was scored otherwise than the rest of its table.
    """
    needed = [one.folder for one in (*evaluations(profile), *further_evaluations(profile))]
    missing = [folder for folder in needed if not _is_finished(folder)]
    if missing and (not partial or len(missing) == len(needed)):
        raise InputError(
            f"{missing[0]}: not evaluated yet ({len(missing)} of {len(needed)} missing); "
            "run snakemake or irsde evaluate"
        )
    rows, sweep_rows = _rows(profile)
    departures = Departures(profile)
    compiled = _all_tables(profile, rows, sweep_rows, departures)
    cost = departures.in_table(tables.cost_table(rows))
    budget = profile.caption.strip()
    folder = REPORTS / "figures"
    with replacing_folder(folder) as temporary:
        figures = write_figures(rows, sweep_rows, budget, temporary)
        figures = [departures.in_figure(figure) for figure in figures]
        figures += write_process_figures(temporary)
    with replacing(REPORTS / "tables.csv") as temporary:
        render.csv_lines(compiled).to_csv(temporary, index=False, lineterminator="\n")
    with replacing(REPORTS / "training.csv") as temporary:
        tables.training_curves(rows).to_csv(temporary, index=False, lineterminator="\n")
    write_json(REPORTS / "metrics.json", tables.metrics_tree(rows))
    write_json(REPORTS / "provenance.json", lineage(compiled, profile.name))
    write_text(REPORTS / "tables.tex", render.latex_document(compiled))
    write_text(REPORTS / "cost.md", render.cost_document(profile.name, cost))
    write_page(profile.name, budget, compiled, cost, figures, folder, rows, REPORTS / "index.html")
    write_text(REPORTS / "tables.md", render.document(profile.name, budget, compiled, figures))
    write_checksums()
    return (
        f"{REPORTS / 'tables.md'}: {len(compiled)} tables, {len(figures)} figures, "
        f"{len(rows) + len(sweep_rows)} evaluations"
    )


def rebuilt_tables(profile: Profile) -> list[Table]:
    """The tables as the result files give them now; nothing is written."""
    return _all_tables(profile, *_rows(profile), Departures(profile))


def _rows(profile: Profile) -> tuple[list[Row], list[Row]]:
    """Finished evaluations of the tables, those made elsewhere among them, and of the sweeps."""
    usual = [evaluation.folder for evaluation in evaluations(profile)]
    swept = [evaluation.folder for evaluation in sweep_evaluations(profile)]
    found = [*filter(_is_finished, usual), *outside_evaluations(profile.name)]
    return read_rows(found), read_rows(filter(_is_finished, swept))


def _is_finished(folder: Path) -> bool:
    return (folder / "summary.json").is_file()


def _absent(profile: Profile) -> dict[str, dict[str, str]]:
    """Task → label of a method without results → the reason."""
    found = refusals(profile)
    for evaluation in evaluations(profile):
        if not _is_finished(evaluation.folder):
            found.setdefault(evaluation.run.task, {})[evaluation.run.label] = NOT_RUN
    return found


def _all_tables(
    profile: Profile, rows: list[Row], sweep_rows: list[Row], departures: Departures
) -> list[Table]:
    """Every table of a profile but that of costs, in the order of the report."""
    made = [
        *tables.quality_tables(rows, _absent(profile)),
        *paper.paper_tables([*rows, *sweep_rows], profile.caption.strip()),
        *paper.ablation_tables(rows),
        *causes_table.causes_tables(profile),
        *tables.sweep_tables(sweep_rows),
        *tables.significance_tables(rows),
        *tables.seed_tables(rows),
        *tables.protocol_tables(rows),
    ]
    return [departures.in_table(table) for table in made]
