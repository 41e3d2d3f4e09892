"""Probes of a run's residual stream for the answer modulo T, layer by layer."""

from fourier_addition.analysis.probes import layer_probes, probe_settings
from fourier_addition.capture.dataset import open_capture
from fourier_addition.files.parquet import write_parquet
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.pipeline.provenance import directory_of

if "snakemake" not in globals():
    snakemake = mock_snakemake("probes", run="mini.finetuned.seed0")

with job(snakemake):
    analysis = snakemake.params.analysis
    capture = open_capture([directory_of(path, ".zarr") for path in snakemake.input.captures])
    capture = capture.isel(example=slice(0, analysis["probe_examples"] or None))
    residual = capture["residual"].transpose("state", "example", "feature")
    # One state in memory at a time.
    states = (residual.isel(state=state).values for state in range(residual.sizes["state"]))
    table = layer_probes(states, capture["answer"].values, **probe_settings(analysis))
    write_parquet(table, snakemake.output.probes)
