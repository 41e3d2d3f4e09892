"""Figures 12, 21, 23: how far wrong predictions are from the answer."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from fourier_addition.analysis.mistakes import error_counts, error_facts
from fourier_addition.errors import UserError
from fourier_addition.plots.errors import plot_errors
from fourier_addition.plots.kinds.drawing import Drawing, Drawn, Options, Results, only

FILTERED = {
    "mlp-low": "low frequencies removed from MLPs",
    "attention-high": "high frequencies removed from attention",
}
"""Conditions of figure 21 -> what their panels are called."""


def _histograms(
    table: pd.DataFrame, panels: Mapping[str, str], note: str | None, limit: int | None = None
) -> Drawn:
    """A histogram of errors for each condition. table: condition, error, ... panels: condition -> title.

    limit: leave out larger errors. Raises UserError for a condition without predictions.
    """
    shown = {name: table[table["condition"] == name] for name in panels}
    for name, rows in shown.items():
        if rows.empty:
            raise UserError(f"The predictions for this figure hold none of the condition '{name}'.")
    return plot_errors(
        pd.concat(error_counts(rows, name) for name, rows in shown.items()),
        facts=pd.concat(error_facts(rows, name) for name, rows in shown.items()),
        names=panels,
        limit=limit,
        note=note,
    )


def errors(results: Results, options: Options) -> Drawn:
    """Errors of the model as it is."""
    title = "predictions of the model"
    table = only(results, "predictions").assign(condition=title)
    return _histograms(table, {title: title}, options["note"])


def prompted_errors(results: Results, options: Options) -> Drawn:
    """Errors of written answers. A number that a model writes may have any length.

    An error beyond the number space is only counted.
    """
    title = "answers of the model"
    table = only(results, "predictions").assign(condition=title)
    return _histograms(table, {title: title}, options["note"], limit=options["numbers"])


def filtered_errors(results: Results, options: Options) -> Drawn:
    """Errors under the two filters of figure 21."""
    return _histograms(only(results, "predictions"), FILTERED, options["note"])


def kept_errors(results: Results, options: Options) -> Drawn:
    """Errors when the component of the longest period alone is kept (figure 12).

    Raises UserError where no condition keeps a component.
    """
    table = only(results, "predictions")
    kept = table[table["kind"] == "keep"]
    longest = kept[kept["value"] == kept["value"].max()]
    if longest.empty:
        raise UserError("The predictions for this figure hold no condition that keeps one component.")
    title = f"only period {longest['value'].iloc[0]:g} kept"
    panels = {name: title for name in longest["condition"].unique()}
    return _histograms(table, panels, options["note"])


DRAWINGS: dict[str, Drawing] = {
    "errors": errors,
    "number-errors": errors,
    "prompted-errors": prompted_errors,
    "filtered-errors": filtered_errors,
    "kept-errors": kept_errors,
}
