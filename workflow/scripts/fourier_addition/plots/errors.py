"""Distributions of errors (figures 12, 21, 23)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from fourier_addition.errors import UserError
from fourier_addition.plots import frame, theme
from fourier_addition.plots.columns import require
from fourier_addition.plots.facts import check_facts, write_facts

COLUMNS = ("label", "error", "count")
SCALES = ("linear", "log")


def draw_errors(
    ax: Axes,
    table: pd.DataFrame,
    facts: pd.DataFrame,
    *,
    scale: str,
    limit: int | None,
    highlight: int | None,
) -> pd.DataFrame:
    """Draw one histogram; see `plot_errors`. Returns the bars that are drawn."""
    # Right answers have no bar, nor have errors beyond the limit, which are counted.
    counts = table.groupby("error", as_index=False)[["count"]].sum()
    counts = counts[(counts["error"] != 0) & (counts["count"] > 0)]
    inside = counts if limit is None else counts[counts["error"].abs() <= limit]
    beyond = int(counts["count"].sum() - inside["count"].sum())

    # Without a bar the panel says why.
    ax.set(xlabel="error (prediction − answer)", ylabel="wrong answers")
    if not len(inside):
        write_facts(ax, facts, clear=False)
        reason = f"no error within ±{limit}" if len(counts) else "every prediction is right"
        frame.empty(ax, reason if len(table) else "no prediction to show")
        return inside.assign(highlighted=pd.Series(dtype=bool))

    # One bar for each error, the multiples of `highlight` in colour.
    multiple = inside["error"] % highlight == 0 if highlight else pd.Series(False, index=inside.index)
    shown = inside.assign(highlighted=multiple)
    reach = int(shown["error"].abs().max()) + 1
    baseline = 0.0 if scale == "linear" else 0.6
    for marked, colour in ((False, theme.FAINT), (True, theme.BLUE)):
        some = shown[shown["highlighted"] == marked]
        if not len(some):
            continue
        if reach <= 60:
            ax.bar(some["error"], some["count"] - baseline, 0.9, bottom=baseline, color=colour)
        else:
            # Bars one unit wide would be thinner than a printed line.
            ax.vlines(some["error"], baseline, some["count"], color=colour, linewidth=0.8)

    # The same reach on both sides of 0.
    ax.set_yscale(scale)
    ax.set_xlim(-reach - 0.5, reach + 0.5)
    ax.set_ylim(baseline, shown["count"].max() * (1.05 if scale == "linear" else 1.5))
    frame.ticks(ax.xaxis, 7, whole=True)
    if scale == "linear":
        frame.ticks(ax.yaxis, 5, whole=True)

    # Facts come last: they keep clear of what is drawn.
    write_facts(ax, facts, extra=[f"{beyond} beyond ±{limit}"] if beyond else [])
    return shown


@theme.themed
def plot_errors(
    table: pd.DataFrame,
    *,
    facts: pd.DataFrame | None = None,
    scale: str = "linear",
    limit: int | None = None,
    highlight: int | None = 10,
    names: Mapping[str, str] | None = None,
    title: str | None = None,
    note: str | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """Histogram of errors in bins of one, right answers left out (figures 12, 21, 23).

    table: label, error (prediction - answer, whole), count. One panel a label, in the table's order.
    facts: label, name, value (fraction): written into the panel of that label in per cent, for
    example the accuracy, or the share of errors that are multiples of 10 or within 5.
    scale: `linear` or `log` counts. limit: leave out larger errors, counted in the panel.
    highlight: colour the multiples of it; None for no such colour. names: label -> panel title.
    Returns the figure and the drawn table: panel, label, error, count, highlighted (bool), and a
    row for each written fact with columns fact and value.
    Raises UserError when a column is missing, an error is not whole, or the scale is not known.
    """
    # Refuse what cannot be drawn.
    if scale not in SCALES:
        raise UserError(f"scale '{scale}' is not known; it is one of {', '.join(SCALES)}.")
    require(table, COLUMNS, "the errors")
    if not np.equal(np.mod(table["error"], 1), 0).all():
        raise UserError("Column error of the table for the errors must hold whole numbers.")
    facts = check_facts(facts, "the facts about errors")

    # A panel for each label, also for one that has facts and no error.
    labels = list(dict.fromkeys([*table["label"], *facts["label"]])) or [""]
    columns = min(2, len(labels))
    figure, axes = frame.panels(-(-len(labels) // columns), columns, height=2.2)
    parts = []
    for letter, ax, label in zip("abcdefghijklmnop", axes.flat, labels, strict=False):
        ax.set_title((names or {}).get(label, label))
        own = facts[facts["label"] == label]
        bars = draw_errors(
            ax, table[table["label"] == label], own, scale=scale, limit=limit, highlight=highlight
        )
        # The drawn table has the facts too: they are read in the figure.
        written = pd.DataFrame({"fact": own["name"], "value": own["value"]})
        parts.append((letter, pd.concat([bars, written], ignore_index=True).assign(label=label)))
    for ax in axes.flat[len(labels) :]:
        ax.remove()

    # The colours are explained where both can be seen.
    if any(bars["highlighted"].eq(True).any() for _, bars in parts if "highlighted" in bars):
        shades = ((theme.BLUE, f"multiples of {highlight}"), (theme.FAINT, "other errors"))
        frame.legend_below(figure, [Patch(color=colour, label=name) for colour, name in shades])
    frame.finish(figure, title=title, note=note)
    drawn = frame.drawn(parts)
    return figure, drawn[["panel", "label", *[c for c in drawn.columns if c not in ("panel", "label")]]]
