"""How far predictions are from the answer (figures 12, 21, 23)."""

from __future__ import annotations

import numpy as np
import pandas as pd


def error_counts(table: pd.DataFrame, label: str) -> pd.DataFrame:
    """How often each error occurs, sorted by error.

    table: column `error` (prediction - answer), NaN for an answer that is no number; such answers are
    not counted. Columns: label, error, count.
    """
    counts = table["error"].dropna().astype(np.int64).value_counts().sort_index()
    return pd.DataFrame({"label": label, "error": counts.index.to_numpy(), "count": counts.to_numpy()})


def error_facts(table: pd.DataFrame, label: str) -> pd.DataFrame:
    """What the text of the paper says of errors: one row a fact.

    table: column `error` (prediction - answer), NaN for an answer that is no number. Of all examples: the
    accuracy, and the share of answers that are no number. Of the errors: the share of multiples of 10
    (section 3.3) and the share below 6 (appendix). Columns: label, name, value (fraction).
    """
    error = table["error"].to_numpy()
    unread = ~np.isfinite(error)
    wrong = error[(error != 0) & ~unread]
    facts = {"accuracy": np.mean(error == 0)}
    if unread.any():
        facts["answers that are no number"] = np.mean(unread)
    if len(wrong):
        facts["errors that are multiples of 10"] = np.mean(wrong % 10 == 0)
        facts["errors below 6"] = np.mean(np.abs(wrong) < 6)
    return pd.DataFrame({"label": label, "name": list(facts), "value": list(facts.values())})
