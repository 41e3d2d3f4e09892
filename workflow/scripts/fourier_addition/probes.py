"""Linear probes for n mod T: what a spike in a spectrum should mean for a reader of the vectors.

Spikes also appear where no residue can be read (arXiv 2604.20817), so a probe stands beside them:
multinomial logistic regression of n mod T from vectors, cross-validated, scored by Cohen's kappa,
with a null of shuffled numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd


def probe_kappa(vectors: np.ndarray, labels: np.ndarray, seed: int, folds: int = 5) -> float:
    """Cohen's kappa of cross-validated logistic regression.

    vectors: (number, feature); labels: (number,) classes. 0 is chance, 1 is perfect.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import cohen_kappa_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200, C=0.1, tol=1e-3))
    split = StratifiedKFold(folds, shuffle=True, random_state=seed)
    return float(cohen_kappa_score(labels, cross_val_predict(model, vectors, labels, cv=split)))


def embedding_probes(
    embedding: np.ndarray, moduli: Sequence[int], *, shuffles: int, seed: int
) -> pd.DataFrame:
    """Probes of a number embedding for n mod T, T in `moduli`.

    embedding: (number, feature). Columns: modulus, kappa, null_low, null_high (2.5 % and 97.5 % of
    the kappas under shuffled numbers). A modulus with a residue of under 5 numbers is left out.
    """
    generator = np.random.default_rng(seed)
    numbers = np.arange(len(embedding))
    rows = []
    for modulus in moduli:
        labels = numbers % modulus
        if np.bincount(labels).min() < 5:
            continue
        null = [probe_kappa(embedding, generator.permutation(labels), seed) for _ in range(shuffles)]
        low, high = np.quantile(null, [0.025, 0.975])
        rows.append(
            {
                "modulus": modulus,
                "kappa": probe_kappa(embedding, labels, seed),
                "null_low": low,
                "null_high": high,
            }
        )
    return pd.DataFrame(rows, columns=["modulus", "kappa", "null_low", "null_high"])
