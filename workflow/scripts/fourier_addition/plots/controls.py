"""What the plots of filters share: the columns they draw, and controls that remove as much at random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from fourier_addition.plots import frame, theme
from fourier_addition.plots.columns import require, require_fractions

CONTROLS = ("control_low", "control_mean", "control_high")
CONTROL_NAME = "random directions, same rank"


def filter_name(module: str, band: str | float) -> str:
    """A row of table 1 in words: `low from MLP`, or `nothing removed`. band: nan where none is removed."""
    if module == "none" or pd.isna(band) or str(band) in ("none", "-", ""):
        return "nothing removed"
    return f"{band} from {theme.module_label(module)}"


def drawable(table: pd.DataFrame, columns: Sequence[str], what: str) -> pd.DataFrame:
    """The columns that a plot of filters can draw, and no others.

    columns: those that the plot needs. what: the figure, as a refusal names it.
    Raises UserError when a needed column is missing or an accuracy is no fraction.
    """
    require(table, columns, what)
    optional = [name for name in ("low", "high", *CONTROLS, "reference") if name in table.columns]
    require_fractions(table, ["accuracy", *optional], what)
    return table[[*columns, *optional]]


def with_optional(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The table with every optional column, empty where it had none."""
    return table.assign(**{name: np.nan for name in columns if name not in table.columns})


def draw_controls(
    ax: Axes, places: Sequence[float] | np.ndarray, rows: pd.DataFrame, *, half: float, horizontal: bool
) -> bool:
    """A grey band at each place for the spread of its control, and a line at its mean.

    places: one for each row, along y when `horizontal`. half: half the width of a band.
    Returns whether there was any control to draw.
    """
    # Only rows whose control was measured have a band.
    known = rows["control_low"].notna().to_numpy() & rows["control_high"].notna().to_numpy()
    at = np.asarray(places, float)[known]
    low, mean, high = (100 * rows.loc[known, name].to_numpy(float) for name in CONTROLS)

    # Controls that all agree have no width; the band must still be seen.
    pad = np.maximum(0.0, 1.0 - (high - low)) / 2
    low, high = low - pad, high + pad

    # Corners of the bands as (band, corner, xy), swapped where the places run along y.
    corners = np.stack([[at - half, low], [at + half, low], [at + half, high], [at - half, high]])
    corners = corners.transpose(2, 0, 1)
    if horizontal:
        corners = corners[..., ::-1]
    ax.add_collection(
        PolyCollection(list(corners), facecolors=theme.CONTROL, edgecolors="none", label="control")
    )
    lines = ax.vlines if horizontal else ax.hlines
    lines(mean, at - half, at + half, color=theme.FAINT, linewidth=0.7)
    return bool(known.any())


def explain_marks(figure: frame.PaperFigure, *, control: bool, reference: str | None) -> None:
    """Explain dots, control bands and hollow marks in the legend under the panels.

    control: whether any band was drawn. reference: what the hollow marks are; None for no such mark.
    """
    dot = Line2D(
        [], [], color=theme.INK, marker="o", markersize=3.5, linewidth=0.9, label="accuracy and interval"
    )
    handles: list[Artist] = [dot]
    if control:
        handles.append(Patch(color=theme.CONTROL, label=CONTROL_NAME))
    if reference:
        hollow = Line2D(
            [],
            [],
            color=theme.INK,
            marker="D",
            markersize=4,
            markerfacecolor="white",
            linewidth=0,
            label=reference,
        )
        handles.append(hollow)
    frame.legend_below(figure, handles)
