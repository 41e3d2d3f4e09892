"""Circles that Fourier probes find in the states of a place, to be turned beside the unembedding's planes.

After an early block the sum may lie on circles that the unembedding does not read yet. A Fourier probe finds
them (arXiv 2605.01148 steers Llama with such probes). The probe's weights say how a circle is read, not how
the states move along it, and the smallest change along the weights may be one that no later block sees. So
the change is made along the pattern: the slopes of the states on cos and sin of 2 pi n / T.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fourier_addition.ablation.places import draw_rng
from fourier_addition.analysis.folds import number_folds
from fourier_addition.analysis.fourier_probes import ridge_weights
from fourier_addition.interventions import Intervention, Planes, turn, turn_along


@dataclass(frozen=True, eq=False)
class ProbedCircles:
    """Circles in the states of one place.

    planes: M, whose rows are the weights of the probes: M x = (cos, sin) of 2 pi n / T. pattern: D,
    (d_model, row), by how much the states change with each of them.
    """

    planes: Planes
    pattern: np.ndarray

    def turned(self, angles: np.ndarray) -> Intervention:
        """The phases of all circles turned along the pattern; angles: see `interventions.turning`."""
        return turn_along(self.planes, self.pattern, angles)

    def turned_least(self, angles: np.ndarray) -> Intervention:
        """The phases turned by the smallest change that the probes read, M+ (T - 1) M x."""
        return turn(self.planes, angles)


def plane_targets(planes: Planes, numbers: np.ndarray) -> np.ndarray:
    """What the rows of planes should read: cos or sin of 2 pi n / T, (example, row).

    numbers: (example,) n.
    """
    angles = 2 * np.pi * np.asarray(numbers, np.float64)[:, None] / planes.periods
    targets: np.ndarray = np.where(planes.functions == "cos", np.cos(angles), np.sin(angles))
    return targets


def probe_weights(states: np.ndarray, targets: np.ndarray, penalty: float) -> np.ndarray:
    """Ridge regression without an intercept: (d_model, target).

    states: (example, d_model). targets: (example, target). penalty: in units of the states' mean squared
    length. Without an intercept, what all states share is read as 0 and is not turned.
    """
    scaled = penalty * max(float((states**2).sum(axis=1).mean()), np.finfo(np.float64).tiny)
    return ridge_weights(states, targets, scaled)


def probed_circles(
    states: np.ndarray,
    numbers: np.ndarray,
    planes: Planes,
    *,
    folds: int,
    penalties: Sequence[float],
    seed: int,
) -> ProbedCircles:
    """Fourier probes of states for the periods of `planes`, and the patterns that belong to them.

    states: (example, d_model) at one place. numbers: (example,) n, the answers. planes: whose periods and
    functions are probed. folds, penalties: the penalty is the one with the smallest error on numbers not
    trained on; the probes are then fitted to all examples. seed: of the folds.
    """
    x, y = np.asarray(states, np.float64), plane_targets(planes, numbers)
    _, place = np.unique(numbers, return_inverse=True)
    fold_of = number_folds(place, folds=folds, seed=seed)

    # The penalty, by the errors on held-out numbers
    errors = np.zeros(len(penalties))
    for fold in range(folds):
        train, test = fold_of != fold, fold_of == fold
        for index, penalty in enumerate(penalties):
            errors[index] += ((x[test] @ probe_weights(x[train], y[train], penalty) - y[test]) ** 2).sum()
    weights = probe_weights(x, y, penalties[int(errors.argmin())])

    # The pattern, by least squares with an intercept
    centred = y - y.mean(axis=0)
    slopes = np.linalg.lstsq(centred, x - x.mean(axis=0), rcond=None)[0]
    return ProbedCircles(Planes(weights.T, planes.periods, planes.functions, planes.numbers), slopes.T)


def circles_with_controls(
    states: Mapping[int, np.ndarray],
    numbers: np.ndarray,
    planes: Planes,
    *,
    draws: int,
    folds: int,
    penalties: Sequence[float],
    seed: int,
) -> dict[int, list[ProbedCircles]]:
    """The circles after each block, then those of shuffled numbers, the control: block -> 1 + draws.

    states: block -> (example, d_model). draws: shuffles. More: `probed_circles`. A shuffle gives every number
    the place of another one, as everywhere among the probes.
    """
    values, place = np.unique(numbers, return_inverse=True)
    shuffles = (draw_rng(seed, "shuffled-probes", draw).permutation(values)[place] for draw in range(draws))
    labels = [np.asarray(numbers), *shuffles]
    return {
        block: [
            probed_circles(found, given, planes, folds=folds, penalties=penalties, seed=seed)
            for given in labels
        ]
        for block, found in states.items()
    }
