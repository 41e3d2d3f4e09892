"""Linear probes of the number modulo T, beside probes of shuffled numbers."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from fourier_addition.plots import frame, theme
from fourier_addition.plots.columns import require

COLUMNS = ("name", "layer", "modulus", "kappa", "null_low", "null_high")
_PALETTE = (
    theme.BLUE,
    theme.ORANGE,
    theme.GREEN,
    theme.RED,
    theme.PURPLE,
    theme.BROWN,
    theme.PINK,
    theme.SKY,
)
_MARKERS = "os^Dv<>p"


Looks = dict[int, tuple[str, str]]
"""Modulus -> colour and marker."""


def _looks(moduli: list[int]) -> Looks:
    return {m: (_PALETTE[i % len(_PALETTE)], _MARKERS[i % len(_MARKERS)]) for i, m in enumerate(moduli)}


def _draw_layers(ax: Axes, table: pd.DataFrame, looks: Looks) -> None:
    """Kappa of one name by layer, a curve for each modulus over the band of its shuffled numbers."""
    for i, (modulus, (colour, marker)) in enumerate(looks.items()):
        line = table[table["modulus"] == modulus].sort_values("layer", kind="stable")
        ax.fill_between(line["layer"], line["null_low"], line["null_high"], color=theme.CONTROL, linewidth=0)
        ax.plot(
            line["layer"],
            line["kappa"],
            color=colour,
            marker=marker,
            # Of different sizes, so that curves on top of one another are still seen.
            markersize=4.6 - min(2.4, 0.8 * i),
            markevery=max(1, len(line) // 12),
            zorder=3,
        )
    ax.set_xlabel("layer (0 = embedding)")
    frame.ticks(ax.xaxis, 6, whole=True)


def _draw_rows(ax: Axes, table: pd.DataFrame, looks: Looks, names: list[str]) -> None:
    """Kappa of every name in a row of its own, the moduli one below the other over their bands."""
    step = min(0.26, 0.78 / len(looks))
    for place, name in enumerate(names):
        own = table[table["name"] == name]
        for i, (modulus, (colour, marker)) in enumerate(looks.items()):
            y = place + step * (i - (len(looks) - 1) / 2)
            for _, row in own[own["modulus"] == modulus].iterrows():
                ax.plot(
                    [row["null_low"], row["null_high"]],
                    [y, y],
                    color=theme.CONTROL,
                    linewidth=4,
                    solid_capstyle="butt",
                )
                ax.plot(row["kappa"], y, marker, color=colour, markersize=3.5, zorder=3, clip_on=False)


def _plot_by_layer(
    shown: pd.DataFrame, looks: Looks, names: Mapping[str, str], bottom: float
) -> tuple[frame.PaperFigure, list[tuple[str, pd.DataFrame]]]:
    """A panel for each name, kappa against layers. Returns the figure and what each panel draws.

    names: name -> panel title, in the panels' order. bottom: the lowest kappa of the axes.
    """
    columns = len(names) if len(names) < 4 else 2 if len(names) == 4 else 3
    figure, axes = frame.panels(-(-len(names) // columns), columns, height=2.1, sharey=True)
    parts = []
    for i, (ax, (name, title)) in enumerate(zip(axes.flat, names.items(), strict=False)):
        own = shown[shown["name"] == name]
        _draw_layers(ax, own, looks)
        ax.set_title(title)
        ax.set_ylim(bottom, 1.03)
        if i % columns == 0:
            ax.set_ylabel("Cohen's kappa")
        parts.append(("abcdefghijklmnop"[i], own))
    for ax in axes.flat[len(names) :]:
        ax.remove()
    return figure, parts


def _plot_by_name(
    shown: pd.DataFrame, looks: Looks, names: Mapping[str, str], bottom: float
) -> tuple[frame.PaperFigure, list[tuple[str, pd.DataFrame]]]:
    """One panel with a row for each name; arguments and what is returned as in `_plot_by_layer`."""
    figure, axes = frame.panels(1, 1, height=0.85 + 0.42 * max(1, len(names)))
    ax = axes[0, 0]
    if len(shown):
        _draw_rows(ax, shown, looks, list(names))
    else:
        frame.empty(ax, "no probe was fitted")
    ax.set_yticks(range(len(names)), list(names.values()))
    ax.tick_params(axis="y", length=0)
    ax.set(xlabel="Cohen's kappa", xlim=(bottom, 1.03), ylim=(max(1, len(names)) - 0.5, -0.5))
    return figure, [("a", shown)]


@theme.themed
def plot_probes(
    table: pd.DataFrame,
    *,
    names: Mapping[str, str] | None = None,
    title: str | None = None,
    note: str | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """Cohen's kappa of probes of n mod T: by layer where there are several, else a row for each name.

    table: name (model, run or arm), layer (0 is the embedding), modulus T, kappa (1 is perfect, 0
    is chance), null_low, null_high (band from shuffled numbers). names: name -> what it is called.
    Returns the figure and the drawn table: panel, the columns above.
    Raises UserError when a column is missing.
    """
    require(table, COLUMNS, "the probes")
    shown = table[list(COLUMNS)]
    titles = {name: (names or {}).get(name, name) for name in shown["name"]}
    looks = _looks(sorted(set(shown["modulus"])))

    # Kappa of chance is 0 and may come out below: the axes go down to the lowest value.
    bottom = min(-0.1, float(shown[["kappa", "null_low"]].min().min()) - 0.03) if len(shown) else -0.1
    by_layer = bool(len(shown)) and shown.groupby("name")["layer"].nunique().max() > 1
    figure, parts = (_plot_by_layer if by_layer else _plot_by_name)(shown, looks, titles, bottom)

    # Moduli have the same looks in every panel: the legend explains them once.
    handles: list[Artist] = [
        Line2D([], [], color=colour, marker=marker, linewidth=1 if by_layer else 0, label=f"n mod {modulus}")
        for modulus, (colour, marker) in looks.items()
    ]
    if handles:
        handles.append(Patch(color=theme.CONTROL, label="shuffled numbers"))
        frame.legend_below(figure, handles)
    frame.finish(figure, title=title, note=note)
    return figure, frame.drawn(parts)
