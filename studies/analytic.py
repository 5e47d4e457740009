"""Error against network evaluations, for every sampler, on a problem whose answer is known.

``python -m studies.analytic --out reports/study/analytic`` writes `errors.csv`, `index.md` and
the figure `errors.png` / `errors.svg`, the same bytes each time.
"""

import argparse
import csv
import io
import math
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
from irsde.samplers import GRIDS, SAMPLERS, sample
from irsde.seeds import torch_generator
from studies.problems import Mixture

COMMAND = "python -m studies.analytic --out reports/study/analytic"
PROBLEM = Mixture()
STATIONARY_STD, DELTA = 0.4, 0.005
GRID_SAMPLERS = ("mrs-ode-2", "ddim")
GOLDEN = (math.sqrt(5) - 1) / 2
FIT_FROM, FIT_POINTS, ABOVE_FLOOR = 40, 3, 3.0
OTHER_STYLE = ("#56b4e9", (0, (1, 2)), "X")
STYLES: dict[tuple[str, int], tuple[str, Any, str]] = {  # step function, order
    ("euler_maruyama", 1): ("#d55e00", "-", "o"),
    ("probability_flow", 1): ("#d55e00", "-", "o"),
    ("ddim", 1): ("#0072b2", "--", "s"),
    ("posterior", 1): ("#0072b2", "--", "s"),
    ("mrs_sde", 1): ("#e69f00", "-.", "^"),
    ("mrs_sde", 2): ("#009e73", (0, (5, 1, 1, 1, 1, 1)), "D"),
    ("mrs_ode", 2): ("#009e73", (0, (5, 1, 1, 1, 1, 1)), "D"),
    ("mrs_sde_data", 2): ("#000000", ":", "v"),
    ("mrs_ode_data", 2): ("#000000", ":", "v"),
}  # the colors of Okabe and Ito


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
    grid: str
    nfe: int
    error: float
    floor: float
    deviation: float


def process_of(settings: Settings) -> GaussianProcess:
    """The mean-reverting SDE of the study."""
    return mean_reverting(settings.steps, "cosine", STATIONARY_STD, DELTA)


def _rounded(value: Tensor) -> float:
    return float(f"{float(value):.4g}")


def pathwise_row(
    process: GaussianProcess, settings: Settings, name: str, grid: str, nfe: int
) -> Row:
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

    def noise(step: int, shape: torch.Size) -> Tensor:
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
    names = [n for n, one in SAMPLERS.items() if one.order > 0 and one.refusal(process) is None]
    rows = []
    for nfe in settings.evaluations:
        for name in names:
            if SAMPLERS[name].stochastic:
                rows.append(law_row(process, settings, name, nfe))
            else:
                rows.append(pathwise_row(process, settings, name, "uniform", nfe))
    return rows + [
        pathwise_row(process, settings, name, grid, nfe)
        for grid in list(GRIDS)[1:]
        for name in GRID_SAMPLERS
        for nfe in settings.evaluations
    ]


def curve(rows: Sequence[Row], name: str, grid: str = "uniform") -> list[Row]:
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


def _scientific(value: float) -> str:
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{value:.1f}" if value >= 1 else f"{mantissa}e{int(exponent)}"


def _error_text(row: Row) -> str:
    return _scientific(row.error) + (" ≈" if row.error <= ABOVE_FLOOR * row.floor else "")


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
            body.append([label, *map(_error_text, line), _order_text(line)])
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

    style: Any = {
        "font.family": "DejaVu Sans",
        "font.size": 8,
        "axes.titlesize": 8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.fontsize": 7,
        "savefig.dpi": 180,
        "svg.hashsalt": "irsde",
    }
    with plt.rc_context(style):
        figure: Any
        figure, (left, right) = plt.subplots(1, 2, figsize=(7.1, 3.3), layout="constrained")
        figure.get_layout_engine().set(wspace=0.05)
        _panel(left, rows, "pathwise")
        left.set(title="ODE samplers", ylabel="mean distance from the exact flow")
        _panel(right, rows, "law")
        right.set(title="SDE samplers", ylabel="Wasserstein-1 distance from the exact law")
        for name, metadata in (("errors.png", {"Software": None}), ("errors.svg", {"Date": None})):
            with replacing(out / name) as temporary:
                figure.savefig(temporary, metadata=metadata)
        plt.close(figure)


