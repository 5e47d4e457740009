"""Which code made a result: the hash of a stage, its modules, older code that counts as equal."""

import itertools
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from irsde.experiment import code
from irsde.files import read_json, write_json
from tests.project import PROJECT

SAMPLE = '''
"""A module."""
from typing import TYPE_CHECKING, Literal

import numpy as np
from irsde.other import scale

if TYPE_CHECKING:
    from irsde.files import InputError

Kind = Literal["a", "b"]
TABLE: dict[str, float] = {"a": 1e-3, "b": -0.0, "c": float("inf")}

'''
MORE = '''

def f(x: "np.ndarray", /, *args: int, key: str = "k", **rest: object) -> str:
    """Say it."""
    first, *others = [value for value in args if value > 0]  # the positive ones
    match key:
        case "k" | "l":
            text = f"{x!r:>{first}}{{}} {others=}" "joined" f"{scale(x):.3f}"
        case _:
            raise ValueError(f"{key}: unknown")
    return text if (n := len(text)) else str(n)


async def g(queue):
    async with queue as q:
        yield lambda a=1: a ** 2 @ q
'''
RECORDED = "9f42bb9ab3f426c0345873cd27d1c681e4ea21bf3d0b2aff2340c3e3f8781fe5"
OTHER_PYTHONS = [minor for minor in (11, 12, 13) if minor != sys.version_info.minor]


def package(folder: Path, **modules: str) -> Path:
    """A package `irsde` with these modules; a dot in a name is written as two underscores."""
    root = folder / "irsde"
    for name, text in modules.items():
        path = root.joinpath(*name.split("__")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    code._module.cache_clear()
    return root


def hashed(root: Path, first: str = "main") -> str:
    return code.hash_modules(root, code.imported_modules(root, first))


OTHER = "def scale(x):\n    return 2 * x\n"


def test_the_hash_is_the_recorded_one_on_every_version_of_python(tmp_path):
    assert hashed(package(tmp_path, main=SAMPLE + MORE, other=OTHER)) == RECORDED


@pytest.mark.parametrize("minor", OTHER_PYTHONS)
def test_another_version_of_python_gives_the_same_hashes(minor):
    named = shutil.which(f"python3.{minor}")
    managed = Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python")
    for found in [*([Path(named)] if named else []), *sorted(managed)]:
        if subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
            break
    else:
        pytest.skip(f"Python 3.{minor} is not installed")
    script = "from irsde.experiment.code import *; print({s: code_hash(s) for s in STAGES})"
    path = os.pathsep.join([str(PROJECT), sysconfig.get_paths()["purelib"]])
    done = subprocess.run(
        [found, "-c", script],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == str({s: code.code_hash(s) for s in code.STAGES}), done.stderr


def test_neither_place_nor_wording_changes_the_hash(tmp_path):
    before = hashed(package(tmp_path / "before", main=SAMPLE + MORE, other=OTHER))
    text = (SAMPLE + MORE).replace("irsde.other", "irsde.deeper.place").replace("A module", "Mine")
    text = text.replace("Say it.", "Speak.").replace("  # the positive ones", "")
    text = text.replace('f"{key}: unknown"', '"choose another"')
    assert hashed(package(tmp_path / "after", main=text, deeper__place=OTHER)) == before


def test_a_definition_that_moves_to_another_module_leaves_the_hash_as_it_is(tmp_path):
    first = "A = 1\n\n\ndef f():\n    return A\n\n\ndef g():\n    return f()\n"
    before = hashed(package(tmp_path / "before", main="from irsde.one import g\n", one=first))
    after = package(
        tmp_path / "after",
        main="from irsde.one import g\n",
        one="from irsde.two import f\n\n\ndef g():\n    return f()\n",
        two="A = 1\n\n\ndef f():\n    return A\n",
    )
    assert hashed(after) == before


def test_an_import_from_a_namesake_changes_the_hash(tmp_path):
    two = {"one": "def f():\n    return 1\n", "two": "def f():\n    return 2\n"}
    text = "from irsde import one, two\nfrom irsde.one import f\n"
    before = hashed(package(tmp_path / "before", main=text, **two))
    after = package(tmp_path / "after", main=text.replace("one import f", "two import f"), **two)
    assert hashed(after) != before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("value > 0", "value >= 0"),
        ("1e-3", "1e-4"),
        ("-0.0", "0.0"),
        ("a=1", "a=2"),
        (":.3f", ":.2f"),
        ("**rest", "**others_of_it"),
        ('Literal["a", "b"]', 'Literal["a"]'),
        ("import numpy as np", "import torch as np"),
        ("import scale", "import shift as scale"),
        ("TABLE: dict", "PEAK = 1\nPEAK += 1\nPEAK *= 2\nTABLE: dict"),
    ],
)
def test_what_could_change_a_number_changes_the_hash(tmp_path, old, new):
    other = OTHER + "\n\ndef shift(x):\n    return x + 2\n"
    before = hashed(package(tmp_path / "before", main=SAMPLE + MORE, other=other))
    assert old in SAMPLE + MORE
    changed = package(tmp_path / "after", main=(SAMPLE + MORE).replace(old, new), other=other)
    assert hashed(changed) != before


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("P = 1\nP += 1\nP *= 2\n", "P = 1\nP *= 2\nP += 1\n"),
        ("P = []\nfor i in range(2):\n    P.append(i)\nP = P[:1]\n",
         "P = []\nP = P[:1]\nfor i in range(2):\n    P.append(i)\n"),
        ("if len('a'):\n    from math import floor as r\nelse:\n    from math import ceil as r\n",
         "if len('a'):\n    from math import ceil as r\nelse:\n    from math import floor as r\n"),
        ("def f(x):\n    from math import floor as r\n    return r(x)\n"
         "def g(x):\n    from math import ceil as r\n    return r(x)\n",
         "def f(x):\n    from math import ceil as r\n    return r(x)\n"
         "def g(x):\n    from math import floor as r\n    return r(x)\n"),
        ("if TYPE_CHECKING:\n    X = 1\nelse:\n    X = 1\n",
         "if TYPE_CHECKING:\n    X = 1\nelse:\n    X = 2\n"),
        ("def f(x):\n    raise StopIteration(x * 2)\n",
         "def f(x):\n    raise StopIteration(x * 3)\n"),
    ],
)  # fmt: skip
def test_order_and_place_count_where_they_matter(tmp_path, one, other):
    assert hashed(package(tmp_path / "1", main=one)) != hashed(package(tmp_path / "2", main=other))


