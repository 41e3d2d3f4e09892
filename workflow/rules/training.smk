# Pre-training of miniature models and training of every run.


# What needs no pre-trained weights starts from this, and need not wait for the pre-training.
rule blank_model:
    output:
        manifest=paths.blank("{model}") + ".json",
        directory=directory(paths.blank("{model}")),
    log:
        "logs/models/{model}.blank.log",
    wildcard_constraints:
        model=alternatives(PRETRAINED_MODELS),
    # The longest chain of jobs starts here.
    priority: 1
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=growing(sized("blank_model", "mem_mb")),
        runtime=sized("blank_model", "runtime"),
    params:
        code=digest("blank_model.py"),
        architecture=lambda wildcards: config["models"][wildcards.model]["architecture"],
        numbers=lambda wildcards: pretraining_of(wildcards)["numbers"],
    script:
        "../scripts/blank_model.py"


rule pretrain_model:
    input:
        blank=paths.blank("{model}") + ".json",
        weights=stored(paths.blank("{model}")),
    output:
        manifest=paths.model("{model}") + ".json",
        directory=directory(paths.model("{model}")),
        history=paths.model("{model}") + ".history.parquet",
    log:
        "logs/models/{model}.log",
    wildcard_constraints:
        model=alternatives(PRETRAINED_MODELS),
    # The longest chain of jobs starts here.
    priority: 1
    conda:
        "../../envs/torch.yaml"
    resources:
        gpu=sized("pretrain_model", "gpu"),
        gpu_mem_mb=sized("pretrain_model", "gpu_mem_mb"),
        mem_mb=growing(sized("pretrain_model", "mem_mb")),
        runtime=sized("pretrain_model", "runtime"),
    params:
        code=digest("pretrain_model.py"),
        pretraining=pretraining_of,
    script:
        "../scripts/pretrain_model.py"


rule train:
    input:
        unpack(lambda wildcards: training_inputs(run_of(wildcards))),
    output:
        manifest=paths.run("{run}", "checkpoint.json"),
        directory=directory(paths.run("{run}", "checkpoint")),
        history=paths.run("{run}", "history.parquet"),
        accuracy=paths.run("{run}", "accuracy.json"),
    log:
        "logs/runs/{run}/train.log",
    wildcard_constraints:
        run=alternatives(
            name
            for name in TRAINED
            if INSTANCES[name][0] not in STACKED and name not in KEEPING
        ),
    conda:
        "../../envs/torch.yaml"
    resources:
        gpu=lambda wildcards: run_of(wildcards)["processes"],
        gpu_mem_mb=sized("train", "gpu_mem_mb"),
        mem_mb=growing(sized("train", "mem_mb")),
        runtime=sized("train", "runtime"),
    params:
        code=digest("train.py"),
        run=lambda wildcards: training_keys(run_of(wildcards)),
        names=lambda wildcards: [wildcards.run],
        seeds=lambda wildcards: [INSTANCES[wildcards.run][1]],
        numbers=task_numbers,
        answer=lambda wildcards: config["tasks"][run_of(wildcards)["task"]]["answer"],
    script:
        "../scripts/train.py"


# Runs that keep their weights at chosen epochs: the same job, with the kept weights beside the checkpoint.
use rule train as train_keeping with:
    output:
        manifest=paths.run("{run}", "checkpoint.json"),
        directory=directory(paths.run("{run}", "checkpoint")),
        history=paths.run("{run}", "history.parquet"),
        accuracy=paths.run("{run}", "accuracy.json"),
        kept_manifest=paths.run("{run}", "kept.json"),
        kept=directory(paths.run("{run}", "kept")),
    wildcard_constraints:
        run=alternatives(name for name in KEEPING if INSTANCES[name][0] not in STACKED),


# Runs whose seeds train side by side: one job, the same files.
for stacked in STACKED:

    rule:
        name:
            f"train_stacked_{paths.slug(stacked).replace('-', '_')}"
        input:
            **training_inputs(config["runs"][stacked]),
        output:
            **kept_by_every_seed(stacked),
            manifest=of_every_seed(stacked, "checkpoint.json"),
            directory=[directory(path) for path in of_every_seed(stacked, "checkpoint")],
            history=of_every_seed(stacked, "history.parquet"),
            accuracy=of_every_seed(stacked, "accuracy.json"),
        log:
            f"logs/runs/{stacked}.train.log",
        conda:
            "../../envs/torch.yaml"
        resources:
            gpu=1,
            gpu_mem_mb=stacked_size(stacked, "gpu_mem_mb"),
            mem_mb=growing(stacked_size(stacked, "mem_mb")),
            runtime=stacked_size(stacked, "runtime"),
        params:
            code=digest("train.py"),
            run=training_keys(config["runs"][stacked]),
            names=[instance(stacked, seed) for seed in config["runs"][stacked]["seeds"]],
            seeds=config["runs"][stacked]["seeds"],
            numbers=task_of(config, config["runs"][stacked]["task"]).numbers,
            answer=config["tasks"][config["runs"][stacked]["task"]]["answer"],
        script:
            "../scripts/train.py"
