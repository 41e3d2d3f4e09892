"""What every attention and MLP output adds to a circle that a Fourier probe reads from the residual stream.

A residual state is the sum of the first state and all module outputs up to it, and a probe is linear. So what
a probe reads is the sum of what it reads from each of them. The part of a module is its share in the slope of
what is read on the truth: parts of all modules and of the first state sum to that slope, which is 1 for a
perfect probe and 0 for one that reads nothing.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from fourier_addition.analysis.folds import feature_scales, number_folds
from fourier_addition.analysis.fourier_probes import circle, ridge_weights
from fourier_addition.analysis.position_probes import probed_examples, targets_at

COLUMNS = ("position", "target", "period", "state", "module", "layer", "part", "slope")


def probe_directions(
    vectors: np.ndarray, targets: np.ndarray, penalty: float, scaling: str = "common"
) -> np.ndarray:
    """Ridge regression as directions of the vectors themselves.

    vectors: (example, feature). targets: (example, target). penalty, scaling: as for `ridge_predictions`.
    Returns (feature, target): differences of vectors times this are differences of predictions.
    """
    mean, scales = feature_scales(vectors, scaling)
    x, y = (vectors - mean) / scales, targets - targets.mean(axis=0)
    weights = ridge_weights(x, y, penalty)
    directions: np.ndarray = weights / np.broadcast_to(scales, len(weights))[:, None]
    return directions


def parts_of(
    pieces: np.ndarray,
    numbers: np.ndarray,
    apart: np.ndarray,
    period: float,
    penalty: float,
    *,
    folds: int,
    seed: int,
    scaling: str = "common",
) -> np.ndarray:
    """Share of every piece in the slope of a probe of the pieces' sum, on numbers not trained on: (piece,).

    pieces: (piece, example, feature) whose sum is the probed state. numbers: (example,). apart: (example,)
    what the folds are over. scaling: as for `ridge_predictions`. A part is the covariance of what the probe
    reads from the piece with the truth, over the variance of the truth, cos and sin together.
    """
    truth = circle(numbers, [period])[:, 0]
    _, place = np.unique(apart, return_inverse=True)
    fold_of = number_folds(place, folds=folds, seed=seed)
    covariance, variance = np.zeros(len(pieces)), 0.0
    state = pieces.sum(axis=0)
    for fold in range(folds):
        train, test = fold_of != fold, fold_of == fold
        directions = probe_directions(state[train], truth[train], penalty, scaling)
        centred = truth[test] - truth[test].mean(axis=0)
        covariance += np.einsum("pet,et->p", pieces[:, test] @ directions, centred)
        variance += float((centred**2).sum())
    return covariance / variance


def contributions(
    capture: xr.Dataset,
    probes: pd.DataFrame,
    *,
    folds: int,
    seed: int,
    examples: int = 0,
    held_out: str = "number",
    scaling: str = "common",
) -> pd.DataFrame:
    """Parts of attention and MLP outputs in every circle that is read above chance, at every position.

    capture: of `capture_positions` with module outputs. probes: of `position_probes`. The probe of a target
    and period is that of the state where its R2 is largest; where even that R2 is no larger than what
    shuffled numbers give, there is no row. Columns: position, target, period, state (the probed one), module
    (`attention`, `mlp`, or `embedding` for the first state), layer (-1 for the embedding), part, and slope,
    the sum of the parts. folds, seed, examples, held_out, scaling: as for the probes.
    """
    best = probes.sort_values("r2", kind="stable").groupby(["position", "target", "period"]).tail(1)
    best = best[best["r2_low"] > best["null_high"].clip(lower=0)]
    rows = []
    for position in capture["position"].values.tolist():
        own = best[best["position"] == position]
        if own.empty:
            continue
        chosen = np.flatnonzero(probed_examples(capture, position))[: examples or None]
        targets, answers = dict(targets_at(capture, position, chosen)), capture["answer"].values[chosen]
        outputs = capture["module_output"].sel(position=position).values[:, :, chosen].astype(np.float64)
        first = capture["residual"].sel(position=position).isel(state=0).values[chosen].astype(np.float64)
        names = [("embedding", -1)] + [
            (str(module), layer) for module in capture["module"].values for layer in range(outputs.shape[1])
        ]
        for found in own.itertuples():
            # Outputs of later layers are not in the probed state.
            used = [index for index, (_, layer) in enumerate(names) if layer < found.layer]
            flat = np.concatenate([first[None], outputs.reshape(-1, *first.shape)])[used]
            numbers = targets[found.target]
            by_answer = held_out == "answer" or found.target.startswith("digit")
            apart = answers if by_answer else numbers
            parts = parts_of(
                flat,
                numbers,
                apart,
                found.period,
                found.penalty,
                folds=folds,
                seed=seed,
                scaling=scaling,
            )
            for index, part in zip(used, parts, strict=True):
                rows.append(
                    [position, found.target, found.period, found.layer, *names[index], part, parts.sum()]
                )
    return pd.DataFrame(rows, columns=list(COLUMNS))
