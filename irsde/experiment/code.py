"""Which code made a result: a hash of what a stage runs, and the older code that counts as equal.

The hash is one of contents. It does not depend on comments, docstrings, the texts of errors, the
layout of lines, the order of definitions, the folder of a module, or the version of Python; a
definition that moves to another module leaves it as it is.
"""

import ast
import itertools
import re
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from irsde.files import (
    InputError,
    digest,
    digest_file,
    digest_json,
    read_json,
    user_cache,
    write_json,
)

PACKAGE = Path(__file__).parents[1]
KNOWN = PACKAGE / "known_code.yaml"
IS_HASH = re.compile("[0-9a-f]{64}").fullmatch
COARSEST_CLOCK = 3  # seconds within which some file system gives two changes the same time

STAGES: dict[str, str] = {
    "prepare": "data.prepare",
    "check": "data.leakage.check",
    "tune": "training.tuning",
    "train": "training.loop",
    "evaluate": "evaluation.evaluate",
    "figures": "data.pictures",
    "report": "report.build",
}
"""The module each stage begins in; what it imports belongs to the stage."""

EXEMPT: dict[str, str] = {
    "data.catalogue": "its facts are in the cards of data sets",
    "restoration.cost": "counts arithmetic",
    "evaluation.current": "asks whether a result is what is asked for",
    "experiment.cards": "checks what cards hold",
    "experiment.result_tables": "checks what tables of results hold",
    "experiment.summary": "checks what summaries hold",
    "experiment.code": "names the code",
    "experiment.fields": "checks what settings hold",
    "experiment.grid": "names runs and folders",
    "experiment.identity": "says in what two runs differ",
    "experiment.options": "its values are in the names of evaluations",
    "experiment.profile": "its values are in the hash of the settings",
    "experiment.provenance": "writes cards",
    "experiment.replaced": "sets finished results aside",
    "experiment.yaml_file": "reads settings, which are in the hash of them",
    "files": "reads and writes what others computed",
    "machine.holding": "keeps two processes from the same work",
    "machine.meters": "measures seconds, memory and energy",
    "machine.signals": "answers signals",
    "terminal": "shows progress and tables",
}
"""Modules that cannot change a number, and why; a report shows more than numbers, so has none."""

OF_THE_RUN = {"methods": "what a run takes from it is in the identity of the run"}
EXEMPT_FROM: dict[str, dict[str, str]] = {
    "tune": OF_THE_RUN,
    "train": {
        **OF_THE_RUN,
        "data.leakage.record": "counts leaks for the card",
        "networks.published": "has networks whose weights are the authors'",
        "samplers": "restores validation images",
        "scoring.pixels": "scores validation images",
        "training.validation": "looks at the weights and leaves them as they are",
    },
}
"""Further modules that cannot change the numbers of one stage."""


class Module(NamedTuple):
    """What counts of a module.

    Parameters
    ----------
    definitions : dict of str to str
        Hash of the statement that binds a name, by the name. Where the order of statements can
        matter (a loop, a name bound twice) all of them together have the module's name.
    imports : dict of str to tuple (str, str)
        Name in this module → module of the package and name there ("" for the module itself).
    others : tuple of str
        Imports from other packages.
    """

    definitions: dict[str, str]
    imports: dict[str, tuple[str, str]]
    others: tuple[str, ...]


@cache
def code_hash(stage: str) -> str:
    """SHA-256 of the code of a stage.

    Parameters
    ----------
    stage : str
        A key of `STAGES`.

    Returns
    -------
    str
        64 hexadecimal digits, equal for equal code on every version of Python.

    Notes
    -----
    Kept in the user's cache folder until a file of the package changes.
    """
    files = _state()
    hashes = _kept().get(str(PACKAGE), {})
    if hashes.get("files") == files and stage in hashes:
        return hashes[stage]
    further = _data_files() if stage == "report" else []
    made = hash_modules(PACKAGE, stage_modules(stage), further)
    _keep(files, stage, made)
    return made


def _cache() -> Path:
    """File of hashes by the folder of a package: of its files' state, and of stages by name."""
    return user_cache() / "irsde/code.json"


