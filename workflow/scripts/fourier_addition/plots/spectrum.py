"""Spectra of module outputs over Fourier components (figures 2, 3, 6, 8, 9, 10, 16, 18, 19)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fourier_addition.errors import UserError
from fourier_addition.plots import frame, theme
from fourier_addition.plots.columns import flags, require, require_unique
from fourier_addition.plots.labels import label_peaks, period_axis
from fourier_addition.plots.panels import base_period, last_layers

COLUMNS = ("module", "layer", "component", "period", "magnitude", "prominence", "outlier")
OUTLIER_RULES = ("majority", "any")
NOTHING = "no component stands out from shuffled numbers"
ROOMY = 3
"""Most runs whose panels each have their own axes; the panels of more runs are low and share them."""


def _finish_axis(
    ax: Axes, table: pd.DataFrame, ylabel: str, *, periods: bool = True, components: bool = True
) -> None:
    """Limits and labels. periods, components: whether the axis above and the one below are written."""
    lowest, highest = table["component"].min(), table["component"].max()
    margin = 0.02 * (highest - lowest + 1)
    ax.set_xlim(lowest - margin, highest + margin)
    ax.set_ylim(0, 1.02 * table["magnitude"].max())
    ax.set(xlabel="Fourier component k" if components else "", ylabel=ylabel)
    ax.tick_params(labelbottom=components)
    frame.ticks(ax.xaxis, 6, whole=True)
    frame.ticks(ax.yaxis, 5 if periods and components else 3)
    if periods:
        period_axis(ax, base_period(table))


def draw_spectrum(
    ax: Axes, table: pd.DataFrame, *, top: int, tau: int, max_component: int | None = None, ylabel: str
) -> pd.DataFrame:
    """Draw one spectrum, its `top` largest components at or above `tau` marked and labelled.

    table: one module and layer. Returns what is drawn, with a column `labelled`.
    """
    require_unique(table, ("module", "layer", "component"), "the spectrum")

    # The largest of the high components are labelled.
    shown = table[list(COLUMNS)].sort_values("component", kind="stable")
    shown = shown.assign(outlier=flags(shown["outlier"]))
    if max_component is not None:
        shown = shown[shown["component"] <= max_component]
    high = shown[shown["component"] >= tau]
    largest = high.nlargest(top, "magnitude").index
    shown = shown.assign(labelled=shown.index.isin(largest))
    if not len(shown):
        frame.empty(ax, "no component to show")
        return shown

    # A line for each component; a dot on those that are labelled, hollow where shuffled numbers do as much.
    colour = theme.MODULE_COLOURS.get(shown["module"].iloc[0], theme.INK)
    ax.vlines(shown["component"], 0, shown["magnitude"], color=colour, linewidth=0.7)
    _finish_axis(ax, shown, ylabel)
    marked = shown[shown["labelled"]]
    for outlier, face in ((True, colour), (False, "white")):
        some = marked[marked["outlier"] == outlier]
        ax.plot(
            some["component"],
            some["magnitude"],
            "o",
            color=colour,
            markerfacecolor=face,
            markersize=3,
            markeredgewidth=0.7,
            label="stands out from shuffled numbers" if outlier else "does not stand out",
        )

    # Labels come last: they keep clear of all that is drawn.
    if not len(marked):
        frame.remark(ax, f"no component at or above k = {tau}")
    label_peaks(
        ax,
        marked["component"].to_numpy(),
        marked["magnitude"].to_numpy(),
        [f"T={theme.period_text(period)}" for period in marked["period"]],
        curve=(shown["component"].to_numpy(), shown["magnitude"].to_numpy()),
        size=6.5,
    )
    return shown


@theme.themed
def plot_spectrum(
    table: pd.DataFrame,
    *,
    panels: Sequence[tuple[str, int]],
    top: int = 10,
    tau: int,
    max_component: int | None = None,
    ylabel: str = "logit magnitude",
    title: str | None = None,
    note: str | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """Spectrum of single module outputs, the largest high components labelled (figure 2).

    table: module, layer, component, period, magnitude, prominence, outlier (bool).
    panels: the (module, layer) of each panel. top: how many components at or above `tau` are
    marked; filled where they stand out from shuffled numbers, hollow where they do not.
    max_component: leave out components above it.
    Returns the figure and the drawn table: panel, the columns above, labelled (bool).
    Raises UserError when a column is missing or a panel's module and layer are not in the table.
    """
    require(table, COLUMNS, "the spectrum")
    figure, axes = frame.panels(1, len(panels), height=2.35)
    parts = []
    for letter, ax, (module, layer) in zip("abcdefgh", axes[0], panels, strict=False):
        rows = table[(table["module"] == module) & (table["layer"] == layer)]
        if not len(rows):
            raise UserError(f"The table for the spectrum has no rows of {module}, layer {layer}.")
        ax.set_title(f"{theme.module_label(module)}, layer {layer}")
        drawn = draw_spectrum(ax, rows, top=top, tau=tau, max_component=max_component, ylabel=ylabel)
        parts.append((letter, drawn))

    # The note explains the dots and says how many are hollow.
    table = frame.drawn(parts)
    marked = table[table["labelled"]]
    hollow = int((~marked["outlier"]).sum())
    explanation = ""
    if len(marked):
        share = f"{hollow} of {len(marked)} marked components"
        explanation = f"Filled: stands out from shuffled numbers. Hollow ({share}): does not."
    frame.finish(figure, title=title, note="\n".join(filter(None, [explanation, note])))
    return figure, table


def _layer_colours(layers: Sequence[int]) -> tuple[ScalarMappable, list[int]]:
    """Colours for layers, in steps where there are few enough to tell apart; and the ticks."""
    distinct = sorted(set(layers))
    colours = theme.layer_map()
    if len(distinct) == 1:
        return ScalarMappable(Normalize(distinct[0] - 1, distinct[0] + 1), colours), distinct
    if len(distinct) <= 8:
        edges = [
            distinct[0] - 0.5,
            *[(a + b) / 2 for a, b in itertools.pairwise(distinct)],
            distinct[-1] + 0.5,
        ]
        # A map with as many colours as layers, so that the first and last take its ends.
        return ScalarMappable(BoundaryNorm(edges, len(distinct)), colours.resampled(len(distinct))), distinct
    step = max(1, round(len(distinct) / 6))
    return ScalarMappable(Normalize(distinct[0], distinct[-1]), colours), distinct[::-step][::-1]


def draw_mean_spectra(
    ax: Axes,
    table: pd.DataFrame,
    *,
    colours: ScalarMappable,
    outlier_rule: str,
    max_labels: int,
    ylabel: str,
    periods: bool = True,
    components: bool = True,
) -> pd.DataFrame:
    """Draw one line a layer and label the outliers with their periods; see `plot_mean_spectra`.

    table: one module. periods, components: whether the axis above and the one below are written.
    Returns what is drawn, with a column `labelled`.
    """
    require_unique(table, ("module", "layer", "component"), "the mean spectra")
    shown = table[list(COLUMNS)].sort_values(["layer", "component"], kind="stable")
    if not len(shown):
        frame.empty(ax, "no layer to show")
        return shown.assign(labelled=pd.Series(dtype=bool))

    # One line for each layer.
    shown = shown.assign(outlier=flags(shown["outlier"]))
    for layer, line in shown.groupby("layer"):
        ax.plot(line["component"], line["magnitude"], color=colours.to_rgba(np.asarray(layer)), linewidth=0.7)
    _finish_axis(ax, shown, ylabel, periods=periods, components=components)

    # A component is an outlier of the panel when the rule finds it in enough layers.
    found = shown.groupby("component").agg(
        share=("outlier", "mean"),
        prominence=("prominence", "max"),
        magnitude=("magnitude", "max"),
        period=("period", "first"),
    )
    found = found[found["share"] > 0.5] if outlier_rule == "majority" else found[found["share"] > 0]
    named = found.nlargest(max_labels, ["share", "prominence"])

    # Outliers are named by their period above the highest layer; those that find no room are counted.
    if not len(found):
        frame.remark(ax, "no component stands out\nfrom shuffled numbers")
    label_peaks(
        ax,
        named.index.to_numpy(),
        named["magnitude"].to_numpy(),
        [f"T={theme.period_text(period)}" for period in named["period"]],
        curve=(shown["component"].to_numpy(), shown["magnitude"].to_numpy()),
    )
    if len(found) > len(named):
        frame.remark(ax, f"and {len(found) - len(named)} more outliers")
    return shown.assign(labelled=shown["component"].isin(named.index))


@theme.themed
def plot_mean_spectra(
    table: pd.DataFrame,
    *,
    layers: int | Sequence[int] | None = None,
    max_component: int | None = None,
    outlier_rule: str = "majority",
    max_labels: int = 12,
    modules: Sequence[str] = ("mlp", "attention"),
    run_labels: Mapping[str, str] | None = None,
    ylabel: str = "mean logit magnitude",
    title: str | None = None,
    note: str | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """Spectra averaged over examples, one line a layer (figures 3, 6, 8, 9, 10, 16, 18, 19).

    table: module, layer, component, period, magnitude, prominence, outlier (bool) and, for one row
    of panels a run (figure 8), run.
    layers: the last so many layers, or a list; all when None. max_component: for figure 10, 50.
    outlier_rule: label a component that is an outlier in the `majority` of the layers shown, or in
    `any`. max_labels: at most so many a panel, the most prominent; the panel counts the others.
    run_labels: run -> what its row of panels is called.
    Returns the figure and the drawn table: panel, (run), the columns above, labelled (bool).
    Raises UserError when a column is missing or the rule is not known.
    """
    if outlier_rule not in OUTLIER_RULES:
        raise UserError(
            f"outlier_rule '{outlier_rule}' is not known; it is one of {', '.join(OUTLIER_RULES)}."
        )
    require(table, COLUMNS, "the mean spectra")
    if max_component is not None:
        table = table[table["component"] <= max_component]

    # A row of panels for each run, a panel for each module. Many rows are low, so that they fit on a page.
    runs = list(dict.fromkeys(table["run"])) if "run" in table.columns else [None]
    low = len(runs) > ROOMY
    figure, axes = frame.panels(len(runs), len(modules), height=1.4 if low else 2.25)
    parts, letters = [], iter("abcdefghijklmnopqrstuvwxyz")
    for place, (run, row) in enumerate(zip(runs, axes, strict=True)):
        own = last_layers(table if run is None else table[table["run"] == run], layers)
        if len(own):
            colours, ticks = _layer_colours(list(own["layer"]))

        # The panels of a row share their colours, so that a layer has one colour in both.
        for module, ax in zip(modules, row, strict=True):
            heading = theme.module_label(module)
            if run is not None:
                name = (run_labels or {}).get(run, run)
                heading = name if low else f"{heading}, {name}"
            ax.set_title(heading)
            drawn = draw_mean_spectra(
                ax,
                own[own["module"] == module],
                colours=colours if len(own) else ScalarMappable(),
                outlier_rule=outlier_rule,
                max_labels=max_labels,
                ylabel=f"{theme.module_label(module)}" if low else ylabel,
                periods=not low or place == 0,
                components=not low or place == len(runs) - 1,
            )
            parts.append((next(letters), drawn if run is None else drawn.assign(run=run)))

        # One bar explains the colours of the row, or those of all rows. A single layer needs none.
        if len(own) and not low and len(ticks) > 1:
            bar = figure.colorbar(colours, ax=list(row), label="layer", ticks=ticks, aspect=30, pad=0.01)
            bar.outline.set_visible(False)
            bar.minorticks_off()
    if low:
        _explain_rows(figure, axes, last_layers(table, layers), ylabel)
    frame.finish(figure, title=title, note=note)
    return figure, frame.drawn(parts)


def _explain_rows(figure: frame.PaperFigure, axes: np.ndarray, table: pd.DataFrame, ylabel: str) -> None:
    """Write once what the low panels of many runs share: the y axis and, by their legend, the layers."""
    figure.supylabel(ylabel, fontsize=theme.FONT_SIZE)
    if not len(table):
        return
    colours, ticks = _layer_colours(list(table["layer"]))
    shades: list[Any] = [colours.to_rgba(np.asarray(layer)) for layer in ticks]
    lines = [
        Line2D([], [], color=shade, label=f"layer {layer}")
        for layer, shade in zip(ticks, shades, strict=True)
    ]
    frame.legend_below(figure, lines)
