"""Fourier probes at named positions: R2 by layer and period, and how the sum is built with depth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from fourier_addition.plots import frame, theme
from fourier_addition.plots.columns import require

COLUMNS = ("position", "layer", "target", "period", "r2", "r2_low", "r2_high", "null_low", "null_high")
CONTROLS = (3, 7, 9, 11)
"""Periods that decimal numbers do not have: drawn as controls."""


def _panels_of(table: pd.DataFrame, *, digits: bool) -> list[tuple[str, str]]:
    """What is shown where: operands at their own tokens, then operands and sum before answer tokens.

    digits: the digits of the sum before answer tokens, and nothing else.
    """
    found = list(dict.fromkeys(zip(table["position"], table["target"], strict=True)))
    if digits:
        return [(position, target) for position, target in found if target.startswith("digit")]
    own = [(position, target) for position, target in found if position == target]
    later = [
        (position, target)
        for position, target in found
        if position.startswith("answer") and not target.startswith("digit")
    ]
    return own + later


def _title(position: str, target: str) -> str:
    """A panel's title: what is probed, and where."""
    where = "its last token" if position == target else f"answer token {position.split()[-1]}"
    return f"{target}, at {where}" if position == target else f"{target}, before {where}"


def _draw_cells(ax: Axes, own: pd.DataFrame) -> AxesImage:
    """R2 of one target at one position: a row for each period, dots where R2 is above shuffled numbers."""
    periods = sorted(own["period"].unique())
    layers = sorted(own["layer"].unique())
    cells = own.pivot(index="period", columns="layer", values="r2").reindex(index=periods, columns=layers)
    image = ax.imshow(
        np.clip(cells.to_numpy(float), 0, 1),
        cmap=theme.accuracy_map(),
        vmin=0,
        vmax=1,
        origin="lower",
        aspect="auto",
    )
    # A dot marks a cell whose interval lies above what shuffled numbers give.
    above = own[own["r2_low"] > own["null_high"].clip(lower=0)]
    ax.plot(
        [layers.index(layer) for layer in above["layer"]],
        [periods.index(period) for period in above["period"]],
        ".",
        color="white",
        markersize=2,
    )
    shown = range(0, len(layers), max(1, len(layers) // 6))
    ax.set_xticks(list(shown), [str(layers[place]) for place in shown])
    ax.set_yticks(range(len(periods)), [theme.period_text(period) for period in periods])
    for tick, period in zip(ax.get_yticklabels(), periods, strict=True):
        tick.set_color(theme.FAINT if period in CONTROLS else theme.INK)
    ax.set(xlabel="layer (0 = embedding)", ylabel="period")
    ax.spines[["top", "right"]].set_visible(True)
    return image


@theme.themed
def plot_circles(
    table: pd.DataFrame, *, digits: bool = False, title: str | None = None, note: str | None = None
) -> tuple[Figure, pd.DataFrame]:
    """R2 of Fourier probes by layer and period, a panel for each target at each position.

    table: of `position_probes`. digits: show the digits of the sum, not operands and sum. Grey periods are
    controls; a white dot marks an R2 whose interval is above shuffled numbers. Returns the figure and the
    drawn table: panel and the columns above. Raises UserError when a column is missing.
    """
    require(table, COLUMNS, "the probes at positions")
    shown = _panels_of(table, digits=digits)
    columns = min(2 if len(shown) == 4 else 3, max(1, len(shown)))
    rows = -(-len(shown) // columns) or 1
    figure, axes = frame.panels(rows, columns, height=2.1)
    parts, image = [], None
    for i, (ax, (position, target)) in enumerate(zip(axes.flat, shown, strict=False)):
        own = table[(table["position"] == position) & (table["target"] == target)]
        image = _draw_cells(ax, own)
        ax.set_title(_title(position, target))
        parts.append(("abcdefghijklmnopqrstuvwxyz"[i % 26], own[list(COLUMNS)]))
    for ax in axes.flat[max(1, len(shown)) :]:
        ax.remove()
    if image is None:
        frame.empty(axes[0, 0], "no probe was fitted")
    else:
        bar = figure.colorbar(
            image, ax=list(axes.flat[: len(shown)]), label="held-out R²", aspect=40, pad=0.01
        )
        bar.outline.set_visible(False)
        dot = Line2D([], [], linestyle="", marker="o", markersize=3, label="above shuffled numbers")
        dot.set(markerfacecolor="white", markeredgecolor=theme.INK)
        handles: list[Artist] = [
            dot,
            Line2D([], [], linestyle="", marker="$T$", color=theme.FAINT, label="grey periods: controls"),
        ]
        frame.legend_below(figure, handles)
    frame.finish(figure, title=title, note=note)
    return figure, frame.drawn(parts)


def _draw_depth(ax: Axes, own: pd.DataFrame, looks: dict[float, str]) -> None:
    """R2 of the sum at one position against layers: a curve with its interval for each period."""
    controls = own[own["period"].isin(CONTROLS)]
    for _, line in controls.groupby("period"):
        line = line.sort_values("layer")
        ax.plot(line["layer"], line["r2"], color=theme.FAINT, linewidth=0.7, linestyle=":")
    band = own.groupby("layer")[["null_low", "null_high"]].agg({"null_low": "min", "null_high": "max"})
    ax.fill_between(band.index, band["null_low"], band["null_high"], color=theme.CONTROL, linewidth=0)
    for period, colour in looks.items():
        line = own[own["period"] == period].sort_values("layer")
        ax.fill_between(line["layer"], line["r2_low"], line["r2_high"], color=colour, alpha=0.2, linewidth=0)
        ax.plot(line["layer"], line["r2"], color=colour, zorder=3)
    ax.set(xlabel="layer (0 = embedding)", ylim=(-0.2, 1.03))
    frame.ticks(ax.xaxis, 6, whole=True)


@theme.themed
def plot_coarse_to_fine(
    table: pd.DataFrame, *, title: str | None = None, note: str | None = None
) -> tuple[Figure, pd.DataFrame]:
    """R2 of the sum's circles by layer, a panel for each answer token, a curve for each period.

    table: of `position_probes`. Long periods are magnitude, short ones are residues; dotted curves are
    periods that the numbers do not have; the grey band is what shuffled numbers give. Returns the figure and
    the drawn table: panel and the columns above. Raises UserError when a column is missing.
    """
    require(table, COLUMNS, "the probes at positions")
    own = table[(table["target"] == "sum") & table["position"].str.startswith("answer")]
    positions: Sequence[str] = sorted(own["position"].unique())
    figure, axes = frame.panels(1, max(1, len(positions)), height=2.4, sharey=True)
    periods = sorted((p for p in own["period"].unique() if p not in CONTROLS), reverse=True)
    colours = theme.layer_map()(np.linspace(0.02, 0.98, max(2, len(periods))))
    looks = dict(zip(periods, map(tuple, colours), strict=False))
    parts = []
    for i, (ax, position) in enumerate(zip(axes.flat, positions, strict=False)):
        rows = own[own["position"] == position]
        _draw_depth(ax, rows, looks)
        ax.set_title(_title(position, "sum"))
        parts.append(("abcdefghijklmnop"[i], rows[list(COLUMNS)]))
    axes[0, 0].set_ylabel("held-out R²")
    if not positions:
        frame.empty(axes[0, 0], "no sum was probed")
    handles: list[Artist] = [
        Line2D([], [], color=colour, label=f"T = {theme.period_text(period)}")
        for period, colour in looks.items()
    ]
    handles += [
        Line2D([], [], color=theme.FAINT, linestyle=":", label="T = 3, 7, 9, 11 (controls)"),
        Patch(color=theme.CONTROL, label="shuffled numbers"),
    ]
    frame.legend_below(figure, handles)
    frame.finish(figure, title=title, note=note)
    return figure, frame.drawn(parts)
