"""The table of claims: the paper's figure, this study's with its interval, and the verdict."""

from __future__ import annotations

from typing import Any

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
    "model",
    "here",
    "value",
    "low",
    "high",
    "interval_over",
    "confirmed_when",
    "verdict",
)
HEADINGS = (
    "Claim",
    "Statement",
    "Paper",
    "Run",
    "Model",
    "Here",
    "95 % interval",
    "Confirmed when",
    "Verdict",
)


def claims_table(evidence: Evidence) -> pd.DataFrame:
    """One row for each statement and each run or model that it is tested on.

    A statement that is not tested has one row that says so; the setting `untested` leaves out those for whose
    roles the table names no run. Columns: `COLUMNS`. value, low and high are in
    the criterion's unit, and missing where the statement is not tested. model: the model that the verdict is
    about, and whether its weights are real ones or those of a miniature that is trained here.
    """
    rows = []
    for statement in STATEMENTS:
        criterion = statement.criterion(evidence.settings)
        missing = [role for role in statement.roles if role not in evidence.runs]
        if missing and not evidence.settings["untested"]:
            continue
        found = [None] if missing else statement.measure(evidence)
        why = f"no run for {' and '.join(missing)}" if missing else "no figure to read it off"
        for index, measured in enumerate(found):
            rows.append(
                {
                    "claim": statement.claim,
                    "statement": statement.says,
                    "paper": statement.paper,
                    "paper_value": statement.paper_value,
                    "model": "" if missing else evidence.model(statement.roles, index),
                    **_result(measured, criterion, why),
                    "confirmed_when": str(criterion),
                }
            )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _result(measured: Measured | None, criterion: Criterion, why: str) -> dict[str, object]:
    """The study's side of a row: run, figure, interval and verdict.

    measured: nan for a share of nothing, as of no errors; its text says so. why: the reason where
    `measured` is None.
    """
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
    """Headings and rows of the table as text. table: what `claims_table` returns."""
    rows = [
        [
            row["claim"],
            row["statement"],
            row["paper"],
            row["run"] or "-",
            row["model"] or "-",
            row["here"],
            _interval(row),
            row["confirmed_when"],
            row["verdict"],
        ]
        for row in table.to_dict("records")
    ]
    return list(HEADINGS), rows


def _interval(row: dict[Any, Any]) -> str:
    """The interval of a row in words; in percent where the criterion is a share or a difference of two."""
    if not row["interval_over"]:
        return "-"
    if row["confirmed_when"].endswith(("%", "difference")):
        return f"{row['low']:.1%} to {row['high']:.1%} ({row['interval_over']})"
    return f"{row['low']:.2f} to {row['high']:.2f} ({row['interval_over']})"
