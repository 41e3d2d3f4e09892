"""Probes of n mod T on number embeddings, or on the residual stream by layer, beside shuffled numbers."""

import pandas as pd
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.plots.probes import plot_probes
from fourier_addition.plots.theme import save

if "snakemake" not in globals():
    snakemake = mock_snakemake("figure_probes", figure="embedding-probes")

with job(snakemake):
    options = snakemake.params.options
    table = pd.concat(
        pd.read_parquet(path).assign(name=name)
        for path, name in zip(snakemake.input.probes, options["names"], strict=True)
    )
    if snakemake.params.kind == "probes":
        table["layer"] = 0
    figure, drawn = plot_probes(table, names=options["labels"], note=options["note"])
    save(figure, drawn, snakemake.output.pdf.removesuffix(".pdf"))
