"""Join the outcomes of an ablation's shards and summarise them, as one job would have."""

import pandas as pd
from fourier_addition.ablation.outcomes import read_outcomes, write_outcomes
from fourier_addition.ablation.statistics import summary_with_controls
from fourier_addition.ablation.study import study_predictions
from fourier_addition.files.manifests import write_manifest
from fourier_addition.files.parquet import write_parquet
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.pipeline.provenance import directory_of, provenance
from fourier_addition.tasks import in_digit_range, of_split

if "snakemake" not in globals():
    snakemake = mock_snakemake("join_ablation", run="mini.finetuned.seed0", range="all")

with job(snakemake) as log:
    params = snakemake.params
    examples = of_split(pd.read_parquet(snakemake.input.dataset), params.split)
    if params.range is not None:
        examples = examples[in_digit_range(examples, *params.range, snakemake.wildcards.range)]
    outcomes = read_outcomes([directory_of(path, ".zarr") for path in snakemake.input.shards], len(examples))
    log.info("%d shards, %d examples", len(snakemake.input.shards), len(examples))
    arrays = write_outcomes(outcomes, examples, snakemake.output.store)
    table = summary_with_controls(outcomes, seed=params.seed, resamples=params.bootstrap)
    write_parquet(table, snakemake.output.summary)
    write_parquet(study_predictions(outcomes, examples), snakemake.output.predictions)
    write_manifest(
        snakemake.output.manifest, snakemake.output.store, provenance=provenance(snakemake), arrays=arrays
    )
