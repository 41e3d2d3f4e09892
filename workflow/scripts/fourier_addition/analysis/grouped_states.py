"""Sums of residual states by number and template: all that least squares and PCA of states need.

Features of a number are the same for all examples of the number. So a fit needs the sum of its states
only, and hundreds of fits to shuffled numbers cost little more than one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fourier_addition.errors import UserError


@dataclass(frozen=True)
class GroupedStates:
    """States of examples, summed up by number, by template and by fold.

    values: (value,) the distinct numbers, ascending. fold: (value,) the fold of each.
    counts: (value, template) examples. sums: (value, template, feature) of the states.
    squares: (value, template) sum of squared lengths. seconds: (fold, feature, feature) x^T x.
    """

    values: np.ndarray
    fold: np.ndarray
    counts: np.ndarray
    sums: np.ndarray
    squares: np.ndarray
    seconds: np.ndarray

    @property
    def folds(self) -> int:
        """How many folds there are."""
        return len(self.seconds)

    def centres(self, fold: int) -> np.ndarray:
        """Mean state of each template outside a fold, (template, feature).

        A template that has no example outside the fold has the mean of all templates.
        """
        outside = self.fold != fold
        counts, sums = self.counts[outside].sum(axis=0), self.sums[outside].sum(axis=0)
        means: np.ndarray = sums / np.maximum(counts, 1)[:, None]
        means[counts == 0] = sums.sum(axis=0) / counts.sum()
        return means

    def centred(self, chosen: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """Examples, centred sums and squared length of what some numbers have.

        chosen: (value,) bool. centres: (template, feature), taken from each state of the template.
        Returns counts (value',), sums (value', feature) and the sum of squared lengths.
        """
        counts = self.counts[chosen]
        sums = self.sums[chosen]
        centred = (sums - counts[..., None] * centres).sum(axis=1)
        cross = np.einsum("vtf,tf->", sums, centres)
        squares = self.squares[chosen].sum() - 2 * cross + (counts * np.square(centres).sum(axis=1)).sum()
        return counts.sum(axis=1), centred, float(squares)

    def second(self, folds: np.ndarray, centres: np.ndarray) -> np.ndarray:
        """Centred x^T x of the examples of some folds, (feature, feature). folds: (fold,) bool."""
        chosen = folds[self.fold]
        counts, sums = self.counts[chosen].sum(axis=0), self.sums[chosen].sum(axis=0)
        cross = sums.T @ centres
        about_zero = self.seconds[folds].sum(axis=0) - cross - cross.T
        centred: np.ndarray = about_zero + (centres * counts[:, None]).T @ centres
        return centred


def grouped(
    states: np.ndarray, numbers: np.ndarray, templates: np.ndarray, *, folds: int, seed: int
) -> GroupedStates:
    """States summed up by number and template, with folds of numbers.

    states: (example, feature). numbers: (example,) what each state is about. templates: (example,) the
    phrasing of each prompt, any labels. folds: of the numbers; all examples of a number are in one fold.
    seed: of the folds. Raises UserError where there are fewer distinct numbers than folds.
    """
    values, place = np.unique(numbers, return_inverse=True)
    names, phrasing = np.unique(templates, return_inverse=True)
    if len(values) < folds:
        raise UserError(f"{len(values)} distinct numbers are too few for {folds} folds.")
    fold = np.random.default_rng(seed).permutation(len(values)) % folds
    x = np.asarray(states, np.float64)

    # One row for each pair of a number and a template.
    group = place * len(names) + phrasing
    pairs = len(values) * len(names)
    sums = np.zeros((pairs, x.shape[1]))
    np.add.at(sums, group, x)
    shape = (len(values), len(names))
    return GroupedStates(
        values,
        fold,
        np.bincount(group, minlength=pairs).reshape(shape),
        sums.reshape(*shape, -1),
        np.bincount(group, weights=np.square(x).sum(axis=1), minlength=pairs).reshape(shape),
        np.stack([x[fold[place] == one].T @ x[fold[place] == one] for one in range(folds)]),
    )
