"""Run a model over prompts and keep what its modules write at the reading position."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from fourier_addition.capture.store import (
    NORMS,
    ArrayPlan,
    create_store,
    even_block,
    example_coordinates,
    plan_arrays,
    write_block,
)
from fourier_addition.errors import UserError
from fourier_addition.files.whole import replacing
from fourier_addition.models import Bucket, ModelView, Recorder
from fourier_addition.models.gelu import pieced_gelu
from fourier_addition.models.prefix_cache import shared_batches
from fourier_addition.models.prefixes import common_length
from fourier_addition.modules import MODULES

Progress = Callable[..., Iterable[Any]]


def capture(
    view: ModelView,
    prompts: Sequence[str],
    examples: pd.DataFrame,
    number_ids: Sequence[int] | np.ndarray | torch.Tensor,
    path: str | Path,
    *,
    batch_size: int,
    block: int,
    dtype: str = "float32",
    shared_prefix: int = 0,
    progress: Progress | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> dict[str, dict[str, Any]]:
    """Stream the residual stream's parts at the reading position into a Zarr 3 store.

    prompts: (example,) texts; examples: one row for each, whose columns become coordinates.
    number_ids: (number,) token ids of the numbers 0..p-1.
    batch_size: prompts of one pass. block: examples held in memory, and of one file, at most
    (made smaller where that evens the blocks out).
    dtype: "float32" or "float16", of activations; logits stay float32.
    shared_prefix: where at least so many leading tokens are the same in a whole batch, pass
    them once for the batch, and those that a whole block has in common (solved examples before
    every prompt) once for all blocks that begin so; values then equal a plain pass up to
    rounding. 0: never. Without effect on masked models, which cannot.
    progress: wraps an iterable and takes `total`, as tqdm does; one item an example.
    attributes: JSON values to keep with the store.

    Writes module_output (module, layer, example, feature), residual (state, example,
    feature), final_logits (example, number), vocabulary_prediction and vocabulary_logsumexp
    (example), lens_prediction (norm, state, example); section 2 of the paper. Memory grows
    with `block`, not with the number of examples; examples keep their order. Equal arguments
    give equal bytes. The store appears whole or not at all.
    Returns name -> {"dims", "shape", "dtype"} of these arrays, for a manifest.
    Raises UserError for lengths that differ, columns that cannot be stored, a size or dtype
    that will not do, and values that are not finite or too large for `dtype`.
    """
    # Refuse what will not do before the model runs.
    if len(prompts) != len(examples):
        raise UserError(f"There are {len(prompts)} prompts and {len(examples)} rows of examples.")
    if batch_size < 1:
        raise UserError(f"batch_size must be at least 1, not {batch_size}.")
    ids = torch.as_tensor(number_ids, dtype=torch.long, device=view.device)
    size = even_block(len(prompts), block)

    # Lay out the arrays, and what names their rows and columns.
    plans = plan_arrays(
        n_examples=len(prompts),
        n_layers=view.n_layers,
        d_model=view.d_model,
        n_numbers=len(ids),
        block=size,
        dtype=dtype,
    )
    coordinates = _coordinates(view, ids)
    reserved = {*plans, *coordinates, *(dim for plan in plans.values() for dim in plan.dims)}
    coordinates |= example_coordinates(examples, reserved)
    described = _description(view) | dict(attributes or {})

    # Run the model block by block; the store gets its name when it is whole.
    with replacing(path) as temporary, view.evaluating(), pieced_gelu(view.model):
        group = create_store(temporary, plans, coordinates, described)
        steps = _blocks(view, prompts, ids, plans, size, min(batch_size, size), shared_prefix, group)
        for _ in progress(steps, total=len(prompts)) if progress else steps:
            pass
    return {name: plan.description() for name, plan in plans.items()}


def _coordinates(view: ModelView, ids: torch.Tensor) -> dict[str, tuple[str, np.ndarray]]:
    """What names the entries of every dimension but `example`: name -> (dimension, values)."""
    return {
        "module": ("module", np.array(MODULES)),
        "layer": ("layer", np.arange(view.n_layers)),
        "state": ("state", np.arange(view.n_layers + 1)),
        "norm": ("norm", np.array(NORMS)),
        "number": ("number", np.arange(len(ids))),
        "token_id": ("number", ids.cpu().numpy()),
    }


def _description(view: ModelView) -> dict[str, Any]:
    """What the store says of the model."""
    return {
        "family": view.family,
        "weights_dtype": str(view.dtype).removeprefix("torch."),
        "reading_position": "last token" if view.causal else "mask token",
        "parallel": view.parallel,
        "post_norm": view.post_norm,
    }


def _blocks(
    view: ModelView,
    prompts: Sequence[str],
    ids: torch.Tensor,
    plans: Mapping[str, ArrayPlan],
    size: int,
    batch_size: int,
    shared_prefix: int,
    group: Any,
) -> Iterator[int]:
    """Capture and write block after block of `size` examples; yields once for every example done."""
    buffers = _buffers(plans, size)
    with Recorder(view, batch_size) as recorder:
        for start in range(0, len(prompts), size):
            encoded = view.encode(prompts[start : start + size])

            # What the whole block has in common passes once; the stem is kept where blocks begin alike.
            if shared_prefix and view.reusable_cache:
                common = common_length(encoded)
                recorder.stem.keep(encoded[0].ids[:common] if common >= shared_prefix else [])

            # Fill the buffers batch by batch.
            for bucket, shared in shared_batches(view, encoded, batch_size, shared_prefix):
                _fill(view, recorder, bucket, shared, ids, buffers, plans)
                yield from bucket.index

            # Write the block; the last one may leave buffers partly empty.
            filled = {
                name: buffer[_at(plans[name], slice(0, len(encoded)))] for name, buffer in buffers.items()
            }
            for name, values in filled.items():
                _check_finite(name, values)
            write_block(group, plans, start, **filled)


def _buffers(plans: Mapping[str, ArrayPlan], size: int) -> dict[str, np.ndarray]:
    """One array a plan with room for one block: all that a capture holds in memory."""
    return {
        name: np.empty(
            [size if dim == "example" else n for dim, n in zip(plan.dims, plan.shape, strict=True)],
            dtype=plan.dtype,
        )
        for name, plan in plans.items()
    }


@torch.inference_mode()
def _fill(
    view: ModelView,
    recorder: Recorder,
    bucket: Bucket,
    shared: int,
    ids: torch.Tensor,
    buffers: Mapping[str, np.ndarray],
    plans: Mapping[str, ArrayPlan],
) -> None:
    """Run one batch and put its values into the block's rows."""
    # The pass, every residual state read by the unembedding, and the model's prediction.
    recorded = recorder.run(bucket.ids, bucket.position, shared=shared)
    lens = {norm: view.number_logits(recorded.residual, ids, norm=norm == "final") for norm in NORMS}
    prediction, logsumexp = view.vocabulary_summary(recorded.residual[-1])
    values = {
        "module_output": recorded.module_output,
        "residual": recorded.residual,
        "final_logits": lens["final"][-1],
        "vocabulary_prediction": prediction,
        "vocabulary_logsumexp": logsumexp,
        "lens_prediction": torch.stack([lens[norm].argmax(dim=-1) for norm in NORMS]),
    }

    # too large for float16 becomes infinite here and is refused before it is written
    with np.errstate(over="ignore"):
        for name, value in values.items():
            host = value.float() if value.is_floating_point() else value
            buffers[name][_at(plans[name], bucket.index)] = host.cpu().numpy()


def _at(plan: ArrayPlan, rows: slice | np.ndarray) -> tuple[Any, ...]:
    """Index of rows along `example`."""
    return tuple(rows if dim == "example" else slice(None) for dim in plan.dims)


def _check_finite(name: str, values: np.ndarray) -> None:
    # the extremes tell, without a second array of the block's size
    if values.dtype.kind == "f" and not np.isfinite([values.min(), values.max()]).all():
        hint = "; set the dtype of the capture to float32" if values.dtype == np.float16 else ""
        raise UserError(f"Values of {name} are not finite as {values.dtype}{hint}.")
