# Fourier decomposition over the number axis: module logits, single examples, embeddings.


RESIDUE_PROBE_KEYS = (
    "seed",
    "probe_moduli",
    "probe_shuffles",
    "probe_folds",
    "probe_penalties",
    "probe_scaling",
    "probe_examples",
)


rule lens:
    input:
        captures=run_captures("json"),
        stores=lambda wildcards: stored(*run_captures("zarr")(wildcards)),
    output:
        accuracy=paths.run("{run}", "lens.parquet"),
        predictions=paths.run("{run}", "predictions.parquet"),
    log:
        "logs/runs/{run}/lens.log",
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=growing(sized("lens", "mem_mb")),
        runtime=sized("lens", "runtime"),
    params:
        code=digest("lens.py"),
    script:
        "../scripts/lens.py"


rule spectra:
    input:
        captures=run_captures("json"),
        stores=lambda wildcards: stored(*run_captures("zarr")(wildcards)),
        number_rows=paths.run("{run}", "number-rows.json"),
        rows=stored(paths.run("{run}", "number-rows.zarr")),
        example=paths.run("{run}", "example.parquet"),
    output:
        modules=paths.run("{run}", "spectra.parquet"),
        example=paths.run("{run}", "example-spectra.parquet"),
        waves=paths.run("{run}", "waves.parquet"),
        peaks=paths.run("{run}", "peaks.parquet"),
    log:
        "logs/runs/{run}/spectra.log",
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=growing(sized("spectra", "mem_mb")),
        runtime=sized("spectra", "runtime"),
    params:
        code=digest("spectra.py"),
        analysis={
            key: value
            for key, value in config["analysis"].items()
            if key in ("basis", "norm", "average", "seed", "summed")
            or key.startswith("null_")
        },
    script:
        "../scripts/spectra.py"


rule probes:
    input:
        captures=run_captures("json"),
        stores=lambda wildcards: stored(*run_captures("zarr")(wildcards)),
    output:
        probes=paths.run("{run}", "probes.parquet"),
    log:
        "logs/runs/{run}/probes.log",
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=growing(sized("probes", "mem_mb")),
        runtime=sized("probes", "runtime"),
    params:
        code=digest("probes.py"),
        analysis={
            key: value
            for key, value in config["analysis"].items()
            if key in RESIDUE_PROBE_KEYS
        },
    script:
        "../scripts/probes.py"


rule embedding:
    input:
        number_rows=number_rows_of,
        rows=lambda wildcards: stored(
            number_rows_of(wildcards).removesuffix(".json") + ".zarr"
        ),
    output:
        spectrum=paths.embedding("{name}", "spectrum.parquet"),
        clusters=paths.embedding("{name}", "clusters.parquet"),
        probes=paths.embedding("{name}", "probes.parquet"),
    log:
        "logs/embeddings/{name}/embedding.log",
    wildcard_constraints:
        name=alternatives([*config["embeddings"], *INSTANCES]),
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=growing(sized("embedding", "mem_mb")),
        runtime=sized("embedding", "runtime"),
    params:
        code=digest("embedding.py"),
        analysis={
            key: value
            for key, value in config["analysis"].items()
            if key in ("basis", "clusters", "perplexity", "seed")
            or key in RESIDUE_PROBE_KEYS
            or key.startswith("null_")
        },
    script:
        "../scripts/embedding.py"
