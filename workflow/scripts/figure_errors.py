"""Figures 12, 21, 23: how far wrong predictions are from the answer."""

import pandas as pd
from fourier_addition.analysis.mistakes import error_counts, error_facts
from fourier_addition.errors import UserError
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.plots.errors import plot_errors
from fourier_addition.plots.theme import save

if "snakemake" not in globals():
    snakemake = mock_snakemake("figure_errors", figure="figure-23")

FILTERED = {
    "mlp-low": "low frequencies removed from MLPs",
    "attention-high": "high frequencies removed from attention",
}

with job(snakemake):
    options, kind = snakemake.params.options, snakemake.params.kind
    table = pd.read_parquet(snakemake.input.table)
    if kind in ("errors", "prompted-errors"):
        name = "predictions of the model" if kind == "errors" else "answers of the model"
        table = table.assign(condition=name)
        labels = {name: name}
    elif kind == "filtered-errors":
        labels = FILTERED
    else:
        kept = table[table["kind"] == "keep"]
        longest = kept[kept["value"] == kept["value"].max()]
        labels = {
            name: f"only period {longest['value'].iloc[0]:g} kept" for name in longest["condition"].unique()
        }
    shown = {name: table[table["condition"] == name] for name in labels}
    for name, rows in shown.items():
        if rows.empty:
            raise UserError(f"{snakemake.input.table} has no predictions of the condition '{name}'.")
    figure, drawn = plot_errors(
        pd.concat(error_counts(rows, name) for name, rows in shown.items()),
        facts=pd.concat(error_facts(rows, name) for name, rows in shown.items()),
        names=labels,
        # A number that a model writes may have any length; beyond the number space it is only counted.
        limit=options["numbers"] if kind == "prompted-errors" else None,
        note=options["note"],
    )
    save(figure, drawn, snakemake.output.pdf.removesuffix(".pdf"))
