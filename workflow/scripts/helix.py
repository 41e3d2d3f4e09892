"""Helices of the operands and the answer in a run's residual stream, layer by layer."""

import pandas as pd
from fourier_addition.analysis.helix import HelixSettings, helix_fits
from fourier_addition.capture.dataset import open_capture
from fourier_addition.files.parquet import write_parquet
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.pipeline.provenance import directory_of

if "snakemake" not in globals():
    snakemake = mock_snakemake("helix", run="mini.finetuned.seed0")

with job(snakemake):
    capture = open_capture([directory_of(path, ".zarr") for path in snakemake.input.captures])
    settings = HelixSettings.of(snakemake.params.analysis)
    variables = {name: capture[name].values for name in ("a", "b", "answer")}
    residual = capture["residual"].transpose("state", "example", "feature")
    # One state in memory at a time.
    tables = [
        helix_fits(residual.isel(state=state).values, variables, capture["template"].values, settings).assign(
            layer=state
        )
        for state in range(residual.sizes["state"])
    ]
    write_parquet(pd.concat(tables, ignore_index=True), snakemake.output.helix)
