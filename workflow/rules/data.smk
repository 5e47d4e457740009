# Nodes of a cluster often reach no network, so this runs where Snakemake does.
localrules:
    fetch,


rule fetch:
    output:
        card=update("data/{dataset}/dataset.json"),  # not deleted before a rerun
    log:
        "logs/data/{dataset}.log",
    wildcard_constraints:
        dataset=names([*datasets(PROFILE), "photographs-test"]),
    conda:
        "../envs/irsde.yaml"
    threads: CORES_PER_JOB
    resources:
        attempt=attempt_number,
    params:
        attempt=ATTEMPT,
        failures=failures_in("logs/data/{dataset}.log"),
        own=lambda wildcards: own_contents(wildcards.dataset),
    shell:
        "{params.attempt} {resources.attempt} {log:q} irsde data fetch {wildcards.dataset:q}"


rule prepare:
    input:
        needed_cards,
    output:
        card="data/prepared/{profile}/{task}/{dataset}/dataset.json",
    log:
        "logs/{profile}/{task}/prepare-{dataset}.log",
    retries: retries(1)
    conda:
        "../envs/irsde.yaml"
    threads: CORES_PER_JOB
    resources:
        attempt=attempt_number,
    params:
        attempt=ATTEMPT,
        settings=preparation_settings,
        code=current("prepare"),
    shell:
        "{params.attempt} {resources.attempt} {log:q} irsde data prepare --profile {wildcards.profile:q} --task {wildcards.task:q} "
        "--dataset {wildcards.dataset:q}"


rule check:
    input:
        all_cards,
    output:
        leaks="data/leakage/{profile}/{task}.json",
    log:
        "logs/{profile}/{task}/check.log",
    retries: retries(1)
    conda:
        "../envs/irsde.yaml"
    threads: CORES_PER_JOB
    resources:
        attempt=attempt_number,
    params:
        attempt=ATTEMPT,
        settings=preparation_settings,
        code=current("check"),
    shell:
        "{params.attempt} {resources.attempt} {log:q} irsde data check --profile {wildcards.profile:q} --task {wildcards.task:q}"
