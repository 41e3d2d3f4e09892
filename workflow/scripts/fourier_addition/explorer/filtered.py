"""Answers under every filter, beside random subspaces of equal rank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from fourier_addition.explorer.outcomes import Outcomes
from fourier_addition.explorer.packing import packed_integers, significant

KINDS = {
    "table": "Table 1: a band removed at all layers",
    "layer": "A band removed at one layer",
    "period": "One period removed at all layers",
    "keep": "All components but one removed",
    "tau": "Other cuts between low and high",
}
"""Kinds of conditions that are shown, in this order, and what a reader is told of each."""
MODULE_WORDS = {"attention": "attention", "mlp": "MLP", "both": "both modules"}


def condition_words(condition: pd.Series) -> str:
    """A condition in words. condition: a row of `Outcomes.conditions`."""
    if condition["module"] == "none":
        return "unfiltered"
    band = str(condition["band"])
    if condition["kind"] == "period":
        band = f"period {condition['value']:.3g}"
    elif band in ("low", "high"):
        cut = f" (cut at {condition['value']:g})" if condition["kind"] == "tau" else ""
        band = f"{band} components{cut}"
    where = f" at layer {condition['layers']}" if condition["kind"] == "layer" else ""
    return f"without {band} of {MODULE_WORDS.get(condition['module'], condition['module'])}{where}"


def filtered_part(outcomes: Outcomes, chosen: Sequence[int]) -> dict[str, Any]:
    """Predictions of chosen examples under every filter that is no control, packed.

    Conditions: words, kind, module, layers, value (None for none). prediction: (condition, example).
    same: (condition, example), in how many of `draws` random subspaces of equal rank the answer is the
    unfiltered one.
    """
    conditions, prediction = outcomes.conditions, outcomes.prediction[:, list(chosen)]
    shown = [
        index for kind in KINDS for index in np.flatnonzero(conditions["kind"].to_numpy() == kind).tolist()
    ]
    plain = np.flatnonzero(conditions["module"].to_numpy() == "none")
    own = prediction[plain[0]] if len(plain) else np.full(len(chosen), -1)

    # Each filter's random subspaces
    listed, same = [], np.zeros((len(shown), len(chosen)), np.int64)
    for place, index in enumerate(shown):
        row = conditions.iloc[index]
        controls = (conditions["control_of"] == row["condition"]) & (conditions["kind"] == "subspace")
        same[place] = (prediction[controls.to_numpy()] == own).sum(axis=0)
        listed.append(
            {
                "words": condition_words(row),
                "kind": row["kind"],
                "module": row["module"],
                "layers": row["layers"],
                "value": None if np.isnan(row["value"]) else significant(float(row["value"])),
                "draws": int(controls.sum()),
            }
        )
    return {
        "kinds": {kind: words for kind, words in KINDS.items() if any(c["kind"] == kind for c in listed)},
        "conditions": listed,
        "prediction": packed_integers(prediction[shown]),
        "same": packed_integers(same),
    }
