"""Filters and their controls: table 1 as a figure, sweeps over layers, cuts, periods, digit ranges."""

import re

import pandas as pd
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.plots.ablation import (
    plot_digit_ranges,
    plot_layer_bands,
    plot_single_periods,
    plot_table1,
    plot_tau,
)
from fourier_addition.plots.ranges import plot_range_heatmap
from fourier_addition.plots.theme import save

if "snakemake" not in globals():
    snakemake = mock_snakemake("figure_ablation", figure="table-1-plot")

COLUMNS = {
    "accuracy_low": "low",
    "accuracy_high": "high",
    "control_accuracy_low": "control_low",
    "control_accuracy_mean": "control_mean",
    "control_accuracy_high": "control_high",
}


def rows_of(path: str, kind: str) -> pd.DataFrame:
    """The conditions of one kind in an ablation's summary, in the plots' words."""
    table = pd.read_parquet(path)
    table = table[table["kind"] == kind].drop(columns=["kind"])
    return table.rename(columns=COLUMNS)


with job(snakemake):
    options, kind = snakemake.params.options, snakemake.params.kind
    note = options["note"]
    if kind in ("digit-ranges", "range-heatmap"):
        labels, parts = options["labels"], []
        for path in snakemake.input.tables:
            run, span = re.search(r"runs/([^/]+)\.seed\d+/ablation/([^/]+)/", path).groups()
            parts.append(rows_of(path, "table").assign(run=labels[run], digit_range=options["ranges"][span]))
        table = pd.concat(parts)
        if kind == "range-heatmap":
            drawn = plot_range_heatmap(table, note=note)
        else:
            names = table["run"] + ", " + table["digit_range"]
            drawn = plot_digit_ranges(table.assign(digit_range=names), note=note)
    else:
        path = snakemake.input.table
        base = rows_of(path, "table")
        baseline = float(base.loc[base["module"] == "none", "accuracy"].iloc[0])
        if kind == "table":
            drawn = plot_table1(base, note=note)
        elif kind == "layers":
            table = rows_of(path, "layer")
            drawn = plot_layer_bands(table.assign(layer=table["value"].astype(int)), note=note)
        elif kind == "tau":
            table = rows_of(path, "tau")
            table = table.assign(tau=table["value"].astype(int))
            drawn = plot_tau(table, tau=options["tau"], baseline=baseline, note=note)
        else:
            table = rows_of(path, "period").rename(columns={"value": "period"})
            table["component"] = ((options["numbers"] - 1) / table["period"]).round().astype(int)
            drawn = plot_single_periods(table, baseline=baseline, note=note)
    save(*drawn, snakemake.output.pdf.removesuffix(".pdf"))
