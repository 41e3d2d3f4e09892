"""The one look of every figure: sizes, fonts, colours, and how modules, periods and shares are written.

The style is applied inside a context, starting from matplotlib's own defaults: a user's matplotlibrc
changes nothing.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar, cast

import matplotlib
import seaborn as sns
from matplotlib.colors import Colormap

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
MODULE_LABELS = {
    "mlp": "MLP",
    "attention": "attention",
    "both": "attention and MLP",
    "none": "none",
    "final": "final logits",
}
MODULE_COLOURS = {"mlp": BLUE, "attention": ORANGE, "both": GREEN, "none": INK}
ARM_COLOURS = {
    "fine-tuned": BLUE,
    "from scratch": RED,
    "frozen pre-trained embedding": GREEN,
    "frozen random embedding": ORANGE,
    "frozen Fourier embedding": PURPLE,
}
"""Colours that the arms of training keep in every figure; others take the rest in turn."""


Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def _settings() -> dict[str, Any]:
    return {
        **sns.plotting_context("paper"),
        **sns.axes_style("ticks"),
        # Shipped with matplotlib, so that a figure is the same on every machine.
        "font.family": ["sans-serif"],
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
        # A setting is known by its name alone: matplotlib lists several hundred.
        cast("dict[str, Any]", matplotlib.rcParams).update(_settings())
        yield


def themed(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Decorator: run a plot function inside the theme."""

    @functools.wraps(function)
    def inside(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        with style():
            return function(*args, **kwargs)

    return inside


def _palette(name: str) -> Colormap:
    """One of seaborn's palettes as a continuous map."""
    palette: Colormap = sns.color_palette(name, as_cmap=True)
    return palette


def layer_map() -> Colormap:
    """Sequential map for layers, dark is late; its lightest colour is still readable as a line."""
    return _palette("flare")


def accuracy_map() -> Colormap:
    """Sequential map for accuracies, light is low; cells without a value are grey."""
    return _palette("crest").with_extremes(bad=CONTROL)


def count_map() -> Colormap:
    """Sequential map for counts, light is few; even one must be seen on white."""
    return _palette("crest")


def share_map() -> Colormap:
    """Sequential map for shares, white at 0; cells without a value are grey."""
    shares: Colormap = sns.light_palette(BLUE, as_cmap=True).with_extremes(bad=CONTROL)
    return shares


def logit_map() -> Colormap:
    """Diverging map for logits, white at 0; cells without a value are grey."""
    diverging: Colormap = matplotlib.colormaps["RdBu_r"]
    return diverging.with_extremes(bad=CONTROL)


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
