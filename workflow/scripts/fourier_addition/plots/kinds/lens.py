"""Figure 1a: accuracy of the logit lens by layer."""

from __future__ import annotations

from fourier_addition.plots.digit_lens import plot_digit_lens
from fourier_addition.plots.kinds.drawing import Drawing, Drawn, Options, Results, only
from fourier_addition.plots.lens import plot_lens


def lens(results: Results, options: Options) -> Drawn:
    """The logit lens with the final norm that the analysis applies."""
    table = only(results, "lens")
    return plot_lens(table[table["norm"] == options["lens_norm"]], note=options["note"])


def digit_lens(results: Results, options: Options) -> Drawn:
    """The logit lens at every token of the answer."""
    return plot_digit_lens(only(results, "lens"), note=options["note"])


DRAWINGS: dict[str, Drawing] = {"lens": lens, "digit-lens": digit_lens}
