"""Fourier probes: R2 of circles by residual state and period."""

from __future__ import annotations

from typing import Any, cast

import pandas as pd

from fourier_addition.explorer.packing import packed_integers, packed_rows


def circles_part(table: pd.DataFrame) -> list[dict[str, Any]]:
    """One record for each position and target, packed.

    table: what `analysis.position_probes` makes, one row for each position, target, layer (residual state)
    and period. r2: (layer, period). beyond: (layer, period), 1 where all of the interval of R2 is above what
    shuffled numbers reach. null: (layer, period), what they reach at most.
    """
    found = []
    for key, rows in table.groupby(["position", "target"], sort=True):
        position, target = cast(tuple[str, str], key)
        grids = {
            name: rows.pivot_table(index="layer", columns="period", values=name, sort=True)
            for name in ("r2", "r2_low", "null_high")
        }
        r2, low, null = grids["r2"], grids["r2_low"].to_numpy(), grids["null_high"].to_numpy()
        found.append(
            {
                "position": str(position),
                "target": str(target),
                "layers": [int(layer) for layer in r2.index],
                "periods": [float(period) for period in r2.columns],
                "examples": int(rows["examples"].iloc[0]),
                "r2": packed_rows(r2.to_numpy()),
                "null": packed_rows(null),
                "beyond": packed_integers((low > null).astype(int)),
            }
        )
    return found
