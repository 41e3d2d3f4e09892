"""Figure 7b: validation accuracy by epoch for every arm of training."""

import pandas as pd
from fourier_addition.job import job, mock_snakemake
from fourier_addition.plots.theme import save
from fourier_addition.plots.training import arms, plot_training

if "snakemake" not in globals():
    snakemake = mock_snakemake("figure_training", figure="figure-7b")

with job(snakemake):
    options = snakemake.params.options
    table = arms(map(pd.read_parquet, snakemake.input.histories), options["labels"])
    save(*plot_training(table, note=options["note"]), snakemake.output.pdf.removesuffix(".pdf"))
