"""The command line as a guide: stages, what comes next, the nearest name, lines that fit."""

import io
import sys

import pytest
from typer.main import get_command

from irsde.cli import app, main
from irsde.experiment.profile import sampler_refusal
from irsde.guide import NEXT, STAGES
from irsde.methods import METHODS
from irsde.restoration.published import overview
from tests.project import PROJECT
from tests.test_cli import irsde, make_project

RUN = "results/smoke/denoising/ir-sde/seed0"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(monkeypatch, columns, *arguments):
    """Standard output and error of a command in a terminal of so many columns."""
    out, err = Terminal(), Terminal()
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys, "argv", ["irsde", *map(str, arguments)])
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with pytest.raises(SystemExit):
        main()
    return out.getvalue(), err.getvalue()


def paths(command, prefix=""):
    for name, below in command.commands.items():
        if hasattr(below, "commands"):
            yield from paths(below, f"{name} ")
        else:
            yield f"{prefix}{name}"


def test_every_command_has_a_stage_and_says_what_comes_next():
    command = get_command(app)
    assert sorted(name for names in STAGES.values() for name in names) == sorted(command.commands)
    assert set(paths(command)) == NEXT.keys()


def test_help_has_the_stages_in_the_order_of_work(monkeypatch):
    text, _ = shown(monkeypatch, 80, "--help")
    places = [text.index(f"\n{stage}:") for stage in STAGES]
    assert places == sorted(places)
    assert "..." not in text.partition("Begin:")[2]
    text, _ = shown(monkeypatch, 80, "data", "--help")
    assert "..." not in text.partition("Commands:")[2]


def test_a_table_leaves_out_columns_that_do_not_fit_and_names_them(monkeypatch):
    monkeypatch.chdir(PROJECT)
    for columns, left_out in {60: ["licence", "size"], 80: ["licence"], 120: []}.items():
        text, _ = shown(monkeypatch, columns, "weights", "list")
        head, *_, last = text.splitlines()
        assert [name for name in ("licence", "size") if name not in head] == left_out
        assert (last == f"not shown for want of width: {', '.join(left_out)}") == bool(left_out)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert "licence" in overview().splitlines()[0]


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal(columns, monkeypatch, tmp_path):
    monkeypatch.chdir(make_project(tmp_path))
    commands = [[*path.split(), "--help"] for path in paths(get_command(app))]
    for arguments in [
        ["--help"],
        *commands,
        ["keys"],
        ["data", "list"],
        ["weights", "list"],
        ["status", "--profile", "bench"],
        ["data", "list", "rain100h-test"],
        ["plan", "--profile", "bench"],
        ["train", "--task", "deranig", "--method", "ir-sde"],
        ["data", "fetch", "rain100h"],
        ["report"],
    ]:
        for text in shown(monkeypatch, columns, *arguments):
            widest = max(text.split("\n"), key=len)
            assert len(widest) <= columns or " " not in widest.strip(), (arguments, widest)


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["train", "--task", "deranig", "--method", "ir-sde"], "deraining"),
        (["train", "--task", "denoising", "--method", "ir-sd"], "ir-sde"),
        (["evaluate", "--run", RUN, "--grid", "unifrm"], "uniform"),
        (["plan", "--profile", "smok"], "smoke"),
        (["data", "fetch", "rain100h-tset"], "rain100h-test"),
        (["data", "list", "kodak42"], "kodak24"),
        (["trian"], "train"),
        (["train", "--mehtod", "ir-sde"], "--method"),
        (["keys", "training.bacth"], "training.batch"),
    ],
)
def test_a_misspelt_name_gets_the_nearest(arguments, meant, tmp_path):
    done = irsde(make_project(tmp_path), *arguments)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    ending = done.stderr.lower().rpartition("did you mean")[2] or done.stderr
    assert meant in (ending if "did you mean" in done.stderr.lower() else done.stderr)


def test_so_does_a_misspelt_name_of_weights_or_of_a_sampler():
    done = irsde(PROJECT, "weights", "fetch", "ffdnt")
    assert done.stderr.endswith("; did you mean ffdnet?\n")
    assert "did you mean posterior?" in str(sampler_refusal(METHODS["ir-sde"], "posteriorr"))


def test_an_incomplete_command_names_its_help(tmp_path):
    done = irsde(tmp_path, "restore", "photo.jpg", "--task", "denoising")
    assert done.stderr.endswith("Missing option '--out'; try irsde restore --help\n")


def test_a_command_ends_by_saying_what_comes_next(tmp_path):
    project = make_project(tmp_path)
    done = irsde(project, "plan", "--profile", "smoke")
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1].startswith("next: snakemake")
    assert "next:" not in done.stdout
    assert "next:" not in irsde(project, "plan", "--profile", "smok").stderr
    assert (PROJECT / "docs/deposit.md").is_file()
