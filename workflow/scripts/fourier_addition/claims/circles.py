"""Figures of claims read off Fourier probes at named positions: circles of operands and of the sum."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from fourier_addition.claims.evidence import Evidence
from fourier_addition.claims.read_off import Reading, for_each
from fourier_addition.claims.verdict import Measured
from fourier_addition.intervals import student_half_width

CIRCLES = (2, 5, 10)
"""Periods of decimal residues that probes are asked for; 2.5 is no period that whole numbers have alone."""
CONTROLS = (3, 7, 9, 11)
"""Periods that decimal numbers do not have."""
MAGNITUDES = (200, 100, 50)
"""Periods of magnitude, from coarse to fine."""


def circles_read(
    probes: pd.DataFrame, periods: Sequence[float], share_of_layers: float, shown: str
) -> Measured:
    """How many circles stand above every control, in more than a share of the layers.

    probes: rows of one position and target: layer, period, r2_low, r2_high, null_high. A circle counts in a
    layer when the lower end of its interval is above the upper ends of all control periods (3, 7, 9, 11),
    above what shuffled numbers give, and above 0.
    """
    found = []
    for period in periods:
        own = probes[probes["period"] == period].set_index("layer")
        wrong = probes[probes["period"].isin(CONTROLS)].groupby("layer")["r2_high"].max()
        least = np.maximum(own["null_high"], 0)
        if len(wrong):
            least = np.maximum(least, wrong.reindex(own.index))
        if len(own) and (own["r2_low"] > least).mean() > share_of_layers:
            found.append(f"{period:g}")
    text = f"{len(found)} of {len(periods)}" + (f": {', '.join(found)}" if found else "")
    best = [probes.loc[probes["period"] == period, "r2"].max() for period in periods]
    text += " (largest R2 " + ", ".join(f"{value:.2f}" for value in best) + ")"
    return Measured(len(found), len(found), len(found), text, "", shown)


def coarse_before_fine(probes: pd.DataFrame, shown: str) -> Measured | None:
    """How much better each coarser period of the sum is read than the next finer one, over the layers.

    probes: rows of the sum before the answer: layer, period, r2. For neighbours of `MAGNITUDES` that were
    probed: R2 of the coarser minus R2 of the finer period in each layer, negative R2 as 0. value: the
    smallest of the means over layers; low, high: its 95 % interval, by Student's t over layers. None where
    fewer than two of the periods were probed.
    """
    table = probes.pivot(index="layer", columns="period", values="r2").clip(lower=0)
    periods = [period for period in MAGNITUDES if period in table.columns]
    if len(periods) < 2 or len(table) < 2:
        return None
    steps = [(table[coarse] - table[fine]).to_numpy() for coarse, fine in pairwise(periods)]
    worst = min(steps, key=lambda step: float(step.mean()))
    mean, half = float(worst.mean()), student_half_width(worst)
    first = [
        int(table.index[(table[period] >= 0.5).to_numpy()][0]) if (table[period] >= 0.5).any() else None
        for period in periods
    ]
    words = [
        f"T = {period:g} {'never' if layer is None else f'from layer {layer}'}"
        for period, layer in zip(periods, first, strict=True)
    ]
    text = f"R2 of 0.5: {', '.join(words)}; smallest step {mean:.2f}"
    return Measured(mean, mean - half, mean + half, text, "layers", shown)


def _rows(evidence: Evidence, index: int, position: str, target: str) -> pd.DataFrame:
    """Probes of one target at one position; `last answer` is the last answer token that was captured."""
    table = evidence.table("probed", "probes", index)
    if position == "last answer":
        position = max(name for name in table["position"].unique() if name.startswith("answer"))
    return table[(table["position"] == position) & (table["target"] == target)]


def circles_at(position: str, target: str, *, everywhere: bool) -> Reading:
    """Circles of 2, 5 and 10 of a target at a position, for every probed run.

    everywhere: in more than `layer_share` of the layers, as periods of module logits; else in any layer.
    """

    def one(evidence: Evidence, index: int) -> Measured | None:
        rows = _rows(evidence, index, position, target)
        least = evidence.settings["layer_share"] if everywhere else 0.0
        return circles_read(rows, CIRCLES, least, evidence.label("probed", index)) if len(rows) else None

    return for_each("probed", one)


def _coarse(evidence: Evidence, index: int) -> Measured | None:
    rows = _rows(evidence, index, "answer 1", "sum")
    return coarse_before_fine(rows, evidence.label("probed", index)) if len(rows) else None


sum_coarse_before_fine: Reading = for_each("probed", _coarse)
"""Whether the sum's magnitude is built coarse first in the residual stream before the answer (claim 2)."""
