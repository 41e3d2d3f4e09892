"""Figure 5b: t-SNE map and k-means clusters of a number embedding."""

from __future__ import annotations

from fourier_addition.plots.clusters import plot_clusters
from fourier_addition.plots.kinds.drawing import Drawing, Drawn, Options, Results, only


def clusters(results: Results, options: Options) -> Drawn:
    """The map of one number embedding."""
    (title,) = options["labels"].values()
    return plot_clusters(only(results, "clusters"), title=title, note=options["note"])


DRAWINGS: dict[str, Drawing] = {"clusters": clusters}