@cache  # as the files are parsed once, and never before
def _state() -> str:
    """Hash of all by which a change of the package's files shows, without reading them."""
    facts = [
        (str(path.relative_to(PACKAGE)), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        for path, stat in ((path, path.stat()) for path in _files())
    ]
    return digest_json([sys.version, facts])


def _kept() -> dict[str, dict[str, str]]:
    """Content of the cache; empty where it is absent or anything else."""
    with suppress(InputError, RuntimeError):
        content = read_json(_cache())
        if isinstance(content, dict) and all(
            isinstance(hashes, dict)
            and all(isinstance(one, str) and IS_HASH(one) for one in hashes.values())
            for hashes in content.values()
        ):
            return content
    return {}


def _keep(files: str, stage: str, made: str) -> None:
    """Add a hash to the cache, unless a change so recent that a second one has the same time.

    What cannot be written is computed again by the next process. Packages that are gone are left
    out.
    """
    if time.time() - max(path.stat().st_ctime for path in _files()) < COARSEST_CLOCK:
        return
    kept = {package: hashes for package, hashes in _kept().items() if Path(package).is_dir()}
    own = kept.get(str(PACKAGE), {})
    same = own if own.get("files") == files else {"files": files}
    with suppress(InputError, OSError, RuntimeError):
        write_json(_cache(), {**kept, str(PACKAGE): {**same, stage: made}})


def hash_modules(package: Path, modules: Collection[str], files: Collection[Path] = ()) -> str:
    """SHA-256 of what modules of a package define and import, and of further files.

    Parameters
    ----------
    package : Path
        Folder of the package.
    modules : collection of str
        Names below the package, such as ``data.pairs``.
    files : collection of Path
        Hashed byte by byte.
    """
    parsed = {name: _module(package, name) for name in modules}
    defined = Counter(name for module in parsed.values() for name in module.definitions)
    facts = {digest_file(path) for path in files}
    for module in parsed.values():
        facts |= {*module.definitions.values(), *module.others}
        for local, (target, member) in module.imports.items():
            # Of a name that stands for one definition alone, its own hash says everything.
            is_plain = local == (member or target.rpartition(".")[2]) and defined[member] <= 1
            if target in parsed and not is_plain:
                facts.add(f"{local} = {_origin(package, target, member)}")
    return digest_json(sorted(facts))


@cache
def stage_modules(stage: str) -> tuple[str, ...]:
    """Modules that a stage's numbers depend on, named below the package, sorted.

    They are what the stage imports, directly or through another module, without those that cannot
    change its numbers (`EXEMPT`, `EXEMPT_FROM`).
    """
    left_out = set() if stage == "report" else {*EXEMPT}
    left_out |= {*EXEMPT_FROM.get(stage, {})}
    return imported_modules(PACKAGE, STAGES[stage], left_out)


def imported_modules(package: Path, first: str, left_out: Collection[str] = ()) -> tuple[str, ...]:
    """A module of a package and all that it imports from it, but for those excluded, sorted."""
    reached: set[str] = set()
    waiting = [first]
    while waiting:
        name = waiting.pop()
        if name not in reached and name not in left_out:
            reached.add(name)
            waiting += [target for target, _ in _module(package, name).imports.values()]
    return tuple(sorted(reached))


@cache
def known_code() -> dict[str, list[dict[str, str]]]:
    """Classes of equal code by stage: hash → why it counts as equal, the first one first.

    Those of "method" are of fingerprints of methods (`Method.fingerprint`).
    """
    import yaml

    content = yaml.safe_load(KNOWN.read_text(encoding="utf-8"))
    return {stage: list(classes) for stage, classes in content.items()}


def canonical(stage: str, code: str) -> str:
    """One hash for all code that gives the same numbers: the first named with it, or itself."""
    for same in known_code().get(stage, []):
        if code in same:
            return next(iter(same))
    return code


def is_same_code(stage: str, one: str | None, other: str | None) -> bool:
    """True if two hashes are equal, or `known_code.yaml` says that they give the same numbers."""
    if one is None or other is None:
        return one == other
    return canonical(stage, one) == canonical(stage, other)


def is_same_run(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """True if two identities of runs are equal, but for code that gives the same numbers."""
    stage = "train" if "method" in one else "tune"
    neutral = {"code": "", "method": ""}
    return (
        is_same_code(stage, one.get("code"), other.get("code"))
        and is_same_code("method", one.get("method"), other.get("method"))
        and {**one, **neutral} == {**other, **neutral}
    )


def current(stage: str) -> str:
    """Hash of a stage's code as it is now, in its canonical form: what the engines compare."""
    return canonical(stage, code_hash(stage))


def _data_files() -> list[Path]:
    """Files of the package that are no modules: published numbers, the page's assets."""
    return [path for path in _files() if path.suffix not in (".py", ".typed") and path != KNOWN]


def _files() -> list[Path]:
    """Files of the package, sorted, but for what Python compiled."""
    return [
        path
        for path in sorted(PACKAGE.rglob("*"))
        if "__pycache__" not in path.parts and path.is_file()
    ]


@cache
def _module(root: Path, name: str) -> Module:
    """What counts of a module of the package at `root`."""
    tree = ast.parse(_file(root, name).read_bytes())
    definitions: dict[str, str] = {}
    texts: list[str] = []
    is_ordered = False
    for statement in _counting(tree.body):
        if _is_import(statement):
            continue
        text = digest(repr(_plain(statement)).encode())
        texts.append(text)
        bound = _bound(statement)
        is_ordered |= not bound or not definitions.keys().isdisjoint(bound)
        definitions |= dict.fromkeys(bound, text)
    if is_ordered:
        definitions[name] = digest_json(texts)
    imports: dict[str, tuple[str, str]] = {}
    others: set[str] = set()
    for node in _imports(tree):
        prefix = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
        for alias in node.names:
            local = alias.asname or alias.name
            path = (prefix + alias.name).split(".")
            if path[0] != root.name:
                others.add(f"import {'.'.join(path)} as {local}")
            elif _is_module(root, ".".join(path[1:])):
                imports[local] = (".".join(path[1:]), "")
            else:
                imports[local] = (".".join(path[1:-1]), path[-1])
    return Module(definitions, imports, tuple(sorted(others)))


def _origin(root: Path, name: str, member: str) -> str:
    """Hash of what an import brings: a definition, or all of a module."""
    module = _module(root, name)
    if not member:
        return digest_json(sorted(module.definitions.values()))
    if member in module.imports:
        return _origin(root, *module.imports[member])
    return module.definitions[member]


def _is_module(root: Path, name: str) -> bool:
    return _file(root, name).is_file()


def _file(root: Path, name: str) -> Path:
    """File of a module or of a package's `__init__`."""
    path = root.joinpath(*name.split(".")) if name else root
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _imports(tree: ast.Module) -> Iterator[ast.Import | ast.ImportFrom]:
    """All imports of a module that run, those inside functions too."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        waiting += [child for child in ast.iter_child_nodes(node) if not _is_for_types(child)]


def _is_for_types(node: ast.AST) -> bool:
    """True for `if TYPE_CHECKING:` with nothing that runs."""
    if not isinstance(node, ast.If) or node.orelse:
        return False
    return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _counting(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Statements without docstrings, and without what is for type checkers alone."""
    return [
        statement
        for statement in body
        if not _is_for_types(statement)
        and not (
            isinstance(statement, ast.Expr)
            and isinstance(statement.value, ast.Constant)
            and isinstance(statement.value.value, str)
        )
    ]


def _bound(statement: ast.stmt) -> list[str]:
    """Names that a statement of a module binds."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    return [
        node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)
    ]


_PASSED_OVER = ("ctx", "kind", "type_comment", "type_ignores")


def _plain(node: object) -> object:
    """A syntax tree as tuples of names and constants, the same on every version of Python.

    Docstrings, the words of errors, and where in the package a name comes from are ignored.
    """
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        values = [value for value in node.exc.args if not _is_text(value)]
        return ("Raise", _plain(node.exc.func), _plain(values), _plain(node.exc.keywords))
    if isinstance(node, ast.Import | ast.ImportFrom):
        names = [(alias.name, alias.asname) for alias in node.names]
        is_ours = getattr(node, "module", None) or node.names[0].name
        return ("Import", "" if is_ours.split(".")[0] == PACKAGE.name else is_ours, *names)
    if isinstance(node, ast.JoinedStr):
        return ("JoinedStr", *_joined(node.values))
    if isinstance(node, ast.AST):
        fields = [
            (name, _plain(value))
            for name, value in ast.iter_fields(node)
            if name not in _PASSED_OVER and value is not None and value != []
        ]
        return (type(node).__name__, *fields)
    if isinstance(node, list):
        statements = [item for item in node if isinstance(item, ast.stmt)]
        kept = _counting(statements) if statements else node
        parts: list[object] = []
        for are_imports, items in itertools.groupby(kept, _is_import):
            plain = [_plain(item) for item in items]
            parts += sorted(plain, key=repr) if are_imports else plain
        return tuple(parts)
    return repr(node)


def _is_import(node: object) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def _joined(values: Sequence[ast.expr]) -> list[object]:
    """Parts of a formatted string, neighbouring texts as one: versions of Python cut them apart."""
    parts: list[object] = []
    text = ""
    for value in values:
        if isinstance(value, ast.Constant):
            text += str(value.value)
            continue
        parts += [text, _plain(value)] if text else [_plain(value)]
        text = ""
    return [*parts, text] if text else parts
