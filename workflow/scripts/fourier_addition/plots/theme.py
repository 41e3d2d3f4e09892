"""The one look of every figure: sizes, fonts, colours, panel letters, notes, and saving.

Figures are built from `Figure` alone, never through pyplot, so no window system is asked
for, no figure stays open, and PNG always comes from Agg. The style is applied inside a
context, starting from matplotlib's own defaults: a user's matplotlibrc changes nothing.
"""

from __future__ import annotations

import contextlib
import functools
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ParamSpec, TypeVar

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.ticker import MaxNLocator

from fourier_addition.errors import UserError
from fourier_addition.files.whole import replacing, write_csv

SINGLE_WIDTH = 3.35
"""Width in inches of a figure with one column of panels (one text column)."""
DOUBLE_WIDTH = 6.9
"""Width in inches of a figure with two or more columns of panels (both text columns)."""
FONT_SIZE = 8.0
SMALL_SIZE = 7.0
NOTE_SIZE = 6.5
PNG_DPI = 200

_COLOURS = sns.color_palette("colorblind").as_hex()
BLUE, ORANGE, GREEN, RED, PURPLE, BROWN, PINK, GREY, YELLOW, SKY = _COLOURS
INK = "#222222"
FAINT = "#8c8c8c"
CONTROL = "#d0d0d0"
"""Grey of everything that a random control or a shuffled null would give."""

MODULE_ORDER = ("mlp", "attention", "both", "none")
MODULE_LABELS = {"mlp": "MLP", "attention": "attention", "both": "attention and MLP", "none": "none"}
MODULE_COLOURS = {"mlp": BLUE, "attention": ORANGE, "both": GREEN, "none": INK}
ARM_COLOURS = {
    "fine-tuned": BLUE,
    "from scratch": RED,
    "frozen pre-trained embedding": GREEN,
    "frozen random embedding": ORANGE,
    "frozen Fourier embedding": PURPLE,
}
"""Colours that the arms of training keep in every figure; others take the rest in turn."""


class PaperFigure(Figure):
    """A figure that remembers what `finish` is to do.

    after_layout: work that needs the final layout, such as placing labels.
    explained: what the legend under the panels explains.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.after_layout: list[Callable[[], None]] = []
        self.explained: list[Artist] = []


Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def _settings() -> dict[str, object]:
    return {
        **sns.plotting_context("paper"),
        **sns.axes_style("ticks"),
        "font.family": ["sans-serif"],
        # Shipped with matplotlib, so that a figure is the same on every machine.
        "font.sans-serif": ["DejaVu Sans"],
        "mathtext.fontset": "dejavusans",
        "font.size": FONT_SIZE,
        "axes.titlesize": FONT_SIZE,
        "axes.labelsize": FONT_SIZE,
        "figure.titlesize": FONT_SIZE,
        "xtick.labelsize": SMALL_SIZE,
        "ytick.labelsize": SMALL_SIZE,
        "legend.fontsize": SMALL_SIZE,
        "legend.title_fontsize": SMALL_SIZE,
        "legend.frameon": False,
        "legend.handlelength": 1.4,
        "legend.borderaxespad": 0.3,
        "legend.labelspacing": 0.3,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.linewidth": 0.6,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlepad": 4.0,
        "axes.labelpad": 2.5,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.major.size": 2.5,
        "ytick.major.size": 2.5,
        "xtick.minor.width": 0.4,
        "ytick.minor.width": 0.4,
        "xtick.minor.size": 1.5,
        "ytick.minor.size": 1.5,
        "xtick.major.pad": 2.0,
        "ytick.major.pad": 2.0,
        "lines.linewidth": 1.0,
        "lines.markersize": 3.0,
        "lines.solid_capstyle": "round",
        "patch.linewidth": 0.0,
        "pdf.fonttype": 42,
        "ps.fonttype": 42,
        "svg.fonttype": "none",
        "svg.hashsalt": "fourier-addition",
        "figure.dpi": 100,
        "savefig.dpi": PNG_DPI,
        "savefig.bbox": None,
        "image.interpolation": "nearest",
    }


@contextlib.contextmanager
def style() -> Iterator[None]:
    """The theme for a block of code; the user's own settings are back afterwards."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_settings())
        yield


