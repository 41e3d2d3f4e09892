"""Accuracy of the logit lens by layer (figure 1a)."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fourier_addition.plots import frame, theme
from fourier_addition.plots.columns import require, require_fractions

CURVES = {"exact": "exact", "within_2": "within 2", "within_10": "within 10"}
_LOOKS = {"exact": (theme.BLUE, "o"), "within_2": (theme.GREEN, "s"), "within_10": (theme.ORANGE, "^")}
_DASHES = ("-", "--", ":", "-.")


def draw_lens(
    ax: Axes, table: pd.DataFrame, *, norm_labels: Mapping[object, str] | None = None
) -> pd.DataFrame:
    """Draw the curves into one panel; arguments as in `plot_lens`. Returns what is drawn."""
    require(table, ["layer", *CURVES], "the logit lens")
    require_fractions(table, list(CURVES), "the logit lens")

    # The drawn table: one row for each point of a curve.
    keys = ["layer", "norm"] if "norm" in table.columns else ["layer"]
    shown = table[[*keys, *CURVES]].sort_values(keys, kind="stable")
    tidy = shown.melt(id_vars=keys, value_vars=list(CURVES), var_name="curve", value_name="accuracy")

    # A curve for each tolerance in its colour, and for each norm in its dash.
    norms = list(dict.fromkeys(table["norm"])) if "norm" in table.columns else [None]
    for curve, name in CURVES.items():
        colour, marker = _LOOKS[curve]
        for norm, dash in zip(norms, _DASHES, strict=False):
            line = shown if norm is None else shown[shown["norm"] == norm]
            label = name
            if len(norms) > 1:
                label = f"{name}, {(norm_labels or {}).get(norm, str(norm))}"
            ax.plot(
                line["layer"],
                100 * line[curve],
                dash,
                color=colour,
                marker=marker,
                markerfacecolor=colour if dash == "-" else "white",
                # Few layers carry every marker; on 48 layers they would run together.
                markevery=max(1, len(line) // 16),
                label=label,
                clip_on=False,
            )

    # Three curves leave room for a legend in the panel; more do not.
    ax.set(xlabel="layer (0 = embedding)", ylabel="accuracy (%)", ylim=(0, 100))
    frame.ticks(ax.xaxis, 6, whole=True)
    if len(norms) > 1:
        frame.legend_below(frame.figure_of(ax), ax.get_legend_handles_labels()[0])
    elif len(table):
        ax.legend(loc="best")
    else:
        frame.empty(ax, "no layer was read through the lens")
    return tidy


@theme.themed
def plot_lens(
    table: pd.DataFrame,
    *,
    norm_labels: Mapping[object, str] | None = None,
    title: str | None = None,
    note: str | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """Accuracy of predictions read from the residual stream after each layer (figure 1a).

    table: a row for each state: layer (0 is the embedding), exact, within_2, within_10 (fractions
    0..1) and, optionally, norm; with several values of norm each gets its own dash.
    norm_labels: value of norm -> how the legend calls it.
    Returns the figure and the drawn table: panel, layer, (norm), curve, accuracy (fraction).
    Raises UserError when a column is missing or holds no fractions.
    """
    figure, axes = frame.panels(1, 1, height=2.2)
    tidy = draw_lens(axes[0, 0], table, norm_labels=norm_labels)
    frame.finish(figure, title=title, note=note)
    return figure, frame.drawn([("a", tidy)])
