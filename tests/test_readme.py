"""README.md and other pages: their commands parse, their links, files and numbers are there."""

import itertools
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from irsde.cli import CLICK_EXCEPTION, app
from irsde.methods import METHODS
from irsde.samplers import SAMPLERS
from irsde.scoring.protocols import PROTOCOLS
from irsde.tasks import TASKS
from studies import excerpts
from tests.project import PROJECT

PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/data.md",
    "docs/running.md",
    "docs/setup.md",
    "docs/training.md",
)
MADE_BY_READERS = {"mine"}  # profiles
OUTPUTS = "\n".join(
    file.read_text() for file in sorted((PROJECT / "workflow").rglob("*")) if file.suffix == ".smk"
)


def blocks(page, language):
    text = (PROJECT / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def commands(page):
    """Commands of the page's shell blocks, one for each part between && and ;."""
    found = []
    for block in blocks(page, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words:
                ends = [k for k, word in enumerate(words) if word in ("&&", ";", "|", ">")]
                stop = ends[0] if ends else len(words)
                found.append(words[:stop])
                words = words[stop + 1 :]
    return [words for words in found if words]


def of_program(program):
    return [
        pytest.param(words[1:], id=f"{page}: {' '.join(words)}"[:100])
        for page in PAGES
        for words in commands(page)
        if words[0] == program
    ]


def inline(page):
    text = re.sub(r"^```.*?^```$", "", (PROJECT / page).read_text(), flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"`([^`\n]+)`", text)


def parse(words, *, complete=True):
    """Parse arguments of irsde without running anything; the values by name.

    Where the words need not be complete, arguments and values of options may be missing.
    """
    command, name, context = get_command(app), "irsde", None
    while True:
        is_group = hasattr(command, "resolve_command")
        if is_group and not words:
            return {}
        try:
            context = command.make_context(name, list(words), parent=context)
        except CLICK_EXCEPTION as error:
            if complete or type(error).__name__ not in ("MissingParameter", "BadOptionUsage"):
                raise
            return {}
        if not is_group:
            return context.params
        name, command, words = command.resolve_command(context, list(words))


@pytest.mark.parametrize("words", of_program("irsde"))
def test_a_command_of_irsde_is_one(words):
    values = {name: value for name, value in parse(words).items() if value}
    if profile := values.get("profile"):
        assert profile in MADE_BY_READERS or profile_file(profile).is_file()
    for name, known in (("task", TASKS), ("method", METHODS), ("sampler", SAMPLERS)):
        assert values.get(name) in {None, *known}
    assert values.get("protocol") in {None, *PROTOCOLS}
    for folder in re.findall(r"results/(\S+)/(\S+)/(\S+)/seed\d+", " ".join(words)):
        profile, task, method = folder
        content = yaml.safe_load(profile_file(profile).read_text())
        assert task in TASKS
        assert method.partition("+")[0] in METHODS
        assert method in content["methods"]


def profile_file(name):
    return PROJECT / "workflow/config" / f"{name}.yaml"


@pytest.mark.parametrize("page", PAGES)
def test_options_in_the_running_text_exist(page):
    for code in inline(page):
        if code.startswith("irsde ") and not code.endswith(" --help"):
            parse(shlex.split(code)[1:], complete=False)


def test_what_does_not_exist_does_not_parse():
    for words in (["trian"], ["train", "--mehtod", "x"], ["data", "lists"], ["compare", "--x"]):
        with pytest.raises(CLICK_EXCEPTION):
            parse(words, complete=False)


def test_targets_of_snakemake_are_outputs_of_its_rules():
    from snakemake.cli import get_argument_parser

    parser = get_argument_parser()
    found = [words for page in PAGES for words in commands(page) if words[0] == "snakemake"]
    assert len(found) >= 4
    for words in found:
        options = parser.parse_args(words[1:])
        for target in options.targets:
            assert f'"{target}"' in OUTPUTS, target
        profiles = itertools.pairwise(words)
        for name in [name for option, name in profiles if option.endswith("profile")]:
            assert (PROJECT / name).is_dir(), name


def test_commands_of_dvc_are_commands():
    from dvc.cli.parser import get_main_parser

    stages = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]
    found = [words for page in PAGES for words in commands(page) if words[0] == "dvc"]
    assert len(found) >= 3
    for words in found:
        options = get_main_parser().parse_args(words[1:])
        if options.cmd == "repro":
            assert {target.split("@")[0] for target in options.targets} <= stages.keys()


@pytest.mark.parametrize("page", PAGES)
def test_what_is_installed_and_tested_exists(page):
    extras = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    for words in commands(page):
        if "install" in words and "-e" in words:
            for extra in re.findall(r"\[(\w+)\]", " ".join(words)):
                assert extra in extras["optional-dependencies"]
        for option, name in itertools.pairwise(words):
            if option == "-c" and words[0] in ("pip", "uv"):
                assert (PROJECT / name).is_file()
        if words[0] == "pytest":
            for name in words[1:]:
                assert name.startswith("-") or (PROJECT / name).exists(), name


@pytest.mark.parametrize(
    "page", [file.relative_to(PROJECT).as_posix() for file in sorted(PROJECT.glob("docs/*.md"))]
    + ["README.md", "CONTRIBUTING.md", "reports/study/README.md", "workflow/config/README.md"],
)  # fmt: skip
def test_every_local_link_resolves(page):
    file = PROJECT / page
    for link in re.findall(r"\]\(([^)\s]+)\)", file.read_text()):
        if not link.startswith(("http:", "https:", "mailto:", "#")):
            name, _, anchor = link.partition("#")
            target = file.parent / name
            assert target.exists(), link
            if anchor:
                assert anchor in anchors(target), link


def anchors(page):
    """Names that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_file_that_is_named_exists_or_is_made(page):
    listed = subprocess.run(
        ["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=False
    ).stdout.split()
    names = {Path(name).name for name in listed or map(str, PROJECT.rglob("*"))}
    written = "\n".join(file.read_text() for file in (PROJECT / "irsde").rglob("*.py"))
    for code in inline(page):
        if re.fullmatch(r"[\w./-]+\.(md|py|yaml|yml|toml|txt|json|html|csv|db)", code):
            name = code.rpartition("/")[2]
            exists = (PROJECT / code).exists() or ("/" not in code and name in names)
            is_made = f'"{code}"' in OUTPUTS or f'"{name}"' in written
            is_recipe = f"New file `{code}`:" in (PROJECT / page).read_text()
            assert exists or is_made or is_recipe, code
        elif re.fullmatch(r"[a-z]+(/[\w.-]+)+/?", code):
            first = PROJECT / code.split("/")[0]
            if first.is_dir() and first.name not in ("data", "results", "reports"):
                assert (PROJECT / code).exists(), code


def test_the_python_example_runs():
    page = "docs/reference/python/index.md"
    (block,) = blocks(page, "python")
    names = {}
    exec(compile(block, page, "exec"), names)
    assert names["restored"].shape == names["mu"].shape


@pytest.mark.parametrize("page", excerpts.PAGES)
def test_tables_are_those_of_the_committed_results(page):
    text = (PROJECT / page).read_text()
    assert list(excerpts.MARKED.finditer(text))
    assert excerpts.filled(text) == text, "python -m studies.excerpts"


def test_a_number_that_is_not_of_the_results_is_noticed():
    text = (PROJECT / "README.md").read_text()
    assert text.count("| 29.460 / 0.8989 |") == 1
    assert excerpts.filled(text.replace("| 29.460 /", "| 29.461 /")) == text
    assert "not run" in excerpts.bench()


def test_the_readme_is_read_in_minutes():
    assert len((PROJECT / "README.md").read_text().splitlines()) <= 170
