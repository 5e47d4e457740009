"""Break the arithmetic of the package one place at a time, and see whether the tests notice.

    python studies/mutants.py                     # all modules of RELEVANT
    python studies/mutants.py irsde/scoring/ssim.py       # one of them
    python studies/mutants.py --each 25 --seed 1  # other breaks, more of them

A break (a mutant) changes one place: an operator (`+` to `-`, `*` to `/`, `**` to `*`), a
comparison (`<` to `<=`), a sign, a number (an integer plus 1, another number times 1.1), `True`, an
index, the order of the first two arguments, `min` to `max`. Types, messages of errors and
docstrings are left alone. Which breaks are tried depends on the seed and on the module's text.

The project is copied to a temporary folder and the copy is broken there. Libraries are imported
once; each break is tried in a fork of that process by the tests that RELEVANT names, and is noticed
where one fails or takes far too long. The table goes to the standard output, each break that
nothing noticed to `--survivors` (CSV: module, line, before, after, why it is equivalent, text).
`mutants_equivalent.csv` beside this file lists breaks that change nothing that may be relied on,
with the reason; they are counted apart.
"""

import argparse
import ast
import contextlib
import csv
import importlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
EQUIVALENT = Path(__file__).with_name("mutants_equivalent.csv")

# Tests of each module, as pytest takes them, the sharpest first.
SCORING = ("tests/test_scoring_exact.py",)
NETWORKS = ("tests/test_networks.py", "-k", "not (compiles or autocast)")
RELEVANT: dict[str, tuple[str, ...]] = {
    "irsde/scoring/ssim.py": SCORING,
    "irsde/scoring/pixels.py": SCORING,
    "irsde/scoring/metrics.py": (*SCORING, "tests/test_haarpsi.py"),
    "irsde/scoring/protocols.py": (
        "tests/test_scoring_exact.py", "tests/test_scoring.py",
        "-k", "exact or protocol or refused or each_network",
    ),
    "irsde/scoring/perceptual.py": (
        "tests/test_distributions_exact.py", "tests/test_scoring.py",
        "-k", "lpips or weights or covers",
    ),
    "irsde/degradations/resampling.py": (
        "tests/test_resampling_exact.py", "tests/test_resampling.py"
    ),
    "irsde/degradations/noise.py": ("tests/test_degradations_exact.py",),
    "irsde/degradations/rain.py": ("tests/test_degradations_exact.py",),
    "irsde/degradations/blur.py": ("tests/test_degradations_exact.py",),
    "irsde/degradations/haze.py": ("tests/test_degradations_exact.py",),
    "irsde/restoration/tiling.py": ("tests/test_tiling_exact.py", "irsde/restoration/tiling.py"),
    "irsde/seeds.py": ("tests/test_tiling_exact.py", "irsde/seeds.py"),
    "irsde/networks/layers.py": NETWORKS,
    "irsde/networks/nafnet.py": NETWORKS,
    "irsde/networks/unet.py": NETWORKS,
    "irsde/data/leakage/similarity.py": ("tests/test_similarity_exact.py",),
    "irsde/data/adopt/fingerprints.py": ("tests/test_fingerprints_exact.py",),
    "irsde/data/pairs.py": ("tests/test_pairs_exact.py", "tests/test_preparation.py"),
    "irsde/scoring/distributions.py": (
        "tests/test_distributions_exact.py", "tests/test_distributions.py",
        "-k", "not (whole_chain or inceptions)",
    ),
    "irsde/training/update.py": ("tests/test_optimization_exact.py",),
    "irsde/training/averaging.py": ("tests/test_averaging_exact.py", "tests/test_averaging.py"),
    "irsde/machine/meters.py": (
        "tests/test_cost_exact.py", "tests/test_evaluation.py", "-k", "exact or multiply"
    ),
    "irsde/restoration/classical.py": (
        "tests/test_classical_exact.py", "tests/test_classical.py", "-k", "not gains"
    ),
    "irsde/degradations/masks.py": ("tests/test_masks_exact.py", "tests/test_masks.py"),
    "irsde/images.py": ("tests/test_images_exact.py", "tests/test_images.py"),
    "irsde/processes.py": ("tests/test_processes_exact.py", "tests/test_processes.py"),
    "irsde/samplers.py": ("tests/test_samplers_exact.py", "tests/test_samplers.py"),
    "irsde/objectives.py": (
        "tests/test_processes_exact.py", "tests/test_processes.py", "tests/test_objectives.py"
    ),
    "irsde/scoring/statistics.py": ("tests/test_statistics_exact.py", "tests/test_statistics.py"),
    "irsde/scoring/score.py": ("tests/test_scores_exact.py", "irsde/scoring/score.py"),
    "irsde/training/validation.py": ("tests/test_validation_exact.py",),
    "irsde/experiment/code.py": (
        "tests/test_code.py", "-k", "not (another_version or committed_study)"
    ),
}  # fmt: skip

OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
    ast.RShift: ast.LShift, ast.BitXor: ast.BitOr,
}  # fmt: skip
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
SYMMETRIC = {"array_equal", "equal", "hypot", "logical_and", "max", "maximum", "min", "minimum"}
OPPOSITE = {
    "argmax": "argmin", "argmin": "argmax", "ceil": "floor", "cos": "sin", "floor": "ceil",
    "max": "min", "maximum": "minimum", "min": "max", "minimum": "maximum", "sin": "cos",
}  # fmt: skip


TYPES = {"Annotated", "Callable", "Literal", "NDArray", "dict", "list", "tuple", "type"}


@dataclass(frozen=True)
class Mutant:
    """One break: the text from `start` to before `stop` of a module replaced."""

    line: int
    start: int
    stop: int
    before: str
    after: str


def mutants_of(source: str) -> list[Mutant]:
    """All breaks of a module's text, in the order of the text."""
    lines = [0]
    for line in source.encode().splitlines(keepends=True):
        lines.append(lines[-1] + len(line))
    found = {}
    for node, changed in _changes(ast.parse(source)):
        start = lines[node.lineno - 1] + node.col_offset
        stop = lines[node.end_lineno - 1] + node.end_col_offset
        before = source.encode()[start:stop].decode()
        after = ast.unparse(changed)
        if isinstance(changed, ast.expr) and not isinstance(changed, ast.Constant | ast.Call):
            after = f"({after})"
        found[start, stop, after] = Mutant(
            node.lineno, start, stop, " ".join(before.split()), after
        )
    return [found[key] for key in sorted(found)]


