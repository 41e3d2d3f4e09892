"""Figures 1, 5, 7: panels of different kinds side by side."""

import pandas as pd
from fourier_addition.errors import UserError
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.plots.pairs import (
    plot_lens_and_heatmaps,
    plot_spectrum_and_clusters,
    plot_spectrum_and_training,
)
from fourier_addition.plots.theme import save
from fourier_addition.plots.training import arms

if "snakemake" not in globals():
    snakemake = mock_snakemake("figure_pairs", figure="figure-1")

with job(snakemake):
    options, kind = snakemake.params.options, snakemake.params.kind
    if kind == "lens-and-heatmaps":
        lens = pd.read_parquet(snakemake.input.lens)
        drawn = plot_lens_and_heatmaps(
            lens[lens["norm"] == options["lens_norm"]],
            pd.read_parquet(snakemake.input.example),
            answer=options["answer"],
            window=options.get("window", 20),
            layers=options.get("layers") or None,
            note=options["note"],
        )
    else:
        if len(options["names"]) > 1:
            raise UserError(f"A figure of kind `{kind}` shows one embedding; give one under `embeddings`.")
        name = options["names"][0]
        label = options["labels"][name]
        spectrum = pd.read_parquet(snakemake.input.spectra[0]).assign(name=label)
        if kind == "embedding-and-clusters":
            clusters = pd.read_parquet(snakemake.input.clusters[0])
            drawn = plot_spectrum_and_clusters(spectrum, clusters, note=options["note"])
        else:
            history = arms(map(pd.read_parquet, snakemake.input.histories), options["labels"])
            drawn = plot_spectrum_and_training(spectrum, history, note=options["note"])
    save(*drawn, snakemake.output.pdf.removesuffix(".pdf"))
