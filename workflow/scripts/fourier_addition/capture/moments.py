"""Moments of what heads and neurons hold, summed up example by example: all that their analysis reads.

Memory grows with the numbers and the units, not with the examples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from fourier_addition.errors import UserError


@dataclass
class UnitMoments:
    """Sums over examples of z, the values of a module's units at the reading position.

    count: (number,) examples of each answer. sums: (number, unit, feature) sum of z over them.
    second: (unit, feature, feature) sum of z z^T over all examples.
    inputs: (unit, feature) sum of z before the factor of the norm after the module, where there is one.
    """

    count: np.ndarray
    sums: np.ndarray
    second: np.ndarray
    inputs: np.ndarray

    @classmethod
    def empty(cls, numbers: int, units: int, features: int) -> Self:
        """Moments of no example."""
        return cls(
            np.zeros(numbers),
            np.zeros((numbers, units, features)),
            np.zeros((units, features, features)),
            np.zeros((units, features)),
        )

    @property
    def examples(self) -> int:
        """Examples that were added."""
        return int(self.count.sum())

    @property
    def mean(self) -> np.ndarray:
        """Mean of z, (unit, feature). Raises UserError where there is no example."""
        if not self.examples:
            raise UserError("There is no example to take the mean of heads and neurons over.")
        mean: np.ndarray = self.sums.sum(axis=0) / self.examples
        return mean

    def add(self, values: np.ndarray, answers: np.ndarray, inputs: np.ndarray | None = None) -> None:
        """Add examples. values, inputs: (example, unit, feature); answers: (example,) numbers.

        inputs: the values before the norm's factor; the values themselves where None.
        """
        values = np.asarray(values, np.float64)
        examples, units, features = values.shape
        flat = values.reshape(examples, -1)

        # Sums for each answer, as a product with the answers' one-hot codes
        codes = np.zeros((len(self.count), examples))
        codes[answers, np.arange(examples)] = 1
        self.count += codes.sum(axis=1)
        self.sums += (codes @ flat).reshape(self.sums.shape)

        # Second moments of each unit alone
        if features == 1:
            self.second[:, 0, 0] += (flat**2).sum(axis=0)
        else:
            self.second += np.einsum("euf,eug->ufg", values, values, optimize=True)
        self.inputs += (
            (flat if inputs is None else np.asarray(inputs, np.float64))
            .reshape(examples, units, features)
            .sum(axis=0)
        )

    def centred_sums(self) -> np.ndarray:
        """Sums for each answer of z less its mean over the examples, (number, unit, feature)."""
        centred: np.ndarray = self.sums - self.count[:, None, None] * self.mean
        return centred

    def covariance(self) -> np.ndarray:
        """Mean of z z^T less that of the mean, (unit, feature, feature)."""
        mean = self.mean
        covariance: np.ndarray = self.second / self.examples - mean[:, :, None] * mean[:, None, :]
        return covariance

    def power(self) -> np.ndarray:
        """Mean of z z^T, (unit, feature, feature)."""
        power: np.ndarray = self.second / max(1, self.examples)
        return power
