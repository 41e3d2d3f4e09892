"""Linear probes for n mod T: what a spike in a spectrum should mean for a reader of the vectors.

Spikes also appear where no residue can be read (arXiv 2604.20817), so a probe stands beside them:
ridge regression of the residue's one-hot code from vectors, cross-validated over numbers that the
probe has not seen, scored by Cohen's kappa, with a null of shuffled numbers. Every shuffle shares
the regression's one inverse, so a null of hundreds costs little more than one probe.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

COLUMNS = ["modulus", "kappa", "null_low", "null_high"]


def probe_settings(analysis: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments of `probe_table` from the configuration's `analysis`."""
    named = {key: analysis[f"probe_{key}"] for key in ("moduli", "shuffles", "folds", "ridge")}
    return {**named, "seed": analysis["seed"]}


def kappas(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Cohen's kappa of predictions: truth, predicted (case, example) classes -> (case,).

    0 is chance, 1 is perfect; 0 where chance alone is always right.
    """
    agree = (truth == predicted).mean(axis=1)
    shares = [
        np.stack([(labels == each).mean(axis=1) for each in range(classes)]) for labels in (truth, predicted)
    ]
    chance = (shares[0] * shares[1]).sum(axis=0)
    return np.where(chance < 1, (agree - chance) / np.maximum(1 - chance, 1e-12), 0.0)


Fold = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Training examples, held-out examples (both masks), and the map from targets of the first to the second."""


def ridge_folds(vectors: np.ndarray, place: np.ndarray, *, folds: int, ridge: float, seed: int) -> list[Fold]:
    """Cross-validated ridge regression on vectors, for any targets: they enter by a product alone.

    vectors: (example, feature). place: (example,) index of each one's number among the distinct ones;
    examples of one number fall into one fold. ridge: penalty, as a share of a standardised vector's
    squared length.
    """
    x = np.asarray(vectors, np.float64)
    x = (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-9)
    kernel = x @ x.T / x.shape[1]
    fold_of = np.random.default_rng(seed).permutation(place.max() + 1)[place] % folds
    found = []
    for fold in range(folds):
        test = fold_of == fold
        train = ~test
        inverse = np.linalg.inv(kernel[np.ix_(train, train)] + ridge * np.eye(train.sum()))
        found.append((train, test, kernel[np.ix_(test, train)] @ inverse))
    return found


def probe_kappas(folds: Sequence[Fold], place: np.ndarray, residues: np.ndarray) -> np.ndarray:
    """Cohen's kappa of a cross-validated linear probe, for many labellings of the numbers at once.

    folds: of `ridge_folds`. place: (example,) as there. residues: (case, value) class of each distinct
    number (ascending). Returns (case,).
    """
    labels = residues[:, place]
    classes = int(residues.max()) + 1
    code = np.eye(classes)[labels]
    predicted = np.empty_like(labels)
    for train, test, from_targets in folds:
        mean = code[:, train].mean(axis=1, keepdims=True)
        scores = np.einsum("ij,cjk->cik", from_targets, code[:, train] - mean, optimize=True) + mean
        predicted[:, test] = scores.argmax(axis=-1)
    return kappas(labels, predicted, classes)


def probe_table(
    vectors: np.ndarray,
    numbers: np.ndarray,
    moduli: Sequence[int],
    *,
    shuffles: int,
    folds: int,
    ridge: float,
    seed: int,
) -> pd.DataFrame:
    """Probes of vectors for n mod T, T in `moduli`.

    vectors: (example, feature); numbers: (example,) what each is about. Columns: modulus, kappa,
    null_low, null_high (2.5 % and 97.5 % of the kappas under shuffled numbers). A modulus with a
    residue of under `folds` distinct numbers is left out.
    """
    values, place = np.unique(numbers, return_inverse=True)
    residues = {modulus: values % modulus for modulus in moduli}
    kept = [m for m in moduli if np.bincount(residues[m], minlength=m).min() >= folds]
    fitted = ridge_folds(vectors, place, folds=folds, ridge=ridge, seed=seed) if kept else []
    generator = np.random.default_rng(seed)
    rows = []
    for modulus in kept:
        own = residues[modulus]
        cases = np.stack([own, *(generator.permutation(own) for _ in range(shuffles))])
        found = probe_kappas(fitted, place, cases)
        low, high = np.quantile(found[1:], [0.025, 0.975])
        rows.append([modulus, found[0], low, high])
    return pd.DataFrame(rows, columns=COLUMNS)


def layer_probes(
    residual: Iterable[np.ndarray], answers: np.ndarray, moduli: Sequence[int], **settings: float
) -> pd.DataFrame:
    """Probes of the residual stream at the reading position for the answer mod T, state by state.

    residual: (example, d_model) for each state, state 0 before the first block; an array (state,
    example, d_model) or one state at a time. answers: (example,).
    settings: as of `probe_table`. Columns: layer (0 is the embedding), modulus, kappa, null_low,
    null_high.
    """
    tables = [
        probe_table(states, answers, moduli, **settings).assign(layer=layer)
        for layer, states in enumerate(residual)
    ]
    return pd.concat(tables, ignore_index=True)[["layer", *COLUMNS]]
