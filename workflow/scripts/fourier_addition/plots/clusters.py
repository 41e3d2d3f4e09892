"""Number embeddings in the plane, coloured by cluster (figure 5b)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fourier_addition.plots import frame, theme
from fourier_addition.plots.columns import require
from fourier_addition.plots.labels import label_points

COLUMNS = ("number", "x", "y", "cluster")
_PALETTE = (
    theme.BLUE,
    theme.ORANGE,
    theme.GREEN,
    theme.RED,
    theme.PURPLE,
    theme.BROWN,
    theme.PINK,
    theme.GREY,
    "#b8a800",
    theme.SKY,
)
# A shape with each colour: ten colours alone are more than every reader can tell apart.
_SHAPES = "osD^vP<X>p"


def draw_clusters(ax: Axes, table: pd.DataFrame, *, label_every: int) -> pd.DataFrame:
    """Draw the numbers into one panel; see `plot_clusters`. Returns what is drawn.

    Its column `labelled` is filled when the labels find their place, in `frame.finish`.
    """
    require(table, COLUMNS, "the clusters")
    shown = table[list(COLUMNS)].sort_values("number", kind="stable").reset_index(drop=True)
    shown["labelled"] = False
    if not len(shown):
        frame.empty(ax, "no number to show")
        return shown

    # A colour and a shape for each cluster; the multiples of `label_every` are larger and framed.
    tens = shown["number"] % label_every == 0
    for i, (_, members) in enumerate(shown.groupby("cluster")):
        colour, shape = _PALETTE[i % len(_PALETTE)], _SHAPES[i % len(_SHAPES)]
        for marked in (False, True):
            some = members[tens[members.index] == marked]
            ax.scatter(
                some["x"],
                some["y"],
                s=14 if marked else 9,
                marker=shape,
                color=colour,
                alpha=1.0 if marked else 0.8,
                edgecolors=theme.INK if marked else "none",
                linewidths=0.6,
                zorder=3 if marked else 2,
            )

    # t-SNE's coordinates have no unit and no origin: no ticks.
    ax.set(xlabel="t-SNE 1", ylabel="t-SNE 2", xticks=[], yticks=[])
    ax.margins(0.06)

    # Labels, as many as there is room for. Multiples come first, so that they keep their place; then the
    # others, spread over the range.
    order = [*np.flatnonzero(tens), *sorted(np.flatnonzero(~tens), key=lambda n: (n * 7) % 10 * 10_000 + n)]

    def note_written(written: list[bool]) -> None:
        shown.loc[order, "labelled"] = written

    label_points(
        ax,
        shown.loc[order, "x"].to_numpy(),
        shown.loc[order, "y"].to_numpy(),
        [str(number) for number in shown.loc[order, "number"]],
        size=5.0,
        colours=[theme.INK if tens[i] else "#666666" for i in order],
        weights=["bold" if tens[i] else "normal" for i in order],
        drawn=note_written,
    )
    return shown


@theme.themed
def plot_clusters(
    table: pd.DataFrame,
    *,
    label_every: int = 10,
    title: str | None = None,
    note: str | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """Number embeddings in two dimensions, a colour and shape for each cluster (figure 5b).

    table: number, x, y (t-SNE coordinates, without unit), cluster.
    label_every: multiples of it are framed and labelled in bold, as room allows; other numbers are
    labelled where there is room left.
    Returns the figure and the drawn table: panel, number, x, y, cluster, labelled (bool).
    Raises UserError when a column is missing.
    """
    figure, axes = frame.panels(1, 1, height=3.2)
    shown = draw_clusters(axes[0, 0], table, label_every=label_every)
    frame.finish(figure, title=title, note=note)
    return figure, frame.drawn([("a", shown)])
