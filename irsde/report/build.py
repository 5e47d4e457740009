"""The report of a profile: all its tables and figures, written into `reports/`."""

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from irsde.experiment.grid import (
    evaluations,
    further_evaluations,
    outside_evaluations,
    refusals,
    sweep_evaluations,
)
from irsde.experiment.profile import Profile
from irsde.experiment.recorded import PROVENANCE
from irsde.experiment.summary import SUMMARY
from irsde.files import (
    REPORTS,
    InputError,
    digest_file,
    is_present,
    replacing,
    replacing_folder,
    write_json,
    write_text,
)
from irsde.machine.cores import available_cores, in_forks
from irsde.report import charts, effects, grids, paper, planes, render, reproduced, tables
from irsde.report.best import best_figures, best_tables
from irsde.report.compute import compute_figures, compute_tables
from irsde.report.lineage import Departures, lineage
from irsde.report.page import write_page
from irsde.report.results import Row, by_table, read_rows
from irsde.report.table import Figure, Table

Drawn = Figure | None | list[Figure]

CHECKSUMS = REPORTS / "SHA256SUMS"

FILES = (
    "cost.md",
    "figures",
    "index.html",
    "metrics.json",
    "provenance.json",
    "tables.csv",
    "tables.md",
    "tables.tex",
    "training.csv",
)


def write_checksums() -> None:
    """Write the hash of every file of the report."""
    paths = [path for name in FILES for path in (REPORTS / name, *(REPORTS / name).rglob("*"))]
    names = sorted(path.relative_to(REPORTS).as_posix() for path in paths if path.is_file())
    lines = [f"{digest_file(REPORTS / name)}  {name}\n" for name in names]
    write_text(CHECKSUMS, "".join(lines))


def read_checksums() -> dict[str, str]:
    """Name of a file below `reports/` → its SHA-256 when the report was written.

    Raises
    ------
    InputError
        If there are none, or the file is damaged.
    """
    if not CHECKSUMS.is_file():
        raise InputError(f"{CHECKSUMS}: no such file; run irsde report again")
    lines = CHECKSUMS.read_text(encoding="utf-8", errors="replace").splitlines()
    checksums = {name: recorded for recorded, _, name in (line.partition("  ") for line in lines)}
    if "provenance.json" not in checksums:
        raise InputError(f"{CHECKSUMS}: damaged; run irsde report again")
    return checksums


def write_figures(
    rows: Sequence[Row], sweep_rows: Sequence[Row], budget: str, folder: Path, processes: int = 1
) -> list[Figure]:
    """Draw everything that the given results allow, and the processes of all methods.

    Parameters
    ----------
    rows : sequence of Row
        Evaluations of the tables.
    sweep_rows : sequence of Row
        Evaluations of the same runs with other samplers, network evaluations and stored weights;
        may be empty.
    budget : str
        Caption of the profile: what the methods were trained with.
    folder : Path
        An empty folder. Each figure is written as `<key>.png` (200 dots per inch) and, where it is
        no grid of images, as `<key>.svg` and `<key>.pdf`; the same results give the same bytes.
    processes : int
        How many draw at once.

    Returns
    -------
    list of Figure
        By task: comparison, states of processes, perception and distortion, image by image,
        samplers, training. What cannot be drawn from the results is skipped. Those of processes
        are the last.
    """
    along = [row for row in sweep_rows if row.summary.snapshot]
    sampled = [row for row in sweep_rows if not row.summary.snapshot]
    swept = charts.sweeps(sampled)
    grouped = by_table(rows)
    calls: list[Callable[[], Drawn]] = []

    def draw(function: Callable[..., Drawn], *data: object) -> None:
        calls.append(functools.partial(function, *data, budget, folder))

    for task in dict.fromkeys(task for task, _ in grouped):
        for (of_task, dataset), of_table in grouped.items():
            if of_task != task:
                continue
            here = [s for s in swept if (s.first.task, s.first.dataset) == (task, dataset)]
            draw(grids.comparison_figure, of_table)
            draw(grids.strip_figures, of_table)
            draw(planes.plane_figure, of_table, here)
            draw(planes.scatter_figure, of_table)
            for sweep in here:
                draw(charts.sweep_figure, sweep)
        of_task_rows = [row for row in rows if row.task == task]
        draw(best_figures, [row for row in sampled if row.task == task])
        draw(charts.training_figures, of_task_rows)
        draw(compute_figures, [row for row in along if row.task == task])
    # those of processes take longest, so they are begun first
    calls.insert(0, functools.partial(charts.write_process_figures, folder))
    of_processes, *of_results = in_forks(calls, processes)
    drawn: list[Figure] = []
    for made in (*of_results, of_processes):
        drawn += made if isinstance(made, list) else [made] if made else []
    return drawn


