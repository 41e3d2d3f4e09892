"""What filters do to accuracy, beside controls of the same rank (table 1 and its sweeps)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from fourier_addition.plots import theme
from fourier_addition.plots.labels import period_axis
from fourier_addition.plots.panels import base_period

CONTROLS = ("control_low", "control_mean", "control_high")
CONTROL_NAME = "random directions, same rank"


def filter_name(module: str, band: object) -> str:
    """A row of table 1 in words: `low from MLP`, or `nothing removed`."""
    if module == "none" or pd.isna(band) or str(band) in ("none", "-", ""):
        return "nothing removed"
    return f"{band} from {theme.module_label(module)}"


def _with_optional(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The table with every optional column, empty where it had none."""
    return table.assign(**{name: np.nan for name in columns if name not in table.columns})


def _draw_controls(
    ax: Axes, places: Sequence[float], rows: pd.DataFrame, *, half: float, horizontal: bool
) -> bool:
    """A grey band at each place for the spread of its control, and a line at its mean.

    places: one for each row, along y when `horizontal`. half: half the width of a band.
    Returns whether there was any control to draw.
    """
    known = rows["control_low"].notna().to_numpy() & rows["control_high"].notna().to_numpy()
    at = np.asarray(places, float)[known]
    low, mean, high = (100 * rows.loc[known, name].to_numpy(float) for name in CONTROLS)
    # Controls that all agree have no width; the band must still be seen.
    pad = np.maximum(0.0, 1.0 - (high - low)) / 2
    low, high = low - pad, high + pad
    corners = np.stack([[at - half, low], [at + half, low], [at + half, high], [at - half, high]])
    corners = corners.transpose(2, 0, 1)
    if horizontal:
        corners = corners[..., ::-1]
    ax.add_collection(PolyCollection(corners, facecolors=theme.CONTROL, edgecolors="none", label="control"))
    lines = ax.vlines if horizontal else ax.hlines
    lines(mean, at - half, at + half, color=theme.FAINT, linewidth=0.7)
    return bool(known.any())


def _legend(figure: theme.PaperFigure, *, control: bool, reference: str | None) -> None:
    handles: list[Artist] = [
        Line2D(
            [], [], color=theme.INK, marker="o", markersize=3.5, linewidth=0.9, label="accuracy and interval"
        )
    ]
    if control:
        handles.append(Patch(color=theme.CONTROL, label=CONTROL_NAME))
    if reference:
        handles.append(
            Line2D(
                [],
                [],
                color=theme.INK,
                marker="D",
                markersize=4,
                markerfacecolor="white",
                linewidth=0,
                label=reference,
            )
        )
    theme.legend_below(figure, handles)


def draw_filters(ax: Axes, table: pd.DataFrame, *, values: bool) -> pd.DataFrame:
    """Draw one dot a row, its interval and control; see `plot_table1`. Returns what is drawn."""
    shown = _with_optional(table, ("low", "high", *CONTROLS, "reference"))
    shown = shown.assign(
        row=[filter_name(m, r) for m, r in shown[["module", "band"]].itertuples(index=False)]
    )
    _draw_controls(ax, range(len(shown)), shown, half=0.36, horizontal=True)
    for place, (_, row) in enumerate(shown.iterrows()):
        colour = theme.MODULE_COLOURS.get(row["module"], theme.INK)
        if pd.notna(row["low"]):
            ax.plot([100 * row["low"], 100 * row["high"]], [place] * 2, color=colour, linewidth=1.0, zorder=3)
        if pd.notna(row["reference"]):
            ax.plot(
                100 * row["reference"],
                place,
                "D",
                color=colour,
                markersize=4,
                markerfacecolor="white",
                markeredgewidth=0.8,
                zorder=3.5,
                clip_on=False,
            )
        ax.plot(100 * row["accuracy"], place, "o", color=colour, markersize=4, zorder=4, clip_on=False)
        if values:
            ax.annotate(
                f"{100 * row['accuracy']:.1f}",
                (1, place),
                (24, 0),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                ha="right",
                va="center",
                fontsize=theme.SMALL_SIZE,
                annotation_clip=False,
            )
    base = shown[shown["row"] == "nothing removed"]
    if len(base):
        ax.axvline(
            100 * base["accuracy"].iloc[0], color=theme.FAINT, linewidth=0.6, linestyle=(0, (1, 2)), zorder=0
        )
    ax.set_yticks(range(len(shown)), shown["row"])
    ax.tick_params(axis="y", length=0)
    ax.set(xlabel="accuracy (%)", xlim=(-2, 102), ylim=(max(1, len(shown)) - 0.4, -0.6))
    ax.set_xticks([0, 25, 50, 75, 100])
    if not len(shown):
        theme.empty(ax, "no filter was applied")
    shown = shown.drop(columns="row")
    return shown.dropna(axis="columns", how="all") if len(shown) else table


