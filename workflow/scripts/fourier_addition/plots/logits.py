"""Logits of single module outputs over the numbers, for one example (figure 20)."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from fourier_addition.errors import UserError
from fourier_addition.plots import frame, theme
from fourier_addition.plots.columns import require, require_unique
from fourier_addition.plots.marks import mark_answer, mark_top
from fourier_addition.plots.panels import window_rows

COLUMNS = ("module", "layer", "number", "logit")


@theme.themed
def plot_logits(
    table: pd.DataFrame,
    *,
    panels: Sequence[tuple[str, int]],
    answer: int,
    window: int | None = None,
    title: str | None = None,
    note: str | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """Logits over the numbers of one MLP and one attention output (figure 20).

    table: module, layer, number, logit of one example. panels: the (module, layer) of each panel.
    answer: marked by a dashed line; the largest logit by a dot. window: numbers shown on either
    side of the answer; all when None.
    Returns the figure and the drawn table: panel, module, layer, number, logit, answer, largest (bool).
    Raises UserError when a column is missing or a panel's module and layer are not in the table.
    """
    require(table, COLUMNS, "the logits")
    require_unique(table, ("module", "layer", "number"), "the logits")
    figure, axes = frame.panels(1, len(panels), height=2.1)
    parts = []
    for letter, ax, (module, layer) in zip("abcdefgh", axes[0], panels, strict=False):
        rows = table[(table["module"] == module) & (table["layer"] == layer)][list(COLUMNS)]
        if not len(rows):
            raise UserError(f"The table for the logits has no rows of {module}, layer {layer}.")
        rows = window_rows(rows, answer=answer, window=window).sort_values("number", kind="stable")
        colour = theme.MODULE_COLOURS.get(module, theme.INK)
        ax.plot(rows["number"], rows["logit"], color=colour, linewidth=0.7)
        ax.margins(x=0.02)
        mark_answer(ax, answer)
        best = mark_top(ax, rows["number"], rows["logit"], answer, colour=colour)
        ax.set_title(f"{theme.module_label(module)}, layer {layer}")
        ax.set(xlabel="number", ylabel="logit")
        frame.ticks(ax.yaxis, 5)
        parts.append((letter, rows.assign(answer=answer, largest=rows["number"] == best)))
    frame.finish(figure, title=title, note=note)
    return figure, frame.drawn(parts)
