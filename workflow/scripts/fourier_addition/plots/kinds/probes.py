"""Probes of n mod T on number embeddings, or on the residual stream by layer, beside shuffled numbers."""

from __future__ import annotations

from fourier_addition.plots.kinds.drawing import Drawing, Drawn, Options, Results, joined
from fourier_addition.plots.probes import plot_probes


def layer_probes(results: Results, options: Options) -> Drawn:
    """Probes of the residual stream, a panel for each run."""
    table = joined(results["probes"], options["names"], "name")
    return plot_probes(table, names=options["labels"], note=options["note"])


def probes(results: Results, options: Options) -> Drawn:
    """Probes of number embeddings, which have no layers, a row for each embedding."""
    table = joined(results["probes"], options["names"], "name").assign(layer=0)
    return plot_probes(table, names=options["labels"], note=options["note"])


DRAWINGS: dict[str, Drawing] = {"layer-probes": layer_probes, "probes": probes}