def _panel(axes: Any, rows: Sequence[Row], measure: str) -> None:
    shown = [r for r in rows if r.measure == measure and r.grid == "uniform"]
    evaluations = sorted({r.nfe for r in shown})
    bottom = min(r.error for r in rows) / 3
    for names in groups(rows, measure):
        line, solver = curve(rows, names[0]), SAMPLERS[names[0]]
        color, dashes, marker = STYLES.get((solver.step.__name__, solver.order), OTHER_STYLE)
        axes.loglog(
            [r.nfe for r in line],
            [r.error for r in line],
            color=color,
            linestyle=dashes,
            marker=marker,
            markersize=4,
            markerfacecolor="white" if solver.order == 2 else color,
            linewidth=1.2,
            label=_label(names),
        )
    if measure == "law":
        floors = [float(np.median([r.floor for r in shown if r.nfe == n])) for n in evaluations]
        axes.fill_between(evaluations, bottom, floors, color="#e6e6e6", linewidth=0)
        place = {"color": "#555555", "fontsize": 7, "ha": "right", "va": "top"}
        axes.text(evaluations[-1], 0.6 * floors[-1], "sampling floor ", **place)
    first, last, height = evaluations[-1] / 8, evaluations[-1] / 2, 0.7
    for slope in (1, 2):
        end = height * (first / last) ** slope
        axes.plot([first, last], [height, end], color="#888888", linewidth=0.8)
        axes.text(1.06 * last, end, f"slope {slope}", color="#555555", fontsize=7, va="center")
    axes.set_xticks(evaluations, [str(n) for n in evaluations])
    axes.minorticks_off()
    axes.set_xlabel("network evaluations")
    axes.grid(color="#eeeeee", linewidth=0.5)
    axes.set_axisbelow(True)
    axes.set_ylim(bottom, 1)
    axes.legend(loc="lower left", frameon=False, handlelength=3.4, labelspacing=0.35)


def _error(rows: Sequence[Row], name: str, nfe: int) -> float:
    return next(r.error for r in curve(rows, name) if r.nfe == nfe)


def _where(rows: Sequence[Row], name: str, other: str) -> str:
    """The evaluations at which a sampler has a smaller error than another, in words."""
    pairs = zip(curve(rows, name), curve(rows, other), strict=True)
    numbers = [str(a.nfe) for a, b in pairs if a.error < b.error]
    if not numbers:
        return "at no number of evaluations"
    return f"at {', '.join(numbers)} evaluations"


def _needed(rows: Sequence[Row], name: str, other: str) -> str:
    """How many evaluations a sampler needs to be as good as another at its best, in words."""
    best = curve(rows, other)[-1]
    enough = [str(r.nfe) for r in curve(rows, name) if r.error <= best.error]
    return (
        f"{enough[0] if enough else f'more than {best.nfe}'} evaluations to reach the error that "
        f"{SAMPLERS[other].label} has at {best.nfe} ({_scientific(best.error)})"
    )


def _orders(rows: Sequence[Row]) -> str:
    names = [names[0] for kind in ("pathwise", "law") for names in groups(rows, kind)]
    fits = {name: fitted_order(curve(rows, name)) for name in names}
    known = {name: fit for name, fit in fits.items() if fit is not None}
    close = [name for name, fit in known.items() if abs(fit - SAMPLERS[name].order) < 0.25]
    unknown = [SAMPLERS[name].label for name in names if name not in known]
    rest = f" Too few points lie above the floor for: {'; '.join(unknown)}." if unknown else ""
    return f"{len(close)} of {len(known)} fitted orders lie within 0.25 of the stated one.{rest}"


def conclusions(rows: Sequence[Row], settings: Settings) -> list[str]:
    """What the numbers say, in sentences that are filled in from them."""
    few, several = settings.evaluations[:2]
    errors = {r.sampler: _scientific(r.error) for r in rows if r.nfe == few and r.measure == "law"}
    widths = {r.sampler: f"{r.deviation:.3f}" for r in rows if r.nfe == several}
    cells = [(name, nfe) for name in GRID_SAMPLERS for nfe in settings.evaluations]
    best = [
        min((r for r in rows if (r.sampler, r.nfe) == cell), key=lambda r: r.error)
        for cell in cells
    ]
    return [
        _orders(rows),
        f"MRS ODE 2 needs {_needed(rows, 'mrs-ode-2', 'probability-flow')}, and "
        f"{_needed(rows, 'mrs-ode-2', 'ddim')}.",
        "Of the two second-order ODE forms, the data form has the smaller error "
        f"{_where(rows, 'mrs-ode-2-data', 'mrs-ode-2')}, the noise form "
        f"{_where(rows, 'mrs-ode-2', 'mrs-ode-2-data')}.",
        "The posterior sampler is nearer to the exact law than Euler-Maruyama "
        f"{_where(rows, 'posterior', 'euler-maruyama')}. At {several} evaluations its output has "
        f"the standard deviation {widths['posterior']}, that of Euler-Maruyama "
        f"{widths['euler-maruyama']}, the exact law {exact_deviation():.3f}. Too narrow an output "
        "can raise PSNR: a gain in PSNR at few evaluations may be lost diversity.",
        f"The SDE forms that extrapolate the noise have errors of {errors['mrs-sde-1']} (order 1) "
        f"and {errors['mrs-sde-2']} (order 2) at {few} evaluations: the noise that they add grows "
        "exponentially with the step in log-SNR. The first is better than the posterior sampler "
        f"{_where(rows, 'mrs-sde-1', 'posterior')}, the second "
        f"{_where(rows, 'mrs-sde-2', 'posterior')}.",
        f"The uniform grid is the best of the three in {sum(r.grid == 'uniform' for r in best)} of "
        f"{len(cells)} cells of the last table.",
        "Distances from the flow and distances in law are different measures: do not compare "
        "numbers across the two. The network here is exact; a trained one adds its own error, "
        "which more steps do not remove.",
    ]


