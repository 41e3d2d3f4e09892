"""Accuracies, losses, their intervals and the shape of errors (table 1, figures 11, 12 and 21)."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from fourier_addition.ablation.table1 import table1_of
from fourier_addition.errors import UserError
from fourier_addition.intervals import bootstrap_interval


def correct(dataset: xr.Dataset) -> np.ndarray:
    """Which predictions are the answer: (condition, example) bool, of what `run_conditions` returns."""
    return dataset["prediction"].to_numpy() == dataset["answer"].to_numpy()


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
    chosen = dataset["kind"].to_numpy() == control
    of = dataset["control_of"].to_numpy()[chosen]
    values = {
        "accuracy": correct(dataset)[chosen].mean(axis=1, dtype=np.float64),
        "loss": dataset["loss"].to_numpy()[chosen].mean(axis=1, dtype=np.float64),
    }
    rows = []
    for name in dict.fromkeys(of):
        row = {"condition": name, "draws": int((of == name).sum())}
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
    settings = {"seed": seed, "resamples": resamples, "level": level, "control": control}
    return table1_of(summary_with_controls(dataset, **settings))


def error_histogram(prediction: np.ndarray, answer: np.ndarray) -> pd.DataFrame:
    """Distribution of prediction - answer: columns error, count, share, sorted by error.

    prediction, answer: (example,). Predictions that are no number (-1) are left out of the errors, but
    the shares are of all examples.
    """
    errors = _errors(prediction, answer)
    values, counts = np.unique(errors, return_counts=True)
    return pd.DataFrame({"error": values, "count": counts, "share": counts / len(np.asarray(answer))})


def error_shape(
    prediction: np.ndarray, answer: np.ndarray, *, multiple: int, within: int
) -> dict[str, float | int]:
    """How wrong predictions are wrong (section 4.2: multiples of 10; every error below 6).

    multiple: of what errors are counted as multiples. within: an error is small when |error| < within.
    Returns examples, wrong (all that are not the answer), no_number (among them), share_multiple and
    share_within (of the wrong numbers; NaN when there are none), largest (of |error|).
    """
    if multiple < 1 or within < 1:
        raise UserError(f"`multiple` and `within` must be at least 1, not {multiple} and {within}.")
    errors = _errors(prediction, answer)
    wrong = errors[errors != 0]
    nothing = int((np.asarray(prediction) < 0).sum())
    return {
        "examples": len(np.asarray(answer)),
        "wrong": len(wrong) + nothing,
        "no_number": nothing,
        "share_multiple": float(np.mean(wrong % multiple == 0)) if len(wrong) else float("nan"),
        "share_within": float(np.mean(np.abs(wrong) < within)) if len(wrong) else float("nan"),
        "largest": int(np.abs(errors).max(initial=0)),
    }


def modular_agreement(prediction: np.ndarray, answer: np.ndarray, period: int) -> float:
    """Share of predictions that equal the answer modulo `period` (section 4.2: parity for period 2).

    Predictions that are no number (-1) do not agree.
    """
    prediction, answer = np.asarray(prediction, np.int64), np.asarray(answer, np.int64)
    return float(np.mean((prediction >= 0) & (prediction % period == answer % period)))


def _errors(prediction: np.ndarray, answer: np.ndarray) -> np.ndarray:
    prediction, answer = np.asarray(prediction, np.int64), np.asarray(answer, np.int64)
    number = prediction >= 0
    return prediction[number] - answer[number]
