rule evaluate:
    input:
        evaluation_inputs,
    output:
        done="results/{profile}/{task}/{method}/seed{seed}/evaluated.json",
    log:
        "logs/{profile}/{task}/{method}/seed{seed}/evaluate.log",
    retries: retries(2)
    conda:
        "../envs/irsde.yaml"
    threads: evaluation_threads
    resources:
        **of_site(evaluation_gpus),
        attempt=attempt_number,
        gpu=evaluation_gpus,
        mem_mb=evaluation_memory,
    params:
        attempt=ATTEMPT,
        arguments=evaluation_arguments,
        settings=evaluation_settings,
        weights=metric_weights(),
        code=current("evaluate"),
    shell:
        "{params.attempt} {resources.attempt} {log:q} irsde evaluate {params.arguments} --done {output.done:q}"
