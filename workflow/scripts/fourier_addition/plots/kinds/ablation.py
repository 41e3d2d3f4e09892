"""Filters and their controls: table 1 as a figure, sweeps over layers, cuts, periods, digit ranges."""

from __future__ import annotations

import pandas as pd

from fourier_addition.plots.kinds.drawing import Drawing, Drawn, Options, Results, only
from fourier_addition.plots.ranges import plot_range_heatmap
from fourier_addition.plots.sweeps import plot_layer_bands, plot_single_periods, plot_tau
from fourier_addition.plots.table1 import plot_digit_ranges, plot_table1

COLUMNS = {
    "accuracy_low": "low",
    "accuracy_high": "high",
    "control_accuracy_low": "control_low",
    "control_accuracy_mean": "control_mean",
    "control_accuracy_high": "control_high",
}
"""Column of an ablation's summary -> its name in the plots."""


def _rows_of(summary: pd.DataFrame, kind: str) -> pd.DataFrame:
    """The conditions of one kind (`table`, `layer`, `tau`, `period`) in a summary, in the plots' words."""
    table = summary[summary["kind"] == kind].drop(columns=["kind"])
    return table.rename(columns=COLUMNS)


def _baseline(summary: pd.DataFrame) -> float:
    """Accuracy with nothing removed."""
    base = _rows_of(summary, "table")
    return float(base.loc[base["module"] == "none", "accuracy"].iloc[0])


def table(results: Results, options: Options) -> Drawn:
    """Table 1 as dots."""
    return plot_table1(_rows_of(only(results, "summary"), "table"), note=options["note"])


def layers(results: Results, options: Options) -> Drawn:
    """One band removed at one layer."""
    rows = _rows_of(only(results, "summary"), "layer")
    return plot_layer_bands(rows.assign(layer=rows["value"].astype(int)), note=options["note"])


def tau(results: Results, options: Options) -> Drawn:
    """Bands removed for different cuts."""
    summary = only(results, "summary")
    rows = _rows_of(summary, "tau")
    rows = rows.assign(tau=rows["value"].astype(int))
    return plot_tau(rows, tau=options["tau"], baseline=_baseline(summary), note=options["note"])


def periods(results: Results, options: Options) -> Drawn:
    """Single components removed; component k has the period (p - 1) / k."""
    summary = only(results, "summary")
    rows = _rows_of(summary, "period").rename(columns={"value": "period"})
    rows["component"] = ((options["numbers"] - 1) / rows["period"]).round().astype(int)
    return plot_single_periods(rows, baseline=_baseline(summary), note=options["note"])


def _by_range(results: Results, options: Options) -> pd.DataFrame:
    """Table 1 of every run (its label) and digit range."""
    labels = options["labels"]
    return pd.concat(
        _rows_of(summary, "table").assign(run=labels[run], digit_range=name)
        for summary, (run, name) in zip(results["summaries"], options["run_ranges"], strict=True)
    )


def digit_ranges(results: Results, options: Options) -> Drawn:
    """Table 1 as dots, a panel for each run and digit range."""
    rows = _by_range(results, options)
    names = rows["run"] + ", " + rows["digit_range"]
    return plot_digit_ranges(rows.assign(digit_range=names), note=options["note"])


def range_heatmap(results: Results, options: Options) -> Drawn:
    """Accuracy by filter and digit range, a panel for each run."""
    return plot_range_heatmap(_by_range(results, options), note=options["note"])


DRAWINGS: dict[str, Drawing] = {
    "table": table,
    "layers": layers,
    "tau": tau,
    "periods": periods,
    "digit-ranges": digit_ranges,
    "range-heatmap": range_heatmap,
}