def _changes(tree: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Nodes of code that computes, each with what it becomes."""
    for field, value in ast.iter_fields(tree):
        if field in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for node in value if isinstance(value, list) else [value]:
            if not isinstance(node, ast.AST) or _is_inert(node):
                continue
            same = ast.unparse(node) if isinstance(node, ast.expr | ast.stmt) else ""
            yield from ((node, c) for c in _changed(node) if ast.unparse(c) != same)
            yield from _changes(node)


def _is_inert(node: ast.AST) -> bool:
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return True
    if isinstance(node, ast.Subscript):
        return ast.unparse(node.value) in (
            "NDArray",
            "Literal",
            "Annotated",
            "dict",
            "list",
            "tuple",
        )
    return isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom)


def _changed(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.BinOp(left, op, right) if type(op) in OPERATORS:
            yield ast.BinOp(left, OPERATORS[type(op)](), right)
        case ast.AugAssign(target, op, value) if type(op) in OPERATORS:
            yield ast.AugAssign(target, OPERATORS[type(op)](), value)
        case ast.Compare(left, ops, comparators):
            for k, op in enumerate(ops):
                yield ast.Compare(
                    left, [*ops[:k], COMPARISONS[type(op)](), *ops[k + 1 :]], comparators
                )
        case ast.BoolOp(op, values):
            yield ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
        case ast.UnaryOp(ast.USub() | ast.Not(), operand):
            yield operand
        case ast.Constant(bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(int() as value):
            yield ast.Constant(value + 1)
        case ast.Constant(float() as value):
            yield ast.Constant(value * 1.1)
        case ast.Call(function, arguments, keywords):
            name = ast.unparse(function).rpartition(".")[2]
            if len(arguments) > 1 and name not in SYMMETRIC and _can_swap(arguments):
                swapped = [arguments[1], arguments[0], *arguments[2:]]
                yield ast.Call(function, swapped, keywords)
            if name in OPPOSITE and isinstance(function, ast.Attribute):
                other = ast.Attribute(function.value, OPPOSITE[name], ast.Load())
                yield ast.Call(other, arguments, keywords)
            elif name in OPPOSITE:
                yield ast.Call(ast.Name(OPPOSITE[name], ast.Load()), arguments, keywords)


def _can_swap(arguments: list[ast.expr]) -> bool:
    first, second = arguments[:2]
    texts = all(isinstance(a, ast.Constant) and isinstance(a.value, str) for a in (first, second))
    return not texts and not isinstance(first, ast.Starred) and not isinstance(second, ast.Starred)


def copy_of_project(folder: Path) -> None:
    """Copy what tests read, without caches, and go there."""
    unwanted = shutil.ignore_patterns("__pycache__", ".git", "results", ".*_cache", ".hypothesis")
    shutil.copytree(PROJECT, folder, ignore=unwanted)
    os.chdir(folder)
    sys.path[0] = str(folder)  # not the folder of this file, whose coverage.py is not the library
    sys.dont_write_bytecode = True
    os.environ |= {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    os.environ |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    os.environ.setdefault("IRSDE_REFERENCE", str(PROJECT.parent / "shared" / "reference"))


def import_libraries(tests: list[str]) -> None:
    """Import what the tests import, and forget the project's own modules."""
    import pytest  # noqa: F401
    import torch

    torch.set_num_threads(1)
    for test in tests:
        if test.endswith(".py"):
            importlib.import_module(test.removesuffix(".py").replace("/", "."))
    for name in [name for name in sys.modules if name.split(".")[0] in ("irsde", "tests")]:
        del sys.modules[name]


def passes(tests: tuple[str, ...], seconds: float) -> bool:
    """Whether tests pass, in a fork of this process, within so many seconds."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        log = os.open("log.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        import pytest

        options = ["-x", "-q", "-p", "no:cacheprovider", "-W", "ignore"]
        options += ["-o", "addopts=--doctest-modules"]
        code = 1
        with contextlib.suppress(BaseException):
            code = int(pytest.main([*options, *tests]))
        os._exit(code)
    deadline = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        if time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return False
        time.sleep(0.02)


def equivalents() -> dict[tuple[str, str, str, str], str]:
    """Reasons why breaks change nothing, by module, line, text before and text after."""
    with EQUIVALENT.open(newline="") as stream:
        return {
            (row["module"], row["text"], row["before"], row["after"]): row["why"]
            for row in csv.DictReader(stream)
        }


def survivors_of(module: str, count: int, seed: int) -> tuple[int, list[Mutant]]:
    """Number of breaks tried and those that nothing noticed."""
    path, tests = Path(module), RELEVANT[module]
    source = path.read_bytes()
    every = mutants_of(source.decode())
    chosen = random.Random(f"{seed} {module}").sample(every, min(count, len(every)))
    begun = time.monotonic()
    if not passes(tests, 600):
        sys.exit(f"{module}: its tests fail as it is: {Path('log.txt').read_text()[-2000:]}")
    limit = 20 + 10 * (time.monotonic() - begun)
    survivors = []
    for mutant in sorted(chosen, key=lambda mutant: mutant.start):
        broken = source[: mutant.start] + mutant.after.encode() + source[mutant.stop :]
        path.write_bytes(broken)
        if passes(tests, limit):
            survivors.append(mutant)
    path.write_bytes(source)
    return len(chosen), survivors


def main() -> None:
    """Try breaks and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", help="of RELEVANT; all unless given")
    parser.add_argument("--each", type=int, default=12, help="breaks of a module")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--survivors", type=Path, default=Path("survivors.csv"))
    options = parser.parse_args()
    modules = options.modules or list(RELEVANT)
    report = options.survivors.absolute()
    known = equivalents()
    rows = []
    print("| module | breaks | noticed | equivalent | not noticed |\n|:--|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as scratch:
        copy_of_project(Path(scratch) / "copy")
        import_libraries(sorted({test for m in modules for test in RELEVANT[m]}))
        totals = [0, 0, 0]
        for module in modules:
            tried, survivors = survivors_of(module, options.each, options.seed)
            lines = Path(module).read_text().splitlines()
            for mutant in survivors:
                line = lines[mutant.line - 1].strip()
                why = known.get((module, line, mutant.before, mutant.after), "")
                rows.append((module, mutant.line, mutant.before, mutant.after, why, line))
            equal = sum(bool(row[4]) for row in rows if row[0] == module)
            numbers = [tried - len(survivors), equal, len(survivors) - equal]
            totals = [a + b for a, b in zip(totals, numbers, strict=True)]
            print(f"| {module} | {tried} | {' | '.join(map(str, numbers))} |", flush=True)
            with report.open("w", newline="") as stream:
                head = ("module", "line", "before", "after", "why", "text")
                csv.writer(stream).writerows([head, *rows])
        print(f"| all | {sum(totals)} | {' | '.join(map(str, totals))} |")


if __name__ == "__main__":
    main()
