RUN = "results/{profile}/{task}/{method}/seed{seed}/"


def settings_hash(wildcards):
    """Hash of the settings of a run; a changed one reruns it and what depends on it."""
    run = run_settings(PROFILE, wildcards.task, wildcards.method, int(wildcards.seed))
    return run.hash


rule train:
    input:
        rules.prepare.output.train,
        rules.prepare.output.validation,
    output:
        card=RUN + "run.json",
        weights=RUN + "weights.safetensors",
        history=RUN + "training.csv",
        cost=RUN + "cost.json",
    log:
        "logs/{profile}/{task}/{method}/seed{seed}/train.log",
    wildcard_constraints:
        method=names(run.method for run in RUNS if run.is_trained),
    params:
        settings=settings_hash,
        code=code_hash("train"),
    threads: CORES_PER_JOB * PROFILE.training.threads
    resources:
        gpu=GPU,
        mem_mb=1500,
    priority: 1
    shell:
        "irsde train --overwrite --profile {wildcards.profile} --task {wildcards.task} "
        "--method {wildcards.method} --seed {wildcards.seed} > {log} 2>&1"


rule tune:
    input:
        rules.prepare.output.train,
        rules.prepare.output.validation,
    output:
        card=RUN + "run.json",
        cost=RUN + "cost.json",
    log:
        "logs/{profile}/{task}/{method}/seed{seed}/tune.log",
    wildcard_constraints:
        method=names(run.method for run in RUNS if not run.is_trained),
    params:
        settings=settings_hash,
        code=code_hash("tune"),
    threads: CORES_PER_JOB
    shell:
        "irsde train --overwrite --profile {wildcards.profile} --task {wildcards.task} "
        "--method {wildcards.method} --seed {wildcards.seed} > {log} 2>&1"
