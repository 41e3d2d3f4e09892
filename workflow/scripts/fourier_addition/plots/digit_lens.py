"""Accuracy of the logit lens by layer at every token of an answer (figure 1a, digit by digit)."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from fourier_addition.errors import UserError
from fourier_addition.plots import frame, theme
from fourier_addition.plots.columns import require, require_fractions

_LOOKS = ((theme.BLUE, "o", "-"), (theme.ORANGE, "^", "--"), (theme.GREEN, "s", ":"))


@theme.themed
def plot_digit_lens(
    table: pd.DataFrame, *, title: str | None = None, note: str | None = None
) -> tuple[Figure, pd.DataFrame]:
    """Accuracy of the lens at every place of answers of several tokens, a panel for each length of answer.

    table: tokens (of the answer), place (from 1), layer (0 is the embedding), exact (fraction 0..1),
    examples. Returns the figure and the drawn table: panel, tokens, place, layer, exact, examples. Raises
    UserError when a column is missing, holds no fractions, or no answer was read.
    """
    columns = ["tokens", "place", "layer", "exact", "examples"]
    require(table, columns, "the lens by digit")
    require_fractions(table, ["exact"], "the lens by digit")
    if table.empty:
        raise UserError("No answer was read through the lens.")

    # A panel for each length, a line for each place.
    lengths = sorted(table["tokens"].unique())
    figure, axes = frame.panels(1, len(lengths), height=2.2)
    parts = []
    for letter, length, ax in zip("abcdefgh", lengths, axes[0], strict=False):
        shown = table.loc[table["tokens"] == length, columns].sort_values(["place", "layer"])
        for place, line in shown.groupby("place"):
            colour, marker, dash = _LOOKS[(int(place) - 1) % len(_LOOKS)]
            ax.plot(
                line["layer"],
                100 * line["exact"],
                dash,
                color=colour,
                marker=marker,
                markevery=max(1, len(line) // 16),
                label=f"token {place}",
                clip_on=False,
            )
        count = int(shown["examples"].iloc[0])
        ax.set_title(f"answers of {length} token{'s' if length > 1 else ''} (n = {count})")
        ax.set(xlabel="layer (0 = embedding)", ylabel="accuracy (%)", ylim=(0, 100))
        frame.ticks(ax.xaxis, 6, whole=True)
        frame.legend_below(figure, ax.lines)
        parts.append((letter, shown))
    frame.finish(figure, title=title, note=note)
    return figure, frame.drawn(parts)
