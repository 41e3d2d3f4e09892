"""Every example's prediction and loss under every condition, kept in Zarr."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from fourier_addition.errors import UserError
from fourier_addition.files.whole import replacing

CONDITION_COLUMNS = (
    "condition",
    "kind",
    "band",
    "module",
    "layers",
    "removed_components",
    "rank",
    "draw",
    "control_of",
    "value",
)
"""What a condition is, in the order of `run_conditions`."""


def write_outcomes(outcomes: xr.Dataset, examples: pd.DataFrame, path: str | Path) -> dict[str, Any]:
    """Write what `run_conditions` returned, whole or not at all.

    outcomes: prediction, loss (condition, example). examples: the examples in order, with the
    columns a, b, template, which become coordinates. Returns name -> {"dims", "shape", "dtype"}.
    """
    labelled = outcomes.assign_coords(
        {name: ("example", examples[name].to_numpy()) for name in ("a", "b", "template")}
    )
    # Text has Zarr's variable-length strings, the only type of text that Zarr 3 specifies.
    for name, coordinate in labelled.coords.items():
        if coordinate.dtype.kind in "OUT":
            text = np.asarray(coordinate, np.str_).astype(object)
            labelled = labelled.assign_coords({name: (coordinate.dims, text)})
    with replacing(path) as temporary, warnings.catch_warnings():
        # Consolidated metadata are not yet part of Zarr 3, but xarray warns at every reading without them.
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        labelled.to_zarr(temporary, mode="w", zarr_format=3, consolidated=True)
    return {
        str(name): {"dims": list(array.dims), "shape": list(array.shape), "dtype": str(array.dtype)}
        for name, array in outcomes.data_vars.items()
    }


def _as_text(outcomes: Any) -> Any:
    """The same dataset with its text as fixed-width strings, as `run_conditions` has them."""
    text = {
        str(name): (coordinate.dims, np.array(list(map(str, coordinate.values))))
        for name, coordinate in outcomes.coords.items()
        if coordinate.dtype.kind in "OUT"
    }
    return outcomes.assign_coords(text)


def read_outcomes(paths: Sequence[str | Path], examples: int) -> xr.Dataset:
    """Outcomes that `write_outcomes` wrote in shards, as `run_conditions` returns them for all at once.

    paths: stores, whose coordinate `example` says where among all the examples each one stands.
    examples: how many there are in all. Returns prediction, loss (condition, example), in memory.
    Raises UserError when examples are missing or twice there, or shards have other conditions.
    """
    # Shards of one ablation have the same conditions.
    shards = [_as_text(xr.open_zarr(path).load()) for path in paths]
    for path, shard in zip(paths, shards, strict=True):
        for name in CONDITION_COLUMNS:
            if not shard[name].variable.equals(shards[0][name].variable):
                raise UserError(f"{path} has other conditions ({name}) than {paths[0]}.")

    # Together they hold each example once.
    found = np.concatenate([shard["example"].to_numpy() for shard in shards])
    order = np.argsort(found, kind="stable")
    if not np.array_equal(found[order], np.arange(examples)):
        raise UserError(
            f"The {len(paths)} shards at {Path(paths[0]).parent} hold {len(found)} examples, "
            f"{len(np.unique(found))} of them different, not each of the {examples} once."
        )

    # Put them end to end, in the order of the examples.
    first = shards[0]

    def joined(name: str, axis: int) -> np.ndarray:
        return np.concatenate([shard[name].to_numpy() for shard in shards], axis=axis).take(order, axis=axis)

    return xr.Dataset(
        {name: (first[name].dims, joined(name, 1), first[name].attrs) for name in ("prediction", "loss")},
        coords={name: ("condition", first[name].to_numpy()) for name in CONDITION_COLUMNS}
        | {"example": np.arange(examples), "answer": ("example", joined("answer", 0))},
        attrs=first.attrs,
    )
