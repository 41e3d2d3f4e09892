"""Accuracy by the number of carries in the sum."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from fourier_addition.plots import frame, theme
from fourier_addition.plots.columns import require, require_fractions

COLUMNS = ("name", "carries", "right", "examples", "accuracy", "low", "high")


@theme.themed
def plot_carries(
    table: pd.DataFrame,
    *,
    names: Mapping[str, str] | None = None,
    title: str | None = None,
    note: str | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """Accuracy against carries with 95 % intervals, a curve for each run.

    table: name, carries, right, examples, accuracy, low, high (fractions). names: name -> what it is called.
    Returns the figure and the drawn table: panel and these columns. Raises UserError when a column is
    missing.
    """
    require(table, COLUMNS, "the accuracy by carries")
    require_fractions(table, ("accuracy", "low", "high"), "the accuracy by carries")
    figure, axes = frame.panels(1, 1, height=2.3)
    ax = axes[0, 0]
    shown = list(dict.fromkeys(table["name"]))
    looks = theme.colours(shown)
    for place, name in enumerate(shown):
        own = table[table["name"] == name].sort_values("carries")
        # Beside one another, so that intervals of several runs are seen.
        x = own["carries"] + 0.08 * (place - (len(shown) - 1) / 2)
        ax.vlines(x, 100 * own["low"], 100 * own["high"], color=looks[name], linewidth=1)
        ax.plot(x, 100 * own["accuracy"], "o-", color=looks[name], label=(names or {}).get(name, name))
    ax.set(xlabel="carries in the sum", ylabel="accuracy (%)", ylim=(0, 103))
    frame.ticks(ax.xaxis, 6, whole=True)
    if shown:
        frame.legend_below(figure, ax.get_legend_handles_labels()[0])
    else:
        frame.empty(ax, "no answers")
    frame.finish(figure, title=title, note=note)
    return figure, frame.drawn([("a", table[list(COLUMNS)])])
