rule report:
    input:
        finished_evaluations,
        [f"{folder}/summary.json" for folder in outside_evaluations(PROFILE.name)],
        expand("reports/degradations/{task}.png", task=PROFILE.tasks),
    output:
        tables=report("reports/tables.md", caption="../report/tables.rst", category="Tables"),
        latex="reports/tables.tex",
        values="reports/tables.csv",
        page="reports/index.html",
        cost="reports/cost.md",
        metrics="reports/metrics.json",
        training="reports/training.csv",
        provenance="reports/provenance.json",
        checksums="reports/SHA256SUMS",
        figures=report(
            directory("reports/figures"),
            patterns=["{name}.png"],
            caption="../report/figures.rst",
            category="Figures",
        ),
    log:
        f"logs/{PROFILE.name}/report.log",
    retries: retries(1)
    conda:
        "../envs/irsde.yaml"
    threads: 2 * CORES_PER_JOB
    resources:
        attempt=attempt_number,
    params:
        attempt=ATTEMPT,
        profile=PROFILE.name,
        caption=PROFILE.caption,
        code=current("report"),
    shell:
        "{params.attempt} {resources.attempt} {log:q} irsde report --profile {params.profile:q}"
        " --processes {threads}"


rule degradations:
    input:
        "data/photographs-test/dataset.json",
    output:
        report(
            expand("reports/degradations/{task}.png", task=PROFILE.tasks),
            caption="../report/degradations.rst",
            category="Degradations",
        ),
    log:
        f"logs/{PROFILE.name}/degradations.log",
    retries: retries(1)
    conda:
        "../envs/irsde.yaml"
    threads: CORES_PER_JOB
    resources:
        attempt=attempt_number,
    params:
        attempt=ATTEMPT,
        profile=PROFILE.name,
        code=current("figures"),
    shell:
        "{params.attempt} {resources.attempt} {log:q} irsde data figures --profile {params.profile:q}"
