"""Spectra of number embeddings (figures 5a, 7a, 15)."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fourier_addition.errors import UserError
from fourier_addition.plots import frame, theme
from fourier_addition.plots.columns import flags, require, require_unique
from fourier_addition.plots.labels import label_peaks, period_axis
from fourier_addition.plots.panels import base_period

COLUMNS = (
    "name",
    "component",
    "period",
    "magnitude",
    "ratio",
    "threshold",
    "prominence",
    "p_value",
    "outlier",
)
HEIGHTS = {
    "ratio": "magnitude / median",
    "magnitude": "magnitude",
    "prominence": "prominence",
}


def draw_embedding_spectrum(ax: Axes, table: pd.DataFrame, *, height: str, max_labels: int) -> pd.DataFrame:
    """Draw one number embedding's spectrum; see `plot_embedding_spectra`. Returns what is drawn."""
    require_unique(table, ("name", "component"), "the embedding spectra")

    # Of the outliers, those that stand out most are labelled.
    shown = table[list(COLUMNS)].sort_values("component", kind="stable")
    shown = shown.assign(outlier=flags(shown["outlier"]))
    found = shown[shown["outlier"]]
    named = found.nlargest(max_labels, "prominence").index
    shown = shown.assign(labelled=shown.index.isin(named))
    if not len(shown):
        frame.empty(ax, "no component to show")
        return shown

    # A line for each component, outliers in colour and with a dot.
    for outlier, colour in ((False, theme.FAINT), (True, theme.BLUE)):
        some = shown[shown["outlier"] == outlier]
        ax.vlines(some["component"], 0, some[height], color=colour, linewidth=1.1 if outlier else 0.7)
    ax.plot(found["component"], found[height], "o", color=theme.BLUE, markersize=2.5)

    # Limits come before the labels, which are placed inside them.
    margin = 0.02 * (shown["component"].max() + 1)
    ax.set_xlim(shown["component"].min() - margin, shown["component"].max() + margin)
    ax.set_ylim(0, 1.02 * shown[height].max())

    # What the spectrum is to be compared with. The threshold is one of prominence: in the other heights
    # the line would be a different one for each k.
    if height == "prominence":
        line = ax.axhline(
            shown["threshold"].iloc[0],
            color=theme.INK,
            linewidth=0.6,
            linestyle=(0, (3, 2)),
            label="what shuffled numbers reach",
        )
        frame.legend_below(frame.figure_of(ax), [line])
    if height == "ratio":
        ax.axhline(1, color=theme.INK, linewidth=0.4, linestyle=(0, (1, 2)))

    # Components below, their periods along the top.
    ax.set(xlabel="Fourier component k", ylabel=HEIGHTS[height])
    frame.ticks(ax.xaxis, 6, whole=True)
    frame.ticks(ax.yaxis, 5)
    period_axis(ax, base_period(shown))

    # The panel says how many outliers are without a label; the others are named by their period.
    if not len(found):
        frame.remark(ax, "no component stands out\nfrom shuffled numbers")
    elif len(found) > len(named):
        frame.remark(ax, f"and {len(found) - len(named)} more outliers")
    marked = shown[shown["labelled"]]
    label_peaks(
        ax,
        marked["component"].to_numpy(),
        marked[height].to_numpy(),
        [f"T={theme.period_text(period)}" for period in marked["period"]],
        curve=(shown["component"].to_numpy(), shown[height].to_numpy()),
    )
    return shown


@theme.themed
def plot_embedding_spectra(
    table: pd.DataFrame,
    *,
    height: str = "ratio",
    names: Mapping[str, str] | None = None,
    max_labels: int = 12,
    title: str | None = None,
    note: str | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """Spectrum of each number embedding, outliers coloured and labelled (figures 5a, 7a, 15).

    table: name, component, period, magnitude, ratio (magnitude over the median of the spectrum),
    threshold (of prominence), prominence, p_value, outlier (bool). One panel a name, in the order
    of the table, two beside each other.
    height: what is drawn, `ratio`, `magnitude` or `prominence` (with the shuffled-number threshold).
    names: name -> what its panel is called. max_labels: at most so many a panel; the others are counted.
    Returns the figure and the drawn table: panel, the columns above, labelled (bool).
    Raises UserError when a column is missing or the height is not known.
    """
    if height not in HEIGHTS:
        raise UserError(f"height '{height}' is not known; it is one of {', '.join(HEIGHTS)}.")
    require(table, COLUMNS, "the embedding spectra")

    # Two panels beside each other, in as many rows as there are names.
    distinct = list(dict.fromkeys(table["name"]))
    columns = min(2, max(1, len(distinct)))
    rows = max(1, -(-len(distinct) // columns))
    figure, axes = frame.panels(rows, columns, height=2.2)
    parts = []
    for letter, ax, name in zip("abcdefghijklmnop", axes.flat, distinct, strict=False):
        ax.set_title((names or {}).get(name, name))
        own = table[table["name"] == name]
        parts.append((letter, draw_embedding_spectrum(ax, own, height=height, max_labels=max_labels)))

    # Panels of the grid that no name fills are taken away; the first stays to say that there is nothing.
    if not distinct:
        frame.empty(axes[0, 0], "no embedding to show")
    for ax in axes.flat[len(distinct) or 1 :]:
        ax.remove()
    frame.finish(figure, title=title, note=note)
    return figure, frame.drawn(parts)
