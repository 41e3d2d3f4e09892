"""Table 1 of the paper in words."""

from __future__ import annotations

import pandas as pd

from fourier_addition.errors import UserError

MODULE_WORDS = {"none": "none", "both": "attention and MLP", "attention": "attention", "mlp": "MLP"}
"""What the column `Module` of table 1 says of `none` and of each entry of `modules.FILTERED`."""
HEADINGS = (
    "Module",
    "Removed",
    "Rank",
    "Loss",
    "Loss, random subspaces",
    "Accuracy",
    "Accuracy, random subspaces",
)
COLUMNS = (
    "module",
    "band",
    "loss",
    "loss_low",
    "loss_high",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "examples",
    "rank",
    "control_accuracy_mean",
    "control_accuracy_low",
    "control_accuracy_high",
    "control_loss_mean",
    "control_loss_low",
    "control_loss_high",
)

CONCLUSIONS: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "attention does not need low frequencies": ("unharmed", (("attention", "low"),)),
    "attention needs high frequencies": ("harmed", (("attention", "high"),)),
    "MLPs need low frequencies": ("harmed", (("mlp", "low"),)),
    "MLPs hardly need high frequencies": ("unharmed", (("mlp", "high"),)),
    "both bands are needed": ("harmed", (("both", "low"), ("both", "high"))),
}
"""The paper's conclusions from table 1: what must hold, of which rows."""


def table1_of(summary: pd.DataFrame) -> pd.DataFrame:
    """The seven rows of table 1 in a study's summary, with the columns `COLUMNS`.

    Raises UserError when the summary has none.
    """
    table = summary[summary["kind"] == "table"]
    if table.empty:
        raise UserError("There is no condition of table 1 among those that were run.")
    return table.reindex(columns=list(COLUMNS)).reset_index(drop=True)


def _interval(row: pd.Series, value: str, low: str, high: str) -> str:
    return "-" if pd.isna(row[value]) else f"{row[value]:.4f} [{row[low]:.4f}, {row[high]:.4f}]"


def table1_cells(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of table 1 as text: value and interval in one cell."""
    quantities = (
        ("loss", "loss_low", "loss_high"),
        ("control_loss_mean", "control_loss_low", "control_loss_high"),
        ("accuracy", "accuracy_low", "accuracy_high"),
        ("control_accuracy_mean", "control_accuracy_low", "control_accuracy_high"),
    )
    rows = [
        [
            MODULE_WORDS[row["module"]],
            "-" if row["band"] == "none" else row["band"],
            str(row["rank"]),
            *(_interval(row, *names) for names in quantities),
        ]
        for _, row in table.iterrows()
    ]
    return list(HEADINGS), rows
