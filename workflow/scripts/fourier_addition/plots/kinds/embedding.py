"""Figures 5a, 7a, 15: spectra of number embeddings."""

from __future__ import annotations

from fourier_addition.plots.embedding import plot_embedding_spectra
from fourier_addition.plots.kinds.drawing import Drawing, Drawn, Options, Results, joined


def embedding(results: Results, options: Options) -> Drawn:
    """A panel for each number embedding."""
    table = joined(results["spectra"], options["names"], "name")
    return plot_embedding_spectra(table, names=options["labels"], note=options["note"])


DRAWINGS: dict[str, Drawing] = {"embedding": embedding}
