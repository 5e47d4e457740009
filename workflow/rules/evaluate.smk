rule evaluate:
    input:
        evaluation_inputs,
    output:
        images=update(
            "results/{profile}/{task}/{method}/seed{seed}/evaluations/{dataset}/{evaluation}/per_image.csv"
        ),
        summary=update(
            "results/{profile}/{task}/{method}/seed{seed}/evaluations/{dataset}/{evaluation}/summary.json"
        ),
        protocols=update(
            "results/{profile}/{task}/{method}/seed{seed}/evaluations/{dataset}/{evaluation}/protocols.csv"
        ),
        cost=update(
            "results/{profile}/{task}/{method}/seed{seed}/evaluations/{dataset}/{evaluation}/cost.json"
        ),
    log:
        "logs/{profile}/{task}/{method}/seed{seed}/evaluate-{dataset}-{evaluation}.log",
    retries: retries(2)
    conda:
        "../envs/irsde.yaml"
    threads: evaluation_threads
    resources:
        gpu=evaluation_gpus,
        mem_mb=evaluation_memory,
    params:
        arguments=evaluation_arguments,
        settings=evaluation_settings,
        weights=metric_weights(),
        code=current("evaluate"),
    shell:
        "{ATTEMPT} {log:q} irsde evaluate {params.arguments}"
