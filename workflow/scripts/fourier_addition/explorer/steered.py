"""Answers under turned phases: the turn itself, and the same turn of random planes and of unused periods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from fourier_addition.explorer.outcomes import Outcomes
from fourier_addition.explorer.packing import packed_integers, rounded
from fourier_addition.modules import RESIDUAL

ARMS = ("turn", "unused", "subspace")
"""Arms that have a turn by a number: the turn, that of unused periods, and that of random planes."""


def place_words(module: str, layers: str) -> str:
    """A place of a model in words. layers: as `conditions.layers_label` writes them, counted from 0."""
    many = "-" in layers or "," in layers
    if module == RESIDUAL:
        return f"residual stream after block {layers}"
    names = {"attention": "attention outputs", "mlp": "MLP outputs", "both": "outputs of both modules"}
    return f"{names.get(module, module)} at {'layers' if many else 'layer'} {layers}"


def steered_part(
    outcomes: Outcomes, doses: pd.DataFrame, places: pd.DataFrame, chosen: Sequence[int], modulus: int
) -> dict[str, Any]:
    """Predictions of chosen examples under every turn, packed.

    doses, places: `steering.dose_response` and `steering.over_doses`. own: (example,). arms: arm ->
    (draw, place, delta, example). moved: arm -> (place, delta), the share of all examples whose residue
    moved by just the turn.
    """
    conditions, prediction = outcomes.conditions, outcomes.prediction[:, list(chosen)]
    kinds, layers = conditions["kind"].tolist(), conditions["layers"].tolist()
    at = list(zip(conditions["module"].tolist(), layers, strict=True))
    turns, draws_of = conditions["value"].tolist(), conditions["draw"].tolist()

    # Row of each condition: arm, draw, place, turn
    rows = {
        (kinds[index], max(draws_of[index], 0), at[index], int(turns[index])): index
        for index in range(len(kinds))
        if kinds[index] in ARMS
    }
    deltas = sorted({turn for arm, _, _, turn in rows if arm == "turn"})
    found = list(dict.fromkeys(place for arm, _, place, _ in rows if arm == "turn"))
    best = places[places["chosen"].to_numpy(bool)]
    chosen_places = set(zip(best["module"].astype(str), best["layers"].astype(str), strict=True))

    arms = {}
    for arm in ARMS:
        draws = sorted({draw for kind, draw, _, _ in rows if kind == arm})
        if draws:
            where = [[[rows[arm, draw, place, d] for d in deltas] for place in found] for draw in draws]
            arms[arm] = packed_integers(prediction[np.array(where)])

    # How often the turn moves the residue, over all examples
    columns = [doses[name].tolist() for name in ("arm", "module", "layers", "delta", "moved")]
    shares = {
        (arm, (module, str(where)), int(turn)): float(moved)
        for arm, module, where, turn, moved in zip(*columns, strict=True)
    }
    own = np.flatnonzero(conditions["module"].to_numpy() == "none")[0]
    return {
        "modulus": modulus,
        "examples": int(doses["examples"].iloc[0]),
        "deltas": deltas,
        "places": [
            {
                "words": place_words(module, where),
                "module": module,
                "layers": where,
                "best": (module, where) in chosen_places,
            }
            for module, where in found
        ],
        "own": packed_integers(prediction[own]),
        "arms": arms,
        "moved": {
            arm: [rounded([shares.get((arm, place, d), 0.0) for d in deltas]) for place in found]
            for arm in arms
        },
    }
