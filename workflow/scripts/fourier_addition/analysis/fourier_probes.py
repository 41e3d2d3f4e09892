"""Fourier probes: whether a number lies on a circle of period T, linearly readable from vectors.

A Fourier probe is a ridge regression of cos(2 pi n / T) and sin(2 pi n / T) from vectors (arXiv 2605.01148,
2502.00873). It is held out by number: a probe is scored on numbers that it has not seen. Its penalty is
chosen inside the training folds. Periods that no decimal number has (7, for one) and shuffled numbers are
the controls: a circle is there where its probe stands above both.

All periods, penalties and shuffles of a fold use the same eigenvectors, so hundreds of probes cost little
more than one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fourier_addition.analysis.folds import PROBE_KEYS, inner_pairs, number_folds, standardised

COLUMNS = (
    "period",
    "r2",
    "r2_low",
    "r2_high",
    "null_low",
    "null_high",
    "angular_error",
    "decoded",
    "penalty",
    "examples",
    "numbers",
)
BOOTSTRAP = 500
"""Resamples of the numbers behind the interval of an R2."""


def fourier_probe_settings(analysis: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments of `fourier_probe_table` from the configuration's `analysis`."""
    named = {key: analysis[f"probe_{key}"] for key in ("periods", *PROBE_KEYS)}
    return {**named, "seed": analysis["seed"]}


def circle(numbers: np.ndarray, periods: Sequence[float]) -> np.ndarray:
    """Where numbers lie on circles: cos and sin of 2 pi n / T, (number, period, 2)."""
    angle = 2 * np.pi * np.asarray(numbers, np.float64)[:, None] / np.asarray(periods, np.float64)
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def ridge_predictions(
    train: np.ndarray,
    targets: np.ndarray,
    test: np.ndarray,
    penalties: Sequence[float],
    scaling: str = "common",
) -> np.ndarray:
    """Ridge regression with several penalties: predictions (penalty, test example, target) float32.

    train: (example, feature). targets: (example, target). test: (test example, feature). penalties: in units
    of the vectors' mean squared length, once they are scaled; the intercept is not penalised. scaling: see
    `folds.feature_scales`.
    """
    x, z = standardised(train, test, scaling)
    mean = targets.mean(axis=0)
    centred = targets - mean

    # Eigenvectors of the smaller of the two products, x x^T over examples or x^T x over features.
    if len(x) <= x.shape[1]:
        values, vectors = np.linalg.eigh(x @ x.T)
        left, right = (z @ x.T) @ vectors, vectors.T @ centred
    else:
        values, vectors = np.linalg.eigh(x.T @ x)
        left, right = z @ vectors, vectors.T @ (x.T @ centred)
    # Decomposed in float64, multiplied in float32: R2 needs no more, and products take most of the time.
    left, right, values = left.astype(np.float32), right.astype(np.float32), np.maximum(values, 0)
    weights = [(1 / (values + penalty)).astype(np.float32) for penalty in penalties]
    predicted: np.ndarray = np.concatenate([left * weight for weight in weights]) @ right
    predicted += mean.astype(np.float32)
    return predicted.reshape(len(weights), len(z), -1)


def ridge_weights(vectors: np.ndarray, targets: np.ndarray, penalty: float) -> np.ndarray:
    """Ridge regression of vectors as they are, without an intercept: (feature, target).

    vectors: (example, feature). targets: (example, target). penalty: on the squared weights, not scaled. The
    smaller of the two systems is solved, that over examples or that over features.
    """
    weights: np.ndarray
    if len(vectors) <= vectors.shape[1]:
        weights = vectors.T @ np.linalg.solve(vectors @ vectors.T + penalty * np.eye(len(vectors)), targets)
    else:
        inner = vectors.T @ vectors + penalty * np.eye(vectors.shape[1])
        weights = np.linalg.solve(inner, vectors.T @ targets)
    return weights


def fitting_periods(numbers: np.ndarray, periods: Sequence[float]) -> list[float]:
    """The periods that numbers can tell apart: those up to twice the span of the numbers."""
    span = int(np.max(numbers)) - int(np.min(numbers)) + 1
    return [float(period) for period in periods if period <= 2 * span]


