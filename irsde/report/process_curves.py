"""The processes themselves, from their float64 tables, without any run: schedules and weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure as Canvas
from numpy.typing import NDArray

from irsde.methods import METHODS
from irsde.report.captions import joined
from irsde.report.figure import Figure
from irsde.report.style import DOUBLE, GRAY, SINGLE, STYLE, Look, look, save

if TYPE_CHECKING:
    from irsde.processes import GaussianProcess

SECTION = "Processes"
STATIONARY_STD = 10 / 255  # lambda of the paper's deraining and deblurring
STEPS = 100
DELTA = 0.005
LEVELS = 255  # of an 8-bit image
Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Line:
    """One line of a panel; places with nothing to draw are NaN."""

    label: str
    look: Look
    time: Array
    values: Array


def write_process_figures(folder: Path) -> list[Figure]:
    """Draw the schedules, the processes of all methods and the weights of the objectives.

    Importing this module does not import torch; calling this function does.

    Parameters
    ----------
    folder : Path
        Where `schedules`, `processes` and `objective-weights` are written.

    Returns
    -------
    list of Figure
    """
    with mpl.rc_context(STYLE):
        return [_schedules(folder), _processes(folder), _objective_weights(folder)]


def _schedules(folder: Path) -> Figure:
    from irsde.processes import mean_reverting, theta_integral

    speed, weight, noise = [], [], []
    time = np.linspace(0, 1, STEPS + 1)
    for method, schedule in (
        ("ir-sde", "cosine"),
        ("ir-sde-linear", "linear"),
        ("ir-sde-constant", "constant"),
    ):
        process = mean_reverting(STEPS, schedule, STATIONARY_STD, DELTA)  # type: ignore[arg-type]
        theta = STEPS * np.diff(theta_integral(schedule, STEPS, DELTA).numpy())  # type: ignore[arg-type]
        style = look(method)
        speed.append(_Line(schedule, style, time[1:], theta))
        weight.append(_Line(schedule, style, time, process.a.numpy()))
        noise.append(_Line(schedule, style, time, process.c.numpy() / STATIONARY_STD))
    canvas = _canvas(
        [
            ("reversion speed $\\theta_t$", speed),
            ("weight of $x_0-\\mu$, $a_t$", weight),
            ("noise level $c_t/\\lambda$", noise),
        ],
    )
    for axes in canvas.axes:
        axes.set_ylim(bottom=0)
    save(canvas, folder, "schedules", drawing=True)
    halves = [f"{line.label} {_crossing(line, 0.5):.2f}" for line in weight]
    return Figure(
        key="schedules",
        title="Schedules of IR-SDE",
        section=SECTION,
        caption=(
            f"The mean-reverting SDE with {STEPS} steps under its three schedules, each scaled so "
            f"that the weight {DELTA} of the clean image is left at T. Left: speed of mean "
            "reversion per unit of t/T. Middle: weight of the difference between the clean and the "
            "degraded image in the mean of the state. Right: standard deviation of the state in "
            "units of lambda. Computed from the tables that training and sampling use."
        ),
        alternative=(
            "Three panels of three lines each. Half of the difference between clean and degraded "
            f"image is left at t/T of: {joined(halves)}."
        ),
    )


def _processes(folder: Path) -> Figure:
    weight, noise = [], []
    for names, process, scale in _distinct_processes():
        time = np.linspace(0, 1, process.steps + 1)
        label = _together([METHODS[name].label for name in names])
        style = look(names[0])
        level = LEVELS * scale * process.c.numpy()
        weight.append(_Line(label, style, time, process.a.numpy()))
        noise.append(_Line(label, style, time, np.where(level > 0, level, np.nan)))
    canvas = _canvas(
        [("weight of the clean image, $a_t$", weight), ("noise level $c_t$, of 255", noise)],
        height=2.3,
    )
    canvas.axes[0].set_ylim(0, 1.04)
    canvas.axes[1].set_yscale("log")
    canvas.axes[1].set_ylim(1, LEVELS)
    canvas.axes[1].set_yticks([1, 10, 100], ["1", "10", "100"])
    save(canvas, folder, "processes", drawing=True)
    largest = [f"{line.label} {np.nanmax(line.values):.1f}" for line in noise]
    return Figure(
        key="processes",
        title="Processes of the methods",
        section=SECTION,
        caption=(
            "What is left of the clean image in the mean of the state, and the standard deviation "
            "of its noise in 8-bit levels (logarithmic, cut off below 1), over t/T. Where a + b = "
            "1 the mean is the degraded image plus a times the difference; that of conditional "
            "DDPM falls to 0, that of the denoising SDE and ODE stays at the clean image. Lambda "
            f"is {LEVELS * STATIONARY_STD:.0f}/255. Methods named together have one process."
        ),
        alternative=f"Two panels. Largest noise level, of 255: {joined(largest)}.",
    )


def _distinct_processes() -> list[tuple[list[str], "GaussianProcess", float]]:
    """Methods with equal processes, the process, and one unit of its images in [0, 1]."""
    found: dict[bytes, tuple[list[str], GaussianProcess, float]] = {}
    for name, method in METHODS.items():
        if method.process is None:
            continue
        process = method.process(STATIONARY_STD)
        scale = 0.5 if method.centered else 1.0
        tables = b"".join(table.numpy().tobytes() for table in (process.a, process.b, process.c))
        found.setdefault(tables, ([], process, scale))[0].append(name)
    return list(found.values())


def _objective_weights(folder: Path) -> Figure:
    import torch

    lines: list[_Line] = []
    for name, method in METHODS.items():
        if method.process is None or method.objective != "maximum-likelihood":
            continue
        process = method.process(STATIONARY_STD)
        last = process.steps - 1 if process.is_bridge else process.steps
        like = torch.zeros(last, 1, 1, 1)
        steps = torch.arange(1, last + 1)
        *_, on_noise, _ = process.reverse_step_coefficients(steps, steps - 1, like)
        size = np.abs(on_noise.flatten().numpy())
        line = _Line(method.label, look(name), steps.numpy() / process.steps, size / size.mean())
        if not any(np.array_equal(line.values, other.values) for other in lines):
            lines.append(line)
    canvas = _canvas([("weight, relative to its mean", lines)], width=SINGLE, height=2.1, columns=2)
    (axes,) = canvas.axes
    axes.set_yscale("log")
    axes.set_yticks([0.1, 0.2, 0.5, 1, 2, 5], ["0.1", "0.2", "0.5", "1", "2", "5"])
    axes.set_yticks([], minor=True)
    axes.axhline(1, color=GRAY, linewidth=0.7, linestyle=(0, (6, 3)), zorder=1)
    save(canvas, folder, "objective-weights", drawing=True)
    ratios = [f"{line.label} {line.values.max() / line.values.min():.0f}" for line in lines]
    return Figure(
        key="objective-weights",
        title="Weight of the maximum-likelihood objective",
        section=SECTION,
        caption=(
            "The maximum-likelihood objective is the error of the predicted noise times a factor "
            "that depends on the step, against the noise that makes the reverse step optimal. "
            "Here that factor is drawn over t/T, relative to its mean; dashed is noise matching, "
            "whose factor is 1 at every step."
        ),
        alternative=(
            "Lines of the factor over t/T. The largest over the smallest factor is: "
            f"{joined(ratios)}."
        ),
    )


def _together(labels: Sequence[str]) -> str:
    """One label for methods with one process, without those that only add to the first."""
    return " / ".join(
        label for label in labels if label == labels[0] or not label.startswith(f"{labels[0]},")
    )


def _crossing(line: _Line, level: float) -> float:
    """Time at which a falling line goes through a level."""
    return float(np.interp(-level, -line.values, line.time))


def _canvas(
    panels: Sequence[tuple[str, Sequence[_Line]]],
    *,
    width: float = DOUBLE,
    height: float = 1.9,
    columns: int = 3,
) -> Canvas:
    """Panels side by side over t/T, with one legend below."""
    below = 0.17 * -(-len(panels[0][1]) // columns) + 0.08
    total = height + below
    canvas = Canvas((width, total))
    left, gap, bottom, right = 0.48, 0.58, 0.38 + below, 0.12
    each = (width - left - right - gap * (len(panels) - 1)) / len(panels)
    for index, (label, of_panel) in enumerate(panels):
        axes = canvas.add_axes(
            (
                (left + index * (each + gap)) / width,
                bottom / total,
                each / width,
                (total - bottom - 0.1) / total,
            )
        )
        for line in of_panel:
            axes.plot(line.time, line.values, **line.look.line, label=line.label)
        axes.set(xlabel="$t/T$", ylabel=label, xlim=(0, 1))
    canvas.legend(
        handles=canvas.axes[0].get_lines(),
        loc="lower center",
        bbox_to_anchor=(0.5, 0),
        ncols=columns,
        handlelength=3,
        columnspacing=1.5,
        labelspacing=0.35,
        borderaxespad=0.2,
    )
    return canvas
