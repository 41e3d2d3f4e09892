"""Helices: how much of residual states a line and circles over the numbers explain (arXiv 2502.00873).

A helix is C [n, cos(2 pi n / T), sin(2 pi n / T), ...]: linear in the number and one circle for each
period. It is fitted to states by least squares, and scored by the fraction of variance that it explains
for numbers that the fit has not seen. Beside it stand principal components of the states, as many as the
helix has dimensions, and helices of shuffled numbers. Variance is counted around the mean of each prompt
template: phrasings differ, whatever the number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fourier_addition.analysis.grouped_states import GroupedStates, grouped
from fourier_addition.errors import UserError

COLUMNS = ["variable", "part", "dimension", "held_out", "null_low", "null_high", "pca", "examples"]


def usable_periods(numbers: np.ndarray, periods: Sequence[float]) -> list[float]:
    """The periods of which the numbers span nine tenths at least; examples rarely hold both ends.

    Raises UserError where none is left.
    """
    span = int(np.max(numbers) - np.min(numbers)) + 1
    kept = [float(period) for period in periods if 0.9 * period <= span]
    if not kept:
        raise UserError(
            f"None of the periods {', '.join(f'{p:g}' for p in periods)} fits into {span} numbers."
        )
    return kept


def circle(numbers: np.ndarray, period: float) -> np.ndarray:
    """cos and sin of 2 pi n / T: (number,) -> (number, 2), or (number, 1) for period 2, whose sine is 0."""
    angles = 2 * np.pi * np.asarray(numbers, np.float64) / period
    waves = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return waves[:, :1] if period == 2 else waves


def helix(numbers: np.ndarray, periods: Sequence[float]) -> np.ndarray:
    """Features of numbers on a helix: the number, in units of 100, then the circles; (number, dimension)."""
    line = np.asarray(numbers, np.float64)[:, None] / 100
    return np.hstack([line, *(circle(numbers, period) for period in periods)])


def parts(numbers: np.ndarray, periods: Sequence[float]) -> dict[str, np.ndarray]:
    """The helix and its parts, each fitted alone: name -> features (number, dimension).

    `helix`, `linear`, `circles` (all periods), and `period T` for each.
    """
    whole = helix(numbers, periods)
    found = {"helix": whole, "linear": whole[:, :1], "circles": whole[:, 1:]}
    return found | {f"period {period:g}": circle(numbers, period) for period in periods}


def coefficients(features: np.ndarray, counts: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """Least squares of states on features and a constant: (case, 1 + dimension, feature).

    features: (case, value, dimension), a fit for each case. counts: (value,) examples. sums: (value,
    feature) of their states.
    """
    gram, cross = _products(features, counts, sums)
    solved: np.ndarray = np.linalg.pinv(gram, rcond=1e-12, hermitian=True) @ cross
    return solved


def _products(features: np.ndarray, counts: np.ndarray, sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """X^T X (case, 1 + dimension, 1 + dimension) and X^T Y (case, 1 + dimension, feature) of all examples."""
    design = np.concatenate([np.ones((*features.shape[:2], 1)), features], axis=2)
    turned = design.transpose(0, 2, 1)
    return (turned * counts) @ design, turned @ sums


def held_out_fractions(states: GroupedStates, features: np.ndarray) -> np.ndarray:
    """Fraction of the variance of held-out states that fits on features explain, (case,).

    features: (case, value, dimension), features of the distinct numbers, a case each. The fraction is
    1 - (squared error / squared distance to the template's mean), summed over folds; it is negative
    where the fit is worse than the mean, and NaN where all states of a template are the same.
    """
    explained, total = np.zeros(len(features)), 0.0
    for fold in range(states.folds):
        # Training numbers decide the templates' means and the fits.
        test = states.fold == fold
        centres = states.centres(fold)
        counts, sums, _ = states.centred(~test, centres)
        fitted = coefficients(features[:, ~test], counts, sums)

        # |y|^2 - |y - x C|^2, summed over the held-out examples, needs X^T X and X^T Y only.
        counts, sums, squares = states.centred(test, centres)
        gram, cross = _products(features[:, test], counts, sums)
        explained += (fitted * (2 * cross - gram @ fitted)).sum(axis=(1, 2))
        total += squares
    return explained / _variance(total, states)


def held_out_pca(states: GroupedStates, dimensions: Sequence[int]) -> dict[int, float]:
    """Fraction of the variance of held-out states inside the first principal components of the others.

    dimensions: numbers of components. Unlike a helix, the components are given the held-out state
    itself, so a helix of as many dimensions cannot do better but by chance. Returns dimension -> fraction.
    """
    inside, total = dict.fromkeys(dimensions, 0.0), 0.0
    for fold in range(states.folds):
        test = np.arange(states.folds) == fold
        centres = states.centres(fold)
        vectors = np.linalg.eigh(states.second(~test, centres))[1][:, ::-1]
        held_out = states.second(test, centres)
        total += float(np.trace(held_out))
        for dimension in dimensions:
            kept = vectors[:, :dimension]
            inside[dimension] += float(np.einsum("fd,fg,gd->", kept, held_out, kept, optimize=True))
    return {dimension: found / _variance(total, states) for dimension, found in inside.items()}


def _variance(total: float, states: GroupedStates) -> float:
    """Sum of squares around the templates' means; NaN where there is nothing but rounding to explain.

    Before the first block all prompts of a template may have one state at the reading position.
    """
    return total if total > 1e-9 * states.squares.sum() else float("nan")


@dataclass(frozen=True)
class HelixSettings:
    """How helices are fitted: the configuration's keys `analysis.helix_*`, and the seed.

    periods: of the circles, in numbers. shuffles: fits to shuffled numbers. folds: of the numbers.
    """

    periods: tuple[float, ...]
    shuffles: int
    folds: int
    seed: int

    @classmethod
    def of(cls, analysis: Mapping[str, Any]) -> HelixSettings:
        """From the configuration's `analysis`."""
        named = {key: analysis[f"helix_{key}"] for key in ("shuffles", "folds")}
        return cls(tuple(analysis["helix_periods"]), seed=analysis["seed"], **named)


def helix_fits(
    states: np.ndarray,
    variables: Mapping[str, np.ndarray],
    templates: np.ndarray,
    settings: HelixSettings,
) -> pd.DataFrame:
    """Held-out fractions of variance of one array of states, for every variable and part of its helix.

    states: (example, feature). variables: name -> (example,) numbers, for example a, b and the answer.
    templates: (example,) phrasing of each prompt. Columns: `COLUMNS`; dimension counts the features of
    the part, null_low and null_high are the 2.5 % and 97.5 % quantiles over shuffled numbers, pca is the
    fraction inside as many principal components. Raises UserError for fewer numbers than folds.
    """
    rows = []
    for name, numbers in variables.items():
        summed = grouped(states, numbers, templates, folds=settings.folds, seed=settings.seed)
        periods = usable_periods(summed.values, settings.periods)
        features = parts(summed.values, periods)
        pca = held_out_pca(summed, sorted({own.shape[1] for own in features.values()}))

        # The same shuffles for every part, so that parts can be compared.
        generator = np.random.default_rng(settings.seed)
        orders = [generator.permutation(len(summed.values)) for _ in range(settings.shuffles)]
        for part, own in features.items():
            fractions = held_out_fractions(summed, np.stack([own, *(own[order] for order in orders)]))
            low, high = np.quantile(fractions[1:], [0.025, 0.975])
            dimension = own.shape[1]
            rows.append([name, part, dimension, fractions[0], low, high, pca[dimension], len(states)])
    return pd.DataFrame(rows, columns=COLUMNS)
