EVALUATION = RUN + "evaluations/{dataset}/{sampler}-{nfe}/"


def evaluation_settings(wildcards):
    """Hash of the settings of an evaluation."""
    resolved = PROFILE.for_method(wildcards.method).evaluation
    return digest_json(resolved.model_dump(mode="json"))


rule evaluate:
    input:
        card=RUN + "run.json",
        pairs=PAIRS + "{dataset}/dataset.json",
    output:
        images=EVALUATION + "per_image.csv",
        summary=EVALUATION + "summary.json",
        cost=EVALUATION + "cost.json",
    log:
        "logs/{profile}/{task}/{method}/seed{seed}/evaluate-{dataset}-{sampler}-{nfe}.log",
    params:
        arguments=lambda wildcards: Evaluation(
            Run(wildcards.profile, wildcards.task, wildcards.method, int(wildcards.seed)),
            wildcards.dataset,
            wildcards.sampler,
            int(wildcards.nfe),
        ).arguments,
        settings=evaluation_settings,
        code=code_hash("evaluate"),
    threads: CORES_PER_JOB * PROFILE.evaluation.threads
    resources:
        gpu=GPU,
        mem_mb=1500,
    shell:
        "irsde evaluate {params.arguments} > {log} 2>&1"
