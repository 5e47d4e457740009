"""What the profile for Slurm asks for, without a cluster: dry runs, an sbatch that refuses."""

import re
import stat

import pytest

from tests.project import call, copy_project, prepare_task

SLURM = ("snakemake", "--workflow-profile", "workflow/profiles/slurm")
WIDE = (
    "  ir-sde+wide: {training: {processes: 4, threads: 2, batch: 4}, memory: {training: 40000}}\n"
)
RUN = "results/smoke/denoising/ir-sde+wide/seed0/run.json"
REFUSING = """#!/bin/sh
echo "$@" | sed 's/--wrap=.*//' >> submitted.txt
exit 1
"""
SLURM_COMMANDS = ("sacct", "squeue", "scontrol", "sinfo", "scancel", "sacctmgr")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The smoke profile with a variant of four processes; an sbatch that notes what it is asked."""
    folder = copy_project(tmp_path)
    profile = folder / "workflow/config/smoke.yaml"
    text = profile.read_text()
    assert text.count("ir-sde+l2]\nseeds") == 1
    text = text.replace("ir-sde+l2]\nseeds", "ir-sde+l2, ir-sde+wide]\nseeds")
    profile.write_text(text.replace("variants:\n", "variants:\n" + WIDE))
    call(folder, "irsde", "plan", "--profile", "smoke")
    (folder / "fakes").mkdir()
    for name in ("sbatch", *SLURM_COMMANDS):
        file = folder / "fakes" / name
        file.write_text(REFUSING if name == "sbatch" else "#!/bin/sh\n")
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder / "fakes"), prepend=":")
    monkeypatch.chdir(folder)
    return folder


def requests(text: str) -> dict[str, list[dict[str, str]]]:
    """Resources, threads and wildcards of every job of a dry run, by their rules."""
    found: dict[str, list[dict[str, str]]] = {}
    for rule, lines in re.findall(r"^rule (\w+):\n((?: +.*\n)+)", text, re.MULTILINE):
        job = dict(re.findall(r"(\w+)=([^,\s]+)", lines))
        threads = re.search(r"threads: (\d+)", lines)
        found.setdefault(rule, []).append(job | {"threads": threads[1] if threads else "1"})
    return found


def test_a_dry_run_asks_for_what_the_profile_says_whatever_the_login_node_has(project):
    text = call(project, *SLURM, "--dry-run", "--cores", "64", "reports/tables.md")
    jobs = requests(text)
    asked = {job["method"]: job for job in jobs["train"]}
    assert asked["ir-sde+wide"]["gpu"] == "4"
    assert asked["ir-sde+wide"]["mem_mb"] == "160000"
    assert asked["ir-sde+wide"]["threads"] == "8"
    assert asked["ir-sde+l2"]["gpu"] == "1"
    assert {job["runtime"] for job in jobs["train"]} == {"600"}
    others = [job for rule, of_rule in jobs.items() if rule != "train" for job in of_rule]
    assert {job["runtime"] for job in others if "runtime" in job} == {"120"}
    assert {job.get("gpu", "0") for rule in ("prepare", "check", "tune") for job in jobs[rule]} == {
        "0"
    }
    assert {job["mem_mb"] for rule in ("prepare", "check", "report") for job in jobs[rule]} == {
        "3000"
    }


def submitted(project, target: str) -> list[str]:
    """What sbatch was asked for a target, line by line."""
    noted = project / "submitted.txt"
    noted.write_text("")
    call(project, *SLURM, "--latency-wait", "1", target, code=1)
    return noted.read_text().splitlines()


@pytest.mark.slow
def test_a_training_is_submitted_four_times_with_what_its_processes_need(project):
    prepare_task("smoke", "denoising")
    lines = submitted(project, RUN)
    assert len(lines) == 4
    for line in lines:
        for words in ("--gpus=4", "--mem 160000", "--cpus-per-task=8", "-t 600", "--requeue"):
            assert words in line
        assert "--signal=USR1@120" in line


@pytest.mark.slow
def test_data_are_fetched_where_snakemake_runs_and_their_preparation_is_tried_twice(project):
    lines = submitted(project, "data/prepared/smoke/denoising/photographs-test/dataset.json")
    assert (project / "data/photographs-test/dataset.json").is_file()
    assert len(lines) == 2
    assert all("rule_prepare" in line and "--gpus" not in line for line in lines)
