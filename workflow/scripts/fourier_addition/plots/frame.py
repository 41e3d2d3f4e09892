"""The frame of every figure: panels with letters, legend and note below, labels placed last, and saving.

Figures are built from `Figure` alone, never through pyplot: no window system is asked for, no figure
stays open, and PNG always comes from Agg.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine, PlaceHolderLayoutEngine
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from fourier_addition.files.whole import replacing, write_csv
from fourier_addition.plots import theme
from fourier_addition.plots.wording import LINES, settle_texts, shortened


class PaperFigure(Figure):
    """A figure that remembers what `finish` is to do.

    size: width and height in inches.
    after_layout: work that needs the final layout, such as placing labels.
    explained: what the legend under the panels explains. letters: panel -> its letter.
    """

    def __init__(self, size: tuple[float, float]) -> None:
        super().__init__(figsize=size, layout="constrained")
        FigureCanvasAgg(self)
        self.after_layout: list[Callable[[], None]] = []
        self.explained: list[Artist] = []
        self.letters: dict[Axes, Text] = {}

    def layout(self) -> ConstrainedLayoutEngine:
        """What gives every panel its place, until `finish` freezes the layout."""
        engine = self.get_layout_engine()
        assert isinstance(engine, ConstrainedLayoutEngine)
        return engine


def figure_of(ax: Axes) -> PaperFigure:
    """The figure of a panel that `panels` made."""
    figure = ax.figure
    assert isinstance(figure, PaperFigure)
    return figure


def renderer_of(figure: Figure) -> RendererAgg:
    """What measures texts in pixels at the figure's own resolution."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    # Matplotlib gives this method no types.
    renderer: RendererAgg = canvas.get_renderer()  # type: ignore[no-untyped-call]
    return renderer


def panels(
    rows: int,
    columns: int,
    *,
    height: float = 2.2,
    width: float | None = None,
    sharex: bool = False,
    sharey: bool = False,
    width_ratios: Sequence[float] | None = None,
    height_ratios: Sequence[float] | None = None,
    letters: bool = True,
) -> tuple[PaperFigure, np.ndarray]:
    """A figure with a grid of axes, panel letters set when there is more than one.

    height: inches of one row, or of the mean one. width: inches of the figure; one text column for one column
    of panels and both for more unless given. Returns the figure and the axes (row, column).
    """
    size = (width or (theme.SINGLE_WIDTH if columns == 1 else theme.DOUBLE_WIDTH), height * rows)
    figure = PaperFigure(size)
    figure.layout().set(w_pad=0.04, h_pad=0.04, wspace=0.03, hspace=0.04)
    axes = figure.subplots(
        rows,
        columns,
        sharex=sharex,
        sharey=sharey,
        squeeze=False,
        width_ratios=width_ratios,
        height_ratios=height_ratios,
    )
    if letters and axes.size > 1:
        for letter, ax in zip("abcdefghijklmnopqrstuvwxyz", axes.flat, strict=False):
            figure.letters[ax] = ax.set_title(f"({letter})", loc="left", fontweight="bold")
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
        fontsize=theme.SMALL_SIZE,
        color=theme.FAINT,
        style="italic",
    )


def ticks(axis: Axis, count: int = 5, *, whole: bool = False) -> None:
    """At most about `count` ticks at round values, whole numbers where asked."""
    steps = [1, 2, 5, 10] if whole else [1, 2, 2.5, 5, 10]
    axis.set_major_locator(MaxNLocator(count, steps=steps, integer=whole))


def later(ax: Axes, job: Callable[[], None]) -> None:
    """Do `job` when every panel has its size, in `finish`."""
    figure_of(ax).after_layout.append(job)


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
        fontsize=theme.SMALL_SIZE,
        color=theme.INK,
        linespacing=1.25,
        bbox={"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 1.0},
        zorder=6,
    )
    if clear:
        clear_lines(ax, text.count("\n") + 1)


def clear_lines(ax: Axes, lines: int) -> None:
    """Keep the top of a panel free for so many lines of small text, once its height is known."""
    needed = (lines * theme.SMALL_SIZE * 1.25 + 5) / 72

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
    renderer = renderer_of(figure)
    probe = figure.text(0, 0, "", fontsize=theme.NOTE_SIZE, style="italic")
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
    # Texts of the user's may need other fonts, or be too long.
    note = settle_texts(figure, figure.explained, note)
    _write_below(figure, note)
    layout = figure.layout()
    layout.execute(figure)
    if _wrap_titles(figure):
        layout.execute(figure)
    if figure.after_layout:
        while figure.after_layout:
            figure.after_layout.pop(0)()
        # Raised axes may have longer tick labels.
        layout.execute(figure)
    figure.set_layout_engine("none")
    # A notebook cuts a figure to what counts for the layout.
    for legend in figure.legends:
        legend.set_in_layout(True)


