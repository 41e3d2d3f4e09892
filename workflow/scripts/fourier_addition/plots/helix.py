"""Helices in the residual stream: how much they explain by layer, and what patching them in does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from fourier_addition.plots import frame, theme
from fourier_addition.plots.columns import require

FITS = ("name", "layer", "variable", "part", "dimension", "held_out", "null_low", "null_high", "pca")
PATCHES = (
    *("name", "layer", "kind", "dimension", "examples", "logit_difference", "low", "high"),
    *("accuracy", "accuracy_low", "accuracy_high"),
)
_SHADES = (theme.ORANGE, theme.GREEN, theme.RED, theme.PURPLE, theme.BROWN, theme.PINK, theme.SKY)
_VARIABLES = {"a": "first operand", "b": "second operand", "answer": "answer"}
_KINDS: dict[str, tuple[str, Literal["-", "--", ":", "-."], str]] = {
    "state": (theme.INK, "-", "the source's state"),
    "pca": (theme.GREY, "--", "its principal components"),
    "helix": (theme.BLUE, "-", "helix"),
    "circles": (theme.GREEN, "-", "circles alone"),
    "linear": (theme.ORANGE, "-", "line alone"),
    "shuffled": (theme.FAINT, ":", "helix of shuffled numbers"),
    "mean": (theme.FAINT, "-.", "mean of the template"),
}
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _shade_of(part: str, parts: list[str]) -> str:
    """Colour of a part of the helix; the whole one is blue in every figure."""
    others = [each for each in parts if each != "helix"]
    colour: str = theme.BLUE if part == "helix" else _SHADES[others.index(part) % len(_SHADES)]
    return colour


def _draw_fits(ax: Axes, table: pd.DataFrame, parts: list[str]) -> None:
    """Held-out fractions of one variable by layer: a line for each part over the whole helix's null."""
    whole = table[table["part"] == "helix"].sort_values("layer", kind="stable")
    ax.fill_between(whole["layer"], whole["null_low"], whole["null_high"], color=theme.CONTROL, linewidth=0)
    ax.plot(whole["layer"], whole["pca"], color=theme.INK, linestyle="--")
    for part in reversed(parts):
        line = table[table["part"] == part].sort_values("layer", kind="stable")
        width = 1.6 if part == "helix" else 0.9
        ax.plot(line["layer"], line["held_out"], color=_shade_of(part, parts), linewidth=width, marker="o")


@theme.themed
def plot_helix(
    table: pd.DataFrame,
    *,
    names: Mapping[str, str] | None = None,
    title: str | None = None,
    note: str | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """Fraction of the variance of residual states that helices explain, by layer.

    table: name (of the run), layer (0 is the embedding), variable (a, b, answer), part (of the helix),
    dimension, held_out, null_low, null_high (band of shuffled numbers), pca (as many principal
    components). A row of panels for each run, a column for each variable. names: name -> label.
    Returns the figure and the drawn table. Raises UserError when a column is missing.
    """
    require(table, FITS, "the helices")
    shown = table[list(FITS)]
    runs, variables = list(dict.fromkeys(shown["name"])), list(dict.fromkeys(shown["variable"]))
    parts = list(dict.fromkeys(shown["part"]))
    figure, axes = frame.panels(len(runs), len(variables), height=1.9, sharey=True)
    # Worse than the mean is below 0, and a panel does not show how far.
    bottom = max(-0.2, min(-0.05, float(shown[["held_out", "null_low"]].min().min()) - 0.02))
    drawn: list[tuple[str, pd.DataFrame]] = []
    for row, run in enumerate(runs):
        for column, variable in enumerate(variables):
            ax = axes[row, column]
            own = shown[(shown["name"] == run) & (shown["variable"] == variable)]
            _draw_fits(ax, own, parts)
            ax.set_title(f"{(names or {}).get(run, run)}: {_VARIABLES.get(variable, variable)}")
            ax.set_ylim(bottom, 1.03)
            ax.set_xlabel("layer (0 = embedding)")
            frame.ticks(ax.xaxis, 6, whole=True)
            drawn.append((_LETTERS[len(drawn) % len(_LETTERS)], own))
        axes[row, 0].set_ylabel("held-out variance")

    handles: list[Artist] = [
        Line2D([], [], color=_shade_of(part, parts), marker="o", label=part) for part in parts
    ]
    handles.append(Line2D([], [], color=theme.INK, linestyle="--", label="PCA, dimension of the helix"))
    handles.append(Patch(color=theme.CONTROL, label="helix of shuffled numbers"))
    frame.legend_below(figure, handles)
    frame.finish(figure, title=title, note=note)
    return figure, frame.drawn(drawn)


@theme.themed
def plot_patches(
    table: pd.DataFrame,
    *,
    names: Mapping[str, str] | None = None,
    title: str | None = None,
    note: str | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """Logit difference and accuracy after a state was replaced, by layer.

    table: name (of the run), layer, kind (what was put in), dimension, examples, logit_difference, low,
    high (nats), accuracy (share that gives the source's answer), accuracy_low, accuracy_high. A row of
    panels for each run. names: name -> label. Returns the figure and the drawn table.
    Raises UserError when a column is missing.
    """
    require(table, PATCHES, "the patched helices")
    shown = table[list(PATCHES)]
    runs = list(dict.fromkeys(shown["name"]))
    figure, axes = frame.panels(len(runs), 2, height=2.1)
    drawn: list[tuple[str, pd.DataFrame]] = []
    for row, run in enumerate(runs):
        own = shown[shown["name"] == run]
        for ax, value, low, high, scale in (
            (axes[row, 0], "logit_difference", "low", "high", 1),
            (axes[row, 1], "accuracy", "accuracy_low", "accuracy_high", 100),
        ):
            for kind, (colour, dash, _) in _KINDS.items():
                line = own[own["kind"] == kind].sort_values("layer", kind="stable")
                ax.plot(line["layer"], scale * line[value], color=colour, linestyle=dash, marker="o")
                ax.fill_between(
                    line["layer"],
                    scale * line[low],
                    scale * line[high],
                    color=colour,
                    alpha=0.15,
                    linewidth=0,
                )
            ax.set_title((names or {}).get(run, run))
            ax.set_xlabel("layer (0 = embedding)")
            frame.ticks(ax.xaxis, 6, whole=True)
        axes[row, 0].set_ylabel("logit difference (nats)")
        axes[row, 1].set_ylabel("source's answer (%)")
        axes[row, 1].set_ylim(-2, 102)
        drawn += [(_LETTERS[(2 * row + i) % len(_LETTERS)], own) for i in range(2)]

    frame.legend_below(
        figure,
        [
            Line2D([], [], color=colour, linestyle=dash, marker="o", label=label)
            for colour, dash, label in _KINDS.values()
        ],
    )
    frame.finish(figure, title=title, note=note)
    return figure, frame.drawn(drawn)
