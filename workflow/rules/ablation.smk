# Causal filters: table 1, controls, sweeps, and the readings of the paper's open points.
rule ablate:
    input:
        checkpoint=paths.run("{run}", "checkpoint.json"),
        weights=checkpoint_of,
        dataset=prompts_of,
    output:
        manifest=paths.run("{run}", "ablation/{range}/outcomes.json"),
        store=directory(paths.run("{run}", "ablation/{range}/outcomes.zarr")),
        summary=paths.run("{run}", "ablation/{range}/summary.parquet"),
        predictions=paths.run("{run}", "ablation/{range}/predictions.parquet"),
    log:
        "logs/runs/{run}/ablate-{range}.log",
    wildcard_constraints:
        range=alternatives(RANGES),
    conda:
        "../../envs/torch.yaml"
    resources:
        gpu=sized("ablate", "gpu"),
        gpu_mem_mb=sized("ablate", "gpu_mem_mb"),
        mem_mb=growing(sized("ablate", "mem_mb")),
        runtime=sized("ablate", "runtime"),
    params:
        code=digest("ablate.py"),
        weights=weights_of,
        numbers=number_params,
        tau=run_tau,
        range=lambda wildcards: RANGES[wildcards.range],
        settings={
            key: value
            for key, value in config["ablations"].items()
            if key not in ABLATION_STATISTICS
        },
        analysis={
            key: config["analysis"][key] for key in ("basis", "cut", "norm", "seed")
        },
    script:
        "../scripts/ablate.py"


if config["ablations"]["shard"]:

    ruleorder: join_ablation > ablate

    use rule ablate as ablate_shard with:
        output:
            manifest=paths.run("{run}", "ablation/{range}/shards/{shard}.json"),
            store=directory(paths.run("{run}", "ablation/{range}/shards/{shard}.zarr")),
        log:
            "logs/runs/{run}/ablate-{range}-{shard}.log",
        resources:
            gpu=sized("ablate_shard", "gpu"),
            gpu_mem_mb=sized("ablate_shard", "gpu_mem_mb"),
            mem_mb=growing(sized("ablate_shard", "mem_mb")),
            runtime=sized("ablate_shard", "runtime"),
        params:
            part=lambda wildcards: [int(wildcards.shard), ablation_shards(wildcards)],
            settings={
                key: value
                for key, value in config["ablations"].items()
                if key not in (*ABLATION_STATISTICS, "bootstrap")
            },

    rule join_ablation:
        input:
            shards=lambda wildcards: [
                paths.run(
                    wildcards.run, f"ablation/{wildcards.range}/shards/{shard}.json"
                )
                for shard in range(ablation_shards(wildcards))
            ],
            stores=lambda wildcards: stored(
                *(
                    paths.run(
                        wildcards.run,
                        f"ablation/{wildcards.range}/shards/{shard}.zarr",
                    )
                    for shard in range(ablation_shards(wildcards))
                )
            ),
            dataset=prompts_of,
        output:
            manifest=paths.run("{run}", "ablation/{range}/outcomes.json"),
            store=directory(paths.run("{run}", "ablation/{range}/outcomes.zarr")),
            summary=paths.run("{run}", "ablation/{range}/summary.parquet"),
            predictions=paths.run("{run}", "ablation/{range}/predictions.parquet"),
        log:
            "logs/runs/{run}/join-{range}.log",
        wildcard_constraints:
            range=alternatives(RANGES),
        conda:
            "../../envs/torch.yaml"
        resources:
            mem_mb=growing(sized("join_ablation", "mem_mb")),
            runtime=sized("join_ablation", "runtime"),
        params:
            code=digest("join_ablation.py"),
            range=lambda wildcards: RANGES[wildcards.range],
            split=config["ablations"]["split"],
            bootstrap=config["ablations"]["bootstrap"],
            seed=config["analysis"]["seed"],
        script:
            "../scripts/join_ablation.py"


rule sensitivity:
    input:
        checkpoint=paths.run("{run}", "checkpoint.json"),
        weights=checkpoint_of,
        dataset=lambda wildcards: paths.dataset(run_of(wildcards)["task"]),
    output:
        tables=paths.run("{run}", "ablation/readings.parquet"),
        conclusions=paths.run("{run}", "ablation/conclusions.parquet"),
    log:
        "logs/runs/{run}/sensitivity.log",
    conda:
        "../../envs/torch.yaml"
    resources:
        gpu=sized("sensitivity", "gpu"),
        gpu_mem_mb=sized("sensitivity", "gpu_mem_mb"),
        mem_mb=growing(sized("sensitivity", "mem_mb")),
        runtime=sized("sensitivity", "runtime"),
    params:
        code=digest("sensitivity.py"),
        weights=weights_of,
        task=lambda wildcards: example_keys(run_of(wildcards)["task"]),
        task_name=lambda wildcards: run_of(wildcards)["task"],
        tau=run_tau,
        seed=config["analysis"]["seed"],
        shots=shots_params,
        settings={
            key: config["ablations"][key]
            for key in (
                "split",
                "batch_size",
                "bootstrap",
                "unharmed",
                "harmed",
                "grid",
            )
        },
    script:
        "../scripts/sensitivity.py"
