"""Figures of the library's tables. Each function returns the figure: save it, or show it in a notebook."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from fourier_addition.plots.embedding import plot_embedding_spectra
from fourier_addition.plots.spectrum import plot_mean_spectra


def plot_number_spectrum(table: pd.DataFrame, *, name: str = "", height: str = "ratio") -> Figure:
    """Spectrum of a number embedding with its outliers (figures 5a, 15).

    table: what `number_spectrum` returns. name: title of the panel. height: `ratio` to the median,
    `magnitude`, or `prominence` with what shuffled numbers reach.
    """
    figure, _ = plot_embedding_spectra(table.assign(name=name), height=height)
    return figure


def plot_module_spectra(table: pd.DataFrame, *, layers: int | None = None) -> Figure:
    """Spectra of the modules' logits, a line for each layer (figure 3).

    table: what `module_spectra` returns. layers: the last so many; all unless given.
    """
    figure, _ = plot_mean_spectra(table, layers=layers)
    return figure
