rule evaluate:
    input:
        card="results/{profile}/{task}/{method}/seed{seed}/run.json",
        pairs="data/prepared/{profile}/{task}/{dataset}/dataset.json",
        leaks="data/leakage/{profile}/{task}.json",
    output:
        images="results/{profile}/{task}/{method}/seed{seed}/evaluations/{dataset}/{evaluation}/per_image.csv",
        summary="results/{profile}/{task}/{method}/seed{seed}/evaluations/{dataset}/{evaluation}/summary.json",
        protocols="results/{profile}/{task}/{method}/seed{seed}/evaluations/{dataset}/{evaluation}/protocols.csv",
        cost="results/{profile}/{task}/{method}/seed{seed}/evaluations/{dataset}/{evaluation}/cost.json",
    log:
        "logs/{profile}/{task}/{method}/seed{seed}/evaluate-{dataset}-{evaluation}.log",
    conda:
        "../envs/irsde.yaml"
    threads: CORES_PER_JOB * PROFILE.evaluation.threads * PROFILE.evaluation.processes
    resources:
        gpu=gpu_of,
        mem_mb=PROFILE.memory.evaluation * PROFILE.evaluation.processes,
    params:
        arguments=evaluation_arguments,
        settings=evaluation_settings,
        lpips=perceptual_key(),
        inception=str(inception_weights()),
        code=code_hash("evaluate"),
    shell:
        "irsde evaluate {params.arguments} > {log:q} 2>&1"
