"""Residual states replaced in a forward pass, by plain hooks: works for every family."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from fourier_addition.models import ModelView, first_tensor
from fourier_addition.models.encoding import Encoded


@contextmanager
def replaced(view: ModelView, state: int, positions: torch.Tensor, vectors: torch.Tensor) -> Iterator[None]:
    """While inside, a state of the residual stream is replaced at one position of every row of a batch.

    state: 0 before the first block, l after block l (counted from 1). positions: (batch,) tokens, from 0.
    vectors: (batch, d_model).
    """

    def put_in(hidden: torch.Tensor) -> torch.Tensor:
        hidden = hidden.clone()
        rows = torch.arange(len(hidden), device=hidden.device)
        hidden[rows, positions.to(hidden.device)] = vectors.to(hidden)
        return hidden

    def before(module: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        if arguments:
            return (put_in(arguments[0]), *arguments[1:]), keywords
        return arguments, {**keywords, "hidden_states": put_in(keywords["hidden_states"])}

    def after(module: Any, arguments: Any, output: Any) -> Any:
        hidden = put_in(first_tensor(output))
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    if state == 0:
        handle = view.block(0).register_forward_pre_hook(before, with_kwargs=True)
    else:
        handle = view.block(state - 1).register_forward_hook(after)
    try:
        yield
    finally:
        handle.remove()


@torch.inference_mode()
def patched_logits(
    view: ModelView,
    encoded: Sequence[Encoded],
    number_ids: np.ndarray,
    state: int,
    vectors: np.ndarray | None,
    positions: Sequence[int],
    *,
    batch_size: int,
) -> np.ndarray:
    """Logits of the numbers at the reading position with a state replaced, (example, number) float32.

    encoded: (example,) prompts. state, positions: as for `replaced`, a position for each example.
    vectors: (example, d_model), or None to replace nothing.
    """
    logits = np.empty((len(encoded), len(number_ids)), np.float32)
    places = torch.as_tensor(list(positions))
    with view.evaluating():
        for bucket in view.buckets(encoded, batch_size):
            rows = bucket.index
            if vectors is None:
                hidden = view.final_hidden(bucket.ids, bucket.position)
            else:
                new = torch.from_numpy(vectors[rows])
                with replaced(view, state, places[rows], new):
                    hidden = view.final_hidden(bucket.ids, bucket.position)
            logits[rows] = view.number_logits(hidden, number_ids).float().cpu().numpy()
    return logits
