"""Spectrum, t-SNE map, clusters and probes of one number embedding."""

from fourier_addition.embeddings import embedding_map, embedding_table
from fourier_addition.job import job, mock_snakemake
from fourier_addition.probes import embedding_probes
from fourier_addition.provenance import directory_of
from fourier_addition.readout import read_readout
from fourier_addition.storage import write_parquet

if "snakemake" not in globals():
    snakemake = mock_snakemake("embedding", name="minilm")

with job(snakemake):
    analysis = snakemake.params.analysis
    readout = read_readout(directory_of(snakemake.input.readout, ".zarr"))
    rows = readout["input_embedding"].values
    write_parquet(embedding_table(rows, analysis), snakemake.output.spectrum)
    clusters = embedding_map(
        rows,
        clusters=analysis["clusters"],
        perplexity=analysis["perplexity"],
        seed=analysis["seed"],
    )
    write_parquet(clusters, snakemake.output.clusters)
    probes = embedding_probes(rows, analysis["probe_moduli"], shuffles=20, seed=analysis["seed"])
    write_parquet(probes, snakemake.output.probes)
