"""The table of claims: the paper's figure, this study's with its interval, and the verdict."""

from __future__ import annotations

import pandas as pd

from fourier_addition.claims.evidence import Evidence
from fourier_addition.claims.statements import STATEMENTS
from fourier_addition.claims.verdict import Criterion, Measured

COLUMNS = (
    "claim",
    "statement",
    "paper",
    "paper_value",
    "run",
    "here",
    "value",
    "low",
    "high",
    "interval_over",
    "confirmed_when",
    "verdict",
)
HEADINGS = ("Claim", "Statement", "Paper", "Run", "Here", "95 % interval", "Confirmed when", "Verdict")


def claims_table(evidence: Evidence) -> pd.DataFrame:
    """One row for each statement and run that it can be read off, or one that says it is not tested.

    Columns: `COLUMNS`. value, low, high are in the criterion's unit and missing where nothing is known.
    """
    rows = []
    for statement in STATEMENTS:
        criterion = statement.criterion(evidence.settings)
        tested = all(role in evidence.runs for role in statement.roles)
        missing = " and ".join(role for role in statement.roles if role not in evidence.runs)
        found = statement.measure(evidence) if tested else [None]
        for measured in found:
            why = "no figure to read it off" if tested else f"no run for {missing}"
            rows.append(
                {
                    "claim": statement.claim,
                    "statement": statement.says,
                    "paper": statement.paper,
                    "paper_value": statement.paper_value,
                    **_found(measured, criterion, why),
                    "confirmed_when": str(criterion),
                }
            )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _found(measured: Measured | None, criterion: Criterion, why: str) -> dict[str, object]:
    """What was measured and the verdict; the reason where nothing was, as with a share of no errors."""
    if measured is None or pd.isna(measured.value):
        run, here = (measured.shown, measured.text) if measured else ("", why)
        empty = {"value": None, "low": None, "high": None, "interval_over": ""}
        return {"run": run, "here": here, **empty, "verdict": "not tested"}
    return {
        "run": measured.shown,
        "here": measured.text,
        "value": measured.value,
        "low": measured.low,
        "high": measured.high,
        "interval_over": measured.over,
        "verdict": criterion.verdict(measured.value, measured.low, measured.high),
    }


def claim_cells(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of the table as text."""

    def interval(row: pd.Series) -> str:
        if not row["interval_over"]:
            return "-"
        if row["confirmed_when"].endswith(("%", "difference")):
            return f"{row['low']:.1%} to {row['high']:.1%} ({row['interval_over']})"
        return f"{row['low']:.2f} to {row['high']:.2f} ({row['interval_over']})"

    rows = [
        [
            row["claim"],
            row["statement"],
            row["paper"],
            row["run"] or "-",
            row["here"],
            interval(row),
            row["confirmed_when"],
            row["verdict"],
        ]
        for _, row in table.iterrows()
    ]
    return list(HEADINGS), rows
