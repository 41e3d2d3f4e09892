"""Linear probes for n mod T: whether the residue that a spike in a spectrum suggests can be read off.

A spectrum has a spike at period T also where no linear probe can read n mod T (arXiv 2604.20817), so
probes stand beside the spectra. A probe is a ridge regression of the residue's one-hot code from
vectors. It is cross-validated over numbers that it has not seen, scored by Cohen's kappa, and compared
with probes for shuffled numbers. All shuffles use the same inverse matrix, so hundreds of them cost
little more than one probe.
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
    """Cohen's kappa of predictions, for many cases at once: (case,).

    truth, predicted: (case, example) classes, below `classes`. 0 is chance and 1 is perfect; kappa is 0
    where chance alone is always right.
    """
    agree = (truth == predicted).mean(axis=1)
    shares = [
        np.stack([(labels == one).mean(axis=1) for one in range(classes)]) for labels in (truth, predicted)
    ]
    chance = (shares[0] * shares[1]).sum(axis=0)
    return np.where(chance < 1, (agree - chance) / np.maximum(1 - chance, 1e-12), 0.0)


Fold = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Masks of the training and of the held-out examples, each (example,) bool, and the matrix that takes
targets of the training examples to predictions for the held-out ones: (held-out, training)."""


def ridge_folds(vectors: np.ndarray, place: np.ndarray, *, folds: int, ridge: float, seed: int) -> list[Fold]:
    """Cross-validated ridge regression on vectors, before the targets are known.

    vectors: (example, feature). place: (example,) index of each example's number among the distinct
    numbers; examples of one number fall into one fold. ridge: penalty, as a share of a standardised
    vector's squared length. seed: of the numbers' folds. Predictions are a matrix, which depends on the
    vectors alone, times the targets: the folds hold that matrix.
    """
    # In the kernel form, predictions are K(test, train) (K(train, train) + ridge 1)^-1 targets.
    x = np.asarray(vectors, np.float64)
    x = (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-9)
    kernel = x @ x.T / x.shape[1]

    # Folds are of numbers, so that a probe is tested on numbers that it has not seen.
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

    folds: what `ridge_folds` returns. place: (example,) as for `ridge_folds`. residues: (case, value),
    the class of each distinct number, in ascending order of the numbers. Returns (case,).
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

    vectors: (example, feature). numbers: (example,), the number that each vector is about. shuffles:
    probes for shuffled numbers. folds, ridge, seed: as for `ridge_folds`. Columns: modulus, kappa,
    null_low, null_high (the 2.5 % and 97.5 % quantiles of the kappas for shuffled numbers). A modulus is
    left out where fewer than `folds` distinct numbers have one of its residues.
    """
    values, place = np.unique(numbers, return_inverse=True)

    # Which moduli can be probed: every fold needs every residue.
    residues = {modulus: values % modulus for modulus in moduli}
    kept = [m for m in moduli if np.bincount(residues[m], minlength=m).min() >= folds]
    fitted = ridge_folds(vectors, place, folds=folds, ridge=ridge, seed=seed) if kept else []

    # Case 0 is the true labelling; the others are shuffled.
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
    residual: Iterable[np.ndarray], answers: np.ndarray, moduli: Sequence[int], **settings: Any
) -> pd.DataFrame:
    """Probes of the residual stream at the reading position for the answer mod T, layer by layer.

    residual: one array (example, d_model) for each state of the residual stream, where state 0 is the
    stream before the first block; an iterator keeps one state in memory at a time. answers: (example,).
    settings: the keyword arguments of `probe_table`. Columns: layer (the state), modulus, kappa,
    null_low, null_high.
    """
    tables = [
        probe_table(states, answers, moduli, **settings).assign(layer=layer)
        for layer, states in enumerate(residual)
    ]
    return pd.concat(tables, ignore_index=True)[["layer", *COLUMNS]]
