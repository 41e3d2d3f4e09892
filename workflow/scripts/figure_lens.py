"""Figure 1a: logit-lens accuracy by layer."""

import pandas as pd
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.plots.lens import plot_lens
from fourier_addition.plots.theme import save

if "snakemake" not in globals():
    snakemake = mock_snakemake("figure_lens", figure="figure-1a")

with job(snakemake):
    options = snakemake.params.options
    table = pd.read_parquet(snakemake.input.table)
    table = table[table["norm"] == options["lens_norm"]]
    save(*plot_lens(table, note=options["note"]), snakemake.output.pdf.removesuffix(".pdf"))
