"""Logit-lens accuracy by layer, and the errors of the model's own predictions (figures 1a, 23)."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from fourier_addition.errors import UserError


def lens_accuracy(capture: xr.Dataset) -> pd.DataFrame:
    """Accuracy of the residual stream's predictions after every layer (section 3.1, figure 1a).

    capture: `lens_prediction` (norm, state, example), coordinate `answer` (example). State 0 is the
    stream before the first block. Columns: norm, layer (the state), exact, within_2, within_10
    (fractions), examples.
    """
    answers = capture["answer"].values
    rows = []
    for norm in capture["norm"].values:
        for state in capture["state"].values:
            error = np.abs(capture["lens_prediction"].sel(norm=norm, state=state).values - answers)
            rows.append(
                {
                    "norm": str(norm),
                    "layer": int(state),
                    "exact": np.mean(error == 0),
                    "within_2": np.mean(error <= 2),
                    "within_10": np.mean(error <= 10),
                    "examples": len(error),
                }
            )
    return pd.DataFrame(rows)


def predictions(capture: xr.Dataset) -> pd.DataFrame:
    """The model's prediction for every captured example: a, b, answer, prediction, error.

    capture: `final_logits` (example, number). The prediction is over the numbers.
    Raises UserError where a capture has no coordinate `answer`.
    """
    if "answer" not in capture.coords:
        raise UserError("The capture has no coordinate 'answer'.")
    predicted = capture["final_logits"].argmax("number").values
    table = pd.DataFrame({name: capture[name].values for name in ("a", "b", "answer")})
    table["prediction"] = predicted
    table["error"] = predicted - table["answer"]
    return table


def error_counts(table: pd.DataFrame, label: str) -> pd.DataFrame:
    """How often each error occurs: label, error, count; table has a column `error`."""
    counts = table["error"].value_counts().sort_index()
    return pd.DataFrame({"label": label, "error": counts.index.to_numpy(), "count": counts.to_numpy()})


def error_facts(table: pd.DataFrame, label: str) -> pd.DataFrame:
    """What the text of the paper says of errors: label, name, value (fraction).

    table: column `error`. Accuracy over all examples; of the errors, the share that are
    multiples of 10 (section 3.3) and the share below 6 (appendix).
    """
    error = table["error"].to_numpy()
    wrong = error[error != 0]
    facts = {"accuracy": np.mean(error == 0)}
    if len(wrong):
        facts["errors that are multiples of 10"] = np.mean(wrong % 10 == 0)
        facts["errors below 6"] = np.mean(np.abs(wrong) < 6)
    return pd.DataFrame({"label": label, "name": list(facts), "value": list(facts.values())})
