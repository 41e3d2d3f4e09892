"""Filters and interventions as PyTorch operations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from fourier_addition.ablation.conditions import Applied, Place
from fourier_addition.ablation.sources import SourceStates
from fourier_addition.filters import Filter
from fourier_addition.interventions import Intervention

Part = tuple[Applied, int, int]
"""A filter or an intervention and the states start..stop-1 that it is applied to."""


class TorchFilters:
    """Filters and interventions of many conditions on one device, each converted once.

    dtype is the model's; products are taken in it, but never in less than float32.
    sources: states of other prompts, for interventions that replace; None where there are none.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype, sources: SourceStates | None = None) -> None:
        self.device = device
        self.dtype = torch.promote_types(dtype, torch.float32)
        self.sources = sources
        self._bases: dict[Applied, torch.Tensor] = {}
        self._maps: dict[Intervention, tuple[torch.Tensor, torch.Tensor | None]] = {}

    def _converted(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device, self.dtype).contiguous()

    def basis(self, filter: Applied) -> torch.Tensor:
        """(d_model, column) basis of one filter or intervention."""
        if filter not in self._bases:
            self._bases[filter] = self._converted(filter.basis)
        return self._bases[filter]

    def _map(self, intervention: Intervention) -> tuple[torch.Tensor, torch.Tensor | None]:
        """K^T and L^T of an intervention, (rank, rank) each."""
        if intervention not in self._maps:
            given = None if intervention.given is None else self._converted(intervention.given.T)
            self._maps[intervention] = self._converted(intervention.own.T), given
        return self._maps[intervention]

    def source(self, filter: Applied, place: Place, examples: np.ndarray | None) -> torch.Tensor | None:
        """What an intervention is given of other prompts, L Q^T s: (batch, rank); None where it is nothing.

        place: where it is applied. examples: (batch,) numbers of the batch's examples.
        """
        if isinstance(filter, Filter) or filter.source is None or self.sources is None:
            return None
        given = self._map(filter)[1]
        if given is None or examples is None:
            return None
        states = self.sources.states[place][torch.from_numpy(filter.source[examples])]
        return states.to(self.device, self.dtype) @ self.basis(filter) @ given

    def apply(self, filter: Applied, x: torch.Tensor, source: torch.Tensor | None = None) -> torch.Tensor:
        """y of x (..., d_model), in the type of x (table 1).

        source: (batch, rank), see `source`; x is then (..., batch, d_model).
        """
        basis = self.basis(filter)
        flat = x.reshape(-1, x.shape[-1]).to(self.dtype)
        inside = flat @ basis
        if isinstance(filter, Filter):
            y = inside @ basis.T if filter.keeps else torch.addmm(flat, inside, basis.T, alpha=-1)
            return y.to(x.dtype).reshape(x.shape)

        # Any other intervention: y = x + Q (K Q^T x + L Q^T s)
        change = inside @ self._map(filter)[0]
        if source is not None:
            change = (change.reshape(-1, *source.shape) + source).reshape(change.shape)
        y = torch.addmm(flat, change, basis.T)
        return y.to(x.dtype).reshape(x.shape)

    def apply_parts(self, parts: Sequence[Part], x: torch.Tensor, place: Place, examples: np.ndarray) -> None:
        """Change parts of x (state, example, d_model) in place; other states are left alone.

        place, examples: see `source`.
        """
        for filter, start, stop in parts:
            part = x[start:stop]
            part.copy_(self.apply(filter, part, self.source(filter, place, examples)))
