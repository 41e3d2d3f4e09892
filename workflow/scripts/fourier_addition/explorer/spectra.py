"""Spectra with what shuffled numbers reach, of number rows and of mean module logits."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pandas as pd

from fourier_addition.explorer.packing import packed_integers, packed_rows


def null_limit(table: pd.DataFrame) -> np.ndarray:
    """The magnitude at which each component would reach the threshold of its prominence: (component,).

    Prominence is the magnitude over the median of the neighbours (`outliers.prominence`), so the limit is
    that median times the threshold. table: columns magnitude, prominence, threshold.
    """
    magnitude, prominence, threshold = (
        table[name].to_numpy(np.float64) for name in ("magnitude", "prominence", "threshold")
    )
    limit: np.ndarray = threshold * magnitude / np.where(prominence > 0, prominence, 1)
    return limit


def spectrum_part(table: pd.DataFrame) -> dict[str, Any]:
    """One spectrum, packed: magnitude and limit by component from 1 on, and the outliers' components.

    table: columns component, magnitude, prominence, threshold, outlier.
    """
    table = table.sort_values("component")
    return {
        "magnitude": packed_rows(table["magnitude"].to_numpy()),
        "limit": packed_rows(null_limit(table)),
        "outlier": packed_integers(table["component"].to_numpy()[table["outlier"].to_numpy(bool)]),
    }


def module_spectra_part(table: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Module -> the spectrum of each layer, in order. table: columns module, layer and `spectrum_part`'s."""
    found: dict[str, list[dict[str, Any]]] = {}
    for key, rows in table.groupby(["module", "layer"], sort=True):
        module, _ = cast(tuple[str, int], key)
        found.setdefault(str(module), []).append(spectrum_part(rows))
    return found
