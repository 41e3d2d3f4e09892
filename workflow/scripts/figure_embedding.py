"""Figures 5a, 7a, 15: spectra of number embeddings."""

import pandas as pd
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.plots.embedding import plot_embedding_spectra
from fourier_addition.plots.theme import save

if "snakemake" not in globals():
    snakemake = mock_snakemake("figure_embedding", figure="figure-15")

with job(snakemake):
    options = snakemake.params.options
    table = pd.concat(
        pd.read_parquet(path).assign(name=name)
        for path, name in zip(snakemake.input.spectra, options["names"], strict=True)
    )
    figure, drawn = plot_embedding_spectra(table, names=options["labels"], note=options["note"])
    save(figure, drawn, snakemake.output.pdf.removesuffix(".pdf"))
