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
