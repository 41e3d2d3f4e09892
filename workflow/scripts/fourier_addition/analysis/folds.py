"""Folds of cross-validation over numbers: a probe is tested on numbers that it has not seen."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from fourier_addition.errors import UserError


def number_folds(place: np.ndarray, *, folds: int, seed: int) -> np.ndarray:
    """The fold of every example, (example,) int; examples of one number fall into one fold.

    place: (example,) index of each example's number among the distinct numbers. seed: of the numbers' folds.
    """
    order: np.ndarray = np.random.default_rng(seed).permutation(place.max() + 1)
    fold_of: np.ndarray = order[place] % folds
    return fold_of


def inner_pairs(folds: int) -> Iterator[tuple[int, int]]:
    """Pairs of folds that are left out together, so that a penalty is chosen inside the training folds.

    A probe that has seen neither fold of a pair is scored on the one fold for the penalty of the other fold's
    probe. So every pair is fitted once and used twice. Raises UserError for fewer than 3 folds, which would
    leave nothing to train on.
    """
    if folds < 3:
        raise UserError(f"A penalty that is chosen inside the training folds needs 3 folds, not {folds}.")
    return combinations(range(folds), 2)


def standardised(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vectors relative to the mean of the training vectors, of mean squared length 1 there.

    train: (example, feature). test: (other example, feature). Both are centred and scaled by what `train`
    alone says. All features are scaled alike: a feature that varies more counts for more, as it does for the
    model's own products.
    """
    mean = train.mean(axis=0)
    centred = train - mean
    length = float(np.sqrt((centred**2).sum(axis=1).mean()))
    scale = length if length > 1e-9 * max(1.0, float(np.abs(mean).max(initial=0.0))) else np.inf
    return centred / scale, (test - mean) / scale
