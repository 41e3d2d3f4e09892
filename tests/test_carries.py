"""Accuracy by carries: counted by hand, with the library's interval."""

import numpy as np
import pandas as pd
import pytest
from fourier_addition.analysis.carries import accuracy_by_carries, carry_counts
from fourier_addition.intervals import wilson_interval


def by_hand(a, b):
    carry = count = 0
    while a or b:
        carry = int(a % 10 + b % 10 + carry > 9)
        count, a, b = count + carry, a // 10, b // 10
    return count


def test_carries_are_counted():
    a, b = np.array([0, 5, 95, 999, 50, 260]), np.array([0, 5, 5, 1, 49, 240])
    assert carry_counts(a, b).tolist() == [0, 1, 2, 3, 0, 1]
    generator = np.random.default_rng(0)
    a, b = generator.integers(0, 2000, (2, 300))
    assert carry_counts(a, b).tolist() == [by_hand(x, y) for x, y in zip(a.tolist(), b.tolist(), strict=True)]


def test_accuracy_by_carries():
    answers = pd.DataFrame({"a": [1, 5, 5, 6], "b": [2, 5, 6, 6], "prediction": [3, 10, np.nan, 13.0]})
    answers["answer"] = answers["a"] + answers["b"]
    table = accuracy_by_carries(answers).set_index("carries")
    assert table.loc[0, "accuracy"] == 1 and table.loc[1, "examples"] == 3
    assert table.loc[1, "accuracy"] == pytest.approx(1 / 3)
    assert (table.loc[1, "low"], table.loc[1, "high"]) == pytest.approx(wilson_interval(1 / 3, 3))
