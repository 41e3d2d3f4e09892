"""Accuracy under every filter for every range of operands, run by run."""

from __future__ import annotations

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from fourier_addition.plots import frame, theme
from fourier_addition.plots.columns import require, require_fractions, require_unique


def _filter_label(module: str, band: str) -> str:
    return "nothing removed" if module == "none" else f"{theme.module_label(module)}: {band} removed"


@theme.themed
def plot_range_heatmap(
    table: pd.DataFrame, *, title: str | None = None, note: str | None = None
) -> tuple[Figure, pd.DataFrame]:
    """Accuracy by filter and range of operands, a panel for each run.

    table: run, digit_range, examples, module, band, accuracy (fraction); rows, columns and panels
    in the table's order. Returns the figure and the drawn table: panel and the columns above.
    Raises UserError when a column is missing or accuracy is no fraction.
    """
    columns = ("run", "digit_range", "examples", "module", "band", "accuracy")
    require(table, columns, "the sweep over digit ranges")
    require_fractions(table, ["accuracy"], "the sweep over digit ranges")
    require_unique(table, ("run", "digit_range", "module", "band"), "the sweep over digit ranges")

    # A panel for each run, with a row for each filter and a column for each range.
    runs = list(dict.fromkeys(table["run"]))
    figure, axes = frame.panels(1, len(runs), height=2.6)
    parts = []
    for i, (run, ax) in enumerate(zip(runs, axes[0], strict=True)):
        own = table[table["run"] == run].copy()
        own["filter"] = [_filter_label(m, r) for m, r in zip(own["module"], own["band"], strict=True)]
        own["column"] = [f"{r}\n(n = {n})" for r, n in zip(own["digit_range"], own["examples"], strict=True)]

        # Pivoting sorts; rows and columns come back in the table's order.
        cells = own.pivot(index="filter", columns="column", values="accuracy")
        cells = 100 * cells.loc[list(dict.fromkeys(own["filter"])), list(dict.fromkeys(own["column"]))]

        # All panels have one scale: the last carries the colour bar, the first the names of the filters.
        sns.heatmap(
            cells,
            ax=ax,
            cmap=theme.accuracy_map(),
            vmin=0,
            vmax=100,
            annot=True,
            fmt=".0f",
            annot_kws={"fontsize": theme.SMALL_SIZE},
            linewidths=0.5,
            cbar=i == len(runs) - 1,
            cbar_kws={"label": "accuracy (%)"},
            yticklabels="auto" if i == 0 else False,
        )
        ax.set_title(run)
        ax.set_xlabel("operands")
        ax.set_ylabel("")
        ax.tick_params(length=0)
        ax.tick_params(axis="x", labelrotation=0)
        parts.append(("abcdef"[i], own[list(columns)]))
    frame.finish(figure, title=title, note=note)
    return figure, frame.drawn(parts)
