"""Accuracy during and after training, arm by arm (figure 7b)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fourier_addition.plots import frame, theme
from fourier_addition.plots.columns import require, require_fractions
from fourier_addition.training.history import best_epoch

_DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)), (0, (6, 1, 1, 1, 1, 1)))


def histories_of_arms(
    histories: Iterable[pd.DataFrame], instances: Sequence[tuple[str, int]], labels: Mapping[str, str]
) -> pd.DataFrame:
    """Histories end to end, with the column `arm`: what the figure calls the run.

    histories: one table a run and seed. instances: (run, seed) of each. labels: run -> label.
    """
    arms = [labels[run] for run, _ in instances]
    return pd.concat(
        (table.assign(arm=arm) for table, arm in zip(histories, arms, strict=True)), ignore_index=True
    )


def draw_training(
    ax: Axes, table: pd.DataFrame, *, names: Mapping[str, str] | None, colours: Mapping[str, str] | None
) -> pd.DataFrame:
    """Draw a mean line and band for each arm; see `plot_training`. Returns what is drawn."""
    require(table, ("arm", "seed", "epoch", "accuracy"), "the training curves")
    require_fractions(table, ["accuracy"], "the training curves")

    # Mean over seeds, and one standard deviation on either side.
    curves = table.groupby(["arm", "epoch"], sort=False, as_index=False).agg(
        mean=("accuracy", "mean"), deviation=("accuracy", "std"), seeds=("seed", "nunique")
    )
    # One seed has no deviation: its band is left out rather than drawn with no width.
    curves["low"] = (curves["mean"] - curves["deviation"]).clip(0, 1)
    curves["high"] = (curves["mean"] + curves["deviation"]).clip(0, 1)

    # A line and a band for each arm, told apart by colour and dash.
    arms = list(dict.fromkeys(curves["arm"]))
    shades = {**theme.colours(arms), **(colours or {})}
    for i, arm in enumerate(arms):
        line = curves[curves["arm"] == arm].sort_values("epoch", kind="stable")
        seeds = int(line["seeds"].max())
        name = (names or {}).get(arm, arm)
        ax.plot(
            line["epoch"],
            100 * line["mean"],
            color=shades[arm],
            linestyle=_DASHES[i % len(_DASHES)],
            label=f"{name} ({seeds} seed{'s' if seeds != 1 else ''}{_best_of(table[table['arm'] == arm])})",
        )
        ax.fill_between(
            line["epoch"], 100 * line["low"], 100 * line["high"], color=shades[arm], alpha=0.2, linewidth=0
        )

    # All of the possible accuracies are shown, so that arms of different figures compare.
    ax.set(xlabel="epoch", ylabel="accuracy (%)", ylim=(0, 102))
    ax.margins(x=0.02)
    frame.ticks(ax.xaxis, 6, whole=True)
    if not arms:
        frame.empty(ax, "no training history to show")
    return curves


def _best_of(histories: pd.DataFrame) -> str:
    """At which epochs the seeds of an arm had their smallest validation loss, where one was not the last."""
    if "validation_loss" not in histories:
        return ""
    seeds = [history for _, history in histories.groupby("seed", sort=False)]
    best = [epoch for epoch in map(best_epoch, seeds) if epoch is not None]
    if not best or all(epoch == history["epoch"].max() for epoch, history in zip(best, seeds, strict=False)):
        return ""
    low, high = min(best), max(best)
    return f", smallest loss at epoch{f' {low}' if low == high else f's {low} to {high}'}"


@theme.themed
def plot_training(
    table: pd.DataFrame,
    *,
    names: Mapping[str, str] | None = None,
    colours: Mapping[str, str] | None = None,
    ylabel: str = "validation accuracy (%)",
    title: str | None = None,
    note: str | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """Accuracy by epoch for each arm: mean over seeds and one standard deviation (figure 7b).

    table: arm, seed, epoch, accuracy (fraction), and, where the legend is to say when it was smallest,
    validation_loss (nats). names: arm -> what the legend calls it.
    colours: arm -> colour, before those of the theme.
    Returns the figure and the drawn table: panel, arm, epoch, mean, deviation (over seeds, empty
    for one seed), seeds, low, high (fractions, kept within 0..1).
    Raises UserError when a column is missing or accuracy is no fraction.
    """
    figure, axes = frame.panels(1, 1, height=2.2)
    curves = draw_training(axes[0, 0], table, names=names, colours=colours)
    axes[0, 0].set_ylabel(ylabel)
    frame.legend_below(figure, axes[0, 0].get_legend_handles_labels()[0])
    frame.finish(figure, title=title, note=note)
    return figure, frame.drawn([("a", curves)])


@theme.themed
def plot_final_accuracy(
    table: pd.DataFrame,
    *,
    names: Mapping[str, str] | None = None,
    colours: Mapping[str, str] | None = None,
    xlabel: str = "accuracy (%)",
    title: str | None = None,
    note: str | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """Accuracy after training: a dot with its interval for each seed, the mean of each arm.

    table: arm, seed, accuracy, low, high (fractions; the interval of each seed's accuracy).
    names, colours: as in `plot_training`.
    Returns the figure and the drawn table: panel, arm, seed, accuracy, low, high, mean (of the arm).
    Raises UserError when a column is missing or holds no fractions.
    """
    columns = ["arm", "seed", "accuracy", "low", "high"]
    require(table, columns, "the final accuracies")
    require_fractions(table, columns[2:], "the final accuracies")

    # The mean of an arm is that of its seeds' accuracies.
    shown = table[columns].copy()
    shown["mean"] = shown.groupby("arm")["accuracy"].transform("mean")
    arms = list(dict.fromkeys(shown["arm"]))
    shades = {**theme.colours(arms), **(colours or {})}
    height = 0.65 + 0.3 * max(1, len(arms))
    figure, axes = frame.panels(1, 1, height=height, width=theme.DOUBLE_WIDTH)
    ax = axes[0, 0]

    # A row for each arm: its mean as an upright line, its seeds beside one another with their intervals.
    for row, arm in enumerate(arms):
        seeds = shown[shown["arm"] == arm]
        step = min(0.16, 0.6 / max(1, len(seeds)))
        places = [row + step * (i - (len(seeds) - 1) / 2) for i in range(len(seeds))]
        ax.plot([100 * seeds["mean"].iloc[0]] * 2, [row - 0.38, row + 0.38], color=shades[arm], linewidth=0.8)
        ax.hlines(places, 100 * seeds["low"], 100 * seeds["high"], color=shades[arm], linewidth=0.8)
        ax.plot(100 * seeds["accuracy"], places, "o", color=shades[arm], markersize=3, clip_on=False)

    # Arms from top to bottom.
    ax.set_yticks(range(len(arms)), [(names or {}).get(arm, arm) for arm in arms])
    ax.tick_params(axis="y", length=0)
    ax.set(xlabel=xlabel, xlim=(-1, 101), ylim=(max(1, len(arms)) - 0.5, -0.5))
    if not arms:
        frame.empty(ax, "no trained model to show")
    frame.legend_below(figure, _keys_of_arms())
    frame.finish(figure, title=title, note=note)
    return figure, frame.drawn([("a", shown)])


def _keys_of_arms() -> list[Line2D]:
    """What a dot, a level line and an upright line of any arm stand for."""
    grey: dict[str, Any] = {"color": theme.GREY, "linewidth": 0.8}
    return [
        Line2D([], [], marker="o", markersize=3, label="one seed, 95 % interval", **grey),
        Line2D([], [], marker="|", markersize=9, linestyle="", label="mean of the seeds", color=theme.GREY),
    ]
