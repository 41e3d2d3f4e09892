"""Accuracy by the number of carries: how often a digit of the sum passes 9."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fourier_addition.intervals import share_of

COLUMNS = ("carries", "right", "examples", "accuracy", "low", "high")


def carry_counts(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Carries in a + b, written in base 10 from right to left: (pair,) whole numbers.

    a, b: (pair,) whole numbers from 0 on.
    """
    a, b = np.asarray(a, np.int64), np.asarray(b, np.int64)
    counts, carry = np.zeros(a.shape, np.int64), np.zeros(a.shape, np.int64)
    while (a > 0).any() or (b > 0).any():
        carry = (a % 10 + b % 10 + carry > 9).astype(np.int64)
        counts += carry
        a, b = a // 10, b // 10
    return counts


def accuracy_by_carries(answers: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of answers by the carries of their sums, with 95 % Wilson intervals (fractions).

    answers: a, b, answer, prediction (nan where a text begins with no number, which counts as wrong).
    Columns: `COLUMNS`, one row for each number of carries that occurs.
    """
    right = (answers["prediction"] == answers["answer"]).to_numpy()
    counts = carry_counts(answers["a"].to_numpy(), answers["b"].to_numpy())
    rows = []
    for carries in np.unique(counts):
        own = right[counts == carries]
        found = share_of(int(own.sum()), len(own))
        rows.append([carries, int(own.sum()), len(own), found.share, found.low, found.high])
    return pd.DataFrame(rows, columns=list(COLUMNS))
