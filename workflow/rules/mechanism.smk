# How the model adds: phases turned, bands exchanged, heads and neurons named, helices fitted, progress followed.


# Heads and neurons: what each writes, what neurons follow, and what is lost without them.
rule units:
    input:
        checkpoint=paths.run("{run}", "checkpoint.json"),
        weights=checkpoint_of,
        dataset=prompts_of,
    output:
        components=paths.run("{run}", "units/components.parquet"),
        units=paths.run("{run}", "units/units.parquet"),
        ranks=paths.run("{run}", "units/ranks.parquet"),
        activations=paths.run("{run}", "units/activations.parquet"),
        knockouts=paths.run("{run}", "units/knockouts.parquet"),
    log:
        "logs/runs/{run}/units.log",
    conda:
        "../../envs/torch.yaml"
    resources:
        gpu=sized("units", "gpu"),
        gpu_mem_mb=sized("units", "gpu_mem_mb"),
        mem_mb=growing(sized("units", "mem_mb")),
        runtime=sized("units", "runtime"),
    params:
        code=digest("units.py"),
        weights=weights_of,
        numbers=number_params,
        tau=run_tau,
        shared_prefix=lambda wildcards: int(wildcards.run in PROMPTED),
        settings=config["units"],
        analysis={
            key: config["analysis"][key]
            for key in ("basis", "cut", "norm", "null_level", "seed")
        },
    script:
        "../scripts/units.py"
