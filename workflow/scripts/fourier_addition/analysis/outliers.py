"""What is called an outlier component: a null made by shuffling the numbers.

A spike in a spectrum is only evidence of number structure if the same vectors under a
random assignment of numbers do not show one. The statistic is prominence: a component's
magnitude over the median of its neighbours, so that the broad low-frequency rise of MLP
spectra is not itself an outlier. The threshold is a quantile of the largest prominence
over all components in shuffled copies, which bounds the chance of any false outlier.

A wave whose period is no period of the basis spreads over neighbouring components. So a component
counts only if it still stands out when the waves of the larger outliers beside it are taken out by
least squares, each at the period that fits it best.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
class NumberSignals:
    """The signals over the numbers that a spectrum is of.

    values: (signal, number), for example a feature of the embedding or an example's logits in each row.
    spectrum: (signal, number) -> (component,), the spectrum of such signals.
    base_period: N of the basis; component k has the period N / k.
    """

    values: np.ndarray
    spectrum: Callable[[np.ndarray], np.ndarray]
    base_period: int

    @property
    def size(self) -> int:
        """p, the count of numbers."""
        return int(self.values.shape[1])

    def without(self, waves: np.ndarray) -> np.ndarray:
        """Spectrum of the signals without what orthonormal columns (number, column) span: (component,)."""
        return self.spectrum(self.values - (self.values @ waves) @ waves.T)


def wave_columns(size: int, base_period: int, components: Sequence[float]) -> np.ndarray:
    """Orthonormal columns that span the constant and the waves of components, whole or not.

    Returns (number, column): by least squares, signals minus their part in these columns have no such
    wave.
    """
    angles = 2 * np.pi * np.arange(size)[:, None] * np.asarray(components)[None] / base_period
    # Scaled to norms near 1; singular values near 0 are of waves that vanish at every number.
    design = np.hstack([np.ones((size, 1)), np.cos(angles), np.sin(angles)]) / np.sqrt(size)
    left, singular, _ = np.linalg.svd(design, full_matrices=False)
    return left[:, singular > 1e-6 * singular[0]]


FINE = np.linspace(-0.5, 0.5, 41)
"""Where the wave of an outlier is searched, in components from the component that stands out."""


def _best_fit(signals: NumberSignals, found: Sequence[float], component: int) -> float:
    """The component near `component`, whole or not, whose wave leaves least of the signals beside `found`."""
    kept = []
    for offset in FINE:
        columns = wave_columns(signals.size, signals.base_period, [*found, component + offset])
        kept.append(np.square(signals.values @ columns).sum())
    return float(component + FINE[int(np.argmax(kept))])


def beside_larger(
    magnitudes: np.ndarray, own: np.ndarray, threshold: float, signals: NumberSignals, window: int
) -> np.ndarray:
    """Prominence, where that of an outlier is what is left beside the larger outliers.

    magnitudes, own: (component,) the spectrum and its prominence. threshold: prominence above which a
    component stands out. Going down in magnitude, every component above the threshold is measured again
    without the waves of the larger outliers within `window` components. The smaller of both prominences
    counts, so no component becomes an outlier here. Returns (component,).
    """
    prominences = own.copy()
    candidates = np.flatnonzero(own > threshold)
    found: dict[int, float] = {}
    for place in candidates[np.argsort(-magnitudes[candidates], kind="stable")]:
        # What is left of this component beside the larger outliers. Those far off stay: where their fit is
        # not perfect, taking them out would raise the neighbours that this component is compared with.
        near = [wave for other, wave in found.items() if abs(other - place) <= window]
        if near:
            columns = wave_columns(signals.size, signals.base_period, near)
            left = prominence(signals.without(columns), window)[place]
            prominences[place] = min(own[place], left)

        # An outlier is taken out before the next, smaller component is looked at.
        if prominences[place] > threshold:
            found[int(place)] = _best_fit(signals, near, int(place) + 1)
    return prominences


@dataclass(frozen=True)
class NullTest:
    """Outliers of one spectrum against shuffled numbers.

    prominence, p_value, outlier: (component,). The prominence of an outlier, and of a component that was
    one before larger ones were taken out, is what `beside_larger` gives. p_value is family-wise: the share
    of shuffled spectra (the real one counted in) whose largest prominence reaches this component's.
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
    signals: NumberSignals,
    *,
    draws: int,
    level: float,
    window: int,
    seed: int,
) -> NullTest:
    """Compare a spectrum with those of the same vectors under shuffled numbers.

    magnitudes: (component,) the spectrum. shuffled_spectrum: permutation (number,) ->
    (component,). signals: what the spectrum is of, or a sample of them. draws: number of shuffles.
    level: quantile of the null's largest prominence that an outlier exceeds, for example 0.95.
    window: see `prominence`.
    """
    generator = np.random.default_rng(seed)
    shuffled = np.stack([shuffled_spectrum(generator.permutation(signals.size)) for _ in range(draws)])
    largest = prominence(shuffled, window).max(axis=-1)
    threshold = float(np.quantile(largest, level))
    counted = beside_larger(magnitudes, prominence(magnitudes, window), threshold, signals, window)
    p_value = (1 + (largest[:, None] >= counted).sum(axis=0)) / (1 + draws)
    return NullTest(counted, p_value, counted > threshold, threshold, shuffled.mean(axis=0))
