"""Captured activations on disk: the layout of one Zarr 3 store a shard, and how blocks are written."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zarr

from fourier_addition.errors import UserError

MODULES = ("attention", "mlp")
"""Entries of the `module` dimension: what adds to the residual stream."""
NORMS = ("final", "none")
"""Entries of the `norm` dimension: the final norm before the unembedding, or none."""
DTYPES = ("float32", "float16")
"""Types that activations can be stored in; Zarr and xarray have no bfloat16."""


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


def plan_arrays(
    *, n_examples: int, n_layers: int, d_model: int, n_numbers: int, block: int, dtype: str
) -> dict[str, ArrayPlan]:
    """Layout of a capture.

    block: examples of a chunk, and of a shard, which holds all layers of its examples: one
    file a block, from which a single layer is read without the others.
    dtype: type of activations; logits are always float32.
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
    one_in_a_chunk = ("module", "layer", "state", "norm")
    blocked = dict(sizes, example=block)

    def plan(dims: str, kind: str, long_name: str, definition: str, units: str = "1") -> ArrayPlan:
        names = tuple(dims.split())
        chunks = tuple(1 if name in one_in_a_chunk else blocked[name] for name in names)
        shards = tuple(blocked[name] for name in names)
        return ArrayPlan(
            names,
            tuple(sizes[name] for name in names),
            kind,
            chunks,
            None if shards == chunks else shards,
            {"long_name": long_name, "definition": definition, "units": units},
        )

    stream = "units of the residual stream"
    return {
        "module_output": plan(
            "module layer example feature",
            dtype,
            "module outputs",
            "what the attention or MLP of a layer adds to the residual stream at the reading position",
            stream,
        ),
        "residual": plan(
            "state example feature",
            dtype,
            "residual stream",
            "residual stream at the reading position; state 0 before the first block, state l after block l",
            stream,
        ),
        "final_logits": plan(
            "example number",
            "float32",
            "final logits of the numbers",
            "the model's output logits at the reading position, restricted to the number tokens",
            "nat",
        ),
        "vocabulary_prediction": plan(
            "example",
            "int32",
            "predicted token",
            "token id of the largest output logit at the reading position over the whole vocabulary",
        ),
        "vocabulary_logsumexp": plan(
            "example",
            "float32",
            "log-sum-exp over the vocabulary",
            "log of the sum of exponentials of all output logits at the reading position; "
            "minus a final logit it is that token's loss",
            "nat",
        ),
        "lens_prediction": plan(
            "norm state example",
            "int32",
            "logit-lens prediction",
            "number with the largest logit when a residual state is read by the unembedding, "
            "after the final norm ('final') or without it ('none')",
        ),
    }


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
    group = zarr.open_group(path, mode="w", zarr_format=3)
    group.attrs.update(dict(attributes))
    outer = [name for name, (dim, _) in coordinates.items() if name != dim]
    # xarray's way to tell coordinates from data on disk
    group.attrs["coordinates"] = " ".join(outer)
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


def write_block(group: zarr.Group, plans: Mapping[str, ArrayPlan], start: int, **blocks: np.ndarray) -> None:
    """Write examples `start`.. of the arrays given by name; whole shards when block-aligned."""
    for name, values in blocks.items():
        axis = plans[name].dims.index("example")
        where = [slice(None)] * values.ndim
        where[axis] = slice(start, start + values.shape[axis])
        group[name][tuple(where)] = values


def example_coordinates(examples: pd.DataFrame, reserved: Sequence[str]) -> dict[str, tuple[str, np.ndarray]]:
    """Columns of a table of examples as coordinates along `example`.

    Numbers, booleans and strings (also categories of them). Raises UserError for any other
    column, one with missing values, or a name in `reserved`.
    """
    coordinates = {}
    for name, column in examples.items():
        if name in reserved:
            raise UserError(
                f"The column {name!r} of the examples has the name of a captured array or dimension."
            )
        if column.isna().any():
            raise UserError(f"The column {name!r} of the examples has missing values.")
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
