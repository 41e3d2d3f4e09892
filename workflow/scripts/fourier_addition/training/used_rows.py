"""Training on the rows of the embedding that the data uses.

With the loss over number tokens, no weight decay and AdamW, a token that no line holds gets no
gradient and no step. To leave the token's row out of the arithmetic and to put it back gives the same
weights. A vocabulary of tens of thousands of rows shrinks to some hundreds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from fourier_addition.models import ModelView


class UsedRows:
    """A model whose embeddings hold only some tokens, until `restore`.

    tokens: (row,) ids of the tokens that are kept. lookup: (token,) row of each token; tokens that
    are left out have the row past the last, which no lookup accepts.
    """

    def __init__(self, view: ModelView, tokens: np.ndarray) -> None:
        # Each kept token's new row.
        self.tokens = torch.as_tensor(tokens, dtype=torch.long, device=view.device)
        self.lookup = torch.full((view.vocab_size,), len(tokens), device=view.device)
        self.lookup[self.tokens] = torch.arange(len(tokens), device=view.device)

        # The padding token is no row of its own any more.
        model: Any = view.model
        self._source, head = model.get_input_embeddings(), model.get_output_embeddings()
        self._padding = self._source.padding_idx
        self._source.padding_idx = None

        # The arrays that shrink, and what they were. A tied unembedding stays the embedding.
        self._kept: list[tuple[nn.Module, str, nn.Parameter]] = []
        tied = view.tied
        self._shrink(self._source, "weight")
        if tied:
            self._kept.append((head, "weight", head.weight))
            head.weight = self._source.weight
        else:
            self._shrink(head, "weight")
        if head.bias is not None:
            self._shrink(head, "bias")

    def _shrink(self, module: nn.Module, name: str) -> None:
        """Keep an array aside and leave only the rows of the kept tokens in the module."""
        whole = getattr(module, name)
        self._kept.append((module, name, whole))
        setattr(module, name, nn.Parameter(whole.detach()[self.tokens].clone(), whole.requires_grad))

    @contextmanager
    def whole(self) -> Iterator[None]:
        """While inside, the model has its whole embeddings, with the kept rows as they are now."""
        short = [getattr(module, name) for module, name, _ in self._kept]
        with torch.no_grad():
            for (module, name, whole), rows in zip(self._kept, short, strict=True):
                whole[self.tokens] = rows.detach()
                setattr(module, name, whole)
        try:
            yield
        finally:
            # The same parameters as before, which the optimizer knows.
            for (module, name, _), rows in zip(self._kept, short, strict=True):
                setattr(module, name, rows)

    def restore(self) -> None:
        """Put the rows back into the whole arrays."""
        with torch.no_grad():
            for module, name, whole in self._kept:
                whole[self.tokens] = getattr(module, name).detach()
                setattr(module, name, whole)
        self._source.padding_idx = self._padding
        self._kept = []
