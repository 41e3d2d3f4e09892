"""Run a model over prompts and keep what its modules write at the reading position."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from fourier_addition.capture.store import (
    MODULES,
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
from fourier_addition.models.sharing import common_length, shared_batches

MODULE_NORMS = ("raw", "folded")
"""How what stands before the unembedding enters a module's logits: not at all, or its linear part."""

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
    if len(prompts) != len(examples):
        raise UserError(f"There are {len(prompts)} prompts and {len(examples)} rows of examples.")
    if batch_size < 1:
        raise UserError(f"batch_size must be at least 1, not {batch_size}.")
    ids = torch.as_tensor(number_ids, dtype=torch.long, device=view.device)
    size = even_block(len(prompts), block)
    plans = plan_arrays(
        n_examples=len(prompts),
        n_layers=view.n_layers,
        d_model=view.d_model,
        n_numbers=len(ids),
        block=size,
        dtype=dtype,
    )
    dimensions = {dim for plan in plans.values() for dim in plan.dims}
    coordinates = {
        "module": ("module", np.array(MODULES)),
        "layer": ("layer", np.arange(view.n_layers)),
        "state": ("state", np.arange(view.n_layers + 1)),
        "norm": ("norm", np.array(NORMS)),
        "number": ("number", np.arange(len(ids))),
        "token_id": ("number", ids.cpu().numpy()),
    }
    reserved = {*plans, *coordinates, *dimensions}
    coordinates |= example_coordinates(examples, reserved)
    described = {
        "family": view.family,
        "weights_dtype": str(view.dtype).removeprefix("torch."),
        "reading_position": "last token" if view.causal else "mask token",
        "parallel": view.parallel,
        "post_norm": view.post_norm,
        **(attributes or {}),
    }
    with replacing(path) as temporary, _evaluating(view):
        group = create_store(temporary, plans, coordinates, described)
        steps = _blocks(view, prompts, ids, plans, size, min(batch_size, size), shared_prefix, group)
        for _ in progress(steps, total=len(prompts)) if progress else steps:
            pass
    return {name: plan.description() for name, plan in plans.items()}


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
    """Capture and write block after block; yields once for every example done."""
    buffers = _buffers(plans, size)
    with Recorder(view, batch_size) as recorder:
        for start in range(0, len(prompts), size):
            encoded = view.encode(prompts[start : start + size])
            if shared_prefix and view.reusable_cache:
                common = common_length(encoded)
                recorder.prefix.stem(encoded[0].ids[:common] if common >= shared_prefix else [])
            for bucket, shared in shared_batches(view, encoded, batch_size, shared_prefix):
                _fill(view, recorder, bucket, shared, ids, buffers, plans)
                yield from bucket.index
            filled = {
                name: buffer[_at(plans[name], slice(0, len(encoded)))] for name, buffer in buffers.items()
            }
            for name, values in filled.items():
                _check_finite(name, values)
            write_block(group, plans, start, **filled)


def _buffers(plans: Mapping[str, ArrayPlan], size: int) -> dict[str, np.ndarray]:
    """One array a plan with room for one block; the whole of what a capture holds in memory."""
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


@contextmanager
def _evaluating(view: ModelView) -> Iterator[None]:
    training = view.model.training
    view.model.eval()
    try:
        yield
    finally:
        view.model.train(training)


def running_example(
    view: ModelView,
    prompt: str,
    number_ids: Sequence[int] | np.ndarray | torch.Tensor,
    *,
    norm: str = "raw",
) -> pd.DataFrame:
    """Logits over the numbers of every module's output for one prompt (figures 1b, 1c and 20).

    norm: "raw" reads a module's output x as W_U x, which is what the paper writes; "folded"
    folds what stands before the unembedding into it. Residual states are read
    in the same way, so that (unless the family is post-norm) they are the sums of state 0's
    logits and those of the modules so far.
    Returns a long table: module ("attention", "mlp", "residual" or "final"), layer (the
    state for "residual", -1 for "final"), number, logit. "final" holds the model's own
    logits, with its final norm, bias and soft-capping.
    Raises UserError for another `norm`.
    """
    if norm not in MODULE_NORMS:
        raise UserError(f"norm {norm!r} is not known; allowed are {', '.join(MODULE_NORMS)}.")
    ids = torch.as_tensor(number_ids, dtype=torch.long, device=view.device)
    (bucket,) = view.buckets(view.encode([prompt]), 1)
    with _evaluating(view), torch.inference_mode(), Recorder(view, 1) as recorder:
        recorded = recorder.run(bucket.ids, bucket.position)
        weights = view.module_unembedding(ids, norm)
        modules = recorded.module_output[:, :, 0].float() @ weights.T
        states = recorded.residual[:, 0].float() @ weights.T
        final = view.number_logits(recorded.residual[-1], ids)
    tables = [
        *((name, range(view.n_layers), modules[kind]) for kind, name in enumerate(MODULES)),
        ("residual", range(view.n_layers + 1), states),
        ("final", [-1], final),
    ]
    return pd.concat(
        [_long(name, layers, logits.cpu().numpy()) for name, layers, logits in tables], ignore_index=True
    )


def _long(module: str, layers: Iterable[int], logits: np.ndarray) -> pd.DataFrame:
    layers = list(layers)
    return pd.DataFrame(
        {
            "module": module,
            "layer": np.repeat(layers, logits.shape[1]),
            "number": np.tile(np.arange(logits.shape[1]), len(layers)),
            "logit": logits.ravel(),
        }
    )
