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


def probe_kappas(
    vectors: np.ndarray,
    numbers: np.ndarray,
    residues: np.ndarray,
    *,
    folds: int,
    ridge: float,
    seed: int,
) -> np.ndarray:
    """Cohen's kappa of a cross-validated linear probe, for many labellings of the numbers at once.

    vectors: (example, feature). numbers: (example,) the number of each. residues: (case, value)
    class of each distinct number (ascending). Examples of one number fall into one fold.
    ridge: penalty, as a share of a standardised vector's squared length. Returns (case,).
    """
    x = np.asarray(vectors, np.float64)
    x = (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-9)
    kernel = x @ x.T / x.shape[1]
    values, place = np.unique(numbers, return_inverse=True)
    labels = residues[:, place]
    classes = int(residues.max()) + 1
    code = np.eye(classes)[labels]
    fold_of = np.random.default_rng(seed).permutation(len(values))[place] % folds
    predicted = np.empty_like(labels)
    for fold in range(folds):
        test = fold_of == fold
        train = ~test
        inverse = kernel[np.ix_(test, train)] @ np.linalg.inv(
            kernel[np.ix_(train, train)] + ridge * np.eye(train.sum())
        )
        mean = code[:, train].mean(axis=1, keepdims=True)
        scores = np.einsum("ij,cjk->cik", inverse, code[:, train] - mean, optimize=True) + mean
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
    values = np.unique(numbers)
    generator = np.random.default_rng(seed)
    rows = []
    for modulus in moduli:
        own = values % modulus
        if np.bincount(own, minlength=modulus).min() < folds:
            continue
        cases = np.stack([own, *(generator.permutation(own) for _ in range(shuffles))])
        found = probe_kappas(vectors, numbers, cases, folds=folds, ridge=ridge, seed=seed)
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
