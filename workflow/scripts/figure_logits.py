"""Figure 20: logits over the numbers of one MLP and one attention output."""

import pandas as pd
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.plots.logits import plot_logits
from fourier_addition.plots.panels import chosen_layers
from fourier_addition.plots.theme import save

if "snakemake" not in globals():
    snakemake = mock_snakemake("figure_logits", figure="figure-20")

with job(snakemake):
    options = snakemake.params.options
    table = pd.read_parquet(snakemake.input.table)
    figure, drawn = plot_logits(
        table,
        panels=chosen_layers(table, options.get("layer")),
        answer=options["answer"],
        window=options.get("window"),
        note=options["note"],
    )
    save(figure, drawn, snakemake.output.pdf.removesuffix(".pdf"))
