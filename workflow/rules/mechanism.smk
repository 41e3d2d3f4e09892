# How the model adds: phases turned, bands exchanged, heads and neurons named, helices fitted, progress followed.


rule steer:
    input:
        checkpoint=paths.run("{run}", "checkpoint.json"),
        weights=checkpoint_of,
        dataset=prompts_of,
    output:
        store=directory(paths.run("{run}", "mechanism/steering/outcomes.zarr")),
        manifest=paths.run("{run}", "mechanism/steering/outcomes.json"),
        doses=paths.run("{run}", "mechanism/steering/doses.parquet"),
        places=paths.run("{run}", "mechanism/steering/places.parquet"),
        moves=paths.run("{run}", "mechanism/steering/moves.parquet"),
    log:
        "logs/runs/{run}/steer.log",
    conda:
        "../../envs/torch.yaml"
    resources:
        gpu=sized("steer", "gpu"),
        gpu_mem_mb=sized("steer", "gpu_mem_mb"),
        mem_mb=growing(sized("steer", "mem_mb")),
        runtime=sized("steer", "runtime"),
    params:
        code=digest("steer.py"),
        weights=weights_of,
        numbers=number_params,
        seed=config["analysis"]["seed"],
        settings=config["interventions"],
    script:
        "../scripts/steer.py"


rule exchange:
    input:
        checkpoint=paths.run("{run}", "checkpoint.json"),
        weights=checkpoint_of,
        dataset=prompts_of,
    output:
        store=directory(paths.run("{run}", "mechanism/exchange/outcomes.zarr")),
        manifest=paths.run("{run}", "mechanism/exchange/outcomes.json"),
        table=paths.run("{run}", "mechanism/exchange/outcomes.parquet"),
    log:
        "logs/runs/{run}/exchange.log",
    conda:
        "../../envs/torch.yaml"
    resources:
        gpu=sized("exchange", "gpu"),
        gpu_mem_mb=sized("exchange", "gpu_mem_mb"),
        mem_mb=growing(sized("exchange", "mem_mb")),
        runtime=sized("exchange", "runtime"),
    params:
        code=digest("exchange.py"),
        weights=weights_of,
        numbers=number_params,
        tau=run_tau,
        cut=config["analysis"]["cut"],
        seed=config["analysis"]["seed"],
        settings={
            key: value
            for key, value in config["interventions"].items()
            if key != "deltas"
        },
    script:
        "../scripts/exchange.py"


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
