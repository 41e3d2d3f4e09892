"""Ablation by the obvious way: a full forward pass with hooks for each condition.

It works for every architecture and for filters at all positions; tests hold the engine to it.
Post-norm models (h' = LN(h + out)) are filtered at `out`, before the norm. The norm's gain is not the same
for all features, so a part of what a filter removes from `out` is in h' again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from fourier_addition.ablation.conditions import Condition
from fourier_addition.ablation.torch_filters import TorchFilters
from fourier_addition.filters import Filter
from fourier_addition.models import Bucket, ModelView, first_tensor

POSITIONS = ("last", "all")


@contextmanager
def filtered(
    view: ModelView, condition: Condition, position: int | None, filters: TorchFilters
) -> Iterator[None]:
    """While inside, module outputs of the model are filtered as the condition says.

    position: the token whose outputs are filtered, counted from 0; None for every token.
    """
    handles = []
    try:
        for layer in range(view.n_layers):
            attention, mlp = condition.filters_at(layer)
            for filter, module in ((attention, view.attention_module(layer)), (mlp, view.mlp_module(layer))):
                if filter is not None:
                    handles.append(module.register_forward_hook(_hook(filter, position, filters)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _hook(filter: Filter, position: int | None, filters: TorchFilters) -> Any:
    def hook(module: nn.Module, arguments: Any, output: Any) -> Any:
        tensor = first_tensor(output)
        if position is None:
            tensor = filters.apply(filter, tensor)
        else:
            tensor = tensor.clone()
            tensor[:, position] = filters.apply(filter, tensor[:, position])
        return (tensor, *output[1:]) if isinstance(output, tuple) else tensor

    return hook


def plain_hidden(
    view: ModelView,
    bucket: Bucket,
    conditions: Sequence[Condition],
    filters: TorchFilters,
    positions: str = "last",
) -> Iterator[tuple[list[int], torch.Tensor]]:
    """Residual stream after the last block at the reading position, a condition at a time.

    Yields ([condition's number], (1, batch, d_model)). positions: `last` filters at the reading
    position only, `all` at every token.
    """
    position = bucket.position if positions == "last" else None
    for number, condition in enumerate(conditions):
        with filtered(view, condition, position, filters):
            yield [number], view.final_hidden(bucket.ids, bucket.position)[None]
