"""Captured activations on disk: one Zarr 3 store a shard, read back lazily as one dataset.

Free of torch, so that analyses can read what a capture wrote without it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
import zarr
from xarray.backends import BackendArray
from xarray.core import indexing

from fourier_addition.errors import UserError
from fourier_addition.storage import require_whole_store

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


class _Concatenated(BackendArray):
    """Arrays of several stores end to end along one axis; reads only what is asked for.

    paths: the stores, to be named when one is damaged.
    """

    def __init__(self, arrays: Sequence[zarr.Array], axis: int, paths: Sequence[str | Path]) -> None:
        self._arrays = list(arrays)
        self._paths = list(paths)
        self._axis = axis
        lengths = [array.shape[axis] for array in self._arrays]
        self._edges = np.concatenate([[0], np.cumsum(lengths)])
        shape = list(self._arrays[0].shape)
        shape[axis] = int(self._edges[-1])
        self.shape = tuple(shape)
        self.dtype = self._arrays[0].dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        key = tuple(_simple(part, size) for part, size in zip(key, self.shape, strict=True))
        wanted = key[self._axis]
        if isinstance(wanted, int):
            part = int(np.searchsorted(self._edges, wanted, side="right")) - 1
            return self._part(part, key, wanted - int(self._edges[part]))
        rows = np.arange(self.shape[self._axis])[wanted]
        lengths = [
            1 if isinstance(part, int) else len(np.arange(size)[part])
            for part, size in zip(key, self.shape, strict=True)
        ]
        kept = [axis for axis, part in enumerate(key) if not isinstance(part, int)]
        out = np.empty([lengths[axis] for axis in kept], dtype=self.dtype)
        axis = kept.index(self._axis)
        for part, (start, stop) in enumerate(zip(self._edges[:-1], self._edges[1:], strict=True)):
            (inside,) = np.nonzero((rows >= start) & (rows < stop))
            if len(inside):
                local = _as_slice(rows[inside] - start)
                where = [slice(None)] * out.ndim
                where[axis] = _as_slice(inside)
                out[tuple(where)] = self._part(part, key, local)
        return out

    def _part(self, part: int, key: tuple[Any, ...], along: Any) -> np.ndarray:
        array = self._arrays[part]
        try:
            return array.oindex[(*key[: self._axis], along, *key[self._axis + 1 :])]
        except (RuntimeError, ValueError) as error:
            raise _damaged(self._paths[part], array, error) from error


def _simple(part: Any, size: int) -> int | slice | np.ndarray:
    """An index that zarr takes: a number, a slice of step 1 or an array of positions from 0."""
    if isinstance(part, slice):
        start, stop, step = part.indices(size)
        return slice(start, max(start, stop)) if step == 1 else np.arange(start, stop, step)
    if np.ndim(part) == 0:
        return int(part) % size
    return np.asarray(part) % size


def _as_slice(rows: np.ndarray) -> slice | np.ndarray:
    if len(rows) and np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows))):
        return slice(int(rows[0]), int(rows[0]) + len(rows))
    return rows


def open_capture(paths: str | Path | Sequence[str | Path]) -> xr.Dataset:
    """Shards of one capture as one dataset, end to end along `example`, in the order given.

    Variables are read when asked for and not kept: `ds.module_output.sel(module="mlp",
    layer=3).values` reads that layer of every shard. Coordinates are in memory, text as
    fixed-width strings. Raises UserError when a path is no capture or not as its manifest
    describes it, or the shards do not belong together; reading raises it for a damaged chunk.
    """
    paths = [paths] if isinstance(paths, str | Path) else list(paths)
    if not paths:
        raise UserError("There are no captures to open.")
    groups = [_open_group(path) for path in paths]
    first = groups[0]
    outer = str(first.attrs["coordinates"]).split()
    attributes = {name: value for name, value in first.attrs.items() if name != "coordinates"}
    variables: dict[str, xr.Variable] = {}
    names = sorted(first.array_keys())
    for path, group in zip(paths[1:], groups[1:], strict=True):
        if sorted(group.array_keys()) != names or dict(group.attrs) != dict(first.attrs):
            raise UserError(f"{path} was not captured with the same settings as {paths[0]}.")
    for name in names:
        arrays = [group[name] for group in groups]
        dims = arrays[0].metadata.dimension_names
        for path, array in zip(paths, arrays, strict=True):
            if array.dtype != arrays[0].dtype or _other_sizes(array) != _other_sizes(arrays[0]):
                raise UserError(f"{name} in {path} has not the shape or type that it has in {paths[0]}.")
        described = dict(arrays[0].attrs)
        if "example" in dims and name not in outer:
            for path, array in zip(paths, arrays, strict=True):
                # Zarr would read what is not there as zeros.
                if array.nchunks_initialized != array.nchunks:
                    raise _damaged(path, array, "chunks are missing")
            lazy = indexing.LazilyIndexedArray(_Concatenated(arrays, dims.index("example"), paths))
            variables[name] = xr.Variable(dims, lazy, described)
            continue
        parts = [_whole(path, array) for path, array in zip(paths, arrays, strict=True)]
        if "example" in dims:
            values = np.concatenate(parts)
        else:
            values = parts[0]
            for path, part in zip(paths, parts, strict=True):
                if not np.array_equal(part, values):
                    raise UserError(f"{name} in {path} differs from that in {paths[0]}.")
        variables[name] = xr.Variable(dims, values, described)
    dims = {dim for variable in variables.values() for dim in variable.dims}
    coordinates = {name: variables.pop(name) for name in names if name in outer or name in dims}
    return xr.Dataset(variables, coordinates, attributes)


def _open_group(path: str | Path) -> zarr.Group:
    require_whole_store(path)
    try:
        group = zarr.open_group(path, mode="r", zarr_format=3)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} is not a Zarr store.") from error
    if "coordinates" not in group.attrs:
        raise UserError(f"{path} is not a capture.")
    return group


def _other_sizes(array: zarr.Array) -> list[tuple[str, int]]:
    pairs = zip(array.metadata.dimension_names, array.shape, strict=True)
    return [(name, size) for name, size in pairs if name != "example"]


def _whole(path: str | Path, array: zarr.Array) -> np.ndarray:
    try:
        return _plain(array[:])
    except (RuntimeError, ValueError) as error:
        raise _damaged(path, array, error) from error


def _damaged(path: str | Path, array: zarr.Array, reason: object) -> UserError:
    return UserError(f"{path} is damaged: {array.name.strip('/')} cannot be read ({reason}).")


def _plain(values: np.ndarray) -> np.ndarray:
    return np.array([str(value) for value in values]) if values.dtype.kind in "OT" else values
