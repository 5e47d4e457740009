"""Error against network evaluations, for every sampler, on a problem whose answer is known.

``python -m benchmarks.analytic --out reports/study/analytic`` writes `errors.csv`, `index.md` and
the figure `errors.png` / `errors.svg`, the same bytes each time.
"""

import argparse
import csv
import io
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from tabulate import tabulate
from torch import Tensor

from irsde.files import replacing, write_text
from irsde.processes import GaussianProcess, mean_reverting
from irsde.samplers import GRIDS, SAMPLERS, Grid, sample
from irsde.seeds import torch_generator
from tests.problems import Mixture

COMMAND = "python -m benchmarks.analytic --out reports/study/analytic"
PROBLEM = Mixture()
STATIONARY_STD, DELTA = 0.4, 0.005
GRID_SAMPLERS = ("mrs-ode-2", "ddim")
GOLDEN = (math.sqrt(5) - 1) / 2
FIT_FROM, FIT_POINTS, ABOVE_FLOOR = 40, 3, 3.0
OKABE_ITO = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#000000", "#e69f00", "#56b4e9")
LINES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 2)), (0, (8, 3)))
MARKERS = "os^Dv<X"


@dataclass(frozen=True)
class Settings:
    """How finely the errors are measured; the defaults are those of the report."""

    evaluations: tuple[int, ...] = (5, 10, 20, 40, 80, 160, 320)
    steps: int = 1280
    paths: int = 400
    samples: int = 30_000


@dataclass(frozen=True)
class Row:
    """An error: `measure` is "pathwise" for ODE samplers and "law" for SDE samplers.

    `floor` is how much of the error sampling alone explains; `deviation` is that of the output.
    """

    measure: Literal["pathwise", "law"]
    sampler: str
    grid: Grid
    nfe: int
    error: float
    floor: float
    deviation: float


def process_of(settings: Settings) -> GaussianProcess:
    """The mean-reverting SDE of the study."""
    return mean_reverting(settings.steps, "cosine", STATIONARY_STD, DELTA)


def _rounded(value: Tensor) -> float:
    return float(f"{float(value):.4g}")


def pathwise_row(process: GaussianProcess, settings: Settings, name: str, grid: Grid, nfe: int) -> Row:
    """Mean distance of an ODE sampler's paths from the exact probability flow at step 0."""
    levels = PROBLEM.levels(settings.paths)
    start = PROBLEM.quantile(process, levels, process.steps)
    exact = PROBLEM.quantile(process, levels, 0)
    mu = torch.zeros_like(start)

    def network(x: Tensor, mu: Tensor, t: int) -> Tensor:
        return process.noise(x, PROBLEM.clean(process, x, t), mu, t)

    restored = sample(process, network, start, mu, name, nfe, grid)
    error = (restored - exact).abs().mean()
    return Row("pathwise", name, grid, nfe, _rounded(error), 0.0, _rounded(restored.std()))


def law_row(process: GaussianProcess, settings: Settings, name: str, nfe: int) -> Row:
    """Wasserstein-1 distance of an SDE sampler's output from the exact law at step 0.

    Two independent repetitions give two empirical quantile functions: the distance of their mean
    from the exact one is the error, half of their distance from each other is the floor.
    """
    levels = PROBLEM.levels(settings.samples)
    start = PROBLEM.quantile(process, levels, process.steps)
    exact = PROBLEM.quantile(process, levels, 0).flatten()
    first, second = (_sorted_samples(process, start, name, nfe, k) for k in range(2))
    mean = (first + second) / 2
    error, floor = (mean - exact).abs().mean(), (first - second).abs().mean() / 2
    deviation = _rounded((first.std() + second.std()) / 2)
    return Row("law", name, "uniform", nfe, _rounded(error), _rounded(floor), deviation)


