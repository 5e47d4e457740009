"""How often 95 % intervals hold the truth, and how often chance is called a difference.

``python -m studies.coverage --out reports/study/coverage`` prints the table and writes it to
`README.md`, the same bytes each time.
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator
from tabulate import tabulate

from irsde.files import write_text
from irsde.scoring.statistics import (
    compare,
    holm,
    is_significant,
    mean_estimate,
    paired_difference,
    probability_of_improvement,
)
from irsde.seeds import seed_from

COMMAND = "python -m studies.coverage --out reports/study/coverage"
TRIALS = 2000


@dataclass(frozen=True)
class Case:
    """Simulated evaluations: scenes and training seeds vary, and every value for itself.

    Deviations are in units of that over scenes.
    """

    scenes: int
    images: int = 1
    seeds: int = 1
    seed_deviation: float = 0.0
    own_deviation: float = 0.3
    skewed: bool = False

    @property
    def names(self) -> list[str]:
        """Scene of each image."""
        return [str(k) for k in range(self.scenes) for _ in range(self.images)]

    @property
    def label(self) -> str:
        """What is drawn, in words."""
        kind = "lognormal" if self.skewed else "normal"
        images = f" of {self.images} images" if self.images > 1 else ""
        seeds = f", {self.seeds} seeds, deviation {self.seed_deviation:g}" if self.seeds > 1 else ""
        return f"{kind}, {self.scenes} scenes{images}{seeds}"

    def scene(self, generator: Generator) -> np.ndarray:
        """One value for each image, the same for images of one scene; their mean is 0."""
        if self.skewed:
            drawn = generator.lognormal(0, 1, self.scenes) - math.exp(0.5)
        else:
            drawn = generator.normal(0, 1, self.scenes)
        return np.repeat(drawn, self.images)

    def method(self, generator: Generator, scene: np.ndarray) -> np.ndarray:
        """Values of a method, shape (seeds, images)."""
        of_seed = self.seed_deviation * generator.normal(size=(self.seeds, 1))
        return (
            scene + of_seed + self.own_deviation * generator.normal(size=(self.seeds, len(scene)))
        )


MEANS = (
    *(Case(scenes) for scenes in (2, 3, 4, 5, 10, 24, 100)),
    Case(24, images=4),
    *(Case(scenes, skewed=True) for scenes in (5, 24, 100)),
    *(Case(24, seeds=3, seed_deviation=deviation) for deviation in (0.2, 0.5, 2.0)),
    Case(5, seeds=3, seed_deviation=2.0),
    Case(24, seeds=2, seed_deviation=0.5),
)
PAIRED = (
    *(Case(scenes) for scenes in (2, 5, 24)),
    Case(24, seeds=3, seed_deviation=0.5),
    Case(24, seeds=3, seed_deviation=2.0),
    Case(100, seeds=3, seed_deviation=0.1),
)
GAIN = 0.2  # of a over b in the chance of improvement


def rate(case: Case, outcome: Callable[[Generator], bool], trials: int = TRIALS) -> float:
    """Share of simulated evaluations with an outcome."""
    generator = np.random.default_rng(seed_from("coverage", case.label))
    return sum(outcome(generator) for _ in range(trials)) / trials


def of_mean(case: Case, trials: int = TRIALS) -> float:
    """How often the interval of a mean holds the true one, over scenes and seeds."""
    names = case.names

    def held(generator: Generator) -> bool:
        found = mean_estimate(case.method(generator, case.scene(generator)), names)
        return found.low <= 0 <= found.high

    return rate(case, held, trials)


def of_difference(case: Case, trials: int = TRIALS) -> float:
    """How often the interval of a difference of two methods holds 0, which is the truth."""
    names = case.names

    def held(generator: Generator) -> bool:
        scene = case.scene(generator)
        a, b = (case.method(generator, scene) for _ in "ab")
        found = paired_difference(a, b, names)
        return found.low <= 0 <= found.high

    return rate(case, held, trials)


def of_chance(case: Case, trials: int = TRIALS, gain: float = GAIN) -> float:
    """How often the interval of the chance to beat another method holds the true one."""
    names = case.names
    deviation = math.sqrt(2 * (case.seed_deviation**2 + case.own_deviation**2))
    truth = 0.5 * (1 + math.erf(gain / deviation / math.sqrt(2)))

    def held(generator: Generator) -> bool:
        scene = case.scene(generator)
        a, b = (case.method(generator, scene) for _ in "ab")
        found = probability_of_improvement(a + gain, b, names)
        return found.low <= truth <= found.high

    return rate(case, held, trials)


def of_family(case: Case, trials: int = TRIALS, methods: int = 5) -> float:
    """How often any of several methods that do not differ is called worse than the first."""
    names, pairs = case.names, [(k, 0) for k in range(1, methods)]

    def called(generator: Generator) -> bool:
        scene = case.scene(generator)
        arrays = [case.method(generator, scene) for _ in range(methods)]
        found = compare(arrays, pairs, names).differences
        return any(map(is_significant, holm([difference.p_value for difference in found])))

    return rate(case, called, trials)


def page(trials: int = TRIALS) -> str:
    """The tables in Markdown."""
    chances = [
        (case, gain)
        for case in (
            *(Case(scenes) for scenes in (2, 5, 24)),
            *(Case(24, seeds=3, seed_deviation=deviation) for deviation in (0.3, 2.0)),
        )
        for gain in (GAIN, 1.0)
    ]
    means = [(case.label, _percent(of_mean(case, trials))) for case in MEANS]
    differences = [
        (case.label, _percent(of_difference(case, trials)), _percent(of_family(case, trials)))
        for case in PAIRED
    ]
    improvements = [
        (f"{case.label}, a ahead by {gain:g}", _percent(of_chance(case, trials, gain)))
        for case, gain in chances
    ]
    return f"""# Coverage of the intervals

Made by `{COMMAND}`.

{trials} simulated evaluations a line, so that a share near 95 % is known to about
{200 * math.sqrt(0.05 * 0.95 / trials):.1f} points. Deviations are in units of that over scenes;
every value also has one of {Case(2).own_deviation:g} of its own.

## Means

How often the 95 % interval of a mean holds the mean over all scenes and training seeds.

{_table(means, "values", "holds the truth")}

## Differences

Of two methods that do not differ, on the same images: how often the interval of the difference
holds 0, and how often any of four methods that do not differ from a fifth is called worse.

{_table(differences, "values", "holds the truth", "any called worse")}

## Chance of improvement

How often the interval of the chance that a random image of a beats that of b, by random training
seeds of both, holds the true one.

{_table(improvements, "values", "holds the truth")}
"""


def _table(rows: list[tuple[str, ...]], *headings: str) -> str:
    align = ("left", *["right"] * (len(headings) - 1))
    return tabulate(rows, headings, tablefmt="pipe", colalign=align, disable_numparse=True)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def main() -> None:
    """Entry point of ``python -m studies.coverage``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="folder of the page")
    out = parser.parse_args().out
    text = page()
    print(text)
    if out:
        write_text(out / "README.md", text)


if __name__ == "__main__":
    main()
