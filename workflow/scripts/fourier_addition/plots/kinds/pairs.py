"""Figures 1, 5, 7: panels of different kinds side by side."""

from __future__ import annotations

import pandas as pd

from fourier_addition.plots.kinds.drawing import Drawing, Drawn, Options, Results, chosen, only
from fourier_addition.plots.pairs import (
    plot_lens_and_heatmaps,
    plot_spectrum_and_clusters,
    plot_spectrum_and_training,
)
from fourier_addition.plots.training import histories_of_arms


def lens_and_heatmaps(results: Results, options: Options) -> Drawn:
    """Figure 1: the logit lens beside the logits around the answer."""
    lens = only(results, "lens")
    return plot_lens_and_heatmaps(
        lens[lens["norm"] == options["lens_norm"]],
        only(results, "example"),
        answer=options["answer"],
        window=options.get("window", 20),
        layers=chosen(options, "layers"),
        note=options["note"],
    )


def _labelled_spectrum(results: Results, options: Options) -> pd.DataFrame:
    """Spectrum of the one number embedding that is shown, under its label."""
    (name,) = options["names"]
    return only(results, "spectra").assign(name=options["labels"][name])


def embedding_and_clusters(results: Results, options: Options) -> Drawn:
    """Figure 5: the spectrum of a number embedding beside its map."""
    spectrum = _labelled_spectrum(results, options)
    return plot_spectrum_and_clusters(spectrum, only(results, "clusters"), note=options["note"])


def embedding_and_training(results: Results, options: Options) -> Drawn:
    """Figure 7: the spectrum of a number embedding beside accuracy by epoch of each arm."""
    history = histories_of_arms(results["histories"], options["instances"], options["labels"])
    return plot_spectrum_and_training(_labelled_spectrum(results, options), history, note=options["note"])


DRAWINGS: dict[str, Drawing] = {
    "lens-and-heatmaps": lens_and_heatmaps,
    "embedding-and-clusters": embedding_and_clusters,
    "embedding-and-training": embedding_and_training,
}
