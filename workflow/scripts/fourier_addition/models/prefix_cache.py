"""Keys and values of what prompts have in common at their start, passed through a model once."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache

from fourier_addition.errors import UserError
from fourier_addition.models.encoding import Bucket, Encoded
from fourier_addition.models.prefixes import beginnings, common_length, cut_points, prefix_nodes
from fourier_addition.models.view import ModelView


class Reached(Exception):
    """Everything that was wanted of a forward pass is there."""


class PrefixCache(DynamicCache):
    """Keys and values of earlier tokens, one row a beginning.

    Layers with a sliding window hold only the tokens inside it.
    """

    def __init__(self, view: ModelView) -> None:
        super().__init__(config=view.model.config)
        self._last_layer = view.n_layers - 1
        self._growing = False

    def grow(self, view: ModelView, ids: torch.Tensor) -> None:
        """Add the keys and values of the next tokens, ids (row, token).

        The pass ends with the last layer's keys and values: nobody reads what would follow.
        """
        self._growing = True
        try:
            with contextlib.suppress(Reached):
                view.run(ids, past=self)
        finally:
            self._growing = False

    def select(self, rows: np.ndarray) -> None:
        """Keep the given rows, (row',), in their order and as often as they are named."""
        first: Any = self.layers[0]
        if not np.array_equal(rows, np.arange(len(first.keys))):
            self.batch_select_indices(torch.as_tensor(rows))

    def update(self, key_states: Any, value_states: Any, layer_idx: int, *args: Any, **kwargs: Any) -> Any:
        """Transformers' own, which ends the pass of `grow` when the last layer's are in."""
        updated = super().update(key_states, value_states, layer_idx, *args, **kwargs)
        if self._growing and layer_idx == self._last_layer:
            raise Reached
        return updated


def cache_of(view: ModelView, ids: torch.Tensor) -> PrefixCache:
    """Keys and values of ids (example, token), one row an example; the model runs once on a shared beginning.

    Raises UserError for a model without a reusable cache.
    """
    if not view.reusable_cache:
        raise UserError(f"Models of family {view.family} read all tokens at once and share no prefix.")
    tokens = ids.cpu().numpy()
    nodes = prefix_nodes(tokens)
    cache = PrefixCache(view)

    # Piece by piece: from the rows of shorter beginnings to those of longer ones, then to the examples'.
    start, row_of_example = 0, np.zeros(len(tokens), np.int64)
    for stop in cut_points(nodes):
        first, beginning = beginnings(nodes, stop)
        if start > 0:
            cache.select(row_of_example[first])
        cache.grow(view, torch.as_tensor(tokens[first, start:stop], device=ids.device))
        start, row_of_example = stop, beginning
    cache.select(row_of_example)
    return cache


class Stem:
    """Keys and values of the tokens that all prompts begin with, computed once.

    view: a model with a reusable cache.
    """

    def __init__(self, view: ModelView) -> None:
        self._view = view
        self._ids: list[int] = []
        self._cache: PrefixCache | None = None

    @torch.inference_mode()
    def keep(self, ids: Sequence[int]) -> None:
        """Keep the keys and values of these tokens; nothing is computed where they are kept already."""
        if list(ids) == self._ids:
            return
        self._ids, self._cache = list(ids), None
        if self._ids:
            tokens = torch.tensor([self._ids], dtype=torch.long, device=self._view.device)
            self._cache = cache_of(self._view, tokens)

    @torch.inference_mode()
    def past(self, ids: torch.Tensor, rows: int) -> PrefixCache:
        """Keys and values of `ids` (1, token) for `rows` prompts, from the stem where they begin with it."""
        length = len(self._ids)
        if self._cache is None or ids[0, :length].tolist() != self._ids:
            past = cache_of(self._view, ids)
        else:
            past = copy.deepcopy(self._cache)
            if ids.shape[1] > length:
                past.grow(self._view, ids[:, length:])
        past.select(np.zeros(rows, np.int64))
        return past


def shared_batches(
    view: ModelView, encoded: Sequence[Encoded], batch_size: int, least: int
) -> Iterator[tuple[Bucket, int]]:
    """Buckets of prompts and the number of leading tokens that each batch has in common.

    least: fewer common tokens than this count as none; 0 asks for none. Models without a reusable
    cache get none.
    """
    if not least or not view.reusable_cache:
        yield from ((bucket, 0) for bucket in view.buckets(encoded, batch_size))
        return
    # neighbours in sorted order have the longest prefixes in common
    order = np.array(sorted(range(len(encoded)), key=lambda row: encoded[row].ids), np.int64)
    for bucket in view.buckets([encoded[row] for row in order], batch_size):
        index = order[bucket.index]
        shared = common_length([encoded[row] for row in index])
        yield replace(bucket, index=index), shared if shared >= least else 0
