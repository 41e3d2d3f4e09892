"""Probes of a run's residual stream for the answer modulo T, layer by layer."""

from fourier_addition.activations import open_capture
from fourier_addition.job import job, mock_snakemake
from fourier_addition.probes import layer_probes
from fourier_addition.provenance import directory_of
from fourier_addition.storage import write_parquet

if "snakemake" not in globals():
    snakemake = mock_snakemake("probes", run="mini.finetuned.seed0")

with job(snakemake):
    analysis = snakemake.params.analysis
    capture = open_capture([directory_of(path, ".zarr") for path in snakemake.input.captures])
    table = layer_probes(
        capture["residual"].transpose("state", "example", "feature").values,
        capture["answer"].values,
        analysis["probe_moduli"],
        shuffles=analysis["probe_shuffles"],
        folds=analysis["probe_folds"],
        ridge=analysis["probe_ridge"],
        seed=analysis["seed"],
    )
    write_parquet(table, snakemake.output.probes)
