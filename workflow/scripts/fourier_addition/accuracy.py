"""Accuracy of trained runs, with intervals (claims 1, 9, 10 and 11 of the paper)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm


def wilson_interval(share: float, examples: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a proportion: share of `examples` that are right -> (low, high)."""
    z = float(norm.ppf((1 + level) / 2))
    centre = (share + z**2 / (2 * examples)) / (1 + z**2 / examples)
    half = z / (1 + z**2 / examples) * np.sqrt(share * (1 - share) / examples + (z / (2 * examples)) ** 2)
    return float(max(0.0, centre - half)), float(min(1.0, centre + half))


def accuracy_table(results: Mapping[tuple[str, int], Mapping[str, Any]]) -> pd.DataFrame:
    """One row a run, seed and split.

    results: (run, seed) -> split -> examples, loss, accuracy, within_2, within_10 (fractions).
    Columns: run, seed, split, examples, loss, accuracy, low, high (Wilson, 95 %), within_2, within_10.
    """
    rows = []
    for (run, seed), splits in results.items():
        for split, found in splits.items():
            low, high = wilson_interval(found["accuracy"], found["examples"])
            rows.append({"run": run, "seed": seed, "split": split, **found, "low": low, "high": high})
    return pd.DataFrame(rows)


def by_run(table: pd.DataFrame, split: str) -> pd.DataFrame:
    """Mean and deviation over seeds: run, seeds, examples, accuracy, deviation, worst, best, within_2,
    within_10."""
    chosen = table[table["split"] == split]
    return chosen.groupby("run", sort=False, as_index=False).agg(
        seeds=("seed", "count"),
        examples=("examples", "first"),
        accuracy=("accuracy", "mean"),
        deviation=("accuracy", "std"),
        worst=("accuracy", "min"),
        best=("accuracy", "max"),
        within_2=("within_2", "mean"),
        within_10=("within_10", "mean"),
    )
