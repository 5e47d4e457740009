"""All figures of a report, from the files of its evaluations and runs."""

from collections.abc import Sequence
from pathlib import Path

from irsde.report.figure import Figure
from irsde.report.grids import comparison_figure, strip_figures
from irsde.report.process_curves import write_process_figures
from irsde.report.quality_points import plane_figure, scatter_figure
from irsde.report.rows import Row, by_table
from irsde.report.sweep_curves import sweep_figure, sweeps
from irsde.report.training_curves import training_figures

__all__ = ["write_figures", "write_process_figures"]


def write_figures(
    rows: Sequence[Row], sweep_rows: Sequence[Row], budget: str, folder: Path
) -> list[Figure]:
    """Draw everything that the given results allow.

    Parameters
    ----------
    rows : sequence of Row
        Evaluations of the tables.
    sweep_rows : sequence of Row
        Evaluations of the same runs with other samplers and network evaluations; may be empty.
    budget : str
        Caption of the profile: what the methods were trained with.
    folder : Path
        An empty folder. Each figure is written as `<key>.png` (200 dots per inch) and, where it is
        no grid of images, as `<key>.svg` and `<key>.pdf`; the same results give the same bytes.

    Returns
    -------
    list of Figure
        By task: comparison, states of processes, perception and distortion, image by image,
        samplers, training. What cannot be drawn from the results is left out.
    """
    swept = sweeps(sweep_rows)
    tables = by_table(rows)
    drawn: list[Figure | None] = []
    for task in dict.fromkeys(task for task, _ in tables):
        for (of_task, dataset), of_table in tables.items():
            if of_task != task:
                continue
            here = [s for s in swept if (s.first.task, s.first.dataset) == (task, dataset)]
            drawn.append(comparison_figure(of_table, budget, folder))
            drawn += strip_figures(of_table, budget, folder)
            drawn.append(plane_figure(of_table, here, budget, folder))
            drawn.append(scatter_figure(of_table, budget, folder))
            drawn += [sweep_figure(sweep, budget, folder) for sweep in here]
        of_task_rows = [row for row in rows if row.task == task]
        drawn += training_figures(of_task_rows, budget, folder)
    return [figure for figure in drawn if figure is not None]