def fourier_probe_table(
    vectors: np.ndarray,
    numbers: np.ndarray,
    periods: Sequence[float],
    *,
    shuffles: int,
    folds: int,
    penalties: Sequence[float],
    seed: int,
    groups: np.ndarray | None = None,
    held_out: np.ndarray | None = None,
    scaling: str = "common",
) -> pd.DataFrame:
    """Fourier probes of vectors for the number that each vector is about, one row for each period.

    vectors: (example, feature). numbers: (example,). groups: (example,) what is held out, each group with one
    number, as the answers whose last digit is probed; the numbers themselves where left out. held_out:
    (example,) what the folds are over, where it is not the groups, as the answers when an operand is probed
    that may stand in several folds. periods: T, in
    numbers; those of more than twice the span of the numbers are left out. shuffles: probes for shuffled
    numbers. folds: of the cross-validation, over numbers, 3 at least. penalties: of which one is chosen for
    every fold, period and shuffle inside the training folds. seed: of the folds, the shuffles and the
    bootstrap. scaling: of the features, see `folds.feature_scales`.

    Columns: period; r2, the share of the variance of cos and sin that is predicted on numbers that were not
    trained on (0 for the mean of the training numbers); r2_low, r2_high, its 95 % bootstrap interval over
    what is held out; null_low, null_high, the 2.5 % and 97.5 % quantiles of the R2 of shuffled numbers;
    angular_error, the mean angle between predicted and true phase in degrees (90 is chance); decoded, the
    share of examples whose predicted phase is nearer to the true residue than to any other whole one;
    penalty, the geometric mean over folds; examples and numbers (distinct groups), how many. Empty where
    fewer groups than `folds` are distinct.
    """
    kept = fitting_periods(numbers, periods)
    groups = np.asarray(numbers) if groups is None else groups
    _, first, place = np.unique(groups, return_index=True, return_inverse=True)
    values = np.asarray(numbers)[first]
    apart = place if held_out is None else np.unique(held_out, return_inverse=True)[1]
    if min(len(values), apart.max() + 1) < max(folds, 3) or not kept:
        return pd.DataFrame(columns=list(COLUMNS))

    # Case 0 is the true number of each example; in the others the numbers are shuffled.
    generator = np.random.default_rng(seed)
    cases = np.stack([np.arange(len(values)), *(generator.permutation(len(values)) for _ in range(shuffles))])
    truth = circle(values, kept)
    targets = truth[cases[:, place]].transpose(1, 0, 2, 3)
    predicted, baseline, chosen = _held_out(
        np.asarray(vectors, np.float64),
        targets,
        number_folds(apart, folds=folds, seed=seed),
        penalties,
        scaling,
    )

    # R2 of every period and case, pooled over cos and sin.
    missed = ((predicted - targets) ** 2).sum(axis=-1)
    spread = ((baseline - targets) ** 2).sum(axis=-1)
    r2 = 1 - missed.sum(axis=0) / spread.sum(axis=0)
    low, high = _interval(missed[:, 0], spread[:, 0], apart, seed)
    null = np.quantile(r2[1:], [0.025, 0.975], axis=0) if shuffles else np.full((2, len(kept)), np.nan)

    # Phases of the true case.
    phase = np.arctan2(predicted[:, 0, :, 1], predicted[:, 0, :, 0])
    own = np.arctan2(targets[:, 0, :, 1], targets[:, 0, :, 0])
    error = np.degrees(np.abs((phase - own + np.pi) % (2 * np.pi) - np.pi))
    return pd.DataFrame(
        {
            "period": kept,
            "r2": r2[0],
            "r2_low": low,
            "r2_high": high,
            "null_low": null[0],
            "null_high": null[1],
            "angular_error": error.mean(axis=0),
            "decoded": (error < 180 / np.array(kept)).mean(axis=0),
            "penalty": np.exp(np.log(chosen[:, 0]).mean(axis=0)),
            "examples": len(place),
            "numbers": len(values),
        }
    )


def _held_out(
    vectors: np.ndarray,
    targets: np.ndarray,
    fold_of: np.ndarray,
    penalties: Sequence[float],
    scaling: str,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predictions of every example by probes that have not seen its number.

    targets: (example, case, period, 2). Returns predictions and the training means, both as `targets`, and
    the chosen penalties (fold, case, period).
    """
    examples, folds = len(vectors), int(fold_of.max()) + 1
    flat, shape = targets.reshape(examples, -1), targets.shape[1:]
    rounded = targets.astype(np.float32)

    # Squared errors of every penalty on folds inside the training folds of each fold.
    errors = np.zeros((folds, len(penalties), *shape[:2]))
    for first, second in inner_pairs(folds):
        outside = (fold_of == first) | (fold_of == second)
        found = ridge_predictions(vectors[~outside], flat[~outside], vectors[outside], penalties, scaling)
        missed = found.reshape(len(penalties), -1, *shape)
        missed -= rounded[outside]
        scored = fold_of[outside]
        for fold, other in ((first, second), (second, first)):
            each = missed[:, scored == other]
            errors[fold] += np.einsum("pnctx,pnctx->pct", each, each)
    best = errors.argmin(axis=1)

    # The probe of every fold, with the penalty that was chosen for the period and the case.
    predicted, baseline = np.empty_like(targets), np.empty_like(targets)
    for fold in range(folds):
        test = fold_of == fold
        found = ridge_predictions(vectors[~test], flat[~test], vectors[test], penalties, scaling)
        found = found.reshape(len(penalties), -1, *shape)
        index = best[fold][None, None, :, :, None]
        predicted[test] = np.take_along_axis(found, index, axis=0)[0]
        baseline[test] = targets[~test].mean(axis=0)
    return predicted, baseline, np.asarray(penalties, np.float64)[best]


def _interval(
    missed: np.ndarray, spread: np.ndarray, place: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """95 % bootstrap interval of R2 over numbers, (period,) each.

    missed, spread: (example, period) squared errors of the probe and of the training mean.
    """
    count = int(place.max()) + 1
    member = np.eye(count)[place]
    by_number = (member.T @ missed, member.T @ spread)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=BOOTSTRAP)
    r2 = 1 - (drawn @ by_number[0]) / (drawn @ by_number[1])
    low, high = np.quantile(r2, [0.025, 0.975], axis=0)
    return low, high