def _sorted_samples(
    process: GaussianProcess, start: Tensor, name: str, nfe: int, repetition: int
) -> Tensor:
    """Samples in order, with array-RQMC noise.

    The k-th smallest state gets the normal quantile of ``k * golden ratio + u`` modulo 1, where u
    is one random number for each step: each noise is standard normal, and states that lie close
    together get noises that fill the normal law evenly [1]_.

    .. [1] L'Ecuyer, Lecot, Tuffin, "A randomized quasi-Monte Carlo simulation method for Markov
       chains", Operations Research 56 (2008).
    """
    generator = torch_generator("benchmarks.analytic", nfe, repetition)
    lattice = torch.arange(start.numel(), dtype=torch.float64) * GOLDEN
    state = start

    def network(x: Tensor, mu: Tensor, t: int) -> Tensor:
        nonlocal state
        state = x
        return process.noise(x, PROBLEM.clean(process, x, t), mu, t)

    def noise(step: int, shape: torch.Size) -> Tensor:  # noqa: ARG001 (the sampler's signature)
        shift = torch.rand((), generator=generator, dtype=torch.float64)
        uniform = torch.remainder(lattice + shift, 1).clamp(1e-15, 1 - 1e-15)
        normals = torch.empty_like(uniform)
        normals[state.flatten().argsort(stable=True)] = torch.special.ndtri(uniform)
        return normals.reshape(shape)

    restored = sample(process, network, start, torch.zeros_like(start), name, nfe, noise=noise)
    return restored.flatten().sort().values


def independent_floor(settings: Settings, sets: int = 4) -> float:
    """Mean Wasserstein-1 distance of as many independent exact draws from their own law."""
    process = process_of(settings)
    exact = PROBLEM.quantile(process, PROBLEM.levels(settings.samples), 0).flatten()
    generator = torch_generator("benchmarks.analytic", "independent")
    total = 0.0
    for _ in range(sets):
        levels = torch.rand(exact.shape, generator=generator, dtype=torch.float64)
        drawn = PROBLEM.quantile(process, levels, 0).sort().values
        total += float((drawn - exact).abs().mean())
    return total / sets


def measure(settings: Settings) -> list[Row]:
    """All errors: samplers on the uniform grid, then two samplers on the other grids."""
    process = process_of(settings)
    names = [name for name, solver in SAMPLERS.items() if solver.refusal(process) is None]
    rows = []
    for nfe in settings.evaluations:
        for name in names:
            if SAMPLERS[name].stochastic:
                rows.append(law_row(process, settings, name, nfe))
            else:
                rows.append(pathwise_row(process, settings, name, "uniform", nfe))
    for grid in GRIDS[1:]:
        for name in GRID_SAMPLERS:
            for nfe in settings.evaluations:
                rows.append(pathwise_row(process, settings, name, grid, nfe))
    return rows


def curve(rows: Sequence[Row], name: str, grid: Grid = "uniform") -> list[Row]:
    """The rows of one sampler on one grid, by rising number of evaluations."""
    return sorted((r for r in rows if (r.sampler, r.grid) == (name, grid)), key=lambda r: r.nfe)


def fitted_order(rows: Sequence[Row]) -> float | None:
    """Minus the log-log slope over the points from 40 evaluations on that lie above the floor.

    None if fewer than three points are left.
    """
    used = [r for r in rows if r.nfe >= FIT_FROM and r.error > ABOVE_FLOOR * r.floor]
    if len(used) < FIT_POINTS:
        return None
    slope = np.polyfit(np.log([r.nfe for r in used]), np.log([r.error for r in used]), 1)[0]
    return float(-slope)


def groups(rows: Sequence[Row], measure: str) -> list[list[str]]:
    """Samplers of a measure; those whose errors agree to 0.5 % everywhere stand together."""
    found: list[list[str]] = []
    for name in dict.fromkeys(r.sampler for r in rows if r.measure == measure):
        errors = np.array([r.error for r in curve(rows, name)])
        for group in found:
            others = np.array([r.error for r in curve(rows, group[0])])
            if np.allclose(errors, others, rtol=5e-3, atol=0):
                group.append(name)
                break
        else:
            found.append([name])
    return found


def _label(names: Sequence[str]) -> str:
    return " = ".join(SAMPLERS[name].label for name in names)


