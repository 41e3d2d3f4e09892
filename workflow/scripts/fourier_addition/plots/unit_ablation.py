"""What is left of the answers without the top heads or neurons of a layer, beside random ones."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from fourier_addition.plots import frame, theme
from fourier_addition.plots.columns import require, require_fractions
from fourier_addition.plots.panels import last_layers
from fourier_addition.plots.units import log_counts

OUTCOMES = {"accuracy": "exact (%)", "residue": "last digit kept (%)", "magnitude": "magnitude kept (%)"}
"""Outcome -> what its row is called."""
COLOURS = (theme.BLUE, theme.ORANGE, theme.GREEN, theme.PURPLE)


@theme.themed
def plot_unit_ablation(
    table: pd.DataFrame,
    *,
    unit: str,
    layers: int | None = None,
    title: str | None = None,
    note: str | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """Answers without the top n units of a layer: a row of panels for each outcome, a column for each layer.

    table: layer, band (`random` for random units), count, and for accuracy, residue and magnitude the share
    with _low and _high. unit: `head` or `neuron`. layers: the last so many; all when None.
    Returns the figure and the drawn table: panel, outcome and the columns above.
    Raises UserError when a column is missing or a share is no fraction.
    """
    shares = [f"{outcome}{end}" for outcome in OUTCOMES for end in ("", "_low", "_high")]
    columns = ["layer", "band", "count", *shares]
    require(table, columns, "the ablation of heads or neurons")
    require_fractions(table, shares, "the ablation of heads or neurons")
    own = last_layers(table[columns], layers)
    shown, bands = sorted(own["layer"].unique()), [b for b in dict.fromkeys(own["band"]) if b != "random"]
    figure, axes = frame.panels(len(OUTCOMES), len(shown), height=1.45, sharex=True, sharey=True)

    # Random units behind, then the top units of each band
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    parts = []
    for (outcome, name), row in zip(OUTCOMES.items(), axes, strict=True):
        for layer, ax in zip(shown, row, strict=True):
            here = own[own["layer"] == layer].rename(
                columns={outcome: "share", f"{outcome}_low": "low", f"{outcome}_high": "high"}
            )
            here = here[["layer", "band", "count", "share", "low", "high"]].assign(outcome=outcome)
            _draw_random(ax, here[here["band"] == "random"].sort_values("count"))
            for place, band in enumerate(bands):
                _draw_top(ax, here[here["band"] == band].sort_values("count"), place)
            ax.set_ylim(-3, 104)
            log_counts(ax, int(own["count"].max()))
            parts.append((next(letters), here))
        row[0].set_ylabel(name)
    for layer, ax in zip(shown, axes[0], strict=True):
        ax.set_title(f"layer {layer}")
    for ax in axes[-1]:
        ax.set_xlabel(f"{unit}s taken out")

    marks = [
        Line2D(
            [], [], color=COLOURS[n % 4], marker="os^D"[n % 4], markersize=3, label=f"top of the {band} band"
        )
        for n, band in enumerate(bands)
    ]
    frame.legend_below(figure, [*marks, Patch(color=theme.CONTROL, label=f"random {unit}s of the layer")])
    frame.finish(figure, title=title, note=note)
    return figure, frame.drawn(parts)


def _draw_random(ax: Axes, rows: pd.DataFrame) -> None:
    """The spread of the random draws as a band, with their mean."""
    ax.fill_between(rows["count"], 100 * rows["low"], 100 * rows["high"], color=theme.CONTROL, linewidth=0)
    ax.plot(rows["count"], 100 * rows["share"], color=theme.FAINT, linewidth=0.8)


def _draw_top(ax: Axes, rows: pd.DataFrame, place: int) -> None:
    """The top units of one band, with intervals."""
    colour = COLOURS[place % 4]
    ax.vlines(rows["count"], 100 * rows["low"], 100 * rows["high"], color=colour, linewidth=0.8)
    ax.plot(rows["count"], 100 * rows["share"], "os^D"[place % 4] + "-", color=colour, markersize=2.5)
