"""Multinomial logistic regression with a ridge penalty, for many labellings of the same vectors at once."""

from __future__ import annotations

import numpy as np


def softmax_scores(
    train: np.ndarray,
    labels: np.ndarray,
    test: np.ndarray,
    penalties: np.ndarray,
    *,
    classes: int,
    steps: int = 200,
    tolerance: float = 1e-4,
) -> np.ndarray:
    """Log-probabilities of every class for held-out vectors: (case, test example, class) float32.

    train: (example, feature) and test: (test example, feature), centred on the training examples. labels:
    (case, example) classes below `classes`. penalties: (case,), of the squared weights; intercepts are not
    penalised. Each case minimises sum of -log p(label) + penalty / 2 * |weights|^2. The fit ends when no
    weight moves by more than `tolerance` times the largest weight, or after `steps` steps.

    The curvature of the loss is at most half that of least squares (Boehning 1992), so in the eigenvectors of
    the vectors' products a step that is scaled by that bound never overshoots. Nesterov's momentum, restarted
    where it leads uphill, makes the steps few.
    """
    # Coordinates along the eigenvectors: as many as there are examples or features, whichever are fewer.
    u, singular, directions = np.linalg.svd(train, full_matrices=False)
    rank = max(1, int((singular > 1e-6 * singular.max(initial=1e-12)).sum()))
    x = (u[:, :rank] * singular[:rank]).astype(np.float32)
    z = (test @ directions[:rank].T).astype(np.float32)

    # One block of columns a case: (example, case, class), flattened for the products.
    cases, examples = labels.shape
    code = np.zeros((examples, cases, classes), np.float32)
    code[np.arange(examples)[:, None], np.arange(cases)[None, :], labels.T] = 1
    penalty = np.asarray(penalties, np.float32)[:, None]
    bound = (0.5 * singular[:rank].astype(np.float32) ** 2)[:, None, None] + penalty

    # The state: weights (rank, case, class) and intercepts (case, class); a momentum for each case.
    weights = np.zeros((rank, cases, classes), np.float32)
    intercept = np.log(code.mean(axis=0) + 1e-3)
    ahead, ahead_intercept = weights, intercept
    momentum = np.ones(cases, np.float32)
    for _ in range(steps):
        residual = _probabilities(x, ahead, ahead_intercept) - code
        gradient = (x.T @ residual.reshape(examples, -1)).reshape(weights.shape) + penalty * ahead
        new = ahead - gradient / bound
        new_intercept = ahead_intercept - residual.sum(axis=0) / (0.5 * examples)

        # A case whose last step went against the slope starts its momentum anew.
        moved, moved_intercept = new - weights, new_intercept - intercept
        uphill = (gradient * moved).sum(axis=(0, 2)) > 0
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        factor = np.where(uphill, 0, (momentum - 1) / following).astype(np.float32)[:, None]
        momentum = np.where(uphill, 1, following).astype(np.float32)
        ahead, ahead_intercept = new + factor * moved, new_intercept + factor * moved_intercept
        weights, intercept = new, new_intercept
        if np.abs(moved).max() <= tolerance * np.abs(new).max():
            break
    found: np.ndarray = np.log(np.maximum(_probabilities(z, weights, intercept), 1e-30))
    return found.transpose(1, 0, 2)


def _probabilities(x: np.ndarray, weights: np.ndarray, intercept: np.ndarray) -> np.ndarray:
    """Probability of every class: (example, case, class)."""
    scores = (x @ weights.reshape(len(weights), -1)).reshape(len(x), *intercept.shape) + intercept
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    probabilities: np.ndarray = scores
    return probabilities
