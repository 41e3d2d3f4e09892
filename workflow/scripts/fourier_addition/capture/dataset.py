"""Reading back what a capture wrote: shards end to end as one lazy dataset, and a model's number rows.

Free of torch, so that analyses can read without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import xarray as xr
import zarr
from xarray.backends import BackendArray
from xarray.core import indexing

from fourier_addition.errors import UserError
from fourier_addition.files.checks import require_whole_store

ZarrArray = zarr.Array[Any]
VARIABLES = ("unembedding", "unembedding_bias", "input_embedding", "folded_unembedding")


class _Concatenated(BackendArray):
    """Arrays of several stores end to end along one axis; reads only what is asked for.

    paths: the stores, to be named when one is damaged.
    """

    def __init__(self, arrays: Sequence[ZarrArray], axis: int, paths: Sequence[str | Path]) -> None:
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
        outer = indexing.IndexingSupport.OUTER
        found = indexing.explicit_indexing_adapter(key, self.shape, outer, self._read)
        return cast(np.ndarray, found)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        """key: one index a dimension, each applied on its own."""
        key = tuple(_simple(part, size) for part, size in zip(key, self.shape, strict=True))
        wanted = key[self._axis]

        # One position lies in one store.
        if isinstance(wanted, int):
            part = int(np.searchsorted(self._edges, wanted, side="right")) - 1
            return self._part(part, key, wanted - int(self._edges[part]))

        # Several positions: room for the answer, without the dimensions of which one entry is asked for.
        rows = np.arange(self.shape[self._axis])[wanted]
        pairs = list(zip(key, self.shape, strict=True))
        kept = [axis for axis, (one, _) in enumerate(pairs) if not isinstance(one, int)]
        shape = [len(np.arange(size)[one]) for one, size in pairs if not isinstance(one, int)]
        out = np.empty(shape, dtype=self.dtype)

        # Each store fills the places of the positions that lie in it.
        axis = kept.index(self._axis)
        for part, (start, stop) in enumerate(zip(self._edges[:-1], self._edges[1:], strict=True)):
            (inside,) = np.nonzero((rows >= start) & (rows < stop))
            if len(inside):
                local = _as_slice(rows[inside] - start)
                where: list[Any] = [slice(None)] * out.ndim
                where[axis] = _as_slice(inside)
                out[tuple(where)] = self._part(part, key, local)
        return out

    def _part(self, part: int, key: tuple[Any, ...], along: Any) -> np.ndarray:
        array = self._arrays[part]
        try:
            return cast(np.ndarray, array.oindex[(*key[: self._axis], along, *key[self._axis + 1 :])])
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

    # Shards of one capture have the same arrays and attributes.
    first = groups[0]
    names = sorted(first.array_keys())
    for path, group in zip(paths[1:], groups[1:], strict=True):
        if sorted(group.array_keys()) != names or dict(group.attrs) != dict(first.attrs):
            raise UserError(f"{path} was not captured with the same settings as {paths[0]}.")

    # Join each array along `example`.
    outer = str(first.attrs["coordinates"]).split()
    variables = {name: _joined(name, groups, paths, lazily=name not in outer) for name in names}

    # Part coordinates from data.
    dims = {dim for variable in variables.values() for dim in variable.dims}
    coordinates = {name: variables.pop(name) for name in names if name in outer or name in dims}
    attributes = {name: value for name, value in first.attrs.items() if name != "coordinates"}
    return xr.Dataset(variables, coordinates, attributes)


def _joined(
    name: str, groups: Sequence[zarr.Group], paths: Sequence[str | Path], *, lazily: bool
) -> xr.Variable:
    """One array of all shards. lazily: leave what lies along `example` on disk until it is asked for."""
    arrays = [cast(ZarrArray, group[name]) for group in groups]
    dims, described = _dims(arrays[0]), dict(arrays[0].attrs)
    for path, array in zip(paths, arrays, strict=True):
        if array.dtype != arrays[0].dtype or _other_sizes(array) != _other_sizes(arrays[0]):
            raise UserError(f"{name} in {path} has not the shape or type that it has in {paths[0]}.")

    # Data along `example`: found whole now, read later
    if "example" in dims and lazily:
        for path, array in zip(paths, arrays, strict=True):
            # Zarr would read what is not there as zeros.
            if array.nchunks_initialized != array.nchunks:
                raise _damaged(path, array, "chunks are missing")
        lazy = indexing.LazilyIndexedArray(_Concatenated(arrays, dims.index("example"), paths))
        return xr.Variable(dims, lazy, described)

    # Coordinates along `example` are put end to end; what all shards share must be the same in all.
    parts = [_whole(path, array) for path, array in zip(paths, arrays, strict=True)]
    if "example" in dims:
        return xr.Variable(dims, np.concatenate(parts), described)
    for path, part in zip(paths, parts, strict=True):
        if not np.array_equal(part, parts[0]):
            raise UserError(f"{name} in {path} differs from that in {paths[0]}.")
    return xr.Variable(dims, parts[0], described)


def _open_group(path: str | Path) -> zarr.Group:
    require_whole_store(path)
    try:
        group = zarr.open_group(path, mode="r", zarr_format=3)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} is not a Zarr store.") from error
    if "coordinates" not in group.attrs:
        raise UserError(f"{path} is not a capture.")
    return group


def _dims(array: ZarrArray) -> tuple[str, ...]:
    return tuple(cast(Any, array.metadata).dimension_names)


def _other_sizes(array: ZarrArray) -> list[tuple[str, int]]:
    return [(name, size) for name, size in zip(_dims(array), array.shape, strict=True) if name != "example"]


def _whole(path: str | Path, array: ZarrArray) -> np.ndarray:
    try:
        return _plain(np.asarray(array[:]))
    except (RuntimeError, ValueError) as error:
        raise _damaged(path, array, error) from error


def _damaged(path: str | Path, array: ZarrArray, reason: object) -> UserError:
    return UserError(f"{path} is damaged: {array.name.strip('/')} cannot be read ({reason}).")


def _plain(values: np.ndarray) -> np.ndarray:
    return np.array([str(value) for value in values]) if values.dtype.kind in "OT" else values


def read_number_rows(path: str | Path) -> xr.Dataset:
    """Read what `write_number_rows` wrote, into memory.

    Raises UserError when the path holds no number rows or not as its manifest describes it.
    """
    require_whole_store(path)
    try:
        with xr.open_zarr(path, chunks=None) as store:
            dataset: xr.Dataset = store.load()
    except (OSError, ValueError) as error:
        raise UserError(f"{path} holds no number rows of a model.") from error
    missing = [name for name in VARIABLES if name not in dataset]
    if missing:
        raise UserError(f"{path} holds no number rows of a model: it has no {missing[0]}.")
    return dataset
