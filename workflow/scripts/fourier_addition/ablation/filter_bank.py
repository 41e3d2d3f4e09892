"""The filters of one model and one Fourier basis, each made once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from fourier_addition.filters import Filter, removal_basis
from fourier_addition.fourier import FourierBasis


@dataclass
class FilterBank:
    """The map F W_U from module outputs to Fourier components, and the filters made from it.

    unembedding: (number, d_model) W_U, or with what stands before it folded in.
    tolerance: relative rank tolerance of `removal_basis`.
    """

    unembedding: np.ndarray
    basis: FourierBasis
    tolerance: float | None = None
    _removing: dict[tuple[int, ...], Filter] = field(default_factory=dict, repr=False)
    _random: dict[tuple[int, int, int], Filter] = field(default_factory=dict, repr=False)

    @property
    def width(self) -> int:
        """d_model."""
        return int(self.unembedding.shape[1])

    def removing(self, components: Iterable[int]) -> Filter:
        """The filter against a set of components; the same object for the same set."""
        key = tuple(int(k) for k in components)
        if key not in self._removing:
            removed = removal_basis(self.unembedding, self.basis, key, self.tolerance)
            self._removing[key] = Filter.removing(removed)
        return self._removing[key]

    def random(self, rank: int, seed: int, draw: int) -> Filter:
        """The draw-th random filter of a rank; the same object for the same three numbers.

        A draw depends on nothing else, so more draws or other rows leave it as it is.
        """
        key = (rank, seed, draw)
        if key not in self._random:
            self._random[key] = Filter.random(self.width, rank, np.random.default_rng([seed, rank, draw]))
        return self._random[key]
