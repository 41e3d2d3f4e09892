"""Figures whose panels come from different families (figures 1, 5 and 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from fourier_addition.plots import frame, theme
from fourier_addition.plots.clusters import draw_clusters
from fourier_addition.plots.columns import require
from fourier_addition.plots.embedding import COLUMNS as EMBEDDING_COLUMNS
from fourier_addition.plots.embedding import draw_embedding_spectrum
from fourier_addition.plots.heatmap import draw_heatmaps
from fourier_addition.plots.lens import draw_lens
from fourier_addition.plots.training import draw_training


@theme.themed
def plot_lens_and_heatmaps(
    lens: pd.DataFrame,
    logits: pd.DataFrame,
    *,
    answer: int,
    window: int | None = 20,
    layers: int | Sequence[int] | None = None,
    shared_scale: bool = False,
    title: str | None = None,
    note: str | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """Logit lens beside the logits of MLP and attention outputs of one example (figure 1).

    lens: as in `plot_lens`. logits and the other arguments: as in `plot_logit_heatmaps`.
    Returns the figure and the drawn table of all three panels.
    Raises UserError when a column is missing or an accuracy is no fraction.
    """
    figure, axes = frame.panels(1, 3, height=2.3, width_ratios=(1.0, 1.0, 1.0))
    parts = [draw_lens(axes[0, 0], lens)]
    axes[0, 0].set_title("logit lens")
    parts += draw_heatmaps(
        figure,
        list(axes[0, 1:]),
        logits,
        answer=answer,
        window=window,
        layers=layers,
        shared_scale=shared_scale,
        modules=("mlp", "attention"),
    )
    frame.finish(figure, title=title, note=note)
    return figure, frame.drawn(zip("abc", parts, strict=True))


@theme.themed
def plot_spectrum_and_clusters(
    spectrum: pd.DataFrame,
    clusters: pd.DataFrame,
    *,
    height: str = "ratio",
    max_labels: int = 12,
    label_every: int = 10,
    title: str | None = None,
    note: str | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """Spectrum of a number embedding beside its t-SNE and clusters (figure 5).

    spectrum: as in `plot_embedding_spectra`, one name. clusters: as in `plot_clusters`.
    Returns the figure and the drawn table of both panels.
    Raises UserError when a column is missing.
    """
    require(spectrum, EMBEDDING_COLUMNS, "the embedding spectrum")
    figure, axes = frame.panels(1, 2, height=2.9)
    axes[0, 0].set_title("number embedding, spectrum")
    axes[0, 1].set_title("number embedding, t-SNE and clusters")
    drawn = draw_embedding_spectrum(axes[0, 0], spectrum, height=height, max_labels=max_labels)
    points = draw_clusters(axes[0, 1], clusters, label_every=label_every)
    frame.finish(figure, title=title, note=note)
    return figure, frame.drawn([("a", drawn), ("b", points)])


@theme.themed
def plot_spectrum_and_training(
    spectrum: pd.DataFrame,
    history: pd.DataFrame,
    *,
    height: str = "ratio",
    max_labels: int = 12,
    names: Mapping[str, str] | None = None,
    colours: Mapping[str, str] | None = None,
    ylabel: str = "validation accuracy (%)",
    title: str | None = None,
    note: str | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """Spectrum of a number embedding beside accuracy by epoch of each arm (figure 7).

    spectrum: as in `plot_embedding_spectra`, one name. history, names, colours: as in `plot_training`.
    Returns the figure and the drawn table of both panels.
    Raises UserError when a column is missing or accuracy is no fraction.
    """
    require(spectrum, EMBEDDING_COLUMNS, "the embedding spectrum")
    figure, axes = frame.panels(1, 2, height=2.4)
    axes[0, 0].set_title(", ".join(dict.fromkeys(spectrum["name"])) or "number embedding")
    axes[0, 1].set_title("accuracy by epoch")
    drawn = draw_embedding_spectrum(axes[0, 0], spectrum, height=height, max_labels=max_labels)
    curves = draw_training(axes[0, 1], history, names=names, colours=colours)
    axes[0, 1].set_ylabel(ylabel)
    frame.legend_below(figure, axes[0, 1].get_legend_handles_labels()[0])
    frame.finish(figure, title=title, note=note)
    return figure, frame.drawn([("a", drawn), ("b", curves)])
