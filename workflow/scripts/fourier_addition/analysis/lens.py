"""Accuracy of the logit lens by layer (figure 1a), and the model's own predictions (figure 23)."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from fourier_addition.errors import UserError


def lens_accuracy(capture: xr.Dataset) -> pd.DataFrame:
    """Accuracy of the logit lens after every layer: the unembedding applied to the residual stream.

    Section 3.1, figure 1a. capture: `lens_prediction` (norm, state, example), coordinate `answer`
    (example). State 0 is the residual stream before the first block, state l the stream after block l.
    Columns: norm, layer (the state), exact, within_2, within_10 (fractions), examples.
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
    """The model's prediction for every captured example: the number with the largest final logit.

    capture: `final_logits` (example, number), coordinates a, b and answer (example). Columns: a, b,
    answer, prediction, error (prediction - answer). Raises UserError where the capture has no coordinate
    `answer`.
    """
    if "answer" not in capture.coords:
        raise UserError("The capture has no coordinate 'answer'.")
    predicted = capture["final_logits"].argmax("number").values
    table = pd.DataFrame({name: capture[name].values for name in ("a", "b", "answer")})
    table["prediction"] = predicted
    table["error"] = predicted - table["answer"]
    return table
