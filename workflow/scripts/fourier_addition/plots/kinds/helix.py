"""Helices in the residual stream of runs: their share of the variance, and patches."""

from __future__ import annotations

from fourier_addition.plots.helix import plot_helix, plot_patches
from fourier_addition.plots.kinds.drawing import Drawing, Drawn, Options, Results, joined


def helix(results: Results, options: Options) -> Drawn:
    """Held-out fraction of variance by layer, a row of panels for each run."""
    table = joined(results["helix"], options["names"], "name")
    return plot_helix(table, names=options["labels"], note=options["note"])


def helix_patch(results: Results, options: Options) -> Drawn:
    """Logit difference and accuracy after a patch by layer, a row of panels for each run."""
    table = joined(results["patches"], options["names"], "name")
    return plot_patches(table, names=options["labels"], note=options["note"])


DRAWINGS: dict[str, Drawing] = {"helix": helix, "helix-patch": helix_patch}
