"""What the engine starts from: keys and values of the earlier tokens, and the last token's stream."""

from __future__ import annotations

import contextlib
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn

from fourier_addition.ablation.engine.blocks import Shared
from fourier_addition.models import ModelView
from fourier_addition.models.prefix_cache import Reached, cache_of


def earlier_keys(view: ModelView, ids: torch.Tensor) -> list[Shared]:
    """Per layer the keys and values that the next token attends to, for ids (example, token).

    Each is (example, key head, token, head feature); layers with a sliding window hold only the
    tokens inside it. None everywhere when there is no earlier token.
    """
    if ids.shape[1] == 0:
        return [None] * view.n_layers
    layers: list[Any] = cache_of(view, ids).layers
    return [(layer.keys, layer.values) for layer in layers]


def last_token_stream(view: ModelView, ids: torch.Tensor) -> torch.Tensor:
    """Residual stream before block 0 at the last token of ids (example, token): (example, d_model)."""
    found: list[torch.Tensor] = []

    def look(module: nn.Module, arguments: Any, named: dict[str, Any]) -> None:
        found.append(arguments[0] if arguments else named["hidden_states"])
        raise Reached

    position = torch.tensor([[ids.shape[1] - 1]], device=ids.device)
    handle = view.block(0).register_forward_pre_hook(look, with_kwargs=True)
    try:
        with contextlib.suppress(Reached):
            view.model.base_model(input_ids=ids[:, -1:], position_ids=position, use_cache=False)
    finally:
        handle.remove()
    return found[0][:, 0]


def last_token_arguments(view: ModelView, ids: torch.Tensor) -> list[dict[str, Any]]:
    """Per layer what attention is given besides states, for the last of the tokens ids (1, token).

    That is rotary position embeddings and position ids. They are taken from one pass of the model itself,
    so that no rule of rotary embeddings is repeated here.
    """
    found: list[dict[str, Any]] = []

    def look(module: nn.Module, arguments: Any, named: dict[str, Any]) -> None:
        last: dict[str, Any] = {}
        if named.get("position_ids") is not None:
            last["position_ids"] = named["position_ids"][:1, -1:]
        if named.get("position_embeddings") is not None:
            last["position_embeddings"] = tuple(part[:1, -1:] for part in named["position_embeddings"])
        found.append(last)

    with ExitStack() as stack:
        for layer in range(view.n_layers):
            attention = view.block(layer).get_submodule(view.layout.attention.module)
            handle = attention.register_forward_pre_hook(look, with_kwargs=True)
            stack.callback(handle.remove)
        view.run(ids)
    return found
