"""Filters as PyTorch operations."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fourier_addition.filters import Filter

Part = tuple[Filter, int, int]
"""A filter and the states start..stop-1 that it is applied to."""


class TorchFilters:
    """Filters of many conditions on one device, each converted once.

    dtype is the model's; products are taken in it, but never in less than float32.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.device = device
        self.dtype = torch.promote_types(dtype, torch.float32)
        self._bases: dict[Filter, torch.Tensor] = {}

    def basis(self, filter: Filter) -> torch.Tensor:
        """(d_model, column) basis of one filter."""
        if filter not in self._bases:
            self._bases[filter] = torch.from_numpy(filter.basis).to(self.device, self.dtype).contiguous()
        return self._bases[filter]

    def apply(self, filter: Filter, x: torch.Tensor) -> torch.Tensor:
        """y of x (..., d_model), in the type of x (table 1)."""
        basis = self.basis(filter)
        flat = x.reshape(-1, x.shape[-1]).to(self.dtype)
        inside = flat @ basis
        y = inside @ basis.T if filter.keeps else torch.addmm(flat, inside, basis.T, alpha=-1)
        return y.to(x.dtype).reshape(x.shape)

    def apply_parts(self, parts: Sequence[Part], x: torch.Tensor) -> None:
        """Filter parts of x (state, example, d_model) in place; other states are left alone."""
        for filter, start, stop in parts:
            part = x[start:stop]
            part.copy_(self.apply(filter, part))
