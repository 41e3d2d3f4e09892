"""Figures 1b, 1c, 17, 22: logits of every MLP and attention output for the running example."""

from __future__ import annotations

from fourier_addition.plots.heatmap import plot_logit_heatmaps
from fourier_addition.plots.kinds.drawing import Drawing, Drawn, Options, Results, chosen, only


def heatmap(results: Results, options: Options) -> Drawn:
    """Logits around the answer, layer by number."""
    return plot_logit_heatmaps(
        only(results, "example"),
        answer=options["answer"],
        window=options.get("window", 20),
        layers=chosen(options, "layers"),
        note=options["note"],
    )


DRAWINGS: dict[str, Drawing] = {"heatmap": heatmap}
