"""Probes for n mod T: whether the residue that a spike in a spectrum suggests can be read off.

A spectrum has a spike at period T also where no linear probe can read n mod T (arXiv 2604.20817), so
probes stand beside the spectra. A probe is a multinomial logistic regression of the residue from vectors,
with a ridge penalty that is chosen inside the training folds. It is cross-validated over numbers that it
has not seen, scored by Cohen's kappa, and compared with probes for shuffled numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fourier_addition.analysis.folds import PROBE_KEYS, inner_pairs, number_folds, standardised
from fourier_addition.analysis.softmax import coordinates, softmax_scores

COLUMNS = ["modulus", "kappa", "null_low", "null_high", "penalty", "examples"]


def probe_settings(analysis: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments of `probe_table` from the configuration's `analysis`."""
    named = {key: analysis[f"probe_{key}"] for key in ("moduli", *PROBE_KEYS)}
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


@dataclass(frozen=True)
class Labelling:
    """Labels of the examples, (case, example) classes below `classes`; case 0 is the true labelling."""

    labels: np.ndarray
    classes: int


def chosen_penalties(
    vectors: np.ndarray,
    labellings: Sequence[Labelling],
    fold_of: np.ndarray,
    penalties: Sequence[float],
    scaling: str = "common",
) -> np.ndarray:
    """The penalty of every fold's probe for the true labels, chosen on the other folds: (labelling, fold).

    vectors: (example, feature). fold_of: (example,) from `number_folds`. The penalty is the one of
    `penalties` with which most held-out labels are right; of equally good ones, the one that gives them the
    largest log-probability.
    """
    folds = int(fold_of.max()) + 1
    right, likelihood = np.zeros((2, len(labellings), folds, len(penalties)))
    repeated = [np.repeat(each.labels[:1], len(penalties), axis=0) for each in labellings]
    for first, second in inner_pairs(folds):
        outside = (fold_of == first) | (fold_of == second)
        held_out = coordinates(*standardised(vectors[~outside], vectors[outside], scaling))
        for number, (labelling, labels) in enumerate(zip(labellings, repeated, strict=True)):
            scores = softmax_scores(
                held_out, labels[:, ~outside], np.array(penalties), classes=labelling.classes
            )
            hits = scores.argmax(axis=-1) == labels[:, outside]
            own = np.take_along_axis(scores, labels[:, outside, None], axis=-1)[..., 0]
            for fold, other in ((first, second), (second, first)):
                scored = fold_of[outside] == other
                right[number, fold] += hits[:, scored].sum(axis=1)
                likelihood[number, fold] += own[:, scored].sum(axis=1)

    # The likelihood decides between equals alone: it is scaled to less than one right answer.
    score = right + likelihood / (1 + np.abs(likelihood).max(axis=(1, 2), keepdims=True))
    best: np.ndarray = np.asarray(penalties, np.float64)[score.argmax(axis=-1)]
    return best


def probe_kappas(
    vectors: np.ndarray,
    place: np.ndarray,
    residues: Sequence[np.ndarray],
    *,
    folds: int,
    penalties: Sequence[float],
    seed: int,
    scaling: str = "common",
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cohen's kappa of cross-validated probes, for several properties of the numbers.

    vectors: (example, feature). place: (example,) index of each example's number among the distinct numbers.
    residues: of each property (case, value), the class of each distinct number, in ascending order of the
    numbers; case 0 is the true labelling. folds, penalties, seed, scaling: as for `probe_table`. The
    penalty of every fold is chosen for the true labelling, and the other labellings are fitted with it.
    Returns of each property the kappas (case,) and the penalties (fold,).
    """
    labellings = [Labelling(classes[:, place], int(classes.max()) + 1) for classes in residues]
    fold_of = number_folds(place, folds=folds, seed=seed)
    x = np.asarray(vectors, np.float64)
    chosen = chosen_penalties(x, labellings, fold_of, penalties, scaling)
    predicted = [np.empty_like(each.labels) for each in labellings]
    for fold in range(folds):
        test = fold_of == fold
        held_out = coordinates(*standardised(x[~test], x[test], scaling))
        for each, penalty, found in zip(labellings, chosen[:, fold], predicted, strict=True):
            scores = softmax_scores(
                held_out, each.labels[:, ~test], np.full(len(found), penalty), classes=each.classes
            )
            found[:, test] = scores.argmax(axis=-1)
    return [
        (kappas(each.labels, found, each.classes), penalty)
        for each, found, penalty in zip(labellings, predicted, chosen, strict=True)
    ]


def probe_table(
    vectors: np.ndarray,
    numbers: np.ndarray,
    moduli: Sequence[int],
    *,
    shuffles: int,
    folds: int,
    penalties: Sequence[float],
    seed: int,
    scaling: str = "common",
) -> pd.DataFrame:
    """Probes of vectors for n mod T, T in `moduli`.

    vectors: (example, feature). numbers: (example,), the number that each vector is about. shuffles:
    probes for shuffled numbers. folds: of the cross-validation, over numbers, 3 at least. penalties: of the
    logistic regression, in units of the vectors' mean squared length; one is chosen inside the
    training folds. seed: of the folds and the shuffles. scaling: of the features, see
    `folds.feature_scales`. Columns: modulus, kappa, null_low, null_high (the 2.5 % and 97.5 % quantiles of
    the kappas for shuffled numbers), penalty (geometric mean over folds), examples. A modulus is left out
    where fewer than `folds` distinct numbers have one of its residues.
    """
    values, place = np.unique(numbers, return_inverse=True)

    # Which moduli can be probed: every fold needs every residue.
    residues = {modulus: values % modulus for modulus in moduli}
    kept = [m for m in moduli if np.bincount(residues[m], minlength=m).min() >= folds]
    if not kept:
        return pd.DataFrame(columns=COLUMNS)

    # Case 0 is the true labelling; the others are shuffled.
    generator = np.random.default_rng(seed)
    cases = [
        np.stack([own, *(generator.permutation(own) for _ in range(shuffles))])
        for own in (residues[modulus] for modulus in kept)
    ]
    fitted: dict[str, Any] = {"folds": folds, "penalties": penalties, "seed": seed, "scaling": scaling}
    probed = probe_kappas(vectors, place, cases, **fitted)

    # What stands beside each kappa
    rows = []
    for modulus, (found, chosen) in zip(kept, probed, strict=True):
        low, high = np.quantile(found[1:], [0.025, 0.975])
        rows.append([modulus, found[0], low, high, np.exp(np.log(chosen).mean()), len(place)])
    return pd.DataFrame(rows, columns=COLUMNS)


def layer_probes(
    residual: Iterable[np.ndarray], answers: np.ndarray, moduli: Sequence[int], **settings: Any
) -> pd.DataFrame:
    """Probes of the residual stream at the reading position for the answer mod T, layer by layer.

    residual: one array (example, d_model) for each state of the residual stream, where state 0 is the
    stream before the first block; an iterator keeps one state in memory at a time. answers: (example,).
    settings: the keyword arguments of `probe_table`. Columns: layer (the state), and those of `probe_table`.
    """
    tables = [
        probe_table(states, answers, moduli, **settings).assign(layer=layer)
        for layer, states in enumerate(residual)
    ]
    return pd.concat(tables, ignore_index=True)[["layer", *COLUMNS]]
