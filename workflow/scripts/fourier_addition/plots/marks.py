"""The answer and the largest value, marked in a panel over the numbers."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from fourier_addition.plots import frame, theme


def mark_answer(ax: Axes, answer: int) -> None:
    """A dashed line at the answer; it stays behind the data."""
    ax.axvline(answer, color=theme.RED, linewidth=0.7, linestyle=(0, (3, 2)), zorder=0.5)


def mark_top(ax: Axes, numbers: pd.Series, values: pd.Series, answer: int, *, colour: str) -> int:
    """A dot at the largest value and a line of text that says where it is; returns the number."""
    best = int(numbers.to_numpy()[int(values.argmax())])
    ax.plot([best], [values.max()], "o", color=colour, markersize=3.5, zorder=4, clip_on=False)
    where = "the answer" if best == answer else f"answer {answer}"
    frame.remark(ax, f"largest at {best} ({where})")
    return best
