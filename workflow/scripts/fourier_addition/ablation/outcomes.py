"""Every example's prediction and loss under every condition, kept in Zarr."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from fourier_addition.storage import replacing


def write_outcomes(outcomes: xr.Dataset, examples: pd.DataFrame, path: str | Path) -> dict[str, Any]:
    """Write what `run_conditions` returned, whole or not at all.

    outcomes: prediction, loss (condition, example). examples: the examples in order, with the
    columns a, b, template, which become coordinates. Returns name -> {"dims", "shape", "dtype"}.
    """
    labelled = outcomes.assign_coords(
        {name: ("example", examples[name].to_numpy()) for name in ("a", "b", "template")}
    )
    for name, coordinate in labelled.coords.items():
        if coordinate.dtype.kind in "OUT":
            labelled = labelled.assign_coords({name: (coordinate.dims, np.asarray(coordinate, np.str_))})
    with replacing(path) as temporary:
        labelled.to_zarr(temporary, mode="w", zarr_format=3, consolidated=False)
    return {
        str(name): {"dims": list(array.dims), "shape": list(array.shape), "dtype": str(array.dtype)}
        for name, array in outcomes.data_vars.items()
    }
