"""Interventions by the obvious way: a full forward pass with hooks for each condition.

It works for every architecture; tests hold the engine to it.
The residual stream after a block is changed as the block gives it, after the norms of a post-norm model.
Post-norm models (h' = LN(h + out)) are filtered at `out`, before the norm. The norm's gain is not the same
for all features, so a part of what a filter removes from `out` is in h' again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from fourier_addition.ablation.conditions import Applied, Condition, Place
from fourier_addition.ablation.torch_filters import TorchFilters
from fourier_addition.models import Bucket, ModelView, first_tensor
from fourier_addition.modules import MODULES, RESIDUAL

POSITIONS = ("last", "all")


@contextmanager
def filtered(
    view: ModelView,
    condition: Condition,
    position: int | None,
    filters: TorchFilters,
    examples: np.ndarray | None = None,
) -> Iterator[None]:
    """While inside, outputs of modules or blocks of the model are changed as the condition says.

    position: the token whose outputs are changed, counted from 0; None for every token.
    examples: (batch,) numbers of the examples in the batch, for interventions that have a source.
    """
    handles = []
    try:
        for layer in range(view.n_layers):
            parts = (view.attention_module(layer), view.mlp_module(layer), view.block(layer))
            applied = condition.filters_at(layer)
            for name, module, filter in zip((*MODULES, RESIDUAL), parts, applied, strict=True):
                if filter is not None:
                    hook = _hook(filter, position, filters, (name, layer), examples)
                    handles.append(module.register_forward_hook(hook))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _hook(
    filter: Applied, position: int | None, filters: TorchFilters, place: Place, examples: np.ndarray | None
) -> Any:
    def hook(module: nn.Module, arguments: Any, output: Any) -> Any:
        tensor = first_tensor(output)
        source = filters.source(filter, place, examples)
        if position is None:
            tensor = filters.apply(filter, tensor)
        else:
            tensor = tensor.clone()
            tensor[:, position] = filters.apply(filter, tensor[:, position], source)
        return (tensor, *output[1:]) if isinstance(output, tuple) else tensor

    return hook


def plain_hidden(
    view: ModelView,
    bucket: Bucket,
    conditions: Sequence[Condition],
    filters: TorchFilters,
    positions: str = "last",
    examples: np.ndarray | None = None,
) -> Iterator[tuple[list[int], torch.Tensor]]:
    """Residual stream after the last block at the reading position, a condition at a time.

    Yields ([condition's number], (1, batch, d_model)). positions: `last` filters at the reading
    position only, `all` at every token. examples: see `filtered`.
    """
    position = bucket.position if positions == "last" else None
    for number, condition in enumerate(conditions):
        with filtered(view, condition, position, filters, examples):
            yield [number], view.final_hidden(bucket.ids, bucket.position)[None]