NAMED = 3  # missing evaluations that a partial report names
NOT_EVALUATED = "it is in the profile and was not evaluated"


def compile_report(profile: Profile, *, partial: bool = False, processes: int | None = None) -> str:
    """Write tables, figures, the HTML page and the provenance of every cell.

    Parameters
    ----------
    profile : Profile
        Whose finished evaluations are compiled, and results made elsewhere on its test sets.
    partial : bool
        Whether evaluations may be missing; `tables.md` and the page then name them, and the files
        are dated 1970, so that an engine takes them as stale.
    processes : int, optional
        How many draw figures at once, no more than the cores that may be used; default: as many.

    Returns
    -------
    str
        One line that says what was written, and one of what is missing.

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
        figures = write_figures(rows, sweep_rows, budget, temporary, processes or available_cores())
        figures = [departures.in_figure(figure) for figure in figures]
    with replacing(REPORTS / "tables.csv") as temporary:
        render.csv_lines(compiled).to_csv(temporary, index=False, lineterminator="\n")
    with replacing(REPORTS / "training.csv") as temporary:
        tables.training_curves(rows).to_csv(temporary, index=False, lineterminator="\n")
    write_json(REPORTS / "metrics.json", tables.metrics_tree(rows))
    lineage(compiled, profile.name).write(PROVENANCE)
    write_text(REPORTS / "tables.tex", render.latex_document(compiled))
    write_text(REPORTS / "cost.md", render.cost_document(profile.name, cost))
    absent = _described(missing, len(needed))
    head = "\n\n".join(filter(None, [budget, absent]))
    write_page(profile.name, head, compiled, cost, figures, folder, rows, REPORTS / "index.html")
    write_text(REPORTS / "tables.md", render.document(profile.name, head, compiled, figures))
    write_checksums()
    if missing:
        for name in FILES:
            os.utime(REPORTS / name, (0, 0))
    shown = {row.folder for row in (*rows, *sweep_rows)}
    made = f"{len(compiled)} tables, {len(figures)} figures, {len(shown)} evaluations"
    line = f"{REPORTS / 'tables.md'}: {made}"
    return f"{line}\n{absent}" if absent else line


def _described(missing: Sequence[Path], needed: int) -> str:
    """Sentence about what a partial report lacks; "" for a whole one."""
    if not missing:
        return ""
    named = ", ".join(folder.as_posix() for folder in missing[:NAMED])
    more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
    return f"Partial: {len(missing)} of {needed} evaluations are missing: {named}{more}."


def rebuilt_tables(profile: Profile) -> list[Table]:
    """The tables as the result files give them now; nothing is written."""
    return _all_tables(profile, *_rows(profile), Departures(profile))


def _rows(profile: Profile) -> tuple[list[Row], list[Row]]:
    """Finished evaluations of the tables, those made elsewhere among them, and of the sweeps."""
    usual = [evaluation.folder for evaluation in evaluations(profile)]
    swept = [evaluation.folder for evaluation in sweep_evaluations(profile)]
    finished = [*filter(_is_finished, usual), *outside_evaluations(profile.name)]
    return read_rows(finished), read_rows(filter(_is_finished, swept))


def _is_finished(folder: Path) -> bool:
    return is_present(folder / SUMMARY)


def _absent(profile: Profile) -> dict[str, dict[str, str]]:
    """Task → label of a method without results → the reason."""
    reasons = refusals(profile)
    for evaluation in evaluations(profile):
        if evaluation.run.stage == "import":
            continue  # it is evaluated on its own test sets only
        if not _is_finished(evaluation.folder):
            reasons.setdefault(evaluation.run.task, {})[evaluation.run.label] = NOT_EVALUATED
    return reasons


def _all_tables(
    profile: Profile, rows: list[Row], sweep_rows: list[Row], departures: Departures
) -> list[Table]:
    """Every table of a profile but that of costs, in the order of the report."""
    along = [row for row in sweep_rows if row.summary.snapshot]
    swept = [row for row in sweep_rows if not row.summary.snapshot]
    made = reproduced.reproduced_tables(rows)
    made += tables.quality_tables(rows, _absent(profile))
    made += paper.paper_tables([*rows, *swept], profile.caption.strip())
    made.append(paper.drift_table())
    made += paper.ablation_tables(rows)
    made += effects.causes_tables(profile)
    made += best_tables(swept)
    made += tables.sweep_tables(swept)
    made += compute_tables(along)
    made += effects.significance_tables(rows)
    made += effects.seed_tables(rows)
    made += effects.protocol_tables(rows)
    return [departures.in_table(table) for table in made]
