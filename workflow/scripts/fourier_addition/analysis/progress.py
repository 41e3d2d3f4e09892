"""Progress measures: when a model in training begins to use the key periods (arXiv 2301.05217).

The restricted loss is that of logits of which only the components of the key periods are kept, beside
their mean over the numbers; the excluded loss is that of logits without them. A model that uses the
periods has an excluded loss far above its loss, and a restricted loss below that of chance. The key
periods hold residues and no magnitude, so the restricted loss of an addition does not fall to 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from fourier_addition.analysis.module_spectra import average_spectrum
from fourier_addition.analysis.outliers import prominence, wave_columns
from fourier_addition.errors import UserError
from fourier_addition.filters import component_of_period
from fourier_addition.fourier import FourierBasis, embedding_spectrum

LOSSES = ["split", "examples", "loss", "accuracy", "periods", "restricted_loss", "excluded_loss"]
SPECTRA = ["source", "periods", "period", "magnitude", "prominence"]


def band_components(bands: Mapping[str, Sequence[float]], basis: FourierBasis) -> dict[str, list[int]]:
    """Components of the periods of each band that a number space has: name -> components, ascending.

    bands: name -> periods, the key periods first. Periods that the number space lacks are left out, and
    bands without any. Raises UserError where the first band has none.
    """
    found: dict[str, set[int]] = {name: set() for name in bands}
    for name, periods in bands.items():
        for period in periods:
            with suppress(UserError):
                found[name].add(component_of_period(period, basis))
    first = next(iter(bands))
    if not found[first]:
        listed = ", ".join(f"{period:g}" for period in bands[first])
        raise UserError(
            f"No Fourier component of the numbers 0..{basis.base_period} has a period of {listed}."
        )
    return {name: sorted(components) for name, components in found.items() if components}


def cross_entropy(logits: np.ndarray, answers: np.ndarray) -> float:
    """Mean cross entropy of the answers in nats. logits: (example, number). answers: (example,)."""
    own = logits[np.arange(len(answers)), answers]
    return float((logsumexp(logits, axis=1) - own).mean())


def restricted_and_excluded(
    logits: np.ndarray, components: Sequence[int], base_period: int
) -> tuple[np.ndarray, np.ndarray]:
    """Logits of which only some components are kept, and logits without them; both (example, number).

    logits: (example, number). components: k of periods base_period / k. The split is by least squares,
    and the mean over the numbers, which no softmax sees, goes with the kept ones.
    """
    columns = wave_columns(logits.shape[1], base_period, components)
    kept: np.ndarray = (logits @ columns) @ columns.T
    return kept, logits - kept


def progress_losses(
    logits: np.ndarray, answers: np.ndarray, bands: Mapping[str, Sequence[float]], basis: FourierBasis
) -> pd.DataFrame:
    """Loss, accuracy, restricted and excluded loss of some examples, a row for each band of periods.

    logits: (example, number) final logits. answers: (example,). bands: name -> periods, such as the key
    periods and the controls. Losses are in nats. Columns: `LOSSES` without split.
    """
    values = np.asarray(logits, np.float64)
    whole = [len(values), cross_entropy(values, answers), float((values.argmax(axis=1) == answers).mean())]
    rows = []
    for name, components in band_components(bands, basis).items():
        split = restricted_and_excluded(values, components, basis.base_period)
        rows.append([*whole, name, *(cross_entropy(part, answers) for part in split)])
    return pd.DataFrame(rows, columns=LOSSES[1:])


def progress_spectra(
    embedding: np.ndarray,
    logits: Mapping[str, np.ndarray],
    bands: Mapping[str, Sequence[float]],
    basis: FourierBasis,
    analysis: Mapping[str, Any],
) -> pd.DataFrame:
    """Magnitude and prominence of periods in the number embedding and in logits.

    embedding: (number, feature). logits: source -> (example, number), such as the final logits and those
    of all attention outputs. bands: name -> periods. analysis: the configuration's `analysis`. Columns:
    `SPECTRA`; period is that of the component, periods the band's name.
    """
    spectra = {"embedding": embedding_spectrum(embedding, basis)}
    for source, values in logits.items():
        spectra[source] = average_spectrum(np.asarray(values, np.float64), basis, analysis["average"])
    components = band_components(bands, basis)
    rows = []
    for source, magnitudes in spectra.items():
        prominences = prominence(magnitudes, analysis["null_window"])
        for name, of_band in components.items():
            for place in np.asarray(of_band) - 1:
                rows.append([source, name, basis.periods[place], magnitudes[place], prominences[place]])
    return pd.DataFrame(rows, columns=SPECTRA)