def test_a_newly_imported_module_counts(tmp_path):
    root = package(tmp_path, main="A = 1\n", other=OTHER)
    assert code.imported_modules(root, "main") == ("main",)
    late = "A = 1\n\n\ndef f():\n    from irsde.other import scale\n\n    return scale\n"
    root = package(tmp_path, main=late)
    assert code.imported_modules(root, "main") == ("main", "other")


@pytest.mark.parametrize("stage", code.STAGES)
def test_a_stage_has_the_modules_it_imports_but_for_the_exempt(stage):
    names = code.stage_modules(stage)
    assert code.STAGES[stage] in names
    if stage == "report":
        assert names == code.imported_modules(code.PACKAGE, code.STAGES[stage])
    else:
        assert not {*names} & {*code.EXEMPT}
    assert "degradations.noise" in names


PRINT_HASH = """
import sys
from irsde.experiment import code
code.COARSEST_CLOCK = float(sys.argv[1])
print(code.code_hash("prepare"))
"""


@pytest.fixture
def hash_in_a_process(tmp_path):
    """What a new process says of a copy of the package, and the file that it keeps."""
    (tmp_path / "cache").mkdir()
    shutil.copytree(code.PACKAGE, tmp_path / "irsde", ignore=shutil.ignore_patterns("__pycache__"))
    environment = {**os.environ, "PYTHONPATH": "", "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def say(clock: float = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-c", PRINT_HASH, str(clock)], capture_output=True, text=True,
            cwd=tmp_path, env=environment, check=True,
        )  # fmt: skip
        return done.stdout.strip()

    return say, tmp_path / "cache/irsde/code.json"


