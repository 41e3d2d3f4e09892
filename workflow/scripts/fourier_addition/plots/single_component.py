"""What is predicted when every module keeps one Fourier component only (figure 11)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from fourier_addition.errors import UserError
from fourier_addition.plots import frame, theme
from fourier_addition.plots.columns import require
from fourier_addition.plots.facts import check_facts, write_facts

COLUMNS = ("kept_period", "answer", "prediction", "count")


def _same_period(periods: pd.Series | float, period: float) -> np.ndarray:
    """Which periods are this one, allowing for a configuration that writes 3.33 for 10/3."""
    same: np.ndarray = np.isclose(np.asarray(periods, float), period, rtol=2e-3)
    return same


def draw_predictions(
    ax: Axes, table: pd.DataFrame, facts: pd.DataFrame, *, size: int, colours: ScalarMappable
) -> pd.DataFrame:
    """Draw predictions against answers for one kept period. Returns what is drawn."""
    shown = table[list(COLUMNS)].sort_values(["count", "answer", "prediction"], kind="stable")

    # The same scale for all panels, with the line on which predictions are right.
    margin = 0.02 * size
    ax.set(xlabel="answer", ylabel="prediction", xlim=(-margin, size - 1 + margin))
    # Room for the facts above the largest number.
    ax.set_ylim(-margin, (size - 1) * (1.04 + 0.10 * len(facts)))
    ax.plot([0, size - 1], [0, size - 1], color=theme.CONTROL, linewidth=0.8, zorder=1)
    frame.ticks(ax.xaxis, 6, whole=True)
    ax.set_yticks([tick for tick in ax.get_xticks() if 0 <= tick < size])

    # A square for each pair of answer and prediction.
    if not len(shown):
        frame.empty(ax, "no prediction to show")
    else:
        # The most frequent last, so that they are not hidden.
        ax.scatter(
            shown["answer"],
            shown["prediction"],
            s=max(1.2, min(9.0, 900 / size)),
            c=shown["count"],
            cmap=colours.get_cmap(),
            norm=cast("Normalize", colours.norm),
            marker="s",
            linewidths=0,
            zorder=2,
        )
    write_facts(ax, facts, left=True, clear=False)
    return shown.sort_values(["answer", "prediction"], kind="stable")


@theme.themed
def plot_single_component(
    table: pd.DataFrame,
    *,
    size: int,
    facts: pd.DataFrame | None = None,
    periods: Sequence[float] | None = None,
    title: str | None = None,
    note: str | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """Prediction against answer when one component is kept at every module (figure 11).

    table: kept_period, answer, prediction, count (examples). size: p, the numbers 0..p-1.
    facts: label (the kept period), name, value (fraction): written into the panel of that period,
    for example the agreement in parity for period 2. periods: the panels, in order; those of the
    table when None.
    Returns the figure and the drawn table: panel, kept_period, answer, prediction, count, and a row
    for each written fact with columns fact and value.
    Raises UserError when a column is missing.
    """
    require(table, COLUMNS, "the single components")
    facts = check_facts(facts, "the facts about single components")

    # A fact is written into the panel of its period, so its label must be one.
    about = pd.to_numeric(facts["label"], errors="coerce")
    if about.isna().any():
        wrong = facts.loc[about.isna(), "label"].iloc[0]
        raise UserError(f"The label of a fact about single components must be a period, not '{wrong}'.")

    # Two panels beside each other, one for each period.
    wanted = list(dict.fromkeys(table["kept_period"])) if periods is None else list(periods)
    columns = min(2, max(1, len(wanted)))
    rows = max(1, -(-len(wanted) // columns))
    figure, axes = frame.panels(rows, columns, height=2.7)

    # One scale of colours for all panels: logarithmic where counts reach far.
    counts = table.loc[[any(_same_period(p, w) for w in wanted) for p in table["kept_period"]], "count"]
    largest = int(counts.max()) if len(counts) else 1
    blues = theme.count_map()
    norm = LogNorm(1, largest) if largest > 20 else Normalize(1, max(2, largest))
    colours = ScalarMappable(norm, blues)

    # The drawn table has the facts too: they are read in the figure.
    parts = []
    for letter, ax, period in zip("abcdefghijklmnop", axes.flat, wanted, strict=False):
        own = facts[_same_period(about, period)]
        rows_shown = table[_same_period(table["kept_period"], period)]
        shown = draw_predictions(ax, rows_shown, own, size=size, colours=colours)
        ax.set_title(f"only T={theme.period_text(period)} kept")
        written = pd.DataFrame({"fact": own["name"], "value": own["value"]})
        parts.append((letter, pd.concat([shown, written], ignore_index=True).assign(kept_period=period)))
    for ax in axes.flat[len(wanted) :]:
        if wanted:
            ax.remove()
        else:
            frame.empty(ax, "no single component was kept")

    # Counts are whole numbers, and so are the ticks of their bar.
    if len(counts):
        bar = figure.colorbar(
            colours, ax=list(axes.flat[: len(wanted)]), label="examples", aspect=30, pad=0.01
        )
        bar.outline.set_visible(False)
        if isinstance(norm, Normalize) and not isinstance(norm, LogNorm):
            bar.set_ticks(np.unique(np.linspace(1, max(2, largest), 5).round().astype(int)).tolist())
    frame.finish(figure, title=title, note=note)
    return figure, frame.drawn(parts)
