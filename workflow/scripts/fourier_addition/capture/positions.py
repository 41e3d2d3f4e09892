"""Residual states at named positions: each operand's last token, and before every token of the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from fourier_addition.capture.store import (
    DTYPES,
    STREAM_UNITS,
    ArrayPlan,
    create_store,
    even_block,
    example_coordinates,
    write_block,
)
from fourier_addition.errors import UserError
from fourier_addition.files.whole import replacing
from fourier_addition.models import ModelView
from fourier_addition.models.encoding import Encoded
from fourier_addition.models.positions import ABSENT, Line, lines_of, position_names
from fourier_addition.models.prefix_cache import shared_batches
from fourier_addition.models.recording_positions import PositionRecorder
from fourier_addition.modules import MODULES
from fourier_addition.tasks import Task, operand_ends

Progress = Callable[..., Iterable[Any]]


def capture_positions(
    view: ModelView,
    task: Task,
    examples: pd.DataFrame,
    path: str | Path,
    *,
    batch_size: int,
    block: int,
    dtype: str = "float32",
    modules: bool = False,
    progress: Progress | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> dict[str, dict[str, Any]]:
    """Stream the residual stream at named positions into a Zarr 3 store.

    examples: rows of the task's dataset, or of a prompted run's prompts; all columns but `prompt` become
    coordinates. batch_size: prompts of one pass. block: examples held in memory, and of one file, at most.
    dtype: of stored states. modules: also what every attention and MLP module adds. progress: wraps an
    iterable and takes `total`; one item an example.

    Positions are `a` and `b`, each operand's last token, and `answer k`, from where the answer's k-th token
    is predicted with the true tokens before it given. One causal pass gives all of them; what the prompts
    have in common at their start passes once.

    Writes residual (position, state, example, feature), nan where an answer has no k-th token;
    module_output (position, module, layer, example, feature) with `modules`; token_position, target_token and
    predicted_token (position, example), -1 where there is none, and -1 as target of the operands; and
    section 2's residual stream is the definition. The store appears whole or not at all. Returns name ->
    {"dims", "shape", "dtype"}. Raises UserError as `lines_of` does, and for values that are not finite.
    """
    # Lines, their positions, and how the store is laid out.
    if dtype not in DTYPES:
        raise UserError(f"dtype {dtype!r} cannot store activations; allowed are {', '.join(DTYPES)}.")
    prompts = examples["prompt"].tolist()
    columns = (examples[name].tolist() for name in ("prompt", "template", "a", "b"))
    ends = [operand_ends(task, *row) for row in zip(*columns, strict=True)]
    lines = lines_of(view, prompts, ends, examples["answer"].tolist(), task.answer)
    names = position_names(len(lines[0].targets))
    size = even_block(len(lines), block)
    plans = _plans(view, len(lines), len(names), size, dtype, modules=modules)
    coordinates: dict[str, tuple[str, np.ndarray]] = {
        "position": ("position", np.array(names)),
        "state": ("state", np.arange(view.n_layers + 1)),
    }
    if modules:
        coordinates |= {
            "module": ("module", np.array(MODULES)),
            "layer": ("layer", np.arange(view.n_layers)),
        }
    reserved = {*plans, *coordinates, *(dim for plan in plans.values() for dim in plan.dims)}
    coordinates |= example_coordinates(examples.drop(columns="prompt"), reserved)
    described = {"family": view.family, "task": task.name, **(attributes or {})}

    # Run the model block by block; the store gets its name when it is whole.
    with replacing(path) as temporary, view.evaluating():
        group = create_store(temporary, plans, coordinates, described)
        steps = _blocks(view, lines, plans, size, min(batch_size, size), group)
        for _ in progress(steps, total=len(lines)) if progress else steps:
            pass
    return {name: plan.description() for name, plan in plans.items()}


def _plans(
    view: ModelView, examples: int, positions: int, block: int, dtype: str, *, modules: bool
) -> dict[str, ArrayPlan]:
    """Layout of the arrays: a chunk is one state of one position, a shard all states of one position."""
    states, layers, width = view.n_layers + 1, view.n_layers, view.d_model

    def tokens(said: str, definition: str) -> ArrayPlan:
        shape = (positions, examples)
        named = {"long_name": said, "definition": definition, "units": "1"}
        return ArrayPlan(("position", "example"), shape, "int32", (positions, block), None, named)

    plans = {
        "residual": ArrayPlan(
            ("position", "state", "example", "feature"),
            (positions, states, examples, width),
            dtype,
            (1, 1, block, width),
            (1, states, block, width),
            {
                "long_name": "residual stream",
                "definition": "residual stream at each position; state 0 before the first block, state l "
                "after block l; nan where an answer has no such token",
                "units": STREAM_UNITS,
            },
        ),
        "token_position": tokens("token position", "index of the position's token in the line, -1 if absent"),
        "target_token": tokens("true next token", "the answer's token that follows an answer position"),
        "predicted_token": tokens("predicted next token", "token of the largest output logit there"),
    }
    if modules:
        plans["module_output"] = ArrayPlan(
            ("position", "module", "layer", "example", "feature"),
            (positions, len(MODULES), layers, examples, width),
            dtype,
            (1, 1, 1, block, width),
            (1, len(MODULES), layers, block, width),
            {
                "long_name": "module outputs",
                "definition": "what the attention or MLP of a layer adds to the residual stream",
                "units": STREAM_UNITS,
            },
        )
    return plans


def _blocks(
    view: ModelView,
    lines: Sequence[Line],
    plans: Mapping[str, ArrayPlan],
    size: int,
    batch_size: int,
    group: Any,
) -> Iterator[int]:
    """Capture and write block after block of `size` examples; yields once for every example done."""
    with PositionRecorder(view, modules="module_output" in plans) as recorder:
        # Nothing up to the first operand differs between prompts that begin alike.
        first = min(min(line.positions[:2]) for line in lines)
        common = _common(lines, first)
        recorder.stem.keep(lines[0].ids[:common])
        for start in range(0, len(lines), size):
            part = lines[start : start + size]
            buffers = {
                name: np.full(
                    [
                        len(part) if dim == "example" else n
                        for dim, n in zip(plan.dims, plan.shape, strict=True)
                    ],
                    np.nan if plan.dtype.startswith("float") else ABSENT,
                    dtype=plan.dtype,
                )
                for name, plan in plans.items()
            }
            # The first operand is the earliest position that is read, so no more than `common` is shared.
            encoded = [Encoded(line.ids, min(common, first)) for line in part]
            for bucket, shared in shared_batches(view, encoded, batch_size, 1):
                own = [part[row] for row in bucket.index]
                _fill(view, recorder, bucket.ids, bucket.index, own, min(shared, common), buffers)
                yield from bucket.index
            write_block(group, plans, start, **buffers)


def _common(lines: Sequence[Line], limit: int) -> int:
    """Leading tokens that all lines share, at most `limit`."""
    smallest, largest = min(line.ids for line in lines), max(line.ids for line in lines)
    for length in range(limit):
        if smallest[length] != largest[length]:
            return length
    return limit


@torch.inference_mode()
def _fill(
    view: ModelView,
    recorder: PositionRecorder,
    ids: torch.Tensor,
    index: np.ndarray,
    lines: Sequence[Line],
    shared: int,
    buffers: Mapping[str, np.ndarray],
) -> None:
    """Run one batch and put its values into the block's rows, absent positions left as they are."""
    places = np.array([line.positions for line in lines])
    present = places != ABSENT
    # An absent position is read at a place that exists, and not kept.
    safe = torch.from_numpy(np.where(present, places, places[:, :1]))
    recorded = recorder.run(ids, safe, shared=shared)
    token, _ = view.vocabulary_summary(recorded.residual[-1].reshape(-1, view.d_model))
    predicted = token.cpu().numpy().reshape(places.shape)

    row, position = np.nonzero(present)
    at = index[row]
    for name, values in (("residual", recorded.residual), ("module_output", recorded.module_output)):
        if values is not None:
            # (..., row, position, feature) -> (kept, ..., feature), then to the buffer's order.
            host = np.moveaxis(values.float().cpu().numpy(), (-3, -2), (0, 1))[row, position]
            with np.errstate(over="ignore"):
                stored = host.astype(buffers[name].dtype)
            if not np.isfinite(stored).all():
                hint = "; set the dtype of the capture to float32" if stored.dtype == np.float16 else ""
                raise UserError(f"Values of {name} are not finite as {stored.dtype}{hint}.")
            np.moveaxis(buffers[name], -2, 1)[position, at] = stored
    buffers["token_position"][position, at] = places[row, position]
    buffers["predicted_token"][position, at] = predicted[row, position]
    targets = np.array([line.targets for line in lines])
    row, place = np.nonzero(targets != ABSENT)
    buffers["target_token"][place + 2, index[row]] = targets[row, place]
