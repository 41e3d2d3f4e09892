"""Accuracy under filters for every cut tau, at every layer, and for every single component."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from fourier_addition.plots import frame, theme
from fourier_addition.plots.columns import require_unique
from fourier_addition.plots.controls import (
    CONTROLS,
    draw_controls,
    drawable,
    explain_marks,
    filter_name,
    with_optional,
)
from fourier_addition.plots.labels import period_axis
from fourier_addition.plots.panels import base_period


def _draw_cuts(ax: Axes, line: pd.DataFrame, colour: str) -> bool:
    """Accuracy against the cut with its intervals, over the band of the controls.

    Returns whether there was any control to draw.
    """
    controlled = bool(line["control_low"].notna().any())
    if controlled:
        low, high = 100 * line["control_low"], 100 * line["control_high"]
        ax.fill_between(line["tau"], low, high, color=theme.CONTROL, linewidth=0)
        ax.plot(line["tau"], 100 * line["control_mean"], color=theme.FAINT, linewidth=0.7)
    if line["low"].notna().any():
        ax.vlines(line["tau"], 100 * line["low"], 100 * line["high"], color=colour, linewidth=0.8)
    ax.plot(line["tau"], 100 * line["accuracy"], color=colour, marker="o", markersize=2.5)
    return controlled


def _draw_baseline(ax: Axes, baseline: float | None) -> None:
    """A dotted line at the accuracy (fraction) with nothing removed, where it is known."""
    if baseline is not None:
        ax.axhline(100 * baseline, color=theme.FAINT, linewidth=0.6, linestyle=(0, (1, 2)), zorder=0.5)


@theme.themed
def plot_tau(
    table: pd.DataFrame,
    *,
    tau: float | None = None,
    baseline: float | None = None,
    xlabel: str = "cut τ (component)",
    title: str | None = None,
    note: str | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """Accuracy against the cut between low and high, a row of panels for each band removed.

    table: module, band, tau, accuracy and, optionally, low, high (interval), control_low,
    control_mean, control_high; fractions. tau: the cut used elsewhere, marked by a dashed line.
    baseline: accuracy with nothing removed, marked by a dotted line.
    Returns the figure and the drawn table: panel and the columns above.
    Raises UserError when a column is missing or accuracy is no fraction.
    """
    table = drawable(table, ("module", "band", "tau", "accuracy"), "the sweep over tau")
    modules = theme.ordered_modules(table["module"]) or ["mlp"]
    bands = list(dict.fromkeys(table["band"])) or ["low"]
    figure, axes = frame.panels(len(bands), len(modules), height=1.75, sharex=True, sharey=True)

    # One panel for each band and module, with the lines that all panels share.
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    parts, any_control = [], False
    for band, row in zip(bands, axes, strict=True):
        for module, ax in zip(modules, row, strict=True):
            own = table[(table["module"] == module) & (table["band"] == band)]
            own = own.sort_values("tau", kind="stable")
            line = with_optional(own, ("low", "high", *CONTROLS))
            any_control |= _draw_cuts(ax, line, theme.MODULE_COLOURS.get(module, theme.INK))
            if tau is not None:
                ax.axvline(tau, color=theme.INK, linewidth=0.6, linestyle=(0, (3, 2)), zorder=0.5)
            _draw_baseline(ax, baseline)
            ax.set_title(filter_name(module, band))
            ax.set_ylim(-2, 104)
            frame.ticks(ax.xaxis, 5, whole=True)
            if not len(line):
                frame.empty(ax, "not measured")
            parts.append((next(letters), own))

    # Axes are named at the edges of the grid.
    for ax in axes[-1]:
        ax.set_xlabel(xlabel)
    for ax in axes[:, 0]:
        ax.set_ylabel("accuracy (%)")
    explain_marks(figure, control=any_control, reference=None)
    frame.finish(figure, title=title, note=note)
    return figure, frame.drawn(parts)


def _draw_layers(ax: Axes, table: pd.DataFrame, bands: list[str]) -> AxesImage:
    """Accuracy of one module as a cell for each band (row) and layer (column)."""
    require_unique(table, ("module", "band", "layer"), "the sweep over layers")

    # Every layer between the first and last has a cell; those without a value are grey.
    layers = np.arange(table["layer"].min(), table["layer"].max() + 1)
    cells = table.pivot(index="band", columns="layer", values="accuracy")
    values = 100 * cells.reindex(index=bands, columns=layers).to_numpy(float)
    image = ax.imshow(
        np.ma.masked_invalid(values),
        cmap=theme.accuracy_map(),
        vmin=0,
        vmax=100,
        aspect="auto",
        extent=(layers[0] - 0.5, layers[-1] + 0.5, len(bands) - 0.5, -0.5),
    )

    # Few layers leave room for the values.
    if len(layers) <= 8:
        for (place, j), value in np.ndenumerate(values):
            if np.isfinite(value):
                ax.text(
                    float(layers[j]),
                    place,
                    f"{value:.0f}",
                    ha="center",
                    va="center",
                    color="white" if value > 35 else theme.INK,
                    fontsize=theme.SMALL_SIZE,
                )
    return image


@theme.themed
def plot_layer_bands(
    table: pd.DataFrame,
    *,
    names: Mapping[str, str] | None = None,
    title: str | None = None,
    note: str | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """Accuracy when one band is removed at one layer, layer by band.

    table: module, band, layer, accuracy (fraction); bands in the table's order, first on top.
    names: band -> what its row is called.
    Returns the figure and the drawn table: panel, module, band, layer, accuracy.
    Raises UserError when a column is missing or accuracy is no fraction.
    """
    table = drawable(table, ("module", "band", "layer", "accuracy"), "the sweep over layers")
    modules = theme.ordered_modules(table["module"]) or ["mlp"]
    bands = list(dict.fromkeys(table["band"]))
    figure, axes = frame.panels(1, len(modules), height=0.85 + 0.28 * max(2, len(bands)))

    # One panel for each module; the bands are named at the left one alone.
    parts: list[tuple[str, pd.DataFrame]] = []
    image = None
    for i, (module, ax) in enumerate(zip(modules, axes[0], strict=True)):
        own = table[table["module"] == module][["module", "band", "layer", "accuracy"]]
        ax.set_title(theme.module_label(module))
        ax.set_xlabel("layer")
        parts.append(("abcdef"[i], own))
        if not len(own):
            frame.empty(ax, "not measured")
            continue
        image = _draw_layers(ax, own, bands)
        ax.set_yticks(range(len(bands)), [(names or {}).get(b, str(b)) for b in bands] if i == 0 else [])
        ax.tick_params(axis="y", length=0)
        frame.ticks(ax.xaxis, 8, whole=True)
        ax.spines[["left", "bottom"]].set_visible(False)

    # One colour bar for all panels: they have the same scale.
    if image is not None:
        bar = figure.colorbar(image, ax=list(axes[0]), label="accuracy (%)", aspect=15, pad=0.01)
        bar.outline.set_visible(False)
    frame.finish(figure, title=title, note=note)
    return figure, frame.drawn(parts)


def _draw_periods(ax: Axes, rows: pd.DataFrame, colour: str, baseline: float | None) -> bool:
    """Accuracy without each component: dots side by side where they are few, else over the components.

    Returns whether there was any control to draw.
    """
    few = len(rows) <= 16
    places = np.arange(len(rows)) if few else rows["component"].to_numpy()

    # Controls lie behind intervals, and these behind dots.
    controlled = draw_controls(ax, places, rows, half=0.36 if few else 0.5, horizontal=False)
    ax.vlines(places, 100 * rows["low"], 100 * rows["high"], color=colour, linewidth=0.9, zorder=3)
    ax.plot(
        places,
        100 * rows["accuracy"],
        "o",
        color=colour,
        markersize=3.5 if few else 2,
        zorder=4,
        clip_on=False,
    )
    _draw_baseline(ax, baseline)

    # Few components are named by their periods; many have axes of components and of periods.
    if few:
        labels = [theme.period_text(period) for period in rows["period"]]
        ax.set_xticks(places, labels, rotation=90 if len(labels) > 8 else 0)
        ax.set_xlim(-0.6, len(rows) - 0.4)
        ax.set_xlabel("period removed")
    else:
        ax.set_xlim(places.min() - 1, places.max() + 1)
        ax.set_xlabel("Fourier component removed")
        frame.ticks(ax.xaxis, 6, whole=True)
        period_axis(ax, base_period(rows))
    return controlled


@theme.themed
def plot_single_periods(
    table: pd.DataFrame,
    *,
    baseline: float | None = None,
    title: str | None = None,
    note: str | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """Accuracy when one Fourier component alone is removed, a panel for each module.

    table: module, component, period, accuracy and, optionally, low, high (interval), control_low,
    control_mean, control_high; fractions. Up to 16 periods stand side by side, longest first; more
    are drawn over the components. baseline: accuracy with nothing removed, a dotted line.
    Returns the figure and the drawn table: panel and the columns above.
    Raises UserError when a column is missing or accuracy is no fraction.
    """
    table = drawable(table, ("module", "component", "period", "accuracy"), "the single periods")
    modules = theme.ordered_modules(table["module"]) or ["mlp"]
    figure, axes = frame.panels(1, len(modules), height=2.3, sharey=True)
    parts, any_control = [], False
    for i, (module, ax) in enumerate(zip(modules, axes[0], strict=True)):
        own = table[table["module"] == module].sort_values("component", kind="stable")
        parts.append(("abcdef"[i], own))
        ax.set_title(theme.module_label(module))
        ax.set_ylim(-2, 104)
        if not len(own):
            frame.empty(ax, "no component was removed")
            continue
        rows = with_optional(own, ("low", "high", *CONTROLS))
        any_control |= _draw_periods(ax, rows, theme.MODULE_COLOURS.get(module, theme.INK), baseline)
    axes[0, 0].set_ylabel("accuracy (%)")
    explain_marks(figure, control=any_control, reference=None)
    frame.finish(figure, title=title, note=note)
    return figure, frame.drawn(parts)
