import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
from snakemake.resources import Resources

from irsde.experiment.code import current
from irsde.experiment.profile import load_profile, run_settings
from irsde.evaluation.current import is_complete, metric_weights, own_contents
from irsde.audit.evidence import given
from irsde.files import InputError, digest_json
from irsde.experiment.published_weights import weights_file, weights_of
from irsde.machine.attempt import failures
from irsde.methods import method_of
from irsde.experiment.grid import (
    EVALUATED,
    Run,
    arguments_of,
    by_run,
    datasets,
    datasets_of_task,
    evaluations,
    further_evaluations,
    needed_datasets,
    outside_evaluations,
    preparation_hash,
    runs,
)

# Slurm sends its warning to every process of a job: the training answers it with a checkpoint, and
# Snakemake and the shell around it must live on to see how it ended.
signal.signal(signal.SIGUSR1, signal.SIG_IGN)

try:
    PROFILE = load_profile(config["profile"])
    RUNS = runs(PROFILE)
    GIVEN = given(PROFILE)
    EVALUATIONS = [*evaluations(PROFILE), *further_evaluations(PROFILE)]
    WANTED = by_run(one for one in EVALUATIONS if one.folder not in GIVEN)
    ABSENT = [run for run in WANTED if not all(is_complete(one.folder) for one in WANTED[run])]
except InputError as error:
    sys.exit(f"irsde: {error}")

# A job makes all evaluations of a run and writes a list of them, which is what Snakemake sees: of
# files that it saw it would delete the good ones where another evaluation fails. The list is no
# longer true where an evaluation has been taken away.
if workflow.is_main_process:
    for run in ABSENT:
        (run.folder / EVALUATED).unlink(missing_ok=True)

# Jobs go to other machines, by an executor such as that of Slurm, if --jobs says how many at a time.
ON_CLUSTER = workflow.resource_settings.nodes is not None or workflow.remote_exec

