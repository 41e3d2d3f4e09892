"""What is left of the answers without some heads or neurons: accuracy, residue and magnitude."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fourier_addition.ablation.knockouts import Knockout
from fourier_addition.intervals import wilson_interval

OUTCOMES = ("accuracy", "residue", "magnitude")


def outcome_shares(predictions: np.ndarray, answers: np.ndarray, modulus: int) -> dict[str, np.ndarray]:
    """Shares of predictions that keep a property of the answer: outcome -> (...).

    predictions: (..., example), -1 for no number. answers: (example,). modulus: of the residue.
    accuracy: the answer itself. residue: equal to the answer modulo `modulus`.
    magnitude: at most half the modulus from the answer.
    """
    number = predictions >= 0
    error = predictions - answers
    kept = {
        "accuracy": error == 0,
        "residue": number & (error % modulus == 0),
        "magnitude": number & (2 * np.abs(error) <= modulus),
    }
    return {name: values.mean(axis=-1, dtype=np.float64) for name, values in kept.items()}


def knockout_table(
    chosen: Sequence[Knockout],
    predictions: np.ndarray,
    answers: np.ndarray,
    modulus: int,
    level: float = 0.95,
) -> pd.DataFrame:
    """One row a module, layer, band and count: outcomes of the top units, or over the random draws.

    chosen: the knockouts of `predictions` (knockout, example). answers: (example,). modulus: see
    `outcome_shares`. Columns: module, layer, band (`random` for random units), count, units (how many the
    module has), draws (0 for top units), examples; and for every outcome: its share, _low and _high.
    Of top units these are the Wilson interval over examples, of random ones the mean over the draws with
    their quantiles (1 - level) / 2 and (1 + level) / 2.
    """
    shares = outcome_shares(predictions, answers, modulus)
    keys = [(k.module, k.layer, k.band, len(k.units)) for k in chosen]
    sizes = pd.DataFrame(keys, columns=["module", "layer", "band", "count"])
    most = sizes.groupby(["module", "layer"])["count"].transform("max")
    rows = []
    for key in dict.fromkeys(keys):
        numbers = [number for number, other in enumerate(keys) if other == key]
        random = key[2] == "random"
        row: dict[str, object] = dict(zip(sizes.columns, key, strict=True))
        row |= {
            "units": int(most[numbers[0]]),
            "draws": len(numbers) if random else 0,
            "examples": len(answers),
        }
        for outcome in OUTCOMES:
            values = shares[outcome][numbers]
            low, high = (
                np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
                if random
                else wilson_interval(float(values[0]), len(answers), level)
            )
            row |= {outcome: values.mean(), f"{outcome}_low": low, f"{outcome}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)