def themed(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Decorator: run a plot function inside the theme."""

    @functools.wraps(function)
    def inside(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        with style():
            return function(*args, **kwargs)

    return inside


def layer_map() -> Colormap:
    """Sequential map for layers, dark is late; its lightest colour is still readable as a line."""
    return sns.color_palette("flare", as_cmap=True)


def accuracy_map() -> Colormap:
    """Sequential map for accuracies, light is low; cells without a value are grey."""
    return sns.color_palette("crest", as_cmap=True).with_extremes(bad=CONTROL)


def count_map() -> Colormap:
    """Sequential map for counts, light is few; even one must be seen on white."""
    return sns.color_palette("crest", as_cmap=True)


def logit_map() -> Colormap:
    """Diverging map for logits, white at 0; cells without a value are grey."""
    return matplotlib.colormaps["RdBu_r"].with_extremes(bad=CONTROL)


def module_label(module: str) -> str:
    """How a module is written in a figure; an unknown name stands as it is."""
    return MODULE_LABELS.get(module, module)


def ordered_modules(modules: Iterable[str]) -> list[str]:
    """The distinct modules, MLP before attention as in the paper, unknown ones last."""
    distinct = list(dict.fromkeys(modules))
    known = [module for module in MODULE_ORDER if module in distinct]
    return known + [module for module in distinct if module not in MODULE_ORDER]


def colours(names: Sequence[str], fixed: Mapping[str, str] | None = None) -> dict[str, str]:
    """A colour for each name: its fixed one, or the next of the palette that is not taken.

    fixed: name -> colour; the arms of training unless given.
    """
    known = ARM_COLOURS if fixed is None else fixed
    taken = {known[name] for name in names if name in known}
    free = [colour for colour in (BLUE, RED, GREEN, ORANGE, PURPLE, BROWN, PINK, SKY) if colour not in taken]
    out: dict[str, str] = {}
    for name in names:
        if name in known:
            out[name] = known[name]
        else:
            out[name] = free.pop(0) if free else FAINT
    return out


def period_text(period: float) -> str:
    """A period as it is written in a figure: at most 3 significant digits."""
    return f"{period:.3g}" if period < 1000 else f"{period:.0f}"


def percent(fraction: float) -> str:
    """A fraction as per cent with one decimal, two where one would round to 0 or 100."""
    text = f"{100 * fraction:.1f}"
    if (text == "0.0" and fraction > 0) or (text == "100.0" and fraction < 1):
        text = f"{100 * fraction:.2f}"
    return f"{text} %"


def require(table: pd.DataFrame, columns: Sequence[str], what: str) -> None:
    """Raise UserError when a table lacks a column that a figure needs.

    what: the figure, as it is to be named in the sentence.
    """
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise UserError(
            f"The table for {what} lacks the column {', '.join(missing)}; it has {', '.join(table.columns)}."
        )


def require_fractions(table: pd.DataFrame, columns: Sequence[str], what: str) -> None:
    """Raise UserError when a column that should hold fractions 0..1 holds something else."""
    for column in columns:
        values = table[column].dropna()
        if len(values) and (values.min() < -1e-9 or values.max() > 1 + 1e-9):
            raise UserError(
                f"Column {column} of the table for {what} must hold fractions between 0 and 1, "
                f"not {values.min():.4g} to {values.max():.4g}."
            )


def require_unique(table: pd.DataFrame, keys: Sequence[str], what: str) -> None:
    """Raise UserError when two rows of a table share the keys that should tell them apart."""
    twice = table[table.duplicated(list(keys))]
    if len(twice):
        first = ", ".join(f"{key} {twice[key].iloc[0]}" for key in keys)
        raise UserError(f"The table for {what} has more than one row for {first}.")


def flags(values: pd.Series) -> pd.Series:
    """A column of flags as bool; a missing one is False, as nothing was found there."""
    return values.map(lambda value: bool(value) if pd.notna(value) else False).astype(bool)


def panels(
    rows: int,
    columns: int,
    *,
    height: float = 2.2,
    width: float | None = None,
    sharex: bool | str = False,
    sharey: bool | str = False,
    width_ratios: Sequence[float] | None = None,
    letters: bool = True,
) -> tuple[PaperFigure, np.ndarray]:
    """A figure with a grid of axes, panel letters set when there is more than one.

    height: inches of one row. width: inches of the figure; one text column for one column of
    panels and both for more unless given. Returns the figure and the axes (row, column).
    """
    size = (width or (SINGLE_WIDTH if columns == 1 else DOUBLE_WIDTH), height * rows)
    figure = PaperFigure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.04, h_pad=0.04, wspace=0.03, hspace=0.04)
    axes = figure.subplots(
        rows, columns, sharex=sharex, sharey=sharey, squeeze=False, width_ratios=width_ratios
    )
    if letters and axes.size > 1:
        for letter, ax in zip("abcdefghijklmnopqrstuvwxyz", axes.flat, strict=False):
            ax.set_title(f"({letter})", loc="left", fontweight="bold")
    return figure, axes


def empty(ax: Axes, text: str) -> None:
    """Say inside a panel that there is nothing to show, and why; its scales would mean nothing."""
    # Not set_xticks, which would also take the ticks of panels that share the axis.
    ax.tick_params(labelbottom=False, labelleft=False, length=0)
    ax.text(
        0.5,
        0.5,
        textwrap.fill(text, 34),
        transform=ax.transAxes,
        ha="center",
        va="center",
        fontsize=SMALL_SIZE,
        color=FAINT,
        style="italic",
    )


def ticks(axis: Axis, count: int = 5, *, whole: bool = False) -> None:
    """At most about `count` ticks at round values, whole numbers where asked."""
    steps = [1, 2, 5, 10] if whole else [1, 2, 2.5, 5, 10]
    axis.set_major_locator(MaxNLocator(count, steps=steps, integer=whole))


def later(ax: Axes, job: Callable[[], None]) -> None:
    """Do `job` when every panel has its size, in `finish`."""
    ax.figure.after_layout.append(job)


def headroom(ax: Axes, fraction: float) -> None:
    """Raise the y axis so that this fraction of the panel, at its top, is free of data."""
    transform = ax.yaxis.get_transform()
    bottom, top = transform.transform(ax.get_ylim())
    raised = bottom + (top - bottom) / (1 - fraction)
    ax.set_ylim(top=transform.inverted().transform([raised])[0])


def remark(ax: Axes, text: str, *, left: bool = False, clear: bool = True) -> None:
    """A short statement in an upper corner of a panel, the right one unless `left`.

    clear: raise the y axis so that no data reach the text.
    """
    ax.text(
        0.02 if left else 0.98,
        0.985,
        text,
        transform=ax.transAxes,
        ha="left" if left else "right",
        va="top",
        fontsize=SMALL_SIZE,
        color=INK,
        linespacing=1.25,
        bbox={"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 1.0},
        zorder=6,
    )
    if clear:
        clear_lines(ax, text.count("\n") + 1)


def clear_lines(ax: Axes, lines: int) -> None:
    """Keep the top of a panel free for so many lines of small text, once its height is known."""
    needed = (lines * SMALL_SIZE * 1.25 + 5) / 72

    def raise_top() -> None:
        height = ax.get_window_extent().height / ax.figure.dpi
        headroom(ax, min(0.6, needed / height))

    later(ax, raise_top)


def legend_below(figure: PaperFigure, handles: Iterable[Artist]) -> None:
    """Put a legend under all panels, where no curve can run through it; a label is kept once."""
    known = {handle.get_label() for handle in figure.explained}
    for handle in handles:
        if handle.get_label() not in known:
            figure.explained.append(handle)
            known.add(handle.get_label())


def _wrapped(figure: Figure, text: str, width: float) -> list[str]:
    """Break a note into lines of at most `width` inches, by the measured width of its font."""
    renderer = figure.canvas.get_renderer()
    probe = figure.text(0, 0, "", fontsize=NOTE_SIZE, style="italic")
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        probe.set_text(longer)
        if lines[-1] and probe.get_window_extent(renderer).width > width * figure.dpi:
            lines.append(word)
        else:
            lines[-1] = longer
    probe.remove()
    return lines


def finish(figure: PaperFigure, *, title: str | None, note: str | None) -> None:
    """Set the title above, the legend and the small italic note below, then place the labels.

    The figure grows by the height of what stands below, so that the panels keep theirs. The layout
    is then frozen: labels placed for it stay clear in every file format.
    """
    if title:
        figure.suptitle(title)
    _write_below(figure, note)
    layout = figure.get_layout_engine()
    layout.execute(figure)
    if _wrap_titles(figure):
        layout.execute(figure)
    if figure.after_layout:
        while figure.after_layout:
            figure.after_layout.pop(0)()
        # Raised axes may have longer tick labels.
        layout.execute(figure)
    figure.set_layout_engine("none")


def _write_below(figure: PaperFigure, note: str | None) -> None:
    width = figure.get_figwidth()
    paragraphs = note.splitlines() if note else []
    lines = [line for paragraph in paragraphs for line in _wrapped(figure, paragraph, width - 0.16)]
    note_height = 0.12 * len(lines) + 0.05 if lines else 0.0
    legend = _widest_legend(figure) if figure.explained else None
    legend_height = 0.0
    if legend is not None:
        legend_height = legend.get_window_extent(figure.canvas.get_renderer()).height / figure.dpi + 0.06
    height = figure.get_figheight() + note_height + legend_height
    below = (note_height + legend_height) / height
    figure.set_figheight(height)
    figure.get_layout_engine().set(rect=(0, below, 1, 1 - below))
    if legend is not None:
        legend.set_bbox_to_anchor((0.5, (note_height + 0.02) / height), figure.transFigure)
    if lines:
        figure.text(
            0.06 / width,
            0.05 / height,
            "\n".join(lines),
            fontsize=NOTE_SIZE,
            style="italic",
            color="#555555",
            va="bottom",
            ha="left",
            linespacing=1.15,
            gid="note",
        )


def _widest_legend(figure: PaperFigure) -> Legend:
    """The figure's legend in as few rows as its width allows, and no more columns than those need."""
    count = len(figure.explained)
    # The same number of rows with fewer columns leaves no row half empty.
    choices = sorted({-(-count // rows) for rows in range(1, count + 1)}, reverse=True)
    for columns in choices:
        legend = figure.legend(
            handles=figure.explained,
            loc="lower center",
            ncols=columns,
            borderaxespad=0,
            borderpad=0.2,
            handlelength=2.0,
            columnspacing=1.5,
        )
        legend.set_in_layout(False)
        box = legend.get_window_extent(figure.canvas.get_renderer())
        if columns == 1 or box.width <= (figure.get_figwidth() - 0.1) * figure.dpi:
            break
        legend.remove()
    return legend


def _wrap_titles(figure: Figure) -> bool:
    """Break panel titles that would run into the panel's letter or beyond its width."""
    renderer = figure.canvas.get_renderer()
    changed = False
    for ax in figure.axes:
        heading = ax.title
        if not heading.get_text():
            continue
        frame = ax.get_window_extent(renderer)
        letter = ax._left_title.get_window_extent(renderer) if ax.get_title(loc="left") else None
        room = frame.width if letter is None else frame.width - 2 * (letter.width + 4)
        size = heading.get_window_extent(renderer)
        if size.width <= room:
            continue
        characters = max(8, int(len(heading.get_text()) * room / size.width))
        heading.set_text(textwrap.fill(heading.get_text(), characters, break_long_words=False))
        changed = True
    return changed


def drawn(parts: Iterable[tuple[str, pd.DataFrame]]) -> pd.DataFrame:
    """Join what each panel draws into one tidy table whose first column is `panel`."""
    labelled = [part.assign(panel=panel) for panel, part in parts]
    table = pd.concat(labelled, ignore_index=True) if labelled else pd.DataFrame({"panel": []})
    return table[["panel", *[column for column in table.columns if column != "panel"]]]


def save(figure: Figure, table: pd.DataFrame, stem: str | Path) -> list[Path]:
    """Write `stem`.pdf, `stem`.png (200 dpi) and `stem`.csv, each whole or not at all.

    table: what the figure draws, as the plot functions return it. The same figure gives the
    same bytes: no time, no host and no library version is written. Returns the three paths.
    """
    metadata = {
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
        "png": {"Software": None},
    }
    paths = []
    with style():
        for suffix, fields in metadata.items():
            # Not with_suffix: names of runs have dots in them.
            path = Path(f"{stem}.{suffix}")
            with replacing(path) as temporary:
                figure.savefig(temporary, format=suffix, dpi=PNG_DPI, metadata=fields)
            paths.append(path)
    path = Path(f"{stem}.csv")
    write_csv(table, path)
    return [*paths, path]
