"""What is called an outlier component: a null made by shuffling the numbers.

A spike in a spectrum is only evidence of number structure if the same vectors under a
random assignment of numbers do not show one. The statistic is prominence: a component's
magnitude over the median of its neighbours, so that the broad low-frequency rise of MLP
spectra is not itself an outlier. The threshold is a quantile of the largest prominence
over all components in shuffled copies, which bounds the chance of any false outlier.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


def prominence(magnitudes: np.ndarray, window: int) -> np.ndarray:
    """Magnitude over the median of the neighbours within `window` components on either side.

    magnitudes: (..., component). At the ends the window is shifted inwards, so that every
    component is compared with 2 * window others. Returns the same shape.
    """
    count = magnitudes.shape[-1]
    width = min(2 * window + 1, count)
    out = np.empty(magnitudes.shape, np.float64)
    for k in range(count):
        start = min(max(k - window, 0), count - width)
        neighbours = np.delete(np.arange(start, start + width), k - start)
        middle = np.median(magnitudes[..., neighbours], axis=-1)
        out[..., k] = magnitudes[..., k] / np.maximum(middle, np.finfo(np.float64).tiny)
    return out


@dataclass(frozen=True)
class NullTest:
    """Outliers of one spectrum against shuffled numbers.

    prominence, p_value, outlier: (component,). p_value is family-wise: the share of shuffled
    spectra (the real one counted in) whose largest prominence reaches this component's.
    threshold: prominence above which a component is called an outlier.
    null_magnitude: (component,) mean magnitude over the shuffles.
    """

    prominence: np.ndarray
    p_value: np.ndarray
    outlier: np.ndarray
    threshold: float
    null_magnitude: np.ndarray


def null_test(
    magnitudes: np.ndarray,
    shuffled_spectrum: Callable[[np.ndarray], np.ndarray],
    size: int,
    *,
    draws: int,
    level: float,
    window: int,
    seed: int,
) -> NullTest:
    """Compare a spectrum with those of the same vectors under shuffled numbers.

    magnitudes: (component,) the spectrum. shuffled_spectrum: permutation (number,) ->
    (component,). size: numbers to permute. draws: number of shuffles. level: quantile of the
    null's largest prominence that an outlier exceeds, for example 0.95. window: see `prominence`.
    """
    generator = np.random.default_rng(seed)
    shuffled = np.stack([shuffled_spectrum(generator.permutation(size)) for _ in range(draws)])
    largest = prominence(shuffled, window).max(axis=-1)
    own = prominence(magnitudes, window)
    threshold = float(np.quantile(largest, level))
    p_value = (1 + (largest[:, None] >= own).sum(axis=0)) / (1 + draws)
    return NullTest(own, p_value, own > threshold, threshold, shuffled.mean(axis=0))
