"""Table 1 as CSV, Markdown and LaTeX."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fourier_addition.errors import UserError
from fourier_addition.storage import replacing, write_csv

MODULES = {"none": "none", "both": "attention and MLP", "attention": "attention", "mlp": "MLP"}
HEADINGS = (
    "Module",
    "Removed",
    "Rank",
    "Loss",
    "Loss, random subspaces",
    "Accuracy",
    "Accuracy, random subspaces",
)


def _interval(row: pd.Series, value: str, low: str, high: str, dash: str) -> str:
    if pd.isna(row[value]):
        return dash
    return f"{row[value]:.4f} [{row[low]:.4f}, {row[high]:.4f}]"


def cells(table: pd.DataFrame, dash: str = "-") -> list[list[str]]:
    """Table 1 as text, a row each: value and interval in one cell; `dash` where there is nothing."""
    quantities = (
        ("loss", "loss_low", "loss_high"),
        ("control_loss_mean", "control_loss_low", "control_loss_high"),
        ("accuracy", "accuracy_low", "accuracy_high"),
        ("control_accuracy_mean", "control_accuracy_low", "control_accuracy_high"),
    )
    return [
        [
            MODULES[row["module"]],
            dash if row["removed"] == "none" else row["removed"],
            str(row["rank"]),
            *(_interval(row, *names, dash) for names in quantities),
        ]
        for _, row in table.iterrows()
    ]


def to_markdown(table: pd.DataFrame) -> str:
    """Table 1 as a Markdown table."""
    body = [list(HEADINGS), ["---"] * 3 + ["---:"] * 4, *cells(table)]
    return "".join("| " + " | ".join(row) + " |\n" for row in body)


def to_latex(table: pd.DataFrame) -> str:
    """Table 1 as a LaTeX tabular; it needs the package booktabs."""
    body = [" & ".join(row) + r" \\" for row in cells(table, dash="--")]
    lines = [
        r"\begin{tabular}{llrrrrr}",
        r"\toprule",
        " & ".join(HEADINGS) + r" \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def write_table1(table: pd.DataFrame, path: str | Path) -> None:
    """Write table 1 in the format of the path's suffix: .csv (every column), .md or .tex.

    Raises UserError for another suffix.
    """
    suffix = Path(path).suffix
    if suffix == ".csv":
        write_csv(table, path)
        return
    writers = {".md": to_markdown, ".tex": to_latex}
    if suffix not in writers:
        raise UserError(f"{path} must end in .csv, .md or .tex.")
    with replacing(path) as temporary:
        temporary.write_text(writers[suffix](table))