def _write_below(figure: PaperFigure, note: str | None) -> None:
    """Write the note and the legend under the panels, and make the figure higher by what they take."""
    # What stands below, and how high it is in inches.
    width = figure.get_figwidth()
    paragraphs = note.splitlines() if note else []
    lines = [line for paragraph in paragraphs for line in _wrapped(figure, paragraph, width - 0.16)]
    note_height = 0.12 * len(lines) + 0.05 if lines else 0.0
    legend = _widest_legend(figure) if figure.explained else None
    legend_height = 0.0
    if legend is not None:
        legend_height = legend.get_window_extent(renderer_of(figure)).height / figure.dpi + 0.06

    # The panels keep their height: they get the part of the higher figure that they had.
    height = figure.get_figheight() + note_height + legend_height
    below = (note_height + legend_height) / height
    figure.set_figheight(height)
    figure.layout().set(rect=(0, below, 1, 1 - below))

    # The note at the bottom, the legend above it.
    if legend is not None:
        legend.set_bbox_to_anchor((0.5, (note_height + 0.02) / height), figure.transFigure)
    if lines:
        figure.text(
            0.06 / width,
            0.05 / height,
            "\n".join(lines),
            fontsize=theme.NOTE_SIZE,
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
        box = legend.get_window_extent(renderer_of(figure))
        room = (figure.get_figwidth() - 0.1) * figure.dpi
        if columns == 1 or box.width <= room:
            break
        legend.remove()
    if box.width > room:
        _shorten_entries(figure, legend, room)
    return legend


def _shorten_entries(figure: PaperFigure, legend: Legend, room: float) -> None:
    """Break the labels of a legend of one column that is wider than the figure. room: pixels."""
    renderer = renderer_of(figure)
    widths = [text.get_window_extent(renderer).width for text in legend.get_texts()]
    # What stands beside the texts: the handles and the space around them.
    room -= legend.get_window_extent(renderer).width - max(widths)
    for text, width in zip(legend.get_texts(), widths, strict=True):
        if width > room:
            written = text.get_text()
            text.set_text(shortened(written, int(len(written) * room / width) - 1))


def _wrap_titles(figure: PaperFigure) -> bool:
    """Break panel titles that would run into the panel's letter or beyond its width."""
    renderer = renderer_of(figure)
    changed = False

    # A title has the panel's width, less the letter on both sides, as it is centred.
    for ax in figure.axes:
        heading = ax.title
        if not heading.get_text():
            continue
        panel = ax.get_window_extent(renderer)
        room = panel.width
        if ax in figure.letters:
            room -= 2 * (figure.letters[ax].get_window_extent(renderer).width + 4)
        size = heading.get_window_extent(renderer)
        if size.width <= room:
            continue
        characters = max(8, int(len(heading.get_text()) * room / size.width))
        written = _balanced(heading.get_text(), characters)
        if written.count("\n") >= LINES or max(map(len, written.split("\n"))) > 2 * characters:
            written = shortened(heading.get_text(), characters)
        heading.set_text(written)
        changed = True

        # A letter stands beside the first line of its title.
        if ax in figure.letters:
            letter = figure.letters[ax]
            letter.set_text(letter.get_text().strip() + "\n" * written.count("\n"))
    return changed


def _balanced(text: str, characters: int) -> str:
    """A text in as few lines of at most so many characters as it needs, none much longer than the others."""
    lines = textwrap.wrap(text, characters, break_long_words=False, break_on_hyphens=False)
    for fewer in range(characters - 1, 1, -1):
        closer = textwrap.wrap(text, fewer, break_long_words=False, break_on_hyphens=False)
        if len(closer) > len(lines):
            break
        lines = closer
    return "\n".join(lines)


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
    with theme.style():
        # Matplotlib draws a figure with an engine twice, also where the engine has nothing left to do.
        if isinstance(figure.get_layout_engine(), PlaceHolderLayoutEngine):
            figure.set_layout_engine(None)
        for suffix, fields in metadata.items():
            # Not with_suffix: names of runs have dots in them.
            path = Path(f"{stem}.{suffix}")
            with replacing(path) as temporary:
                figure.savefig(temporary, format=suffix, dpi=theme.PNG_DPI, metadata=fields)
            paths.append(path)
    path = Path(f"{stem}.csv")
    write_csv(table, path)
    return [*paths, path]
