"""What attention and MLP outputs add to circles in the residual stream, layer by layer."""

from __future__ import annotations

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fourier_addition.plots import frame, theme
from fourier_addition.plots.columns import require

COLUMNS = ("position", "target", "period", "state", "module", "layer", "part", "slope")
SHOWN = (2, 5, 10, 100)
"""Periods that are drawn, as far as their circle is read above chance."""


@theme.themed
def plot_contributions(
    table: pd.DataFrame, *, title: str | None = None, note: str | None = None
) -> tuple[Figure, pd.DataFrame]:
    """Parts of module outputs in the circles of the sum, a row of panels for each answer token.

    table: of `contributions`. One panel for each period of `SHOWN`; bars are MLP and attention outputs by
    layer. A panel's title has the slope, the sum of all parts and that of the first state: 1 is a perfect
    probe. Returns the figure and the drawn table: panel and the columns above. Raises UserError when a column
    is missing.
    """
    require(table, COLUMNS, "the contributions")
    own = table[(table["target"] == "sum") & table["position"].str.startswith("answer")]
    own = own[own["period"].isin(SHOWN)]
    cases = sorted(set(zip(own["position"], own["period"], strict=True)))
    columns = min(2, max(1, len(cases)))
    figure, axes = frame.panels(-(-len(cases) // columns) or 1, columns, height=1.8)
    parts = []
    for i, (ax, (position, period)) in enumerate(zip(axes.flat, cases, strict=False)):
        rows = own[(own["position"] == position) & (own["period"] == period)]
        for place, module in enumerate(("mlp", "attention")):
            line = rows[rows["module"] == module].sort_values("layer")
            ax.bar(
                line["layer"] + 0.4 * place - 0.2, line["part"], width=0.4, color=theme.MODULE_COLOURS[module]
            )
        ax.axhline(0, color=theme.INK, linewidth=0.5)
        slope = float(rows["slope"].iloc[0])
        where = f"before answer token {position.split()[-1]}"
        ax.set_title(f"T = {theme.period_text(period)}, {where}: slope {slope:.2f}")
        ax.set_xlabel("layer")
        frame.ticks(ax.xaxis, 6, whole=True)
        if i % columns == 0:
            ax.set_ylabel("part of the slope")
        parts.append(("abcdefghijklmnopqrstuvwxyz"[i % 26], rows[list(COLUMNS)]))
    for ax in axes.flat[max(1, len(cases)) :]:
        ax.remove()
    if not cases:
        frame.empty(axes[0, 0], "no circle of the sum is read above chance")
    handles: list[Artist] = [
        Line2D([], [], color=theme.MODULE_COLOURS[module], linewidth=4, label=theme.module_label(module))
        for module in ("mlp", "attention")
    ]
    frame.legend_below(figure, handles)
    frame.finish(figure, title=title, note=note)
    return figure, frame.drawn(parts)
