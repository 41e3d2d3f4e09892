"""Figures 1b, 1c, 17, 22: logits of every MLP and attention output for the running example."""

import pandas as pd
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.plots.heatmap import plot_logit_heatmaps
from fourier_addition.plots.theme import save

if "snakemake" not in globals():
    snakemake = mock_snakemake("figure_heatmap", figure="figure-1bc")

with job(snakemake):
    options = snakemake.params.options
    figure, drawn = plot_logit_heatmaps(
        pd.read_parquet(snakemake.input.table),
        answer=options["answer"],
        window=options.get("window", 20),
        layers=options.get("layers") or None,
        note=options["note"],
    )
    save(figure, drawn, snakemake.output.pdf.removesuffix(".pdf"))
