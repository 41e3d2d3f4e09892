"""What attention and MLP outputs add to the circles that probes read at named positions."""

import pandas as pd
from fourier_addition.analysis.contributions import contributions
from fourier_addition.capture.dataset import open_capture
from fourier_addition.files.parquet import write_parquet
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.pipeline.provenance import directory_of

if "snakemake" not in globals():
    snakemake = mock_snakemake("contributions", run="mini.finetuned.seed0")

with job(snakemake):
    analysis = snakemake.params.analysis
    table = contributions(
        open_capture([directory_of(snakemake.input.capture, ".zarr")]),
        pd.read_parquet(snakemake.input.probes),
        folds=analysis["probe_folds"],
        seed=analysis["seed"],
        examples=analysis["probe_examples"],
        held_out=analysis["probe_held_out"],
        scaling=analysis["probe_scaling"],
    )
    write_parquet(table, snakemake.output.contributions)
