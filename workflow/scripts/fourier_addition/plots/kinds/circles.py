"""Circles at named positions: heatmaps of R2, the sum by depth, and what modules add."""

from __future__ import annotations

from fourier_addition.plots.circles import plot_circles, plot_coarse_to_fine
from fourier_addition.plots.contributions import plot_contributions
from fourier_addition.plots.kinds.drawing import Drawing, Drawn, Options, Results, only


def position_probes(results: Results, options: Options) -> Drawn:
    """R2 by layer and period, a panel for each target at each position."""
    return plot_circles(only(results, "probes"), note=options["note"])


def digit_probes(results: Results, options: Options) -> Drawn:
    """R2 by layer and period of the sum's digits, a panel for each digit before each answer token."""
    return plot_circles(only(results, "probes"), digits=True, note=options["note"])


def coarse_to_fine(results: Results, options: Options) -> Drawn:
    """R2 of the sum's circles by layer, a curve for each period."""
    return plot_coarse_to_fine(only(results, "probes"), note=options["note"])


def contributions(results: Results, options: Options) -> Drawn:
    """Parts of attention and MLP outputs in the circles of the sum."""
    return plot_contributions(only(results, "contributions"), note=options["note"])


DRAWINGS: dict[str, Drawing] = {
    "position-probes": position_probes,
    "digit-probes": digit_probes,
    "coarse-to-fine": coarse_to_fine,
    "contributions": contributions,
}
