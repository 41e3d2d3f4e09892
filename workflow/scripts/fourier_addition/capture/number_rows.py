"""What analyses without torch need of a model: the number rows of its embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fourier_addition.capture.store import ArrayPlan, array_of, create_store
from fourier_addition.files.whole import replacing

ABOUT = {
    "unembedding": {"long_name": "number rows of the unembedding", "units": "1"},
    "unembedding_bias": {"long_name": "bias of the numbers' logits", "units": "nat"},
    "input_embedding": {"long_name": "number rows of the input embedding parameter", "units": "1"},
    "folded_unembedding": {
        "long_name": "number rows of the unembedding with what stands before it folded in",
        "units": "1",
    },
}
"""What readers are told of each array."""


def write_number_rows(
    view: Any,
    number_ids: Sequence[int] | np.ndarray,
    path: str | Path,
    *,
    attributes: Mapping[str, Any] | None = None,
) -> dict[str, dict[str, Any]]:
    """Write a model's number rows to a small Zarr 3 store, whole or not at all.

    view: a `ModelView`. number_ids: (number,) token ids of the numbers 0..p-1.
    Writes, in float32, unembedding (number, feature), unembedding_bias (number; zeros where
    the model has none), input_embedding (number, feature; the parameter's rows, before any
    scale that the model applies) and folded_unembedding (number, feature; see `ModelView`). Attributes:
    family, tied, d_model, n_layers, parallel, post_norm, has_bias and those given.
    Returns name -> {"dims", "shape", "dtype"}, for a manifest.
    """
    # The rows; a model without a bias has zeros
    ids = np.asarray(number_ids, dtype=np.int64)
    bias = view.unembedding_bias(ids)
    rows = {
        "unembedding": view.unembedding(ids),
        "unembedding_bias": bias,
        "input_embedding": view.input_embedding(ids),
        "folded_unembedding": view.folded_unembedding(ids),
    }
    values = {
        name: np.zeros(len(ids), np.float32) if array is None else array.cpu().numpy()
        for name, array in rows.items()
    }

    # How they lie in the store, and what readers are told of them and of the model
    plans = {
        name: ArrayPlan(
            ("number", "feature")[: value.ndim], value.shape, "float32", value.shape, None, ABOUT[name]
        )
        for name, value in values.items()
    }
    described = {
        "family": view.family,
        "tied": view.tied,
        "d_model": view.d_model,
        "n_layers": view.n_layers,
        "parallel": view.parallel,
        "post_norm": view.post_norm,
        "has_bias": bias is not None,
        **(attributes or {}),
    }

    # Write all of it, or nothing.
    coordinates = {"number": ("number", np.arange(len(ids))), "token_id": ("number", ids)}
    with replacing(path) as temporary:
        group = create_store(temporary, plans, coordinates, described)
        for name, value in values.items():
            array_of(group, name)[:] = value
    return {name: plan.description() for name, plan in plans.items()}
