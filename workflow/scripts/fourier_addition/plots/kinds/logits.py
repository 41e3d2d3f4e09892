"""Figure 20: logits over the numbers of one MLP and one attention output."""

from __future__ import annotations

from fourier_addition.plots.kinds.drawing import Drawing, Drawn, Options, Results, only
from fourier_addition.plots.logits import plot_logits
from fourier_addition.plots.panels import chosen_layers


def logits(results: Results, options: Options) -> Drawn:
    """Logits of the chosen layers, or of the last ones."""
    table = only(results, "example")
    return plot_logits(
        table,
        panels=chosen_layers(table, options.get("layer")),
        answer=options["answer"],
        window=options.get("window"),
        note=options["note"],
    )


DRAWINGS: dict[str, Drawing] = {"logits": logits}