# A job computes with the threads of its settings, not with what the command line says, because
# their number changes the last bits of a result. `--cores 8` on 2 cores must still not start 8
# jobs, so each asks for its share of what was given.
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
GIVEN_CORES = CORES if ON_CLUSTER else workflow.resource_settings.cores or CORES
CORES_PER_JOB = max(1, -(-GIVEN_CORES // CORES))

# What jobs may take together of this machine's memory, unless --resources mem_mb=... says otherwise.
if not ON_CLUSTER and "mem" not in workflow.global_resources:
    available = int(0.9 * psutil.virtual_memory().total / 2**20)
    for name, amount in Resources.from_mapping({"mem_mb": available}).items():
        workflow.register_resource(name, amount)

GPU = int(config.get("gpu", 1 if ON_CLUSTER or shutil.which("nvidia-smi") else 0))

# What a cluster's profile may say of its site, and the resource of Slurm's plugin that it becomes.
SITE = {
    "slurm_partition": "slurm_partition",
    "gpu_partition": "slurm_partition",
    "gpu_kind": "gpu_model",
}

# Each attempt of a job adds to its log. Slurm starts the job of a stopped training again.
REQUEUE = "--requeue" if workflow.remote_exec and "SLURM_JOB_ID" in os.environ else ""
ATTEMPT = f"python -m irsde.machine.attempt {REQUEUE} --number"


def retries(count):
    """Further tries of a failed job on a cluster, where nodes fail; else as --retries has it.

    A job that was submitted has none of its own: whoever submitted it tries again.
    """
    return count if ON_CLUSTER and workflow.is_main_process else None


def attempt_number(_, attempt):
    """How often Snakemake has tried a job."""
    return attempt


def failures_in(log):
    """How many calls failed at a job, for those whose earlier results stay where they fail.

    Snakemake takes these for results of the failed job, unless a parameter says that it failed.
    """
    return lambda wildcards: failures(Path(log.format(**wildcards)))


def names(values):
    """Alternatives of a wildcard."""
    return "|".join(sorted({re.escape(str(value)) for value in values})) or "(?!)"


def run_of(wildcards):
    """Run of a path of the grammar."""
    return Run(wildcards.profile, wildcards.task, wildcards.method, int(wildcards.seed))


def settings_of(wildcards):
    """Settings of a run."""
    run = run_of(wildcards)
    return run_settings(PROFILE, run.task, run.method, run.seed)


def profile_of(wildcards):
    """Profile as a variant of a method changes it: threads, processes and memory too."""
    return PROFILE.for_method(wildcards.method)


def training_threads(wildcards):
    """Threads of a training, all its processes together."""
    training = profile_of(wildcards).training
    return CORES_PER_JOB * training.threads * training.processes


def training_gpus(wildcards):
    """One GPU for each process of a training, where there are GPUs."""
    return GPU * profile_of(wildcards).training.processes


def of_site(gpus):
    """Partition and kind of GPU of jobs that use one, where a cluster's profile names them.

    They are default resources `gpu_partition` and `gpu_kind`; as `gpu_model`, Slurm's plugin would
    give a GPU to every job.
    """
    site = workflow.resource_settings._parsed_default_resources
    named = {name: site[name].raw for name in SITE if name in site}
    if "gpu_partition" in named and "slurm_partition" not in named:
        sys.exit("irsde: the profile names a gpu_partition; name the slurm_partition of other jobs")
    return {
        resource: lambda wildcards, value=named[name], other=named.get(resource, ""): (
            value if gpus(wildcards) else other
        )
        for name, resource in SITE.items()
        if name in named and resource != name
    }


def training_memory(wildcards):
    """Megabytes of a training, all its processes together."""
    profile = profile_of(wildcards)
    return profile.memory.training * profile.training.processes


def evaluation_threads(wildcards):
    """Threads of an evaluation, all its processes together."""
    evaluation = profile_of(wildcards).evaluation
    return CORES_PER_JOB * evaluation.threads * evaluation.processes


def evaluation_gpus(wildcards):
    """One GPU for each process of an evaluation with a network, where there are GPUs."""
    return (
        GPU * profile_of(wildcards).evaluation.processes
        if method_of(wildcards.method).has_network
        else 0
    )


def evaluation_memory(wildcards):
    """Megabytes of an evaluation, all its processes together."""
    profile = profile_of(wildcards)
    return profile.memory.evaluation * profile.evaluation.processes


def needed_cards(wildcards):
    """Cards of the data sets that pairs of one of them are made from."""
    needed = needed_datasets(PROFILE, wildcards.task, wildcards.dataset)
    return [f"data/{name}/dataset.json" for name in needed]


def all_cards(wildcards):
    """Cards of all data sets of a task."""
    return [f"data/{name}/dataset.json" for name in datasets_of_task(PROFILE, wildcards.task)]


def inputs_of(folder, files):
    """Input files of a result; an imported one needs none, whether or not they are here."""
    return [] if folder in GIVEN else files


def training_pairs(wildcards):
    """What a run is trained and validated on, and what the leakage check found."""
    chosen = PROFILE.data.of(wildcards.task)
    folder = f"data/prepared/{wildcards.profile}/{wildcards.task}"
    pairs = [f"{folder}/{name}/dataset.json" for name in (*chosen.train, *chosen.validation)]
    files = [*pairs, f"data/leakage/{wildcards.profile}/{wildcards.task}.json"]
    return inputs_of(run_of(wildcards).folder, files)


def published_file(wildcards):
    """File of published weights that a run is imported from."""
    return inputs_of(run_of(wildcards).folder, [weights_file(wildcards.method).as_posix()])


def preparation_settings(wildcards):
    """Hash of the settings that the prepared pairs of a task depend on."""
    return preparation_hash(PROFILE, wildcards.task)


def settings_hash(wildcards):
    """Hash of the settings of a run; a changed one reruns it and what depends on it."""
    return settings_of(wildcards).hash


def evaluation_inputs(wildcards):
    """Run and pairs of the evaluations of a run, and what the leakage check found."""
    run = run_of(wildcards)
    sets = dict.fromkeys(evaluation.dataset for evaluation in WANTED[run])
    prepared = f"data/prepared/{run.profile}/{run.task}"
    return [
        (run.folder / "run.json").as_posix(),
        *[f"{prepared}/{name}/dataset.json" for name in sets],
        f"data/leakage/{run.profile}/{run.task}.json",
    ]


def evaluation_settings(wildcards):
    """Hash of the settings of an evaluation."""
    return digest_json(profile_of(wildcards).evaluation.model_dump(mode="json"))


def evaluation_arguments(wildcards):
    """Arguments of `irsde evaluate` for the evaluations of a run."""
    return arguments_of(WANTED[run_of(wildcards)])


def finished_evaluations(_):
    """What a report is made of: lists of evaluations made here, and files of imported ones."""
    imported = [one.folder for one in EVALUATIONS if one.folder in GIVEN]
    files = [
        f"{folder}/{name}" for folder in imported for name in ("summary.json", "per_image.csv")
    ]
    return [*[f"{run.folder}/{EVALUATED}" for run in WANTED], *files]


wildcard_constraints:
    profile=names([PROFILE.name]),
    task=names(PROFILE.tasks),
    method=names(run.method for run in RUNS),
    seed=r"\d+",
