"""Captured activations on disk: the layout of one Zarr 3 store a shard, and how blocks are written."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import zarr

from fourier_addition.errors import UserError
from fourier_addition.modules import MODULES

NORMS = ("final", "none")
"""Entries of the `norm` dimension: the final norm before the unembedding, or none."""
DTYPES = ("float32", "float16")
"""Types that activations can be stored in; Zarr and xarray have no bfloat16."""


ZarrArray = zarr.Array[Any]


@dataclass(frozen=True)
class ArrayPlan:
    """Layout of one array: names and sizes of dimensions, type, chunk, shard, description."""

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None
    attributes: dict[str, Any] = field(default_factory=dict)

    def description(self) -> dict[str, Any]:
        """What a manifest says of the array."""
        return {"dims": list(self.dims), "shape": list(self.shape), "dtype": self.dtype}


def even_block(n_examples: int, block: int) -> int:
    """Examples of a block such that as few blocks as `block` allows are of (nearly) one size.

    The last chunk of a Zarr array is stored at full size; equal blocks leave it no waste.
    Raises UserError unless both are positive.
    """
    if n_examples < 1:
        raise UserError("There are no examples to capture.")
    if block < 1:
        raise UserError(f"block must be at least 1 example, not {block}.")
    blocks = -(-n_examples // block)
    return -(-n_examples // blocks)


@dataclass(frozen=True)
class Captured:
    """What one captured array is.

    dims: names of its dimensions. dtype: type of its entries, None for that of the activations.
    long_name, definition, units: what readers are told of it.
    """

    dims: tuple[str, ...]
    dtype: str | None
    long_name: str
    definition: str
    units: str = "1"


STREAM_UNITS = "units of the residual stream"
CAPTURED = {
    "module_output": Captured(
        ("module", "layer", "example", "feature"),
        None,
        "module outputs",
        "what the attention or MLP of a layer adds to the residual stream at the reading position",
        STREAM_UNITS,
    ),
    "residual": Captured(
        ("state", "example", "feature"),
        None,
        "residual stream",
        "residual stream at the reading position; state 0 before the first block, state l after block l",
        STREAM_UNITS,
    ),
    "final_logits": Captured(
        ("example", "number"),
        "float32",
        "final logits of the numbers",
        "the model's output logits at the reading position, restricted to the number tokens",
        "nat",
    ),
    "vocabulary_prediction": Captured(
        ("example",),
        "int32",
        "predicted token",
        "token id of the largest output logit at the reading position over the whole vocabulary",
    ),
    "vocabulary_logsumexp": Captured(
        ("example",),
        "float32",
        "log-sum-exp over the vocabulary",
        "log of the sum of exponentials of all output logits at the reading position; "
        "minus a final logit it is that token's loss",
        "nat",
    ),
    "lens_prediction": Captured(
        ("norm", "state", "example"),
        "int32",
        "logit-lens prediction",
        "number with the largest logit when a residual state is read by the unembedding, "
        "after the final norm ('final') or without it ('none')",
    ),
}
"""The arrays of a capture."""


def plan_arrays(
    *, n_examples: int, n_layers: int, d_model: int, n_numbers: int, block: int, dtype: str
) -> dict[str, ArrayPlan]:
    """Layout of a capture: name -> plan, for every array of `CAPTURED`.

    block: examples of a chunk, and of a shard, which holds all layers of its examples: one
    file a block, from which a single layer is read without the others.
    dtype: type of activations; logits are always float32. Raises UserError for a type that is not stored.
    """
    if dtype not in DTYPES:
        raise UserError(f"dtype {dtype!r} cannot store activations; allowed are {', '.join(DTYPES)}.")
    sizes = {
        "module": len(MODULES),
        "layer": n_layers,
        "state": n_layers + 1,
        "norm": len(NORMS),
        "example": n_examples,
        "feature": d_model,
        "number": n_numbers,
    }
    in_shard = sizes | {"example": block}
    in_chunk = in_shard | {"module": 1, "layer": 1, "state": 1, "norm": 1}

    def plan(array: Captured) -> ArrayPlan:
        chunks = tuple(in_chunk[name] for name in array.dims)
        shards = tuple(in_shard[name] for name in array.dims)
        return ArrayPlan(
            array.dims,
            tuple(sizes[name] for name in array.dims),
            array.dtype or dtype,
            chunks,
            None if shards == chunks else shards,
            {"long_name": array.long_name, "definition": array.definition, "units": array.units},
        )

    return {name: plan(array) for name, array in CAPTURED.items()}


def create_store(
    path: str | Path,
    plans: Mapping[str, ArrayPlan],
    coordinates: Mapping[str, tuple[str, np.ndarray]],
    attributes: Mapping[str, Any],
) -> zarr.Group:
    """Lay out a Zarr 3 store with named dimensions and write its coordinates.

    coordinates: name -> (dimension, values); strings are stored as Zarr's variable-length
    strings, the only text type that Zarr 3 specifies.
    attributes: of the whole store, JSON values.
    Metadata are consolidated, so `xarray.open_zarr(path)` reads them in one go.
    """
    # The store, and which arrays of it are coordinates: xarray's way to tell them from data on disk
    group = zarr.open_group(path, mode="w", zarr_format=3)
    group.attrs.update(dict(attributes))
    outer = [name for name, (dim, _) in coordinates.items() if name != dim]
    group.attrs["coordinates"] = " ".join(outer)

    # Coordinates are small and written at once.
    for name, (dim, values) in coordinates.items():
        text = values.dtype.kind in "OUT"
        array = group.create_array(
            name,
            shape=values.shape,
            chunks=values.shape,
            dtype=str if text else values.dtype,
            dimension_names=[dim],
        )
        array[:] = values.astype(object) if text else values

    # Data are laid out here and written block by block.
    for name, plan in plans.items():
        group.create_array(
            name,
            shape=plan.shape,
            chunks=plan.chunks,
            shards=plan.shards,
            dtype=plan.dtype,
            # float activations do not compress; whole numbers do
            compressors=None if plan.dtype.startswith("float") else "auto",
            dimension_names=plan.dims,
            attributes=plan.attributes,
            # comparing every block with zeros costs a pass and saves nothing
            config={"write_empty_chunks": True},
        )

    with warnings.catch_warnings():
        # Not yet part of the Zarr 3 text, but read by xarray and zarr-python; without it every
        # open_zarr warns. Readers that do not know it pass over it.
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        zarr.consolidate_metadata(group.store)
    return group


def array_of(group: zarr.Group, name: str) -> ZarrArray:
    """The array of that name in a store."""
    return cast(ZarrArray, group[name])


def write_block(group: zarr.Group, plans: Mapping[str, ArrayPlan], start: int, **blocks: np.ndarray) -> None:
    """Write examples `start`.. of the arrays given by name; whole shards when block-aligned."""
    for name, values in blocks.items():
        axis = plans[name].dims.index("example")
        where: list[slice] = [slice(None)] * values.ndim
        where[axis] = slice(start, start + values.shape[axis])
        array_of(group, name)[tuple(where)] = values


def example_coordinates(
    examples: pd.DataFrame, reserved: Collection[str]
) -> dict[str, tuple[str, np.ndarray]]:
    """Columns of a table of examples as coordinates along `example`.

    Numbers, booleans and strings (also categories of them). Raises UserError for any other
    column, one with missing values, or a name in `reserved`.
    """
    coordinates = {}
    for name, column in examples.items():
        # Refuse names and values that a reader would mistake.
        if name in reserved:
            raise UserError(
                f"The column {name!r} of the examples has the name of a captured array or dimension."
            )
        if column.isna().any():
            raise UserError(f"The column {name!r} of the examples has missing values.")

        # Find the type that the store keeps the column in.
        if isinstance(column.dtype, pd.CategoricalDtype):
            column = column.astype(column.cat.categories.dtype)
        if pd.api.types.is_bool_dtype(column.dtype):
            values = column.to_numpy(dtype=bool)
        elif pd.api.types.is_integer_dtype(column.dtype):
            values = column.to_numpy(dtype=np.int64)
        elif pd.api.types.is_float_dtype(column.dtype):
            values = column.to_numpy(dtype=np.float64)
        elif all(isinstance(value, str) for value in column):
            values = column.to_numpy(dtype=object)
        else:
            raise UserError(
                f"The column {name!r} of the examples holds neither numbers, booleans nor strings."
            )
        coordinates[str(name)] = ("example", values)
    return coordinates
