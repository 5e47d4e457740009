import os
import re
import shutil
import signal
import sys

import psutil
from snakemake.resources import Resources

from irsde.config import load_profile, run_settings
from irsde.distributions import inception_weights
from irsde.files import InputError, digest_json
from irsde.perceptual import perceptual_key
from irsde.plan import (
    Run,
    datasets,
    evaluation_of,
    evaluations,
    further_evaluations,
    needed_datasets,
    outside_evaluations,
    preparation_hash,
    runs,
)
from irsde.provenance import code_hash

# Slurm sends its warning to every process of a job: the training answers it with a checkpoint, and
# Snakemake and the shell around it must live on to see how it ended.
signal.signal(signal.SIGUSR1, signal.SIG_IGN)

try:
    PROFILE = load_profile(config["profile"])
except InputError as error:
    sys.exit(f"irsde: {error}")
RUNS = runs(PROFILE)
EVALUATIONS = [*evaluations(PROFILE), *further_evaluations(PROFILE)]

# A job computes with the threads of its settings, not with what the command line says, because
# their number changes the last bits of a result. `--cores 8` on 2 cores must still not start 8
# jobs, so each asks for its share of what was given.
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
CORES_PER_JOB = max(1, -(-(workflow.resource_settings.cores or CORES) // CORES))

# What jobs may take together of this machine's memory, unless --resources mem_mb=... says otherwise.
if "mem" not in workflow.global_resources:
    available = int(0.9 * psutil.virtual_memory().total / 2**20)
    for name, amount in Resources.from_mapping({"mem_mb": available}).items():
        workflow.register_resource(name, amount)

GPU = int(config.get("gpu", 1 if shutil.which("nvidia-smi") else 0))


def names(values):
    """Alternatives of a wildcard."""
    return "|".join(sorted({re.escape(str(value)) for value in values})) or "(?!)"


def gpu_of(wildcards):
    """One GPU for methods with a network, where there is one."""
    run = Run(wildcards.profile, wildcards.task, wildcards.method, int(wildcards.seed))
    return GPU * PROFILE.evaluation.processes if run.is_trained else 0


def needed_cards(wildcards):
    """Cards of the data sets that pairs of one of them are made from."""
    needed = needed_datasets(PROFILE, wildcards.task, wildcards.dataset)
    return [f"data/{name}/dataset.json" for name in needed]


def all_cards(wildcards):
    """Cards of all data sets of a task."""
    chosen = PROFILE.data.of(wildcards.task)
    names_of_task = (*chosen.train, *chosen.validation, *chosen.test, *chosen.without)
    return [f"data/{name}/dataset.json" for name in dict.fromkeys(names_of_task)]


def training_pairs(wildcards):
    """What a run of a task is trained and validated on, and what the leakage check found."""
    chosen = PROFILE.data.of(wildcards.task)
    folder = f"data/prepared/{wildcards.profile}/{wildcards.task}"
    pairs = [f"{folder}/{name}/dataset.json" for name in (*chosen.train, *chosen.validation)]
    return [*pairs, f"data/leakage/{wildcards.profile}/{wildcards.task}.json"]


def preparation_settings(wildcards):
    """Hash of the settings that the prepared pairs of a task depend on."""
    return preparation_hash(PROFILE, wildcards.task)


def settings_hash(wildcards):
    """Hash of the settings of a run; a changed one reruns it and what depends on it."""
    run = run_settings(PROFILE, wildcards.task, wildcards.method, int(wildcards.seed))
    return run.hash


def evaluation_settings(wildcards):
    """Hash of the settings of an evaluation."""
    resolved = PROFILE.for_method(wildcards.method).evaluation
    return digest_json(resolved.model_dump(mode="json"))


def evaluation_arguments(wildcards):
    """Arguments of `irsde evaluate` for a path of the grammar."""
    run = Run(wildcards.profile, wildcards.task, wildcards.method, int(wildcards.seed))
    return evaluation_of(run, wildcards.dataset, wildcards.evaluation).arguments


wildcard_constraints:
    profile=names([PROFILE.name]),
    task=names(PROFILE.tasks),
    method=names(run.method for run in RUNS),
    seed=r"\d+",
    evaluation=r"[^/]+-\d+[^/]*",
