"""Fourier components of the final logits as waves over the numbers (figures 4, 13, 14)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fourier_addition.plots import frame, theme
from fourier_addition.plots.columns import require, require_unique
from fourier_addition.plots.marks import mark_answer, mark_top
from fourier_addition.plots.panels import window_rows

COLUMNS = ("component", "period", "number", "value", "magnitude", "answer")


def top_components(
    table: pd.DataFrame, top: int, *, low: int | None = None, high: int | None = None
) -> list[int]:
    """The `top` components of largest magnitude with low <= k < high, largest first."""
    each = table.groupby("component")["magnitude"].first()
    each = each[(each.index >= (low or 1)) & (each.index < (high or np.inf))]
    return [int(component) for component in each.nlargest(top).index]


def _heading(count: int) -> str:
    return f"{count} largest components" if count > 1 else "largest component" if count else "components"


def _answer(table: pd.DataFrame) -> int:
    return int(table["answer"].iloc[0])


def draw_waves(
    ax: Axes, table: pd.DataFrame, components: list[int], *, window: int | None, empty: str
) -> pd.DataFrame:
    """Draw components as waves one above the other, longest period on top, all to one scale.

    The bar at the right is the scale in logits. Returns what is drawn, values not shifted.
    """
    shown = table[table["component"].isin(components)][list(COLUMNS)]
    shown = shown.sort_values(["component", "number"], kind="stable")
    if not len(shown):
        frame.empty(ax, empty)
        ax.set_axis_off()
        return shown

    # The largest value of any wave decides how far apart the waves stand.
    answer = _answer(shown)
    shown = window_rows(shown, answer=answer, window=window)
    spacing = 2.3 * float(shown["value"].abs().max() or 1.0)

    # The shortest period (largest component) at the bottom, dark to light.
    stacked = sorted(components, reverse=True)
    shades = theme.layer_map()(np.linspace(1.0, 0.15, len(stacked)))
    for i, (component, shade) in enumerate(zip(stacked, shades, strict=True)):
        wave = shown[shown["component"] == component]
        level = i * spacing
        ax.axhline(level, color=theme.CONTROL, linewidth=0.4, zorder=0.4)
        # Values exist at whole numbers only; where these can be told apart they are marked.
        marker = "." if len(wave) <= 61 else None
        ax.plot(
            wave["number"], level + wave["value"], color=shade, linewidth=0.8, marker=marker, markersize=2.5
        )

    # Each wave is named by its period in place of a tick; the scale of all is the bar at the right.
    periods = [shown.loc[shown["component"] == k, "period"].iloc[0] for k in stacked]
    ax.set_yticks(
        [i * spacing for i in range(len(stacked))], [f"T={theme.period_text(period)}" for period in periods]
    )
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_ylim(-0.55 * spacing, (len(stacked) - 0.45) * spacing)
    ax.margins(x=0.02)
    mark_answer(ax, answer)
    ax.set(xlabel="number")
    _scale_bar(ax, spacing / 2.3)
    return shown


def _scale_bar(ax: Axes, amplitude: float) -> None:
    """A vertical bar of a round number of logits, right of the panel."""
    exponent = 10 ** np.floor(np.log10(amplitude))
    length = max(step * exponent for step in (1, 2, 5) if step * exponent <= amplitude * 1.0001)
    low, high = ax.get_ylim()
    transform = ax.get_yaxis_transform()
    ax.plot(
        [1.02, 1.02], [low, low + length], transform=transform, color=theme.INK, linewidth=1, clip_on=False
    )
    ax.text(
        1.035,
        low + length / 2,
        f"{length:g} logits" if length != 1 else "1 logit",
        transform=transform,
        rotation=90,
        va="bottom" if length < 0.25 * (high - low) else "center",
        ha="left",
        fontsize=theme.SMALL_SIZE,
    )


@theme.themed
def plot_waves_and_sum(
    table: pd.DataFrame,
    *,
    top: int = 5,
    window: int | None = None,
    title: str | None = None,
    note: str | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """The largest components of the final logits, and their sum (figure 4).

    table: component, period, number, value (logits), magnitude, answer; one row for each component
    and number of one example. top: components taken, by magnitude. window: numbers shown on either
    side of the answer; all when None. The largest value of the sum is sought among those shown.
    Returns the figure and the drawn table: panel, component, period, number, value, magnitude,
    answer; panel b has no component.
    Raises UserError when a column is missing.
    """
    require(table, COLUMNS, "the waves")
    require_unique(table, ("component", "number"), "the waves")
    figure, axes = frame.panels(1, 2, height=2.3)
    waves, total = axes[0]
    shown = draw_waves(waves, table, top_components(table, top), window=window, empty="no component to show")
    waves.set_title(_heading(shown["component"].nunique()))
    summed = shown.groupby("number", as_index=False).agg(value=("value", "sum"), answer=("answer", "first"))
    if len(summed):
        total.plot(summed["number"], summed["value"], color=theme.BLUE, linewidth=0.9)
        total.margins(x=0.02)
        mark_answer(total, _answer(summed))
        mark_top(total, summed["number"], summed["value"], _answer(summed), colour=theme.BLUE)
    else:
        frame.empty(total, "no component to sum")
    total.set_title("their sum")
    total.set(xlabel="number", ylabel="logit")
    frame.ticks(total.yaxis, 5)
    frame.finish(figure, title=title, note=note)
    return figure, frame.drawn([("a", shown), ("b", summed)])


@theme.themed
def plot_waves_by_band(
    table: pd.DataFrame,
    *,
    cut: int,
    top: int = 10,
    window: int | None = None,
    title: str | None = None,
    note: str | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """The largest components below and at or above a cut, as waves (figure 13).

    table, top, window: as in `plot_waves_and_sum`; top counts for each band. cut: component index.
    Returns the figure and the drawn table: panel, component, period, number, value, magnitude, answer.
    Raises UserError when a column is missing.
    """
    require(table, COLUMNS, "the waves")
    require_unique(table, ("component", "number"), "the waves")
    figure, axes = frame.panels(1, 2, height=0.55 + 0.23 * top)
    parts = []
    bands = (("a", f"k < {cut}", None, cut), ("b", f"k ≥ {cut}", cut, None))
    for ax, (letter, name, low, high) in zip(axes[0], bands, strict=True):
        components = top_components(table, top, low=low, high=high)
        drawn = draw_waves(ax, table, components, window=window, empty=f"no component with {name}")
        ax.set_title(f"{_heading(len(components))}, {name}")
        parts.append((letter, drawn))
    frame.finish(figure, title=title, note=note)
    return figure, frame.drawn(parts)


@theme.themed
def plot_longest_wave(
    table: pd.DataFrame, *, title: str | None = None, note: str | None = None
) -> tuple[Figure, pd.DataFrame]:
    """The component of the longest period over the whole number space (figure 14).

    table: as in `plot_waves_and_sum`. Returns the figure and the drawn table: panel, component,
    period, number, value, magnitude, answer. Raises UserError when a column is missing.
    """
    require(table, COLUMNS, "the longest wave")
    require_unique(table, ("component", "number"), "the longest wave")
    figure, axes = frame.panels(1, 1, height=2.1)
    ax = axes[0, 0]
    shown = table[table["period"] == table["period"].max()][list(COLUMNS)].sort_values(
        "number", kind="stable"
    )
    if len(shown):
        ax.axhline(0, color=theme.CONTROL, linewidth=0.4)
        ax.plot(shown["number"], shown["value"], color=theme.BLUE)
        ax.margins(x=0.02)
        mark_answer(ax, _answer(shown))
        mark_top(ax, shown["number"], shown["value"], _answer(shown), colour=theme.BLUE)
        ax.set_title(
            f"component {shown['component'].iloc[0]}, T={theme.period_text(shown['period'].iloc[0])}"
        )
    else:
        frame.empty(ax, "no component to show")
    ax.set(xlabel="number", ylabel="logit")
    frame.ticks(ax.yaxis, 5)
    frame.finish(figure, title=title, note=note)
    return figure, frame.drawn([("a", shown)])
