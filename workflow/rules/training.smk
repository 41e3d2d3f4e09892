# Pre-training of miniature models and training of every run.


rule pretrain_model:
    output:
        directory=directory(layout.model("{model}")),
        manifest=layout.model("{model}") + ".json",
        history=layout.model("{model}") + ".history.parquet",
    log:
        "logs/models/{model}.log",
    wildcard_constraints:
        model=alternatives(PRETRAINED_MODELS),
    conda:
        "../../envs/torch.yaml"
    threads: 2
    resources:
        gpu=1,
        mem_mb=4000,
        runtime=120,
    params:
        code=digest("pretrain_model.py"),
        architecture=lambda wildcards: config["models"][wildcards.model]["architecture"],
        pretraining=lambda wildcards: config["pretraining"][
            config["models"][wildcards.model]["sources"][0]["pretrain"]
        ],
    script:
        "../scripts/pretrain_model.py"


rule train:
    input:
        model=lambda wildcards: layout.model(run_of(wildcards)["model"]) + ".json",
        dataset=lambda wildcards: layout.dataset(run_of(wildcards)["task"]),
    output:
        directory=directory(layout.run("{run}", "checkpoint")),
        manifest=layout.run("{run}", "checkpoint.json"),
        history=layout.run("{run}", "history.parquet"),
        accuracy=layout.run("{run}", "accuracy.json"),
    log:
        "logs/runs/{run}/train.log",
    conda:
        "../../envs/torch.yaml"
    resources:
        gpu=1,
        mem_mb=4000,
        runtime=600,
    params:
        code=digest("train.py"),
        # What a figure calls a run, and its other seeds, do not change its weights.
        run=lambda wildcards: {
            key: value
            for key, value in run_of(wildcards).items()
            if key not in ("label", "seeds")
        },
        seed=lambda wildcards: INSTANCES[wildcards.run][1],
        numbers=task_numbers,
        answer=lambda wildcards: config["tasks"][run_of(wildcards)["task"]]["answer"],
    script:
        "../scripts/train.py"
