# Activations at the reading position, and the number rows of each model's embeddings.


rule capture:
    input:
        checkpoint=layout.run("{run}", "checkpoint.json"),
        weights=checkpoint_of,
        dataset=prompts_of,
    output:
        store=directory(
            layout.run("{run}", f"activations/{CAPTURE_SPLIT}/{{shard}}.zarr")
        ),
        manifest=layout.run("{run}", f"activations/{CAPTURE_SPLIT}/{{shard}}.json"),
    log:
        "logs/runs/{run}/capture-{shard}.log",
    conda:
        "../../envs/torch.yaml"
    resources:
        gpu=sized("capture", "gpu"),
        gpu_mem_mb=sized("capture", "gpu_mem_mb"),
        mem_mb=growing(sized("capture", "mem_mb")),
        runtime=sized("capture", "runtime"),
    params:
        code=digest("capture.py"),
        weights=weights_of,
        numbers=number_params,
        capture=config["capture"],
        # Solved examples are the same before all prompts of a prompted run: they are passed once.
        shared_prefix=lambda wildcards: int(wildcards.run in PROMPTED),
        examples=lambda wildcards: layout.shards(config, run_of(wildcards)["task"])[
            int(wildcards.shard)
        ],
    script:
        "../scripts/capture.py"


rule readout_run:
    input:
        unpack(shots_of),
        checkpoint=layout.run("{run}", "checkpoint.json"),
        weights=checkpoint_of,
    output:
        store=directory(layout.run("{run}", "readout.zarr")),
        manifest=layout.run("{run}", "readout.json"),
        example=layout.run("{run}", "example.parquet"),
    log:
        "logs/runs/{run}/readout.log",
    conda:
        "../../envs/torch.yaml"
    resources:
        gpu=sized("readout_run", "gpu"),
        gpu_mem_mb=sized("readout_run", "gpu_mem_mb"),
        mem_mb=growing(sized("readout_run", "mem_mb")),
        runtime=sized("readout_run", "runtime"),
    params:
        code=digest("readout_run.py"),
        weights=weights_of,
        numbers=number_params,
        task=lambda wildcards: config["tasks"][run_of(wildcards)["task"]],
        task_name=lambda wildcards: run_of(wildcards)["task"],
        norm=config["analysis"]["norm"],
    script:
        "../scripts/readout_run.py"


rule readout_model:
    input:
        model=layout.model("{model}") + ".json",
        weights=stored(layout.model("{model}")),
    output:
        store=directory(layout.embedding("{model}", "readout.zarr")),
        manifest=layout.embedding("{model}", "readout.json"),
    log:
        "logs/embeddings/{model}/readout.log",
    conda:
        "../../envs/torch.yaml"
    resources:
        gpu=sized("readout_model", "gpu"),
        gpu_mem_mb=sized("readout_model", "gpu_mem_mb"),
        mem_mb=growing(sized("readout_model", "mem_mb")),
        runtime=sized("readout_model", "runtime"),
    params:
        code=digest("readout_model.py"),
        weights=weights_of,
        numbers=lambda wildcards: {
            key: config["embeddings"][wildcards.model][key]
            for key in ("numbers", "answer")
        },
    script:
        "../scripts/readout_model.py"
