"""Logits of module outputs by layer and number, around the answer (figures 1b, 1c, 17, 22)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from fourier_addition.plots import frame, theme
from fourier_addition.plots.columns import require, require_unique
from fourier_addition.plots.panels import last_layers, window_rows

COLUMNS = ("module", "layer", "number", "logit")


def _number_ticks(answer: int, low: int, high: int) -> list[int]:
    """Ticks at round distances from the answer, itself among them."""
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200) if (high - low) / step <= 8)
    return [n for n in range(answer - step * 200, answer + step * 200 + 1, step) if low <= n <= high]


def draw_heatmap(ax: Axes, table: pd.DataFrame, *, answer: int, limit: float) -> AxesImage | None:
    """Draw one module's logits into one panel, white at 0 and darkest at +-limit."""
    if not len(table):
        frame.empty(ax, "no layer to show")
        return None

    # Every layer and number between the first and last has a cell; those without a value are grey.
    layers = np.arange(table["layer"].min(), table["layer"].max() + 1)
    numbers = np.arange(table["number"].min(), table["number"].max() + 1)
    table = table.pivot(index="number", columns="layer", values="logit")
    cells = table.reindex(index=numbers, columns=layers).to_numpy(float)
    image = ax.imshow(
        np.ma.masked_invalid(cells),
        cmap=theme.logit_map(),
        norm=Normalize(-limit, limit),
        origin="lower",
        aspect="auto",
        extent=(layers[0] - 0.5, layers[-1] + 0.5, numbers[0] - 0.5, numbers[-1] + 0.5),
    )

    # The answer's row is framed, and its number written in bold.
    for edge in (answer - 0.5, answer + 0.5):
        ax.axhline(edge, color=theme.INK, linewidth=0.6)
    ax.set_yticks(_number_ticks(answer, numbers[0], numbers[-1]))
    for tick in ax.get_yticklabels():
        tick.set_fontweight("bold" if tick.get_text() == str(answer) else "normal")
    ax.set(xlabel="layer", ylabel="number")
    frame.ticks(ax.xaxis, 8, whole=True)
    ax.spines[["top", "right"]].set_visible(True)
    return image


def draw_heatmaps(
    figure: Figure,
    axes: Sequence[Axes],
    table: pd.DataFrame,
    *,
    answer: int,
    window: int | None,
    layers: int | Sequence[int] | None,
    shared_scale: bool,
    modules: Sequence[str],
) -> list[pd.DataFrame]:
    """Draw one panel a module with colourbars; see `plot_logit_heatmaps`. Returns what each draws."""
    require(table, COLUMNS, "the logit heatmaps")
    require_unique(table, ("module", "layer", "number"), "the logit heatmaps")
    own = window_rows(table[list(COLUMNS)], answer=answer, window=window)
    own = last_layers(own[own["module"].isin(modules)], layers)
    parts = []

    # Colours reach as far as the largest logit of the panel, or of all panels.
    for i, (module, ax) in enumerate(zip(modules, axes, strict=True)):
        rows = own[own["module"] == module].sort_values(["layer", "number"], kind="stable")
        scale = own if shared_scale else rows
        limit = float(scale["logit"].abs().max()) if len(scale) else 1.0
        image = draw_heatmap(ax, rows, answer=answer, limit=limit or 1.0)
        ax.set_title(theme.module_label(module))
        parts.append(rows.assign(answer=answer))

        # A colour bar for each scale.
        if image is not None and (not shared_scale or i == len(modules) - 1):
            where = list(axes) if shared_scale else ax
            bar = figure.colorbar(image, ax=where, label="logit", aspect=30, pad=0.02)
            bar.outline.set_visible(False)
            bar.locator = MaxNLocator(6)
            bar.update_ticks()
    return parts


@theme.themed
def plot_logit_heatmaps(
    table: pd.DataFrame,
    *,
    answer: int,
    window: int | None = 20,
    layers: int | Sequence[int] | None = None,
    shared_scale: bool = False,
    modules: Sequence[str] = ("mlp", "attention"),
    title: str | None = None,
    note: str | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """Logits of MLP and attention outputs of one example, layer by number (figures 1b, 1c, 17, 22).

    table: module, layer, number, logit of one example. answer: the right number, its row framed.
    window: numbers shown on either side of the answer; all when None. layers: the last so many, or
    a list; all when None. shared_scale: one colour scale for both modules, or one each.
    Returns the figure and the drawn table: panel, module, layer, number, logit, answer.
    Raises UserError when a column is missing.
    """
    figure, axes = frame.panels(1, len(modules), height=2.5)
    parts = draw_heatmaps(
        figure,
        list(axes[0]),
        table,
        answer=answer,
        window=window,
        layers=layers,
        shared_scale=shared_scale,
        modules=modules,
    )
    frame.finish(figure, title=title, note=note)
    return figure, frame.drawn(zip("abcdefgh", parts, strict=False))
