"""Accuracies and losses of conditions, with their intervals (table 1, figures 11, 12 and 21)."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from fourier_addition.ablation.table1 import table1_of
from fourier_addition.intervals import bootstrap_interval


def correct(dataset: xr.Dataset) -> np.ndarray:
    """Which predictions are the answer: (condition, example) bool, of what `run_conditions` returns."""
    right: np.ndarray = dataset["prediction"].to_numpy() == dataset["answer"].to_numpy()
    return right


def summary(dataset: xr.Dataset, *, seed: int, resamples: int, level: float = 0.95) -> pd.DataFrame:
    """One row a condition: what it is, its accuracy and mean loss (nats) with bootstrap intervals.

    Columns: condition, kind, band, module, layers, removed_components, rank, draw, control_of, value,
    examples, accuracy, accuracy_low, accuracy_high, loss, loss_low, loss_high.
    """
    names = [name for name, coordinate in dataset.coords.items() if coordinate.dims == ("condition",)]
    table = pd.DataFrame({name: dataset[name].to_numpy() for name in names})
    table["examples"] = dataset.sizes["example"]
    for name, values in (("accuracy", correct(dataset)), ("loss", dataset["loss"].to_numpy())):
        table[name] = values.mean(axis=1, dtype=np.float64)
        table[f"{name}_low"], table[f"{name}_high"] = bootstrap_interval(
            values, seed=seed, resamples=resamples, level=level
        )
    return table


def control_summary(dataset: xr.Dataset, control: str = "subspace", level: float = 0.95) -> pd.DataFrame:
    """Spread of a control's draws beside each condition: one row a condition that has controls.

    control: `subspace` or `components`. Columns: condition, draws, and mean, low and high of accuracy
    and loss over the draws (`accuracy_mean`, `accuracy_low`, ...), where low and high are the
    quantiles (1 - level) / 2 and (1 + level) / 2.
    """
    # Each draw's accuracy and loss, and the condition that it stands beside
    chosen = dataset["kind"].to_numpy() == control
    of = dataset["control_of"].to_numpy()[chosen]
    values = {
        "accuracy": correct(dataset)[chosen].mean(axis=1, dtype=np.float64),
        "loss": dataset["loss"].to_numpy()[chosen].mean(axis=1, dtype=np.float64),
    }

    # One row a condition: the spread over its draws
    rows = []
    for name in dict.fromkeys(of):
        row: dict[str, object] = {"condition": name, "draws": int((of == name).sum())}
        for quantity, means in values.items():
            drawn = means[of == name]
            low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
            row |= {f"{quantity}_mean": drawn.mean(), f"{quantity}_low": low, f"{quantity}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def summary_with_controls(
    dataset: xr.Dataset,
    *,
    seed: int,
    resamples: int,
    level: float = 0.95,
    control: str = "subspace",
) -> pd.DataFrame:
    """`summary`, with the spread of each condition's controls beside it.

    Further columns: control_draws, control_accuracy_mean, control_accuracy_low, control_accuracy_high
    and the same of the loss; missing where a condition has no control.
    """
    table = summary(dataset, seed=seed, resamples=resamples, level=level)
    controls = control_summary(dataset, control, level)
    if controls.empty:
        return table
    controls = controls.rename(columns={name: f"control_{name}" for name in controls if name != "condition"})
    return table.merge(controls, on="condition", how="left")


def table1(
    dataset: xr.Dataset,
    *,
    seed: int,
    resamples: int,
    level: float = 0.95,
    control: str = "subspace",
) -> pd.DataFrame:
    """Table 1 of the paper: one row for each condition of kind `table`, in their order.

    Columns: `table1.COLUMNS`. Losses in nats; `_low` and `_high` bound the bootstrap interval over
    examples, and for `control_` columns the quantiles over the control's draws (missing where a row
    has no control). Raises UserError when there is no such condition.
    """
    return table1_of(
        summary_with_controls(dataset, seed=seed, resamples=resamples, level=level, control=control)
    )
