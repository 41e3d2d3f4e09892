"""The two halves of a block, run for many states of the last token over shared keys and values.

A half takes residual states of the last token, shaped (state, example, d_model), and gives what the
attention or the MLP adds to the stream. The halves run the model's own modules, which the family's record
names (`models.families`). Only the attention's inner product is replaced, so that all states of an
example share the keys and values of the earlier tokens without a copy of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface
from transformers.activations import NewGELUActivation

from fourier_addition.models import ModelView, first_tensor

IMPLEMENTATION = "fourier_addition_shared"


Shared = tuple[torch.Tensor, torch.Tensor] | None
"""Keys and values of the earlier tokens, each (example, key head, token, head feature)."""


def shared_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    shared: Shared,
    scaling: float,
    softcap: float | None = None,
) -> torch.Tensor:
    """Attention of the last token's states to the earlier tokens and to itself.

    query: (state, head, example, head feature); key, value: the same with key heads, each state's own.
    Returns (state, example, head, head feature).
    """
    states, heads, examples, width = query.shape
    key_heads = key.shape[1]
    # Grouped queries: each key head serves `groups` neighbouring query heads as so many more rows.
    groups = heads // key_heads

    # Without earlier tokens each state attends to itself alone.
    if shared is None:
        return value.repeat_interleave(groups, dim=1).transpose(1, 2)

    # Scores of each state with the earlier tokens' keys, which the example's states share, and with its own
    grouped = query.view(states, key_heads, groups, examples, width)
    own = (grouped * key[:, :, None]).sum(dim=-1)
    rows = grouped.permute(3, 1, 0, 2, 4).reshape(examples, key_heads, states * groups, width)
    earlier = rows @ shared[0].transpose(-1, -2)
    own = own.permute(3, 1, 0, 2).reshape(examples, key_heads, states * groups, 1)
    scores = torch.cat((earlier, own), dim=-1) * scaling
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap

    # Mix the values by the softmax of the scores: the shared ones, then the state's own.
    weights = scores.softmax(dim=-1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(value.dtype)
    mixed = (weights[..., :-1] @ shared[1]).view(examples, key_heads, states, groups, width)
    mixed = mixed.permute(2, 0, 1, 3, 4)
    own = weights[..., -1].view(examples, key_heads, states, groups).permute(2, 0, 1, 3)
    out = torch.addcmul(mixed, own[..., None], value.transpose(1, 2)[:, :, :, None])
    return out.reshape(states, examples, heads, width)


def _interface(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any,
    scaling: float,
    softcap: float | None = None,
    shared: Shared = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    return shared_attention(query, key, value, shared, scaling, softcap), None


AttentionInterface.register(IMPLEMENTATION, _interface)


class Blocks:
    """The halves of every block of a model, for states of the last token at one position."""

    def __init__(self, view: ModelView) -> None:
        self.view = view
        self.layout = view.layout

    def _part(self, layer: int, path: str) -> Any:
        return self.view.block(layer).get_submodule(path)

    def _normed(self, norm: str | None, layer: int, x: torch.Tensor) -> torch.Tensor:
        return x if norm is None else self._part(layer, norm)(x)

    def attention(
        self, layer: int, stream: torch.Tensor, shared: Shared, arguments: dict[str, Any]
    ) -> torch.Tensor:
        """What attention adds to states (state, example, d_model).

        arguments: what the block passes to its attention besides the states
        (`inputs.last_token_arguments`).
        """
        half = self.layout.attention
        module = self._part(layer, half.module)
        inside = self._normed(half.before, layer, stream)
        own = self.layout.own_inner_product
        if own is None:
            out = first_tensor(module(inside, attention_mask=None, shared=shared, **arguments))
        else:
            setattr(module, own.method, partial(_own_inner_product, shared, getattr(module, own.divisor)))
            try:
                out = first_tensor(module(inside, **arguments))
            finally:
                delattr(module, own.method)
        return self._normed(half.after, layer, out)

    def mlp(self, layer: int, stream: torch.Tensor) -> torch.Tensor:
        """What the MLP adds to states (state, example, d_model)."""
        half = self.layout.mlp
        inside = self._normed(half.before, layer, stream)
        out = first_tensor(self._part(layer, half.module)(inside))
        return self._normed(half.after, layer, out)

    @contextmanager
    def faster(self) -> Iterator[None]:
        """While inside, GELU's tanh form is PyTorch's own: the same function, several times faster."""
        changed: list[Any] = [
            module for module in self.view.model.modules() if isinstance(module, NewGELUActivation)
        ]
        for module in changed:
            module.forward = partial(nn.functional.gelu, approximate="tanh")
        try:
            yield
        finally:
            for module in changed:
                del module.forward

    @contextmanager
    def sharing(self) -> Iterator[None]:
        """While inside, attention modules use the shared keys and values that they are given."""
        configs = {id(config): config for config in map(self._config, range(self.view.n_layers))}
        before = {key: config._attn_implementation for key, config in configs.items()}
        for config in configs.values():
            config._attn_implementation = IMPLEMENTATION
        try:
            yield
        finally:
            for key, config in configs.items():
                config._attn_implementation = before[key]

    def _config(self, layer: int) -> Any:
        return self._part(layer, self.layout.attention.module).config


def _own_inner_product(
    shared: Shared,
    divisor: float,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any = None,
) -> tuple[torch.Tensor, None]:
    """In place of a family's own method, which gives (state, head, example, head feature)."""
    return shared_attention(query, key, value, shared, 1 / divisor).transpose(1, 2), None
