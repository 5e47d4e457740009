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
        method=names(run.method for run in RUNS if run.is_trained),
    priority: 1
    retries: retries(3)
    conda:
        "../envs/irsde.yaml"
    threads: training_threads
    resources:
        gpu=training_gpus,
        mem_mb=training_memory,
    params:
        settings=settings_hash,
        code=current("train"),
    shell:
        "{ATTEMPT} {log:q} irsde train --overwrite --profile {wildcards.profile:q} --task {wildcards.task:q} "
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
        method=names(run.method for run in RUNS if not run.is_trained),
    retries: retries(1)
    conda:
        "../envs/irsde.yaml"
    threads: CORES_PER_JOB
    params:
        settings=settings_hash,
        code=current("tune"),
    shell:
        "{ATTEMPT} {log:q} irsde train --overwrite --profile {wildcards.profile:q} --task {wildcards.task:q} "
        "--method {wildcards.method:q} --seed {wildcards.seed:q}"
