"""States rebuilt from their number alone, to be patched in for the true ones (arXiv 2502.00873).

Each rebuilt state is made from examples of other numbers: no fit has seen the number that it stands for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fourier_addition.analysis.grouped_states import GroupedStates, grouped
from fourier_addition.analysis.helix import HelixSettings, coefficients, helix, usable_periods


@dataclass(frozen=True)
class Rebuilt:
    """One way to rebuild states. dimension: of what replaces them. states: (example, feature)."""

    dimension: int
    states: np.ndarray


def rebuilt_states(
    states: np.ndarray, numbers: np.ndarray, templates: np.ndarray, settings: HelixSettings
) -> dict[str, Rebuilt]:
    """Every way to rebuild states: name -> `Rebuilt`.

    states: (example, feature). numbers, templates: (example,). `mean` is the mean state of the prompt's
    template. The others add to the mean: `linear`, `circles` and `helix` the fit at the example's number,
    `shuffled` the helix of numbers that were shuffled before the fit, and `pca` the example's own part in
    as many principal components as the helix has dimensions. Raises UserError for fewer numbers than
    folds.
    """
    summed = grouped(states, numbers, templates, folds=settings.folds, seed=settings.seed)
    whole = helix(summed.values, usable_periods(summed.values, settings.periods))
    order = np.random.default_rng(settings.seed).permutation(len(whole))
    features = {
        "mean": whole[:, :0],
        "linear": whole[:, :1],
        "circles": whole[:, 1:],
        "helix": whole,
        "shuffled": whole[order],
    }
    found = {name: np.empty_like(states, np.float64) for name in (*features, "pca")}
    place = np.searchsorted(summed.values, numbers)
    phrasing = np.unique(templates, return_inverse=True)[1]
    for fold in range(settings.folds):
        # The examples of this fold's numbers are rebuilt from the other folds.
        rows = summed.fold[place] == fold
        centres = summed.centres(fold)
        base = centres[phrasing[rows]]
        for name, own in features.items():
            found[name][rows] = base + _fitted(summed, fold, own, centres)[place[rows]]

        axes = _components(summed, fold, centres, whole.shape[1])
        found["pca"][rows] = base + (states[rows] - base) @ axes @ axes.T
    sizes = {name: own.shape[1] for name, own in features.items()} | {"pca": whole.shape[1]}
    return {name: Rebuilt(sizes[name], found[name]) for name in found}


def _fitted(summed: GroupedStates, fold: int, features: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """What a fit outside a fold says of every number, (value, feature); 0 where there are no features."""
    width = summed.sums.shape[-1]
    if not features.shape[1]:
        return np.zeros((len(features), width))
    outside = summed.fold != fold
    counts, sums, _ = summed.centred(outside, centres)
    design = np.hstack([np.ones((len(features), 1)), features])
    fitted: np.ndarray = design @ coefficients(features[None, outside], counts, sums)[0]
    return fitted


def _components(summed: GroupedStates, fold: int, centres: np.ndarray, dimension: int) -> np.ndarray:
    """Principal components of the states outside a fold, (feature, dimension)."""
    outside = np.arange(summed.folds) != fold
    axes: np.ndarray = np.linalg.eigh(summed.second(outside, centres))[1][:, ::-1][:, :dimension]
    return axes
