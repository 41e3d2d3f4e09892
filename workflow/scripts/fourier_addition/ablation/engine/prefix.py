"""Keys and values of the earlier tokens, computed once for prompts that begin alike."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import DynamicCache

from fourier_addition.ablation.engine.blocks import Shared
from fourier_addition.models import ModelView

PASS_COST = 12
"""What one more pass of the model costs beside its tokens, in tokens: reading the weights once.

It only decides where prefixes are cut, never a result."""


class _Reached(Exception):
    """Everything that was wanted of a forward pass is there."""


class _Cache(DynamicCache):
    """A cache that ends the forward pass as soon as the last layer's keys and values are in it."""

    def __init__(self, config: Any, last_layer: int) -> None:
        super().__init__(config=config)
        self.last_layer = last_layer

    def update(self, key_states: Any, value_states: Any, layer_idx: int, *args: Any, **kwargs: Any) -> Any:
        updated = super().update(key_states, value_states, layer_idx, *args, **kwargs)
        if layer_idx == self.last_layer:
            raise _Reached
        return updated


def cut_points(ids: np.ndarray, pass_cost: float = PASS_COST) -> list[int]:
    """Where to cut prompts so that shared beginnings are computed once at the least total cost.

    ids: (example, token). Between two cuts the model runs once on every distinct beginning.
    Returns the ends of the pieces, the last of them the number of tokens.
    """
    tokens = ids.shape[1]
    distinct = [len(np.unique(ids[:, :end], axis=0)) for end in range(1, tokens + 1)]
    best, previous = [0.0] + [np.inf] * tokens, [0] * (tokens + 1)
    for end in range(1, tokens + 1):
        for start in range(end):
            cost = best[start] + distinct[end - 1] * (end - start) + pass_cost
            if cost < best[end]:
                best[end], previous[end] = cost, start
    ends = [tokens]
    while previous[ends[0]] > 0:
        ends.insert(0, previous[ends[0]])
    return ends


def prefix_keys(view: ModelView, ids: torch.Tensor) -> list[Shared]:
    """Per layer the keys and values that the next token attends to, for ids (example, token).

    Each is (example, key head, token, head feature); layers with a sliding window hold only the
    tokens inside it. None everywhere when there is no earlier token.
    """
    if ids.shape[1] == 0:
        return [None] * view.n_layers
    earlier = ids.cpu().numpy()
    cache = _Cache(view.model.config, view.n_layers - 1)
    start, row_of_example = 0, np.zeros(len(earlier), np.int64)
    for stop in cut_points(earlier):
        _, first, inverse = np.unique(earlier[:, :stop], axis=0, return_index=True, return_inverse=True)
        if start > 0:
            _select(cache, row_of_example[first])
        piece = torch.as_tensor(earlier[first, start:stop], device=ids.device)
        with contextlib.suppress(_Reached):
            view.model.base_model(input_ids=piece, past_key_values=cache, use_cache=True)
        start, row_of_example = stop, inverse.reshape(-1)
    _select(cache, row_of_example)
    return [(layer.keys, layer.values) for layer in cache.layers]


def _select(cache: DynamicCache, rows: np.ndarray) -> None:
    """Keep the given rows of a cache, in their order and as often as they are named."""
    if np.array_equal(rows, np.arange(cache.layers[0].keys.shape[0])):
        return
    index = torch.as_tensor(rows, device=cache.layers[0].keys.device)
    for layer in cache.layers:
        layer.keys, layer.values = layer.keys[index], layer.values[index]


def last_token_stream(view: ModelView, ids: torch.Tensor) -> torch.Tensor:
    """Residual stream before block 0 at the last token of ids (example, token): (example, d_model)."""
    found: list[torch.Tensor] = []

    def look(module: nn.Module, arguments: Any, named: dict[str, Any]) -> None:
        found.append(arguments[0] if arguments else named["hidden_states"])
        raise _Reached

    position = torch.tensor([[ids.shape[1] - 1]], device=ids.device)
    handle = view.block(0).register_forward_pre_hook(look, with_kwargs=True)
    try:
        with contextlib.suppress(_Reached):
            view.model.base_model(input_ids=ids[:, -1:], position_ids=position, use_cache=False)
    finally:
        handle.remove()
    return found[0][:, 0]
