# How the model adds: phases turned, bands exchanged, heads and neurons named, helices fitted, progress followed.


# Helices: how much of residual states they explain, and what the model does with them.


rule helix:
    input:
        captures=run_captures("json"),
        stores=lambda wildcards: stored(*run_captures("zarr")(wildcards)),
    output:
        helix=paths.run("{run}", "helix.parquet"),
    log:
        "logs/runs/{run}/helix.log",
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=growing(sized("helix", "mem_mb")),
        runtime=sized("helix", "runtime"),
    params:
        code=digest("helix.py"),
        analysis={
            key: config["analysis"][key]
            for key in ("helix_periods", "helix_shuffles", "helix_folds", "seed")
        },
    script:
        "../scripts/helix.py"


rule helix_patch:
    input:
        checkpoint=paths.run("{run}", "checkpoint.json"),
        weights=checkpoint_of,
        dataset=prompts_of,
        captures=run_captures("json"),
        stores=lambda wildcards: stored(*run_captures("zarr")(wildcards)),
    output:
        patches=paths.run("{run}", "helix-patches.parquet"),
    log:
        "logs/runs/{run}/helix-patch.log",
    conda:
        "../../envs/torch.yaml"
    resources:
        gpu=sized("helix_patch", "gpu"),
        gpu_mem_mb=sized("helix_patch", "gpu_mem_mb"),
        mem_mb=growing(sized("helix_patch", "mem_mb")),
        runtime=sized("helix_patch", "runtime"),
    params:
        code=digest("helix_patch.py"),
        weights=weights_of,
        numbers=number_params,
        batch_size=config["capture"]["batch_size"],
        analysis={
            key: value
            for key, value in config["analysis"].items()
            if key == "seed" or key.startswith("helix_")
        },
    script:
        "../scripts/helix_patch.py"
