"""Which modules, layers and numbers of a table a figure shows."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from fourier_addition.errors import UserError


def chosen_layers(table: pd.DataFrame, layer: Sequence[int] | None) -> list[tuple[str, int]]:
    """[(mlp, layer), (attention, layer)] of figures 2 and 20.

    table: columns module, layer. layer: [MLP layer, attention layer], counted from 0; the last of
    each where None. Raises UserError for a layer that the table does not have.
    """
    panels = []
    for position, module in enumerate(("mlp", "attention")):
        present = table.loc[table["module"] == module, "layer"]
        chosen = int(present.max()) if layer is None else int(layer[position])
        if chosen not in set(present):
            raise UserError(
                f"Layer {chosen} of a figure's `layer` does not exist: the layers are 0..{present.max()}."
            )
        panels.append((module, chosen))
    return panels


def last_layers(table: pd.DataFrame, layers: int | Sequence[int] | None) -> pd.DataFrame:
    """Rows of the last `layers` layers, or of the layers listed; all when None."""
    if layers is None:
        return table
    wanted = sorted(table["layer"].unique())[-layers:] if isinstance(layers, int) else list(layers)
    return table[table["layer"].isin(wanted)]


def window_rows(table: pd.DataFrame, *, answer: int, window: int | None) -> pd.DataFrame:
    """Rows of the numbers within `window` of the answer; all when None."""
    return table if window is None else table[(table["number"] - answer).abs() <= window]


def base_period(table: pd.DataFrame) -> float:
    """N of a table of components: component times period, the same in every row."""
    return float((table["component"] * table["period"]).median())
