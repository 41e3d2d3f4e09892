"""Progress measures by epoch: losses with and without the key periods, and when the periods appear."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import StrMethodFormatter

from fourier_addition.plots import frame, theme
from fourier_addition.plots.columns import require

LOSSES = ("name", "epoch", "split", "periods", "loss", "accuracy", "restricted_loss", "excluded_loss")
SPECTRA = ("name", "epoch", "source", "periods", "period", "prominence")
_LOSSES = {
    "loss": (theme.INK, "loss"),
    "restricted_loss": (theme.BLUE, "restricted loss"),
    "excluded_loss": (theme.RED, "excluded loss"),
}
_SOURCES = ("embedding", "attention", "mlp", "final")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SHADES = (theme.BLUE, theme.ORANGE, theme.GREEN, theme.RED, theme.PURPLE, theme.BROWN, theme.PINK, theme.SKY)
_MARKERS = "os^Dv<>p"
MOST_HIGH, PAGE = 1.45, 8.0
"""Inches of the highest row of panels, and of all rows."""


def _draw_losses(ax: Axes, table: pd.DataFrame, split: str) -> None:
    """Three losses by epoch; those of the control periods are dotted."""
    for name, (colour, _) in _LOSSES.items():
        for band, dash in (("key", "-"), ("control", ":")):
            if name == "loss" and band == "control":
                continue
            line = table[(table["split"] == split) & (table["periods"] == band)].sort_values("epoch")
            mark = "o" if band == "key" else None
            ax.plot(line["epoch"], line[name], color=colour, linestyle=dash, marker=mark, markersize=2)
    frame.ticks(ax.xaxis, 6, whole=True)


def _draw_spectra(ax: Axes, table: pd.DataFrame, looks: Mapping[str, tuple[str, str]]) -> None:
    """Prominence of each key period by epoch, over the range of the control periods."""
    controls = table[table["periods"] == "control"].groupby("epoch")["prominence"].agg(["min", "max"])
    ax.fill_between(controls.index, controls["min"], controls["max"], color=theme.CONTROL, linewidth=0)
    for period, line in table[table["periods"] == "key"].groupby("period"):
        colour, marker = looks[theme.period_text(float(str(period)))]
        line = line.sort_values("epoch")
        ax.plot(line["epoch"], line["prominence"], color=colour, marker=marker, markersize=2.5)
    frame.ticks(ax.xaxis, 6, whole=True)


def _share_scales(axes: np.ndarray) -> None:
    """One scale for all losses and one for all prominences, so that rows and panels compare."""
    for column in (axes[:, :1], axes[:, 1:]):
        first, *others = column.flat
        for ax in others:
            ax.sharey(first)
    for ax in axes[:, 2:].flat:
        ax.tick_params(labelleft=False)
    for ax in axes[:, 1:].flat:
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ax.axhline(1, color=theme.FAINT, linewidth=0.5, linestyle=(0, (1, 2)), zorder=0)


@theme.themed
def plot_progress(
    losses: pd.DataFrame,
    spectra: pd.DataFrame,
    *,
    names: Mapping[str, str] | None = None,
    title: str | None = None,
    note: str | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """Progress measures: a row of panels for each run, losses first, then the periods' prominence.

    losses: name (of the run), epoch, split, periods (key or control), loss, accuracy, restricted_loss,
    excluded_loss (nats). spectra: name, epoch, source (embedding, attention, mlp, final), periods, period,
    prominence. names: name -> label. The split that is not the training split is drawn. Returns the
    figure and the drawn table. Raises UserError when a column is missing.
    """
    require(losses, LOSSES, "the progress measures")
    require(spectra, SPECTRA, "the progress measures")
    runs = list(dict.fromkeys(losses["name"]))
    split = next((each for each in dict.fromkeys(losses["split"]) if each != "train"), "train")
    sources = [each for each in _SOURCES if each in set(spectra["source"])]
    key = sorted(set(spectra.loc[spectra["periods"] == "key", "period"]), reverse=True)
    looks = {
        theme.period_text(period): (_SHADES[i % len(_SHADES)], _MARKERS[i % len(_MARKERS)])
        for i, period in enumerate(key)
    }
    figure, axes = frame.panels(
        len(runs), 1 + len(sources), height=min(MOST_HIGH, PAGE / len(runs)), sharex=True
    )
    _share_scales(axes)
    parts: list[tuple[str, pd.DataFrame]] = []

    for row, run in enumerate(runs):
        # Losses on the split that is held out.
        own = losses[losses["name"] == run]
        _draw_losses(axes[row, 0], own, split)
        label = textwrap.fill((names or {}).get(run, run), 18)
        axes[row, 0].set_ylabel(f"{label}\nloss (nats)")
        drawn = own.loc[own["split"] == split, list(LOSSES)]
        parts.append((_LETTERS[len(parts) % len(_LETTERS)], drawn))

        # One panel for each place where the periods may appear.
        for ax, source in zip(axes[row, 1:], sources, strict=True):
            shown = spectra.loc[(spectra["name"] == run) & (spectra["source"] == source), list(SPECTRA)]
            _draw_spectra(ax, shown, looks)
            parts.append((_LETTERS[len(parts) % len(_LETTERS)], shown))
        axes[row, 1].set_ylabel("prominence")
    for ax, name in zip(axes[0], ("loss", *sources), strict=True):
        ax.set_title({"final": "logits"}.get(name, theme.module_label(name)))
    for ax in axes[-1]:
        ax.set_xlabel("epoch")

    # Losses and periods have the same looks in every row.
    handles = [Line2D([], [], color=colour, marker="o", label=label) for colour, label in _LOSSES.values()]
    handles.append(Line2D([], [], color=theme.FAINT, linestyle=":", label="same, control periods"))
    handles += [
        Line2D([], [], color=colour, marker=marker, label=f"period {period}")
        for period, (colour, marker) in looks.items()
    ]
    frame.legend_below(figure, [*handles, Patch(color=theme.CONTROL, label="range of the control periods")])
    frame.finish(figure, title=title, note=note)
    return figure, frame.drawn(parts)
