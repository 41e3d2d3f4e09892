"""Heads and neurons: spectra head by head, how few units hold a band, activations against the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter, ScalarFormatter

from fourier_addition.plots import frame, theme
from fourier_addition.plots.columns import require, require_fractions, require_unique
from fourier_addition.plots.labels import period_axis
from fourier_addition.plots.panels import base_period, last_layers

BAND_STYLES: tuple[Literal["-", "--", ":", "-."], ...] = ("-", "--", ":", "-.")
SHORT = 8
"""A wave of a shorter period than so many numbers would be a zigzag, if answer were joined to answer."""
FOLDS = range(2, 11)
"""Spacings of answers that such a wave may be joined over."""
LONG_NAME = 20
"""Characters of the longest name of a neuron that is written in words."""
MOST_NAMES = 24
"""Rows of a heat map that can each have their name."""


def unit_name(layer: int, unit: int) -> str:
    """A head or neuron in a figure, `1.3`; all neurons of a layer together are `MLP 1`."""
    return f"MLP {layer}" if unit < 0 else f"{layer}.{unit}"


def _heat(ax: Axes, table: pd.DataFrame, column: str, label: str, top: float | None) -> None:
    """One heat map: a row for each head, then one for each layer's neurons together; components along x."""
    cells = table.pivot(index="row", columns="component", values=column)
    names = table.drop_duplicates("row").set_index("row").loc[cells.index]
    components = cells.columns.to_numpy()
    image = ax.imshow(
        np.ma.masked_invalid(cells.to_numpy(float)),
        cmap=theme.accuracy_map(),
        vmin=0,
        vmax=top,
        aspect="auto",
        extent=(components[0] - 0.5, components[-1] + 0.5, len(cells) - 0.5, -0.5),
    )

    # Every so many rows have their name.
    step = -(-len(cells) // MOST_NAMES)
    shown = names.iloc[::step]
    labels = [unit_name(int(row["layer"]), int(row["unit"])) for _, row in shown.iterrows()]
    ax.set_yticks(np.arange(len(cells))[::step], labels)
    ax.set(xlabel="Fourier component", ylabel="layer.head")
    frame.ticks(ax.xaxis, 6, whole=True)
    period_axis(ax, base_period(table))
    ax.tick_params(axis="y", length=0)
    bar = frame.figure_of(ax).colorbar(image, ax=ax, label=label, aspect=30, pad=0.02)
    bar.outline.set_visible(False)


@theme.themed
def plot_head_spectra(
    table: pd.DataFrame,
    *,
    layers: int | None = None,
    max_component: int | None = None,
    title: str | None = None,
    note: str | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """What every head writes, head by Fourier component, and how far it turns with the answer.

    table: module, layer, unit (-1 for all neurons of a layer), component, period, magnitude (logits),
    alignment (0..1, missing for neurons together). layers: the last so many; all when None.
    max_component: the largest component drawn.
    Returns the figure and the drawn table: panel and the columns above.
    Raises UserError when a column is missing or an alignment is no fraction.
    """
    columns = ["module", "layer", "unit", "component", "period", "magnitude", "alignment"]
    require(table, columns, "the spectra of heads")
    require_unique(table, ("module", "layer", "unit", "component"), "the spectra of heads")
    require_fractions(table, ["alignment"], "the spectra of heads")
    own = last_layers(table[columns], layers)
    if max_component is not None:
        own = own[own["component"] <= max_component]

    # Heads in the order of the model, then the neurons of each layer together
    places = own.drop_duplicates(["module", "layer", "unit"]).sort_values(["module", "layer", "unit"])
    row = {
        key: i for i, key in enumerate(zip(places["module"], places["layer"], places["unit"], strict=True))
    }
    keys = zip(own["module"], own["layer"], own["unit"], strict=True)
    own = own.assign(row=[row[key] for key in keys])

    # Magnitudes of all rows; alignment of the heads alone, as neurons together have none
    height = min(6.0, 1.2 + 0.11 * len(places))
    figure, axes = frame.panels(1, 2, height=height)
    heads = own[own["module"] == "attention"]
    _heat(axes[0, 0], own, "magnitude", "root mean square (logits)", None)
    axes[0, 0].set_title("magnitude")
    _heat(axes[0, 1], heads, "alignment", "share of the magnitude", 1.0)
    axes[0, 1].set_title("turns with the answer")
    frame.finish(figure, title=title, note=note)
    parts = [("a", own), ("b", heads)]
    return figure, frame.drawn((panel, part.drop(columns="row")) for panel, part in parts)


@theme.themed
def plot_concentration(
    table: pd.DataFrame,
    *,
    layers: int | None = None,
    title: str | None = None,
    note: str | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """How few units hold a band: share of the layer's power in the top n, a panel for each module.

    table: module, layer, band, rank, cumulative (fraction). layers: the last so many; all when None.
    Returns the figure and the drawn table: panel and the columns above.
    Raises UserError when a column is missing or a share is no fraction.
    """
    columns = ["module", "layer", "band", "rank", "cumulative"]
    require(table, columns, "the concentration of heads and neurons")
    require_fractions(table, ["cumulative"], "the concentration of heads and neurons")
    own = last_layers(table[columns], layers)
    modules, bands = theme.ordered_modules(own["module"]), list(dict.fromkeys(own["band"]))
    shown = sorted(own["layer"].unique())
    colours = _layer_colours(shown)
    figure, axes = frame.panels(1, len(modules), height=2.3, sharey=True)

    # A line for each layer and band
    parts = []
    for i, (module, ax) in enumerate(zip(modules, axes[0], strict=True)):
        rows = own[own["module"] == module]
        for key, line in rows.sort_values("rank").groupby(["layer", "band"], sort=False):
            layer, band = cast(tuple[int, str], key)
            style = BAND_STYLES[bands.index(band) % len(BAND_STYLES)]
            ax.plot(line["rank"], 100 * line["cumulative"], color=colours[layer], linestyle=style)
            if len(line) < 9:
                ax.plot(line["rank"], 100 * line["cumulative"], "o", color=colours[layer], markersize=2.5)
        ax.set(title=theme.module_label(module), ylim=(0, 104))
        log_counts(ax, int(rows["rank"].max()))
        ax.set_xlabel(f"top {'heads' if module == 'attention' else 'neurons'} of a layer")
        parts.append(("ab"[i], rows))
    axes[0, 0].set_ylabel("share of the band's power (%)")

    # What colours and dashes mean
    marks = [Line2D([], [], color=colours[layer], label=f"layer {layer}") for layer in _few(shown)]
    marks += [
        Line2D([], [], color=theme.INK, linestyle=BAND_STYLES[n % len(BAND_STYLES)], label=f"{band} band")
        for n, band in enumerate(bands)
    ]
    frame.legend_below(figure, marks)
    frame.finish(figure, title=title, note=note)
    return figure, frame.drawn(parts)


def _layer_colours(layers: Sequence[int]) -> dict[int, tuple[float, float, float, float]]:
    """A colour for each layer, dark is late."""
    shades = theme.layer_map()(np.linspace(0, 1, len(layers)))
    return {layer: tuple(shade) for layer, shade in zip(layers, shades, strict=True)}


def _few(layers: Sequence[int], most: int = 6) -> list[int]:
    """Some of many layers, the first and the last among them."""
    places = np.unique(np.linspace(0, len(layers) - 1, min(most, len(layers))).round().astype(int))
    return [layers[place] for place in places]


def log_counts(ax: Axes, most: int) -> None:
    """A logarithmic axis of counts from 1 to `most`, written as whole numbers."""
    ax.set_xscale("log", base=2)
    ax.set_xlim(0.85, most * 1.15)
    ticks = [2**power for power in range(0, 20, 1 if most < 32 else 2) if 2**power <= most]
    ax.set_xticks(ticks)
    ax.xaxis.set_major_formatter(ScalarFormatter())
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.minorticks_off()


@theme.themed
def plot_activations(
    table: pd.DataFrame,
    *,
    top: int = 4,
    title: str | None = None,
    note: str | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """Activations of the top neurons of each band against the answer, a row of panels for each band.

    table: band, rank, power, layer, unit, answer, examples, activation, fitted, period, r2; activations are
    means over the examples of an answer. top: neurons of a band, over all layers, those of the largest
    power in it.
    Returns the figure and the drawn table: panel and the columns above.
    Raises UserError when a column is missing or an R2 is no fraction.
    """
    columns = ["band", "rank", "power", "layer", "unit", "answer", "examples", "activation", "fitted"]
    columns += ["period", "r2"]
    require(table, columns, "the activations of neurons")
    require_fractions(table, ["r2"], "the activations of neurons")
    bands = list(dict.fromkeys(table["band"]))
    figure, axes = frame.panels(len(bands), top, height=1.6, sharex=True)
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    parts, spacings = [], set()
    for band, row in zip(bands, axes, strict=True):
        own = table.loc[table["band"] == band, columns]
        best = own.drop_duplicates(["layer", "unit"]).sort_values("power", ascending=False, kind="stable")
        for place, ax in enumerate(row):
            panel = next(letters)
            if place >= len(best):
                frame.empty(ax, "no more neurons")
                continue
            layer, unit = int(best["layer"].iloc[place]), int(best["unit"].iloc[place])
            neuron = own[(own["layer"] == layer) & (own["unit"] == unit)].sort_values("answer")
            words = f"layer {layer}, neuron {unit}"
            spacings.add(_draw_neuron(ax, neuron, words if len(words) <= LONG_NAME else f"{layer}.{unit}"))
            # The title has two lines, and the letter stands beside the first.
            figure.letters[ax].set_text(f"{figure.letters[ax].get_text()}\n")
            parts.append((panel, neuron))
        row[0].set_ylabel(f"{band} band\nmean activation")
    for ax in axes[-1]:
        ax.set_xlabel("answer")
    frame.legend_below(figure, _explained(2 in spacings))
    frame.finish(figure, title=title, note=note)
    return figure, frame.drawn(parts)


def _explained(parity: bool) -> list[Line2D]:
    """Entries of the legend. parity: whether even and odd answers are told apart in some panel."""
    looks = {"even answers": theme.BLUE, "odd answers": "white"} if parity else {"answers": theme.BLUE}
    dots = [
        Line2D(
            [],
            [],
            color=theme.BLUE,
            marker="o",
            markersize=3,
            markeredgewidth=0.6,
            markerfacecolor=face,
            linewidth=0,
            label=label,
        )
        for label, face in looks.items()
    ]
    waves = [Line2D([], [], color=theme.ORANGE, label="best wave in the answer")]
    if parity:
        waves.append(Line2D([], [], color=theme.ORANGE, linestyle="--", label="the same at odd answers"))
    return dots + waves


def _spacing(period: float) -> int:
    """Over how many answers a wave is joined, so that it is seen and not its zigzag: 1 for a long period."""
    if period >= SHORT:
        return 1
    return min(FOLDS, key=lambda fold: abs(fold / period - round(fold / period)) + 0.01 * fold)


def _draw_neuron(ax: Axes, neuron: pd.DataFrame, name: str) -> int:
    """One neuron's mean activation for each answer, with its best wave. Returns the spacing of the wave."""
    period, r2 = float(neuron["period"].iloc[0]), float(neuron["r2"].iloc[0])
    spacing = _spacing(period)
    for residue, own in neuron.groupby(neuron["answer"] % spacing):
        odd = spacing == 2 and residue == 1
        ax.plot(own["answer"], own["fitted"], "--" if odd else "-", color=theme.ORANGE, linewidth=0.9)
        ax.plot(
            own["answer"],
            own["activation"],
            "o",
            color=theme.BLUE,
            markersize=2,
            markeredgewidth=0.4,
            markerfacecolor="white" if odd else theme.BLUE,
        )
    ax.set_title(
        f"{name}\nperiod {theme.period_text(period)}, R² {r2:.2f}",
        loc="right",
        fontsize=theme.SMALL_SIZE,
        linespacing=1.1,
    )
    frame.ticks(ax.xaxis, 4, whole=True)
    frame.ticks(ax.yaxis, 4)
    return spacing
