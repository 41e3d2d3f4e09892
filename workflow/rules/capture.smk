# Activations at the reading position, and the number rows of each model's embeddings.


rule capture:
    input:
        checkpoint=paths.run("{run}", "checkpoint.json"),
        weights=checkpoint_of,
        dataset=prompts_of,
    output:
        manifest=paths.run("{run}", f"activations/{CAPTURE_SPLIT}/{{shard}}.json"),
        store=directory(
            paths.run("{run}", f"activations/{CAPTURE_SPLIT}/{{shard}}.zarr")
        ),
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
        capture={
            key: value
            for key, value in config["capture"].items()
            if not key.startswith("position_")
        },
        # Solved examples are the same before all prompts of a prompted run: they are passed once.
        shared_prefix=lambda wildcards: int(wildcards.run in PROMPTED),
        examples=lambda wildcards: shards.of_capture(
            config, run_of(wildcards)["task"]
        )[int(wildcards.shard)],
    script:
        "../scripts/capture.py"


rule number_rows_of_run:
    input:
        unpack(shots_of),
        checkpoint=paths.run("{run}", "checkpoint.json"),
        weights=checkpoint_of,
    output:
        manifest=paths.run("{run}", "number-rows.json"),
        store=directory(paths.run("{run}", "number-rows.zarr")),
        example=paths.run("{run}", "example.parquet"),
    log:
        "logs/runs/{run}/number-rows.log",
    conda:
        "../../envs/torch.yaml"
    resources:
        gpu=sized("number_rows_of_run", "gpu"),
        gpu_mem_mb=sized("number_rows_of_run", "gpu_mem_mb"),
        mem_mb=growing(sized("number_rows_of_run", "mem_mb")),
        runtime=sized("number_rows_of_run", "runtime"),
    params:
        code=digest("number_rows_of_run.py"),
        weights=weights_of,
        numbers=number_params,
        task=lambda wildcards: config["tasks"][run_of(wildcards)["task"]],
        task_name=lambda wildcards: run_of(wildcards)["task"],
        norm=config["analysis"]["norm"],
    script:
        "../scripts/number_rows_of_run.py"


rule number_rows_of_model:
    input:
        model=paths.model("{model}") + ".json",
        weights=stored(paths.model("{model}")),
    output:
        manifest=paths.embedding("{model}", "number-rows.json"),
        store=directory(paths.embedding("{model}", "number-rows.zarr")),
    log:
        "logs/embeddings/{model}/number-rows.log",
    conda:
        "../../envs/torch.yaml"
    resources:
        gpu=sized("number_rows_of_model", "gpu"),
        gpu_mem_mb=sized("number_rows_of_model", "gpu_mem_mb"),
        mem_mb=growing(sized("number_rows_of_model", "mem_mb")),
        runtime=sized("number_rows_of_model", "runtime"),
    params:
        code=digest("number_rows_of_model.py"),
        weights=weights_of,
        numbers=lambda wildcards: {
            key: config["embeddings"][wildcards.model][key]
            for key in ("numbers", "answer")
        },
    script:
        "../scripts/number_rows_of_model.py"
