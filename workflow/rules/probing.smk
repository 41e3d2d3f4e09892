# Circles at named positions: operands and answer digits in the residual stream, and what writes them.


rule capture_positions:
    input:
        checkpoint=paths.run("{run}", "checkpoint.json"),
        weights=checkpoint_of,
        dataset=prompts_of,
    output:
        manifest=paths.run("{run}", "positions.json"),
        store=directory(paths.run("{run}", "positions.zarr")),
    log:
        "logs/runs/{run}/capture-positions.log",
    conda:
        "../../envs/torch.yaml"
    resources:
        gpu=sized("capture_positions", "gpu"),
        gpu_mem_mb=sized("capture_positions", "gpu_mem_mb"),
        mem_mb=growing(sized("capture_positions", "mem_mb")),
        runtime=sized("capture_positions", "runtime"),
    params:
        code=digest("capture_positions.py"),
        weights=weights_of,
        task=lambda wildcards: example_keys(run_of(wildcards)["task"]),
        task_name=lambda wildcards: run_of(wildcards)["task"],
        capture={
            key: value for key, value in config["capture"].items() if key != "shard"
        },
    script:
        "../scripts/capture_positions.py"


rule position_probes:
    input:
        capture=paths.run("{run}", "positions.json"),
        stores=stored(paths.run("{run}", "positions.zarr")),
    output:
        probes=paths.run("{run}", "position-probes.parquet"),
    log:
        "logs/runs/{run}/position-probes.log",
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=growing(sized("position_probes", "mem_mb")),
        runtime=sized("position_probes", "runtime"),
    params:
        code=digest("position_probes.py"),
        analysis={
            key: value
            for key, value in config["analysis"].items()
            if key == "seed" or (key.startswith("probe_") and key != "probe_moduli")
        },
    script:
        "../scripts/position_probes.py"


rule contributions:
    input:
        capture=paths.run("{run}", "positions.json"),
        stores=stored(paths.run("{run}", "positions.zarr")),
        probes=paths.run("{run}", "position-probes.parquet"),
    output:
        contributions=paths.run("{run}", "contributions.parquet"),
    log:
        "logs/runs/{run}/contributions.log",
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=growing(sized("contributions", "mem_mb")),
        runtime=sized("contributions", "runtime"),
    params:
        code=digest("contributions.py"),
        analysis={
            key: config["analysis"][key]
            for key in (
                "seed",
                "probe_folds",
                "probe_examples",
                "probe_held_out",
                "probe_scaling",
            )
        },
    script:
        "../scripts/contributions.py"
