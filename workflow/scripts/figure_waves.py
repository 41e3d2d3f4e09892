"""Figures 4, 13, 14: Fourier components of the final logits as waves over the numbers."""

import pandas as pd
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.plots.theme import save
from fourier_addition.plots.waves import plot_longest_wave, plot_waves_and_sum, plot_waves_by_band

if "snakemake" not in globals():
    snakemake = mock_snakemake("figure_waves", figure="figure-4")

with job(snakemake):
    options, kind = snakemake.params.options, snakemake.params.kind
    table, note = pd.read_parquet(snakemake.input.table), options["note"]
    if kind == "waves-sum":
        drawn = plot_waves_and_sum(table, top=options["top"], window=options.get("window"), note=note)
    elif kind == "waves-band":
        window = options.get("window")
        drawn = plot_waves_by_band(table, cut=options["tau"], top=options["top"], window=window, note=note)
    else:
        drawn = plot_longest_wave(table, note=note)
    save(*drawn, snakemake.output.pdf.removesuffix(".pdf"))
