"""Accuracy of trained runs, with intervals (claims 1, 9, 10 and 11 of the paper)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm, t


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


def seeds_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Interval of the mean over seeds (Student's t, within 0..1); empty (nan) for one seed."""
    values = np.asarray(values, float)
    if len(values) < 2:
        return float("nan"), float("nan")
    half = t.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(max(0.0, values.mean() - half)), float(min(1.0, values.mean() + half))


def epochs_to(history: pd.DataFrame, level: float) -> float:
    """First epoch whose validation accuracy is at least `level`; nan where none is."""
    reached = history.loc[history["accuracy"] >= level, "epoch"]
    return float(reached.min()) if len(reached) else float("nan")


def arms_table(
    results: Mapping[tuple[str, int], Mapping[str, Any]],
    histories: Mapping[tuple[str, int], pd.DataFrame],
    level: float = 0.99,
) -> pd.DataFrame:
    """Arms of training side by side (figure 7b): final test accuracy and how soon validation reaches `level`.

    results: (run, seed) -> split -> accuracy, as `accuracy_table`; histories: of the same runs.
    Columns: run, seeds, accuracy (mean), deviation, low, high (95 % of the mean over seeds),
    validation (mean accuracy), reached (seeds that reach the level), epochs (median of those), steps.
    """
    rows = []
    for run in dict.fromkeys(name for name, _ in results):
        seeds = [key for key in results if key[0] == run]
        found = np.array([results[key]["test"]["accuracy"] for key in seeds])
        epochs = np.array([epochs_to(histories[key], level) for key in seeds])
        soon = epochs[~np.isnan(epochs)]
        history = histories[seeds[0]]
        steps_an_epoch = history["step"].iloc[-1] / max(1, history["epoch"].iloc[-1])
        low, high = seeds_interval(found)
        median = float(np.median(soon)) if len(soon) else float("nan")
        rows.append(
            {
                "run": run,
                "seeds": len(seeds),
                "accuracy": found.mean(),
                "deviation": found.std(ddof=1) if len(found) > 1 else float("nan"),
                "low": low,
                "high": high,
                "validation": np.mean([results[key]["validation"]["accuracy"] for key in seeds]),
                "reached": len(soon),
                "epochs": median,
                "steps": median * steps_an_epoch,
            }
        )
    return pd.DataFrame(rows)
