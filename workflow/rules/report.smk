rule report:
    input:
        [f"{e.folder}/{name}" for e in EVALUATIONS for name in ("summary.json", "per_image.csv")],
        expand("reports/degradations/{task}.png", task=PROFILE.tasks),
    output:
        tables=report("reports/tables.md", caption="../report/tables.rst", category="Tables"),
        cost="reports/cost.md",
        values="reports/tables.csv",
        metrics="reports/metrics.json",
        training="reports/training.csv",
        figures=report(
            [f"reports/figures/{name}.png" for name in figure_names(PROFILE)],
            caption="../report/comparison.rst",
            category="Figures",
        ),
    log:
        f"logs/{PROFILE.name}/report.log",
    conda:
        "../envs/irsde.yaml"
    threads: CORES_PER_JOB
    params:
        profile=PROFILE.name,
        caption=PROFILE.caption,
        code=code_hash("report"),
    shell:
        "irsde report --profile {params.profile} > {log} 2>&1"


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
    conda:
        "../envs/irsde.yaml"
    threads: CORES_PER_JOB
    params:
        profile=PROFILE.name,
        code=code_hash("figures"),
    shell:
        "irsde data figures --profile {params.profile} > {log} 2>&1"
