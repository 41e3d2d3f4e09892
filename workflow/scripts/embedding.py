"""Spectrum, t-SNE map, clusters and probes of one number embedding."""

import pandas as pd
from fourier_addition.analysis.embeddings import MAP_COLUMNS, embedding_map, embedding_table, enough_for_map
from fourier_addition.analysis.probes import probe_settings, probe_table
from fourier_addition.capture.dataset import read_number_rows
from fourier_addition.files.parquet import write_parquet
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.pipeline.provenance import directory_of

if "snakemake" not in globals():
    snakemake = mock_snakemake("embedding", name="minilm")

with job(snakemake) as log:
    analysis = snakemake.params.analysis
    number_rows = read_number_rows(directory_of(snakemake.input.number_rows, ".zarr"))
    rows = number_rows["input_embedding"].values
    write_parquet(embedding_table(rows, analysis), snakemake.output.spectrum)
    sizes = {key: analysis[key] for key in ("clusters", "perplexity")}
    if enough_for_map(len(rows), **sizes):
        clusters = embedding_map(rows, **sizes, seed=analysis["seed"])
    else:
        log.info("%d numbers are too few for a map and clusters (%s): that table is empty", len(rows), sizes)
        clusters = pd.DataFrame(columns=list(MAP_COLUMNS))
    write_parquet(clusters, snakemake.output.clusters)
    probes = probe_table(rows, number_rows["number"].values, **probe_settings(analysis))
    write_parquet(probes, snakemake.output.probes)
