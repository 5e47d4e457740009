PAIRS = "data/prepared/{profile}/{task}/"


rule prepare:
    output:
        train=PAIRS + PROFILE.data.train + "/dataset.json",
        validation=PAIRS + PROFILE.data.validation + "/dataset.json",
        test=PAIRS + PROFILE.data.test + "/dataset.json",
    log:
        "logs/{profile}/{task}/prepare.log",
    params:
        settings=digest_json(PROFILE.data.model_dump(mode="json")),
        code=code_hash("prepare"),
    threads: CORES_PER_JOB
    shell:
        "irsde data prepare --profile {wildcards.profile} --task {wildcards.task} > {log} 2>&1"
