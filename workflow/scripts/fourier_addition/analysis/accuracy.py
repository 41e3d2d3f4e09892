"""Accuracy of trained runs, with intervals (claims 1, 9, 10 and 11 of the paper)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from fourier_addition.intervals import student_interval, wilson_interval


def accuracy_table(results: Mapping[tuple[str, int], Mapping[str, Any]]) -> pd.DataFrame:
    """Accuracy of every run, seed and split: one row each.

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
    """Accuracy of every run on one split, over its seeds: one row a run.

    table: what `accuracy_table` returns. Columns: run, seeds, examples (of one seed), accuracy (mean),
    deviation, worst, best (of the accuracy over seeds), within_2, within_10 (means).
    """
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

    results: (run, seed) -> split -> accuracy, as for `accuracy_table`. histories: (run, seed) -> epoch,
    step and validation accuracy. level: the accuracy to be reached.
    Columns: run, seeds, accuracy (mean), deviation, low, high (95 % of the mean over seeds),
    validation (mean accuracy), reached (seeds that reach the level), epochs (median over those seeds),
    steps (in so many epochs).
    """
    rows = []
    for run in dict.fromkeys(name for name, _ in results):
        seeds = [key for key in results if key[0] == run]

        # Test accuracy, with its interval over seeds.
        found = np.array([results[key]["test"]["accuracy"] for key in seeds])
        low, high = student_interval(found, bounds=(0.0, 1.0))

        # How soon validation reaches the level: epochs of the seeds that do, and the steps of these epochs.
        epochs = np.array([epochs_to(histories[key], level) for key in seeds])
        soon = epochs[~np.isnan(epochs)]
        median = float(np.median(soon)) if len(soon) else float("nan")
        history = histories[seeds[0]]
        steps_an_epoch = history["step"].iloc[-1] / max(1, history["epoch"].iloc[-1])

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
