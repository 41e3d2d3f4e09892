"""Table 1 as dots: accuracy under each filter, beside controls of the same rank."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fourier_addition.plots import frame, theme
from fourier_addition.plots.controls import (
    CONTROLS,
    draw_controls,
    drawable,
    explain_marks,
    filter_name,
    with_optional,
)


def _draw_row(ax: Axes, place: int, row: pd.Series) -> None:
    """One filter: its interval as a line, the accuracy as a dot, a reference as a hollow diamond."""
    colour = theme.MODULE_COLOURS.get(row["module"], theme.INK)
    if pd.notna(row["low"]):
        ax.plot([100 * row["low"], 100 * row["high"]], [place] * 2, color=colour, linewidth=1.0, zorder=3)
    if pd.notna(row["reference"]):
        ax.plot(
            100 * row["reference"],
            place,
            "D",
            color=colour,
            markersize=4,
            markerfacecolor="white",
            markeredgewidth=0.8,
            zorder=3.5,
            clip_on=False,
        )
    ax.plot(100 * row["accuracy"], place, "o", color=colour, markersize=4, zorder=4, clip_on=False)


def _write_value(ax: Axes, place: int, accuracy: float) -> None:
    """The accuracy (fraction) in per cent, right of the panel."""
    ax.annotate(
        f"{100 * accuracy:.1f}",
        (1, place),
        (24, 0),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize=theme.SMALL_SIZE,
        annotation_clip=False,
    )


def draw_filters(ax: Axes, table: pd.DataFrame, *, values: bool) -> pd.DataFrame:
    """Draw one dot a row, its interval and control; see `plot_table1`. Returns what is drawn."""
    shown = with_optional(table, ("low", "high", *CONTROLS, "reference"))
    shown = shown.assign(
        row=[filter_name(m, r) for m, r in shown[["module", "band"]].itertuples(index=False)]
    )

    # Controls lie behind the dots.
    draw_controls(ax, range(len(shown)), shown, half=0.36, horizontal=True)
    for place, (_, row) in enumerate(shown.iterrows()):
        _draw_row(ax, place, row)
        if values:
            _write_value(ax, place, row["accuracy"])

    # A dotted line where nothing is removed: every loss is seen against it.
    base = shown[shown["row"] == "nothing removed"]
    if len(base):
        ax.axvline(
            100 * base["accuracy"].iloc[0], color=theme.FAINT, linewidth=0.6, linestyle=(0, (1, 2)), zorder=0
        )

    # Rows from top to bottom, all panels to the same scale.
    ax.set_yticks(range(len(shown)), shown["row"])
    ax.tick_params(axis="y", length=0)
    ax.set(xlabel="accuracy (%)", xlim=(-2, 102), ylim=(max(1, len(shown)) - 0.4, -0.6))
    ax.set_xticks([0, 25, 50, 75, 100])
    if not len(shown):
        frame.empty(ax, "no filter was applied")

    # Of the optional columns, the drawn table keeps those that hold anything.
    shown = shown.drop(columns="row")
    return shown.dropna(axis="columns", how="all") if len(shown) else table


@theme.themed
def plot_table1(
    table: pd.DataFrame,
    *,
    reference: str | None = None,
    title: str | None = None,
    note: str | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """Table 1 as dots: accuracy under each filter, its interval, and the controls of equal rank.

    table: module, band, accuracy and, optionally, low, high (interval), control_low,
    control_mean, control_high, reference (an accuracy from elsewhere, drawn hollow); fractions.
    Rows are drawn in the table's order. reference: what the hollow marks are, for the legend.
    Returns the figure and the drawn table: panel and the columns above that hold anything.
    Raises UserError when a column is missing or accuracy is no fraction.
    """
    table = drawable(table, ("module", "band", "accuracy"), "table 1")
    figure, axes = frame.panels(1, 1, height=0.95 + 0.22 * max(3, len(table)))
    shown = draw_filters(axes[0, 0], table, values=True)
    hollow = reference if "reference" in shown.columns and len(shown) else None
    explain_marks(figure, control="control_low" in shown.columns, reference=hollow)
    frame.finish(figure, title=title, note=note)
    return figure, frame.drawn([("a", shown)])


@theme.themed
def plot_digit_ranges(
    table: pd.DataFrame,
    *,
    names: Mapping[str, str] | None = None,
    title: str | None = None,
    note: str | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """Table 1 for each range of operands, side by side.

    table: digit_range and the columns of `plot_table1`; panels in the table's order, three beside
    each other at most. names: digit_range -> panel title.
    Returns the figure and the drawn table: panel, digit_range, the columns above.
    Raises UserError when a column is missing or accuracy is no fraction.
    """
    table = drawable(table, ("digit_range", "module", "band", "accuracy"), "the digit ranges")

    # Panels high enough for the range with the most filters.
    ranges = list(dict.fromkeys(table["digit_range"]))
    columns = min(3, max(1, len(ranges)))
    rows = max(1, -(-len(ranges) // columns))
    most = int(table.groupby("digit_range").size().max()) if len(table) else 3
    figure, axes = frame.panels(rows, columns, height=0.9 + 0.21 * max(3, most))

    # Filters are named in the leftmost panels alone: the rows of all panels are the same.
    parts = []
    for i, (digits, ax) in enumerate(zip(ranges, axes.flat, strict=False)):
        drawn = draw_filters(ax, table[table["digit_range"] == digits], values=True)
        ax.set_title((names or {}).get(digits, digits))
        if i % columns:
            ax.set_yticklabels([])
        parts.append(("abcdefghijklmnop"[i], drawn))
    if not ranges:
        frame.empty(axes[0, 0], "no digit range was measured")
    for ax in axes.flat[len(ranges) or 1 :]:
        ax.remove()

    tidy = frame.drawn(parts)
    explain_marks(figure, control="control_low" in tidy.columns, reference=None)
    frame.finish(figure, title=title, note=note)
    return figure, tidy
