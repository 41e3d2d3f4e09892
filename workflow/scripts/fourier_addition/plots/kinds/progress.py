"""Progress measures of runs: losses and periods by epoch."""

from __future__ import annotations

from fourier_addition.plots.kinds.drawing import Drawing, Drawn, Options, Results, joined
from fourier_addition.plots.progress import plot_progress


def progress(results: Results, options: Options) -> Drawn:
    """Losses with and without the key periods, and the periods' prominence, a row for each run."""
    losses = joined(results["losses"], options["names"], "name")
    spectra = joined(results["spectra"], options["names"], "name")
    return plot_progress(losses, spectra, names=options["labels"], note=options["note"])


DRAWINGS: dict[str, Drawing] = {"progress": progress}