@theme.themed
def plot_table1(
    table: pd.DataFrame,
    *,
    reference: str | None = None,
    title: str | None = None,
    note: str | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """Table 1 as dots: accuracy under each filter, its interval, and the controls of equal rank.

    table: module, band, accuracy and, optionally, low, high (interval), control_low,
    control_mean, control_high, reference (an accuracy from elsewhere, drawn hollow); fractions.
    Rows are drawn in the table's order. reference: what the hollow marks are, for the legend.
    Returns the figure and the drawn table: panel and the columns above that hold anything.
    Raises UserError when a column is missing or accuracy is no fraction.
    """
    table = _check(table, ("module", "band", "accuracy"), "table 1")
    figure, axes = theme.panels(1, 1, height=0.95 + 0.22 * max(3, len(table)))
    ax = axes[0, 0]
    shown = draw_filters(ax, table, values=True)
    hollow = reference if "reference" in shown.columns and len(shown) else None
    _legend(figure, control="control_low" in shown.columns, reference=hollow)
    theme.finish(figure, title=title, note=note)
    return figure, theme.drawn([("a", shown)])


@theme.themed
def plot_digit_ranges(
    table: pd.DataFrame,
    *,
    names: Mapping[str, str] | None = None,
    title: str | None = None,
    note: str | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """Table 1 for each range of operands, side by side.

    table: digit_range and the columns of `plot_table1`; panels in the table's order, three beside
    each other at most. names: digit_range -> panel title.
    Returns the figure and the drawn table: panel, digit_range, the columns above.
    Raises UserError when a column is missing or accuracy is no fraction.
    """
    table = _check(table, ("digit_range", "module", "band", "accuracy"), "the digit ranges")
    ranges = list(dict.fromkeys(table["digit_range"]))
    columns = min(3, max(1, len(ranges)))
    rows = max(1, -(-len(ranges) // columns))
    most = int(table.groupby("digit_range").size().max()) if len(table) else 3
    figure, axes = theme.panels(rows, columns, height=0.9 + 0.21 * max(3, most))
    parts = []
    for i, (digits, ax) in enumerate(zip(ranges, axes.flat, strict=False)):
        drawn = draw_filters(ax, table[table["digit_range"] == digits], values=True)
        ax.set_title((names or {}).get(digits, digits))
        if i % columns:
            ax.set_yticklabels([])
        parts.append(("abcdefghijklmnop"[i], drawn))
    if not ranges:
        theme.empty(axes[0, 0], "no digit range was measured")
    for ax in axes.flat[len(ranges) or 1 :]:
        ax.remove()
    tidy = theme.drawn(parts)
    _legend(figure, control="control_low" in tidy.columns, reference=None)
    theme.finish(figure, title=title, note=note)
    return figure, tidy


@theme.themed
def plot_tau(
    table: pd.DataFrame,
    *,
    tau: float | None = None,
    baseline: float | None = None,
    xlabel: str = "cut τ (component)",
    title: str | None = None,
    note: str | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """Accuracy against the cut between low and high, a row of panels for each band removed.

    table: module, band, tau, accuracy and, optionally, low, high (interval), control_low,
    control_mean, control_high; fractions. tau: the cut used elsewhere, marked by a dashed line.
    baseline: accuracy with nothing removed, marked by a dotted line.
    Returns the figure and the drawn table: panel and the columns above.
    Raises UserError when a column is missing or accuracy is no fraction.
    """
    table = _check(table, ("module", "band", "tau", "accuracy"), "the sweep over tau")
    modules = theme.ordered_modules(table["module"]) or ["mlp"]
    bands = list(dict.fromkeys(table["band"])) or ["low"]
    figure, axes = theme.panels(len(bands), len(modules), height=1.75, sharex=True, sharey=True)
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    parts, any_control = [], False
    for band, row in zip(bands, axes, strict=True):
        for module, ax in zip(modules, row, strict=True):
            own = table[(table["module"] == module) & (table["band"] == band)].sort_values(
                "tau", kind="stable"
            )
            line = _with_optional(own, ("low", "high", *CONTROLS))
            colour = theme.MODULE_COLOURS.get(module, theme.INK)
            if line["control_low"].notna().any():
                any_control = True
                ax.fill_between(
                    line["tau"],
                    100 * line["control_low"],
                    100 * line["control_high"],
                    color=theme.CONTROL,
                    linewidth=0,
                )
                ax.plot(line["tau"], 100 * line["control_mean"], color=theme.FAINT, linewidth=0.7)
            if line["low"].notna().any():
                ax.vlines(line["tau"], 100 * line["low"], 100 * line["high"], color=colour, linewidth=0.8)
            ax.plot(line["tau"], 100 * line["accuracy"], color=colour, marker="o", markersize=2.5)
            if tau is not None:
                ax.axvline(tau, color=theme.INK, linewidth=0.6, linestyle=(0, (3, 2)), zorder=0.5)
            if baseline is not None:
                ax.axhline(
                    100 * baseline, color=theme.FAINT, linewidth=0.6, linestyle=(0, (1, 2)), zorder=0.5
                )
            ax.set_title(filter_name(module, band))
            ax.set_ylim(-2, 104)
            theme.ticks(ax.xaxis, 5, whole=True)
            if not len(line):
                theme.empty(ax, "not measured")
            parts.append((next(letters), own))
    for ax in axes[-1]:
        ax.set_xlabel(xlabel)
    for ax in axes[:, 0]:
        ax.set_ylabel("accuracy (%)")
    _legend(figure, control=any_control, reference=None)
    theme.finish(figure, title=title, note=note)
    return figure, theme.drawn(parts)


@theme.themed
def plot_layer_bands(
    table: pd.DataFrame,
    *,
    names: Mapping[str, str] | None = None,
    title: str | None = None,
    note: str | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """Accuracy when one band is removed at one layer, layer by band.

    table: module, band, layer, accuracy (fraction); bands in the table's order, first on top.
    names: band -> what its row is called.
    Returns the figure and the drawn table: panel, module, band, layer, accuracy.
    Raises UserError when a column is missing or accuracy is no fraction.
    """
    table = _check(table, ("module", "band", "layer", "accuracy"), "the sweep over layers")
    modules = theme.ordered_modules(table["module"]) or ["mlp"]
    bands = list(dict.fromkeys(table["band"]))
    figure, axes = theme.panels(1, len(modules), height=0.85 + 0.28 * max(2, len(bands)))
    parts, image = [], None
    for i, (module, ax) in enumerate(zip(modules, axes[0], strict=True)):
        own = table[table["module"] == module][["module", "band", "layer", "accuracy"]]
        ax.set_title(theme.module_label(module))
        ax.set_xlabel("layer")
        parts.append(("abcdef"[i], own))
        if not len(own):
            theme.empty(ax, "not measured")
            continue
        theme.require_unique(own, ("module", "band", "layer"), "the sweep over layers")
        layers = np.arange(own["layer"].min(), own["layer"].max() + 1)
        cells = own.pivot(index="band", columns="layer", values="accuracy").reindex(
            index=bands, columns=layers
        )
        values = 100 * cells.to_numpy(float)
        colours = theme.accuracy_map()
        image = ax.imshow(
            np.ma.masked_invalid(values),
            cmap=colours,
            vmin=0,
            vmax=100,
            aspect="auto",
            extent=(layers[0] - 0.5, layers[-1] + 0.5, len(bands) - 0.5, -0.5),
        )
        if len(layers) <= 8:
            for (place, j), value in np.ndenumerate(values):
                if np.isfinite(value):
                    ink = "white" if value > 35 else theme.INK
                    ax.text(
                        layers[j],
                        place,
                        f"{value:.0f}",
                        ha="center",
                        va="center",
                        color=ink,
                        fontsize=theme.SMALL_SIZE,
                    )
        ax.set_yticks(range(len(bands)), [(names or {}).get(b, str(b)) for b in bands] if i == 0 else [])
        ax.tick_params(axis="y", length=0)
        theme.ticks(ax.xaxis, 8, whole=True)
        ax.spines[["left", "bottom"]].set_visible(False)
    if image is not None:
        bar = figure.colorbar(image, ax=list(axes[0]), label="accuracy (%)", aspect=15, pad=0.01)
        bar.outline.set_visible(False)
    theme.finish(figure, title=title, note=note)
    return figure, theme.drawn(parts)


@theme.themed
def plot_single_periods(
    table: pd.DataFrame,
    *,
    baseline: float | None = None,
    title: str | None = None,
    note: str | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """Accuracy when one Fourier component alone is removed, a panel for each module.

    table: module, component, period, accuracy and, optionally, low, high (interval), control_low,
    control_mean, control_high; fractions. Up to 16 periods stand side by side, longest first; more
    are drawn over the components. baseline: accuracy with nothing removed, a dotted line.
    Returns the figure and the drawn table: panel and the columns above.
    Raises UserError when a column is missing or accuracy is no fraction.
    """
    table = _check(table, ("module", "component", "period", "accuracy"), "the single periods")
    modules = theme.ordered_modules(table["module"]) or ["mlp"]
    figure, axes = theme.panels(1, len(modules), height=2.3, sharey=True)
    parts, any_control = [], False
    for i, (module, ax) in enumerate(zip(modules, axes[0], strict=True)):
        own = table[table["module"] == module].sort_values("component", kind="stable")
        shown = _with_optional(own, ("low", "high", *CONTROLS))
        colour = theme.MODULE_COLOURS.get(module, theme.INK)
        parts.append(("abcdef"[i], own))
        ax.set_title(theme.module_label(module))
        ax.set_ylim(-2, 104)
        if not len(own):
            theme.empty(ax, "no component was removed")
            continue
        few = len(shown) <= 16
        places = np.arange(len(shown)) if few else shown["component"].to_numpy()
        any_control |= _draw_controls(ax, places, shown, half=0.36 if few else 0.5, horizontal=False)
        ax.vlines(places, 100 * shown["low"], 100 * shown["high"], color=colour, linewidth=0.9, zorder=3)
        ax.plot(
            places,
            100 * shown["accuracy"],
            "o",
            color=colour,
            markersize=3.5 if few else 2,
            zorder=4,
            clip_on=False,
        )
        if baseline is not None:
            ax.axhline(100 * baseline, color=theme.FAINT, linewidth=0.6, linestyle=(0, (1, 2)), zorder=0.5)
        if few:
            labels = [theme.period_text(period) for period in shown["period"]]
            ax.set_xticks(places, labels, rotation=90 if len(labels) > 8 else 0)
            ax.set_xlim(-0.6, len(shown) - 0.4)
            ax.set_xlabel("period removed")
        else:
            ax.set_xlim(places.min() - 1, places.max() + 1)
            ax.set_xlabel("Fourier component removed")
            theme.ticks(ax.xaxis, 6, whole=True)
            period_axis(ax, base_period(shown))
    axes[0, 0].set_ylabel("accuracy (%)")
    _legend(figure, control=any_control, reference=None)
    theme.finish(figure, title=title, note=note)
    return figure, theme.drawn(parts)


def _check(table: pd.DataFrame, columns: Sequence[str], what: str) -> pd.DataFrame:
    """The columns that a figure can draw, and no others; UserError when one that it needs is not there."""
    theme.require(table, columns, what)
    optional = [name for name in ("low", "high", *CONTROLS, "reference") if name in table.columns]
    theme.require_fractions(table, ["accuracy", *optional], what)
    return table[[*columns, *optional]]
