"""Figures 4, 13, 14: Fourier components of the final logits as waves over the numbers."""

from __future__ import annotations

from fourier_addition.plots.kinds.drawing import Drawing, Drawn, Options, Results, only
from fourier_addition.plots.waves import plot_longest_wave, plot_waves_and_sum, plot_waves_by_band


def waves_sum(results: Results, options: Options) -> Drawn:
    """The largest components and their sum."""
    return plot_waves_and_sum(
        only(results, "waves"), top=options["top"], window=options.get("window"), note=options["note"]
    )


def waves_band(results: Results, options: Options) -> Drawn:
    """The largest components below the cut tau, and from it on."""
    return plot_waves_by_band(
        only(results, "waves"),
        cut=options["tau"],
        top=options["top"],
        window=options.get("window"),
        note=options["note"],
    )


def waves_longest(results: Results, options: Options) -> Drawn:
    """The component of the longest period."""
    return plot_longest_wave(only(results, "waves"), note=options["note"])


DRAWINGS: dict[str, Drawing] = {
    "waves-sum": waves_sum,
    "waves-band": waves_band,
    "waves-longest": waves_longest,
}
