"""What the profile for Slurm asks for, without a cluster: dry runs, an sbatch that refuses."""

import re
import stat

import pytest

from tests.project import call, copy_project, prepare_task

SLURM = ("snakemake", "--workflow-profile", "workflow/profiles/slurm")
AT_ONCE = (
    "--latency-wait", "1", "--slurm-init-seconds-before-status-checks", "1",
    "--seconds-between-status-checks", "1",
)  # fmt: skip
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
    jobs = r"^( *)rule (\w+):\n((?:\1 +\S.*\n)+)"
    for _, rule, lines in re.findall(jobs, text, re.MULTILINE):
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
    assert [job["threads"] for job in jobs["report"]] == ["2"]


def submitted(project, target: str) -> list[str]:
    """What sbatch was asked for a target, line by line."""
    noted = project / "submitted.txt"
    noted.write_text("")
    call(project, *SLURM, *AT_ONCE, target, code=1)
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
def test_a_site_says_where_jobs_with_a_gpu_go_and_of_which_kind_it_is(project):
    prepare_task("smoke", "denoising")
    profile = project / "workflow/profiles/slurm/config.yaml"
    site = re.sub(r"^  # (?=slurm_part|gpu_)", "  ", profile.read_text(), flags=re.MULTILINE)
    profile.write_text(site)
    trained = submitted(project, RUN.replace("run.json", "evaluated.json"))
    assert all("--gpus=a100:4" in line and "-p gpu" in line for line in trained)
    classical = "results/smoke/denoising/classical/seed0/evaluated.json"
    tuned = submitted(project, classical)
    assert all("--gpus" not in line and "-p cpu" in line for line in tuned)
    assert len(trained) == 4
    assert len(tuned) == 3


@pytest.mark.slow
def test_data_are_fetched_where_snakemake_runs_and_their_preparation_is_tried_twice(project):
    lines = submitted(project, "data/prepared/smoke/denoising/photographs-test/dataset.json")
    assert (project / "data/photographs-test/dataset.json").is_file()
    assert len(lines) == 2
    assert not any("--gpus" in line for line in lines)


LARGE = """
caption: A large grid.
tasks: [denoising]
methods: [regression, ir-sde, ddpm, i2sb]
seeds: SEEDS
data:
  train: photographs-train
  validation: photographs-validation
  test: [photographs-test, kodak24, cbsd68]
network: {name: nafnet, width: 8, encoder_blocks: [1], decoder_blocks: [1]}
training:
  {iterations: 6, batch: 2, patch: 16, learning_rate: 0.001, checkpoint_every: 2, validate_every: 3}
evaluation: {nfe: 3}
""".replace("SEEDS", str([*range(250)]))


@pytest.mark.slow
def test_a_run_with_its_evaluations_is_one_submission(project):
    (project / "workflow/config/large.yaml").write_text(LARGE)
    planned = call(project, "irsde", "plan", "--profile", "large")
    assert "1000 runs, 3000 evaluations" in planned
    text = call(project, *SLURM, "--dry-run", "--cores", "64", "reports/tables.md")
    grouped = re.findall(r"Group job (\w+)", text)
    alone = [rule for rule in re.findall(r"^rule (\w+):", text, re.MULTILINE) if rule != "fetch"]
    assert grouped.count("run") == 1000
    assert len(grouped) + len(alone) <= 1100
