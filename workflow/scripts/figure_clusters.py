"""Figure 5b: t-SNE map and k-means clusters of a number embedding."""

import pandas as pd
from fourier_addition.errors import UserError
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.plots.clusters import plot_clusters
from fourier_addition.plots.theme import save

if "snakemake" not in globals():
    snakemake = mock_snakemake("figure_clusters", figure="figure-5b")

with job(snakemake):
    options = snakemake.params.options
    if len(snakemake.input.clusters) > 1:
        raise UserError("A figure of kind `clusters` shows one embedding; give one under `embeddings`.")
    table = pd.read_parquet(snakemake.input.clusters[0])
    title = next(iter(options["labels"].values()))
    figure, drawn = plot_clusters(table, title=title, note=options["note"])
    save(figure, drawn, snakemake.output.pdf.removesuffix(".pdf"))
