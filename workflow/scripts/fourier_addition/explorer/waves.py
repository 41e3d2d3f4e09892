"""The largest Fourier components of signals, as amplitudes and phases that a page can draw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fourier_addition.fourier import FourierBasis, coefficients, component_magnitudes


@dataclass(frozen=True)
class TopWaves:
    """The largest waves of signals, the largest first; each (..., wave).

    The wave of component k at the number n is amplitude * cos(2 pi k n / N - phase), N the base period.
    component: k. amplitude: in units of the signals. phase: in radians, from -pi to pi.
    """

    component: np.ndarray
    amplitude: np.ndarray
    phase: np.ndarray


def top_waves(signals: np.ndarray, basis: FourierBasis, top: int) -> TopWaves:
    """The `top` components of signals (..., number) with the largest magnitudes; all where there are fewer.

    They are the waves of `fourier.waves`. Of two equal magnitudes the smaller component comes first.
    """
    rows = coefficients(np.asarray(signals, np.float64), basis)
    order = np.argsort(-component_magnitudes(rows, basis), axis=-1, kind="stable")[..., :top]

    # Sine and cosine of every component; the last one may have a cosine alone.
    parts = {}
    for function in ("sin", "cos"):
        selected = basis.row_function == function
        parts[function] = np.zeros((*rows.shape[:-1], basis.n_components))
        parts[function][..., basis.row_component[selected] - 1] = rows[..., selected]

    # A cosine's row of the basis is its norm times a cosine, which is 1 at the number 0.
    height = basis.matrix[basis.row_function == "cos", 0]
    amplitude = height * np.hypot(parts["sin"], parts["cos"])
    phase = np.arctan2(parts["sin"], parts["cos"])
    return TopWaves(
        basis.components[order],
        np.take_along_axis(amplitude, order, axis=-1),
        np.take_along_axis(phase, order, axis=-1),
    )
