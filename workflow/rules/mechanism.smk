# How the model adds: phases turned, bands exchanged, heads and neurons named, helices fitted, progress followed.


rule steer:
    input:
        checkpoint=paths.run("{run}", "checkpoint.json"),
        weights=checkpoint_of,
        dataset=prompts_of,
    output:
        manifest=paths.run("{run}", "mechanism/steering/outcomes.json"),
        store=directory(paths.run("{run}", "mechanism/steering/outcomes.zarr")),
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
        probes=(
            {key: config["analysis"][f"probe_{key}"] for key in ("folds", "penalties")}
            if config["interventions"]["probe_planes"]
            else None
        ),
    script:
        "../scripts/steer.py"


rule exchange:
    input:
        checkpoint=paths.run("{run}", "checkpoint.json"),
        weights=checkpoint_of,
        dataset=prompts_of,
    output:
        manifest=paths.run("{run}", "mechanism/exchange/outcomes.json"),
        store=directory(paths.run("{run}", "mechanism/exchange/outcomes.zarr")),
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


# Progress measures: when the key periods appear in training, at the epochs whose weights a run keeps.


rule progress:
    input:
        kept=paths.run("{run}", "kept.json"),
        weights=lambda wildcards: stored(paths.run(wildcards.run, "kept")),
        dataset=lambda wildcards: paths.dataset(run_of(wildcards)["task"]),
    output:
        losses=paths.run("{run}", "progress.parquet"),
        spectra=paths.run("{run}", "progress-spectra.parquet"),
    log:
        "logs/runs/{run}/progress.log",
    wildcard_constraints:
        run=alternatives(KEEPING),
    conda:
        "../../envs/torch.yaml"
    resources:
        gpu=sized("progress", "gpu"),
        gpu_mem_mb=sized("progress", "gpu_mem_mb"),
        mem_mb=growing(sized("progress", "mem_mb")),
        runtime=sized("progress", "runtime"),
    params:
        code=digest("progress.py"),
        numbers=number_params,
        epochs=lambda wildcards: sorted(run_of(wildcards)["keep_checkpoints"]),
        split=CAPTURE_SPLIT,
        batch_size=config["capture"]["batch_size"],
        analysis={
            key: value
            for key, value in config["analysis"].items()
            if key in ("basis", "norm", "average", "null_window", "seed")
            or key.startswith("progress_")
        },
    script:
        "../scripts/progress.py"
