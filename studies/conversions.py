"""How to read a network trained by maximum likelihood: the exact inverse or the noise formula.

``python -m studies.conversions --out reports/study/conversions`` writes `index.md`, the same
bytes each time. The network is the exact optimum of the squared maximum-likelihood loss on the
mixture problem, so only the reading differs.
"""

import argparse
from pathlib import Path

import torch
from tabulate import tabulate
from torch import Tensor

from irsde.files import write_text
from irsde.processes import mean_reverting
from irsde.samplers import SAMPLERS, sample
from irsde.seeds import torch_generator
from studies.problems import Mixture

COMMAND = "python -m studies.conversions --out reports/study/conversions"
EVALUATIONS = (1, 2, 5, 10, 20, 50, 100)
READINGS = {"exact": "optimal-noise", "plain": "noise"}
PROBLEM = Mixture()


def error(sampler: str, nfe: int, prediction: str, count: int) -> float:
    """Distance of a sampler's output from the truth.

    For ODE samplers the mean distance from the exact probability flow, for SDE samplers the
    Wasserstein-1 distance from the exact law.
    """
    process = mean_reverting(100, "cosine", 0.4)
    levels = PROBLEM.levels(count)
    start = PROBLEM.quantile(process, levels, process.steps)
    exact = PROBLEM.quantile(process, levels, 0)
    generator = torch_generator("benchmarks.conversions", sampler, nfe)

    def network(x: Tensor, mu: Tensor, t: int) -> Tensor:
        return process.optimal_noise(x, PROBLEM.clean(process, x, t), mu, t)

    def noise(step: int, shape: torch.Size) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    restored = sample(
        process,
        network,
        start,
        torch.zeros_like(start),
        sampler,
        nfe,
        prediction=prediction,
        noise=noise,
    )
    if SAMPLERS[sampler].stochastic:
        restored = restored.flatten().sort().values
        exact = exact.flatten()
    return float((restored - exact).abs().mean())


def page(count: int = 20_000) -> str:
    """The report page."""
    body = []
    for sampler in ("ddim", "mrs-ode-2", "mrs-ode-2-data", "posterior"):
        for reading, prediction in READINGS.items():
            errors = [error(sampler, nfe, prediction, count) for nfe in EVALUATIONS]
            body.append([SAMPLERS[sampler].label, reading, *(f"{e:.2g}" for e in errors)])
    table = tabulate(
        body,
        ["sampler", "reading", *map(str, EVALUATIONS)],
        tablefmt="pipe",
        colalign=["left", "left", *["right"] * len(EVALUATIONS)],
        disable_numparse=True,
    )
    return f"""# Reading a network trained by maximum likelihood

Written by `{COMMAND}`; not edited by hand.

The maximum-likelihood objective trains the noise that makes *one Euler step* land on the posterior
mean, which is not the noise in the state. *Exact* solves that equation for the clean image
(`GaussianProcess.clean_from_optimal_noise`); *plain* puts the output into the noise formula, as the
authors' released sampler does. The problem is that of [the analytic study](../analytic/index.md)
with T = 100; the network is the exact optimum of the squared loss. Numbers are errors against NFE:
for ODE samplers the mean distance from the exact flow, for the posterior sampler the Wasserstein-1
distance from the exact law over {count} samples (about {0.55 / count**0.5:.1g} is noise).

{table}

Read exactly, the deterministic samplers converge at their orders; read plainly, they stop at an
error that no number of steps removes, and one step is more than twice as far off. The posterior
sampler forgets its early errors and does not care much: there the plain reading is even slightly
nearer to the law, because it widens an output that is too narrow.

`irsde evaluate --conversion plain` uses the noise formula on trained runs.
"""


def main() -> None:
    """Parse the command line and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    torch.set_num_threads(1)
    write_text(parser.parse_args().out / "index.md", page())


if __name__ == "__main__":
    main()