def csv_text(rows: Sequence[Row]) -> str:
    """The rows as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [f.name for f in fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return text.getvalue()


def _order_text(rows: Sequence[Row]) -> str:
    order = fitted_order(rows)
    return "n/a" if order is None else f"{order:.2f}"


def _error_text(row: Row) -> str:
    return f"{row.error:.1e}" + (" ≈" if row.error <= ABOVE_FLOOR * row.floor else "")


def _table(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    align = ["left"] + ["right"] * (len(header) - 1)
    return tabulate(body, header, tablefmt="pipe", colalign=align, disable_numparse=True)


def _error_table(rows: Sequence[Row], measure: str, settings: Settings) -> str:
    body = []
    for names in groups(rows, measure):
        line = curve(rows, names[0])
        order = str(SAMPLERS[names[0]].order)
        body.append([_label(names), *map(_error_text, line), _order_text(line), order])
    return _table(["NFE", *map(str, settings.evaluations), "fitted order", "stated order"], body)


def _deviation_table(rows: Sequence[Row], settings: Settings) -> str:
    body = [
        [_label(names), *(f"{r.deviation:.3f}" for r in curve(rows, names[0]))]
        for names in groups(rows, "law")
    ]
    return _table(["NFE", *map(str, settings.evaluations)], body)


def _grid_table(rows: Sequence[Row], settings: Settings) -> str:
    body = []
    for name in GRID_SAMPLERS:
        for grid in GRIDS:
            line = curve(rows, name, grid)
            label = f"{SAMPLERS[name].label}, {grid}"
            body.append([label, *(f"{r.error:.1e}" for r in line), _order_text(line)])
    return _table(["NFE", *map(str, settings.evaluations), "fitted order"], body)


def exact_deviation() -> float:
    """Standard deviation of the clean pixel."""
    mean = sum(w * m for w, m in zip(PROBLEM.weights, PROBLEM.means, strict=True))
    square = sum(w * m**2 for w, m in zip(PROBLEM.weights, PROBLEM.means, strict=True))
    return math.sqrt(square - mean**2 + PROBLEM.deviation**2)


def draw(rows: Sequence[Row], out: Path) -> None:
    """Draw `errors.png` and `errors.svg`: ODE samplers on the left, SDE samplers on the right."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    style = {
        "font.family": "DejaVu Sans",
        "font.size": 8,
        "axes.titlesize": 8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.fontsize": 7,
        "savefig.dpi": 200,
        "svg.hashsalt": "irsde",
    }
    with plt.rc_context(style):
        figure, (left, right) = plt.subplots(1, 2, figsize=(7.1, 3.2), layout="constrained")
        _panel(left, rows, "pathwise")
        left.set(title="ODE samplers", ylabel="mean distance from the exact flow")
        _panel(right, rows, "law")
        right.set(title="SDE samplers", ylabel="Wasserstein-1 distance from the exact law")
        for name, metadata in (("errors.png", {"Software": None}), ("errors.svg", {"Date": None})):
            with replacing(out / name) as temporary:
                figure.savefig(temporary, metadata=metadata)
        plt.close(figure)


def _panel(axes: Any, rows: Sequence[Row], measure: str) -> None:
    for k, names in enumerate(groups(rows, measure)):
        line = curve(rows, names[0])
        axes.loglog(
            [r.nfe for r in line],
            [r.error for r in line],
            color=OKABE_ITO[k % len(OKABE_ITO)],
            linestyle=LINES[k % len(LINES)],
            marker=MARKERS[k % len(MARKERS)],
            markersize=4,
            markerfacecolor="white" if SAMPLERS[names[0]].order == 2 else None,
            linewidth=1.2,
            label=_label(names),
        )
    shown = [r for r in rows if r.measure == measure and r.grid == "uniform"]
    evaluations = sorted({r.nfe for r in shown})
    axes.set_xticks(evaluations, [str(n) for n in evaluations])
    axes.minorticks_off()
    axes.set_xlabel("network evaluations")
    axes.grid(color="#dddddd", linewidth=0.5)
    axes.set_axisbelow(True)
    bottom = min(r.error for r in shown) / 3
    axes.set_ylim(bottom, 1)
    if measure == "law":
        floors = [max(r.floor for r in shown if r.nfe == n) for n in evaluations]
        axes.fill_between(evaluations, bottom, floors, color="#cccccc", linewidth=0)
    axes.legend(loc="lower left", frameon=False, handlelength=3)


def page(rows: Sequence[Row], settings: Settings) -> str:
    return ""


def build(out: Path, settings: Settings | None = None) -> list[Row]:
    """Measure, and write the page, the table of all errors and the figure into a folder."""
    chosen = settings or Settings()
    rows = measure(chosen)
    write_text(out / "errors.csv", csv_text(rows))
    draw(rows, out)
    write_text(out / "index.md", page(rows, chosen))
    return rows


def main() -> None:
    """Entry point of ``python -m benchmarks.analytic``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the report")
    torch.set_num_threads(1)
    build(parser.parse_args().out)


if __name__ == "__main__":
    main()
