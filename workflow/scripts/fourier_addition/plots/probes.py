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


def _looks(moduli: list[int]) -> dict[int, tuple[str, str]]:
    return {m: (_PALETTE[i % len(_PALETTE)], _MARKERS[i % len(_MARKERS)]) for i, m in enumerate(moduli)}


def _draw_layers(ax: Axes, table: pd.DataFrame, looks: dict[int, tuple[str, str]]) -> None:
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


def _draw_rows(ax: Axes, table: pd.DataFrame, looks: dict[int, tuple[str, str]], names: list[str]) -> None:
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
    distinct = list(dict.fromkeys(shown["name"]))
    looks = _looks(sorted(set(shown["modulus"])))
    by_layer = bool(len(shown)) and shown.groupby("name")["layer"].nunique().max() > 1
    bottom = min(-0.1, float(shown[["kappa", "null_low"]].min().min()) - 0.03) if len(shown) else -0.1
    parts = []
    if by_layer:
        columns = len(distinct) if len(distinct) < 4 else 2 if len(distinct) == 4 else 3
        rows = -(-len(distinct) // columns)
        figure, axes = frame.panels(rows, columns, height=2.1, sharey=True)
        for i, (ax, name) in enumerate(zip(axes.flat, distinct, strict=False)):
            own = shown[shown["name"] == name]
            _draw_layers(ax, own, looks)
            ax.set_title((names or {}).get(name, name))
            ax.set_ylim(bottom, 1.03)
            if i % columns == 0:
                ax.set_ylabel("Cohen's kappa")
            parts.append(("abcdefghijklmnop"[i], own))
        for ax in axes.flat[len(distinct) :]:
            ax.remove()
    else:
        figure, axes = frame.panels(1, 1, height=0.85 + 0.42 * max(1, len(distinct)))
        last = axes[0, 0]
        if len(shown):
            _draw_rows(last, shown, looks, distinct)
        else:
            frame.empty(last, "no probe was fitted")
        last.set_yticks(range(len(distinct)), [(names or {}).get(name, name) for name in distinct])
        last.tick_params(axis="y", length=0)
        last.set(xlabel="Cohen's kappa", xlim=(bottom, 1.03), ylim=(max(1, len(distinct)) - 0.5, -0.5))
        parts.append(("a", shown))
    handles: list[Artist] = [
        Line2D([], [], color=colour, marker=marker, linewidth=1 if by_layer else 0, label=f"n mod {modulus}")
        for modulus, (colour, marker) in looks.items()
    ]
    if handles:
        handles.append(Patch(color=theme.CONTROL, label="shuffled numbers"))
        frame.legend_below(figure, handles)
    frame.finish(figure, title=title, note=note)
    return figure, frame.drawn(parts)
