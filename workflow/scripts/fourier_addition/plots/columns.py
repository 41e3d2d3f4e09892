"""Columns that a plot needs of its tables: refusals that name the figure and the column."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from fourier_addition.errors import UserError


def require(table: pd.DataFrame, columns: Sequence[str], what: str) -> None:
    """Raise UserError when a table lacks a column that a figure needs.

    what: the figure, as it is to be named in the sentence.
    """
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise UserError(
            f"The table for {what} lacks the column {', '.join(missing)}; it has {', '.join(table.columns)}."
        )


def require_fractions(table: pd.DataFrame, columns: Sequence[str], what: str) -> None:
    """Raise UserError when a column that should hold fractions 0..1 holds something else."""
    for column in columns:
        values = table[column].dropna()
        if len(values) and (values.min() < -1e-9 or values.max() > 1 + 1e-9):
            raise UserError(
                f"Column {column} of the table for {what} must hold fractions between 0 and 1, "
                f"not {values.min():.4g} to {values.max():.4g}."
            )


def require_unique(table: pd.DataFrame, keys: Sequence[str], what: str) -> None:
    """Raise UserError when two rows of a table share the keys that should tell them apart."""
    twice = table[table.duplicated(list(keys))]
    if len(twice):
        first = ", ".join(f"{key} {twice[key].iloc[0]}" for key in keys)
        raise UserError(f"The table for {what} has more than one row for {first}.")


def flags(values: pd.Series) -> pd.Series:
    """A column of flags as bool; a missing one is False, as nothing was found there."""
    return values.map(lambda value: bool(value) if pd.notna(value) else False).astype(bool)