def planted(kept: Path) -> str:
    """Another hash in place of the kept one, by which a process that reads it is known."""
    content = read_json(kept)
    for hashes in content.values():
        hashes["prepare"] = "0" * 64
    write_json(kept, content)
    return "0" * 64


def test_the_hash_is_kept_until_a_file_changes(hash_in_a_process):
    say, kept = hash_in_a_process
    module = kept.parents[2] / "irsde/degradations/noise.py"
    stat, text = module.stat(), module.read_text()
    right = say()
    assert right == code.code_hash("prepare")
    wrong = planted(kept)
    assert say() == wrong
    module.write_text(text.replace("def ", "def _", 1).replace(" -> ", "-> ", 1))
    os.utime(module, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert module.stat().st_size == stat.st_size
    assert say() not in (right, wrong)
    module.write_text(text)
    os.utime(module, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert say() == right
    wrong = planted(kept)
    assert say() == wrong
    (module.parent / "further.py").touch()
    assert say() == right


def test_code_that_has_just_changed_is_not_kept(hash_in_a_process):
    say, kept = hash_in_a_process
    assert say(clock=3600) == code.code_hash("prepare")
    assert not kept.exists()


@pytest.mark.parametrize("content", ["", "[1]", '{"a": {"files": 1}}', "null", None])
def test_a_damaged_cache_is_made_again(hash_in_a_process, content):
    say, kept = hash_in_a_process
    right = say()
    whole = kept.read_text()
    if content is None:
        hashes = read_json(kept)
        write_json(
            kept, {name: {**of, "prepare": of["prepare"][:-1]} for name, of in hashes.items()}
        )
    else:
        kept.write_text(content)
    assert say() == right
    assert kept.read_text() == whole


def test_without_a_place_for_it_the_hash_is_computed(hash_in_a_process):
    say, kept = hash_in_a_process
    kept.parents[1].rmdir()
    kept.parents[1].write_text("a file where the folder belongs")
    assert say() == code.code_hash("prepare")


def test_every_exempt_module_is_there_and_imported_by_a_stage():
    everything = {
        name for first in code.STAGES.values()
        for name in code.imported_modules(code.PACKAGE, first)
    }  # fmt: skip
    assert {*code.EXEMPT, *itertools.chain(*code.EXEMPT_FROM.values())} <= everything


def test_known_code_names_each_hash_once_with_a_reason():
    # A YAML mapping keeps the last of two equal keys in silence, so the text is looked at.
    named = re.findall(r"\b[0-9a-f]{64}(?=:)", code.KNOWN.read_text())
    assert len(named) == len(set(named)) > 10
    for stage, classes in code.known_code().items():
        assert stage in {*code.STAGES, "method"}
        assert all(
            len(known) == 64 and reason for same in classes for known, reason in same.items()
        )


def test_a_named_hash_counts_as_the_first_of_its_class():
    first, second = list(code.known_code()["train"][0])[:2]
    assert code.canonical("train", second) == first
    assert code.is_same_code("train", first, second)
    assert not code.is_same_code("tune", first, second)
    assert not code.is_same_code("train", first, "0" * 64)
    assert not code.is_same_code("train", first, None)


@pytest.mark.parametrize("stage", ["train", "tune", "evaluate"])
def test_the_committed_study_is_of_code_that_counts_as_the_present_one(stage):
    """What to do where it is not: CONTRIBUTING.md, code and finished results."""
    name = "summary.json" if stage == "evaluate" else "run.json"
    cards = [read_json(path) for path in sorted((PROJECT / "reports/study").rglob(name))]
    if stage == "evaluate":
        made = {card["code"] for card in cards}
    else:
        identities = [card["identity"] for card in cards if "code" in card["identity"]]
        made = {one["code"] for one in identities if ("method" in one) == (stage == "train")}
    assert made
    now = code.code_hash(stage)
    assert all(code.is_same_code(stage, one, now) for one in made), (
        f"the hash of `{stage}` is now {now}: if all numbers are as they were, append it to the "
        f"last class of `{stage}` in irsde/known_code.yaml, with what was compared"
    )
