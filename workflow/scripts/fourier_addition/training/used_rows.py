"""Training on the rows of the embedding that the data uses.

With the loss over number tokens, no weight decay and AdamW, a token that no line holds gets no
gradient and no step: leaving its row out of the arithmetic and putting it back gives the same
weights. A vocabulary of tens of thousands of rows shrinks to some hundreds.
"""

from __future__ import annotations

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
        self.view = view
        self.tokens = torch.as_tensor(tokens, dtype=torch.long, device=view.device)
        self.lookup = torch.full((view.vocab_size,), len(tokens), device=view.device)
        self.lookup[self.tokens] = torch.arange(len(tokens), device=view.device)
        source, head = view.model.get_input_embeddings(), view.model.get_output_embeddings()
        self._kept: list[tuple[nn.Module, str, nn.Parameter]] = []
        self._padding = source.padding_idx
        source.padding_idx = None
        tied = view.tied
        self._replace(source, "weight")
        if tied:
            self._kept.append((head, "weight", head.weight))
            head.weight = source.weight
        else:
            self._replace(head, "weight")
        if head.bias is not None:
            self._replace(head, "bias")

    def _replace(self, module: nn.Module, name: str) -> None:
        whole = getattr(module, name)
        self._kept.append((module, name, whole))
        setattr(module, name, nn.Parameter(whole.detach()[self.tokens].clone(), whole.requires_grad))

    def restore(self) -> None:
        """Put the rows back into the whole arrays."""
        with torch.no_grad():
            for module, name, whole in self._kept:
                whole[self.tokens] = getattr(module, name).detach()
                setattr(module, name, whole)
        self.view.model.get_input_embeddings().padding_idx = self._padding
        self._kept = []
