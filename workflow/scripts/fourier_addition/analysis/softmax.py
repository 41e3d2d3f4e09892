"""Multinomial logistic regression with a ridge penalty, for many labellings of the same vectors at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Coordinates:
    """Vectors along the eigenvectors of the training vectors' products.

    train: (example, rank) and test: (test example, rank), float32. singular: (rank,) float32, the singular
    values of the training vectors. There are as many directions as there are examples or features, whichever
    are fewer, less those that the training vectors do not have.
    """

    train: np.ndarray
    test: np.ndarray
    singular: np.ndarray


def coordinates(train: np.ndarray, test: np.ndarray) -> Coordinates:
    """Coordinates of vectors, train (example, feature) and test (test example, feature).

    Both are centred on the training examples. They serve any labels of the same examples.
    """
    u, singular, directions = np.linalg.svd(train, full_matrices=False)
    rank = max(1, int((singular > 1e-6 * singular.max(initial=1e-12)).sum()))
    return Coordinates(
        (u[:, :rank] * singular[:rank]).astype(np.float32),
        (test @ directions[:rank].T).astype(np.float32),
        singular[:rank].astype(np.float32),
    )


def softmax_scores(
    vectors: Coordinates,
    labels: np.ndarray,
    penalties: np.ndarray,
    *,
    classes: int,
    steps: int = 200,
    tolerance: float = 1e-4,
) -> np.ndarray:
    """Log-probabilities of every class for held-out vectors: (case, test example, class) float32.

    labels: (case, example) classes below `classes`. penalties: (case,), of the squared weights; intercepts
    are not penalised. Each case minimises sum of -log p(label) + penalty / 2 * |weights|^2. The fit ends when
    no weight moves by more than `tolerance` times the largest weight, or after `steps` steps.

    The curvature of the loss is at most half that of least squares (Boehning 1992), so in the eigenvectors of
    the vectors' products a step that is scaled by that bound never overshoots. Nesterov's momentum, restarted
    where it leads uphill, makes the steps few.
    """
    x, rank = vectors.train, len(vectors.singular)

    # Classes stand first and examples last, so that sums over classes and products run along whole rows.
    cases, examples = labels.shape
    code = (labels == np.arange(classes)[:, None, None]).astype(np.float32)
    penalty = np.asarray(penalties, np.float32)[:, None]
    bound = 0.5 * vectors.singular**2 + penalty

    # The state: weights (class, case, rank) and intercepts (class, case, 1); a momentum for each case.
    weights = np.zeros((classes, cases, rank), np.float32)
    intercept = np.log(code.mean(axis=-1, keepdims=True) + 1e-3)
    ahead, ahead_intercept = weights, intercept
    momentum = np.ones((cases, 1), np.float32)
    for _ in range(steps):
        residual = _probabilities(x, ahead, ahead_intercept)
        residual -= code
        gradient = (residual.reshape(-1, examples) @ x).reshape(weights.shape) + penalty * ahead
        new = ahead - gradient / bound
        new_intercept = ahead_intercept - residual.sum(axis=-1, keepdims=True) / (0.5 * examples)

        # A case whose last step went against the slope starts its momentum anew.
        moved, moved_intercept = new - weights, new_intercept - intercept
        uphill = np.einsum("kcr,kcr->c", gradient, moved)[:, None] > 0
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        factor = np.where(uphill, 0, (momentum - 1) / following).astype(np.float32)
        momentum = np.where(uphill, 1, following).astype(np.float32)
        ahead, ahead_intercept = new + factor * moved, new_intercept + factor * moved_intercept
        weights, intercept = new, new_intercept
        if np.abs(moved).max() <= tolerance * np.abs(new).max():
            break
    found: np.ndarray = np.log(np.maximum(_probabilities(vectors.test, weights, intercept), 1e-30))
    return found.transpose(1, 2, 0)


def _probabilities(x: np.ndarray, weights: np.ndarray, intercept: np.ndarray) -> np.ndarray:
    """Probability of every class: (class, case, example)."""
    scores = (weights.reshape(-1, weights.shape[-1]) @ x.T).reshape(*intercept.shape[:2], len(x)) + intercept
    scores -= scores.max(axis=0)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=0)
    probabilities: np.ndarray = scores
    return probabilities
