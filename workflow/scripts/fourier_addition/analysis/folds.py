"""Folds of cross-validation over numbers: a probe is tested on numbers that it has not seen."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from fourier_addition.errors import UserError

PROBE_KEYS = ("shuffles", "folds", "penalties", "scaling")
"""What all probes share of the configuration's `analysis`, where each key begins with `probe_`."""


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


def standardised(
    train: np.ndarray, test: np.ndarray, scaling: str = "common"
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors relative to the mean of the training vectors, of mean squared length 1 there.

    train: (example, feature). test: (other example, feature). scaling: see `feature_scales`. Both are
    centred and scaled by what `train` alone says.
    """
    mean, scales = feature_scales(train, scaling)
    return (train - mean) / scales, (test - mean) / scales


def feature_scales(train: np.ndarray, scaling: str = "common") -> tuple[np.ndarray, np.ndarray]:
    """What vectors are centred by and divided by, so that their mean squared length is 1.

    train: (example, feature). scaling: `common` divides all features by one number, so that a feature that
    varies more counts for more, as it does for the model's own products; `feature` divides each by its own
    standard deviation first, so that a few large features do not hide the others. Returns the mean
    (feature,), and the scales, () or (feature,); a feature that does not vary has the scale infinity.
    """
    mean = train.mean(axis=0)
    centred = train - mean
    smallest = 1e-9 * np.maximum(1.0, np.abs(mean))
    if scaling == "feature":
        deviation = np.sqrt((centred**2).mean(axis=0))
        varies = deviation > smallest
        return mean, np.where(varies, deviation * np.sqrt(max(1, varies.sum())), np.inf)
    length = np.sqrt((centred**2).sum(axis=1).mean())
    return mean, np.where(length > smallest.max(initial=1e-9), length, np.inf)
