"""Leading tokens that prompts have in common, passed through a model once."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from transformers import Cache

from fourier_addition.models.encoding import Bucket, Encoded
from fourier_addition.models.view import ModelView


def common_length(encoded: Sequence[Encoded]) -> int:
    """Leading tokens that all prompts share, at most up to the first reading position."""
    if not encoded:
        return 0
    limit = min(prompt.position for prompt in encoded)
    # The smallest and the largest list differ first where any two of the lists do.
    smallest, largest = min(prompt.ids for prompt in encoded), max(prompt.ids for prompt in encoded)
    for length in range(limit):
        if smallest[length] != largest[length]:
            return length
    return limit


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
    order = sorted(range(len(encoded)), key=lambda row: encoded[row].ids)
    for bucket in view.buckets([encoded[row] for row in order], batch_size):
        same = (bucket.ids == bucket.ids[:1]).all(dim=0).int().cumprod(dim=0).sum().item()
        shared = min(int(same), bucket.position)
        yield (
            bucket._replace(index=np.array([order[row] for row in bucket.index])),
            shared if shared >= least else 0,
        )


class SharedPrefix:
    """Keys and values of leading tokens; those of a stem that all prompts share are computed once.

    view: a model with a reusable cache.
    """

    def __init__(self, view: ModelView) -> None:
        self._view = view
        self._ids: list[int] = []
        self._cache: Any = None

    @torch.inference_mode()
    def stem(self, ids: Sequence[int]) -> None:
        """Keep the keys and values of these tokens; nothing is computed where they are kept already."""
        if list(ids) == self._ids:
            return
        self._ids, self._cache = list(ids), None
        if self._ids:
            tokens = torch.tensor([self._ids], dtype=torch.long, device=self._view.device)
            self._cache = self._view.prefix(tokens, 1)

    @torch.inference_mode()
    def past(self, ids: torch.Tensor, rows: int) -> Cache:
        """Keys and values of `ids` (1, token) for `rows` prompts, from the stem where they begin with it."""
        length = len(self._ids)
        if not length or ids[0, :length].tolist() != self._ids:
            return self._view.prefix(ids, rows)
        past = copy.deepcopy(self._cache)
        if ids.shape[1] > length:
            self._view.run(ids[:, length:], past=past)
        past.batch_repeat_interleave(rows)
        return past