def page(rows: Sequence[Row], settings: Settings) -> str:
    """The report page."""
    (low, high), (light, heavy) = PROBLEM.means, PROBLEM.weights
    floor = _scientific(float(np.median([r.floor for r in rows if r.measure == "law"])))
    independent = _scientific(independent_floor(settings))
    points = "\n".join(f"{k}. {text}" for k, text in enumerate(conclusions(rows, settings), 1))
    return rf"""# Error against network evaluations, where the answer is known

Written by `{COMMAND}` from the root of a checkout, in a minute or two of
one core, the same bytes each time; not edited by hand. All numbers: [errors.csv](errors.csv).

![Error against network evaluations, both logarithmic](errors.png)

*Left: ODE samplers, mean distance from the exact probability flow. Right: SDE samplers,
Wasserstein-1 distance from the exact law; grey: what sampling alone leaves; errors above 1 are
not shown. Filled markers: order 1, hollow: order 2.* [SVG](errors.svg)

## The problem

One pixel with $\mu = 0$, whose clean value is a mixture of two normals of standard deviation
{exact_deviation():.3f} in all, under the mean-reverting SDE with $\lambda = {STATIONARY_STD}$,
$a_T = \delta = {DELTA}$, the cosine schedule and $T = {settings.steps}$:

```math
x_0 \sim {light}\,\mathcal N({low}, s^2) + {heavy}\,\mathcal N({high}, s^2), \qquad
s = {PROBLEM.deviation}
```

```math
\mathrm d x = \theta_t (\mu - x)\,\mathrm d t + \lambda\sqrt{{2\theta_t}}\,\mathrm d w, \qquad
x_t = a_t x_0 + (1 - a_t)\mu + c_t \varepsilon, \qquad
a_t = e^{{-\bar\theta_t}}, \qquad c_t = \lambda \sqrt{{1 - a_t^2}}
```

The network is the exact noise prediction. With $w_k$ and $m_k$ the weights and means of the two
components,

```math
\hat\varepsilon = \frac{{x_t - a_t\,\mathrm E[x_0 \mid x_t]}}{{c_t}}, \qquad
\mathrm E[x_0 \mid x_t] =
\sum_k p_k \left(m_k + \frac{{a_t s^2}}{{v_t}} (x_t - a_t m_k)\right), \qquad
p_k \propto w_k\, e^{{-(x_t - a_t m_k)^2 / (2 v_t)}}, \qquad v_t = a_t^2 s^2 + c_t^2
```

Sampling starts from the exact law at $T$, in equal strata. In one dimension the probability flow
keeps quantiles: with $F_t$ the distribution function of $x_t$, the exact end of the path that
starts at $x_T$ is $F_0^{{-1}}(F_T(x_T))$.

## ODE samplers

Mean distance from the exact end over {settings.paths} paths; uniform grid. The order is minus the
slope of log error against log NFE from {FIT_FROM} evaluations on. Samplers in one row are the
same update.

{_error_table(rows, "pathwise", settings)}

## SDE samplers

Wasserstein-1 distance between {settings.samples} samples and the law of $x_0$; uniform grid. The
noise is randomized quasi-Monte Carlo (array-RQMC: the sorted states get evenly spread normals), in
two repetitions: the distance of their mean quantile function from the exact one is the error, half
of their distance from each other the floor. The median floor is {floor}; as many independent exact
draws would leave {independent}. ≈: not above {ABOVE_FLOOR:.0f} times its floor, and not used for
the order; n/a: fewer than {FIT_POINTS} points left to fit.

{_error_table(rows, "law", settings)}

Standard deviation of the output (exact: {exact_deviation():.3f}):

{_deviation_table(rows, settings)}

## Step grids

Mean distance from the exact end, as in the first table.

{_grid_table(rows, settings)}

## What to conclude

{points}
"""


def build(out: Path, settings: Settings | None = None) -> list[Row]:
    """Measure, and write the page, the table of all errors and the figure into a folder.

    One thread of torch is used: the number of threads changes the last bits of sums.
    """
    chosen = settings or Settings()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = measure(chosen)
        text = page(rows, chosen)
    finally:
        torch.set_num_threads(threads)
    write_text(out / "errors.csv", csv_text(rows))
    draw(rows, out)
    write_text(out / "index.md", text)
    return rows


def main() -> None:
    """Entry point of ``python -m studies.analytic``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the report")
    build(parser.parse_args().out)


if __name__ == "__main__":
    main()
