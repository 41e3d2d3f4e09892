"""Which module and layer a single-layer figure shows."""

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
