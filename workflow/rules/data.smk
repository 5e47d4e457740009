rule prepare:
    output:
        train=f"data/prepared/{{profile}}/{{task}}/{PROFILE.data.train}/dataset.json",
        validation=f"data/prepared/{{profile}}/{{task}}/{PROFILE.data.validation}/dataset.json",
        test=f"data/prepared/{{profile}}/{{task}}/{PROFILE.data.test}/dataset.json",
    log:
        "logs/{profile}/{task}/prepare.log",
    conda:
        "../envs/irsde.yaml"
    threads: CORES_PER_JOB
    params:
        settings=digest_json(PROFILE.data.model_dump(mode="json")),
        code=code_hash("prepare"),
    shell:
        "irsde data prepare --profile {wildcards.profile} --task {wildcards.task} > {log} 2>&1"
