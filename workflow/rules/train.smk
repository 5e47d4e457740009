# Nodes of a cluster often reach no network, so this runs where Snakemake does.
localrules:
    fetch_weights,


rule train:
    input:
        training_pairs,
    output:
        card=update("results/{profile}/{task}/{method}/seed{seed}/run.json"),
        weights=update("results/{profile}/{task}/{method}/seed{seed}/weights.safetensors"),
        history=update("results/{profile}/{task}/{method}/seed{seed}/training.csv"),
        cost=update("results/{profile}/{task}/{method}/seed{seed}/cost.json"),
    log:
        "logs/{profile}/{task}/{method}/seed{seed}/train.log",
    wildcard_constraints:
        method=names(run.method for run in RUNS if run.stage == "train"),
    priority: 1
    retries: retries(3)
    conda:
        "../envs/irsde.yaml"
    threads: training_threads
    resources:
        **of_site(training_gpus),
        attempt=attempt_number,
        gpu=training_gpus,
        mem_mb=training_memory,
    params:
        attempt=ATTEMPT,
        failures=failures_in("logs/{profile}/{task}/{method}/seed{seed}/train.log"),
        settings=settings_hash,
        code=current("train"),
    shell:
        "{params.attempt} {resources.attempt} {log:q} irsde train --overwrite --profile {wildcards.profile:q} --task {wildcards.task:q} "
        "--method {wildcards.method:q} --seed {wildcards.seed:q}"


rule tune:
    input:
        training_pairs,
    output:
        card=update("results/{profile}/{task}/{method}/seed{seed}/run.json"),
        cost=update("results/{profile}/{task}/{method}/seed{seed}/cost.json"),
    log:
        "logs/{profile}/{task}/{method}/seed{seed}/tune.log",
    wildcard_constraints:
        method=names(run.method for run in RUNS if run.stage == "tune"),
    retries: retries(1)
    conda:
        "../envs/irsde.yaml"
    threads: CORES_PER_JOB
    resources:
        attempt=attempt_number,
    params:
        attempt=ATTEMPT,
        failures=failures_in("logs/{profile}/{task}/{method}/seed{seed}/tune.log"),
        settings=settings_hash,
        code=current("tune"),
    shell:
        "{params.attempt} {resources.attempt} {log:q} irsde train --overwrite --profile {wildcards.profile:q} --task {wildcards.task:q} "
        "--method {wildcards.method:q} --seed {wildcards.seed:q}"


rule import_weights:
    input:
        published_file,
    output:
        card=update("results/{profile}/{task}/{method}/seed{seed}/run.json"),
        weights=update("results/{profile}/{task}/{method}/seed{seed}/weights.safetensors"),
        cost=update("results/{profile}/{task}/{method}/seed{seed}/cost.json"),
    log:
        "logs/{profile}/{task}/{method}/seed{seed}/import.log",
    wildcard_constraints:
        method=names(run.method for run in RUNS if run.stage == "import"),
    retries: retries(1)
    conda:
        "../envs/irsde.yaml"
    threads: CORES_PER_JOB
    resources:
        attempt=attempt_number,
    params:
        attempt=ATTEMPT,
        failures=failures_in("logs/{profile}/{task}/{method}/seed{seed}/import.log"),
        settings=settings_hash,
        weights=lambda wildcards: weights_of(wildcards.method).sha256,
    shell:
        "{params.attempt} {resources.attempt} {log:q} irsde weights import {wildcards.method:q} --overwrite "
        "--profile {wildcards.profile:q}"


rule fetch_weights:
    output:
        "data/weights/{file}",
    log:
        "logs/weights/{file}.log",
    wildcard_constraints:
        file=names(weights_file(run.method).name for run in RUNS if run.stage == "import"),
    retries: retries(1)
    conda:
        "../envs/irsde.yaml"
    threads: CORES_PER_JOB
    resources:
        attempt=attempt_number,
    params:
        attempt=ATTEMPT,
        name=lambda wildcards: wildcards.file.rpartition(".")[0],
    shell:
        "{params.attempt} {resources.attempt} {log:q} irsde weights fetch {params.name:q}"
